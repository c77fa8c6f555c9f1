"""The layout of a run folder: names of its files, columns of its tables, statuses of its answers.

::

    manifest.json                       what the run is, with a checksum of each table
    study.yaml                          a copy of its study file
    study/*                             copies of the files that it names
    trials.csv                          a copy of its trial list
    ledger/*.jsonl                      every answer, one segment for each process
    MODEL_STUDY_TABLE_DATE.csv          the wide table; TABLE is the experiment's
    MODEL_STUDY_TABLE_DATE_long.csv     the long table, and the same as .parquet
    MODEL_STUDY_reasoning_DATE.csv      the reasoning, if the model reasoned
    MODEL_STUDY_structured_DATE.csv     free text as values; `grace extract` writes it
    README.txt                          how to read the tables with other programs
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from grace_client.core import paths

MANIFEST = "manifest.json"
STUDY = "study.yaml"
ATTACHED = "study"
TRIALS = "trials.csv"
LEDGER = "ledger"
SEGMENTS = "*.jsonl"
README = "README.txt"
LOCK = ".lock"

OK = "ok"
"""Status of an answer. Every other status is a failure, and the row has no values."""
UNASKED = "unasked"
"""Status of a question that was not asked yet."""
MISSING = "missing"
"""Status of a question without values in a wide table. The long table says why."""

KEYS = ("model", "experiment", "trial_id", "question")
DRAW = ("question", "replicate")
"""Columns that identify a free-text answer within its trial."""
SCORED = (*KEYS, "option", "logprob", "prob_raw", "prob_norm", "option_mass", "status", "reason")
"""Columns of the long table of a scored experiment."""
WIDE_FREE = (*DRAW, "seed", "response", "reasoning", "finish_reason", "status")
"""Columns that the wide table of free text adds to those of the trial list."""
FREE = (*KEYS[:-1], *WIDE_FREE, "reason")
"""Columns of the long table of free text."""
REASONING = (*KEYS, "replicate", "seed", "reasoning", "status", "reason")
READING = ("structured", "category", "method", "confidence", "span_start", "span_end")
"""Columns of the structured table with the values that were read from a response."""
WAY_FACTOR = "way_"
"""Before the name of a factor of the ways of asking: its column, if a run asked in several ways."""
BETS = ("bet_0", "bet_1", "bet_2", "bet_3")
"""Columns of the structured table with the rules how-many: the response's bet on each number, in percent."""
STRUCTURED = (*DRAW, "seed", "response", *READING)
"""Columns that the structured table adds to those of the trial list; `BETS` and ``status`` follow."""

FREE_TABLE = "raw_responses"
"""The table of every experiment of free text."""
STRUCTURED_TABLE = "structured"
STRUCTURED_FILES = f"*_{STRUCTURED_TABLE}_*.csv"
REASONING_TABLE = "reasoning"
LONG_CSV = "_long.csv"
LONG_PARQUET = "_long.parquet"

TABLE_NAME = re.compile(r"(?P<model>.+?)_(?P<study>[a-z][a-z0-9-]*)_(?P<table>[a-z_]+)_\d{8}")
"""A table's file name without its ending and without ``_long``."""


def stem(model: str, study: str, table: str, created: str, tables: Iterable[str] = ()) -> str:
    """``{model}_{study}_{table}_{YYYYMMDD}``.

    Parameters
    ----------
    model, study, table : str
        Name of the model, of the study, and of the kind of table.
    created : str
        When the run began, ISO 8601.
    tables : iterable of str
        Names of the run's existing tables. A new table has the same name for the model.
    """
    mark = f"_{study}_"
    models = (name.rpartition(mark)[0] for name in tables)
    short = next(filter(None, models), paths.file_name(model).replace("_", "-"))
    return f"{short}{mark}{table}_{created[:10].replace('-', '')}"


def long_table(names: Iterable[str]) -> str | None:
    """The name of a run's long table, preferably Parquet; None if there is none."""
    tables = list(names)
    return next((name for end in (LONG_PARQUET, LONG_CSV) for name in tables if name.endswith(end)), None)


def long_names(stem: str) -> tuple[str, str]:
    """Possible names of the long table with this stem, the preferred one first."""
    return stem + LONG_PARQUET, stem + LONG_CSV


def stem_of(name: str) -> str:
    """A table's file name without its ending and without ``_long``."""
    return name.removesuffix(".parquet").removesuffix(".csv").removesuffix("_long")


def is_structured(name: str) -> bool:
    """Whether a file name is that of a structured table."""
    return f"_{STRUCTURED_TABLE}_" in name


def structured_of(name: str) -> str:
    """Name of the structured table of a run, from that of its wide table."""
    return name.replace(f"_{FREE_TABLE}_", f"_{STRUCTURED_TABLE}_")


def wide_of(name: str) -> str:
    """Name of the wide table of free text, from that of its structured table."""
    return name.replace(f"_{STRUCTURED_TABLE}_", f"_{FREE_TABLE}_")
