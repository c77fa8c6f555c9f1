"""Ask an engine all questions of a run that have no answer yet."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import UTC, datetime

from grace_client.core.progress import Progress
from grace_client.engines.base import Engine
from grace_client.run import manifest as manifests
from grace_client.run.answering import Asker
from grace_client.run.folder import RunFolder
from grace_client.run.layout import OK
from grace_client.run.manifest import Session
from grace_client.run.plan import Plan

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
) -> Progress:
    """Ask all questions that have no final answer in the ledger.

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
    # All workers share one iterator, so that there are never more items in flight than workers.
    waiting = iter(unanswered)

    async def work() -> None:
        for item in waiting:
            if stop.is_set():
                return
            answer, final = await asker.ask(item)
            folder.ledger.append(item.key, answer, final=final)
            progress.done += 1
            progress.asked += 1
            progress.failed += answer["status"] != OK
            on_progress(progress)

    async def give_up(workers: list[asyncio.Task[None]]) -> None:
        await stop.wait()
        await asyncio.sleep(stop_seconds)
        for worker in workers:
            worker.cancel()

    count = engine.concurrency(scored=folder.experiment.scored)
    workers: list[asyncio.Task[None]] = []
    patience = asyncio.create_task(give_up(workers))
    try:
        async with asyncio.TaskGroup() as group:
            workers += [group.create_task(work()) for _ in range(count)]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        patience.cancel()
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


def _record(folder: RunFolder, session: Session) -> None:
    """Add a session to the run's manifest."""
    manifest = manifests.load(folder.path)
    manifest.sessions.append(session)
    manifest.save(folder.path)
    folder.manifest.sessions[:] = manifest.sessions
