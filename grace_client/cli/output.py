"""How the command line speaks: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from grace_client.errors import GraceError

if TYPE_CHECKING:
    from grace_client.runner import Progress

PLAIN_SECONDS = 10.0
"""How often a line of progress appears where there is no terminal."""


def say(message: str) -> None:
    """One line for the person who waits."""
    print(message, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_error(error: GraceError, *, as_json: bool) -> None:
    """An error raised on purpose."""
    if as_json:
        print_json({"error": str(error), "exit_code": int(error.exit_code)})
    else:
        print(f"grace: {error}", file=sys.stderr)


def duration(seconds: float) -> str:
    """Such as ``1 h 02 min``, ``3 min 05 s`` or ``12 s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


@contextmanager
def progress(label: str, *, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Show a run's progress: a bar on a terminal, a line every few seconds elsewhere, nothing if quiet."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bar(label) as show:
            yield show
    else:
        yield _lines(label)


@contextmanager
def _bar(label: str) -> Iterator[Callable[[Progress], None]]:
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeRemainingColumn(),
        rich_progress.TextColumn("{task.fields[failed]}"),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None, failed="")

        def show(state: Progress) -> None:
            failed = f"{state.failed} failed" if state.failed else ""
            bar.update(task, total=state.total, completed=state.done, failed=failed)

        yield show


def _lines(label: str) -> Callable[[Progress], None]:
    last = 0.0

    def show(state: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < PLAIN_SECONDS and state.done < state.total:
            return
        last = now
        rate = state.asked / max(now - state.started, 1e-9)
        left = f", {duration((state.total - state.done) / rate)} left" if rate and state.asked else ""
        failed = f", {state.failed} failed" if state.failed else ""
        say(f"{label}: {state.done} of {state.total}{failed}{left}")

    return show
