"""Campaigns through the command line, whatever happens to process, pods, node and API."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.real_cluster.campaigns import SAMPLE, Campaign, admin, answers, gpus_watched, write_models
from tests.real_cluster.cluster import cluster
from tests.real_cluster.kube import EVERYTHING, Kube, assert_same, component, instance, tables
from tests.support.fault_server import FaultServer, in_thread

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
            [*command, *given, "--out", str(folder)], cwd=ROOT, check=True, capture_output=True, timeout=600
        )
    return tables(folder)


@contextmanager
def campaign_of(kube: Kube, home: Path, seeds: Mapping[str, int], delay: int) -> Iterator[Campaign]:
    """A campaign of some models whose answers take so many seconds; its end is checked."""
    values = write_models(
        home / "values",
        **{name: {"server": {"extraArgs": [f"--seed={n}", f"--delay={delay}"]}} for name, n in seeds.items()},
    )
    options = ("--models", ",".join(seeds), "--values-folder", str(values), "--sample", str(SAMPLE))
    campaign = Campaign(kube, home, *options)
    with gpus_watched(kube) as seen:
        yield campaign
        report = campaign.ended(180)
    assert [model["state"] for model in report["models"]] == ["done"] * len(seeds), report
    # Kubernetes replaces a pod that somebody deletes while that one is still going.
    assert max(sum(held.values()) for held in seen) <= 2
    assert all(len(held) <= 1 for held in seen), "two models held GPUs"
    assert {name for held in seen for name in held} == set(seeds)
    # The pod of the last transfer may still be going; it holds nothing.
    kube.until(lambda: kube.names(EVERYTHING) == claims(*seeds), 30, "nothing but claims")
    for model, seed in seeds.items():
        (reported,) = (one for one in report["models"] if one["model"] == model)
        assert reported["gpu_hours"] > 0 and all(pod["until"] for pod in reported["pods"])
        # If a process is killed after a fetch, but before it has recorded it, the next one fetches again.
        runs = list(home.glob(f"out-*/results/*/{model}/{model}"))
        expected = local_tables(home / "local" / model, model, seed)
        assert runs and {Path(folder) for folder in reported["results"]} <= set(runs)
        for run in runs:
            assert_same(tables(run), expected)


def test_two_models_and_whatever_is_killed(kube: Kube, tmp_path: Path) -> None:
    """The process killed, pods deleted: tables byte for byte those of local runs, one model's GPUs at a time,
    and nothing left but claims.
    """
    with campaign_of(kube, tmp_path, {"alpha": 1, "beta": 2}, delay=2) as campaign:
        campaign.start()
        for phase in ("installing", "querying", "uninstalling"):
            campaign.reaches("alpha", phase)
            campaign.kill()
            campaign.start(resume=True)
        # What another machine sees, which has neither folder nor home of the first.
        found = campaign.grace("status", "--out", str(tmp_path / "nowhere"))
        assert [model["model"] for model in found["models"]] == ["alpha", "beta"]

        for target in ("server", "query"):
            kube.until(lambda: answers(kube, "beta") >= 3, 60, "answers of beta")
            (pod,) = kube.get("pods", component("beta", target))
            kube.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
            gone(kube, "beta", pod["metadata"]["uid"])


@pytest.mark.alone
def test_the_node_is_drained_and_the_api_restarted(kube: Kube, tmp_path: Path) -> None:
    """The campaign waits, and goes on: tables byte for byte those of a local run."""
    with campaign_of(kube, tmp_path, {"gamma": 3}, delay=3) as campaign:
        campaign.start()
        kube.until(lambda: answers(kube, "gamma") >= 3, 60, "answers of gamma")
        admin(kube).kubectl("drain", "node-1", "--ignore-daemonsets", "--delete-emptydir-data", "--force")
        campaign.reaches("gamma", "queued")
        admin(kube).kubectl("uncordon", "node-1")
        campaign.reaches("gamma", "querying")
        cluster("down")
        cluster("up", "--nrp")
