"""Ask an engine all questions of a run that have no answer yet."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from typing import TypeVar

from grace_client.core.progress import Progress
from grace_client.engines.base import Engine
from grace_client.run import manifest as manifests
from grace_client.run import outside
from grace_client.run.answering import Asker
from grace_client.run.folder import RunFolder
from grace_client.run.layout import OK
from grace_client.run.manifest import Session
from grace_client.run.plan import Item, Plan

T = TypeVar("T")

STOP_SECONDS = 6.0
"""How long a stop waits for answers in flight, in seconds. Kubernetes kills a process after 30 seconds."""


async def ready(plan: Plan, engine: Engine) -> Asker:
    """What asks the items of a plan, checked before anything is written.

    Raises
    ------
    SpecError
        If the model cannot be asked these questions: its chat template does not take their turns, or the
        tokens of one form of an option begin with those of another.
    """
    asker = Asker(engine, await engine.describe())
    await asker.check(plan.distinct)
    return asker


async def run(
    folder: RunFolder,
    engine: Engine,
    *,
    asker: Asker | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    stop: asyncio.Event | None = None,
    stop_seconds: float = STOP_SECONDS,
    greedy: bool = False,
    on_rest: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Ask all questions that have no final answer in the ledger.

    Then ask what the model would say outside the forms, if the engine did not give it with the answers.

    Parameters
    ----------
    folder : RunFolder
        The run.
    engine : Engine
        The engine that answers. It must be the one in the manifest.
    asker : Asker, optional
        As `ready` gives it.
    on_progress : callable
        Called after every answer.
    stop : asyncio.Event, optional
        Set it to stop: no further question is asked, and answers in flight are still written.
    stop_seconds : float
        How long a stop waits for answers in flight, in seconds.
    greedy : bool
        Whether to ask each scored question also for its greedy answer.
    on_rest : callable
        Called after every answer outside the forms that was asked for by itself.

    Returns
    -------
    Progress
        The progress at the end.

    Raises
    ------
    SpecError
        As for `ready`. Nothing was asked.
    OSError
        If an answer could not be written; earlier answers are kept.
    """
    info, stop = await engine.describe(), stop or asyncio.Event()
    started, before = datetime.now(UTC).isoformat(timespec="seconds"), await engine.counters()
    progress = folder.progress()
    on_progress(progress)
    unanswered = [item for item in folder.plan.distinct if item.key not in folder.ledger]
    asker = asker or Asker(engine, info)
    await asker.check(unanswered)

    async def answer(item: Item) -> None:
        entry, final = await asker.ask(item)
        folder.ledger.append(item.key, entry, final=final)
        progress.done += 1
        progress.asked += 1
        progress.failed += entry["status"] != OK
        on_progress(progress)

    async def rest(one: outside.Wanted, rests: Progress) -> None:
        for key, entry, final in await asker.rest.ask(one):
            folder.ledger.append(key, entry, final=final)
        rests.done += 1
        rests.asked += 1
        on_rest(rests)

    try:
        scored = folder.experiment.scored
        await _all(unanswered, answer, engine.concurrency(scored=scored), stop, stop_seconds)
        # Later, because a vLLM server does not give both at the same time.
        if scored and not stop.is_set():
            missing = outside.wanted(folder.ledger, folder.plan.distinct, greedy=greedy)
            rests = Progress(total=len(missing))
            count = engine.concurrency(scored=False)
            await _all(missing, lambda one: rest(one, rests), count, stop, stop_seconds)
    finally:
        # Report the system's first error. Closing the ledger would only fail in the same way.
        refused = isinstance(sys.exception(), OSError)
        with suppress(OSError) if refused else nullcontext():
            folder.ledger.close()
        if progress.asked and not refused:
            # After a stop there is no time to ask the server for its counters.
            after = {} if stop.is_set() else await engine.counters()
            counted = {name: after[name] - before[name] for name in before.keys() & after.keys()}
            # A server that was restarted counts from 0 again.
            counted = {name: value for name, value in sorted(counted.items()) if value >= 0}
            _record(folder, Session(started=started, asked=progress.asked, counters=counted))
    return progress


async def _all(
    tasks: Iterable[T],
    do: Callable[[T], Awaitable[None]],
    count: int,
    stop: asyncio.Event,
    stop_seconds: float,
) -> None:
    """Do all tasks, `count` at a time. After a stop, no other task begins."""
    # All workers share one iterator, so that there are never more tasks in flight than workers.
    waiting = iter(tasks)

    async def work() -> None:
        for task in waiting:
            if stop.is_set():
                return
            await do(task)

    async def give_up(workers: list[asyncio.Task[None]]) -> None:
        await stop.wait()
        await asyncio.sleep(stop_seconds)
        for worker in workers:
            worker.cancel()

    workers: list[asyncio.Task[None]] = []
    patience = asyncio.create_task(give_up(workers))
    try:
        async with asyncio.TaskGroup() as group:
            workers += [group.create_task(work()) for _ in range(count)]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        patience.cancel()


def _record(folder: RunFolder, session: Session) -> None:
    """Add a session to the run's manifest."""
    manifest = manifests.load(folder.path)
    manifest.sessions.append(session)
    manifest.save(folder.path)
    folder.manifest.sessions[:] = manifest.sessions
