"""Figures of ways of asking: an effect in every way, and what its variance is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotnine as p9

from grace_client.analysis._data.layout import WAY, require
from grace_client.analysis.figures import _style
from grace_client.core.errors import SpecError
from grace_client.run.layout import WAY_FACTOR
from grace_client.studies.ways import BASE

MOST_WAYS = 200
"""Most ways of a specification curve."""
CUT = 3.0
"""A line that is longer than this many times the largest point ends at the border of the panel."""


def specification_curve(
    values: pd.DataFrame, *, label: str = "effect", neutral: float = 0.0, smallest: float | None = None
) -> p9.ggplot:
    """One effect in all ways of asking, from the smallest to the largest, above the levels of each way.

    Parameters
    ----------
    values : DataFrame
        As `ways.effects` gives it, of one effect: ``model, way, way_FACTOR, value``, and perhaps ``low,
        high``. Rows without a value are left out.
    label : str
        Name of the value.
    neutral : float
        The value without an effect: a solid line.
    smallest : float, optional
        Smallest distance from `neutral` that matters: dashed lines.

    Returns
    -------
    plotnine.ggplot
        Ways are in the order of their mean over models. The base way has a hollow ring. Factors of which all
        ways have the same level are left out.

    Raises
    ------
    SpecError
        If a column is missing, a model has several values in a way, or there is no value, or more than 200
        ways.

    References
    ----------
    Simonsohn, U., Simmons, J. P., & Nelson, L. D. (2020). Specification curve analysis. *Nature Human
    Behaviour*, 4, 1208-1214.

    Examples
    --------
    >>> from grace_client.analysis import cell_means, example, figures, ways
    >>> found = ways.effects(example.asked("study1"), lambda one: cell_means(one, "prob_yes", by=[]))
    >>> drawn = figures.specification_curve(found, label="probability of yes", neutral=0.5)
    """
    factors = [str(name) for name in values.columns if str(name).startswith(WAY_FACTOR)]
    require(values, ["model", WAY, "value"], "the figure's table")
    known = values[values["value"].notna()]
    if known.empty or not factors:
        raise SpecError("there is no effect to draw: no row has a value and a way_FACTOR. See ways.effects")
    if (twice := known.duplicated(["model", WAY])).any():
        row = known[twice].iloc[0]
        raise SpecError(
            f"{row['model']} has several values in the way {row[WAY]}. A curve is of one effect: keep its "
            "rows alone"
        )
    mean = known.groupby(WAY, sort=False, observed=True)["value"].mean().sort_values(kind="stable")
    if len(mean) > MOST_WAYS:
        raise SpecError(f"a curve shows at most {MOST_WAYS} ways, and there are {len(mean)}. Draw fewer")
    rank = {way: place for place, way in enumerate(mean.index, start=1)}
    whole = _style.together(_style.models(known))
    order = _style.names(whole)
    varied = [name for name in factors if known[name].nunique() > 1] or factors
    levels = [(name, level) for name in varied for level in dict.fromkeys(known[name])]
    names = [f"{name.removeprefix(WAY_FACTOR)}: {level}" for name, level in levels]
    # Both panels have the same kind of axis: rows of levels are numbers far from all values.
    far = 1e6 * float(max(1.0, *np.abs(known[["value"]].to_numpy()).ravel()))
    whole = whole.assign(rank=whole[WAY].map(rank).astype(float), y=whole["value"])
    marks = pd.DataFrame(
        [
            (rank[way], far - place)
            for way, own in known.drop_duplicates(WAY).set_index(WAY).iterrows()
            for place, (name, level) in enumerate(levels)
            if own[name] == level
        ],
        columns=["rank", "y"],
    )
    panels = ["effect", "asked"]
    for table, name in ((whole, panels[0]), (marks, panels[1])):
        table["panel"] = pd.Categorical([name] * len(table), categories=panels)
    lines = [neutral, *([] if smallest is None else [neutral - smallest, neutral + smallest])]
    across = pd.DataFrame(
        {
            "y": lines,
            "kind": ["solid", "dashed", "dashed"][: len(lines)],
            "panel": pd.Categorical(["effect"] * len(lines), categories=panels),
        }
    )
    beside = p9.position_dodge(width=0.6 if len(order) > 1 else 0)
    height = 0.6 + 0.17 * len(levels)
    text = "Points: the effect in each way of asking; ring: the base way."
    if whole["low"].notna().any():
        text += f" Vertical lines: {_style.SPAN}"
    if smallest is not None:
        text += " Dashed: the smallest effect that matters."
    shown = p9.aes("rank", "y", color="model", shape="model", group="model")
    return (
        p9.ggplot(whole, shown)
        + p9.geom_hline(p9.aes(yintercept="y", linetype="kind"), across, color="#7F7F7F", size=0.4)
        + p9.scale_linetype_identity()
        + p9.geom_linerange(p9.aes(ymin="low", ymax="high"), position=beside, size=0.5, na_rm=True)
        + p9.geom_point(position=beside, size=1.9)
        + p9.geom_point(
            p9.aes("rank", "y", group="model"),
            whole[whole[WAY] == BASE],
            inherit_aes=False,
            position=beside,
            shape="o",
            fill="none",
            color="#000000",
            size=3.6,
        )
        + p9.geom_point(p9.aes("rank", "y"), marks, inherit_aes=False, shape="s", size=1.5, color="#4D4D4D")
        + _style.scales(order)
        + p9.facet_grid("panel", scales="free_y", space={"x": [1], "y": [2.0, height]})
        + p9.scale_y_continuous(
            breaks=lambda limits: _breaks(limits, far, len(names)),
            labels=lambda breaks: [_tick(one, far, names) for one in breaks],
        )
        + p9.scale_x_continuous(
            breaks=list(range(1, len(rank) + 1)) if len(rank) <= 20 else [1, *range(10, len(rank) + 1, 10)],
            expand=(0, 0.7),
        )
        + p9.labs(x="way of asking, by its effect", y=label, caption=text)
        + _style.theme(7.2, 3.0 + height)
        + p9.theme(strip_text_y=p9.element_blank(), strip_background_y=p9.element_blank())
    )


def variance_components(table: pd.DataFrame, *, label: str = "standard deviation") -> p9.ggplot:
    """Standard deviation of each component of a value: items, ways of asking, interactions, noise.

    Parameters
    ----------
    table : DataFrame
        As `ways.components` gives it: ``model, component, variance, low, high``.
    label : str
        Name of the axis, with the unit of the value.

    Returns
    -------
    plotnine.ggplot
        Points are roots of variances, lines those of the ends of their intervals. A component that the design
        cannot tell from others is left out.

    Raises
    ------
    SpecError
        If a column is missing or no component has a variance.

    Examples
    --------
    >>> from grace_client.analysis import cell_means, example, figures, ways
    >>> found = ways.effects(example.asked("study1"), lambda one: cell_means(one, "prob_yes", by=["item"]))
    >>> drawn = figures.variance_components(ways.components(found), label="sd of the probability of yes")
    """
    require(table, ["model", "component", "variance", "low", "high"], "the figure's table")
    known = _style.models(table[table["variance"].notna()])
    if known.empty:
        raise SpecError("no component has a variance, so there is nothing to draw")
    for name in ("variance", "low", "high"):
        known[name] = np.sqrt(known[name].astype(np.float64))
    most = CUT * float(known["variance"].max()) or 1.0
    cut = bool((known["high"] > most).any())
    known["high"] = known["high"].clip(upper=2 * most)
    names = list(dict.fromkeys(known["component"]))
    whole = _style.together(known)
    order = _style.names(whole)
    whole["known"] |= whole["component"] == "noise"
    whole["component"] = pd.Categorical(whole["component"], categories=names[::-1])
    text = "Horizontal lines: 95% intervals of the components (profile likelihood)."
    if cut:
        text += " Lines that reach the border are longer: ask in more levels of these factors."
    if not bool(whole["known"].all()):
        text += " Faint: no interval."
    return (
        p9.ggplot(whole, p9.aes("component", "variance", color="model", shape="model", group="model"))
        + _style.points(order)
        + _style.scales(order)
        + p9.coord_flip(ylim=(0, min(most, 1.05 * float(whole[["variance", "high"]].max().max()))))
        + p9.labs(x="", y=label, caption=text)
        + _style.theme(7.2, 1.3 + len(names) * max(0.26, 0.13 * len(order)))
    )


def _breaks(limits: tuple[float, float], far: float, count: int) -> list[float]:
    """Ticks of a panel: its levels, or round numbers."""
    from mizani.breaks import breaks_extended

    if limits[1] > far / 2:
        return [far - place for place in range(count)]
    return [float(one) for one in breaks_extended()(limits)]


def _tick(at: Any, far: float, names: list[str]) -> str:
    return names[round(far - at)] if at > far / 2 else f"{at:.6g}"
