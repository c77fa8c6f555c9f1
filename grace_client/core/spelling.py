"""Suggestions for misspelt names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """A sentence with the known name that is most like `name`, and a space; empty if none is like it.

    A `prefix` that many names have does not count.
    """
    names = {one.removeprefix(prefix): one for one in known}
    near = get_close_matches(name.removeprefix(prefix), list(names), 1)
    return f"Did you mean {names[near[0]]!r}? " if near else ""
