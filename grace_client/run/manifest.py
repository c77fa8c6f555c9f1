"""What a run is: everything that determines its answers, and what became of it."""

from __future__ import annotations

import hashlib
import json
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
"""How many run folders a message names."""


class SamplingSpec(BaseModel):
    """How free text is drawn, and reasoning that is scored after.

    Attributes
    ----------
    temperature, max_tokens
        Of every draw; reasoning counts towards the length.
    replicates : int
        Answers to each question of each trial.
    base_seed : int
        Base of all seeds.
    share_answers : bool
        Whether trials that ask the very same share the answers to it. Otherwise each has its own.
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
        Name in the registry.
    engine : dict
        `EngineInfo` of the engine that answers.
    trials_sha256 : str
        Hash of the trial list.
    questions_sha256 : str
        Hash over all questions and their options, so that a changed prompt cannot pass for the same run.
    sample : int or None
        How many trials were drawn from the list; None for all.
    sampling : SamplingSpec or None
        Where something is drawn: free text, or the reasoning before a scored answer.
    reasoning : str or None
        Whether the model reasons: ``"on"``, ``"off"``, ``"off-by-prompt"``; None for a model that shows no
        reasoning format.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiment: str
    engine: dict[str, Any]
    trials_sha256: str
    questions_sha256: str
    sample: int | None = None
    sampling: SamplingSpec | None = None
    reasoning: Reasoning | None = None

    @field_validator("reasoning", mode="before")
    @classmethod
    def _renamed(cls, value: object) -> object:
        return EARLIER_REASONING.get(value, value) if isinstance(value, str) else value


class Spread(BaseModel):
    """How far repeated answers to the same questions lie apart, in one unit.

    Attributes
    ----------
    sd : float
        Repeatability standard deviation: root of the mean, over all options of all questions, of the variance
        between repeats.
    median, p95, max : float
        Over the questions: the largest difference that any two repeats show in any option.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sd: float
    median: float
    p95: float
    max: float


class NoiseFloor(BaseModel):
    """What an engine's answers vary by when nothing but order and load is changed.

    Attributes
    ----------
    at : str
        When it was measured.
    questions, repeats : int
        How many questions were scored again, and how often; the run's own answer is one repeat more.
    failed : int
        Questions drawn that had no answer in some repeat, and are not in the figures.
    loads : list of int
        Questions in flight during each repeat.
    seed : int
        Of the draw and of the orders.
    nats : Spread
        Of the options' log-probabilities. Options that some repeat excludes are not in it.
    points : Spread
        Of the normalised probabilities, in percentage points.
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
        The endpoint, and the model as it is named there.
    prompt_sha256 : str
        Hash over instructions and schemas.
    texts, failed : int
        Different answers that it was asked about in all, and those for which it gave no valid reading.
    prompt_tokens, completion_tokens : int
        As the endpoint counted them, in all.
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
    """How the run's structured table was made.

    Attributes
    ----------
    at : str
        When.
    grace : str
        Version whose rules read it.
    questions : dict
        Per question: answers, how many were read, categories, values, methods.
    llm : LlmUse or None
        None where only rules read.
    human : dict of str to str
        Sheets of hand coding, and their checksums.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    grace: str = __version__
    questions: dict[str, dict[str, Any]]
    llm: LlmUse | None = None
    human: dict[str, str] = Field(default_factory=dict)


class Session(BaseModel):
    """One process that asked for answers, to its end.

    Attributes
    ----------
    started : str
        When.
    asked : int
        Questions that it asked.
    counters : dict of str to float
        What the engine counted meanwhile (`Engine.counters`); what was not counted is not in it.
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
    """Where the trial list came from; the folder holds a copy."""
    spec: Spec
    results: dict[str, Any] = Field(default_factory=dict)
    """Written at every export: counts, option mass, wall time, checksums."""
    sessions: list[Session] = Field(default_factory=list)
    """Written at the end of every `grace run` that asked something; a killed one leaves none."""
    noise: NoiseFloor | None = None
    """Written by `grace noise`."""
    extraction: Extraction | None = None
    """Written by `grace extract`."""

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.spec.engine["model"])

    def check_trials(self, path: Path) -> None:
        """Compare a trial list with the one that the run asked; SpecError where they differ."""
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            raise SpecError(f"{path} is missing; restore it from {self.trials}") from None
        if hashlib.sha256(raw).hexdigest() != self.spec.trials_sha256:
            raise SpecError(
                f"{path} is not the list that the run asked: its checksum differs. Restore it from "
                f"{self.trials}"
            )

    def save(self, folder: Path) -> None:
        """Replace the folder's manifest; its last entry is a checksum over all others."""
        told: dict[str, Any] = json.loads(self.model_dump_json())
        told[CHECKSUM] = verify.checksum(told)
        with paths.replacing(folder / layout.MANIFEST) as new:
            new.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def below(folder: Path) -> list[Path]:
    """The run folders that a folder holds, itself among them; hidden folders are not looked into."""
    if (folder / layout.MANIFEST).exists():
        return [folder]
    return sorted(
        found.parent
        for found in folder.rglob(layout.MANIFEST)
        if not any(part.startswith(".") for part in found.relative_to(folder).parts)
    )


def load(folder: Path) -> Manifest:
    """Read a run folder's manifest; SpecError where there is none, it is not one, or it has changed."""
    file = folder / layout.MANIFEST
    again = "Restore it from a copy, or run into a new folder"
    try:
        return Manifest.model_validate(verify.entries(folder))
    except FileNotFoundError as error:
        if folder.is_symlink() and not folder.exists():
            raise refused(error, folder) from None
        if runs := below(folder):
            listed = ", ".join(map(str, runs[:SHOWN])) + (", …" if len(runs) > SHOWN else "")
            raise SpecError(
                f"{folder} is not a run folder, it holds {len(runs)}: {listed}. Name one of them"
            ) from None
        raise SpecError(
            f"{folder} is not a run folder: it holds no {file.name}. 'grace run' makes one"
        ) from None
    except verify.ChangedError:
        raise SpecError(
            f"{file} has changed since grace wrote it: its checksum differs. Restore it from a copy. If you "
            f"changed it on purpose, remove its last entry, {CHECKSUM!r}"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SpecError(f"{file} cannot be read: {where}: {first['msg']}. {again}") from None
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{file} cannot be read: it is no JSON ({error}). {again}") from None


def differences(old: Spec, new: Spec) -> list[str]:
    """One line per value in which two specs differ."""

    def flat(value: Any, name: str = "") -> dict[str, Any]:
        if isinstance(value, dict):
            return {k: v for key, inner in value.items() for k, v in flat(inner, f"{name}.{key}").items()}
        return {name.lstrip("."): value}

    before, after = flat(old.model_dump()), flat(new.model_dump())
    return [
        f"{name}: {json.dumps(before.get(name))} in the folder, {json.dumps(after.get(name))} now"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
