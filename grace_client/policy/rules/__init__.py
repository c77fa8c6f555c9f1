"""Every rule of the cluster, P1 to P21, each as data and one pure function."""

from __future__ import annotations

from grace_client.policy.rules import gpus, placement, resources, storage, workloads
from grace_client.policy.rules.base import Fault, Rule, Severity

RULES: tuple[Rule, ...] = tuple(
    sorted(
        (*resources.RULES, *gpus.RULES, *workloads.RULES, *placement.RULES, *storage.RULES),
        key=lambda rule: int(rule.id[1:]),
    )
)

__all__ = ["RULES", "Fault", "Rule", "Severity"]
