"""From a file of answers, long, wide or structured, to the columns of a long table."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grace_client import studies
from grace_client.core import trials
from grace_client.core.errors import SpecError, refused
from grace_client.core.trials import Trial, TrialList
from grace_client.run.layout import BETS, DRAW, FREE, KEYS, MISSING, OK, READING, SCORED
from grace_client.studies.declaration import Experiment, Study

TEXT = pd.Series([""]).dtype
"""The text type of this version of pandas."""

LONG = {*KEYS, "status"}
INTEGERS = ("trial_id", "replicate", "seed", "span_start", "span_end")
NUMBERS = ("logprob", "prob_raw", "prob_norm", "option_mass", *BETS)


def load(path: Path) -> pd.DataFrame:
    """A table as it is in the file: CSV as text, Parquet with its types."""
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        # "NA" and "None" can be answers. Only an empty cell of a numeric column is missing.
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:
            raise refused(error, path) from None
        raise SpecError(f"{path} cannot be read as a table: {error}") from None


def typed(long: pd.DataFrame, experiment: Experiment, path: Path) -> pd.DataFrame:
    """The long table of an experiment with its columns in order, and numbers as numbers."""
    expected = SCORED if experiment.scored else FREE
    if missing := [column for column in expected if column not in long.columns]:
        raise SpecError(
            f"{path}: column {', '.join(missing)} is missing from a long table of {experiment.name}. "
            "To write the table again, run: grace export RUN"
        )
    read = [c for c in (*READING, *BETS) if c in long.columns] if not experiment.scored else []
    # Columns of the trial list that the study does not declare come last.
    extra = [c for c in long.columns if c not in (*expected, *read)]
    frame = long[[*expected, *read, *extra]].copy()
    numbers = [c for c in (*expected, *read) if c in (*INTEGERS, *NUMBERS)]
    for column in numbers:
        frame[column] = _numbers(frame[column], path)
    for column in frame.columns.difference([*numbers, "confidence"]):
        text = _text(frame[column])
        frame[column] = text.mask(text == "") if column in ("reasoning", "finish_reason") else text
    if "response" in frame.columns:
        frame["response"] = frame["response"].mask(frame["status"] != OK)
    if "structured" in frame.columns:
        frame["structured"] = frame["structured"].mask(frame["structured"] == "")
    return frame


def _text(column: pd.Series) -> pd.Series:
    """A column as text with missing values kept: some versions of pandas make them the word None."""
    values = column.astype(object).where(column.notna(), np.nan)
    return values.map(str, na_action="ignore").astype(TEXT)


def _numbers(column: pd.Series, path: Path) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column):
        return column
    text = column.isna() | (column.astype("str").str.strip() == "")
    values = pd.to_numeric(column.mask(text), errors="coerce")
    wrong = values.isna() & ~text & (column.astype("str").str.lower() != "nan")
    if wrong.any():
        row = column.index[wrong][0]
        raise SpecError(f"{path}: row {row + 2}, column {column.name}: {column[row]!r} is not a number")
    if column.name in INTEGERS:
        whole = values.dropna()
        if (fraction := whole != np.floor(whole)).any():
            row = whole.index[fraction][0]
            raise SpecError(
                f"{path}: row {row + 2}, column {column.name}: {column[row]!r} is not a whole number"
            )
        return values.astype("int64" if not values.isna().any() else "Int64")
    return values.astype("float64")


def design(listed: TrialList, shown: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Participant, item, stimulus and factors of every trial, indexed by ``trial_id``.

    `shown` are the columns that the experiment shows in addition to the stimulus of the schema; see
    `Experiment`. A study without participants or items has empty ones.
    """
    schema, shown = listed.schema, shown or {}
    rows = []
    for trial in listed.trials:
        text = [trial[column] for column in (*schema.stimulus, *shown.values())]
        rows.append(
            {
                "participant": trial[schema.participant] if schema.participant else "",
                "item": trial[schema.item] if schema.item else "",
                "stimulus": stimulus(text),
                **schema.cell(trial),
                **{name: trial[column].strip() for name, column in shown.items()},
            }
        )
    return pd.DataFrame(rows, index=pd.Index([t.trial_id for t in listed.trials], name="trial_id"))


def stimulus(texts: Iterable[str]) -> str:
    """The name of what a participant sees: a hash of its parts."""
    return hashlib.sha256("\0".join(text.strip() for text in texts).encode()).hexdigest()[:12]


def reversals(long: pd.DataFrame, experiment: Experiment, trials: Iterable[Trial]) -> NDArray[np.bool_]:
    """For each row of a long table, whether its trial turns the scale of its question round."""
    known = {
        (question, trial.trial_id)
        for trial in trials
        for question in experiment.reversed_for
        if experiment.reverses(question, trial)
    }
    pairs = zip(long["question"], long["trial_id"], strict=True)
    return np.fromiter((pair in known for pair in pairs), dtype=np.bool_, count=len(long))


