"""Files come home whole, whatever breaks on the way, and nothing is sent twice."""

from __future__ import annotations

import asyncio
import io
import os
import random
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grace_client.transfer import reader
from grace_client.transfer.download import Channel, DamagedError, LostError, Progress, home

# Few beginnings and many lengths: often one file is how another one began.
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
async def connected(root: Path, cut: int | None = None) -> AsyncIterator[Channel]:
    """A channel to a server in a thread; its answers break off after `cut` bytes."""
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
        yield Channel(stream, asyncio.StreamWriter(flow, protocol, None, loop))
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
    return {Path(path).relative_to(root).as_posix(): Path(path).read_bytes() for path in reader.files(root)}


async def bring(root: Path, to: Path, cut: int | None = None) -> Progress:
    async with connected(root, cut) as channel:
        return await channel.get(await channel.list("output"), home(to, "output"))


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "there" / "output").mkdir(parents=True)
    return tmp_path / "there", tmp_path / "home"


@settings(max_examples=40, deadline=None)
@given(TREES, TREES, st.lists(st.integers(1, 300_000), max_size=3))
def test_home_is_what_is_there(tree: dict[str, bytes], older: dict[str, bytes], cuts: list[int]) -> None:
    """However often the connection breaks, whatever lay at home before; and then nothing more is sent."""
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
        assert (again.received, again.unchanged, again.files) == (0, again.of_files, again.of_files)


def test_a_large_file_goes_on_where_it_broke_off(places: tuple[Path, Path]) -> None:
    """What arrived before is not sent again."""
    there, to = places
    content = os.urandom(5_000_000)
    write(there, {"output/big": content})
    received = []
    for cut in 2_000_000, 2_000_000, None:
        seen: list[Progress] = []
        try:
            asyncio.run(fetched(there, to, seen.append, cut))
        except LostError:
            assert not (to / "big").exists()
        received.append(seen[-1].received if seen else 0)
    assert (to / "big").read_bytes() == content
    assert received[-1] < 2_000_000


async def fetched(
    there: Path, to: Path, on_progress: Callable[[Progress], None], cut: int | None = None
) -> Progress:
    async with connected(there, cut) as channel:
        return await channel.get(await channel.list("output"), home(to, "output"), on_progress)


def test_only_the_end_of_a_grown_file_is_sent(places: tuple[Path, Path]) -> None:
    """As a ledger grows; a file whose beginning has changed is sent whole."""
    there, to = places
    write(there, {"output/ledger": b"a" * 1000})
    asyncio.run(bring(there, to))
    write(there, {"output/ledger": b"a" * 1000 + b"b" * 10})
    assert asyncio.run(bring(there, to)).received == 10
    write(there, {"output/ledger": b"c" * 1020})
    assert asyncio.run(bring(there, to)).received == 1020
    assert (to / "ledger").read_bytes() == b"c" * 1020


def test_an_equal_file_of_another_time_is_not_sent(places: tuple[Path, Path]) -> None:
    """It takes the time of the one on the claim, and the next look needs no checksum."""
    there, to = places
    write(there, {"output/a": b"same"})
    write(to, {"a": b"same"})
    os.utime(to / "a", (1, 1))
    done = asyncio.run(bring(there, to))
    assert (done.received, done.unchanged) == (0, 0)
    assert (to / "a").stat().st_mtime_ns == (there / "output" / "a").stat().st_mtime_ns


