"""Utterances in Study 2, by goal and state: counts, shares, negation, and tests against chance."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grace_client.analysis._data.layout import canonical, distinct, ordered, require
from grace_client.analysis._statistics.noise import add_floor, gain_of_means, linear_gain
from grace_client.analysis.inference import holm, mean_intervals
from grace_client.analysis.intervals import against_chance, clopper_pearson
from grace_client.analysis.reference._design import ADJECTIVES, CELL, FRAMES, GOALS, STATES, UTTERANCES
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.run.layout import OK

LEVELS = {"goal": GOALS, "state": STATES}
ORDER = LEVELS | {"utterance": UTTERANCES}

CHANCE = {"utterance": 1 / len(UTTERANCES), "adjective": 1 / len(ADJECTIVES), "negation": 1 / len(FRAMES)}
"""Probability of an answer of each kind if one of the eight utterances is drawn at random."""

NEGATION_GAIN = linear_gain(np.array([float(name.startswith("wasnt_")) for name in UTTERANCES]))
"""Noise of the probability of a negation, where that of one utterance is 1."""


def counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Counts of the chosen utterances, by goal and state.

    Parameters
    ----------
    frame : DataFrame
        Study 2 free text with structured answers, as `read` gives it; or counts, which are checked and
        completed with zeros.

    Returns
    -------
    DataFrame
        ``model, goal, state, utterance, count, n`` (choices in the cell) and ``n_distinct`` (items, or
        choices where only counts are known). Every cell with a choice has a row for each of the eight
        utterances. Other answers do not count. Cells without a choice have no row.

    Raises
    ------
    SpecError
        If a column is missing, a goal or state is not in the design, or a count is negative or not whole;
        the message names column and row.

    Examples
    --------
    >>> from grace_client.analysis import example, study2
    >>> study2.counts(example.free("study2"))[["goal", "state", "utterance", "n", "n_distinct"]].head(2)
       goal     state     utterance    n  n_distinct
    0  both  0 hearts  was_terrible  202          12
    1  both  0 hearts       was_bad  202          12
    """
    if "count" in frame.columns:
        require(frame, ["model", *CELL, "utterance"], "the counts")
        frame = canonical(frame, LEVELS)
        not_a_count = frame["count"].isna() | (frame["count"] < 0) | (frame["count"] % 1 != 0)
        for wrong, column, message in (
            (not_a_count, "count", "is not a count"),
            (~frame["utterance"].isin(UTTERANCES), "utterance", "is not one of the eight utterances"),
            (frame.duplicated(["model", *CELL, "utterance"]), "utterance", "appears twice in its cell"),
        ):
            if wrong.any():
                row = int(wrong.to_numpy().argmax())
                raise SpecError(f"row {row}, column {column}: {frame[column].iloc[row]!r} {message}")
        chosen = frame.groupby(["model", *CELL, "utterance"], sort=False)["count"].sum()
        different = None
    else:
        rows = choices(frame)
        chosen = rows.groupby(["model", *CELL, "structured"], sort=False).size()
        different = rows.groupby(["model", *CELL], sort=False)[distinct(rows)].nunique()
    wide = chosen.unstack(level=-1, fill_value=0).reindex(columns=list(UTTERANCES)).fillna(0)
    # A row of zeros is a cell without answers.
    wide = wide[wide.sum(axis=1) > 0].astype(np.int64)
    long = wide.reset_index().melt(["model", *CELL], list(UTTERANCES), "utterance", "count")
    long["n"] = long.groupby(["model", *CELL], sort=False)["count"].transform("sum")
    if different is None:
        long["n_distinct"] = long["n"]
    else:
        keys = pd.MultiIndex.from_frame(long[["model", *CELL]])
        long["n_distinct"] = different.reindex(keys).to_numpy()
    return ordered(long, ORDER, frame["model"])


