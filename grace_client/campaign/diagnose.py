"""What is wrong with a release, and the next command; pure.

Kubernetes gives some causes only as text: why a pod has no node, why an image or a volume is missing, which
quota is full. This module is the only one that reads such text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from grace_client.campaign.snapshot import QUERY, SERVER, WEIGHTS, Container, Event, Pod, Snapshot

FALLBACKS = ("rtx-3090", "l40", "a6000-a40", "v100")
"""Overlays to try, in this order, if the requested GPUs are not available."""

AGAIN = "then run again: answered questions are not asked again"
PATIENCE = timedelta(minutes=10)
"""How long a fault may last that the network may have caused."""
MOUNT_PATIENCE = timedelta(minutes=2)
"""How long a volume may take before it is reported."""
RESTARTS = 2
"""A container that was restarted so often will not recover."""

_PULL = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
_NO_IMAGE = re.compile(
    r"not found|not present|manifest unknown|unauthorized|denied|no such (?!host)|does not exist|invalid",
    re.IGNORECASE,
)
_NO_VOLUME = re.compile(r"not found|not support|unsupported|invalid|only|cannot|forbidden", re.IGNORECASE)
_EXIT = {
    1: ", more questions failed than queries.maxFailed allows",
    2: ", the settings are wrong",
    3: ", the server did not answer, or the run was stopped",
    137: ", it was killed",
}


class FaultKind(StrEnum):
    """Kinds of faults."""

    UNSCHEDULABLE = "unschedulable"
    QUOTA = "quota"
    REFUSED = "refused"
    IMAGE = "image"
    SECRET = "secret"
    WEIGHTS = "weights"
    MEMORY = "memory"
    CRASH = "crash"
    CLAIM = "claim"
    QUERY = "query"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a release.

    Attributes
    ----------
    kind : FaultKind
        Its kind.
    message : str
        What happened and why.
    next : str
        The next command, or what to change.
    fatal : bool
        Whether waiting cannot help.
    change : str
        What to change, if `next` only looks at objects that are deleted with the release.
    """

    kind: FaultKind
    message: str
    next: str
    fatal: bool = False
    change: str = ""

    @property
    def lasting(self) -> str:
        """What to do when the release is gone."""
        return self.change or self.next

    def __str__(self) -> str:
        return f"{self.message}\n  next: {self.next}"


def diagnose(snapshot: Snapshot, *, fallbacks: Sequence[str] = FALLBACKS) -> list[Fault]:
    """The faults of a release, fatal ones first.

    Parameters
    ----------
    snapshot : Snapshot
        The release.
    fallbacks : sequence of str
        Overlays that are left to try, the best first.
    """
    found = [
        *_creation(snapshot, fallbacks),
        *(fault for pod in snapshot.pods if not pod.deleting for fault in _pod(snapshot, pod, fallbacks)),
        *_claims(snapshot),
        *_jobs(snapshot),
    ]
    return sorted(dict.fromkeys(found), key=lambda fault: not fault.fatal)


def first_fatal(faults: Sequence[Fault]) -> Fault | None:
    """The first fault that ends a release; a failed query Job does not, as its results are fetched."""
    return next((one for one in faults if one.fatal and one.kind is not FaultKind.QUERY), None)


def _try(fallbacks: Sequence[str]) -> str:
    if not fallbacks:
        return "wait, or write a values file for another GPU: the campaign has tried all kinds in values/gpus"
    return f"wait, or stop the campaign and add to the command that it prints: --fallback {fallbacks[0]}"


def _tail(log: str, lines: int = 6) -> str:
    last = [line for line in log.splitlines() if line.strip()][-lines:]
    return "".join(f"\n    {line}" for line in last)


