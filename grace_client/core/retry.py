"""The pause before the next attempt.

All loops that retry use these pauses. Each loop has its own rule for when it gives up. The campaign's
controller gives up only if it uses no GPU. A transfer does not give up while files arrive. autostop gives up
after some time without any answer. The vLLM client gives up after a number of attempts at one question.
"""

from __future__ import annotations

_MOST_DOUBLINGS = 60


def pause(failures: int, first: float, longest: float) -> float:
    """The pause after a failed attempt: twice as long after each one, up to a limit.

    Parameters
    ----------
    failures : int
        Attempts in a row that have failed, from 1.
    first, longest : float
        The pause after the first failure, and the longest pause, in seconds.

    Examples
    --------
    >>> [pause(failures, 1.0, 5.0) for failures in (1, 2, 3, 4)]
    [1.0, 2.0, 4.0, 5.0]
    """
    return min(longest, first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))