def choices(frame: pd.DataFrame) -> pd.DataFrame:
    """The free-text answers that are one of the eight utterances.

    Parameters
    ----------
    frame : DataFrame
        Study 2 free text with structured answers, as `read` gives it.

    Returns
    -------
    DataFrame
        The rows of these answers, with all columns of `frame`.

    Raises
    ------
    NotEnoughDataError
        If there is no such answer.

    Examples
    --------
    >>> from grace_client.analysis import example, study2
    >>> len(study2.choices(example.free("study2")))
    2424
    """
    require(frame, ["model", *CELL, "stimulus", "status", "structured"], "free text")
    frame = canonical(frame, LEVELS)
    rows = frame[(frame["status"] == OK) & frame["structured"].isin(UTTERANCES)]
    if rows.empty:
        raise NotEnoughDataError(
            "no answer is one of the eight utterances. Is this Study 2? If the free text has not been "
            "extracted yet, run: grace extract RUN"
        )
    return rows


def utterances(
    frame: pd.DataFrame, *, cluster: str | None = None, noise: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Share of each utterance, by goal and state.

    Parameters
    ----------
    frame : DataFrame
        Study 2 as `read` gives it: scored, or free text with structured answers; or counts, with columns
        ``model, goal, state, utterance, count``.
    cluster : {"item", "stimulus", "participant"}, optional
        Column of the clusters of the interval; ``item`` by default. Within a cell the texts of an item (one
        of twelve domains) differ only in names, so for a model they are nearly one text. Intervals by
        ``stimulus`` would treat about two hundred of them as separate observations. Counts have no clusters.
    noise : DataFrame, optional
        As `quality.noise` gives it: adds ``noise_floor`` and ``below_noise``, of the distance from chance.

    Returns
    -------
    DataFrame
        ``model, goal, state, utterance, mean, low, high, n, n_distinct, chance``. Scored, ``mean`` is the
        mean probability; else the share of the choices. The interval is that of `inference.mean_intervals`,
        for counts that of `intervals.clopper_pearson`. ``chance`` is 1/8.

    Raises
    ------
    SpecError
        As `counts`; and where counts are to be clustered.

    Examples
    --------
    >>> from grace_client.analysis import example, study2
    >>> found = study2.utterances(example.scored("study2"))
    >>> found[["goal", "state", "utterance", "mean", "n", "n_distinct"]].head(2).round(2)
       goal     state     utterance  mean    n  n_distinct
    0  both  0 hearts  was_terrible  0.16  202          12
    1  both  0 hearts       was_bad  0.06  202          12
    """
    if "count" in frame.columns:
        _unclustered(cluster)
        table = counts(frame)
        low, high = clopper_pearson(table["count"], table["n"])
        result = table.assign(
            mean=table["count"] / table["n"], low=low, high=high, chance=CHANCE["utterance"]
        )
        return result[["model", *CELL, "utterance", "mean", "low", "high", "n", "n_distinct", "chance"]]
    by = ["model", *CELL, "utterance"]
    rows = probabilities(frame)
    result = mean_intervals(rows, "prob", by, cluster=cluster, bounds=(0, 1))
    result = ordered(result.drop(columns="se"), ORDER).assign(chance=CHANCE["utterance"])
    return add_floor(result, frame, noise, lambda: _gains(rows, 1.0), result["mean"] - result["chance"])


def _gains(rows: pd.DataFrame, gain: float) -> pd.DataFrame:
    """Noise gains of the cells, from the gain of one trial."""
    trials = rows.drop_duplicates(["model", "trial_id"])
    return gain_of_means(trials.assign(variance=gain**2), ["model", *CELL])


def _unclustered(cluster: str | None) -> None:
    if cluster is not None:
        raise SpecError(
            f"cluster={cluster!r}: a table of counts has no clusters. Leave cluster= out; the interval then "
            "treats each choice as one observation"
        )


def by_item(frame: pd.DataFrame) -> pd.DataFrame:
    """Share of each utterance, by goal, state and item, for `compare.closeness`.

    Parameters
    ----------
    frame : DataFrame
        Study 2 as `read` gives it: scored, or free text with structured answers.

    Returns
    -------
    DataFrame
        ``model, goal, state, item, utterance, prob`` (mean probability, or share of the choices; sums to 1)
        and ``n`` (trials, or choices).

    Examples
    --------
    >>> from grace_client.analysis import example, study2
    >>> found = study2.by_item(example.scored("study2"))
    >>> len(found), found["item"].nunique()
    (1152, 12)
    """
    rows = probabilities(frame)
    require(rows, ["item"])
    keys = ["model", *CELL, "item", "utterance"]
    result = rows.groupby(keys, sort=False)["prob"].agg(prob="mean", n="size").reset_index()
    return ordered(result, LEVELS | {"item": sorted(result["item"].unique())} | {"utterance": UTTERANCES})


def probabilities(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per trial (or answer) and utterance: its probability, or 1 where it was said and 0 elsewhere."""
    if "response" in frame.columns:
        said = choices(frame).reset_index(drop=True)
        parts = [
            said.assign(utterance=u, prob=(said["structured"] == u).astype(np.float64)) for u in UTTERANCES
        ]
        return pd.concat(parts, ignore_index=True)
    require(frame, ["model", *CELL, "stimulus", "question", "option", "prob_norm", "status"])
    frame = canonical(frame, LEVELS)
    rows = frame[(frame["question"] == "utterance") & (frame["status"] == OK)]
    if rows.empty:
        raise NotEnoughDataError("no utterance question was answered: is this Study 2, Experiment 2?")
    return rows.rename(columns={"option": "utterance", "prob_norm": "prob"})


def negation(
    frame: pd.DataFrame, *, cluster: str | None = None, noise: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Share of utterances with a negation ("It wasn't …"), by goal and state.

    Parameters
    ----------
    frame, cluster, noise
        As in `utterances`.

    Returns
    -------
    DataFrame
        ``model, goal, state, mean, low, high, n, n_distinct, chance``; ``chance`` is 1/2.

    Examples
    --------
    >>> from grace_client.analysis import reference, study2
    >>> people = reference.study2().assign(model="people")
    >>> study2.negation(people)[["goal", "state", "mean", "n"]].head(4).round(3)
       goal     state   mean    n
    0  both  0 hearts  0.734  203
    1  both   1 heart  0.744  203
    2  both  2 hearts  0.064  203
    3  both  3 hearts  0.005  203
    """
    keys = ["model", *CELL]
    if "count" in frame.columns:
        _unclustered(cluster)
        table = counts(frame)
        negated = table["count"].where(table["utterance"].str.startswith("wasnt_"), 0)
        cells = table.assign(k=negated).groupby(keys, sort=False)
        result = cells.agg(k=("k", "sum"), n=("n", "first"), n_distinct=("n_distinct", "first")).reset_index()
        low, high = clopper_pearson(result["k"], result["n"])
        result = result.assign(mean=result["k"] / result["n"], low=low, high=high)
    else:
        result = mean_intervals(negated_share(frame), "prob", keys, cluster=cluster, bounds=(0, 1))
    order = [*keys, "mean", "low", "high", "n", "n_distinct"]
    result = ordered(result[order], ORDER).assign(chance=CHANCE["negation"])

    def gains() -> pd.DataFrame:
        return _gains(negated_share(frame), NEGATION_GAIN)

    return add_floor(result, frame, noise, gains, result["mean"] - result["chance"])


def negated_share(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per trial (or answer) with ``prob``: the share of negated utterances."""
    rows = probabilities(frame)
    rows = rows[rows["utterance"].str.startswith("wasnt_")]
    head = ["model", *CELL, "trial_id", "replicate", "participant", "item", "stimulus"]
    keys = [column for column in head if column in rows.columns]
    return rows.groupby(keys, sort=False)["prob"].sum().reset_index()


def binomial(frame: pd.DataFrame, *, of: str = "utterance", alternative: str = "two-sided") -> pd.DataFrame:
    """Tests of the share of choices against chance, in every cell.

    Parameters
    ----------
    frame : DataFrame
        Study 2 free text with structured answers, or counts. Scored probabilities are refused, because they
        are not counts.
    of : {"utterance", "adjective", "negation"}
        The tested answers: each of the eight utterances against 1/8, each adjective (with or without
        negation) against 1/4, or negation against 1/2.
    alternative : {"two-sided", "greater", "less"}
        Side of the test.

    Returns
    -------
    DataFrame
        ``model, goal, state``, `of` (the tested answer; of ``negation`` always ``wasnt``), ``k`` (times
        chosen), ``mean`` (share), ``low, high`` (95% interval), ``chance, p``, ``p_holm`` (within the model,
        over all tests of the call), ``n`` (choices) and ``n_distinct`` (items). Choices about one item are
        not independent: the test is that of `intervals.against_chance`, with the interval of `utterances` and
        `negation`, and it is missing if all choices are about one item. Counts have no items: their test
        is the exact binomial test with the interval of Clopper and Pearson.

    References
    ----------
    Clopper, C. J., & Pearson, E. S. (1934). The use of confidence or fiducial limits illustrated in the case
    of the binomial. *Biometrika*, 26(4), 404-413.

    Examples
    --------
    >>> from grace_client.analysis import reference, study2
    >>> people = reference.study2().assign(model="people")
    >>> study2.binomial(people, of="negation")[["goal", "state", "k", "n", "chance"]].head(2)
       goal     state    k    n  chance
    0  both  0 hearts  149  203     0.5
    1  both   1 heart  151  203     0.5
    """
    if of not in CHANCE:
        raise SpecError(f"of={of!r}: choose one of {', '.join(CHANCE)}")
    if "prob_norm" in frame.columns:
        raise SpecError(
            "a binomial test needs choices, but these are scored probabilities. 'utterances' and 'negation' "
            "give their means with intervals"
        )
    table = counts(frame)
    cells = table.assign(**{of: _kind(table["utterance"], of)}).groupby(["model", *CELL, of], sort=False)
    result = cells.agg(k=("count", "sum"), n=("n", "first"), n_distinct=("n_distinct", "first")).reset_index()
    result = result.assign(mean=result["k"] / result["n"], chance=CHANCE[of])
    tested = _independent if "count" in frame.columns else _clustered
    result = tested(frame, result, of, alternative)
    if of == "negation":
        result = result[result["negation"] == "wasnt"].reset_index(drop=True)
    result["p_holm"] = result.groupby("model", sort=False)["p"].transform(lambda p: holm(p.to_numpy()))
    return result[
        ["model", *CELL, of, "k", "mean", "low", "high", "chance", "p", "p_holm", "n", "n_distinct"]
    ]


def _kind(utterance: pd.Series, of: str) -> pd.Series:
    """The utterance itself, its adjective, or was and wasnt."""
    return utterance if of == "utterance" else utterance.str.split("_").str[int(of == "adjective")]


def _independent(frame: pd.DataFrame, result: pd.DataFrame, of: str, alternative: str) -> pd.DataFrame:
    """Exact tests and intervals of counts."""
    from scipy import stats

    low, high = clopper_pearson(result["k"], result["n"])
    p = [
        float(stats.binomtest(int(k), int(n), CHANCE[of], alternative=alternative).pvalue)
        for k, n in zip(result["k"], result["n"], strict=True)
    ]
    return result.assign(low=low, high=high, p=p)


def _clustered(frame: pd.DataFrame, result: pd.DataFrame, of: str, alternative: str) -> pd.DataFrame:
    """Tests and intervals of choices that belong to items."""
    rows = probabilities(frame)
    rows = rows.assign(**{of: _kind(rows["utterance"], of)})
    head = ["model", *CELL, "trial_id", "replicate", "item", "stimulus", of]
    keys = [name for name in head if name in rows.columns]
    chosen = rows.groupby(keys, sort=False)["prob"].sum().reset_index()
    by = ["model", *CELL, of]
    shares = mean_intervals(chosen, "prob", by, bounds=(0, 1))
    sizes = chosen.groupby([*by, distinct(chosen)], sort=False).size()
    effective = (sizes.groupby(by).sum() ** 2 / (sizes**2).groupby(by).sum()).rename("clusters")
    shares = shares[[*by, "low", "high", "se"]].merge(effective.reset_index(), on=by)
    result = result.merge(shares, on=by, how="left")
    p = against_chance(
        result["mean"],
        result["se"],
        result["clusters"],
        CHANCE[of],
        choices=result["n"],
        alternative=alternative,
    )
    return result.assign(p=p)
