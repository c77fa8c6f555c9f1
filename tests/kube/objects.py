"""Kubernetes objects for tests: right by every rule as they come, to be made wrong in one place."""

from __future__ import annotations

import copy
from typing import Any

import yaml

from grace_client.kube.manifests import read_manifests
from grace_client.policy.check import Finding, Report, check

Object = dict[str, Any]


def resources(**pairs: tuple[object, object]) -> Object:
    """Requests and limits; `ephemeral_storage` stands for `ephemeral-storage`."""
    named = {name.replace("_", "-"): pair for name, pair in pairs.items()}
    return {
        "requests": {name: request for name, (request, _) in named.items() if request is not None},
        "limits": {name: limit for name, (_, limit) in named.items() if limit is not None},
    }


def container(name: str = "main", gpus: int = 0, gpu: str = "nvidia.com/gpu", **more: Any) -> Object:
    """A small container; `resources=` takes the place of its own."""
    own = resources(cpu=(1, "1.2"), memory=("1Gi", "1228Mi"))
    if gpus:
        own["limits"][gpu] = own["requests"][gpu] = gpus
    return {"name": name, "image": "docker.io/vllm/vllm-openai:v0.33.0", "resources": own, **more}


def pod_spec(*containers: Object, **more: Any) -> Object:
    return {"containers": list(containers) or [container()], **more}


def _object(api: str, kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec}


def pod(*containers: Object, **more: Any) -> Object:
    return _object("v1", "Pod", "pod", pod_spec(*containers, **more))


def workload(kind: str, *containers: Object, replicas: int = 1, **more: Any) -> Object:
    """A Deployment, StatefulSet, ReplicaSet or DaemonSet."""
    spec = {"template": {"spec": pod_spec(*containers, **more)}}
    return _object("apps/v1", kind, "server", spec if kind == "DaemonSet" else {"replicas": replicas, **spec})


def deployment(*containers: Object, replicas: int = 1, **more: Any) -> Object:
    return workload("Deployment", *containers, replicas=replicas, **more)


def job(*containers: Object, name: str = "queries", job: Object | None = None, **more: Any) -> Object:
    """A Job; `job` holds fields of the Job, the rest goes to its pod."""
    template = {"template": {"spec": pod_spec(*containers, restartPolicy="Never", **more)}}
    fields = {"backoffLimit": 2, "ttlSecondsAfterFinished": 86400, **(job or {})}
    return _object(
        "batch/v1", "Job", name, {**{k: v for k, v in fields.items() if v is not None}, **template}
    )


def cron_job(*containers: Object, **more: Any) -> Object:
    inner = job(*containers, **more)["spec"]
    return _object(
        "batch/v1", "CronJob", "nightly", {"schedule": "0 3 * * *", "jobTemplate": {"spec": inner}}
    )


def claim(
    storage_class: str | None = "rook-cephfs", mode: str = "ReadWriteMany", name: str = "results"
) -> Object:
    spec: Object = {"accessModes": [mode], "resources": {"requests": {"storage": "10Gi"}}}
    if storage_class:
        spec["storageClassName"] = storage_class
    return _object("v1", "PersistentVolumeClaim", name, spec)


def many(count: int, one: Object) -> list[Object]:
    """Copies under names of their own."""
    copies = [copy.deepcopy(one) for _ in range(count)]
    for i, each in enumerate(copies):
        each["metadata"]["name"] = f"{one['metadata']['name']}-{i}"
    return copies


def report(*objects: Object) -> Report:
    return check(read_manifests(yaml.safe_dump_all(objects), "test.yaml"))


def found(rule: str, *objects: Object) -> list[Finding]:
    """What one rule has against the objects."""
    return [finding for finding in report(*objects).findings if finding.rule == rule]
