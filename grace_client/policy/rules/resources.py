"""Rules on requests and limits: P1, P2, P8, P18."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from grace_client.kube.manifests import ContainerSpec, FieldPath, KubeObject
from grace_client.kube.quantities import (
    MAX_RATIO,
    QuantityError,
    bound,
    decimal,
    largest_limit,
    quantity,
    smallest_request,
)
from grace_client.policy.rules.base import POLICIES, Fault, Rule, Severity

BOUNDED = ("cpu", "memory", "ephemeral-storage")
COMPULSORY = ("cpu", "memory")
MANY = 100
"""More pods or Jobs than this, and limits equal requests."""
EXEMPT_CORES = 1
EXEMPT_BYTES = 2 * 10**9
"""Pods up to this size are outside the rule on utilisation."""


def _holders(manifest: KubeObject) -> Iterator[tuple[str, FieldPath, ContainerSpec]]:
    """Whatever states resources: containers, and the pod as a whole where it does (Kubernetes 1.32)."""
    if manifest.pod is None:
        return
    for container in manifest.pod.containers:
        # Ephemeral containers can state none; they run on what the pod has.
        if container.role != "ephemeral container":
            yield container.name, container.path, container
    if manifest.pod.spec.get("resources"):
        yield "pod", manifest.pod.path, ContainerSpec("pod", manifest.pod.path, manifest.pod.spec)


def _pair(holder: ContainerSpec, resource: str) -> tuple[object, object] | None:
    """Request and limit, both stated and both quantities."""
    request, limit = holder.stated("requests", resource), holder.stated("limits", resource)
    if request is None or limit is None:
        return None
    try:
        quantity(request), quantity(limit)
    except QuantityError:
        return None
    return request, limit


def limits_within_a_fifth(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P1. Where only a limit stands, Kubernetes takes it for the request, which is within the rule."""
    for manifest in manifests:
        for name, path, holder in _holders(manifest):
            for resource in BOUNDED:
                field = (*path, "resources", "limits", resource)
                request, limit = (holder.stated(which, resource) for which in ("requests", "limits"))
                if resource not in COMPULSORY and request is not None and limit is None:
                    yield Fault(
                        manifest,
                        field,
                        f"{name}: {resource} has a request of {request} and no limit",
                        f"set a limit from {request} to {_most(resource, request)}",
                    )
                pair = _pair(holder, resource)
                if pair is None or quantity(pair[1]) <= quantity(pair[0]) * MAX_RATIO:
                    continue
                asked = quantity(pair[0])
                share = f", {float(quantity(limit) / asked * 100):.5g}% of it" if asked > 0 else ""
                yield Fault(
                    manifest,
                    field,
                    f"{name}: the {resource} limit {limit} is over 1.2 × the request {request}{share}",
                    f"set the limit to at most {largest_limit(resource, request)} "
                    f"(1.2 × {request} = {bound(request)}), or the request to at least "
                    f"{smallest_request(resource, limit)}",
                )


def _most(resource: str, request: object) -> str:
    try:
        return largest_limit(resource, request)
    except QuantityError:
        return "1.2 × the request"


