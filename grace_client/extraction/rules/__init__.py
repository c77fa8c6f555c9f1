"""The rules that extract structured answers from free text.

A grammar knows whole sentences about one subject. Without one, the rules know the words for the values, and
shapes of sentences around them. An answer is accepted only if every sentence of the text fits a known shape.
All other texts are ``unparsed``, with a category. docs/explanation/extraction.md explains the rules.
"""

from __future__ import annotations

from dataclasses import replace

from grace_client.core.errors import SpecError
from grace_client.core.trials import Trial
from grace_client.extraction.reading import HIGH, LOW, MEDIUM, UNPARSED, UNSURE, Reading
from grace_client.extraction.rules import (
    bets,
    foreign,
    general,
    knowledge,
    mentions,
    number,
    pattern,
    quantities,
    utterance,
)
from grace_client.extraction.rules.shapes import Reader, Rules, Said, Sentence, sentences, supposes
from grace_client.extraction.text import HEDGE, REFUSAL, Text
from grace_client.studies._syntax.patterns import PatternError
from grace_client.studies.declaration import Kind

_KEEP = {"how-many": number.OBSERVATION, "it-was": utterance.SENTENCE}


def read(
    kind: Kind, response: str | None, trial: Trial, *, prompt: str = "", finish_reason: str = "stop"
) -> Reading:
    """Read one answer by the rules that the study declares for its question.

    Parameters
    ----------
    kind : Kind
        The question's kind.
    response : str or None
        The answer; None counts as empty.
    trial : Trial
        The trial of the question.
    prompt : str
        What the user asks (`Prompt.asked`). A sentence that only repeats it is not an answer.
    finish_reason : str
        ``"length"`` if the answer was cut off. Then only sentences that end before the cut count.

    Returns
    -------
    Reading

    Raises
    ------
    SpecError
        If what the study declares does not fit the trial.

    Examples
    --------
    >>> from grace_client import studies
    >>> from grace_client.studies import lists
    >>> trial = lists.default(studies.named("study1")).trials[0]
    >>> number = studies.experiment("study1-exp1").kinds["number"]
    >>> read(number, "I think that two of them do.", trial).structured
    '2'
    >>> reading = read(number, "I don't know.", trial)
    >>> reading.structured, reading.category
    ('unparsed', 'hedge')
    """
    declared = kind.read
    assert declared is not None
    if response is None or not response.strip():
        return Reading(UNPARSED, "empty")
    words = _words(kind, trial)
    keep = words.keep if words else _KEEP.get(declared.rules or "")
    text = Text.of(response, prompt, cut=finish_reason == "length", keep=keep)
    if not text.said:
        return Reading(UNPARSED, "truncated" if text.unclosed else "echo" if text.echoed else "other")
    if declared.pattern is not None:
        try:
            return pattern.read(text, declared)
        except PatternError as error:
            raise SpecError(f"Trial {trial.trial_id}, question {kind.name!r}: {error}") from None
    known = foreign.YES_NO if declared.yes_no else foreign.COUNT if declared.rules == "how-many" else {}
    if word := foreign.read(known, text.plain):
        return Reading(word[0], "answer", confidence=HIGH, span=word[1])
    if declared.rules is None:
        found = _mentions(kind, words, text.plain)
        text = replace(text, plain=found.plain)
    if text.foreign:
        return Reading(UNPARSED, "other")
    if declared.rules == "how-many" and (bet := bets.find(text.plain)):
        return _bets(bet)
    if declared.number is not None and number.numbers_a_list(text.plain):
        return Reading(UNPARSED, "other")
    return _decide(text, _grammar(kind, trial) if declared.rules else _general(kind, found))


def _words(kind: Kind, trial: Trial) -> mentions.Words | None:
    """The words for the values of a question without a grammar; None if there are only the usual ones."""
    read, choices = kind.read, kind.choices
    assert read is not None
    if read.rules is not None or read.pattern is not None:
        return None
    pairs = [(other, value) for value, others in read.synonyms.items() for other in others]
    if choices is not None:
        try:
            options = choices.options(trial.variables).options
        except SpecError as error:
            raise SpecError(f"Trial {trial.trial_id}, question {kind.name!r}: {error}") from None
        pairs += [(form, option.name) for option in options for form in option.forms]
        if not choices.declared.columns:
            pairs += [(name, name) for name in choices.names]
    return mentions.words(tuple(pairs)) if pairs else None


def _mentions(kind: Kind, words: mentions.Words | None, plain: str) -> mentions.Mentions:
    found = mentions.unmarked(plain)
    if words:
        found = found.and_of(words.find(found.plain))
    if kind.read and kind.read.number:
        found = found.and_of(quantities.find(found.plain, *kind.read.number))
    return found


def _general(kind: Kind, found: mentions.Mentions) -> Rules:
    assert kind.read is not None
    return general.rules(
        found,
        yes_no=kind.read.yes_no,
        number=kind.read.number is not None,
        options=len(kind.choices.names) if kind.choices else 0,
        unsure=UNSURE if kind.read.unsure else UNPARSED,
    )


def _grammar(kind: Kind, trial: Trial) -> Rules:
    assert kind.read is not None
    about = {name: kind.render(source, trial) for name, source in kind.read.about.items()}
    unsure = UNSURE if kind.read.unsure else UNPARSED
    match kind.read.rules:
        case "how-many":
            return Rules(number.Number(**about), number.vague, unsure=unsure)
        case "knows":
            return Rules(knowledge.Knowledge(**about), knowledge.vague, unsure=unsure)
    return Rules(utterance.Utterance(**about), utterance.vague, utterance.listed, unsure=unsure)


def _bets(found: bets.Bets) -> Reading:
    if found.amounts is None:
        return Reading(UNPARSED, "ambiguous")
    return Reading(UNPARSED, "answer", confidence=HIGH, span=found.span, bets=found.amounts)


def _decide(text: Text, rules: Rules) -> Reading:
    reader = rules.reader
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
