"""Tables and sentences on how close two tables of distributions are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from grace_client import analysis
from grace_client.report import format
from grace_client.report.blocks import Section

NOTE = (
    "r and ρ: Pearson and Spearman correlation of the changes with {condition}: the mean over {condition} "
    "is first subtracted from each probability, so a model that ignores {condition} has no r. Of yes and "
    "no, only yes is used. r plain: correlation of the probabilities themselves; it is high if the same "
    "options are common, whatever the effect of {condition}. RMSE: root mean squared difference of "
    "probabilities. JS: mean Jensen-Shannon divergence of a cell, in bits (0: equal). interval covers: "
    "other stories or domains (items), other people, both, or nothing. No interval "
    "covers other cells: the design fixes them. stories or domains: 0 if the row has none."
)
EVEN = "every answer equally likely"
"""Name of the baseline in which all answers have the same probability."""


def note(condition: str) -> str:
    """Explains the columns; `condition` is the condition whose effect is compared, such as ``the goal``."""
    return NOTE.format(condition=condition)


def wide(long: pd.DataFrame, beside: str | None = None, *, by: Sequence[str] = ("model",)) -> pd.DataFrame:
    """One row per model of a table from `compare.closeness`: each statistic with its interval.

    Parameters
    ----------
    long : DataFrame
        `by`, ``statistic, value, low, high, n_cells, n_items, drawn``.
    beside : str, optional
        What the models are compared with, for a column of that name.
    by : sequence of str
        Columns that identify a row.
    """
    rows = []
    for _, own in long.groupby(list(by), sort=False):
        row: dict[str, Any] = {key: own[key].iloc[0] for key in by}
        if beside is not None:
            row["beside"] = beside
        for one in own.itertuples():
            name = str(one.statistic)
            row |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
        rows.append(row | own.iloc[0][["n_cells", "n_items", "drawn"]].to_dict())
    return pd.DataFrame(rows)


def of_fit(items: pd.DataFrame, fit: analysis.rsa.Fit, keys: Sequence[str], outcome: str) -> dict[str, float]:
    """Correlation of a model with its fit, of deviations from the mean: ``r, r_low, r_high``."""
    table = wide(analysis.compare.closeness(items, fit.predictions, keys=keys, outcome=outcome)).iloc[0]
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
    models: int,
) -> str:
    """How close to people the closest model is, in words. A model that a baseline beats is not called close.

    Parameters
    ----------
    name : str
        The closest model.
    condition : str
        The condition whose effect is compared, such as ``the goal``.
    r : tuple of float
        The model's correlation of deviations with its interval.
    js : tuple of float
        Divergence of the model from people, and the lower end of its interval.
    baselines : dict of str to float
        Divergence of each baseline from people, by its name.
    models : int
        Number of models.
    """
    further = [one for one, own in baselines.items() if js[1] > own]
    if beaten_by := further or [one for one, own in baselines.items() if js[0] >= own]:
        named = f"the baseline{'s' * (len(beaten_by) > 1)} {format.listed(f'“{one}”' for one in beaten_by)}"
        subject = f"even the closest model, {name}," if models > 1 else name
        return f"{subject} is {'further from' if further else 'no closer to'} people than {named}"
    if not r[1] > 0:
        closest = f"{name} is the closest to people over all cells, but it" if models > 1 else name
        return f"{closest} is not shown to change with {condition} as people do"
    return (
        f"{name} is closest to people"
        if models > 1
        else f"{name} changes with {condition} as people do, more than by chance"
    )


def comparable(
    section: Section, items: pd.DataFrame, other: pd.DataFrame, keys: Sequence[str], what: str
) -> pd.DataFrame:
    """The rows of the models with enough answers; the page says what the other models lack."""
    lacking = analysis.compare.lacking(items, other, keys)
    if lacking:
        reasons = "; ".join(f"{model}: {missing}" for model, missing in lacking.items())
        section.content.append(f"Not compared ({what}): {reasons}.")
    return items[~items["model"].isin(set(lacking))]


def baselines(
    other: pd.DataFrame,
    keys: Sequence[str],
    outcome: str,
    averaged: tuple[str, str],
    *,
    ordered: bool = False,
) -> pd.DataFrame:
    """Closeness of the two baselines of a comparison, as `compare.closeness` gives it.

    Parameters
    ----------
    other, keys, outcome, ordered
        As in `compare.closeness`.
    averaged : tuple of str
        The condition that the first baseline ignores, and the name of that baseline. The second is `EVEN`.
    """
    across, name = [averaged[0]], averaged[1]
    ignores = analysis.compare.blind(other, keys=keys, outcome=outcome, across=across)
    even = analysis.compare.even(other, keys=keys, outcome=outcome)
    both = pd.concat([ignores.assign(model=name), even.assign(model=EVEN)], ignore_index=True)
    return analysis.compare.closeness(both, other, keys=keys, outcome=outcome, across=across, ordered=ordered)
