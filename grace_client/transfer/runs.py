"""Runs among the files of the output claim, and whether a fetched one is what its manifest says."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from grace_client.transfer.download import Entry
from grace_client.transfer.reader import MANIFEST

OUTPUT = "output"
"""Where the output claim lies in the pod."""


@dataclass(frozen=True, slots=True)
class RemoteRun:
    """A run on the output claim.

    Attributes
    ----------
    experiment, model, run_id : str
        Which. Of an Indexed Job every replicate is a run, `RUN/replicate-0`.
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
    """What became of comparing a run's files with its manifest.

    Attributes
    ----------
    whole : bool
        Whether its tables and its ledger are those of the manifest.
    faults : tuple of str
        What is not, although nobody has written to it since.
    doubtful : tuple of Path
        The files that this concerns.
    stale : tuple of Path
        Segments of a ledger that are not among those of the claim.
    """

    whole: bool
    faults: tuple[str, ...] = ()
    doubtful: tuple[Path, ...] = ()
    stale: tuple[Path, ...] = ()


def check(folder: Path, listed: Container[Path] | None = None) -> Check:
    """Compare a run's tables and ledger with its manifest.

    A file that is younger than the manifest belongs to a run that goes on, and is no fault.

    Parameters
    ----------
    folder : Path
        The run.
    listed : container of Path, optional
        Files that are the run's. Where a run was done anew under its old name, segments of the older one may
        lie at home still; they are told, and not counted.
    """
    manifest = folder / MANIFEST
    segments = sorted((folder / "ledger").glob("*.jsonl"))
    ledger = [path for path in segments if listed is None or path in listed]
    stale = tuple(path for path in segments if path not in ledger)
    try:
        results = json.loads(manifest.read_bytes()).get("results") or {}
    except FileNotFoundError:
        # It went away between the listing and the transfer.
        return Check(whole=False, stale=stale)
    except (ValueError, AttributeError):
        return Check(False, (f"{manifest}: it is no manifest",), (manifest,), stale)
    if not results:
        return Check(whole=False, stale=stale)
    written = manifest.stat().st_mtime_ns
    different = [
        (path, [path])
        for path, expected in ((folder / name, sha256) for name, sha256 in results.get("tables", {}).items())
        if _sha256([path]) != expected
    ]
    if _sha256(ledger) != results.get("ledger_sha256"):
        different.append((folder / "ledger", ledger))
    faulty = [
        (name, files)
        for name, files in different
        if not any(file.exists() and file.stat().st_mtime_ns > written for file in files)
    ]
    return Check(
        whole=not different,
        faults=tuple(f"{name}: its checksum is not the manifest's" for name, _ in faulty),
        # The manifest too: it may be what is wrong.
        doubtful=tuple(file for _, files in faulty for file in files) + ((manifest,) if faulty else ()),
        stale=stale,
    )


def runs_of(entries: Sequence[Entry]) -> list[RemoteRun]:
    """The runs among files of the output claim: whatever holds a manifest."""
    found: dict[PurePosixPath, Entry] = {}
    for entry in entries:
        if entry.path.endswith(f"/{MANIFEST}"):
            path = PurePosixPath(entry.path).relative_to(OUTPUT)
            if len(path.parts) > 3:
                found[path.parent] = entry
    files, sizes = Counter[PurePosixPath](), Counter[PurePosixPath]()
    # There are many more files than folders.
    run_of: dict[str, PurePosixPath | None] = {}
    for entry in entries:
        above = entry.path.rpartition("/")[0]
        if above not in run_of:
            inner = PurePosixPath(above).relative_to(OUTPUT)
            run_of[above] = next((folder for folder in (inner, *inner.parents) if folder in found), None)
        if (run := run_of[above]) is not None:
            files[run] += 1
            sizes[run] += entry.size
    return [
        RemoteRun(
            experiment=folder.parts[0],
            model=folder.parts[1],
            run_id="/".join(folder.parts[2:]),
            path=str(folder),
            files=files[folder],
            bytes=sizes[folder],
            complete=bool(found[folder].results),
            results=found[folder].results or {},
        )
        for folder in sorted(found)
    ]


def _sha256(files: Sequence[Path]) -> str:
    """Hash over files one after another; empty where one is missing."""
    digest = hashlib.sha256()
    try:
        for path in files:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    except FileNotFoundError:
        return ""
    return digest.hexdigest()
