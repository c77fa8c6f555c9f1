"""The bootstrap against a plain loop, known coverage, and Holm against its definition."""

from __future__ import annotations

import doctest
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from grace_client.analysis import inference
from grace_client.analysis.inference import bootstrap, bootstrap_draws, holm, resample, wilson
from grace_client.errors import SpecError
from tests.analysis import frames


def slow(frame: pd.DataFrame, draws: int, seed: int) -> tuple[float, float]:
    """Percentile interval of one group's mean, cluster by cluster and draw by draw."""
    clusters = [rows["p"].to_list() for _, rows in frame.groupby("stimulus")]
    generator = np.random.default_rng(seed)
    means = []
    for _ in range(draws):
        chosen = [clusters[i] for i in generator.integers(0, len(clusters), len(clusters))]
        values = [value for cluster in chosen for value in cluster]
        means.append(sum(values) / len(values))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def uneven(seed: int = 0, clusters: int = 9) -> pd.DataFrame:
    """Clusters of one to five observations."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 6, clusters)
    stimulus = np.repeat(np.arange(clusters), sizes)
    p = generator.random(clusters)[stimulus] + 0.1 * generator.random(len(stimulus))
    return pd.DataFrame({"cell": "a", "stimulus": stimulus, "p": p})


def test_the_fast_bootstrap_is_the_slow_one() -> None:
    """The very same draws give the very same interval as a loop over clusters."""
    frame = uneven()
    found = bootstrap(frame, "p", ["cell"], draws=500, seed=3, method="percentile").iloc[0]
    assert (found["low"], found["high"]) == pytest.approx(slow(frame, 500, 3), rel=1e-12)
    assert found["mean"] == pytest.approx(frame["p"].mean())
    assert (found["n"], found["n_distinct"]) == (len(frame), 9)


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 4))
def test_draws_are_means_of_clusters(seed: int, clusters: int, columns: int) -> None:
    """Every draw lies between the smallest and the largest cluster mean; equal clusters give no spread."""
    generator = np.random.default_rng(seed)
    counts = generator.integers(1, 5, (clusters, columns)).astype(float)
    means = generator.normal(size=(clusters, columns))
    drawn = resample(means * counts, counts, draws=50, seed=seed)
    assert (drawn >= means.min(axis=0) - 1e-9).all() and (drawn <= means.max(axis=0) + 1e-9).all()
    assert np.ptp(resample(2 * counts, counts, draws=20, seed=seed)) < 1e-12


def test_strata_are_drawn_apart() -> None:
    """With two strata of one cluster each, every draw holds both."""
    drawn = resample([[0.0], [10.0]], [[1.0], [1.0]], draws=100, strata=["a", "b"])
    assert (drawn == 5.0).all()


@pytest.mark.parametrize(("method", "least"), [("expanded", 0.92), ("bca", 0.80), ("percentile", 0.80)])
def test_coverage(method: str, least: float) -> None:
    """Of 95% intervals over six stimuli, nearly 95% of the expanded ones hold the truth; others are short.

    Six is what a cell of Study 1 has. 400 studies: the share is known to 0.011.
    """
    generator = np.random.default_rng(8)
    rows = [
        (study, stimulus, value)
        for study in range(400)
        for stimulus, value in enumerate(generator.normal(0, 1, 6))
        for _ in range(2)
    ]
    frame = pd.DataFrame(rows, columns=["study", "stimulus", "p"])
    found = bootstrap(frame, "p", ["study"], draws=1000, method=method)
    inside = ((found["low"] <= 0) & (found["high"] >= 0)).mean()
    assert least <= inside <= (0.97 if method == "expanded" else 0.92)


@pytest.mark.parametrize("clusters", range(2, 9))
@pytest.mark.parametrize("kind", ["even", "uneven"])
def test_coverage_with_few_clusters(clusters: int, kind: str) -> None:
    """Of 95% intervals over two to eight clusters, 93% at least hold the truth; percentiles alone do not.

    2,000 studies: the share is known to 0.005. `uneven` clusters have one to three observations each.
    """
    studies = 2000
    generator = np.random.default_rng(clusters)
    value = generator.normal(0, 1, (studies, clusters))
    sizes = np.ones(clusters, dtype=int) if kind == "even" else 1 + np.arange(clusters) % 3
    cluster = np.tile(np.repeat(np.arange(clusters), sizes), studies)
    study = np.repeat(np.arange(studies), sizes.sum())
    frame = pd.DataFrame({"study": study, "stimulus": cluster, "p": value[study, cluster]})
    found = bootstrap(frame, "p", ["study"], draws=1000)
    inside = ((found["low"] <= 0) & (found["high"] >= 0)).mean()
    plain = bootstrap(frame, "p", ["study"], draws=400, method="percentile")
    short = ((plain["low"] <= 0) & (plain["high"] >= 0)).mean()
    least = 0.92 if kind == "uneven" else 0.93
    assert least <= inside <= 0.97 and short < inside


def test_few_clusters_have_the_interval_of_t() -> None:
    """With one observation per cluster it is that of a t test; a bound cuts it; eight are drawn."""
    five = pd.DataFrame({"cell": "a", "stimulus": range(5), "p": [0.05, 0.1, 0.1, 0.2, 0.9]})
    found = bootstrap(five, "p", ["cell"]).iloc[0]
    wanted = stats.ttest_1samp(five["p"], 0).confidence_interval(0.95)
    assert (found["low"], found["high"]) == pytest.approx((wanted.low, wanted.high), rel=1e-12)
    assert found["se"] == pytest.approx(stats.sem(five["p"]))
    assert found["low"] < 0 and bootstrap(five, "p", ["cell"], bounds=(0, 1)).iloc[0]["low"] == 0
    eight = bootstrap(pd.concat([five, five.head(3).assign(stimulus=[5, 6, 7])]), "p", ["cell"]).iloc[0]
    assert eight["low"] > 0


def test_copies_are_not_observations() -> None:
    """Fifty copies of six stimuli have the interval of the six, not one that is three times as narrow."""
    six = pd.DataFrame({"cell": "a", "stimulus": range(6), "p": [0.1, 0.2, 0.3, 0.4, 0.6, 0.9]})
    copies = pd.concat([six] * 50, ignore_index=True)
    one, many = (bootstrap(frame, "p", ["cell"]) for frame in (six, copies))
    assert many.iloc[0]["n"] == 300 and many.iloc[0]["n_distinct"] == 6
    assert many[["low", "high"]].to_numpy() == pytest.approx(one[["low", "high"]].to_numpy())
    naive = bootstrap(copies.assign(stimulus=range(300)), "p", ["cell"]).iloc[0]
    assert naive["high"] - naive["low"] < 0.3 * (many["high"] - many["low"]).iloc[0]


def test_one_cluster_has_no_interval() -> None:
    """Where everything is of one stimulus, the interval is missing, not of width zero; NaN is no data."""
    frame = pd.DataFrame(
        {"cell": ["a", "a", "b", "b", "b"], "stimulus": [1, 1, 2, 3, 4], "p": [1, 2, 3, 5, np.nan]}
    )
    found = bootstrap(frame, "p", ["cell"]).set_index("cell")
    assert found.loc["a", ["low", "high", "se"]].isna().all()
    assert found.loc["b", "n"] == 2 and found.loc["b", "mean"] == 4
    assert found["high"]["b"] - found["mean"]["b"] == pytest.approx(stats.t.ppf(0.975, 1))
    with pytest.raises(SpecError, match="there is nothing to average: no row has a p"):
        bootstrap(frame.assign(p=np.nan), "p", ["cell"])
    with pytest.raises(SpecError, match="has no column stimulus"):
        bootstrap(frame.drop(columns="stimulus"), "p", ["cell"])
    with pytest.raises(SpecError, match="no bootstrap method 'basic'"):
        bootstrap(frame, "p", ["cell"], method="basic")


def test_models_share_their_draws() -> None:
    """Two models that answer alike differ by nothing in every draw."""
    frame = pd.concat(
        [uneven().assign(model=m, p=uneven()["p"] + shift) for m, shift in (("a", 0), ("b", 1))]
    )
    groups, drawn = bootstrap_draws(frame, "p", ["model"], draws=200)
    assert groups["model"].tolist() == ["a", "b"]
    assert drawn[:, 1] - drawn[:, 0] == pytest.approx(np.ones(200))


def test_six_models_take_seconds() -> None:
    """10,000 draws of six models over both studies: 6 × 300 × 4 in six cells, 6 × 2,424 × 8 in twelve."""
    one = frames.bets()
    two = frames.trials("study2")
    two = two.loc[two.index.repeat(8)].assign(utterance=list("abcdefgh") * len(two), p=0.5)
    models = [f"m{i}" for i in range(6)]
    start = time.process_time()
    first = bootstrap(
        pd.concat([one.assign(model=m) for m in models]), "bet", ["model", "access", "observe", "state"]
    )
    second = bootstrap(
        pd.concat([two.assign(model=m) for m in models]), "p", ["model", "goal", "state", "utterance"]
    )
    print(f"{time.process_time() - start:.1f} s of CPU time")
    assert (len(first), len(second)) == (6 * 6 * 4, 6 * 12 * 8)
    assert first["low"].notna().all() and (second["low"] == second["high"]).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm(p: list[float]) -> None:
    """Never below the p value, never above Bonferroni's, in the same order; a missing one is no test."""
    adjusted = holm(p)
    assert (adjusted >= np.array(p)).all()
    assert (adjusted <= np.minimum(1, len(p) * np.array(p)) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
    with_missing = holm([*p, np.nan])
    assert np.isnan(with_missing[-1]) and (with_missing[:-1] == adjusted).all()


def test_wilson_stays_in_bounds() -> None:
    """None of ten is an interval that begins at 0 and is not empty."""
    low, high = wilson([0, 10], [10, 10])
    assert low[0] == 0 < high[0] < 0.35 and high[1] == pytest.approx(1)


def test_the_examples_are_real() -> None:
    """Doctest."""
    assert doctest.testmod(inference).failed == 0
