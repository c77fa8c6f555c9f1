"""The clients give the tables of a run on one machine, whatever happens to the server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml

from tests.conftest import ROOT
from tests.real_cluster.kube import CHART, SMALL, Kube, assert_same, component, tables
from tests.real_cluster.test_release import QUICK
from tests.support.fault_server import FaultServer, in_thread

RUN = "study1-exp2/fake/killed"
SAMPLE = 60
"""Trials of the run whose server is killed."""


def local_run(folder: Path) -> Path:
    """The same run without a cluster: equal trials, an equal server."""
    with in_thread(FaultServer(model="fake")) as server:
        command = [
            sys.executable,
            "-m",
            "grace_client",
            "run",
            "study1-exp2",
            "--server",
            server.url,
            "--quiet",
        ]
        given = ["--model", "fake", "--trials", str(ROOT / "data" / "study1.csv"), "--sample", str(SAMPLE)]
        given += ["--out", str(folder)]
        subprocess.run([*command, *given], cwd=ROOT, check=True, capture_output=True, timeout=600)
    return folder


def fetch(kube: Kube, release: str, folder: Path) -> None:
    """As the notes of a release say."""
    template = ["template", release, str(CHART), "--values", str(SMALL), "--set", "files.enabled=true"]
    job = kube.helm(*template, "--show-only", "templates/files/job.yaml", "--namespace", kube.namespace)
    kube.kubectl("apply", "--filename", "-", stdin=job)
    files = component(release, "files")
    kube.until(lambda: kube.get("pods", files), 20, "a pod of the files Job")
    kube.kubectl("wait", "--for=condition=ready", "pod", "--selector", files, "--timeout=240s")
    (pod,) = kube.get("pods", files)
    kube.kubectl("cp", f"{pod['metadata']['name']}:/output/{RUN}", str(folder))
    kube.kubectl("delete", "job", "job-files-fake", "--wait=false")


def test_a_killed_server_leaves_the_same_tables(kube: Kube, tmp_path: Path) -> None:
    """Byte for byte those of a local run; the client outlives the server and its Job needs no retry."""
    # Each question takes 2 s, some at a time: time enough for a kill between the first and the last.
    sample = f"queries.experiments.study1-exp2.sample={SAMPLE}"
    kube.install("killed", "--set", "server.extraArgs={--delay=2}", "--set", sample)
    query = kube.query_job("killed")
    (client,) = kube.get("pods", f"job-name={query}")

    def answers() -> int:
        count = f"cat /output/{RUN}/ledger/*.jsonl 2>/dev/null | wc -l"
        return int(kube.kubectl("exec", client["metadata"]["name"], "--", "sh", "-c", count))

    kube.until(lambda: answers() >= 5, 90, "five answers")
    (server,) = kube.get("pods", component("killed", "server"))
    kube.kubectl("delete", "pod", server["metadata"]["name"], "--grace-period=0", "--force")
    job = json.loads(kube.kubectl("get", "job", query, "--output", "json"))
    assert not job["status"].get("succeeded"), "the run was over before the kill; raise the delay"
    assert kube.finished(query, 240), kube.log(query)
    assert kube.exit_codes(query) == [0]
    (successor,) = kube.get("pods", component("killed", "server"))
    assert successor["metadata"]["uid"] != server["metadata"]["uid"]

    fetch(kube, "killed", tmp_path / "cluster")
    expected, fetched = tables(local_run(tmp_path / "local")), tables(tmp_path / "cluster")
    assert len(expected) == 3
    assert_same(fetched, expected)
    verify = [sys.executable, "-m", "grace_client", "verify", str(tmp_path / "cluster")]
    subprocess.run(verify, cwd=ROOT, check=True, capture_output=True)


def test_exit_codes_say_whether_a_retry_helps(kube: Kube, tmp_path: Path) -> None:
    """Code 3 while the server is away: the next pod of the Job goes on when it is back. Code 2 for bad data.
    Kubernetes 1.20 has no policy on exit codes, so only the rendered Job shows that 2 is not retried.
    """
    kube.install("away", "--set", "queries.waitMinutes=1", "--set", "server.extraArgs={--delay=1}", *QUICK)
    kube.kubectl("scale", "deployment", "deployment-fake", "--replicas=0")
    away = kube.query_job("away")

    # While its client waits for the server:
    lines = (ROOT / "data" / "study1.csv").read_text().splitlines(keepends=True)
    bad = tmp_path / "bad.csv"
    bad.write_text("".join(lines[:3]) + lines[3].replace("How many", "Whence", 1))
    trials = ("--values", str(SMALL), "--set", "model.name=bad", "--set-file", f"queries.trials.study1={bad}")
    # Helm 4 would wait for the server, and see the failed Job as a failed release.
    kube.helm("install", "bad", str(CHART), *trials, "--set", "queries.backoffLimit=0")
    query = kube.query_job("bad")
    assert not kube.finished(query, 60)
    assert kube.exit_codes(query) == [2]
    assert "/trials/study1.csv:4: column" in kube.log(query)

    template = ("template", "bad", str(CHART), *trials, "--kube-version", "1.31.0")
    (job,) = yaml.safe_load_all(kube.helm(*template, "--show-only", "templates/queries/jobs.yaml"))
    fail, ignore = job["spec"]["podFailurePolicy"]["rules"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    on = {"containerName": container["name"], "operator": "In", "values": [2]}
    assert fail == {"action": "FailJob", "onExitCodes": on}
    assert ignore["action"] == "Ignore" and "onExitCodes" not in ignore

    kube.until(lambda: kube.exit_codes(away) == [3], 240, "exit code 3")
    kube.kubectl("scale", "deployment", "deployment-fake", "--replicas=1")
    assert kube.finished(away, 240), kube.log(away)
    assert kube.exit_codes(away)[0] == 3 and kube.exit_codes(away)[-1] == 0


def test_a_self_ending_server_needs_a_newer_cluster(kube: Kube) -> None:
    """Where the cluster has no native sidecars it is refused before anything is made; elsewhere it ends."""
    given = ("install", "run", str(CHART), "--values", str(SMALL), "--set", "server.kind=Job", *QUICK)
    if kube.version() >= (1, 29):
        kube.helm(*given)
        (job,) = kube.get("jobs", component("run", "server"))
        assert kube.finished(job["metadata"]["name"], 150), kube.log(job["metadata"]["name"])
        return
    said = kube.refused(*given).said
    assert "server.kind" in said and "1.29" in said and ".".join(map(str, kube.version())) in said
    assert not kube.names("all,pvc")
