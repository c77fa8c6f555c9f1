"""Intervals for clustered observations, and tests corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from grace_client.analysis._data.layout import distinct, refuse_copies, require
from grace_client.analysis.intervals import bounded, student
from grace_client.core.errors import NotEnoughDataError, SpecError

Array = NDArray[np.float64]

FEW = 8
"""With fewer items than this, the intervals of a bootstrap are too narrow."""


def holm(p: ArrayLike) -> Array:
    """P values adjusted for their number by Holm's step-down method; missing ones stay missing.

    Parameters
    ----------
    p : array_like, shape (n,)
        P values.

    Returns
    -------
    ndarray, shape (n,)
        Adjusted p values, which control the family-wise error rate; at most 1. Missing values do not count as
        tests.

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


def mean_intervals(
    frame: pd.DataFrame,
    value: str,
    by: Sequence[str],
    *,
    cluster: str | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> pd.DataFrame:
    """Means of groups with 95% intervals for clustered observations.

    Every observation counts the same in the mean. The interval depends on the clusters: the error is robust
    to any correlation within a cluster, and there is one degree of freedom less than clusters (see
    `clustered`).

    Parameters
    ----------
    frame : DataFrame
        One row per observation. Rows whose `value` is missing are no observations.
    value : str
        Column to average.
    by : sequence of str
        Columns that make the groups.
    cluster : str, optional
        Column with the cluster of each observation: its stimulus, item or participant. By default ``item``
        (the story of Study 1, the domain of Study 2) if the frame has it, else ``stimulus``. A deterministic
        model gives copies of a stimulus the same answer, and texts of one story or domain are nearly copies:
        the 300 trials of Study 1 are its 6 stories, in one cell as in all, and the 202 trials of a cell of
        Study 2 its 12 domains.
    bounds : pair of float
        Least and largest possible value of an observation: (0, 1) for a share or a probability, (0, 100) for
        dollars. If both are finite, the interval is that of `intervals.bounded`, otherwise Student's t.

    Returns
    -------
    DataFrame
        One row per group in the order of their first rows: `by`, ``mean``, ``low``, ``high``, ``se``
        (cluster-robust error of the mean), ``n`` (observations) and ``n_distinct`` (clusters). ``low``,
        ``high`` and ``se`` are missing if all observations are of one cluster; without bounds, ``low`` and
        ``high`` also where all clusters are equal.

    Raises
    ------
    SpecError
        If a column is missing, there is nothing to average, a value is out of bounds, a cluster has no
        name, or the clusters are participants and all copies of a stimulus have the same scored answer.

    References
    ----------
    Cameron, A. C., & Miller, D. L. (2015). A practitioner's guide to cluster-robust inference. *Journal of
    Human Resources*, 50(2), 317-372.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"cell": "a", "stimulus": ["x", "x", "y", "z"], "p": [0.1, 0.1, 0.4, 0.5]})
    >>> mean_intervals(frame, "p", ["cell"], bounds=(0, 1)).round(2)
      cell  mean  low  high    se  n  n_distinct
    0    a  0.28  0.0  0.98  0.14  4           3
    """
    rows, cluster = _observations(frame, value, by, cluster)
    least, most = bounds
    if (beyond := (rows[value] < least - 1e-9) | (rows[value] > most + 1e-9)).any():
        where = rows.index[beyond.to_numpy()][0]
        raise SpecError(f"column {value}, row {where}: {rows[value][where]} is not from {least} to {most}")
    grouped = rows.groupby(list(by), sort=False, observed=True, dropna=False)
    table = grouped[value].agg(mean="mean", n="size").reset_index()
    number, y = grouped.ngroup().to_numpy(), rows[value].to_numpy(dtype=np.float64)
    mean = table["mean"].to_numpy(dtype=np.float64)
    observations = pd.DataFrame(
        {"group": number, "cluster": rows[cluster].to_numpy(), "pull": y - mean[number]}
    )
    error, effective, clusters = clustered(observations, "pull")
    if np.isfinite(bounds).all():
        at_ends = np.isclose(y, least, rtol=0, atol=1e-12) | np.isclose(y, most, rtol=0, atol=1e-12)
        chosen = pd.Series(at_ends).groupby(number).all().to_numpy()
        choices = np.where(chosen, table["n"].to_numpy(dtype=np.float64), np.inf)
        low, high = bounded(mean, error, effective, bounds=bounds, choices=choices)
    else:
        # Equal clusters do not show how much another cluster may differ.
        reach = student(effective) * np.where(error > 0, error, np.nan)
        low, high = np.maximum(mean - reach, least), np.minimum(mean + reach, most)
    return table[[*by, "mean"]].assign(
        low=low, high=high, se=error, n=table["n"], n_distinct=clusters.astype(np.int64)
    )


def clustered(observations: pd.DataFrame, pull: str) -> tuple[Array, Array, Array]:
    r"""Errors of means, robust to any correlation within a cluster.

    With :math:`w_c` the share of a cluster's observations and :math:`u_c` the sum of its deviations from the
    mean divided by n, the squared error is :math:`\sum_c u_c^2 / (1 - w_c)`, and the effective number of
    clusters :math:`1 / \sum_c w_c^2`: equal clusters are as many as there are, and of one large and eleven
    small ones little more than one.

    Parameters
    ----------
    observations : DataFrame
        One row per observation: ``group`` (int, from 0), ``cluster`` and `pull`, the deviation from the
        group's mean.

    Returns
    -------
    error, effective, clusters : ndarray, shape (n_groups,)
        ``error`` is missing if there is one cluster.
    """
    cells = observations.groupby(["group", "cluster"], sort=False, observed=True)[pull].agg(["sum", "size"])
    group = cells.index.get_level_values("group")
    size = cells["size"] / cells.groupby(group)["size"].transform("sum")
    sums = cells["sum"] / cells.groupby(group)["size"].transform("sum")
    spread = (sums**2 / (1 - size).where(size < 1)).groupby(group).sum(min_count=1).sort_index()
    effective = 1 / (size**2).groupby(group).sum().sort_index().to_numpy(dtype=np.float64)
    error = np.sqrt(spread.to_numpy(dtype=np.float64))
    # What is left of equal values is rounding.
    largest = (
        observations[pull].abs().groupby(observations["group"]).max().sort_index().to_numpy(dtype=np.float64)
    )
    error = np.where(largest <= 1e-12, error * 0, error)
    clusters = np.asarray(size.groupby(group).size().sort_index(), dtype=np.float64)
    return np.asarray(error, dtype=np.float64), effective, clusters


def _observations(
    frame: pd.DataFrame, value: str, by: Sequence[str], cluster: str | None
) -> tuple[pd.DataFrame, str]:
    """The rows that have a value, and the name of the column with their clusters."""
    cluster = distinct(frame) if cluster is None else cluster
    require(frame, [value, *by, cluster])
    if cluster == "participant" and "stimulus" in frame.columns and "replicate" not in frame.columns:
        refuse_copies(frame[frame[value].notna()], value, by)
    rows = frame.loc[frame[value].notna(), list(dict.fromkeys([*by, cluster, value]))]
    if rows.empty:
        raise NotEnoughDataError(f"there is nothing to average: no row has a value in column {value}")
    if (unknown := rows[cluster].isna()).any():
        raise SpecError(
            f"column {cluster}, row {rows.index[unknown][0]}: empty; choose another column with cluster="
        )
    return rows, cluster


def tails(level: float) -> Array:
    """Lower and upper quantile level of a plain percentile interval."""
    return np.array([(1 - level) / 2, (1 + level) / 2])


def expanded(clusters: int, level: float) -> Array:
    """Lower and upper quantile level that make up for few clusters (Hesterberg, 2015)."""
    from scipy import stats

    reach = np.sqrt(clusters / (clusters - 1)) * stats.t.ppf((1 + level) / 2, clusters - 1)
    return np.asarray(stats.norm.cdf([-reach, reach]))
