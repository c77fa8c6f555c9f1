"""Logistic regression of a two-way design, with repeated participants and items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fit:
    """Estimates in log odds.

    Attributes
    ----------
    estimate, se : ndarray, shape (k,)
        Coefficients and their standard errors.
    converged : bool
        Whether the method's own criterion was met.
    spread : mapping of str to float
        Standard deviation of each random effect, in log odds; empty where there is none.
    """

    estimate: Array
    se: Array
    converged: bool
    spread: Mapping[str, float]


def design(rows: pd.DataFrame, factors: Mapping[str, Sequence[str]]) -> tuple[Array, list[str]]:
    """Treatment coding of two factors and their interaction.

    Parameters
    ----------
    rows : DataFrame
        One row per observation.
    factors : mapping of str to sequence of str
        Two columns and their levels, the base first. Levels and combinations that do not occur have no term.

    Returns
    -------
    matrix : ndarray, shape (n, k)
    terms : list of str
        Such as ``goal[social]:state[1 heart]``.
    """
    (first, levels), (second, others) = factors.items()
    a = {x: _indicator(rows[first], x) for x in levels if (rows[first] == x).any()}
    b = {x: _indicator(rows[second], x) for x in others if (rows[second] == x).any()}
    columns: dict[str, Array] = {"intercept": np.ones(len(rows))}
    columns |= {f"{first}[{x}]": column for x, column in list(a.items())[1:]}
    columns |= {f"{second}[{x}]": column for x, column in list(b.items())[1:]}
    for x, left in list(a.items())[1:]:
        for y, right in list(b.items())[1:]:
            if (left * right).any():
                columns[f"{first}[{x}]:{second}[{y}]"] = left * right
    return np.column_stack(list(columns.values())), list(columns)


def _indicator(column: pd.Series[str], level: str) -> Array:
    return np.asarray(column == level, dtype=np.float64)


def gee(y: Array, matrix: Array, groups: NDArray[np.int64]) -> Fit:
    """Generalised estimating equations with independent working correlation and robust errors.

    The estimates are those of logistic regression; the errors allow any correlation within a group.

    References
    ----------
    Liang, K.-Y., & Zeger, S. L. (1986). Longitudinal data analysis using generalized linear models.
    *Biometrika*, 73(1), 13-22.
    """
    import warnings

    import statsmodels.api as sm

    order = np.argsort(groups, kind="stable")
    model = sm.GEE(
        y[order],
        matrix[order],
        groups[order],
        family=sm.families.Binomial(),
        cov_struct=sm.cov_struct.Independence(),
    )
    with warnings.catch_warnings():
        # What they say is in `converged`.
        warnings.simplefilter("ignore")
        result = model.fit(maxiter=200, ctol=1e-10)
    estimate, se = np.asarray(result.params), np.asarray(result.bse)
    return Fit(estimate, se, bool(result.converged), {})
