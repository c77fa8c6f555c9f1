"""Which parts of a report Studies 1 and 2 bring, and to which experiments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from grace_client import analysis, studies
from grace_client.report.blocks import Section
from grace_client.report.headlines import Headline
from grace_client.report.runs import ReportData
from grace_client.report.sections import experiment as any_experiment
from grace_client.report.theory import comparison, stories, study1, study2
from grace_client.studies.declaration import Experiment

Builder = Callable[[ReportData], Section | None]

SECTIONS: dict[str, Builder] = {
    "study1-exp2": study1.scored,
    "study1-exp1": study1.free,
    "study2-exp2": study2.scored,
    "study2-exp1": study2.free,
    "study2-judgement": study2.judgements,
}
"""Sections of experiments."""
HEADLINES: dict[str, Callable[[Experiment], tuple[Headline, ...]]] = {
    "study1-exp2": study1.headlines,
    "study2-exp2": study2.headlines,
}
"""Headline effects of experiments."""
Means = Callable[[pd.DataFrame], pd.DataFrame]
MEANS: dict[str, tuple[str, Means]] = {
    "study1-exp1": ("dollars on each number", analysis.study1.cell_means),
    "study2-exp1": ("share of negation", analysis.study2.negation),
    "study2-exp2": ("share of negation", analysis.study2.negation),
}
"""The means that show people beside models, where those of any study are not the usual ones, with a name."""
SLOW = ("study2-exp1", "study2-exp2")
"""The sections that take longest."""
FURTHER: dict[str, tuple[str, Builder]] = {
    "comparison": (comparison.COMPARISON, comparison.comparison),
    "agreement": (comparison.CONSISTENCY, comparison.consistency),
}
"""Titles and builders of the sections on several experiments."""


def section_of(experiment: Experiment) -> Builder | None:
    """The builder of an experiment's own section; None if it has none."""
    return SECTIONS[experiment.name] if fits(experiment) else None


def headlines(experiment: Experiment) -> tuple[Headline, ...]:
    """The headline effects of an experiment: of the theory, or of any study."""
    if experiment.name in HEADLINES and fits(experiment):
        return HEADLINES[experiment.name](experiment)
    return any_experiment.headlines(experiment)


def means_of(experiment: Experiment) -> tuple[str, Means] | None:
    """What makes the means that show people beside models, with its name; None for those of any study."""
    return MEANS.get(experiment.name) if fits(experiment) else None


def fits(experiment: Experiment) -> bool:
    """Whether the theory speaks of this experiment: one of grace's own, or a copy with the same design."""
    if experiment.name not in SECTIONS:
        return False
    return _design(experiment) == _design(studies.experiment(experiment.name))


def _design(experiment: Experiment) -> tuple[object, ...]:
    options = {question: (kind.name, kind.options) for question, kind in experiment.kinds.items()}
    return options, experiment.columns, experiment.study.conditions, experiment.shown


def of(data: ReportData) -> ReportData:
    """The data without runs of other studies that only have the name of an experiment."""
    strange = {name for name in data.frames if name in SECTIONS and not fits(data.experiment(name))}
    if not strange:
        return data
    frames = {name: own for name, own in data.frames.items() if name not in strange}
    lists = {name: own for name, own in data.lists.items() if name not in strange}
    return replace(data, frames=frames, lists=lists)


def methods(data: ReportData) -> list[str]:
    """Paragraphs for the methods section."""
    data = of(data)
    return [*comparison.methods(data), *stories.sources(data)]


def left_out(data: ReportData, name: str, model: str) -> list[str]:
    """What the means of an experiment leave out besides failed and unclear answers."""
    return study1.left_out(data, model) if name == "study1-exp2" and fits(data.experiment(name)) else []
