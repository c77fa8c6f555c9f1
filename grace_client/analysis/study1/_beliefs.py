"""Beliefs about the four states of Study 1 and about the speaker's knowledge, cell by cell."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grace_client.analysis._data.layout import canonical, ordered, require
from grace_client.analysis.inference import mean_intervals
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.run.layout import BETS, OK

CELL = ("access", "observe")
STATES = (0, 1, 2, 3)
LEVELS = {"access": ("1", "2", "3"), "observe": ("1", "2", "3")}
ORDER = LEVELS | {"state": STATES}
HEAD = ("model", "trial_id", "participant", "item", "stimulus", *CELL)


def bets(frame: pd.DataFrame) -> pd.DataFrame:
    """Beliefs about the four states of every trial, on the scale of the human task of dividing $100.

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
        the sum over the four states, times 100 (dollars); missing where one of the four has no answer or all
        are 0. In free text, ``percentage`` is what the answer gives to each of the four states, and ``bet``
        is it on the same scale; where it names a number instead, ``bet`` is 100 on that number and
        ``percentage`` is missing; an answer with neither has no row.

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
    return _said(frame) if "response" in frame.columns else _scored_bets(frame)


def _scored_bets(frame: pd.DataFrame) -> pd.DataFrame:
    asked = frame["question"].isin([f"state{s}" for s in STATES])
    rows = frame[asked & (frame["status"] == OK)]
    if rows.empty:
        raise NotEnoughDataError("no state question was answered: is this Study 1, Experiment 2?")
    weighted = rows["prob_norm"] * rows["option"].astype(np.float64)
    grouped = rows.assign(percentage=weighted).groupby([*HEAD, "question"], sort=False)["percentage"]
    found = grouped.sum().reset_index()
    found["state"] = found.pop("question").str.removeprefix("state").astype(np.int64)
    trial = found.groupby(["model", "trial_id"], sort=False)["percentage"]
    total = trial.transform("sum").where((trial.transform("size") == len(STATES)), np.nan)
    found["bet"] = 100 * found["percentage"] / total.where(total > 0)
    return found[[*HEAD, "state", "percentage", "bet"]]


def _said(frame: pd.DataFrame) -> pd.DataFrame:
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
    found = pd.concat(parts).sort_index(kind="stable").dropna(subset=["bet"]).reset_index(drop=True)
    if found.empty:
        raise NotEnoughDataError(
            "no answer names a number: extract the free text first, with 'grace extract'"
        )
    return found


def cell_means(frame: pd.DataFrame, *, value: str = "bet", cluster: str | None = None) -> pd.DataFrame:
    """Mean belief in each state by access and observe.

    Parameters
    ----------
    frame : DataFrame
        Study 1 as `read` gives it, or the result of `bets`.
    value : {"bet", "percentage"}
        Dollars of 100, or the elicited percentage itself.
    cluster : str, optional
        Of the interval, the story where it is not given; see `inference.mean_intervals`.

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
    by = ["model", *CELL, "state"]
    found = mean_intervals(table, value, by, cluster=cluster, bounds=(0, 100))
    return ordered(found, ORDER)


def by_item(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean bets by access, observe and story: what `compare.agreement` draws from.

    Parameters
    ----------
    frame : DataFrame
        Study 1 as `read` gives it: scored, or free text with structured answers.

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
    known = bets(frame)
    known = known[known["bet"].notna()]
    keys = ["model", *CELL, "item", "state"]
    found = known.groupby(keys, sort=False)["bet"].agg(prob="mean", n="size").reset_index()
    return found.assign(prob=found["prob"] / 100)


def coherence(frame: pd.DataFrame) -> pd.DataFrame:
    """Whether the percentages of the four states, which exclude each other, sum to 100.

    Parameters
    ----------
    frame : DataFrame
        Scored Study 1, as `read` gives it.

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
    found = bets(frame).groupby(list(HEAD), sort=False)["percentage"].agg(total="sum", states="count")
    return found.loc[found["states"] == len(STATES), ["total"]].reset_index()


