"""A program ends with its caller, and so does whatever it started; nobody waits for one that does not."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from grace_client.kube import process

HELPER = """
import os, signal, sys, time
how, note = sys.argv[1:]
if not (helper := os.fork()):
    if how == "apart":
        os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(note + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(note + ".new", note)
    signal.pause()
while not os.path.exists(note):
    time.sleep(0.01)
print("answer", flush=True)
if how != "leaves":
    signal.pause()
"""
"""Like kubectl with a plugin for its credentials: the helper holds both pipes, and does not hear SIGTERM."""


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """Where the helper writes its number."""
    return tmp_path / "pid"


def command(how: str, note: Path) -> list[str]:
    return [sys.executable, "-S", "-c", HELPER, how, str(note)]


def alive(note: Path) -> bool:
    """Whether the helper lives; one that was killed and that nobody has reaped does not."""
    try:
        stat = Path(f"/proc/{note.read_text()}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def gone(note: Path) -> bool:
    """Whether the helper is gone within a second: a kill is not at once."""
    until = time.monotonic() + 1
    while alive(note) and time.monotonic() < until:
        time.sleep(0.01)
    return not alive(note)


def test_a_timeout_ends_what_the_program_started(note: Path) -> None:
    """In the time that it names, and not when the helper lets go of the pipes."""
    with pytest.raises(TimeoutError):
        asyncio.run(process.run(command("stays", note), timeout=1))
    assert gone(note)


def test_a_helper_out_of_reach_is_not_waited_for(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a session of its own it survives, holding the pipes."""
    monkeypatch.setattr(process, "GRACE_S", 0.2)
    began = time.monotonic()
    try:
        with pytest.raises(TimeoutError):
            asyncio.run(process.run(command("apart", note), timeout=1))
        assert time.monotonic() - began < 4
        assert alive(note)
    finally:
        os.kill(int(note.read_text()), 9)


def test_an_answer_does_not_wait_for_a_helper_that_stays(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program has ended; what it printed is all there."""
    monkeypatch.setattr(process, "LINGER_S", 0.1)
    try:
        done = asyncio.run(process.run(command("leaves", note), timeout=20))
        assert done == process.Completed(0, b"answer\n", b"")
        assert alive(note)
    finally:
        os.kill(int(note.read_text()), 9)


def test_a_second_cancellation_kills(note: Path) -> None:
    """Whoever waits for a program that does not hear does not wait long."""

    async def stopped() -> None:
        task = asyncio.create_task(process.run(command("stays", note), timeout=60))
        while not note.exists():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # the helper may be faster than the call that starts it
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    began = time.monotonic()
    asyncio.run(stopped())
    assert gone(note) and time.monotonic() - began < process.GRACE_S


def test_what_is_given_need_not_be_read() -> None:
    """A program that ends before it has read all is judged by its exit code."""
    given = b"x" * 2_000_000
    done = asyncio.run(
        process.run([sys.executable, "-S", "-c", "raise SystemExit(3)"], stdin=given, timeout=20)
    )
    assert done == process.Completed(3, b"", b"")
    count = "import sys; print(len(sys.stdin.buffer.read()))"
    done = asyncio.run(process.run([sys.executable, "-S", "-c", count], stdin=given, timeout=20))
    assert done == process.Completed(0, b"2000000\n", b"")