def _creation(snapshot: Snapshot, fallbacks: Sequence[str]) -> Iterator[Fault]:
    """Pods that the cluster refuses to create."""
    server_exists = snapshot.of(SERVER) or snapshot.replicas == 0
    owners = ("Job",) if server_exists else ("ReplicaSet", "Job")
    jobs = {pod.job for pod in snapshot.pods}
    refusals = {(e.kind, e.name): e for e in snapshot.events if e.reason == "FailedCreate"}
    for event in refusals.values():
        if event.kind not in owners or event.name in jobs:
            continue
        why = event.message.partition("is forbidden: ")[2] or event.message
        if "exceeded quota" in event.message:
            yield Fault(
                FaultKind.QUOTA,
                f"the namespace's quota is too small for a pod of {event.name}: {why}",
                f"ask for a larger quota (A100s: with the cluster's form), or {_try(fallbacks)}",
            )
        else:
            yield Fault(
                FaultKind.REFUSED,
                f"the cluster refuses the pod of {event.name}: {why}",
                "change the value that it names. 'grace policy check --chart …' shows what is allowed",
                fatal=bool(re.search(r"denied|forbidden|invalid", event.message)),
            )


def _pod(snapshot: Snapshot, pod: Pod, fallbacks: Sequence[str]) -> Iterator[Fault]:
    look = f"kubectl describe pod {pod.name}"
    if pod.unscheduled and "PersistentVolumeClaim" not in pod.unscheduled:
        yield Fault(
            FaultKind.UNSCHEDULABLE,
            f"{pod.name} has no node: {_missing(pod.unscheduled)}",
            _try(fallbacks) if pod.gpus else look,
        )
    if pod.phase == "Unknown":
        yield Fault(
            FaultKind.NODE, f"the node of {pod.name}, {pod.node}, does not answer", "kubectl get nodes"
        )
    if pod.over:
        # The Job judges the ends of its containers, and retries; only the pod tells of its node.
        if pod.message:
            yield Fault(FaultKind.NODE, f"{pod.name} was ended by its node: {pod.message}", look)
        return
    for container in pod.containers:
        yield from _container(snapshot, pod, container)
    for event in snapshot.events:
        waited = snapshot.at - event.first
        if (
            event.name == pod.name
            and event.reason in ("FailedMount", "FailedAttachVolume")
            and pod.phase == "Pending"
            and waited >= MOUNT_PATIENCE
        ):
            yield Fault(
                FaultKind.CLAIM,
                f"{pod.name} cannot mount a volume: {event.message}",
                look,
                fatal=waited > 2 * PATIENCE,
                change=f"look at the claims with 'kubectl describe pvc'; {AGAIN}",
            )


def _missing(text: str) -> str:
    """What no node has, from the scheduler's sentence."""
    resources = list(dict.fromkeys(re.findall(r"Insufficient ([\w./-]*\w)", text)))
    parts = [f"no node has enough {', '.join(resources)} free"] if resources else []
    if re.search(r"node affinity|node selector|node\(s\) didn't match", text):
        parts.append("the free nodes are not of the requested kind (gpu.products, scheduling)")
    if "taint" in text:
        parts.append("taints keep pods off other nodes")
    return f"{'; '.join(parts)} ({text})" if parts else text


def _container(snapshot: Snapshot, pod: Pod, container: Container) -> Iterator[Fault]:
    name, of_pod = container.name, f"{container.name} of {pod.name}"
    if container.reason in _PULL:
        yield _image(snapshot, pod, container)
    elif container.reason == "CreateContainerConfigError":
        secret = re.search(r'secret "?([\w.-]+)"? not found', container.message)
        yield Fault(
            FaultKind.SECRET,
            f"{of_pod} cannot start: {container.message}",
            f"kubectl create secret generic {secret[1]} --from-file=token=FILE"
            if secret
            else f"kubectl describe pod {pod.name}",
            fatal=True,
            change="" if secret else f"correct the reference in the values; {AGAIN}",
        )
    elif not container.exit_code or (container.state == "running" and container.ready):
        return
    elif container.ended == "OOMKilled":
        value = "weights.resources.memory" if name == WEIGHTS else "server.resources"
        yield Fault(
            FaultKind.MEMORY,
            f"{of_pod} used more memory than its limit and was killed ({container.restarts + 1} times)"
            + _tail(container.log),
            f"set a larger {value}, both request and limit, with --set",
            fatal=container.restarts >= 1,
        )
    elif name == WEIGHTS:
        hopeless = container.exit_code == 2
        yield Fault(
            FaultKind.WEIGHTS,
            f"the download of the weights ended with exit code {container.exit_code}:"
            + _tail(container.log, 3),
            _CORRECT_DOWNLOAD if hopeless else f"kubectl logs {pod.name} -c {WEIGHTS}",
            fatal=hopeless,
        )
    else:
        yield Fault(
            FaultKind.CRASH,
            f"{of_pod} ended with exit code {container.exit_code} and was restarted {container.restarts} "
            "times; its last lines:" + _tail(container.log),
            f"kubectl logs {pod.name} -c {name} --previous --tail=100",
            fatal=container.restarts >= RESTARTS,
            change=f"correct the value that these lines name (model, server or gpu), with --set; {AGAIN}",
        )


