"""Read what a study's own pattern finds in an answer."""

from __future__ import annotations

import re

from grace_client.extraction.reading import HIGH, LOW, MEDIUM, UNPARSED, UNSURE, Reading
from grace_client.extraction.text import HEDGE, REFUSAL, SENTENCES, Text, spelled
from grace_client.studies import format as formats
from grace_client.studies._syntax.patterns import place

_BUT = re.compile(r"\bbut\b")


def read(text: Text, declared: formats.Read) -> Reading:
    """The reading of a prepared answer.

    Raises
    ------
    PatternError
        If the pattern takes too long.
    """
    assert declared.pattern is not None
    if REFUSAL.search(text.plain):
        return Reading(UNPARSED, "refusal")
    written, doubted = _without_hedges(text)
    span = place(declared.pattern, written, "value")
    value = written[slice(*span)].strip() if span else ""
    if span and value and text.finished(span[1]):
        start = span[0] + written[slice(*span)].index(value)
        rest = text.plain[:start] + text.plain[start + len(value) :]
        alone = not any(char.isalnum() for char in rest)
        level = LOW if doubted else HIGH if alone else MEDIUM
        named = _named(value, declared)
        return Reading(named, "answer", confidence=level, span=(start, start + len(value)))
    if doubted:
        return Reading(UNSURE, "hedge", confidence=MEDIUM) if declared.unsure else Reading(UNPARSED, "hedge")
    if text.cut or text.unclosed:
        return Reading(UNPARSED, "truncated")
    return Reading(UNPARSED, "echo" if text.echoed else "other")


def _without_hedges(text: Text) -> tuple[str, bool]:
    """The answer with blanks instead of sentences that say that nobody knows, up to their "but"."""
    written, doubted = text.as_written, False
    for sentence in SENTENCES.finditer(text.plain):
        if hedge := HEDGE.search(sentence[0]):
            doubted = True
            start, end = sentence.span()
            if but := _BUT.search(text.plain, start + hedge.end(), end):
                end = but.end()
            written = written[:start] + " " * (end - start) + written[end:]
    return written, doubted


def _named(found: str, declared: formats.Read) -> str:
    """The value with this synonym; else what was found."""
    key = spelled(found)
    return next(
        (value for value, others in declared.synonyms.items() if key in map(spelled, others)),
        found,
    )
