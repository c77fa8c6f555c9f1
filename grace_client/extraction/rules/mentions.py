"""Find the values of a question in an answer, and put a mark in place of each.

Then the shapes of sentences need not know what the values are. A mark is as long as the words that it
replaces, so that positions do not change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from grace_client.extraction.text import SENTENCES, spelled, words_of

MARK = "\u01c0"
"""A letter that no answer uses."""

_COMMON = frozenset(re.findall(r"\w+", "a an and as at be i in is it no not of on one or so the to"))
"""Words that are an answer only at the end of a clause, or after "option"."""
_AT_END = re.compile(r"\s*(?:[.,:;!?)\]\"']|\n|$|-\s|(?:because|since|as)\b)")
_NAMED = re.compile(r"\b(?:option|answer|choice|letter|number)\s*[(\"']?\Z")
_TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Mentions:
    """An answer with marks.

    Attributes
    ----------
    plain : str
        The prepared answer, with a mark in place of each value.
    values : mapping of int to str or None
        From the first position of a mark to its value; None if the words are not exactly one value.
    """

    plain: str
    values: Mapping[int, str | None] = field(default_factory=dict)

    def and_of(self, found: Iterable[tuple[int, int, str | None]]) -> Mentions:
        """The answer with further marks, from start, end and value of each."""
        chars, values = list(self.plain), dict(self.values)
        for start, end, value in found:
            chars[start:end] = MARK * (end - start)
            values[start] = value
        return Mentions("".join(chars), values)


def unmarked(plain: str) -> Mentions:
    """A prepared answer without marks."""
    return Mentions(plain.replace(MARK, " "))


@dataclass(frozen=True, slots=True)
class Words:
    """The words for the values of a question.

    Attributes
    ----------
    values : mapping of str to str or None
        From each text to its value; None if it stands for several.
    pattern : re.Pattern
        The longest of these texts at each position.
    keep : re.Pattern
        Their sentences, which the prompt may contain, too.
    """

    values: Mapping[str, str | None]
    pattern: re.Pattern[str]
    keep: re.Pattern[str]

    def find(self, plain: str) -> Iterator[tuple[int, int, str | None]]:
        """Start, end and value of every text in an answer. Of two that overlap, the longer one counts."""
        taken = bytearray(len(plain))
        found = [match.span(1) for match in self.pattern.finditer(plain) if self._counts(match, plain)]
        for start, end in sorted(found, key=lambda span: span[0] - span[1]):
            if not any(taken[start:end]):
                taken[start:end] = b"\1" * (end - start)
                yield start, end, self.values[_key(plain[start:end])]

    def _counts(self, match: re.Match[str], plain: str) -> bool:
        word = match[1]
        if word not in _COMMON and not (len(word) == 1 and word.isalpha()):
            return True
        return (
            _NAMED.search(plain, 0, match.start()) is not None
            or _AT_END.match(plain, match.end(1)) is not None
        )


@lru_cache(maxsize=256)
def words(pairs: tuple[tuple[str, str], ...]) -> Words:
    """The words for some values.

    Parameters
    ----------
    pairs : tuple of (str, str)
        Texts, each with its value. Case, quotation marks and a full stop at the end do not matter.
    """
    values: dict[str, str | None] = {}
    patterns, sentences = dict[str, int](), set[str]()
    for text, value in pairs:
        plain = spelled(text).strip().rstrip(".") or spelled(text).strip()
        key = _key(plain)
        if not key:
            continue
        values[key] = value if values.setdefault(key, value) == value else None
        patterns[_pattern(plain)] = len(key)
        sentences |= {words_of(match[0]) for match in SENTENCES.finditer(plain)}
    longest = sorted(patterns, key=lambda pattern: -patterns[pattern])
    # A lookahead, so that a match does not hide a longer one that begins within it.
    either = "|".join(longest) or r"(?!)"
    kept = "|".join(sorted(map(re.escape, sentences - {""})))
    return Words(values, re.compile(rf"(?<![\w.])(?=({either}))"), re.compile(rf"(?:\w+ )?(?:{kept})"))


def _key(text: str) -> str:
    return " ".join(_TOKEN.findall(text))


def _pattern(plain: str) -> str:
    """A pattern for a text, with any spaces between its words and marks, as a whole word."""
    tokens = _TOKEN.findall(plain)
    parts = [re.escape(tokens[0])]
    for before, token in pairwise(tokens):
        apart = before[-1].isalnum() and token[0].isalnum()
        parts.append((r"\s+" if apart else r"\s*") + re.escape(token))
    end = r"(?![\w]|[.,]\d)" if tokens[-1][-1].isalnum() else ""
    return "".join(parts) + end
