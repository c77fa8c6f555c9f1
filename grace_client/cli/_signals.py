"""The signals that ask a command to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Ctrl-C; what `kill` and a cluster send; and what a closed terminal or a lost ssh leaves behind."""


def on_stop(asked: Callable[[], object]) -> None:
    """Have the running event loop call something each time this process is asked to end.

    Where SIGHUP is ignored, as under nohup, it stays so: whoever began the command means it to go on.
    """
    for number in STOP_SIGNALS:
        if number.name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
            continue
        asyncio.get_running_loop().add_signal_handler(number, asked)
