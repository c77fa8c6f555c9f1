"""The grammar ``how-many``: the ways in which a sentence says how many of the items there are."""

from __future__ import annotations

import re
from functools import cache

from grace_client.extraction.rules import phrases, shapes

DIGITS = {
    **dict.fromkeys(("zero", "none", "no", "not any", "not a single one", "not one"), "0"),
    **dict.fromkeys(("one", "a single one", "a single", "the one"), "1"),
    **dict.fromkeys(("two", "a pair", "a couple", "ii"), "2"),
    **dict.fromkeys(
        ("three", "all", "every", "every one", "every single one", "they all", "each", "each one", "iii"), "3"
    ),
    "the whole lot": "3",
}
WORD = rf"(?:{'|'.join(sorted(DIGITS, key=len, reverse=True))}|0?[0-3](?:\.0)?)"
VALUE = rf"(?P<value>{WORD})"
_BOUND = rf"(?:(?P<bound>more|fewer|less) than (?P<limit>{WORD}): )?"
"""A limit before the answer: "More than 1: 2"."""
BEFORE = re.compile(
    rf"(?:{shapes.LEAD})(?:before(?: the call)?|prior|previously|earlier|at first|initially)(?: ?[:=-]|"
    rf",) ?{WORD}"
)
"""What the listener believed before the speaker called: "Before the call: 1". It is no answer."""
_AFTER = r"(?:(?:posterior|updated|afterwards|after(?: the call)?)(?: ?[:=-]|,) ?)?"
_DEGREE = r"(?:(?:only|just|exactly|precisely|a total of) )?"
_AGAIN = r"(?: ?\(?(?:=|i\.e\.)? ?\(?(?P<again>zero|one|two|three|[0-3])\))?"
THREE = r"(?:3|three)\b"
HAVE = (
    r"(?:(?:do |will |would |must |should |to )?have|(?:does )?has|had|got|having|with|(?:do|does|are|is|"
    r"were|was) (?:indeed )?(?:have|having)|(?:appears?|seems?|(?:is|are) (?:likely|bound|known)) to have)"
)
_ELLIPSIS = r"(?:do|does|did|(?:are|is|be|to be) (?:like that|that way|so))"
_ORDINARY = rf"(?: {shapes.ADVERB})*"


def digit(word: str) -> str:
    """The digit of a number word or a number."""
    return DIGITS.get(word) or str(int(float(word)))


@cache
def patterns(items: str, rest: str, speaker: str) -> tuple[re.Pattern[str], ...]:
    """The five shapes: a number; none; all but some; a check before the answer; "dents in the lid of 2"."""
    noun, has = phrases.noun(items), phrases.inflected(rest)
    of = rf"(?:(?:of )?(?:the |these |those |all )*{noun}\b|(?:of )?them\b)"
    three = (
        rf"(?: ?/ ?3\b| (?:of|out of) (?:the |these |those |all |them )*{THREE}(?: of them)?|"
        rf" (?:of )?(?:the )?{THREE})"
    )
    # "Stopped" means the same as "have stopped".
    predicate = (
        rf"(?: in total| altogether)?(?:(?: (?:that|which))?{_ORDINARY}(?: {HAVE})?{_ORDINARY} {has}|"
        rf"{_ORDINARY} {_ELLIPSIS})"
    )
    quantity = rf"(?P<quantity>{VALUE}{_AGAIN}{three}?(?: {of}{three}?)?)"
    end = rf"(?:, all(?: of them)?)?{shapes.TAIL_WORDS}{shapes.REST}"
    number_of = rf"(?:the number of (?:the )?(?:{THREE} )?{noun}(?: (?:(?:that|which) )?{HAVE} {has}) is )?"
    other = rf"(?:,? (?:and )?not (?P<denied>{WORD})(?: of them)?)?"
    whole = (
        rf"{shapes.LEAD}{_AFTER}{_BOUND}{number_of}{_DEGREE}(?P<all>(?:the|these|those|"
        rf"{re.escape(speaker)}'s) (?={THREE} {noun}))?{quantity}x?(?P<predicate>{predicate})?{other}{end}"
    )
    checked = (
        rf"{shapes.LEAD}(?:all|both|one|two|three|[1-3])(?: {of}| (?:of )?(?:the )?{THREE})? (?:were|was|"
        rf"have been|has been) (?:checked|inspected|examined|looked at|opened|seen|tested),? (?:and|but) "
    )
    none = (
        rf"{shapes.LEAD}(?:(?P<value>i (?:do not|don't) (?:think|believe)(?: that)?|it(?:'s| is) (?:very |"
        rf"highly )?(?:unlikely|improbable)(?: that)?) any(?:{three})?(?: {of})?{predicate}|"
        rf"(?P<quantity>(?:there are )?no) {has} in any(?: of (?:the )?)(?:{THREE} )?(?:{noun}|them)){end}"
    )
    but = (
        rf"{shapes.LEAD}(?P<quantity>all (?:but|except(?: for)?) (?P<value>one|two|three|"
        rf"[1-3])(?:{three})?(?: {of})?){predicate}?{end}"
    )
    on = rf"{shapes.LEAD}{has} (?:on|in|inside|of|at) {_DEGREE}{quantity}{end}"
    return tuple(map(re.compile, (whole, none, but, checked, on)))
