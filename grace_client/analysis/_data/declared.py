"""What the study file declares of the questions of a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product

import pandas as pd

from grace_client import studies
from grace_client.analysis._data.layout import one_way, require
from grace_client.core.errors import SpecError
from grace_client.run.layout import FREE, READING, SCORED
from grace_client.studies.declaration import Experiment, Kind

TAKEN = frozenset({*SCORED, *FREE, *READING, "participant", "item", "stimulus", "reversed"}) | {
    *(
        "answer",
        "outcome",
        "value",
        "mean",
        "median",
        "std",
        "entropy",
        "low",
        "high",
        "se",
        "n",
        "n_distinct",
    ),
    *("greater", "lesser", "difference", "term", "effect"),
}
"""Columns of the tables that are not conditions."""


def declared(frame: pd.DataFrame, experiment: Experiment | str | None) -> Experiment:
    """The experiment of a frame of one way: the given one, else the one of that name that grace knows."""
    one_way(frame)
    if isinstance(experiment, Experiment):
        return experiment
    if experiment is not None:
        return studies.experiment(experiment)
    require(frame, ["experiment"])
    names = [str(name) for name in frame["experiment"].unique()]
    if len(names) != 1:
        raise SpecError(f"the frame has the experiments {', '.join(names) or '(none)'}. Give one at a time")
    if names[0] not in studies.experiments():
        raise SpecError(
            f"grace does not know the experiment {names[0]}. Give experiment=analysis.experiment(SOURCE), "
            "SOURCE being what the frame was read from"
        )
    return studies.experiment(names[0])


def questions(experiment: Experiment, name: str | None) -> dict[str, Kind]:
    """The questions of this name, or of the kind of this name; all without one."""
    kinds = experiment.kinds
    found = {one: kind for one, kind in kinds.items() if name in (None, one, kind.name)}
    if not found:
        known = dict.fromkeys([*(kind.name for kind in kinds.values()), *kinds])
        raise SpecError(f"{experiment.name} has no question {name!r}. It asks {', '.join(known)}")
    return found


def each(experiment: Experiment) -> dict[str, dict[str, str]]:
    """For each question its values of `each`, such as ``{"number": "2"}``.

    A name that tables use for something else begins with ``each_``.
    """
    taken = {*experiment.study.conditions, *experiment.shown, *TAKEN}
    values = [
        {f"each_{name}" if name in taken else name: value for name, value in zip(ask.each, one, strict=True)}
        for ask in experiment.file.ask
        for one in product(*ask.each.values())
    ]
    return dict(zip(experiment.kinds, values, strict=True))


def conditions(experiment: Experiment, frame: pd.DataFrame) -> list[str]:
    """The factors of the experiment that the frame has."""
    return [name for name in (*experiment.study.conditions, *experiment.shown) if name in frame.columns]


def check_conditions(experiment: Experiment) -> None:
    """SpecError if a condition has the name of a column of tables."""
    if wrong := {*experiment.study.conditions, *experiment.shown} & TAKEN:
        raise SpecError(
            f"{experiment.study.path}: the condition {min(wrong)!r} has the name of a column of tables. "
            "Write another name before its column, as in trials.conditions: {NAME: COLUMN}"
        )


def possible_levels(experiment: Experiment, name: str) -> tuple[str, ...]:
    """Levels of a factor that the study declares, in its order; empty if it leaves them open."""
    trials = experiment.study.file.trials
    if name == "question":
        return tuple(experiment.kinds)
    column = trials.columns.get(experiment.study.conditions.get(name, name))
    found = [*(column.levels or column.values)] if column else []
    if trials.make and isinstance(trials.make.cells, Mapping):
        found += trials.make.cells.get(name, ())
    found += [value for values in each(experiment).values() for one, value in values.items() if one == name]
    return tuple(dict.fromkeys(found))


def levels(experiment: Experiment, frame: pd.DataFrame, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Levels of factors that the frame has, in the order that the study declares, else sorted."""
    result = {}
    for name in names:
        there = [str(value) for value in frame[name].dropna().unique()]
        order = dict.fromkeys([*possible_levels(experiment, name), *_sorted(there)])
        result[name] = tuple(value for value in order if value in there)
    return result


def _sorted(values: list[str]) -> list[str]:
    """In numerical order if all are numbers, else alphabetically."""
    numbers = pd.to_numeric(pd.Series(values, dtype="object"), errors="coerce")
    if numbers.isna().any():
        return sorted(values)
    return [value for _, value in sorted(zip(numbers, values, strict=True))]
