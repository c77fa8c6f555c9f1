"""A cluster, a clock and the work on a model that keep everything in memory, and can break at any call."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from grace_client.campaign.records import Campaign, ModelState
from grace_client.campaign.snapshot import Container, Job, Pod
from grace_client.core.errors import ReleaseError
from grace_client.kube.clock import Clock
from grace_client.kube.kubectl import Kubectl
from tests.campaign.world import World

if TYPE_CHECKING:
    from grace_client.campaign.backend import Backend
else:
    # These tests need no pyhelm3, which the real one imports.
    Backend = object

Json = dict[str, Any]
WELL = ("schedule", "download", "load", "complete", "end")


class KilledError(BaseException):
    """The process is no more; nothing that it would do after this happens."""


@dataclass
class Fake(Kubectl, Clock):
    """The namespace behind `kubectl` and helm.

    Attributes
    ----------
    world : World
        What is there.
    calls : list of str
        What was called, in order.
    kill_at : int or None
        Call with which the process dies.
    away : timedelta
        For how long the API is away, from `away_since` on.
    slow : set of str
        Models whose install takes longer than it may.
    doomed : set of str
        Of these, those whose pods refer to a Secret that there is not.
    stuck : dict of str to float
        Seconds that a model's uninstall takes.
    well : bool
        Whether everything goes on by itself as time passes.
    """

    world: World = field(default_factory=World)
    maps: dict[str, Json] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    kill_at: int | None = None
    away_since: datetime | None = None
    away: timedelta = timedelta()
    well: bool = True
    ticks: int = 0
    version: int = 0
    installs: list[str] = field(default_factory=list)
    slow: set[str] = field(default_factory=set)
    releases: set[str] = field(default_factory=set)
    doomed: set[str] = field(default_factory=set)
    stuck: dict[str, float] = field(default_factory=dict)
    broken: dict[str, Exception] = field(default_factory=dict)

    def call(self, what: str) -> None:
        """Every call comes through here."""
        if self.kill_at is not None and len(self.calls) >= self.kill_at:
            raise KilledError
        self.calls.append(what)
        since = self.away_since
        if since is not None and since <= self.world.now < since + self.away:
            raise ReleaseError("connection refused", retryable=True)
        assert len(self.world.holding()) <= 1, "two models hold GPUs"

    # kubectl

    async def get(self, kind: str, *, selector: str = "", names: Sequence[str] = ()) -> list[Json]:
        """Objects as the API gives them."""
        await asyncio.sleep(0)
        self.call(f"get {kind}")
        if kind == "configmaps":
            return [copy.deepcopy(self.maps[name]) for name in names if name in self.maps]
        if kind.startswith("events"):
            return []
        release = selector.partition("=")[2]
        snapshot = self.world.snapshot(release)
        found = [_pod(pod) for pod in snapshot.pods] + [_job(job) for job in snapshot.jobs]
        if release in self.doomed:
            for pod in found[:1]:
                waiting = {"reason": "CreateContainerConfigError", "message": 'secret "hf-token" not found'}
                pod["status"]["initContainerStatuses"][0]["state"] = {"waiting": waiting}
        if snapshot.replicas is not None:
            found.append(_object("Deployment", f"deployment-{release}", "server", {"spec": {"replicas": 1}}))
        return found

    async def logs(self, pod: str, container: str, *, tail: int = 40, previous: bool = False) -> str:
        """Nothing, from a node that does not answer."""
        self.call("logs")
        raise ReleaseError("no preferred addresses found")

    async def create(self, item: Json) -> bool:
        """A ConfigMap, unless there is one."""
        self.call("create")
        name = item["metadata"]["name"]
        if name in self.maps:
            return False
        self.maps[name] = copy.deepcopy(item)
        self._written(name)
        return True

    async def patch(self, kind: str, name: str, patch: Json) -> None:
        """A ConfigMap, where nobody else has changed it."""
        await asyncio.sleep(0)
        self.call("patch")
        wanted = patch.get("metadata", {}).get("resourceVersion")
        held = self.maps[name]["metadata"]["resourceVersion"]
        if wanted not in (None, held):
            raise ReleaseError("the object has been modified", reason="Conflict")
        data = self.maps[name]["data"] | patch["data"]
        self.maps[name]["data"] = {key: value for key, value in data.items() if value is not None}
        self._written(name)

    async def delete(self, kind: str, name: str, *, wait: bool = False, grace: int | None = None) -> None:
        """A ConfigMap."""
        self.call("delete")
        self.maps.pop(name, None)

    def _written(self, name: str) -> None:
        self.version += 1
        self.maps[name]["metadata"]["resourceVersion"] = str(self.version)

    # the clock

    def now(self) -> datetime:
        """The world's time."""
        return self.world.now

    async def sleep(self, seconds: float) -> None:
        """Time passes at once, after everybody else had a turn."""
        for _ in range(5):
            await asyncio.sleep(0)
        self.world.act(WELL[self.ticks % len(WELL)] if self.well else "nothing", 0)
        self.world.now += timedelta(seconds=seconds)
        self.ticks += 1

    def backend(self, campaign: Campaign, model: ModelState) -> FakeBackend:
        """As the controller wants it."""
        return FakeBackend(self, model.model)


