"""The client of `reader`: lists, fetches and uploads files on the claims."""

from __future__ import annotations

import asyncio
import errno
import glob
import hashlib
import json
import os
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grace_client.core import paths
from grace_client.core.errors import ReleaseError
from grace_client.transfer.reader import CHUNK

Json = dict[str, Any]


class LostError(ReleaseError):
    """The connection ended in the middle of an answer."""

    code = "connection-lost"

    def __init__(self) -> None:
        super().__init__(
            "The connection to the pod was lost. Repeat the command: files that arrived are kept",
            retryable=True,
        )


class DamagedError(ReleaseError):
    """A file arrived with another checksum than it was listed with."""

    code = "transfer-damaged"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} arrived with another checksum than it was sent with. Repeat the command", retryable=True
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A file on a claim.

    Attributes
    ----------
    path : str
        Path from the root, such as ``output/study1-exp2/gemma-9b/run/manifest.json``.
    size : int
        Bytes.
    mtime : int
        When it was last written, in nanoseconds since 1970.
    sha256 : str
        Checksum of its content; empty if the list has no checksums, or if the file cannot be read.
    results : dict or None
        What a run's manifest says of its tables, empty if it has none yet; None for other files.
    """

    path: str
    size: int
    mtime: int
    sha256: str = ""
    results: Json | None = None


@dataclass(slots=True)
class TransferProgress:
    """How far a transfer is.

    Attributes
    ----------
    files, of_files : int
        Number of files that are complete on this machine, and of all files.
    bytes, of_bytes : int
        The same in bytes, including the bytes of a file that is still arriving.
    received : int
        Bytes that came over all connections.
    fetched : set of str
        Paths of the files that arrived, over all connections.
    """

    files: int = 0
    of_files: int = 0
    bytes: int = 0
    of_bytes: int = 0
    received: int = 0
    fetched: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Connection:
    """A connection to a `reader.Server`. Every method raises LostError if the connection ends."""

    source: StreamReader
    sink: StreamWriter

    async def list(self, pattern: str, *, checksums: bool) -> list[Entry]:
        """Every file under what a pattern matches, folder by folder."""
        await self._send({"op": "list", "pattern": pattern, "checksums": checksums})
        found = []
        while line := await self._line():
            found.append(Entry(**line))
        return found

    async def get(
        self,
        entries: Sequence[Entry],
        place: Callable[[str], Path],
        progress: TransferProgress,
        on_progress: Callable[[], object] = lambda: None,
    ) -> None:
        """Fetch the files that are missing or differ; each gets its name only when it is complete.

        Parameters
        ----------
        entries : sequence of Entry
            Files on the claim, with checksums.
        place : callable
            From a path on the claim to the path on this machine.
        progress : TransferProgress
            Updated here. Its `files` do not count files that were deleted after they were listed.
        on_progress : callable
            Called after every block.

        Raises
        ------
        DamagedError
            If a file arrives with another checksum than in the list; the file is deleted.
        ReleaseError
            If the pod may not read a file.
        """
        targets = [(entry, place(entry.path)) for entry in entries]
        here = [await asyncio.to_thread(_has, target, entry) for entry, target in targets]
        missing = [pair for pair, has in zip(targets, here, strict=True) if not has]
        progress.files, progress.of_files = len(entries) - len(missing), len(entries)
        progress.of_bytes = sum(entry.size for entry in entries)
        progress.bytes = progress.of_bytes - sum(entry.size for entry, _ in missing)
        on_progress()
        if not missing:
            return
        await self._send({"op": "get", "files": [(entry.path, entry.size) for entry, _ in missing]})
        for entry, target in missing:
            head = await self._line()
            if head.get("errno") == errno.ENOENT:
                continue
            if "errno" in head:
                raise ReleaseError(
                    f"{entry.path} on the claim cannot be read: {head['error']}. Ask its owner to let the "
                    "pod's user read it, or leave its run out with --runs"
                )
            for leftover in target.parent.glob(f".{glob.escape(target.name[:40])}.*"):
                # A killed call left it.
                leftover.unlink(missing_ok=True)
            with paths.replacing(target) as part:
                digest = hashlib.sha256()
                with part.open("wb") as file:
                    async for block in self._content(head["size"]):
                        file.write(block)
                        digest.update(block)
                        progress.bytes += len(block)
                        progress.received += len(block)
                        on_progress()
                if digest.hexdigest() != entry.sha256:
                    raise DamagedError(entry.path)
                os.utime(part, ns=(entry.mtime, entry.mtime))
            progress.files += 1
            progress.fetched.add(entry.path)
            on_progress()

    async def put(self, file: Path, path: str) -> None:
        """Send a file; DamagedError if it arrived with another checksum."""
        content = file.read_bytes()
        head = {"size": len(content), "mtime": file.stat().st_mtime_ns}
        await self._send({"op": "put", "path": path, "sha256": hashlib.sha256(content).hexdigest(), **head})
        await self._write(content)
        if not (await self._line())["ok"]:
            raise DamagedError(path)

    async def _content(self, size: int) -> AsyncIterator[bytes]:
        while size:
            try:
                block = await self.source.readexactly(min(CHUNK, size))
            except (IncompleteReadError, ConnectionError):
                raise LostError from None
            size -= len(block)
            yield block

    async def _line(self) -> Json:
        try:
            return dict(json.loads(await self.source.readuntil()))
        except (IncompleteReadError, ConnectionError):
            raise LostError from None

    async def _send(self, request: Json) -> None:
        await self._write(json.dumps(request, separators=(",", ":")).encode() + b"\n")

    async def _write(self, data: bytes) -> None:
        try:
            self.sink.write(data)
            await self.sink.drain()
        except (ConnectionError, RuntimeError):
            raise LostError from None


def _has(target: Path, entry: Entry) -> bool:
    """Whether this machine has the file already; if so, its mtime becomes that of the file on the claim."""
    try:
        with target.open("rb") as file:
            if os.fstat(file.fileno()).st_size != entry.size:
                return False
            if hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
                return False
        os.utime(target, ns=(entry.mtime, entry.mtime))
    except OSError:
        return False
    return True
