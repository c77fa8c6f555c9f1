"""Runs a campaign: takes the steps of the state machine, saves each change, and always frees the GPUs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from grace_client.campaign import machine
from grace_client.campaign.diagnose import Fault, diagnose, first_fatal
from grace_client.campaign.failures import (
    PASS_ON,
    ClusterLostError,
    ReleaseDoomedError,
    ResultsIncompleteError,
    StopRequested,
    always_retryable,
    describe,
)
from grace_client.campaign.machine import Step
from grace_client.campaign.observe import observe
from grace_client.campaign.records import INSTALLED, Campaign, ModelState, Outcome, Phase
from grace_client.campaign.snapshot import Snapshot
from grace_client.campaign.store import Store
from grace_client.campaign.view import View, view
from grace_client.core import retry
from grace_client.core.errors import BusyError, GraceError, ReleaseError, SpecError
from grace_client.kube.clock import Clock
from grace_client.kube.kubectl import Kubectl

if TYPE_CHECKING:
    from grace_client.campaign.backend import Backend

T = TypeVar("T")

POLL_S = 5.0
"""Seconds between two looks at the cluster."""
LOST_S = 900.0
"""Seconds of waiting after which a cluster that does not answer is given up, if no GPU is in use or somebody
asked to stop. Otherwise it is never given up.
"""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
INSTALL_S = 600.0
"""Seconds that an install may take; it waits for no pod."""
DOOMED_S = 20.0
"""Seconds for which an install must show the same fatal fault before it is given up."""
UNINSTALL_S = 300.0
"""Seconds that pods have to end before the uninstall is repeated."""


class Controller:
    """Runs one campaign.

    Parameters
    ----------
    campaign : Campaign
        The campaign to begin or to continue.
    kubectl : Kubectl
        The namespace.
    store : Store
        Stores it; acquired already.
    backend : callable
        Makes the backend of a model, from the campaign and the model.
    clock : Clock
        The time.
    show : callable
        Shows a view to a person, at every look.
    resume : str
        The command that continues the campaign.
    poll, install_seconds, lost_seconds : float
        Seconds between two looks, for an install, and of waiting for a cluster that does not answer.
    """

    def __init__(
        self,
        campaign: Campaign,
        kubectl: Kubectl,
        store: Store,
        backend: Callable[[Campaign, ModelState], Backend],
        *,
        clock: Clock,
        show: Callable[[View], None] = lambda _: None,
        resume: str = "grace campaign run",
        poll: float = POLL_S,
        install_seconds: float = INSTALL_S,
        lost_seconds: float = LOST_S,
    ) -> None:
        self.campaign, self.kubectl, self.store, self.backend = campaign, kubectl, store, backend
        self.clock, self.resume = clock, resume
        self.poll, self.install_seconds, self.lost_seconds = poll, install_seconds, lost_seconds
        self._show, self._unwritten, self._reason = show, "", ""
        self._stop = asyncio.Event()
        self._doomed: tuple[str, datetime] | None = None

    @property
    def stop_requested(self) -> bool:
        """Whether somebody asked the campaign to stop."""
        return self._stop.is_set()

    def stop(self, reason: str) -> None:
        """Ask the campaign to stop: the release is uninstalled, no other model begins."""
        self._reason = self._reason or reason
        self._stop.set()

    async def run(self) -> Campaign:
        """Run the campaign to its end, and delete it from the cluster.

        Raises
        ------
        ClusterLostError
            If the cluster does not answer; the campaign can be resumed.
        BusyError
            If another process has taken it over.
        SpecError
            If a release that the campaign did not install uses GPUs.
        """
        steps = {
            Step.CHECK: self._check,
            Step.INSTALL: self._install,
            Step.WATCH: self._watch,
            Step.FETCH: self._fetch,
            Step.UNINSTALL: self._uninstall,
            Step.SETTLE: self._settle,
        }
        while True:
            if self._stop.is_set() and not self.campaign.stopping:
                await self._save(machine.stop(self.campaign, self._reason))
            step, model = machine.next_step(self.campaign), self.campaign.current
            if step is Step.FINISH or model is None:
                break
            try:
                await steps[step](model)
            except StopRequested:
                continue
            except PASS_ON:
                raise
            except Exception as error:  # after any error, no GPU may stay in use
                await self._recover(error)
        if problem := self.store.write(self.campaign):
            # The ConfigMap is the only complete record then, and stays.
            raise ReleaseError(
                f"The campaign is over and uses no GPU, but {problem}. Then show its report: {self.resume}",
                retryable=True,
            )
        await self._retried(self.store.delete)
        return self.campaign

    def show(self, view: View) -> None:
        """Show a view. An error in showing it must not keep GPUs in use."""
        if self._unwritten and not view.note:
            view = replace(view, note=self._unwritten)
        with suppress(Exception):
            self._show(view)

    def _note(self, model: ModelState | None, note: str = "") -> None:
        self.show(View(self.clock.now(), self.campaign, model, note=note))

    async def _recover(self, error: Exception) -> None:
        """After an unforeseen error, uninstall the model until no GPU is in use."""
        model = self.campaign.current
        if model is None or model.phase not in INSTALLED:
            raise error
        if model.phase is Phase.UNINSTALLING:
            self._note(model, f"{describe(error)}\ntrying again")
            await self.clock.sleep(self.poll)
        else:
            await self._save(machine.failed(self.campaign, describe(error), self.resume))

    async def _check(self, model: ModelState) -> None:
        await self._save(machine.limits_applied(self.campaign, self.clock.now()))
        if self.campaign.stopping:
            return
        if other := await self._retried(self._foreign_release):
            raise SpecError(
                f"Release {other} uses GPUs in this namespace, and this campaign did not install it. A "
                f"campaign runs one model at a time. First: helm uninstall {other} --cascade foreground "
                f"--wait. Then: {self.resume}"
            )
        try:
            reason = await self._attended(self.backend(self.campaign, model).check())
        except SpecError as error:
            reason = str(error)
        if reason:
            command = "grace campaign plan … lists every finding"
            await self._save(machine.refused(self.campaign, reason, command))
        else:
            await self._save(machine.checked(self.campaign))

    async def _foreign_release(self) -> str:
        """A release of the campaign's models that uses GPUs though the campaign installed nothing."""
        for model in self.campaign.models:
            if (await self._observe(model, logs=False)).gpus:
                return model.model
        return ""

    async def _install(self, model: ModelState) -> None:
        # Saved before the first object exists: a process that goes on knows what to uninstall.
        await self._save(machine.installing(self.campaign, self.clock.now()))
        if self._stop.is_set():
            return

        def install() -> Awaitable[str]:
            return self.backend(self.campaign, model).install(timeout=self.install_seconds)

        try:
            note = await self._attended(self._retried(install), meanwhile=self._watch_install)
        except PASS_ON:
            raise
        except ReleaseDoomedError as error:
            await self._save(machine.failed(self.campaign, str(error), error.fault.lasting))
        except GraceError as error:
            await self._save(machine.failed(self.campaign, str(error), self.resume))
        else:
            await self._save(machine.installed(self.campaign, note))

    async def _watch_install(self) -> None:
        """Show what an install waits for: a download of the weights in a Job of its own may take hours."""
        model = self.campaign.current
        assert model is not None
        try:
            snapshot = await self._observe(model)
        except GraceError:
            return
        faults = self._diagnose(model, snapshot)
        self.show(view(self.campaign, snapshot, tuple(faults)))
        # A failed Job of an earlier install may be there until helm has replaced it.
        fault = first_fatal(faults)
        if fault is None or self._doomed is None or self._doomed[0] != fault.message:
            self._doomed = (fault.message, snapshot.at) if fault else None
        elif (snapshot.at - self._doomed[1]).total_seconds() >= DOOMED_S:
            raise ReleaseDoomedError(fault)

    async def _watch(self, model: ModelState) -> None:
        async def look() -> tuple[Snapshot, list[Fault], bool]:
            snapshot = await self._observe(model)
            installed = snapshot.exists or await self.backend(self.campaign, model).installed()
            return snapshot, self._diagnose(model, snapshot), installed

        call = self._retried(lambda: always_retryable(look()))
        snapshot, faults, installed = await self._attended(call)
        await self._save(machine.observed(self.campaign, snapshot, faults, installed=installed))
        self.show(view(self.campaign, snapshot, tuple(faults)))
        if machine.next_step(self.campaign) is Step.WATCH:
            await self._attended(self.clock.sleep(self.poll))
            await self._renew()

    def _diagnose(self, model: ModelState, snapshot: Snapshot) -> list[Fault]:
        overlays = [name for name in self.campaign.spec.overlays if name not in (model.overlay, *model.tried)]
        return diagnose(snapshot, fallbacks=overlays)

    async def _fetch(self, model: ModelState) -> None:
        if model.phase is Phase.PLANNED:
            self._note(model, "fetching results; this needs no GPU")
        try:
            # The backend is made inside the call: an error in making it is a failure to fetch.
            folders = await self._attended(self._retried(lambda: self.backend(self.campaign, model).fetch()))
        except PASS_ON:
            raise
        except GraceError as error:
            complete = not isinstance(error, ResultsIncompleteError)
            reason = f"the results could not be fetched: {error}"
            if not complete:
                reason += "\nThe next run asks the missing questions"
            await self._save(machine.not_fetched(self.campaign, reason, self.resume, complete=complete))
        else:
            await self._save(machine.fetched(self.campaign, folders))

    async def _uninstall(self, model: ModelState) -> None:
        self._note(model)

        async def uninstall() -> Snapshot:
            # The last chance to record which GPUs the pods used.
            snapshot = await self._observe(model, logs=False)
            await self._save(machine.gpus_counted(self.campaign, snapshot))
            backend = self.backend(self.campaign, model)
            if model.outcome is Outcome.FAILED and snapshot.exists:
                # Logs are useful, but must not keep the GPUs in use.
                with suppress(GraceError, OSError):
                    await self._save(machine.noted(self.campaign, await backend.keep_logs()))
            await backend.uninstall(timeout=UNINSTALL_S)
            return await self._observe(model, logs=False)

        call = self._retried(lambda: always_retryable(uninstall()))
        snapshot = await self._attended(call, stoppable=False)
        if snapshot.gpus:
            await self.clock.sleep(self.poll)
        else:
            await self._save(machine.freed(self.campaign, snapshot))

    async def _settle(self, _: ModelState) -> None:
        await self._save(machine.settled(self.campaign))

    async def _observe(self, model: ModelState, *, logs: bool = True) -> Snapshot:
        return await observe(self.kubectl, model.model, self.clock.now(), logs=logs)

    async def _save(self, campaign: Campaign) -> None:
        """Save a changed campaign before anything follows from it."""
        if campaign.version == self.campaign.version:
            return
        self.campaign = campaign
        self._unwritten = self.store.write(campaign)
        call = self._retried(lambda: always_retryable(self.store.save(campaign, self.clock.now())))
        if deleted := await call:
            self.stop(deleted)

    async def _renew(self) -> None:
        try:
            reason = await self.store.renew(self.clock.now())
        except BusyError:
            raise
        except Exception:  # the next sign of life may succeed, and the work itself shows what is wrong
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
        """Do some work and give signs of life. A request to stop cancels the work if it is stoppable.

        `meanwhile` is called now and then; an error that it raises cancels the work too.
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
                    raise StopRequested
                await self._renew()
                if meanwhile is not None:
                    await meanwhile()
        finally:
            stop.cancel()
            task.cancel()
            # Also after another error: nothing else reads the error of the task.
            await asyncio.gather(task, return_exceptions=True)

    async def _retried(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call again, after longer and longer pauses, while the cluster does not answer.

        Raises
        ------
        ClusterLostError
            After `lost_seconds` of waiting, unless GPUs may be in use and nobody asked to stop. Only pauses
            count: a laptop that sleeps does not wait.
        """
        waited, failures = 0.0, 0
        while True:
            try:
                return await call()
            except ClusterLostError:
                raise
            except ReleaseError as error:
                if not error.retryable:
                    raise
                model = self.campaign.current
                installed = model is not None and model.phase in INSTALLED
                if waited >= self.lost_seconds and (self._stop.is_set() or not installed):
                    raise ClusterLostError(self._lost(error, model), retryable=True) from None
                failures += 1
                pause = retry.pause(failures, FIRST_PAUSE_S, LONGEST_PAUSE_S)
                self._note(model, f"{error}\ntrying again in {pause:g} s")
            await self.clock.sleep(pause)
            waited += pause

    def _lost(self, error: ReleaseError, model: ModelState | None) -> str:
        in_use = ""
        if model is not None and model.phase in INSTALLED:
            in_use = (
                f"{model.model} is {model.phase} and may use GPUs until its last Job has ended. No other "
                "model has begun. "
            )
        return f"{error}\n{in_use}When the cluster answers again: {self.resume}"
