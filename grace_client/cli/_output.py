"""Output of the command line: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from grace_client.core.errors import GraceError
from grace_client.core.progress import JSON, VARIABLE, Progress, ProgressLine

PLAIN_SECONDS = 10.0
"""Seconds between two lines of progress if stderr is not a terminal."""


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
"""The option of every command that prints results."""

OUTPUT = "the output"
"""The name of stdout in messages."""


class _Results(io.FileIO):
    """Stdout that ignores a reader that has gone. Other errors, such as a full disk, are raised."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            # The reader of the pipe has ended, or the terminal was closed.
            if error.errno in (errno.EPIPE, errno.EIO, errno.ENXIO):
                return len(data)
            raise OSError(error.errno, error.strerror, OUTPUT) from None


class _Messages(io.FileIO):
    """Stderr that ignores every error: a message that cannot be printed must not end the command."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def outlive_readers() -> None:
    """Let this process continue when nobody reads its output any more.

    Ctrl-C in ``grace … | tee log`` ends tee first. grace must still clean up and return the right exit code.
    """
    sys.stdout = _outliving(sys.stdout, _Results)
    sys.stderr = _outliving(sys.stderr, _Messages)


def _outliving(stream: TextIO | None, kind: type[io.FileIO]) -> TextIO:
    if stream is None:
        # The stream was closed before this process began.
        return Path(os.devnull).open("w", encoding="utf-8")
    buffer = getattr(stream, "buffer", None)
    if type(getattr(buffer, "raw", buffer)) is not io.FileIO:
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(kind(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        # A character that the terminal cannot show must not end the command.
        errors="backslashreplace",
        line_buffering=getattr(stream, "line_buffering", False),
        write_through=getattr(stream, "write_through", False),
    )


def say(message: str) -> None:
    """Print one line on stderr. It raises no error if nobody reads stderr any more."""
    with suppress(OSError):
        print(message, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_error(error: GraceError, *, as_json: bool) -> None:
    """Print an error: as JSON on stdout, or as one message on stderr."""
    if as_json:
        print_json(error.data())
    else:
        say(f"grace: {error}")


def probability(value: float, places: int = 6) -> str:
    """A probability with `places` decimal places; a very small one with two significant digits."""
    if 0 < value < 10 * 10**-places:
        return f"{value:.2g}"
    return f"{value:.{places}f}"


def duration(seconds: float) -> str:
    """A duration for people, such as ``1 h 02 min``, ``3 min 05 s`` or ``12 s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


@contextmanager
def progress(label: str, *, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Show progress on stderr: nothing if quiet, a bar on a terminal, a line every few seconds elsewhere.

    The line is a sentence, or JSON if the environment variable asks for JSON (see `core.progress`).
    """
    if quiet:
        yield lambda _: None
    elif os.environ.get(VARIABLE) == JSON:
        yield _lines(lambda state: ProgressLine.of(label, state).to_line())
    elif sys.stderr.isatty():
        with _bar(label) as show:
            yield show
    else:
        yield _lines(lambda state: _sentence(label, state))


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


def _lines(text: Callable[[Progress], str]) -> Callable[[Progress], None]:
    """A function that prints the first and the last state, and one every `PLAIN_SECONDS` in between."""
    last = -math.inf

    def show(state: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PLAIN_SECONDS or state.done >= state.total:
            last = now
            say(text(state))

    return show


def _sentence(label: str, state: Progress) -> str:
    left = state.seconds_left
    return (
        f"{label}: {state.done} of {state.total}"
        + (f", {state.failed} failed" if state.failed else "")
        + ("" if left is None else f", {duration(left)} left")
    )
