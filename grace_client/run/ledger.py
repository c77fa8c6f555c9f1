"""The append-only record of every answer. Users read "record"; in the code and on disk it is the ledger.

The ledger is a folder of segments. Each process that works on the run writes a segment of its own. A line is
a JSON object with a checksum of its own bytes::

    {"crc32":"5f0e8a11","key":"<32 hex digits>","final":true,"answer":{...}}

The first valid final line of a key counts. A line that is not final is a failure that may pass: it counts
until a final line follows. A last line that a crash cut off does not count, and its question is asked again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import uuid
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from grace_client.run import verify
from grace_client.run.layout import OK, SEGMENTS

SYNC_SECONDS = 5.0
"""Seconds between two flushes to the disk. Every line reaches the operating system at once."""

MOST_READERS = 64
"""Segments that are open for reading at the same time. A run may have more than a process may open."""

_CRC = slice(10, 18)
_BODY = 20
_KEY = slice(27, 59)
# An answer's status comes first in its line.
_LINE = re.compile(
    rb'\{"crc32":"[0-9a-f]{8}",(?:"key":"[0-9a-f]{32}","final":(true|false),"answer"|("session")):\{("status":"ok")?'
)


def key_of(*parts: Any) -> str:
    """The key of a question: a hash of everything that determines its answer, 32 hex digits."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Damage:
    """A line that is damaged.

    Attributes
    ----------
    segment : str
        File name of the segment.
    line : int
        Number of the line, from 1.
    torn : bool
        True if a crash cut off this last line of a segment; False if its bytes have changed.
    """

    segment: str
    line: int
    torn: bool


@dataclass(slots=True)
class Contents:
    """An index of a ledger.

    Attributes
    ----------
    final, provisional : dict of bytes to int
        From a key to the place of its answer: number of the segment and offset in it.
    failed : set of str
        Keys whose final answer is a failure.
    lines : int
        Number of valid lines with answers.
    damage : list of Damage
        Damaged lines; they do not count.
    seconds : float
        Working time of all sessions, each from its start to its last line.
    """

    final: dict[bytes, int] = field(default_factory=dict)
    provisional: dict[bytes, int] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    lines: int = 0
    damage: list[Damage] = field(default_factory=list)
    seconds: float = 0.0


class Ledger:
    """The answers of one run.

    Parameters
    ----------
    folder : Path
        Folder of the segments; the first `append` makes it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.segments = sorted(folder.glob(SEGMENTS))
        self.contents = Contents()
        for number, segment in enumerate(self.segments):
            self._scan(number, segment)
        for key in self.contents.final:
            self.contents.provisional.pop(key, None)
        self._readers: dict[int, BinaryIO] = {}
        self._file: int | None = None
        self._offset = 0
        self._synced = 0.0

    def __contains__(self, key: str) -> bool:
        """Whether the question has its final answer."""
        return bytes.fromhex(key) in self.contents.final

    def get(self, key: str) -> dict[str, Any] | None:
        """The answer to a question: the final one, else its last failure, else None."""
        raw = bytes.fromhex(key)
        place = self.contents.final.get(raw, self.contents.provisional.get(raw))
        if place is None:
            return None
        number = place >> 48
        if number not in self._readers:
            if len(self._readers) == MOST_READERS:
                self._readers.pop(next(iter(self._readers))).close()
            self._readers[number] = self.segments[number].open("rb")
        file = self._readers[number]
        file.seek(place & (1 << 48) - 1)
        answer: dict[str, Any] = json.loads(file.readline())["answer"]
        return answer

    def append(self, key: str, answer: dict[str, Any], *, final: bool) -> None:
        """Write one answer. When this returns, the operating system has it."""
        body = f'"key":"{key}","final":{"true" if final else "false"},"answer":'
        text = json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        place = self._write(f"{body}{text}}}")
        index = self.contents.final if final else self.contents.provisional
        raw = bytes.fromhex(key)
        if not final or raw not in index:
            index[raw] = place
        if final:
            self.contents.provisional.pop(raw, None)
            if index[raw] == place and answer.get("status") != OK:
                self.contents.failed.add(key)
        self.contents.lines += 1

    def close(self) -> None:
        """Flush everything to the disk, and close all files."""
        while self._readers:
            self._readers.popitem()[1].close()
        if self._file is not None:
            file, self._file = self._file, None
            try:
                os.fsync(file)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.segments[-1])) from None
            finally:
                os.close(file)

    def sha256(self) -> str:
        """Hash of all segments, in the order of their names."""
        return verify.sha256(self.segments)

    def _write(self, body: str) -> int:
        """Write a line and return its place: number of the segment and offset in it."""
        if self._file is None:
            self._start()
        raw = body.encode()
        line = b'{"crc32":"%08x",' % zlib.crc32(raw) + raw + b"\n"
        place = len(self.segments) - 1 << 48 | self._offset
        assert self._file is not None
        view = memoryview(line)
        try:
            while view:
                view = view[os.write(self._file, view) :]
            self._offset += len(line)
            now = time.monotonic()
            if now - self._synced > SYNC_SECONDS:
                os.fsync(self._file)
                self._synced = now
        except OSError as error:
            # A full disk may leave a part of a line, which would damage the next line.
            with suppress(OSError):
                os.ftruncate(self._file, self._offset)
            raise OSError(error.errno, error.strerror, str(self.segments[-1])) from None
        return place

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        stamp = datetime.now(UTC)
        segment = self.folder / f"{stamp:%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:8]}.jsonl"
        self._file = os.open(segment, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._offset = 0
        self.segments.append(segment)
        self._write('"session":' + json.dumps({"started": stamp.isoformat()}) + "}")

    def _scan(self, number: int, segment: Path) -> None:
        contents, offset, count = self.contents, 0, 0
        started = segment.stat().st_mtime
        with segment.open("rb") as file:
            for count, line in enumerate(file, start=1):
                place, offset = number << 48 | offset, offset + len(line)
                torn, match = not line.endswith(b"\n"), _LINE.match(line)
                if torn or match is None or line[_CRC] != b"%08x" % zlib.crc32(line[_BODY:-1]):
                    contents.damage.append(Damage(segment.name, count, torn))
                elif match[2]:
                    started = datetime.fromisoformat(json.loads(line)["session"]["started"]).timestamp()
                else:
                    key = bytes.fromhex(line[_KEY].decode())
                    if match[1] == b"true":
                        if contents.final.setdefault(key, place) == place and not match[3]:
                            contents.failed.add(key.hex())
                    else:
                        contents.provisional[key] = place
                    contents.lines += 1
        contents.seconds += max(0.0, segment.stat().st_mtime - started)
