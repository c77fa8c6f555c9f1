"""Read and check trial lists.

A study declares its columns as a `Schema`. This module handles CSV, aliases and line numbers; it knows no
study.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from grace_client.core import list_file, list_text
from grace_client.core.errors import Problem, TrialError, refused

_WHOLE = re.compile(r"\s*(\d+)(?:\.0*)?\s*")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a trial list.

    Attributes
    ----------
    name : str
        The column's name in every table.
    aliases : tuple of str
        Other names that are accepted in a file. Upper and lower case do not matter.
    values : tuple of str
        Allowed values; empty if every non-empty text is allowed.
    derive : callable, optional
        Computes the value from the other columns if the file has no such column. It raises ValueError if it
        cannot. A column without `derive` is required.
    breaks : bool
        Whether the study reads ``<br>`` in it as a line break.
    """

    name: str
    aliases: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    derive: Callable[[Mapping[str, str]], str] | None = None
    breaks: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """One row of a trial list.

    Attributes
    ----------
    trial_id : int
        Number of the row in its file; the first row after the header is 1.
    fields : mapping of str to str
        From the column's name to the text of the cell.
    variables : mapping of str to str
        What the templates of the study know of the row (`Schema.variables`).
    extra : mapping of str to str
        Cells of columns that the study does not declare; the long table has them.
    line : int
        Line of the file on which the row starts.
    """

    trial_id: int
    fields: Mapping[str, str]
    variables: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    line: int = 0

    def __getitem__(self, column: str) -> str:
        return self.fields[column]


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a study's trial list, in the order in which they are written out.

    Attributes
    ----------
    study : str
        Name of the study, such as ``"study1"``.
    columns : tuple of Column
        All columns, in order.
    check : callable
        Yields ``(column, message)`` for every fault of a row that the rules of single columns do not find.
    cell : callable
        From a trial to its experimental condition, factor name to level.
    stimulus : tuple of str
        Columns that together are what a participant sees.
    contradictions : callable
        Yields ``(column, message)`` if columns of one row contradict each other. The list of an existing run
        is not checked for this again.
    doubts : callable
        Yields ``(column, message)`` if columns may contradict each other. The list is used, with a note.
    item_text : tuple of str
        Columns that are the same in all rows of one item.
    people : tuple of str
        Columns with names of people, which differ between trials that show the same.
    variables : callable
        From the fields of a row to what the templates of the study know of it.
    participant : str or None
        Column that names the participant; None if there is none.
    item : str or None
        Column that names the story or scenario of the stimulus; None if there is none.
    """

    study: str
    columns: tuple[Column, ...]
    check: Callable[[Trial], Iterable[tuple[str, str]]]
    cell: Callable[[Trial], dict[str, str]]
    stimulus: tuple[str, ...]
    participant: str | None
    item: str | None = None
    contradictions: Callable[[Trial], Iterable[tuple[str, str]]] = lambda _: ()
    doubts: Callable[[Trial], Iterable[tuple[str, str]]] = lambda _: ()
    item_text: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    variables: Callable[[Mapping[str, str]], Mapping[str, str]] = dict

    @property
    def names(self) -> tuple[str, ...]:
        """Canonical column names, in order."""
        return tuple(column.name for column in self.columns)

    def match(self, header: Sequence[str]) -> dict[str, int]:
        """The position in `header` of every column of this schema that `header` contains."""
        positions = {name.strip().lower(): i for i, name in reversed(list(enumerate(header)))}
        found = {}
        for column in self.columns:
            for name in (column.name, *column.aliases):
                if name.lower() in positions:
                    found[column.name] = positions[name.lower()]
                    break
        return found

    def missing(self, header: Sequence[str]) -> list[Column]:
        """Required columns that `header` does not contain."""
        found = self.match(header)
        return [c for c in self.columns if c.name not in found and c.derive is None]


@dataclass(frozen=True, slots=True)
class TrialList:
    """A checked trial list.

    Attributes
    ----------
    path : str
        Path of the file, or a name for messages.
    schema : Schema
        The schema of the file's study.
    trials : tuple of Trial
        One trial per row, in the order of the file.
    raw : bytes
        The bytes of the file; of a workbook or a Parquet table, as CSV.
    notes : tuple of str
        Notes for the user, such as columns that were derived or not used.
    """

    path: str
    schema: Schema
    trials: tuple[Trial, ...]
    raw: bytes = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of the file, 64 hex digits."""
        return hashlib.sha256(self.raw).hexdigest()


