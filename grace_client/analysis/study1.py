"""Study 1, knowledge attribution: beliefs about the four states, and what access does to them.

Conditions are factors: ``access`` and ``observe`` are text throughout, and are never used as numbers.
Goodman, N. D., & Stuhlmüller, A. (2013). Knowledge and implicature: Modeling language understanding as social
cognition. *Topics in Cognitive Science*, 5(1), 173-184, Experiment 2.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from grace_client.analysis.files import BETS, OK
from grace_client.analysis.inference import bootstrap, holm
from grace_client.analysis.layout import ordered, per_model, require
from grace_client.analysis.variance import type_two
from grace_client.errors import SpecError

CELL = ("access", "observe")
STATES = (0, 1, 2, 3)
ORDER = {"access": ("1", "2", "3"), "observe": ("1", "2", "3"), "state": STATES}
HEAD = ("model", "trial_id", "participant", "item", "stimulus", *CELL)

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
"""The planned contrasts: access, number in the word that was said, state expected higher, state expected
lower."""


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
    """
    require(frame, [*HEAD, "question", "status"])
    return _said(frame) if "response" in frame.columns else _scored_bets(frame)


def _scored_bets(frame: pd.DataFrame) -> pd.DataFrame:
    asked = frame["question"].isin([f"state{s}" for s in STATES])
    rows = frame[asked & (frame["status"] == OK)]
    if rows.empty:
        raise SpecError("no state question was answered: is this Study 1, Experiment 2?")
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
        raise SpecError("no answer names a number: extract the free text first, with 'grace extract'")
    return found


def cell_means(
    frame: pd.DataFrame, *, value: str = "bet", cluster: str = "stimulus", draws: int = 10_000, seed: int = 0
) -> pd.DataFrame:
    """Mean belief in each state by access and observe.

    Parameters
    ----------
    frame : DataFrame
        Study 1 as `read` gives it, or the result of `bets`.
    value : {"bet", "percentage"}
        Dollars of 100, or the elicited percentage itself.
    cluster, draws, seed
        Of the interval; see `inference.bootstrap`.

    Returns
    -------
    DataFrame
        ``model, access, observe, state, mean, low, high, se, n, n_distinct``; cells in the order of access,
        observe and state; `mean` to `se` in the unit of `value`.
    """
    table = _beliefs(frame)
    found = bootstrap(table, value, ["model", *CELL, "state"], cluster=cluster, draws=draws, seed=seed)
    return ordered(found, ORDER)


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
        to `inference.bootstrap`.
    """
    found = bets(frame).groupby(list(HEAD), sort=False)["percentage"].agg(total="sum", states="count")
    return found.loc[found["states"] == len(STATES), ["total"]].reset_index()


def knowledge(
    frame: pd.DataFrame, *, cluster: str = "stimulus", draws: int = 10_000, seed: int = 0
) -> pd.DataFrame:
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
    """
    require(frame, [*HEAD, "question", "status"])
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
        raise SpecError("the knowledge question has no answer: is this Study 1?")
    found = bootstrap(rows, "yes", ["model", *CELL], cluster=cluster, draws=draws, seed=seed)
    share = rows.groupby(["model", *CELL], sort=False)["certain"].mean()
    found["share_yes"] = share.to_numpy()
    return ordered(found, ORDER)


