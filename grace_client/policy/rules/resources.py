"""Rules on requests and limits: P1, P2, P8, P18."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

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
from grace_client.policy.rules.base import POLICIES, Fault, Severity, rule, rule_for_all

SCRATCH = "ephemeral-storage"
COMPULSORY = ("cpu", "memory")
BOUNDED = (*COMPULSORY, SCRATCH)
MANY = 100
"""With more pods or Jobs than this, limits must equal requests."""
EXEMPT_CORES = 1
EXEMPT_BYTES = 2 * 10**9
"""The rule on utilisation does not count pods up to this size."""


def _holders(item: KubeObject) -> Iterator[tuple[str, ContainerSpec]]:
    """Name and body of everything that can state resources: containers, and the pod (Kubernetes 1.32)."""
    for container in item.pod.containers:
        # Ephemeral containers can state none; they run on what the pod has.
        if container.role != "ephemeral container":
            yield container.name, container
    if item.pod.spec.get("resources"):
        yield "pod", ContainerSpec("pod", item.pod.path, item.pod.spec)


def _pairs(item: KubeObject) -> Iterator[tuple[str, str, FieldPath, object, object]]:
    """Every limit that has a request: the holder's name, resource, path of the limit, request, limit.

    Only if both are quantities.
    """
    for name, holder in _holders(item):
        for resource in sorted({resource for which, resource in holder.resources() if which == "limits"}):
            request, limit = holder.stated("requests", resource), holder.stated("limits", resource)
            if request is not None and _worth(request) is not None and _worth(limit) is not None:
                yield name, resource, (*holder.path, "resources", "limits", resource), request, limit


def _worth(value: object) -> Fraction | None:
    try:
        return quantity(value)
    except QuantityError:
        return None


@rule(
    "P1",
    Severity.ERROR,
    POLICIES,
    "Limits of cpu, memory and ephemeral-storage are at most 1.20 × the request.",
)
def limits_within_a_fifth(item: KubeObject) -> Iterator[Fault]:
    """A limit is at most 1.2 times its request.

    Without a request, Kubernetes uses the limit as the request, which is within the rule.
    """
    for name, holder in _holders(item):
        request = holder.stated("requests", SCRATCH)
        if request is not None and holder.stated("limits", SCRATCH) is None:
            most = "1.2 × the request" if _worth(request) is None else largest_limit(SCRATCH, request)
            yield Fault(
                (*holder.path, "resources", "limits", SCRATCH),
                f"{name}: {SCRATCH} has a request of {request} and no limit",
                f"set a limit from {request} to {most}",
            )
    for name, resource, path, request, limit in _pairs(item):
        if resource in BOUNDED and quantity(limit) > quantity(request) * MAX_RATIO:
            requested = quantity(request)
            share = f", {float(quantity(limit) / requested * 100):.5g}% of it" if requested > 0 else ""
            yield Fault(
                path,
                f"{name}: the {resource} limit {limit} is over 1.2 × the request {request}{share}",
                f"set the limit to at most {largest_limit(resource, request)} "
                f"(1.2 × {request} = {bound(request)}), or the request to at least "
                f"{smallest_request(resource, limit)}",
            )


@rule_for_all(
    "P2",
    Severity.ERROR,
    POLICIES,
    "With more than about 100 pods or Jobs at once, limits equal requests.",
    "The check counts the objects of one call; it does not see what else runs in the namespace.",
)
def many_pods_have_limit_equal_to_request(
    objects: Sequence[KubeObject],
) -> Iterator[tuple[KubeObject, Fault]]:
    """Many pods have no headroom between request and limit."""
    pods = sum(item.pods_at_once for item in objects)
    jobs = sum(item.job is not None for item in objects)
    for item in objects if max(pods, jobs) > MANY else ():
        for name, resource, path, request, limit in _pairs(item):
            if resource in BOUNDED and quantity(request) != quantity(limit):
                why = (
                    f"{name}: with {pods} pods and {jobs} Jobs at once the {resource} limit {limit} must "
                    f"equal the request {request}"
                )
                fix = f"set both to {limit}, or apply at most {MANY} pods and {MANY} Jobs at once"
                yield item, Fault(path, why, fix)


@rule(
    "P8",
    Severity.NOTE,
    POLICIES,
    "At most 4 pods of a user are outside GPU > 40%, CPU 20–200%, memory 20–150% of their requests; pods "
    "of at most 1 core and 2 GB are exempt.",
    "Utilisation shows only while a pod runs; the note names the pods that the cluster measures.",
)
def pods_are_measured_by_their_requests(item: KubeObject) -> Iterator[Fault]:
    """A pod uses what it requests, unless it is small."""
    pod = item.pod
    cores, memory = pod.request("cpu"), pod.request("memory")
    small = cores <= EXEMPT_CORES and memory <= EXEMPT_BYTES and not pod.gpus
    if item.pods_at_once and not small:
        gpus = ", GPUs over 40%" if pod.gpus else ""
        yield Fault(
            pod.path,
            f"a pod of {decimal(cores)} cores and {float(memory / 10**9):.4g} GB is measured: "
            f"CPU within 20–200% and memory within 20–150% of the request{gpus}; at most 4 pods of a user "
            "may be outside",
            "compare with what the pod uses (kubectl top pod) and set requests to that; pods that request at "
            "most 1 core and 2 GB (2000M) are exempt",
        )


@rule(
    "P18",
    Severity.ERROR,
    POLICIES,
    "Every container, init containers too, has request and limit for cpu and memory, and no limit is "
    "below its request.",
)
def everything_has_request_and_limit(item: KubeObject) -> Iterator[Fault]:
    """Requests and limits are there, are quantities, and fit each other."""
    for name, holder in _holders(item):
        for resource in COMPULSORY if holder.role != "pod" else ():
            for which, other in (("requests", "limits"), ("limits", "requests")):
                if holder.stated(which, resource) is None:
                    yield Fault(
                        (*holder.path, "resources", which, resource),
                        f"{name}: has no {resource} {which.removesuffix('s')}",
                        _missing(resource, which, holder.stated(other, resource)),
                    )
        for which, resource in holder.resources():
            if problem := _unusable(holder.stated(which, resource)):
                yield Fault(
                    (*holder.path, "resources", which, resource),
                    f"{name}: {resource} {which.removesuffix('s')}: {problem}",
                    "write a positive quantity such as 500m or 8 (cpu) and 512Mi or 64Gi (memory)",
                )
    for name, resource, path, request, limit in _pairs(item):
        if quantity(limit) < quantity(request):
            yield Fault(
                path,
                f"{name}: the {resource} limit {limit} is below the request {request}",
                f"set the limit to at least {request}"
                + (f" and at most {largest_limit(resource, request)}" if resource in BOUNDED else ""),
            )


def _missing(resource: str, which: str, other: object) -> str:
    """What to write for a request or limit that is missing, by its counterpart, which may be missing too."""
    if other is None:
        example = {"cpu": "500m", "memory": "512Mi"}[resource]
        return (
            f"set request and limit to what the container uses, such as {example}, the limit at most 1.2 × "
            "the request"
        )
    if _worth(other) is None:
        return f"set the {which.removesuffix('s')}"
    if which == "requests":
        return f"set the request from {smallest_request(resource, other)} to {other}"
    return f"set the limit from {other} to {largest_limit(resource, other)}"


def _unusable(value: object) -> str:
    """Why a value is not a usable quantity; empty if it is usable."""
    try:
        return f"{value} is negative" if quantity(value) < 0 else ""
    except QuantityError as error:
        return str(error)
