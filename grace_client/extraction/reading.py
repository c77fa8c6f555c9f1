"""The reading of a free-text answer: its value, category, method and confidence."""

from __future__ import annotations

from dataclasses import dataclass

from grace_client.studies import study1, study2

UNPARSED = "unparsed"
"""Structured value of an answer that is not clear."""

VALUES: dict[str, tuple[str, ...]] = {
    "number": tuple(str(state) for state in study1.STATES),
    "knowledge": (*study1.KNOWLEDGE_OPTIONS.names, "unsure"),
    "utterance": study2.UTTERANCE_OPTIONS.names,
}
"""The structured values of each free-text question. `UNPARSED` is allowed for each, too."""

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
        One of the question's `VALUES`, or ``unparsed``.
    category : str
        One of `CATEGORIES`.
    method : str
        One of `METHODS`.
    confidence : str or None
        One of `LEVELS`; None if nothing was read.
    span : (int, int) or None
        Characters of the response with the value, as a Python slice.
    bets : tuple of float or None
        Study 1: percentages on the states 0 to 3, if the answer gives all four.
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
