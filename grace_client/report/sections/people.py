"""People beside models, for any study: the people's answers that the user brought, and the same means."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from grace_client import analysis
from grace_client.analysis.measured import Answerable
from grace_client.core.errors import NotEnoughDataError
from grace_client.report import format
from grace_client.report.blocks import Figure, Section, Table
from grace_client.report.runs import ReportData
from grace_client.report.sections import likelihood
from grace_client.report.sections.experiment import main_outcomes
from grace_client.run.layout import OK

TITLE = "People beside models"
Means = Callable[[pd.DataFrame], pd.DataFrame]


def names(data: ReportData) -> list[str]:
    """The section's name, if the user brought answers of people."""
    return ["people"] if data.people else []


def section(data: ReportData, of: Callable[[str], tuple[str, Means] | None]) -> Section:
    """The section.

    Parameters
    ----------
    data : ReportData
        The data of the report.
    of : callable
        From an experiment's name to a name for the means of its own theory, and what makes them from answers;
        None if it has none.
    """
    part = Section("people", TITLE)
    for name, people in data.people.items():
        with part.block(f"People beside models in {name}"):
            _beside(part, data, name, people, of(name))
        likelihood.add(part, data, name, people)
    return part


def _beside(
    part: Section, data: ReportData, name: str, people: pd.DataFrame, of: tuple[str, Means] | None
) -> None:
    part.content.append(_told(name, people))
    answered = people[people["status"] == OK]
    if answered.empty:
        raise NotEnoughDataError(f"no answer of people to {name} is left")
    models = data.answers(name)
    frames = [answered] if models is None else [models, answered]
    both = pd.concat(frames, ignore_index=True)
    tables = _means(data, name, both) if of is None else {of[0]: _of_each(both, of[1])}
    for label, table in tables.items():
        title = f"{name}, {label}: people and models"
        mark = f"-{label}" if of is None else ""
        keys = list(table.columns)
        by = [one for one in keys[: keys.index("mean")] if one not in ("model", "outcome", "question")]
        if by:
            part.content.append(
                Figure(
                    f"people-{name}{mark}",
                    f"{title} by {format.listed(by)}",
                    f"Means with intervals; {format.listed(table['model'].unique())}.",
                    _drawn(table, by, label),
                )
            )
        part.content.append(
            Table(
                f"people-{name}{mark}",
                title,
                table.sort_values(by, key=lambda column: column.map(_place(column)), kind="stable"),
                "Intervals of people and of models are of the same kind, and hold for other items. They do "
                "not test the difference between people and a model.",
                unit=data.unit(name),
            )
        )


def _of_each(both: pd.DataFrame, of: Means) -> pd.DataFrame:
    """The means of each model and of people; without those that have too few answers."""
    found, few = [], None
    for _, own in both.groupby("model", sort=False):
        try:
            found.append(of(own))
        except NotEnoughDataError as error:
            few = error
    if few is not None and not found:
        raise few
    return pd.concat(found, ignore_index=True)


def _place(column: pd.Series) -> dict[object, int]:
    return {value: place for place, value in enumerate(dict.fromkeys(column))}


def _drawn(table: pd.DataFrame, by: list[str], label: str) -> Callable[[], object]:
    least, greatest = float(table["low"].min()), float(table["high"].max())
    bounds = (0.0, 1.0) if least >= 0 and greatest <= 1 else (min(least, 0.0), greatest)
    text = table.assign(**{one: table[one].astype("str") for one in by})
    return lambda: analysis.figures.cells(text, x=by[-1], panels=by[:-1], label=label, bounds=bounds)


def _means(data: ReportData, name: str, both: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The means of the main outcomes that the people answered."""
    experiment = data.experiment(name)
    found = {}
    asked = set(both["question"])
    for row in main_outcomes(experiment):
        names = {one for one, kind in experiment.kinds.items() if kind.name == row["question"]}
        if names & asked and Answerable.of(experiment.kinds[min(names)], experiment).options:
            found[f"{row['question']}-{row['outcome']}"] = analysis.cell_means(
                both, row["outcome"], question=row["question"], experiment=experiment
            )
    return found


def _told(name: str, people: pd.DataFrame) -> str:
    """How many answers there are, of how many people, and what was left out."""
    presented = people.drop_duplicates(["model", "trial_id", "question"])
    answered = presented[presented["status"] == OK]
    who = answered.loc[answered["participant"] != "", "participant"].nunique()
    text = f"{name}: {format.plural(len(answered), 'answer')}"
    text += f" of {who} people" * bool(who) + f" ({format.listed(people['model'].unique())})."
    rest = presented[presented["status"] != OK]
    if not rest.empty:
        listed = [
            f"{len(own)} {own['status'].iloc[0]} ({reason})"
            for reason, own in rest.groupby("reason", sort=False)
        ]
        text += f" Without a value: {format.listed(listed)}."
    return text