def widened(
    wide: pd.DataFrame, path: Path, study: Study | None = None
) -> tuple[pd.DataFrame, Experiment, TrialList]:
    """A wide or structured table alone, as a long table, with its experiment and its trial list.

    Trials are counted in the order of the rows: a wide table has no trial ids. Without a study, the file name
    gives one of those that have a name.
    """
    known = [study] if study else [studies.named(name) for name in studies.names()]
    match, of = next(((found, one) for one in known if (found := _named(path, one.name))), (None, None))
    if match is None or of is None:
        named = ", ".join(one.name for one in known)
        raise SpecError(
            f"{path} is neither a long table (columns {', '.join(KEYS)}, ...) nor a wide one. The name of a "
            "wide table must be MODEL_STUDY_TABLE_DATE.csv, because it names the model. STUDY is one of "
            + (named if study else f"{named}. Name the file of another study with study=")
        )
    experiment = _experiment(wide, of, match["table"], path)
    number: NDArray[Any] = np.arange(1, len(wide) + 1)
    if not experiment.scored:
        if missing := [column for column in (*DRAW, "seed", "response") if column not in wide.columns]:
            raise SpecError(f"{path}: column {', '.join(missing)} is missing from a table of free text")
        # Every trial has each question and replicate once.
        number = wide.groupby(list(DRAW)).cumcount().to_numpy(dtype=np.int64) + 1
    first = wide.assign(trial_id=number).drop_duplicates("trial_id").sort_values("trial_id")
    names = list(experiment.schema.names)
    rows = ({name: str(row[name]) for name in names} for row in first[names].to_dict("records"))
    raw = trials.to_csv(names, rows)
    listed = trials.parse(raw, path=str(path), schemas=[experiment.schema], checked=True)
    head = {"model": match["model"], "experiment": experiment.name}
    if experiment.scored:
        return _scored(wide, experiment).assign(**head), experiment, listed
    added = dict.fromkeys((column for column in FREE if column not in wide.columns), "")
    return wide.drop(columns=names).assign(**(added | head | {"trial_id": number})), experiment, listed


def _named(path: Path, study: str) -> re.Match[str] | None:
    """The parts of a wide table's file name; None if it is of another study."""
    return re.fullmatch(rf"(?P<model>.+)_{study}_(?P<table>[a-z_]+)_\d{{8}}", path.stem)


def _experiment(wide: pd.DataFrame, study: Study, table: str, path: Path) -> Experiment:
    """The experiment of a wide table. If several have these columns, the one that the file name gives."""
    present = set(wide.columns)
    known = sorted(study.experiments.values(), key=lambda e: e.table != table)
    for experiment in known:
        if missing := [name for name in experiment.schema.names if name not in present]:
            raise SpecError(
                f"{path}: column {', '.join(missing)} is missing. By its name this is a table of "
                f"{study.name}. If it is of another study, rename it"
            )
        if set(experiment.columns or ("question", "response")) <= present:
            return experiment
    nearest = max(known, key=lambda e: len(present.intersection(e.columns)))
    lost = ", ".join(name for name in nearest.columns if name not in present)
    raise SpecError(f"{path}: column {lost} is missing from a wide table of {nearest.name}")


def _scored(wide: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    parts = []
    for place, (question, kind) in enumerate(experiment.kinds.items()):
        columns = experiment.option_columns[question]
        values = wide[list(columns)]
        lost = np.repeat((values == "").all(axis=1).to_numpy(), len(columns))
        part = pd.DataFrame(
            {
                "row": np.repeat(np.arange(len(wide)), len(columns)),
                "option": np.tile(list(kind.options), len(wide)),
                "prob_norm": values.to_numpy().ravel(),
                "status": np.where(lost, MISSING, OK),
                "reason": np.where(
                    lost, "the wide table has no values here; the long table has the reason", ""
                ),
            }
        )
        parts.append(part.assign(question=question, place=place))
    both = pd.concat(parts).sort_values(["row", "place"], kind="stable", ignore_index=True)
    nothing = dict.fromkeys(("logprob", "prob_raw", "option_mass"), np.nan)
    return both.assign(trial_id=both["row"] + 1, **nothing).drop(columns=["row", "place"])


def with_structured(long: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Free text with the structured answers of the table at `path`, which are in the same order."""
    structured = load(path)
    columns = [c for c in (*READING, *BETS) if c in structured.columns]
    if missing := [c for c in (*DRAW, "seed", *READING[:3]) if c not in structured.columns]:
        raise SpecError(f"{path}: column {', '.join(missing)} is missing from a structured table")
    if len(structured) != len(long):
        raise SpecError(
            f"{path} has {len(structured)} rows, and the table of answers has {len(long)}. To write it "
            "again, run: grace extract RUN"
        )
    for column in (*DRAW, "seed"):
        differs = structured[column].astype("str").to_numpy() != long[column].astype("str").to_numpy()
        if differs.any():
            row = int(np.flatnonzero(differs)[0])
            raise SpecError(
                f"{path}: row {row + 2}, column {column}: {structured[column].iloc[row]!r} where the answers "
                f"have {str(long[column].iloc[row])!r}. It belongs to another run"
            )
    return long.assign(**{column: structured[column].to_numpy() for column in columns})
