"""What a release asks: experiments of the studies in the client's image, or of a study file in the values.

The chart's `templates/queries/_study.tpl` reads the same values. Functions take all values of a release, as
`grace_client.deploy.values.effective` returns them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import yaml

from grace_client.core.errors import SpecError

TEXT, FILES, FROM_INPUT = "queries.study", "queries.studyFiles", "queries.studyFromInput"
"""The values with a study file, with the files that it names, and with its path on the input claim."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


@dataclass(frozen=True, slots=True)
class StudyFile:
    """A release's own study file.

    Attributes
    ----------
    name : str
        Name of the study.
    experiments : tuple of str
        Whole names of its experiments. Of a file on the input claim: those that the values name.
    text : str
        The file; empty if it is on the input claim.
    files : mapping of str to str
        Texts of the files that it names, by name.
    """

    name: str
    experiments: tuple[str, ...]
    text: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


def study_file(known: Mapping[str, Any]) -> StudyFile | None:
    """The study file of the values; None if they have none.

    Raises
    ------
    SpecError
        If it is not a study file.
    """
    queries = known["queries"]
    if text := queries.get("study"):
        name, experiments = _declared(text)
        whole = tuple(f"{name}-{one}" for one in experiments)
        return StudyFile(name, whole, text, dict(queries.get("studyFiles") or {}))
    if path := queries.get("studyFromInput"):
        name = PurePosixPath(path).stem
        return StudyFile(name, tuple(one for one in queries["experiments"] if one.startswith(f"{name}-")))
    return None


@lru_cache(maxsize=4)
def _declared(text: str) -> tuple[str, tuple[str, ...]]:
    """The name of a study file's study, and those of its experiments."""
    try:
        # Every scalar stays a text, as in grace's own reader of study files.
        found = yaml.load(text.removeprefix("\ufeff"), _LOADER)
        name, experiments = found["study"], tuple(found["experiments"])
    except (yaml.YAMLError, KeyError, TypeError, RecursionError):
        name, experiments = "", ()
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not experiments:
        raise SpecError(
            f"{TEXT} is not the text of a study file. Give it with --set-file {TEXT}=FILE.yaml, or copy the "
            f"file to the input claim and name it in {FROM_INPUT}. 'grace study check FILE.yaml' checks it"
        )
    return name, experiments


def experiments(known: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the enabled experiments."""
    own = study_file(known)
    names = known["queries"]["experiments"] if own is None else own.experiments
    return tuple(name for name in names if settings(known, name).get("enabled", True))


def settings(known: Mapping[str, Any], experiment: str) -> Mapping[str, Any]:
    """The values of an experiment; empty if there are none."""
    found: Mapping[str, Any] = known["queries"]["experiments"].get(experiment) or {}
    return found


def study_of(known: Mapping[str, Any], experiment: str) -> str:
    """Name of an experiment's study; empty for one that the values do not name."""
    if (own := study_file(known)) is not None:
        return own.name
    trials = known["queries"]["trials"]
    studies = {*trials, *trials["fromInput"]} - {"folder", "fromInput"}
    return max((name for name in studies if experiment.startswith(f"{name}-")), key=len, default="")


def trials(known: Mapping[str, Any], study: str) -> str:
    """Text of a study's trial list in the values; empty without one."""
    return str(known["queries"]["trials"].get(study) or "")


def trials_on_claim(known: Mapping[str, Any], study: str) -> str:
    """Path of a study's trial list on the input claim; empty without one."""
    return str(known["queries"]["trials"]["fromInput"].get(study) or "")
