"""The rules: what a person would read at a glance, and nothing else.

Every rule is anchored: it takes an answer only where it stands as one, not wherever its words occur. What is
left is ``unparsed``, with its category. docs/extraction.md has the rules in words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from re import Pattern

from grace_client.extraction.reading import (
    HIGH,
    LOW,
    MEDIUM,
    UNPARSED,
    Claim,
    Found,
    Reading,
)
from grace_client.extraction.rules import study1, study2
from grace_client.extraction.text import HEDGE, REFUSAL, Text
from grace_client.trials import Trial


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one question.

    Attributes
    ----------
    find : callable
        From a prepared text and its trial to what it says.
    keep : re.Pattern or None
        Sentences of the prompt that may be answers; see `Text.of`.
    unsure : str
        Structured value of an answer that says that it cannot be decided.
    """

    find: Callable[[Text, Trial], Found]
    keep: Pattern[str] | None = None
    unsure: str = UNPARSED


RULES = {
    "number": Rules(study1.number, keep=study1.OBSERVATION),
    "knowledge": Rules(study1.knowledge, unsure="unsure"),
    "utterance": Rules(study2.utterance, keep=study2.SENTENCE),
}
"""Rules by the name of the question."""


def read(
    question: str, response: str | None, trial: Trial, *, prompt: str = "", finish_reason: str = "stop"
) -> Reading:
    """Read one answer by the rules.

    Parameters
    ----------
    question : str
        Name of the question, a key of `RULES`.
    response : str or None
        The answer; None counts as empty.
    trial : Trial
        The trial that was asked about.
    prompt : str
        What was asked: sentences that the answer only repeats are no answer.
    finish_reason : str
        ``"length"`` where the answer was cut off: then only what ends before the cut counts.

    Returns
    -------
    Reading

    Examples
    --------
    >>> from grace_client import stimuli
    >>> trial = stimuli.default("study1").trials[0]
    >>> read("number", "I think that two of them do.", trial).structured
    '2'
    >>> reading = read("number", "I don't know.", trial)
    >>> reading.structured, reading.category
    ('unparsed', 'hedge')
    """
    rules, cut = RULES[question], finish_reason == "length"
    if response is None or not response.strip():
        return Reading(UNPARSED, "empty")
    text = Text.of(response, prompt, cut=cut, keep=rules.keep)
    if not text.said:
        return Reading(UNPARSED, "truncated" if text.unclosed else "echo" if text.echoed else "other")
    if text.foreign:
        return Reading(UNPARSED, "other")
    found = rules.find(text, trial)
    return _decide(text, found, rules)


def _decide(text: Text, found: Found, rules: Rules) -> Reading:
    refused, hedge = REFUSAL.search(text.plain), HEDGE.search(text.plain)
    doubted = refused is not None or hedge is not None or found.hedged
    whole = [claim for claim in found.claims if text.finished(claim.end)]
    claims = [claim for claim in whole if claim.announced] or whole
    values = {claim.value for claim in claims}
    settled = bool(claims) and claims[0].announced
    if found.bets is not None and not values:
        return Reading(UNPARSED, "answer", confidence=HIGH, span=found.bets_span, bets=found.bets)
    clear = len(values) == 1 and (settled or not found.conflict)
    if clear and (settled or not doubted or any(claim.own for claim in claims)):
        reading = _answer(text, claims, doubted=doubted or all(claim.soft for claim in claims))
        return replace(reading, bets=found.bets)
    if refused:
        return Reading(UNPARSED, "refusal")
    if doubted:
        span = hedge.span() if hedge else None
        level = (MEDIUM if span else LOW) if rules.unsure != UNPARSED else None
        return Reading(rules.unsure, "hedge", confidence=level, span=span if level else None)
    if claims or found.conflict or found.vague:
        return Reading(UNPARSED, "ambiguous")
    if text.cut or text.unclosed:
        return Reading(UNPARSED, "truncated")
    return Reading(UNPARSED, "echo" if text.echoed or found.reported else "other")


def _answer(text: Text, claims: list[Claim], *, doubted: bool) -> Reading:
    first = claims[0]
    rest = text.plain[: first.start] + text.plain[first.end :]
    alone = not any(char.isalnum() for char in rest)
    level = LOW if doubted else HIGH if alone or first.announced else MEDIUM
    return Reading(first.value, "answer", confidence=level, span=(first.start, first.end))
