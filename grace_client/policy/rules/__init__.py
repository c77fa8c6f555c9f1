"""Every rule of the cluster, P1 to P21, each as data and one pure function."""

from __future__ import annotations

from grace_client.policy.rules import gpus, placement, resources, storage, workloads
from grace_client.policy.rules.base import REGISTERED, Fault, Rule, Severity

# The modules register their rules when they are imported.
_MODULES = (gpus, placement, resources, storage, workloads)
RULES: tuple[Rule, ...] = tuple(sorted(REGISTERED, key=lambda rule: int(rule.id[1:])))

__all__ = ["RULES", "Fault", "Rule", "Severity"]
