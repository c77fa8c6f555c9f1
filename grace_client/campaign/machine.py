"""What comes next in a campaign, and what an event makes of it: a state machine without clock or I/O.

A model goes planned → checked → installing → queued → downloading → loading → querying → fetching →
uninstalling → freed → done or failed. Whatever happens between installing and freed leads through
uninstalling, which ends only when no pod of the release holds a GPU; until then no other model begins. A
model whose Jobs had all succeeded when it was stopped needs no GPU again: its results are collected.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from grace_client.campaign.diagnose import Diagnosis, Trouble
from grace_client.campaign.records import (
    INSTALLED,
    WATCHED,
    Campaign,
    Hold,
    Limits,
    ModelState,
    Phase,
    What,
    Why,
)
from grace_client.campaign.snapshot import AUTOSTOP, QUERY, SERVER, WEIGHTS, Snapshot


class Step(StrEnum):
    """What is to be done next."""

    CHECK = "check"
    INSTALL = "install"
    WATCH = "watch"
    FETCH = "fetch"
    UNINSTALL = "uninstall"
    SETTLE = "settle"
    COLLECT = "collect"
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
    """What is to be done with the current model, or `FINISH`."""
    model = campaign.current
    if model is None:
        return Step.FINISH
    if campaign.stopping and model.phase in (Phase.PLANNED, Phase.CHECKED):
        return Step.FINISH
    return Step.COLLECT if model.phase is Phase.PLANNED and model.answered else _STEPS[model.phase]


def begin(name: str, namespace: str, what: What, limits: Limits, now: datetime) -> Campaign:
    """A new campaign."""
    return Campaign(
        name=name,
        namespace=namespace,
        created=now,
        what=what,
        limits=limits,
        models=tuple(ModelState(model=model, overlay=what.gpu) for model in what.models),
    )


def reopen(campaign: Campaign, limits: Limits) -> Campaign:
    """The campaign when it is run again: what failed is tried again, what is done stays done."""
    models = (_again(campaign, m) if m.phase is Phase.FAILED else m for m in campaign.models)
    return resumed(campaign).model_copy(update={"models": tuple(models), "limits": limits})


def _again(campaign: Campaign, model: ModelState) -> ModelState:
    update: dict[str, Any] = {"phase": Phase.PLANNED, "outcome": None, "reason": "", "next": ""}
    if not model.answered:
        # What is answered lies in a folder that is named for its GPUs.
        update |= {"overlay": campaign.what.gpu, "tried": (), "notes": ()}
    return model.model_copy(update=update)


def resumed(campaign: Campaign) -> Campaign:
    """The campaign when another process goes on with it: as it was, and no longer asked to end."""
    return _changed(campaign, stopping="")


def stop(campaign: Campaign, reason: str) -> Campaign:
    """Ask a campaign to end: the current model is uninstalled, and nothing else begins."""
    return _in_hand(_changed(campaign, stopping=campaign.stopping or reason))


def _in_hand(campaign: Campaign) -> Campaign:
    """The current model as a stop leaves it."""
    model = campaign.current
    if model is None:
        return campaign
    if model.phase in (Phase.INSTALLING, *WATCHED, Phase.FETCHING):
        return _put(campaign, _uninstall(model, Why.STOPPED))
    if model.phase is Phase.UNINSTALLING and model.outcome is Why.FALLBACK:
        return _put(campaign, model.model_copy(update={"outcome": Why.STOPPED}))
    return (
        _put(campaign, model.model_copy(update={"phase": Phase.PLANNED}))
        if (model.phase is Phase.CHECKED)
        else campaign
    )


def checked(campaign: Campaign) -> Campaign:
    """The rules allow the current model."""
    return _put(campaign, _current(campaign, Phase.PLANNED).model_copy(update={"phase": Phase.CHECKED}))


def refused(campaign: Campaign, reason: str, command: str) -> Campaign:
    """The rules do not allow the current model, or not on these GPUs."""
    model = _current(campaign, Phase.PLANNED, Phase.CHECKED)
    if model.tried and campaign.left(model):
        return _put(campaign, _on_the_next(campaign, model, reason))
    return _put(campaign, model.model_copy(update={"phase": Phase.FAILED, "reason": reason, "next": command}))


def _on_the_next(campaign: Campaign, model: ModelState, why: str) -> ModelState:
    """With the next overlay in place of the one that cannot be."""
    note = f"{model.overlay or 'first choice'}: {why}"
    update = {"overlay": campaign.left(model)[0], "tried": (*model.tried, model.overlay)}
    return model.model_copy(update=update | {"notes": (*model.notes, note)})


def installing(campaign: Campaign, now: datetime) -> Campaign:
    """From here on, pods of the current model may hold GPUs."""
    model = _current(campaign, Phase.CHECKED, Phase.INSTALLING)
    begun = now if model.phase is Phase.CHECKED else model.begun
    return _put(campaign, model.model_copy(update={"phase": Phase.INSTALLING, "begun": begun}))


def installed(campaign: Campaign, note: str = "") -> Campaign:
    """The cluster has taken the current model's objects."""
    model = _current(campaign, Phase.INSTALLING)
    notes = (*model.notes, note) if note else model.notes
    return _put(campaign, model.model_copy(update={"phase": Phase.QUEUED, "notes": notes}))


