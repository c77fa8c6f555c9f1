"""What a rule of the cluster is, and what breaking one looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from grace_client.kube.manifests import FieldPath, KubeObject

REVIEWED = "2026-11"
"""When the rules were last read in the cluster's documentation."""

POLICIES = "NRP documentation, Cluster Policies"
GPU_PODS = "NRP documentation, Running GPU Pods"
JOBS = "NRP documentation, Batch Jobs"
STORAGE = "NRP documentation, Storage"
CEPH = "NRP documentation, Ceph FS / RBD"
SCRATCH = "NRP documentation, Local Scratch"
LONG_IDLE = "NRP documentation, Long Idle Pods"
PRIORITIES = "NRP documentation, Opportunistic Use"
TAINTS = "NRP documentation, Special Use"


class Severity(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"
    """The cluster refuses it, or its users are sanctioned for it."""
    WARNING = "warning"
    """Likely wrong, but a manifest alone cannot tell."""
    NOTE = "note"
    """Right as it stands, and worth knowing."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One place that breaks a rule.

    Attributes
    ----------
    manifest : Manifest
        The object.
    path : tuple
        The field.
    why : str
        What is wrong with it.
    fix : str
        What to write instead.
    severity : Severity or None
        Where it differs from the rule's own.
    """

    manifest: KubeObject
    path: FieldPath
    why: str
    fix: str
    severity: Severity | None = None


Check: TypeAlias = Callable[[Sequence[KubeObject]], Iterator[Fault]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the cluster.

    Attributes
    ----------
    id : str
        P1 to P21.
    severity : Severity
        What its findings are, unless one says otherwise.
    text : str
        The rule in one sentence.
    source : str
        The page it was read on.
    check : callable
        From all objects that are to be applied together to the faults among them; a pure function.
    undecided : str
        What a manifest cannot tell; empty where it tells everything.
    reviewed : str
        When the page was last read.
    """

    id: str
    severity: Severity
    text: str
    source: str
    check: Check
    undecided: str = ""
    reviewed: str = REVIEWED
