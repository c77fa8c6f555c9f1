"""Scales of reverse-keyed trials."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from grace_client.analysis.measured import Answerable
from grace_client.studies._reads import RESERVED_VALUES
from grace_client.studies.declaration import Experiment, Kind


def turned(frame: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """A frame of answers in which those to reverse-keyed trials have their place on the turned scale.

    Who disagrees with a reversed statement then agrees. ``reversed`` is false afterwards. The rows of a
    turned trial have their options from the last to the first.
    """
    if "reversed" not in frame.columns or not frame["reversed"].any():
        return frame
    column = "structured" if "response" in frame.columns else "option"
    answers = frame[column].astype("object")
    for question, kind in experiment.kinds.items():
        rows = frame["reversed"].to_numpy(dtype=bool) & (frame["question"] == question)
        if rows.any():
            answers = answers.mask(rows, answers.map(_mirror(kind, experiment), na_action="ignore"))
    new = frame.assign(reversed=False)
    new[column] = answers.astype(frame[column].dtype)
    return new


def _mirror(kind: Kind, experiment: Experiment) -> Callable[[str], str]:
    """From an answer to the one on the other side of the scale. "unsure" has no side."""
    read = kind.read
    options = list(Answerable.of(kind, experiment).options)
    if not options and read is not None and read.number is not None:
        ends = sum(read.number)
        return lambda answer: answer if answer in RESERVED_VALUES else f"{ends - float(answer):.15g}"
    sides = options[:-1] if read is not None and read.unsure else options
    other = dict(zip(sides, reversed(sides), strict=True))
    return lambda answer: other.get(answer, answer)