def failed(campaign: Campaign, reason: str, command: str) -> Campaign:
    """The current model cannot go on; its release is uninstalled."""
    model = _current(campaign, *INSTALLED)
    if model.phase is Phase.UNINSTALLING:
        return campaign
    return _put(campaign, _uninstall(model, Why.FAILED, reason, command))


def noted(campaign: Campaign, note: str) -> Campaign:
    """What else a reader must know of the current model, once."""
    model = campaign.current
    if model is None or not note or note in model.notes:
        return campaign
    return _put(campaign, model.model_copy(update={"notes": (*model.notes, note)}))


def fetching(campaign: Campaign, problem: str = "", command: str = "") -> Campaign:
    """The current model's Jobs have ended; a problem makes it fail once its results are here."""
    model = _current(campaign, *WATCHED)
    update = {"phase": Phase.FETCHING, "reason": problem, "next": command, "answered": not problem}
    return _put(campaign, _not_waiting(model, None).model_copy(update=update))


def fetched(campaign: Campaign, folders: tuple[str, ...]) -> Campaign:
    """The current model's results are here and verified."""
    model = _current(campaign, Phase.FETCHING).model_copy(update={"results": folders})
    why = Why.FAILED if model.reason else Why.DONE
    return _put(campaign, _uninstall(model, why, model.reason, model.next))


def collected(campaign: Campaign, folders: tuple[str, ...]) -> Campaign:
    """The results of a model that needed no GPU any more are here and verified."""
    model = _current(campaign, Phase.PLANNED)
    return _put(campaign, model.model_copy(update={"phase": Phase.DONE, "results": folders}))


def not_collected(campaign: Campaign, reason: str, command: str, *, answered: bool) -> Campaign:
    """They could not be brought here; `answered` says whether the next run need only try that again."""
    model = _current(campaign, Phase.PLANNED)
    update = {"phase": Phase.FAILED, "reason": reason, "next": command, "answered": answered}
    return _put(campaign, model.model_copy(update=update))


def incomplete(campaign: Campaign, reason: str, command: str) -> Campaign:
    """The current model's Jobs have succeeded, and yet its results are not whole: it is to be asked again."""
    campaign = failed(campaign, reason, command)
    model = _current(campaign, Phase.UNINSTALLING)
    return _put(campaign, model.model_copy(update={"answered": False}))


def freed(campaign: Campaign, snapshot: Snapshot) -> Campaign:
    """No pod of the current model's release holds a GPU.

    Raises
    ------
    ValueError
        Where one does.
    """
    if snapshot.gpus:
        raise ValueError(f"{snapshot.release} still holds {snapshot.gpus} GPUs")
    campaign = watched(campaign, snapshot)
    model = _current(campaign, Phase.UNINSTALLING)
    return _put(campaign, model.model_copy(update={"phase": Phase.FREED}))


def settled(campaign: Campaign) -> Campaign:
    """What becomes of the current model now that its GPUs are free."""
    model = _current(campaign, Phase.FREED)
    update: dict[str, Any] = {"outcome": None, "waiting_since": None}
    match model.outcome:
        case Why.DONE:
            update |= {"phase": Phase.DONE, "reason": "", "next": ""}
        case Why.FALLBACK if campaign.left(model):
            model = _on_the_next(campaign, model, model.reason)
            update |= {"phase": Phase.PLANNED, "reason": "", "next": ""}
        case Why.STOPPED:
            update |= {"phase": Phase.PLANNED}
        case _:
            update |= {"phase": Phase.FAILED}
    return _put(campaign, model.model_copy(update=update))


def watched(campaign: Campaign, snapshot: Snapshot) -> Campaign:
    """Note in the ledger what pods of the current model hold, and when they let go.

    A pod that is gone let go when its release's server was stopped, if that is known, else at this moment.
    """
    model = campaign.current
    if model is None:
        return campaign
    holds = {hold.uid: hold for hold in model.holds}
    stops = [job.finished for job in snapshot.jobs if job.component == AUTOSTOP and job.finished]
    gone = min([*stops, snapshot.at]) if snapshot.replicas == 0 else snapshot.at
    present = {pod.uid: pod for pod in snapshot.pods}
    for pod in snapshot.pods:
        if pod.gpus and pod.scheduled:
            until = holds[pod.uid].until if pod.uid in holds else None
            holds[pod.uid] = Hold(
                uid=pod.uid,
                pod=pod.name,
                gpus=pod.gpus,
                since=pod.scheduled,
                until=(pod.ended or until or snapshot.at) if pod.over else None,
            )
    for uid, hold in holds.items():
        if uid not in present and hold.until is None:
            holds[uid] = hold.model_copy(update={"until": max(gone, hold.since)})
    return _put(campaign, model.model_copy(update={"holds": tuple(holds.values())}))


