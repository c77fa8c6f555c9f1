"""What `grace fetch` costs for very many small files and one large one, and that no interruption hurts.

A run of so many files of 200 bytes, with a ledger of so many bytes, is made and brought home:

floor
    `tar` on one side of the connection and on the other, with nothing compared and nothing verified.
grace
    `grace fetch`: listed, sent with checksums, written under hidden names until whole, verified against the
    run's manifest.
again
    The same, when everything is there.
interrupted
    Into another folder, broken off three times, by SIGINT, SIGTERM and SIGKILL, each after a sixth of the
    time that grace took. Seconds are of all four calls, bytes received of the last.

In the end every file is compared with what was made.

Without a cluster the two sides are processes of this machine: grace's own `Results` over a pipe to the
program that runs in the pod. With --claim it is `grace fetch` itself, through the cluster that KUBECONFIG
names: a Job makes the files on that claim, and removes them at the end. Processor seconds are of all
processes on this machine, so with a cluster those of the pod are not among them.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import resource
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from grace_client.cli.fetch import ANY_MODEL, claim_alone
from grace_client.deploy.values import ModelValues, assigned, chart_folder, document, layered
from grace_client.kube import helm, process
from grace_client.kube.kubectl import Kubectl
from grace_client.transfer.claims import TEMPLATE, Results

RUN = "study1-exp2/benchmark/fetch"
SMALL, BLOCK = 200, 1_000_000
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
MAKE = """
import hashlib, json, os, random, sys
top, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.makedirs(top + '/ledger')
digest = hashlib.sha256()
with open(top + '/ledger/a.jsonl', 'wb') as file:
    for n in range(size // 1_000_000):
        block = random.Random(n).randbytes(1_000_000)
        digest.update(block)
        file.write(block)
for n in range(count):
    if not n % 1000:
        os.makedirs(f'{top}/parts/{n // 1000:04}')
    with open(f'{top}/parts/{n // 1000:04}/{n}.txt', 'wb') as file:
        file.write(random.Random(n).randbytes(200))
told = {'results': {'ledger_sha256': digest.hexdigest(), 'tables': {}}}
json.dump(told, open(top + '/manifest.json', 'w'))
print('made', flush=True)
if sys.argv[4:]:
    os.execvp(sys.argv[4], sys.argv[4:])
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one way took.

    Attributes
    ----------
    seconds, cpu : float
        Of the clock, and of processors.
    received : int
        Bytes that came over the connection.
    """

    seconds: float
    cpu: float
    received: int


class Nearby:
    """What `Results` asks of kubectl, with a pod that is a process on this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    async def get(self, kind: str, **_: Any) -> list[dict[str, Any]]:
        """The Job that is there."""
        return [{"kind": kind, "metadata": {"name": "here"}}]

    def stream(self, verb: str, *_: str, stdin: bool = False) -> AbstractAsyncContextManager[process.Running]:
        """The watch for the pod, and the connection to it."""
        reader = [sys.executable, "-m", "grace_client.transfer.reader", "serve", f"--root={self.root}"]
        command = reader if verb == "exec" else ["echo", "here|now|"]
        return process.started(command, stdin=PIPE if stdin else DEVNULL)


async def fetch_nearby(root: Path, to: Path) -> None:
    """What the command does, and tells with --json."""
    results = Results(cast(Kubectl, Nearby(root)), {"metadata": {"name": "here"}})
    done = await results.fetch("*/*/*", to)
    told = {"files": done.files, "received": done.received, "verified": [str(run) for run in done.verified]}
    print(json.dumps(told))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files are.

    Attributes
    ----------
    fetch : sequence of str
        Command that fetches them, without the folder.
    tar : sequence of str
        Command that prints them as an archive.
    """

    fetch: Sequence[str]
    tar: Sequence[str]


@contextmanager
def nearby(count: int, size: int, work: Path) -> Iterator[Place]:
    """On this machine."""
    root = work / "claims"
    top = root / "output" / RUN
    subprocess.run([sys.executable, "-c", MAKE, str(top), str(count), str(size)], check=True, stdout=DEVNULL)
    child = [sys.executable, __file__, "--child", str(root)]
    yield Place(child, ["tar", "--create", f"--directory={root}/output", RUN])


@contextmanager
def on_claim(count: int, size: int, claim: str, sets: list[str]) -> Iterator[Place]:
    """On a claim of a cluster."""
    kubectl = Kubectl()
    job, namespace = asyncio.run(_maker(kubectl, count, size, claim, sets))
    name = job["metadata"]["name"]
    base = ["kubectl", "--namespace", namespace]
    try:
        subprocess.run([*base, "apply", "--filename", "-"], input=json.dumps(job).encode(), check=True)
        while "made" not in (log := _output([*base, "logs", f"job/{name}", "--tail=5"])):
            state = json.loads(_output([*base, "get", "job", name, "--output", "json"]) or "{}")
            if state.get("status", {}).get("failed"):
                raise SystemExit(f"the Job that makes the files failed:\n{log}")
            time.sleep(2)
        words = [word for one in sets for word in ("--set", one)]
        fetch = [sys.executable, "-m", "grace_client", "fetch", "--claim", claim, "--runs", RUN, *words]
        tar = [*base, "exec", f"job/{name}", "--", "tar", "--create", "--directory=/output", RUN]
        yield Place([*fetch, "--json", "--to"], tar)
    finally:
        _output([*base, "exec", f"job/{name}", "--", "rm", "-rf", str(Path("/output", RUN).parent)])
        _output([*base, "delete", "job", name, "--ignore-not-found"])


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


async def _maker(
    kubectl: Kubectl, count: int, size: int, claim: str, sets: list[str]
) -> tuple[dict[str, Any], str]:
    """The chart's own Job for files, within the rules of the cluster, with another program in it."""
    namespace = await kubectl.namespace_name()
    own = {"nameOverride": f"bench-{secrets.token_hex(3)}", "files": {"enabled": True, "minutes": 180}}
    model = ModelValues.model_validate(ANY_MODEL).model_copy(update={"values": ANY_MODEL})
    values = assigned(model, {}, helm.Assignments(tuple(sets)))
    given = layered(document(values, claim_alone(claim, "output")), own)
    (made,) = await helm.template(
        chart_folder(), document=given, only=TEMPLATE, release="benchmark", namespace=namespace
    )
    job = made.body
    (container,) = job["spec"]["template"]["spec"]["containers"]
    waiting = ["python", "-m", "grace_client.transfer.reader", "wait", "--idle=1800"]
    container["command"] = ["python", "-c", MAKE, f"/output/{RUN}", str(count), str(size), *waiting]
    container.pop("args")
    for mount in container["volumeMounts"]:
        mount["readOnly"] = False
    return job, namespace


class Clock:
    """Seconds and processor seconds of children since it was made."""

    def __init__(self) -> None:
        self.began, self.cpu = time.monotonic(), self._spent()

    @staticmethod
    def _spent() -> float:
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return spent.ru_utime + spent.ru_stime

    def cost(self, received: int) -> Cost:
        """What was spent since."""
        return Cost(time.monotonic() - self.began, self._spent() - self.cpu, received)


def floor(place: Place, to: Path, whole: int) -> Cost:
    """An archive through a pipe."""
    to.mkdir()
    clock = Clock()
    with subprocess.Popen(place.tar, stdout=PIPE) as sender:
        subprocess.run(["tar", "--extract", f"--directory={to}"], stdin=sender.stdout, check=True)
    if sender.returncode:
        raise SystemExit(f"{' '.join(place.tar)} ended with exit code {sender.returncode}")
    return clock.cost(whole)


def fetched(place: Place, to: Path, clock: Clock) -> tuple[Cost, dict[str, Any]]:
    """All files by grace."""
    done = subprocess.run([*place.fetch, str(to)], stdout=PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"the fetch ended with exit code {done.returncode}")
    told = json.loads(done.stdout)
    return clock.cost(told["received"]), told


def broken_off(place: Place, to: Path, number: signal.Signals, seconds: float) -> bool:
    """Begin to fetch and break it off; whether there was something to break off."""
    with subprocess.Popen([*place.fetch, str(to)], stdout=DEVNULL, stderr=DEVNULL) as running:
        with suppress(subprocess.TimeoutExpired):
            running.wait(seconds)
            return False
        running.send_signal(number)
    return True


def compare(to: Path, count: int, size: int) -> None:
    """Every file with what was made."""
    top = to / RUN
    digest = hashlib.sha256()
    for n in range(size // BLOCK):
        digest.update(random.Random(n).randbytes(BLOCK))
    with (top / "ledger" / "a.jsonl").open("rb") as ledger:
        assert hashlib.file_digest(ledger, "sha256").hexdigest() == digest.hexdigest(), "the ledger differs"
    for n in range(count):
        content = (top / "parts" / f"{n // 1000:04}" / f"{n}.txt").read_bytes()
        assert content == random.Random(n).randbytes(SMALL), f"{n}.txt differs"
    left = [path for path in to.rglob("*") if path.is_file()]
    assert len(left) == count + 2, f"{len(left)} files are there instead of {count + 2}"


def measure(place: Place, count: int, size: int, work: Path) -> dict[str, Any]:
    """All four, and what was found."""
    whole = size // BLOCK * BLOCK + SMALL * count
    costs = {"floor": floor(place, work / "floor", whole)}
    costs["grace"], told = fetched(place, work / "grace", Clock())
    costs["again"], _ = fetched(place, work / "grace", Clock())
    clock, breaks = Clock(), 0
    for number in SIGNALS:
        breaks += broken_off(place, work / "interrupted", number, costs["grace"].seconds / 6)
    costs["interrupted"], last = fetched(place, work / "interrupted", clock)
    for to, found in ((work / "grace", told), (work / "interrupted", last)):
        assert (found["files"], found["verified"]) == (count + 2, [str(to / RUN)]), found
        compare(to, count, size)
    return {"files": count + 2, "bytes": whole, "interruptions": breaks, "costs": costs}


def show(found: dict[str, Any]) -> None:
    """As a table."""
    table = Table(title=f"{found['files']:,} files, {found['bytes'] / 1e6:,.0f} MB")
    for column in ("", "seconds", "MB/s", "files/s", "CPU s", "MB received", "x floor"):
        table.add_column(column, justify="left" if not column else "right")
    for name, cost in found["costs"].items():
        table.add_row(
            name if name != "interrupted" else f"interrupted {found['interruptions']} x",
            f"{cost.seconds:.1f}",
            f"{found['bytes'] / 1e6 / cost.seconds:.1f}",
            f"{found['files'] / cost.seconds:,.0f}",
            f"{cost.cpu:.1f}",
            f"{cost.received / 1e6:,.1f}",
            f"{cost.seconds / found['costs']['floor'].seconds:.2f}",
        )
    Console().print(table)
    print("complete and verified; every file compared with what was made")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=100_000, help="small files (default: %(default)s)")
    parser.add_argument("--mb", type=int, default=2000, help="size of the large one (default: %(default)s)")
    parser.add_argument("--claim", help="on this claim of the cluster; without, on this machine")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE")
    parser.add_argument("--work", type=Path, help="folder with room for four times the files")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        asyncio.run(fetch_nearby(*given.child))
        return
    size = given.mb * BLOCK
    if given.work:
        given.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.work, ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        there = (
            on_claim(given.files, size, given.claim, given.sets)
            if given.claim
            else nearby(given.files, size, work)
        )
        with there as place:
            found = measure(place, given.files, size, work)
    if given.json:
        print(json.dumps(found, indent=2, default=asdict))
    else:
        show(found)


if __name__ == "__main__":
    main()
