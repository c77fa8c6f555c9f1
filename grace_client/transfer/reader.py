"""The program in the pod that mounts the claims: `wait` keeps the pod, `serve` lists and transfers files.

``python -m grace_client.transfer.reader wait`` is the Job's own program. It ends when nobody has run another
program in its container for some time: the program below, or the ``tar`` of ``kubectl cp``.

``python -m grace_client.transfer.reader serve`` answers one client over its standard input and output, which
``kubectl exec`` connects. A request is a line of JSON. Paths are relative to the root and never leave it.

``{"op": "list", "pattern": GLOB, "checksums": BOOL}``
    A line ``{"path", "size", "mtime", "sha256", "results"}`` for every file under every match, then ``{}``.
    ``results`` is what a run's manifest says of its tables; null for other files.
``{"op": "get", "files": [[path, size], …]}``
    For each file a line ``{"size"}`` and as many bytes of content, or a line ``{"errno", "error"}``.
``{"op": "put", "path", "size", "mtime", "sha256"}``
    As many bytes of content follow the request. The answer is ``{"ok": BOOL}``.

``mtime`` is in nanoseconds since 1970. A file that has grown since it was listed is sent up to its
listed size: the first part of an append-only file is a valid one.

It uses only the standard library, because it starts in a pod with a fraction of a core.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

PROTOCOL = 2
"""Version of the requests and answers above."""
WRONG_PROTOCOL = 2
"""Exit code of a reader that does not know the client's protocol; argparse gives it in all versions."""
CHUNK = 1 << 18
"""Bytes that are read or written at a time."""
POLL_S = 2.0
"""Seconds between two looks of `wait` for other programs."""
STALLED_S = 120
"""Seconds without a byte moved after which `serve` counts the connection as lost, and ends."""
MANIFEST = "manifest.json"

Json = dict[str, Any]


def inside(root: Path, path: str) -> Path:
    """A path under the root; ValueError for a path that may leave the root."""
    pure = PurePosixPath(path)
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or "\0" in path:
        raise ValueError(f"{path!r} is not a path under the root")
    return root / pure


def files(top: Path) -> Iterator[Path]:
    """Every ordinary file under a folder, or the file itself; hidden files are not complete yet."""
    if top.is_file() and not top.is_symlink():
        yield top
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(folder, name) for name in sorted(names) if not name.startswith(".")):
            if path.is_file() and not path.is_symlink():
                yield path


def part_of(path: Path) -> Path:
    """The path of a file on the claim until it is complete."""
    return path.with_name(f".{path.name}.part")


def blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The next bytes of a file; EOFError if it ends earlier."""
    while size:
        block = file.read(min(CHUNK, size))
        if not block:
            raise EOFError
        size -= len(block)
        yield block


class Server:
    """Answers the requests of one client.

    Parameters
    ----------
    root : Path
        Folder under which all paths are.
    source, sink : binary files
        Requests, and answers.
    alive : callable
        Called whenever data has moved.
    """

    def __init__(
        self, root: Path, source: BinaryIO, sink: BinaryIO, alive: Callable[[], object] = lambda: None
    ) -> None:
        self.root, self.source, self.sink, self.alive = root.absolute(), source, sink, alive

    def serve(self) -> None:
        """Answer until the client closes its end."""
        operations: dict[str, Callable[..., None]]
        operations = {"list": self._list, "get": self._get, "put": self._put}
        while (line := self.source.readline()).endswith(b"\n"):
            self.alive()
            request = json.loads(line)
            try:
                operations[request.pop("op")](**request)
            except EOFError:
                # The client is gone, or a file became shorter while it was sent. The client asks again.
                return
            self.sink.flush()

    def _list(self, pattern: str, checksums: bool) -> None:
        inside(self.root, pattern)
        for path in (file for top in sorted(self.root.glob(pattern)) for file in files(top)):
            # Listing a claim may take longer than a connection may be idle.
            self.alive()
            try:
                self._send(self._entry(path, checksums))
            except FileNotFoundError:
                continue
        self._send({})

    def _entry(self, path: Path, checksums: bool) -> Json:
        found = path.stat()
        sha256 = ""
        try:
            if checksums:
                with path.open("rb") as file:
                    sha256 = self._hash(file, found.st_size)
        except (PermissionError, EOFError):
            # When the client asks for this file, it gets the reason.
            pass
        return {
            "path": path.relative_to(self.root).as_posix(),
            "size": found.st_size,
            "mtime": found.st_mtime_ns,
            "sha256": sha256,
            "results": _results(path) if path.name == MANIFEST else None,
        }

    def _get(self, files: list[tuple[str, int]]) -> None:
        for path, size in files:
            try:
                file = inside(self.root, path).open("rb")
            except OSError as error:
                self._send({"errno": error.errno, "error": error.strerror})
                continue
            with file:
                size = min(size, os.fstat(file.fileno()).st_size)
                self._send({"size": size})
                for block in blocks(file, size):
                    self.sink.write(block)
                    self.alive()

    def _put(self, path: str, size: int, mtime: int, sha256: str) -> None:
        target = inside(self.root, path)
        part = part_of(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            ok = self._hash(self.source, size, file.write) == sha256
        if ok:
            os.utime(part, ns=(mtime, mtime))
            part.replace(target)
        else:
            part.unlink()
        self._send({"ok": ok})

    def _hash(self, file: BinaryIO, size: int, use: Callable[[bytes], object] = lambda _: None) -> str:
        digest = hashlib.sha256()
        for block in blocks(file, size):
            use(block)
            digest.update(block)
            self.alive()
        return digest.hexdigest()

    def _send(self, answer: Json) -> None:
        self.sink.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")


def _results(manifest: Path) -> Json:
    """What a run's manifest says of its tables; empty if it has none yet."""
    try:
        results = json.loads(manifest.read_bytes())["results"]
    except (PermissionError, ValueError, KeyError, TypeError):
        return {}
    return results if isinstance(results, dict) else {}


def others() -> bool:
    """Whether any other program runs in this container."""
    return any(path.name.isdigit() and int(path.name) != os.getpid() for path in Path("/proc").iterdir())


def wait(
    idle: float,
    *,
    busy: Callable[[], bool],
    stopped: Callable[[float], bool],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Return after `idle` seconds without another program, or at once after a request to stop.

    Parameters
    ----------
    idle : float
        Longest time without another program, in seconds.
    busy : callable
        Whether another program runs now.
    stopped : callable
        Waits for at most the given number of seconds; returns whether there was a request to stop.
    clock : callable
        Monotonic clock, in seconds.
    """
    last = clock()
    while clock() - last < idle:
        if stopped(POLL_S):
            return
        if busy():
            last = clock()


def main() -> None:
    """Run `wait` or `serve`."""
    parser = argparse.ArgumentParser(prog="grace_client.transfer.reader", description=__doc__.split("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("wait").add_argument("--idle", type=float, required=True, help="seconds")
    serving = verbs.add_parser("serve")
    serving.add_argument("--protocol", type=int, choices=[PROTOCOL], required=True)
    serving.add_argument("--root", type=Path, default=Path("/"))
    given = parser.parse_args()
    if given.verb == "serve":
        # A connection that broke on the way may leave a write that never ends; the alarm ends the program.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        Server(given.root, sys.stdin.buffer, sys.stdout.buffer, lambda: signal.alarm(STALLED_S)).serve()
        return
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    wait(given.idle, busy=others, stopped=lambda seconds: signal.sigtimedwait(ends, seconds) is not None)


if __name__ == "__main__":
    main()
