"""The noise floor: how much an engine's scores of the same question vary."""

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
    """Score a random sample of a run's questions several times, in other orders and under other loads.

    Every repeat has a new order. The first repeat asks one question at a time, the second as many as the
    engine takes, the third half as many, and so on down to two; then it begins again with one.

    Parameters
    ----------
    folder : RunFolder
        A run of a scored experiment.
    engine : Engine
        The engine that answered it.
    questions, repeats : int
        How many of the answered questions to draw, and how many times to score each one.
    seed : int
        Random seed of the sample and of the orders.
    on_progress : callable
        Called after every answer.

    Returns
    -------
    NoiseFloor
        The result; `record` writes it to the manifest.

    Raises
    ------
    SpecError
        If the run has free text or no answers yet, or if another engine answered it.
    """
    if not folder.experiment.scored:
        raise SpecError(
            f"{folder.path} is a run of free text ({folder.experiment.name}), which is drawn at random. Name "
            "a run of a scored experiment, such as study1-exp2"
        )
    info = await engine.describe()
    different = manifests.differences(
        folder.manifest.spec, folder.manifest.spec.model_copy(update={"engine": info.as_dict()})
    )
    if different:
        listed = "\n  ".join(different)
        raise SpecError(
            f"Another engine answered {folder.path}:\n  {listed}\nRepeat 'grace noise' with the model and "
            "server options of the run"
        )
    answered = [item for item in folder.plan.distinct if _recorded(folder, item) is not None]
    if not answered:
        raise SpecError(f"{folder.path} has no answers yet. Repeat the run's 'grace run' command")
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
        raise SpecError(
            f"None of the {len(drawn)} questions was answered in every repeat. Read the server's log"
        )
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
    """Score an item again, after the same reasoning as in the run; returns the options' log-probabilities."""
    answer, prompt, options = folder.ledger.get(item.key), item.question.prompt, item.question.options
    assert answer is not None and options is not None
    thoughts = answer["prompt_ids"][len(await asker.engine.tokenize(prompt)) :] if item.sampling else ()
    return (await asker.scores(prompt, options, thoughts)).scores.logprob


def record(folder: RunFolder, floor: NoiseFloor) -> None:
    """Write a noise floor to the run's manifest. It replaces an older one."""
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
        The spread of the log-probabilities that are finite in every repeat, and of the normalised
        probabilities.

    References
    ----------
    ISO 5725-2:2019, *Accuracy of measurement methods and results*, for the repeatability standard deviation.
    """
    possible = [values[:, np.isfinite(values).all(axis=0)] for values in logprobs]
    return _spread(possible), _spread([100 * normalise(values) for values in logprobs])


def _spread(questions: Sequence[Array]) -> Spread:
    ranges = [float(np.ptp(values, axis=0).max(initial=0.0)) for values in questions]
    # Subtract the first repeat, so that equal values have a variance of exactly 0.
    variances = np.concatenate([(values - values[0]).var(axis=0, ddof=1) for values in questions])
    return Spread(
        sd=float(np.sqrt(variances.mean())) if len(variances) else 0.0,
        median=float(np.median(ranges)),
        p95=float(np.quantile(ranges, 0.95)),
        max=max(ranges),
    )


def _loads(most: int, repeats: int) -> list[int]:
    """Questions in flight in each repeat: 1, all, half, a quarter, …, then 1 again."""
    steps = [1, *(most >> shift for shift in range(most.bit_length() - 1))]
    return [steps[i % len(steps)] for i in range(repeats)]


def _recorded(folder: RunFolder, item: Item) -> Array | None:
    """The run's own log-probabilities of an item's options; None if it has no answer."""
    answer, options = folder.ledger.get(item.key), item.question.options
    if answer is None or answer["status"] != OK or options is None:
        return None
    return scores_of(answer, options).logprob
