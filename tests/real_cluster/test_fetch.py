"""Results are fetched through a pod that is gone afterwards, however often the connection breaks."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.conftest import ROOT
from tests.real_cluster import images
from tests.real_cluster.kube import SMALL, Json, Kube, grace, grace_command

Fetching = subprocess.Popen[bytes]
CLAIM = "pvc-grace-output"
MAKE = """
import hashlib, json, os, random, sys
count, size = map(int, sys.argv[1:])
top = '/output/study1-exp2/fake/run'
os.makedirs(top)
os.chdir(top)
os.mkdir('ledger')
sums = {}
for name in ('ledger/a.jsonl', *(f't{n}.csv' for n in range(count))):
    content = random.Random(name).randbytes(size)
    open(name, 'wb').write(content)
    sums[name] = hashlib.sha256(content).hexdigest()
ledger = sums.pop('ledger/a.jsonl')
json.dump({'results': {'ledger_sha256': ledger, 'tables': sums}}, open('manifest.json', 'w'))
"""
"""A run of so many tables, and a ledger, each of so many bytes."""


def make(kube: Kube, count: int, size: int) -> None:
    """Put such a run on the output claim."""
    spec: Json = {"accessModes": ["ReadWriteMany"], "storageClassName": "rook-cephfs"}
    spec |= {"resources": {"requests": {"storage": "5Gi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "spec": spec}
    kube.kubectl("apply", "--filename", "-", stdin=json.dumps(claim))
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "output", "mountPath": "/output"}]
    volume = {"name": "output", "persistentVolumeClaim": {"claimName": CLAIM}}
    words = ["-c", MAKE, str(count), str(size)]
    kube.run_job("make", images.CLIENT, words, command=["python"], volumeMounts=mounts, volumes=[volume])
    assert kube.finished("make", 100), kube.log("make")


def fetch(to: Path) -> list[str]:
    """The command, by claim: the release is long gone."""
    own = "queries.image.repository=localhost/grace-client", "queries.image.tag=test"
    sets = [word for one in (*own, "queries.image.pullPolicy=Never") for word in ("--set", one)]
    small = ["--set", "queries.resources.cpu=300m", "--set", "queries.resources.memory=500Mi"]
    small += ["--set", r"scheduling.nodeSelector.grace\.test/node=real"]
    return ["fetch", "--claim", CLAIM, "--to", str(to), *sets, *small]


def interrupted(kube: Kube, to: Path, reached: Callable[[], bool], how: Callable[[Fetching], None]) -> None:
    """Begin to fetch, and break it off."""
    fetching = subprocess.Popen(grace_command(*fetch(to)), env=kube.env, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        kube.until(lambda: reached() or fetching.poll() is not None, 120, "a part to arrive")
        assert fetching.poll() is None, "all was there before it could be interrupted"
        how(fetching)
        fetching.wait(120)
    finally:
        fetching.kill()


def arrived(to: Path) -> int:
    """Bytes that have arrived, of unfinished files too."""
    found = 0
    for folder, _, names in os.walk(to):
        for name in names:
            # A file that is whole takes its own name meanwhile.
            with suppress(FileNotFoundError):
                found += Path(folder, name).stat().st_size
    return found


def readers(kube: Kube) -> list[str]:
    return [job["metadata"]["name"] for job in kube.get("jobs", "app.kubernetes.io/component=files")]


def test_three_interruptions(kube: Kube, tmp_path: Path) -> None:
    """Ctrl-C, a pod that goes, a kill: complete and verified, and but for the kill no Job is left."""
    count, size, to = 20, 6_000_000, tmp_path / "home"
    make(kube, count, size)
    whole = (count + 1) * size

    def part(share: float) -> Callable[[], bool]:
        return lambda: arrived(to) > share * whole

    def cut(fetching: Fetching) -> None:
        # The pod goes; the command makes another one and goes on, until it is stopped as well.
        pods = kube.get("pods", "app.kubernetes.io/component=files")
        names = [pod["metadata"]["name"] for pod in pods]
        kube.kubectl("delete", "pod", *names, "--grace-period=0", "--force")
        there = arrived(to)
        kube.until(lambda: arrived(to) > there, 60, "another pod to go on")
        fetching.send_signal(signal.SIGINT)

    to.mkdir()
    interrupted(kube, to, part(0.1), lambda fetching: fetching.send_signal(signal.SIGINT))
    assert not readers(kube)
    interrupted(kube, to, part(0.3), cut)
    assert not readers(kube)
    interrupted(kube, to, part(0.6), lambda fetching: fetching.send_signal(signal.SIGKILL))
    found = json.loads(grace(kube, *fetch(to), "--json"))
    run = to / "study1-exp2/fake/run"
    assert (found["files"], found["verified"]) == (count + 2, [str(run)])
    assert found["received"] < 0.5 * whole
    assert not list(run.rglob(".*"))
    results = json.loads((run / "manifest.json").read_text())["results"]
    sums = results["tables"] | {"ledger/a.jsonl": results["ledger_sha256"]}
    for name, expected in sums.items():
        assert hashlib.sha256((run / name).read_bytes()).hexdigest() == expected


def test_a_run_that_goes_on_and_another_of_an_uploaded_list(kube: Kube, tmp_path: Path) -> None:
    """A part of the ledger is fetched and exported; watching ends with the Job and leaves no pod; a list that
    is uploaded then is what the release's next Job reads.
    """
    delay, sample = "server.extraArgs={--delay=1}", "queries.experiments.study1-exp2.sample=40"
    kube.install("going", "--set", delay, "--set", sample)
    query = kube.query_job("going")
    run = tmp_path / "study1-exp2" / "fake" / "going"

    def partial() -> bool:
        listed = json.loads(grace(kube, "fetch", "going", "--list", "--json"))
        return bool(listed) and listed[0]["bytes"] > 10_000

    kube.until(partial, 90, "a part of the run")
    found = json.loads(grace(kube, "fetch", "going", "--to", str(tmp_path), "--json"))
    if found["partial"]:
        grace(kube, "export", str(run))
    found = json.loads(grace(kube, "fetch", "going", "--to", str(tmp_path), "--watch", "--json"))
    assert found["verified"] == [str(run)]
    assert kube.finished(query, 10)
    grace(kube, "verify", str(run))
    assert not readers(kube)

    lines = (ROOT / "data" / "study1.csv").read_text().splitlines(keepends=True)
    (tmp_path / "mine.csv").write_text("".join(lines[:4]))
    given = [str(tmp_path / "mine.csv"), "--values", str(SMALL), "--folder", "lists"]
    assert json.loads(grace(kube, "upload", *given, "--json")) == {"files": ["lists/mine.csv"]}
    trials = ("--set", "queries.trials.fromInput.study1=lists/mine.csv,queries.runId=mine")
    kube.install("going", "--set", delay, *trials, verb="upgrade")
    query = kube.query_job("going")
    assert kube.finished(query, 90), kube.log(query)
    grace(kube, "fetch", "going", "--to", str(tmp_path))
    assert (tmp_path / "study1-exp2/fake/mine/trials.csv").read_text().count("\n") == 4