def implicature(
    frame: pd.DataFrame, *, cluster: str = "stimulus", draws: int = 10_000, seed: int = 0
) -> pd.DataFrame:
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
    """
    wide = _wide(_beliefs(frame))
    parts = []
    for observe in ("1", "2"):
        rows = wide[wide["observe"] == observe]
        named, above = rows[int(observe)], rows[[s for s in STATES if s > int(observe)]]
        total = named + above.sum(axis=1)
        parts.append(rows.assign(strength=named - above.mean(axis=1), share=named / total.where(total > 0)))
    rows = pd.concat(parts)
    by = ["model", *CELL]
    found = bootstrap(rows, "strength", by, cluster=cluster, draws=draws, seed=seed)
    if rows["share"].notna().any():
        share = bootstrap(rows, "share", by, cluster=cluster, draws=draws, seed=seed)
        share = share.rename(columns={"mean": "share", "low": "share_low", "high": "share_high"})
        found = found.merge(share[[*by, "share", "share_low", "share_high"]], on=by, how="left")
    return ordered(found, ORDER)


def contrasts(frame: pd.DataFrame, *, unit: str = "stimulus") -> pd.DataFrame:
    """The eight planned one-tailed paired contrasts between states.

    Parameters
    ----------
    frame : DataFrame
        Study 1 as `read` gives it, or the result of `bets`.
    unit : {"stimulus", "item", "participant"}
        What a pair is. Bets are first averaged within it, so that copies of a stimulus are one pair; use
        ``participant`` only where participants answered for themselves.

    Returns
    -------
    DataFrame
        ``model, access, observe`` (the number that was said), ``greater, lesser`` (states),
        ``mean_greater, mean_lesser, difference`` (dollars), ``low, high`` (two-sided 95% interval of the
        difference, from t), ``t, df, p`` (one-tailed, that the difference is above 0), ``p_holm`` (within
        the model), ``d_z`` (difference over the standard deviation of the differences), ``n`` (trials, or
        answers) and ``n_distinct`` (pairs). Where all differences are equal and not 0, ``t`` and ``d_z`` are
        infinite; where there are fewer than two pairs, or all differences are 0, the test is missing.

    References
    ----------
    Lakens, D. (2013). Calculating and reporting effect sizes to facilitate cumulative science. *Frontiers in
    Psychology*, 4, 863 (d_z).
    """
    wide = _wide(_beliefs(frame))
    rows = []
    for model, of_model in per_model(wide):
        for access, observe, greater, lesser in CONTRASTS:
            cell = of_model[(of_model["access"] == access) & (of_model["observe"] == observe)]
            pairs = cell.groupby(unit, sort=False)[[greater, lesser]].mean()
            row = {"model": model, "access": access, "observe": observe, "greater": greater, "lesser": lesser}
            row |= _paired(pairs[greater].to_numpy(), pairs[lesser].to_numpy())
            rows.append(row | {"n": len(cell), "n_distinct": len(pairs)})
    found = pd.DataFrame(rows)
    found["p_holm"] = found.groupby("model", sort=False)["p"].transform(lambda p: holm(p.to_numpy()))
    order = [*found.columns[:5], "mean_greater", "mean_lesser", "difference", "low", "high", "t", "df", "p"]
    return found[[*order, "p_holm", "d_z", "n", "n_distinct"]]


def _paired(greater: np.ndarray, lesser: np.ndarray) -> dict[str, float]:
    from scipy import stats

    count = len(greater)
    found = dict.fromkeys(("mean_greater", "mean_lesser", "difference"), np.nan)
    found |= dict.fromkeys(("low", "high", "t", "df", "p", "d_z"), np.nan)
    if count == 0:
        return found
    difference = greater - lesser
    mean = float(difference.mean())
    found |= {"mean_greater": float(greater.mean()), "mean_lesser": float(lesser.mean()), "difference": mean}
    if count < 2:
        return found
    sd, df = float(difference.std(ddof=1)), count - 1
    # Equal differences differ by rounding alone.
    if sd <= 1e-12 * max(1.0, abs(mean)):
        sign = np.sign(mean) if abs(mean) > 1e-12 else np.nan
        certain = {1.0: 0.0, -1.0: 1.0}.get(float(sign), np.nan)
        return found | {
            "low": mean,
            "high": mean,
            "t": sign * np.inf,
            "df": df,
            "p": certain,
            "d_z": sign * np.inf,
        }
    error = sd / np.sqrt(count)
    reach = float(stats.t.ppf(0.975, df)) * error
    t = mean / error
    return found | {
        "low": mean - reach,
        "high": mean + reach,
        "t": t,
        "df": df,
        "p": float(stats.t.sf(t, df)),
        "d_z": mean / sd,
    }


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
        Whose bets; the paper reports state 3.
    within : {"item", "participant", None}
        What is fitted is ``value ~ within + access * observe`` by least squares. With ``item``, bets are
        first averaged per stimulus, and stories are blocks: 36 stimuli are 36 observations, however many
        copies were scored. With ``participant``, bets are averaged per participant and cell, and
        participants are blocks: the repeated-measures analysis with one pooled error (which assumes
        sphericity), for people and for sampled answers. With None, stimuli are independent observations.
    value : {"bet", "percentage"}
        What to analyse.

    Returns
    -------
    DataFrame
        ``model, effect`` (``access``, ``observe``, ``access:observe``, ``residual``), ``ss, df, ms, f, p``,
        ``eta_p2`` (partial eta squared), ``n`` (trials or answers) and ``n_distinct`` (observations fitted).
        Sums of squares are of Type II: access given observe, observe given access, the interaction given
        both, each given the blocks; the error is that of the full model. Type III has no meaning with empty
        cells. Where nothing is left to the residual, ``f`` is infinite or missing.

    Raises
    ------
    SpecError
        Where `within` is ``participant`` and copies of a stimulus all have the same answer: then
        participants are copies, not people.
    """
    rows = _beliefs(frame)
    require(rows, [value])
    rows = rows[(rows["state"] == state) & rows[value].notna()]
    if rows.empty:
        raise SpecError(f"state {state} has no {value}; the states are {', '.join(map(str, STATES))}")
    if within not in ("item", "participant", None):
        raise SpecError(f"within={within!r}: choose 'item', 'participant' or None")
    parts = []
    for model, of_model in per_model(rows):
        if within == "participant":
            _people(model, of_model, value)
        unit = ["participant"] if within == "participant" else ["stimulus"]
        block = [within] if within == "item" else []
        fitted = of_model.groupby([*unit, *block, *CELL], sort=False)[value].mean().reset_index()
        table = type_two(fitted, value, CELL, within)
        table.insert(0, "model", model)
        parts.append(table.assign(n=len(of_model), n_distinct=len(fitted)))
    return pd.concat(parts, ignore_index=True)


def _people(model: str, rows: pd.DataFrame, value: str) -> None:
    copies = rows.groupby("stimulus")[value]
    if (copies.size() > 1).any() and copies.nunique().max() == 1:
        raise SpecError(
            f"all copies of a stimulus have the same answer of {model}: its {len(rows)} trials are "
            f"{copies.ngroups} observations, and its participants are no people. Use within='item'"
        )


def _beliefs(frame: pd.DataFrame) -> pd.DataFrame:
    return frame if "bet" in frame.columns else bets(frame)


def _wide(table: pd.DataFrame) -> pd.DataFrame:
    """One row per trial (and replicate) whose four bets are known, a column per state."""
    keys = [*HEAD, *(["replicate"] if "replicate" in table.columns else [])]
    wide = table.dropna(subset=["bet"]).set_index([*keys, "state"])["bet"].unstack("state")
    wide = wide.reindex(columns=list(STATES)).dropna()
    if wide.empty:
        raise SpecError("no trial has bets on all four states")
    return wide.reset_index()
