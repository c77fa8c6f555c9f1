"""The errors that grace raises.

Each class has a stable `code`, which programs can use. No program should depend on a message: messages are
for people, and their words may change. `--json` prints the code of a failed command.

====================  ==========================================================================
code                  meaning
====================  ==========================================================================
error                 The base class; no error has this code.
spec                  The settings, a file or an argument cannot be used.
usage                 The command line cannot be read: an unknown option, a missing argument.
program-missing       A program that grace needs (helm, kubectl) is not installed.
not-enough-data       Too few answers for this analysis.
record-damaged        The record of a run has lost answers that its tables contain.
file                  The operating system refused to read or write a file.
trials                A trial list has faults; `problems` lists them.
study                 A study file has faults; `problems` lists them.
busy                  Another process works on the same run, campaign or folder.
server                The model's server (or the extraction model's) cannot be used.
item                  One question has no answer; `status` says why.
release               A Kubernetes operation failed; `reason` is Kubernetes' reason, if it gave one.
release-timeout       A Kubernetes operation did not end in time.
release-doomed        A release waits for something that cannot happen.
cluster-lost          The cluster did not answer for longer than the campaign waits.
results-incomplete    The Jobs succeeded, but their tables are incomplete.
connection-lost       The connection to a pod ended during a transfer.
transfer-damaged      A file arrived with a wrong checksum.
====================  ==========================================================================

Exit codes: see `ExitCode`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, ClassVar


class ExitCode(IntEnum):
    """Exit codes of the `grace` command. A Kubernetes Job uses them to decide whether to retry."""

    DONE = 0
    ITEMS_FAILED = 1
    """More questions failed than the threshold allows, or a part of a report failed."""
    BAD_INPUT = 2
    """The input is wrong. The same command fails again."""
    UNREACHABLE = 3
    """The same command may succeed later: the server did not answer, another process uses the run, the run
    was interrupted, or the system lacks resources (a full disk, too many open files)."""


class GraceError(Exception):
    """Base class of all errors that grace raises.

    Parameters
    ----------
    message : str
        What happened, why, and what to do next.
    retryable : bool or None
        Whether the same call may succeed later; None for the default of the class.

    Attributes
    ----------
    code : str
        The kind of the error: stable, one for each class.
    """

    code: ClassVar[str] = "error"
    retryable: bool = False

    def __init_subclass__(cls) -> None:
        if "code" not in vars(cls):
            raise TypeError(f"{cls.__name__} needs a code of its own")

    def __init__(self, message: str, *, retryable: bool | None = None) -> None:
        if retryable is not None:
            self.retryable = retryable
        super().__init__(message)

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a command that ends with this error."""
        return ExitCode.UNREACHABLE if self.retryable else ExitCode.BAD_INPUT

    def data(self) -> dict[str, Any]:
        """The error as JSON: message, code, exit code, and the keys that the class adds."""
        return {"error": str(self), "code": self.code, "exit_code": int(self.exit_code)}


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a trial list.

    Attributes
    ----------
    line : int
        Line of the file on which the row starts, counted from 1 (the header is line 1).
    column : str or None
        Column of the fault; None if the whole row or the whole file has it.
    message : str
        What is wrong and what is expected.
    """

    line: int
    column: str | None
    message: str


class TrialError(GraceError):
    """A trial list that cannot be used, with all its faults.

    Parameters
    ----------
    path : path or str
        The trial list.
    problems : sequence of Problem
        Its faults.
    """

    code = "trials"

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

    def data(self) -> dict[str, Any]:
        """The error as JSON, with every fault."""
        return super().data() | {"file": self.path, "problems": [asdict(one) for one in self.problems]}


@dataclass(frozen=True, slots=True)
class FileProblem:
    """One fault in a study file.

    Attributes
    ----------
    line, column : int
        Place in the file, from 1.
    where : str or None
        Path of the value, such as ``experiments.exp1.ask.0.prompt``; None if the whole file has the fault.
    message : str
        What is wrong and what is expected.
    """

    line: int
    column: int
    where: str | None
    message: str


class StudyError(GraceError):
    """A study file that cannot be used, with all its faults.

    Parameters
    ----------
    path : path or str
        The study file.
    problems : sequence of FileProblem
        Its faults.
    """

    code = "study"

    def __init__(self, path: Path | str, problems: Sequence[FileProblem]) -> None:
        self.path = str(path)
        self.problems = tuple(problems)
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """One line per fault: file, line, column, value, what is wrong."""
        return [
            f"{self.path}:{p.line}:{p.column}: " + (f"{p.where}: " if p.where else "") + p.message
            for p in self.problems
        ]

    def data(self) -> dict[str, Any]:
        """The error as JSON, with every fault."""
        return super().data() | {"file": self.path, "problems": [asdict(one) for one in self.problems]}


class SpecError(GraceError):
    """The settings, a file or an argument cannot be used."""

    code = "spec"


class UsageError(SpecError):
    """The command line cannot be read."""

    code = "usage"


class ProgramMissingError(SpecError):
    """A program that grace needs is not installed."""

    code = "program-missing"


class NotEnoughDataError(SpecError):
    """Too few answers for this analysis; other analyses of the same answers may be possible."""

    code = "not-enough-data"


class RecordError(SpecError):
    """The record of a run (its folder ``ledger``) has lost answers that its tables contain.

    Parameters
    ----------
    run : str
        The run folder.
    lost : int
        Number of answers that are in the tables, but no longer in the record.
    damaged : sequence of str
        Damaged lines, as ``ledger/SEGMENT:LINE``.
    """

    code = "record-damaged"

    def __init__(self, run: str, lost: int, damaged: Sequence[str]) -> None:
        where = ", ".join(damaged[:5]) + (f" and {len(damaged) - 5} more" if len(damaged) > 5 else "")
        super().__init__(
            f"{run}: its tables contain {lost} answers that are no longer in its record. "
            + (f"Damaged lines: {where}" if damaged else "A file of ledger/ was cut or removed")
            + ". The tables were not changed. Restore ledger/ from a copy, or repeat the run's 'grace run' "
            "command: it asks only the missing questions"
        )


class BusyError(GraceError):
    """Another process works on the same run, campaign or folder. The same call succeeds after it ends."""

    code = "busy"
    retryable = True


class ServerError(GraceError):
    """The engine answers no question at all; retryable unless the call says otherwise."""

    code = "server"
    retryable = True


class ReleaseError(GraceError):
    """A Kubernetes operation failed.

    Parameters
    ----------
    message : str
        What happened, with the pods' states and the events that explain it, and what to do next.
    retryable : bool
        Whether the same call may succeed later: the cluster's API did not answer, or another operation is
        not complete.
    reason : str
        The reason that Kubernetes gave, such as ``AlreadyExists``, ``Conflict`` or ``NotFound``; empty if it
        gave none.
    """

    code = "release"

    def __init__(self, message: str, *, retryable: bool = False, reason: str = "") -> None:
        self.reason = reason
        super().__init__(message, retryable=retryable)

    def data(self) -> dict[str, Any]:
        """The error as JSON, with Kubernetes' reason."""
        return super().data() | ({"reason": self.reason} if self.reason else {})