def read(path: Path | str, schemas: Sequence[Schema], *, checked: bool = False) -> TrialList:
    """Read a trial list with the schema that fits its header.

    Parameters
    ----------
    path : path
        A CSV file with a header line, a workbook (.xlsx) or a Parquet table.
    schemas : sequence of Schema
        The schemas to try.
    checked : bool
        Whether grace accepted this file before, as the list of a run folder. Then the checks for new lists
        are left out.

    Returns
    -------
    TrialList

    Raises
    ------
    TrialError
        If the list has faults; the error names each one with line and column.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise refused(error, path) from None
    return parse(raw, path=str(path), schemas=schemas, checked=checked)


def parse(raw: bytes, *, path: str, schemas: Sequence[Schema], checked: bool = False) -> TrialList:
    """Like `read`, but from bytes in memory. `path` is their name in messages."""
    raw, converted = list_file.plain(raw, path)
    sheet = list_file.read(raw, path, lambda header: max(len(schema.match(header)) for schema in schemas))
    header = sheet.header
    schema = _choose(path, header, schemas)
    if not sheet.rows:
        raise TrialError(
            path,
            [Problem(sheet.line, None, "the file has a header, but no trials. Add one row for each trial")],
        )

    positions = schema.match(header)
    used = {header[i].lower() for i in positions.values()}
    unused = [
        i for i, name in enumerate(header) if name and name.lower() not in used and name not in header[:i]
    ]
    problems: list[Problem] = []
    doubts: list[Problem] = []
    trials: list[Trial] = []
    whole = 0
    for trial_id, (line, cells) in enumerate(sheet.rows, start=1):
        row = cells
        if len(row) != len(header):
            message = f"the row has {len(row)} fields, but the header has {len(header)}"
            problems.append(Problem(line, None, message))
            continue
        row, changed = _whole_numbers(row, positions, schema)
        whole += changed
        found, faults = _row(trial_id, row, positions, schema, checked=checked)
        found = replace(found, extra={header[i]: row[i] for i in unused}, line=line)
        problems += [Problem(line, column, message) for column, message in faults]
        if not faults and not checked:
            doubts += [
                Problem(line, column, message) for column, message in _doubts(found, positions, schema)
            ]
        trials.append(found)
    if problems:
        raise TrialError(path, problems)

    notes = [
        *converted,
        *sheet.notes,
        *([f"{whole} cells are written like 2.0; grace reads them as 2"] if whole else []),
    ]
    if not checked:
        lines = [line for line, _ in sheet.rows]
        doubts += [Problem(lines[t.trial_id - 1], column, m) for t, column, m in _two_texts(trials, schema)]
    return TrialList(
        path=path,
        schema=schema,
        trials=tuple(trials),
        raw=raw,
        notes=(*notes, *_notes(header, positions, schema), *_gathered(doubts)),
    )


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> bytes:
    """The bytes of a trial list with these columns and rows, LF line ends."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def _choose(path: str, header: Sequence[str], schemas: Sequence[Schema]) -> Schema:
    fitting = [schema for schema in schemas if not schema.missing(header)]
    if fitting:
        return max(fitting, key=lambda schema: len(schema.match(header)))
    nearest = max(schemas, key=lambda schema: len(schema.match(header)))
    if not nearest.match(header):
        expected = ". ".join(f"{s.study} has {', '.join(s.names)}" for s in schemas)
        message = (
            f"the header ({', '.join(header)}) fits no study. {expected}. "
            "'grace trials make STUDY --out FILE' writes a list with all columns"
        )
        raise TrialError(path, [Problem(1, None, message)])
    raise TrialError(
        path,
        [
            Problem(
                1,
                column.name,
                f"a list of {nearest.study} needs this column, and the header does not have it. Add it"
                + (f" (other accepted names: {', '.join(column.aliases)})" if column.aliases else ""),
            )
            for column in nearest.missing(header)
        ],
    )


