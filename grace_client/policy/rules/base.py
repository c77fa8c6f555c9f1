"""What a rule of the cluster is, and what its check finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from grace_client.kube.manifests import FieldPath, KubeObject

REVIEWED = "2026-11"
"""Year and month in which the rules were last read in the cluster's documentation."""

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
    """How serious a finding is."""

    ERROR = "error"
    """The cluster refuses the object, or its administrators ban users for it."""
    WARNING = "warning"
    """Probably wrong, but a manifest alone cannot show it."""
    NOTE = "note"
    """Allowed, and worth knowing."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One field of an object that breaks a rule.

    Attributes
    ----------
    path : tuple
        Path of the field in the object.
    why : str
        What is wrong with it.
    fix : str
        What to write instead.
    severity : Severity or None
        None for the severity of the rule.
    """

    path: FieldPath
    why: str
    fix: str
    severity: Severity | None = None


CheckAll: TypeAlias = Callable[[Sequence[KubeObject]], Iterator[tuple[KubeObject, Fault]]]
"""From all objects that are applied together to each fault and its object; a pure function."""
CheckOne: TypeAlias = Callable[[KubeObject], Iterator[Fault]]
"""From one object to its faults; a pure function."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the cluster.

    Attributes
    ----------
    id : str
        P1 to P21.
    severity : Severity
        Severity of its faults that name none.
    source : str
        The page of the cluster's documentation.
    text : str
        The rule in one sentence.
    check : CheckAll
        Finds the faults.
    undecided : str
        What a manifest cannot show; empty if it shows everything.
    reviewed : str
        When the page was last read.
    """

    id: str
    severity: Severity
    source: str
    text: str
    check: CheckAll
    undecided: str = ""
    reviewed: str = REVIEWED


REGISTERED: list[Rule] = []
"""Every rule that was defined with a decorator below."""


def rule_for_all(
    id: str, severity: Severity, source: str, text: str, undecided: str = ""
) -> Callable[[CheckAll], CheckAll]:
    """Define a rule that counts over all objects; the decorated function is its check. See `Rule`."""

    def register(check: CheckAll) -> CheckAll:
        REGISTERED.append(Rule(id, severity, source, text, check, undecided))
        return check

    return register


def rule(
    id: str, severity: Severity, source: str, text: str, undecided: str = ""
) -> Callable[[CheckOne], CheckOne]:
    """Define a rule on single objects; the decorated function is its check. See `Rule`."""

    def register(check: CheckOne) -> CheckOne:
        @rule_for_all(id, severity, source, text, undecided)
        def check_all(objects: Sequence[KubeObject]) -> Iterator[tuple[KubeObject, Fault]]:
            return ((item, fault) for item in objects for fault in check(item))

        return check

    return register
