"""Files arrive whole, whatever breaks on the way, and a file that has arrived is not sent again."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import random
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grace_client.transfer import reader
from grace_client.transfer.connection import Connection, DamagedError, Entry, LostError, TransferProgress

# Few beginnings and many lengths: often one file is the first part of another.
CONTENTS = st.builds(
    lambda seed, size: random.Random(seed).randbytes(size),
    st.integers(0, 2),
    st.sampled_from([0, 1, 100, reader.CHUNK, 3 * reader.CHUNK // 2]),
)
NAMES = st.text(alphabet="abc-_ é\n", min_size=1, max_size=4).filter(lambda name: name.strip() == name)
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join),
    CONTENTS,
    max_size=6,
).filter(lambda tree: not any(a != b and (b + "/").startswith(a + "/") for a in tree for b in tree))


class Cut:
    """A sink whose reader goes away after some bytes."""

    def __init__(self, file: object, after: int | None) -> None:
        self.file, self.left = file, after

    def write(self, data: bytes) -> None:
        if self.left is not None:
            data, self.left = data[: self.left], self.left - len(data)
        self.file.write(data)  # type: ignore[attr-defined]
        if self.left is not None and self.left <= 0:
            raise BrokenPipeError

    def flush(self) -> None:
        self.file.flush()  # type: ignore[attr-defined]


@asynccontextmanager
async def connected(root: Path, cut: int | None = None) -> AsyncIterator[Connection]:
    """A connection to a server in a thread; its answers break off after `cut` bytes."""
    requests, answers = os.pipe(), os.pipe()

    def serve() -> None:
        ends = os.fdopen(requests[0], "rb"), os.fdopen(answers[1], "wb")
        with ends[0] as source, ends[1] as sink, suppress(BrokenPipeError):
            reader.Server(root, source, Cut(sink, cut)).serve()  # type: ignore[arg-type]

    thread = threading.Thread(target=serve)
    thread.start()
    loop = asyncio.get_running_loop()
    stream = asyncio.StreamReader(limit=1 << 20)
    source, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(answers[0], "rb")
    )
    flow, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(requests[1], "wb")
    )
    try:
        yield Connection(stream, asyncio.StreamWriter(flow, protocol, None, loop))
    finally:
        flow.close()
        await asyncio.to_thread(thread.join)
        source.close()


def write(root: Path, tree: dict[str, bytes]) -> None:
    for name, content in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read(root: Path) -> dict[str, bytes]:
    """Every file that is not hidden."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in reader.files(root)}


async def get(connection: Connection, entries: list[Entry], to: Path) -> TransferProgress:
    progress = TransferProgress()
    await connection.get(entries, lambda path: to / Path(path).relative_to("output"), progress)
    return progress


async def bring(root: Path, to: Path, cut: int | None = None) -> TransferProgress:
    async with connected(root, cut) as connection:
        return await get(connection, await connection.list("output", checksums=True), to)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "there" / "output").mkdir(parents=True)
    return tmp_path / "there", tmp_path / "home"


@settings(max_examples=15, deadline=None)
@given(TREES, TREES, st.lists(st.integers(1, 300_000), max_size=3))
def test_what_is_on_the_claim_arrives(
    tree: dict[str, bytes], older: dict[str, bytes], cuts: list[int]
) -> None:
    """However often the connection breaks, whatever was there before; and then nothing more is sent."""
    with tempfile.TemporaryDirectory() as folder:
        there, to = Path(folder, "there"), Path(folder, "home")
        write(there / "output", {"x": b""} | tree)
        write(to, {name: content for name, content in older.items() if name in tree})
        before = read(to)
        for cut in cuts:
            with suppress(LostError):
                asyncio.run(bring(there, to, cut))
            for name, content in read(to).items():
                # A name stands for a whole file: the old one or the new one.
                assert content in (tree.get(name), before.get(name), b"" if name == "x" else None)
        asyncio.run(bring(there, to))
        assert read(to) == read(there / "output")
        assert not list(to.rglob(".*"))
        again = asyncio.run(bring(there, to))
        assert (again.received, again.fetched, again.files) == (0, set(), again.of_files)


def test_a_file_that_arrived_is_not_sent_again(places: tuple[Path, Path]) -> None:
    """After a break only the missing files are sent; what a killed call left is deleted."""
    there, to = places
    write(there, {f"output/{name}": os.urandom(1_000_000) for name in "abc"})
    with pytest.raises(LostError):
        asyncio.run(bring(there, to, 1_500_000))
    assert set(read(to)) == {"a"}
    write(to, {".b.killed": b"half"})
    done = asyncio.run(bring(there, to))
    assert (done.received, done.fetched) == (2_000_000, {"output/b", "output/c"})
    assert not list(to.rglob(".*"))


