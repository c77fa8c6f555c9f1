"""Watches whether a server answers. Requests wait while it does not, and end if it stays away."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from grace_client.core.errors import ItemError, ServerError
from grace_client.engines.vllm.responses import MalformedError, Retrying

CONTINUE = "then repeat the command: it continues where it stopped"


class Circuit:
    """The state of one server, for all its requests together.

    Parameters
    ----------
    url : str
        URL of the server, for messages.
    retrying : Retrying
        When to wait and when to give up.
    opened : callable
        Called when waiting calls may continue, or must end.

    Attributes
    ----------
    probe : callable or None
        Returns if the server answers correctly; otherwise raises an error that says what happened.
    answers : asyncio.Event
        Clear while the server must first prove that it answers.
    failure : ServerError or None
        Set when the server has been given up.
    failures : int
        Number of failed requests since the last success.
    """

    def __init__(self, url: str, retrying: Retrying, *, opened: Callable[[], None]) -> None:
        self.url = url
        self.retrying = retrying
        self.probe: Callable[[], Awaitable[None]] | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        self.failure: ServerError | None = None
        self.failures = 0
        self._opened = opened
        self._over = asyncio.Event()
        self._flying: dict[asyncio.Timeout, float] = {}
        self._progress = 0.0
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def flight(self, deadline: float, slack: float) -> AsyncIterator[None]:
        """Limit one request to its deadline, and watch it together with all others.

        Parameters
        ----------
        deadline : float
            Longest duration in seconds; after it, TimeoutError.
        slack : float
            Seconds that this request adds to the window in which the server must answer something.
        """
        if not self._flying:
            self.progress()
        if "watch" not in self._tasks:
            self._tasks["watch"] = asyncio.create_task(self._watch())
        async with asyncio.timeout(deadline) as timeout:
            self._flying[timeout] = slack
            try:
                yield
            finally:
                del self._flying[timeout]

    def progress(self, moment: float | None = None) -> None:
        """Note that the server answered something, or need not answer before `moment` (monotonic seconds)."""
        self._progress = max(self._progress, time.monotonic() if moment is None else moment)

    def check(self) -> None:
        """Raise the failure if the server has been given up."""
        if self.failure:
            # A copy, so that every call raises an error with a traceback of its own.
            raise ServerError(str(self.failure), retryable=self.failure.retryable)

    async def sleep(self, seconds: float) -> None:
        """Sleep; return early if the server is given up."""
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return

    def failed(self, reason: str) -> None:
        """Note a failed request. After too many in a row, the server must prove that it answers."""
        self.failures += 1
        if self.failures >= self.retrying.trip:
            self.suspect(reason)

    def suspect(self, reason: str) -> bool:
        """Make all calls wait until the server proves that it answers; False if they already wait."""
        if self.probe is None or self.failure or not self.answers.is_set():
            return False
        self.answers.clear()
        self._tasks["recover"] = asyncio.create_task(self._recover(reason, self.probe))
        return True

    def stop(self, error: ServerError) -> None:
        """End every call with `error`: those in flight and later ones."""
        if self.failure:
            return
        self.failure = error
        self._over.set()
        self.answers.set()
        self._opened()
        now = asyncio.get_running_loop().time()
        for timeout in list(self._flying):
            if not timeout.expired():
                timeout.reschedule(now)

    async def close(self) -> None:
        """Stop watching."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _recover(self, reason: str, probe: Callable[[], Awaitable[None]]) -> None:
        start = time.monotonic()
        # At constant intervals, unlike `core.retry`: one probe serves all waiting calls.
        while True:
            try:
                await probe()
                break
            except ServerError as error:
                if not error.retryable:
                    self.stop(error)
                    return
                reason = str(error)
            except (ItemError, MalformedError) as error:
                reason = str(error)
            except Exception as error:  # no error may leave the calls waiting for ever
                self.stop(ServerError(f"{self.url} could not be checked: {type(error).__name__}: {error}"))
                return
            waited = time.monotonic() - start
            if waited > self.retrying.patience:
                self.stop(
                    ServerError(
                        f"{self.url} has not answered for {waited:.0f} s (last: {reason}). Check the server, "
                        f"{CONTINUE}"
                    )
                )
                return
            await self.sleep(self.retrying.probe * random.uniform(0.5, 1.0))
        self.failures = 0
        self.progress()
        self.answers.set()
        self._opened()

    async def _watch(self) -> None:
        """End all calls if nothing is answered any more, even if the server says that it is healthy."""
        window = self.retrying.window
        while True:
            await asyncio.sleep(window / 8)
            quiet = time.monotonic() - self._progress
            if self._flying and quiet > window + max(self._flying.values()):
                self.stop(
                    ServerError(
                        f"{self.url} hangs: no answer for {quiet:.0f} s, and {len(self._flying)} requests "
                        f"are waiting. Restart the server, {CONTINUE}"
                    )
                )
                return
