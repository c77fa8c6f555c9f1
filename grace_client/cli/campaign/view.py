"""The progress of a running campaign: a live view on a terminal, else a line every `PLAIN`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from grace_client.campaign.records import WATCHED
from grace_client.campaign.view import View
from grace_client.cli._output import duration, say

if TYPE_CHECKING:
    from rich.console import RenderableType

PLAIN = timedelta(seconds=30)
"""Time between two lines if stderr is not a terminal and only numbers have changed."""


@contextmanager
def showing(*, quiet: bool) -> Iterator[Callable[[View], None]]:
    """Show views while the context is open."""
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
        return "All models have ended"
    parts = [f"{model.label}: {model.phase}"]
    if model.phase in WATCHED and (waited := model.queued(view.at)) >= 1:
        parts.append(f"{duration(waited)} in the queue")
    return ", ".join([*parts, *view.lines(), f"{view.campaign.gpu_hours(view.at):.2f} GPU-hours"])


def _lines(say: Callable[[str], None]) -> Callable[[View], None]:
    shown: set[str] = set()
    last: tuple[str, datetime] | None = None

    def show(view: View) -> None:
        nonlocal last
        model = view.model
        key = f"{model.model}/{model.overlay}/{model.phase}" if model else ""
        if last is None or key != last[0] or view.at - last[1] >= PLAIN:
            say(line(view))
            last = key, view.at
        for fault in (*map(str, view.faults), *filter(None, [view.note])):
            # Show each fault once, however long it lasts.
            short = f"{key}: {fault.splitlines()[0]}"
            if short not in shown:
                shown.add(short)
                say(fault)

    return show


def _table(view: View) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("model", "state", "queue", "GPU-hours"):
        table.add_column(name, justify="right" if name == "GPU-hours" else "left")
    for model in view.campaign.models:
        waited = model.queued(view.at)
        table.add_row(
            model.label,
            str(model.phase),
            duration(waited) if waited >= 1 else "",
            f"{model.gpu_hours(view.at):.2f}",
            style="bold" if view.model is not None and model.model == view.model.model else "dim",
        )
    used, budget = view.campaign.gpu_hours(view.at), view.campaign.limits.budget_hours
    rest = [Text(text) for text in (*view.lines(), f"{used:.2f} of {budget:g} GPU-hours")]
    rest += [Text(f"{one}", "yellow") for one in view.faults]
    rest += [Text(view.note, "red")] if view.note else []
    return Group(table, *rest)
