"""Answers of people for a report: read from the file that the user names, for the experiments of the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from grace_client import analysis
from grace_client.core.errors import SpecError
from grace_client.studies import file
from grace_client.studies._syntax.parts import People
from grace_client.studies.declaration import Experiment

SHEETS = (".yaml", ".yml")


def load(
    path: Path, experiments: Mapping[str, Experiment], lists: Mapping[str, Sequence[Path]]
) -> dict[str, pd.DataFrame]:
    """Read people's answers to the experiments of a report.

    Parameters
    ----------
    path : Path
        A table whose columns have the names of the study; or a file that says what its columns mean
        (`People`), or a study file with an entry `people`.
    experiments : mapping of str to Experiment
        The experiments of the runs.
    lists : mapping of str to sequence of Path
        Their trial lists, for tables that name trials by number.

    Returns
    -------
    dict of str to DataFrame
        As `analysis.people` gives them, by experiment; only experiments that they answer.

    Raises
    ------
    SpecError, TrialError
        If no experiment is answered, or a table cannot be read.
    """
    if path.suffix not in SHEETS:
        return _read(path, People(file=_NAME), experiments, lists)
    sheets = file.read_people(path)
    if not sheets:
        raise SpecError(f"{path} has no entry 'people'. Add one, or name a table of people's answers")
    parts: dict[str, list[pd.DataFrame]] = {}
    for sheet in sheets:
        for name, frame in _read(path.parent / sheet.file, sheet, experiments, lists).items():
            parts.setdefault(name, []).append(frame)
    return {name: pd.concat(frames, ignore_index=True) for name, frames in parts.items()}


_NAME = "people.csv"
"""Stands for the file's name where the table itself was named."""


def _read(
    table: Path, sheet: People, experiments: Mapping[str, Experiment], lists: Mapping[str, Sequence[Path]]
) -> dict[str, pd.DataFrame]:
    if sheet.experiment is not None:
        known = [*experiments, *(name.partition("-")[2] for name in experiments)]
        if sheet.experiment not in known:
            raise SpecError(
                f"{table}: the people took part in {sheet.experiment}, and the runs are of "
                f"{', '.join(experiments)}. Name runs of the same experiment"
            )
        own = {n: e for n, e in experiments.items() if sheet.experiment in (n, n.partition("-")[2])}
    else:
        own = {
            name: one
            for name, one in experiments.items()
            if sheet.answers is None or set(sheet.answers) <= set(one.kinds)
        }
    found: dict[str, pd.DataFrame] = {}
    refused: SpecError | None = None
    for name, experiment in own.items():
        try:
            found[name] = analysis.people(
                table,
                experiment,
                answers=sheet.answers,
                columns=sheet.columns,
                values=sheet.values,
                missing=sheet.missing,
                exclude=sheet.exclude,
                count=sheet.count,
                trials=lists[name][0],
                name=sheet.name,
            )
        except SpecError as error:
            refused = error
    if not found:
        raise refused or SpecError(
            f"{table} answers {', '.join(sheet.answers or {})}, which no experiment of the runs asks "
            f"({', '.join(experiments)})"
        )
    return found
