"""The questions of a run: every question of every trial. Equal questions are asked once."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from grace_client.core.errors import Problem, TrialError
from grace_client.core.options import OptionSet
from grace_client.core.questions import AT_ONCE, Prompt, Question, Sampling
from grace_client.core.reasoning import EARLIER_REASONING
from grace_client.core.trials import Trial, TrialList
from grace_client.run.ledger import key_of
from grace_client.run.manifest import Spec
from grace_client.studies.declaration import Experiment


@dataclass(frozen=True, slots=True)
class Item:
    """One question of one trial, once per replicate.

    Attributes
    ----------
    trial : Trial
        The trial.
    question : Question
        The question, with its prompt as this run sends it.
    replicate : int or None
        Number of the free-text answer, from 1; None if the question is scored.
    sampling : Sampling or None
        How to draw free text, or the reasoning before a scored answer; None if nothing is drawn.
    key : str
        Hash of everything that determines the answer. Items with the same key have the same answer.
    """

    trial: Trial
    question: Question
    replicate: int | None
    sampling: Sampling | None
    key: str


Asked = tuple[tuple[Trial, tuple[Question, ...]], ...]
"""Trials in the order of the list, each with the experiment's questions."""


def ask(experiment: Experiment, trials: Iterable[Trial], path: str) -> Asked:
    """All questions of these trials, as the experiment declares them.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    trials : iterable of Trial
        The trials.
    path : str
        Name of their list in messages.

    Raises
    ------
    TrialError
        If a question cannot be written from a trial; with every such trial.
    """
    asked: list[tuple[Trial, tuple[Question, ...]]] = []
    problems: list[Problem] = []
    for trial in trials:
        try:
            asked.append((trial, experiment.questions(trial)))
        except TrialError as error:
            problems += error.problems
    if problems:
        raise TrialError(path, problems)
    return tuple(asked)


@dataclass(frozen=True)
class Plan:
    """All items of a run. It is computed from the spec each time a run folder is opened.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    asked : Asked
        The trials and their questions.
    spec : Spec
        The spec of the run.
    """

    experiment: Experiment
    asked: Asked
    spec: Spec

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """The trials of the run, in the order of the list."""
        return tuple(trial for trial, _ in self.asked)

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """Every item, in the order of the tables."""
        return tuple(self._items())

    @cached_property
    def distinct(self) -> tuple[Item, ...]:
        """The items to ask: the first one of every key."""
        first: dict[str, Item] = {}
        for item in self.items:
            first.setdefault(item.key, item)
        return tuple(first.values())

    def _items(self) -> Iterator[Item]:
        sampling, engine, seeds = self.spec.sampling, key_of(self.spec.engine), Seeds()
        # The names of earlier versions, so that the answers of earlier runs keep their keys.
        declared = tuple(old for old, new in EARLIER_REASONING.items() if new == self.spec.reasoning)
        for trial, questions in self.asked:
            for asked in questions:
                question = replace(asked, prompt=self._prompt(asked.prompt))
                options = () if question.options is None else (_options(question.options),)
                # One turn of the user adds nothing, so that the answers of earlier runs keep their keys.
                turns = (_turns(question.prompt),) if question.prompt.turns else ()
                if sampling is None:
                    key = key_of(engine, question.prompt.text, *turns, *options, *declared)
                    yield Item(trial, question, None, None, key)
                    continue
                owner = question.prompt.text if sampling.share_answers else trial.trial_id
                for replicate in range(1, sampling.replicates + 1):
                    seed = seeds.of(sampling.base_seed, self.experiment.name, owner, question.name, replicate)
                    draw = Sampling(sampling.temperature, sampling.max_tokens, seed, sampling.stop)
                    stop = (draw.stop,) if draw.stop else ()
                    drawn = (draw.temperature, draw.max_tokens, draw.seed, *stop)
                    key = key_of(engine, question.prompt.text, *turns, *options, drawn, *declared)
                    yield Item(trial, question, None if options else replicate, draw, key)

    def _prompt(self, prompt: Prompt) -> Prompt:
        """A prompt as this run sends it."""
        reasoning = self.spec.reasoning
        if reasoning == "off-by-prompt":
            prompt = prompt.before(f"{AT_ONCE}\n\n")
        scored_at_once = self.experiment.scored and reasoning != "on"
        return replace(prompt, direct=scored_at_once or reasoning == "off")


def sample(trials: TrialList, count: int | None) -> tuple[Trial, ...]:
    """All trials, or a random sample of `count`: always the same ones, in the order of the list."""
    if count is None or count >= len(trials.trials):
        return trials.trials
    return tuple(
        sorted(random.Random(trials.sha256).sample(trials.trials, count), key=lambda trial: trial.trial_id)
    )


@dataclass
class Seeds:
    """The seeds of a run's answers. The same base seed gives the same seeds.

    A seed has 31 bits, so that two answers could get the same one: among the 48,480 answers of Study 2 with
    20 replicates, 0.5 pairs on average. Two equal questions with the same seed would be one answer counted
    twice. So a seed that another answer has is replaced by a new one.
    """

    _by_answer: dict[tuple[int, str, int | str, str, int], int] = field(default_factory=dict)
    _taken: set[int] = field(default_factory=set)

    def of(self, base: int, experiment: str, owner: int | str, question: str, replicate: int) -> int:
        """Seed of one answer, between 0 and 2**31 - 1.

        Parameters
        ----------
        base : int
            Base seed of the run.
        experiment, question : str
            Names of the experiment and the question.
        owner : int or str
            The trial's id; the text of the prompt if trials share their answers.
        replicate : int
            Number of the answer, from 1.
        """
        answer = (base, experiment, owner, question, replicate)
        if (seed := self._by_answer.get(answer)) is None:
            again, seed = 0, seed_of(*answer)
            while seed in self._taken:
                seed = seed_of(*answer, again := again + 1)
            self._by_answer[answer] = seed
            self._taken.add(seed)
        return seed


def seed_of(
    base: int, experiment: str, owner: int | str, question: str, replicate: int, again: int = 0
) -> int:
    """A seed between 0 and 2**31 - 1: a hash of all arguments. `again` counts the replacements."""
    parts = (base, experiment, owner, question, replicate, *((again,) if again else ()))
    text = "\0".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def questions_sha256(asked: Asked) -> str:
    """Hash of all questions of a run and their options."""
    digest = hashlib.sha256()
    for trial, questions in asked:
        for question in questions:
            prompt = question.prompt
            turns = (_turns(prompt),) if prompt.turns else ()
            parts = (trial.trial_id, question.name, prompt.text, *turns, _options(question.options))
            digest.update(key_of(*parts).encode())
    return digest.hexdigest()


def _turns(prompt: Prompt) -> list[list[str]]:
    return [[turn.role, turn.text] for turn in prompt.turns]


@lru_cache
def _options(options: OptionSet | None) -> str | None:
    """Hash of an option set; None without options. It is cached: a study has few option sets."""
    if options is None:
        return None
    return key_of([[option.name, *option.forms] for option in options.options], options.end_of_turn)
