"""Means and shares by condition, of any outcome of any study, with intervals over items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from grace_client.analysis._data.declared import conditions, declared, each, levels, questions
from grace_client.analysis._data.layout import ordered, require
from grace_client.analysis._statistics.noise import add_floor, gain_of_means, linear_gain
from grace_client.analysis.inference import mean_intervals
from grace_client.analysis.measured import Answerable, Outcome, chosen, measured
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.run.layout import OK
from grace_client.studies.declaration import Experiment
from grace_client.studies.format import Figure


def cell_means(
    frame: pd.DataFrame,
    outcome: str | None = None,
    *,
    by: Sequence[str] | None = None,
    question: str | None = None,
    experiment: Experiment | str | None = None,
    cluster: str | None = None,
    noise: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Means of an outcome by condition.

    Parameters
    ----------
    frame : DataFrame
        Answers of one experiment, as `read` gives them, or the result of `outcomes`.
    outcome : str, optional
        A column of `outcomes`. Default: for each question the mean, or the probability of the first option.
    by : sequence of str, optional
        Columns that make the cells. Default: the study's conditions.
    question : str, optional
        A question, or its name in the study file for all its values of `each`. Default: all that have the
        outcome.
    experiment : Experiment or str, optional
        As in `outcomes`.
    cluster : str, optional
        Column of the clusters of the interval. Default: ``item``, or ``stimulus`` in a study without items.
        See `inference.mean_intervals`.
    noise : DataFrame, optional
        As `quality.noise` gives it: adds ``noise_floor``, in the unit of the outcome.

    Returns
    -------
    DataFrame
        ``model, question``, the values of `each`, the conditions, ``outcome``, ``mean``, ``low, high`` (95%
        interval, within the bounds of the outcome), ``se``, all in its unit, ``n`` (answers) and
        ``n_distinct`` (clusters). Levels are in the order that the study declares.

    Raises
    ------
    SpecError
        If there is no such outcome, question or column, or with `noise` if the outcome is not linear in the
        probabilities or the answers are free text.
    NotEnoughDataError
        If no answer has the outcome.

    Examples
    --------
    >>> from grace_client.analysis import cell_means, example
    >>> found = cell_means(example.scored("study2"), "prob_wasnt")
    >>> found[["question", "outcome", "mean", "n", "n_distinct"]].head(2).round(2)
        question     outcome  mean    n  n_distinct
    0  utterance  prob_wasnt  0.66  202          12
    1  utterance  prob_wasnt  0.77  202          12
    """
    known = declared(frame, experiment)
    wanted = chosen(known, outcome, question)
    table = measured(frame, known, wanted)
    factors = conditions(known, table) if by is None else list(by)
    require(table, factors)
    keys = list(dict.fromkeys(["model", "question", *factors]))
    parts, gains = [], []
    for names, one in wanted:
        rows = table[table["question"].isin(names) & table[one.name].notna()]
        if rows.empty:
            continue
        means = mean_intervals(rows, one.name, keys, cluster=cluster, bounds=(one.least, one.greatest))
        means.insert(len(keys), "outcome", one.name)
        parts.append(means)
        if noise is not None:
            gains.append(gain_of_means(rows.assign(variance=gain_of(one) ** 2), keys))
    if not parts:
        raise NotEnoughDataError(f"no answer has the outcome {' or '.join(one.name for _, one in wanted)}")
    result = pd.concat(parts, ignore_index=True)
    result = ordered(result, levels(known, result, keys[1:]))
    result = add_floor(result, frame, noise, lambda: pd.concat(gains, ignore_index=True))
    return with_each(result, known)


def figure_means(frame: pd.DataFrame, figure: Figure, experiment: Experiment) -> pd.DataFrame:
    """The means that a figure of the study file shows, as `cell_means` gives them."""
    axes = [figure.x, *filter(None, (figure.colour, figure.rows))]
    by = [one for one in axes if one not in ("model", "question")]
    return cell_means(frame, figure.outcome, by=by, question=figure.question, experiment=experiment)


