"""Suggestions for misspelt names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the known name that is most like `name`, and a space; empty if none is like it."""
    near = get_close_matches(name, list(known), 1, cutoff=0.7)
    return f"Did you mean {near[0]!r}? " if near else ""
