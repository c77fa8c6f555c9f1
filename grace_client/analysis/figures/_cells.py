"""Figures of any study: means or distributions by condition."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotnine as p9

from grace_client.analysis._data.layout import require
from grace_client.analysis.figures import _style
from grace_client.core.errors import SpecError

ROOM = 30
"""Letters for all labels of an axis at the bottom; with more of them, the axis is on the left."""
WIDE = {1: 70, 2: 42}
"""Letters in a line above a panel, by the number of panels side by side."""


def cells(
    table: pd.DataFrame,
    *,
    x: str,
    colour: str = "model",
    rows: str | None = None,
    panels: Sequence[str] = (),
    label: str = "mean",
    bounds: tuple[float, float] = (0.0, 1.0),
    chance: float | None = None,
) -> p9.ggplot:
    """Means of an outcome, or a distribution, by condition.

    Parameters
    ----------
    table : DataFrame
        As `cell_means` or `shares` gives it: ``model``, conditions, ``mean, low, high``. Levels are in the
        order of their first rows.
    x : str
        Column of the axis: a condition, or ``answer`` for a distribution.
    colour : str
        Column of colour and shape. If it is not ``model``, each of several models has its panels.
    rows : str, optional
        Column whose levels are the rows of panels.
    panels : sequence of str
        Further columns whose levels have panels of their own. Those with one level are left out.
    label : str
        Name of the value.
    bounds : pair of float
        Least and largest possible value.
    chance : float, optional
        Value if all answers were equally likely: a dashed line.

    Returns
    -------
    plotnine.ggplot

    Raises
    ------
    SpecError
        If a column is missing, or has more levels than there are colours.

    Examples
    --------
    >>> from grace_client.analysis import cell_means, example, figures, study2
    >>> means = cell_means(example.scored("study2"), "prob_wasnt")
    >>> drawn = figures.cells(means, x=study2.CELL[1], panels=study2.CELL[:1], label="negated", chance=0.5)
    """
    split = [*panels, *(["model"] if colour != "model" else [])]
    require(table, ["model", "mean", "low", "high", x, colour, *([rows] if rows else []), *split])
    whole = _style.together(_style.models(table))
    split = [name for name in split if whole[name].nunique() > 1]
    for name in {x, colour, rows} - {"model", None}:
        whole[name] = _category(whole[name])
    if colour == "model":
        order, scales = _style.names(whole), _style.scales(_style.names(whole))
    else:
        order = list(whole[colour].cat.categories)
        if len(order) > len(_style.COLOURS):
            raise SpecError(
                f"{colour} has {len(order)} levels; a figure has {len(_style.COLOURS)} colours. Draw fewer"
            )
        scales = [
            p9.scale_color_manual(values=_style.COLOURS[: len(order)]),
            p9.scale_shape_manual(values=_style.SHAPES[: len(order)]),
            p9.labs(color=colour, shape=colour),
        ]
    levels = [str(level) for level in whole[x].unique()]
    long = max(map(len, levels)) * len(levels) > ROOM
    if long:
        whole[x] = whole[x].cat.reorder_categories(list(whole[x].cat.categories)[::-1])
    figure = p9.ggplot(whole, p9.aes(x, "mean", color=colour, shape=colour, group=colour))
    if chance is not None and not pd.isna(chance):
        figure += p9.geom_hline(yintercept=chance, linetype="dashed", color="#7F7F7F", size=0.4)
    count = len(whole.drop_duplicates(split)) if split else 1
    down = 1 if rows is None else whole[rows].nunique()
    across = count if rows else min(count, 2 if long else 3)
    whole["panel"] = _panels(whole, split, WIDE.get(across, 26))
    if rows:
        figure += p9.facet_grid(rows, "panel" if count > 1 else None, labeller=_named(rows))
    elif count > 1:
        figure += p9.facet_wrap("panel", ncol=across)
    down *= -(-count // across)
    each = 0.22 * len(levels) * max(1, 0.5 * len(order)) + 0.5 if long else 1.9
    text = f"Lines: {_style.SPAN}" + (
        " Dashed: all answers equally likely." if chance is not None and not pd.isna(chance) else ""
    )
    return (
        figure
        + _style.points(order)
        + scales
        + (p9.coord_flip(ylim=bounds) if long else p9.coord_cartesian(ylim=bounds))
        + p9.labs(x="" if x == "answer" else x, y=label)
        + _style.caption(whole, text)
        + _style.theme(7.2 if across > 1 else 5.2, 1.1 + down * each)
        + (p9.theme() if colour == "model" else p9.theme(legend_title=p9.element_text(size=8.5)))
    )


def _category(column: pd.Series) -> Any:
    """A column as text, its levels in the order of their first rows."""
    text = column.astype(str)
    return pd.Categorical(text, categories=list(dict.fromkeys(text)))


def _panels(table: pd.DataFrame, names: Sequence[str], width: int) -> Any:
    """The name of each row's panel: its levels, in lines of at most so many letters."""
    if not names:
        return _category(pd.Series("", index=table.index))
    lines = (
        table[list(names)]
        .astype(str)
        .apply(
            lambda row: ", ".join(
                level if name == "model" else f"{name}: {level}" for name, level in row.items()
            ),
            axis=1,
        )
    )
    return _category(lines.map(lambda text: textwrap.fill(text, width)))


def _named(rows: str) -> Any:
    return p9.labeller(**{rows: lambda level: f"{rows}: {level}"})
