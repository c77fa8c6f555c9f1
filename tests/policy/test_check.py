"""Checking whole manifests, as the command does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from grace_client.core.errors import SpecError
from grace_client.kube.manifests import read_manifests
from grace_client.policy.check import check
from tests.kube.objects import claim, deployment, job, report

FOLDER = Path(__file__).parent / "manifests"

# Every fault of the old manifests: rule, severity, object, line.
OLD = {
    "old-server.yaml": [
        ("P20", "error", "PersistentVolumeClaim/gemma-27b-cache", 8),
        ("P1", "error", "Deployment/gemma-27b", 46),
        ("P1", "error", "Deployment/gemma-27b", 47),
        ("P14", "error", "Deployment/gemma-27b", 26),
        ("P15", "error", "Deployment/gemma-27b", 28),
        ("P17", "error", "Deployment/gemma-27b", 37),
        ("P16", "warning", "Deployment/gemma-27b", 49),
        ("P11", "note", "PersistentVolumeClaim/gemma-27b-cache", 6),
        ("P6", "note", "Deployment/gemma-27b", 14),
        ("P7", "note", "Deployment/gemma-27b", 48),
        ("P8", "note", "Deployment/gemma-27b", 25),
    ],
    "old-workspace.yaml": [
        ("P3", "error", "Pod/workspace", 13),
        ("P4", "error", "Pod/workspace", 20),
        ("P12", "error", "Pod/workspace", 20),
        ("P11", "note", "PersistentVolumeClaim/shared-results", 6),
        ("P8", "note", "Pod/workspace", 16),
    ],
    "old-queries.yaml": [
        ("P1", "error", "Job/study1-gemma-27b", 26),
        ("P1", "error", "Job/study1-gemma-27b", 26),
        ("P1", "error", "Job/study1-gemma-27b", 26),
        ("P4", "error", "Job/study1-gemma-27b", 20),
        ("P17", "error", "Job/study1-gemma-27b", 23),
        *[("P18", "error", "Job/study1-gemma-27b", 14)] * 4,
        ("P19", "error", "Job/study1-gemma-27b", 9),
        ("P19", "error", "Job/study1-gemma-27b", 9),
    ],
}


@pytest.mark.parametrize("file", sorted(OLD))
def test_old_manifests_report_every_fault(file: str) -> None:
    """Each with the line a person has to go to, and nothing else."""
    found = check(read_manifests((FOLDER / file).read_text(), file)).findings
    assert [(f.rule, str(f.severity), f"{f.kind}/{f.name}", f.line) for f in found] == OLD[file]


def test_the_json_is_stable() -> None:
    """Scripts rely on these names."""
    one = report(
        job(namespace="ignored") | {"metadata": {"name": "q", "namespace": "lab"}}, claim("ceph-rbd")
    )
    found: Any = one.to_json()
    counts = {"objects": 2, "errors": 1, "warnings": 0, "notes": 1, "ignored": []}
    assert {key: found[key] for key in found if key != "findings"} == counts
    for finding in found["findings"]:
        assert finding.pop("why") and finding.pop("fix")
    item = {"kind": "PersistentVolumeClaim", "name": "results", "namespace": None}
    same = {"object": item, "file": "test.yaml", "reviewed": "2026-11"}
    assert found["findings"] == [
        {
            "rule": "P20",
            "severity": "error",
            "field": "spec.storageClassName",
            "line": 34,
            "source": "NRP documentation, Ceph FS / RBD",
            **same,
        },
        {
            "rule": "P11",
            "severity": "note",
            "field": "spec",
            "line": 28,
            "source": "NRP documentation, Storage",
            **same,
        },
    ]


def test_notes_never_fail_and_warnings_only_if_strict() -> None:
    """Errors always."""
    notes, warnings, errors = report(deployment()), report(claim(None)), report(claim("ceph-rbd"))
    assert [r.violates() for r in (notes, warnings, errors)] == [False, False, True]
    assert [r.violates(strict=True) for r in (notes, warnings, errors)] == [False, True, True]
    assert notes.summary() == "0 errors, 1 note in 1 object"
    assert warnings.summary() == "0 errors, 1 warning, 1 note in 1 object"


def test_a_rule_can_be_left_out_and_the_summary_says_so() -> None:
    """Where the administrators granted an exception."""
    manifests = read_manifests((FOLDER / "old-server.yaml").read_text(), "x")
    left = check(manifests, ignore=["P20", "P1"])
    assert not {"P1", "P20"} & {finding.rule for finding in left.findings}
    assert left.summary() == "3 errors, 1 warning, 4 notes in 3 objects; not checked: P1, P20"
    with pytest.raises(SpecError, match=r"there is no rule P22\. Rules: P1, P2"):
        check(manifests, ignore=["P22"])
