"""Check a study on its trial list before any model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

from grace_client.core.errors import Problem, TrialError
from grace_client.core.options import OptionSet, TokenTrie
from grace_client.core.questions import Prompt, Question
from grace_client.core.trials import TrialList
from grace_client.run import plan
from grace_client.studies.declaration import Experiment

LETTERS_PER_TOKEN = 4
"""Characters of English text in a token of today's models, for an estimate."""


class Tokens(Protocol):
    """The tokenizer and the chat template of a model, without its weights."""

    max_context: int

    @property
    def preamble(self) -> str:
        """The chat template's own text before the first turn."""

    def prompt_ids(self, prompt: Prompt) -> Sequence[int]:
        """Token ids of a prompt as it is sent."""

    def form_ids(self, text: str, prompt_ids: Sequence[int]) -> Sequence[int]:
        """Token ids with which the model writes a form behind a prompt."""

    def shown(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens included."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found of one experiment.

    Attributes
    ----------
    experiment : Experiment
        The experiment.
    trials, questions, distinct : int
        Number of trials, of questions, and of different questions.
    example : tuple of Question
        The questions of the first trial.
    sent : str or None
        The first prompt as the model gets it; None without a tokenizer.
    longest : int
        Length of the longest prompt with its answer: in tokens, or estimated from its characters.
    notes : tuple of str
        What may go wrong.
    """

    experiment: Experiment
    trials: int
    questions: int
    distinct: int
    example: tuple[Question, ...]
    sent: str | None
    longest: int
    notes: tuple[str, ...]


def check(experiment: Experiment, listed: TrialList, tokens: Tokens | None = None) -> Checked:
    """Write every question of every trial, and look at its options and its length.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    listed : TrialList
        Its trial list.
    tokens : Tokens, optional
        The tokenizer of a model. Without it, the token rules are judged from the characters.

    Raises
    ------
    TrialError
        If a question cannot be written, or is too long for the model; with every such trial.
    SpecError
        If the options cannot be scored with this model.
    """
    asked = plan.ask(experiment, listed.trials, listed.path)
    every = [(one.trial, question) for one in asked for question in one.questions]
    distinct = {(question.prompt, question.options): question for _, question in every}
    notes: dict[str, None] = {}
    lengths: dict[Prompt, int] = {}
    ends: dict[Prompt, tuple[int, ...]] = {}
    depths: dict[tuple[OptionSet | None, tuple[int, ...]], int] = {}
    for question in distinct.values():
        prompt, options = _sent(question), question.options
        ids = tokens.prompt_ids(prompt) if tokens else ()
        lengths[prompt] = len(ids) if tokens else _estimated(prompt.text)
        ends[prompt] = tuple(ids[-1:])
        if (options, ends[prompt]) in depths:
            continue
        if options is None:
            depth = 0
        elif tokens is None:
            notes.update(dict.fromkeys(_beginnings(options)))
            depth = max(_estimated(form) for one in options.options for form in one.forms)
        else:
            form_ids = [[list(tokens.form_ids(form, ids)) for form in one.forms] for one in options.options]
            # With the end of the turn behind each form, any set is prefix-free.
            if not options.end_of_turn:
                TokenTrie.build(options, form_ids)
            depth = max(len(ids) for forms in form_ids for ids in forms) + options.end_of_turn
        depths[options, ends[prompt]] = depth
    problems = []
    for trial, question in every:
        prompt = _sent(question)
        answer = depths[question.options, ends[prompt]]
        if tokens is not None and lengths[prompt] + answer > tokens.max_context:
            message = (
                f"the question {question.name!r} needs {lengths[prompt] + answer} tokens, but the model "
                f"takes at most {tokens.max_context}. Shorten the texts"
            )
            problems.append(Problem(trial.line, None, message))
    if problems:
        raise TrialError(listed.path, problems)
    bare = any(not prompt.turns or prompt.turns[0].role != "system" for prompt in lengths)
    if tokens is not None and tokens.preamble and bare:
        notes[
            f"the model's chat template puts its own text before the prompt: {tokens.preamble!r}. "
            "'system: null' in the question switches it off"
        ] = None
    notes |= dict.fromkeys(one_direction(experiment, listed))
    first = asked[0].questions
    return Checked(
        experiment,
        len(asked),
        len(every),
        len(distinct),
        first,
        None if tokens is None else shown(first[0], tokens),
        max(lengths.values()),
        tuple(notes),
    )


def one_direction(experiment: Experiment, listed: TrialList) -> list[str]:
    """A note on each `reverse` that holds for all trials of a list, or for none."""
    held = {
        question: {experiment.reverses(question, trial) for trial in listed.trials}
        for question in experiment.reversed_for
    }
    kinds = {experiment.kinds[question].name: found for question, found in held.items() if len(found) == 1}
    return [
        f"'reverse' of the question {name!r} holds for {'all trials' if True in found else 'no trial'} of "
        f"{listed.path}. If only some are meant, correct the condition, or the list"
        for name, found in kinds.items()
    ]


def shown(question: Question, tokens: Tokens) -> str:
    """The prompt of a question as the model gets it, special tokens included."""
    return tokens.shown(tokens.prompt_ids(_sent(question)))


def _sent(question: Question) -> Prompt:
    """The prompt as a run sends it that does not let the model reason before it scores."""
    return replace(question.prompt, direct=question.options is not None)


def _estimated(text: str) -> int:
    return -(-len(text) // LETTERS_PER_TOKEN)


def _beginnings(options: OptionSet) -> list[str]:
    """A note on a form that begins another one: most tokenizers then give tokens that begin others."""
    if options.end_of_turn:
        return []
    forms = sorted(form for option in options.options for form in option.forms)
    # From the end: there are the forms without a space and a capital letter.
    for short, long in reversed([*pairwise(forms)]):
        if long.startswith(short) and long != short:
            return [
                f"the form {short!r} begins {long!r}. Most models cannot score such options. Give the "
                "options 'end: full stop' or 'end: turn', or check with --model"
            ]
    return []
