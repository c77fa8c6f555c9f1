"""The signals that ask a command to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

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
