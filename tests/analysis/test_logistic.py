"""The penalised mixed model against its likelihood integrated by quadrature, and exact tests by hand."""

from __future__ import annotations

import doctest
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from grace_client.analysis._statistics import logistic, variance
from grace_client.analysis._statistics.logistic import mixed
from grace_client.analysis._statistics.variance import paired, sign_flips, sign_test

Array = NDArray[np.float64]
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)


def marginal(parameters: Array, negated: Array, size: int) -> float:
    """-2 log likelihood with one random intercept and log-F(1, 1) priors, by numerical integration."""
    sd, beta = abs(parameters[0]), parameters[1:]
    eta = beta[:, None] + sd * NODES
    log = stats.binom.logpmf(negated[:, :, None], size, (1 / (1 + np.exp(-eta)))[None])
    each = (np.exp(log.sum(axis=1)) * WEIGHTS).sum(axis=-1) / WEIGHTS.sum()
    prior = 0.5 * beta - np.logaddexp(0, beta)
    return float(-2 * (np.log(each).sum() + prior.sum()))


def test_the_penalised_fit_is_that_of_the_integrated_likelihood() -> None:
    """Laplace's approximation and quadrature agree for 40 choices an item, also if a cell is 0 of 480."""
    generator = np.random.default_rng(2)
    size, items = 40, 12
    log_odds = generator.normal(0, 0.7, items)[:, None] + [-1.0, 0.5]
    negated = np.column_stack([generator.binomial(size, 1 / (1 + np.exp(-log_odds))), np.zeros(items, int)])
    rows = [(item, cell, choice) for item, cell in product(range(items), range(3)) for choice in range(size)]
    item, cell, choice = (np.array(column) for column in zip(*rows, strict=True))
    y = (choice < negated[item, cell]).astype(float)
    found = mixed(y, np.eye(3)[cell], {"item": item}, penalised=True)
    wanted = optimize.minimize(
        marginal,
        [0.7, -1, 0.5, -6],
        args=(negated, size),
        method="Nelder-Mead",
        options={"maxiter": 4000, "fatol": 1e-9, "xatol": 1e-6},
    )
    assert found.converged
    assert found.spread["item"] == pytest.approx(abs(wanted.x[0]), rel=0.01)
    assert found.estimate == pytest.approx(wanted.x[1:], abs=0.03)
    assert -10 < found.estimate[2] < -5 and found.covariance[2, 2] > 1


def test_without_random_effects_the_prior_is_firths() -> None:
    """If items do not differ, half a choice of each kind is added to each cell."""
    y = np.tile([1.0, 0, 0, 0], 12)
    item, cell = np.repeat(np.arange(12), 4), np.tile([0, 0, 0, 1], 12)
    found = mixed(y, np.eye(2)[cell], {"item": item}, penalised=True)
    assert found.spread["item"] == pytest.approx(0, abs=0.02)
    assert found.estimate == pytest.approx([np.log(12.5 / 24.5), np.log(0.5 / 12.5)], abs=1e-3)


def test_places_are_changed_exactly() -> None:
    """P equals an enumeration of all sign changes. Equal differences have the smallest p."""
    generator = np.random.default_rng(4)
    difference = generator.normal(0.4, 1, 9)
    ways = [
        abs(sum(s * d for s, d in zip(signs, difference, strict=True)))
        for signs in product((1, -1), repeat=9)
    ]
    assert sign_flips(difference) == pytest.approx(np.mean(np.array(ways) >= abs(difference.sum()) - 1e-12))
    assert sign_flips(np.full(12, 0.3)) == 2 / 2**12
    assert sign_flips(np.zeros(12)) == 1 and np.isnan(sign_flips(np.array([0.2])))
    assert 0 < sign_flips(np.full(40, 0.3)) <= 1 / 20_000
    t = stats.ttest_1samp(many := generator.normal(0.2, 1, 60), 0).pvalue
    assert sign_flips(many) == pytest.approx(t, abs=0.02)


def test_no_p_is_0() -> None:
    """If all differences are equal, p is that of the sign test, and the interval is missing."""
    found = paired(np.full(12, 3.0), np.full(12, 1.0))
    assert found["p"] == 2 / 2**12 and np.isnan(found["t"]) and np.isnan(found["low"])
    assert paired(np.full(6, 3.0), np.full(6, 1.0), alternative="greater")["p"] == 1 / 64
    assert sign_test(-1, 6, "greater") == 1 and np.isnan(sign_test(0, 6))


def test_the_examples_are_real() -> None:
    """The examples of the docstrings are correct."""
    assert doctest.testmod(logistic).failed == doctest.testmod(variance).failed == 0
