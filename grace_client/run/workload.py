"""The work of an experiment for a server: its questions, and an estimate of their tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any

from grace_client.core.options import OptionSet
from grace_client.core.questions import Prompt
from grace_client.core.trials import TrialList
from grace_client.run import plan
from grace_client.run.folder import THINKING_TOKENS
from grace_client.run.manifest import SamplingSpec
from grace_client.studies.declaration import Experiment

_PIECES = re.compile(r"\d|[^\W\d]{1,4}|\W")


@dataclass(frozen=True, slots=True)
class Workload:
    """The work of one experiment.

    Attributes
    ----------
    questions : int
        Distinct questions.
    prompt_tokens, answer_tokens : int
        Tokens to compute for prompts, and the largest number of tokens to generate.
    """

    questions: int
    prompt_tokens: int
    answer_tokens: int


def count(
    experiment: Experiment,
    trials: TrialList,
    *,
    sample: int | None = None,
    ways: str = "",
    sampling: Mapping[str, Any] | None = None,
    thinks: bool = False,
    characters_per_token: float,
    block_size: int,
) -> Workload:
    """Count the questions of an experiment and estimate their tokens.

    Parameters
    ----------
    experiment, trials
        The experiment, and its trial list.
    sample : int, optional
        Number of trials to ask; default: all.
    ways : str
        Design of ways of asking a scored experiment; empty for one way. Of their prompts, only what differs
        from the prompt before is counted.
    sampling : mapping, optional
        Some fields of a `SamplingSpec`; the others are as the study says.
    thinks : bool
        Whether the model reasons before it answers in free text.
    characters_per_token : float
        Average number of characters in a token of a prompt.
    block_size : int
        Tokens of a prefix block. Each further inner node of a trie costs half a block.
    """
    asked_in = experiment.design(ways) if ways else plan.ONE_WAY
    asked = plan.ask(experiment, plan.sample(trials, sample), trials.path, asked_in)
    questions = [one for of in asked for one in of.questions]

    def tokens(prompt: str) -> int:
        return math.ceil(len(prompt) / characters_per_token)

    if experiment.scored:
        distinct = {(one.prompt, one.options): one for one in questions}
        texts = sum(tokens(prompt.text) for prompt, _ in distinct)
        if ways:
            texts = math.ceil(
                characters(sorted((prompt for prompt, _ in distinct), key=plan.beginning))
                / characters_per_token
            )
        tries = sum((_inner_nodes(o) - 1) * block_size // 2 for _, o in distinct if o is not None)
        return Workload(len(distinct), texts + tries, 0)
    room = {"max_tokens": THINKING_TOKENS} if thinks else {}
    declared = experiment.file.sampling.model_dump(exclude_none=True)
    drawn = SamplingSpec.model_validate(room | declared | dict(sampling or {}))
    # Every answer has its own seed, so all questions are distinct.
    answers = drawn.replicates * len(questions)
    prompts = drawn.replicates * sum(tokens(one.prompt.text) for one in questions)
    return Workload(answers, prompts, answers * drawn.max_tokens)


def characters(prompts: Sequence[Prompt]) -> int:
    """Characters of prompts, without the beginning that each shares with the one before it."""
    total, before = 0, ""
    for prompt in prompts:
        text = "".join(message["content"] for message in prompt.messages)
        pairs = zip(before, text, strict=False)
        total += len(text) - sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        before = text
    return total


@lru_cache
def _inner_nodes(options: OptionSet) -> int:
    """Inner nodes of the options' trie, if each digit, each sign and each four letters are one token."""
    forms = [_PIECES.findall(form) for option in options.options for form in option.forms]
    return len({tuple(form[:depth]) for form in forms for depth in range(len(form))})
