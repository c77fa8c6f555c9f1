"""The next step of a campaign, and how each event changes it: a state machine without clock or I/O.

A model goes planned → checked → installing → queued → downloading → loading → querying → fetching →
uninstalling → freed → done or failed. Every way out of installing to fetching leads through uninstalling,
which ends only when no pod of the release uses a GPU; until then no other model begins. A model that was
stopped after all its Jobs had succeeded needs no GPU again: only its results are fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from grace_client.campaign.diagnose import Fault, FaultKind, first_fatal
from grace_client.campaign.records import (
    INSTALLED,
    WATCHED,
    Campaign,
    GpuUse,
    Limits,
    ModelState,
    Outcome,
    Phase,
    Spec,
)
from grace_client.campaign.snapshot import AUTOSTOP, QUERY, SERVER, WEIGHTS, Snapshot

AGAIN = "run again: answered questions are not asked again"


class Step(StrEnum):
    """The next step of a campaign."""

    CHECK = "check"
    INSTALL = "install"
    WATCH = "watch"
    FETCH = "fetch"
    UNINSTALL = "uninstall"
    SETTLE = "settle"
    FINISH = "finish"


_STEPS = {
    Phase.PLANNED: Step.CHECK,
    Phase.CHECKED: Step.INSTALL,
    Phase.INSTALLING: Step.INSTALL,
    **dict.fromkeys(WATCHED, Step.WATCH),
    Phase.FETCHING: Step.FETCH,
    Phase.UNINSTALLING: Step.UNINSTALL,
    Phase.FREED: Step.SETTLE,
}


def next_step(campaign: Campaign) -> Step:
    """What to do next with the current model, or `FINISH`."""
    model = campaign.current
    if model is None or (campaign.stopping and model.phase in (Phase.PLANNED, Phase.CHECKED)):
        return Step.FINISH
    return Step.FETCH if model.phase is Phase.PLANNED and model.answered else _STEPS[model.phase]


def begin(name: str, namespace: str, spec: Spec, limits: Limits, now: datetime) -> Campaign:
    """A new campaign."""
    return Campaign(
        name=name,
        namespace=namespace,
        created=now,
        spec=spec,
        limits=limits,
        models=tuple(ModelState(model=model, overlay=spec.gpu) for model in spec.models),
    )


def reopen(campaign: Campaign, limits: Limits) -> Campaign:
    """The campaign when it is run again: failed models are tried again, done ones stay done."""
    models = (_planned_again(campaign, m) if m.phase is Phase.FAILED else m for m in campaign.models)
    return resumed(campaign).model_copy(update={"models": tuple(models), "limits": limits})


def _planned_again(campaign: Campaign, model: ModelState) -> ModelState:
    update: dict[str, Any] = {"phase": Phase.PLANNED, "outcome": None, "reason": "", "next": ""}
    if not model.answered:
        # The folder of the answers is named after the GPUs, so an answered model stays on them.
        update |= {"overlay": campaign.spec.gpu, "tried": (), "notes": ()}
    return model.model_copy(update=update)


def resumed(campaign: Campaign) -> Campaign:
    """The campaign when another process goes on with it, without its request to stop."""
    return _changed(campaign, stopping="")


def stop(campaign: Campaign, reason: str) -> Campaign:
    """Ask a campaign to stop: the current model is uninstalled, and no other begins."""
    campaign = _changed(campaign, stopping=campaign.stopping or reason)
    model = campaign.current
    if model is None:
        return campaign
    if model.phase in (Phase.INSTALLING, *WATCHED, Phase.FETCHING):
        return _uninstall(campaign, model, Outcome.STOPPED)
    if model.phase is Phase.UNINSTALLING and model.outcome is Outcome.FALLBACK:
        return _put(campaign, model, outcome=Outcome.STOPPED)
    return _put(campaign, model, phase=Phase.PLANNED) if model.phase is Phase.CHECKED else campaign


def checked(campaign: Campaign) -> Campaign:
    """The rules allow the current model."""
    return _put(campaign, _current(campaign, Phase.PLANNED), phase=Phase.CHECKED)


def refused(campaign: Campaign, reason: str, command: str) -> Campaign:
    """The rules refuse the current model, or refuse it on these GPUs."""
    model = _current(campaign, Phase.PLANNED, Phase.CHECKED)
    if model.tried and campaign.overlays_left(model):
        return _put(campaign, model, **_next_overlay(campaign, model, reason))
    return _put(campaign, model, phase=Phase.FAILED, reason=reason, next=command)


def _next_overlay(campaign: Campaign, model: ModelState, reason: str) -> dict[str, Any]:
    """The change to the next overlay, and a note of the one that was not possible."""
    return {
        "overlay": campaign.overlays_left(model)[0],
        "tried": (*model.tried, model.overlay),
        "notes": (*model.notes, f"{model.overlay or 'first choice'}: {reason}"),
    }


def installing(campaign: Campaign, now: datetime) -> Campaign:
    """From here on, pods of the current model may use GPUs."""
    model = _current(campaign, Phase.CHECKED, Phase.INSTALLING)
    begun = now if model.phase is Phase.CHECKED else model.begun
    return _put(campaign, model, phase=Phase.INSTALLING, begun=begun)


def installed(campaign: Campaign, note: str = "") -> Campaign:
    """The cluster has the current model's objects."""
    model = _current(campaign, Phase.INSTALLING)
    return _put(campaign, model, phase=Phase.QUEUED, notes=(*model.notes, *filter(None, [note])))


