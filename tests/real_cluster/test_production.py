"""Every model of the study at its real size, on a node that pretends to run it, under the cluster's rules."""

from __future__ import annotations

import pytest
import yaml

from tests.conftest import ROOT
from tests.real_cluster.kube import CHART, Kube, component

# A server would stop when its Jobs have ended, before this looks at it.
SETS = r"scheduling.nodeSelector.grace\.test/node=fake,autoStop=false"


# The node has GPUs for three models at a time.
@pytest.mark.parametrize(
    "models", [("gemma-2b", "gemma-9b", "llama-70b"), ("gemma-27b", "gpt-oss-20b", "gpt-oss-120b")]
)
def test_models_are_ready_and_their_jobs_end(kube: Kube, models: tuple[str, ...]) -> None:
    """After `helm install NAME -f values/NAME.yaml` each server is Ready and all four Jobs succeed."""
    kube.kubectl("create", "secret", "generic", "hf-token", "--from-literal=token=none")
    for name in models:
        kube.helm("install", name, str(CHART), "--values", f"values/{name}.yaml", "--set", SETS)
    for name in models:
        kube.kubectl("wait", "--for=condition=available", f"deployment/deployment-{name}", "--timeout=400s")
        (pod,) = kube.get("pods", component(name, "server"))
        assert pod["spec"]["nodeName"] == "fake-gpu-1"
        gpu = yaml.safe_load((ROOT / "values" / f"{name}.yaml").read_text())["gpu"]
        (container,) = pod["spec"]["containers"]
        assert container["resources"]["limits"][gpu["resource"]] == str(gpu["count"])
        jobs = kube.get("jobs", component(name, "query"))
        assert len(jobs) == 4
        for job in jobs:
            assert kube.finished(job["metadata"]["name"], 60)
