"""Runs among the files of the output claim, and whether a fetched one is what its manifest says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from grace_client.transfer.connection import Entry
from grace_client.transfer.reader import MANIFEST

OUTPUT = "output"
"""Where the output claim is mounted in the pod."""


@dataclass(frozen=True, slots=True)
class RemoteRun:
    """A run on the output claim.

    Attributes
    ----------
    experiment, model, run_id : str
        The three parts of its path. Of an Indexed Job every replicate is a run, `RUN/replicate-0`.
    path : str
        Folder on the claim, `EXPERIMENT/MODEL/RUN`.
    files : int
        Files in it.
    bytes : int
        Their size together.
    complete : bool
        Whether its tables are written.
    results : dict
        What its manifest says of them: counts, checksums.
    """

    experiment: str
    model: str
    run_id: str
    path: str
    files: int
    bytes: int
    complete: bool
    results: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Check:
    """A run's files compared with its manifest.

    Attributes
    ----------
    whole : bool
        Whether its tables and its ledger are those of the manifest.
    faults : tuple of str
        Files that differ although they are not younger than the manifest.
    stale : tuple of Path
        Segments of the ledger that are not on the claim.
    """

    whole: bool
    faults: tuple[str, ...] = ()
    stale: tuple[Path, ...] = ()


def check(folder: Path, listed: Container[Path]) -> Check:
    """Compare a run's tables and ledger with its manifest.

    A file that is younger than the manifest belongs to a run that goes on, and is no fault.

    Parameters
    ----------
    folder : Path
        The run.
    listed : container of Path
        Files that are on the claim. Where a run was repeated under its old name, segments of the older run
        may still be in the folder; they are named, and not counted.
    """
    manifest = folder / MANIFEST
    segments = sorted((folder / "ledger").glob("*.jsonl"))
    ledger = [path for path in segments if path in listed]
    stale = tuple(path for path in segments if path not in listed)
    try:
        results = json.loads(manifest.read_bytes()).get("results") or {}
    except FileNotFoundError:
        # It was deleted between the listing and the transfer.
        return Check(whole=False, stale=stale)
    except (ValueError, AttributeError):
        return Check(False, (f"{manifest}: it is no manifest",), stale)
    if not results:
        return Check(whole=False, stale=stale)
    written = manifest.stat().st_mtime_ns
    parts = [(folder / name, [folder / name], sha256) for name, sha256 in results.get("tables", {}).items()]
    parts.append((folder / "ledger", ledger, results.get("ledger_sha256")))
    different = [(name, files) for name, files, expected in parts if _sha256(files) != expected]
    return Check(
        whole=not different,
        faults=tuple(
            f"{name}: its checksum is not the manifest's"
            for name, files in different
            if not any(file.exists() and file.stat().st_mtime_ns > written for file in files)
        ),
        stale=stale,
    )


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


def _sha256(files: Sequence[Path]) -> str:
    """Checksum of files one after another; empty where one is missing."""
    digest = hashlib.sha256()
    try:
        for path in files:
            with path.open("rb") as file:
                hashlib.file_digest(file, lambda: digest)
    except FileNotFoundError:
        return ""
    return digest.hexdigest()
