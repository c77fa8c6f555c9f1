"""The grammar ``how-many``: bets over the numbers 0 to 3, in percent or dollars."""

from __future__ import annotations

import re
from dataclasses import dataclass

WORDS = {"zero": "0", "none": "0", "one": "1", "two": "2", "three": "3"}

STATES = range(4)
_STATE = r"(?P<state>[0-3]|zero|none|one|two|three)"
_AMOUNT = r"\$?\s?(?P<amount>\d+(?:\.\d+)?)\s?(?P<unit>%|percent\b|dollars?\b)?"
_PATTERNS = (
    re.compile(rf"(?<![\w.$]){_STATE}(?:\s[a-z]+)?\s*(?::|=|\||->)\s*{_AMOUNT}(?![\w.]*\w)"),
    re.compile(
        r"(?<![\w.])(?:\$\s?(?P<amount>\d+(?:\.\d+)?)|(?P<share>\d+(?:\.\d+)?)\s?(?:%|percent|dollars?))"
        rf"\s(?:on|for|to)\s(?:exactly\s)?{_STATE}\b"
    ),
)
_TOTAL, _ROUNDING = 100.0, 0.5


@dataclass(frozen=True, slots=True)
class Bets:
    """The bets in an answer.

    Attributes
    ----------
    amounts : tuple of float or None
        Percentages on the states 0 to 3; None if one is missing or they do not sum to 100.
    span : (int, int)
        Start and end of the bets in the answer.
    """

    amounts: tuple[float, ...] | None
    span: tuple[int, int]


def find(plain: str) -> Bets | None:
    """The bets in a prepared answer; None if there are fewer than two."""
    for pattern in _PATTERNS:
        matches = list(pattern.finditer(plain))
        if len(matches) < 2:
            continue
        bets = {
            WORDS.get(m["state"], m["state"]): float(m["amount"] or m.groupdict().get("share") or 0)
            for m in matches
        }
        amounts = tuple(bets.get(str(state), 0.0) for state in STATES)
        whole = len(bets) == len(matches) == len(STATES) and abs(sum(amounts) - _TOTAL) <= _ROUNDING
        return Bets(amounts if whole else None, (matches[0].start(), matches[-1].end()))
    return None
