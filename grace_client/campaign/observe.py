"""Read a release from the cluster: its pods, Jobs, Deployment, claims and events at one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from grace_client.campaign.snapshot import QUERY, WEIGHTS, Claim, Container, Event, Job, Pod, Snapshot
from grace_client.core.errors import GraceError
from grace_client.kube import job_end, manifests
from grace_client.kube.kubectl import Json, Kubectl, instance_selector

LOG_LINES, FEW_LINES = 20, 4
"""Lines to read of a failed container's log, and of a running one, whose last lines show its progress."""


async def observe(kubectl: Kubectl, release: str, at: datetime, *, logs: bool = True) -> Snapshot:
    """Look at a release.

    Parameters
    ----------
    kubectl : Kubectl
        The namespace.
    release : str
        Name of the release.
    at : datetime
        The time now.
    logs : bool
        Whether to read logs, too.

    Raises
    ------
    ReleaseError
        If the cluster does not answer.
    """
    objects, others = await asyncio.gather(
        kubectl.get("pods,jobs,deployments,replicasets", selector=instance_selector(release)),
        kubectl.get("events,persistentvolumeclaims"),
    )
    found = read(release, at, objects, others)
    if not logs:
        return found
    pods = await asyncio.gather(*(_with_logs(kubectl, pod) for pod in found.pods))
    return replace(found, pods=tuple(pods))


async def _with_logs(kubectl: Kubectl, pod: Pod) -> Pod:
    async def one(container: Container) -> Container:
        failed = bool(container.exit_code)
        useful = pod.component in (QUERY, WEIGHTS) or container.name == WEIGHTS or failed
        if not useful or not pod.node or (container.state in ("", "waiting") and not container.restarts):
            return container
        restarting = container.state == "waiting" and container.restarts > 0
        tail = LOG_LINES if failed else FEW_LINES
        try:
            log = await kubectl.logs(pod.name, container.name, tail=tail, previous=restarting)
        except GraceError:
            # If a node does not give its logs, the objects are enough to go on.
            return container
        return replace(container, log=log)

    return replace(pod, containers=tuple([await one(container) for container in pod.containers]))


def read(release: str, at: datetime, objects: Iterable[Json], others: Iterable[Json]) -> Snapshot:
    """A snapshot from objects as the API gives them; pure."""
    by_kind: dict[str, list[Json]] = {}
    for item in (*objects, *others):
        by_kind.setdefault(item["kind"], []).append(item)
    pods = tuple(sorted(map(_pod, by_kind.get("Pod", [])), key=lambda pod: (pod.created, pod.name)))
    jobs = tuple(sorted(map(_job, by_kind.get("Job", [])), key=lambda job: job.name))
    mounted = {claim for pod in pods for claim in pod.claims}
    claims = tuple(
        Claim(
            item["metadata"]["name"],
            item.get("status", {}).get("phase", ""),
            item["spec"].get("storageClassName", ""),
        )
        for item in by_kind.get("PersistentVolumeClaim", [])
        if item["metadata"]["name"] in mounted
    )
    workloads = frozenset(
        f"{kind}/{item['metadata']['name']}"
        for kind in ("Deployment", "ReplicaSet", "Job")
        for item in by_kind.get(kind, [])
    )
    known = workloads | {f"Pod/{pod.name}" for pod in pods}
    known |= {f"PersistentVolumeClaim/{claim.name}" for claim in claims}
    # An earlier object may have had the same name; events about it do not count.
    created = {
        f"{kind}/{item['metadata']['name']}": time(item["metadata"]["creationTimestamp"])
        for kind, items in by_kind.items()
        for item in items
        if kind != "Event"
    }
    events = [
        event for event in map(_event, by_kind.get("Event", [])) if f"{event.kind}/{event.name}" in known
    ]
    current = [event for event in events if event.last >= created[f"{event.kind}/{event.name}"]]
    deployments = by_kind.get("Deployment", [])
    return Snapshot(
        at=at,
        release=release,
        pods=pods,
        jobs=jobs,
        claims=claims,
        events=tuple(sorted(current, key=lambda event: event.last)),
        replicas=int(deployments[0]["spec"].get("replicas", 1)) if deployments else None,
        workloads=workloads,
    )


def time(text: str) -> datetime:
    """A moment as the API writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _pod(item: Json) -> Pod:
    meta, spec, status = item["metadata"], item["spec"], item.get("status", {})
    labels: Mapping[str, str] = meta.get("labels", {})
    condition: Json = next((c for c in status.get("conditions", []) if c["type"] == "PodScheduled"), {})
    scheduled = condition.get("status") == "True"
    volumes = [volume.get("persistentVolumeClaim") for volume in spec.get("volumes", [])]
    states = {
        s["name"]: s for key in ("initContainerStatuses", "containerStatuses") for s in status.get(key, [])
    }
    return Pod(
        uid=meta["uid"],
        name=meta["name"],
        component=labels.get("app.kubernetes.io/component", ""),
        experiment=labels.get("grace/experiment", ""),
        job=labels.get("job-name", ""),
        phase=status.get("phase", ""),
        gpus=manifests.PodSpec((), spec).gpus,
        node=spec.get("nodeName", ""),
        unscheduled=condition.get("message", "") if condition and not scheduled else "",
        created=time(meta["creationTimestamp"]),
        scheduled=time(condition["lastTransitionTime"]) if scheduled else None,
        deleting="deletionTimestamp" in meta,
        claims=tuple(claim["claimName"] for claim in volumes if claim),
        containers=tuple(
            _container(c["name"], states.get(c["name"], {}))
            for c in (*spec.get("initContainers", []), *spec["containers"])
        ),
        message=": ".join(filter(None, (status.get("reason"), status.get("message")))),
    )


def _container(name: str, status: Json) -> Container:
    (state, detail), *_ = (status.get("state") or {"": {}}).items()
    last = (status.get("lastState") or {}).get("terminated") or {}
    end = detail if state == "terminated" else last
    return Container(
        name=name,
        state=state,
        reason=detail.get("reason", ""),
        message=detail.get("message", ""),
        exit_code=end.get("exitCode"),
        ended=end.get("reason", ""),
        restarts=status.get("restartCount", 0),
        ready=status.get("ready", False),
        finished=time(detail["finishedAt"]) if detail.get("finishedAt") else None,
    )


def _job(item: Json) -> Job:
    labels, end = item["metadata"].get("labels", {}), job_end.end(item) or {}
    complete, failed = (end.get("type") == one for one in (job_end.COMPLETE, job_end.FAILED))
    return Job(
        name=item["metadata"]["name"],
        component=labels.get("app.kubernetes.io/component", ""),
        experiment=labels.get("grace/experiment", ""),
        complete=complete,
        failed=(end.get("message") or end.get("reason") or "it failed") if failed else "",
        finished=time(end["lastTransitionTime"]) if end.get("lastTransitionTime") else None,
    )


def _event(item: Json) -> Event:
    about, created = item["involvedObject"], item["metadata"].get("creationTimestamp")
    first = item.get("firstTimestamp") or item.get("eventTime") or created
    return Event(
        kind=about.get("kind", ""),
        name=about.get("name", ""),
        uid=about.get("uid", ""),
        type=item.get("type", ""),
        reason=item.get("reason", ""),
        message=item.get("message", ""),
        first=time(first),
        last=time(item.get("lastTimestamp") or first),
    )
