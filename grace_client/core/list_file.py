"""Read the bytes of a trial list as rows, whatever program wrote them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grace_client.core.errors import Problem, TrialError
from grace_client.core.list_text import INVISIBLE

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}

_TYPOGRAPHY = frozenset("€…‘’“”•–—")
"""Characters of Windows-1252 that UTF-8 and other encodings write with other bytes."""

_SEP_LINE = re.compile(r"\"?sep=(?P<mark>[^\"\r\n])\"?[ ,;\t]*(?:\r\n|\r|\n)", re.IGNORECASE)

_KINDS = (
    (b"\xd0\xcf\x11\xe0", "an Excel workbook (.xls)"),
    (b"\x1f\x8b", "a compressed file (gzip)"),
    (b"%PDF", "a PDF document"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rows of a file.

    Attributes
    ----------
    header : tuple of str
        Names of the columns, without invisible characters.
    line : int
        Line of the header, from 1.
    rows : tuple of (int, list of str)
        The line on which each row starts, and its cells.
    notes : tuple of str
        How the file differs from plain CSV in UTF-8.
    """

    header: tuple[str, ...]
    line: int
    rows: tuple[tuple[int, list[str]], ...]
    notes: tuple[str, ...]


def read(raw: bytes, path: str, known_columns: Callable[[Sequence[str]], int]) -> Sheet:
    """Read the rows of a file.

    Parameters
    ----------
    raw : bytes
        The content of the file.
    path : str
        The file's name in messages.
    known_columns : callable
        From a header to its number of known columns. grace uses the separator that gives the most.

    Raises
    ------
    TrialError
        If the bytes are not a table of text; the message says what they are.
    """
    notes: list[str] = []
    text = _text(raw, path, notes)
    offset = 0
    marks = list(SEPARATORS)
    if found := _SEP_LINE.match(text):
        marks, offset, text = [found["mark"]], 1, text[found.end() :]
        notes.append(f"the first line, {found[0].strip()!r}, names the separator; it is not a row")
    tried = [_rows(text, mark, offset) for mark in marks]
    # The first maximum, so that commas win a tie.
    counts = [known_columns(_clean(rows[0][1])) if rows else 0 for rows, _ in tried]
    best = counts.index(max(counts))
    (rows, fault), mark = tried[best], marks[best]
    if fault is not None:
        raise TrialError(path, [fault])
    if mark != "," and not offset:
        notes.append(f"columns are separated by {SEPARATORS[mark]}")
    if not rows:
        raise TrialError(path, [Problem(1, None, "the file is empty. Expected: a header line and trials")])
    line, header = rows[0]
    cleaned = _clean(header)
    if marked := [new for old, new in zip(header, cleaned, strict=True) if INVISIBLE.search(old)]:
        notes.append(f"invisible characters in the header are ignored: {', '.join(marked)}")
    empty = [line for line, row in rows[1:] if not any(cell.strip() for cell in row)]
    if empty:
        where = f"line {empty[0]}" if len(empty) == 1 else f"lines {empty[0]} to {empty[-1]}"
        notes.append(f"{len(empty)} rows of empty cells are ignored ({where})")
    kept = tuple((line, row) for line, row in rows[1:] if any(cell.strip() for cell in row))
    return Sheet(tuple(cleaned), line, kept, tuple(notes))


def _text(raw: bytes, path: str, notes: list[str]) -> str:
    if kind := _kind(raw):
        message = f"the file is {kind}, not CSV. Open it in a spreadsheet and save it as 'CSV UTF-8'"
        raise TrialError(path, [Problem(1, None, message)])
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            text = raw.decode("utf-16")
        except UnicodeDecodeError as error:
            message = f"the file begins like UTF-16, but is not ({error.reason}). Save it as CSV UTF-8"
            raise TrialError(path, [Problem(1, None, message)]) from None
        notes.append("the file is UTF-16, which spreadsheets call Unicode text")
        return text
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if (windows := _windows(raw)) is not None:
            text, read_as = windows
            notes.append(f"the file is not UTF-8; grace reads it as Windows-1252, with {read_as}")
            return text
        line = raw[: error.start].count(b"\n") + 1
        message = f"byte {raw[error.start]:#04x} is not UTF-8. Save the file as CSV UTF-8"
        raise TrialError(path, [Problem(line, None, message)]) from None


