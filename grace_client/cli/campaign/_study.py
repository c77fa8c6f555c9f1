"""`--study` and `--trials` of a campaign, as values of the chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grace_client.cli import _planned
from grace_client.core import list_file
from grace_client.core.errors import SpecError

if TYPE_CHECKING:
    from grace_client.studies.declaration import Study


def read(path: Path | None) -> Study | None:
    """The study of a file; None without a file.

    Raises
    ------
    StudyError, FileError
        If it has faults, or cannot be opened.
    """
    from grace_client.studies import file

    return None if path is None else file.read(path)


def values(study: Study | None, lists: Sequence[Path]) -> dict[str, Any]:
    """Single values of the chart, by dotted key: the study file, the files that it names, the trial lists.

    A study without a list in a file makes its own wherever it runs.

    Raises
    ------
    SpecError
        If there are two lists of one study, or if the study needs one.
    StudyError
        If the study plans to report what does not exist.
    TrialError
        If a list has faults.
    """
    from grace_client import studies
    from grace_client.studies import lists as trial_lists

    read = [studies.read_trials(path, study) for path in lists]
    found: dict[str, Any] = {}
    if study is not None:
        found["queries.study"] = study.raw.decode()
        found["queries.studyFiles"] = {name: raw.decode() for name, raw in study.attached.items()}
        own = read[0] if read else trial_lists.default(study)
        for experiment in study.experiments.values():
            _planned.refuse(experiment, own, None)
        if not read:
            read = [own] if study.file.trials.file is not None else []
    for trials in read:
        key = f"queries.trials.{trials.schema.study}"
        if key in found:
            raise SpecError(f"--trials: two lists are of {trials.schema.study}. Give only one of them")
        # The values of a release can only have text.
        found[key] = list_file.utf8(trials.raw, str(trials.path))
    return found


def experiments(study: Study | None, wanted: Sequence[str], shipped: Sequence[str]) -> dict[str, bool]:
    """All experiments of a campaign by their whole names, and whether it asks them.

    Parameters
    ----------
    study : Study or None
        The campaign's own study.
    wanted : sequence of str
        Names of experiments, those of the own study also without its name. Empty: as in the values.
    shipped : sequence of str
        Experiments in the chart's values.

    Raises
    ------
    SpecError
        If there is no such experiment.
    """
    from grace_client import studies

    if study is None:
        for name in wanted:
            studies.experiment(name)
        return {name: name in wanted for name in dict.fromkeys((*shipped, *wanted))}
    known = study.experiments
    whole = [name if name in known else f"{study.name}-{name}" for name in wanted]
    if unknown := [name for name, full in zip(wanted, whole, strict=True) if full not in known]:
        raise SpecError(
            f"--experiments: {study.path} has no experiment {', '.join(unknown)}. Experiments: "
            f"{', '.join(known)}"
        )
    return {name: name in whole for name in known}


def in_ways(study: Study | None, experiments: Sequence[str], design: str) -> list[str]:
    """The experiments that a design of ways of asking is for: those that score options.

    Parameters
    ----------
    study : Study or None
        The campaign's own study.
    experiments : sequence of str
        The whole names of those that the campaign runs.
    design : str
        The design; empty for one way.

    Raises
    ------
    SpecError
        If one of them cannot be asked in such a design, or if all draw free text.
    """
    from grace_client import studies

    if not design:
        return []
    known = studies.experiment if study is None else study.experiments.__getitem__
    scored = [one for one in map(known, experiments) if one.scored]
    if not scored:
        raise SpecError("--ways: all experiments draw free text, which is asked in one way. Leave --ways out")
    for one in scored:
        try:
            one.design(design)
        except SpecError as error:
            raise SpecError(f"{one.name}: {error}. Choose other experiments with --experiments") from None
    return [one.name for one in scored]
