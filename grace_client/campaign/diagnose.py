"""What is wrong with a release, and the next command; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from grace_client.campaign.snapshot import QUERY, SERVER, WEIGHTS, Container, Event, Pod, Snapshot

FALLBACKS = ("rtx-3090", "l40", "a6000-a40", "v100")
"""Overlays to try, in this order, where the GPUs asked for are not to be had."""

AGAIN = "then run again: what was answered is not asked again"
PATIENCE = timedelta(minutes=10)
"""How long a fault that may be the network's is given."""
RESTARTS = 2
"""A container that was started again so often and ended each time will not do better."""

_PULL = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
_NO_IMAGE = re.compile(
    r"not found|not present|manifest unknown|unauthorized|denied|no such (?!host)|does not exist|invalid",
    re.IGNORECASE,
)
_NO_VOLUME = re.compile(r"not found|not support|unsupported|invalid|only|cannot|forbidden", re.IGNORECASE)
_EXIT = {
    1: "more questions failed than queries.maxFailed allows",
    2: "what was asked cannot be",
    3: "the server did not answer, or the run was stopped",
    137: "it was killed",
}


class Trouble(StrEnum):
    """Kinds of trouble."""

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
class Diagnosis:
    """One thing that is wrong.

    Attributes
    ----------
    kind : Trouble
        What kind of thing.
    what : str
        What happened and why.
    next : str
        The next command, or what to change.
    fatal : bool
        Whether waiting cannot mend it.
    change : str
        What to change, where `next` only looks at objects that go with the release.
    """

    kind: Trouble
    what: str
    next: str
    fatal: bool
    change: str = ""

    @property
    def lasting(self) -> str:
        """What to do when the release is gone."""
        return self.change or self.next

    def __str__(self) -> str:
        return f"{self.what}\n  next: {self.next}"


def diagnose(snapshot: Snapshot, *, fallbacks: Sequence[str] = FALLBACKS) -> list[Diagnosis]:
    """What is wrong, the fatal first.

    Parameters
    ----------
    snapshot : Snapshot
        The release.
    fallbacks : sequence of str
        Overlays that are left to try, the best first.
    """
    found = [
        *_making(snapshot, fallbacks),
        *(fault for pod in snapshot.pods if not pod.deleting for fault in _pod(snapshot, pod, fallbacks)),
        *_claims(snapshot),
        *_jobs(snapshot),
    ]
    unique = list(dict.fromkeys(found))
    return sorted(unique, key=lambda fault: not fault.fatal)


def _try(fallbacks: Sequence[str]) -> str:
    if not fallbacks:
        return "wait, or name values of another GPU: no overlay is left to try"
    return f"wait, or stop it, and add to the command that it then prints: --fallback {fallbacks[0]}"


def _tail(log: str, lines: int = 6) -> str:
    kept = [line for line in log.splitlines() if line.strip()][-lines:]
    return "".join(f"\n    {line}" for line in kept)


def _making(snapshot: Snapshot, fallbacks: Sequence[str]) -> Iterator[Diagnosis]:
    """Pods that the cluster refuses to make."""
    if snapshot.of(SERVER) or snapshot.replicas == 0:
        makers: tuple[str, ...] = ("Job",)
    else:
        makers = ("ReplicaSet", "Job")
    jobs = {pod.job for pod in snapshot.pods}
    for event in _latest(snapshot, "FailedCreate"):
        if event.kind not in makers or event.name in jobs:
            continue
        said = event.message.partition("is forbidden: ")[2] or event.message
        if "exceeded quota" in event.message:
            yield Diagnosis(
                Trouble.QUOTA,
                f"the namespace's quota leaves no room for a pod of {event.name}: {said}",
                f"ask for a larger quota (A100s: by the cluster's form), or {_try(fallbacks)}",
                fatal=False,
            )
        else:
            yield Diagnosis(
                Trouble.REFUSED,
                f"the cluster refuses the pod of {event.name}: {said}",
                "change the value that it names; grace policy check --chart … tells the largest allowed",
                fatal=bool(re.search(r"denied|forbidden|invalid", event.message)),
            )


