"""Whether a run's files are those that its manifest names: the one check, by checksums.

It reads no answer and needs no table, so that fetched runs are checked with it too. `RunFolder.open` compares
more: the trial list, and the questions with those that this version asks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grace_client.run import layout

CHECKSUM = "sha256"
"""Last entry of a manifest: a hash over all others. Manifests of older versions have none."""


class ChangedError(ValueError):
    """A manifest that somebody else than grace has changed."""


def sha256(files: Iterable[Path]) -> str:
    """Hash over files one after another, 64 hex digits; empty where one is missing."""
    digest = hashlib.sha256()
    try:
        for path in files:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    except FileNotFoundError:
        return ""
    return digest.hexdigest()


def segments(folder: Path) -> list[Path]:
    """The files of a run's ledger, in the order in which they are read."""
    return sorted((folder / layout.LEDGER).glob(layout.SEGMENTS))


def checksum(entries: Mapping[str, Any]) -> str:
    """Hash over the entries of a manifest, in whichever order and spacing they are written."""
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def entries(folder: Path) -> Any:
    """The entries of a run's manifest, without the checksum.

    Raises
    ------
    FileNotFoundError
        Where there is none.
    ChangedError
        Where its checksum differs.
    ValueError, RecursionError
        Where it is no JSON.
    """
    found = json.loads((folder / layout.MANIFEST).read_bytes())
    expected = found.pop(CHECKSUM, None) if isinstance(found, dict) else None
    if expected is not None and expected != checksum(found):
        raise ChangedError("its checksum differs")
    return found


def is_changed(table: Path, tables: Mapping[str, str]) -> bool:
    """Whether a manifest's `tables` have another checksum for this file, or the file is missing."""
    return table.name in tables and sha256([table]) != tables[table.name]


def changed_tables(folder: Path, results: Mapping[str, Any]) -> list[str]:
    """Names of the tables that are missing or are not the ones that a manifest's results name."""
    tables = results.get("tables", {})
    return [name for name in tables if is_changed(folder / name, tables)]


@dataclass(frozen=True, slots=True)
class Check:
    """A run's files compared with its manifest.

    Attributes
    ----------
    whole : bool
        Whether its tables and its ledger are those of the manifest.
    faults : tuple of str
        What differs although it is not newer than the manifest.
    stale : tuple of Path
        Segments of a ledger that are not among those of the run.
    """

    whole: bool
    faults: tuple[str, ...] = ()
    stale: tuple[Path, ...] = ()


def check(folder: Path, listed: Container[Path] | None = None) -> Check:
    """Compare a run's tables and ledger with its manifest.

    A file that is newer than the manifest belongs to a run that goes on, and is no fault.

    Parameters
    ----------
    folder : Path
        The run.
    listed : container of Path, optional
        Files that are the run's. Where a run was done anew under its old name, segments of the older one may
        still lie in the folder; they are listed as stale, and not counted.
    """
    manifest = folder / layout.MANIFEST
    ledger = [path for path in segments(folder) if listed is None or path in listed]
    stale = tuple(path for path in segments(folder) if path not in ledger)
    try:
        results = entries(folder).get("results") or {}
    except FileNotFoundError:
        # It went away between the listing and the transfer.
        return Check(whole=False, stale=stale)
    except (ValueError, AttributeError, RecursionError):
        return Check(False, (f"{manifest}: it is damaged, or somebody changed it",), stale)
    if not results:
        return Check(whole=False, stale=stale)
    written = manifest.stat().st_mtime_ns
    different = [(folder / name, [folder / name]) for name in changed_tables(folder, results)]
    if sha256(ledger) != results.get("ledger_sha256"):
        different.append((folder / layout.LEDGER, ledger))
    return Check(
        whole=not different,
        faults=tuple(
            f"{name}: its checksum is not the one in {manifest.name}"
            for name, files in different
            if not any(file.exists() and file.stat().st_mtime_ns > written for file in files)
        ),
        stale=stale,
    )
