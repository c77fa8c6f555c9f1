"""Read a study file, check it, and build the study."""

from __future__ import annotations

import copyreg
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from grace_client.core.errors import FileProblem, StudyError, refused
from grace_client.core.spelling import did_you_mean
from grace_client.studies import _experiments, _options, _variation
from grace_client.studies._faults import Faults
from grace_client.studies._syntax import yaml as _yaml
from grace_client.studies._syntax.parts import People
from grace_client.studies._syntax.templates import template
from grace_client.studies._syntax.yaml import Document
from grace_client.studies._trials import TrialReader
from grace_client.studies.declaration import Experiment, Study
from grace_client.studies.format import FORMAT, StudyFile

_Model = TypeVar("_Model", bound=BaseModel)

MAX_ATTACHED = 2_000_000
"""Most bytes of an example file."""

_MESSAGES = {
    "bool_parsing": "must be true or false",
    "dict_type": "must be a mapping: names with values",
    "extra_forbidden": "is not a key of the format here",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be {expected}",
    "missing": "is missing",
    "model_type": "must be a mapping: keys with values",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_long": "may have at most {max_length} characters",
    "string_too_short": "may not be empty",
    "string_type": "must be a text",
    "too_long": "may have at most {max_length} entries",
    "too_short": "needs at least {min_length} entries",
    "tuple_type": "must be a list",
}
"""What is wrong, by pydantic's name for it."""


def read(path: Path | str) -> Study:
    """Read a study file.

    Raises
    ------
    StudyError
        If the file has faults; the error names each one with line and column.
    FileError
        If it cannot be opened.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise refused(error, path) from None

    def beside(name: str) -> bytes:
        file = path.parent / name
        # Kubernetes mounts a ConfigMap as links into a hidden folder of the same folder.
        if not file.resolve().is_relative_to(path.parent.resolve()):
            raise OSError("it is a link to another folder")
        return file.read_bytes()

    return parse(raw, path=str(path), beside=beside, folder=path.parent)


def parse(raw: bytes, *, path: str, beside: Callable[[str], bytes], folder: Path | None = None) -> Study:
    """Like `read`, but from bytes in memory.

    Parameters
    ----------
    raw : bytes
        The study file.
    path : str
        Its name in messages.
    beside : callable
        From the name of a file beside it to its bytes; raises OSError if there is none.
    folder : Path, optional
        Its folder, where its trial list lies.
    """
    document = _yaml.read(raw, path)
    file = _validated(document, path)
    faults = Faults(path, document)
    attached = _attached(file, beside, faults)
    reader = TrialReader(file, faults)
    answers = {}
    for name, declared in file.options.items():
        if found := _options.checked(declared, reader.columns, ("options", name), faults):
            answers[name] = found
    faults.end()
    _check_texts(file, reader.names, faults)
    faults.end()
    schema = reader.schema(file.study)
    rows = {name: _rows(data, name, faults) for name, data in attached.items()}
    study = Study(file.study, file.title, schema, {}, file, path, raw, attached, folder)
    largest = max((len(one.names) for one in answers.values()), default=0)
    levels = _variation.read(file, largest, faults)
    builder = _experiments.Builder(study, reader, answers, rows, faults, levels)
    made = [builder.experiment(key) for key in file.experiments]
    faults.end()
    _variation.check(levels, builder.every, {*reader.names, *file.texts, "options"}, faults)
    faults.end()
    study.experiments.update((experiment.name, experiment) for experiment in made)
    return study


def _validated(document: Document, path: str) -> StudyFile:
    data = document.data
    if not isinstance(data, dict):
        raise StudyError(path, [FileProblem(1, 1, None, "a study file is a mapping: keys with values")])
    version = data.get("grace")
    if version != str(FORMAT):
        line, column = document.place(("grace",))
        given = (
            "the key 'grace', the version of the format, is missing" if version is None else f"is {version!r}"
        )
        message = f"{given}. This grace reads version {FORMAT}: write 'grace: {FORMAT}'"
        raise StudyError(path, [FileProblem(line, column, "grace", message)])
    return _as(StudyFile, document, path)


def read_people(path: Path) -> tuple[People, ...]:
    """Read what a file says of people's answers: the entry `people` of a study file, or a file of such keys.

    Raises
    ------
    StudyError
        If the file has faults; the error names each one with line and column.
    FileError
        If it cannot be opened.
    """
    try:
        document = _yaml.read(path.read_bytes(), str(path))
    except OSError as error:
        raise refused(error, path) from None
    if isinstance(document.data, dict) and "grace" in document.data:
        return _validated(document, str(path)).people
    return (_as(People, document, str(path)),)


def _as(model: type[_Model], document: Document, path: str) -> _Model:
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        faults: dict[_yaml.Path, Any] = {}
        for fault in error.errors():
            faults.setdefault(_within(document, fault), fault)
        # A value may have several forms: the deepest fault is that of the form that fits best.
        problems = [
            _problem(model, document, where, fault)
            for where, fault in faults.items()
            if not any(other[: len(where)] == where != other for other in faults)
        ]
        raise StudyError(path, sorted(problems, key=lambda one: (one.line, one.column))) from None


def _within(document: Document, fault: Mapping[str, Any]) -> _yaml.Path:
    """The path of a fault in the file; pydantic's own parts (names of types in unions) are left out."""
    where: _yaml.Path = ()
    for part in fault["loc"]:
        if (*where, part) in document.places:
            where = (*where, part)
    return (*where, fault["loc"][-1]) if fault["type"] == "missing" else where


