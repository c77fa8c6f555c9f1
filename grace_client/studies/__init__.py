"""The studies, and the one registry of their experiments.

A new study is a module that declares `SCHEMA` and `EXPERIMENTS`, and one more entry in `STUDIES`.
"""

from __future__ import annotations

from pathlib import Path

from grace_client.core import trials
from grace_client.core.errors import SpecError
from grace_client.core.trials import Schema, TrialList
from grace_client.studies import study1, study2
from grace_client.studies.declaration import Experiment

STUDIES = (study1, study2)

SCHEMAS: tuple[Schema, ...] = tuple(study.SCHEMA for study in STUDIES)
EXPERIMENTS: dict[str, Experiment] = {e.name: e for study in STUDIES for e in study.EXPERIMENTS}

ALL = ("study1-exp1", "study1-exp2", "study2-exp1", "study2-exp2")
"""The experiments that `grace run all` runs."""


def experiment(name: str) -> Experiment:
    """The experiment of that name; SpecError where there is none."""
    try:
        return EXPERIMENTS[name]
    except KeyError:
        known = ", ".join(EXPERIMENTS)
        raise SpecError(f"there is no experiment {name!r}; there are: {known}") from None


def read_trials(path: Path | str, *, checked: bool = False) -> TrialList:
    """Read a trial list of whichever study its header fits; `checked` as for `trials.read`."""
    return trials.read(path, SCHEMAS, checked=checked)
