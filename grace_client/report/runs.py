"""The data of a report: the answers of all runs, by experiment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from grace_client import analysis
from grace_client.analysis._data import reading, table_files
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.core.questions import kind
from grace_client.report.blocks import Review
from grace_client.run.layout import OK

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
"""The subject of each kind of question, in words."""


def question_label(experiment: str, question: str) -> str:
    """A question, or its kind, in words, such as ``Study 1, how many (state0)``."""
    return f"{SHORT[experiment]}, {KINDS[kind(question)]} ({question})"


@dataclass(frozen=True)
class ReportData:
    """The data of a report.

    Attributes
    ----------
    frames : dict of str to DataFrame
        Answers by experiment, as `analysis.read` gives them.
    manifests : dict of (model, experiment) to Manifest
        Of the runs that have answers.
    lists : dict of str to list of Path
        The trial lists of the runs, by experiment.
    silent : tuple of str
        A sentence on each run without any answer.
    """

    frames: dict[str, pd.DataFrame]
    manifests: dict[tuple[str, str], analysis.Manifest]
    lists: dict[str, list[Path]] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    _results: dict[object, pd.DataFrame] = field(default_factory=dict, init=False, repr=False)

    @property
    def models(self) -> list[str]:
        """All models, in the order of their first answers."""
        return list(
            dict.fromkeys(model for frame in self.frames.values() for model in frame["model"].unique())
        )

    def answers(self, experiment: str) -> pd.DataFrame | None:
        """Scored answers, or free text that has been extracted; None if there is none."""
        frame = self.frames.get(experiment)
        if frame is None or "response" not in frame.columns:
            return frame
        if "structured" not in frame.columns or frame["structured"].isna().all():
            return None
        return frame[frame["structured"].notna() | (frame["status"] != OK)]

    def once(
        self,
        function: Callable[[pd.DataFrame], pd.DataFrame],
        experiment: str,
        of: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
    ) -> pd.DataFrame:
        """A table that several parts of the report need, computed once.

        Parameters
        ----------
        function : callable
            Makes the table from the experiment's answers.
        experiment : str
            Name of the experiment.
        of : callable, optional
            Makes what `function` gets from the answers, and is called once as well.
        """
        if (function, experiment) not in self._results:
            source = self.answers(experiment) if of is None else self.once(of, experiment)
            assert source is not None
            self._results[function, experiment] = function(source)
        return self._results[function, experiment]


def load(runs: Sequence[Path]) -> ReportData:
    """Read each run once; SpecError, which names the run, where one cannot be trusted."""
    tables = table_files.find(list(runs))
    reading.check_revisions(tables)
    parts: dict[str, list[tuple[table_files.Table, pd.DataFrame]]] = {}
    silent = []
    for table in tables:
        if table.manifest is None:
            raise SpecError(
                f"{table.path} is not in a run folder. A report needs the manifest.json of the run: "
                "name the run folder"
            )
        model, name = table.manifest.model, table.manifest.spec.experiment
        if name not in TITLES:
            raise SpecError(f"There is no report on {name}. grace reports on {', '.join(TITLES)}")
        try:
            frame = reading.load(table)
        except NotEnoughDataError as error:
            # A run without answers must not stop the report on the others.
            text = f"Review: {model}, {name}: no other part of the page contains this run. {error}."
            silent.append(Review(text))
            last = error
            continue
        parts.setdefault(name, []).append((table, frame))
    if not parts:
        raise last
    known = [name for name in TITLES if name in parts]
    manifests = {(t.manifest.model, name): t.manifest for name in known for t, _ in parts[name] if t.manifest}
    lists = {name: [table.trials for table, _ in parts[name]] for name in known}
    return ReportData({name: reading.joined(parts[name]) for name in known}, manifests, lists, tuple(silent))
