"""The questions of a run: every question of every trial. Equal questions are asked once."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import product
from typing import NamedTuple

from grace_client.core.errors import Problem, TrialError
from grace_client.core.options import OptionSet
from grace_client.core.questions import AT_ONCE, Prompt, Question, Sampling
from grace_client.core.reasoning import EARLIER_REASONING
from grace_client.core.trials import Trial, TrialList
from grace_client.run.ledger import key_of
from grace_client.run.manifest import Spec
from grace_client.studies.declaration import Experiment
from grace_client.studies.ways import Way


@dataclass(frozen=True, slots=True)
class Item:
    """One question of one trial, once per replicate.

    Attributes
    ----------
    trial : Trial
        The trial.
    way : mapping of str to str
        The way of asking; empty if the run has only one.
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
    way: Way
    question: Question
    replicate: int | None
    sampling: Sampling | None
    key: str


class Asked(NamedTuple):
    """The experiment's questions about a trial, in one way of asking."""

    trial: Trial
    way: Way
    questions: tuple[Question, ...]


ONE_WAY: tuple[Way, ...] = ({},)
"""A run without a design: each question is asked as the study file declares it."""


def ask(
    experiment: Experiment, trials: Iterable[Trial], path: str, ways: Sequence[Way] = ONE_WAY
) -> tuple[Asked, ...]:
    """All questions of these trials, as the experiment declares them.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    trials : iterable of Trial
        The trials.
    path : str
        Name of their list in messages.
    ways : sequence of mapping
        The ways of asking.

    Returns
    -------
    tuple of Asked
        All trials in the order of the list in the first way, then in the next.

    Raises
    ------
    TrialError
        If a question cannot be written from a trial; with every such trial.
    """
    asked: list[Asked] = []
    problems: dict[Problem, None] = {}
    for way, trial in product(ways, tuple(trials)):
        try:
            asked.append(Asked(trial, way, experiment.questions(trial, way)))
        except TrialError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise TrialError(path, list(problems))
    return tuple(asked)


@dataclass(frozen=True)
class Plan:
    """All items of a run. It is computed from the spec each time a run folder is opened.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    asked : tuple of Asked
        The trials and their questions, in every way of asking.
    spec : Spec
        The spec of the run.
    """

    experiment: Experiment
    asked: tuple[Asked, ...]
    spec: Spec

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """The trials of the run, in the order of the list."""
        return tuple({one.trial.trial_id: one.trial for one in self.asked}.values())

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """Every item, in the order of the tables."""
        return tuple(self._items())

    @cached_property
    def distinct(self) -> tuple[Item, ...]:
        """The items to ask: the first one of every key. In several ways, equal beginnings stand together."""
        first: dict[str, Item] = {}
        for item in self.items:
            first.setdefault(item.key, item)
        if self.spec.ways:
            # An engine computes what two prompts begin with once, if it meets them soon after each other.
            return tuple(sorted(first.values(), key=lambda item: beginning(item.question.prompt)))
        return tuple(first.values())

    @property
    def one_way(self) -> tuple[Item, ...]:
        """The items to ask if each question is asked in the base way alone."""
        base = next(iter(self.spec.ways), {})
        return tuple({item.key: item for item in self.items if item.way == base}.values())

    def _items(self) -> Iterator[Item]:
        sampling, engine, seeds = self.spec.sampling, key_of(self.spec.engine), Seeds()
        # The names of earlier versions, so that the answers of earlier runs keep their keys.
        declared = tuple(old for old, new in EARLIER_REASONING.items() if new == self.spec.reasoning)
        for trial, way, questions in self.asked:
            for asked in questions:
                question = replace(asked, prompt=self._prompt(asked.prompt))
                options = () if question.options is None else (_options(question.options),)
                sent = _sent(question.prompt)
                if sampling is None:
                    key = key_of(engine, *sent, *options, *declared)
                    yield Item(trial, way, question, None, None, key)
                    continue
                owner = question.prompt.text if sampling.share_answers else trial.trial_id
                for replicate in range(1, sampling.replicates + 1):
                    seed = seeds.of(sampling.base_seed, self.experiment.name, owner, question.name, replicate)
                    draw = Sampling(sampling.temperature, sampling.max_tokens, seed, sampling.stop)
                    stop = (draw.stop,) if draw.stop else ()
                    drawn = (draw.temperature, draw.max_tokens, draw.seed, *stop)
                    key = key_of(engine, *sent, *options, drawn, *declared)
                    yield Item(trial, way, question, None if options else replicate, draw, key)

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


def questions_sha256(asked: Iterable[Asked]) -> str:
    """Hash of all questions of a run and their options."""
    digest = hashlib.sha256()
    for one in asked:
        for question in one.questions:
            parts = (one.trial.trial_id, question.name, *_sent(question.prompt), _options(question.options))
            digest.update(key_of(*parts).encode())
    return digest.hexdigest()


def _sent(prompt: Prompt) -> tuple[object, ...]:
    """What of a prompt determines the answer.

    One turn of the user in the chat template adds nothing to the text, so that the answers of earlier runs
    keep their keys.
    """
    turns = ([[turn.role, turn.text] for turn in prompt.turns],) if prompt.turns else ()
    return (prompt.text, *turns, *(("plain",) if prompt.plain else ()))


def beginning(prompt: Prompt) -> tuple[bool, list[tuple[str, str]]]:
    """Sorts prompts so that equal beginnings stand together."""
    return prompt.plain, [(message["role"], message["content"]) for message in prompt.messages]


@lru_cache
def _options(options: OptionSet | None) -> str | None:
    """Hash of an option set; None without options. It is cached: a study has few option sets."""
    if options is None:
        return None
    return key_of([[option.name, *option.forms] for option in options.options], options.end_of_turn)