def _latest(snapshot: Snapshot, *reasons: str) -> list[Event]:
    """Of each object, the latest event with one of these reasons."""
    found = {(event.kind, event.name): event for event in snapshot.events if event.reason in reasons}
    return list(found.values())


def _pod(snapshot: Snapshot, pod: Pod, fallbacks: Sequence[str]) -> Iterator[Diagnosis]:
    if pod.unscheduled and "PersistentVolumeClaim" not in pod.unscheduled:
        missing = _missing(pod.unscheduled)
        yield Diagnosis(
            Trouble.UNSCHEDULABLE,
            f"{pod.name} has no node: {missing}",
            _try(fallbacks) if pod.gpus else f"kubectl describe pod {pod.name}",
            fatal=False,
        )
    if pod.phase == "Unknown":
        yield Diagnosis(
            Trouble.NODE,
            f"the node of {pod.name}, {pod.node}, does not answer",
            "kubectl get nodes",
            fatal=False,
        )
    if pod.over:
        # What its containers did is the Job's to judge, which has retries; nobody else tells of the node.
        if pod.message:
            said = f"{pod.name} was ended by its node: {pod.message}"
            yield Diagnosis(Trouble.NODE, said, f"kubectl describe pod {pod.name}", fatal=False)
        return
    for container in pod.containers:
        yield from _container(snapshot, pod, container)
    for event in snapshot.events:
        if event.name == pod.name and event.reason in ("FailedMount", "FailedAttachVolume"):
            if pod.phase != "Pending" or snapshot.at - event.first < timedelta(minutes=2):
                continue
            yield Diagnosis(
                Trouble.CLAIM,
                f"{pod.name} cannot mount a volume: {event.message}",
                f"kubectl describe pod {pod.name}",
                fatal=snapshot.at - event.first > 2 * PATIENCE,
                change=f"look at the claims with 'kubectl describe pvc'; {AGAIN}",
            )


def _missing(words: str) -> str:
    """What no node has, out of the scheduler's sentence."""
    resources = list(dict.fromkeys(re.findall(r"Insufficient ([\w./-]*\w)", words)))
    parts = [f"no node has enough {', '.join(resources)} free"] if resources else []
    if re.search(r"node affinity|node selector|node\(s\) didn't match", words):
        parts.append("nodes that could are not of the kind asked for (gpu.products, scheduling)")
    if re.search(r"taint", words):
        parts.append("others are closed (taints)")
    return f"{'; '.join(parts)} ({words})" if parts else words


def _container(snapshot: Snapshot, pod: Pod, container: Container) -> Iterator[Diagnosis]:
    if container.reason in _PULL:
        yield _image(snapshot, pod, container)
    elif container.reason == "CreateContainerConfigError":
        secret = re.search(r'secret "?([\w.-]+)"? not found', container.message)
        named = secret[1] if secret else ""
        yield Diagnosis(
            Trouble.SECRET,
            f"{container.name} of {pod.name} cannot start: {container.message}",
            f"kubectl create secret generic {named} --from-file=token=FILE"
            if named
            else f"kubectl describe pod {pod.name}",
            fatal=True,
            change="" if named else f"correct what the values refer to; {AGAIN}",
        )
    elif not container.exit_code or (container.state == "running" and container.ready):
        return
    elif container.ended == "OOMKilled":
        what = "weights.resources.memory" if container.name == WEIGHTS else "server.resources"
        yield Diagnosis(
            Trouble.MEMORY,
            f"{container.name} of {pod.name} took more memory than its limit and was killed "
            f"({container.restarts + 1} times)" + _tail(container.log),
            f"raise {what}, request and limit, with --set",
            fatal=container.restarts >= 1,
        )
    elif container.name == WEIGHTS:
        yield Diagnosis(
            Trouble.WEIGHTS,
            f"the download of the weights ended with {container.exit_code}:" + _tail(container.log, 3),
            _token(container.log) if container.exit_code == 2 else f"kubectl logs {pod.name} -c {WEIGHTS}",
            fatal=container.exit_code == 2,
        )
    else:
        yield Diagnosis(
            Trouble.CRASH,
            f"{container.name} of {pod.name} ended with {container.exit_code} and was started again "
            f"{container.restarts} times; it last said:" + _tail(container.log),
            f"kubectl logs {pod.name} -c {container.name} --previous --tail=100",
            fatal=container.restarts >= RESTARTS,
            change=f"correct by what it said the model's values (model, server, gpu), with --set; {AGAIN}",
        )


