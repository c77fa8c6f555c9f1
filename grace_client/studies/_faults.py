"""Collect the faults of a study file while it is built, each with its place."""

from __future__ import annotations

from collections.abc import Iterable

from grace_client.core.errors import FileProblem, StudyError
from grace_client.core.spelling import did_you_mean
from grace_client.studies._syntax.yaml import Document, Path

SHOWN = 30
"""Most names that a message lists."""


class Faults:
    """The faults found so far.

    Parameters
    ----------
    path : str
        The file's name in messages.
    document : Document
        The file, for the places.
    """

    def __init__(self, path: str, document: Document) -> None:
        self.path, self.document = path, document
        self.problems: list[FileProblem] = []

    def add(self, where: Path, message: str) -> None:
        """Note a fault at a path of the file."""
        line, column = self.document.place(where)
        self.problems.append(FileProblem(line, column, ".".join(map(str, where)) or None, message))

    def known(self, where: Path, name: str, names: Iterable[str], what: str) -> bool:
        """Whether a name is one of those that exist; notes a fault if not."""
        listed = list(names)
        if name in listed:
            return True
        shown = ", ".join(listed[:SHOWN]) + (", …" if len(listed) > SHOWN else "") or "none"
        self.add(where, f"there is no {what} {name!r}. {did_you_mean(name, listed)}There is: {shown}")
        return False

    def uses(self, where: Path, used: Iterable[str], names: Iterable[str]) -> None:
        """Note the names that a template uses and that nothing defines."""
        listed = sorted(names)
        for name in sorted(set(used) - set(listed)):
            self.known(where, name, listed, "name")

    def end(self) -> None:
        """StudyError if there are faults."""
        if self.problems:
            raise StudyError(self.path, sorted(self.problems, key=lambda one: (one.line, one.column)))
