"""What all figures share: colours, shapes, names and the theme."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pandas as pd
import plotnine as p9

from grace_client.core.errors import SpecError

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#882255")
"""Of the models, in order: the palette of Okabe and Ito, which people with colour blindness can distinguish.
Its yellow is hardly visible as a line on white; a dark red replaces it."""
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "d")
LINES = (
    "solid",
    "dashed",
    "dotted",
    "dashdot",
    (0, (5, 1)),
    (0, (1, 1)),
    (0, (3, 1, 1, 1)),
    (0, (8, 2)),
    (0, (8, 2, 2, 2)),
    (0, (1, 4)),
    (0, (5, 5)),
    (0, (3, 1, 1, 1, 1, 1)),
)
MOST = len(COLOURS) * len(SHAPES)
"""Models that differ in colour or shape: the two numbers have no common divisor, so no pair occurs twice."""
PEOPLE, THEORY = "people", "RSA"
"""Names of people and of the rational speech act model in legends."""

FAINT = "Faint: too few stimuli for an interval."
SPAN = "95% intervals over items, or over stimuli if a study has no items."


LETTERS = 18
"""Letters of a caption per inch, for the widest text."""

_cast: ContextVar[tuple[str, ...]] = ContextVar("cast", default=())


@contextmanager
def cast(models: Sequence[str]) -> Iterator[None]:
    """Give each of these models the same look in all figures of the block, whichever models a figure has."""
    before = _cast.set(tuple(_renamed(name) for name in models))
    try:
        yield
    finally:
        _cast.reset(before)


class _Wrapped:
    """Breaks the caption of the figure that it is added to into lines that fit its width."""

    def __init__(self, width: float) -> None:
        self.width = width

    def __radd__(self, figure: Any) -> Any:
        if caption := figure.labels.get("caption", None):
            p9.labs(caption=textwrap.fill(caption, int(self.width * LETTERS))).__radd__(figure)
        return figure


def theme(width: float, height: float) -> list[Any]:
    """The theme of every figure; add your own with ``+``. Sizes in inches."""
    return [_Wrapped(width), _theme(width, height)]


def _theme(width: float, height: float) -> Any:
    return p9.theme_bw(base_size=9, base_family="sans-serif") + p9.theme(
        figure_size=(width, height),
        legend_position="bottom",
        legend_justification="left",
        legend_title=p9.element_blank(),
        legend_key=p9.element_blank(),
        panel_grid_minor=p9.element_blank(),
        axis_ticks_minor=p9.element_blank(),
        legend_box_spacing=0.01,
        panel_grid_major=p9.element_line(color="#E6E6E6", size=0.4),
        panel_border=p9.element_rect(color="#8C8C8C", size=0.5),
        strip_background=p9.element_rect(fill="#F2F2F2", color="#8C8C8C", size=0.5),
        strip_text=p9.element_text(size=8.5),
        plot_caption=p9.element_text(size=7.5, color="#4D4D4D", ha="left"),
        plot_caption_position="plot",
        axis_ticks=p9.element_line(color="#8C8C8C", size=0.4),
    )


def models(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy in which no model has the legend name of people or of the theory."""
    return frame.assign(model=frame["model"].astype(str).map(_renamed))


def _renamed(model: str) -> str:
    return f"{model} (model)" if model in (PEOPLE, THEORY) else model


def names(*frames: pd.DataFrame | None) -> list[str]:
    """Models in the order of their first rows, then people and theory."""
    there = dict.fromkeys(name for frame in frames if frame is not None for name in frame["model"])
    known = [name for name in _cast.get() if name in there]
    result = dict.fromkeys([*known, *there])
    return [
        *(name for name in result if name not in (PEOPLE, THEORY)),
        *(n for n in (PEOPLE, THEORY) if n in result),
    ]


def together(*frames: pd.DataFrame | None) -> pd.DataFrame:
    """One table, models in their order; ``known`` says whether a mean has an interval."""
    there = [frame for frame in frames if frame is not None]
    order = names(*there)
    whole = pd.concat(there, ignore_index=True)
    for column in there[0].columns:
        if isinstance(there[0][column].dtype, pd.CategoricalDtype):
            whole[column] = pd.Categorical(whole[column], categories=there[0][column].cat.categories)
    whole["model"] = pd.Categorical(whole["model"], categories=order)
    for column in ("low", "high"):
        whole[column] = whole[column].astype("float64") if column in whole.columns else float("nan")
    whole["known"] = whole["low"].notna() | (whole["model"] == THEORY)
    return whole


def scales(order: list[str], *, lines: bool = False) -> list[Any]:
    """Colour and shape (and line type) per model: the same name looks the same in every figure of a set."""
    looks = look(order)
    colours, shapes, drawn = ([looks[name][i] for name in order] for i in range(3))
    result = [
        p9.scale_color_manual(values=colours, breaks=order, limits=order),
        p9.scale_shape_manual(values=shapes, breaks=order, limits=order),
    ]
    if lines:
        result.append(p9.scale_linetype_manual(values=drawn, breaks=order, limits=order))
    return result


def look(order: list[str]) -> dict[str, tuple[str, str, Any]]:
    """Colour, shape and line of models, people and theory; SpecError for too many models.

    The first twelve models differ in shape.
    """
    own = [name for name in order if name not in (PEOPLE, THEORY)]
    if len(own) > MOST:
        raise SpecError(
            f"a figure can show at most {MOST} models, and the table has {len(own)}. Draw fewer at a time"
        )
    whole = list(dict.fromkeys([*_cast.get(), *own]))
    result: dict[str, tuple[str, str, Any]] = {
        name: (COLOURS[i % len(COLOURS)], SHAPES[i % len(SHAPES)], LINES[i % len(LINES)])
        for i, name in enumerate(whole)
    }
    return result | {PEOPLE: ("#000000", "*", "solid"), THEORY: ("#7F7F7F", "x", "dashed")}


def points(order: list[str], *, width: float = 0.7) -> list[Any]:
    """Means as points with their intervals, models side by side."""
    beside = p9.position_dodge(width=width if len(order) > 1 else 0)
    return [
        p9.geom_linerange(p9.aes(ymin="low", ymax="high"), position=beside, size=0.55, na_rm=True),
        p9.geom_point(p9.aes(alpha="known"), position=beside, size=1.9),
        p9.scale_alpha_manual(values={True: 1.0, False: 0.35}, guide=None),
    ]


def caption(frame: pd.DataFrame, text: str) -> Any:
    """The line under a figure; says where intervals are missing."""
    faint = "" if bool(frame["known"].all()) else f" {FAINT}"
    return p9.labs(caption=text + faint)
