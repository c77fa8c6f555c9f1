"""A closed terminal ends a command as Ctrl-C does, unless it was begun under nohup."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from grace_client.cli._signals import STOP_SIGNALS, on_stop


async def heard(number: signal.Signals, *, times: int = 1) -> int:
    """How often a signal calls what is to be called."""
    calls = 0

    def asked() -> None:
        nonlocal calls
        calls += 1

    on_stop(asked)
    for _ in range(times):
        os.kill(os.getpid(), number)
        # The loop hears of it through a pipe.
        for _ in range(3):
            await asyncio.sleep(0)
    return calls


@pytest.mark.usefixtures("a_terminal")
@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_each_is_heard_each_time(number: signal.Signals) -> None:
    """By name; what a second one means is the command's own business."""
    assert asyncio.run(heard(number, times=2)) == 2


def test_what_nohup_ignores_stays_ignored() -> None:
    """Of the others, an ignored Ctrl-C is heard: a shell ignores it for whatever it runs beside itself."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert asyncio.run(heard(signal.SIGHUP)) == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert asyncio.run(heard(signal.SIGINT)) == 1
    finally:
        signal.signal(signal.SIGINT, before)