def _image(snapshot: Snapshot, pod: Pod, container: Container) -> Diagnosis:
    # The container itself says only that it waits; the reason is in an event, if that is there yet.
    told = [event.message for event in snapshot.events if event.name == pod.name]
    why = next((text for text in reversed(told) if text.startswith("Failed to pull image")), "")
    why = why or container.message or container.reason
    waited = snapshot.at - (pod.scheduled or pod.created)
    return Diagnosis(
        Trouble.IMAGE,
        f"the image of {container.name} in {pod.name} cannot be had: {why}",
        "correct server.image, queries.image or --registry, or push it: scripts/image push REGISTRY",
        fatal=bool(_NO_IMAGE.search(why)) or waited > PATIENCE,
    )


def _token(log: str) -> str:
    if "licence" in log:
        return "accept the model's licence with the token's account, or put another token into the Secret"
    if "token" in log:
        return "kubectl create secret generic hf-token --from-file=token=FILE, and name it in the values"
    return "correct the values of the model as it says"


def _claims(snapshot: Snapshot) -> Iterator[Diagnosis]:
    events = {event.name: event for event in snapshot.events if event.kind == "PersistentVolumeClaim"}
    for claim in snapshot.claims:
        if claim.phase == "Bound":
            continue
        event = events.get(claim.name)
        said = f"{event.reason}: {event.message}" if event else "no event tells why yet"
        if event is None or event.reason in ("WaitForFirstConsumer", "Provisioning", "ExternalProvisioning"):
            oldest = min(pod.created for pod in snapshot.pods)
            if snapshot.at - oldest < PATIENCE:
                continue
            fatal = False
        else:
            fatal = bool(_NO_VOLUME.search(event.message)) or snapshot.at - event.first > PATIENCE
        yield Diagnosis(
            Trouble.CLAIM,
            f"claim {claim.name} ({claim.storage_class or 'default class'}) has no volume: {said}",
            f"kubectl describe pvc {claim.name}; correct class, access mode or size in the values, then "
            f"kubectl delete pvc {claim.name}",
            fatal=fatal,
        )


def _jobs(snapshot: Snapshot) -> Iterator[Diagnosis]:
    for job in snapshot.jobs:
        if not job.failed or job.component not in (QUERY, SERVER, WEIGHTS):
            continue
        pods = [pod for pod in snapshot.pods if pod.job == job.name]
        ended = [c for pod in pods for c in pod.containers if c.exit_code]
        last = ended[-1] if ended else None
        code = last.exit_code if last else None
        why = (
            f"exit code {code}, {_EXIT[code]}"
            if code in _EXIT
            else f"exit code {code}"
            if code
            else job.failed
        )
        yield Diagnosis(
            Trouble.WEIGHTS if job.component == WEIGHTS else Trouble.QUERY,
            f"Job {job.name} failed: {why}" + (_tail(last.log) if last else ""),
            _token(last.log)
            if last and job.component == WEIGHTS
            else f"kubectl logs job/{job.name} --tail=100"
            if last
            else f"kubectl describe job {job.name}",
            fatal=True,
            change="" if job.component == WEIGHTS else f"'grace status FOLDER' tells why; {AGAIN}",
        )
