"""A namespace that only exists in memory: releases, their pods and Jobs, as snapshots show them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from grace_client.campaign.snapshot import Container, Job, Pod, Snapshot

START = datetime(2026, 11, 22, 12, tzinfo=UTC)


def server(release: str, number: int, now: datetime, *, gpus: int = 2) -> Pod:
    """A server pod that waits for its GPUs."""
    return Pod(
        uid=f"{release}-{number}",
        name=f"deployment-{release}-{number}",
        component="server",
        experiment="",
        job="",
        phase="Pending",
        gpus=gpus,
        node="",
        unscheduled="0/2 nodes are available: 2 Insufficient nvidia.com/a100.",
        created=now,
        scheduled=None,
        containers=(Container("weights", "waiting"), Container("server", "waiting")),
    )


@dataclass
class World:
    """What the cluster would hold; `act` lets it go on by itself."""

    now: datetime = START
    pods: dict[str, list[Pod]] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    made: int = 0

    def holding(self) -> set[str]:
        """Releases whose pods hold GPUs."""
        return {release for release, pods in self.pods.items() if any(pod.gpus_in_use for pod in pods)}

    def snapshot(self, release: str) -> Snapshot:
        """The release as it is."""
        job = self.jobs.get(release)
        return Snapshot(
            at=self.now,
            release=release,
            pods=tuple(self.pods.get(release, ())),
            jobs=(job,) if job else (),
            replicas=1 if job else None,
            workloads=frozenset({f"Deployment/{release}"}) if job else frozenset(),
        )

    def install(self, release: str) -> None:
        """As helm does; a second time changes nothing."""
        if release not in self.jobs:
            self.jobs[release] = Job(f"job-{release}", "query", "study1-exp2", False, "")
            self._new(release)

    def uninstall(self, release: str) -> None:
        """Objects go at once; pods that were told to go take their time."""
        self.jobs.pop(release, None)
        self.pods[release] = [replace(pod, deleting=True) for pod in self.pods.get(release, [])]

    def _new(self, release: str) -> None:
        self.made += 1
        self.pods.setdefault(release, []).append(server(release, self.made, self.now))

    def act(self, what: str, minutes: int) -> None:
        """One thing that happens to every release, and time that passes."""
        self.now += timedelta(minutes=minutes)
        for release, pods in self.pods.items():
            for place, pod in enumerate(pods):
                pods[place] = self._acted(pod, what)
            if what == "end":
                pods[:] = [pod for pod in pods if not pod.deleting]
            live = [pod for pod in pods if not pod.deleting]
            job = self.jobs.get(release)
            if job and not live:
                self._new(release)
            if job and what in ("complete", "fail") and live and live[0].ready:
                self.jobs[release] = replace(
                    job,
                    complete=what == "complete",
                    failed="" if what == "complete" else "BackoffLimitExceeded",
                )

    def _acted(self, pod: Pod, what: str) -> Pod:
        weights, engine = pod.containers
        if what == "schedule" and not pod.scheduled and not pod.deleting:
            return replace(pod, scheduled=self.now, node="node", unscheduled="")
        if what == "download" and pod.scheduled:
            return replace(pod, containers=(replace(weights, state="terminated", exit_code=0), engine))
        if what == "load" and weights.state == "terminated":
            ready = replace(engine, state="running", ready=True)
            return replace(pod, phase="Running", containers=(weights, ready))
        if what == "evict":
            return replace(pod, deleting=True)
        if what == "crash":
            return replace(pod, containers=(weights, replace(engine, exit_code=1, restarts=3)))
        return pod
