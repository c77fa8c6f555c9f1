"""Checks of a long table before anything is computed from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.core.trials import TrialList
from grace_client.run.layout import KEYS, OK
from grace_client.studies.declaration import Experiment

SUM = 1e-6
"""Tolerance of the sum of a question's normalised probabilities."""

MASS = 1e-4
"""Tolerance of an option mass above 1, for rounding."""


def one_experiment(long: pd.DataFrame, path: Path) -> str:
    """Name of the one experiment of a long table."""
    names = [str(name) for name in long["experiment"].unique()]
    if len(names) != 1:
        listed = ", ".join(names) or "no rows"
        raise SpecError(f"{path}: column experiment: {listed}. A table must contain one experiment")
    return names[0]


def known_trials(long: pd.DataFrame, listed: TrialList, path: Path) -> None:
    """Check that every trial id is in the list."""
    unknown = ~long["trial_id"].isin([trial.trial_id for trial in listed.trials])
    if unknown.any():
        at = long.index[unknown][0]
        message = f"{long['trial_id'][at]} is not in {listed.path}. Give the trial list of its run"
        _wrong(path, at, "trial_id", message)


def scored(long: pd.DataFrame, experiment: Experiment, path: Path) -> None:
    """Check that every question has each option once, with probabilities that sum to 1."""
    _questions(long, experiment, path)
    _unique(long, [*KEYS, "option"], path)
    answered = _answered(long, path)
    for question, kind in experiment.kinds.items():
        rows = long[long["question"] == question]
        strange = ~rows["option"].isin(kind.options)
        if strange.any():
            at = rows.index[strange][0]
            known = ", ".join(kind.options)
            _wrong(path, at, "option", f"{rows.at[at, 'option']!r} is not one of {known}")
        size = rows.groupby(list(KEYS))["option"].transform("size")
        if (few := size != len(kind.options)).any():
            at = rows.index[few][0]
            _wrong(path, at, "option", f"{size[at]} of the {len(kind.options)} options of a question")
    for column, highest in (("prob_norm", 1 + SUM), ("prob_raw", 1 + MASS), ("option_mass", 1 + MASS)):
        values = answered[column]
        # A wide table has normalised probabilities alone.
        absent = values.isna() if column == "prob_norm" or not values.isna().all() else values != values
        if column != "prob_norm" and values.isna().all():
            continue
        if absent.any():
            _wrong(path, answered.index[absent][0], column, "is missing in a row whose status is ok")
        if (outside := (values < 0) | (values > highest)).any():
            at = answered.index[outside][0]
            _wrong(path, at, column, f"{values[at]:.6g} is not a probability")
    sums = answered.groupby(list(KEYS))["prob_norm"].transform("sum")
    if (off := (sums - 1).abs() > SUM).any():
        at = answered.index[off][0]
        _wrong(path, at, "prob_norm", f"the options of this question sum to {sums[at]:.6f}, not to 1")


def free(long: pd.DataFrame, experiment: Experiment, path: Path) -> None:
    """Check that every question has each replicate once."""
    _questions(long, experiment, path)
    _unique(long, [*KEYS, "replicate"], path)
    answered = _answered(long, path)
    if (absent := answered["response"].isna()).any():
        _wrong(path, answered.index[absent][0], "response", "is missing in a row whose status is ok")


def _questions(long: pd.DataFrame, experiment: Experiment, path: Path) -> None:
    if (strange := ~long["question"].isin(experiment.kinds)).any():
        at = long.index[strange][0]
        asked = f"{experiment.name} asks {', '.join(experiment.kinds)}"
        _wrong(path, at, "question", f"{long.at[at, 'question']!r}. {asked}")


def _unique(long: pd.DataFrame, keys: list[str], path: Path) -> None:
    if (twice := long.duplicated(keys)).any():
        at = long.index[twice][0]
        row = ", ".join(f"{key} {long[key][at]}" for key in keys[2:])
        _wrong(path, at, keys[-1], f"{row} appears twice. A table must contain one run")


def _answered(long: pd.DataFrame, path: Path) -> pd.DataFrame:
    answered = long[long["status"] == OK]
    if answered.empty:
        statuses = ", ".join(f"{n} {status}" for status, n in long["status"].value_counts().items())
        raise NotEnoughDataError(
            f"{path}: no question was answered ({statuses or 'no rows'}). For the reasons, run: grace "
            "status RUN"
        )
    return answered


def _wrong(path: Path, at: object, column: str, message: str) -> None:
    row = int(np.int64(str(at))) + 2
    raise SpecError(f"{path}: row {row}, column {column}: {message}")
