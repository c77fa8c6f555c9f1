"""How close two tables of distributions are, as a reader wants it: a row for each pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from grace_client import analysis

NOTE = (
    "r and ρ: Pearson and Spearman correlation over all cells and outcomes; RMSE: of probabilities; JS: mean "
    "Jensen-Shannon divergence of a cell, in bits. The cells are fixed; intervals are over what drawn names: "
    "stories or domains (items), and the answers of people."
)


def wide(long: pd.DataFrame, beside: str | None = None, *, by: Sequence[str] = ("model",)) -> pd.DataFrame:
    """One row per model of what `compare.agreement` gives: each statistic with its interval.

    Parameters
    ----------
    long : DataFrame
        `by`, ``statistic, value, low, high, n_cells, n_items, drawn``.
    beside : str, optional
        What the models are compared with, for a column of that name.
    by : sequence of str
        Columns that tell rows apart.
    """
    rows = []
    for _, own in long.groupby(list(by), sort=False):
        row: dict[str, Any] = {key: own[key].iloc[0] for key in by}
        if beside is not None:
            row["beside"] = beside
        for name, value, low, high in zip(
            *(own[c] for c in ("statistic", "value", "low", "high")), strict=True
        ):
            row |= {name: value, f"{name}_low": low, f"{name}_high": high}
        rows.append(row | {name: own[name].iloc[0] for name in ("n_cells", "n_items", "drawn")})
    return pd.DataFrame(rows)


def of_fit(items: pd.DataFrame, fit: analysis.rsa.Fit, keys: Sequence[str], outcome: str) -> dict[str, float]:
    """Correlation of what was fitted, told by item, with the fit, as ``r, r_low, r_high``."""
    table = wide(analysis.compare.agreement(items, fit.predictions, keys=keys, outcome=outcome)).iloc[0]
    return {name: float(table[name]) for name in ("r", "r_low", "r_high")}


def per_cell(one: pd.DataFrame, other: pd.DataFrame, *, keys: Sequence[str], outcome: str) -> pd.DataFrame:
    """Correlation and error of each model in each cell: ``model``, `keys`, ``r, rmse``."""
    both = one.merge(other, on=[*keys, outcome], suffixes=("", "_other"))
    rows = []
    for key, cell in both.groupby(["model", *keys], sort=False):
        found = analysis.compare.statistics(cell[["prob"]].to_numpy().T, cell[["prob_other"]].to_numpy().T)
        rows.append((*key, float(found["r"]), float(found["rmse"])))
    return pd.DataFrame(rows, columns=["model", *keys, "r", "rmse"])
