"""Bets on the four states of Study 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from grace_client.analysis._data.layout import canonical, ordered, require
from grace_client.analysis._statistics.noise import gain_of_means, linear_gain
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.run.layout import BETS, OK

CELL = ("access", "observe")
STATES = (0, 1, 2, 3)
LEVELS = {"access": ("1", "2", "3"), "observe": ("1", "2", "3")}
ORDER = LEVELS | {"state": STATES}
HEAD = ("model", "trial_id", "participant", "item", "stimulus", *CELL)
PERCENTAGES = np.arange(0.0, 101.0, 10.0)
"""The answers to a state question."""


def bets(frame: pd.DataFrame) -> pd.DataFrame:
    """Bets on the four states of every trial, in dollars: people divided $100 between the states.

    Parameters
    ----------
    frame : DataFrame
        Study 1 as `read` gives it: scored, or free text with structured answers.

    Returns
    -------
    DataFrame
        One row per trial and state (and replicate, for free text): ``model, trial_id, participant, item,
        stimulus, access, observe``, ``state`` (int), ``percentage`` and ``bet``. Scored, ``percentage`` is
        the mean of the distribution over 0%, 10%, …, 100% (percentage points), and ``bet`` is it divided by
        the sum over the four states, times 100 (dollars); missing if one of the four has no answer or all
        are 0. In free text, ``percentage`` is the percentage that the answer gives to each state, and ``bet``
        is on the same scale. If the answer names a number instead, ``bet`` is 100 on that number and
        ``percentage`` is missing. An answer with neither has no row.

    Examples
    --------
    >>> from grace_client.analysis import example, study1
    >>> found = study1.bets(example.scored("study1"))
    >>> found[["trial_id", "state", "percentage", "bet"]].head(4).round(1)
       trial_id  state  percentage   bet
    0         1      0         6.1   6.0
    1         1      1        25.4  25.0
    2         1      2        47.3  46.5
    3         1      3        23.0  22.6
    """
    require(frame, [*HEAD, "question", "status"])
    frame = legal(frame)
    return _free_text_bets(frame) if "response" in frame.columns else _scored_bets(frame)


def _scored_bets(frame: pd.DataFrame) -> pd.DataFrame:
    asked = frame["question"].isin([f"state{s}" for s in STATES])
    rows = frame[asked & (frame["status"] == OK)]
    if rows.empty:
        raise NotEnoughDataError("no state question was answered: is this Study 1, Experiment 2?")
    weighted = rows["prob_norm"] * rows["option"].astype(np.float64)
    grouped = rows.assign(percentage=weighted).groupby([*HEAD, "question"], sort=False)["percentage"]
    result = grouped.sum().reset_index()
    result["state"] = result.pop("question").str.removeprefix("state").astype(np.int64)
    trial = result.groupby(["model", "trial_id"], sort=False)["percentage"]
    total = trial.transform("sum").where((trial.transform("size") == len(STATES)), np.nan)
    result["bet"] = 100 * result["percentage"] / total.where(total > 0)
    return result[[*HEAD, "state", "percentage", "bet"]]


def _free_text_bets(frame: pd.DataFrame) -> pd.DataFrame:
    require(frame, ["structured", "replicate"], "free text")
    rows = frame[(frame["question"] == "number") & (frame["status"] == OK)]
    number = pd.to_numeric(rows["structured"], errors="coerce")
    named = {s: (number == s).astype(np.float64).where(number.isin(STATES)) * 100 for s in STATES}
    percentages = {s: pd.Series(np.nan, index=rows.index) for s in STATES}
    if set(BETS) <= set(rows.columns):
        divided = rows[list(BETS)].astype(np.float64)
        total = divided.sum(axis=1, min_count=len(BETS))
        percentages = {s: divided[f"bet_{s}"].where(total.notna()) for s in STATES}
        named = {s: (100 * percentages[s] / total.where(total > 0)).fillna(named[s]) for s in STATES}
    parts = [
        rows[[*HEAD, "replicate"]].assign(state=s, percentage=percentages[s], bet=named[s]) for s in STATES
    ]
    result = pd.concat(parts).sort_index(kind="stable").dropna(subset=["bet"]).reset_index(drop=True)
    if result.empty:
        raise NotEnoughDataError(
            "no answer names a number. If the free text has not been extracted yet, run: grace extract RUN"
        )
    return result


def legal(frame: pd.DataFrame) -> pd.DataFrame:
    """Study 1 with the levels of access, observe and state as `read` gives them.

    Parameters
    ----------
    frame : DataFrame
        Has ``access`` and ``observe``, and may have ``state`` and ``bet``. Numbers and categories, as in a
        table that was written and read again, become levels.

    Returns
    -------
    DataFrame
        ``access`` and ``observe`` as text, ``state`` as integers; other columns unchanged.

    Raises
    ------
    SpecError
        For a level that is missing or not in the design, and where ``observe`` is above ``access``; the
        message names column, row and value.

    Examples
    --------
    >>> import pandas as pd
    >>> from grace_client.analysis import study1
    >>> study1.legal(pd.DataFrame({"access": [3.0], "observe": [2]})).to_dict("records")
    [{'access': '3', 'observe': '2'}]
    """
    frame = canonical(frame, ORDER if "bet" in frame.columns else LEVELS)
    # Text comparison is correct here, because each level is one digit.
    if (beyond := frame["observe"] > frame["access"]).any():
        row = frame.index[beyond.to_numpy()][0]
        raise SpecError(
            f"column observe, row {row}: {frame['observe'][beyond].iloc[0]} where access is "
            f"{frame['access'][beyond].iloc[0]}; observe cannot be above access"
        )
    return frame


def number_beliefs(scored: pd.DataFrame, bets_of: pd.DataFrame | None = None) -> pd.DataFrame:
    """Bets on each number as probabilities ``scored`` of each stimulus, with the number as ``option``."""
    table = (bets(scored) if bets_of is None else bets_of).dropna(subset=["bet"])
    keys = ["model", "stimulus", "item", *CELL, "state"]
    result = table.groupby(keys, sort=False)["bet"].mean().div(100).rename("scored").reset_index()
    return result.assign(option=result["state"].astype("str")).drop(columns="state")


def beliefs(frame: pd.DataFrame) -> pd.DataFrame:
    """The bets of a frame; a table of bets stays as it is. Levels are legal."""
    if "bet" not in frame.columns:
        return bets(frame)
    require(frame, [*HEAD, "state"], "the table of bets")
    return legal(frame)


def wide_bets(table: pd.DataFrame) -> pd.DataFrame:
    """A row per trial (and replicate) that has all four bets; a column per state."""
    keys = [*HEAD, *(["replicate"] if "replicate" in table.columns else [])]
    wide = table.dropna(subset=["bet"]).set_index([*keys, "state"])["bet"].unstack("state")
    wide = wide.reindex(columns=list(STATES)).dropna()
    if wide.empty:
        raise NotEnoughDataError("no trial has bets on all four states")
    return ordered(wide.reset_index(), {}, table["model"])


def gains(table: pd.DataFrame, combinations: Iterable[tuple[Mapping[str, Any], Any]]) -> pd.DataFrame:
    """Noise gains of combinations of the four bets; see `quality.noise`.

    Parameters
    ----------
    table : DataFrame
        As `bets` gives it, of scored answers.
    combinations : iterable of (mapping, sequence of 4 floats)
        What identifies the combination, and the weight of each bet. ``access`` and ``observe`` choose the
        cells that it is for.
    """
    wide = wide_bets(table)
    total = table.groupby(["model", "trial_id"])["percentage"].sum().rename("total")
    wide = wide.join(total, on=["model", "trial_id"])
    values = wide[list(STATES)].to_numpy(dtype=np.float64)
    per = (linear_gain(PERCENTAGES) / wide["total"].to_numpy()) ** 2
    parts = []
    for labels, weights in combinations:
        effect = (values * weights).sum(axis=-1, keepdims=True)
        rows = wide.assign(variance=per * ((100 * np.asarray(weights) - effect) ** 2).sum(axis=-1))
        for name in labels.keys() & set(CELL):
            rows = rows[rows[name] == labels[name]]
        rest = {name: value for name, value in labels.items() if name not in CELL}
        parts.append(gain_of_means(rows, ["model", *CELL]).assign(**rest))
    return pd.concat(parts, ignore_index=True)
