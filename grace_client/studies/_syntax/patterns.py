"""Regular expressions of a study file. A search that takes long is ended."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import regex

SECONDS = 1.0
"""How long one search may take, in seconds. A text of a trial list needs milliseconds."""

MAX_LENGTH = 2000

_RECURSION = regex.compile(r"(?<!\\)\(\?(?:R|\d+|&|P>)")
"""A part of a pattern that calls the pattern itself: it fills the memory before the time is over."""


class PatternError(ValueError):
    """A pattern that cannot be used, or that takes too long; the message says why."""


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> regex.Pattern[str]:
    """A compiled pattern; PatternError if it is none."""
    if len(pattern) > MAX_LENGTH:
        raise PatternError(f"a pattern has at most {MAX_LENGTH} characters, and this one has {len(pattern)}")
    if call := _RECURSION.search(pattern):
        raise PatternError(f"{pattern!r} calls a part of itself with {call[0]!r}, which is not allowed here")
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError, MemoryError) as error:
        raise PatternError(f"{pattern!r} is no regular expression: {error}") from None


def groups(pattern: str) -> tuple[str, ...]:
    """Names of the pattern's named groups."""
    return tuple(compiled(pattern).groupindex)


def whole(pattern: str, text: str) -> dict[str, str] | None:
    """The named groups of a pattern that fits the whole text; None if it does not fit."""
    return _groups(_matched(compiled(pattern).fullmatch, pattern, text))


def search(pattern: str, text: str) -> dict[str, str] | None:
    """The named groups of a pattern at its first place in the text; None if it does not occur."""
    return _groups(_matched(compiled(pattern).search, pattern, text))


def place(pattern: str, text: str, group: str) -> tuple[int, int] | None:
    """Start and end of a named group at the pattern's first place in the text; None if it does not occur."""
    match = _matched(compiled(pattern).search, pattern, text)
    return None if match is None or match[group] is None else match.span(group)


def _matched(find: Callable[..., Any], pattern: str, text: str) -> regex.Match[str] | None:
    try:
        match: regex.Match[str] | None = find(text, timeout=SECONDS)
    except (TimeoutError, MemoryError) as error:
        needed = "too much memory" if isinstance(error, MemoryError) else f"more than {SECONDS:g} s"
        raise PatternError(
            f"the pattern {pattern!r} needs {needed} on {text[:60]!r}. Make it simpler"
        ) from None
    return match


def _groups(match: regex.Match[str] | None) -> dict[str, str] | None:
    if match is None:
        return None
    return {name: found for name, found in match.groupdict().items() if found is not None}
