"""Conducts a campaign: does what the state machine says, keeps what comes of it, and lets the GPUs go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from grace_client.campaign import machine
from grace_client.campaign.diagnose import Diagnosis, Trouble, diagnose
from grace_client.campaign.machine import Step
from grace_client.campaign.model_work import (
    DoomedError,
    IncompleteError,
    LostError,
    StopError,
    Work,
    insisting,
    unforeseen,
)
from grace_client.campaign.observe import Cluster, observe
from grace_client.campaign.records import INSTALLED, Campaign, ModelState, Phase, Why
from grace_client.campaign.snapshot import Snapshot
from grace_client.campaign.store import Store
from grace_client.campaign.view import View, view
from grace_client.core.errors import BusyError, GraceError, ReleaseError, SpecError
from grace_client.kube.clock import Clock

T = TypeVar("T")

POLL_S = 5.0
"""Seconds between two looks."""
LOST_S = 900.0
"""How long a cluster that does not answer is asked again, where no GPU is held or somebody wants to stop.
While GPUs may be held and nobody does, it is asked for ever.
"""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
INSTALL_S = 600.0
"""Seconds that an install may take; it waits for no pod."""
SURE_S = 20.0
"""For how long an install must be seen to be hopeless before it is given up."""
UNINSTALL_S = 300.0
"""Seconds that pods have to go before the release is told again."""


class Conductor:
    """Conducts one campaign.

    Parameters
    ----------
    campaign : Campaign
        To begin or to go on with.
    cluster : Cluster
        The namespace.
    store : Store
        Keeps it; claimed already.
    work : callable
        The work on a model, given the campaign and the model.
    clock : Clock
        The time.
    show : callable
        Takes what a person sees, at every look.
    resume : str
        The command that goes on with it.
    poll, install_seconds, lost_seconds : float
        In seconds. `lost_seconds` bounds the waiting for a cluster that does not answer, and counts waiting
        alone: a laptop that sleeps does not wait.
    """

    def __init__(
        self,
        campaign: Campaign,
        cluster: Cluster,
        store: Store,
        work: Callable[[Campaign, ModelState], Work],
        *,
        clock: Clock,
        show: Callable[[View], None] = lambda _: None,
        resume: str = "grace campaign run",
        poll: float = POLL_S,
        install_seconds: float = INSTALL_S,
        lost_seconds: float = LOST_S,
    ) -> None:
        self.campaign, self.cluster, self.store, self.work = campaign, cluster, store, work
        self.clock, self.resume = clock, resume
        self._show, self._unwritten = show, ""
        self.poll, self.install_seconds, self.lost_seconds = poll, install_seconds, lost_seconds
        self._stop = asyncio.Event()
        self._why = ""
        self._doomed: tuple[str, datetime] | None = None

    @property
    def asked_to_stop(self) -> bool:
        """Whether the campaign was asked to end."""
        return self._stop.is_set()

    def stop(self, reason: str) -> None:
        """Ask the campaign to end: what is installed is uninstalled, nothing else begins."""
        self._why = self._why or reason
        self._stop.set()

    async def run(self) -> Campaign:
        """Conduct the campaign to its end, and take it out of the cluster.

        Raises
        ------
        LostError
            Where the cluster does not answer; the campaign can be resumed.
        BusyError
            Where another process has taken it over.
        SpecError
            Where a release that the campaign did not install holds GPUs.
        """
        while True:
            if self._stop.is_set() and not self.campaign.stopping:
                await self._set(machine.stop(self.campaign, self._why))
            step = machine.next_step(self.campaign)
            if step is Step.FINISH:
                break
            try:
                await self._do(step)
            except StopError:
                continue
            except (BusyError, LostError):
                raise
            except Exception as error:  # whatever it is, it must leave no GPU held
                await self._give_up(error)
        if complaint := self.store.write(self.campaign):
            # What the cluster holds is the only whole record then, and stays.
            raise ReleaseError(
                f"the campaign is over and holds no GPU, but {complaint}. Then its report is: {self.resume}",
                retryable=True,
            )
        await self._patiently(self.store.drop)
        return self.campaign

    def show(self, view: View) -> None:
        """Show something to a person. That it cannot be shown must not decide what is freed."""
        if self._unwritten and not view.note:
            view = replace(view, note=self._unwritten)
        with suppress(Exception):
            self._show(view)

    async def _do(self, step: Step) -> None:
        model = self.campaign.current
        assert model is not None
        steps = {
            Step.CHECK: self._check,
            Step.INSTALL: self._install,
            Step.WATCH: self._watch,
            Step.FETCH: self._fetch,
            Step.UNINSTALL: self._uninstall,
            Step.COLLECT: self._collect,
        }
        if step is Step.SETTLE:
            return await self._set(machine.settled(self.campaign))
        await steps[step](model)

    async def _give_up(self, error: Exception) -> None:
        """An unforeseen error must not leave GPUs held: the model fails, and is uninstalled, until it is."""
        model = self.campaign.current
        if model is None or model.phase not in INSTALLED:
            raise error
        reason = unforeseen(error)
        if model.phase is Phase.UNINSTALLING:
            self.show(View(self.clock.now(), self.campaign, model, note=f"{reason}\ntrying again"))
            await self.clock.sleep(self.poll)
        else:
            await self._set(machine.failed(self.campaign, reason, self.resume))

    async def _check(self, model: ModelState) -> None:
        await self._set(machine.bounded(self.campaign, self.clock.now()))
        if self.campaign.stopping:
            return
        if held := await self._patiently(self._held_by_others):
            raise SpecError(
                f"{held} holds GPUs here, and the campaign did not install it; one model at a time. First "
                f"helm uninstall {held} --cascade foreground --wait, then {self.resume}"
            )
        try:
            reason = await self._attended(self._work(model).check())
        except SpecError as error:
            reason = str(error)
        if reason:
            command = "grace campaign plan … lists every finding"
            await self._set(machine.refused(self.campaign, reason, command))
        else:
            await self._set(machine.checked(self.campaign))

    async def _held_by_others(self) -> str:
        """One of the campaign's models whose pods hold GPUs though nothing is installed."""
        for model in self.campaign.models:
            snapshot = await self._observe(model, logs=False)
            if snapshot.gpus:
                return model.model
        return ""

    async def _install(self, model: ModelState) -> None:
        # What is kept says so before the first object exists: whoever goes on knows what to uninstall.
        await self._set(machine.installing(self.campaign, self.clock.now()))
        if self._stop.is_set():
            return

        try:
            installing = self._patiently(lambda: self._work(model).install(timeout=self.install_seconds))
            note = await self._attended(installing, meanwhile=self._look_on)
        except (LostError, BusyError):
            raise
        except DoomedError as error:
            await self._set(machine.failed(self.campaign, error.why.what, error.why.lasting))
        except GraceError as error:
            await self._set(machine.failed(self.campaign, str(error), self.resume))
        else:
            await self._set(machine.installed(self.campaign, note))

    async def _look_on(self) -> None:
        """Show what an install waits for: a download of the weights in a Job of its own may take hours."""
        model = self.campaign.current
        assert model is not None
        try:
            snapshot = await observe(self.cluster, model.model, self.clock.now())
        except GraceError:
            return
        found = diagnose(snapshot, fallbacks=self._overlays(model))
        self.show(view(self.campaign, snapshot, tuple(found)))
        # A Job of an earlier install may lie there, failed, until helm has replaced it.
        why = next((one for one in found if one.fatal and one.kind is not Trouble.QUERY), None)
        if why is None or self._doomed is None or self._doomed[0] != why.what:
            self._doomed = (why.what, snapshot.at) if why else None
        elif (snapshot.at - self._doomed[1]).total_seconds() >= SURE_S:
            raise DoomedError(why)

    async def _watch(self, model: ModelState) -> None:
        async def look() -> tuple[Snapshot, list[Diagnosis], bool]:
            snapshot = await self._observe(model)
            there = bool(snapshot.made or snapshot.pods)
            installed = there or await self._work(model).installed()
            return snapshot, diagnose(snapshot, fallbacks=self._overlays(model)), installed

        snapshot, found, installed = await self._attended(self._patiently(lambda: insisting(look())))
        await self._set(machine.seen(self.campaign, snapshot, found, installed=installed))
        self.show(view(self.campaign, snapshot, tuple(found)))
        if machine.next_step(self.campaign) is Step.WATCH:
            await self._attended(self.clock.sleep(self.poll))
            await self._beat()

    def _overlays(self, model: ModelState) -> Sequence[str]:
        return [name for name in self.campaign.what.overlays if name not in (model.overlay, *model.tried)]

    async def _fetch(self, model: ModelState) -> None:
        try:
            folders = await self._fetched(model)
        except (LostError, BusyError):
            raise
        except GraceError as error:
            reason = "\n".join(filter(None, (model.reason, f"the results could not be fetched: {error}")))
            end = machine.incomplete if isinstance(error, IncompleteError) else machine.failed
            await self._set(end(self.campaign, reason, model.next or self.resume))
        else:
            await self._set(machine.fetched(self.campaign, folders))

    async def _collect(self, model: ModelState) -> None:
        """Bring results home that need no GPU any more."""
        self.show(View(self.clock.now(), self.campaign, model, note="fetching results; no GPU is needed"))
        try:
            folders = await self._fetched(model)
        except (LostError, BusyError):
            raise
        except GraceError as error:
            reason, answered = f"the results could not be fetched: {error}", True
            if isinstance(error, IncompleteError):
                reason, answered = f"{reason}\nWhat is missing is asked when it is run again", False
            await self._set(machine.not_collected(self.campaign, reason, self.resume, answered=answered))
        else:
            await self._set(machine.collected(self.campaign, folders))

    async def _fetched(self, model: ModelState) -> tuple[str, ...]:
        # Made in there: what cannot be made is a failure to fetch.
        return await self._attended(self._patiently(lambda: self._work(model).fetch()))

    def _work(self, model: ModelState) -> Work:
        return self.work(self.campaign, model)

    async def _uninstall(self, model: ModelState) -> None:
        self.show(View(self.clock.now(), self.campaign, model))

        async def uninstall() -> Snapshot:
            # The ledger: what the pods held until now.
            snapshot = await self._observe(model, logs=False)
            await self._set(machine.watched(self.campaign, snapshot))
            work = self._work(model)
            if model.outcome is Why.FAILED and (snapshot.made or snapshot.pods):
                # Logs are worth much, and GPUs more.
                with suppress(GraceError, OSError):
                    await self._set(machine.noted(self.campaign, await work.keep_logs()))
            await work.uninstall(timeout=UNINSTALL_S)
            return await self._observe(model, logs=False)

        snapshot = await self._attended(self._patiently(lambda: insisting(uninstall())), stoppable=False)
        if snapshot.gpus:
            await self.clock.sleep(self.poll)
        else:
            await self._set(machine.freed(self.campaign, snapshot))

    async def _observe(self, model: ModelState, *, logs: bool = True) -> Snapshot:
        return await observe(self.cluster, model.model, self.clock.now(), logs=logs)

    async def _set(self, campaign: Campaign) -> None:
        """Keep a changed campaign before anything follows from it."""
        if campaign.version == self.campaign.version:
            return
        self.campaign = campaign
        self._unwritten = self.store.write(campaign)
        gone = await self._patiently(lambda: insisting(self.store.save(campaign, self.clock.now())))
        if gone:
            self.stop(gone)

    async def _beat(self) -> None:
        try:
            reason = await self.store.beat(self.clock.now())
        except BusyError:
            raise
        except Exception:  # the next beat may succeed, and the work itself tells what is wrong
            return
        if reason:
            self.stop(reason)

    async def _attended(
        self,
        work: Coroutine[Any, Any, T],
        *,
        stoppable: bool = True,
        meanwhile: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Do some work, and keep the campaign ours; a stop cancels the work unless it must be done.

        `meanwhile` is called now and then; what it raises cancels the work too.
        """
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._stop.wait())
        watched = {task, stop} if stoppable else {task}
        try:
            while True:
                pause = asyncio.create_task(self.clock.sleep(self.poll))
                await asyncio.wait({*watched, pause}, return_when=asyncio.FIRST_COMPLETED)
                pause.cancel()
                if task.done():
                    return task.result()
                if stoppable and self._stop.is_set():
                    raise StopError
                await self._beat()
                if meanwhile is not None:
                    await meanwhile()
        finally:
            stop.cancel()
            task.cancel()
            # Also of one that failed while something else went wrong: nobody else will ask.
            await asyncio.gather(task, return_exceptions=True)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask again, ever more slowly, while the cluster does not answer.

        Raises
        ------
        LostError
            After `lost_seconds` of waiting, unless GPUs may be held and nobody asked to stop.
        """
        waited, pause = 0.0, FIRST_PAUSE_S
        while True:
            try:
                return await call()
            except LostError:
                raise
            except ReleaseError as error:
                if not error.retryable:
                    raise
                model = self.campaign.current
                holding = model is not None and model.phase in INSTALLED
                if waited >= self.lost_seconds and (self._stop.is_set() or not holding):
                    raise LostError(self._lost(error), retryable=True) from None
                note = f"{error}\ntrying again in {pause:g} s"
                self.show(View(self.clock.now(), self.campaign, model, note=note))
            await self.clock.sleep(pause)
            waited += pause
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _lost(self, error: ReleaseError) -> str:
        model = self.campaign.current
        held = ""
        if model is not None and model.phase in INSTALLED:
            held = (
                f"{model.model} is {model.phase} and may hold GPUs until its last Job has ended; no other "
                "model was begun. "
            )
        return f"{error}\n{held}When the cluster answers again: {self.resume}"
