"""Analysis of variance of designs with empty cells, and paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

EXACT = 15
"""Largest number of pairs for which all sign changes are tried."""
FLIPS = 20_000
"""Number of random sign changes for more pairs."""
LEAST_REPEATED = 3
"""Stimuli with at least two answers that a share of variance needs."""


def type_two(rows: pd.DataFrame, value: str, factors: Sequence[str], block: str | None) -> pd.DataFrame:
    """Type II sums of squares of crossed factors, with or without blocks.

    Each effect is adjusted for the blocks and for all effects that do not contain it: with two factors, the
    main effects for each other and the interaction for both. All are tested against the error of
    ``block + first * second * …``. Degrees of freedom are differences of ranks, so that cells may be empty
    and of any size.

    Parameters
    ----------
    rows : DataFrame
        One row per observation.
    value : str
        Column to analyse.
    factors : sequence of str
        Columns of one or more factors. Their values are levels, also where they are numbers.
    block : str or None
        Column of blocks.

    Returns
    -------
    DataFrame
        ``effect, ss, df, ms, f, p, eta_p2``; the last row is ``residual``. ``f``, ``p`` and ``eta_p2`` are
        missing without a residual, and for an effect without degrees of freedom.
    """
    from scipy import stats

    y = rows[value].to_numpy(dtype=np.float64)
    base = [_levels(rows, [block])] if block else [np.ones((len(rows), 1))]
    effects = [one for size in range(1, len(factors) + 1) for one in combinations(factors, size)]
    columns = {effect: _levels(rows, effect) for effect in effects}
    full = _fit([*base, columns[tuple(factors)]], y)
    residual, df_residual = full[0], len(y) - full[1]
    # The residual of an exact fit is only rounding.
    rounding = 1e-20 * max(1.0, float((y**2).sum()))
    table = []
    for effect in effects:
        others = [columns[one] for one in effects if not set(effect) <= set(one)]
        before, rank = _fit([*base, *others], y)
        after, more = full if effect == effects[-1] else _fit([*base, *others, columns[effect]], y)
        ss, df = max(0.0, before - after), more - rank
        f = p = eta = np.nan
        if df > 0 and df_residual > 0 and residual > rounding:
            f = (ss / df) / (residual / df_residual)
            p, eta = float(stats.f.sf(f, df, df_residual)), ss / (ss + residual)
        table.append((":".join(effect), ss, df, ss / df if df else np.nan, f, p, eta))
    mean = residual / df_residual if df_residual else np.nan
    table.append(("residual", residual, df_residual, mean, np.nan, np.nan, np.nan))
    return pd.DataFrame(table, columns=["effect", "ss", "df", "ms", "f", "p", "eta_p2"])


def paired(greater: Array, lesser: Array, *, alternative: str = "two-sided") -> dict[str, float]:
    """A paired t test.

    Parameters
    ----------
    greater, lesser : ndarray, shape (n_pairs,)
        The two values of each pair.
    alternative : {"two-sided", "greater"}
        Side of the p value.

    Returns
    -------
    dict of str to float
        ``mean_greater, mean_lesser, difference, low, high`` (two-sided 95% interval), ``t, df, p, d_z``.
        If all differences are equal and not 0, ``t``, ``d_z`` and the interval are missing, because the
        variance is unknown, and ``p`` is that of the sign test: 0.5 to the power of the number of pairs in
        one tail. With fewer than two pairs, or if all differences are 0, the test is missing.
    """
    from scipy import stats

    count = len(greater)
    result = dict.fromkeys(("mean_greater", "mean_lesser", "difference"), np.nan)
    result |= dict.fromkeys(("low", "high", "t", "df", "p", "d_z"), np.nan)
    if count == 0:
        return result
    difference = greater - lesser
    mean = float(difference.mean())
    result |= {"mean_greater": float(greater.mean()), "mean_lesser": float(lesser.mean()), "difference": mean}
    if count < 2:
        return result
    sd, df = float(difference.std(ddof=1)), count - 1
    # Equal differences differ by rounding alone.
    if sd <= 1e-12 * max(1.0, abs(mean)):
        return result | {"df": df, "p": sign_test(mean, count, alternative)}
    error = sd / np.sqrt(count)
    reach = float(stats.t.ppf(0.975, df)) * error
    t = mean / error
    return result | {
        "low": mean - reach,
        "high": mean + reach,
        "t": t,
        "df": df,
        "p": float(stats.t.sf(t, df) if alternative == "greater" else 2 * stats.t.sf(abs(t), df)),
        "d_z": mean / sd,
    }


def sign_test(mean: float, count: int, alternative: str = "two-sided") -> float:
    """P value of `count` pairs that all differ in the direction of `mean`; missing if the mean is 0."""
    if abs(mean) <= 1e-12:
        return float("nan")
    if alternative == "greater":
        return 0.5**count if mean > 0 else 1.0
    return min(1.0, 2 * 0.5**count)


def sign_flips(difference: Array, alternative: str = "two-sided") -> float:
    """Exact p value of paired differences whose signs are random under the null hypothesis.

    Parameters
    ----------
    difference : ndarray, shape (n_pairs,)
        Difference of each pair.
    alternative : {"two-sided", "greater"}
        Side of the p value.

    Returns
    -------
    float
        Share of all 2**n_pairs sign changes whose sum of differences is at least as far from 0 (of one side:
        as large) as the observed one. With more than 15 pairs, 20,000 random sign changes and the observed
        one. Missing with fewer than two pairs.

    References
    ----------
    Fisher, R. A. (1935). *The design of experiments*. Oliver & Boyd, section 21.

    Examples
    --------
    >>> import numpy as np
    >>> sign_flips(np.array([0.2, 0.4, 0.1, 0.3]))
    0.125
    """
    count = len(difference)
    if count < 2:
        return float("nan")
    total = float(difference.sum())
    side = np.abs if alternative == "two-sided" else np.asarray
    observed = float(side(total)) - 1e-9 * float(np.abs(difference).sum())
    if count <= EXACT:
        signs = 1.0 - 2.0 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
        return float((side(signs @ difference) >= observed).mean())
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (FLIPS, count))
    return float(((side(signs @ difference) >= observed).sum() + 1) / (FLIPS + 1))


def _levels(rows: pd.DataFrame, columns: Sequence[str]) -> Array:
    """An indicator column per level, or per combination of levels that exists."""
    codes = rows.groupby(list(columns), sort=True).ngroup().to_numpy()
    return np.eye(int(codes.max()) + 1)[codes]


def _fit(parts: Sequence[Array], y: Array) -> tuple[float, int]:
    """Residual sum of squares and rank of a least-squares fit."""
    design = np.hstack(parts)
    coefficients, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    return float(((y - design @ coefficients) ** 2).sum()), int(rank)


def components(means: np.ndarray, sizes: np.ndarray, values: pd.Series) -> dict[str, float]:
    """Variance of choices within and between groups, and its share between them.

    Parameters
    ----------
    means, sizes : ndarray, shape (n_groups,)
        Share and number of choices of each group.
    values : Series
        All choices, 0 or 1.

    Returns
    -------
    dict
        ``within``, ``between``, ``icc`` (share between) and its 95% interval ``icc_low``, ``icc_high``;
        missing if fewer than `LEAST_REPEATED` groups have two choices.
    """
    total, groups = sizes.sum(), len(sizes)
    if (sizes > 1).sum() < LEAST_REPEATED:
        return dict.fromkeys(("within", "between", "icc", "icc_low", "icc_high"), np.nan)
    # The values are 0 and 1: a group's sum of squares follows from its mean.
    within = float((sizes * means * (1 - means)).sum() / (total - groups))
    mean_square = float((sizes * (means - values.mean()) ** 2).sum() / (groups - 1))
    size = (total - (sizes**2).sum() / total) / (groups - 1)
    between = max(0.0, (mean_square - within) / size)
    both = between + within
    result = {"within": within, "between": between, "icc": between / both if both > 0 else np.nan}
    if not both > 0:
        return result | {"icc_low": np.nan, "icc_high": np.nan}
    # Answers that never differ within a stimulus are treated as if they had differed once.
    once = (sizes.max() - 1) / sizes.max() / (total - groups)
    # Only stimuli whose answers differ inform about the variance within.
    mixed = max(1, int(((means > 0) & (means < 1)).sum()))
    freedom = (groups - 1, min(total - groups, 2 * mixed))
    low, high = (_icc(mean_square / max(within, once) / quantile, size) for quantile in _quantiles(freedom))
    return result | {"icc_low": min(low, result["icc"]), "icc_high": 1.0 if within == 0 else high}


def _quantiles(freedom: tuple[float, float]) -> tuple[float, float]:
    """Quantiles of F for the lower and the upper end of a 95% interval."""
    from scipy import stats

    return float(stats.f.ppf(0.975, *freedom)), float(stats.f.ppf(0.025, *freedom))


def _icc(ratio: float, size: float) -> float:
    """The intraclass correlation of a ratio of mean squares, from 0 to 1."""
    return float(np.clip((ratio - 1) / (ratio - 1 + size), 0, 1)) if ratio > 1 else 0.0
