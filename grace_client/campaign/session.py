"""Begin, resume, look at and end the campaign of a namespace."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from grace_client.campaign import machine, settings, store
from grace_client.campaign.backend import Backend
from grace_client.campaign.controller import INSTALL_S, POLL_S, Controller
from grace_client.campaign.diagnose import diagnose
from grace_client.campaign.observe import observe
from grace_client.campaign.plan import CountLoads, check_affordable
from grace_client.campaign.records import INSTALLED, Campaign, Limits, Spec
from grace_client.campaign.view import View, view
from grace_client.core.errors import GraceError, SpecError
from grace_client.kube.clock import Clock
from grace_client.kube.kubectl import Kubectl


@dataclass(frozen=True, slots=True)
class Terminal:
    """How a campaign shows messages, and gets signals.

    Attributes
    ----------
    say : callable
        Shows a line.
    showing : callable
        A context whose value shows views while it is open.
    on_stop : callable
        Calls a function whenever a signal asks the process to stop.
    """

    say: Callable[[str], None]
    showing: Callable[[], AbstractContextManager[Callable[[View], None]]]
    on_stop: Callable[[Callable[[], object]], None]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a run.

    Attributes
    ----------
    out : Path
        The campaign's folder.
    spec : Spec or None
        What to run; None continues the existing campaign.
    limits : mapping
        The limits that were given.
    poll, install_seconds : float
        Seconds between two looks, and for an install.
    take_over, over_budget : bool
        Whether to take over the campaign of another process, and to begin one that exceeds its budget.
    """

    out: Path
    spec: Spec | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    poll: float = POLL_S
    install_seconds: float = INSTALL_S
    take_over: bool = False
    over_budget: bool = False


async def run(kubectl: Kubectl, options: Options, terminal: Terminal, count: CountLoads) -> Campaign:
    """Begin or continue a campaign, and run it to its end."""
    stored, clock = await store.read_cluster(kubectl), await Clock.of(kubectl)
    namespace = await kubectl.namespace_name()
    campaign = _chosen(options, stored, store.read_file(options.out), namespace)
    if campaign is not None:
        campaign = machine.reopen(campaign, campaign.limits.model_copy(update=dict(options.limits)))
        terminal.say(f"continuing campaign {campaign.name}")
    elif options.spec is not None:
        limits, now = Limits.model_validate(dict(options.limits)), clock.now()
        if not options.over_budget:
            check_affordable(options.spec, count, limits.budget_hours)
        campaign = machine.begin(f"campaign-{now:%Y%m%d-%H%M%S}", namespace, options.spec, limits, now)
    else:
        raise _no_campaign(namespace, options.out)
    return await _run(kubectl, campaign, options, terminal, clock)


def resume_command(campaign: Campaign, out: Path) -> str:
    """The command that continues a campaign."""
    return shlex.join(["grace", "campaign", "run", "--namespace", campaign.namespace, "--out", str(out)])


async def _run(
    kubectl: Kubectl, campaign: Campaign, options: Options, terminal: Terminal, clock: Clock, ending: str = ""
) -> Campaign:
    own = store.Store(kubectl, options.out)
    await own.acquire(campaign, clock.now(), take_over=options.take_over)
    with terminal.showing() as show:
        controller = Controller(
            campaign,
            kubectl,
            own,
            lambda campaign, model: Backend(kubectl, campaign, model, options.out),
            clock=clock,
            show=show,
            resume=resume_command(campaign, options.out),
            poll=options.poll,
            install_seconds=options.install_seconds,
        )
        terminal.on_stop(partial(_stop, controller, terminal))
        if ending:
            controller.stop(ending)
        try:
            return await controller.run()
        except GraceError:
            # So the next process need not wait until this one counts as ended.
            with suppress(GraceError):
                await own.hand_over()
            raise


def _stop(controller: Controller, terminal: Terminal) -> None:
    again = controller.stop_requested
    # Before any message: the terminal may be closed.
    controller.stop("stopped by a signal")
    terminal.say(
        "still freeing the GPUs: this process ends as soon as the release is uninstalled"
        if again
        else "stopping: grace uninstalls the release first, so that no GPU stays in use"
    )


def _no_campaign(namespace: str, out: Path) -> SpecError:
    return SpecError(
        f"No campaign is running in namespace {namespace}, and there is none in {out}. To begin one: grace "
        "campaign run --models …"
    )


def _chosen(
    options: Options, stored: store.StoredCampaign | None, file: Campaign | None, namespace: str
) -> Campaign | None:
    """The campaign to continue; None if there is none."""
    found = store.newer(stored, file)
    if found is None:
        return None
    if found.namespace != namespace:
        raise SpecError(
            f"{options.out} contains campaign {found.name} of namespace {found.namespace}, and this is "
            f"namespace {namespace}. Use --namespace {found.namespace}, or another --out"
        )
    if options.spec is None or settings.same(options.spec, found.spec):
        return found
    if stored is not None:
        # Another campaign is running: this error names it.
        stored.check_free(stored.campaign.model_copy(update={"name": ""}), stored.renewed)
    raise SpecError(
        f"{options.out} contains campaign {found.name} of {', '.join(found.spec.models)} with other values. "
        "Use another --out, or leave out --models to continue it"
    )


async def look(kubectl: Kubectl, out: Path) -> tuple[Campaign, list[str]]:
    """The campaign as it is now, and lines about its process, progress and faults."""
    stored = await store.read_cluster(kubectl)
    campaign = store.newer(stored, store.read_file(out))
    if campaign is None:
        raise _no_campaign(await kubectl.namespace_name(), out)
    if stored is None:
        return campaign, []
    now = (await Clock.of(kubectl)).now()
    silence = (now - stored.renewed).total_seconds()
    lines = [
        f"process {stored.holder} runs it, and last reported {silence:.0f} s ago"
        if stored.has_process(now)
        else "no process runs it. 'grace campaign run' continues it; 'grace campaign stop' frees its GPUs"
    ]
    model = campaign.current
    if model is not None and model.phase in INSTALLED:
        snapshot = await observe(kubectl, model.model, now)
        campaign = machine.gpus_counted(campaign, snapshot)
        lines += view(campaign, snapshot).lines()
        lines += map(str, diagnose(snapshot, fallbacks=campaign.overlays_left(model)))
    return campaign, lines


async def stop(kubectl: Kubectl, out: Path, terminal: Terminal) -> Campaign | None:
    """Stop the running campaign; None if there is none."""
    clock, reason = await Clock.of(kubectl), "'grace campaign stop'"
    last: Campaign | None = None
    while (stored := await store.read_cluster(kubectl)) is not None:
        if not stored.has_process(clock.now()):
            found = machine.resumed(store.newer(stored, store.read_file(out)) or stored.campaign)
            return await _run(kubectl, found, Options(out, take_over=True), terminal, clock, reason)
        if last is None:
            await store.ask_to_stop(kubectl, reason)
            terminal.say(f"asked process {stored.holder} to stop campaign {stored.campaign.name}")
        # As last seen; its end is in the folder of the process that runs it.
        last = stored.campaign
        await clock.sleep(POLL_S / 2)
    return last