def test_content_decides_and_not_size_or_time(places: tuple[Path, Path]) -> None:
    """An equal file of another time is not sent and takes the time of the one on the claim; a corrupted file
    of equal size and time is sent.
    """
    there, to = places
    write(there, {"output/a": b"same", "output/b": b"right"})
    write(to, {"a": b"same", "b": b"wrong"})
    found = (there / "output/b").stat()
    os.utime(to / "a", (1, 1))
    os.utime(to / "b", ns=(found.st_mtime_ns, found.st_mtime_ns))
    assert asyncio.run(bring(there, to)).fetched == {"output/b"}
    assert read(to) == {"a": b"same", "b": b"right"}
    assert (to / "a").stat().st_mtime_ns == (there / "output/a").stat().st_mtime_ns


def test_what_arrives_damaged_is_deleted(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that names the file, and nothing under its name."""
    there, to = places
    write(there, {"output/a": b"content"})

    async def damaged() -> None:
        async with connected(there) as connection:
            entries = await connection.list("output", checksums=True)
            exactly = connection.source.readexactly

            async def flipped(size: int) -> bytes:
                return (await exactly(size))[:-1] + b"!"

            monkeypatch.setattr(connection.source, "readexactly", flipped)
            await get(connection, entries, to)

    with pytest.raises(DamagedError, match="output/a"):
        asyncio.run(damaged())
    assert list(to.iterdir()) == []


def test_files_that_change_after_the_listing(places: tuple[Path, Path]) -> None:
    """A deleted file is left out, of a grown one the listed part arrives, a shorter one is not taken."""
    there, to = places
    write(there, {"output/a": b"a", "output/b": b"b", "output/c": b"long"})

    async def changing() -> TransferProgress:
        async with connected(there) as connection:
            entries = await connection.list("output", checksums=True)
            (there / "output/a").unlink()
            write(there, {"output/b": b"b and more", "output/c": b"l"})
            done = await get(connection, entries[:2], to)
            with pytest.raises(DamagedError):
                await get(connection, entries[2:], to)
            return done

    done = asyncio.run(changing())
    assert (done.files, done.of_files) == (1, 2)
    assert read(to) == {"b": b"b"}


def test_a_listing_tells_of_runs_and_hides_work_in_progress(places: tuple[Path, Path]) -> None:
    """Wildcards choose; hidden files and links are not results."""
    there, _ = places
    run = "output/study1-exp2/fake/run"
    write(there, {f"{run}/manifest.json": b'{"results": {"trials": 3}}', f"{run}/.t.csv.x": b"half"})
    write(there, {"output/study1-exp2/other/run/manifest.json": b"no JSON"})
    (there / run / "link").symlink_to("/etc/passwd")

    async def listed(pattern: str) -> list[tuple[str, object]]:
        async with connected(there) as connection:
            found = await connection.list(pattern, checksums=False)
            return [(entry.path, entry.results) for entry in found]

    assert asyncio.run(listed("output/*/fake/*")) == [(f"{run}/manifest.json", {"trials": 3})]
    assert asyncio.run(listed("output/*/other/*")) == [("output/study1-exp2/other/run/manifest.json", {})]
    assert asyncio.run(listed("output/none")) == []


def test_a_long_listing_does_not_count_as_a_stalled_connection(places: tuple[Path, Path]) -> None:
    """A slow file system may take minutes for what fits into one buffer: each file shows work."""
    there, _ = places
    write(there, {f"output/{number}": b"" for number in range(50)})
    calls = []
    request = io.BytesIO(b'{"op":"list","pattern":"output","checksums":false}\n')
    reader.Server(there, request, io.BytesIO(), lambda: calls.append(1)).serve()
    assert len(calls) >= 50


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "", "a\0b"])
def test_no_path_leaves_the_root(path: str) -> None:
    """Both sides use this check: a name from a pod must not decide where files are written."""
    with pytest.raises(ValueError, match="not a path under the root"):
        reader.inside(Path("/root"), path)


def test_what_is_uploaded_is_there(places: tuple[Path, Path]) -> None:
    """Also where an earlier attempt left a part; a damaged file does not get its name."""
    root, home = places
    home.mkdir()
    content = os.urandom(600_000)
    (home / "list.csv").write_bytes(content)
    write(root, {"input/x/.list.csv.part": content[:1000] + b"other"})

    async def put() -> None:
        async with connected(root) as connection:
            await connection.put(home / "list.csv", "input/x/list.csv")

    asyncio.run(put())
    assert read(root / "input") == {"x/list.csv": content}
    head = {"op": "put", "path": "input/y", "size": 1, "mtime": 0, "sha256": hashlib.sha256(b"a").hexdigest()}
    answers = io.BytesIO()
    reader.Server(root, io.BytesIO(json.dumps(head).encode() + b"\nb"), answers).serve()
    assert json.loads(answers.getvalue()) == {"ok": False}
    assert [path.name for path in (root / "input").rglob("*") if path.is_file()] == ["list.csv"]


def test_the_pod_waits_while_another_program_runs() -> None:
    """It ends after its idle time, or at once when told to."""
    now = 0.0

    def stopped(seconds: float) -> bool:
        nonlocal now
        now += seconds
        return now > 10_000

    reader.wait(60, busy=lambda: now < 500, stopped=stopped, clock=lambda: now)
    assert 555 <= now <= 565
    reader.wait(60, busy=lambda: True, stopped=stopped, clock=lambda: now)
    assert 10_000 < now <= 10_010
