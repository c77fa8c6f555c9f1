"""Answers that say the same words again and again."""

from __future__ import annotations

import time

import pytest

from tests.extraction.runs import KINDS
from tests.extraction.test_rules import read


@pytest.mark.parametrize("words", ["now ", "however, so in total ", "probably "])
def test_repeated_words_take_no_time(words: str) -> None:
    """A model that is caught in a loop is read by all rules within three seconds."""
    begun = time.perf_counter()
    for question in KINDS:
        read(question, words * 30 + "x")
    assert time.perf_counter() - begun < 3
