"""The progress of a command: as counts, and as a line of JSON that another program reads from a log."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, fields

VARIABLE = "GRACE_PROGRESS"
"""Environment variable; with the value `JSON`, a command writes its progress to stderr as lines of JSON."""
JSON = "json"

_KIND = "progress"


@dataclass(slots=True)
class Progress:
    """How many questions a command has answered.

    Attributes
    ----------
    total, done, failed : int
        Distinct questions: all of them, those with a final answer, and failures among the latter.
    asked : int
        Questions that this process has asked.
    started : float
        Value of the monotonic clock at the start, in seconds.
    """

    total: int
    done: int = 0
    failed: int = 0
    asked: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds_left(self) -> float | None:
        """Estimated time to the end, from this process's rate so far; None before its first answer."""
        if not self.asked:
            return None
        return (self.total - self.done) * (time.monotonic() - self.started) / self.asked


@dataclass(frozen=True, slots=True)
class ProgressLine:
    """Progress as a line of a log: ``{"grace": "progress", "task": "study1-exp2", "done": 42, …}``.

    Attributes
    ----------
    task : str
        The name of an experiment, ``"noise"`` or ``"llm"``.
    done, total, failed : int
        As in `Progress`.
    seconds_left : int or None
        Estimated time to the end; None before the first answer of this process.
    """

    task: str
    done: int
    total: int
    failed: int = 0
    seconds_left: int | None = None

    @classmethod
    def of(cls, task: str, progress: Progress) -> ProgressLine:
        """The line for the present progress of a task."""
        left = progress.seconds_left
        seconds = None if left is None else round(left)
        return cls(task, progress.done, progress.total, progress.failed, seconds)

    def to_line(self) -> str:
        """One line of JSON, without a newline."""
        return json.dumps({"grace": _KIND, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_line(cls, line: str) -> ProgressLine | None:
        """Read a line of a log; None for any other line. Keys that this version does not know are ignored."""
        try:
            found = json.loads(line)
        except ValueError:
            return None
        if not isinstance(found, dict) or found.get("grace") != _KIND:
            return None
        values = {own.name: found[own.name] for own in fields(cls) if own.name in found}
        return cls(**values) if {"task", "done", "total"} <= values.keys() else None
