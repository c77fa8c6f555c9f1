"""Every model of the study at its real size, on a node that pretends to run it, under the cluster's rules."""

from __future__ import annotations

import pytest
import yaml

from tests.conftest import ROOT
from tests.real_cluster.kube import Kube, component

MODELS = ("gemma-2b", "gemma-9b", "gemma-27b", "llama-70b", "gpt-oss-20b", "gpt-oss-120b")


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_ready_and_its_jobs_end(kube: Kube, name: str) -> None:
    """The Deployment of `helm install NAME -f values/NAME.yaml` is Ready and all four Jobs are done."""
    kube.kubectl("create", "secret", "generic", "hf-token", "--from-literal=token=none")
    values = ROOT / "values" / f"{name}.yaml"
    kube.install(name, "--set", "scheduling.nodeSelector.grace\\.test/node=fake", values=[values])
    (pod,) = kube.get("pods", component(name, "server"))
    assert pod["spec"]["nodeName"] == "fake-gpu-1"
    (container,) = pod["spec"]["containers"]
    gpu = yaml.safe_load(values.read_text())["gpu"]
    assert container["resources"]["limits"][gpu["resource"]] == str(gpu["count"])
    jobs = kube.get("jobs", component(name, "query"))
    assert len(jobs) == 4
    for job in jobs:
        assert kube.finished(job["metadata"]["name"], 60)
    kube.uninstall(name)
    assert not kube.get("pods")