def _problem(
    model: type[BaseModel], document: Document, where: _yaml.Path, fault: Mapping[str, Any]
) -> FileProblem:
    line, column = document.place(where)
    wanted = _MESSAGES.get(fault["type"])
    if wanted is not None:
        message = wanted.format(**fault.get("ctx", {}))
    else:
        message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        keys = sorted(_keys(model, fault["loc"]))
        message += f". {did_you_mean(str(where[-1]), keys)}The keys are: {', '.join(keys)}"
    elif fault["type"] != "missing" and isinstance(fault["input"], str):
        message += f"; it is {fault['input'][:60]!r}"
    return FileProblem(line, column, ".".join(map(str, where)) or None, message)


def _keys(model: type[BaseModel], location: Sequence[str | int]) -> set[str]:
    """The keys that the format has where one is too many; those of all forms that the value may have."""
    parts: set[type[BaseModel]] = {model}
    for key in location[:-1]:
        fields = {
            one.alias or name: one.annotation for part in parts for name, one in part.model_fields.items()
        }
        # Other parts of a location are names that the user gives, places in lists, and forms of a value.
        if key in fields:
            parts = set(_parts(fields[str(key)]))
    return {one.alias or name for part in parts for name, one in part.model_fields.items()}


def _parts(annotation: Any) -> Iterator[type[BaseModel]]:
    """The mappings that a value may be, or contain."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _parts(inner)


def _attached(file: StudyFile, beside: Callable[[str], bytes], faults: Faults) -> dict[str, bytes]:
    """The example files of all questions."""
    found: dict[str, bytes] = {}
    for key, experiment in file.experiments.items():
        for number, ask in enumerate(experiment.ask):
            name = ask.examples.file if ask.examples else None
            if name is None or name in found:
                continue
            where = ("experiments", key, "ask", number, "examples", "file")
            try:
                found[name] = beside(name)
            except OSError as error:
                faults.add(where, f"{name} cannot be read beside the study file: {error.strerror or error}")
                continue
            if len(found[name]) > MAX_ATTACHED:
                faults.add(where, f"{name} has {len(found.pop(name))} bytes; the most is {MAX_ATTACHED}")
    return found


def _rows(data: bytes, name: str, faults: Faults) -> list[dict[str, str]]:
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        return [{key: value or "" for key, value in row.items() if key is not None} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        faults.add((), f"{name} is not CSV in UTF-8: {error}")
        return []


def _check_texts(file: StudyFile, names: Iterable[str], faults: Faults) -> None:
    """Note texts that name a text after them, or that have the name of a column."""
    later = list(file.texts)
    for name, source in file.texts.items():
        if name in file.trials.columns:
            faults.add(("texts", name), "is the name of a column. Give the text another name")
        if ahead := template(source).names & set(later):
            faults.add(("texts", name), f"names the text {min(ahead)!r}, which must stand before it")
        later.remove(name)
        each = {name for one in file.experiments.values() for ask in one.ask for name in ask.each}
        if not ahead:
            faults.uses(("texts", name), template(source).names, {*names, *file.texts, *each, "options"})


# Another process reads the study file again: functions cannot be sent to it.


def _study(raw: bytes, path: str, attached: dict[str, bytes], folder: Path | None) -> Study:
    return parse(raw, path=path, beside=attached.__getitem__, folder=folder)


def _experiment(study: Study, name: str) -> Experiment:
    return study.experiments[name]


copyreg.pickle(Study, lambda one: (_study, (one.raw, one.path, dict(one.attached), one.folder)))
copyreg.pickle(Experiment, lambda one: (_experiment, (one.study, one.name)))
