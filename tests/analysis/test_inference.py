"""The bootstrap against a plain loop, known coverage, and Holm against its definition."""

from __future__ import annotations

import doctest
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grace_client.analysis import inference
from grace_client.analysis.inference import bootstrap, bootstrap_draws, holm, mark_noise, resample, wilson
from grace_client.errors import SpecError
from grace_client.manifest import Manifest, NoiseFloor, Spec, Spread
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
    assert found.loc["b", "n"] == 2 and found.loc["b", "low"] == 3 and found.loc["b", "high"] == 5
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


def manifest(points: float | None) -> Manifest:
    spread = Spread(sd=0.1, median=0.1, p95=points or 0.0, max=1.0)
    noise = NoiseFloor(questions=5, repeats=5, failed=0, loads=[1], seed=0, nats=spread, points=spread)
    spec = Spec(experiment="e", engine={"model": "m"}, trials_sha256="", questions_sha256="")
    return Manifest(trials="", spec=spec, noise=None if points is None else noise)


def test_noise_is_set_beside_effects() -> None:
    """An effect below the measured floor is marked; where no noise was measured nothing is said."""
    table = pd.DataFrame({"model": ["m", "m", "n"], "difference": [0.004, -0.02, 0.0]})
    manifests = {("m", "e"): manifest(1.0), ("n", "e"): manifest(None)}
    found = mark_noise(table, manifests, experiment="e")
    assert found["noise_floor"].tolist()[:2] == [0.01, 0.01] and np.isnan(found["noise_floor"].iloc[2])
    assert found["below_noise"].tolist()[:2] == [True, False] and found["below_noise"].isna().iloc[2]
    percent = mark_noise(table, manifests, experiment="e", unit="percentage")
    assert percent["noise_floor"].iloc[0] == pytest.approx(1.0488, abs=1e-4)
    with pytest.raises(SpecError, match="no column experiment"):
        mark_noise(table, manifests)
    with pytest.raises(SpecError, match="no unit 'nats'"):
        mark_noise(table, manifests, experiment="e", unit="nats")


def test_the_examples_are_real() -> None:
    """Doctest."""
    assert doctest.testmod(inference).failed == 0
