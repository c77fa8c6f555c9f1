"""The studies and their experiments.

To add a study, write a module that declares `SCHEMA` and `EXPERIMENTS`, and add it to `STUDIES`.
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
    """The experiment with this name; SpecError if there is none."""
    try:
        return EXPERIMENTS[name]
    except KeyError:
        raise SpecError(f"There is no experiment {name!r}. Experiments: {', '.join(EXPERIMENTS)}") from None


def read_trials(path: Path | str, *, checked: bool = False) -> TrialList:
    """Read a trial list. Its header determines the study. `checked` is as in `trials.read`."""
    return trials.read(path, SCHEMAS, checked=checked)
