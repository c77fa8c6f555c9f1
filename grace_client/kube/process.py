"""Programs that grace starts (kubectl, helm, a server, `grace run`), each of which ends with its caller.

This is the one place that ends a program: SIGTERM to it and all that it started, time to end, then SIGKILL.
`local.supervise` does the same if a SIGKILL has ended the caller.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, PIPE, Process, SubprocessStreamProtocol
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

GRACE_S = 10.0
"""Seconds that a program has to end after SIGTERM."""
KILLED_S = 5
"""Seconds to wait for the end of a program after SIGKILL; the system may keep it for longer."""
LINGER_S = 2
"""Seconds to wait for the rest of the output of a program that has ended: its children may keep it open."""
BUFFER = 1 << 20
"""Bytes that wait in memory between a program and its reader."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that has ended.

    Attributes
    ----------
    code : int
        Exit code.
    out, err : bytes
        What it wrote to stdout and stderr.
    """

    code: int
    out: bytes
    err: bytes


class _Protocol(SubprocessStreamProtocol):
    """Notes the end of the program itself; `Process.wait` also waits for its pipes, which may stay open."""

    def __init__(self) -> None:
        super().__init__(limit=BUFFER, loop=asyncio.get_running_loop())
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


class Running(Process):
    """A program that was started; `ended` waits for it alone, not for the programs that it started."""

    _protocol: _Protocol

    async def ended(self) -> int:
        """Its exit code, as soon as it has ended."""
        await self._protocol.exited.wait()
        assert self.returncode is not None
        return self.returncode


@asynccontextmanager
async def started(
    command: Sequence[str],
    *,
    stdin: int = DEVNULL,
    stdout: int = PIPE,
    stderr: int = PIPE,
    env: Mapping[str, str] | None = None,
    grace_seconds: float = GRACE_S,
    whole_group: bool = False,
) -> AsyncIterator[Running]:
    """A running program; leaving the block ends it, also after an error.

    It has a session of its own: a Ctrl-C on the terminal reaches only grace, which decides what ends when.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    stdin, stdout, stderr : int
        As `asyncio.create_subprocess_exec` takes them.
    env : mapping or None
        Its environment; None for that of this process.
    grace_seconds : float
        Time between SIGTERM and SIGKILL, in seconds.
    whole_group : bool
        Whether to end also the programs that it started, even if it has ended by itself. False for kubectl: a
        login plugin may leave a helper that the next call needs.
    """
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(
        _Protocol,
        *command,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=env,
        start_new_session=True,
    )
    process = Running(transport, protocol, loop)
    try:
        yield process
    finally:
        try:
            if process.returncode is None:
                await _end(process, grace_seconds)
            elif whole_group:
                _signal(process, signal.SIGKILL)
        finally:
            # Other programs may keep the pipes open; nothing waits for them.
            transport.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(KILLED_S):
                    await process.wait()


async def _end(process: Running, grace_seconds: float) -> None:
    """End a program and all that it started."""
    # A program cannot end while its pipe is full, so its output is read until then.
    readers = [
        asyncio.create_task(_collect(stream, None)) for stream in (process.stdout, process.stderr) if stream
    ]
    try:
        _signal(process, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await process.ended()
    finally:
        # Also if the task that waits here is cancelled a second time.
        _signal(process, signal.SIGKILL)
        for task in readers:
            task.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


def _signal(process: Running, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


async def _collect(stream: StreamReader, into: bytearray | None) -> None:
    while block := await stream.read(BUFFER):
        if into is not None:
            into += block


async def _feed(stream: StreamWriter, data: bytes) -> None:
    # A program need not read all its input.
    with suppress(ConnectionError):
        stream.write(data)
        await stream.drain()
    with suppress(ConnectionError):
        stream.close()
        await stream.wait_closed()


async def run(command: Sequence[str], *, stdin: bytes | None = None, timeout: float) -> Completed:
    """Run a program to its end; TimeoutError after `timeout` seconds."""
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
    return Completed(code, bytes(out), bytes(err))
