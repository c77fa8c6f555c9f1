"""The effects that the summary of a report names, and how far each depends on the way it was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from grace_client import analysis
from grace_client.analysis import ways
from grace_client.analysis._data.layout import WAY
from grace_client.analysis.ways._values import each_way, factors
from grace_client.core.errors import NotEnoughDataError
from grace_client.report import format
from grace_client.report.runs import ReportData
from grace_client.studies.declaration import Experiment

Answers = Callable[[pd.DataFrame], pd.DataFrame]
Shown = Callable[[float, float, float], str]
"""Writes a value and the ends of its interval."""


@dataclass(frozen=True)
class Headline:
    """An effect, or several of one kind, that a summary names.

    Attributes
    ----------
    name : str
        Unique in its experiment; a part of file names.
    title : str
        All its effects together, in words.
    of : callable
        From the answers of one model in one way to what `effect` takes, such as `analysis.outcomes`.
    effect : callable
        Makes a table of that; see `ways.effects`.
    words : callable
        From a row of that table to the effect in words.
    neutral : float
        Its value without an effect.
    bounds : (float, float)
        Its least and greatest value.
    by_item : callable or None
        Its values by item and condition, if it is a mean of them.
    conditions : tuple of str
        The conditions of `by_item`.
    """

    name: str
    title: str
    of: Answers
    effect: ways.Effect
    words: Callable[[Mapping[Any, Any]], str]
    neutral: float = 0.0
    bounds: tuple[float, float] = (-np.inf, np.inf)
    by_item: ways.Effect | None = None
    conditions: tuple[str, ...] = ()


def of_any(
    experiment: Experiment, main: Sequence[Mapping[str, Any]], chances: Sequence[float]
) -> tuple[Headline, ...]:
    """The headlines of an experiment of any study: its planned contrasts, and means of its main outcomes.

    Parameters
    ----------
    main : sequence of mapping
        The main outcomes: ``question, outcome, words, least, greatest``.
    chances : sequence of float
        Of each, the value where all answers are equally likely.
    """
    found = [contrasts(experiment)] if experiment.file.contrasts else []
    for one, chance in zip(main, chances, strict=True):
        if not np.isnan(chance):
            found.append(mean(experiment, one, chance))
    return tuple(found)


def contrasts(experiment: Experiment) -> Headline:
    """The headline of the planned contrasts."""
    return Headline(
        "contrasts",
        "the planned contrasts",
        Outcomes(experiment),
        lambda answers: analysis.contrasts(answers, experiment=experiment),
        lambda row: str(row["contrast"]),
    )


def mean(experiment: Experiment, one: Mapping[str, Any], chance: float) -> Headline:
    """The headline of the mean of an outcome over all trials."""
    question, outcome, words = str(one["question"]), str(one["outcome"]), str(one["words"])

    def means(answers: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
        return analysis.cell_means(answers, outcome, by=by, question=question, experiment=experiment)

    several = sum(kind.name == question for kind in experiment.kinds.values()) > 1
    conditions = (*(["question"] if several else []), *experiment.study.conditions)
    return Headline(
        f"{question}-{outcome}",
        words,
        Outcomes(experiment),
        lambda answers: means(answers, []),
        lambda row: f"{words} ({row['question']})" if several else words,
        neutral=chance,
        bounds=(float(one["least"]), float(one["greatest"])),
        by_item=lambda answers: means(answers, ["item", *experiment.study.conditions]),
        conditions=conditions,
    )


@dataclass(frozen=True)
class Outcomes:
    """Makes the outcomes of the answers; equal for one experiment."""

    experiment: Experiment

    def __call__(self, answers: pd.DataFrame) -> pd.DataFrame:
        """See `analysis.outcomes`."""
        return analysis.outcomes(answers, self.experiment)


def values(data: ReportData, name: str, one: Headline) -> pd.DataFrame:
    """A headline in each way; see `ways.effects`."""
    return data.kept(
        ("values", name, one.name), lambda: ways.effects(_measured(data, name, one.of), one.effect)
    )


def by_item(data: ReportData, name: str, one: Headline) -> pd.DataFrame:
    """The values of a headline by item and condition, in each way."""
    assert one.by_item is not None
    return ways.effects(_measured(data, name, one.of), one.by_item)


def verdicts(data: ReportData, name: str, one: Headline) -> pd.DataFrame:
    """The verdict on a headline, as `ways.verdict` gives it, with ``effect``: the effect in words."""

    def made() -> pd.DataFrame:
        whole = values(data, name, one)
        try:
            items = ways.per_item(_measured(data, name, one.of), one.effect)
        except NotEnoughDataError:
            items = None
        table = ways.verdict(whole, items, neutral=one.neutral)
        for bound in ("low", "high"):
            table[bound] = table[bound].clip(*one.bounds)
        words = [one.words(row) for row in table.to_dict("records")]
        table.insert(1, "effect", words)
        return table

    return data.kept(("verdicts", name, one.name), made)


def _measured(data: ReportData, name: str, of: Answers) -> pd.DataFrame:
    """What the effects take, of all ways."""

    def made() -> pd.DataFrame:
        frame = data.asked[name]
        levels = [WAY, *factors(frame)]
        parts = []
        for head, rows in each_way(frame):
            try:
                own = of(rows)
            except NotEnoughDataError:
                # This way has no answer to what is measured.
                continue
            parts.append(own.assign(**{level: str(head[level]) for level in levels}))
        if not parts:
            raise NotEnoughDataError("no way of asking has answers that can be measured")
        return pd.concat(parts, ignore_index=True)

    return data.kept(("measured", name, of), made)


def over_ways(row: Mapping[Any, Any], shown: Shown = format.interval) -> str:
    """What a verdict says, such as ``over 3 ways of asking 0.67 [0.10, 0.98]; holds in 3 of 3 ways``."""
    return f"over {int(row['n_ways'])} ways of asking {_mean(row, shown)}; {row['verdict']}"


def _mean(row: Mapping[Any, Any], shown: Shown) -> str:
    mean, low, high = (float(row[name]) for name in ("mean", "low", "high"))
    if np.isnan(low):
        return shown(mean, mean, mean).partition(" ")[0]
    return shown(mean, low, high)


def asked(data: ReportData, name: str) -> str:
    """In which way of asking the numbers of a sentence are."""
    return "in the base way of asking" if name in data.asked else "in one way of asking"


def notes(
    data: ReportData, name: str, one: Headline, shown: Shown = format.interval
) -> dict[tuple[str, str], str]:
    """What to say of each model and effect beside its value in the base way; empty if there is one way."""
    if name not in data.asked:
        return {}
    rows = verdicts(data, name, one).to_dict("records")
    return {(str(row["model"]), str(row["effect"])): f"; {over_ways(row, shown)}" for row in rows}


def over_all(data: ReportData, name: str, one: Headline) -> dict[str, str]:
    """What to say of each model beside the means of its cells: the mean over all trials; see `notes`."""
    if name not in data.asked:
        return {}
    found: dict[str, list[str]] = {}
    for row in verdicts(data, name, one).to_dict("records"):
        effect = f"{row['effect']}, all trials" if len(data.experiment(name).kinds) > 1 else "all trials"
        found.setdefault(str(row["model"]), []).append(
            f"{effect}: {format.number(row['base'])}, and {over_ways(row)}"
        )
    return {model: f"; {'; '.join(texts)}" for model, texts in found.items()}
