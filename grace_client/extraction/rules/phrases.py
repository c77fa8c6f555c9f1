"""Patterns for the words of a story: its items, and their property."""

from __future__ import annotations

import re


def inflected(phrase: str) -> str:
    """A pattern for a phrase: with or without articles, singular or plural, whole or up to the preposition.

    "dents", "a dent in the lid" and "dents in the lid" mean the same.
    """
    words = phrase.lower().split()
    ends = [i for i, word in enumerate(words) if i and word in _PREPOSITIONS]
    whole = _words(words)
    short = _words(words[: ends[0]]) if ends else ""
    return f"(?:{whole}|{short})" if short else whole


_PREPOSITIONS = frozenset(("in", "on", "at", "of", "with", "from", "inside", "by", "for", "under", "after"))
_ARTICLES = frozenset(("a", "an", "the", "some", "any", "their", "its"))


def _words(words: list[str]) -> str:
    parts = [_numbers(word) for word in words if word not in _ARTICLES]
    return r"(?:(?:a|an|the|their|its|some|any) )?" + r"[ -](?:(?:a|an|the|their|its) )?".join(parts)


def _numbers(word: str) -> str:
    """A pattern for a word in singular and plural."""
    stem = re.escape(word.removesuffix("s"))
    return f"{stem}(?:s|es)?"


def noun(plural: str) -> str:
    """A pattern for the items of a story, in singular and plural."""
    word = plural.lower().split()[-1]
    stem = re.escape(word.removesuffix("s"))
    other = [re.escape(word.removesuffix("es"))] if word.endswith("es") else []
    other += [re.escape(word.removesuffix("ves")) + "f(?:e)?"] if word.endswith("ves") else []
    other += [re.escape(word.removesuffix("ies")) + "y"] if word.endswith("ies") else []
    before = re.escape(plural.lower().removesuffix(word))
    return rf"(?:(?:{before})?(?:{'|'.join([f'{stem}s?', *other])})|items?|ones?)"
