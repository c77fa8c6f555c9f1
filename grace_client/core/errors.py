"""Every error grace raises on purpose, and the exit code each one means.

A message says what happened, why, and what to do next.
"""

from __future__ import annotations

import errno
import os
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
    """The engine could not be reached, another process is at work, the run was stopped from outside, or the
    system has no room (a full disk, too many open files); asking again may help."""


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


class _MayPassError(GraceError):
    """An error that says itself whether the same call may succeed later."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        self.retryable = retryable
        self.exit_code = ExitCode.UNREACHABLE if retryable else ExitCode.BAD_INPUT
        super().__init__(message)


class BusyError(GraceError):
    """Another process is at work on the same thing; the same call succeeds when it is done."""

    exit_code = ExitCode.UNREACHABLE


class ServerError(_MayPassError):
    """The engine as a whole does not answer.

    Parameters
    ----------
    message : str
        What happened, why, and what to do next.
    retryable : bool
        Whether the same call may succeed later.
    """

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message, retryable=retryable)


class ReleaseError(_MayPassError):
    """Something on the cluster did not come about.

    Parameters
    ----------
    message : str
        What happened, with the states of pods and the events that explain it, and what to do next.
    retryable : bool
        Whether the same call may succeed later: the cluster's API was away, or something is still going on.
    """


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


class FileError(_MayPassError, SpecError):
    """The operating system did not let grace read or write.

    Parameters
    ----------
    message : str
        The path, why, and what to do next.
    retryable : bool
        Whether the same call may succeed later.
    """


_PASSING = {
    errno.ENOSPC: "no space is left on its disk. Free some ('df -h' shows how full disks are; 'df -i' counts "
    "files)",
    errno.EDQUOT: "your share of its disk is used up. Free some ('quota' shows how much you may use)",
    errno.EMFILE: "too many files are open in this process. Allow more, such as with 'ulimit -n 4096'",
    errno.ENFILE: "too many files are open on this machine. End programs that are not needed",
    errno.ENOMEM: "there is no memory for it. End programs that are not needed",
    errno.EIO: "its disk gives an error. Look at the disk, or at the connection to it",
    errno.ESTALE: "the connection to its disk was lost. Look at the disk, or at the connection to it",
    errno.ETIMEDOUT: "it did not answer in time. Look at the connection",
    errno.EBUSY: "another program uses it. Wait for that program",
    errno.EAGAIN: "another program uses it. Wait for that program",
    errno.ENOLCK: "its disk gives no lock. Look at the disk, or at the connection to it",
}
"""What may be otherwise later, by the system's number: why, and what to do before trying again."""

_LASTING = {
    errno.EACCES: "you have no right to it. 'ls -ld' shows whose it is; name another place, or have its "
    "rights changed",
    errno.EPERM: "the system does not allow it. 'ls -ld' and 'lsattr -d' show why; name another place",
    errno.EROFS: "its disk can only be read. Name a place on another disk",
    errno.EFBIG: "it would be larger than files may be here. 'ulimit -f unlimited' allows larger ones",
    errno.ENAMETOOLONG: "the name is too long: a part of a path has at most 255 bytes. Choose a shorter name",
    errno.ELOOP: "it is a link that leads back to itself. Name the file or folder itself",
    errno.EISDIR: "it is a folder, and a file is meant. Name a file",
    errno.ENOTSUP: "its disk does not support it. Name a place on another disk",
    errno.EINVAL: "it is no ordinary file. Name a file",
}
"""What will be the same next time."""


def refused(error: OSError, path: Path | str | None = None, *, then: str = "") -> FileError:
    """What the operating system refused, as an error that says what to do next.

    Parameters
    ----------
    error : OSError
        As the system gave it.
    path : path, optional
        What was read or written, where the error itself does not name it.
    then : str
        What to do after that, or what has been kept.
    """
    given = error.filename if path is None else path
    place = None if given is None or isinstance(given, int) else Path(os.fsdecode(given))
    name = "a file" if place is None else str(place)
    if isinstance(error, ConnectionError):
        told = f"a connection broke off ({error.strerror or error}); the same command may succeed later"
        return FileError(told, retryable=True)
    if why := _PASSING.get(error.errno or 0):
        then = then or "Then repeat the command: what was written before is kept"
        return FileError(f"{name}: {why}. {then}", retryable=True)
    why = _LASTING.get(error.errno or 0) or _misplaced(error, place)
    return FileError(f"{name}: {why or error.strerror or error}" + (f". {then}" if then else ""))


def _misplaced(error: OSError, place: Path | None) -> str | None:
    """Why a path leads to nothing, or to another thing than is meant; None for other errors."""
    if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EEXIST) or place is None:
        return None
    for part in (*reversed(place.parents), place):
        name = "it" if part == place else str(part)
        if os.path.islink(part) and not os.path.exists(part):  # noqa: PTH110, PTH114 (long names raise there)
            told = f"{name} is a link to {part.readlink()}, which is not there"
            return f"{told}. Name the file or folder itself"
        if not os.path.lexists(part):
            return f"{name} does not exist. Check the spelling ('ls {part.parent}' shows what is there)"
        if not os.path.isdir(part) and (part != place or error.errno != errno.ENOENT):  # noqa: PTH112
            return f"{name} is a file, and a folder is meant. Name a folder"
    return None