def phase_of(snapshot: Snapshot) -> Phase:
    """How far the release of a snapshot is: one of the phases that are only watched, or `FETCHING`."""
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


def seen(
    campaign: Campaign, snapshot: Snapshot, found: Sequence[Diagnosis], *, installed: bool = True
) -> Campaign:
    """What a look at the current model's release makes of a campaign.

    Parameters
    ----------
    campaign : Campaign
        Its current model is in one of the phases that are only watched.
    snapshot : Snapshot
        The release now.
    found : sequence of Diagnosis
        What is wrong with it.
    installed : bool
        Whether Helm has the release; asked where none of its objects is left, as Kubernetes deletes Jobs that
        ended long ago.
    """
    now = snapshot.at
    campaign = watched(campaign, snapshot)
    queries = [one for one in found if one.kind is Trouble.QUERY]
    if phase_of(snapshot) is Phase.FETCHING and (snapshot.made or snapshot.pods or installed):
        # First of all: what is answered is brought home, however long nobody looked.
        problem = "\n".join(one.what for one in queries)
        return fetching(campaign, problem, queries[0].lasting if queries else "")
    if not snapshot.made and not snapshot.pods:
        reason = f"the release {snapshot.release} is not there any more: somebody uninstalled it"
        return failed(campaign, reason, "run again: answered questions are not asked again")
    campaign = bounded(campaign, now)
    model = campaign.current
    if model is None or model.phase not in WATCHED:
        return campaign
    if fatal := next((one for one in found if one.fatal and one.kind is not Trouble.QUERY), None):
        return failed(campaign, fatal.what, fatal.lasting)
    phase = phase_of(snapshot)
    campaign = moved(campaign, phase, now)
    if phase is not Phase.QUEUED:
        return campaign
    blocked = next((one for one in found if one.kind in (Trouble.UNSCHEDULABLE, Trouble.QUOTA)), None)
    why = blocked.what if blocked else "the cluster made no server pod"
    return waited(campaign, now, why, blocked.next if blocked else "kubectl get events")


def moved(campaign: Campaign, phase: Phase, now: datetime) -> Campaign:
    """The current model is seen to be in one of the phases that are only watched."""
    model = _current(campaign, *WATCHED)
    if phase is Phase.QUEUED:
        since = model.waiting_since or now
        return _put(campaign, model.model_copy(update={"phase": phase, "waiting_since": since}))
    return _put(campaign, _not_waiting(model, now).model_copy(update={"phase": phase}))


def waited(campaign: Campaign, now: datetime, why: str, command: str) -> Campaign:
    """Give the current model's GPUs up where they did not come within the bound."""
    model = _current(campaign, Phase.QUEUED)
    limit = timedelta(minutes=campaign.limits.queue_minutes)
    if model.waiting_since is None or now - model.waiting_since < limit:
        return campaign
    reason = f"no GPUs within {campaign.limits.queue_minutes:g} minutes: {why}"
    outcome = Why.FALLBACK if campaign.left(model) else Why.FAILED
    return _put(campaign, _uninstall(_not_waiting(model, now), outcome, reason, command))


def bounded(campaign: Campaign, now: datetime) -> Campaign:
    """End what has used up its hours: the campaign its budget, the current model its day."""
    budget, day = campaign.limits.budget_hours, campaign.limits.model_hours
    if not campaign.stopping and (used := campaign.gpu_hours(now)) >= budget:
        reason = f"the budget of {budget:g} GPU-hours is used up ({used:.2f} were held)"
        return stop(campaign, f"{reason}; a larger one with --budget-hours")
    model = campaign.current
    if model is None or model.phase not in WATCHED:
        return campaign
    hours = model.held_hours(now)
    if hours < day:
        return campaign
    reason = f"it held its GPUs for {hours:.1f} hours, and a model may for {day:g}"
    return failed(campaign, reason, "run again: answered questions are not asked again")


def _current(campaign: Campaign, *phases: Phase) -> ModelState:
    model = campaign.current
    if model is None or model.phase not in phases:
        was = "over" if model is None else model.phase
        raise ValueError(f"the campaign is {was}, not {' or '.join(phases)}")
    return model


def _not_waiting(model: ModelState, now: datetime | None) -> ModelState:
    """With the wait that has ended added up."""
    if model.waiting_since is None:
        return model
    seconds = model.queued(now or model.waiting_since)
    return model.model_copy(update={"waiting_since": None, "queue_seconds": seconds})


def _uninstall(model: ModelState, why: Why, reason: str = "", command: str = "") -> ModelState:
    update = {"phase": Phase.UNINSTALLING, "outcome": why, "reason": reason, "next": command}
    return model.model_copy(update=update)


def _put(campaign: Campaign, model: ModelState) -> Campaign:
    models = tuple(model if other.model == model.model else other for other in campaign.models)
    return campaign if models == campaign.models else _changed(campaign, models=models)


def _changed(campaign: Campaign, **update: Any) -> Campaign:
    return campaign.model_copy(update=update | {"version": campaign.version + 1})
