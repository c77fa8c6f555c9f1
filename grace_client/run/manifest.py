"""The manifest of a run: everything that determines its answers, and its results."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from grace_client import __version__
from grace_client.core import paths
from grace_client.core.errors import SpecError, refused
from grace_client.core.reasoning import EARLIER_REASONING, Reasoning
from grace_client.run import layout, verify
from grace_client.run.verify import CHECKSUM

SHOWN = 5
"""Maximum number of run folders that a message names."""


class SamplingSpec(BaseModel):
    """How to draw free text, and the reasoning before a scored answer.

    Attributes
    ----------
    temperature : float
        Sampling temperature; 0 always takes the likeliest token.
    max_tokens : int
        Maximum length of reasoning and answer together, in tokens.
    replicates : int
        Number of answers to each question of each trial.
    base_seed : int
        Base of all seeds.
    share_answers : bool
        Whether trials with the same question have the same answers. Otherwise each trial has its own.
    stop : tuple of str
        Texts that end an answer, see `Sampling`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float = Field(default=0.7, ge=0)
    max_tokens: int = Field(default=64, ge=1)
    replicates: int = Field(default=5, ge=1)
    base_seed: int = 0
    share_answers: bool = False
    stop: tuple[str, ...] = ()


class Spec(BaseModel):
    """Everything that determines the answers of a run. Two runs with equal specs give equal tables.

    Attributes
    ----------
    experiment : str
        Name of the experiment in `grace_client.studies`.
    engine : dict
        `EngineInfo` of the engine that answers.
    trials_sha256 : str
        Hash of the trial list.
    questions_sha256 : str
        Hash of all questions and their options: a changed prompt makes another run.
    sample : int or None
        Number of trials drawn from the list; None for all.
    sampling : SamplingSpec or None
        How free text, or the reasoning before a scored answer, is drawn; None if nothing is drawn.
    reasoning : str or None
        ``"on"``, ``"off"`` or ``"off-by-prompt"``; None for a model without a reasoning format that grace
        knows.
    ways : tuple of dict
        The ways of asking, the base first; empty if each question is asked in one way.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiment: str
    engine: dict[str, Any]
    trials_sha256: str
    questions_sha256: str
    sample: int | None = None
    sampling: SamplingSpec | None = None
    reasoning: Reasoning | None = None
    ways: tuple[dict[str, str], ...] = ()

    @field_validator("reasoning", mode="before")
    @classmethod
    def _renamed(cls, value: object) -> object:
        return EARLIER_REASONING.get(value, value) if isinstance(value, str) else value


class Spread(BaseModel):
    """How much repeated scores of the same questions vary, in one unit.

    Attributes
    ----------
    sd : float
        Repeatability standard deviation: root of the mean, over all options of all questions, of the variance
        between repeats.
    median, p95, max : float
        Median, 95th percentile and maximum, over the questions, of the largest difference between two
        repeats in any option.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sd: float
    median: float
    p95: float
    max: float


class NoiseFloor(BaseModel):
    """How much an engine's scores vary if only order and load change.

    Attributes
    ----------
    at : str
        When it was measured, ISO 8601.
    questions, repeats : int
        How many questions were scored again, and how many times. The run's own score is one more repeat.
    failed : int
        Questions of the sample that failed in a repeat. They do not count in `nats` and `points`.
    loads : list of int
        Number of questions in flight, for each repeat.
    seed : int
        Random seed of the sample and of the orders.
    nats : Spread
        Spread of the options' log-probabilities. Options with probability 0 in a repeat do not count.
    points : Spread
        Spread of the normalised probabilities, in percentage points.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    questions: int
    repeats: int
    failed: int
    loads: list[int]
    seed: int
    nats: Spread
    points: Spread


class LlmUse(BaseModel):
    """The language model that read free text.

    Attributes
    ----------
    url, model : str
        URL of the endpoint, and the model's name there.
    prompt_sha256 : str
        Hash of the instructions and schemas.
    texts, failed : int
        Number of different answers that were sent, and of those without a valid reading.
    prompt_tokens, completion_tokens : int
        Number of tokens, as counted by the endpoint.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    model: str
    prompt_sha256: str
    texts: int
    failed: int
    prompt_tokens: int
    completion_tokens: int


class Extraction(BaseModel):
    """How grace wrote the run's structured table.

    Attributes
    ----------
    at : str
        When it was written, ISO 8601.
    grace : str
        Version of grace.
    questions : dict
        For each question: number of answers, number of read ones, categories, values, methods.
    llm : LlmUse or None
        The language model that read answers; None without one.
    human : dict of str to str
        From the file name of each coding sheet to its checksum.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    grace: str = __version__
    questions: dict[str, dict[str, Any]]
    llm: LlmUse | None = None
    human: dict[str, str] = Field(default_factory=dict)


class Session(BaseModel):
    """One process that asked questions.

    Attributes
    ----------
    started : str
        When it began, ISO 8601.
    asked : int
        Number of questions that it asked.
    counters : dict of str to float
        Increase of the engine's counters during the session (`Engine.counters`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    started: str
    asked: int
    counters: dict[str, float] = Field(default_factory=dict)


