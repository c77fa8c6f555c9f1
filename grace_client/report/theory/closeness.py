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

NONE = (
    "None is close: no model is shown to be closer to people than the best baseline is. The order below is "
    "one of models that are not close."
)
"""What stands before a ranking of models of which none is close."""


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


def verdict(name: str, condition: str, r: tuple[float, float, float], apart: pd.DataFrame) -> str:
    """How close to people the closest model is, in words. None is called close that no baseline is behind.

    Parameters
    ----------
    name : str
        The closest model.
    condition : str
        The condition whose effect is compared, such as ``the goal``.
    r : tuple of float
        The model's correlation of deviations with its interval.
    apart : DataFrame
        The differences of all models from the baselines, as `compare.against` gives them.
    """
    alone = apart["model"].nunique() == 1
    closer = list(apart.loc[apart["best"] & apart["closer"], "model"])
    if name not in closer:
        own = apart[apart["model"] == name]
        further = own[own["low"] > 0]
        behind = own[~own["closer"]] if further.empty else further
        named = format.listed(f"“{one}”" for one in behind["baseline"])
        than = f"people than the baseline{'s' * (len(behind) > 1)} {named}{_differences(behind)}"
        how = "is not shown to be closer to" if further.empty else "is further from"
        if closer:
            return (
                f"{name} is the closest to people over all cells, but it {how} {than}; "
                f"{format.listed(closer)} {'is' if len(closer) == 1 else 'are'} shown to be closer than it"
            )
        if alone:
            return f"{name} is not close to people: it {how} {than}"
        return f"none is close to people: the closest model, {name}, {how} {than}"
    if not r[1] > 0:
        subject = name if alone else f"{name} is the closest to people over all cells, but it"
        return f"{subject} is not shown to change with {condition} as people do"
    if alone:
        return f"{name} changes with {condition} as people do, more than by chance"
    return closest(name)


def closest(name: str) -> str:
    """The verdict on a model that is close to people, and closer than the others."""
    return f"{name} is closest to people"


def _differences(rows: pd.DataFrame) -> str:
    """The differences from baselines with their intervals, in brackets."""
    values = [
        format.number(row["difference"], 3)
        if pd.isna(row["low"])
        else format.interval(row["difference"], row["low"], row["high"], 3)
        for row in rows.to_dict("records")
    ]
    return f" (difference of the divergences in bits: {'; '.join(values)})"


def comparable(
    section: Section, items: pd.DataFrame, other: pd.DataFrame, keys: Sequence[str], what: str
) -> pd.DataFrame:
    """The rows of the models with enough answers; the page says what the other models lack."""
    lacking = analysis.compare.lacking(items, other, keys)
    if lacking:
        reasons = "; ".join(f"{model}: {missing}" for model, missing in lacking.items())
        section.content.append(f"Not compared ({what}): {reasons}.")
    return items[~items["model"].isin(set(lacking))]


def ignorant(
    other: pd.DataFrame, keys: Sequence[str], outcome: str, averaged: tuple[str, str]
) -> pd.DataFrame:
    """The two baselines of a comparison: ``model`` (name), `keys`, `outcome`, ``prob``.

    Parameters
    ----------
    other, keys, outcome
        As in `compare.closeness`.
    averaged : tuple of str
        The condition that the first baseline ignores, and the name of that baseline. The second is `EVEN`.
    """
    blind = analysis.compare.blind(other, keys=keys, outcome=outcome, across=[averaged[0]])
    even = analysis.compare.even(other, keys=keys, outcome=outcome)
    return pd.concat([blind.assign(model=averaged[1]), even.assign(model=EVEN)], ignore_index=True)


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
    averaged
        As in `ignorant`.
    """
    both = ignorant(other, keys, outcome, averaged)
    return analysis.compare.closeness(
        both, other, keys=keys, outcome=outcome, across=[averaged[0]], ordered=ordered
    )
