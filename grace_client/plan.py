"""What a run asks: every question of every trial, equal ones once."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from grace_client.ledger import key_of
from grace_client.manifest import Manifest, Spec
from grace_client.options import OptionSet
from grace_client.questions import Question, Sampling
from grace_client.studies.base import Experiment
from grace_client.trials import Trial, TrialList


@dataclass(frozen=True, slots=True)
class Item:
    """One question of one trial, once per replicate.

    Attributes
    ----------
    trial : Trial
        Whose question it is.
    question : Question
        What is asked.
    replicate : int or None
        Counted from 1 for free text; None where the question is scored.
    sampling : Sampling or None
        For free text.
    key : str
        Equal for questions that must have equal answers.
    """

    trial: Trial
    question: Question
    replicate: int | None
    sampling: Sampling | None
    key: str


@dataclass(frozen=True)
class Plan:
    """Everything that a run asks, made anew from the spec whenever it is needed.

    Parameters
    ----------
    experiment : Experiment
        What is asked of each trial.
    trials : tuple of Trial
        The trials asked, in the order of the list.
    spec : Spec
        Of the run.
    """

    experiment: Experiment
    trials: tuple[Trial, ...]
    spec: Spec

    @classmethod
    def of(cls, experiment: Experiment, trials: TrialList, manifest: Manifest) -> Plan:
        """The plan of a run folder."""
        return cls(experiment, sample(trials, manifest.spec.sample), manifest.spec)

    def items(self) -> Iterator[Item]:
        """Every item, in the order of the tables."""
        sampling, engine = self.spec.sampling, key_of(self.spec.engine)
        for trial in self.trials:
            for question in self.experiment.questions(trial):
                if sampling is None:
                    key = key_of(engine, question.prompt.text, _options(question.options))
                    yield Item(trial, question, None, None, key)
                    continue
                for replicate in range(1, sampling.replicates + 1):
                    draw = Sampling(
                        temperature=sampling.temperature,
                        max_tokens=sampling.max_tokens,
                        seed=seed_of(
                            sampling.base_seed, self.experiment.name, trial.trial_id, question.name, replicate
                        ),
                    )
                    drawn = (draw.temperature, draw.max_tokens, draw.seed)
                    yield Item(trial, question, replicate, draw, key_of(engine, question.prompt.text, drawn))

    def distinct(self) -> Iterator[Item]:
        """The items to ask: the first of every key."""
        seen: set[bytes] = set()
        for item in self.items():
            raw = bytes.fromhex(item.key)
            if raw not in seen:
                seen.add(raw)
                yield item

    @cached_property
    def size(self) -> tuple[int, int]:
        """Number of items and of distinct ones."""
        keys = [bytes.fromhex(item.key) for item in self.items()]
        return len(keys), len(set(keys))


def sample(trials: TrialList, count: int | None) -> tuple[Trial, ...]:
    """All trials, or `count` of them drawn at random, the same ones every time, in list order."""
    if count is None or count >= len(trials.trials):
        return trials.trials
    return tuple(
        sorted(random.Random(trials.sha256).sample(trials.trials, count), key=lambda trial: trial.trial_id)
    )


def seed_of(base: int, experiment: str, trial_id: int, question: str, replicate: int) -> int:
    """Seed of one free-text answer, between 0 and 2**31 - 1.

    Every answer of a study has its own, and the same one in every run with the same base seed.
    """
    text = f"{base}\0{experiment}\0{trial_id}\0{question}\0{replicate}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def questions_sha256(experiment: Experiment, trials: tuple[Trial, ...]) -> str:
    """Hash over all questions of a run and their options."""
    digest = hashlib.sha256()
    for trial in trials:
        for question in experiment.questions(trial):
            parts = (trial.trial_id, question.name, question.prompt.text, _options(question.options))
            digest.update(key_of(*parts).encode())
    return digest.hexdigest()


@lru_cache
def _options(options: OptionSet | None) -> str | None:
    """Hash of an option set; a study has a handful of them."""
    if options is None:
        return None
    return key_of([[option.name, *option.forms] for option in options.options], options.end_of_turn)
