"""How close two tables of distributions are, as a reader wants it: a row for each pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from grace_client import analysis
from grace_client.report.parts import Section

NOTE = (
    "r and ρ: Pearson and Spearman correlation of what {condition} changes: of deviations from the mean over "
    "it, so that a model that ignores it has none; of yes and no, yes alone counts. r plain: of the "
    "probabilities as they are, which is high for anybody who knows what is common. RMSE: of probabilities; "
    "JS: mean Jensen-Shannon divergence of a cell, in bits. The cells are fixed; intervals are over what "
    "drawn names: stories or domains (items), and the answers of people."
)


def note(condition: str) -> str:
    """What the columns mean; `condition` is what the deviations are about, such as ``the goal``."""
    return NOTE.format(condition=condition)


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
    """Correlation of what was fitted with the fit, of deviations from the mean: ``r, r_low, r_high``."""
    table = wide(analysis.compare.agreement(items, fit.predictions, keys=keys, outcome=outcome)).iloc[0]
    return {name: float(table[name]) for name in ("r", "r_low", "r_high")}


def verdict(name: str, ignores: str, r: tuple[float, float, float], js: tuple[float, float], of: int) -> str:
    """How near people the nearest model is, in words; what a baseline beats is not called close.

    Parameters
    ----------
    name : str
        The nearest of the models.
    ignores : str
        What the baseline ignores, such as ``the goal``.
    r : tuple of float
        The model's correlation of deviations with its interval.
    js : tuple of float
        Divergence of the model and of the baseline.
    of : int
        How many models there are.
    """
    follows = r[1] > 0
    if js[0] >= js[1]:
        other = f"somebody who ignores {ignores}"
        return (
            f"no model is closer to people than {other}; the nearest is {name}"
            if of > 1
            else f"{name} is no closer to people than {other}"
        )
    if not follows:
        return (
            f"{name} is the nearest to people over all cells, but is not shown to change with {ignores} as "
            "they do"
            if of > 1
            else f"{name} is not shown to change with {ignores} as people do"
        )
    return (
        f"{name} is closest to people"
        if of > 1
        else f"{name} changes with {ignores} as people do, more than by chance"
    )


def whole(
    found: Section, items: pd.DataFrame, other: pd.DataFrame, keys: Sequence[str], what: str
) -> pd.DataFrame:
    """The rows of models with enough answers to be compared; the page says what the others lack."""
    lacking = analysis.compare.lacking(items, other, keys)
    if lacking:
        told = "; ".join(f"{model}: {missing}" for model, missing in lacking.items())
        found.content.append(f"Not compared ({what}): {told}.")
    return items[~items["model"].isin(set(lacking))]


def baseline(other: pd.DataFrame, keys: Sequence[str], outcome: str, across: list[str]) -> pd.DataFrame:
    """Agreement of who ignores a condition, as `compare.agreement` gives it."""
    ignores = analysis.compare.blind(other, keys=keys, outcome=outcome, across=across)
    table = analysis.compare.agreement(ignores, other, keys=keys, outcome=outcome, across=across)
    return table.assign(model=f"ignores the {across[0]}")