def _windows(raw: bytes) -> tuple[str, str] | None:
    """The text in Windows-1252, and its characters beyond ASCII; None unless it is surely that encoding.

    It is sure if every such character is a quotation mark, a dash or the like, or a letter beside a plain
    one. In other encodings with one byte for a character, these bytes are other characters.
    """
    try:
        text = raw.decode("cp1252")
    except UnicodeDecodeError:
        return None
    found: dict[str, None] = {}
    for match in re.finditer(r"[^\x00-\x7f]", text):
        place, char = match.start(), match[0]
        letters = sum(one.isalpha() for one in (text[place - 1 : place], text[place + 1 : place + 2]))
        mark = char in _TYPOGRAPHY and (letters < 2 or char == "’")
        if not mark and not ("\u00c0" <= char <= "\u00ff" and char.isalpha() and letters):
            return None
        found[char] = None
    return text, " ".join(found)


def utf8(raw: bytes, path: str) -> str:
    """The text of a trial list, whose UTF-8 bytes are a list with the same rows.

    A list in UTF-8 stays as it is, byte for byte. A workbook, a Parquet table and a file in another encoding
    are converted.

    Raises
    ------
    TrialError
        If the bytes are not a table of text.
    """
    converted, _ = plain(raw, path)
    try:
        return converted.decode()
    except UnicodeDecodeError:
        return _text(converted, path, [])


def plain(raw: bytes, path: str) -> tuple[bytes, list[str]]:
    """The bytes of a workbook (.xlsx) or a Parquet table as CSV, with notes; other bytes as they are.

    Raises
    ------
    TrialError
        If the workbook or table cannot be read.
    """
    workbook = raw.startswith(b"PK\x03\x04") and b"xl/" in raw and b"opendocument" not in raw[:200]
    if not workbook and not raw.startswith(b"PAR1"):
        return raw, []
    import pandas as pd

    notes = []
    try:
        if workbook:
            sheets = pd.read_excel(io.BytesIO(raw), sheet_name=None, dtype=str, keep_default_na=False)
            name, frame = next((name, sheet) for name, sheet in sheets.items() if len(sheet.columns))
            others = ", ".join(repr(other) for other in sheets if other != name)
            notes.append(
                f"this is a workbook; grace reads sheet {name!r}" + (f", not {others}" if others else "")
            )
        else:
            frame = pd.read_parquet(io.BytesIO(raw))
            notes.append("this is a Parquet table")
    except ImportError as error:
        raise TrialError(path, [Problem(1, None, f"grace cannot read workbooks here: {error}")]) from None
    except Exception as error:
        what = "workbook" if workbook else "Parquet table"
        message = f"this {what} cannot be read ({error}). Save it as 'CSV UTF-8'"
        raise TrialError(path, [Problem(1, None, message)]) from None
    return csv_of(frame), notes


def csv_of(frame: pd.DataFrame) -> bytes:
    """A data frame as CSV: missing cells are empty, and 3.0 is 3."""
    texts = frame.astype(object).where(frame.notna(), "").map(_cell)
    return texts.to_csv(index=False, lineterminator="\n").encode()


def _cell(value: object) -> str:
    """A cell as text: 3.0 as 3, as a CSV file would have it."""
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)


def _kind(raw: bytes) -> str | None:
    """The kind of a file that is not plain text; None for plain text."""
    if raw.startswith(b"PK\x03\x04"):
        if b"opendocument.spreadsheet" in raw[:200]:
            return "an OpenDocument spreadsheet (.ods)"
        return "a ZIP archive"
    start = raw[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((kind for mark, kind in _KINDS if start.lower().startswith(mark.lower())), None)


def _rows(text: str, mark: str, offset: int) -> tuple[list[tuple[int, list[str]]], Problem | None]:
    """The rows, each with the line on which it starts; and the fault that stopped the reading, if any."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=mark)
    rows: list[tuple[int, list[str]]] = []
    start = 1 + offset
    try:
        for row in reader:
            if row:
                rows.append((start, row))
            start = reader.line_num + 1 + offset
    except csv.Error as error:
        return rows, Problem(start, None, f"grace cannot read this as CSV: {error}")
    return rows, None


def _clean(header: Sequence[str]) -> list[str]:
    return [INVISIBLE.sub("", name).replace("\u00a0", " ").strip() for name in header]
