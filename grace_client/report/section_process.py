"""Makes one section, in a process that makes several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from grace_client.report import runs
from grace_client.report.blocks import Figure, Section
from grace_client.report.runs import Material
from grace_client.report.sections import methods, models, quality, study1, study2

TITLES = runs.TITLES | {
    "quality": quality.TITLE,
    "comparison": models.COMPARISON,
    "agreement": models.AGREEMENT,
    "methods": methods.TITLE,
}
BUILDERS: dict[str, Callable[[Material], Section | None]] = {
    "study1-exp2": study1.scored,
    "study1-exp1": study1.free,
    "study2-exp2": study2.scored,
    "study2-exp1": study2.free,
    "study2-judgement": study2.judgements,
    "comparison": models.comparison,
    "agreement": models.agreement,
}
NAMES = ("quality", *BUILDERS, "methods")
"""All sections, in the order of the page."""
LONGEST_FIRST = sorted(NAMES, key=lambda name: -("study2" in name) - (name in runs.TITLES))
"""All sections, so that none of the long ones begins last."""


@dataclass(frozen=True)
class Order:
    """What is to be made.

    Attributes
    ----------
    found : Material
        What the report is about.
    figures : Path or None
        Folder for figures as files.
    nrp : bool
        Whether the runs were made on the National Research Platform.
    """

    found: Material
    figures: Path | None
    nrp: bool


@dataclass(frozen=True)
class Made:
    """A section that is done.

    Attributes
    ----------
    section : Section
        Its figures are drawn.
    drawings : dict of str to str
        SVG of every figure by its name.
    files : list of Path
        Figures written as files.
    """

    section: Section
    drawings: dict[str, str]
    files: list[Path]


_orders: list[Order] = []


def take(order: Order) -> None:
    """Keep the order for every section that this process makes."""
    _orders[:] = [order]


def make(name: str) -> Made | None:
    """Compute and draw a section of the order that was taken; None where there is nothing to tell."""
    from grace_client.analysis import figures as drawing

    (order,) = _orders
    section = _section(name, order)
    if section is None:
        return None
    drawings: dict[str, str] = {}
    files: list[Path] = []
    for place, item in enumerate(section.content):
        if not isinstance(item, Figure) or item.draw is None:
            continue
        try:
            with drawing.cast(order.found.models):
                figure = item.draw()
            if order.figures is None:
                drawings[item.name] = drawing.svg(figure)
            else:
                saved = drawing.save(figure, order.figures, item.name)
                drawings[item.name] = saved[0].read_text(encoding="utf-8")
                files += saved
        except Exception as error:
            section.content[place] = section.explain(f"The figure “{item.title}”", error)
        else:
            section.content[place] = replace(item, draw=None)
    section.summary += section.faults
    if section.lost:
        section.summary.append(
            f"The answers do not allow {len(section.lost)} part{'s' * (len(section.lost) > 1)} of this "
            "section; a sentence there says why."
        )
    return Made(section, drawings, files)


def _section(name: str, order: Order) -> Section | None:
    """A section before its figures are drawn; where nothing of it can be computed, it says why."""
    empty = Section(name, TITLES[name])
    with empty.block("This section"):
        if name == "quality":
            return quality.section(order.found)
        if name == "methods":
            return methods.section(order.found, nrp=order.nrp)
        return BUILDERS[name](order.found)
    return empty