@dataclass
class FakeBackend(Backend):
    """The work on one model; `Fake.broken` says which part of it fails."""

    fake: Fake
    name: str

    async def _do(self, what: str) -> None:
        await asyncio.sleep(0)
        self.fake.call(f"{what} {self.name}")
        if error := self.fake.broken.get(f"{what} {self.name}"):
            raise error

    async def check(self) -> str:
        """Nothing against it."""
        await self._do("check")
        return ""

    async def install(self, *, timeout: float) -> str:
        """The objects are there before the call returns, as with helm."""
        self.fake.world.install(self.name)
        self.fake.releases.add(self.name)
        self.fake.installs.append(self.name)
        if self.name in self.fake.slow:
            ends = self.fake.now() + timedelta(seconds=timeout)
            while self.fake.now() < ends:
                await self.fake.sleep(min(timeout, 10))
            raise ReleaseError("helm: timed out waiting for the condition")
        await self._do("install")
        return ""

    async def installed(self) -> bool:
        """Whether it was installed and not uninstalled."""
        await self._do("installed")
        return self.name in self.fake.releases

    async def keep_logs(self) -> str:
        """A sentence."""
        await self._do("keep_logs")
        return f"logs of {self.name}"

    async def fetch(self) -> tuple[str, ...]:
        """A folder."""
        await self._do("fetch")
        return (f"results/{self.name}",)

    async def uninstall(self, *, timeout: float) -> None:
        """Objects go at once, pods when they have ended."""
        await self._do("uninstall")
        self.fake.world.uninstall(self.name)
        self.fake.releases.discard(self.name)
        ends = self.fake.now() + timedelta(seconds=self.fake.stuck.get(self.name, 1))
        while self.fake.now() < ends:
            await self.fake.sleep(1)
        await self._do("uninstalled")


def _object(kind: str, name: str, component: str, rest: Json) -> Json:
    labels = {"app.kubernetes.io/component": component, "grace/experiment": "study1-exp2"}
    made = "2026-11-22T12:00:00Z"
    return {"kind": kind, "metadata": {"name": name, "labels": labels, "creationTimestamp": made}} | rest


def _pod(pod: Pod) -> Json:
    condition: Json = {"type": "PodScheduled", "status": "True" if pod.scheduled else "False"}
    if pod.scheduled:
        condition["lastTransitionTime"] = pod.scheduled.isoformat()
    else:
        condition["message"] = pod.unscheduled
    limits = {"nvidia.com/a100": str(pod.gpus)}
    spec: Json = {
        "initContainers": [{"name": "weights"}],
        "containers": [{"name": "server", "resources": {"limits": limits}}],
    }
    if pod.node:
        spec["nodeName"] = pod.node
    statuses = [_status(container) for container in pod.containers]
    status = {
        "phase": pod.phase,
        "conditions": [condition],
        "initContainerStatuses": statuses[:1],
        "containerStatuses": statuses[1:],
    }
    found = _object("Pod", pod.name, pod.component, {"spec": spec, "status": status})
    found["metadata"] |= {"uid": pod.uid, "creationTimestamp": pod.created.isoformat()}
    if pod.deleting:
        found["metadata"]["deletionTimestamp"] = pod.created.isoformat()
    return found


def _status(container: Container) -> Json:
    state: Json = {"exitCode": container.exit_code} if container.state == "terminated" else {}
    last = {"terminated": {"exitCode": container.exit_code}} if container.restarts else {}
    return {
        "name": container.name,
        "ready": container.ready,
        "restartCount": container.restarts,
        "state": {container.state: state},
        "lastState": last,
    }


def _job(job: Job) -> Json:
    conditions = [{"type": "Complete", "status": "True"}] if job.complete else []
    if job.failed:
        conditions = [{"type": "Failed", "status": "True", "message": job.failed}]
    return _object("Job", job.name, job.component, {"status": {"conditions": conditions}})
