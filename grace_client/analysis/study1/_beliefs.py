"""Beliefs about the four states of Study 1 and about the speaker's knowledge, cell by cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from grace_client.analysis import cells
from grace_client.analysis._data.layout import ordered, require
from grace_client.analysis._statistics.noise import add_floor
from grace_client.analysis.inference import mean_intervals
from grace_client.analysis.measured import outcomes
from grace_client.analysis.study1._bets import CELL, HEAD, ORDER, STATES, beliefs, gains, legal, wide_bets
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.run.layout import OK


def cell_means(
    frame: pd.DataFrame,
    *,
    value: str = "bet",
    cluster: str | None = None,
    noise: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Mean bets on each state, or mean elicited percentages, by access and observe.

    Parameters
    ----------
    frame : DataFrame
        Study 1 as `read` gives it, or the result of `bets`.
    value : {"bet", "percentage"}
        Bets (dollars of 100) or elicited percentages.
    cluster : str, optional
        Column of the clusters of the interval. Default: ``item``, the story. See
        `inference.mean_intervals`.
    noise : DataFrame, optional
        As `quality.noise` gives it: adds ``noise_floor`` to means of bets.

    Returns
    -------
    DataFrame
        ``model, access, observe, state, mean, low, high, se, n, n_distinct``; cells in the order of access,
        observe and state; `mean` to `se` in the unit of `value`.

    Examples
    --------
    >>> from grace_client.analysis import example, study1
    >>> found = study1.cell_means(example.scored("study1"))
    >>> found[["access", "observe", "state", "mean", "n", "n_distinct"]].head(2).round(1)
      access observe  state  mean   n  n_distinct
    0      1       1      0   5.7  50           6
    1      1       1      1  23.5  50           6
    """
    table = beliefs(frame)
    require(table, [value])
    if noise is not None and value != "bet":
        raise SpecError(f"value={value!r} has no noise floor: it exists for bets only")
    means = mean_intervals(table, value, ["model", *CELL, "state"], cluster=cluster, bounds=(0, 100))
    each = [({"state": state}, unit) for state, unit in zip(STATES, np.eye(len(STATES)), strict=True)]
    return add_floor(ordered(means, ORDER), frame, noise, lambda: gains(table, each))


