"""The copy of its study file that a run folder holds, so that a run explains itself anywhere."""

from __future__ import annotations

import hashlib
from errno import ENOENT
from functools import lru_cache
from pathlib import Path

from grace_client import studies
from grace_client.core import paths
from grace_client.core.errors import SpecError
from grace_client.run import layout
from grace_client.run.manifest import Manifest
from grace_client.studies import file as study_files
from grace_client.studies.declaration import Experiment, Study


def experiment_of(path: Path, manifest: Manifest) -> Experiment:
    """The experiment of a run, from the study file in its folder.

    Raises
    ------
    SpecError
        If the study file is missing, has changed, or does not have the experiment.
    """
    name = manifest.spec.experiment
    if not manifest.study:
        return studies.experiment(name)
    manifest.check_study(path)
    attached = tuple((file, (path / file).read_bytes()) for file in manifest.study if file != layout.STUDY)
    study = _study((path / layout.STUDY).read_bytes(), attached, str(path / layout.STUDY))
    if name not in study.experiments:
        raise SpecError(f"{path / layout.STUDY} has no experiment {name}. Restore it from a copy")
    return study.experiments[name]


@lru_cache(maxsize=64)
def _study(raw: bytes, attached: tuple[tuple[str, bytes], ...], path: str) -> Study:
    files = dict(attached)

    def beside(name: str) -> bytes:
        if (kept := f"{layout.ATTACHED}/{name}") not in files:
            raise FileNotFoundError(ENOENT, "the file is missing")
        return files[kept]

    return study_files.parse(raw, path=path, beside=beside)


def keep(path: Path, manifest: Manifest, study: Study) -> bool:
    """Copy the study file and the files that it names into a run folder. Returns whether one has changed."""
    kept = {layout.STUDY: study.raw} | {
        f"{layout.ATTACHED}/{name}": raw for name, raw in study.attached.items()
    }
    before = dict(manifest.study)
    for name, raw in kept.items():
        checksum = hashlib.sha256(raw).hexdigest()
        if before.get(name) != checksum:
            (path / name).parent.mkdir(exist_ok=True)
            with paths.replacing(path / name) as new:
                new.write_bytes(raw)
            manifest.study[name] = checksum
    return manifest.study != before
