"""What is read from one free-text answer."""

from __future__ import annotations

from dataclasses import dataclass, field

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
"""What kind of answer a text is; docs/extraction.md says what each one means."""

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


@dataclass(frozen=True, slots=True)
class Claim:
    """One place where a text gives an answer.

    Attributes
    ----------
    value : str
        Which one.
    start, end : int
        Where.
    announced : bool
        Whether the text presents it as its answer: such a claim goes before others.
    own : bool
        Whether the text gives it as its own view ("I think"): such a claim stands beside a doubt.
    soft : bool
        Whether the text is not sure of it ("maybe"), or had to be completed.
    """

    value: str
    start: int
    end: int
    announced: bool = False
    own: bool = False
    soft: bool = False


@dataclass(slots=True)
class Found:
    """What a study's rules find in a text.

    Attributes
    ----------
    claims : list of Claim
        Answers.
    conflict : bool
        Whether something forbids to read any of them: a range, a bound, two things at once.
    vague : bool
        Whether something speaks of the question without answering it: "not all of them", "some".
    reported : bool
        Whether something repeats what the speaker saw or said.
    hedged : bool
        Whether something says that the question cannot be decided.
    bets : tuple of float or None
        See `Reading`.
    bets_span : (int, int) or None
        Where they stand.
    """

    claims: list[Claim] = field(default_factory=list)
    conflict: bool = False
    vague: bool = False
    reported: bool = False
    hedged: bool = False
    bets: tuple[float, ...] | None = None
    bets_span: tuple[int, int] | None = None
