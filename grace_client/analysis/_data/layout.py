"""Columns, levels and row order of the frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from grace_client.core.errors import SpecError
from grace_client.core.spelling import did_you_mean
from grace_client.studies.ways import BASE

WAY = "way"
"""Column of the way of asking."""


def one_way(frame: pd.DataFrame) -> None:
    """SpecError if a frame has answers in several ways of asking: each trial would count once for each."""
    if WAY in frame.columns and frame[WAY].nunique() > 1:
        raise SpecError(
            f"the frame has answers in {frame[WAY].nunique()} ways of asking. Select one, such as "
            f"frame[frame[{WAY!r}] == {BASE!r}], or give this function to analysis.ways.effects, which calls "
            "it for each way"
        )


def require(frame: pd.DataFrame, columns: Sequence[str], what: str = "the table") -> None:
    """SpecError that names the columns that a frame lacks, or that it is of several ways of asking.

    A function that takes several ways requires the column `WAY`.
    """
    if WAY not in columns:
        one_way(frame)
    if missing := [column for column in columns if column not in frame.columns]:
        there = [str(column) for column in frame.columns]
        raise SpecError(
            f"{what} has no column {', '.join(missing)}. {did_you_mean(missing[0], there)}It has "
            f"{', '.join(there)}. 'grace_client.analysis.read' gives all columns of a run"
        )


def canonical(frame: pd.DataFrame, levels: Mapping[str, Sequence[object]]) -> pd.DataFrame:
    """A frame whose design columns have legal levels, spelled as in `read`.

    A frame that was written to a file and read again has numbers where `read` gives text: 3 and 3.0 become
    "3". Nothing is dropped.

    Parameters
    ----------
    frame : DataFrame
        Has some of the columns of `levels`.
    levels : mapping of str to sequence
        The legal levels of each column, all text or all integers.

    Returns
    -------
    DataFrame
        `frame` itself where every level is legal, else a copy. Columns of text levels have the type
        ``str``, those of integers ``int64``.

    Raises
    ------
    SpecError
        For a level that is missing or is none of the legal ones; the message names column, row (its label in
        the index) and value.
    """
    changed: dict[str, pd.Series] = {}
    for column, legal in levels.items():
        if column not in frame.columns:
            continue
        values = frame[column]
        known = {value: _spelled(value, legal) for value in values.unique()}
        for value, level in known.items():
            if level is None:
                absent = pd.isna(value)
                row = frame.index[(values.isna() if absent else values == value).to_numpy()][0]
                problem = "missing" if absent else f"{str(value)!r} is not a level of the design"
                raise SpecError(
                    f"column {column}, row {row}: {problem}. The levels are {', '.join(map(repr, legal))}"
                )
        kind = "str" if isinstance(legal[0], str) else "int64"
        if values.dtype != kind or any(value != level for value, level in known.items()):
            mapped = values.astype("object").map(known)
            changed[column] = mapped.astype("str") if kind == "str" else mapped.astype("int64")
    return frame.assign(**changed) if changed else frame


def _spelled(value: object, legal: Sequence[object]) -> object:
    """The legal level of a value; None if there is none."""
    if pd.isna(value):  # type: ignore[call-overload]
        return None
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if number == np.floor(number) and np.isfinite(number):
        text = str(int(number))
    return next((level for level in legal if str(level) == text), None)


def distinct(frame: pd.DataFrame) -> str:
    """The column of the clusters of every interval: their values are independent of each other.

    It is ``item``, the story of Study 1 and the domain of Study 2: texts of one story resemble each other in
    all cells of the design. Where a frame does not name them, it is ``stimulus``.
    """
    named = "item" in frame.columns and frame["item"].notna().all() and (frame["item"] != "").all()
    return "item" if named else "stimulus"


def refuse_copies(rows: pd.DataFrame, value: str, by: Sequence[str] = ()) -> None:
    """SpecError if participants are not people: all copies of every stimulus have the same value.

    Parameters
    ----------
    rows : DataFrame
        Has ``stimulus`` and `value`; ``model`` where there are several.
    value : str
        Column of the measured values.
    by : sequence of str
        Columns that identify the values of one stimulus.
    """
    several = per_model(rows) if "model" in rows.columns else iter([("the frame", rows)])
    for model, own in several:
        copies = own.groupby([*dict.fromkeys([*by, "stimulus"])], observed=True)[value]
        size, least, most = copies.size(), copies.min(), copies.max()
        # Sums of the same numbers may differ in their last bits.
        if (size > 1).any() and np.allclose(most, least, rtol=1e-9, atol=1e-12, equal_nan=True):
            raise SpecError(
                f"{model} gives the same answer to all copies of a stimulus, whatever the participant. So "
                f"its {int(size.sum())} values are only {len(size)} observations. Use 'item' or 'stimulus'"
            )


def per_model(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each model, models in the order of their first rows."""
    for model, rows in frame.groupby("model", sort=False, observed=True):
        yield str(model), rows


def ordered(
    table: pd.DataFrame, orders: Mapping[str, Sequence[object]], models: pd.Series[str] | None = None
) -> pd.DataFrame:
    """Sort a table by model, in the order of `models` or its own, and then by columns in a given order.

    Parameters
    ----------
    table : DataFrame
        Has ``model``.
    orders : mapping of str to sequence
        Values of a column in their order; columns that the table does not have are ignored.
    models : Series, optional
        Models in their order.
    """
    present = {name: values for name, values in orders.items() if name in table.columns}
    keys = {"model": tuple(dict.fromkeys(table["model"] if models is None else models)), **present}
    places = [table[name].map({value: i for i, value in enumerate(values)}) for name, values in keys.items()]
    place = np.lexsort([column.to_numpy() for column in reversed(places)])
    return table.iloc[place].reset_index(drop=True)
