"""Ask an engine everything that a run folder does not hold yet."""

from __future__ import annotations

import asyncio
import fcntl
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from grace_client import __version__, paths, studies
from grace_client import manifest as manifests
from grace_client import plan as plans
from grace_client.engines.base import Engine, EngineInfo
from grace_client.errors import BusyError, ItemError, SpecError, TrialError
from grace_client.ledger import OK, Ledger
from grace_client.manifest import Manifest, SamplingSpec, Spec
from grace_client.options import OptionSet, TokenTrie
from grace_client.plan import Item, Plan
from grace_client.questions import Question
from grace_client.scoring import Scores, score
from grace_client.studies.base import Experiment
from grace_client.trials import TrialList

TRIALS = "trials.csv"
LEDGER = "ledger"

STOP_SECONDS = 6.0
"""How long a stop waits for answers in flight: Kubernetes kills 30 seconds after it has asked."""


@dataclass(slots=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    total, done, failed : int
        Distinct questions in all, with an answer, and with a failure among those.
    asked : int
        Questions asked by this process.
    started : float
        Monotonic clock at the start.
    """

    total: int
    done: int = 0
    failed: int = 0
    asked: int = 0
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class RunFolder:
    """A run on disk: manifest, copy of the trial list, ledger, plan.

    Open one with `RunFolder.open`, or make one with `RunFolder.create`.
    """

    path: Path
    manifest: Manifest
    experiment: Experiment
    trials: TrialList
    plan: Plan
    ledger: Ledger

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The run that a folder holds; SpecError where it holds none or a damaged one."""
        manifest = manifests.load(path)
        experiment = studies.experiment(manifest.spec.experiment)
        try:
            trials = studies.read_trials(path / TRIALS)
        except TrialError as error:
            raise SpecError(f"the run's own copy of its trial list cannot be read:\n{error}") from None
        if trials.sha256 != manifest.spec.trials_sha256:
            raise SpecError(
                f"{path / TRIALS} has changed since the run began; restore it from {manifest.trials}"
            )
        plan = Plan.of(experiment, trials, manifest)
        if plans.questions_sha256(experiment, plan.trials) != manifest.spec.questions_sha256:
            raise SpecError(
                f"grace {__version__} asks other questions for {experiment.name} than grace "
                f"{manifest.grace}, which began {path}; install grace-client=={manifest.grace} to go on "
                "with it"
            )
        return cls(path, manifest, experiment, trials, plan, Ledger(path / LEDGER))

    @classmethod
    def create(
        cls,
        path: Path,
        experiment: Experiment,
        trials: TrialList,
        engine: EngineInfo,
        *,
        sample: int | None = None,
        sampling: SamplingSpec | None = None,
    ) -> RunFolder:
        """Make a run folder, or open the one that is there if it is of the very same run.

        Raises
        ------
        SpecError
            Where the trials are of another study, and where the folder holds another run; the message lists
            the differences.
        """
        if trials.schema.study != experiment.schema.study:
            raise SpecError(
                f"{experiment.name} needs a {experiment.schema.study} list, and {trials.path} is one of "
                f"{trials.schema.study}"
            )
        sample = None if sample is not None and sample >= len(trials.trials) else sample
        spec = Spec(
            experiment=experiment.name,
            engine=engine.as_dict(),
            trials_sha256=trials.sha256,
            questions_sha256=plans.questions_sha256(experiment, plans.sample(trials, sample)),
            sample=sample,
            sampling=None if experiment.scored else sampling or SamplingSpec(),
        )
        if (path / manifests.FILE).exists():
            different = manifests.differences(manifests.load(path).spec, spec)
            if different:
                listed = "\n  ".join(different)
                raise SpecError(
                    f"{path} holds another run:\n  {listed}\nName a new folder with --out, or repeat the "
                    "command that began this one"
                )
        else:
            path.mkdir(parents=True, exist_ok=True)
            with paths.replacing(path / TRIALS) as new:
                new.write_bytes(trials.raw)
            # The manifest comes last: a folder that has one is complete.
            Manifest(trials=str(trials.path), spec=spec).save(path)
        return cls.open(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from asking the same questions."""
        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                message = f"another process is working on {self.path}; wait for it or stop it"
                # A Job that takes another's place meets its last moments, and is to try again.
                raise BusyError(message) from None
            yield

    def progress(self) -> Progress:
        """How much of the plan is answered."""
        progress = Progress(total=self.plan.size[1])
        for item in self.plan.distinct():
            if item.key in self.ledger:
                progress.done += 1
                progress.failed += item.key in self.ledger.contents.failed
        return progress


async def run(
    folder: RunFolder,
    engine: Engine,
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    stop: asyncio.Event | None = None,
    stop_seconds: float = STOP_SECONDS,
) -> Progress:
    """Ask everything that the ledger does not hold.

    Parameters
    ----------
    folder : RunFolder
        The run.
    engine : Engine
        The model that answers, the one the manifest describes.
    on_progress : callable
        Called after every answer.
    stop : asyncio.Event, optional
        When set, nothing more is asked; answers in flight are still written.
    stop_seconds : float
        How long a stop waits for answers in flight.

    Returns
    -------
    Progress
        At the end.
    """
    info, stop = await engine.describe(), stop or asyncio.Event()
    progress = folder.progress()
    on_progress(progress)
    # One shared iterator is the back-pressure: no more items than workers exist at a time.
    waiting = (item for item in folder.plan.distinct() if item.key not in folder.ledger)
    asker = Asker(engine, info)

    async def work() -> None:
        for item in waiting:
            if stop.is_set():
                return
            answer, final = await asker.ask(item)
            folder.ledger.append(item.key, answer, final=final)
            progress.done += 1
            progress.asked += 1
            progress.failed += answer["status"] != OK
            on_progress(progress)

    async def give_up(workers: list[asyncio.Task[None]]) -> None:
        await stop.wait()
        await asyncio.sleep(stop_seconds)
        for worker in workers:
            worker.cancel()

    count = engine.concurrency(scored=folder.experiment.scored)
    workers: list[asyncio.Task[None]] = []
    patience = asyncio.create_task(give_up(workers))
    try:
        async with asyncio.TaskGroup() as group:
            workers += [group.create_task(work()) for _ in range(count)]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        patience.cancel()
        folder.ledger.close()
    return progress


class Asker:
    """Turns items into ledger answers.

    Parameters
    ----------
    engine : Engine
        Who answers.
    info : EngineInfo
        Its description.
    """

    def __init__(self, engine: Engine, info: EngineInfo) -> None:
        self.engine = engine
        self.info = info
        self._tries: dict[OptionSet, asyncio.Task[TokenTrie]] = {}

    async def ask(self, item: Item) -> tuple[dict[str, Any], bool]:
        """The answer as the ledger keeps it, and whether it is final."""
        start = time.monotonic()
        try:
            if item.sampling is None:
                answer = await self._score(item)
            else:
                answer = await self._generate(item)
            final = True
        except ItemError as error:
            answer = {"status": error.status, "reason": str(error)}
            final = not error.retryable
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        return answer | {"seconds": round(time.monotonic() - start, 4), "at": at}, final

    async def scores(self, question: Question) -> tuple[list[int], TokenTrie, Scores]:
        """Prompt ids, token trie and scores of a scored question; ItemError where it has none."""
        assert question.options is not None
        trie = await self._trie(question.options)
        prompt_ids = await self.engine.tokenize(question.prompt)
        self._fits(len(prompt_ids) + int(trie.depth.max()))
        return prompt_ids, trie, score(trie, await self.engine.edge_logprobs(prompt_ids, trie))

    async def _score(self, item: Item) -> dict[str, Any]:
        assert item.question.options is not None
        prompt_ids, trie, scores = await self.scores(item.question)
        names = item.question.options.names
        forms = zip(
            trie.option.tolist(), trie.forms, trie.form_ids, scores.form_logprob.tolist(), strict=True
        )
        return {
            "status": OK,
            "prompt_ids": list(prompt_ids),
            # JSON has no -inf.
            "forms": [[names[o], form, ids, x if math.isfinite(x) else None] for o, form, ids, x in forms],
        }

    async def _generate(self, item: Item) -> dict[str, Any]:
        assert item.sampling is not None
        prompt_ids = await self.engine.tokenize(item.question.prompt)
        self._fits(len(prompt_ids) + item.sampling.max_tokens)
        drawn = await self.engine.generate(item.question.prompt, item.sampling)
        return {
            "status": OK,
            "text": drawn.text,
            "finish_reason": drawn.finish_reason,
            "reasoning": drawn.reasoning,
            "prompt_ids": list(drawn.prompt_ids),
            "token_ids": list(drawn.token_ids),
        }

    def _fits(self, tokens: int) -> None:
        if tokens > self.info.max_context:
            raise ItemError(
                "context",
                f"prompt and answer take {tokens} tokens, and {self.info.model} takes "
                f"{self.info.max_context}; nothing was cut. Shorten the trial or use a model with a longer "
                "context",
            )

    async def _trie(self, options: OptionSet) -> TokenTrie:
        if options not in self._tries:
            self._tries[options] = asyncio.create_task(self._build(options))
        # Shielded: the others that wait for it go on where one of them is cancelled.
        return await asyncio.shield(self._tries[options])

    async def _build(self, options: OptionSet) -> TokenTrie:
        end = [self.info.end_of_turn] if options.end_of_turn else []
        form_ids = [
            [await self.engine.tokenize_form(form) + end for form in option.forms]
            for option in options.options
        ]
        return TokenTrie.build(options, form_ids)
