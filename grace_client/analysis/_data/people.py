"""Read answers of people, or of a model that another tool asked, as a frame that every function takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from grace_client import studies
from grace_client.analysis._data import files, given, presented
from grace_client.analysis._data.declared import check_conditions
from grace_client.analysis._data.given import Asked
from grace_client.analysis._data.reading import UNDECLARED, arranged
from grace_client.core.errors import Problem, SpecError, TrialError
from grace_client.studies.declaration import Experiment

NAME = "people"
"""What stands in the column ``model``, unless another name is given."""


def people(
    source: str | Path | pd.DataFrame,
    experiment: str | Path | Experiment,
    *,
    answers: Mapping[str, Asked] | None = None,
    columns: Mapping[str, str] | None = None,
    values: Mapping[str, str] | None = None,
    missing: Sequence[str] = (),
    exclude: Sequence[str] = (),
    count: str | None = None,
    trials: str | Path | None = None,
    name: str = NAME,
) -> pd.DataFrame:
    """Read the answers of people, or of a model that another tool asked, as `read` gives those of a model.

    The table has a row for each trial of each person, with the answer to each question in a column of its
    own; or a row for each answer, with the columns ``question`` and ``answer``; or a row for each cell of the
    design, with a column that counts.

    Parameters
    ----------
    source : path or DataFrame
        The table: CSV (commas, semicolons or tabs; with or without a byte-order mark), a workbook (.xlsx),
        Parquet, or a data frame.
    experiment : str, path or Experiment
        What was asked: an experiment's name, such as ``"study2-exp1"``, a study file as
        ``FILE.yaml:EXPERIMENT``, or what `experiment` gives.
    answers : mapping of str to str, list of str or mapping, optional
        Where the answer to each question is. A column's name: the cell is the answer, as the option's name,
        its text or its number. A list of columns, one for each option in the order of the study: a
        distribution, in any unit, such as bets that sum to 100. A mapping from option to column: the same in
        another order. Default: the columns with the names of the questions or of all options.
    columns : mapping of str to str, optional
        Names in the table of what the study or grace calls otherwise: of a condition or a column of the trial
        list, of ``participant``, ``item``, ``trial_id``, ``question`` or ``answer``.
    values : mapping of str to str, optional
        The options for which other texts in the cells stand, such as ``{"1": "yes", "0": "no"}``.
    missing : sequence of str, optional
        Texts that mean "no answer", such as ``"NA"``. An empty cell always does.
    exclude : sequence of str, optional
        Columns with reasons to leave a row out. A row stays if all are empty, ``0``, ``false`` or ``no``.
    count : str, optional
        Column that says how many gave the answer of the row.
    trials : path, optional
        The trial list, if the table names its trials by ``trial_id``.
    name : str, optional
        What stands in the column ``model``.

    Returns
    -------
    DataFrame
        The columns of `read`. ``trial_id`` counts presentations: one person, one trial. ``stimulus`` is equal
        to that of a model's run if the table has all columns of the text. Of a scored experiment, a choice
        has the probability 1, and ``logprob``, ``prob_raw`` and ``option_mass`` are missing. Of free text,
        ``response`` is the cell and ``structured`` its value; of bets, ``bet_0`` to ``bet_3``.
        ``status`` is ``missing`` where there is no answer, and ``excluded``, with the column's name in
        ``reason``, in rows that were left out; these rows have no values. Columns of the table that were not
        used come last.

    Raises
    ------
    SpecError
        If a column is missing, or nothing says where the answers are.
    TrialError
        If a cell has no meaning; the message names each one with line and column.

    See Also
    --------
    read : Answers of a run.

    Examples
    --------
    >>> from grace_client import analysis
    >>> table = analysis.reference.study2()
    >>> frame = analysis.people(table, "study2-exp1", answers={"utterance": "utterance"}, count="count")
    >>> frame[["model", "trial_id", "response", "status"]].tail(2)
           model  trial_id   response status
    2434  people      2435  wasnt_bad     ok
    2435  people      2436  wasnt_bad     ok
    >>> bool(analysis.study2.counts(frame)["count"].sum() == table["count"].sum())
    True
    """
    asked = experiment if isinstance(experiment, Experiment) else studies.experiment(str(experiment))
    check_conditions(asked)
    claimed = {*given.claimed(asked, answers), *exclude, *([count] if count else [])}
    table = presented.table(source, asked, columns or {}, claimed)
    wanted = given.places(table, asked, answers)
    known = presented.rows(table, asked, exclude, trials, long=wanted.long)
    long, problems = given.long(table, asked, wanted, known, values or {}, {"", *missing})
    if count is not None:
        known, long = _repeated(known, long, _counts(table, count, known, problems))
    if problems:
        raise TrialError(table.path, sorted(problems, key=lambda one: one.line))
    extra = [c for c in table.unused([*wanted.columns, *([count] if count else [])]) if c not in long.columns]
    rest = table.cells.loc[long.pop("row"), extra].reset_index(drop=True)
    rest = rest.rename(columns={one: UNDECLARED + one for one in ("model", "experiment")})
    long = pd.concat([long.assign(model=name, experiment=asked.name), rest], axis=1)
    return arranged(files.typed(long, asked, Path(table.path)), asked, known.design, known.trials.values())


def _counts(
    table: presented.Outside, column: str, known: presented.Rows, problems: list[Problem]
) -> pd.Series[int]:
    """How many gave the answer of each presentation; 1 for those that were left out."""
    table.require(column, "count=")
    numbers = pd.to_numeric(table.cells[column], errors="coerce")
    wrong = (numbers.isna() | (numbers < 0) | (numbers % 1 != 0)) & (known.excluded == "")
    problems += [
        Problem(table.lines[row], column, f"is {table.cells[column][row]!r}, which is not a count")
        for row in np.flatnonzero(wrong)
    ]
    return numbers.where(~wrong & (known.excluded == ""), 1).fillna(1).astype(np.int64)


def _repeated(
    known: presented.Rows, long: pd.DataFrame, counts: pd.Series[int]
) -> tuple[presented.Rows, pd.DataFrame]:
    """Every presentation as often as it counts, each with a trial id of its own."""
    if known.unit.duplicated().any():
        raise SpecError(
            "count= needs a table with all answers of a presentation in one row. Give answers= instead of "
            "the columns question and answer"
        )
    times = counts.to_numpy()
    old = np.repeat(known.unit.to_numpy(), times)
    new = np.arange(1, len(old) + 1)
    copies = pd.DataFrame({"trial_id": old, "new": new})
    long = long.merge(copies, on="trial_id", how="inner").assign(trial_id=lambda t: t.pop("new"))
    design = known.design.loc[old].set_axis(pd.Index(new, name="trial_id"))
    trials = {int(own): known.trials[int(before)] for before, own in zip(old, new, strict=True)}
    return presented.Rows(known.unit, known.excluded, design, trials), long.reset_index(drop=True)
