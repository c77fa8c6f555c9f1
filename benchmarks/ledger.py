"""Time and memory for a ledger of a million answers, and the growth of a run's memory.

append
    Scored answers with 180 prompt ids and 22 forms through the real `Ledger.append`.
load
    `Ledger(folder)` on segments of answer lines in the real format. One line is cut off and one has a
    changed byte. Each load runs in its own process, to measure its memory. Right before it, another process
    reads the same bytes and computes `zlib.crc32` of every line: no check of the lines can be faster, so
    this is the floor. All bytes are in the page cache. Afterwards answers are read back by their keys.
run
    The real `runner.run` over Study 1 questions that all differ, with an engine that invents numbers, in a
    new process for each number of questions. Memory is the resident memory of the process. Growth is counted
    from the 1000th answer, when all modules and buffers are loaded, to the end. The index is what the run
    must remember: for each answer the key and position in the ledger, and the key in the plan, as
    `sys.getsizeof` counts them. Part of it uses memory that the planning has freed, so the growth may be
    smaller than the index.

Memory is read from ``/proc/self/status``, so this needs Linux. The files (2.4 GB for a million lines) are in
a temporary folder, which is removed at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

from grace_client import studies
from grace_client.core import trials
from grace_client.core.options import TokenTrie
from grace_client.core.progress import Progress
from grace_client.core.questions import Generation, Prompt, Sampling
from grace_client.engines.base import Answered, EngineInfo, Likeliest
from grace_client.run.folder import RunFolder
from grace_client.run.ledger import Ledger
from grace_client.run.runner import run
from grace_client.studies import lists

SEGMENTS, REPEATS, READ_BACK = 4, 3, 20_000
TARGET_SECONDS = 20
VOCABULARY = 50_000
HEAD = len('{"crc32":"00000000",')


Result = TypeVar("Result")


def answer(rng: random.Random) -> dict[str, Any]:
    """A scored answer as the runner records it for a percentage question."""
    forms = [
        [str(p), f"{space}{p}%", [rng.randrange(VOCABULARY) for _ in range(3)], -20 * rng.random()]
        for p in range(0, 101, 10)
        for space in ("", " ")
    ]
    ids = [rng.randrange(VOCABULARY) for _ in range(180)]
    at = "2026-01-01T00:00:00.000+00:00"
    return {"status": "ok", "prompt_ids": ids, "forms": forms, "seconds": 0.1234, "at": at}


def keys(count: int) -> list[str]:
    """`count` different keys."""
    rng = random.Random(1)
    return [f"{rng.getrandbits(128):032x}" for _ in range(count)]


def append(folder: Path, count: int) -> dict[str, float]:
    """Append `count` answers, one at a time."""
    rng, ledger = random.Random(0), Ledger(folder)
    made = [answer(rng) for _ in range(64)]
    start = time.perf_counter()
    for key, one in zip(keys(count), itertools.cycle(made), strict=False):
        ledger.append(key, one, final=True)
    ledger.close()
    seconds = time.perf_counter() - start
    size = sum(segment.stat().st_size for segment in ledger.segments)
    return {"lines_per_second": count / seconds, "bytes_per_line": size / count}


def write(folder: Path, template: Path, count: int) -> int:
    """Write `count` good lines and two bad ones over several segments; returns the bytes.

    The lines are those of a ledger that `append` made, with new keys and checksums.
    """
    with template.open("rb") as file:
        session, *lines = itertools.islice(file, 65)
    after_key = [line.partition(b'","final"')[2][:-1] for line in lines]
    folder.mkdir()
    named, per_segment = keys(count), -(-count // SEGMENTS)
    for number in range(SEGMENTS):
        with (folder / f"{number}.jsonl").open("wb") as file:
            file.write(session)
            own = named[number * per_segment : (number + 1) * per_segment]
            for key, rest in zip(own, itertools.cycle(after_key), strict=False):
                body = b'"key":"%s","final"%s' % (key.encode(), rest)
                file.write(b'{"crc32":"%08x",%s\n' % (zlib.crc32(body), body))
            if number == 0:
                file.write(lines[0].replace(b"ok", b"OK", 1))
            if number == SEGMENTS - 1:
                file.write(lines[0][: len(lines[0]) // 2])
            file.flush()
            os.fsync(file.fileno())
    return sum(segment.stat().st_size for segment in folder.iterdir())


def memory(field: str = "VmRSS") -> float:
    """Memory of this process in MB: resident now, or with ``VmHWM`` at its peak."""
    match = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) / 1000


def floor(folder: Path) -> float:
    """Seconds to read all lines and checksum them."""
    start = time.perf_counter()
    for segment in sorted(folder.iterdir()):
        with segment.open("rb") as file:
            for line in file:
                zlib.crc32(line[HEAD:-1])
    return time.perf_counter() - start


def load(folder: Path, count: int) -> dict[str, float]:
    """Load a ledger, check what it found, and read answers back."""
    before, start = memory(), time.perf_counter()
    ledger = Ledger(folder)
    seconds, peak = time.perf_counter() - start, memory("VmHWM")
    found = (
        ledger.contents.lines,
        len(ledger.contents.final),
        sorted(d.torn for d in ledger.contents.damage),
    )
    if found != (count, count, [False, True]):
        raise SystemExit(
            f"the ledger contains {found}. Expected: {count} answers, a changed line and a torn one"
        )
    sample = keys(min(READ_BACK, count))
    start = time.perf_counter()
    if any((ledger.get(key) or {}).get("status") != "ok" for key in sample):
        raise SystemExit("an answer that was written is not found")
    read = (time.perf_counter() - start) / len(sample)
    ledger.close()
    return {"seconds": seconds, "before_mb": before, "peak_mb": peak, "get_seconds": read}


class InventingEngine:
    """An engine without a model: its tokens are words, and its numbers come from a hash of the prompt."""

    def concurrency(self, *, scored: bool) -> int:
        """As many calls at the same time as for a server."""
        return 32

    async def describe(self) -> EngineInfo:
        """A description that no real model has."""
        return EngineInfo("made-up", "made-up", "0", "float64", None, "0", 4096, 0, "", "")

    def __init__(self) -> None:
        self.texts = dict[tuple[int, ...], str]()

    async def tokenize(self, prompt: Prompt) -> list[int]:
        """An id for every word and every mark."""
        ids = [zlib.crc32(w.encode()) % VOCABULARY for w in re.findall(r" ?\w+|[^\w\s]|\n", prompt.text)]
        self.texts[tuple(ids)] = prompt.text
        return ids

    async def decode(self, ids: Sequence[int]) -> str:
        """The text of a prompt. Each prompt is decoded once."""
        return self.texts.pop(tuple(ids), "")

    async def tokenize_form(self, text: str, prompt_ids: Sequence[int]) -> list[int]:
        """An id for every character."""
        return [ord(character) for character in text]

    async def edge_logprobs(self, prompt_ids: Sequence[int], trie: TokenTrie) -> Answered:
        """The same numbers for the same prompt, low enough for any option set."""
        await asyncio.sleep(0)
        rng = np.random.default_rng(list(prompt_ids))
        return Answered(-5 - rng.random(trie.n_edges), ())

    async def likeliest(self, prompt_ids: Sequence[int], max_tokens: int) -> Likeliest:
        """Not used: the answers have all their beginnings."""
        raise AssertionError("the benchmark asks for no greedy answers")

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """Not used: the benchmark only scores."""
        raise AssertionError("the benchmark asks for no free text")

    async def counters(self) -> dict[str, float]:
        """No counters."""
        return {}

    async def close(self) -> None:
        """Nothing to close."""


def grow(path: Path, questions: int) -> dict[str, Any]:
    """Run `questions` distinct questions; returns the memory before, during and after the run, in MB."""
    experiment = studies.experiment("study1-exp2")
    rows = itertools.cycle(lists.make(studies.named("study1"), participants=1, seed=0))
    different = [
        row | {"story_setup": f"This is story {number}. {row['story_setup']}"}
        for number, row in zip(range(questions // 5), rows, strict=False)
    ]
    csv = trials.to_csv(experiment.schema.names, different)
    listed = trials.parse(csv, path="made up", schemas=[experiment.schema])
    engine = InventingEngine()
    folder = RunFolder.create(path, experiment, listed, asyncio.run(engine.describe()))
    along: list[float] = []

    def watch(progress: Progress) -> None:
        if progress.done % 1000 == 0:
            along.append(memory())

    gc.collect()
    start = time.perf_counter()
    progress = asyncio.run(run(folder, engine, on_progress=watch))
    seconds = time.perf_counter() - start
    if (progress.asked, progress.failed) != (questions, 0):
        raise SystemExit(f"{progress.asked} of {questions} questions asked, {progress.failed} failed")
    final = folder.ledger.contents.final
    # The plan has its own copies of the keys.
    index = sum(map(sys.getsizeof, (final, *final, *final.values(), set(final), *final)))
    return {
        "questions": questions,
        "answers_per_second": questions / seconds,
        "start_mb": along[0],
        "at_1000_mb": along[1],
        "end_mb": along[-1],
        "along_mb": along,
        "mb_per_1000": (along[-1] - along[1]) / (questions - 1000) * 1000,
        "index_mb_per_1000": index / 1e6 / questions * 1000,
    }


def in_new_process(function: Callable[..., Result], *args: Any) -> Result:
    """Call a function in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def measure(folder: Path, options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Run all parts in an empty folder; returns everything measured."""
    console.print(f"appending {options.appends} answers")
    appended = in_new_process(append, folder / "append", options.appends)
    template = next((folder / "append").iterdir())
    console.print(f"writing {options.lines} lines")
    size = in_new_process(write, folder / "ledger", template, options.lines)
    floors, loads = [], []
    for turn in range(1, REPEATS + 1):
        console.print(f"loading, {turn} of {REPEATS}")
        floors.append(in_new_process(floor, folder / "ledger"))
        loads.append(in_new_process(load, folder / "ledger", options.lines))
    seconds = sum(load["seconds"] for load in loads)
    runs = []
    for questions in options.questions:
        console.print(f"running {questions} questions")
        runs.append(in_new_process(grow, folder / f"run{questions}", questions))
    return {
        "append": appended,
        "lines": options.lines,
        "bytes": size,
        "loads": loads,
        "floor_seconds": floors,
        "load_seconds": seconds / REPEATS,
        "load_over_floor": seconds / sum(floors),
        "peak_mb": max(load["peak_mb"] for load in loads),
        "before_mb": max(load["before_mb"] for load in loads),
        "get_seconds": sum(load["get_seconds"] for load in loads) / REPEATS,
        "runs": runs,
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Print the result for people."""
    table = Table("", "[bold]measured", "[bold]target", title="Ledger", title_justify="left")
    table.columns[1].justify = "right"
    appended, lines = result["append"], result["lines"]
    table.add_row("append, lines per second", f"{appended['lines_per_second']:,.0f}")
    table.add_row("bytes per line", f"{appended['bytes_per_line']:,.0f}")
    table.add_section()
    million = TARGET_SECONDS * lines / 1e6
    table.add_row(f"load {lines:,} lines, seconds", f"{result['load_seconds']:.1f}", f"< {million:g}")
    table.add_row("  slowest", f"{max(load['seconds'] for load in result['loads']):.1f}")
    table.add_row(
        f"floor: read and checksum {result['bytes'] / 1e9:.2f} GB, seconds",
        f"{sum(result['floor_seconds']) / REPEATS:.1f}",
    )
    table.add_row("load over floor", f"{result['load_over_floor']:.2f}")
    table.add_row("peak memory while loading, MB", f"{result['peak_mb']:.0f}")
    table.add_row("  of it before loading, MB", f"{result['before_mb']:.0f}")
    table.add_row("read one answer back, µs", f"{result['get_seconds'] * 1e6:.0f}")
    for run_ in result["runs"]:
        table.add_section()
        table.add_row(
            f"run {run_['questions']:,} questions, answers per second", f"{run_['answers_per_second']:,.0f}"
        )
        points = " → ".join(f"{run_[point]:.1f}" for point in ("start_mb", "at_1000_mb", "end_mb"))
        table.add_row("memory at the start → at 1,000 → at the end, MB", points)
        table.add_row("growth per 1000 answers, MB", f"{run_['mb_per_1000']:.2f}")
        table.add_row("the index alone per 1000 answers, MB", f"{run_['index_mb_per_1000']:.2f}")
    console.print(table)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--lines", type=int, default=1_000_000, help="lines of the ledger to load; default: %(default)s"
    )
    parser.add_argument("--appends", type=int, default=20_000, help="answers to append; default: %(default)s")
    parser.add_argument(
        "--questions",
        type=int,
        nargs="+",
        default=[2000, 20_000],
        help="questions of each run; default: %(default)s",
    )
    parser.add_argument("--folder", help="parent of the temporary folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if any(questions % 1000 or questions < 2000 for questions in options.questions):
        parser.error("--questions takes multiples of 1000, from 2000")
    # A terminated benchmark must not leave gigabytes behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="grace-benchmark.") as folder:
        result = measure(Path(folder), options, Console(stderr=True, highlight=False))
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        show(result, Console(width=None if Console().is_terminal else 110))


if __name__ == "__main__":
    main()
