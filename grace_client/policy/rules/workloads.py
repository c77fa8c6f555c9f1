"""Rules on workloads and on how they end: P3, P4, P5, P6, P19."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from grace_client.kube.manifests import ContainerSpec, KubeObject
from grace_client.kube.quantities import decimal
from grace_client.policy.rules.base import JOBS, POLICIES, Fault, Severity, rule, rule_for_all

BARE_CORES = 16
BARE_BYTES = 32 * 10**9
BARE_HOURS = 6
MAX_JOBS = 400

_SLEEPS_FOREVER = re.compile(r"""\bsleep\b\W+inf(?:inity)?\b|\bsignal\.pause\b""")
_WAITS_FOREVER = re.compile(
    r"\btail\b[^;&|\n]*\s-\w*[fF]\w*[^;&|\n]*/dev/null|\btail\b[^;&|\n]*/dev/null\s+-\w*[fF]"
)
_SLEEPS_AT_END = re.compile(
    r"""\bsleep\b\s*\(?\s*['"]?[\d.$][\w.{}]*['"]?\)?\s*(?:\|\|\s*(?:true|:))?[\s;"')}]*$"""
)
_LOOP = re.compile(r"\bwhile\s+(?:true|:|\[+\s*(?:1|true)\s*\]+|1|True)\s*[;:\n]|\bfor\s*\(\(\s*;\s*;\s*\)\)")
_WAY_OUT = re.compile(r"\b(?:break|exit|return)\b")


def _texts(container: ContainerSpec) -> list[str]:
    """The command line as one text, and each of its words, which may be a whole shell script."""
    return [" ".join(container.command), *container.command]


def _loops_asleep(text: str) -> bool:
    return bool((loop := _LOOP.search(text)) and "sleep" in text and not _WAY_OUT.search(text, loop.end()))


@rule(
    "P3",
    Severity.ERROR,
    POLICIES,
    "Bare pods are for interactive work of at most 6 hours, 2 GPUs (P21), 32 GB and 16 cores, never for "
    "serving or batches.",
)
def bare_pods(item: KubeObject) -> Iterator[Fault]:
    """A bare pod is small."""
    if not item.is_bare_pod:
        return
    yield Fault(
        ("kind",),
        f"a bare pod is interactive work: the cluster deletes it after {BARE_HOURS} hours, and it is lost "
        "with its node",
        "serve from a Deployment and run batches as Jobs; for a short look use kubectl run for less than "
        f"{BARE_HOURS} hours",
    )
    for resource, most, unit, per, example in (
        ("cpu", BARE_CORES, "cores", 1, ""),
        ("memory", BARE_BYTES, "GB", 10**9, " (32G, which is 29Gi)"),
    ):
        amount = item.pod.amount(resource)
        if amount > most:
            yield Fault(
                ("spec", "containers"),
                f"the bare pod takes {decimal(amount / per)} {unit}; at most {most // per}",
                f"ask for at most {most // per} {unit}{example} in all containers together, or run a Job",
            )


@rule(
    "P4",
    Severity.ERROR,
    JOBS,
    "Jobs end by themselves: none sleeps at its end, and nothing sleeps forever.",
    "The check sees commands and arguments, not what a program inside an image does.",
)
def jobs_end_by_themselves(item: KubeObject) -> Iterator[Fault]:
    """No container sleeps on resources that others could use."""
    for container in item.pod.containers:
        texts = _texts(container)
        # In a Deployment, too: it only keeps resources from others.
        if any(map(_SLEEPS_FOREVER.search, texts)):
            why = "sleeps forever"
        elif item.job and any(map(_loops_asleep, texts)):
            why = "sleeps in a loop that never ends"
        elif item.job and any(map(_SLEEPS_AT_END.search, texts)):
            why = "ends with a sleep"
        else:
            continue
        yield Fault(
            container.command_path,
            f"{container.name}: {why}; the cluster bans users for it",
            "let the last command be the work itself, so that the pod ends with it; read results with "
            "kubectl logs, or from a second pod that mounts the claim",
        )


@rule_for_all(
    "P5",
    Severity.ERROR,
    POLICIES,
    "At most 400 Jobs at once.",
    "The check counts the objects of one call; it does not see what else runs in the namespace.",
)
def not_too_many_jobs(objects: Sequence[KubeObject]) -> Iterator[tuple[KubeObject, Fault]]:
    """The Jobs are few enough for one user."""
    jobs = [item for item in objects if item.job is not None]
    if len(jobs) > MAX_JOBS:
        why = f"{len(jobs)} Jobs at once; at most {MAX_JOBS}"
        fix = f"apply at most {MAX_JOBS}, or write one Job with completionMode: Indexed and a parallelism"
        yield jobs[MAX_JOBS], Fault(("kind",), why, fix)


@rule(
    "P6",
    Severity.NOTE,
    POLICIES,
    "Deployments are deleted after two weeks; servers are Deployments of less than a day, never "
    "StatefulSets (an error).",
    "A manifest does not say how long a Deployment will run.",
)
def servers_live_two_weeks(item: KubeObject) -> Iterator[Fault]:
    """A server is a Deployment, and ends in time."""
    if item.kind == "Deployment":
        yield Fault(
            ("kind",),
            "the cluster deletes Deployments two weeks after their creation; data on claims stays",
            "delete it within a day, when its questions are answered; keep its results on a claim",
        )
    elif item.kind == "StatefulSet":
        yield Fault(
            ("kind",),
            "a StatefulSet serves a model; servers are Deployments",
            "write a Deployment with strategy Recreate and a claim of its own, or a Job that ends by itself",
            Severity.ERROR,
        )


@rule(
    "P19",
    Severity.ERROR,
    JOBS,
    "Jobs set backoffLimit and ttlSecondsAfterFinished, and tail -f /dev/null counts as sleep.",
)
def jobs_clean_up(item: KubeObject) -> Iterator[Fault]:
    """A Job ends after some retries, and its object is deleted some time later."""
    if item.job is not None:
        path, job = item.job
        if job.get("backoffLimit") is None:
            yield Fault(
                (*path, "backoffLimit"),
                "the Job has no backoffLimit, so the cluster tries a faulty one seven times",
                "set backoffLimit to a sensible number of retries, such as 2",
            )
        if job.get("ttlSecondsAfterFinished") is None:
            yield Fault(
                (*path, "ttlSecondsAfterFinished"),
                "the Job has no ttlSecondsAfterFinished, so it stays in the namespace for good",
                "set ttlSecondsAfterFinished, such as 86400 (a day to read its logs)",
            )
    for container in item.pod.containers:
        if any(map(_WAITS_FOREVER.search, _texts(container))):
            yield Fault(
                container.command_path,
                f"{container.name}: tail -f /dev/null counts as sleeping forever",
                "let the last command be the work itself, so that the pod ends with it",
            )