def failed(campaign: Campaign, reason: str, command: str) -> Campaign:
    """The current model cannot go on; its release is uninstalled."""
    model = _current(campaign, *INSTALLED)
    if model.phase is Phase.UNINSTALLING:
        return campaign
    return _uninstall(campaign, model, Outcome.FAILED, reason, command)


def noted(campaign: Campaign, note: str) -> Campaign:
    """Add a note to the current model, once."""
    model = campaign.current
    if model is None or not note or note in model.notes:
        return campaign
    return _put(campaign, model, notes=(*model.notes, note))


def fetching(campaign: Campaign, problem: str = "", command: str = "") -> Campaign:
    """The current model's Jobs have ended; with a problem it fails once its results are here."""
    model = _current(campaign, *WATCHED)
    waited = _wait_ended(model, None)
    return _put(
        campaign, model, **waited, phase=Phase.FETCHING, reason=problem, next=command, answered=not problem
    )


def fetched(campaign: Campaign, folders: tuple[str, ...]) -> Campaign:
    """The current model's results are here and verified."""
    model = _current(campaign, Phase.FETCHING, Phase.PLANNED)
    if model.phase is Phase.PLANNED:
        return _put(campaign, model, phase=Phase.DONE, results=folders)
    outcome = Outcome.FAILED if model.reason else Outcome.DONE
    return _uninstall(campaign, model, outcome, model.reason, model.next, results=folders)


def not_fetched(campaign: Campaign, reason: str, command: str, *, complete: bool) -> Campaign:
    """The current model's results could not be fetched.

    Parameters
    ----------
    campaign : Campaign
        The campaign.
    reason, command : str
        Why, and the next command.
    complete : bool
        Whether the results are complete on the claim, so that the next run needs only to fetch them.
    """
    model = _current(campaign, Phase.FETCHING, Phase.PLANNED)
    reason, command = "\n".join(filter(None, (model.reason, reason))), model.next or command
    answered = model.answered and complete
    if model.phase is Phase.PLANNED:
        return _put(campaign, model, phase=Phase.FAILED, reason=reason, next=command, answered=answered)
    return _uninstall(campaign, model, Outcome.FAILED, reason, command, answered=answered)


def freed(campaign: Campaign, snapshot: Snapshot) -> Campaign:
    """No pod of the current model's release uses a GPU.

    Raises
    ------
    ValueError
        If one does.
    """
    if snapshot.gpus:
        raise ValueError(f"{snapshot.release} still uses {snapshot.gpus} GPUs")
    campaign = gpus_counted(campaign, snapshot)
    return _put(campaign, _current(campaign, Phase.UNINSTALLING), phase=Phase.FREED)


def settled(campaign: Campaign) -> Campaign:
    """The current model's next phase now that its GPUs are free."""
    model = _current(campaign, Phase.FREED)
    update: dict[str, Any] = {"outcome": None, "waiting_since": None}
    match model.outcome:
        case Outcome.DONE:
            update |= {"phase": Phase.DONE, "reason": "", "next": ""}
        case Outcome.FALLBACK if campaign.overlays_left(model):
            update |= _next_overlay(campaign, model, model.reason)
            update |= {"phase": Phase.PLANNED, "reason": "", "next": ""}
        case Outcome.STOPPED:
            update |= {"phase": Phase.PLANNED}
        case _:
            update |= {"phase": Phase.FAILED}
    return _put(campaign, model, **update)


def gpus_counted(campaign: Campaign, snapshot: Snapshot) -> Campaign:
    """Record which pods of the current model use GPUs, and when they stopped.

    A pod that is gone stopped when its release's server was stopped, if that time is known, else now.
    """
    model = campaign.current
    if model is None:
        return campaign
    uses = {use.uid: use for use in model.gpu_uses}
    stops = [job.finished for job in snapshot.jobs if job.component == AUTOSTOP and job.finished]
    gone = min([*stops, snapshot.at]) if snapshot.replicas == 0 else snapshot.at
    present = {pod.uid for pod in snapshot.pods}
    for pod in snapshot.pods:
        if pod.gpus and pod.scheduled:
            until = uses[pod.uid].until if pod.uid in uses else None
            uses[pod.uid] = GpuUse(
                uid=pod.uid,
                pod=pod.name,
                gpus=pod.gpus,
                since=pod.scheduled,
                until=(pod.ended or until or snapshot.at) if pod.over else None,
            )
    for uid, use in uses.items():
        if uid not in present and use.until is None:
            uses[uid] = use.model_copy(update={"until": max(gone, use.since)})
    return _put(campaign, model, gpu_uses=tuple(uses.values()))


