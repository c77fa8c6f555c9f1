"""The load of experiments on a server: distinct questions, and an estimate of their tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from grace_client.campaign.estimate import Assumptions, Load

if TYPE_CHECKING:
    from grace_client.core.options import OptionSet
    from grace_client.core.trials import TrialList
    from grace_client.studies.declaration import Study

_PIECES = re.compile(r"\d|[^\W\d]{1,4}|\W")


def loads(values: Mapping[str, Any], assumptions: Assumptions) -> list[Load]:
    """The load of every enabled experiment.

    Parameters
    ----------
    values : mapping
        All values of the chart. A trial list on the input claim cannot be read here: grace's own list counts
        instead.
    assumptions : Assumptions
        Among others, the number of characters in a token.
    """
    experiments = values["queries"]["experiments"]
    return [
        _load(name, own, str(values["queries"]["trials"].get(name.partition("-")[0]) or ""), assumptions)
        for name, own in experiments.items()
        if own.get("enabled")
    ]


def _load(name: str, own: Mapping[str, Any], text: str, assumptions: Assumptions) -> Load:
    from grace_client import studies
    from grace_client.run import plan

    experiment = studies.experiment(name)
    drawn = plan.sample(_list(experiment.study, text), own.get("sample") or None)
    questions = [question for trial in drawn for question in experiment.questions(trial)]
    if experiment.scored:
        distinct = {(question.prompt.text, question.options) for question in questions}
        tokens = sum(
            _tokens(prompt, assumptions) + (_inner_nodes(options) - 1) * assumptions.block_size // 2
            for prompt, options in distinct
            if options is not None
        )
        return Load(name, len(distinct), tokens, 0)
    # Every answer has its own seed, so all questions are distinct.
    replicates, longest = int(own["replicates"]), int(own["maxTokens"])
    tokens = replicates * sum(_tokens(question.prompt.text, assumptions) for question in questions)
    return Load(name, replicates * len(questions), tokens, replicates * len(questions) * longest)


@lru_cache
def _list(study: Study, text: str) -> TrialList:
    from grace_client.core import trials
    from grace_client.studies import lists

    if not text:
        return lists.default(study)
    return trials.parse(text.encode(), path=f"queries.trials.{study.name}", schemas=[study.schema])


def _tokens(prompt: str, assumptions: Assumptions) -> int:
    return math.ceil(len(prompt) / assumptions.characters_per_token)


@lru_cache
def _inner_nodes(options: OptionSet) -> int:
    """Inner nodes of the options' trie, if each digit, each sign and each four letters are one token."""
    forms = [_PIECES.findall(form) for option in options.options for form in option.forms]
    return len({tuple(form[:depth]) for form in forms for depth in range(len(form))})
