"""Runs among the files of the output claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from grace_client.transfer.connection import Entry
from grace_client.transfer.reader import MANIFEST

OUTPUT = "output"
"""Folder of the output claim in the pod, under its root."""


@dataclass(frozen=True, slots=True)
class RemoteRun:
    """A run on the output claim.

    Attributes
    ----------
    experiment, model, run_id : str
        The three parts of its path. Every replicate of an Indexed Job is a run, `RUN/replicate-0`.
    path : str
        Folder on the claim, `EXPERIMENT/MODEL/RUN`.
    files : int
        Files in it.
    bytes : int
        Their size together.
    complete : bool
        Whether its tables are written.
    results : dict
        Counts and checksums of its tables, from its manifest.
    """

    experiment: str
    model: str
    run_id: str
    path: str
    files: int
    bytes: int
    complete: bool
    results: dict[str, Any] = field(default_factory=dict, repr=False)


def runs_of(entries: Sequence[Entry]) -> list[RemoteRun]:
    """The runs among files of the output claim: every folder EXPERIMENT/MODEL/RUN… with a manifest."""
    files = {PurePosixPath(entry.path).relative_to(OUTPUT): entry for entry in entries}
    runs: dict[PurePosixPath, list[Entry]] = {
        path.parent: [] for path in files if path.name == MANIFEST and len(path.parts) > 3
    }
    for path, entry in files.items():
        if run := next((folder for folder in path.parents if folder in runs), None):
            runs[run].append(entry)
    results = {folder: files[folder / MANIFEST].results or {} for folder in runs}
    return [
        RemoteRun(
            experiment=folder.parts[0],
            model=folder.parts[1],
            run_id="/".join(folder.parts[2:]),
            path=str(folder),
            files=len(found),
            bytes=sum(entry.size for entry in found),
            complete=bool(results[folder]),
            results=results[folder],
        )
        for folder, found in sorted(runs.items())
    ]