def shares(
    frame: pd.DataFrame,
    *,
    by: Sequence[str] | None = None,
    question: str | None = None,
    experiment: Experiment | str | None = None,
    cluster: str | None = None,
) -> pd.DataFrame:
    """Share of each answer by condition: the distribution of the answers.

    Parameters
    ----------
    frame : DataFrame
        Answers of one experiment, as `read` gives them: free text with structured answers, or scored.
    by, question, experiment, cluster
        As in `cell_means`.

    Returns
    -------
    DataFrame
        ``model, question``, the values of `each`, the conditions, ``answer`` (an option, or a value that was
        read), ``mean`` (share of the answers that have a value; scored, the mean normalised probability),
        ``low, high`` (95% interval), ``n`` (answers) and ``n_distinct`` (clusters). The means of a cell sum
        to 1. Answers are in the order of the options.

    Raises
    ------
    SpecError
        If there is no such question or column.
    NotEnoughDataError
        If no answer has a value.

    Examples
    --------
    >>> from grace_client.analysis import example, shares
    >>> found = shares(example.free("study1"), by=[], question="knowledge")
    >>> found[["question", "answer", "mean", "n", "n_distinct"]].round(2)
        question  answer  mean    n  n_distinct
    0  knowledge     yes  0.52  300           6
    1  knowledge      no  0.48  300           6
    2  knowledge  unsure  0.00  300           6
    """
    known = declared(frame, experiment)
    asked = questions(known, question)
    free = "response" in frame.columns
    factors = conditions(known, frame) if by is None else list(by)
    require(frame, ["model", "question", "status", *factors, *(["structured"] if free else ["option"])])
    keys = list(dict.fromkeys(["model", "question", *factors]))
    parts = []
    for name, kind in asked.items():
        rows = frame[(frame["question"] == name) & (frame["status"] == OK)]
        answers = Answerable.of(kind, known).options
        rows = _each_answer(rows, answers) if free else rows.rename(columns={"option": "answer"})
        if not rows.empty:
            value = "said" if free else "prob_norm"
            own = mean_intervals(rows, value, [*keys, "answer"], cluster=cluster, bounds=(0, 1))
            there = levels(known, own, keys[1:]) | {"answer": answers or sorted(own["answer"].unique())}
            parts.append(ordered(own.drop(columns="se"), there))
    if not parts:
        raise NotEnoughDataError(
            f"no answer to {', '.join(asked)} has a value. If the free text has not been extracted yet, run: "
            "grace extract RUN"
        )
    return with_each(pd.concat(parts, ignore_index=True), known)


def _each_answer(rows: pd.DataFrame, answers: Sequence[str]) -> pd.DataFrame:
    """A row per free-text answer and possible value, with ``said``: 1 where it was said, else 0."""
    values = answers or sorted(set(rows["structured"].dropna()) - {"", "unparsed"})
    known = rows[rows["structured"].isin(values)]
    parts = [known.assign(answer=one, said=(known["structured"] == one).astype(np.float64)) for one in values]
    return pd.concat(parts, ignore_index=True) if parts else known.assign(answer="", said=0.0)


def gain_of(outcome: Outcome) -> float:
    """Noise of an outcome where that of one option is 1; see `quality.noise`."""
    if outcome.weights is None:
        raise SpecError(f"{outcome.name} has no noise floor: it exists for means and probabilities only")
    return linear_gain(outcome.weights)


def with_each(table: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """A table with the values of `each` after its question, where its questions have some."""
    values = each(experiment)
    place = list(table.columns).index("question") + 1
    for name in _factors(values[question] for question in table["question"].unique()):
        if name not in table.columns:
            column = table["question"].map({one: own.get(name, "") for one, own in values.items()})
            table.insert(place, name, column)
            place += 1
    return table


def _factors(values: Iterable[dict[str, str]]) -> list[str]:
    return list(dict.fromkeys(name for one in values for name in one))
