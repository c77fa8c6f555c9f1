"""The client's side of `reader`: which files to ask for, and bringing each home whole."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import shutil
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from grace_client.core.errors import ReleaseError
from grace_client.transfer.reader import CHUNK, hashed, inside, part_of

BATCH = 200
"""Files that are asked for at a time; the next batch is under way while one arrives."""
SMALL = 1 << 22
"""Bytes that may be hashed without letting others work meanwhile."""

Json = dict[str, Any]


class LostError(ReleaseError):
    """The connection ended before the transfer did; `why` is what kubectl printed about it."""

    code = "connection-lost"

    def __init__(self, why: str = "") -> None:
        lost = "the connection to the pod was lost; the same command continues where it stopped"
        super().__init__(f"{lost}\n{why}".strip(), retryable=True)


class DamagedError(ReleaseError):
    """What arrived is not what was sent."""

    code = "transfer-damaged"

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} arrived with another checksum than it was sent with", retryable=True)


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
    results : dict or None
        Of a run's manifest, what it says of the tables; empty while there are none.
    """

    path: str
    size: int
    mtime: int
    results: Json | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is.

    Attributes
    ----------
    files, of_files : int
        Files done, those that needed nothing included, and all of them.
    bytes, of_bytes : int
        The same in bytes.
    received : int
        Bytes that came over the connection.
    unchanged : int
        Files that needed nothing.
    """

    files: int = 0
    of_files: int = 0
    bytes: int = 0
    of_bytes: int = 0
    received: int = 0
    unchanged: int = 0


@dataclass(slots=True)
class _Offer:
    """What is at home of a file: the beginning of it, one hopes."""

    target: Path
    source: Path | None = None
    length: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)


@dataclass(slots=True)
class Channel:
    """A connection to a `reader.Server`."""

    source: StreamReader
    sink: StreamWriter

    async def list(self, pattern: str) -> list[Entry]:
        """Every file under what a pattern matches, in the order of paths."""
        await self._send({"op": "list", "path": pattern})
        found = []
        while "end" not in (line := await self._line()):
            found.append(Entry(**line))
        return found

    async def get(
        self,
        entries: Sequence[Entry],
        place: Callable[[str], Path],
        on_progress: Callable[[Progress], None] = lambda _: None,
        doubtful: Container[Path] = (),
    ) -> Progress:
        """Bring files home: what is missing or has changed, each from where it broke off.

        A file of equal size and time of writing counts as unchanged, unless it is doubtful.

        Parameters
        ----------
        entries : sequence of Entry
            Which.
        place : callable
            From a path on the claim to the path at home.
        on_progress : callable
            Told after every file, and while a large one arrives.
        doubtful : container of Path
            Files at home whose content must be compared.

        Returns
        -------
        Progress
            Files that are gone since they were listed are not among `files`.

        Raises
        ------
        LostError
            When the connection ends before.
        DamagedError
            Where a file's checksum is not that with which it was sent; what arrived of it is dropped.
        """
        here = _Home()
        missing, same, bytes_of_same = [], 0, 0
        for entry in entries:
            target = place(entry.path)
            if here.may_have(target) and target not in doubtful and _unchanged(entry, target):
                same += 1
                bytes_of_same += entry.size
            else:
                missing.append((entry, target))
        whole = sum(entry.size for entry in entries)
        done = Progress(same, len(entries), bytes_of_same, whole, unchanged=same)
        on_progress(done)
        batches: asyncio.Queue[list[tuple[Entry, _Offer]] | None] = asyncio.Queue()

        async def ask() -> None:
            try:
                for start in range(0, len(missing), BATCH):
                    batch = [
                        (entry, await _offer(here, target))
                        for entry, target in missing[start : start + BATCH]
                    ]
                    asked = [[entry.path, offer.length, offer.digest.hexdigest()] for entry, offer in batch]
                    await self._send({"op": "get", "files": asked})
                    batches.put_nowait(batch)
            finally:
                batches.put_nowait(None)

        asking = asyncio.create_task(ask())
        try:
            while batch := await batches.get():
                for entry, offer in batch:
                    done = await self._receive(entry, offer, here, done, on_progress)
            await asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        return done

    async def put(self, file: Path, path: str) -> int:
        """Send a file; returns how many bytes were sent, since what is there already is not.

        Raises
        ------
        LostError, DamagedError
            As `get`.
        """
        told = file.stat()
        await self._send({"op": "put", "path": path, "mtime": told.st_mtime_ns})
        there = await self._line()
        with file.open("rb") as content:
            digest = await _hash(content, there["have"])
            start = there["have"]
            if digest.hexdigest() != there["sha256"] or start > told.st_size:
                content.seek(0)
                digest, start = hashlib.sha256(), 0
            await self._send({"from": start})
            sent = 0
            while block := content.read(CHUNK):
                digest.update(block)
                sent += len(block)
                await self._write(len(block).to_bytes(4, "big") + block)
        await self._write(bytes(4))
        await self._send({"sha256": digest.hexdigest()})
        if not (await self._line()).get("ok"):
            raise DamagedError(path)
        return sent

    async def _receive(
        self,
        entry: Entry,
        offer: _Offer,
        here: _Home,
        done: Progress,
        on_progress: Callable[[Progress], None],
    ) -> Progress:
        head = await self._line()
        assert head["path"] == entry.path, f"{head['path']} came for {entry.path}"
        if head.get("errno") == errno.ENOENT:
            return done
        if "error" in head:
            raise ReleaseError(
                f"{entry.path} on the claim cannot be read: {head['error']}. Its owner must let the pod's "
                "user read it; --runs can leave its run out"
            )
        here.make_room(offer.target)
        part = part_of(offer.target)
        start, received = head["from"], 0
        if not start and head["size"] <= CHUNK:
            received = await self._receive_small(entry, head["mtime"], part)
        else:
            received = await self._receive_large(entry, offer, head, part, done, on_progress)
        part.replace(offer.target)
        done = replace(
            done, files=done.files + 1, bytes=done.bytes + entry.size, received=done.received + received
        )
        on_progress(done)
        return done

    async def _receive_small(self, entry: Entry, mtime: int, part: Path) -> int:
        """A file that is written at once; of each of very many, every call of the system counts."""
        content = b"".join([frame async for frame in self._frames()])
        told = await self._line()
        if told.get("sha256") != hashlib.sha256(content).hexdigest():
            part.unlink(missing_ok=True)
            raise DamagedError(entry.path)
        with part.open("wb", buffering=0) as file:
            left = memoryview(content)
            while left:
                left = left[file.write(left) :]
            os.utime(file.fileno(), ns=(mtime, mtime))
        return len(content)

    async def _receive_large(
        self,
        entry: Entry,
        offer: _Offer,
        head: Json,
        part: Path,
        done: Progress,
        on_progress: Callable[[Progress], None],
    ) -> int:
        """A file that is written as it arrives, and goes on where it broke off."""
        start, received = head["from"], 0
        digest = offer.digest if start else hashlib.sha256()
        if start and offer.source != part:
            assert offer.source is not None
            await asyncio.to_thread(shutil.copyfile, offer.source, part)
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            async for frame in self._frames():
                file.write(frame)
                digest.update(frame)
                received += len(frame)
                if received > SMALL:
                    on_progress(
                        replace(done, bytes=done.bytes + start + received, received=done.received + received)
                    )
        told = await self._line()
        if told.get("sha256") != digest.hexdigest():
            part.unlink()
            raise DamagedError(entry.path)
        os.utime(part, ns=(head["mtime"], head["mtime"]))
        return received

    async def _frames(self) -> AsyncIterator[bytes]:
        while length := int.from_bytes(await self._exactly(4), "big"):
            yield await self._exactly(length)

    async def _exactly(self, length: int) -> bytes:
        try:
            return await self.source.readexactly(length)
        except (IncompleteReadError, ConnectionError):
            self._lost()

    async def _line(self) -> Json:
        try:
            line = await self.source.readuntil()
        except (IncompleteReadError, ConnectionError):
            self._lost()
        return dict(json.loads(line))

    async def _send(self, request: Json) -> None:
        await self._write(json.dumps(request, separators=(",", ":")).encode() + b"\n")

    async def _write(self, data: bytes) -> None:
        try:
            self.sink.write(data)
            await self.sink.drain()
        except (ConnectionError, RuntimeError):
            self._lost()

    def _lost(self) -> NoReturn:
        raise LostError from None


def home(to: Path, top: str) -> Callable[[str], Path]:
    """Where a path on a claim lies at home: under `to`, without the claim's own folder `top`."""
    folders: dict[str, Path] = {}

    def place(path: str) -> Path:
        inner = path.removeprefix(f"{top}/")
        above, _, name = inner.rpartition("/")
        if not above or name in ("", ".", "..") or "\0" in name:
            return inside(to, inner)
        # There are many more files than folders.
        if above not in folders:
            folders[above] = inside(to, above)
        return folders[above] / name

    return place


