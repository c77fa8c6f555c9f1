"""Rules on GPUs: P7, P9, P10, P21."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from grace_client.kube.manifests import FieldPath, KubeObject, PodSpec, mapping, sequence
from grace_client.policy.rules.base import GPU_PODS, LONG_IDLE, Fault, Rule, Severity

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
    """The first container's GPUs."""
    for container in pod.containers:
        for name in container.gpus():
            which = "limits" if container.stated("limits", name) is not None else "requests"
            return (*container.path, "resources", which, name)
    return pod.path


def no_idle_gpus(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P7."""
    for manifest in manifests:
        if manifest.pod and manifest.pod.gpus and manifest.kind in LONG_RUNNING:
            yield Fault(
                manifest,
                _gpu_field(manifest.pod),
                f"a {manifest.kind} holds {_gpus(manifest.pod.gpus)} for as long as it exists; the cluster's "
                "page on long idle pods allows that to none that idles",
                "remove it as soon as its questions are answered, within a day, or run it as a Job that ends "
                "by itself (the chart's server.kind: Job)",
            )


def few_gpus_for_a_server(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P9. All replicas of a server count; Jobs and DaemonSets count by the pod. Bare pods are P21's."""
    total = 0
    for manifest in manifests:
        pod = manifest.pod
        if pod is None or not pod.gpus:
            continue
        replicas = manifest.pods_at_once
        # A server scaled to nothing for now is judged by the pod that it would make.
        held = pod.gpus * (max(replicas, 1) if manifest.job is None else 1)
        if held > SERVER_GPUS and not manifest.is_bare_pod:
            several = f"{replicas} pods of {_gpus(pod.gpus)} are {held}" if held != pod.gpus else _gpus(held)
            yield Fault(
                manifest,
                _gpu_field(pod),
                f"{several}; a server has at most {SERVER_GPUS}",
                f"ask for at most {SERVER_GPUS} GPUs in all; run one model after another, and a model that "
                "needs more from an explicit quantised repository",
            )
        before, total = total, total + pod.gpus * replicas
        if before <= PLAN_GPUS < total:
            yield Fault(
                manifest,
                _gpu_field(pod),
                f"the objects together ask for {total} GPUs at once; more than {PLAN_GPUS} need a plan "
                "agreed with the cluster's administrators",
                f"apply at most {PLAN_GPUS} GPUs at once: one model after another needs {SERVER_GPUS}",
            )


def special_gpus_by_their_own_name(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P10."""
    for manifest in manifests:
        pod = manifest.pod
        if pod is None or not pod.gpus:
            continue
        opportunistic = str(pod.spec.get("priorityClassName") or "").startswith("opportunistic")
        asked = {name for container in pod.containers for name in container.gpus()}
        for name in sorted(asked & SPECIAL.keys()):
            if not opportunistic:
                yield Fault(
                    manifest,
                    _gpu_field(pod),
                    f"{name} has a quota, which is 0 until the namespace has asked for it",
                    "see whether there is one (kubectl describe resourcequota); request it with the "
                    "cluster's form, or set priorityClassName: opportunistic, which needs no quota and can "
                    "be preempted at any time",
                )
        if "nvidia.com/gpu" not in asked:
            continue
        for path, products in _wanted_products(pod):
            own = {name for p in products for name, label in SPECIAL.items() if label.fullmatch(p)}
            if own and all(any(label.fullmatch(p) for label in SPECIAL.values()) for p in products):
                yield Fault(
                    manifest,
                    path,
                    f"asks for {', '.join(products)} as nvidia.com/gpu, where the cluster's pages ask for "
                    "special GPUs by their own resource name",
                    f"ask for {' or '.join(sorted(own))} if the pod stays Pending, or add a product that "
                    "needs no quota, such as NVIDIA-GeForce-RTX-3090",
                )


def _wanted_products(pod: PodSpec) -> Iterator[tuple[FieldPath, list[str]]]:
    """The products that a pod insists on, by selector or by affinity, and where it says so."""
    selected = mapping(pod.spec.get("nodeSelector")).get(PRODUCT_LABEL)
    if selected:
        yield (*pod.path, "nodeSelector", PRODUCT_LABEL), [str(selected)]
    steps = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    affinity = pod.spec
    for step in steps:
        affinity = mapping(affinity.get(step))
    # The terms are alternatives: only what all of them name is insisted on.
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


def gpus_fit_on_a_node(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P21."""
    for manifest in manifests:
        pod = manifest.pod
        if pod is None:
            continue
        bare = manifest.is_bare_pod
        most = BARE_POD_GPUS if bare else NODE_GPUS
        if pod.gpus > most:
            yield Fault(
                manifest,
                _gpu_field(pod),
                f"one pod asks for {pod.gpus} GPUs; "
                + (f"a bare pod may have {most}" if bare else f"no Job gets more than {most} on one node"),
                f"ask for at most {most} GPUs in one pod" + (", or run a Job" if bare else ""),
            )


RULES = (
    Rule(
        "P7",
        Severity.NOTE,
        "A long-running Deployment that idles may not hold a GPU; one of less than a day needs no exception, "
        "and a Job that ends by itself frees the GPU the moment the work is done.",
        LONG_IDLE,
        no_idle_gpus,
        "How long a Deployment will run, and whether it idles, is not written in it.",
    ),
    Rule(
        "P9",
        Severity.ERROR,
        "A server has at most 2 GPUs, all replicas together, and more than 50 GPUs at once need a plan.",
        GPU_PODS,
        few_gpus_for_a_server,
        "Counted is what is checked together.",
    ),
    Rule(
        "P10",
        Severity.WARNING,
        "Special GPUs (A100, A40, RTX A6000, H200) are asked for by their own resource name, and their quota "
        "is 0 until requested by form.",
        GPU_PODS,
        special_gpus_by_their_own_name,
        "Whether the namespace has the quota is not written in a manifest.",
    ),
    Rule(
        "P21",
        Severity.ERROR,
        "A Job has at most 8 GPUs on one node, a bare pod 2.",
        GPU_PODS,
        gpus_fit_on_a_node,
        "The namespace's quotas are not written in a manifest; P10 warns of them.",
    ),
)
