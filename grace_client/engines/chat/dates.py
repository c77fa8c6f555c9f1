"""Dates that a chat template prints, found in it or in its output and set to a day of one's own. Pure."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta

_DAYS = ("%A, ", "%A ", "%a, ", "%a ", "")
_DATES = (
    "%d %B %Y",
    "%B %d, %Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
)
FORMATS = tuple(day + form for day in _DAYS for form in _DATES)
"""How templates print a date, the longer ones first."""


_NOW = re.compile(r"""strftime_now\(\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\)""")


def with_date(template: str, day: date) -> str:
    """A chat template that tells `day` in place of today, wherever it says in which form."""
    return _NOW.sub(lambda call: json.dumps(day.strftime(call[1] or call[2] or "")), template)


def pinned(text: str, today: date, day: date) -> str:
    """A text that tells `day` wherever it told today.

    Yesterday and tomorrow count as today: the server's clock and time zone are its own. A date in a form that
    is not among `FORMATS`, and a time of day, cannot be told from other text and stay.

    Parameters
    ----------
    text : str
        What a template rendered.
    today : date
        The day on which it did.
    day : date
        The day to tell instead.
    """
    for form in FORMATS:
        for shift in (0, -1, 1):
            text = text.replace((today + timedelta(days=shift)).strftime(form), day.strftime(form))
    return text
