"""The grammar ``how-many``: statements about the items that do not have the property in question.

"All of them are intact" means none if the property is damage. "One has dents, the other two are fine" means
one. "Two are fine" alone gives no number, because it says nothing about the third.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from grace_client.extraction.rules import phrases, shapes

_DAMAGE = re.compile(
    r"\b(?:dent|missing|burn|torn|tear|broke|crack|damage|scratch|hole|stain|leak|rust|chipped|mou?ld|error|"
    r"fault|defect|flaw|spoil|rott|bent|ripp|bruise|shatter|typo)"
)
_INTACT = r"(?:intact|undamaged|unharmed|unscathed|unblemished|flawless|faultless)"
_FINE = (
    rf"(?:{_INTACT}|fine|ok|okay|good|all right|alright|whole|complete|clean|unaffected|"
    r"in (?:good|perfect) (?:order|condition|shape)|still (?:running|working|going|ticking|functioning))"
)
_BE = rf"(?:are|is|were|was|remain|remains)(?: {shapes.ADVERB})*"
_NOT = r"(?:do not|don't|does not|doesn't|have not|haven't|has not|hasn't|are not|aren't|is not|isn't)"
_TOTAL = 3
_COUNTS = {"one": 1, "1": 1, "two": 2, "2": 2, "both": 2}


@dataclass(frozen=True, slots=True)
class Complement:
    """The shapes of one story.

    Attributes
    ----------
    every : re.Pattern or None
        All or none of the items are intact; None if the property is not damage.
    others : re.Pattern
        Some of the items do not have the property.
    beside : re.Pattern
        An answer, followed by a statement about the others.
    behind : re.Pattern
        A statement about the others, followed by an answer.
    """

    every: re.Pattern[str] | None
    others: re.Pattern[str]
    beside: re.Pattern[str]
    behind: re.Pattern[str]


def fits(match: re.Match[str], value: str) -> bool:
    """Whether `value` is the number of remaining items after a match of `others`."""
    word = match["left"] or match["count"]
    if word is None:
        return value in ("1", "2")
    return str(_TOTAL - _COUNTS[word]) == value


@cache
def patterns(items: str, rest: str, have: str) -> Complement:
    """The shapes of a story, by its `items`, the `rest` of its question and the verbs for having it."""
    noun, has = phrases.noun(items), phrases.inflected(rest)
    of = rf"(?: of (?:the |these |those )?(?:(?:3|three) )?(?:{noun}|them)| {noun})?"
    one_more = r"(?:other|third|last|remaining)"
    count = r"(?:one|two|1|2|both)"
    named = rf"(?:the )?{one_more} (?P<left>one|two|1|2)(?: {noun})?|the (?:others|rest|{one_more} {noun})"
    lacks = (
        rf"(?:{_BE} {_FINE}|still (?:runs?|works?|goes|ticks?|functions?)|"
        rf"{_NOT}(?: (?:have )?(?:any )?{has})?|(?:{_BE} without|have no|has no) (?:any )?{has})"
    )
    others = rf"(?:{named}|(?P<count>{count}){of}) {lacks}"
    answer = r"(?:(?:only|just|exactly) )?(?P<quantity>(?P<value>one|two|1|2)"
    predicate = rf"(?:(?: (?:that|which))?(?: {shapes.ADVERB})* {have})? {has}"
    join = r"(?:,|;)? ?(?:(?:and|but|while|whereas) |(?<=, ))"
    end = rf"{shapes.TAIL_WORDS}"
    intact = (
        rf"{shapes.LEAD}(?P<quantity>(?P<value>all|every|each|none|no|not one|not a single)(?: one)?"
        rf"(?: (?:of )?(?:the )?(?:3|three))?(?: (?:of )?(?:the |these |those )?(?:{noun}|them))?) {_BE} "
        rf"{_INTACT}{end}"
    )
    return Complement(
        re.compile(intact) if _DAMAGE.search(rest.lower()) else None,
        re.compile(rf"{shapes.LEAD}{others}{end}"),
        re.compile(rf"{shapes.LEAD}{answer}{of})(?:{predicate})?{join}(?P<others>{others}){end}"),
        re.compile(rf"{shapes.LEAD}(?P<others>{others}){join}{answer}{of}){predicate}{end}"),
    )
