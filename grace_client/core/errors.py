"""The errors that grace raises on purpose.

Each class has a stable `code`, which programs may use to decide. Nothing decides by a message: messages are
for people, and their words may change. `--json` prints the code of a failed command.

====================  ==========================================================================
code                  meaning
====================  ==========================================================================
error                 Root of all; no error has this code.
spec                  The settings, a file or an argument cannot be used as given.
usage                 The command line cannot be read: an unknown option, a missing argument.
program-missing       A program that grace needs (helm, kubectl) is not installed.
not-enough-data       Too few answers for this analysis.
record-damaged        The ledger of a run has lost answers that its tables contain.
file                  The operating system refused to read or write a file.
trials                A trial list has faults; `problems` lists them.
busy                  Another process works on the same run, campaign or folder.
server                The model's server (or the extraction model's) cannot be used.
item                  One question has no answer; `status` says why.
release               A Kubernetes operation failed; `reason` is Kubernetes' own word, if it gave one.
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
    """Exit codes of the `grace` command; a Kubernetes Job decides by them whether to retry."""

    DONE = 0
    ITEMS_FAILED = 1
    """More items failed than the threshold allows, or grace could not make a part of a report."""
    BAD_INPUT = 2
    """The input is wrong. The same command fails again."""
    UNREACHABLE = 3
    """The same command may succeed later: the server did not answer, another process is at work, the run was
    interrupted, or the system lacks room (a full disk, too many open files)."""


class GraceError(Exception):
    """Root of all errors that grace raises on purpose.

    Parameters
    ----------
    message : str
        What happened, why, and what to do next.
    retryable : bool or None
        Whether the same call may succeed later; None for the class's usual answer.

    Attributes
    ----------
    code : str
        What kind of error it is; stable, one for each class.
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
        """Exit code of a command that ends with this error."""
        return ExitCode.UNREACHABLE if self.retryable else ExitCode.BAD_INPUT

    def data(self) -> dict[str, Any]:
        """The error as JSON: the message, the code, the exit code, and what the class adds."""
        return {"error": str(self), "code": self.code, "exit_code": int(self.exit_code)}


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a trial list.

    Attributes
    ----------
    line : int
        Line of the file on which the row starts, counted from 1 (the header is line 1).
    column : str or None
        Column of the fault; None where the row or the file as a whole has it.
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


class SpecError(GraceError):
    """The settings, a file or an argument cannot be used as given."""

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
    """The ledger of a run has lost answers that its tables contain.

    Parameters
    ----------
    run : str
        The run folder.
    lost : int
        Answers in the tables that are no longer in the ledger.
    damaged : sequence of str
        Damaged lines, as ``ledger/SEGMENT:LINE``.
    """

    code = "record-damaged"

    def __init__(self, run: str, lost: int, damaged: Sequence[str]) -> None:
        where = ", ".join(damaged[:5]) + (f" and {len(damaged) - 5} more" if len(damaged) > 5 else "")
        super().__init__(
            f"{run}: its tables contain {lost} answers that are no longer in its ledger"
            + (f"; damaged lines: {where}" if damaged else "; a file of ledger/ was cut or removed")
            + ". The tables were not changed. Restore ledger/ from a copy, or repeat the 'grace run' "
            "command that began the run: it asks again only what is missing"
        )


class BusyError(GraceError):
    """Another process works on the same thing; the same call succeeds when it is done."""

    code = "busy"
    retryable = True


class ServerError(GraceError):
    """The engine as a whole does not answer; retryable unless the call says otherwise."""

    code = "server"
    retryable = True


class ReleaseError(GraceError):
    """A Kubernetes operation failed.

    Parameters
    ----------
    message : str
        What happened, with the pods' states and the events that explain it, and what to do next.
    retryable : bool
        Whether the same call may succeed later: the cluster's API did not answer, or something is still
        going on.
    reason : str
        Kubernetes' word for its refusal, such as ``AlreadyExists``, ``Conflict`` or ``NotFound``; empty where
        it gave none.
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
    """One question has no answer; the rest of the run goes on.

    Parameters
    ----------
    status : str
        Short machine-readable kind, which becomes the `status` of the item's rows.
    message : str
        The reason, which becomes the `reason` of the item's rows.
    retryable : bool
        Whether a later run asks again. A permanent failure is never asked again.
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
