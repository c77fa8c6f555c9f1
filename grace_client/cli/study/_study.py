"""The study, experiments and trial list that a command of `grace study` names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from grace_client.core.trials import TrialList
    from grace_client.studies.declaration import Experiment, Study

StudyArgument = Annotated[
    str, typer.Argument(help="A study file; one of its experiments, FILE.yaml:EXPERIMENT; or a study's name.")
]
Trials = Annotated[
    Path | None, typer.Option(help="Trial list. Default: the study's own list.", show_default=False)
]


def experiments_of(text: str) -> tuple[Study, list[Experiment]]:
    """The study that an argument names, and the experiments of it that are meant."""
    from grace_client import studies

    if studies.is_file(text) or text in studies.names():
        study = studies.find(text)
        return study, list(study.experiments.values())
    experiment = studies.experiment(text)
    return experiment.study, [experiment]


def list_of(study: Study, path: Path | None) -> TrialList:
    """A trial list of a study: the file, or the study's own."""
    from grace_client import studies
    from grace_client.studies import lists

    return lists.default(study) if path is None else studies.read_trials(path, study)
