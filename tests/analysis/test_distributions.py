"""Summaries of long tables."""

from __future__ import annotations

import doctest

import numpy as np
import pandas as pd
import pytest

from grace_client.analysis import cell_means, distributions, summarise


def long_table(prob: list[list[float]], status: str = "ok") -> pd.DataFrame:
    rows = [
        {
            "model": "m",
            "experiment": "e",
            "trial_id": trial,
            "question": "state0",
            "option": str(10 * i),
            "prob_norm": p,
            "option_mass": 0.5,
            "status": status,
        }
        for trial, row in enumerate(prob, start=1)
        for i, p in enumerate(row)
    ]
    return pd.DataFrame(rows)


def test_summaries_are_right() -> None:
    """Mean, std, median, mode and entropy of two distributions, by hand."""
    found = summarise(long_table([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]]))
    assert found["mean"].tolist() == [7.5, 20.0]
    assert found["std"].tolist() == pytest.approx([np.sqrt(68.75), 0.0])
    assert found["median"].tolist() == [0.0, 20.0]
    assert found["mode"].tolist() == ["0", "20"]
    assert found["entropy"].tolist() == [1.5, 0.0]


def test_words_have_no_mean() -> None:
    """Options that are not numbers keep mode and entropy."""
    long = long_table([[0.5, 0.5]]).assign(option=["yes", "no"])
    found = summarise(long)
    assert found["entropy"].tolist() == [1.0]
    assert found[["mean", "std", "median"]].isna().all(axis=None)


def test_failures_are_left_out_and_nonsense_is_named() -> None:
    """A failed item is no observation; a sum that is not 1 is an error."""
    assert summarise(long_table([[np.nan, np.nan]], status="nan")).empty
    with pytest.raises(ValueError, match=r"prob_norm of .*'trial_id': 1.* sums to 0.900000, not to 1"):
        summarise(long_table([[0.5, 0.4]]))
    with pytest.raises(ValueError, match="column option_mass is missing"):
        summarise(long_table([[1.0, 0.0]]).drop(columns="option_mass"))


def test_cell_means_count_distinct_answers() -> None:
    """Trials that share a stimulus are one observation: n and n_distinct are both there."""
    long = long_table([[0.2, 0.8], [0.2, 0.8], [0.6, 0.4]])
    conditions = pd.DataFrame({"access": ["1", "1", "1"]}, index=pd.Index([1, 2, 3], name="trial_id"))
    means = cell_means(long, conditions)
    assert means["prob_norm"].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert means["n"].tolist() == [3, 3]
    assert means["n_distinct"].tolist() == [2, 2]


def test_the_examples_in_the_docs_are_real() -> None:
    """Doctest."""
    assert doctest.testmod(distributions).failed == 0