def test_what_arrives_damaged_is_dropped(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that names the file, and nothing under its name."""
    there, to = places
    write(there, {"output/a": b"content"})

    async def damaged() -> None:
        async with connected(there) as channel:
            entries = await channel.list("output")
            exactly = channel.source.readexactly

            async def flipped(length: int) -> bytes:
                data = await exactly(length)
                return data[:-1] + b"!" if data == b"content" else data

            monkeypatch.setattr(channel.source, "readexactly", flipped)
            await channel.get(entries, home(to, "output"))

    with pytest.raises(DamagedError, match="output/a"):
        asyncio.run(damaged())
    assert list(to.iterdir()) == []


def test_a_file_that_is_gone_is_passed_over(places: tuple[Path, Path]) -> None:
    """The others arrive, and the count tells."""
    there, to = places
    write(there, {"output/a": b"a", "output/b": b"b"})

    async def vanishing() -> Progress:
        async with connected(there) as channel:
            entries = await channel.list("output")
            (there / "output" / "a").unlink()
            return await channel.get(entries, home(to, "output"))

    done = asyncio.run(vanishing())
    assert (done.files, done.of_files) == (1, 2)
    assert read(to) == {"b": b"b"}


def test_a_listing_tells_of_runs_and_hides_work_in_progress(places: tuple[Path, Path]) -> None:
    """Wildcards choose; hidden files and links are nobody's results."""
    there, _ = places
    run = "output/study1-exp2/fake/run"
    write(there, {f"{run}/manifest.json": b'{"results": {"trials": 3}}', f"{run}/.t.csv.x": b"half"})
    write(there, {"output/study1-exp2/other/run/manifest.json": b"no JSON"})
    (there / run / "link").symlink_to("/etc/passwd")

    async def listed(pattern: str) -> list[tuple[str, object]]:
        async with connected(there) as channel:
            return [(entry.path, entry.results) for entry in await channel.list(pattern)]

    assert asyncio.run(listed("output/*/fake/*")) == [(f"{run}/manifest.json", {"trials": 3})]
    assert asyncio.run(listed("output/*/other/*")) == [("output/study1-exp2/other/run/manifest.json", {})]
    assert asyncio.run(listed("output/none")) == []


def test_a_long_listing_does_not_count_as_a_stalled_connection(places: tuple[Path, Path]) -> None:
    """A cold file system may take minutes for what fits into one buffer: each file shows work."""
    there, _ = places
    write(there, {f"output/{number}": b"" for number in range(50)})
    calls = []
    request = io.BytesIO(b'{"op":"list","path":"output"}\n')
    reader.Server(there, request, io.BytesIO(), lambda: calls.append(1)).serve()
    assert len(calls) >= 50


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "", "a\0b"])
def test_no_path_leaves_the_root(path: str) -> None:
    """On either side: a name from a pod is no reason to write anywhere."""
    with pytest.raises(ValueError, match="no path under the root"):
        reader.inside(Path("/root"), path)
    if path:
        with pytest.raises(ValueError, match="no path under the root"):
            home(Path("/root"), "output")(f"output/{path}")


@settings(max_examples=20, deadline=None)
@given(CONTENTS, CONTENTS, st.integers(0, 2 * reader.CHUNK))
def test_what_is_uploaded_is_there(content: bytes, other: bytes, kept: int) -> None:
    """Also where an earlier attempt left a part of it, or of something else."""
    with tempfile.TemporaryDirectory() as folder:
        root, file = Path(folder, "there"), Path(folder, "list.csv")
        file.write_bytes(content)
        left = (content if kept % 2 else other)[:kept]
        write(root, {"input/x/.list.csv.part": left})

        async def put() -> int:
            async with connected(root) as channel:
                return await channel.put(file, "input/x/list.csv")

        assert asyncio.run(put()) == len(content) - (len(left) if content.startswith(left) else 0)
        assert (root / "input/x/list.csv").read_bytes() == content
        assert not (root / "input/x/.list.csv.part").exists()


def test_the_pod_waits_as_long_as_anybody_works() -> None:
    """And ends after its idle time, or at once when told to."""
    now = 0.0

    def stopped(seconds: float) -> bool:
        nonlocal now
        now += seconds
        return now > 10_000

    reader.wait(60, busy=lambda: now < 500, stopped=stopped, clock=lambda: now)
    assert 555 <= now <= 565
    reader.wait(60, busy=lambda: True, stopped=stopped, clock=lambda: now)
    assert 10_000 < now <= 10_010
