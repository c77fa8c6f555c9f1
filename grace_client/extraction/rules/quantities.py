"""Find whole numbers in an answer, in digits or in words."""

from __future__ import annotations

import re
from collections.abc import Iterator

_DIGIT = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEEN = (
    *("ten", "eleven", "twelve"),
    *(f"{part}teen" for part in ("thir", "four", "fif", "six", "seven", "eigh", "nine")),
)
_TENS = tuple(f"{part}ty" for part in ("twen", "thir", "for", "fif", "six", "seven", "eigh", "nine"))
_UNITS = {word: number for number, word in enumerate(_DIGIT + _TEEN, start=1)}
_UNITS |= {"zero": 0, "none": 0, "a": 1}
_UNITS |= {word: 10 * number for number, word in enumerate(_TENS, start=2)}
_SCALES = {"thousand": 1_000, "million": 1_000_000}
_ONE_DIGIT = f"(?:{'|'.join(_DIGIT)})"
_SMALL = f"(?:{'|'.join((*_TEEN, *_DIGIT, 'zero', 'none'))})"
_BELOW_100 = rf"(?:(?:{'|'.join(_TENS)})(?:[ -]{_ONE_DIGIT})?|{_SMALL})"
_BELOW_1000 = rf"(?:(?:{'|'.join((*_TEEN, *_DIGIT))}|a) hundred(?:(?: and)? {_BELOW_100})?|{_BELOW_100})"
_AND = "(?:,? |,? and )"
_WORDS = (
    rf"(?:(?:{_BELOW_1000}|a) million(?:{_AND}{_BELOW_1000} thousand)?(?:{_AND}{_BELOW_1000})?"
    rf"|(?:{_BELOW_1000}|a) thousand(?:{_AND}{_BELOW_1000})?|{_BELOW_1000})"
)
_NUMBER = re.compile(
    r"(?:(?<![\w.])(?<!\d )(?P<minus>minus |negative |-))?(?<![\w.])"
    rf"(?:(?P<digits>\d{{1,3}}(?:,\d{{3}})+|\d+)(?P<part>\.\d+)?+|(?P<words>{_WORDS}))(?![\w]|-\w*[a-z])"
    r"(?P<more> ?(?:hundred|thousand|million|billion|trillion|dozen|k|m)\b)?"
)
_NO_NUMBER = re.compile(r"\b(?:the|this|that|which|each|every|no|any|some|another|other)(?: \w+)? \Z")
"""Words before a "one" that is no number: "the red one"."""
_OUT_OF = re.compile(r" ?/ ?| (?:out )?of (?:the |these |those |all )*")
_DIGITS = 15


def find(plain: str, low: int, high: int) -> Iterator[tuple[int, int, str | None]]:
    """Start, end and value of every number; the value is None if it is no whole number from `low` to `high`.

    "7 of 10" and "7/10" are one number if 10 is the highest.
    """
    last: tuple[int, int, int | None] | None = None
    for start, end, number in _numbers(plain):
        if last and last[2] is not None and number == high and _OUT_OF.fullmatch(plain, last[1], start):
            last = (last[0], end, last[2])
            continue
        if last:
            yield _within(last, low, high)
        last = (start, end, number)
    if last:
        yield _within(last, low, high)


def _within(found: tuple[int, int, int | None], low: int, high: int) -> tuple[int, int, str | None]:
    start, end, number = found
    return start, end, str(number) if number is not None and low <= number <= high else None


def _numbers(plain: str) -> Iterator[tuple[int, int, int | None]]:
    number: int | None
    for match in _NUMBER.finditer(plain):
        if match["words"] == "one" and _NO_NUMBER.search(plain, 0, match.start()):
            continue
        if match["more"] or (match["part"] or "").strip(".0"):
            number = None
        elif match["words"]:
            number = _value(match["words"])
        else:
            digits = match["digits"].replace(",", "")
            number = int(digits) if len(digits) <= _DIGITS else None
        yield *match.span(), -number if number is not None and match["minus"] else number


def _value(words: str) -> int:
    total = current = 0
    for word in re.findall(r"[a-z]+", words):
        if word in _SCALES:
            total, current = total + current * _SCALES[word], 0
        elif word == "hundred":
            current *= 100
        elif word != "and":
            current += _UNITS[word]
    return total + current
