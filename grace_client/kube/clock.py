"""The time, and waiting."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from grace_client.kube.kubectl import Kubectl

CLOSE = timedelta(seconds=5)
"""Clocks that differ by less count as equal: the cluster gives whole seconds, one or two late."""


class Clock:
    """The cluster's time, from this machine's clock, so that pods and campaigns use the same time.

    Parameters
    ----------
    ahead : timedelta
        How far the cluster's clock is ahead of this machine's.
    """

    def __init__(self, ahead: timedelta = timedelta()) -> None:
        self.ahead = ahead

    @classmethod
    async def of(cls, kubectl: Kubectl) -> Clock:
        """The clock of a cluster."""
        ahead = await kubectl.time() - datetime.now(UTC)
        return cls(ahead if abs(ahead) > CLOSE else timedelta())

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC) + self.ahead

    async def sleep(self, seconds: float) -> None:
        """Wait for some seconds."""
        await asyncio.sleep(seconds)
