"""Which trial each row of an outside table shows, to whom, and whether it was left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from grace_client import studies
from grace_client.analysis._data import files
from grace_client.analysis._data.declared import possible_levels
from grace_client.core import list_file, trials
from grace_client.core.errors import Problem, SpecError, TrialError, refused
from grace_client.core.spelling import did_you_mean
from grace_client.core.trials import Trial, TrialList
from grace_client.run.layout import TRIALS
from grace_client.studies.declaration import Experiment

EXCLUDED = "excluded"
"""Status of an answer that was left out."""

KEEP = ("", "0", "false", "no")
"""What stands in a column of exclusions where the row stays; upper and lower case do not matter."""

ROLES = ("participant", "item", "trial_id", "question", "answer")
"""Columns that have the same name in any study."""


@dataclass(frozen=True)
class Outside:
    """A table from outside.

    Attributes
    ----------
    path : str
        Its path, or a name for messages.
    cells : DataFrame
        Its cells as text without white space around it.
    lines : list of int
        The line on which each row begins.
    names : dict of str to str
        From the names of the study and of grace to the columns of the table that have this meaning.
    """

    path: str
    cells: pd.DataFrame
    lines: list[int]
    names: dict[str, str]

    def require(self, column: str, what: str) -> None:
        """SpecError if there is no such column; `what` is the argument that names it."""
        if column not in self.cells.columns:
            raise SpecError(
                f"{self.path} has no column {column!r}, which {what} names. "
                f"{did_you_mean(column, list(self.cells.columns))}It has {', '.join(self.cells.columns)}"
            )

    def unused(self, used: Iterable[str]) -> list[str]:
        """Columns that are neither `used` nor have a meaning for the study or for grace."""
        return [name for name in self.cells.columns if name not in {*used, *self.names.values()}]

    def records(self) -> list[dict[str, str]]:
        """The rows, with the names of the study and of grace."""
        own = {name: self.cells[column] for name, column in self.names.items()}
        rows = pd.DataFrame(own, index=self.cells.index).to_dict("records")
        return [{str(name): text for name, text in row.items()} for row in rows]


@dataclass(frozen=True)
class Rows:
    """What the rows of an outside table show.

    Attributes
    ----------
    unit : Series of int
        For each row the number of its presentation, which becomes the trial id.
    excluded : Series of str
        For each row the column because of which it was left out; empty if it stays.
    design : DataFrame
        By trial id: ``participant, item, stimulus`` and the conditions.
    trials : dict of int to Trial
        By trial id. Of a trial that the table does not show whole, some fields are empty.
    """

    unit: pd.Series[int]
    excluded: pd.Series[str]
    design: pd.DataFrame
    trials: dict[int, Trial]


def table(
    source: str | Path | pd.DataFrame,
    experiment: Experiment,
    columns: Mapping[str, str],
    claimed: Collection[str],
) -> Outside:
    """Read a table from outside.

    Parameters
    ----------
    source : path or DataFrame
        The table.
    experiment : Experiment
        What was asked.
    columns : mapping of str to str
        Columns of the table for names of the study or of grace.
    claimed : collection of str
        Columns of the table that have another meaning, such as an answer.

    Raises
    ------
    TrialError
        If it is no table.
    SpecError
        If a column of `columns` is missing.
    """
    schema = experiment.schema
    known = {
        name.lower() for name in (*schema.names, *experiment.study.conditions, *ROLES, *columns.values())
    }
    if isinstance(source, pd.DataFrame):
        path, raw = "the table", list_file.csv_of(source)
    else:
        path = str(source)
        try:
            raw, _ = list_file.plain(Path(source).read_bytes(), path)
        except OSError as error:
            raise refused(error, Path(source)) from None
    sheet = list_file.read(raw, path, lambda header: len(known.intersection(map(str.lower, header))))
    header = list(sheet.header)
    if not sheet.rows:
        raise TrialError(path, [Problem(sheet.line, None, "the table has a header, but no rows")])
    if twice := {name for name in header if name and header.count(name) > 1}:
        raise TrialError(path, [Problem(sheet.line, min(twice), "is the name of two columns. Rename one")])
    uneven = [line for line, row in sheet.rows if len(row) != len(header)]
    if uneven:
        raise TrialError(
            path,
            [
                Problem(line, None, f"the row has not {len(header)} fields, as the header has")
                for line in uneven
            ],
        )
    cells = pd.DataFrame([row for _, row in sheet.rows], columns=header, dtype=object)
    found = Outside(path, cells.map(str.strip), [line for line, _ in sheet.rows], {})
    possible = [*experiment.study.conditions, *schema.names, *ROLES]
    # The names of a list's columns may be in capitals or not; those of conditions and of grace are exact.
    exact = {*experiment.study.conditions, *ROLES} - {*schema.names}
    listed = [name if name not in {*claimed, *exact} else "" for name in header]
    names = {name: header[at] for name, at in schema.match(listed).items()}
    names |= {name: name for name in exact if name in header and name not in claimed}
    for name, column in columns.items():
        if name not in possible:
            raise SpecError(
                f"columns= names {name!r}, which neither the study nor grace has. "
                f"{did_you_mean(name, possible)}Possible names: {', '.join(possible)}"
            )
        found.require(column, "columns=")
        names[name] = column
    return replace(found, names=names)


def rows(
    outside: Outside, experiment: Experiment, exclude: Sequence[str], listed: str | Path | None, *, long: bool
) -> Rows:
    """Find out what each row shows; in a `long` table, each row has one answer, and a presentation several.

    Raises
    ------
    SpecError
        If a condition has no column.
    TrialError
        If a row has a level that is none, or a trial that the list does not have.
    """
    excluded = _excluded(outside, exclude)
    found, design = _shown(outside, experiment, listed)
    if long:
        keys = [outside.cells[outside.names["trial_id"]]] if "trial_id" in outside.names else []
        keys += [design[name] for name in design.columns]
        question = outside.cells[outside.names["question"]]
        place = design.groupby([*keys, question], sort=False, dropna=False).cumcount()
        unit = design.groupby([*keys, place], sort=False, dropna=False).ngroup() + 1
    else:
        unit = pd.Series(range(1, len(design) + 1), index=design.index)
    first = ~unit.duplicated()
    numbered = design[first].set_axis(pd.Index(unit[first], name="trial_id"))
    own = {int(unit[row]): replace(found[row], trial_id=int(unit[row])) for row in design.index[first]}
    return Rows(unit, excluded, numbered, own)


def _excluded(outside: Outside, exclude: Sequence[str]) -> pd.Series[str]:
    reasons = pd.Series("", index=outside.cells.index)
    for column in exclude:
        outside.require(column, "exclude=")
        out = ~outside.cells[column].str.lower().isin(KEEP) & (reasons == "")
        reasons = reasons.mask(out, column)
    return reasons


def _shown(
    outside: Outside, experiment: Experiment, listed: str | Path | None
) -> tuple[list[Trial], pd.DataFrame]:
    """The trial of each row, and its design."""
    schema, names = experiment.schema, outside.names
    there = [name for name in schema.names if name in names and (outside.cells[names[name]] != "").any()]
    if "trial_id" in names and listed is not None:
        found = _of_list(outside, experiment, listed)
    elif not schema.missing(there):
        kept = [{name: row[name] for name in there} for row in outside.records()]
        found = list(_parsed(trials.to_csv(there, kept), outside, experiment).trials)
    else:
        return _partly(outside, experiment, there)
    numbered = tuple(replace(trial, trial_id=row) for row, trial in enumerate(found))
    design = files.design(TrialList(outside.path, schema, numbered, b""), experiment.shown)
    if "participant" in names:
        design["participant"] = outside.cells[names["participant"]].to_numpy()
    return list(numbered), design.set_axis(outside.cells.index)


def _parsed(raw: bytes, outside: Outside, experiment: Experiment) -> TrialList:
    """The trials of a table with all columns of the list; its faults are at the lines of the table."""
    try:
        return trials.parse(raw, path=outside.path, schemas=[experiment.schema])
    except TrialError as error:
        lines = dict(enumerate(outside.lines, start=2))
        raise TrialError(
            outside.path, [replace(one, line=lines.get(one.line, one.line)) for one in error.problems]
        ) from None


def _of_list(outside: Outside, experiment: Experiment, listed: str | Path) -> list[Trial]:
    path = Path(listed) / TRIALS if Path(listed).is_dir() else Path(listed)
    known = {str(trial.trial_id): trial for trial in studies.read_trials(path, experiment.study).trials}
    ids = outside.cells[outside.names["trial_id"]]
    problems = [
        Problem(
            outside.lines[row],
            outside.names["trial_id"],
            f"is {value!r}, and {path} has the trials 1 to {len(known)}",
        )
        for row, value in enumerate(ids)
        if value not in known
    ]
    if problems:
        raise TrialError(outside.path, problems)
    return [known[value] for value in ids]


def _partly(
    outside: Outside, experiment: Experiment, there: Sequence[str]
) -> tuple[list[Trial], pd.DataFrame]:
    """Trials of a table that does not have the whole list: conditions, and item and person where known."""
    schema, names = experiment.schema, outside.names
    factors = {**experiment.study.conditions, **experiment.shown}
    for factor, column in factors.items():
        if factor not in names and column not in there:
            header = list(outside.cells.columns)
            raise SpecError(
                f"{outside.path} does not say the condition {factor!r}: it has no column {factor!r} or "
                f"{column!r}. It has {', '.join(header)}. Name the column, as in "
                f"columns={{{factor!r}: {header[0]!r}}}"
            )
    whole = {*schema.stimulus, *experiment.shown.values()} <= set(there)
    found, designs, problems = [], [], []
    for row, record in enumerate(outside.records()):
        fields = {name: record[name] for name in there}
        try:
            variables = dict(schema.variables(fields))
        except ValueError as error:
            problems.append(Problem(outside.lines[row], None, str(error)))
            continue
        cell = {factor: record.get(factor) or str(variables.get(factor, "")) for factor in factors}
        cell |= {factor: fields[column] for factor, column in experiment.shown.items() if column in fields}
        for factor, level in cell.items():
            levels = possible_levels(experiment, factor)
            if not level or (levels and level not in levels):
                expected = f"must be one of {', '.join(levels)}" if levels else "must not be empty"
                problems.append(
                    Problem(
                        outside.lines[row],
                        names.get(factor, factors[factor]),
                        f"is {level!r}, but {expected}",
                    )
                )
        head = {
            "participant": _role(record, schema.participant, "participant"),
            "item": _role(record, schema.item, "item"),
        }
        text = (
            [fields[name] for name in (*schema.stimulus, *experiment.shown.values())]
            if whole
            else [head["item"], *cell.values()]
        )
        designs.append({**head, "stimulus": files.stimulus(text), **cell})
        found.append(
            Trial(
                row,
                {name: fields.get(name, "") for name in schema.names},
                {**variables, **cell},
                line=outside.lines[row],
            )
        )
    if problems:
        raise TrialError(outside.path, problems)
    return found, pd.DataFrame(designs, index=outside.cells.index)


def _role(record: Mapping[str, str], column: str | None, role: str) -> str:
    return record.get(role) or (record.get(column, "") if column else "")
