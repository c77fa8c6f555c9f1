"""The section of an experiment of any study: distributions, outcomes, planned contrasts, mixed model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from grace_client import analysis
from grace_client.analysis import scales
from grace_client.report import format
from grace_client.report.blocks import Figure, Section, Table
from grace_client.report.headlines import Headline, asked, mean, of_any, over_all
from grace_client.report.runs import ReportData
from grace_client.report.sections import effects, normalisation
from grace_client.studies import format as formats
from grace_client.studies.declaration import Experiment, Kind

NOT_EXTRACTED = "The free text has not been extracted yet. Run: grace extract RUN"
FEW = 8
"""Most cells that the summary names one by one; of more it names the lowest and the highest."""
MOST_PANELS = 24
"""Most panels of a figure."""
MOST_ANSWERS = 20
"""Most answers of a distribution in a figure."""


def section(data: ReportData, name: str) -> Section:
    """The section of an experiment, scored or free text."""
    experiment = data.experiment(name)
    part = Section(name, experiment.title)
    frame = data.answers(name)
    if frame is None:
        part.content.append(NOT_EXTRACTED)
        return part
    part.content.append(_asked(experiment, frame))
    with part.block("The distributions of the answers"):
        _distributions(part, experiment, frame, data.unit(name))
    with part.block("The means of the outcomes"):
        _outcomes(part, data, experiment, frame)
    if experiment.file.contrasts:
        with part.block("The planned contrasts"):
            effects.contrasts(part, data, experiment, frame)
    if experiment.file.model is not None:
        with part.block("The model of the study file"):
            effects.regression(part, data, experiment, frame, experiment.file.model)
    for number, figure in enumerate(experiment.file.figures, start=1):
        with part.block(f"Figure {number} of the study file"):
            part.content.append(_declared(f"{name}-figure-{number}", figure, experiment, frame))
    if experiment.scored:
        with part.block("How much the way of scoring matters"):
            normalisation.add(part, data, name, list(experiment.kinds), data.factors(name))
    else:
        with part.block("How far replicates differ"):
            _replicates(part, frame)
    return part


def headlines(experiment: Experiment) -> tuple[Headline, ...]:
    """The headline effects of an experiment."""
    main = main_outcomes(experiment) if experiment.scored else []
    return of_any(experiment, main, [_chance(experiment, row["question"], row["outcome"]) for row in main])


def _kinds(experiment: Experiment) -> dict[str, Kind]:
    return {kind.name: kind for kind in experiment.kinds.values()}


def _asked(experiment: Experiment, frame: pd.DataFrame) -> str:
    """What was asked, under which conditions, and what the means and intervals are of."""
    study = experiment.study
    several = pd.Series([kind.name for kind in experiment.kinds.values()]).value_counts()
    questions = [
        name
        + (f" ({several[name]} questions)" if several[name] > 1 else "")
        + (f": {', '.join(kind.options)}" if kind.options else ": free text")
        for name, kind in _kinds(experiment).items()
    ]
    factors = [name for name in (*study.conditions, *experiment.shown) if name in frame.columns]
    levels = [f"{name} ({', '.join(map(str, frame[name].unique()))})" for name in factors]
    text = f"{study.title}. Each trial asks: {'; '.join(questions)}. "
    text += (
        f"Conditions: {format.listed(levels)}. "
        if levels
        else "The study declares no conditions, so all means are over all trials. "
    )
    if experiment.schema.item:
        text += f"Intervals are over {frame['item'].nunique()} items ({experiment.schema.item})."
    else:
        text += (
            f"The study declares no items, so intervals are over {frame['stimulus'].nunique()} different "
            "stimuli. If stimuli resemble each other, these intervals are too narrow."
        )
    return text


def _chance(experiment: Experiment, question: str, outcome: str) -> float:
    """An outcome where all answers are equally likely; missing if any text can be an answer."""
    answers = analysis.measured.Answerable.of(_kinds(experiment)[question], experiment)
    if not (size := len(answers.options)):
        return np.nan
    with np.errstate(invalid="ignore"):
        return float(answers.outcomes()[outcome].of(np.full((1, size), 1 / size))[0])


def _distributions(section: Section, experiment: Experiment, frame: pd.DataFrame, unit: str) -> None:
    """Add the distribution of the answers to each question in each cell."""
    frame = scales.turned(frame, experiment)
    table = analysis.shares(frame, experiment=experiment)
    sizes = {
        question: len(analysis.measured.Answerable.of(kind, experiment).options)
        for question, kind in experiment.kinds.items()
    }
    chances = {question: 1 / size if size else np.nan for question, size in sizes.items()}
    what = "Mean probability" if experiment.scored else "Share"
    condition = " by condition" * bool(experiment.study.conditions)
    covered = _covered(experiment)
    asked = table["question"].map({one: kind.name for one, kind in experiment.kinds.items()})
    for question in _kinds(experiment):
        own = table[asked == question]
        if question in covered or own.empty or own["answer"].nunique() > MOST_ANSWERS:
            continue
        by = _split(own, "answer")
        if own.groupby(["question", *by], sort=False).ngroups > MOST_PANELS:
            own = analysis.shares(frame, by=[], question=question, experiment=experiment)
            section.content.append(
                f"The figure of {question} is over all conditions, because there are many. The table has "
                "each."
            )
            by = _split(own, "answer")
        section.content.append(
            _figure(
                f"{section.name}-{question}",
                f"{question}: {what.lower()} of each answer{condition}",
                own,
                x="answer",
                panels=by or ["question"],
                label=what.lower(),
                chance=next(chances[one] for one in own["question"]),
            )
        )
    section.content.append(
        Table(
            f"{section.name}-distributions",
            f"{what} of each answer{condition}",
            _side_by_side(table.assign(chance=table["question"].map(chances)), "answer"),
            f"{what} of each answer"
            + (
                "; the answers of a cell sum to 1. "
                if experiment.scored
                else ", of those with a clear meaning. "
            )
            + "chance: the value if all answers were equally likely"
            + ("." if all(sizes.values()) else " (–: any text can be an answer).")
            + " The scale of reverse-keyed trials is turned round." * bool(experiment.reversed_for),
            long=True,
            unit=unit,
        )
    )


def _split(table: pd.DataFrame, last: str) -> list[str]:
    """The columns between the question and `last`: values of `each`, and conditions."""
    names = list(table.columns)
    return names[names.index("question") + 1 : names.index(last)]


def _covered(experiment: Experiment) -> set[str]:
    """The questions for which the study file declares figures."""
    return {
        kind.name
        for figure in experiment.file.figures
        for one, kind in experiment.kinds.items()
        if figure.question in (None, one, kind.name)
    }


def _figure(name: str, title: str, table: pd.DataFrame, **how: Any) -> Figure:
    """A figure of means; all its models are in the alternative text."""
    models = format.listed(table["model"].unique())
    by = [how["x"], *filter(None, (how.get("rows"),)), *how.get("panels", ())]
    return Figure(
        name,
        title,
        f"{title}, with intervals, by {format.listed(dict.fromkeys(by))}; {models}.",
        lambda: analysis.figures.cells(table, **how),
    )


def _declared(name: str, figure: formats.Figure, experiment: Experiment, frame: pd.DataFrame) -> Figure:
    """A figure that the study file declares instead of the default ones."""
    given = [figure.x, *filter(None, (figure.colour, figure.rows))]
    means = analysis.cells.figure_means(frame, figure, experiment)
    outcome = str(means["outcome"].iloc[0])
    kinds = dict.fromkeys(experiment.kinds[one].name for one in means["question"])
    known = analysis.outcome_list(experiment)
    own = known[known["question"].isin(kinds) & (known["outcome"] == outcome)]
    chances = {_chance(experiment, kind, outcome) for kind in kinds}
    return _figure(
        name,
        f"{format.listed(kinds)}: {_words(outcome)} by {format.listed(given)}",
        means,
        x=figure.x,
        colour=figure.colour or "model",
        rows=figure.rows,
        panels=[one for one in ("question",) if one not in given],
        label=_words(outcome),
        bounds=(float(own["least"].min()), float(own["greatest"].max())),
        chance=chances.pop() if len(chances) == 1 else None,
    )


def _side_by_side(table: pd.DataFrame, last: str) -> pd.DataFrame:
    """The rows sorted so that the models of a cell follow each other; `last` is the last column of a cell."""
    columns = list(table.columns)
    keys = [name for name in columns[: columns.index(last) + 1] if name != "model"]
    return table.iloc[table.groupby(keys, sort=False).ngroup().argsort(kind="stable")].reset_index(drop=True)


def _replicates(section: Section, frame: pd.DataFrame) -> None:
    """Add how far the answers to one stimulus differ, where there are several."""
    table = analysis.consistency.replicate_variance(frame)
    if table["icc"].notna().any():
        section.content.append(
            Table(
                f"{section.name}-replicates",
                "How far replicates of a stimulus differ",
                table,
                "ICC: share of the variance of an answer that the stimulus explains.",
                long=True,
                unit="stimuli",
                hidden=("share",),
            )
        )


def _reported(experiment: Experiment) -> pd.DataFrame:
    """The outcomes to report: the declared ones; else means, and marginal distributions of crossed options.

    Where options have neither, their probabilities are in the table of distributions.
    """
    known = analysis.outcome_list(experiment)
    if experiment.file.outcomes:
        return known[known["reported"]]
    marginal = (known["unit"] == "probability") & ~known["reported"]
    numbers = known["question"].isin(known.loc[known["outcome"] == "mean", "question"])
    return known[(known["outcome"] == "mean") | (marginal & ~numbers)]


def _outcomes(section: Section, data: ReportData, experiment: Experiment, frame: pd.DataFrame) -> None:
    """Add the mean of each outcome in each cell, and sentences on the main ones."""
    unit = data.unit(section.name)
    wanted, main = _reported(experiment), main_outcomes(experiment)
    parts = {}
    every: list[Any] = [*wanted.to_dict("records"), *main]
    for row in every:
        key = (row["question"], row["outcome"])
        if key not in parts:
            means = analysis.cell_means(frame, key[1], question=key[0], experiment=experiment)
            parts[key] = means.assign(chance=_chance(experiment, *key))
    for row in main:
        means = parts[row["question"], row["outcome"]]
        headline = mean(experiment, row, float(means["chance"].iloc[0]))
        notes = over_all(data, section.name, headline) if means["chance"].notna().all() else {}
        section.summary.append(_sentence(row, means, asked(data, section.name), notes))
    if wanted.empty:
        return
    rows = wanted.to_dict("records")
    ranges = [
        f"{row['question']}, {row['outcome']}: {row['least']:g} to {row['greatest']:g}"
        + " bits" * (row["unit"] == "bits")
        for row in rows
    ]
    whole = pd.concat([parts[row["question"], row["outcome"]] for row in rows], ignore_index=True)
    for row in rows:
        means = parts[row["question"], row["outcome"]]
        by = _split(means, "outcome")
        if row["unit"] != "values" or row["question"] in _covered(experiment) or not by:
            continue
        if means.groupby(by, sort=False).ngroups > MOST_PANELS:
            continue
        section.content.append(
            _figure(
                f"{section.name}-{row['question']}-{row['outcome']}",
                f"{row['question']}: {row['outcome']} by condition",
                means,
                x=by[0],
                panels=by[1:],
                label=str(row["outcome"]),
                bounds=(row["least"], row["greatest"]),
                chance=float(means["chance"].iloc[0]),
            )
        )
    section.content.append(
        Table(
            f"{section.name}-means",
            "Means of the outcomes by condition",
            _side_by_side(whole, "outcome"),
            f"Possible values: {'; '.join(ranges)}. chance: the value if all answers were equally likely.",
            unit=unit,
        )
    )


def main_outcomes(experiment: Experiment) -> list[dict[str, Any]]:
    """The outcomes of the summary: the declared ones; else one of each question or crossed factor."""
    wanted = _reported(experiment)
    if experiment.file.outcomes:
        return [_named(row) for row in wanted.to_dict("records")]
    known = analysis.outcome_list(experiment)
    found = []
    for question, kind in _kinds(experiment).items():
        own = wanted[wanted["question"] == question]
        if own.empty:
            own = known[(known["question"] == question) & known["default"]]
        else:
            # Of a crossed factor, the first level.
            factors = analysis.measured.Answerable.of(kind, experiment).factors or {}
            starts = np.cumsum([0, *map(len, factors.values())])[: max(1, len(factors))]
            own = own.iloc[starts]
        found += [_named(row) for row in own.to_dict("records")]
    return found


def _named(row: Mapping[Any, Any]) -> dict[str, Any]:
    """An outcome with its name in words."""
    return {**row, "words": f"{row['question']}, {_words(str(row['outcome']))}"}


def _words(outcome: str) -> str:
    if outcome.startswith("prob_"):
        return f"probability of “{outcome.removeprefix('prob_')}”"
    return outcome


def _sentence(outcome: Mapping[str, Any], means: pd.DataFrame, way: str, notes: Mapping[str, str]) -> str:
    """The means of an outcome of every model, cell by cell or from the lowest to the highest.

    `way` is the way of asking in words, and `notes` what other ways say of each model.
    """
    chance = float(means["chance"].iloc[0])
    known = "" if np.isnan(chance) else f" (chance: {format.number(chance)})"
    lines = []
    for model, own in means.groupby("model", sort=False):
        cells = own.to_dict("records")
        if many := len(cells) > FEW:
            cells = own.sort_values("mean").iloc[[0, -1]].to_dict("records")
        named = [
            f"{_cell(row)} {format.interval(row['mean'], row['low'], row['high'])}".strip() for row in cells
        ]
        shown = f"from {named[0]} to {named[1]}" if many else "; ".join(named)
        lines.append(f"{model}: {shown}{notes.get(str(model), '')}")
    return f"{outcome['words']}{known}: means {way} with 95% intervals. {'. '.join(lines)}."


def _cell(row: Mapping[Any, Any]) -> str:
    """The conditions of a row of `cell_means`, in words."""
    names = list(row)
    levels = [str(row[name]) for name in names[2 : names.index("outcome")] if row[name] != ""]
    return ", ".join(levels)
