"""What is wrong with a release, told from what a real cluster said of one (`snapshots/`)."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from grace_client.campaign.diagnose import FaultKind, diagnose
from grace_client.campaign.machine import phase_of
from grace_client.campaign.observe import read
from grace_client.campaign.records import Phase
from grace_client.campaign.snapshot import Snapshot

SNAPSHOTS = Path(__file__).parent / "snapshots"
RECORDED = sorted(file.stem for file in SNAPSHOTS.glob("*.json"))


def recorded(name: str, *, later: timedelta = timedelta(), logs: dict[str, str] | None = None) -> Snapshot:
    """A snapshot as it was recorded, looked at some time later."""
    file = json.loads((SNAPSHOTS / f"{name}.json").read_text())
    found = read(name, datetime.fromisoformat(file["at"]) + later, file["objects"], file["others"])
    said = file["logs"] | (logs or {})
    return replace(
        found,
        pods=tuple(
            replace(pod, containers=tuple(replace(c, log=said.get(c.name, "")) for c in pod.containers))
            for pod in found.pods
        ),
    )


@dataclass(frozen=True)
class Case:
    """What must be told of a recorded release."""

    kind: FaultKind
    fatal: bool
    phase: Phase
    gpus: int
    message: tuple[str, ...]
    next: str


CASES = {
    "unschedulable": Case(
        FaultKind.UNSCHEDULABLE,
        False,
        Phase.QUEUED,
        0,
        ("gpu.products", "node affinity"),
        "--fallback rtx-3090",
    ),
    "quota": Case(
        FaultKind.QUOTA, False, Phase.QUEUED, 0, ("exceeded quota: tight", "nvidia.com/a100"), "rtx-3090"
    ),
    "image": Case(
        FaultKind.IMAGE, False, Phase.LOADING, 1, ("image of server", "no-such-tag"), "server.image"
    ),
    "secret": Case(
        FaultKind.SECRET,
        True,
        Phase.DOWNLOADING,
        1,
        ('secret "hf-token" not found',),
        "create secret generic hf-token",
    ),
    "nomodel": Case(
        FaultKind.WEIGHTS,
        True,
        Phase.DOWNLOADING,
        1,
        ("exit code 2", "there is no example/no-such-model"),
        "hf-token",
    ),
    "oom": Case(
        FaultKind.MEMORY, True, Phase.LOADING, 1, ("more memory than its limit",), "server.resources"
    ),
    "crash": Case(
        FaultKind.CRASH,
        True,
        Phase.LOADING,
        1,
        ("exit code 2", "--seed: invalid int value: 'x'"),
        "--previous",
    ),
    "claim": Case(
        FaultKind.CLAIM,
        True,
        Phase.QUEUED,
        0,
        ("pvc-model-weights-claim", "ceph-none"),
        "kubectl describe pvc",
    ),
    "query": Case(
        FaultKind.QUERY,
        True,
        Phase.FETCHING,
        1,
        ("exit code 2", "'story_shortname': missing"),
        "kubectl logs job/",
    ),
}


def test_every_recording_is_told_of() -> None:
    """None lies unused."""
    assert sorted(CASES) == RECORDED


@pytest.mark.parametrize("name", CASES)
def test_a_stuck_release_is_explained(name: str) -> None:
    """What happened with its words, whether waiting helps, and the next command."""
    case, snapshot = CASES[name], recorded(name)
    (found,) = diagnose(snapshot)
    assert (found.kind, found.fatal) == (case.kind, case.fatal), found
    assert all(words in found.message for words in case.message), found.message
    assert case.next in found.next
    assert phase_of(snapshot) is case.phase
    assert snapshot.gpus == case.gpus


def test_a_gated_model_without_a_token_is_told_in_the_downloads_words() -> None:
    """The licence's page is in them, and the next step follows them."""
    words = "weights: the token may not read a/b: accept its licence at https://huggingface.co/a/b with the"
    (found,) = diagnose(recorded("nomodel", logs={"weights": words}))
    assert "https://huggingface.co/a/b" in found.message
    assert "last line" in found.next and found.fatal


def test_overlays_that_were_tried_are_not_offered() -> None:
    """The first that is left is; with none left, it says so."""
    snapshot = recorded("unschedulable")
    assert "--fallback l40" in diagnose(snapshot, fallbacks=["l40", "v100"])[0].next
    assert "has tried all kinds" in diagnose(snapshot, fallbacks=[])[0].next


def test_a_missing_resource_is_named() -> None:
    """Out of the scheduler's sentence, once for all nodes."""
    words = (
        "0/3 nodes are available: 1 Insufficient cpu, 2 Insufficient nvidia.com/a100, "
        "1 node(s) had taint {x: y}, that the pod didn't tolerate."
    )
    snapshot = recorded("unschedulable")
    pods = tuple(replace(pod, unscheduled=words) if pod.gpus else pod for pod in snapshot.pods)
    (found,) = diagnose(replace(snapshot, pods=pods))
    assert "no node has enough cpu, nvidia.com/a100 free; taints keep pods off other nodes" in found.message


def test_a_pull_that_may_be_the_networks_fault_has_its_time() -> None:
    """Ten minutes; an image that is not there has none."""
    snapshot = recorded("image")
    assert "connection refused" in diagnose(snapshot)[0].message
    assert diagnose(replace(snapshot, at=snapshot.at + timedelta(minutes=10)))[0].fatal
    gone = tuple(
        replace(e, message=e.message.replace("refused", "refused: not found")) for e in snapshot.events
    )
    assert diagnose(replace(snapshot, events=gone))[0].fatal


def test_one_kill_for_memory_may_be_chance() -> None:
    """The second is not."""
    snapshot = recorded("oom")
    once = tuple(
        replace(pod, containers=tuple(replace(c, restarts=0) for c in pod.containers))
        for pod in snapshot.pods
    )
    assert [one.fatal for one in diagnose(replace(snapshot, pods=once))] == [False]


def test_an_eviction_is_told() -> None:
    """Its successor goes on; why the node ended the pod is in no log."""
    snapshot = recorded("oom")
    said = "Evicted: The node was low on resource: ephemeral-storage"
    gone = tuple(replace(pod, phase="Failed", message=said) if pod.gpus else pod for pod in snapshot.pods)
    (found,) = diagnose(replace(snapshot, pods=gone))
    assert found.kind is FaultKind.NODE and not found.fatal and "ephemeral-storage" in found.message


def test_what_ran_well_has_nothing_wrong() -> None:
    """A release without objects, and one whose pods wait to be looked at."""
    empty = Snapshot(at=recorded("oom").at, release="none")
    assert diagnose(empty) == []
