"""A run on disk: create, open and lock its folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grace_client import __version__, studies
from grace_client.core import paths
from grace_client.core.errors import BusyError, SpecError, TrialError
from grace_client.core.progress import Progress
from grace_client.core.reasoning import Reasoning
from grace_client.core.trials import TrialList
from grace_client.engines.base import EngineInfo
from grace_client.run import layout, study_copy
from grace_client.run import manifest as manifests
from grace_client.run import plan as plans
from grace_client.run.layout import OK
from grace_client.run.ledger import Ledger
from grace_client.run.manifest import Manifest, SamplingSpec, Spec
from grace_client.run.plan import Plan
from grace_client.studies.declaration import Experiment
from grace_client.studies.ways import Way

THINKING_TOKENS = 2048
"""Default maximum length of reasoning and answer together, in tokens."""


@dataclass(frozen=True)
class RunFolder:
    """A run on disk: its manifest, its plan and its ledger.

    Open a run with `RunFolder.open`, or make one with `RunFolder.create`.
    """

    path: Path
    manifest: Manifest
    experiment: Experiment
    plan: Plan
    ledger: Ledger

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open the run in a folder; SpecError if there is no run, or a damaged one."""
        manifest = manifests.load(path)
        experiment = study_copy.experiment_of(path, manifest)
        manifest.check_trials(path / layout.TRIALS)
        try:
            trials = studies.read_trials(path / layout.TRIALS, experiment.study, checked=True)
        except TrialError as error:
            raise SpecError(f"The run's copy of its trial list has faults:\n{error}") from None
        ways = manifest.spec.ways or plans.ONE_WAY
        asked = plans.ask(experiment, plans.sample(trials, manifest.spec.sample), trials.path, ways)
        if plans.questions_sha256(asked) != manifest.spec.questions_sha256:
            raise SpecError(
                f"{path} was begun by grace {manifest.grace}. This is grace {__version__}, and its questions "
                f"for {experiment.name} are different. To continue the run, install "
                f"grace-client=={manifest.grace}"
            )
        return cls._of(path, manifest, experiment, Plan(experiment, asked, manifest.spec))

    @classmethod
    def _of(cls, path: Path, manifest: Manifest, experiment: Experiment, plan: Plan) -> RunFolder:
        ledger = Ledger(path / layout.LEDGER)
        if not ledger.segments and manifest.results.get("distinct_by_status", {}).get(OK):
            raise SpecError(
                f"{path} has tables, but its record, the folder {layout.LEDGER}/, is missing. Copy or fetch "
                "the whole run folder again"
            )
        return cls(path, manifest, experiment, plan, ledger)

    def read_again(self) -> RunFolder:
        """The same run, with manifest and ledger read from disk again."""
        return self._of(self.path, manifests.load(self.path), self.experiment, self.plan)

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
        ways: Sequence[Way] = (),
    ) -> RunFolder:
        """Plan a run and begin it: `plan_of`, then `begin`."""
        options = {"sample": sample, "sampling": sampling, "reasoning": reasoning, "ways": ways}
        return cls.begin(path, trials, plan_of(experiment, trials, engine, **options))  # type: ignore[arg-type]

    @classmethod
    def begin(cls, path: Path, trials: TrialList, plan: Plan) -> RunFolder:
        """Make a run folder, or open an existing folder of the same run.

        Parameters
        ----------
        path : Path
            The folder.
        trials : TrialList
            The trial list.
        plan : Plan
            The plan of the run.

        Raises
        ------
        SpecError
            If the folder contains answers of another run; the message lists the differences. A folder in
            which nothing was asked yet is begun anew.
        """
        experiment, spec = plan.experiment, plan.spec
        if (path / layout.MANIFEST).exists():
            manifest = manifests.load(path)
            different = manifests.differences(manifest.spec, spec)
            if different and Ledger(path / layout.LEDGER).contents.lines:
                listed = "\n  ".join(different)
                raise SpecError(
                    f"{path} contains another run:\n  {listed}\nName a new folder with --out, or repeat the "
                    "command of that run without changes"
                )
            if not different:
                manifest.check_trials(path / layout.TRIALS)
                if study_copy.keep(path, manifest, experiment.study):
                    manifest.save(path)
                return cls._of(path, manifest, experiment, plan)
        path.mkdir(parents=True, exist_ok=True)
        with paths.replacing(path / layout.TRIALS) as new:
            new.write_bytes(trials.raw)
        # Write the manifest last, so that a folder with a manifest is complete.
        manifest = Manifest(trials=str(trials.path), spec=spec)
        study_copy.keep(path, manifest, experiment.study)
        manifest.save(path)
        return cls._of(path, manifest, experiment, plan)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder against other processes; BusyError if another process has locked it."""
        with (self.path / layout.LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"Another process works on {self.path}. Wait until it ends, or stop it"
                # Retryable: a Job that replaces another one may start before the other has ended.
                raise BusyError(message) from None
            except OSError as error:
                raise OSError(error.errno, error.strerror, lock.name) from None
            yield

    def progress(self) -> Progress:
        """How many questions of the plan are answered."""
        answered = [item.key for item in self.plan.distinct if item.key in self.ledger]
        failed = sum(key in self.ledger.contents.failed for key in answered)
        return Progress(total=len(self.plan.distinct), done=len(answered), failed=failed)


def plan_of(
    experiment: Experiment,
    trials: TrialList,
    engine: EngineInfo,
    *,
    sample: int | None = None,
    sampling: SamplingSpec | None = None,
    reasoning: Reasoning | None = None,
    ways: Sequence[Way] = (),
) -> Plan:
    """The plan of a run. Nothing is written.

    Parameters
    ----------
    experiment, trials, engine
        The experiment, its trial list, and the description of the engine that answers.
    sample : int, optional
        Ask only this many trials, drawn at random.
    sampling : SamplingSpec, optional
        How to draw free text, or the reasoning before a scored answer.
    reasoning : str, optional
        ``"on"``, ``"off"`` or ``"off-by-prompt"``. Default: off for scored answers, on for free text.
    ways : sequence of mapping
        The ways of asking, the base first, see `studies.ways.design`. Default: only the base.

    Raises
    ------
    SpecError
        If the trials belong to another study, or if a model is to reason after a prompt without its chat
        template.
    """
    if trials.schema.study != experiment.schema.study:
        raise SpecError(
            f"{experiment.name} needs a trial list of {experiment.schema.study}, but {trials.path} is "
            f"one of {trials.schema.study}. Name another list"
        )
    sample = None if sample is not None and sample >= len(trials.trials) else sample
    asked = plans.ask(experiment, plans.sample(trials, sample), trials.path, ways or plans.ONE_WAY)
    if reasoning == "on" and any(one.prompt.plain for of in asked for one in of.questions):
        raise SpecError(
            "--reasoning on: a model begins to reason only in its chat template, and this design has "
            "questions in plain text. Leave the factor with the level 'plain' out of --ways"
        )
    spec = Spec(
        experiment=experiment.name,
        engine=engine.as_dict(),
        trials_sha256=trials.sha256,
        questions_sha256=plans.questions_sha256(asked),
        sample=sample,
        sampling=_draws(experiment, engine, sampling, reasoning),
        reasoning=reasoning or _default(experiment, engine),
        ways=tuple(map(dict, ways)),
    )
    return Plan(experiment, asked, spec)


def sampling_of(
    experiment: Experiment, engine: EngineInfo, reasoning: Reasoning | None, given: dict[str, Any]
) -> SamplingSpec:
    """How a run draws: the given settings, else the study's, and more `max_tokens` if the model reasons.

    Parameters
    ----------
    experiment, engine, reasoning
        As for `plan_of`.
    given : dict
        Some fields of a `SamplingSpec`.
    """
    thinks = engine.reasoning_format is not None and (reasoning or _default(experiment, engine)) == "on"
    room = {"max_tokens": THINKING_TOKENS} if thinks else {}
    declared = experiment.file.sampling.model_dump(exclude_none=True)
    return SamplingSpec.model_validate(room | declared | given)


def _default(experiment: Experiment, engine: EngineInfo) -> Reasoning | None:
    """The default of `reasoning`; None for a model without a reasoning format that grace knows."""
    if engine.reasoning_format is None:
        return None
    return "off" if experiment.scored else "on"


def _draws(
    experiment: Experiment, engine: EngineInfo, sampling: SamplingSpec | None, reasoning: Reasoning | None
) -> SamplingSpec | None:
    """How a run draws; None if it draws nothing. A scored question has one reasoning for each trial."""
    if not experiment.scored:
        # A stop text must not end the reasoning.
        closed = engine.reasoning_format is None or reasoning == "off"
        stop = experiment.stop if closed else ()
        return (sampling or SamplingSpec()).model_copy(update={"stop": stop})
    if reasoning != "on":
        return None
    if engine.reasoning_format is None:
        raise SpecError(
            f"--reasoning on: {engine.model} has no reasoning format that grace knows (think blocks or "
            "Harmony). Leave --reasoning out"
        )
    return (sampling or SamplingSpec()).model_copy(update={"replicates": 1})
