"""An effect in each way of asking, and what each item contributes to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grace_client.analysis._data.layout import WAY, distinct, require
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.run.layout import WAY_FACTOR

Array = NDArray[np.float64]

Effect = Callable[[pd.DataFrame], "float | pd.DataFrame"]
"""Makes a number, or a table of numbers, of the answers of one model in one way."""

VALUES = ("value", "estimate", "difference", "mean", "share", "prob")
"""Columns of an effect's table that may be its value. The first of them that exists is taken."""
BESIDE = ("low", "high", "se", "smallest")
"""Columns that are kept beside the value."""
MOST_ITEMS = 60
"""Of more items than this, `per_item` leaves out groups: each item alone would take too long."""


def effects(frame: pd.DataFrame, effect: Effect, *, value: str | None = None) -> pd.DataFrame:
    """Any effect in each way of asking.

    Parameters
    ----------
    frame : DataFrame
        Answers of one experiment in all ways, as ``read(source, ways=True)`` gives them.
    effect : callable
        Takes the answers of one model in one way, in the columns of ``read(source)``, and returns a number or
        a table: any function of `analysis` that takes such a frame, such as `contrasts`, ``lambda answers:
        cell_means(answers, "prob_yes", by=[])``, or one that compares the answers with people.
    value : str, optional
        Column of the effect's table that is its value. Default: the first of ``value, estimate, difference,
        mean, share, prob``.

    Returns
    -------
    DataFrame
        One row per model, way and row of the effect's table: ``model, way``, a column ``way_FACTOR`` of each
        factor, the keys of the effect's table (its columns before the value, without decimal numbers), and
        ``value``, in the unit of the effect; then ``low, high, se, smallest`` where the effect's table has
        them. A way in which the effect cannot be computed has no rows if the effect is a table, and the value
        NaN if it is a number.

    Raises
    ------
    SpecError
        If the frame has no column ``way``, the effect's table has no value, or two of its rows have the same
        keys.
    NotEnoughDataError
        If the effect can be computed in no way; the message is that of the last one.

    Examples
    --------
    >>> from grace_client.analysis import cell_means, example, ways
    >>> def yes(answers):
    ...     return cell_means(answers, "prob_yes", by=[])
    >>> found = ways.effects(example.asked("study1"), yes)
    >>> found[["way", "way_order", "outcome", "value"]].round(2)
                                 way way_order   outcome  value
    0                           base    listed  prob_yes   0.62
    1                 order=reversed  reversed  prob_yes   0.48
    2                  wording=short    listed  prob_yes   0.58
    3  order=reversed, wording=short  reversed  prob_yes   0.46
    """
    parts = []
    problem: NotEnoughDataError | None = None
    for head, rows in each_way(frame):
        try:
            own = _table(effect(rows), value)
        except NotEnoughDataError as error:
            problem = error
            continue
        parts.append(pd.DataFrame(head, index=own.index).join(own))
    if not parts:
        raise NotEnoughDataError(f"the effect can be computed in no way of asking: {problem}") from problem
    return pd.concat(parts, ignore_index=True)