def many_pods_have_limit_equal_to_request(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P2."""
    pods = sum(manifest.pods_at_once for manifest in manifests)
    jobs = sum(manifest.job is not None for manifest in manifests)
    if max(pods, jobs) <= MANY:
        return
    for manifest in manifests:
        for name, path, holder in _holders(manifest):
            for resource in BOUNDED:
                pair = _pair(holder, resource)
                if pair and quantity(pair[0]) != quantity(pair[1]):
                    yield Fault(
                        manifest,
                        (*path, "resources", "limits", resource),
                        f"{name}: with {pods} pods and {jobs} Jobs at once the {resource} limit {pair[1]} "
                        f"must equal the request {pair[0]}",
                        f"set both to {pair[1]}, or apply at most {MANY} pods and {MANY} Jobs at once",
                    )


def pods_are_measured_by_their_requests(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P8."""
    for manifest in manifests:
        pod = manifest.pod
        if pod is None or not manifest.pods_at_once:
            continue
        cores, memory = pod.request("cpu"), pod.request("memory")
        if cores <= EXEMPT_CORES and memory <= EXEMPT_BYTES and not pod.gpus:
            continue
        gpus = ", GPUs over 40%" if pod.gpus else ""
        yield Fault(
            manifest,
            pod.path,
            f"a pod of {decimal(cores)} cores and {float(memory / 10**9):.4g} GB is measured: "
            f"CPU within 20–200% and memory within 20–150% of the request{gpus}; at most 4 pods of a user "
            "may be outside",
            "compare with what the pod uses (kubectl top pod) and set requests to that; pods that request at "
            "most 1 core and 2 GB (2000M) are exempt",
        )


def everything_has_request_and_limit(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P18."""
    for manifest in manifests:
        for name, path, holder in _holders(manifest):
            at = (*path, "resources")
            if holder.role != "pod":
                for resource in COMPULSORY:
                    for which, other in (("requests", "limits"), ("limits", "requests")):
                        if holder.stated(which, resource) is None:
                            fix = _missing(resource, which, holder.stated(other, resource))
                            why = f"{name}: has no {resource} {which.removesuffix('s')}"
                            yield Fault(manifest, (*at, which, resource), why, fix)
            for which, resource in holder.resources():
                value = holder.stated(which, resource)
                if fault := _unusable(value):
                    yield Fault(
                        manifest,
                        (*at, which, resource),
                        f"{name}: {resource} {which.removesuffix('s')}: {fault}",
                        "write a positive quantity such as 500m or 8 (cpu) and 512Mi or 64Gi (memory)",
                    )
            for resource in sorted({resource for which, resource in holder.resources() if which == "limits"}):
                pair = _pair(holder, resource)
                if pair and quantity(pair[1]) < quantity(pair[0]):
                    yield Fault(
                        manifest,
                        (*at, "limits", resource),
                        f"{name}: the {resource} limit {pair[1]} is below the request {pair[0]}",
                        f"set the limit to at least {pair[0]}"
                        + (f" and at most {largest_limit(resource, pair[0])}" if resource in BOUNDED else ""),
                    )


def _missing(resource: str, which: str, other: object) -> str:
    if other is None:
        example = {"cpu": "500m", "memory": "512Mi"}[resource]
        return (
            f"set request and limit to what the container uses, such as {example}, the limit at most 1.2 × "
            "the request"
        )
    try:
        if which == "requests":
            return f"set the request from {smallest_request(resource, other)} to {other}"
        return f"set the limit from {other} to {largest_limit(resource, other)}"
    except QuantityError:
        return f"set the {which.removesuffix('s')}"


def _unusable(value: object) -> str | None:
    try:
        worth = quantity(value)
    except QuantityError as error:
        return str(error)
    if worth < 0:
        return f"{value} is negative"
    return None


RULES = (
    Rule(
        "P1",
        Severity.ERROR,
        "Limits of cpu, memory and ephemeral-storage are at most 1.20 × the request.",
        POLICIES,
        limits_within_a_fifth,
    ),
    Rule(
        "P2",
        Severity.ERROR,
        "With more than about 100 pods or Jobs at once, limits equal requests.",
        POLICIES,
        many_pods_have_limit_equal_to_request,
        "Counted is what is checked together; what else runs in the namespace is not seen.",
    ),
    Rule(
        "P8",
        Severity.NOTE,
        "At most 4 pods of a user are outside GPU > 40%, CPU 20–200%, memory 20–150% of their requests; pods "
        "of at most 1 core and 2 GB are exempt.",
        POLICIES,
        pods_are_measured_by_their_requests,
        "Utilisation shows only while a pod runs; the note says which pods are measured.",
    ),
    Rule(
        "P18",
        Severity.ERROR,
        "Every container, init containers too, has request and limit for cpu and memory, and no limit is "
        "below its request.",
        POLICIES,
        everything_has_request_and_limit,
    ),
)
