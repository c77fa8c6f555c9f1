"""Differences of two means whose observations are clustered."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from grace_client.analysis._statistics.variance import sign_test
from grace_client.analysis.intervals import LEVEL, TAIL, student


class Side(NamedTuple):
    """One side of a difference.

    Attributes
    ----------
    mean : float
        The mean; every observation counts the same.
    share : Series
        For each unit, its share of the observations.
    pull : Series
        For each unit, the sum of its deviations from the mean, divided by the number of observations.
    """

    mean: float
    share: pd.Series[float]
    pull: pd.Series[float]

    @classmethod
    def of(cls, values: pd.Series[float], unit: pd.Series[str]) -> Side:
        """The side of these observations, with the unit of each."""
        count = len(values)
        mean = float(values.mean()) if count else np.nan
        own = (values - mean).groupby(unit, sort=True, observed=True)
        return cls(mean, own.size() / max(1, count), own.sum() / max(1, count))

    @property
    def effective(self) -> float:
        """Effective number of units: that of as many equal ones."""
        return 1 / float((self.share**2).sum())

    @property
    def error(self) -> float:
        """Error of the mean, robust to correlation within units; missing for one unit, 0 if all agree."""
        if len(self.share) < 2:
            return float("nan")
        return root_error(float((self.pull**2 / (1 - self.share)).sum()), self.mean)


def tested(
    greater: Side, lesser: Side | None = None, *, most: float, alternative: str = "two-sided"
) -> dict[str, float]:
    """T test of a mean, or of the difference of two means over the same units.

    Parameters
    ----------
    greater, lesser : Side
        Both of the same units.
    most : float
        Greatest possible size of the difference.
    alternative : {"two-sided", "greater"}
        Side of the p value.

    Returns
    -------
    dict of str to float
        ``difference, low, high`` (two-sided 95% interval), ``t, df`` (effective number of units less one),
        ``p, d_z, n_distinct`` (units). If all units have the same difference and it is not 0, ``p`` is that
        of the sign test, and ``t``, ``d_z`` and the interval are missing. With fewer than two units, or if
        all differences are 0, the test is missing.
    """
    one = greater
    if lesser is not None:
        share = (greater.share + lesser.share) / 2
        one = Side(greater.mean - lesser.mean, share, greater.pull - lesser.pull)
    mean, count = one.mean, len(one.share)
    result = {"difference": mean, "n_distinct": count}
    result |= dict.fromkeys(("low", "high", "t", "df", "p", "d_z"), np.nan)
    if count < 2:
        return result
    effective, error = one.effective, one.error
    result["df"] = effective - 1
    if not error:
        return result | {"p": sign_test(mean, count, alternative)}
    found = student_test(mean, error, effective - 1, most, alternative)
    return result | found | {"d_z": found["t"] / np.sqrt(effective)}


def apart(greater: Side, lesser: Side, *, most: float, alternative: str = "two-sided") -> dict[str, float]:
    """T test of the difference of two means over different units, with unequal variances.

    Parameters
    ----------
    greater, lesser, most, alternative
        As in `tested`, but each side has its own units.

    Returns
    -------
    dict of str to float
        As `tested`, without ``d_z``; ``df`` is Welch and Satterthwaite's, over the effective numbers of
        units.

    References
    ----------
    Welch, B. L. (1947). The generalization of "Student's" problem when several different population variances
    are involved. *Biometrika*, 34(1-2), 28-35.
    """
    mean = greater.mean - lesser.mean
    result = {"difference": mean, "n_distinct": len(greater.share) + len(lesser.share)}
    result |= dict.fromkeys(("low", "high", "t", "df", "p", "d_z"), np.nan)
    if min(len(greater.share), len(lesser.share)) < 2:
        return result
    variances = [float((side.pull**2 / (1 - side.share)).sum()) for side in (greater, lesser)]
    error = root_error(sum(variances), mean)
    if not error:
        return result
    freedom = [side.effective - 1 for side in (greater, lesser)]
    df = sum(variances) ** 2 / sum(v**2 / f for v, f in zip(variances, freedom, strict=True))
    return result | {"df": df} | student_test(mean, error, df, most, alternative)


def root_error(variance: float, mean: float) -> float:
    """Its root; 0 where only rounding is left of equal values."""
    error = float(np.sqrt(variance))
    return error if error > 1e-12 * max(1.0, abs(mean)) else 0.0


def student_test(mean: float, error: float, df: float, most: float, alternative: str) -> dict[str, float]:
    """``low, high, t, p`` of a difference with a known error (not 0) and degrees of freedom."""
    from scipy import stats

    t, reach = mean / error, float(student(df + 1)) * error
    p = stats.t.sf(t, df) if alternative == "greater" else 2 * stats.t.sf(abs(t), df)
    return {"low": max(mean - reach, -most), "high": min(mean + reach, most), "t": t, "p": float(p)}


def d_z_interval(t: float, df: float) -> tuple[float, float]:
    """95% interval of d_z, the mean difference over the standard deviation of the differences.

    Its ends are the effects under which a t at least, or at most, as large has a probability of 2.5%.

    Parameters
    ----------
    t, df : float
        Of the paired test; there are ``df + 1`` pairs.

    Returns
    -------
    low, high : float
        Missing if `t` is.

    References
    ----------
    Cumming, G., & Finch, S. (2001). A primer on the understanding, use, and calculation of confidence
    intervals that are based on central and noncentral distributions. *Educational and Psychological
    Measurement*, 61(4), 532-574.
    """
    from scipy import optimize, stats

    if not np.isfinite(t):
        return float("nan"), float("nan")

    def beyond(at: float, level: float) -> float:
        below = float(stats.nct.cdf(t, df, at))
        # In the far tails scipy has NaN.
        return (below if np.isfinite(below) else float(at < t)) - level

    ends = []
    for level, direction in (((1 + LEVEL) / 2, -1.0), (TAIL, 1.0)):
        step = direction * float(np.sqrt(1 + t**2 / (2 * df)))
        other = t + step
        while direction * beyond(other, level) > 0:
            other += step
        # With few pairs the end of the other side may lie beyond t itself.
        start = t
        while direction * beyond(start, level) < 0:
            start -= step
        ends.append(float(optimize.brentq(beyond, *sorted((start, other)), args=(level,))))
    low, high = ends
    return low / float(np.sqrt(df + 1)), high / float(np.sqrt(df + 1))
