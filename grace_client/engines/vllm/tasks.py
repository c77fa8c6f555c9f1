"""Requests at the same time: all or none, and none sent twice."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


async def run_all(*parts: Coroutine[Any, Any, T]) -> list[T]:
    """The results of all parts, in order. The first error is raised, and the other parts are cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in parts]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


class AsyncCache(Generic[Key, Value]):
    """A cache of the latest values. Calls for a value that is being computed wait for it.

    Parameters
    ----------
    most : int
        Most values in the cache.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._values: OrderedDict[Key, asyncio.Future[Value]] = OrderedDict()

    async def __call__(self, key: Key, ask: Callable[[], Awaitable[Value]]) -> Value:
        """The value of a key, from `ask` if it is not in the cache."""
        while (cached := self._values.get(key)) is not None:
            # If the call that asked was cancelled or failed, this call asks.
            if not cached.done():
                await asyncio.wait([cached])
            if not cached.cancelled():
                return cached.result()
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._values[key] = future
        try:
            value = await ask()
        except BaseException:
            self._values.pop(key, None)
            future.cancel()
            raise
        future.set_result(value)
        while len(self._values) > self.most:
            self._values.popitem(last=False)
        return value
