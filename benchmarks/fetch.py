"""The cost of `grace fetch` compared with `tar`, and a check that interruptions do no harm.

The benchmark writes runs, each with seven files and a ledger, and fetches them:

floor
    `tar` on one side of the connection and on the other, with nothing compared and nothing verified.
grace
    Lists the files with checksums, sends them, and verifies them against the list and each manifest.
again
    The same, when all files are present.
interrupted
    Into another folder, interrupted three times, by SIGINT, SIGTERM and SIGKILL, each after a sixth of the
    time that grace took. Seconds are for all four calls, bytes received for the last.

At the end every file is compared with its original. Both sides are processes of this machine: grace's own
`Claims` over a pipe to the program that runs in the pod.
"""

from __future__ import annotations

import argparse
import asyncio
import filecmp
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from grace_client.kube import process
from grace_client.kube.kubectl import Kubectl
from grace_client.transfer.claims import Claims

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
TABLES = 6


class Nearby:
    """The part of kubectl that `Claims` uses, with a process on this machine instead of a pod."""

    def __init__(self, root: Path) -> None:
        self.root = root

    async def get(self, kind: str, **_: Any) -> list[dict[str, Any]]:
        """One Job."""
        return [{"kind": kind, "metadata": {"name": "here"}}]

    def stream(
        self, verb: str, *arguments: str, stdin: bool = False
    ) -> AbstractAsyncContextManager[process.Running]:
        """The watch for the pod, and the connection to it."""
        if verb == "exec":
            program = arguments[arguments.index("--") + 2 :]
            return process.started([sys.executable, *program, f"--root={self.root}"], stdin=PIPE)
        return process.started(["echo", "here||now||"], stdin=DEVNULL)


async def fetch(root: Path, to: Path) -> None:
    """Fetch all runs, and print the result as JSON."""
    claims = Claims(cast(Kubectl, Nearby(root)), {"metadata": {"name": "here"}})
    print(json.dumps(asdict(await claims.fetch("*/*/*", to)), default=str))


def make(root: Path, runs: int, size: int) -> None:
    """Write runs with random content, each of `size` bytes: half in the ledger, half in the tables."""
    for number in range(runs):
        folder = root / "output" / "study1-exp2" / "benchmark" / f"run-{number}"
        (folder / "ledger").mkdir(parents=True)
        sums = {}
        for name in (*(f"t{n}.csv" for n in range(TABLES)), "ledger/a.jsonl"):
            content = os.urandom(size // 2 if name.startswith("ledger") else size // 2 // TABLES)
            (folder / name).write_bytes(content)
            sums[name] = hashlib.sha256(content).hexdigest()
        results = {"ledger_sha256": sums.pop("ledger/a.jsonl"), "tables": sums}
        (folder / "manifest.json").write_text(json.dumps({"results": results}))


def measured(work: Callable[[], int]) -> dict[str, float]:
    """Seconds and processor seconds of `work` with its child processes, and the bytes that it received."""

    def processor() -> float:
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return spent.ru_utime + spent.ru_stime

    began, spent = time.monotonic(), processor()
    received = work()
    return {"seconds": time.monotonic() - began, "cpu": processor() - spent, "received": received}


def measure(runs: int, size: int, work: Path) -> dict[str, Any]:
    """Measure all four ways; returns the results."""
    root = work / "claims"
    make(root, runs, size)
    whole = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())

    def command(to: Path) -> list[str]:
        return [sys.executable, __file__, "--child", str(root), str(to)]

    def floor() -> int:
        (work / "floor").mkdir()
        pack = ["tar", "--create", f"--directory={root}", "output"]
        with subprocess.Popen(pack, stdout=PIPE) as sender:
            unpack = ["tar", "--extract", f"--directory={work / 'floor'}"]
            subprocess.run(unpack, stdin=sender.stdout, check=True)
        return whole

    def fetched(to: Path) -> int:
        found = json.loads(subprocess.run(command(to), stdout=PIPE, check=True).stdout)
        assert (found["files"], len(found["verified"])) == (runs * (TABLES + 2), runs), found
        return int(found["received"])

    def interrupted() -> int:
        for number in SIGNALS:
            with subprocess.Popen(command(work / "interrupted"), stdout=DEVNULL, stderr=DEVNULL) as running:
                with suppress(subprocess.TimeoutExpired):
                    running.wait(costs["grace"]["seconds"] / 6)
                running.send_signal(number)
        return fetched(work / "interrupted")

    costs = {"floor": measured(floor)}
    costs["grace"] = measured(lambda: fetched(work / "grace"))
    costs["again"] = measured(lambda: fetched(work / "grace"))
    costs["interrupted"] = measured(interrupted)
    for to in work / "grace", work / "interrupted":
        names = [path.relative_to(to) for path in to.rglob("*") if path.is_file()]
        assert len(names) == runs * (TABLES + 2)
        for name in names:
            assert filecmp.cmp(root / "output" / name, to / name, shallow=False), name
    return {"runs": runs, "bytes": whole, "costs": costs}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=24, help="number of runs (default: %(default)s)")
    parser.add_argument("--mb", type=int, default=40, help="megabytes of a run (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        asyncio.run(fetch(*given.child))
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        found = measure(given.runs, given.mb * 1_000_000, Path(folder))
    if given.json:
        print(json.dumps(found, indent=2))
        return
    table = Table(title=f"{found['runs']} runs, {found['bytes'] / 1e6:,.0f} MB")
    for column in ("", "seconds", "MB/s", "CPU s", "MB received", "x floor"):
        table.add_column(column, justify="left" if not column else "right")
    for name, cost in found["costs"].items():
        table.add_row(
            name,
            f"{cost['seconds']:.1f}",
            f"{found['bytes'] / 1e6 / cost['seconds']:.1f}",
            f"{cost['cpu']:.1f}",
            f"{cost['received'] / 1e6:,.1f}",
            f"{cost['seconds'] / found['costs']['floor']['seconds']:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