class ReleaseTimeoutError(ReleaseError):
    """A Kubernetes operation did not end in time."""

    code = "release-timeout"


class ItemError(GraceError):
    """One question has no answer. The run continues with the other questions.

    Parameters
    ----------
    status : str
        Short kind for programs. It becomes the `status` of the question's rows.
    message : str
        The reason for people. It becomes the `reason` of the question's rows.
    retryable : bool
        Whether a later run asks again. After a permanent failure, no run asks again.
    """

    code = "item"

    def __init__(self, status: str, message: str, *, retryable: bool = False) -> None:
        self.status = status
        super().__init__(message, retryable=retryable)

    @property
    def exit_code(self) -> ExitCode:
        """Always `ITEMS_FAILED`."""
        return ExitCode.ITEMS_FAILED

    def data(self) -> dict[str, Any]:
        """The error as JSON, with the item's status."""
        return super().data() | {"status": self.status}


class FileError(SpecError):
    """The operating system refused to read or write a file; the message has the path, why, and what to do."""

    code = "file"


_PASSING = {
    errno.ENOSPC: "the disk is full. Free some space ('df -h' shows the space, 'df -i' the number of files)",
    errno.EDQUOT: "your quota on this disk is used up. Free some space ('quota' shows your quota)",
    errno.EMFILE: "this process has too many open files. Allow more, for example with 'ulimit -n 4096'",
    errno.ENFILE: "this machine has too many open files. End programs that you do not need",
    errno.ENOMEM: "there is not enough memory. End programs that you do not need",
    errno.EIO: "the disk reports an error. Check the disk, or the connection to it",
    errno.ESTALE: "the connection to the disk was lost. Check the disk, or the connection to it",
    errno.ETIMEDOUT: "it did not answer in time. Check the connection",
    errno.EBUSY: "another program uses it. Wait for that program",
    errno.EAGAIN: "another program uses it. Wait for that program",
    errno.ENOLCK: "the disk cannot lock files. Check the disk, or the connection to it",
}
"""Errors that may pass, by the system's number: why, and what to do before the next try."""