class _Home:
    """Which files are at home. A folder is looked at once, which is much less than to ask for each file."""

    def __init__(self) -> None:
        self._names: dict[Path, frozenset[str]] = {}
        self._made: set[Path] = set()

    def may_have(self, path: Path) -> bool:
        """Whether a file was there when its folder was looked at."""
        folder = path.parent
        if folder not in self._names:
            try:
                with os.scandir(folder) as found:
                    self._names[folder] = frozenset(one.name for one in found)
            except OSError:
                self._names[folder] = frozenset()
        return path.name in self._names[folder]

    def make_room(self, path: Path) -> None:
        """Make the folder of a file."""
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)


def _unchanged(entry: Entry, target: Path) -> bool:
    try:
        told = target.stat()
    except OSError:
        return False
    return (told.st_size, told.st_mtime_ns) == (entry.size, entry.mtime)


async def _offer(here: _Home, target: Path) -> _Offer:
    """The file's own beginning from an earlier attempt, else what is there under its name."""
    for source in part_of(target), target:
        if not here.may_have(source):
            continue
        try:
            with source.open("rb") as file:
                length = os.fstat(file.fileno()).st_size
                if length:
                    return _Offer(target, source, length, await _hash(file, length))
        except OSError:
            continue
    return _Offer(target)


async def _hash(file: Any, length: int) -> hashlib._Hash:
    if length < SMALL:
        return hashed(file, length)
    return await asyncio.to_thread(hashed, file, length)
