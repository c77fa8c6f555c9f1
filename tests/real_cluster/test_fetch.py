"""Results come home through a pod that is gone afterwards, however often the way is broken."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
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
os.makedirs(top + '/ledger')
digest = hashlib.sha256()
with open(top + '/ledger/a.jsonl', 'wb') as file:
    for n in range(size // 1_000_000):
        block = random.Random(n).randbytes(1_000_000)
        digest.update(block)
        file.write(block)
names = {}
for n in range(count):
    content = random.Random(n).randbytes(200)
    os.makedirs(f'{top}/parts/{n // 1000}', exist_ok=True)
    with open(f'{top}/parts/{n // 1000}/{n}.txt', 'wb') as file:
        file.write(content)
    if n < 100:
        names[f'parts/0/{n}.txt'] = hashlib.sha256(content).hexdigest()
told = {'results': {'ledger_sha256': digest.hexdigest(), 'tables': names}}
json.dump(told, open(top + '/manifest.json', 'w'))
"""
"""A run of so many small files, and a ledger of so many bytes."""


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


def asked(to: Path) -> list[str]:
    """By claim: the release is long gone."""
    own = "queries.image.repository=localhost/grace-client", "queries.image.tag=test"
    sets = [word for one in (*own, "queries.image.pullPolicy=Never") for word in ("--set", one)]
    small = ["--set", "queries.resources.cpu=500m", "--set", "queries.resources.memory=500Mi"]
    return ["fetch", "--claim", CLAIM, "--to", str(to), *sets, *small]


def interrupted(kube: Kube, to: Path, reached: Callable[[], bool], how: Callable[[Fetching], None]) -> None:
    """Begin to fetch, and break it off."""
    fetching = subprocess.Popen(grace_command(*asked(to)), env=kube.env, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        kube.until(lambda: reached() or fetching.poll() is not None, 120, "a part to arrive")
        assert fetching.poll() is None, "all was there before it could be interrupted"
        how(fetching)
        fetching.wait(120)
    finally:
        fetching.kill()


def arrived(to: Path) -> int:
    """Bytes at home, of unfinished files too."""
    found = 0
    for folder, _, names in os.walk(to):
        for name in names:
            # A file that is whole takes its own name meanwhile.
            with suppress(FileNotFoundError):
                found += Path(folder, name).stat().st_size
    return found


def readers(kube: Kube) -> list[str]:
    return [job["metadata"]["name"] for job in kube.get("jobs", "app.kubernetes.io/component=files")]


def many_files_and_a_large_one(kube: Kube, to: Path, count: int, size: int) -> dict[str, float]:
    """Fetch them, interrupted three times; figures of the last call and of all."""
    make(kube, count, size)
    began = time.monotonic()

    def part(share: float) -> Callable[[], bool]:
        return lambda: arrived(to) > share * size

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
    whole = count + 2
    last = time.monotonic()
    told = json.loads(grace(kube, *asked(to), "--json"))
    run = to / "study1-exp2/fake/run"
    assert (told["files"], told["verified"]) == (whole, [str(run)])
    assert told["received"] < 0.5 * size + 400 * count
    found = sum(1 for path in run.rglob("*.txt"))
    assert found == count and not list(run.rglob(".*"))
    manifest = json.loads((run / "manifest.json").read_text())["results"]
    with (run / "ledger/a.jsonl").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == manifest["ledger_sha256"]
    return {"all": time.monotonic() - began, "last": time.monotonic() - last, "received": told["received"]}


def test_three_interruptions(kube: Kube, tmp_path: Path) -> None:
    """Ctrl-C, a pod that goes, a kill: complete and verified, and but for the kill no Job is left."""
    print(many_files_and_a_large_one(kube, tmp_path / "home", 2_000, 60_000_000))


def test_partial_results_of_a_run_that_goes_on(kube: Kube, tmp_path: Path) -> None:
    """A prefix of the ledger comes home and works; watching ends with the Job and leaves no pod."""
    sample = "queries.experiments.study1-exp2.sample=60"
    kube.install("going", "--set", "server.extraArgs={--delay=1}", "--set", sample)
    query = kube.query_job("going")
    run = tmp_path / "study1-exp2" / "fake" / "going"

    def partial() -> bool:
        listed = json.loads(grace(kube, "fetch", "going", "--list", "--json"))
        return bool(listed) and listed[0]["bytes"] > 10_000

    kube.until(partial, 90, "a part of the run")
    told = json.loads(grace(kube, "fetch", "going", "--to", str(tmp_path), "--json"))
    if told["partial"]:
        grace(kube, "export", str(run))
    told = json.loads(grace(kube, "fetch", "going", "--to", str(tmp_path), "--watch", "--json"))
    assert told["verified"] == [str(run)]
    assert kube.finished(query, 10)
    grace(kube, "verify", str(run))
    assert not readers(kube)


def test_lists_go_up_and_are_asked(kube: Kube, tmp_path: Path) -> None:
    """A list of one's own, uploaded before the release, is what its Job reads."""
    kube.install("first", "--set", "queries.experiments.study1-exp2.sample=1")
    kube.uninstall("first")
    lines = (ROOT / "data" / "study1.csv").read_text().splitlines(keepends=True)
    (tmp_path / "mine.csv").write_text("".join(lines[:4]))
    given = [str(tmp_path / "mine.csv"), "--values", str(SMALL), "--folder", "lists"]
    told = json.loads(grace(kube, "upload", *given, "--json"))
    assert told == {"files": ["lists/mine.csv"]}
    kube.install("second", "--set", "queries.trials.fromInput.study1=lists/mine.csv")
    query = kube.query_job("second")
    assert kube.finished(query, 90), kube.log(query)
    grace(kube, "fetch", "second", "--to", str(tmp_path))
    assert (tmp_path / "study1-exp2/fake/second/trials.csv").read_text().count("\n") == 4
