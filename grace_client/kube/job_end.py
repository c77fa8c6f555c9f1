"""How a Job of Kubernetes ended, by the conditions in its status.

It imports only the standard library, because `grace_client.deploy.autostop` runs on a fraction of a core.
"""

from __future__ import annotations

from typing import Any

COMPLETE, FAILED = "Complete", "Failed"
_ENDING = {COMPLETE, FAILED, "SuccessCriteriaMet", "FailureTarget"}


def true_conditions(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The conditions of a Job that are true, by type."""
    found = job.get("status", {}).get("conditions") or []
    return {one["type"]: one for one in found if one["status"] == "True"}


def end(job: dict[str, Any]) -> dict[str, Any] | None:
    """The condition with which a Job ended, of type `COMPLETE` or `FAILED`; None while its pods may run."""
    true = true_conditions(job)
    return true.get(COMPLETE) or true.get(FAILED)


def ending(job: dict[str, Any]) -> bool:
    """Whether a Job has ended or is about to; its pods may still write. A suspended Job does not end."""
    return not _ENDING.isdisjoint(true_conditions(job))
