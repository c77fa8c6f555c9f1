"""Intervals that know how many different observations there are, and tests corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from grace_client.analysis.layout import distinct, refuse_copies, require
from grace_client.errors import NotEnoughDataError, SpecError

Array = NDArray[np.float64]

DRAWS = 10_000
LEVEL = 0.95
METHODS = ("expanded", "percentile", "bca")
FEW = 8
"""With fewer clusters than this, the draws of a bootstrap do not reach far enough for an interval."""

_CHUNK = 4_000_000
"""Resampled indices held at a time."""


def holm(p: ArrayLike) -> Array:
    """P values adjusted for their number by Holm's step-down method; missing ones stay missing.

    Parameters
    ----------
    p : array_like, shape (n,)
        P values.

    Returns
    -------
    ndarray, shape (n,)
        Adjusted so that the family-wise error rate is held; at most 1. Missing values do not count as tests.

    References
    ----------
    Holm, S. (1979). A simple sequentially rejective multiple test procedure. *Scandinavian Journal of
    Statistics*, 6(2), 65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def resample(
    sums: ArrayLike, counts: ArrayLike, *, draws: int = DRAWS, seed: int = 0, strata: ArrayLike | None = None
) -> Array:
    """Means of resampled clusters.

    Every draw takes as many clusters as there are, with replacement and within each stratum, and divides the
    sum of their values by the number of their observations.

    Parameters
    ----------
    sums, counts : array_like, shape (n_clusters, k)
        Sum and number of each cluster's observations of k quantities; a cluster may lack a quantity.
    draws : int
        How many times to draw.
    seed : int
        Of the draws; equal seeds and equal clusters give equal draws, so that quantities may be compared
        draw by draw.
    strata : array_like, shape (n_clusters,), optional
        Stratum of each cluster.

    Returns
    -------
    ndarray, shape (draws, k)
        NaN where a draw holds no observation of a quantity.

    References
    ----------
    Davison, A. C., & Hinkley, D. V. (1997). *Bootstrap methods and their application*, section 3.8.
    """
    sums, counts = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    both = np.hstack([sums, counts])
    labels = (
        np.zeros(len(sums), dtype=np.int64) if strata is None else np.unique(strata, return_inverse=True)[1]
    )
    members = [np.flatnonzero(labels == label) for label in range(labels.max(initial=-1) + 1)]
    generator = np.random.default_rng(seed)
    totals = np.zeros((draws, both.shape[1]))
    for group in members:
        size = len(group)
        step = max(1, _CHUNK // size)
        for start in range(0, draws, step):
            rows = min(step, draws - start)
            drawn = generator.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
            weights = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
            totals[start : start + rows] += weights @ both[group]
    top, bottom = totals[:, : sums.shape[1]], totals[:, sums.shape[1] :]
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


@dataclass(frozen=True, slots=True)
class _Block:
    """Groups whose observations lie in the very same clusters: one set of draws serves them all."""

    groups: NDArray[np.int64]
    sums: Array
    counts: Array


def bootstrap(
    frame: pd.DataFrame,
    value: str,
    by: Sequence[str],
    *,
    cluster: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
    method: str = "expanded",
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> pd.DataFrame:
    """Means of groups with intervals from a cluster bootstrap.

    Parameters
    ----------
    frame : DataFrame
        One row per observation. Rows whose `value` is missing are no observations.
    value : str
        Column to average.
    by : sequence of str
        Columns that make the groups.
    cluster : str, optional
        Column that says which observations belong together: those of one stimulus, item or participant.
        Clusters are drawn within a group. Where it is not given, it is ``stimulus``, and ``item`` for a frame
        of Study 2 (which has ``goal``). A deterministic model gives copies of a stimulus the same answer, so
        that 300 copies of 36 stimuli are 36 observations; and texts that differ in names alone are nearly
        copies, so that the 202 trials of a cell of Study 2 are its 12 domains.
    draws, seed : int
        Number of draws, and their seed.
    level : float
        Coverage of the interval.
    method : {"expanded", "percentile", "bca"}
        ``expanded`` is the percentile interval with levels that make up for few clusters, as Student's t does
        for a mean. With fewer than eight clusters no level quite does: there it is Student's t itself, with
        the cluster-robust error of the mean and one degree of freedom less than there are clusters, as in a
        cell of Study 1 with its six stories. ``percentile`` is the plain interval, too short where clusters
        are few; ``bca`` corrects bias and skewness.
    bounds : pair of float
        Least and largest value that a mean can have; intervals end there.

    Returns
    -------
    DataFrame
        One row per group in the order of their first rows: `by`, ``mean``, ``low``, ``high``, ``se``
        (standard deviation of the draws; the cluster-robust error where the interval is from t), ``n``
        (observations) and ``n_distinct`` (clusters). ``low``, ``high`` and ``se`` are missing where all
        observations are of one cluster.

    Raises
    ------
    SpecError
        Where a column is missing, there is nothing to average, a cluster has no name, or the clusters are
        participants and all copies of a stimulus have the same scored answer.

    References
    ----------
    Hesterberg, T. C. (2015). What teachers should know about the bootstrap. *The American Statistician*,
    69(4), 371-386 (expanded percentile interval). Efron, B. (1987). Better bootstrap confidence intervals.
    *Journal of the American Statistical Association*, 82(397), 171-185 (BCa). Cameron, A. C., & Miller, D. L.
    (2015). A practitioner's guide to cluster-robust inference. *Journal of Human Resources*, 50(2), 317-372
    (t with few clusters).

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"cell": "a", "stimulus": ["x", "x", "y", "z"], "p": [0.1, 0.1, 0.4, 0.5]})
    >>> bootstrap(frame, "p", ["cell"])[["cell", "mean", "n", "n_distinct"]]
      cell   mean  n  n_distinct
    0    a  0.275  4           3
    """
    if method not in METHODS:
        raise SpecError(f"there is no bootstrap method {method!r}; there are: {', '.join(METHODS)}")
    table, blocks = _blocks(frame, value, by, cluster)
    low, high, se = (np.full(len(table), np.nan) for _ in range(3))
    for block in blocks:
        if len(block.sums) < 2:
            continue
        clusters = len(block.sums)
        if method == "expanded" and clusters < FEW:
            middle, error = _robust(block)
            reach = _student(clusters, level) * error
            low[block.groups], high[block.groups] = middle - reach, middle + reach
            se[block.groups] = error
            continue
        drawn = resample(block.sums, block.counts, draws=draws, seed=seed)
        if method == "bca":
            for place, levels in enumerate(_bca(drawn, block, level)):
                group = block.groups[place]
                low[group], high[group] = np.quantile(drawn[:, place], levels)
        else:
            levels = expanded(clusters, level) if method == "expanded" else tails(level)
            low[block.groups], high[block.groups] = np.quantile(drawn, levels, axis=0)
        se[block.groups] = drawn.std(axis=0, ddof=1)
    table.insert(len(by) + 1, "low", np.clip(low, *bounds))
    table.insert(len(by) + 2, "high", np.clip(high, *bounds))
    table.insert(len(by) + 3, "se", se)
    return table


def bootstrap_draws(
    frame: pd.DataFrame,
    value: str,
    by: Sequence[str],
    *,
    cluster: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[pd.DataFrame, Array]:
    """The draws themselves, for statistics over several groups, such as a correlation over cells.

    Parameters are those of `bootstrap`.

    Returns
    -------
    groups : DataFrame
        As `bootstrap` returns it, without the interval.
    draws : ndarray, shape (draws, len(groups))
        Mean of each group in each draw. Groups with the same clusters share their draws: differences between
        models, or between questions about the same stimuli, are differences within a draw.
    """
    table, blocks = _blocks(frame, value, by, cluster)
    drawn = np.empty((draws, len(table)))
    for block in blocks:
        drawn[:, block.groups] = resample(block.sums, block.counts, draws=draws, seed=seed)
    return table, drawn


def _blocks(
    frame: pd.DataFrame, value: str, by: Sequence[str], cluster: str | None
) -> tuple[pd.DataFrame, list[_Block]]:
    cluster = distinct(frame) if cluster is None else cluster
    require(frame, [value, *by, cluster])
    if cluster == "participant" and "stimulus" in frame.columns and "replicate" not in frame.columns:
        refuse_copies(frame[frame[value].notna()], value, by)
    rows = frame.loc[frame[value].notna(), list(dict.fromkeys([*by, cluster, value]))]
    if rows.empty:
        raise NotEnoughDataError(f"there is nothing to average: no row has a {value}")
    if (unknown := rows[cluster].isna()).any():
        raise SpecError(
            f"column {cluster}, row {rows.index[unknown][0]}: empty; name another column to cluster by"
        )
    grouped = rows.groupby(list(by), sort=False, observed=True, dropna=False)
    number = grouped.ngroup().to_numpy()
    table = grouped[value].agg(mean="mean", n="size").reset_index()
    codes = pd.factorize(rows[cluster], sort=True)[0]
    cells = (
        pd.DataFrame({"group": number, "cluster": codes, "value": rows[value].to_numpy(dtype=np.float64)})
        .groupby(["group", "cluster"])["value"]
        .agg(["sum", "size"])
        .reset_index()
    )
    table["n_distinct"] = cells.groupby("group").size().to_numpy()
    alike: dict[bytes, list[tuple[int, Array, Array]]] = {}
    for group, part in cells.groupby("group"):
        alike.setdefault(part["cluster"].to_numpy().tobytes(), []).append(
            (int(str(group)), part["sum"].to_numpy(dtype=np.float64), part["size"].to_numpy(dtype=np.float64))
        )
    blocks = []
    for parts in alike.values():
        groups, sums, counts = zip(*parts, strict=True)
        blocks.append(_Block(np.array(groups), np.column_stack(sums), np.column_stack(counts)))
    return table, blocks


def tails(level: float) -> Array:
    """Lower and upper quantile level of a plain percentile interval."""
    return np.array([(1 - level) / 2, (1 + level) / 2])


def expanded(clusters: int, level: float) -> Array:
    """Lower and upper quantile level that make up for few clusters (Hesterberg, 2015)."""
    from scipy import stats

    reach = np.sqrt(clusters / (clusters - 1)) * _student(clusters, level)
    return np.asarray(stats.norm.cdf([-reach, reach]))


def _student(clusters: int, level: float) -> float:
    from scipy import stats

    return float(stats.t.ppf((1 + level) / 2, clusters - 1))


def _robust(block: _Block) -> tuple[Array, Array]:
    """Means, and their errors by linearisation, robust to any correlation within a cluster."""
    total, number, clusters = block.sums.sum(axis=0), block.counts.sum(axis=0), len(block.sums)
    middle = total / number
    pull = block.sums - middle * block.counts
    return middle, np.sqrt(clusters / (clusters - 1) * (pull**2).sum(axis=0)) / number


def _bca(drawn: Array, block: _Block, level: float) -> Array:
    """Lower and upper quantile level of every group, shape (k, 2)."""
    from scipy import stats

    total, number = block.sums.sum(axis=0), block.counts.sum(axis=0)
    estimate = total / number
    left_out = (total - block.sums) / (number - block.counts)
    pull = left_out.mean(axis=0) - left_out
    spread = (pull**2).sum(axis=0) ** 1.5
    acceleration = np.divide((pull**3).sum(axis=0), 6 * spread, out=np.zeros(len(total)), where=spread > 0)
    # Ties count half: a mean over few clusters meets its own estimate often.
    below = ((drawn < estimate).sum(axis=0) + 0.5 * (drawn == estimate).sum(axis=0)) / len(drawn)
    bias = stats.norm.ppf(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn)))[:, None]
    z = bias + stats.norm.ppf(tails(level))
    return np.asarray(stats.norm.cdf(bias + z / (1 - acceleration[:, None] * z)))


def wilson(k: ArrayLike, n: ArrayLike, *, level: float = LEVEL) -> tuple[Array, Array]:
    """Wilson's score interval of a share of k in n.

    Parameters
    ----------
    k, n : array_like
        Successes, and trials (more than 0).
    level : float
        Coverage.

    Returns
    -------
    low, high : ndarray

    References
    ----------
    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. *Journal of
    the American Statistical Association*, 22(158), 209-212.
    """
    from scipy import stats

    n = np.asarray(n, dtype=np.float64)
    share, z2 = np.asarray(k, dtype=np.float64) / n, float(stats.norm.ppf((1 + level) / 2)) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return np.maximum(centre - reach, 0.0), np.minimum(centre + reach, 1.0)
