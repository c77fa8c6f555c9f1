"""Every error grace raises on purpose, and the exit code each one means.

A message says what happened, why, and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """Exit codes of the `grace` command; a Kubernetes Job decides by them whether to retry."""

    DONE = 0
    ITEMS_FAILED = 1
    """More items failed than the threshold allows, or an error of grace keeps a part off a report."""
    BAD_INPUT = 2
    """What was asked cannot be; asking again cannot help."""
    UNREACHABLE = 3
    """The engine could not be reached, another process is at work, or the run was stopped from outside;
    asking again may help."""


class GraceError(Exception):
    """Root of all errors that grace raises on purpose."""

    exit_code = ExitCode.BAD_INPUT


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a trial list.

    Attributes
    ----------
    line : int
        Line of the file on which the row starts, counted from 1 (the header is line 1).
    column : str or None
        Column at fault; None where the row or the file as a whole is.
    message : str
        What is wrong and what is expected.
    """

    line: int
    column: str | None
    message: str


class TrialError(GraceError):
    """A trial list that cannot be used, with every fault that was found in it."""

    def __init__(self, path: Path | str, problems: Sequence[Problem]) -> None:
        self.path = str(path)
        self.problems = tuple(problems)
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """One line per fault: file, line, column, what is wrong."""
        return [
            f"{self.path}:{p.line}: " + (f"column {p.column!r}: " if p.column else "") + p.message
            for p in self.problems
        ]


class SpecError(GraceError):
    """What was asked cannot be done as asked."""


class NotEnoughDataError(SpecError):
    """The answers are too few for this analysis; others of the same answers may be possible."""


class RecordError(SpecError):
    """A run's record that has lost answers which its tables hold.

    Parameters
    ----------
    run : str
        The run folder.
    lost : int
        Answers in the tables that the record does not hold any more.
    damaged : sequence of str
        Damaged lines, as ``ledger/SEGMENT:LINE``.
    """

    def __init__(self, run: str, lost: int, damaged: Sequence[str]) -> None:
        where = ", ".join(damaged[:5]) + (f" and {len(damaged) - 5} more" if len(damaged) > 5 else "")
        super().__init__(
            f"{run}: {lost} answers that its tables hold are not in its record any more"
            + (f"; damaged: {where}" if damaged else "; a file of ledger/ was cut or removed")
            + ". The tables were left as they are. Restore ledger/ from a copy, or repeat the 'grace run' "
            "command that began the run: it asks for what is missing"
        )


class BusyError(GraceError):
    """Another process is at work on the same thing; the same call succeeds when it is done."""

    exit_code = ExitCode.UNREACHABLE


class ServerError(GraceError):
    """The engine as a whole does not answer.

    Parameters
    ----------
    message : str
        What happened, why, and what to do next.
    retryable : bool
        Whether the same call may succeed later.
    """

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        self.retryable = retryable
        self.exit_code = ExitCode.UNREACHABLE if retryable else ExitCode.BAD_INPUT
        super().__init__(message)


class ReleaseError(GraceError):
    """Something on the cluster did not come about.

    Parameters
    ----------
    message : str
        What happened, with the states of pods and the events that explain it, and what to do next.
    retryable : bool
        Whether the same call may succeed later: the cluster's API was away, or something is still going on.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        self.retryable = retryable
        self.exit_code = ExitCode.UNREACHABLE if retryable else ExitCode.BAD_INPUT
        super().__init__(message)


class ItemError(GraceError):
    """One question that has no answer; the rest of the run goes on.

    Parameters
    ----------
    status : str
        Short machine-readable kind, which becomes the `status` of the item's rows.
    message : str
        The reason, which becomes the `reason` of the item's rows.
    retryable : bool
        Whether a later run should ask again. A permanent failure is never asked again.
    """

    exit_code = ExitCode.ITEMS_FAILED

    def __init__(self, status: str, message: str, *, retryable: bool = False) -> None:
        self.status = status
        self.retryable = retryable
        super().__init__(message)
