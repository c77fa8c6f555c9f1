"""The ways in which work on a campaign can fail, beside those of `core.errors`."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from grace_client.campaign.diagnose import Fault
from grace_client.core.errors import BusyError, GraceError, ReleaseError

T = TypeVar("T")


class ClusterLostError(ReleaseError):
    """The cluster did not answer for longer than the campaign waits."""

    code = "cluster-lost"


class ResultsIncompleteError(ReleaseError):
    """The Jobs have succeeded, but their tables are not complete on the claim."""

    code = "results-incomplete"


class ReleaseDoomedError(ReleaseError):
    """An install waits for something that cannot happen."""

    code = "release-doomed"

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.message)


class StopRequested(Exception):  # noqa: N818 (nothing is wrong)
    """Somebody asked the campaign to stop while it worked."""


PASS_ON = (BusyError, ClusterLostError)
"""Errors that end the process: another one runs the campaign, or the cluster is lost."""


async def always_retryable(call: Awaitable[T]) -> T:
    """Make every error of a call retryable: giving up would leave GPUs in use.

    An API that has just started does not know anybody's rights yet, and refuses as if there were none.
    """
    try:
        return await call
    except PASS_ON:
        raise
    except Exception as error:
        raise ReleaseError(describe(error), retryable=True) from None


def describe(error: Exception) -> str:
    """An error in words; one that grace does not raise on purpose is named as such."""
    if isinstance(error, GraceError):
        return str(error)
    if isinstance(error, OSError):
        return f"an error on this machine: {error}"
    return f"an error in grace itself, please report it: {error!r}"
