"""The signals that ask a command to end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from grace_client.cli._output import say
from grace_client.core.errors import ExitCode

if TYPE_CHECKING:
    from grace_client.engines.base import Engine

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Ctrl-C (SIGINT), `kill` and Kubernetes (SIGTERM), a closed terminal or a lost ssh connection (SIGHUP)."""


def on_stop(stop: Callable[[], object]) -> None:
    """Call `stop` in the running event loop each time a signal asks this process to end.

    SIGHUP stays ignored if it is ignored already: `nohup` does that so that the command continues.
    """
    for number in STOP_SIGNALS:
        if number.name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
            continue
        asyncio.get_running_loop().add_signal_handler(number, stop)


async def unless(stop: asyncio.Event, connecting: Coroutine[Any, Any, Engine]) -> Engine | None:
    """The engine, or None if the user stopped first: a server may need hours until it is ready."""
    stopped, engine = asyncio.create_task(stop.wait()), asyncio.create_task(connecting)
    await asyncio.wait({stopped, engine}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if engine.done():
        return engine.result()
    engine.cancel()
    with suppress(asyncio.CancelledError):
        await engine
    return None


def stop_event() -> asyncio.Event:
    """An event that the first signal to end sets. A second signal ends the process at once."""
    stop = asyncio.Event()

    def stopping() -> None:
        if stop.is_set():
            # Every answer is on disk already. Only the cursor may be hidden.
            sys.stderr.write("\x1b[?25h" if sys.stderr.isatty() else "")
            os._exit(ExitCode.UNREACHABLE)
        stop.set()
        say("Stopping: grace waits for the questions in flight. Press Ctrl-C again to end at once")

    on_stop(stopping)
    return stop