class Manifest(BaseModel):
    """The file `manifest.json` of a run folder."""

    model_config = ConfigDict(extra="forbid")

    format: int = 1
    grace: str = __version__
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    trials: str
    """Path of the trial list; the run folder has a copy."""
    spec: Spec
    study: dict[str, str] = Field(default_factory=dict)
    """Checksum of the study file and of each file that it names. Runs that are older than study files, all of
    grace's own two studies, have none."""
    results: dict[str, Any] = Field(default_factory=dict)
    """Written at every export: counts, option mass, wall time, checksums."""
    sessions: list[Session] = Field(default_factory=list)
    """Written at the end of every `grace run` that asked questions, unless it was killed."""
    noise: NoiseFloor | None = None
    """Written by `grace noise`."""
    extraction: Extraction | None = None
    """Written by `grace extract`."""

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.spec.engine["model"])

    def check_study(self, folder: Path) -> None:
        """Compare the study file of a run folder, and the files that it names; SpecError if one differs."""
        for name, expected in self.study.items():
            if verify.sha256([folder / name]) != expected:
                raise SpecError(
                    f"{folder / name} is missing or has changed since the run began. Restore it from a copy"
                )

    def check_trials(self, path: Path) -> None:
        """Compare a trial list with the one of the run; SpecError if they differ."""
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            raise SpecError(f"{path} is missing. Restore it from {self.trials}") from None
        if hashlib.sha256(raw).hexdigest() != self.spec.trials_sha256:
            raise SpecError(
                f"{path} has changed since the run began: its checksum differs. Restore it from {self.trials}"
            )

    def save(self, folder: Path) -> None:
        """Replace the folder's manifest. Its last entry is a checksum of all others."""
        entries: dict[str, Any] = json.loads(self.model_dump_json())
        entries[CHECKSUM] = verify.checksum(entries)
        with paths.replacing(folder / layout.MANIFEST) as new:
            new.write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def below(folder: Path) -> list[Path]:
    """The folder itself if it is a run, else all run folders below it. Hidden folders are left out."""
    if (folder / layout.MANIFEST).exists():
        return [folder]
    return sorted(
        found.parent
        for found in folder.rglob(layout.MANIFEST)
        if not any(part.startswith(".") for part in found.relative_to(folder).parts)
    )


def load(folder: Path) -> Manifest:
    """Read a run folder's manifest; SpecError if it is missing, not readable, or changed."""
    file = folder / layout.MANIFEST
    again = "Restore it from a copy, or start the run again in a new folder"
    try:
        return Manifest.model_validate(verify.entries(folder))
    except FileNotFoundError as error:
        if folder.is_symlink() and not folder.exists():
            raise refused(error, folder) from None
        if not os.path.lexists(folder):
            raise SpecError(str(refused(error, folder))) from None
        if runs := below(folder):
            listed = ", ".join(map(str, runs[:SHOWN])) + (", …" if len(runs) > SHOWN else "")
            raise SpecError(
                f"{folder} is not a run folder. It contains {len(runs)} of them: {listed}. Name one"
            ) from None
        raise SpecError(
            f"{folder} is not a run folder: there is no {file.name} in it. Name the folder that you gave to "
            "'grace run' with --out ('ls runs' shows the default folders)"
        ) from None
    except verify.ChangedError:
        raise SpecError(
            f"{file} has changed since grace wrote it: its checksum differs. Restore it from a copy. If you "
            f"changed it yourself, remove its last entry, {CHECKSUM!r}"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SpecError(f"{file} cannot be read: {where}: {first['msg']}. {again}") from None
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{file} cannot be read: it is not JSON ({error}). {again}") from None


def differences(old: Spec, new: Spec) -> list[str]:
    """One line for each value that differs between two specs. Hashes are shortened."""

    def flat(value: Any, name: str = "") -> dict[str, Any]:
        if isinstance(value, dict):
            return {k: v for key, inner in value.items() for k, v in flat(inner, f"{name}.{key}").items()}
        return {name.lstrip("."): value}

    before, after = flat(old.model_dump()), flat(new.model_dump())

    def shown(name: str, value: Any) -> str:
        if name == "ways":
            return f"{len(value) or 'one'}"
        return f"{value[:12]}…" if name.endswith("sha256") and isinstance(value, str) else json.dumps(value)

    return [
        f"{name}: {shown(name, before.get(name))} in the folder, {shown(name, after.get(name))} now"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