def phase_of(snapshot: Snapshot) -> Phase:
    """The phase of a snapshot's release: one of `WATCHED`, or `FETCHING`."""
    jobs = [job for job in snapshot.jobs if job.component in (QUERY, SERVER)]
    servers = [pod for pod in snapshot.of(SERVER) if not pod.deleting and not pod.over]
    if all(job.over for job in jobs):
        return Phase.FETCHING
    if snapshot.replicas == 0 or any(pod.ready for pod in servers):
        return Phase.QUERYING
    if not any(pod.scheduled for pod in servers):
        return Phase.QUEUED
    loading = all(c.state == "terminated" for pod in servers for c in pod.containers if c.name == WEIGHTS)
    return Phase.LOADING if loading else Phase.DOWNLOADING


def observed(
    campaign: Campaign, snapshot: Snapshot, faults: Sequence[Fault], *, installed: bool = True
) -> Campaign:
    """The campaign after a look at the current model's release.

    Parameters
    ----------
    campaign : Campaign
        Its current model is in one of the `WATCHED` phases.
    snapshot : Snapshot
        The release now.
    faults : sequence of Fault
        What is wrong with it.
    installed : bool
        Whether Helm has the release. This matters if no object is left: Kubernetes deletes Jobs that ended
        long ago.
    """
    now = snapshot.at
    campaign = gpus_counted(campaign, snapshot)
    queries = [one for one in faults if one.kind is FaultKind.QUERY]
    if phase_of(snapshot) is Phase.FETCHING and (snapshot.exists or installed):
        # First of all: answers are fetched, however long nobody looked.
        problem = "\n".join(one.message for one in queries)
        return fetching(campaign, problem, queries[0].lasting if queries else "")
    if not snapshot.exists:
        return failed(campaign, f"somebody uninstalled the release {snapshot.release}", AGAIN)
    campaign = limits_applied(campaign, now)
    model = campaign.current
    if model is None or model.phase not in WATCHED:
        return campaign
    if fatal := first_fatal(faults):
        return failed(campaign, fatal.message, fatal.lasting)
    phase = phase_of(snapshot)
    if phase is not Phase.QUEUED:
        return _put(campaign, model, **_wait_ended(model, now), phase=phase)
    campaign = _put(campaign, model, phase=phase, waiting_since=model.waiting_since or now)
    blocked = next((one for one in faults if one.kind in (FaultKind.UNSCHEDULABLE, FaultKind.QUOTA)), None)
    why = blocked.message if blocked else "the cluster created no server pod"
    return _queue_limit_applied(campaign, now, why, blocked.next if blocked else "kubectl get events")


def _queue_limit_applied(campaign: Campaign, now: datetime, why: str, command: str) -> Campaign:
    """Uninstall the current model if it waited for GPUs too long."""
    model, minutes = _current(campaign, Phase.QUEUED), campaign.limits.queue_minutes
    if model.waiting_since is None or now - model.waiting_since < timedelta(minutes=minutes):
        return campaign
    outcome = Outcome.FALLBACK if campaign.overlays_left(model) else Outcome.FAILED
    reason = f"no GPUs within {minutes:g} minutes: {why}"
    return _uninstall(campaign, model, outcome, reason, command, **_wait_ended(model, now))


def limits_applied(campaign: Campaign, now: datetime) -> Campaign:
    """Stop the campaign if its budget is used up, and the current model if its hours are."""
    budget, hours = campaign.limits.budget_hours, campaign.limits.model_hours
    if not campaign.stopping and (used := campaign.gpu_hours(now)) >= budget:
        reason = f"the budget of {budget:g} GPU-hours is used up ({used:.2f} used)"
        return stop(campaign, f"{reason}; --budget-hours sets a larger one")
    model = campaign.current
    if model is None or model.phase not in WATCHED or (used := model.installed_hours(now)) < hours:
        return campaign
    return failed(campaign, f"it used its GPUs for {used:.1f} hours; the limit is {hours:g}", AGAIN)


def _current(campaign: Campaign, *phases: Phase) -> ModelState:
    model = campaign.current
    if model is None or model.phase not in phases:
        was = "over" if model is None else model.phase
        raise ValueError(f"the campaign is {was}, not {' or '.join(phases)}")
    return model


def _wait_ended(model: ModelState, now: datetime | None) -> dict[str, Any]:
    """The change when a wait for GPUs ends: its seconds are added up."""
    if model.waiting_since is None:
        return {}
    return {"waiting_since": None, "queue_seconds": model.queued(now or model.waiting_since)}


def _uninstall(
    campaign: Campaign, model: ModelState, outcome: Outcome, reason: str = "", command: str = "", **more: Any
) -> Campaign:
    update = {"phase": Phase.UNINSTALLING, "outcome": outcome, "reason": reason, "next": command}
    return _put(campaign, model, **update, **more)


def _put(campaign: Campaign, model: ModelState, **update: Any) -> Campaign:
    """The campaign with a changed model."""
    changed = model.model_copy(update=update)
    models = tuple(changed if other.model == model.model else other for other in campaign.models)
    return campaign if models == campaign.models else _changed(campaign, models=models)


def _changed(campaign: Campaign, **update: Any) -> Campaign:
    return campaign.model_copy(update=update | {"version": campaign.version + 1})
