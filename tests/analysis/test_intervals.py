"""Intervals of shares: how often they hold the truth, where they end, and the tests that belong to them."""

from __future__ import annotations

import doctest

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats

from grace_client.analysis import intervals
from grace_client.analysis.inference import mean_intervals
from grace_client.analysis.intervals import against_chance, bounded, clopper_pearson

Array = NDArray[np.float64]
SHARES = (0.002, 0.01, 0.03, 0.1, 0.25, 0.5)
STUDIES = 800
"""Of 800 intervals the share that holds the truth is known to 0.008."""


def of_clusters(generator: np.random.Generator, kind: str, spread: float, share: float, size: int) -> Array:
    """Shares of clusters whose mean is `share`: with an intraclass correlation, or a spread of log odds."""
    if kind == "beta":
        rest = 1 / spread - 1
        return generator.beta(share * rest, (1 - share) * rest, (STUDIES, size))
    z, weight = np.polynomial.hermite_e.hermegauss(80)

    def mean(middle: float) -> float:
        return float((weight / (1 + np.exp(-(middle + spread * z)))).sum() / weight.sum())

    middle = optimize.brentq(lambda at: mean(at) - share, -60, 60)
    return np.asarray(1 / (1 + np.exp(-(middle + spread * generator.standard_normal((STUDIES, size))))))


@pytest.mark.parametrize("sizes", [(8,) * 6, (17,) * 12, (3, 5, 8, 12, 9, 4), (1,) * 12])
@pytest.mark.parametrize(
    ("kind", "spread"),
    [("beta", 0.02), ("beta", 0.1), ("beta", 0.3), ("beta", 0.6), ("logit", 1.0), ("logit", 3.0)],
)
def test_small_shares_are_covered(sizes: tuple[int, ...], kind: str, spread: float) -> None:
    """Of 95% intervals 92% at least hold a share of .002 to .5, with few clusters, scored and drawn answers.

    `beta` clusters have that intraclass correlation; `logit` ones that standard deviation of log odds.
    """
    generator = np.random.default_rng(len(sizes))
    size = np.array(sizes)
    cluster = np.tile(np.repeat(np.arange(len(size)), size), STUDIES)
    study = np.repeat(np.arange(STUDIES), size.sum())
    for share in SHARES:
        own = of_clusters(generator, kind, spread, share, len(size))[study, cluster]
        drawn = (generator.random(len(own)) < own).astype(float)
        for answers in (own, drawn):
            frame = pd.DataFrame({"study": study, "stimulus": cluster, "p": answers})
            found = mean_intervals(frame, "p", ["study"], bounds=(0, 1))
            inside = ((found["low"] <= share) & (share <= found["high"])).mean()
            assert inside >= 0.92, (share, answers is drawn)
            assert ((found["low"] >= 0) & (found["high"] <= 1)).all()
            assert (found["high"] - found["low"] > 1e-3).all()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=20),
    st.floats(-100, 100),
    st.floats(0.1, 1000),
)
def test_an_interval_stays_within_its_bounds(values: list[float], least: float, wide: float) -> None:
    """The interval contains the mean, has a width, stays within the bounds, and scales with the unit."""
    frame = pd.DataFrame({"cell": "a", "stimulus": range(len(values)), "p": values})
    one = mean_intervals(frame, "p", ["cell"], bounds=(0, 1)).iloc[0]
    assert 0 <= one["low"] <= one["mean"] + 1e-9 and one["mean"] - 1e-9 <= one["high"] <= 1
    assert one["high"] - one["low"] > 1e-3
    scaled = frame.assign(p=least + wide * frame["p"])
    found = mean_intervals(scaled, "p", ["cell"], bounds=(least, least + wide)).iloc[0]
    for end in ("low", "high"):
        assert (found[end] - least) / wide == pytest.approx(one[end], abs=1e-4)
    turned = mean_intervals(frame.assign(p=1 - frame["p"]), "p", ["cell"], bounds=(0, 1)).iloc[0]
    assert 1 - turned["high"] == pytest.approx(one["low"], abs=1e-6)


def test_all_or_none_tells_of_the_clusters() -> None:
    """202 equal answers about 12 domains have the interval of 12 of 12 answers."""
    twelve = pd.DataFrame({"cell": "a", "stimulus": np.arange(202) % 12, "p": 1.0})
    found = mean_intervals(twelve, "p", ["cell"], bounds=(0, 1)).iloc[0]
    low, high = clopper_pearson(12, 12)
    assert found["low"] == pytest.approx(float(low), abs=1e-3) and found["high"] == high == 1
    six = mean_intervals(twelve.head(6), "p", ["cell"], bounds=(0, 1)).iloc[0]
    assert six["low"] == pytest.approx(float(clopper_pearson(6, 6)[0])) == pytest.approx(0.541, abs=1e-3)
    none = mean_intervals(twelve.assign(p=0.0), "p", ["cell"], bounds=(0, 1)).iloc[0]
    assert (none["low"], none["high"]) == (0, pytest.approx(1 - found["low"]))


def test_what_varies_little_is_known_well() -> None:
    """Far from the bounds, or with little spread, the interval is Student's t."""
    for mean, error in ((0.5, 0.04), (0.06, 0.002), (0.9, 0.003)):
        low, high = bounded(mean, error, 12)
        reach = stats.t.ppf(0.975, 11) * error
        assert (float(low), float(high)) == pytest.approx((mean - reach, mean + reach), rel=0.03)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1), st.floats(0, 0.3), st.floats(1.5, 40), st.floats(0.02, 0.98))
def test_the_test_is_the_interval_turned_round(
    share: float, error: float, clusters: float, chance: float
) -> None:
    """Chance is outside the 95% interval if and only if p is below .05."""
    low, high = bounded(share, error, clusters)
    p = float(against_chance(share, error, clusters, chance))
    if min(abs(low - chance), abs(high - chance)) > 1e-6:
        assert (p < 0.05) == bool(chance < low or chance > high)
    assert 0 <= p <= 1


def test_independent_choices_are_exact() -> None:
    """Counts have the exact interval of R, of scipy, and of the tables of Clopper and Pearson."""
    for k, n in ((0, 10), (1, 6), (149, 203), (203, 203)):
        wanted = stats.binomtest(k, n).proportion_ci(0.95, "exact")
        low, high = clopper_pearson(k, n)
        assert (float(low), float(high)) == pytest.approx((wanted.low, wanted.high))


def test_the_examples_are_real() -> None:
    """The examples of the docstrings are correct."""
    assert doctest.testmod(intervals).failed == 0
