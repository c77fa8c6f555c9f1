"""Intervals and tests for shares and other bounded values, over few clusters."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LEVEL = 0.95
TAIL = (1 - LEVEL) / 2
PLENTY = 10
"""From this effective number of cases on, the spread between clusters is known well enough."""
MOST = 100_000
"""Limit of the effective number of observations of a cluster, for clusters without any variance."""


def bounded(
    mean: ArrayLike,
    error: ArrayLike,
    clusters: ArrayLike,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    choices: ArrayLike = np.inf,
) -> tuple[Array, Array]:
    r"""95% interval of the mean of values that have a least and a largest possible value, such as shares.

    The mean is brought to a share p, from 0 to 1. Its error s gives the effective number of observations
    :math:`n^* = p(1-p)/s^2 \cdot (z/t)^2`, with t of G - 1 degrees of freedom for G clusters. The interval is
    Clopper and Pearson's for :math:`k^* = p n^*` cases of :math:`n^*` (Korn and Graubard). It stays within
    the bounds and always has a width.

    Near a bound, the observed clusters say little about others: six stories without any negation do not
    exclude a story in which all negate. So the upper end is at least that of 0 in G answers, and the lower
    end at most that of all G; with more than 10 effective cases, of :math:`G k^*/10` answers. Simulated, with
    shares of .002 to .5, 2 to 40 clusters, scored and drawn answers and intraclass correlations of 0 to .8,
    93% to 100% of the intervals contain the true value.

    Parameters
    ----------
    mean, error : array_like
        In the unit of the bounds; `error` is robust to the clusters.
    clusters : array_like
        Effective number of clusters; with one there is no interval.
    bounds : pair of float
        Least and largest value.
    choices : array_like
        Number of observations if each is at one of the bounds (a choice: 0 or 1). It is the upper limit of
        the effective number of observations.

    Returns
    -------
    low, high : ndarray

    References
    ----------
    Korn, E. L., & Graubard, B. I. (1998). Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data. *Survey Methodology*, 24(2), 193-201. Clopper, C. J., &
    Pearson, E. S. (1934). The use of confidence or fiducial limits illustrated in the case of the binomial.
    *Biometrika*, 26(4), 404-413.

    Examples
    --------
    Six of six independent answers, and six stories with probabilities around .9:

    >>> [round(float(end), 3) for end in bounded(1.0, 0.0, 6, choices=6)]
    [0.541, 1.0]
    >>> [round(float(end), 3) for end in bounded(0.9, 0.01, 6)]
    [0.871, 0.924]
    """
    least, most = bounds
    p, size, count = _effective(mean, error, clusters, bounds, choices)

    def lower(cases: Array) -> Array:
        return np.minimum(_at_least(cases, size), TAIL ** (1 / _different(cases, size, count)))

    low, high = lower(p * size), 1 - lower((1 - p) * size)
    return least + (most - least) * low, least + (most - least) * high


def against_chance(
    mean: ArrayLike,
    error: ArrayLike,
    clusters: ArrayLike,
    chance: float,
    *,
    choices: ArrayLike = np.inf,
    alternative: str = "two-sided",
) -> Array:
    """P values of shares against a fixed one: the test whose intervals are those of `bounded`.

    Parameters
    ----------
    mean, error, clusters, choices
        As in `bounded`, with the bounds 0 and 1.
    chance : float
        The share under the null hypothesis.
    alternative : {"two-sided", "greater", "less"}
        Two-sided is twice the smaller of the two tails.

    Returns
    -------
    ndarray
        Missing if there is one cluster.

    Examples
    --------
    Six of six independent answers, against a half; all 50 answers about six items, which differ less:

    >>> float(against_chance(1.0, 0.0, 6, 0.5, choices=6, alternative="greater"))
    0.015625
    >>> float(against_chance(1.0, 0.0, 6, 0.5, choices=50, alternative="greater"))
    0.015625
    """
    from scipy import special

    p, size, count = _effective(mean, error, clusters, (0.0, 1.0), choices)

    def tail(cases: Array, chance: float) -> Array:
        some = cases > 1e-9
        exact = special.betainc(np.where(some, cases, 1.0), np.where(some, size - cases, 0.0) + 1, chance)
        return np.maximum(np.where(some, exact, 1.0), chance ** _different(cases, size, count))

    greater, less = tail(p * size, chance), tail((1 - p) * size, 1 - chance)
    result = {"greater": greater, "less": less, "two-sided": np.minimum(1, 2 * np.minimum(greater, less))}
    return np.asarray(np.where(np.isnan(count), np.nan, result[alternative]))


def _effective(
    mean: ArrayLike, error: ArrayLike, clusters: ArrayLike, bounds: tuple[float, float], choices: ArrayLike
) -> tuple[Array, Array, Array]:
    """Means as shares, their effective numbers of observations, and of clusters (missing for one)."""
    from scipy import stats

    least, most = bounds
    values = (np.asarray(a, dtype=np.float64) for a in (mean, error, clusters, choices))
    mean, error, clusters, choices = np.broadcast_arrays(*values)
    count = np.where(clusters > 1 + 1e-9, clusters, np.nan)
    p = np.clip((mean - least) / (most - least), 0.0, 1.0)
    variance = (error / (most - least) * student(count) / stats.norm.ppf((1 + LEVEL) / 2)) ** 2
    size = np.divide(p * (1 - p), variance, out=np.full(p.shape, np.inf), where=variance > 0)
    return p, np.minimum(size, np.minimum(MOST * count, choices)), count


def _different(cases: Array, size: Array, count: Array) -> Array:
    """Number of independent answers that the clusters are worth near a bound."""
    return np.asarray(count * np.maximum(1, (size - cases) / PLENTY))


def clopper_pearson(k: ArrayLike, n: ArrayLike) -> tuple[Array, Array]:
    """95% interval of a share of k in n independent choices, of Clopper and Pearson.

    It is that of `bounded` for 0 and for n of n choices, each of which is a cluster.

    Parameters
    ----------
    k, n : array_like
        Times chosen, and choices (more than 0).

    Returns
    -------
    low, high : ndarray

    References
    ----------
    Clopper, C. J., & Pearson, E. S. (1934). The use of confidence or fiducial limits illustrated in the case
    of the binomial. *Biometrika*, 26(4), 404-413.

    Examples
    --------
    >>> [round(float(end), 3) for end in clopper_pearson(149, 203)]
    [0.668, 0.793]
    """
    k, n = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    return _at_least(k, n), 1 - _at_least(n - k, n)


def _at_least(cases: Array, size: Array) -> Array:
    """Lower end of Clopper and Pearson's interval, also for numbers that are not whole; 0 for no case."""
    from scipy import special

    some = cases > 1e-9
    exact = special.betaincinv(np.where(some, cases, 1.0), np.where(some, size - cases, 0.0) + 1, TAIL)
    return np.asarray(np.where(np.isnan(size) | some, exact + 0 * size, 0.0))


def student(clusters: ArrayLike) -> Array:
    """Quantile of t for an interval over so many clusters; missing if there is one."""
    from scipy import stats

    count = np.asarray(clusters, dtype=np.float64)
    return np.asarray(stats.t.ppf((1 + LEVEL) / 2, np.where(count > 1 + 1e-9, count - 1, np.nan)))
