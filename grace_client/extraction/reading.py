"""The reading of a free-text answer: its value, category, method and confidence."""

from __future__ import annotations

import re
from dataclasses import dataclass

from grace_client.studies.declaration import Kind

UNPARSED = "unparsed"
"""Structured value of an answer that is not clear."""

UNSURE = "unsure"
"""Structured value of an answer that says that the question cannot be decided, where the study allows it."""

YES_NO = ("yes", "no")
_WHOLE = re.compile(r"0|-?[1-9]\d{0,14}")
MOST_LISTED = 101
"""Longest range of numbers that is listed number by number."""


@dataclass(frozen=True, slots=True)
class Values:
    """The structured values of a question. `UNPARSED` is always allowed, too.

    Attributes
    ----------
    listed : tuple of str
        All of them, in order; empty if they are too many.
    numbers : (int, int) or None
        The lowest and the highest number, for numbers that are not listed.
    unsure : bool
        Whether `UNSURE` is one of them, with a meaning of its own.

    Without `listed` and `numbers`, any text is a value.
    """

    listed: tuple[str, ...] = ()
    numbers: tuple[int, int] | None = None
    unsure: bool = False

    @classmethod
    def of(cls, kind: Kind) -> Values:
        """The values of a free-text question, as its study declares them."""
        read = kind.read
        assert read is not None
        listed: tuple[str, ...] = ()
        if read.number is not None:
            low, high = read.number
            if high - low >= MOST_LISTED:
                return cls((), read.number, read.unsure)
            listed = tuple(map(str, range(low, high + 1)))
        elif read.yes_no:
            listed = YES_NO
        elif kind.choices is not None:
            listed = kind.choices.names
        return cls((*listed, UNSURE) if listed and read.unsure else listed, None, read.unsure)

    def __contains__(self, value: object) -> bool:
        if self.listed or value == UNSURE:
            return value in self.listed or (value == UNSURE and self.unsure)
        if self.numbers is not None:
            return _WHOLE.fullmatch(f"{value}") is not None and (
                self.numbers[0] <= int(str(value)) <= self.numbers[1]
            )
        return value not in ("", UNPARSED)

    @property
    def words(self) -> list[str]:
        """The values in words, for people."""
        if self.listed:
            return list(self.listed)
        several = "any text" if self.numbers is None else "a whole number from {} to {}".format(*self.numbers)
        return [several, UNSURE] if self.unsure else [several]

    def category(self, value: str) -> str:
        """The category of an answer with this value; of an unparsed one, ``other``."""
        return {UNPARSED: "other", UNSURE: "hedge" if self.unsure else "answer"}.get(value, "answer")


CATEGORIES = ("answer", "hedge", "refusal", "echo", "ambiguous", "empty", "truncated", "other")
"""Kinds of answers; docs/explanation/extraction.md explains each one."""

RULE, LLM, HUMAN = METHODS = ("rule", "llm", "human")
"""The reader: the rules, an LLM or a person."""

HIGH, MEDIUM, LOW = LEVELS = ("high", "medium", "low")
"""Confidence of a reading; it is not a probability. For a rule: ``high`` if the text is only the answer, or
announces it ("The answer is 2"); ``medium`` if the answer is in a sentence among others; ``low`` if the text
doubts it ("I'm not sure, but I think 2", "maybe 2") or is incomplete ("Good."). For an LLM: the level that
the LLM gives. For a person: ``high``."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The reading of one answer.

    Attributes
    ----------
    structured : str
        One of the question's `Values`, or ``unparsed``.
    category : str
        One of `CATEGORIES`.
    method : str
        One of `METHODS`.
    confidence : str or None
        One of `LEVELS`; None if nothing was read.
    span : (int, int) or None
        Characters of the response with the value, as a Python slice.
    bets : tuple of float or None
        With the rules how-many: percentages on the numbers 0 to 3, if the answer gives all four.
    """

    structured: str
    category: str
    method: str = RULE
    confidence: str | None = None
    span: tuple[int, int] | None = None
    bets: tuple[float, ...] | None = None

    @property
    def read(self) -> bool:
        """Whether the reading has a value or bets."""
        return self.structured != UNPARSED or self.bets is not None
