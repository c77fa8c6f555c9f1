"""What runs in the pod that reaches the claims: one program waits, another lists, sends and takes files.

``python -m grace_client.transfer.reader wait`` is the Job's own program. It ends when for a while nobody has
run anything else in its container, be it the program below or the ``tar`` of ``kubectl cp``.

``python -m grace_client.transfer.reader serve`` answers one client over its standard input and output, which
``kubectl exec`` connects. A request is a line of JSON. Paths are relative to the root and never leave it.

``{"op": "list", "path": GLOB}``
    A line ``{"path", "size", "mtime"}`` for every file under every match, with ``results`` where it is a
    run's manifest; then ``{"end": N}``.
``{"op": "get", "files": [[path, have, sha256], …]}``
    The client holds `have` bytes with this hash. For each file ``{"path", "size", "mtime", "from"}``, frames,
    and ``{"sha256"}`` of the whole; or ``{"path", "error", "errno"}``.
``{"op": "put", "path", "mtime"}``
    ``{"have", "sha256"}`` of what an earlier attempt left; the client sends ``{"from"}``, frames and
    ``{"sha256"}``; ``{"ok"}`` or ``{"error"}`` follows.

A frame is four bytes of length, highest first, and as many bytes; one of length 0 ends the frames. ``mtime``
is in nanoseconds. A file that grows while it is sent is sent as long as it was at first: a prefix of an
append-only file is a valid one.

Only the standard library: this starts in a pod with a fraction of a core.
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

CHUNK = 1 << 18
"""Bytes of a frame."""
LOOK_S = 2.0
"""How often `wait` looks whether anybody is at work."""
STALLED_S = 120
"""Seconds without a byte moved after which a connection counts as lost."""
MANIFEST = "manifest.json"

Json = dict[str, Any]


def inside(root: Path, path: str) -> Path:
    """A path under the root; ValueError for one that is or may be elsewhere."""
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\0" in path:
        raise ValueError(f"{path!r} is no path under the root")
    return root / pure


def files(top: Path) -> Iterator[str]:
    """Every ordinary file under a folder, in the order of names; a hidden one is work in progress."""
    # Text, since to make a path of each name costs more than to find it.
    if top.is_file() and not top.is_symlink():
        yield str(top)
    yield from _below(str(top))


def _below(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as found:
            entries = sorted((one for one in found if not one.name.startswith(".")), key=lambda one: one.name)
    except OSError:
        # It is no folder, or is gone by now.
        return
    yield from (one.path for one in entries if one.is_file(follow_symlinks=False))
    for one in entries:
        if one.is_dir(follow_symlinks=False):
            yield from _below(one.path)


def part_of(path: Path) -> Path:
    """Where a file grows until it is whole."""
    return path.with_name(f".{path.name}.part")


def hashed(file: BinaryIO, length: int, alive: Callable[[], object] = lambda: None) -> hashlib._Hash:
    """Hash of the next bytes of a file."""
    digest = hashlib.sha256()
    while length and (block := file.read(min(CHUNK, length))):
        digest.update(block)
        length -= len(block)
        alive()
    return digest


class Server:
    """Answers the requests of one client.

    Parameters
    ----------
    root : Path
        Folder under which all paths are.
    source, sink : binary files
        Requests, and answers.
    alive : callable
        Called whenever something has moved.
    """

    def __init__(
        self, root: Path, source: BinaryIO, sink: BinaryIO, alive: Callable[[], object] = lambda: None
    ) -> None:
        self.root, self.source, self.sink, self.alive = root.absolute(), source, sink, alive

    def serve(self) -> None:
        """Answer until the client closes its end."""
        operations = {"list": self._list, "get": self._get, "put": self._put}
        while request := self._receive():
            operations[request["op"]](request)
            self.sink.flush()

    def _list(self, request: Json) -> None:
        count, skip = 0, len(f"{self.root}".rstrip("/")) + 1
        inside(self.root, request["path"])
        for top in sorted(self.root.glob(request["path"])):
            for path in files(top):
                try:
                    told = os.stat(path)  # noqa: PTH116 (a path of each costs more)
                    entry: Json = {"path": path[skip:], "size": told.st_size, "mtime": told.st_mtime_ns}
                    if path.endswith(f"/{MANIFEST}"):
                        entry["results"] = _results(Path(path))
                except FileNotFoundError:
                    continue
                self._send(entry)
                count += 1
                # A claim may take longer to list than a connection may stand still.
                self.alive()
        self._send({"end": count})

    def _get(self, request: Json) -> None:
        for path, have, sha256 in request["files"]:
            try:
                file = inside(self.root, path).open("rb")
            except OSError as error:
                self._send({"path": path, "error": error.strerror, "errno": error.errno})
                continue
            with file:
                self._send_file(file, path, have, sha256)

    def _send_file(self, file: BinaryIO, path: str, have: int, sha256: str) -> None:
        told = os.fstat(file.fileno())
        digest, start = hashlib.sha256(), 0
        if 0 < have <= told.st_size:
            digest, start = hashed(file, have, self.alive), have
            if digest.hexdigest() != sha256:
                digest, start = hashlib.sha256(), 0
                file.seek(0)
        self._send({"path": path, "size": told.st_size, "mtime": told.st_mtime_ns, "from": start})
        left = told.st_size - start
        while left and (block := file.read(min(CHUNK, left))):
            digest.update(block)
            left -= len(block)
            self.sink.write(len(block).to_bytes(4, "big"))
            self.sink.write(block)
            self.alive()
        self.sink.write(bytes(4))
        self._send({"sha256": digest.hexdigest()} if not left else {"error": "it became shorter"})

    def _put(self, request: Json) -> None:
        target = inside(self.root, request["path"])
        part = part_of(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("a+b") as file:
            have = file.tell()
            file.seek(0)
            digest = hashed(file, have, self.alive)
            self._send({"have": have, "sha256": digest.hexdigest()})
            self.sink.flush()
            if (self._receive() or {"from": 0})["from"] != have:
                file.truncate(0)
                digest = hashlib.sha256()
            while length := int.from_bytes(self.source.read(4), "big"):
                block = self.source.read(length)
                file.write(block)
                digest.update(block)
                self.alive()
            told = self._receive()
        if told is None:
            return
        if told["sha256"] != digest.hexdigest():
            part.unlink()
            self._send({"error": "what arrived is not what was sent"})
            return
        os.utime(part, ns=(request["mtime"], request["mtime"]))
        part.replace(target)
        self._send({"ok": True})

    def _receive(self) -> Json | None:
        line = self.source.readline()
        self.alive()
        return dict(json.loads(line)) if line.endswith(b"\n") else None

    def _send(self, answer: Json) -> None:
        self.sink.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")


def _results(manifest: Path) -> Json:
    """What a run's manifest says of its tables; empty while there are none."""
    try:
        results = json.loads(manifest.read_bytes())["results"]
    except (ValueError, KeyError, TypeError):
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
    """Return when for `idle` seconds nobody was at work, or when told to stop.

    Parameters
    ----------
    idle : float
        Seconds.
    busy : callable
        Whether anybody is at work now.
    stopped : callable
        Waits so many seconds at most; whether it was told to stop meanwhile.
    clock : callable
        Seconds that pass.
    """
    last = clock()
    while clock() - last < idle:
        if stopped(LOOK_S):
            return
        if busy():
            last = clock()


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(prog="grace_client.transfer.reader", description=__doc__.split("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("wait").add_argument("--idle", type=float, required=True, help="seconds")
    verbs.add_parser("serve").add_argument("--root", type=Path, default=Path("/"))
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
