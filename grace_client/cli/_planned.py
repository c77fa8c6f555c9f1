"""The check of what a study plans to report, where the packages of the analysis are installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from grace_client.cli._output import say
from grace_client.core.errors import FileProblem, GraceError, StudyError

if TYPE_CHECKING:
    from grace_client.analysis.planned import Planned
    from grace_client.core.trials import TrialList
    from grace_client.studies.declaration import Experiment, Study

LEFT_OUT = (
    "the planned contrasts, outcomes, figures and models were not checked, because the analysis is not "
    "installed. Install it with: pip install 'grace-client[analysis]'"
)


def check(experiment: Experiment, listed: TrialList) -> tuple[list[FileProblem], list[str]] | None:
    """What of an experiment's plan cannot be computed: from any answers, and from those to this list.

    The given list may be a part of the study's own one. So a fault that the own list does not have is a note.

    Returns
    -------
    tuple of list or None
        Faults and notes, as in `analysis.planned.Planned`; None if the analysis is not installed.
    """
    found = _check(experiment, listed)
    if found is None:
        return None
    faults, notes = list(found.faults), list(found.notes)
    if faults and (own := _own(experiment.study)) is not None and own.sha256 != listed.sha256:
        whole = _check(experiment, own)
        known = {one.where for one in whole.faults} if whole else set()
        notes += [
            f"{experiment.study.path}, line {one.line}: with this list, {one.message}"
            for one in faults
            if one.where not in known
        ]
        faults = [one for one in faults if one.where in known]
    return faults, notes


def refuse(experiment: Experiment, listed: TrialList, out: Path | None) -> None:
    """Before a run: say what is doubtful; StudyError if the plan has faults.

    A run in `out` that has begun goes on: its questions do not depend on the plan.
    """
    from grace_client.run.check import one_direction
    from grace_client.run.layout import MANIFEST

    faults, notes = check(experiment, listed) or ([], [])
    error = StudyError(experiment.study.path, faults)
    folders = () if out is None else (out, out / experiment.name)
    if faults and not any((folder / MANIFEST).exists() for folder in folders):
        raise error
    for note in (*one_direction(experiment, listed), *error.lines(), *notes):
        say(f"note: {note}")


def _check(experiment: Experiment, listed: TrialList) -> Planned | None:
    try:
        from grace_client.analysis import planned

        return planned.check(experiment, listed)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or find_spec(package) is not None:
            raise
        return None


def _own(study: Study) -> TrialList | None:
    """The study's own list; None if it has none, or a faulty one."""
    from grace_client.studies import lists

    try:
        return lists.default(study)
    except GraceError:
        return None
