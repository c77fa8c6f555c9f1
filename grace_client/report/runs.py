"""What a report is about: the answers of all runs, by experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from grace_client import analysis
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.core.questions import kind
from grace_client.run import layout

TITLES = {
    "study1-exp2": "Study 1, knowledge attribution: probability distributions",
    "study1-exp1": "Study 1, knowledge attribution: free text",
    "study2-exp2": "Study 2, politeness: probability distributions",
    "study2-exp1": "Study 2, politeness: free text",
    "study2-judgement": "Study 2, politeness: judgements",
    "study1-null": "Study 1, knowledge attribution: null context",
    "study2-null": "Study 2, politeness: null context",
}
SHORT = {
    "study1-exp2": "Study 1",
    "study1-exp1": "Study 1, free text",
    "study2-exp2": "Study 2",
    "study2-exp1": "Study 2, free text",
    "study2-judgement": "Study 2, judgements",
    "study1-null": "Study 1, null context",
    "study2-null": "Study 2, null context",
}
KINDS = {
    "state": "how many",
    "number": "how many",
    "knowledge": "does the speaker know",
    "utterance": "what is said",
    "appropriateness": "is it appropriate",
    "quality": "how good it was",
}
"""What each kind of question is about."""
ALPHA = 4.0
"""Optimality of the theory beside models in Study 1; at even odds its pattern is that of any above 0."""
PRIORS = (0.5, 0.8, 0.9)
"""Base rates at which that theory is shown: even odds, and two for stories in which nearly all have it."""
STRUCTURED = 0.90
"""Share of free-text answers with a clear meaning, below which a person should look at them."""


def asked(experiment: str, question: str) -> str:
    """A question, or its kind, in words, such as ``Study 1, how many (state0)``."""
    return f"{SHORT[experiment]}, {KINDS[kind(question)]} ({question})"


@dataclass(frozen=True)
class Material:
    """What a report is about.

    Attributes
    ----------
    frames : dict of str to DataFrame
        Answers by experiment, as `analysis.read` gives them.
    manifests : dict of (model, experiment) to Manifest
        Of the runs that have answers.
    trials : dict of str to Path
        Trial list by experiment.
    silent : tuple of str
        A sentence on each run in which nothing was answered.
    lists : dict of str to list of Path
        The trial lists of all runs of an experiment.
    """

    frames: dict[str, pd.DataFrame]
    manifests: dict[tuple[str, str], Any]
    trials: dict[str, Path]
    silent: tuple[str, ...] = ()
    lists: dict[str, list[Path]] = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        """All models, in the order in which they come."""
        return list(
            dict.fromkeys(model for frame in self.frames.values() for model in frame["model"].unique())
        )

    def extracted(self, experiment: str) -> pd.DataFrame | None:
        """Free text whose meaning was extracted; None where there is none."""
        frame = self.frames.get(experiment)
        if frame is None or "structured" not in frame.columns or frame["structured"].isna().all():
            return None
        return frame[frame["structured"].notna() | (frame["status"] != layout.OK)]


def load(runs: Sequence[Path]) -> Material:
    """Read all runs; SpecError where one of them cannot be trusted, naming it."""
    there = analysis.contents(list(runs))
    named = [name for name in TITLES if name in set(there["experiment"])]
    if unknown := sorted(set(there["experiment"]) - set(TITLES) - {""}):
        raise SpecError(f"there is no report on {', '.join(unknown)}; reports know {', '.join(TITLES)}")
    if bare := list(there.loc[there["experiment"] == "", "path"]):
        raise SpecError(
            f"{bare[0]} lies in no run folder; a report tells how the answers were made, so name the folder "
            "that holds manifest.json"
        )
    silent: dict[str, str] = {}
    try:
        frames = {name: analysis.read(list(runs), experiment=name) for name in named}
    except NotEnoughDataError:
        silent = _silent(there)
        there = there[~there["path"].isin(set(silent))]
        if there.empty:
            raise
        # A run without answers takes none of the others with it.
        frames = {
            name: analysis.read(list(there["path"]), experiment=name)
            for name in named
            if name in set(there["experiment"])
        }
    manifests = {key: value for frame in frames.values() for key, value in frame.attrs["manifests"].items()}
    lists: dict[str, list[Path]] = {}
    for name, path in zip(there["experiment"], there["path"], strict=True):
        lists.setdefault(str(name), []).append(Path(path).parent / layout.TRIALS)
    first = {name: paths[0] for name, paths in lists.items()}
    return Material(frames, manifests, first, tuple(silent.values()), lists)


def _silent(there: pd.DataFrame) -> dict[str, str]:
    """By its table, a sentence on each run in which nothing was answered."""
    found = {}
    for model, experiment, path in zip(
        *(there[name].astype(str) for name in ("model", "experiment", "path")), strict=True
    ):
        try:
            analysis.read(path, experiment=experiment)
        except NotEnoughDataError as error:
            found[path] = f"Review: {model}, {experiment}: this run is on no other part of the page. {error}."
    return found
