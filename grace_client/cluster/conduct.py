"""Conducts a campaign: does what the state machine says, keeps what comes of it, and lets the GPUs go."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

from grace_client.cluster import campaign as machine
from grace_client.cluster.campaign import Step
from grace_client.cluster.diagnose import Diagnosis, diagnose
from grace_client.cluster.keep import Store
from grace_client.cluster.observe import Cluster, observe
from grace_client.cluster.records import INSTALLED, WATCHED, Campaign, ModelState, Phase
from grace_client.cluster.snapshot import Snapshot
from grace_client.cluster.view import View, view
from grace_client.errors import BusyError, GraceError, ReleaseError, SpecError

T = TypeVar("T")

POLL_S = 5.0
"""Seconds between two looks."""
LOST_S = 900.0
"""How long a cluster that does not answer is asked again before the campaign is left as it is."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
INSTALL_S = 600.0
"""Seconds that an install may take; it waits for no pod."""
UNINSTALL_S = 300.0
"""Seconds that pods have to go before the release is told again."""

_TOOK_LONG = re.compile(r"timed out|deadline exceeded|did not end within", re.IGNORECASE)


class Clock(Protocol):
    """The time, and waiting."""

    def now(self) -> datetime:
        """The time, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class RealClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class Work(Protocol):
    """What a campaign does with one model."""

    async def check(self) -> str:
        """Why the rules do not allow it; empty where they do. SpecError where it cannot be rendered."""
        ...

    async def install(self, *, timeout: float) -> str:
        """Install its release; what had to be repaired before."""
        ...

    async def fetch(self) -> tuple[str, ...]:
        """Bring its results home and verify them; their folders."""
        ...

    async def uninstall(self, *, timeout: float) -> None:
        """Remove its release, and wait until no pod of it is left."""
        ...


class LostError(ReleaseError):
    """The cluster did not answer for longer than anybody should wait."""


class _StopError(Exception):
    """Somebody asked the campaign to end while it worked."""


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
        Bounds, in seconds.
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
        self.clock, self.show, self.resume = clock, show, resume
        self.poll, self.install_seconds, self.lost_seconds = poll, install_seconds, lost_seconds
        self._stop = asyncio.Event()
        self._why = ""

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
            except _StopError:
                continue
            except GraceError:
                raise
            except Exception as error:  # a fault of grace must leave no GPU held
                await self._give_up(error)
        await self._patiently(self.store.drop)
        self.store.write(self.campaign)
        return self.campaign

    async def _do(self, step: Step) -> None:
        model = self.campaign.current
        assert model is not None
        match step:
            case Step.CHECK:
                await self._check(model)
            case Step.INSTALL:
                await self._install(model)
            case Step.WATCH:
                await self._watch(model)
            case Step.FETCH:
                await self._fetch(model)
            case Step.UNINSTALL:
                await self._uninstall(model)
            case _:
                await self._set(machine.settled(self.campaign))

    async def _give_up(self, error: Exception) -> None:
        """A fault of grace's own must not leave GPUs held: the model fails, and is uninstalled."""
        model = self.campaign.current
        if model is None or model.phase not in (Phase.INSTALLING, *WATCHED, Phase.FETCHING):
            raise error
        reason = f"an error in grace itself, please report it: {error!r}"
        await self._set(machine.failed(self.campaign, reason, self.resume))

    async def _check(self, model: ModelState) -> None:
        if held := await self._patiently(self._held_by_others):
            raise SpecError(
                f"{held} holds GPUs in this namespace, and the campaign did not install it; one model at a "
                "time. First "
                f"helm uninstall {held} --cascade foreground --wait, then {self.resume}"
            )
        try:
            reason = await self._attended(self.work(self.campaign, model).check())
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
        await self._set(machine.installing(self.campaign))
        work = self.work(self.campaign, model)

        async def install() -> str:
            began = self.clock.now()
            try:
                return await work.install(timeout=self.install_seconds)
            except ReleaseError as error:
                # Helm's own time that ran out reads like a lost connection, and trying again mends nothing.
                took = (self.clock.now() - began).total_seconds()
                late = took >= self.install_seconds and _TOOK_LONG.search(str(error))
                raise ReleaseError(str(error), retryable=error.retryable and not late) from None

        try:
            note = await self._attended(self._patiently(install))
        except (LostError, BusyError):
            raise
        except GraceError as error:
            await self._set(machine.failed(self.campaign, str(error), self.resume))
        else:
            await self._set(machine.installed(self.campaign, note))

    async def _watch(self, model: ModelState) -> None:
        async def look() -> tuple[Snapshot, list[Diagnosis]]:
            snapshot = await self._observe(model)
            return snapshot, diagnose(snapshot, fallbacks=self._overlays(model))

        snapshot, found = await self._attended(self._patiently(look))
        await self._set(machine.seen(self.campaign, snapshot, found))
        self.show(view(self.campaign, snapshot, tuple(found)))
        now = self.campaign.current
        if (
            now is not None
            and now.phase is not Phase.FETCHING
            and machine.next_step(self.campaign) is Step.WATCH
        ):
            await self._attended(self.clock.sleep(self.poll))
            await self._beat()

    def _overlays(self, model: ModelState) -> Sequence[str]:
        tried = self.campaign.choices()[: model.attempt + 1]
        return [name for name in self.campaign.what.overlays if name not in tried]

    async def _fetch(self, model: ModelState) -> None:
        work = self.work(self.campaign, model)
        try:
            folders = await self._attended(self._patiently(work.fetch))
        except (LostError, BusyError):
            raise
        except GraceError as error:
            reason = "\n".join(filter(None, (model.reason, f"the results could not be fetched: {error}")))
            await self._set(
                machine.failed(self.campaign, reason, model.next or f"grace fetch, or {self.resume}")
            )
        else:
            await self._set(machine.fetched(self.campaign, folders))

    async def _uninstall(self, model: ModelState) -> None:
        self.show(View(self.clock.now(), self.campaign, model))
        # The ledger: what the pods held until now.
        await self._set(
            machine.watched(self.campaign, await self._patiently(lambda: self._observe(model, logs=False)))
        )
        work = self.work(self.campaign, model)
        await self._patiently(lambda: _insisting(work.uninstall(timeout=UNINSTALL_S)))
        snapshot = await self._patiently(lambda: self._observe(model, logs=False))
        if snapshot.gpus:
            await self.clock.sleep(self.poll)
        else:
            await self._set(machine.freed(self.campaign, snapshot))

    async def _observe(self, model: ModelState, *, logs: bool = True) -> Snapshot:
        return await _insisting(observe(self.cluster, model.model, self.clock.now(), logs=logs))

    async def _set(self, campaign: Campaign) -> None:
        """Keep a changed campaign before anything follows from it."""
        if campaign.version != self.campaign.version:
            self.campaign = campaign
            await self._patiently(lambda: _insisting(self.store.save(campaign, self.clock.now())))

    async def _beat(self) -> None:
        with suppress(ReleaseError, SpecError):
            if reason := await self.store.beat(self.clock.now()):
                self.stop(reason)

    async def _attended(self, work: Coroutine[Any, Any, T]) -> T:
        """Do some work, and meanwhile keep the campaign ours; a stop cancels it."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._stop.wait())
        try:
            while True:
                pause = asyncio.create_task(self.clock.sleep(self.poll))
                await asyncio.wait({task, stop, pause}, return_when=asyncio.FIRST_COMPLETED)
                pause.cancel()
                if task.done():
                    return task.result()
                if self._stop.is_set():
                    raise _StopError
                await self._beat()
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
            After `lost_seconds`.
        """
        began, pause = self.clock.now(), FIRST_PAUSE_S
        while True:
            try:
                return await call()
            except LostError:
                raise
            except ReleaseError as error:
                if not error.retryable:
                    raise
                now = self.clock.now()
                if now - began > timedelta(seconds=self.lost_seconds):
                    raise LostError(self._lost(error), retryable=True) from None
                note = f"{error}\ntrying again in {pause:g} s"
                self.show(View(now, self.campaign, self.campaign.current, note=note))
            await self.clock.sleep(pause)
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


async def _insisting(call: Awaitable[T]) -> T:
    """Have a call tried again whatever the cluster complains of: giving up would leave GPUs held.

    An API that has just started knows nobody's rights yet, and says so as if they had none.
    """
    try:
        return await call
    except (ReleaseError, SpecError) as error:
        raise ReleaseError(str(error), retryable=True) from None
