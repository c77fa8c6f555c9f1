"""Campaigns through the command line, whatever happens to process, pods, node and API."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.real_cluster.campaigns import SAMPLE, Campaign, admin, answers, cluster, gpus_watched, write_models
from tests.real_cluster.kube import EVERYTHING, Kube, assert_same, component, instance, tables
from tests.support.fault_server import FaultServer, in_thread

SEEDS = {"alpha": 1, "beta": 2, "gamma": 3}
REAL = {"scheduling": {"nodeSelector": {"grace.test/node": "real"}}}
KEPT = {f"persistentvolumeclaim/pvc-grace-{purpose}" for purpose in ("input", "output", "logs")}


def claims(*models: str) -> set[str]:
    """What a campaign leaves."""
    return KEPT | {f"persistentvolumeclaim/pvc-model-weights-{model}" for model in models}


def gone(kube: Kube, release: str, uid: str) -> None:
    """Wait until a pod of a release is no more."""

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


def test_three_models_through_thick_and_thin(kube: Kube, tmp_path: Path) -> None:
    """The process killed, pods deleted, the node drained, the API restarted: tables byte for byte those of
    local runs, one model's GPUs at a time, and nothing left but claims.
    """
    models = {
        name: REAL | {"server": {"extraArgs": [f"--seed={seed}", "--delay=2"]}}
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
        told = campaign.grace("status", "--out", str(tmp_path / "nowhere"))
        assert [model["model"] for model in told["models"]] == list(SEEDS)

        for target in ("server", "query"):
            kube.until(lambda: answers(kube, "beta") >= 4, 60, "answers of beta")
            (pod,) = kube.get("pods", component("beta", target))
            kube.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
            gone(kube, "beta", pod["metadata"]["uid"])

        kube.until(lambda: answers(kube, "gamma") >= 4, 120, "answers of gamma")
        admin(kube).kubectl("drain", "node-1", "--ignore-daemonsets", "--delete-emptydir-data", "--force")
        campaign.reaches("gamma", "queued")
        admin(kube).kubectl("uncordon", "node-1")
        campaign.reaches("gamma", "querying")
        cluster("down")
        cluster("up", "--nrp")
        report = campaign.ended(180)
    assert [model["state"] for model in report["models"]] == ["done"] * 3, report
    # Kubernetes replaces a pod that somebody deletes while that one is still going.
    assert max(sum(held.values()) for held in seen) <= 2
    assert all(len(held) <= 1 for held in seen), "two models held GPUs"
    assert {name for held in seen for name in held} == set(SEEDS)
    # The pod that the last results came through was told to go, and holds nothing.
    kube.until(lambda: kube.names(EVERYTHING) == claims(*SEEDS), 30, "nothing but claims")
    for model, seed in SEEDS.items():
        (told,) = (one for one in report["models"] if one["model"] == model)
        assert told["gpu_hours"] > 0 and all(pod["until"] for pod in told["pods"])
        (run,) = (
            map(Path, told["results"])
            if model != "alpha"
            else campaign.home.glob("out-*/results/*/alpha/alpha")
        )
        assert_same(tables(run), local_tables(tmp_path / "local" / model, model, seed))
