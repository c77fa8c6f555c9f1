"""Programs of other people, run so that none outlives its caller."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

GRACE_S = 10
"""Seconds that a program has to end when it is told to."""
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


@asynccontextmanager
async def started(command: Sequence[str], *, stdin: int = DEVNULL) -> AsyncIterator[Process]:
    """A running program with pipes for its output; leaving the block, however it is left, ends it.

    It has a session of its own: a Ctrl-C on the terminal reaches only grace, which decides what ends when.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=stdin, stdout=PIPE, stderr=PIPE, limit=BUFFER, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            await _end(process)


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(GRACE_S):
            await process.communicate()
    except TimeoutError:
        await _kill(process)
    except asyncio.CancelledError:
        # Whoever waits here is told a second time to stop.
        await _kill(process)
        raise


async def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.communicate()


async def run(command: Sequence[str], *, stdin: bytes | None = None, timeout: float) -> Done:
    """Run a program to its end; TimeoutError where that takes longer than `timeout` seconds."""
    async with (
        asyncio.timeout(timeout),
        started(command, stdin=DEVNULL if stdin is None else PIPE) as process,
    ):
        out, err = await process.communicate(stdin)
        assert process.returncode is not None
        return Done(process.returncode, out, err)