def per_item(frame: pd.DataFrame, effect: Effect, *, value: str | None = None) -> pd.DataFrame:
    r"""What each item contributes to an effect, in each way of asking.

    With :math:`\theta` the effect of n items and :math:`\theta_{-i}` that without item i, the contribution is
    the jackknife's pseudo-value :math:`n \theta - (n - 1) \theta_{-i}`. Of a mean over equally frequent items
    it is the item's own value. More than 60 items are drawn into 60 groups, the same in all ways, and the
    groups take the place of the items.

    Parameters
    ----------
    frame, effect, value
        As in `effects`.

    Returns
    -------
    DataFrame
        As `effects` gives it, with ``item`` before ``value``. In a study without items, ``item`` is the
        stimulus; of a group it is ``group 1``, ``group 2``, …. A value is NaN if the effect cannot be
        computed without the item.

    Raises
    ------
    SpecError, NotEnoughDataError
        As `effects`; also if there are fewer than two items.

    References
    ----------
    Efron, B., & Tibshirani, R. J. (1993). *An introduction to the bootstrap*. Chapman & Hall, chapter 11.
    Kott, P. S. (2001). The delete-a-group jackknife. *Journal of Official Statistics*, 17(4), 521-526.

    Examples
    --------
    >>> from grace_client.analysis import cell_means, example, ways
    >>> def yes(answers):
    ...     return cell_means(answers, "prob_yes", by=[])
    >>> found = ways.per_item(example.asked("study1"), yes)
    >>> found[["way", "item", "value"]].head(2).round(2)
        way    item  value
    0  base  item 2   0.64
    1  base  item 3   0.58
    """
    require(frame, ["model", WAY])
    unit = distinct(frame)
    groups = _groups(frame[unit])
    parts = []
    for head, rows in each_way(frame):
        whole = _table(effect(rows), value)
        keys = [name for name in whole.columns if name not in ("value", *BESIDE)]
        place = rows[unit].map(groups)
        items = list(dict.fromkeys(place))
        if len(items) < 2:
            plural = {"item": "items", "stimulus": "stimuli"}[unit]
            raise NotEnoughDataError(
                f"{head['model']} has {rows[unit].nunique()} {plural} in the way {head[WAY]}. An interval "
                "over them needs at least 2"
            )
        for item in items:
            own = whole[[*keys, "value"]].assign(item=item)
            try:
                without = _table(effect(rows[place != item]), value)
            except NotEnoughDataError:
                left: Array = np.full(len(own), np.nan)
            else:
                found = without.set_index(keys)["value"] if keys else without["value"]
                index = (
                    pd.MultiIndex.from_frame(own[keys]) if len(keys) > 1 else own[keys[0]] if keys else None
                )
                left = (found if index is None else found.reindex(index)).to_numpy(dtype=np.float64)
            own["value"] = len(items) * own["value"] - (len(items) - 1) * left
            parts.append(pd.DataFrame(head, index=own.index).join(own[[*keys, "item", "value"]]))
    return pd.concat(parts, ignore_index=True)


def _groups(items: pd.Series) -> dict[object, object]:
    """The item itself; of many items, the group of each, all of nearly the same size."""
    names = sorted(items.unique())
    if len(names) <= MOST_ITEMS:
        return dict(zip(names, names, strict=True))
    order = np.random.default_rng(0).permutation(len(names))
    return {names[at]: f"group {place % MOST_ITEMS + 1}" for place, at in enumerate(order)}


def factors(frame: pd.DataFrame) -> list[str]:
    """The columns of the factors."""
    found = [str(name) for name in frame.columns if str(name).startswith(WAY_FACTOR)]
    if WAY not in frame.columns or (not found and frame[WAY].nunique() > 1):
        raise SpecError(
            "the table has no columns way and way_FACTOR. Read the answers with read(source, ways=True)"
        )
    return found


def each_way(frame: pd.DataFrame) -> Iterator[tuple[dict[str, object], pd.DataFrame]]:
    """The answers of each model in each way, without the columns of the way, and these columns."""
    names = factors(frame)
    require(frame, ["model", WAY])
    for (model, way), rows in frame.groupby(["model", WAY], sort=False, observed=True):
        head: dict[str, object] = {"model": model, WAY: way, **{name: rows[name].iloc[0] for name in names}}
        yield head, rows.drop(columns=[WAY, *names]).reset_index(drop=True)


def _table(found: float | pd.DataFrame, value: str | None) -> pd.DataFrame:
    """The keys of an effect, its ``value``, and what is kept beside it."""
    if not isinstance(found, pd.DataFrame):
        return pd.DataFrame({"value": [float(found)]})
    columns = [str(name) for name in found.columns]
    name = value if value is not None else next((one for one in VALUES if one in columns), None)
    if name is None or name not in columns:
        raise SpecError(
            f"the effect's table has no column {name or ', '.join(VALUES)}. It has {', '.join(columns)}. "
            "Name the column of its value with value="
        )
    before = columns[: columns.index(name)]
    keys = [one for one in before if one != "model" and not pd.api.types.is_float_dtype(found[one].dtype)]
    if (twice := found.duplicated(keys)).any() if keys else len(found) > 1:
        where = ", ".join(f"{one} {found[twice].iloc[0][one]}" for one in keys) if keys else "no keys"
        raise SpecError(
            f"the effect's table has two rows with {where}. Give it a column that tells them apart"
        )
    beside = [one for one in BESIDE if one in columns and one not in (*keys, name)]
    return found[[*keys, name, *beside]].rename(columns={name: "value"}).reset_index(drop=True)
