"""Tests of Study 1: the planned contrasts, and the analysis of variance of the triangular design."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grace_client.analysis._data.layout import per_model, refuse_copies, require
from grace_client.analysis._statistics.differences import Side, tested
from grace_client.analysis._statistics.noise import add_floor
from grace_client.analysis.effects import analysed
from grace_client.analysis.inference import holm
from grace_client.analysis.study1._bets import CELL, STATES, beliefs, gains, wide_bets
from grace_client.core.errors import NotEnoughDataError, SpecError

CONTRASTS = (
    ("3", "2", 2, 3),
    ("3", "1", 1, 3),
    ("3", "1", 1, 2),
    ("1", "1", 1, 2),
    ("1", "1", 1, 3),
    ("2", "2", 2, 3),
    ("2", "1", 1, 3),
    ("2", "1", 1, 2),
)
"""The planned contrasts: access, the named number, the state expected higher, the state expected lower."""


def contrasts(frame: pd.DataFrame, *, unit: str = "item", noise: pd.DataFrame | None = None) -> pd.DataFrame:
    """The eight planned one-tailed paired contrasts between states.

    Parameters
    ----------
    frame : DataFrame
        Study 1 as `read` gives it, or the result of `bets`.
    unit : {"stimulus", "item", "participant"}
        Unit of a pair. Every trial counts the same in the means, as in `cell_means`. Copies of a stimulus are
        still one pair, because the error is that of the pairs. Use ``participant`` only for answers of
        people.
    noise : DataFrame, optional
        As `quality.noise` gives it: adds ``noise_floor`` and ``below_noise``, of the difference.

    Returns
    -------
    DataFrame
        ``model, access, observe`` (the named number), ``greater, lesser`` (states),
        ``mean_greater, mean_lesser, difference`` (dollars), ``low, high`` (two-sided 95% interval of the
        difference, from t, within -100 and 100), ``t``, ``df`` (effective number of pairs less one: as many
        as there are where each has as many trials), ``p`` (one-tailed, that the difference is above 0),
        ``p_holm`` (within the model), ``d_z`` (difference over the standard deviation of the pairs'
        differences), ``n`` (trials, or answers) and ``n_distinct`` (pairs).
        If all differences are equal and not 0, ``t``, ``d_z`` and the interval are missing and ``p`` is that
        of the sign test. With fewer than two pairs, or if all differences are 0, the test is missing.

    Raises
    ------
    SpecError
        If `unit` is ``participant`` but all copies of a stimulus have the same scored answer: these
        participants are copies, not people.

    References
    ----------
    Lakens, D. (2013). Calculating and reporting effect sizes to facilitate cumulative science. *Frontiers in
    Psychology*, 4, 863 (d_z).

    Examples
    --------
    >>> from grace_client.analysis import example, study1
    >>> found = study1.contrasts(example.scored("study1"))
    >>> found[["access", "observe", "greater", "lesser", "difference", "df"]].head(3).round(1)
      access observe  greater  lesser  difference   df
    0      3       2        2       3        78.2  5.0
    1      3       1        1       3        72.3  5.0
    2      3       1        1       2        66.4  5.0
    """
    if unit not in ("stimulus", "item", "participant"):
        raise SpecError(f"unit={unit!r}: choose 'stimulus', 'item' or 'participant'")
    table = beliefs(frame)
    if unit == "participant" and "replicate" not in table.columns:
        refuse_copies(table[table["bet"].notna()], "bet", ["state"])
    wide = wide_bets(table)
    rows = []
    for model, of_model in per_model(wide):
        for access, observe, greater, lesser in CONTRASTS:
            cell = of_model[(of_model["access"] == access) & (of_model["observe"] == observe)]
            row = {"model": model, "access": access, "observe": observe, "greater": greater, "lesser": lesser}
            row |= {"mean_greater": cell[greater].mean(), "mean_lesser": cell[lesser].mean()}
            rows.append(
                row
                | tested(_leads(cell, greater, lesser, unit), most=100, alternative="greater")
                | {"n": len(cell)}
            )
    result = pd.DataFrame(rows)
    result["p_holm"] = result.groupby("model", sort=False)["p"].transform(lambda p: holm(p.to_numpy()))
    order = [*result.columns[:5], "mean_greater", "mean_lesser", "difference", "low", "high", "t", "df", "p"]
    result = result[[*order, "p_holm", "d_z", "n", "n_distinct"]]
    names, unit_bets = ("access", "observe", "greater", "lesser"), np.eye(len(STATES))
    each = [(dict(zip(names, one, strict=True)), unit_bets[one[2]] - unit_bets[one[3]]) for one in CONTRASTS]
    return add_floor(result, frame, noise, lambda: gains(table, each), result["difference"])


ACCESS_EFFECTS = (("2", 2, 3), ("1", 1, 3), ("1", 1, 2))
"""The named number, the state of that number, and a higher state."""


def access_effects(frame: pd.DataFrame, *, unit: str = "item") -> pd.DataFrame:
    """Effect of access on the lead of the named state over a higher one: the test of the hypothesis.

    The hypothesis: a listener who takes the speaker's knowledge into account understands "2 of the 3"
    as exactly two from a speaker who saw all three, but not from one who saw two. A lead at full access may
    come from a preference for a label. Then the lead at partial access is as large, and their difference is
    0.

    Parameters
    ----------
    frame : DataFrame
        Study 1 as `read` gives it, or the result of `bets`.
    unit : {"item", "participant"}
        Unit of a pair: a story, or a person, with answers in both cells.

    Returns
    -------
    DataFrame
        ``model, observe`` (the named number), ``greater, lesser`` (states), ``full`` (mean lead in
        dollars where the speaker saw all three), ``partial`` (where they saw only what they name),
        ``difference`` with ``low, high`` (two-sided 95% interval), ``t, df, p`` (one-tailed, that the lead is
        larger at full access), ``p_holm`` (within the model), ``d_z``, ``n`` (trials, or answers) and
        ``n_distinct`` (pairs). Every trial counts the same. Missing and exact values as in `contrasts`.

    Examples
    --------
    >>> from grace_client.analysis import example, study1
    >>> found = study1.access_effects(example.scored("study1"))
    >>> found[["observe", "greater", "lesser", "full", "partial", "difference"]].round(1)
      observe  greater  lesser  full  partial  difference
    0       2        2       3  78.2     -0.2        78.4
    1       1        1       3  72.3     -0.3        72.6
    2       1        1       2  66.4    -23.4        89.8
    """
    if unit not in ("item", "participant"):
        raise SpecError(f"unit={unit!r}: choose 'item' or 'participant'")
    table = beliefs(frame)
    if unit == "participant" and "replicate" not in table.columns:
        refuse_copies(table[table["bet"].notna()], "bet", ["state"])
    rows = []
    for model, of_model in per_model(wide_bets(table)):
        for observe, greater, lesser in ACCESS_EFFECTS:
            own = of_model[of_model["observe"] == observe]
            cells = [own[own["access"] == access] for access in ("3", observe)]
            both = set(cells[0][unit]) & set(cells[1][unit])
            full, partial = (cell[cell[unit].isin(both)] for cell in cells)
            leads = [_leads(cell, greater, lesser, unit) for cell in (full, partial)]
            row = {"model": model, "observe": observe, "greater": greater, "lesser": lesser}
            row |= {name: lead.mean for name, lead in zip(("full", "partial"), leads, strict=True)}
            rows.append(
                row | tested(*leads, most=200, alternative="greater") | {"n": len(full) + len(partial)}
            )
    result = pd.DataFrame(rows)
    result["p_holm"] = result.groupby("model", sort=False)["p"].transform(lambda p: holm(p.to_numpy()))
    order = [*result.columns[:6], "difference", "low", "high", "t", "df", "p", "p_holm", "d_z"]
    return result[[*order, "n", "n_distinct"]]


def _leads(cell: pd.DataFrame, greater: int, lesser: int, unit: str) -> Side:
    return Side.of(cell[greater] - cell[lesser], cell[unit])


def anova(
    frame: pd.DataFrame, *, state: int = 3, within: str | None = "item", value: str = "bet"
) -> pd.DataFrame:
    """Analysis of variance of one state's bets, with access and observe as factors.

    The design is triangular: of the nine cells, the six with observe ≤ access exist. Six cells have five
    degrees of freedom: two for access, two for observe, one for their interaction.

    Parameters
    ----------
    frame : DataFrame
        Study 1 as `read` gives it, or the result of `bets`.
    state : int
        The state whose bets are analysed; the paper reports state 3.
    within : {"item", "participant", "trial", None}
        Blocks of the model ``value ~ within + access * observe``, which is fitted by least squares. With
        ``item``, bets are first averaged per stimulus, and stories are blocks: 36 stimuli are 36
        observations, however many copies were scored. With ``participant``, bets are averaged per participant
        and cell, and participants are blocks: the repeated-measures analysis with one pooled error (which
        assumes sphericity), for people and for sampled answers. With None, stimuli are independent
        observations. With ``trial``, every answer is one, without blocks: an analysis that papers often
        report. Answers of one person or to one story then count as independent, so ``p`` is too small.
    value : {"bet", "percentage"}
        The value to analyse.

    Returns
    -------
    DataFrame
        ``model, effect`` (``access``, ``observe``, ``access:observe``, ``residual``), ``ss, df, ms, f, p``,
        ``eta_p2`` (partial eta squared), ``n`` (trials or answers) and ``n_distinct`` (observations fitted).
        Sums of squares are of Type II: access given observe, observe given access, the interaction given
        both, each given the blocks; the error is that of the full model. Type III has no meaning with empty
        cells. Without a residual, ``f`` and ``p`` are missing.

    Raises
    ------
    SpecError
        If `within` is ``participant`` or ``trial`` and copies of a stimulus all have the same answer: these
        participants are copies, not people.

    Examples
    --------
    >>> from grace_client.analysis import example, study1
    >>> study1.anova(example.scored("study1"))[["effect", "df", "n", "n_distinct"]]
               effect  df    n  n_distinct
    0          access   2  300          36
    1         observe   2  300          36
    2  access:observe   1  300          36
    3        residual  25  300          36
    """
    rows = beliefs(frame)
    require(rows, [value])
    rows = rows[(rows["state"] == state) & rows[value].notna()]
    if state not in STATES:
        raise SpecError(f"there is no state {state}; the states are {', '.join(map(str, STATES))}")
    if rows.empty:
        raise NotEnoughDataError(f"no trial has a {value} on state {state}")
    return analysed(rows, value, CELL, within, "stimulus" if within == "item" else None)
