"""Distributions averaged over orders: a correction for label bias."""

from __future__ import annotations

import pandas as pd

from grace_client.analysis._data.layout import WAY, require
from grace_client.analysis.ways._values import factors
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.run.layout import OK, WAY_FACTOR


def averaged(frame: pd.DataFrame, *, factor: str = "order") -> pd.DataFrame:
    """Distributions averaged over the orders of the options, beside the raw ones.

    A model that favours the first option, whatever it says, favours each option in turn if the orders put
    each first. The average over such orders is free of that bias. The other correction for label bias, the
    division by the distribution without context, is `distributions.pmi`.

    Parameters
    ----------
    frame : DataFrame
        Answers of one experiment in all ways, as ``read(source, ways=True)`` gives them.
    factor : str
        Factor to average over.

    Returns
    -------
    DataFrame
        `frame` with ``prob_averaged``, the mean of ``prob_norm`` over the levels of the factor with which the
        same trial was asked the same question, all other factors being equal, and ``n_averaged``, the number
        of these levels. Missing where a level has no answer, or where there is one level only.

    Raises
    ------
    SpecError
        If a column is missing.
    NotEnoughDataError
        If the frame has one level of the factor.

    Examples
    --------
    >>> from grace_client.analysis import example, ways
    >>> found = ways.averaged(example.asked("study1"))
    >>> yes = found[found["option"] == "yes"].groupby("way_order")
    >>> yes[["prob_norm", "prob_averaged"]].mean().reset_index().round(2)
      way_order  prob_norm  prob_averaged
    0    listed       0.60           0.54
    1  reversed       0.47           0.54
    """
    names = factors(frame)
    column = f"{WAY_FACTOR}{factor.removeprefix(WAY_FACTOR)}"
    require(
        frame,
        ["model", "experiment", "trial_id", "question", "option", "prob_norm", "status", WAY, column],
    )
    if frame[column].nunique() < 2:
        raise NotEnoughDataError(
            f"all answers have the {factor} {frame[column].iloc[0] if len(frame) else ''}. Ask in several: "
            f"grace run … --ways full:{factor}"
        )
    others = [name for name in names if name != column]
    keys = ["model", "experiment", "trial_id", "question", "option", *others]
    answered = frame["prob_norm"].where(frame["status"] == OK)
    if (twice := frame.duplicated([*keys, column])).any():
        row = frame[twice].iloc[0]
        raise SpecError(
            f"trial {row['trial_id']} of {row['model']} has two answers in the way {row[WAY]}, question "
            f"{row['question']}, option {row['option']}"
        )
    groups = answered.groupby([frame[name] for name in keys], sort=False, observed=True, dropna=False)
    there, size = groups.transform("count"), groups.transform("size")
    mean = groups.transform("mean").where((there == size) & (size > 1))
    return frame.assign(prob_averaged=mean, n_averaged=there)
