"""A campaign while it goes on: a live view on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from grace_client.campaign.records import WATCHED, ModelState
from grace_client.campaign.view import View
from grace_client.cli._output import duration, say

if TYPE_CHECKING:
    from rich.console import RenderableType

PLAIN = timedelta(seconds=30)
"""How often a line appears where there is no terminal and nothing has changed but numbers."""


@contextmanager
def shown(*, quiet: bool) -> Iterator[Callable[[View], None]]:
    """Show views as they come."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), refresh_per_second=4, transient=True) as live:
            yield lambda view: live.update(_table(view))
    else:
        yield _lines(say)


def line(view: View) -> str:
    """A view in one line."""
    model = view.model
    if model is None:
        return "every model is over"
    parts = [f"{model.model}{_gpu(view, model)}: {model.phase}"]
    if model.phase in WATCHED and (waited := model.queued(view.at)) >= 1:
        parts.append(f"{duration(waited)} in the queue")
    if model.phase == "downloading" and view.weights:
        parts.append(view.weights)
    parts += [f"{name} {done} of {total}" for name, (done, total) in sorted(view.questions.items())]
    parts.append(f"{view.campaign.gpu_hours(view.at):.2f} GPU-hours")
    return ", ".join(parts)


def _gpu(view: View, model: ModelState) -> str:
    overlay = model.overlay
    return f" on {overlay}" if overlay else ""


def _lines(say: Callable[[str], None]) -> Callable[[View], None]:
    told: set[str] = set()
    last: tuple[str, datetime] | None = None

    def show(view: View) -> None:
        nonlocal last
        model = view.model
        key = f"{model.model}/{model.overlay}/{model.phase}" if model else ""
        if last is None or key != last[0] or view.at - last[1] >= PLAIN:
            say(line(view))
            last = key, view.at
        for trouble in (*(f"{one}" for one in view.troubles), *filter(None, [view.note])):
            # The same trouble at every look is told once.
            short = f"{key}: {trouble.splitlines()[0]}"
            if short not in told:
                told.add(short)
                say(trouble)

    return show


def _table(view: View) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("model", "state", "queue", "GPU-hours"):
        table.add_column(name, justify="right" if name == "GPU-hours" else "left")
    for model in view.campaign.models:
        style = "bold" if view.model is not None and model.model == view.model.model else "dim"
        waited = model.queued(view.at)
        table.add_row(
            f"{model.model}{_gpu(view, model)}",
            str(model.phase),
            duration(waited) if waited >= 1 else "",
            f"{model.gpu_hours(view.at):.2f}",
            style=style,
        )
    rest = [f"{name}: {done} of {total}" for name, (done, total) in sorted(view.questions.items())]
    if view.weights and view.model is not None and view.model.phase == "downloading":
        rest.insert(0, f"weights: {view.weights}")
    budget = view.campaign.limits.budget_hours
    rest.append(f"{view.campaign.gpu_hours(view.at):.2f} of {budget:g} GPU-hours")
    notes = [Text(f"{one}", "yellow") for one in view.troubles]
    notes += [Text(view.note, "red")] if view.note else []
    return Group(table, *(Text(text) for text in rest), *notes)
