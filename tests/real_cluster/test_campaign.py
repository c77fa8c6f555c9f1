"""Campaigns through the command line, whatever happens to process, pods, node and API."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.real_cluster.campaigns import SAMPLE, Campaign, admin, answers, cluster, gpus_watched, write_models
from tests.real_cluster.kube import EVERYTHING, Kube, assert_same, component, instance, tables
from tests.support.fault_server import FaultServer, in_thread

SEEDS = {"alpha": 1, "beta": 2}
DELAYS = {"alpha": 2, "beta": 3}
"""Seconds of an answer; beta is disturbed more often while it answers."""
REAL = {"scheduling": {"nodeSelector": {"grace.test/node": "real"}}}
KEPT = {f"persistentvolumeclaim/pvc-grace-{purpose}" for purpose in ("input", "output", "logs")}


def claims(*models: str) -> set[str]:
    """Claims that a campaign leaves."""
    return KEPT | {f"persistentvolumeclaim/pvc-model-weights-{model}" for model in models}


def gone(kube: Kube, release: str, uid: str) -> None:
    """Wait until a pod of a release is deleted."""

    def over() -> bool:
        return uid not in {pod["metadata"]["uid"] for pod in kube.get("pods", instance(release))}

    kube.until(over, 60, "a pod to go")


def local_tables(folder: Path, model: str, seed: int) -> dict[str, bytes]:
    """Tables of the same run against the same stand-in, without a cluster."""
    with in_thread(FaultServer(model=model, seed=seed)) as server:
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
        given = ["--model", model, "--trials", str(ROOT / "data" / "study1.csv"), "--sample", str(SAMPLE)]
        subprocess.run(
            [*command, *given, "--out", str(folder)], cwd=ROOT, check=True, capture_output=True, timeout=120
        )
    return tables(folder)


def test_two_models_and_every_disturbance(kube: Kube, tmp_path: Path) -> None:
    """The process killed, pods deleted, the node drained, the API restarted: tables byte for byte those of
    local runs, one model's GPUs at a time, and nothing left but claims.
    """
    models = {
        name: REAL | {"server": {"extraArgs": [f"--seed={seed}", f"--delay={DELAYS[name]}"]}}
        for name, seed in SEEDS.items()
    }
    values = write_models(tmp_path / "values", **models)
    options = ("--models", ",".join(SEEDS), "--values-folder", str(values), "--sample", str(SAMPLE))
    campaign = Campaign(kube, tmp_path, *options)
    with gpus_watched(kube) as seen:
        campaign.start()
        for phase in ("installing", "querying", "uninstalling"):
            campaign.reaches("alpha", phase)
            campaign.kill()
            campaign.start(resume=True)
        # What another machine sees, which has neither folder nor home of the first.
        found = campaign.grace("status", "--out", str(tmp_path / "nowhere"))
        assert [model["model"] for model in found["models"]] == list(SEEDS)

        for target in ("server", "query"):
            kube.until(lambda: answers(kube, "beta") >= 3, 60, "answers of beta")
            (pod,) = kube.get("pods", component("beta", target))
            kube.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
            gone(kube, "beta", pod["metadata"]["uid"])
        admin(kube).kubectl("drain", "node-1", "--ignore-daemonsets", "--delete-emptydir-data", "--force")
        campaign.reaches("beta", "queued")
        admin(kube).kubectl("uncordon", "node-1")
        campaign.reaches("beta", "querying")
        cluster("down")
        cluster("up", "--nrp")
        report = campaign.ended(180)
    assert [model["state"] for model in report["models"]] == ["done"] * len(SEEDS), report
    # Kubernetes replaces a pod that somebody deletes while that one is still going.
    assert max(sum(held.values()) for held in seen) <= 2
    assert all(len(held) <= 1 for held in seen), "two models held GPUs"
    assert {name for held in seen for name in held} == set(SEEDS)
    # The pod of the last transfer may still be going; it holds nothing.
    kube.until(lambda: kube.names(EVERYTHING) == claims(*SEEDS), 30, "nothing but claims")
    for model, seed in SEEDS.items():
        (reported,) = (one for one in report["models"] if one["model"] == model)
        assert reported["gpu_hours"] > 0 and all(pod["until"] for pod in reported["pods"])
        # If a process is killed after a fetch, but before it has recorded it, the next one fetches again.
        runs = list(campaign.home.glob(f"out-*/results/*/{model}/{model}"))
        expected = local_tables(tmp_path / "local" / model, model, seed)
        assert runs and {Path(folder) for folder in reported["results"]} <= set(runs)
        for run in runs:
            assert_same(tables(run), expected)
