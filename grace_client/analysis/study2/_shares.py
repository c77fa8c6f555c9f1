"""What is said in Study 2, by goal and state: counts, shares, negation, and tests against chance."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grace_client.analysis._data.layout import canonical, distinct, ordered, require
from grace_client.analysis.inference import holm, mean_intervals
from grace_client.analysis.intervals import against_chance, counted
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.run.layout import OK
from grace_client.studies.study2 import ADJECTIVES, FRAMES

CELL = ("goal", "state")
GOALS = ("both", "social", "informational")
STATES = ("0 hearts", "1 heart", "2 hearts", "3 hearts")
UTTERANCES = tuple(f"{frame}_{adjective}" for frame in FRAMES for adjective in ADJECTIVES)

LEVELS = {"goal": GOALS, "state": STATES}
ORDER = LEVELS | {"utterance": UTTERANCES}

CHANCE = {"utterance": 1 / len(UTTERANCES), "adjective": 1 / len(ADJECTIVES), "negation": 1 / len(FRAMES)}
"""Probability of an answer of each kind where one of the eight utterances is drawn blindly."""


def counts(frame: pd.DataFrame) -> pd.DataFrame:
    """How often each utterance was chosen, by goal and state.

    Parameters
    ----------
    frame : DataFrame
        Study 2 free text with structured answers, as `read` gives it; or counts, which are checked and
        completed.

    Returns
    -------
    DataFrame
        ``model, goal, state, utterance, count, n`` (choices in the cell) and ``n_distinct`` (items, or
        choices where only counts are known). Every cell with a choice has all eight utterances. Answers that
        are not one of the eight are no choices; nor are cells without any.

    Raises
    ------
    SpecError
        Where a column is missing, a goal or state is none of the design's, or a count is no count; the
        message names column and row.

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
        no_count = frame["count"].isna() | (frame["count"] < 0) | (frame["count"] % 1 != 0)
        for wrong, column, message in (
            (no_count, "count", "is no count"),
            (~frame["utterance"].isin(UTTERANCES), "utterance", "is none of the eight"),
            (frame.duplicated(["model", *CELL, "utterance"]), "utterance", "is there twice in its cell"),
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
    # A row of zeros is a cell that nobody was asked in.
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
    """The free-text answers that are one of the eight utterances; SpecError where there is none.

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
            "no answer is one of the eight utterances: is this Study 2, and was it extracted?"
        )
    return rows


def utterances(frame: pd.DataFrame, *, cluster: str | None = None) -> pd.DataFrame:
    """How much each utterance is said, by goal and state.

    Parameters
    ----------
    frame : DataFrame
        Study 2 as `read` gives it: scored, or free text with structured answers; or counts, with columns
        ``model, goal, state, utterance, count``.
    cluster : {"item", "stimulus", "participant"}, optional
        What is drawn for the interval; ``item`` where it is not given. Within a cell the texts of an item
        (one of twelve domains) differ in names alone: to a model they are nearly one text, and intervals by
        ``stimulus`` would take about two hundred of them for as many observations. Counts have no clusters.

    Returns
    -------
    DataFrame
        ``model, goal, state, utterance, mean, low, high, n, n_distinct, chance``. Scored, ``mean`` is the
        mean probability; else the share of the choices. The interval is that of `inference.mean_intervals`,
        for counts that of `intervals.counted`. ``chance`` is 1/8.

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
        low, high = counted(table["count"], table["n"])
        found = table.assign(mean=table["count"] / table["n"], low=low, high=high, chance=CHANCE["utterance"])
        return found[["model", *CELL, "utterance", "mean", "low", "high", "n", "n_distinct", "chance"]]
    by = ["model", *CELL, "utterance"]
    rows = probabilities(frame)
    found = mean_intervals(rows, "prob", by, cluster=cluster, bounds=(0, 1))
    return ordered(found.drop(columns="se"), ORDER).assign(chance=CHANCE["utterance"])


def _unclustered(cluster: str | None) -> None:
    if cluster is not None:
        raise SpecError(
            f"cluster={cluster!r}: counts do not tell which choices belong together; their interval takes "
            "each choice for one observation"
        )


def by_item(frame: pd.DataFrame) -> pd.DataFrame:
    """How much each utterance is said, by goal, state and item: what `compare.agreement` draws from.

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
    found = rows.groupby(keys, sort=False)["prob"].agg(prob="mean", n="size").reset_index()
    return ordered(found, LEVELS | {"item": sorted(found["item"].unique())} | {"utterance": UTTERANCES})


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


def negation(frame: pd.DataFrame, *, cluster: str | None = None) -> pd.DataFrame:
    """How much is said with a negation ("It wasn't …"), by goal and state.

    Parameters as for `utterances`.

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
        found = cells.agg(k=("k", "sum"), n=("n", "first"), n_distinct=("n_distinct", "first")).reset_index()
        low, high = counted(found["k"], found["n"])
        found = found.assign(mean=found["k"] / found["n"], low=low, high=high)
    else:
        found = mean_intervals(negated_share(frame), "prob", keys, cluster=cluster, bounds=(0, 1))
    order = [*keys, "mean", "low", "high", "n", "n_distinct"]
    return ordered(found[order], ORDER).assign(chance=CHANCE["negation"])


def negated_share(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per trial (or answer) with ``prob``: how much of it is negated."""
    rows = probabilities(frame)
    rows = rows[rows["utterance"].str.startswith("wasnt_")]
    head = ["model", *CELL, "trial_id", "replicate", "participant", "item", "stimulus"]
    keys = [column for column in head if column in rows.columns]
    return rows.groupby(keys, sort=False)["prob"].sum().reset_index()


def binomial(frame: pd.DataFrame, *, of: str = "utterance", alternative: str = "two-sided") -> pd.DataFrame:
    """Tests of choices against chance, in every cell.

    Parameters
    ----------
    frame : DataFrame
        Study 2 free text with structured answers, or counts. Scored probabilities are no counts and are
        refused.
    of : {"utterance", "adjective", "negation"}
        What is tested: each of the eight utterances against 1/8, each adjective with and without negation
        against 1/4, or negation against 1/2.
    alternative : {"two-sided", "greater", "less"}
        Of the test.

    Returns
    -------
    DataFrame
        ``model, goal, state``, `of` (which one; ``negation`` is always ``wasnt``), ``k`` (times chosen),
        ``mean`` (share), ``low, high`` (95% interval), ``chance, p``, ``p_holm`` (within the model, over all
        tests of the call), ``n`` (choices) and ``n_distinct`` (items). Choices about one item are not
        independent: the test is that of `intervals.against_chance`, with the interval of `utterances` and
        `negation`, and missing where all choices are about one item. Of counts, which do not tell what they
        are about, it is the exact binomial test with the interval of Clopper and Pearson.

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
        raise SpecError(f"there is no test of {of!r}; there are: {', '.join(CHANCE)}")
    if "prob_norm" in frame.columns:
        raise SpecError(
            "a binomial test needs choices, and these are scored probabilities; 'utterances' and 'negation' "
            "give their means with intervals"
        )
    table = counts(frame)
    cells = table.assign(**{of: _kind(table["utterance"], of)}).groupby(["model", *CELL, of], sort=False)
    found = cells.agg(k=("count", "sum"), n=("n", "first"), n_distinct=("n_distinct", "first")).reset_index()
    found = found.assign(mean=found["k"] / found["n"], chance=CHANCE[of])
    tested = _independent if "count" in frame.columns else _clustered
    found = tested(frame, found, of, alternative)
    if of == "negation":
        found = found[found["negation"] == "wasnt"].reset_index(drop=True)
    found["p_holm"] = found.groupby("model", sort=False)["p"].transform(lambda p: holm(p.to_numpy()))
    return found[["model", *CELL, of, "k", "mean", "low", "high", "chance", "p", "p_holm", "n", "n_distinct"]]


def _kind(utterance: pd.Series, of: str) -> pd.Series:
    """The utterance itself, its adjective, or was and wasnt."""
    return utterance if of == "utterance" else utterance.str.split("_").str[int(of == "adjective")]


def _independent(frame: pd.DataFrame, found: pd.DataFrame, of: str, alternative: str) -> pd.DataFrame:
    """Exact tests and intervals of counts."""
    from scipy import stats

    low, high = counted(found["k"], found["n"])
    p = [
        float(stats.binomtest(int(k), int(n), CHANCE[of], alternative=alternative).pvalue)
        for k, n in zip(found["k"], found["n"], strict=True)
    ]
    return found.assign(low=low, high=high, p=p)


def _clustered(frame: pd.DataFrame, found: pd.DataFrame, of: str, alternative: str) -> pd.DataFrame:
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
    found = found.merge(shares, on=by, how="left")
    p = against_chance(
        found["mean"], found["se"], found["clusters"], CHANCE[of], choices=found["n"], alternative=alternative
    )
    return found.assign(p=p)
