"""Goals compared within items, for scored probabilities and for shares of choices."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grace_client.analysis._data.layout import per_model, require
from grace_client.analysis._statistics.noise import add_floor
from grace_client.analysis._statistics.variance import paired
from grace_client.analysis.effects import analysed
from grace_client.analysis.inference import holm
from grace_client.analysis.reference._design import CELL, STATES, UTTERANCES
from grace_client.analysis.study2._shares import NEGATION_GAIN, negated_share, probabilities
from grace_client.core.errors import SpecError

Array = NDArray[np.float64]

GOAL_CONTRASTS = (("both", "social"), ("both", "informational"))
"""The paper's question: the goal to be kind and informative, against each of the two alone."""
ALL = "all"
"""In place of a state: the mean over the four."""


def differences(
    frame: pd.DataFrame, *, of: str = "negation", noise: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Differences between goals in the share of an utterance, paired by item.

    The values of an item (domain) are its means over trials in a cell. These are contrasts of probabilities,
    so they also work for scored answers.

    Parameters
    ----------
    frame : DataFrame
        Study 2 as `read` gives it: scored, or free text with structured answers.
    of : str
        What is compared: ``"negation"``, or one of the eight utterances.
    noise : DataFrame, optional
        As `quality.noise` gives it: adds ``noise_floor`` and ``below_noise``, of the difference.

    Returns
    -------
    DataFrame
        ``model, goal, against`` (both against social, both against informational), ``state`` (and ``all``:
        the mean over the states, of items that have all), ``mean_goal, mean_against, difference`` (of
        probabilities), ``low, high`` (95% interval from t), ``t, df, p`` (two-sided, paired), ``p_holm``
        (within the model, over all rows), ``d_z`` (difference over the standard deviation of the
        differences), ``n`` (trials, or choices) and ``n_distinct`` (items). All items count the same. If all
        differences are equal and not 0, ``p`` is that of the sign test and the interval is missing. With
        fewer than two items, or if all differences are 0, the test is missing.

    Raises
    ------
    SpecError
        If `of` is not an utterance, or the frame is counts, which have no items.

    References
    ----------
    Yoon, E. J., Tessler, M. H., Goodman, N. D., & Frank, M. C. (2020), "Behavioral results", for the two
    comparisons.

    Examples
    --------
    >>> from grace_client.analysis import example, study2
    >>> found = study2.differences(example.scored("study2"))
    >>> found.loc[found["against"] == "informational", ["state", "difference", "df"]].round(2)
          state  difference  df
    5  0 hearts        0.33  11
    6   1 heart        0.20  11
    7  2 hearts       -0.05  11
    8  3 hearts       -0.01  11
    9       all        0.12  11
    """
    rows = _shares(frame, of)
    result = []
    for model, part in per_model(rows):
        for goal, against in GOAL_CONTRASTS:
            for state in (*STATES, ALL):
                first, second, count = item_means(part, goal, against, state)
                row = {"model": model, "goal": goal, "against": against, "state": state}
                result.append(row | paired(first, second) | {"n": count, "n_distinct": len(first)})
    table = pd.DataFrame(result).rename(columns={"mean_greater": "mean_goal", "mean_lesser": "mean_against"})
    table["p_holm"] = table.groupby("model", sort=False)["p"].transform(lambda p: holm(p.to_numpy()))
    order = ["model", "goal", "against", "state", "mean_goal", "mean_against", "difference", "low", "high"]
    table = table[[*order, "t", "df", "p", "p_holm", "d_z", "n", "n_distinct"]]
    gain = NEGATION_GAIN if of == "negation" else 1.0
    return add_floor(table, frame, noise, lambda: _gains(rows, gain), table["difference"])


def anova(frame: pd.DataFrame, *, of: str = "negation") -> pd.DataFrame:
    """Analysis of variance of an utterance's share, with goal and state as factors and items as blocks.

    It is the omnibus test of goal × state for scored answers: does the effect of the goal depend on the
    state?

    Parameters
    ----------
    frame, of
        As in `differences`.

    Returns
    -------
    DataFrame
        ``model, effect`` (``goal``, ``state``, ``goal:state``, ``residual``), ``ss, df, ms, f, p, eta_p2``,
        ``n`` (trials, or choices) and ``n_distinct`` (items × cells fitted). What is fitted is
        ``prob ~ item + goal * state`` by least squares to the means of each item and cell; one error is
        pooled, which assumes sphericity. Sums of squares are of Type II. Near 0 and 1 a probability has less
        room to change, which alone can cause an interaction. The logistic model, `negation_model`, tests on
        the scale of log odds.

    Raises
    ------
    SpecError
        As `differences`.

    Examples
    --------
    >>> from grace_client.analysis import example, study2
    >>> study2.anova(example.scored("study2"))[["effect", "df"]]
           effect   df
    0        goal    2
    1       state    3
    2  goal:state    6
    3    residual  121
    """
    return analysed(_shares(frame, of), "prob", CELL, "item")


def item_means(rows: pd.DataFrame, goal: str, against: str, state: str) -> tuple[Array, Array, int]:
    """Means of every item for both goals, at a state or over all, and the number of trials."""
    own = _paired_items(rows, goal, against, state)
    cells = own.groupby(["item", "goal", "state"], sort=False)["prob"].mean()
    sides = cells.groupby(["item", "goal"], sort=False).mean().unstack()
    sides = sides.reindex(columns=[goal, against])
    return sides[goal].to_numpy(), sides[against].to_numpy(), len(own)


def _gains(rows: pd.DataFrame, gain: float) -> pd.DataFrame:
    """Noise gains of the differences, from the gain of one trial."""
    parts = []
    for model, own in per_model(rows):
        for goal, against in GOAL_CONTRASTS:
            for state in (*STATES, ALL):
                trials = _paired_items(own, goal, against, state)
                size = trials.groupby(["item", "goal", "state"])["trial_id"].transform("size")
                cells = (4 if state == ALL else 1) * trials["item"].nunique()
                weight = trials["goal"].map({goal: 1.0, against: -1.0}) / (size * cells)
                of_stimulus = weight.groupby(trials["stimulus"]).sum()
                spread = gain * float(np.sqrt((of_stimulus**2).sum())) if len(weight) else np.nan
                parts.append((model, goal, against, state, spread))
    return pd.DataFrame(parts, columns=["model", "goal", "against", "state", "gain"])


def _shares(frame: pd.DataFrame, of: str) -> pd.DataFrame:
    if "count" in frame.columns:
        raise SpecError("a table of counts has no items. Give a table of answers")
    if of != "negation" and of not in UTTERANCES:
        raise SpecError(f"of={of!r}: choose negation or one of {', '.join(UTTERANCES)}")
    require(frame, ["item"])
    if of == "negation":
        return negated_share(frame)
    rows = probabilities(frame)
    return rows[rows["utterance"] == of]


def _paired_items(rows: pd.DataFrame, goal: str, against: str, state: str) -> pd.DataFrame:
    """The rows of both goals at a state, of the items that have both (and, for all, every state of both)."""
    own = rows[rows["goal"].isin([goal, against])]
    own = own if state == ALL else own[own["state"] == state]
    cells = own.drop_duplicates(["item", "goal", "state"]).groupby("item").size()
    return own[own["item"].isin(cells.index[cells == 2 * (len(STATES) if state == ALL else 1)])]
