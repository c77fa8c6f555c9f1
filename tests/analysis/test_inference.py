"""Means and their errors against a plain loop, and Holm against its definition."""

from __future__ import annotations

import doctest
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from grace_client.analysis import inference
from grace_client.analysis.inference import holm, mean_intervals
from grace_client.core.errors import SpecError
from tests.analysis import frames


def slow(frame: pd.DataFrame) -> tuple[float, float]:
    """Mean and error of one group, cluster by cluster."""
    mean, variance, squared = frame["p"].mean(), 0.0, 0.0
    for _, rows in frame.groupby("stimulus"):
        share = len(rows) / len(frame)
        variance += (share * (rows["p"].mean() - mean)) ** 2 / (1 - share)
        squared += share**2
    reach = stats.t.ppf(0.975, 1 / squared - 1) * np.sqrt(variance)
    return float(mean - reach), float(mean + reach)


def uneven(seed: int = 0, clusters: int = 9) -> pd.DataFrame:
    """Clusters of one to five observations."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 6, clusters)
    stimulus = np.repeat(np.arange(clusters), sizes)
    p = generator.random(clusters)[stimulus] + 0.1 * generator.random(len(stimulus))
    return pd.DataFrame({"cell": "a", "stimulus": stimulus, "p": p})


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30))
def test_the_error_is_that_of_a_loop(seed: int, clusters: int) -> None:
    """The means and intervals equal those of a loop over groups and clusters."""
    parts = [uneven(seed + i, clusters).assign(cell=i) for i in range(3)]
    found = mean_intervals(pd.concat(parts, ignore_index=True), "p", ["cell"])
    for i, part in enumerate(parts):
        assert found[["low", "high"]].to_numpy()[i].tolist() == pytest.approx(slow(part), rel=1e-9)
    assert found["n"].tolist() == [len(part) for part in parts]
    assert (found["n_distinct"] == clusters).all()


def test_equal_clusters_have_the_interval_of_t() -> None:
    """With one observation per cluster and no bounds, the interval is that of a t test."""
    five = pd.DataFrame({"cell": "a", "stimulus": range(5), "p": [0.05, 0.1, 0.1, 0.2, 0.9]})
    found = mean_intervals(five, "p", ["cell"]).iloc[0]
    wanted = stats.ttest_1samp(five["p"], 0).confidence_interval(0.95)
    assert (found["low"], found["high"]) == pytest.approx((wanted.low, wanted.high), rel=1e-12)
    assert found["se"] == pytest.approx(stats.sem(five["p"]))
    within = mean_intervals(five, "p", ["cell"], bounds=(0, 1)).iloc[0]
    assert found["low"] < 0 <= within["low"] and within["high"] < 1
    half = mean_intervals(five, "p", ["cell"], bounds=(0, np.inf)).iloc[0]
    assert half["low"] == 0 and half["high"] == found["high"]


def test_copies_are_not_observations() -> None:
    """Fifty copies of six stimuli have the interval of the six stimuli."""
    six = pd.DataFrame({"cell": "a", "stimulus": range(6), "p": [0.1, 0.2, 0.3, 0.4, 0.6, 0.9]})
    copies = pd.concat([six] * 50, ignore_index=True)
    one, many = (mean_intervals(frame, "p", ["cell"], bounds=(0, 1)) for frame in (six, copies))
    assert many.iloc[0]["n"] == 300 and many.iloc[0]["n_distinct"] == 6
    assert many[["low", "high"]].to_numpy() == pytest.approx(one[["low", "high"]].to_numpy())
    naive = mean_intervals(copies.assign(stimulus=range(300)), "p", ["cell"], bounds=(0, 1)).iloc[0]
    assert naive["high"] - naive["low"] < 0.3 * (many["high"] - many["low"]).iloc[0]


def test_one_cluster_has_no_interval() -> None:
    """With one stimulus the interval is missing. NaN is no observation."""
    frame = pd.DataFrame(
        {"cell": ["a", "a", "b", "b", "b"], "stimulus": [1, 1, 2, 3, 4], "p": [1, 2, 3, 5, np.nan]}
    )
    for bounds in ((-np.inf, np.inf), (0, 10)):
        found = mean_intervals(frame, "p", ["cell"], bounds=bounds).set_index("cell")
        assert found.loc["a", ["low", "high", "se"]].isna().all()
        assert found.loc["b", "n"] == 2 and found.loc["b", "mean"] == 4
        assert found.loc["b", ["low", "high"]].notna().all()
    alike = mean_intervals(frame.assign(p=-1.1), "p", ["cell"]).set_index("cell")
    assert alike[["low", "high"]].isna().all(axis=None) and alike["mean"].eq(-1.1).all()
    with pytest.raises(SpecError, match="no row has a value in column p"):
        mean_intervals(frame.assign(p=np.nan), "p", ["cell"])
    with pytest.raises(SpecError, match="has no column stimulus"):
        mean_intervals(frame.drop(columns="stimulus"), "p", ["cell"])
    with pytest.raises(SpecError, match=r"column p, row 3: 5.0 is not from 0 to 4"):
        mean_intervals(frame, "p", ["cell"], bounds=(0, 4))


def test_six_models_take_seconds() -> None:
    """Six models over both studies: 6 × 300 × 4 in six cells, 6 × 2,424 × 8 in twelve; no width is 0."""
    one = frames.bets()
    two = frames.trials("study2")
    two = two.loc[two.index.repeat(8)].assign(utterance=list("abcdefgh") * len(two), p=0.5)
    models = [f"m{i}" for i in range(6)]
    start = time.process_time()
    first = mean_intervals(
        pd.concat([one.assign(model=m) for m in models]), "bet", ["model", "access", "observe", "state"]
    )
    second = mean_intervals(
        pd.concat([two.assign(model=m) for m in models], ignore_index=True),
        "p",
        ["model", "goal", "state", "utterance"],
        bounds=(0, 1),
    )
    assert time.process_time() - start < 5
    assert (len(first), len(second)) == (6 * 6 * 4, 6 * 12 * 8)
    assert first["low"].notna().all() and (second["low"] < second["high"]).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm(p: list[float]) -> None:
    """Adjusted p values are between p and Bonferroni's, in the same order. A missing p is no test."""
    adjusted = holm(p)
    assert (adjusted >= np.array(p)).all()
    assert (adjusted <= np.minimum(1, len(p) * np.array(p)) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
    with_missing = holm([*p, np.nan])
    assert np.isnan(with_missing[-1]) and (with_missing[:-1] == adjusted).all()


def test_the_examples_are_real() -> None:
    """The examples of the docstrings are correct."""
    assert doctest.testmod(inference).failed == 0
