"""The studies: what one file declares, and the two that come with grace."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from grace_client.core import trials
from grace_client.core.errors import SpecError
from grace_client.core.trials import Schema, TrialList
from grace_client.studies import file
from grace_client.studies.declaration import Experiment, Study

SHIPPED = ("study1", "study2")
"""The studies that come with grace."""

ALL = ("study1-exp1", "study1-exp2", "study2-exp1", "study2-exp2")
"""The experiments that `grace run all` runs."""


@cache
def study(name: str) -> Study:
    """The shipped study with this name; SpecError if there is none."""
    if name not in SHIPPED:
        raise SpecError(f"There is no study {name!r}. Studies: {', '.join(SHIPPED)}. Or name a study file")
    folder = resources.files(__name__)
    raw = folder.joinpath(f"{name}.yaml").read_bytes()
    return file.parse(raw, path=f"{name}.yaml", beside=lambda other: folder.joinpath(other).read_bytes())
