"""How close two tables of distributions are, as a reader wants it: a row for each pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from grace_client import analysis
from grace_client.report import format
from grace_client.report.blocks import Section

NOTE = (
    "r and ρ: Pearson and Spearman correlation of what {condition} changes. From each probability its mean "
    "over {condition} is taken away first, so a model that ignores {condition} has no r. Where the answers "
    "are yes and no, only yes counts. r plain: correlation of the probabilities themselves; it is high for "
    "any answers in which the same options are common. RMSE: root mean squared difference of probabilities. "
    "JS: mean Jensen-Shannon divergence of a cell, in bits (0: equal). The cells are fixed. The column "
    "“drawn” says what an interval covers: other stories or domains (items), other people, both, or nothing."
)
EVEN = "every answer equally likely"
"""Name of the baseline that knows nothing."""


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


def from_even(prob: pd.Series, outcome: pd.Series) -> float:
    """Bits between distributions and even ones, the mean over cells: the baseline of a fit's ``kl``."""
    from scipy.special import xlogy

    outcomes = outcome.nunique()
    return float(xlogy(prob, outcomes * prob).sum() / np.log(2) * outcomes / len(prob))


def verdict(
    name: str,
    condition: str,
    r: tuple[float, float, float],
    js: tuple[float, float],
    baselines: dict[str, float],
    of: int,
) -> str:
    """How near people the nearest model is, in words; what a baseline beats is not called close.

    Parameters
    ----------
    name : str
        The nearest of the models.
    condition : str
        What the deviations are about, such as ``the goal``.
    r : tuple of float
        The model's correlation of deviations with its interval.
    js : tuple of float
        Divergence of the model and the lower end of its interval.
    baselines : dict of str to float
        Divergence of each baseline by its name.
    of : int
        How many models there are.
    """
    further = [one for one, own in baselines.items() if js[1] > own]
    if other := further or [one for one, own in baselines.items() if js[0] >= own]:
        named = f"the baseline{'s' * (len(other) > 1)} {format.listed(f'“{one}”' for one in other)}"
        told = f"{'further from' if further else 'no closer to'} people than {named}"
        # Of several models the nearest speaks for all.
        return f"even the nearest model, {name}, is {told}" if of > 1 else f"{name} is {told}"
    if not r[1] > 0:
        return (
            f"{name} is the nearest to people over all cells, but is not shown to change with {condition} as "
            "they do"
            if of > 1
            else f"{name} is not shown to change with {condition} as people do"
        )
    return (
        f"{name} is closest to people"
        if of > 1
        else f"{name} changes with {condition} as people do, more than by chance"
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


def baselines(
    other: pd.DataFrame,
    keys: Sequence[str],
    outcome: str,
    averaged: tuple[str, str],
    *,
    ordered: bool = False,
) -> pd.DataFrame:
    """Agreement of the two baselines of a comparison, as `compare.agreement` gives it.

    Parameters
    ----------
    other, keys, outcome, ordered
        As in `compare.agreement`.
    averaged : tuple of str
        The condition that the first baseline ignores, and that baseline's name. The second is `EVEN`.
    """
    across, name = [averaged[0]], averaged[1]
    ignores = analysis.compare.blind(other, keys=keys, outcome=outcome, across=across)
    even = analysis.compare.even(other, keys=keys, outcome=outcome)
    both = pd.concat([ignores.assign(model=name), even.assign(model=EVEN)], ignore_index=True)
    return analysis.compare.agreement(both, other, keys=keys, outcome=outcome, across=across, ordered=ordered)
