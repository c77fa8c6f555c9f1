"""What is read out of a release's objects."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from grace_client.campaign.observe import observe, read
from grace_client.core.errors import SpecError
from grace_client.kube.kubectl import Kubectl
from tests.campaign.world import START
from tests.kube.objects import container

Json = dict[str, Any]


def pod(**spec: Any) -> Json:
    """A pod that has its node."""
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-22T12:00:00Z"}
    labels = {"app.kubernetes.io/component": "server", "grace/experiment": "", "job-name": "job-x"}
    return {
        "kind": "Pod",
        "metadata": {"name": "a", "uid": "1", "labels": labels, "creationTimestamp": "2026-11-22T12:00:00Z"},
        "spec": {"nodeName": "node-1", **spec},
        "status": {
            "phase": "Running",
            "conditions": [scheduled],
            "containerStatuses": [{"name": "main", "ready": True, "state": {"running": {}}}],
        },
    }


def test_gpus_of_a_sidecar_are_held() -> None:
    """With `server.kind: Job` the server starts before the clients, and runs beside them."""
    server = container("server", gpus=2, gpu="nvidia.com/a100", restartPolicy="Always")
    found = read("x", START, [pod(initContainers=[server], containers=[container()])], [])
    assert found.gpus == 2
    download = container("weights", gpus=1)
    beside = read("x", START, [pod(initContainers=[download, server], containers=[container()])], [])
    assert beside.gpus == 2, "a download that has ended holds nothing more"


def test_a_job_tells_when_it_ended() -> None:
    """By its condition."""
    ended = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-22T13:00:00Z"}
    meta = {"name": "j", "labels": {"app.kubernetes.io/component": "autostop"}}
    meta["creationTimestamp"] = "2026-11-22T12:00:00Z"
    (job,) = read("x", START, [{"kind": "Job", "metadata": meta, "status": {"conditions": [ended]}}], []).jobs
    assert job.complete and job.finished is not None and job.finished.hour == 13


class Cluster(Kubectl):
    """One node of it refuses to give its logs."""

    def __init__(self) -> None:
        """Needs no kubectl."""

    async def get(self, kind: str, *, selector: str = "", names: Sequence[str] = ()) -> list[Json]:
        """The pod, which has failed."""
        failed = pod(containers=[container()])
        ended = {"name": "main", "state": {"terminated": {"exitCode": 1}}}
        failed["status"]["containerStatuses"] = [ended]
        return [failed] if kind.startswith("pods") else []

    async def logs(self, pod: str, container: str, *, tail: int = 40, previous: bool = False) -> str:
        """As kubectl says it of a kubelet with a certificate of its own."""
        raise SpecError("kubectl logs: x509: certificate signed by unknown authority")


def test_a_node_that_tells_no_log_hides_nothing_else() -> None:
    """The objects are there all the same."""
    found = asyncio.run(observe(Cluster(), "x", START))
    assert found.pods[0].containers[0].exit_code == 1 and not found.pods[0].containers[0].log
