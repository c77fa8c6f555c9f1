"""Ask an engine everything that a run folder does not hold yet."""

from __future__ import annotations

import asyncio
import fcntl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from grace_client import __version__, studies
from grace_client.core import paths
from grace_client.core.errors import BusyError, SpecError, TrialError
from grace_client.core.progress import Progress
from grace_client.core.reasoning import Reasoning
from grace_client.core.trials import TrialList
from grace_client.engines.base import Engine, EngineInfo
from grace_client.run import manifest as manifests
from grace_client.run import plan as plans
from grace_client.run.answering import Asker
from grace_client.run.ledger import OK, Ledger
from grace_client.run.manifest import TRIALS, Manifest, SamplingSpec, Session, Spec
from grace_client.run.plan import Plan
from grace_client.studies.declaration import Experiment

LEDGER = "ledger"

THINKING_TOKENS = 2048
"""Bound on reasoning and answer together, unless told."""

STOP_SECONDS = 6.0
"""How long a stop waits for answers in flight: Kubernetes kills 30 seconds after it has asked."""


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
        manifest.check_trials(path / TRIALS)
        try:
            trials = studies.read_trials(path / TRIALS, checked=True)
        except TrialError as error:
            raise SpecError(f"the run's own copy of its trial list cannot be read:\n{error}") from None
        plan = Plan.of(experiment, trials, manifest)
        if plans.questions_sha256(experiment, plan.trials) != manifest.spec.questions_sha256:
            raise SpecError(
                f"grace {__version__} asks other questions for {experiment.name} than grace "
                f"{manifest.grace}, which began {path}; install grace-client=={manifest.grace} to go on "
                "with it"
            )
        ledger = Ledger(path / LEDGER)
        if not ledger.segments and manifest.results.get("distinct_by_status", {}).get(OK):
            raise SpecError(
                f"{path} has tables, and {LEDGER}/, the record that they were written from, is not there; "
                "copy or fetch the folder again, whole"
            )
        return cls(path, manifest, experiment, trials, plan, ledger)

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
        reasoning: Reasoning | None = None,
    ) -> RunFolder:
        """Make a run folder, or open the one that is there if it is of the very same run.

        Parameters
        ----------
        path : Path
            The folder.
        experiment, trials, engine
            What is asked, of which list, and who answers.
        sample : int, optional
            Ask only so many trials.
        sampling : SamplingSpec, optional
            How free text, or the reasoning before a scored answer, is drawn.
        reasoning : str, optional
            ``"on"``, ``"off"`` or ``"off-by-prompt"``. Default: off where answers are scored, on where they
            are drawn.

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
            sampling=_draws(experiment, engine, sampling, reasoning),
            reasoning=reasoning or _default(experiment, engine),
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
            except BlockingIOError:
                message = f"another process is working on {self.path}; wait for it or stop it"
                # A Job that takes another's place meets its last moments, and is to try again.
                raise BusyError(message) from None
            except OSError as error:
                raise OSError(error.errno, error.strerror, lock.name) from None
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

    Raises
    ------
    OSError
        Where an answer could not be written; those before it are kept.
    """
    info, stop = await engine.describe(), stop or asyncio.Event()
    started, before = datetime.now(UTC).isoformat(timespec="seconds"), await engine.counters()
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
        # What the system refused first is what to tell; the same is refused to what comes after it.
        refused = isinstance(sys.exception(), OSError)
        with suppress(OSError) if refused else nullcontext():
            folder.ledger.close()
        if progress.asked and not refused:
            # A process that was told to stop has no time to ask more.
            after = {} if stop.is_set() else await engine.counters()
            counted = {name: after[name] - before[name] for name in before.keys() & after.keys()}
            # A server that was started again has begun to count anew.
            counted = {name: value for name, value in sorted(counted.items()) if value >= 0}
            _record(folder, Session(started=started, asked=progress.asked, counters=counted))
    return progress


def _record(folder: RunFolder, session: Session) -> None:
    """Write a session to the run's manifest."""
    manifest = manifests.load(folder.path)
    manifest.sessions.append(session)
    manifest.save(folder.path)
    folder.manifest.sessions[:] = manifest.sessions


def sampling_of(
    experiment: Experiment, engine: EngineInfo, reasoning: Reasoning | None, given: dict[str, Any]
) -> SamplingSpec:
    """How a run draws: what is given, and for a model that reasons room to do it.

    Parameters
    ----------
    experiment, engine, reasoning
        As for `RunFolder.create`.
    given : dict
        Some of the fields of a `SamplingSpec`.
    """
    thinks = engine.reasoning_format is not None and (reasoning or _default(experiment, engine)) == "on"
    room = {"max_tokens": THINKING_TOKENS} if thinks else {}
    return SamplingSpec.model_validate(room | given)


def _default(experiment: Experiment, engine: EngineInfo) -> Reasoning | None:
    """Whether a model reasons by default; None for a model that shows no reasoning."""
    if engine.reasoning_format is None:
        return None
    return "off" if experiment.scored else "on"


def _draws(
    experiment: Experiment, engine: EngineInfo, sampling: SamplingSpec | None, reasoning: Reasoning | None
) -> SamplingSpec | None:
    """How a run draws; None where it does not. A scored question has one reasoning for each trial."""
    if not experiment.scored:
        # A stop text within a thought would end it there.
        closed = engine.reasoning_format is None or reasoning == "off"
        stop = experiment.stop if closed else ()
        return (sampling or SamplingSpec()).model_copy(update={"stop": stop})
    if reasoning != "on":
        return None
    if engine.reasoning_format is None:
        raise SpecError(
            f"{engine.model} shows no reasoning that grace knows (think blocks or Harmony), so there is none "
            "to score after; leave --reasoning out"
        )
    return (sampling or SamplingSpec()).model_copy(update={"replicates": 1})
