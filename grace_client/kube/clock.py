"""What time it is, and waiting."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from grace_client.kube.kubectl import Kubectl


class Clock(Protocol):
    """The time, and waiting."""

    def now(self) -> datetime:
        """The time, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class ClusterClock:
    """The cluster's clock, told by this machine's: whatever either shows, pods and campaigns have one time.

    Parameters
    ----------
    ahead : timedelta
        How much later it is on the cluster.
    """

    def __init__(self, ahead: timedelta) -> None:
        self.ahead = ahead

    @classmethod
    async def of(cls, kubectl: Kubectl) -> ClusterClock:
        """Ask the cluster for the time; errors are those of any call."""
        ahead = await kubectl.time() - datetime.now(UTC)
        # It tells whole seconds, and takes one or two to answer.
        return cls(ahead if abs(ahead) > timedelta(seconds=5) else timedelta())

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC) + self.ahead

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
