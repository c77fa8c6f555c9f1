"""A release at one moment, as data: pods, containers, Jobs, claims and events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

SERVER, QUERY, WEIGHTS, AUTOSTOP = "server", "query", "weights", "autostop"
"""Components, as the chart labels them."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod.

    Attributes
    ----------
    name : str
        Name in the pod.
    state : str
        `waiting`, `running`, `terminated`, or empty if unknown.
    reason, message : str
        Why it waits, or how it ended.
    exit_code : int or None
        Exit code of its last end, also before a restart.
    ended : str
        Reason of its last end, such as `OOMKilled`.
    restarts : int
        Number of restarts.
    ready : bool
        Whether its probes pass.
    finished : datetime or None
        When it ended for good.
    log : str
        The end of its log, if it was read.
    """

    name: str
    state: str = ""
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    ended: str = ""
    restarts: int = 0
    ready: bool = False
    finished: datetime | None = None
    log: str = ""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod.

    Attributes
    ----------
    uid, name : str
        Two pods never share a uid.
    component, experiment, job : str
        From its labels; empty if it has none.
    phase : str
        Kubernetes' phase of the pod.
    gpus : int
        Number of GPUs that it requests.
    node : str
        Its node; empty before it is scheduled.
    unscheduled : str
        Why it has no node yet, in the scheduler's words.
    created : datetime
        When it was created.
    scheduled : datetime or None
        When it got its node, and its GPUs.
    deleting : bool
        Whether it is being deleted.
    claims : tuple of str
        Claims that it mounts.
    containers : tuple of Container
        Its containers, init containers first.
    message : str
        Why the node evicted or refused it.
    """

    uid: str
    name: str
    component: str
    experiment: str
    job: str
    phase: str
    gpus: int
    node: str
    unscheduled: str
    created: datetime
    scheduled: datetime | None
    deleting: bool = False
    claims: tuple[str, ...] = ()
    containers: tuple[Container, ...] = ()
    message: str = ""

    @property
    def over(self) -> bool:
        """Whether it has ended; its GPUs are free then, even while it still exists."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def gpus_in_use(self) -> int:
        """GPUs that no other pod can use."""
        return self.gpus if self.scheduled and not self.over else 0

    @property
    def ended(self) -> datetime | None:
        """When the last container of a pod that has ended finished."""
        ends = [container.finished for container in self.containers if container.finished]
        return max(ends, default=None) if self.over else None

    @property
    def ready(self) -> bool:
        """Whether all its containers are ready."""
        return self.phase == "Running" and all(
            c.ready or (c.state == "terminated" and c.exit_code == 0) for c in self.containers
        )


@dataclass(frozen=True, slots=True)
class Job:
    """A Job.

    Attributes
    ----------
    name, component, experiment : str
        From its metadata and labels.
    complete : bool
        Whether it succeeded.
    failed : str
        Why it failed, in Kubernetes' words; empty if it did not.
    finished : datetime or None
        When it ended.
    """

    name: str
    component: str
    experiment: str
    complete: bool
    failed: str
    finished: datetime | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.complete or bool(self.failed)


@dataclass(frozen=True, slots=True)
class Event:
    """An event that Kubernetes reports.

    Attributes
    ----------
    kind, name, uid : str
        The object that it is about.
    type : str
        `Normal` or `Warning`.
    reason, message : str
        What happened.
    first, last : datetime
        When it happened first and last.
    """

    kind: str
    name: str
    uid: str
    type: str
    reason: str
    message: str
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim that a pod mounts; `phase` is Bound if it has a volume."""

    name: str
    phase: str
    storage_class: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A release at one moment.

    Attributes
    ----------
    at : datetime
        The moment.
    release : str
        Its name.
    pods, jobs, claims, events : tuple
        Its objects; events only of these objects and of the workloads.
    replicas : int or None
        Replicas of its Deployment; None if there is no Deployment.
    workloads : frozenset of str
        `kind/name` of the objects that create pods: Deployment, ReplicaSets, Jobs.
    """

    at: datetime
    release: str
    pods: tuple[Pod, ...] = ()
    jobs: tuple[Job, ...] = ()
    claims: tuple[Claim, ...] = ()
    events: tuple[Event, ...] = ()
    replicas: int | None = None
    workloads: frozenset[str] = frozenset()

    @property
    def gpus(self) -> int:
        """GPUs that the release uses."""
        return sum(pod.gpus_in_use for pod in self.pods)

    @property
    def exists(self) -> bool:
        """Whether any workload or pod of the release is left."""
        return bool(self.workloads or self.pods)

    def of(self, component: str) -> tuple[Pod, ...]:
        """Pods of a component."""
        return tuple(pod for pod in self.pods if pod.component == component)
