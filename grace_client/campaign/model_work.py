"""What a campaign does with one model, and the ways in which that can fail."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, TypeVar

from grace_client.campaign.diagnose import Diagnosis
from grace_client.core.errors import BusyError, GraceError, ReleaseError

T = TypeVar("T")


class Work(Protocol):
    """What a campaign does with one model."""

    async def check(self) -> str:
        """Why the rules do not allow it; empty where they do. SpecError where it cannot be rendered."""
        ...

    async def install(self, *, timeout: float) -> str:
        """Install its release; what had to be repaired before. One that took too long is not retryable."""
        ...

    async def installed(self) -> bool:
        """Whether Helm has its release."""
        ...

    async def fetch(self) -> tuple[str, ...]:
        """Bring its results home and verify them; their folders. IncompleteError where they are not whole."""
        ...

    async def keep_logs(self) -> str:
        """Keep what its containers said, which goes with the release; the folder, empty for nothing."""
        ...

    async def uninstall(self, *, timeout: float) -> None:
        """Remove its release, and wait until no pod of it is left."""
        ...


class LostError(ReleaseError):
    """The cluster did not answer for longer than anybody should wait."""

    code = "cluster-lost"


class IncompleteError(ReleaseError):
    """Results are not whole on the claim although the Jobs that write them have succeeded."""

    code = "results-incomplete"


class StopError(Exception):
    """Somebody asked the campaign to end while it worked."""


class DoomedError(ReleaseError):
    """What an install waits for cannot come about."""

    code = "release-doomed"

    def __init__(self, why: Diagnosis) -> None:
        self.why = why
        super().__init__(why.what)


async def insisting(call: Awaitable[T]) -> T:
    """Have a call tried again whatever the cluster complains of: giving up would leave GPUs held.

    An API that has just started knows nobody's rights yet, and says so as if they had none.
    """
    try:
        return await call
    except (BusyError, LostError):
        raise
    except Exception as error:
        raise ReleaseError(unforeseen(error), retryable=True) from None


def unforeseen(error: Exception) -> str:
    """An error in words; one that nobody foresaw is named for what it is."""
    if isinstance(error, GraceError):
        return str(error)
    if isinstance(error, OSError):
        return f"this machine: {error}"
    return f"an error in grace itself, please report it: {error!r}"
