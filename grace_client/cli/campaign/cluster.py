"""Beginning, resuming, looking at and ending a campaign on a cluster."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from grace_client.campaign import machine, settings
from grace_client.campaign import store as keep
from grace_client.campaign.backend import ModelWork
from grace_client.campaign.controller import INSTALL_S, POLL_S, Conductor
from grace_client.campaign.diagnose import diagnose
from grace_client.campaign.observe import observe
from grace_client.campaign.plan import check_affordable
from grace_client.campaign.records import INSTALLED, Campaign, Limits, ModelState, What
from grace_client.campaign.view import questions, weights
from grace_client.cli._output import say
from grace_client.cli._signals import on_stop
from grace_client.cli.campaign.view import shown
from grace_client.cli.workload import loads
from grace_client.core.errors import GraceError, SpecError
from grace_client.kube.clock import Clock, ClusterClock
from grace_client.kube.kubectl import Kubectl


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks of a run.

    Attributes
    ----------
    what : What or None
        None goes on with what there is.
    limits : mapping
        Bounds that were given.
    out : Path
        The campaign's folder.
    poll, install_seconds : float
        Seconds.
    take_over, over_budget : bool
        As the options.
    """

    what: What | None
    out: Path
    limits: Mapping[str, Any] = field(default_factory=dict)
    poll: float = POLL_S
    install_seconds: float = INSTALL_S
    take_over: bool = False
    over_budget: bool = False


async def conduct(kubectl: Kubectl, asked: Asked, *, quiet: bool) -> Campaign:
    """Begin a campaign, or go on with one, and conduct it to its end."""
    kept, clock = await keep.read_cluster(kubectl), await ClusterClock.of(kubectl)
    namespace = await kubectl.namespace_name()
    campaign = _chosen(asked, kept, keep.read_file(asked.out), namespace)
    if campaign is None:
        assert asked.what is not None
        limits = Limits.model_validate(dict(asked.limits))
        if not asked.over_budget:
            check_affordable(asked.what, loads, limits.budget_hours)
        now = clock.now()
        campaign = machine.begin(f"campaign-{now:%Y%m%d-%H%M%S}", namespace, asked.what, limits, now)
    else:
        campaign = machine.reopen(campaign, campaign.limits.model_copy(update=dict(asked.limits)))
        say(f"going on with campaign {campaign.name}")
    return await _conduct(kubectl, campaign, asked, clock, quiet=quiet)


def resume(campaign: Campaign, out: Path) -> str:
    """The command that goes on with a campaign."""
    where = ["--namespace", campaign.namespace, "--out", str(out)]
    return shlex.join(["grace", "campaign", "run", *where])


async def _conduct(
    kubectl: Kubectl, campaign: Campaign, asked: Asked, clock: Clock, *, quiet: bool, ending: str = ""
) -> Campaign:
    store = keep.Store(kubectl, asked.out)
    await store.claim(campaign, clock.now(), take_over=asked.take_over)
    with shown(quiet=quiet) as show:
        conductor = Conductor(
            campaign,
            kubectl,
            store,
            partial(_work, kubectl, asked.out),
            clock=clock,
            show=show,
            resume=resume(campaign, asked.out),
            poll=asked.poll,
            install_seconds=asked.install_seconds,
        )
        on_stop(partial(_stop, conductor))
        if ending:
            conductor.stop(ending)
        try:
            return await conductor.run()
        except GraceError:
            # Whoever goes on need not wait until this process counts as dead.
            with suppress(GraceError):
                await store.let_go()
            raise


def _work(kubectl: Kubectl, out: Path, campaign: Campaign, model: ModelState) -> ModelWork:
    return ModelWork(kubectl, campaign, model, out)


def _chosen(asked: Asked, kept: keep.Kept | None, file: Campaign | None, namespace: str) -> Campaign | None:
    """The campaign to go on with; None for a new one."""
    found = keep.newer(kept, file)
    if found is None:
        if asked.what is None:
            raise SpecError(
                f"no campaign is under way in namespace {namespace}, and {asked.out} holds none; name "
                "--models to begin one"
            )
        return None
    if found.namespace != namespace:
        raise SpecError(
            f"{asked.out} holds campaign {found.name} of namespace {found.namespace}, and this is "
            f"{namespace}; name its --namespace, or another --out"
        )
    if asked.what is None or settings.same(asked.what, found.what):
        return found
    if kept is not None:
        # Another campaign is under way: this says which.
        unlike = kept.campaign.model_copy(update={"name": ""})
        keep.Store.may(kept, unlike, kept.renewed)
    raise SpecError(
        f"{asked.out} holds campaign {found.name} of {', '.join(found.what.models)} with other values; name "
        "another folder with --out, or give no --models to go on with it"
    )


def _stop(conductor: Conductor) -> None:
    again = conductor.asked_to_stop
    # First of all: there may be nobody left to tell.
    conductor.stop("stopped by a signal")
    if again:
        say("still freeing the GPUs: the release is being uninstalled, and this ends with it")
    else:
        say("stopping: the release is uninstalled first, so that no GPU stays held")


async def look(kubectl: Kubectl, out: Path) -> tuple[Campaign, list[str]]:
    """The campaign as it is now, and what else there is to say of it."""
    kept, file = await keep.read_cluster(kubectl), keep.read_file(out)
    campaign = keep.newer(kept, file)
    if campaign is None:
        namespace = await kubectl.namespace_name()
        raise SpecError(
            f"no campaign is under way in namespace {namespace}, and {out} holds none; 'grace campaign run "
            "--models …' begins one"
        )
    now, told = (await ClusterClock.of(kubectl)).now(), []
    if kept is not None:
        alive = kept.conducted(now)
        told.append(
            f"conducted by {kept.holder}, last heard of {(now - kept.renewed).total_seconds():.0f} s ago"
            if alive
            else "no process conducts it; 'grace campaign run' goes on, 'grace campaign stop' frees its GPUs"
        )
    model = campaign.current
    if kept is not None and model is not None and model.phase in INSTALLED:
        snapshot = await observe(kubectl, model.model, now)
        campaign = machine.watched(campaign, snapshot)
        told += [f"weights: {text}"] if (text := weights(snapshot)) and model.phase == "downloading" else []
        told += [f"{name}: {done} of {all_} questions" for name, (done, all_) in questions(snapshot).items()]
        told += [str(one) for one in diagnose(snapshot, fallbacks=campaign.left(model))]
    return campaign, told


async def end(kubectl: Kubectl, out: Path, *, quiet: bool) -> Campaign | None:
    """End the campaign that is under way; None where there is none."""
    clock, reason = await ClusterClock.of(kubectl), "'grace campaign stop'"
    last: Campaign | None = None
    while (kept := await keep.read_cluster(kubectl)) is not None:
        if not kept.conducted(clock.now()):
            found = machine.resumed(keep.newer(kept, keep.read_file(out)) or kept.campaign)
            asked = Asked(None, out, take_over=True)
            return await _conduct(kubectl, found, asked, clock, quiet=quiet, ending=reason)
        if last is None:
            await keep.ask_to_stop(kubectl, reason)
            say(f"process {kept.holder} conducts campaign {kept.campaign.name}, and was asked to end it")
        # As it was last seen; its end is in the folder of the process that conducts it.
        last = kept.campaign
        await clock.sleep(POLL_S / 2)
    return last
