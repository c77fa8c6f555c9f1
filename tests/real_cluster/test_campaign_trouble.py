"""Campaigns whose models cannot run as asked, at production size, and ended from elsewhere."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import yaml

from tests.real_cluster.campaigns import Campaign, gpus_watched, write_models
from tests.real_cluster.kube import EVERYTHING, POLL, Kube
from tests.real_cluster.test_campaign import KEPT, claims

FAKE = ("--set", r"scheduling.nodeSelector.grace\.test/node=fake", "--no-fetch")
"""Nothing runs on the node that only pretends, so there is nothing to fetch."""
KILLS = 5


def stuck_hook() -> dict[str, Any]:
    """A Job that helm waits for before it installs anything, on a node that there is not."""
    amounts = {"cpu": "100m", "memory": "100Mi"}
    container = {
        "name": "main",
        "image": "localhost/grace-client:test",
        "resources": {"requests": amounts, "limits": amounts},
    }
    pod = {"restartPolicy": "Never", "nodeSelector": {"grace.test/node": "none"}, "containers": [container]}
    hook = {"helm.sh/hook": "pre-install,pre-upgrade", "helm.sh/hook-delete-policy": "before-hook-creation"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "stuck", "annotations": hook},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": 600,
            "ttlSecondsAfterFinished": 60,
            "template": {"spec": pod},
        },
    }


def test_models_that_cannot_run(kube: Kube, tmp_path: Path) -> None:
    """No such GPU: the fallback, in a run of its own. No image, no token, an install without end: reasons and
    the next commands, GPUs free, and the campaign goes on with the next model.
    """
    image = {"repository": "localhost/grace-fault-server", "tag": "no-such-tag", "pullPolicy": "Never"}
    weights = {"image": image | {"tag": "test"}}
    values = write_models(
        tmp_path / "values",
        noimage={"server": {"image": image}, "weights": weights},
        notoken={"weights": {"token": {"existingSecret": "hf-token"}}},
        slow={"extraObjects": [stuck_hook()]},
        nogpu={"gpu": {"resource": "nvidia.com/rtxa6000"}},
    )
    (values / "gpus").mkdir()
    (values / "gpus" / "spare.yaml").write_text(yaml.safe_dump({"gpu": {"resource": "nvidia.com/gpu"}}))
    options = ("--models", "noimage,notoken,slow,nogpu", "--values-folder", str(values), "--sample", "3")
    bounds = ("--fallback", "spare", "--queue-minutes", "0.3", "--install-minutes", "0.4")
    campaign = Campaign(kube, tmp_path, *options, *bounds)
    with gpus_watched(kube) as seen:
        campaign.start()
        report = campaign.ended(180, code=1)
    models = {model["model"]: model for model in report["models"]}
    assert {name: model["state"] for name, model in models.items()} == {
        "noimage": "failed",
        "notoken": "failed",
        "slow": "failed",
        "nogpu": "done",
    }, report
    assert "no-such-tag" in models["noimage"]["reason"] and "server.image" in models["noimage"]["next"]
    assert 'secret "hf-token" not found' in models["notoken"]["reason"]
    assert "kubectl create secret generic hf-token" in models["notoken"]["next"]
    assert "grace campaign run" in models["slow"]["next"] and models["slow"]["gpu_hours"] == 0
    assert models["nogpu"]["gpu"] == "spare" and "nvidia.com/rtxa6000" in models["nogpu"]["notes"][0]
    (run,) = map(Path, models["nogpu"]["results"])
    assert run.name == "nogpu-spare"
    manifest = json.loads((run / "manifest.json").read_text())
    assert "'gpu': 'spare'" in str(manifest["spec"]["engine"])
    assert max(sum(held.values()) for held in seen) <= 2
    assert not held_now(kube)
    # The user's own hook is no part of the release, so Helm leaves it.
    kube.kubectl("delete", "job", "stuck")
    kube.until(lambda: not kube.get("pods"), 60, "the last pods to go")
    assert kube.names(EVERYTHING) <= claims(*models)


def held_now(kube: Kube) -> bool:
    """Whether any release is left, or any pod with a GPU."""
    pods = json.dumps([pod["spec"]["containers"] for pod in kube.get("pods")])
    return "nvidia.com" in pods or bool(json.loads(kube.helm("list", "--output", "json")))


def changes(campaign: Campaign, count: int) -> bool:
    """Wait until the latest process has changed the campaign so often; whether it did before it ended."""
    first = None
    while campaign.running():
        if (campaign.out / "campaign.json").exists():
            version = int(json.loads((campaign.out / "campaign.json").read_text())["version"])
            first = version if first is None else first
            if version >= first + count:
                return True
        time.sleep(POLL / 5)
    return False


def test_production_size_killed_again_and_again(kube: Kube, tmp_path: Path) -> None:
    """Two of the study's models at their real size; each process is killed after one change of its own, the
    next one has another home and folder; never more than two GPUs, and both models are done.
    """
    kube.kubectl("create", "secret", "generic", "hf-token", "--from-literal=token=none")
    campaign = Campaign(kube, tmp_path, "--models", "gemma-9b,gemma-27b", *FAKE)
    with gpus_watched(kube) as seen:
        campaign.start()
        kills = 0
        while kills < KILLS and changes(campaign, 1):
            campaign.kill()
            kills += 1
            if kills == 1:
                other = Campaign(kube, tmp_path / "other", "--models", "gpt-oss-20b", *FAKE)
                other.start()
                assert f"is running in namespace {kube.namespace}" in other.ended(60, code=3)["error"]
            campaign.start(resume=True)
        report = campaign.ended(120)
    assert kills == KILLS, "it was over before"
    assert [model["state"] for model in report["models"]] == ["done", "done"], report
    assert max(sum(held.values()) for held in seen) == 2
    assert all(len(held) <= 1 for held in seen)
    assert not held_now(kube)
    left = kube.names(EVERYTHING)
    assert left == claims("gemma-9b", "gemma-27b") | {"secret/hf-token"}


def test_a_campaign_is_ended_from_elsewhere(kube: Kube, tmp_path: Path) -> None:
    """`grace campaign stop` frees the GPUs, whether or not a process still conducts the campaign."""
    values = write_models(tmp_path / "values", alone={"server": {"extraArgs": ["--delay=600"]}})
    campaign = Campaign(kube, tmp_path, "--models", "alone", "--values-folder", str(values))
    campaign.start()
    campaign.reaches("alone", "querying")
    stopped = campaign.grace("stop", "--out", str(tmp_path / "nowhere"))
    report = campaign.ended(90, code=3)
    assert "grace campaign stop" in report["stopping"] and stopped["stopped"] == report["campaign"]
    assert report["models"][0]["state"] == "planned" and report["models"][0]["gpu_hours"] > 0
    assert not held_now(kube) and kube.names(EVERYTHING) == claims("alone")

    campaign.start()
    campaign.reaches("alone", "loading", "querying")
    campaign.kill()
    stopped = campaign.grace("stop", "--out", str(tmp_path / "elsewhere"))
    assert stopped["models"][0]["state"] == "planned"
    assert not held_now(kube) and kube.names(EVERYTHING) == KEPT | claims("alone")
