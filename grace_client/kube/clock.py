"""The time, and waiting."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from grace_client.kube.kubectl import Kubectl

CLOSE = timedelta(seconds=5)
"""Clocks this close count as equal: the cluster tells whole seconds, and takes one or two to answer."""


class Clock:
    """The cluster's clock, kept by this machine's, so that pods and campaigns have one time.

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
        """Wait."""
        await asyncio.sleep(seconds)
