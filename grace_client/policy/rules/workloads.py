"""Rules on what runs and how it ends: P3, P4, P5, P6, P19."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from grace_client.kube.manifests import ContainerSpec, KubeObject
from grace_client.kube.quantities import decimal
from grace_client.policy.rules.base import JOBS, POLICIES, Fault, Rule, Severity

BARE_CORES = 16
BARE_BYTES = 32 * 10**9
BARE_HOURS = 6
MAX_JOBS = 400

_SLEEPS_FOR_EVER = re.compile(r"""\bsleep\b\W+inf(?:inity)?\b|\bsignal\.pause\b""")
_WAITS_FOR_EVER = re.compile(
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


def bare_pods(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P3."""
    for manifest in manifests:
        pod = manifest.pod
        if pod is None or not manifest.is_bare_pod:
            continue
        yield Fault(
            manifest,
            ("kind",),
            f"a bare pod is interactive work: it is deleted after {BARE_HOURS} hours, and is gone when its "
            "node is",
            "serve from a Deployment and run batches as Jobs; for looking around use kubectl run for less "
            f"than {BARE_HOURS} hours",
        )
        for resource, most, unit, per in (
            ("cpu", BARE_CORES, "cores", 1),
            ("memory", BARE_BYTES, "GB", 10**9),
        ):
            amount = pod.amount(resource)
            if amount > most:
                yield Fault(
                    manifest,
                    ("spec", "containers"),
                    f"the bare pod takes {decimal(amount / per)} {unit}; at most {most // per}",
                    f"ask for at most {most // per} {unit}"
                    + (" (32G, which is 29Gi)" if resource == "memory" else "")
                    + " in all containers together, or run a Job",
                )


def jobs_end_by_themselves(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P4. Sleeping for ever is against the rules in a Deployment too, where it only holds resources."""
    for manifest in manifests:
        for container in manifest.pod.containers if manifest.pod else ():
            texts = _texts(container)
            if any(map(_SLEEPS_FOR_EVER.search, texts)):
                why = "sleeps for ever"
            elif manifest.job and any(map(_loops_asleep, texts)):
                why = "loops for ever, asleep"
            elif manifest.job and any(map(_SLEEPS_AT_END.search, texts)):
                why = "ends with a sleep"
            else:
                continue
            yield Fault(
                manifest,
                (*container.path, "command" if container.body.get("command") else "args"),
                f"{container.name}: {why}; users are banned for it",
                "let the last command be the work itself, so that the pod ends with it; look at results with "
                "kubectl logs, or from a second pod that mounts the claim",
            )


def not_too_many_jobs(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P5."""
    jobs = [manifest for manifest in manifests if manifest.job is not None]
    if len(jobs) > MAX_JOBS:
        yield Fault(
            jobs[MAX_JOBS],
            ("kind",),
            f"{len(jobs)} Jobs at once; at most {MAX_JOBS}",
            f"apply at most {MAX_JOBS}, or make one Job of them with completionMode: Indexed and a "
            "parallelism",
        )


def servers_live_two_weeks(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P6."""
    for manifest in manifests:
        if manifest.kind == "Deployment":
            yield Fault(
                manifest,
                ("kind",),
                "the cluster deletes Deployments two weeks after they were made; data on claims stays",
                "remove it when its questions are answered, within a day; what it made must lie on a claim",
            )
        elif manifest.kind == "StatefulSet":
            yield Fault(
                manifest,
                ("kind",),
                "a StatefulSet serves a model; servers are Deployments",
                "make it a Deployment with strategy Recreate and a claim of its own, or a Job that ends by "
                "itself",
                Severity.ERROR,
            )


def jobs_clean_up(manifests: Sequence[KubeObject]) -> Iterator[Fault]:
    """P19."""
    for manifest in manifests:
        if manifest.job is not None:
            path, job = manifest.job
            if job.get("backoffLimit") is None:
                yield Fault(
                    manifest,
                    (*path, "backoffLimit"),
                    "the Job has no backoffLimit, so that a faulty one is tried seven times",
                    "set backoffLimit to the number of retries that make sense, such as 2",
                )
            if job.get("ttlSecondsAfterFinished") is None:
                yield Fault(
                    manifest,
                    (*path, "ttlSecondsAfterFinished"),
                    "the Job has no ttlSecondsAfterFinished, so that it stays in the namespace for good",
                    "set ttlSecondsAfterFinished, such as 86400 (a day to read its logs)",
                )
        for container in manifest.pod.containers if manifest.pod else ():
            if any(map(_WAITS_FOR_EVER.search, _texts(container))):
                yield Fault(
                    manifest,
                    (*container.path, "command" if container.body.get("command") else "args"),
                    f"{container.name}: tail -f /dev/null counts as sleeping for ever",
                    "let the last command be the work itself, so that the pod ends with it",
                )


RULES = (
    Rule(
        "P3",
        Severity.ERROR,
        "Bare pods are for interactive work of at most 6 hours, 2 GPUs (P21), 32 GB and 16 cores, never for "
        "serving or batches.",
        POLICIES,
        bare_pods,
    ),
    Rule(
        "P4",
        Severity.ERROR,
        "Jobs end by themselves: none sleeps at its end, and nothing sleeps for ever.",
        JOBS,
        jobs_end_by_themselves,
        "What a program inside an image does is not seen, only commands and arguments.",
    ),
    Rule(
        "P5",
        Severity.ERROR,
        "At most 400 Jobs at once.",
        POLICIES,
        not_too_many_jobs,
        "Counted is what is checked together; what else runs in the namespace is not seen.",
    ),
    Rule(
        "P6",
        Severity.NOTE,
        "Deployments are deleted after two weeks; servers are Deployments of less than a day, never "
        "StatefulSets (an error).",
        POLICIES,
        servers_live_two_weeks,
        "How long a Deployment will run is not written in it.",
    ),
    Rule(
        "P19",
        Severity.ERROR,
        "Jobs set backoffLimit and ttlSecondsAfterFinished, and tail -f /dev/null counts as sleep.",
        JOBS,
        jobs_clean_up,
    ),
)
