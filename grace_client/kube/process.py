"""Programs of other people, run so that none outlives its caller."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, PIPE, Process, SubprocessStreamProtocol
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

GRACE_S = 10
"""Seconds that a program has to end when it is told to."""
KILLED_S = 5
"""Seconds to wait for the end of one that was killed; the system may keep it for longer."""
LINGER_S = 2
"""Seconds that the output of a program that has ended may stay open, held by one that it started."""
BUFFER = 1 << 20
"""Bytes that wait in memory between a program and its reader."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended.

    Attributes
    ----------
    code : int
        Exit code.
    out, err : bytes
        What it printed.
    """

    code: int
    out: bytes
    err: bytes


class _Protocol(SubprocessStreamProtocol):
    """Knows of the program's own end. `Process.wait` waits for its pipes too, which others may hold open."""

    def __init__(self) -> None:
        super().__init__(limit=BUFFER, loop=asyncio.get_running_loop())
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


class Running(Process):
    """A program that was started; `ended` waits for it alone, and not for what it started in its turn."""

    _protocol: _Protocol

    async def ended(self) -> int:
        """Its exit code, as soon as it has ended."""
        await self._protocol.exited.wait()
        assert self.returncode is not None
        return self.returncode


@asynccontextmanager
async def started(command: Sequence[str], *, stdin: int = DEVNULL) -> AsyncIterator[Running]:
    """A running program with pipes for its output; leaving the block, however it is left, ends it.

    It has a session of its own: a Ctrl-C on the terminal reaches only grace, which decides what ends when.
    """
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(
        _Protocol, *command, stdin=stdin, stdout=PIPE, stderr=PIPE, start_new_session=True
    )
    process = Running(transport, protocol, loop)
    try:
        yield process
    finally:
        try:
            if process.returncode is None:
                await _end(process)
        finally:
            # Whoever still holds the other end of a pipe is not waited for.
            transport.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(KILLED_S):
                    await process.wait()


async def _end(process: Running) -> None:
    """Tell a program and all that it started to end, and see to it."""
    # It may have a last word to say, and none to say it to must not be why it dies.
    last_words = [
        asyncio.create_task(_collect(stream, None)) for stream in (process.stdout, process.stderr) if stream
    ]
    try:
        _signal(process, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await process.ended()
    finally:
        # Also where whoever waits here is told a second time to stop.
        _signal(process, signal.SIGKILL)
        for task in last_words:
            task.cancel()
        await asyncio.gather(*last_words, return_exceptions=True)


def _signal(process: Running, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


async def _collect(stream: StreamReader, into: bytearray | None) -> None:
    while block := await stream.read(BUFFER):
        if into is not None:
            into += block


async def _feed(stream: StreamWriter, data: bytes) -> None:
    # A program need not read all that it is given.
    with suppress(ConnectionError):
        stream.write(data)
        await stream.drain()
    with suppress(ConnectionError):
        stream.close()
        await stream.wait_closed()


async def run(command: Sequence[str], *, stdin: bytes | None = None, timeout: float) -> Done:
    """Run a program to its end; TimeoutError where that takes longer than `timeout` seconds."""
    out, err = bytearray(), bytearray()
    async with (
        asyncio.timeout(timeout),
        started(command, stdin=DEVNULL if stdin is None else PIPE) as process,
    ):
        assert process.stdout and process.stderr
        moving = [
            asyncio.create_task(_collect(process.stdout, out)),
            asyncio.create_task(_collect(process.stderr, err)),
        ]
        if stdin is not None:
            assert process.stdin
            moving.append(asyncio.create_task(_feed(process.stdin, stdin)))
        try:
            code = await process.ended()
            await asyncio.wait(moving, timeout=LINGER_S)
        finally:
            for task in moving:
                task.cancel()
            await asyncio.gather(*moving, return_exceptions=True)
    return Done(code, bytes(out), bytes(err))