def knowledge(frame: pd.DataFrame, *, cluster: str | None = None) -> pd.DataFrame:
    """Whether the speaker is taken to know exactly how many, by access and observe.

    Parameters
    ----------
    frame : DataFrame
        Study 1 as `read` gives it.

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
    frame = legal(frame)
    rows = frame[(frame["question"] == "knowledge") & (frame["status"] == OK)]
    if "response" in frame.columns:
        require(frame, ["structured"], "free text")
        rows = rows[rows["structured"].isin(["yes", "no", "unsure"])]
        rows = rows.assign(yes=(rows["structured"] == "yes").astype(np.float64))
        rows = rows.assign(certain=rows["yes"])
    else:
        rows = rows[rows["option"] == "yes"]
        rows = rows.assign(yes=rows["prob_norm"], certain=(rows["prob_norm"] > 0.5).astype(np.float64))
    if rows.empty:
        raise NotEnoughDataError("the knowledge question has no answer: is this Study 1?")
    by = ["model", *CELL]
    found = mean_intervals(rows, "yes", by, cluster=cluster, bounds=(0, 1))
    share = rows.groupby(["model", *CELL], sort=False)["certain"].mean()
    found["share_yes"] = share.to_numpy()
    return ordered(found, ORDER)


def implicature(frame: pd.DataFrame, *, cluster: str | None = None) -> pd.DataFrame:
    """How strongly "n of them" is taken to mean "not more than n", by access and observe.

    Parameters
    ----------
    frame : DataFrame
        Study 1 as `read` gives it, or the result of `bets`.

    Returns
    -------
    DataFrame
        ``model, access, observe, mean, low, high, se, n, n_distinct, share, share_low, share_high``. Of each
        trial, the bet on the named state less the mean bet on the states above it (``mean``, dollars), and
        the named state's share of all that is bet on it and the states above it (``share``; trials that bet
        nothing there are left out of it). Cells where "3" was said have no state above and no row.

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
    wide = wide_bets(beliefs(frame))
    parts = []
    for observe in ("1", "2"):
        rows = wide[wide["observe"] == observe]
        named, above = rows[int(observe)], rows[[s for s in STATES if s > int(observe)]]
        total = named + above.sum(axis=1)
        parts.append(rows.assign(strength=named - above.mean(axis=1), share=named / total.where(total > 0)))
    rows = pd.concat(parts)
    by = ["model", *CELL]
    found = mean_intervals(rows, "strength", by, cluster=cluster, bounds=(-100, 100))
    if rows["share"].notna().any():
        share = mean_intervals(rows, "share", by, cluster=cluster, bounds=(0, 1))
        share = share.rename(columns={"mean": "share", "low": "share_low", "high": "share_high"})
        found = found.merge(share[[*by, "share", "share_low", "share_high"]], on=by, how="left")
    return ordered(found, ORDER)


def legal(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of Study 1 with its conditions spelled as `read` spells them.

    Parameters
    ----------
    frame : DataFrame
        Has ``access`` and ``observe``, and may have ``state`` beside ``bet``. Numbers and categories, as in a
        file that was read again, are taken for the levels that they stand for.

    Returns
    -------
    DataFrame
        ``access`` and ``observe`` as text, ``state`` as integers; all else as it was.

    Raises
    ------
    SpecError
        For a level that is missing or none of the design's, and where more is named than was seen; the
        message names column, row and value.

    Examples
    --------
    >>> import pandas as pd
    >>> from grace_client.analysis import study1
    >>> study1.legal(pd.DataFrame({"access": [3.0], "observe": [2]})).to_dict("records")
    [{'access': '3', 'observe': '2'}]
    """
    frame = canonical(frame, ORDER if "bet" in frame.columns else LEVELS)
    # Digits are in the order of their numbers.
    if (beyond := frame["observe"] > frame["access"]).any():
        row = frame.index[beyond.to_numpy()][0]
        raise SpecError(
            f"column observe, row {row}: {frame['observe'][beyond].iloc[0]} where access is "
            f"{frame['access'][beyond].iloc[0]}; nobody names more than they saw"
        )
    return frame


def beliefs(frame: pd.DataFrame) -> pd.DataFrame:
    """Bets, of a frame or as they are, with legal levels."""
    if "bet" not in frame.columns:
        return bets(frame)
    require(frame, [*HEAD, "state"], "the table of bets")
    return legal(frame)


def wide_bets(table: pd.DataFrame) -> pd.DataFrame:
    """A row per trial (and replicate) whose four bets are known, models as they come; a column per state."""
    keys = [*HEAD, *(["replicate"] if "replicate" in table.columns else [])]
    wide = table.dropna(subset=["bet"]).set_index([*keys, "state"])["bet"].unstack("state")
    wide = wide.reindex(columns=list(STATES)).dropna()
    if wide.empty:
        raise NotEnoughDataError("no trial has bets on all four states")
    return ordered(wide.reset_index(), {}, table["model"])
