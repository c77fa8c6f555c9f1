"""Check what a study plans to report before a model is asked: contrasts, outcomes, figures, model.

The functions that compute the report compute it here too, from invented answers to the trial list. So they
alone know what is allowed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from grace_client.analysis._data.declared import check_conditions
from grace_client.analysis._data.files import design
from grace_client.analysis._data.reading import UNDECLARED, tidy
from grace_client.analysis.cells import figure_means
from grace_client.analysis.effects import contrasts
from grace_client.analysis.measured import Answerable, chosen
from grace_client.analysis.regression import declared_model
from grace_client.core.errors import FileProblem, NotEnoughDataError, SpecError
from grace_client.core.trials import TrialList
from grace_client.run.layout import FREE, OK, SCORED
from grace_client.studies._faults import Faults
from grace_client.studies._syntax import yaml
from grace_client.studies.declaration import Experiment, Kind
from grace_client.studies.format import Contrast

MODEL = "a model"
"""Name of the model with the invented answers."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a check found.

    Attributes
    ----------
    faults : tuple of FileProblem
        What cannot be computed from any answers, with its place in the study file.
    notes : tuple of str
        What cannot be computed from all answers to this trial list.
    """

    faults: tuple[FileProblem, ...]
    notes: tuple[str, ...]


def check(experiment: Experiment, listed: TrialList) -> Planned:
    """Compute everything that a study file plans for an experiment from invented answers.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    listed : TrialList
        Its trial list.

    Returns
    -------
    Planned
        Both parts are empty if there is nothing to say.
    """
    study = experiment.study
    faults = Faults(study.path, yaml.read(study.raw, study.path))
    notes: list[str] = []
    try:
        check_conditions(experiment)
    except SpecError as error:
        faults.add(("trials", "conditions"), str(error).removeprefix(f"{study.path}: "))
        return Planned(tuple(faults.problems), ())
    steps = list(_steps(experiment))
    frame = _answers(experiment, listed) if steps else pd.DataFrame()
    for place, compute in steps:
        where = ("experiments", experiment.name.removeprefix(f"{study.name}-"), *place)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                compute(frame)
        except NotEnoughDataError as error:
            line, _ = faults.document.place(where)
            notes.append(f"{study.path}, line {line}: with all answers to this list, {error}")
        except SpecError as error:
            faults.add(where, str(error))
    return Planned(tuple(faults.problems), tuple(dict.fromkeys(notes)))


def _steps(experiment: Experiment) -> Iterator[tuple[yaml.Path, Callable[[pd.DataFrame], object]]]:
    """Each part of the plan: its place below the experiment, and what computes it from answers."""
    file = experiment.file
    for number, contrast in enumerate(file.contrasts):
        yield ("contrasts", number), partial(_compare, contrast=contrast, experiment=experiment)
    for number, outcome in enumerate(file.outcomes):
        yield ("outcomes", number), partial(_choose, outcome=outcome, experiment=experiment)
    for number, figure in enumerate(file.figures):
        yield ("figures", number), partial(figure_means, figure=figure, experiment=experiment)
    if file.model is not None:
        yield ("model",), partial(declared_model, formula=file.model, experiment=experiment)


def _compare(frame: pd.DataFrame, contrast: Contrast, experiment: Experiment) -> None:
    if contrasts(frame, [contrast], experiment=experiment)["difference"].isna().all():
        raise NotEnoughDataError(f"the contrast {contrast.name!r} cannot be tested: one side has no trials")


def _choose(_: pd.DataFrame, outcome: str, experiment: Experiment) -> None:
    chosen(experiment, outcome, None)


def _answers(experiment: Experiment, listed: TrialList) -> pd.DataFrame:
    """A frame as `read` gives it, with an invented answer to every question of the list."""
    generator = np.random.default_rng(0)
    stimulus, distinct = pd.factorize(design(listed, experiment.shown)["stimulus"])
    trials = np.array([trial.trial_id for trial in listed.trials])
    named = _named(experiment)
    parts = []
    for question, kind in experiment.kinds.items():
        if experiment.scored:
            size = len(kind.options)
            # A model scores equal stimuli equally.
            p = generator.dirichlet(np.ones(size), len(distinct))[stimulus].ravel()
            rows = {"trial_id": np.repeat(trials, size), "option": np.tile(kind.options, len(trials))}
            part = pd.DataFrame({**rows, "logprob": np.log(p), "prob_raw": p, "prob_norm": p})
            parts.append(part.assign(question=question, option_mass=1.0))
        else:
            values = generator.choice(_values(kind, experiment, named), len(trials))
            part = pd.DataFrame({"trial_id": trials, "structured": values})
            parts.append(part.assign(question=question, replicate=1, seed=0, response=""))
    long = pd.concat(parts).assign(model=MODEL, experiment=experiment.name, status=OK, reason="")
    columns = SCORED if experiment.scored else (*FREE, "structured")
    extra = pd.DataFrame([trial.extra for trial in listed.trials], index=trials)
    extra = extra.rename(columns={name: UNDECLARED + name for name in extra.columns if name in columns})
    long = long.reindex(columns=list(columns)).join(extra, on="trial_id").reset_index(drop=True)
    return tidy(long, experiment, listed)


def _values(kind: Kind, experiment: Experiment, named: list[str]) -> list[str]:
    """Possible values of free text."""
    known = Answerable.of(kind, experiment).options
    if not known and kind.read is not None and kind.read.number is not None:
        return [str(number) for number in kind.read.number]
    return list(known) or named


def _named(experiment: Experiment) -> list[str]:
    """Where any text is possible: the values that the plan names, and another one."""
    file = experiment.file
    formula = (file.model or "").partition("~")[0].strip()
    outcomes = [one.outcome for one in file.contrasts] + [one.outcome for one in file.figures]
    outcomes += [*file.outcomes, formula]
    said = [one.removeprefix("prob_") for one in outcomes if one and one.startswith("prob_")]
    return [*dict.fromkeys(said), "another value"]
