"""The prompts of a run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from grace_client import studies
from grace_client.core.questions import Prompt
from grace_client.studies.declaration import Experiment


def wording(experiment: str | Experiment, trials: str | Path) -> pd.DataFrame:
    """The questions of a trial list's first trial, as the model got them, without its chat template.

    Parameters
    ----------
    experiment : str or Experiment
        A name such as ``"study1-exp2"``, ``FILE.yaml:EXPERIMENT``, or the result of `experiment`.
    trials : path
        A trial list, such as ``trials.csv`` in a run folder.

    Returns
    -------
    DataFrame
        ``question``, ``prompt`` and ``options`` (the options' names and, in brackets, the surface forms whose
        probabilities are added up; empty for free text).
    """
    asked = studies.experiment(experiment) if isinstance(experiment, str) else experiment
    first = studies.read_trials(trials, asked.study, checked=True).trials[0]
    rows = []
    for question in asked.questions(first):
        named = question.options.options if question.options else ()
        options = "; ".join(f"{o.name} [{' | '.join(repr(form) for form in o.forms)}]" for o in named)
        rows.append((question.name, _shown(question.prompt), options))
    return pd.DataFrame(rows, columns=["question", "prompt", "options"])


def _shown(prompt: Prompt) -> str:
    """The text of a prompt; of several turns, each with its role."""
    turns = [f"{turn.role}: {turn.text or '(nothing: the own system text is off)'}" for turn in prompt.turns]
    return "\n\n".join(turns) or prompt.text
