"""Several requests at once: all or none, and none sent twice."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


async def run_all(*parts: Coroutine[Any, Any, T]) -> list[T]:
    """What all of them return, in order. The first error is raised as it is, and the others are cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in parts]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


class AsyncCache(Generic[Key, Value]):
    """The values used last, by key. A value that is being computed is waited for, not computed twice.

    Parameters
    ----------
    most : int
        How many values to keep.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._known: OrderedDict[Key, asyncio.Future[Value]] = OrderedDict()

    async def __call__(self, key: Key, ask: Callable[[], Awaitable[Value]]) -> Value:
        """The value of a key, from `ask` if it is not known."""
        while (known := self._known.get(key)) is not None:
            # If the call that asked was cancelled or failed, this call asks.
            if not known.done():
                await asyncio.wait([known])
            if not known.cancelled():
                return known.result()
        mine: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._known[key] = mine
        try:
            found = await ask()
        except BaseException:
            self._known.pop(key, None)
            mine.cancel()
            raise
        mine.set_result(found)
        while len(self._known) > self.most:
            self._known.popitem(last=False)
        return found
