"""Find the tables of a run folder, a folder of runs or a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from grace_client.core.errors import SpecError
from grace_client.run import layout, verify
from grace_client.run import manifest as manifests
from grace_client.run.manifest import Manifest

Source = str | Path | Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Table:
    """A file of answers.

    Attributes
    ----------
    path : Path
        The long table if there is one, else the wide or structured one.
    manifest : Manifest or None
        The manifest of its run folder.
    structured : Path or None
        The table with the structured answers to free text.
    """

    path: Path
    manifest: Manifest | None = None
    structured: Path | None = None

    @property
    def trials(self) -> Path:
        """Path of the trial list of its run."""
        return self.path.parent / layout.TRIALS


def contents(source: Source) -> pd.DataFrame:
    """The runs and tables of a source, one row each.

    Parameters
    ----------
    source : path or list of paths
        As for `read`.

    Returns
    -------
    DataFrame
        ``model``, ``experiment`` and ``revision`` (empty for a file without a manifest), ``path``
        (str: the file that `read` uses) and ``structured`` (whether its folder has structured answers).

    Raises
    ------
    SpecError
        If there is nothing to read.
    """
    rows = [
        (
            table.manifest.model if table.manifest else "",
            table.manifest.spec.experiment if table.manifest else "",
            str(table.manifest.spec.engine.get("revision", "")) if table.manifest else "",
            str(table.path),
            table.structured is not None,
        )
        for table in find(source)
    ]
    return pd.DataFrame(rows, columns=["model", "experiment", "revision", "path", "structured"])


def find(source: Source) -> list[Table]:
    """The tables of a source, each file once; SpecError if there is none."""
    paths = [source] if isinstance(source, str | Path) else list(source)
    tables = {table.path.resolve(): table for path in paths for table in _at(Path(path))}
    if not tables:
        raise SpecError("there is nothing to read: the list of runs is empty. Name a run folder or a table")
    return list(tables.values())


def _at(path: Path) -> list[Table]:
    if path.is_dir():
        runs = manifests.below(path)
        if not runs:
            raise SpecError(
                f"{path} contains no run: there is no {layout.MANIFEST} in it or below it. Make a run with "
                "'grace run', or name the file of a table"
            )
        return [_of_run(run) for run in runs]
    if not path.is_file():
        raise SpecError(f"{path} does not exist. Name a run folder, a folder of runs, or a table")
    if not (path.parent / layout.MANIFEST).exists():
        long = _long_beside(path)
        return [Table(long or path, structured=path if long and layout.is_structured(path.name) else None)]
    run = _of_run(path.parent, structured=path if layout.is_structured(path.name) else None)
    stem = layout.stem_of(run.path.name)
    if layout.is_structured(path.name) or path.name.startswith(stem):
        return [run]
    raise SpecError(
        f"{path} is not a table of the run in {path.parent}. The run wrote {run.path.name}: name that, or "
        "move your file out of the run folder"
    )


def _long_beside(path: Path) -> Path | None:
    """The long table that belongs to a file; None if there is none."""
    if layout.stem_of(path.name) != path.stem:
        return path
    found = (path.parent / name for name in layout.long_names(layout.wide_of(path.stem)))
    return next((long for long in found if long.exists()), None)


def _of_run(folder: Path, structured: Path | None = None) -> Table:
    manifest = manifests.load(folder)
    written: dict[str, str] = manifest.results.get("tables", {})
    name = layout.long_table(written)
    if name is None:
        raise SpecError(
            f"The run in {folder} has no tables, because it ended before it wrote them. "
            f"Run: grace export {folder}"
        )
    path = folder / name
    if not path.exists():
        raise SpecError(f"{path} is missing. Run: grace export {folder}")
    if structured is None:
        beside = sorted(folder.glob(layout.STRUCTURED_FILES))
        if len(beside) > 1:
            listed = ", ".join(result.name for result in beside)
            raise SpecError(f"{folder} contains several structured tables ({listed}). Name the one to read")
        structured = next(iter(beside), None)
    for table, verb in ((path, "export"), (structured, "extract")):
        if table and verify.is_changed(table, written):
            raise SpecError(
                f"{table} has changed since grace wrote it. To write it again, run: grace {verb} {folder}. "
                "Keep tables of your own outside the run folder"
            )
    return Table(path, manifest, structured)
