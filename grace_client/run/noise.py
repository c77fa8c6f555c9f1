"""The noise floor: how far an engine's answers to the very same questions lie apart."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from grace_client.core.errors import ItemError, SpecError
from grace_client.core.progress import Progress
from grace_client.core.scoring import normalise
from grace_client.engines.base import Engine
from grace_client.run import manifest as manifests
from grace_client.run.answering import Asker
from grace_client.run.folder import RunFolder
from grace_client.run.layout import OK
from grace_client.run.manifest import NoiseFloor, Spread
from grace_client.run.plan import Item
from grace_client.run.tables import scores_of

Array = NDArray[np.float64]


async def measure(
    folder: RunFolder,
    engine: Engine,
    *,
    questions: int = 50,
    repeats: int = 5,
    seed: int = 0,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> NoiseFloor:
    """Score a random sample of a run's questions again and again, in other orders and under other loads.

    Every repeat draws a new order. The first asks one question at a time, the second as many at once as the
    engine takes, the third half as many, and so on around.

    Parameters
    ----------
    folder : RunFolder
        A run of a scored experiment.
    engine : Engine
        The engine that answered it.
    questions, repeats : int
        How many questions to draw among the answered ones, and how often to score each.
    seed : int
        Of the draw and of the orders.
    on_progress : callable
        Called after every answer.

    Returns
    -------
    NoiseFloor
        Also for the manifest: see `record`.

    Raises
    ------
    SpecError
        Where the run is of free text, has no answers yet, or is of another engine.
    """
    if not folder.experiment.scored:
        raise SpecError(
            f"{folder.path} holds free text, which is drawn at random; a noise floor is that of a scored "
            "experiment"
        )
    info = await engine.describe()
    different = manifests.differences(
        folder.manifest.spec, folder.manifest.spec.model_copy(update={"engine": info.as_dict()})
    )
    if different:
        listed = "\n  ".join(different)
        raise SpecError(f"{folder.path} was answered by another engine:\n  {listed}\nName the same one")
    answered = [item for item in folder.plan.distinct if _recorded(folder, item) is not None]
    if not answered:
        raise SpecError(f"{folder.path} holds no answers yet; 'grace run' asks for them")
    draw = random.Random(seed)
    drawn = draw.sample(answered, min(questions, len(answered)))
    loads = _loads(engine.concurrency(scored=True), repeats)
    progress = Progress(total=len(drawn) * repeats)
    asker = Asker(engine, info)
    rows: dict[str, list[Array]] = {}
    for item in drawn:
        recorded = _recorded(folder, item)
        assert recorded is not None
        rows[item.key] = [recorded]

    async def work(waiting: Iterable[Item]) -> None:
        for item in waiting:
            try:
                rows[item.key].append(await _again(asker, folder, item))
            except ItemError:
                progress.failed += 1
            progress.done += 1
            progress.asked += 1
            on_progress(progress)

    for load in loads:
        waiting = iter(draw.sample(drawn, len(drawn)))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(load):
                    group.create_task(work(waiting))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
    whole = [np.array(values) for values in rows.values() if len(values) == repeats + 1]
    if not whole:
        raise SpecError("none of the questions drawn was answered in every repeat; look at the server's log")
    nats, points = spreads(whole)
    return NoiseFloor(
        questions=len(whole),
        repeats=repeats,
        failed=len(drawn) - len(whole),
        loads=loads,
        seed=seed,
        nats=nats,
        points=points,
    )


async def _again(asker: Asker, folder: RunFolder, item: Item) -> Array:
    """The options' log-probabilities, after the reasoning that the run has, if any."""
    answer, prompt, options = folder.ledger.get(item.key), item.question.prompt, item.question.options
    assert answer is not None and options is not None
    thoughts = answer["prompt_ids"][len(await asker.engine.tokenize(prompt)) :] if item.sampling else ()
    return (await asker.scores(prompt, options, thoughts))[2].logprob


def record(folder: RunFolder, floor: NoiseFloor) -> None:
    """Write a noise floor to the run's manifest, in place of an older one."""
    manifest = manifests.load(folder.path)
    manifest.noise = floor
    manifest.save(folder.path)


def spreads(logprobs: Sequence[Array]) -> tuple[Spread, Spread]:
    """Spread between repeats, in nats and in percentage points.

    Parameters
    ----------
    logprobs : sequence of ndarray, each of shape (n_repeats, n_options)
        Per question, the log-probabilities of its options in nats; -inf is allowed.

    Returns
    -------
    nats, points : Spread
        Of the log-probabilities that are finite in every repeat, and of the normalised probabilities.

    References
    ----------
    ISO 5725-2:2019, *Accuracy of measurement methods and results*, for the repeatability standard deviation.
    """
    possible = [values[:, np.isfinite(values).all(axis=0)] for values in logprobs]
    return _spread(possible), _spread([100 * normalise(values) for values in logprobs])


def _spread(questions: Sequence[Array]) -> Spread:
    ranges = [float(np.ptp(values, axis=0).max(initial=0.0)) for values in questions]
    # Less the first repeat, so that equal values vary by nothing, not by a rounding.
    variances = np.concatenate([(values - values[0]).var(axis=0, ddof=1) for values in questions])
    return Spread(
        sd=float(np.sqrt(variances.mean())) if len(variances) else 0.0,
        median=float(np.median(ranges)),
        p95=float(np.quantile(ranges, 0.95)),
        max=max(ranges),
    )


def _loads(most: int, repeats: int) -> list[int]:
    """Questions in flight per repeat: 1, all, half, a quarter, …, and around again."""
    steps = [1, *(most >> shift for shift in range(most.bit_length() - 1))]
    return [steps[i % len(steps)] for i in range(repeats)]


def _recorded(folder: RunFolder, item: Item) -> Array | None:
    """Log-probabilities of the options as the run has them; None where it has no answer."""
    answer, options = folder.ledger.get(item.key), item.question.options
    if answer is None or answer["status"] != OK or options is None:
        return None
    return scores_of(answer, options).logprob
