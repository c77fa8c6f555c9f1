"""Exclusion rules: functions that return the kept rows, and the excluded trials with the reasons.

>>> kept, excluded = exclusions.low_mass(frame, minimum=0.5)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from grace_client.analysis import study1
from grace_client.analysis._data.layout import require
from grace_client.analysis.quality import unparsed
from grace_client.run.layout import OK

COLUMNS = ("model", "experiment", "trial_id", "rule", "reason")


class Exclusion(NamedTuple):
    """The result of a rule.

    Attributes
    ----------
    kept : DataFrame
        The rows of the other trials, unchanged.
    excluded : DataFrame
        One row per excluded trial: ``model, experiment, trial_id, rule, reason``; of `unclear`, one row per
        answer, with ``question`` and ``replicate`` before ``rule``.
    """

    kept: pd.DataFrame
    excluded: pd.DataFrame


def incomplete(frame: pd.DataFrame) -> Exclusion:
    """Exclude trials with an unanswered question.

    Parameters
    ----------
    frame : DataFrame
        Answers as `read` gives them.

    Examples
    --------
    >>> from grace_client.analysis import example, exclusions
    >>> frame = example.scored("study1")
    >>> frame.loc[frame["trial_id"] == 7, "status"] = "timeout"
    >>> exclusions.incomplete(frame).excluded[["trial_id", "rule", "reason"]]
       trial_id        rule           reason
    0         7  incomplete  state0: timeout
    """
    require(frame, ["model", "experiment", "trial_id", "question", "status"])
    failed = frame[frame["status"] != OK]
    reason = failed["question"].astype("str") + ": " + failed["status"].astype("str")
    return _without(frame, failed, "incomplete", reason)


def low_mass(frame: pd.DataFrame, *, minimum: float = 0.5) -> Exclusion:
    """Exclude trials with a question whose option mass is below `minimum`.

    The normalised distribution of such a question describes only a small part of what the model would say.

    Parameters
    ----------
    frame : DataFrame
        Scored answers as `read` gives them.
    minimum : float
        Lowest option mass that is kept, from 0 to 1.

    Examples
    --------
    >>> from grace_client.analysis import example, exclusions
    >>> kept, excluded = exclusions.low_mass(example.scored("study1"), minimum=0.95)
    >>> len(kept), excluded["reason"].iloc[0]
    (0, 'state0: option mass 0.9 < 0.95')
    """
    require(frame, ["model", "experiment", "trial_id", "question", "option_mass"])
    low = frame[frame["option_mass"] < minimum]
    reason = low["question"] + low["option_mass"].map(lambda mass: f": option mass {mass:.3g} < {minimum:g}")
    return _without(frame, low, "low_mass", reason)


def incoherent(frame: pd.DataFrame, *, tolerance: float = 10.0) -> Exclusion:
    """Exclude Study 1 trials whose four percentages do not sum to 100.

    Parameters
    ----------
    frame : DataFrame
        Scored Study 1, as `read` gives it.
    tolerance : float
        How far from 100 the sum may be, in percentage points.

    Examples
    --------
    >>> from grace_client.analysis import example, exclusions
    >>> kept, excluded = exclusions.incoherent(example.scored("study1"))
    >>> kept["trial_id"].nunique() + len(excluded)
    300
    """
    totals = study1.coherence(frame)
    off = totals[(totals["total"] - 100).abs() > tolerance]
    reason = off["total"].map(lambda total: f"the percentages sum to {total:.1f}, not to 100 ± {tolerance:g}")
    return _without(frame, off.assign(experiment=_experiment(frame)), "incoherent", reason)


def knowledge(frame: pd.DataFrame, *, minimum: float = 0.5) -> Exclusion:
    """Exclude Study 1 trials with a wrong answer on whether the speaker knows exactly how many.

    Parameters
    ----------
    frame : DataFrame
        Scored Study 1, as `read` gives it.
    minimum : float
        Probability that the right answer must have: "yes" if the speaker saw all three, else "no". The
        default of 0.5 is grace's own choice: the right answer is the likelier one. For people, who bet $100
        on the two answers, the paper's main analysis is reported to leave out trials with 70 dollars or less;
        ``minimum=0.7`` is closest to this.

    References
    ----------
    The 70 dollars are from a secondary source, the formalisation of Goodman and Stuhlmüller (2013) in the
    public project linglib (``GoodmanStuhlmuller2013``); check the paper before you cite them.

    Examples
    --------
    >>> from grace_client.analysis import example, exclusions
    >>> kept, excluded = exclusions.knowledge(example.scored("study1"), minimum=0.7)
    >>> kept["trial_id"].nunique() + len(excluded)
    300
    """
    seen = study1.CELL[0]
    require(frame, ["model", "experiment", "trial_id", seen, "question", "option", "prob_norm", "status"])
    spelled = study1.legal(frame)
    rows = spelled[(spelled["question"] == "knowledge") & (spelled["status"] == OK)]
    right = np.where(rows[seen] == "3", "yes", "no")
    rows = rows[(rows["option"] == right) & (rows["prob_norm"] < minimum)]
    reason = rows["prob_norm"].map(lambda p: f" has probability {p:.3g} < {minimum:g}")
    reason = "knows: " + rows["option"] + reason + f" at {seen} " + rows[seen]
    return _without(frame, rows, "knowledge", reason)


def unclear(frame: pd.DataFrame) -> Exclusion:
    """Exclude failed free-text answers and those without a clear meaning; other answers of the trial stay.

    Parameters
    ----------
    frame : DataFrame
        Free text with structured answers, as `read` gives it.

    Examples
    --------
    >>> from grace_client.analysis import example, exclusions
    >>> frame = example.free("study2")
    >>> frame.loc[0, ["structured", "category"]] = ["unparsed", "refusal"]
    >>> exclusions.unclear(frame).excluded[["trial_id", "rule", "reason"]]
       trial_id     rule   reason
    0         1  unclear  refusal
    """
    require(frame, ["model", "experiment", "trial_id", "question", "replicate", "structured", "status"])
    failed = frame["status"] != OK
    without_meaning = failed | unparsed(frame)
    category = frame["category"] if "category" in frame.columns else pd.Series("unparsed", index=frame.index)
    excluded = frame.loc[without_meaning, [*COLUMNS[:3], "question", "replicate"]].assign(
        rule="unclear", reason=frame["status"].where(failed, category)[without_meaning]
    )
    return Exclusion(frame[~without_meaning], excluded.reset_index(drop=True))


def _experiment(frame: pd.DataFrame) -> str:
    return str(frame["experiment"].iloc[0])


def _without(frame: pd.DataFrame, rows: pd.DataFrame, rule: str, reason: pd.Series[str]) -> Exclusion:
    """Leave out the trials of `rows`, each with its first reason."""
    keys = list(COLUMNS[:3])
    excluded = rows[keys].assign(rule=rule, reason=reason).drop_duplicates(keys).reset_index(drop=True)
    gone = pd.MultiIndex.from_frame(frame[keys]).isin(pd.MultiIndex.from_frame(excluded[keys]))
    return Exclusion(frame[~gone], excluded)
