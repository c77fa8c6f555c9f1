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
        Its name in the pod.
    state : str
        `waiting`, `running`, `terminated`, or empty where nothing is known yet.
    reason, message : str
        Why it waits, or how it ended.
    exit_code : int or None
        Of its last end, a restart's included.
    ended : str
        Reason of its last end, such as `OOMKilled`.
    restarts : int
        How often it was started again.
    ready : bool
        Whether its probes pass.
    finished : datetime or None
        When it ended for good.
    log : str
        The end of its log, where that says something.
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
        By its labels; empty where it has none.
    phase : str
        As Kubernetes has it.
    gpus : int
        That it asks for.
    node : str
        Where it was put; empty before.
    unscheduled : str
        Why it has no node yet, in the scheduler's words.
    created : datetime
        When it was made.
    scheduled : datetime or None
        When it got its node, and its GPUs.
    deleting : bool
        Whether it was told to go.
    claims : tuple of str
        Claims it mounts.
    containers : tuple of Container
        Init containers first.
    message : str
        Why it was evicted or refused by the node.
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
        """Whether it has ended; its GPUs are free then, whether or not it still exists."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def holds(self) -> int:
        """GPUs that nobody else can have."""
        return self.gpus if self.scheduled and not self.over else 0

    @property
    def ended(self) -> datetime | None:
        """When the last container of a pod that is over ended."""
        ends = [container.finished for container in self.containers if container.finished]
        return max(ends, default=None) if self.over else None

    @property
    def ready(self) -> bool:
        """Whether all its containers answer."""
        return self.phase == "Running" and all(
            c.ready or (c.state == "terminated" and c.exit_code == 0) for c in self.containers
        )


@dataclass(frozen=True, slots=True)
class Job:
    """A Job.

    Attributes
    ----------
    name, component, experiment : str
        By its labels.
    complete : bool
        Whether it succeeded.
    failed : str
        Why it failed, in Kubernetes' words; empty where it did not.
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
    """What Kubernetes reports.

    Attributes
    ----------
    kind, name, uid : str
        The object.
    type : str
        `Normal` or `Warning`.
    reason, message : str
        What happened.
    first, last : datetime
        When.
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
    """A PersistentVolumeClaim that a pod mounts; `phase` is Bound where it has a volume."""

    name: str
    phase: str
    storage_class: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A release at one moment.

    Attributes
    ----------
    at : datetime
        The moment, by the clock of whoever looked.
    release : str
        Its name.
    pods, jobs, claims, events : tuple
        Events only of these objects, and of the release's Deployment.
    replicas : int or None
        Servers that its Deployment is to have; None where there is none.
    made : frozenset of str
        `kind/name` of the objects that make pods: Deployment, ReplicaSets, Jobs.
    """

    at: datetime
    release: str
    pods: tuple[Pod, ...] = ()
    jobs: tuple[Job, ...] = ()
    claims: tuple[Claim, ...] = ()
    events: tuple[Event, ...] = ()
    replicas: int | None = None
    made: frozenset[str] = frozenset()

    @property
    def gpus(self) -> int:
        """GPUs that the release holds."""
        return sum(pod.holds for pod in self.pods)

    def of(self, component: str) -> tuple[Pod, ...]:
        """Pods of a component."""
        return tuple(pod for pod in self.pods if pod.component == component)
