"""Begin a study: write a study file and its list from a template."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from grace_client.core import paths
from grace_client.core.errors import SpecError
from grace_client.studies._syntax.values import StudyName

TEMPLATES = {
    "2afc": "a choice between two texts in the list",
    "likert": "agreement with statements, some of them reverse-keyed",
    "cloze": "the last words of a sentence",
    "rating": "a number on a scale, for scenes in two conditions",
    "free-text": "a number in free text",
}

_NAME = "NAME"


def write(name: str, template: str, folder: Path) -> list[Path]:
    """Write NAME.yaml and NAME.csv.

    Parameters
    ----------
    name : str
        Name of the study: small letters, digits and hyphens.
    template : str
        One of `TEMPLATES`.
    folder : Path
        Where the files go.

    Returns
    -------
    list of Path
        The study file and its list.

    Raises
    ------
    SpecError
        If the name or the template cannot be used, or if a file exists.
    """
    try:
        TypeAdapter(StudyName).validate_python(name)
    except ValidationError:
        raise SpecError(
            f"{name!r} cannot be the name of a study. Use at most 40 small letters, digits and hyphens, "
            "with a letter first, such as my-study"
        ) from None
    if template not in TEMPLATES:
        raise SpecError(f"There is no template {template!r}. Templates: {', '.join(TEMPLATES)}")
    source = resources.files(__package__) / "templates"
    written = [folder / f"{name}{end}" for end in (".yaml", ".csv")]
    if there := [path for path in written if path.exists()]:
        raise SpecError(f"{there[0]} exists already. Choose another name, or remove the file")
    folder.mkdir(parents=True, exist_ok=True)
    for path in written:
        text = source.joinpath(template + path.suffix).read_text(encoding="utf-8").replace(_NAME, name)
        with paths.replacing(path) as new:
            new.write_text(text, encoding="utf-8")
    return written