_CORRECT_DOWNLOAD = (
    "correct the value that its last line names. If the token is wrong: kubectl create secret generic "
    "hf-token --from-file=token=FILE, and name that Secret in the values (weights.token.existingSecret)"
)


def _image(snapshot: Snapshot, pod: Pod, container: Container) -> Fault:
    # The container itself only says that it waits; the cause is in an event, if there is one yet.
    messages = [event.message for event in snapshot.events if event.name == pod.name]
    why = next((text for text in reversed(messages) if text.startswith("Failed to pull image")), "")
    why = why or container.message or container.reason
    waited = snapshot.at - (pod.scheduled or pod.created)
    return Fault(
        FaultKind.IMAGE,
        f"the image of {container.name} in {pod.name} cannot be pulled: {why}",
        "correct server.image, queries.image or --registry, or push the image: scripts/image push REGISTRY",
        fatal=bool(_NO_IMAGE.search(why)) or waited > PATIENCE,
    )


def _claims(snapshot: Snapshot) -> Iterator[Fault]:
    events: dict[str, Event] = {e.name: e for e in snapshot.events if e.kind == "PersistentVolumeClaim"}
    for claim in snapshot.claims:
        if claim.phase == "Bound":
            continue
        event = events.get(claim.name)
        why, fatal = (
            (f"{event.reason}: {event.message}" if event else "Kubernetes has not said why yet"),
            False,
        )
        if event is None or event.reason in ("WaitForFirstConsumer", "Provisioning", "ExternalProvisioning"):
            if snapshot.at - min(pod.created for pod in snapshot.pods) < PATIENCE:
                continue
        else:
            fatal = bool(_NO_VOLUME.search(event.message)) or snapshot.at - event.first > PATIENCE
        yield Fault(
            FaultKind.CLAIM,
            f"claim {claim.name} ({claim.storage_class or 'default class'}) has no volume: {why}",
            f"kubectl describe pvc {claim.name}; correct class, access mode or size in the values, then "
            f"kubectl delete pvc {claim.name}",
            fatal=fatal,
        )


def _jobs(snapshot: Snapshot) -> Iterator[Fault]:
    for job in snapshot.jobs:
        if not job.failed or job.component not in (QUERY, SERVER, WEIGHTS):
            continue
        pods = [pod for pod in snapshot.pods if pod.job == job.name]
        ended = [container for pod in pods for container in pod.containers if container.exit_code]
        why, log, look = job.failed, "", f"kubectl describe job {job.name}"
        if ended:
            code, log = ended[-1].exit_code or 0, ended[-1].log
            why, look = f"exit code {code}{_EXIT.get(code, '')}", f"kubectl logs job/{job.name} --tail=100"
        message = f"Job {job.name} failed: {why}{_tail(log)}"
        if job.component == WEIGHTS:
            yield Fault(FaultKind.WEIGHTS, message, _CORRECT_DOWNLOAD if ended else look, fatal=True)
        else:
            change = f"'grace status FOLDER' lists the reasons; {AGAIN}"
            yield Fault(FaultKind.QUERY, message, look, fatal=True, change=change)
