"""README.txt of a run: its tables, and how to read them with other programs without changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from grace_client.run import layout

SCORED = {"": (), "_long": ("option",)}
FREE = {"": ("response", "reasoning"), "_long": ("response", "reasoning")}
STRUCTURED = ("response", "structured")
"""Columns with text that may look like numbers: programs need to know that it is text."""

_HEAD = """The tables of a run of {experiment} on {model}, written by grace.

Read them with the commands below. By default, pandas reads the texts None, NA, nan, null and N/A as missing
values, R reads NA as a missing value, and both read answers such as 007 or 1.0 as numbers. Models do give
such answers.

An empty field is a missing value: 'status' and 'reason' say why. If 'status' is ok and 'response' is empty,
the model's answer had no characters. No other text means a missing value.
"""
_PARQUET = """
{parquet}
  The same rows as {csv}, with the types of the columns. Every program reads it without changes:
    Python:  pd.read_parquet("{parquet}")
    R:       arrow::read_parquet("{parquet}")
"""
_CSV = """
{csv}
  {what}
    Python:  pd.read_csv("{csv}", keep_default_na=False, na_values=[""]{python})
    R:       read.csv("{csv}", na.strings = "", encoding = "UTF-8"{r})
    readr:   read_csv("{csv}", na = "", trim_ws = FALSE{readr})
"""
_TAIL = """
Do not open the CSV files with a double click. Excel and other spreadsheets then change them: 2/3 becomes a
date, 007 becomes 7, an answer that begins with = becomes a formula, and letters beyond English are wrong.
Choose Data, From Text/CSV, File Origin "65001: Unicode (UTF-8)", Data Type Detection "Do not detect data
types". Do not save over the file: grace refuses a table that has changed. 'grace export' writes it again.

In Python, grace_client.analysis.read(FOLDER) checks a run and reads it with its conditions.
"""


def write(path: Path, *, model: str, experiment: str, files: Sequence[str], scored: bool) -> None:
    """Write README.txt.

    Parameters
    ----------
    path : Path
        The file to write.
    model, experiment : str
        Names of the run's model and experiment.
    files : sequence of str
        File names of its tables: wide, long (CSV and Parquet), and others.
    scored : bool
        True if options were scored; False if free text was drawn.
    """
    wide, long, parquet, *others = files
    texts = SCORED if scored else FREE
    each = "one row per trial" if scored else "one row per answer"
    parts = [
        _HEAD.format(experiment=experiment, model=model),
        _PARQUET.format(parquet=parquet, csv=long),
        _csv(
            long,
            "Long and tidy: one row per trial, question and " + ("option." if scored else "answer."),
            texts["_long"],
        ),
        _csv(wide, f"Wide: {each}, with the columns of the trial list.", texts[""]),
        *(
            _csv(name, "The model's reasoning. It is not a part of the answers.", ("reasoning",))
            for name in others
        ),
    ]
    if not scored:
        name = layout.structured_of(wide)
        parts.append(_csv(name, "The answers as values. 'grace extract' writes this table.", STRUCTURED))
    path.write_text("".join([*parts, _TAIL]), encoding="utf-8", errors="backslashreplace")


def _csv(csv: str, what: str, texts: Sequence[str]) -> str:
    python = ", dtype={" + ", ".join(f'"{name}": str' for name in texts) + "}" if texts else ""
    r = ", colClasses = c(" + ", ".join(f'{name} = "character"' for name in texts) + ")" if texts else ""
    readr = ", col_types = cols(" + ", ".join(f'{name} = "c"' for name in texts) + ")" if texts else ""
    return _CSV.format(csv=csv, what=what, python=python, r=r, readr=readr)
