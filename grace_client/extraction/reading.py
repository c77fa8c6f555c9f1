"""What is read from one free-text answer."""

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
"""The structured values of every free-text question; `UNPARSED` comes to each."""

CATEGORIES = ("answer", "hedge", "refusal", "echo", "ambiguous", "empty", "truncated", "other")
"""What kind of answer a text is; docs/explanation/extraction.md says what each one means."""

RULE, LLM, HUMAN = METHODS = ("rule", "llm", "human")
"""How an answer was read."""

HIGH, MEDIUM, LOW = LEVELS = ("high", "medium", "low")
"""Confidence. For a rule it says which kind of rule matched, and is no probability: ``high``, the text is the
answer and nothing else, or announces it ("The answer is 2"); ``medium``, it stands in a sentence among
others; ``low``, the text doubts it ("I'm not sure, but I think 2", "maybe 2") or had to be completed
("Good."). For an LLM it is the level that the LLM names. For a person it is ``high``."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one answer says.

    Attributes
    ----------
    structured : str
        One of the question's `VALUES`, or ``unparsed``.
    category : str
        One of `CATEGORIES`.
    method : str
        One of `METHODS`.
    confidence : str or None
        One of `LEVELS`; None where nothing was read.
    span : (int, int) or None
        Characters of the response that it was read from, as a Python slice.
    bets : tuple of float or None
        Study 1: percentages on the states 0 to 3, where the answer gives all four.
    """

    structured: str
    category: str
    method: str = RULE
    confidence: str | None = None
    span: tuple[int, int] | None = None
    bets: tuple[float, ...] | None = None

    @property
    def read(self) -> bool:
        """Whether the answer says something that can be counted."""
        return self.structured != UNPARSED or self.bets is not None