def _row(
    trial_id: int, row: Sequence[str], positions: Mapping[str, int], schema: Schema, *, checked: bool
) -> tuple[Trial, list[tuple[str, str]]]:
    fields: dict[str, str] = {name: row[i] for name, i in positions.items()}
    faults: list[tuple[str, str]] = []
    for column in schema.columns:
        if column.name not in fields:
            continue
        value = fields[column.name]
        # A declared value may be a word that means "no value" elsewhere, such as none.
        new = not checked and value not in column.values
        wrong = list(list_text.faults(value, breaks=column.breaks)) if new else []
        if wrong or not value.strip():
            faults += [(column.name, message) for message in wrong or ["is empty"]]
        elif column.values and value not in column.values:
            faults.append((column.name, f"is {value!r}, but must be one of {', '.join(column.values)}"))
    for column in schema.columns:
        if column.name in fields or column.derive is None or faults:
            continue
        try:
            fields[column.name] = column.derive(fields)
        except ValueError as error:
            faults.append((column.name, f"is not in the file, and grace cannot derive it: {error}"))
    trial = Trial(trial_id, {name: fields.get(name, "") for name in schema.names})
    if not faults:
        faults += [(name, message + list_text.hidden(trial[name])) for name, message in schema.check(trial)]
    if not faults:
        trial = replace(trial, variables=schema.variables(trial.fields))
    if not faults and not checked:
        faults += schema.contradictions(trial)
    return trial, faults


def _whole_numbers(row: Sequence[str], positions: Mapping[str, int], schema: Schema) -> tuple[list[str], int]:
    """The row with 2.0 changed to 2 in columns of whole numbers, and the number of changed cells."""
    cells, changed = list(row), 0
    for column in schema.columns:
        at = positions.get(column.name)
        if at is None or not column.values or not all(value.isdigit() for value in column.values):
            continue
        match = _WHOLE.fullmatch(cells[at])
        if match and match[1] in column.values and cells[at] != match[1]:
            cells[at], changed = match[1], changed + 1
    return cells, changed


def _doubts(trial: Trial, positions: Mapping[str, int], schema: Schema) -> Iterator[tuple[str, str]]:
    for name in positions:
        for message in list_text.doubts(trial[name]):
            yield name, message
    yield from schema.doubts(trial)


def _two_texts(trials: Sequence[Trial], schema: Schema) -> Iterator[tuple[Trial, str, str]]:
    """Trials that show another text for an item than the item's first trial does."""
    if schema.item is None:
        return
    first: dict[str, Trial] = {}
    for trial in trials:
        before = first.setdefault(trial[schema.item], trial)
        for column in schema.item_text:
            if trial[column] != before[column]:
                message = (
                    f"the text of {schema.item} {trial[schema.item]!r} differs from trial {before.trial_id}"
                )
                yield trial, column, message


def _gathered(doubts: Iterable[Problem]) -> Iterator[str]:
    """One note for each column and message, with the lines."""
    lines: dict[tuple[str | None, str], list[int]] = {}
    for doubt in doubts:
        lines.setdefault((doubt.column, doubt.message), []).append(doubt.line)
    for (column, message), at in lines.items():
        more = f" and {len(at) - 1} more" if len(at) > 1 else ""
        yield f"line {at[0]}{more}, column {column!r}: {message}"


def _notes(header: Sequence[str], positions: Mapping[str, int], schema: Schema) -> Iterator[str]:
    derived = [c.name for c in schema.columns if c.name not in positions]
    if derived:
        yield f"columns that are not in the file, and that grace derived from others: {', '.join(derived)}"
    renamed = [f"{header[i]} → {name}" for name, i in positions.items() if header[i] != name]
    if renamed:
        yield f"columns with another name in grace: {', '.join(renamed)}"
    used = {header[i].lower() for i in positions.values()}
    unused = [name for i, name in enumerate(header) if i not in positions.values()]
    twice = [name for i, name in enumerate(unused) if name.lower() in used or name in unused[:i]]
    if twice:
        yield f"columns whose name stands twice in the header, of which the first counts: {', '.join(twice)}"
    if extra := [name for name in dict.fromkeys(unused) if name and name.lower() not in used]:
        yield f"columns that {schema.study} does not use, and that only long tables have: {', '.join(extra)}"
