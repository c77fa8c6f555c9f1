"""Compare a run's files with the checksums in its manifest.

This check reads no answers, so that `grace fetch` uses it too. `RunFolder.open` checks more: the trial list,
and whether this version of grace asks the same questions.
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
"""Last entry of a manifest: a hash of all other entries. Manifests of older versions have none."""


class ChangedError(ValueError):
    """A manifest that another program or a person has changed."""


def sha256(files: Iterable[Path]) -> str:
    """Hash of several files in this order, 64 hex digits; empty if a file is missing."""
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
    """The files of a run's ledger, in reading order."""
    return sorted((folder / layout.LEDGER).glob(layout.SEGMENTS))


def checksum(entries: Mapping[str, Any]) -> str:
    """Hash of the entries of a manifest. Their order and spacing in the file do not matter."""
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def entries(folder: Path) -> Any:
    """The entries of a run's manifest, without the checksum.

    Raises
    ------
    FileNotFoundError
        If the run has no manifest.
    ChangedError
        If the checksum is wrong.
    ValueError, RecursionError
        If the manifest is not JSON.
    """
    found = json.loads((folder / layout.MANIFEST).read_bytes())
    expected = found.pop(CHECKSUM, None) if isinstance(found, dict) else None
    if expected is not None and expected != checksum(found):
        raise ChangedError("its checksum differs")
    return found


def is_changed(table: Path, tables: Mapping[str, str]) -> bool:
    """Whether a table in a manifest's `tables` is missing, or has another checksum."""
    return table.name in tables and sha256([table]) != tables[table.name]


def changed_tables(folder: Path, results: Mapping[str, Any]) -> list[str]:
    """Names of the tables in a manifest's results that are missing or have another checksum."""
    tables = results.get("tables", {})
    return [name for name in tables if is_changed(folder / name, tables)]


@dataclass(frozen=True, slots=True)
class Check:
    """The result of comparing a run's files with its manifest.

    Attributes
    ----------
    whole : bool
        Whether study file, tables and ledger have the checksums of the manifest.
    faults : tuple of str
        One message for each file that differs, and that is not newer than the manifest.
    stale : tuple of Path
        Segments in the ledger's folder that belong to an older run.
    """

    whole: bool
    faults: tuple[str, ...] = ()
    stale: tuple[Path, ...] = ()


def check(folder: Path, listed: Container[Path] | None = None) -> Check:
    """Compare a run's study file, tables and ledger with its manifest.

    A file that is newer than the manifest is not a fault: the run is still going on.

    Parameters
    ----------
    folder : Path
        The run folder.
    listed : container of Path, optional
        The files of the run. If a run was repeated under the same name, segments of the older run may still
        be in the folder; they are reported as stale, and the checksum leaves them out.
    """
    manifest = folder / layout.MANIFEST
    ledger = [path for path in segments(folder) if listed is None or path in listed]
    stale = tuple(path for path in segments(folder) if path not in ledger)
    try:
        found = entries(folder)
        results, study = found.get("results") or {}, dict(found.get("study") or {})
    except FileNotFoundError:
        # Somebody removed it between the listing and the transfer.
        return Check(whole=False, stale=stale)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return Check(False, (f"{manifest} is damaged, or somebody changed it",), stale)
    written = manifest.stat().st_mtime_ns
    changed = [name for name, expected in study.items() if sha256([folder / name]) != expected]
    changed += changed_tables(folder, results)
    different = [(folder / name, [folder / name]) for name in changed]
    if results and sha256(ledger) != results.get("ledger_sha256"):
        different.append((folder / layout.LEDGER, ledger))
    return Check(
        whole=bool(results) and not different,
        faults=tuple(
            f"{name}: the checksum differs from the one in {manifest.name}"
            for name, files in different
            if not any(file.exists() and file.stat().st_mtime_ns > written for file in files)
        ),
        stale=stale,
    )
