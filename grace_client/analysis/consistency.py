"""Whether the free text of a model agrees with its scored distributions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grace_client.analysis import compare
from grace_client.analysis._data.declared import conditions, declared, possible_levels
from grace_client.analysis._data.layout import canonical, distinct, require
from grace_client.analysis._statistics.table_pairs import jackknifed
from grace_client.analysis._statistics.variance import components
from grace_client.analysis.distributions import jensen_shannon, total_variation
from grace_client.analysis.study1._bets import number_beliefs
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.run.layout import OK
from grace_client.studies.declaration import Experiment

LEAST_CELLS = 3
"""Fewest cells for a comparison: deviations of two cells from their mean are mirror images."""


def replicate_variance(free: pd.DataFrame) -> pd.DataFrame:
    """Variance of free-text answers between replicates of one stimulus, and between stimuli.

    Parameters
    ----------
    free : DataFrame
        Free text with structured answers, as `read` gives it.

    Returns
    -------
    DataFrame
        One row per model, question and answer: ``answer``, ``share`` (of all answers), ``within`` (mean over
        stimuli of the variance among the answers to one), ``between`` (variance of the stimuli's shares, less
        what sampling alone gives them; not below 0), ``icc`` (``between / (between + within)``, the share of
        the variance that the stimulus explains) with ``icc_low, icc_high`` (95 %; see notes), ``n`` (answers)
        and ``n_distinct`` (stimuli: equal texts, names included).
        The answer is coded 1 where it was given and 0 elsewhere. Without two answers each to three stimuli,
        ``within``, ``between`` and ``icc`` are missing.

    Notes
    -----
    The interval is that of the F distribution. The degrees of freedom within are at most two for each
    stimulus whose answers differ. Answers that never differ are treated as if they had differed once.
    Simulated with 6 to 36 stimuli, 2 to 10 answers each and correlations of 0 to .9, 98% to 100% of the
    intervals contain the true value where the answer has a share of .4, and 85% to 100% where it has .1.

    References
    ----------
    One-way random effects with unequal group sizes: Searle, S. R., Casella, G., & McCulloch, C. E. (1992).
    *Variance components*, chapter 3.

    Examples
    --------
    >>> from grace_client.analysis import consistency, example
    >>> found = consistency.replicate_variance(example.free("study1", replicates=3))
    >>> found[["question", "answer", "share", "n", "n_distinct"]].tail(2).round(2)
        question answer  share    n  n_distinct
    4  knowledge     no   0.45  900          36
    5  knowledge    yes   0.55  900          36
    """
    rows = _clear(free)
    result = []
    for (model, question), part in rows.groupby(["model", "question"], sort=False):
        for answer in sorted(part["structured"].unique()):
            given = (part["structured"] == answer).astype(np.float64)
            groups = given.groupby(part["stimulus"], sort=False)
            result.append(
                {
                    "model": model,
                    "question": question,
                    "answer": answer,
                    "share": float(given.mean()),
                    **components(groups.mean().to_numpy(), groups.size().to_numpy(dtype=np.float64), given),
                    "n": len(given),
                    "n_distinct": groups.ngroups,
                }
            )
    return pd.DataFrame(result)


def _clear(free: pd.DataFrame) -> pd.DataFrame:
    require(free, ["model", "question", "stimulus", "structured", "status"], "free text")
    rows = free[(free["status"] == OK) & free["structured"].notna() & (free["structured"] != "unparsed")]
    if rows.empty:
        raise NotEnoughDataError(
            "no answer has a clear meaning. Is the free text extracted? If not, run: grace extract RUN"
        )
    return rows


def pairs(
    free: pd.DataFrame,
    scored: pd.DataFrame,
    *,
    bets: pd.DataFrame | None = None,
    experiments: tuple[Experiment | str | None, Experiment | str | None] = (None, None),
) -> pd.DataFrame:
    """Shares of free-text answers and scored probabilities of each stimulus, side by side.

    Parameters
    ----------
    free : DataFrame
        Free text with structured answers, as `read` gives it.
    scored : DataFrame
        Scored answers of the same study, to questions with the same names.
    bets : DataFrame, optional
        The result of `study1.bets` for `scored`, so that it is not computed again.
    experiments : pair of Experiment or str, optional
        The experiments of the two, as in `outcomes`.

    Returns
    -------
    DataFrame
        One row per model, question, stimulus and option: ``model, question, stimulus, item``, the study's
        conditions, ``option``, ``said`` (share of the answers), ``scored`` (probability; for ``number`` of
        Study 1 the normalised percentages), ``n`` (free-text answers) and ``n_distinct`` (always 1, the
        stimulus). Only stimuli that have both. "unsure" is left out: it is not an option of the scored
        question.

    Examples
    --------
    >>> from grace_client.analysis import consistency, example
    >>> pairs = consistency.pairs(example.free("study2"), example.scored("study2"))
    >>> pairs.groupby("stimulus")[["said", "scored"]].sum().round(6).drop_duplicates().to_numpy().tolist()
    [[1.0, 1.0]]
    """
    rows = _clear(free)
    known = [declared(frame, one) for frame, one in zip((free, scored), experiments, strict=True)]
    if known[0].study.name != known[1].study.name:
        raise SpecError("free text and scored answers are of different studies")
    factors, believed = conditions(known[1], scored), beliefs(scored, bets=bets, experiment=known[1])
    offered = believed.groupby("question")["option"].unique()
    parts = []
    for question, options in offered.items():
        answers = rows[(rows["question"] == question) & rows["structured"].isin(options)]
        if answers.empty:
            continue
        said = answers.groupby(["model", "stimulus", "structured"]).size().unstack(fill_value=0)
        said = said.reindex(columns=list(options), fill_value=0)
        count = said.sum(axis=1)
        shares = said.div(count, axis=0).reset_index()
        table = shares.melt(["model", "stimulus"], list(options), "option", "said")
        table["question"] = str(question)
        table["n"] = count.reindex(pd.MultiIndex.from_frame(table[["model", "stimulus"]])).to_numpy()
        parts.append(table)
    if not parts:
        raise NotEnoughDataError("no free-text answer is one of the scored options")
    result = pd.concat(parts).merge(believed, on=["model", "question", "stimulus", "option"])
    if result.empty:
        raise NotEnoughDataError("free text and scored answers share no model and stimulus")
    order = ["model", "question", "stimulus", "item", *factors, "option", "said", "scored", "n"]
    return result[order].sort_values(order[:-3], kind="stable", ignore_index=True).assign(n_distinct=1)


def beliefs(
    scored: pd.DataFrame, *, bets: pd.DataFrame | None = None, experiment: Experiment | str | None = None
) -> pd.DataFrame:
    """Scored distribution of each stimulus, with the categories of free text.

    Parameters
    ----------
    scored : DataFrame
        Scored answers, as `read` gives them.
    bets : DataFrame, optional
        As in `pairs`.
    experiment : Experiment or str, optional
        As in `outcomes`.

    Returns
    -------
    DataFrame
        ``model, question, stimulus, item``, the study's conditions, ``option`` and ``scored`` (probability).
        In Study 1, the question ``number`` has the normalised percentages of the four numbers.

    Examples
    --------
    >>> from grace_client.analysis import consistency, example
    >>> sorted(consistency.beliefs(example.scored("study1"))["question"].unique())
    ['knowledge', 'number']
    """
    known = declared(scored, experiment)
    factors = conditions(known, scored)
    scored = canonical(scored, {name: own for name in factors if (own := possible_levels(known, name))})
    rows = scored[scored["status"] == OK]
    keys = ["model", "stimulus", "item", *factors, "question", "option"]
    result = rows.groupby(keys, sort=False)["prob_norm"].mean().rename("scored").reset_index()
    if known.study.name == "study1":
        # Its free text names a number, and its scored questions ask for the percentage of each.
        number = number_beliefs(scored, bets).assign(question="number")
        result = pd.concat([number, result[result["question"] == "knowledge"]], ignore_index=True)
    return result


def divergence(pairs: pd.DataFrame) -> pd.DataFrame:
    """Distance between free text and scored distribution, for each stimulus.

    Parameters
    ----------
    pairs : DataFrame
        Result of `pairs`.

    Returns
    -------
    DataFrame
        One row per model, question and stimulus: the factors, ``js`` (Jensen-Shannon divergence, bits),
        ``tv`` (total variation), ``same_mode`` (whether the most frequent answer is the likeliest option;
        missing if several answers are equally frequent and the likeliest option is among them), ``n`` and
        ``n_distinct``. With few answers per stimulus, ``js`` and ``tv`` are large by chance alone.

    Examples
    --------
    >>> from grace_client.analysis import consistency, example
    >>> pairs = consistency.pairs(example.free("study1"), example.scored("study1"))
    >>> consistency.divergence(pairs).groupby("question").size()
    question
    knowledge    36
    number       36
    dtype: int64
    """
    factors = _conditions(pairs)
    result = []
    for key, part in pairs.groupby(["model", "question", "stimulus", *factors], sort=False):
        said, scored = part["said"].to_numpy(), part["scored"].to_numpy()
        most = np.flatnonzero(said == said.max())
        best = int(scored.argmax())
        same = bool(best == most[0]) if len(most) == 1 or best not in most else None
        row = dict(zip(["model", "question", "stimulus", *factors], key, strict=True))
        row |= {"js": float(jensen_shannon(said, scored)), "tv": float(total_variation(said, scored))}
        result.append(row | {"same_mode": same, "n": int(part["n"].iloc[0]), "n_distinct": 1})
    table = pd.DataFrame(result)
    table["same_mode"] = table["same_mode"].astype("boolean")
    return table


def by_cell(pairs: pd.DataFrame) -> pd.DataFrame:
    """Means of free-text shares and scored probabilities in each cell: the points of a scatter plot.

    Parameters
    ----------
    pairs : DataFrame
        Result of `pairs`.

    Returns
    -------
    DataFrame
        ``model, question``, the factors, ``option, said, scored, n`` (answers said) and ``n_distinct``
        (items: stories or domains). The weight of a stimulus is the number of its answers.

    Examples
    --------
    >>> from grace_client.analysis import consistency, example
    >>> pairs = consistency.pairs(example.free("study2"), example.scored("study2"))
    >>> consistency.by_cell(pairs)[["option", "n", "n_distinct"]].head(2)
            option    n  n_distinct
    0  was_amazing  202          12
    1      was_bad  202          12
    """
    factors = _conditions(pairs)
    keys = ["model", "question", *factors, "option"]
    weighted = pairs.assign(said=pairs["said"] * pairs["n"], scored=pairs["scored"] * pairs["n"])
    result = weighted.groupby(keys, sort=False).agg(
        said=("said", "sum"),
        scored=("scored", "sum"),
        n=("n", "sum"),
        n_distinct=(distinct(pairs), "nunique"),
    )
    result[["said", "scored"]] = result[["said", "scored"]].div(result["n"], axis=0)
    return result.reset_index()


def statistics(pairs: pd.DataFrame) -> pd.DataFrame:
    """Closeness of free text and scored distributions, with intervals over items (stories or domains).

    Each item is left out in turn, of both sides, and the interval is Student's t with the jackknife's
    standard error, as in `compare.closeness` with few items.

    Parameters
    ----------
    pairs : DataFrame
        Result of `pairs`.

    Returns
    -------
    DataFrame
        One row per model, question and statistic (see `compare.statistics`), over cells and options: ``model,
        question, statistic, value, low, high`` (95 %), ``n_cells``, ``n_items``, ``drawn`` (``items``) and
        ``lacking``: what is missing, in words, empty if nothing is. Without answers to three items in each
        of three cells, value and interval are missing. The interval is also missing if no item changes the
        statistic.

    Examples
    --------
    >>> from grace_client.analysis import consistency, example
    >>> pairs = consistency.pairs(example.free("study2"), example.scored("study2"))
    >>> consistency.statistics(pairs)[["question", "statistic", "n_items"]].head(1)
        question statistic  n_items
    0  utterance         r       12
    """
    result = []
    for (model, question), own in pairs.groupby(["model", "question"], sort=False):
        items = own["item"].unique()
        missing = _lacking(own)
        whole = _cell_statistics(by_cell(own))
        left_out = [_cell_statistics(by_cell(own[own["item"] != item])) for item in items if not missing]
        cells = len(own.drop_duplicates(_conditions(own)))
        for name, value in whole.items():
            low = high = np.nan
            without_each = np.array([one[name] for one in left_out])
            if not missing and not np.isnan([value, *without_each]).any():
                low, high = jackknifed(value, without_each, compare.BOUNDS[name])
            values = (np.nan if missing else value, low, high)
            result.append((model, question, name, *values, cells, len(items), "items", missing))
    columns = ["model", "question", "statistic", "value", "low", "high", "n_cells", "n_items", "drawn"]
    return pd.DataFrame(result, columns=[*columns, "lacking"])


def summary(pairs: pd.DataFrame) -> pd.DataFrame:
    """Closeness of free text and scored distributions, one row per model and question.

    Parameters
    ----------
    pairs : DataFrame
        Result of `pairs`.

    Returns
    -------
    DataFrame
        ``model, question``; the statistics of `compare.statistics` over cells and options (``r`` and ``rho``
        of deviations from the mean over cells, ``r_plain``, ``rmse``, ``js``); ``tv`` between the two mean
        distributions of a cell, averaged over cells; ``same_mode`` (share of cells whose most frequent
        free-text answer is the likeliest option); ``n`` (free-text answers), ``n_distinct`` (items: stories
        or domains) and ``lacking``, as in `statistics`. If it is not empty,
        all values are missing. Correlations are missing if either side does not vary.

    Examples
    --------
    >>> from grace_client.analysis import consistency, example
    >>> pairs = consistency.pairs(example.free("study2"), example.scored("study2"))
    >>> consistency.summary(pairs)[["question", "n", "n_distinct"]]
        question     n  n_distinct
    0  utterance  2424          12
    """
    result = []
    for (model, question), own in pairs.groupby(["model", "question"], sort=False):
        cells = by_cell(own)
        missing = _lacking(own)
        apart = [
            (
                float(total_variation(cell["said"], cell["scored"])),
                cell["said"].to_numpy().argmax() == cell["scored"].to_numpy().argmax(),
            )
            for _, cell in cells.groupby(_conditions(own), sort=False)
        ]
        tv, same = (float(np.mean(values)) for values in zip(*apart, strict=True))
        figures = _cell_statistics(cells) | {"tv": tv, "same_mode": same}
        once = own.drop_duplicates("stimulus")
        result.append(
            {"model": model, "question": question}
            | (dict.fromkeys(figures, np.nan) if missing else figures)
            | {"n": int(once["n"].sum()), "n_distinct": once[distinct(once)].nunique(), "lacking": missing}
        )
    return pd.DataFrame(result)


def _conditions(pairs: pd.DataFrame) -> list[str]:
    """The study's conditions: they stand before the option."""
    before = list(pairs.columns)[: list(pairs.columns).index("option")]
    return [name for name in before if name not in ("model", "question", "stimulus", "item")]


def _cell_statistics(cells: pd.DataFrame) -> dict[str, float]:
    """The statistics over the cells of one model and question."""
    keys = [*(_conditions(cells) or ["question"]), "option"]
    wide = cells.set_index(keys)[["said", "scored"]].unstack("option")
    result = compare.statistics(wide["said"].to_numpy(), wide["scored"].to_numpy())
    return {name: float(value) for name, value in result.items()}


def _lacking(own: pd.DataFrame) -> str:
    """What the answers to a question of one model lack for a comparison; empty if nothing is missing."""
    conditions = _conditions(own)
    if (cells := len(own.drop_duplicates(conditions))) < LEAST_CELLS:
        return (
            f"{cells} cells ({'/'.join(conditions)}) have answers that were offered for scoring, and "
            f"{LEAST_CELLS} are needed"
        )
    return next(iter(compare.lacking(own, own, conditions).values()), "")
