"""The clients bring home what a run on one machine gives, whatever happens to the server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from tests.conftest import ROOT
from tests.real_cluster.kube import CHART, SMALL, Kube, assert_same, component, tables
from tests.support.fault_server import FaultServer, in_thread

RUN = "study1-exp2/fake/killed"


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
        given = ["--model", "fake", "--trials", str(ROOT / "data" / "study1.csv"), "--out", str(folder)]
        subprocess.run([*command, *given], cwd=ROOT, check=True, capture_output=True, timeout=120)
    return folder


def fetch(kube: Kube, release: str, folder: Path) -> None:
    """As the notes of a release say."""
    template = ["template", release, str(CHART), "--values", str(SMALL), "--set", "files.enabled=true"]
    job = kube.helm(*template, "--show-only", "templates/files/job.yaml", "--namespace", "grace")
    kube.kubectl("apply", "--filename", "-", stdin=job)
    files = component(release, "files")
    kube.until(lambda: kube.get("pods", files), 20, "a pod of the files Job")
    kube.kubectl("wait", "--for=condition=ready", "pod", "--selector", files, "--timeout=60s")
    (pod,) = kube.get("pods", files)
    kube.kubectl("cp", f"{pod['metadata']['name']}:/output/{RUN}", str(folder))
    kube.kubectl("delete", "job", "job-files-fake", "--wait=false")


def test_a_killed_server_leaves_the_same_tables(kube: Kube, tmp_path: Path) -> None:
    """Byte for byte those of a local run; the client outlives the server and its Job needs no retry."""
    # 180 questions, each 2 s, some at a time: time enough for a kill between the first and the last.
    kube.install("killed", "--set", "server.extraArgs={--delay=2}")
    query = kube.query_job("killed")
    (client,) = kube.get("pods", f"job-name={query}")

    def answers() -> int:
        count = f"cat /output/{RUN}/ledger/*.jsonl 2>/dev/null | wc -l"
        return int(kube.kubectl("exec", client["metadata"]["name"], "--", "sh", "-c", count))

    kube.until(lambda: answers() >= 20, 90, "twenty answers")
    (server,) = kube.get("pods", component("killed", "server"))
    kube.kubectl("delete", "pod", server["metadata"]["name"], "--grace-period=0", "--force")
    held = answers()
    assert 20 <= held < 170, "the run was over before the kill; raise the delay"
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


def test_a_bad_trial_list_is_told_and_not_retried_where_the_cluster_can(kube: Kube, tmp_path: Path) -> None:
    """Exit code 2. This cluster does not know a policy on exit codes, so there the rendered Job has to do."""
    lines = (ROOT / "data" / "study1.csv").read_text().splitlines(keepends=True)
    bad = tmp_path / "bad.csv"
    bad.write_text("".join(lines[:3]) + lines[3].replace("How many", "Whence", 1))
    trials = ("--set-file", f"queries.trials.study1={bad}")
    # Helm 4 would wait for the server, and see the failed Job as a failed release.
    kube.helm(
        "install", "bad", str(CHART), "--values", str(SMALL), *trials, "--set", "queries.backoffLimit=0"
    )
    query = kube.query_job("bad")
    assert not kube.finished(query, 60)
    assert kube.exit_codes(query) == [2]
    assert "/trials/study1.csv:4: column" in kube.log(query)

    template = ("template", "bad", str(CHART), "--values", str(SMALL), *trials, "--kube-version", "1.31.0")
    (job,) = yaml.safe_load_all(kube.helm(*template, "--show-only", "templates/queries/jobs.yaml"))
    fail, ignore = job["spec"]["podFailurePolicy"]["rules"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    on = {"containerName": container["name"], "operator": "In", "values": [2]}
    assert fail == {"action": "FailJob", "onExitCodes": on}
    assert ignore["action"] == "Ignore" and "onExitCodes" not in ignore


def test_a_server_that_is_away_is_worth_a_retry(kube: Kube) -> None:
    """Exit code 3; the next pod of the Job goes on when the server is back."""
    kube.install("away", "--set", "queries.waitMinutes=1", "--set", "server.extraArgs={--delay=1}")
    kube.kubectl("scale", "deployment", "deployment-fake", "--replicas=0")
    query = kube.query_job("away")
    kube.until(lambda: kube.exit_codes(query) == [3], 240, "exit code 3")
    kube.kubectl("scale", "deployment", "deployment-fake", "--replicas=1")
    assert kube.finished(query, 240), kube.log(query)
    assert kube.exit_codes(query)[0] == 3 and kube.exit_codes(query)[-1] == 0


def test_a_self_ending_server_needs_a_newer_cluster(kube: Kube) -> None:
    """Refused with a sentence, and before anything is made."""
    said = kube.refused("install", "run", str(CHART), "--values", str(SMALL), "--set", "server.kind=Job").said
    assert "native sidecars need Kubernetes 1.29, and this cluster is v1.20" in said
    assert not kube.names("all,pvc")
