"""The studies. A study is one file; two come with grace, and other packages may bring some.

A package brings a study by an entry point of the group ``grace.studies``: its name is the study's, its value
the package that holds the file ``NAME.yaml``.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path

from grace_client.core import trials
from grace_client.core.errors import FileProblem, SpecError, StudyError
from grace_client.core.trials import TrialList
from grace_client.studies import file
from grace_client.studies.declaration import Experiment, Study

SHIPPED = ("study1", "study2")
"""The studies that come with grace."""

ENTRY_POINTS = "grace.studies"

ALL = ("study1-exp1", "study1-exp2", "study2-exp1", "study2-exp2")
"""The experiments that `grace run all` runs."""

SUFFIXES = (".yaml", ".yml")


def names() -> tuple[str, ...]:
    """Names of the studies that come with grace or with installed packages."""
    return SHIPPED + tuple(
        sorted({one.name for one in metadata.entry_points(group=ENTRY_POINTS)} - set(SHIPPED))
    )


@cache
def named(name: str) -> Study:
    """The study of this name that comes with grace or with an installed package.

    Raises
    ------
    SpecError
        If there is none, or if its package cannot be loaded.
    StudyError
        If its file has faults.
    """
    if name in SHIPPED:
        return _of_package(resources.files(__name__), name)
    for entry in metadata.entry_points(group=ENTRY_POINTS, name=name):
        try:
            folder = resources.files(entry.module)
        except ImportError as error:
            raise SpecError(
                f"The study {name!r} comes with {entry.module}, which does not load: {error}"
            ) from None
        return _of_package(folder, name)
    raise SpecError(
        f"There is no study {name!r}. Studies: {', '.join(names())}. Or name a file, such as {name}.yaml"
    )


def _of_package(folder: Traversable, name: str) -> Study:
    raw = folder.joinpath(f"{name}.yaml").read_bytes()
    study = file.parse(raw, path=f"{name}.yaml", beside=lambda other: folder.joinpath(other).read_bytes())
    if study.name != name:
        where = [
            FileProblem(1, 1, "study", f"is {study.name!r}, but the study comes under the name {name!r}")
        ]
        raise StudyError(study.path, where)
    return study


def find(study: str) -> Study:
    """A study by its name, or by the path of its file."""
    return file.read(study) if is_file(study) else named(study)


def is_file(study: str) -> bool:
    """Whether a text names a study file rather than a study."""
    return study.endswith(SUFFIXES)


def experiments() -> dict[str, Experiment]:
    """The experiments of all studies that have a name, by their whole names."""
    return {name: one for study in names() for name, one in named(study).experiments.items()}


def experiment(name: str) -> Experiment:
    """An experiment by its name, or as ``FILE.yaml:EXPERIMENT``; SpecError if there is none.

    Of a study file with one experiment, the file's path alone is enough. EXPERIMENT may be the whole name.
    """
    path, _, key = name.rpartition(":")
    if is_file(name):
        path, key = name, ""
    if is_file(path):
        return _of_file(file.read(path), key)
    known = experiments()
    if name not in known:
        raise SpecError(
            f"There is no experiment {name!r}. Experiments: {', '.join(known)}. One of a study file is named "
            "FILE.yaml:EXPERIMENT"
        )
    return known[name]


def _of_file(study: Study, key: str) -> Experiment:
    if not key and len(study.experiments) == 1:
        return next(iter(study.experiments.values()))
    wanted = key if key in study.experiments else f"{study.name}-{key}"
    if wanted not in study.experiments:
        listed = ", ".join(f"{study.path}:{one}" for one in study.file.experiments)
        raise SpecError(
            (f"{study.path} has no experiment {key!r}" if key else f"{study.path} has several experiments")
            + f". Name one of them: {listed}"
        )
    return study.experiments[wanted]


def read_trials(path: Path | str, study: Study | None = None, *, checked: bool = False) -> TrialList:
    """Read a trial list of a study. Without one, the header determines which named study it belongs to.

    `checked` is as in `trials.read`.
    """
    schemas = [named(name).schema for name in names()] if study is None else [study.schema]
    return trials.read(path, schemas, checked=checked)
