"""The report on a campaign, for people and as JSON; pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from grace_client.campaign.records import Campaign, Phase


def to_json(campaign: Campaign, now: datetime, resume: str) -> dict[str, Any]:
    """The report as JSON, with hours and minutes as numbers; `resume` is the command that continues it."""
    return {
        "campaign": campaign.name,
        "namespace": campaign.namespace,
        "created": campaign.created.isoformat(),
        "stopping": campaign.stopping,
        "next": resume if _open(campaign) else "",
        "gpu_hours": campaign.gpu_hours(now),
        "budget_hours": campaign.limits.budget_hours,
        "models": [
            {
                "model": model.model,
                "state": str(model.phase),
                "gpu": model.overlay,
                "gpu_hours": model.gpu_hours(now),
                "queue_minutes": model.queued(now) / 60,
                "pods": [use.model_dump(mode="json") for use in model.gpu_uses],
                "results": list(model.results),
                "reason": model.reason,
                "next": model.next,
                "notes": list(model.notes),
            }
            for model in campaign.models
        ],
    }


def _open(campaign: Campaign) -> bool:
    return any(model.phase is not Phase.DONE for model in campaign.models)


def lines(campaign: Campaign, now: datetime, resume: str) -> list[str]:
    """The report for people, one line each; `resume` is the command that continues it."""
    used, budget = campaign.gpu_hours(now), campaign.limits.budget_hours
    found = [f"campaign {campaign.name} in {campaign.namespace}: {used:.2f} of {budget:g} GPU-hours used"]
    if campaign.stopping:
        found.append(f"stopped: {campaign.stopping}")
    for model in campaign.models:
        hours, queue = model.gpu_hours(now), model.queued(now) / 60
        found.append(f"{model.label}: {model.phase}, {hours:.2f} GPU-hours, {queue:.0f} min in the queue")
        found += [f"  note: {line}" for note in model.notes for line in note.splitlines()]
        found += [f"  {line}" for line in model.reason.splitlines()]
        found += [f"  next: {model.next}"] if model.next else []
        found += [f"  {folder}" for folder in model.results]
    if _open(campaign):
        found.append(f"next: {resume}")
    return found
