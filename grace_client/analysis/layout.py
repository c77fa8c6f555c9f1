"""The frames that analysts pass around: which columns they have, and in which order their rows are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from grace_client.errors import SpecError


def require(frame: pd.DataFrame, columns: Sequence[str], what: str = "the table") -> None:
    """SpecError that names the columns that a frame lacks."""
    if missing := [column for column in columns if column not in frame.columns]:
        raise SpecError(
            f"{what} has no column {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}. "
            "'grace_client.analysis.read' gives all columns of a run"
        )


def per_model(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Every model's rows, models in the order of their first rows."""
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
        Values of a column in their order; columns that the table lacks are passed over.
    models : Series, optional
        Models in their order.
    """
    present = {name: values for name, values in orders.items() if name in table.columns}
    keys = {"model": tuple(dict.fromkeys(table["model"] if models is None else models)), **present}
    places = [table[name].map({value: i for i, value in enumerate(values)}) for name, values in keys.items()]
    place = np.lexsort([column.to_numpy() for column in reversed(places)])
    return table.iloc[place].reset_index(drop=True)
