"""Rules on GPUs: P7, P9, P10, P21."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from grace_client.kube.manifests import FieldPath, KubeObject, PodSpec, mapping, sequence
from grace_client.policy.rules.base import GPU_PODS, LONG_IDLE, Fault, Severity, rule, rule_for_all

SERVER_GPUS = 2
NODE_GPUS = 8
BARE_POD_GPUS = 2
PLAN_GPUS = 50
LONG_RUNNING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController")
PRODUCT_LABEL = "nvidia.com/gpu.product"
SPECIAL = {
    "nvidia.com/a100": re.compile(r"(?:NVIDIA-)?A100\b.*"),
    "nvidia.com/a40": re.compile(r"NVIDIA-A40"),
    "nvidia.com/rtxa6000": re.compile(r"NVIDIA-RTX-A6000"),
    "nvidia.com/h200": re.compile(r"NVIDIA-H200\b.*"),
}
"""GPUs with a resource name and a quota of their own, and their product labels."""


def _gpus(count: int) -> str:
    return f"{count} GPU{'s' if count != 1 else ''}"


def _gpu_field(pod: PodSpec) -> FieldPath:
    """The path of the first container's GPUs."""
    for container in pod.containers:
        for name in container.gpus():
            which = "limits" if container.stated("limits", name) is not None else "requests"
            return (*container.path, "resources", which, name)
    return pod.path


@rule(
    "P7",
    Severity.NOTE,
    LONG_IDLE,
    "A long-running Deployment that idles may not hold a GPU. One of less than a day needs no exception, "
    "and a Job that ends by itself frees the GPU at once.",
    "A manifest does not say how long a Deployment will run, or whether it idles.",
)
def no_idle_gpus(item: KubeObject) -> Iterator[Fault]:
    """A workload that does not end by itself has no GPU."""
    if item.pod.gpus and item.kind in LONG_RUNNING:
        yield Fault(
            _gpu_field(item.pod),
            f"a {item.kind} holds {_gpus(item.pod.gpus)} for as long as it exists; the cluster does not "
            "allow an idle one to hold GPUs",
            "delete it when its questions are answered, within a day, or run it as a Job that ends by itself "
            "(the chart's server.kind: Job)",
        )


@rule_for_all(
    "P9",
    Severity.ERROR,
    GPU_PODS,
    "A server has at most 2 GPUs, all replicas together, and more than 50 GPUs at once need a plan.",
    "The check counts the objects of one call.",
)
def few_gpus_for_a_server(objects: Sequence[KubeObject]) -> Iterator[tuple[KubeObject, Fault]]:
    """All replicas of a server count together; Jobs and DaemonSets count by the pod. P21 has bare pods."""
    total = 0
    for item in objects:
        gpus, replicas = item.pod.gpus, item.pods_at_once
        # A server that is scaled to zero now counts with the pod that it would create.
        own = gpus * (max(replicas, 1) if item.job is None else 1)
        if own > SERVER_GPUS and not item.is_bare_pod:
            several = f"{replicas} pods of {_gpus(gpus)} are {own}" if own != gpus else _gpus(own)
            yield (
                item,
                Fault(
                    _gpu_field(item.pod),
                    f"{several}; a server has at most {SERVER_GPUS}",
                    f"ask for at most {SERVER_GPUS} GPUs in all, and run one model after another; if a model "
                    "needs more, serve a quantised repository of it",
                ),
            )
        before, total = total, total + gpus * replicas
        if before <= PLAN_GPUS < total:
            yield (
                item,
                Fault(
                    _gpu_field(item.pod),
                    f"the objects together ask for {total} GPUs at once; more than {PLAN_GPUS} need a plan "
                    "agreed with the cluster's administrators",
                    f"apply at most {PLAN_GPUS} GPUs at once: one model after another needs {SERVER_GPUS}",
                ),
            )


@rule(
    "P10",
    Severity.WARNING,
    GPU_PODS,
    "A pod asks for special GPUs (A100, A40, RTX A6000, H200) by their own resource name. Their quota is 0 "
    "until the namespace requests one by form.",
    "A manifest does not show the namespace's quota.",
)
def special_gpus_by_their_own_name(item: KubeObject) -> Iterator[Fault]:
    """A special GPU has its own resource name, and a quota that may be 0."""
    pod = item.pod
    names = {name for container in pod.containers for name in container.gpus()}
    if not str(pod.spec.get("priorityClassName") or "").startswith("opportunistic"):
        for name in sorted(names & SPECIAL.keys()):
            yield Fault(
                _gpu_field(pod),
                f"{name} has a quota, which is 0 until the namespace has requested one",
                "look for a quota with kubectl describe resourcequota; request one with the cluster's form, "
                "or set priorityClassName: opportunistic, which needs no quota and can be preempted at any "
                "time",
            )
    for path, products in _required_products(pod) if "nvidia.com/gpu" in names else ():
        own = {name for product in products for name, label in SPECIAL.items() if label.fullmatch(product)}
        if own and all(any(label.fullmatch(product) for label in SPECIAL.values()) for product in products):
            yield Fault(
                path,
                f"asks for {', '.join(products)} as nvidia.com/gpu; the cluster wants special GPUs by their "
                "own resource name",
                f"ask for {' or '.join(sorted(own))} if the pod stays Pending, or add a product that needs "
                "no quota, such as NVIDIA-GeForce-RTX-3090",
            )


def _required_products(pod: PodSpec) -> Iterator[tuple[FieldPath, list[str]]]:
    """The products that a pod requires, by selector or by affinity, and the path of that field."""
    selected = mapping(pod.spec.get("nodeSelector")).get(PRODUCT_LABEL)
    if selected:
        yield (*pod.path, "nodeSelector", PRODUCT_LABEL), [str(selected)]
    steps = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    affinity = pod.spec
    for step in steps:
        affinity = mapping(affinity.get(step))
    # The terms are alternatives: a product is required only if every term names products.
    named: list[str] = []
    for term in sequence(affinity.get("nodeSelectorTerms")):
        lists = [
            [str(value) for value in sequence(expression.get("values"))]
            for expression in sequence(mapping(term).get("matchExpressions"))
            if mapping(expression).get("key") == PRODUCT_LABEL and expression.get("operator") == "In"
        ]
        if not lists:
            return
        named += lists[0]
    if named:
        yield (*pod.path, *steps, "nodeSelectorTerms"), list(dict.fromkeys(named))


@rule(
    "P21",
    Severity.ERROR,
    GPU_PODS,
    "A Job has at most 8 GPUs on one node, a bare pod 2.",
    "A manifest does not show the namespace's quotas; P10 warns of them.",
)
def gpus_fit_on_a_node(item: KubeObject) -> Iterator[Fault]:
    """One pod has no more GPUs than a node, and a bare pod no more than 2."""
    bare = item.is_bare_pod
    most = BARE_POD_GPUS if bare else NODE_GPUS
    if item.pod.gpus > most:
        yield Fault(
            _gpu_field(item.pod),
            f"one pod asks for {item.pod.gpus} GPUs; "
            + (f"a bare pod may have {most}" if bare else f"no Job gets more than {most} on one node"),
            f"ask for at most {most} GPUs in one pod" + (", or run a Job" if bare else ""),
        )