def by_item(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean bets by access, observe and story, for `compare.closeness`.

    Parameters
    ----------
    frame : DataFrame
        Study 1 as `read` gives it, or the result of `bets`.

    Returns
    -------
    DataFrame
        ``model, access, observe, item, state``, ``prob`` (mean bet on the state, divided by 100) and ``n``
        (trials, or answers).

    Examples
    --------
    >>> from grace_client.analysis import example, study1
    >>> found = study1.by_item(example.scored("study1"))
    >>> len(found), found["item"].nunique()
    (144, 6)
    """
    known = beliefs(frame).dropna(subset=["bet"])
    keys = ["model", *CELL, "item", "state"]
    result = known.groupby(keys, sort=False)["bet"].agg(prob="mean", n="size").reset_index()
    return result.assign(prob=result["prob"] / 100)


def coherence(frame: pd.DataFrame) -> pd.DataFrame:
    """Sum of the four elicited percentages of each trial. The states exclude each other: coherent is 100.

    Parameters
    ----------
    frame : DataFrame
        Scored Study 1 as `read` gives it, or the result of `bets`.

    Returns
    -------
    DataFrame
        One row per trial with four answers: ``model, trial_id, participant, item, stimulus, access,
        observe`` and ``total``, the sum of the four elicited means (percentage points). For cells, give it
        to `inference.mean_intervals`.

    Examples
    --------
    >>> from grace_client.analysis import example, study1
    >>> study1.coherence(example.scored("study1"))["total"].round(1).head(2).tolist()
    [101.8, 106.0]
    """
    result = beliefs(frame).groupby(list(HEAD), sort=False)["percentage"].agg(total="sum", states="count")
    return result.loc[result["states"] == len(STATES), ["total"]].reset_index()


def knowledge(
    frame: pd.DataFrame, *, cluster: str | None = None, noise: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Mean probability of "yes, the speaker knows exactly how many", by access and observe.

    Parameters
    ----------
    frame : DataFrame
        Study 1 as `read` gives it.
    cluster, noise
        As in `cell_means`.

    Returns
    -------
    DataFrame
        ``model, access, observe, mean, low, high, se, n, n_distinct, share_yes``. Scored, ``mean`` is the
        mean probability of "yes" and ``share_yes`` the share of trials where it is above one half; in free
        text both are the share of "yes" among the answers yes, no and unsure.

    Examples
    --------
    >>> from grace_client.analysis import example, study1
    >>> found = study1.knowledge(example.scored("study1"))
    >>> found[["access", "observe", "mean", "share_yes"]].round(2)
      access observe  mean  share_yes
    0      1       1  0.23        0.0
    1      2       1  0.18        0.0
    2      2       2  0.23        0.0
    3      3       1  0.88        1.0
    4      3       2  0.87        1.0
    5      3       3  0.90        1.0
    """
    require(frame, [*HEAD, "question", "status"])
    experiment = "study1-exp1" if "response" in frame.columns else "study1-exp2"
    frame = legal(frame)
    asked = frame[frame["question"] == "knowledge"]
    if not (asked["status"] == OK).any():
        raise NotEnoughDataError("the knowledge question has no answer: is this Study 1?")
    rows = outcomes(asked, experiment)
    how: Any = {"by": CELL, "question": "knowledge", "experiment": experiment, "cluster": cluster}
    result = cells.cell_means(rows, "prob_yes", **how, noise=noise).drop(columns=["question", "outcome"])
    certain = (rows["prob_yes"] > 0.5).astype(np.float64).where(rows["prob_yes"].notna())
    share = cells.cell_means(rows.assign(prob_yes=certain), "prob_yes", **how)["mean"]
    result.insert(list(result.columns).index("n_distinct") + 1, "share_yes", share)
    return result


def implicature(
    frame: pd.DataFrame, *, cluster: str | None = None, noise: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Strength of the upper bound ("n" means "not more than n"), by access and observe.

    Parameters
    ----------
    frame : DataFrame
        Study 1 as `read` gives it, or the result of `bets`.
    cluster : str, optional
        As in `cell_means`.
    noise : DataFrame, optional
        As `quality.noise` gives it: adds ``noise_floor`` and ``below_noise``, of the mean.

    Returns
    -------
    DataFrame
        ``model, access, observe, mean, low, high, se, n, n_distinct, share, share_low, share_high``. Over
        trials: the bet on the named state minus the mean bet on the states above it (``mean``, dollars), and
        the named state's share of the bets on it and on the states above it (``share``; without trials whose
        bets on all these states are 0). Cells with "3" have no state above and no row.

    Examples
    --------
    >>> from grace_client.analysis import example, study1
    >>> found = study1.implicature(example.scored("study1"))
    >>> found[["access", "observe", "mean", "share"]].round(2)
      access observe   mean  share
    0      1       1 -11.88   0.25
    1      2       1  15.44   0.44
    2      2       2  -0.23   0.50
    3      3       1  69.34   0.83
    4      3       2  78.21   0.94
    """
    table = beliefs(frame)
    wide = wide_bets(table)
    parts = []
    for observe in ("1", "2"):
        rows = wide[wide["observe"] == observe]
        named, above = rows[int(observe)], rows[[s for s in STATES if s > int(observe)]]
        total = named + above.sum(axis=1)
        parts.append(rows.assign(strength=named - above.mean(axis=1), share=named / total.where(total > 0)))
    rows = pd.concat(parts)
    by = ["model", *CELL]
    result = mean_intervals(rows, "strength", by, cluster=cluster, bounds=(-100, 100))
    if rows["share"].notna().any():
        share = mean_intervals(rows, "share", by, cluster=cluster, bounds=(0, 1))
        share = share.rename(columns={"mean": "share", "low": "share_low", "high": "share_high"})
        result = result.merge(share[[*by, "share", "share_low", "share_high"]], on=by, how="left")
    result = ordered(result, ORDER)
    each = [({"observe": "1"}, (0.0, 1.0, -0.5, -0.5)), ({"observe": "2"}, (0.0, 0.0, 1.0, -1.0))]
    return add_floor(result, frame, noise, lambda: gains(table, each), result["mean"])