_LASTING = {
    errno.EACCES: "permission denied. 'ls -ld' shows the owner. Name another place, or change the "
    "permissions",
    errno.EPERM: "the system does not allow it. 'ls -ld' and 'lsattr -d' show why. Name another place",
    errno.EROFS: "the disk is read-only. Name a place on another disk",
    errno.EFBIG: "the file would be larger than the limit. 'ulimit -f unlimited' removes the limit",
    errno.ENAMETOOLONG: "the name is too long: each part of a path has at most 255 bytes. Choose a shorter "
    "name",
    errno.ELOOP: "it is a link to itself. Name the file or folder itself",
    errno.EISDIR: "it is a folder, but a file is needed. Name a file",
    errno.ENOTSUP: "the disk does not support this. Name a place on another disk",
    errno.EINVAL: "it is not an ordinary file. Name a file",
}
"""Errors that do not pass, by the system's number: why, and what to do."""


def refused(error: OSError, path: Path | str | None = None, *, then: str = "") -> FileError:
    """An operating system's error as a `FileError` that says what to do next.

    Parameters
    ----------
    error : OSError
        The error of the operating system.
    path : path, optional
        The file that was read or written, if the error does not name it.
    then : str
        A last sentence: what to do after that, or what is kept.
    """
    given = error.filename if path is None else path
    place = None if given is None or isinstance(given, int) else Path(os.fsdecode(given))
    name = "a file" if place is None else str(place)
    if isinstance(error, ConnectionError):
        message = f"A connection was lost ({error.strerror or error}). Run the same command again"
        return FileError(message, retryable=True)
    if why := _PASSING.get(error.errno or 0):
        then = then or "Then repeat the command. Files that are complete are kept"
        return FileError(f"{name}: {why}. {then}", retryable=True)
    why = _LASTING.get(error.errno or 0) or _misplaced(error, place)
    return FileError(f"{name}: {why or error.strerror or error}" + (f". {then}" if then else ""))


def _misplaced(error: OSError, place: Path | None) -> str | None:
    """Why there is no file at a path, or a file instead of a folder; None for other errors."""
    if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EEXIST) or place is None:
        return None
    for part in (*reversed(place.parents), place):
        name = "it" if part == place else str(part)
        if os.path.islink(part) and not os.path.exists(part):  # noqa: PTH110, PTH114 (long names raise there)
            return f"{name} is a link to {part.readlink()}, which does not exist. Name another file or folder"
        if not os.path.lexists(part):
            return f"{name} does not exist. Check the spelling ('ls {part.parent}' shows what is there)"
        if not os.path.isdir(part) and (part != place or error.errno != errno.ENOENT):  # noqa: PTH112
            return f"{name} is a file, but a folder is needed. Name a folder"
    return None
