"""Which option a person would take a text for, although it is no declared form. No side effects."""

from __future__ import annotations

import re
from functools import lru_cache

from grace_client.core.options import OptionSet

_WORDS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
"""
_UNITS, _TENS = _WORDS.split()[:20], _WORDS.split()[20:]
NUMBER_WORDS = {word: number for number, word in enumerate(_UNITS)} | {
    word: 10 * number for number, word in enumerate(_TENS, start=2)
}
NUMBER_WORDS |= {
    f"{tens} {unit}": NUMBER_WORDS[tens] + number
    for tens in _TENS
    for number, unit in enumerate(_UNITS[1:10], start=1)
}
NUMBER_WORDS |= dict.fromkeys(("hundred", "a hundred", "one hundred"), 100)
"""The whole numbers from 0 to 100 in English words, with a space instead of a hyphen."""

_SPELLING = str.maketrans(
    {"\u2019": "'", "\u2018": "'"} | dict.fromkeys('*_`#>"\u201c\u201d\u201e\u00ab\u00bb')
)
_AROUND = " .,;:!?()[]'-"
_PERCENT = re.compile(r"\s*(?:%|per ?cent\b)")
_CLAUSE = re.compile(r"[\n.,;:(!](?!\S)|\s\(|\n")
_LEAD = re.compile(r"\W*(?:so,? )?(?:the |my )?(?:\w+ ){0,2}?answer(?: is|:)\s*:?", re.IGNORECASE)
SHORTEST = 3
"""Letters from which a text may count as the beginning of a number word: "t" begins too many."""


def meaning(text: str, options: OptionSet, *, ended: bool = False) -> str | None:
    """The option that a person would understand, whatever follows the text; None if there is none.

    Letter case, white space, quotation marks, marks of emphasis, and punctuation around a text do not matter,
    nor does "ten percent" or "10" instead of "10%", or "was not" instead of "wasn't".

    Parameters
    ----------
    text : str
        The text, or the beginning of one.
    options : OptionSet
        The options and their declared forms.
    ended : bool
        Whether the answer ends here. Otherwise a number at the end of the text could go on.
    """
    key = _key(text)
    name = _names(options).get(key)
    if name is None or ended or not key.isdecimal():
        return name
    # "10" may become "100", "10." may become "10.5", "ten" may become "tenth", and "twenty" "twenty-five".
    goes_on = re.search(r"\d[.,]?$|[a-z]-?$", _plain(text) if text[-1:].strip() else "")
    return None if goes_on else name


def may_begin(text: str, options: OptionSet) -> bool:
    """Whether a text without a meaning of its own may be the beginning of one that a person understands."""
    plain = _plain(text).lstrip(_AROUND)
    if not plain:
        return True
    if any(form.startswith(plain) for form in _beginnings(options)):
        return True
    return len(plain) >= SHORTEST and any(word.startswith(plain) for word in _number_words(options))


def answer_meaning(text: str, options: OptionSet, *, ended: bool) -> str | None:
    """The option that a person would understand from an answer; None if there is none.

    The first line counts, without "The answer is" at its beginning, or what stands before its first
    punctuation mark, unless the rest of the line names another option.

    Parameters
    ----------
    text : str
        The answer.
    options : OptionSet
        The options and their declared forms.
    ended : bool
        Whether the answer ends here. Otherwise it was cut.
    """
    line = first_line(text)
    if name := meaning(line, options, ended=ended or line != text.strip()):
        return name
    first, *others = (meaning(part, options, ended=True) for part in _CLAUSE.split(_LEAD.sub("", line)))
    return first if all(other in (None, first) for other in others) else None


def first_line(text: str) -> str:
    """The first line of an answer, without white space around it."""
    return next(iter(text.strip().splitlines()), "").strip()


def _plain(text: str) -> str:
    """In small letters, without marks, with single spaces; "n't" and "percent" have one spelling."""
    plain = text.lower().translate(_SPELLING)
    plain = re.sub(r"n't\b", " not", plain)
    return _PERCENT.sub("%", " ".join(plain.split()))


def _key(text: str) -> str:
    """What equal texts have in common; a number is its digits, with or without a percent sign."""
    key = _plain(text).strip(_AROUND).removesuffix("%").rstrip()
    number = NUMBER_WORDS.get(key.replace("-", " "))
    return key if number is None else str(number)


@lru_cache(maxsize=1024)
def _names(options: OptionSet) -> dict[str, str]:
    """The option of each key; keys that belong to several options have none."""
    owners: dict[str, set[str]] = {}
    for option in options.options:
        for form in option.forms:
            owners.setdefault(_key(form), set()).add(option.name)
    return {key: next(iter(names)) for key, names in owners.items() if key and len(names) == 1}


@lru_cache(maxsize=1024)
def _beginnings(options: OptionSet) -> frozenset[str]:
    return frozenset(_plain(form).lstrip(_AROUND) for option in options.options for form in option.forms)


@lru_cache(maxsize=1024)
def _number_words(options: OptionSet) -> tuple[str, ...]:
    return tuple(word for word, number in NUMBER_WORDS.items() if str(number) in _names(options))
