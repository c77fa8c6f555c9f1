"""The rules that extract structured answers from free text.

Each rule is a grammar of whole sentences. An answer is accepted only if every sentence of the text fits a
known shape. All other texts are ``unparsed``, with a category. docs/explanation/extraction.md explains the
rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from re import Pattern

from grace_client.core.trials import Trial
from grace_client.extraction.reading import HIGH, LOW, MEDIUM, UNPARSED, Reading
from grace_client.extraction.rules import bets, foreign, knowledge, number, utterance
from grace_client.extraction.rules.shapes import Reader, Said, Sentence, sentences, supposes
from grace_client.extraction.text import HEDGE, REFUSAL, Text


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one question.

    Attributes
    ----------
    reader : callable
        Makes, for a trial, the reader of the sentences of its answers.
    vague : callable
        Whether a text that fits no rule is about the question, without a clear answer.
    listed : callable
        Whether a text repeats the list of answers instead of giving one.
    keep : re.Pattern or None
        Sentences of the prompt that can also be answers; see `Text.of`.
    unsure : str
        Structured value of an answer that says that the question cannot be decided.
    """

    reader: Callable[[Trial], Reader]
    vague: Callable[[str], bool]
    listed: Callable[[str], bool] = lambda _: False
    keep: Pattern[str] | None = None
    unsure: str = UNPARSED


RULES = {
    "number": Rules(number.reader, number.vague, keep=number.OBSERVATION),
    "knowledge": Rules(knowledge.reader, knowledge.vague, unsure="unsure"),
    "utterance": Rules(utterance.reader, utterance.vague, utterance.listed, keep=utterance.SENTENCE),
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
        The trial of the question.
    prompt : str
        Text of the prompt. A sentence that only repeats the prompt is not an answer.
    finish_reason : str
        ``"length"`` if the answer was cut off. Then only sentences that end before the cut count.

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
    if word := foreign.read(question, text.plain):
        return Reading(word[0], "answer", confidence=HIGH, span=word[1])
    if text.foreign:
        return Reading(UNPARSED, "other")
    if question == "number":
        if found := bets.find(text.plain):
            return _bets(found)
        if number.numbers_a_list(text.plain):
            return Reading(UNPARSED, "other")
    return _decide(text, rules, rules.reader(trial))


def _bets(found: bets.Bets) -> Reading:
    if found.amounts is None:
        return Reading(UNPARSED, "ambiguous")
    return Reading(UNPARSED, "answer", confidence=HIGH, span=found.span, bets=found.amounts)


def _decide(text: Text, rules: Rules, reader: Reader) -> Reading:
    parts = sentences(text.plain)
    said = [reader.read(part) for part in parts]
    whole = [one if one is None or not one.span or text.finished(one.span[1]) else None for one in said]
    refused = REFUSAL.search(text.plain) is not None
    doubted = refused or HEDGE.search(text.plain) is not None
    if answer := _one_answer(parts, whole, reader, rules.listed(text.plain)):
        own = answer.strength in ("own", "announced")
        if not refused or own:
            return _answer(text, answer, doubted=doubted)
    if refused:
        return Reading(UNPARSED, "refusal")
    unsure = [one for one in said if one and one.kind == "unsure"]
    values = [one for one in said if one and one.kind == "value"]
    unclear = [part for part, one in zip(parts, said, strict=True) if one is None and rules.vague(part.text)]
    if (unsure or doubted) and not values and not (unsure and unclear):
        if rules.unsure == UNPARSED or not unsure:
            return Reading(UNPARSED, "hedge")
        hedge = HEDGE.search(text.plain)
        return Reading(
            rules.unsure, "hedge", confidence=MEDIUM if hedge else LOW, span=hedge.span() if hedge else None
        )
    return Reading(UNPARSED, _category(text, rules, said))


def _category(text: Text, rules: Rules, said: list[Said | None]) -> str:
    reported = [one for one in said if one and one.kind == "reported"]
    if (text.cut or text.unclosed) and not any(one and one.kind == "value" for one in said[:-1]):
        return "truncated"
    if (said and len(reported) == len(said)) or rules.listed(text.plain):
        return "echo"
    if rules.vague(text.plain):
        return "ambiguous"
    return "echo" if text.echoed or reported else "other"


def _one_answer(parts: list[Sentence], said: list[Said | None], reader: Reader, listed: bool) -> Said | None:
    """The answer on which all sentences agree; None if there is none, or a sentence may change it."""
    values = [one for one in said if one and one.kind == "value"]
    if not values:
        return None
    last = said[-1]
    if last and last.kind == "value" and last.strength == "announced":
        # The reasoning before an announced answer may have any form, but must not give another answer.
        earlier = [one for one in values if one.strength in ("bare", "announced")]
        agree = all(one.value == last.value for one in earlier) and not any(map(supposes, parts))
        if listed or agree:
            return last
    first = next((one for one in values if not one.weak), values[0])
    if all(_is_neutral(part, one, first, reader) for part, one in zip(parts, said, strict=True)):
        return first
    return None


def _is_neutral(part: Sentence, said: Said | None, answer: Said, reader: Reader) -> bool:
    """Whether one sentence leaves the answer of another unchanged."""
    if said is None:
        return not answer.weak and reader.is_neutral(part, answer.value)
    if said.kind == "value":
        return said.value == answer.value
    if said.kind == "denied":
        return said.value != answer.value
    return not answer.weak


def _answer(text: Text, answer: Said, *, doubted: bool) -> Reading:
    assert answer.span is not None
    start, end = answer.span
    rest = text.plain[:start] + text.plain[end:]
    alone = not any(char.isalnum() for char in rest)
    sure = alone or answer.strength == "announced"
    level = LOW if doubted or answer.soft else HIGH if sure else MEDIUM
    return Reading(answer.value, "answer", confidence=level, span=answer.span)
