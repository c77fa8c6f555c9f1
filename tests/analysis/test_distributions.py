"""Summaries of long tables."""

from __future__ import annotations

import doctest

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import spatial, stats

from grace_client.analysis import distributions, summarise
from grace_client.core.errors import SpecError


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
    with pytest.raises(SpecError, match=r"prob_norm of .*'trial_id': 1.* sums to 0.900000, not to 1"):
        summarise(long_table([[0.5, 0.4]]))
    with pytest.raises(SpecError, match="column option_mass is missing"):
        summarise(long_table([[1.0, 0.0]]).drop(columns="option_mass"))


def test_the_examples_in_the_docs_are_real() -> None:
    """The examples of the docstrings are correct."""
    assert doctest.testmod(distributions).failed == 0


def test_an_option_that_is_missing_is_named() -> None:
    """A question with one option less than the others cannot be summarised."""
    with pytest.raises(SpecError, match=r"'trial_id': 2.* sums to nan"):
        summarise(long_table([[0.5, 0.5], [1.0, 0.0]]).drop(index=3))


def test_entropy_as_a_share() -> None:
    """Uniform is 1 and certain 0, whatever the number of options."""
    found = summarise(long_table([[0.25] * 4, [1.0, 0, 0, 0]]))
    assert found["entropy_share"].tolist() == [1.0, 0.0]
    assert found["entropy"].tolist() == [2.0, 0.0]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two distributions over the same ascending values."""
    n = draw(st.integers(2, 8))
    weights = st.lists(st.floats(0.001, 1), min_size=n, max_size=n)
    p, q = np.array(draw(weights)), np.array(draw(weights))
    values = np.cumsum(np.array(draw(st.lists(st.floats(0.1, 10), min_size=n, max_size=n))))
    return p / p.sum(), q / q.sum(), values


@given(pairs())
def test_distances_equal_those_of_scipy(pair: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Wasserstein and Jensen-Shannon are scipy's; all distances are symmetric and 0 to themselves."""
    p, q, values = pair
    moved = distributions.wasserstein(p, q, values)
    assert moved == pytest.approx(stats.wasserstein_distance(values, values, p, q), abs=1e-9)
    js = distributions.jensen_shannon(p, q)
    # Older releases of scipy take the root of a rounding error below 0 where two distributions are the same.
    assert js == pytest.approx(np.nan_to_num(spatial.distance.jensenshannon(p, q, base=2)) ** 2, abs=1e-9)
    assert js == pytest.approx(distributions.jensen_shannon(q, p))
    tv = distributions.total_variation(p, q)
    assert 0 <= tv <= 1 and tv == pytest.approx(np.abs(p - q).sum() / 2)
    assert distributions.jensen_shannon(p, p) == 0 == distributions.total_variation(p, p)


def scored(logprob: list[float], question: str = "state0", stimulus: str = "s") -> pd.DataFrame:
    long = long_table([[1 / len(logprob)] * len(logprob)])
    return long.assign(logprob=logprob, question=question, stimulus=stimulus)


def test_pmi() -> None:
    """An option that the context makes twice as likely gains one bit; shares go with two to that power."""
    context, null = scored(list(np.log([0.2, 0.2, 0.1]))), scored(list(np.log([0.1, 0.2, 0.2])))
    found = distributions.pmi(context, null)
    assert found["pmi"].to_numpy() == pytest.approx([1, 0, -1])
    assert found["prob_pmi"].to_numpy() == pytest.approx(np.array([4, 2, 1]) / 7)
    twice = pd.concat([null, null.assign(trial_id=2)])
    pd.testing.assert_frame_equal(distributions.pmi(context, twice), found)
    other = scored(list(np.log([0.3, 0.2, 0.1])), stimulus="t")
    pd.testing.assert_frame_equal(distributions.pmi(context, pd.concat([other, null])), found)
    with pytest.raises(SpecError, match="several values for state0, option 0 of m"):
        distributions.pmi(context, pd.concat([null, null.assign(trial_id=2, logprob=-1.0)]))
    with pytest.raises(SpecError, match="no value for state0, option 0 of m"):
        distributions.pmi(context, scored([-1.0, -2.0], "state1"))
    with pytest.raises(SpecError, match=r"no value for state0.*stimulus s; run it with the same trial list"):
        distributions.pmi(context, null.assign(stimulus="t"))
    failed = distributions.pmi(context.assign(status="nan", logprob=np.nan), null)
    assert failed[["pmi", "prob_pmi"]].isna().all(axis=None)
