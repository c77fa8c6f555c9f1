"""Finds the dates that a chat template prints, and replaces today with a fixed day. Pure."""

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
"""The formats in which templates print a date, the longer ones first."""


_NOW = re.compile(r"""strftime_now\(\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\)""")


def with_date(template: str, day: date) -> str:
    """A chat template that prints `day` instead of today, in each call of ``strftime_now``."""
    return _NOW.sub(lambda call: json.dumps(day.strftime(call[1] or call[2] or "")), template)


def pinned(text: str, today: date, day: date) -> str:
    """A text with `day` instead of today.

    Yesterday and tomorrow count as today, because the server may be in another time zone. A date in a format
    that is not in `FORMATS`, and a time of day, do not change.

    Parameters
    ----------
    text : str
        Output of a template.
    today : date
        The day on which the template was rendered.
    day : date
        The day to print instead.
    """
    for form in FORMATS:
        for shift in (0, -1, 1):
            text = text.replace((today + timedelta(days=shift)).strftime(form), day.strftime(form))
    return text
