"""The data of a report: the answers of all runs, by experiment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from grace_client import analysis, studies
from grace_client.analysis._data import reading, table_files
from grace_client.analysis._data.layout import WAY
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.report import people as outside
from grace_client.report.blocks import Review
from grace_client.run import study_copy
from grace_client.run.layout import OK, WAY_FACTOR
from grace_client.studies.declaration import Experiment
from grace_client.studies.ways import BASE


def is_null(experiment: Experiment) -> bool:
    """Whether an experiment is a null context: its key is ``null``, and another one has its columns."""
    study = experiment.study
    others = (one for one in study.experiments.values() if one.name != experiment.name)
    return experiment.name == null_of(experiment) and any(
        one.option_columns == experiment.option_columns for one in others
    )


def null_of(experiment: Experiment) -> str:
    """Name of the null context of an experiment's study, whether it has one or not."""
    return f"{experiment.study.name}-null"


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
    experiments : dict of str to Experiment
        The experiments as the runs' study files declare them. Those of grace's own studies may be left out.
    asked : dict of str to DataFrame
        Answers in all ways of asking, of the experiments and models that were asked in several. The answers
        in the base way are in `frames` too.
    people : dict of str to DataFrame
        Answers of people that the user brought, by experiment, as `analysis.people` gives them.
    """

    frames: dict[str, pd.DataFrame]
    manifests: dict[tuple[str, str], analysis.Manifest]
    lists: dict[str, list[Path]] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    experiments: dict[str, Experiment] = field(default_factory=dict, repr=False)
    asked: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)
    people: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)
    _results: dict[object, pd.DataFrame] = field(default_factory=dict, init=False, repr=False)

    @property
    def models(self) -> list[str]:
        """All models, in the order of their first answers."""
        return list(
            dict.fromkeys(model for frame in self.frames.values() for model in frame["model"].unique())
        )

    def experiment(self, name: str) -> Experiment:
        """An experiment of the runs."""
        return self.experiments.get(name) or studies.experiment(name)

    def factors(self, name: str) -> list[str]:
        """The columns of an experiment's frame with its conditions."""
        return list(self.experiment(name).study.conditions)

    def unit(self, *names: str) -> str:
        """Over what the intervals of some experiments are: items, or stimuli if a study has no items."""
        units = ("items" if self.experiment(name).schema.item else "stimuli" for name in names)
        return " or ".join(dict.fromkeys(units))

    def label(self, name: str, question: str) -> str:
        """A question, or its kind, with its experiment if the report has several."""
        return question if len(self.frames) == 1 else f"{name}, {question}"

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

        def made() -> pd.DataFrame:
            source = self.answers(experiment) if of is None else self.once(of, experiment)
            assert source is not None
            return function(source)

        return self.kept((function, experiment), made)

    def kept(self, key: object, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """A table that is made once for its key."""
        if key not in self._results:
            self._results[key] = make()
        return self._results[key]


def load(runs: Sequence[Path], people: Path | None = None) -> ReportData:
    """Read each run once, and people's answers; SpecError, which names the file that cannot be trusted."""
    tables = table_files.find(list(runs))
    reading.check_revisions(tables)
    parts: dict[str, list[tuple[table_files.Table, pd.DataFrame]]] = {}
    known: dict[str, tuple[Experiment, Path]] = {}
    silent = []
    for table in tables:
        if table.manifest is None:
            raise SpecError(
                f"{table.path} is not in a run folder. A report needs the manifest.json of the run: "
                "name the run folder"
            )
        model, name = table.manifest.model, table.manifest.spec.experiment
        experiment = study_copy.experiment_of(table.path.parent, table.manifest)
        before, path = known.setdefault(name, (experiment, table.path))
        if before.kinds != experiment.kinds or before.study.conditions != experiment.study.conditions:
            raise SpecError(
                f"{path} and {table.path} are both of {name}, but their study files declare other questions, "
                "options or conditions. Make a report on each"
            )
        try:
            frame = reading.load(table, ways=True)
        except NotEnoughDataError as error:
            # A run without answers must not stop the report on the others.
            text = f"Review: {model}, {name}: no other part of the page contains this run. {error}."
            silent.append(Review(text))
            last = error
            continue
        parts.setdefault(name, []).append((table, frame))
    if not parts:
        raise last
    experiments = {name: known[name][0] for name in sorted(parts, key=lambda name: _order(known[name][0]))}
    whole = {name: reading.joined(parts[name]) for name in experiments}
    lists = {name: [table.trials for table, _ in parts[name]] for name in experiments}
    return ReportData(
        {name: in_base_way(frame) for name, frame in whole.items()},
        {(t.manifest.model, name): t.manifest for name in experiments for t, _ in parts[name] if t.manifest},
        lists,
        tuple(silent),
        experiments,
        {name: in_several_ways(frame) for name, frame in whole.items() if frame[WAY].nunique() > 1},
        outside.load(people, experiments, lists) if people is not None else {},
    )


def in_several_ways(frame: pd.DataFrame) -> pd.DataFrame:
    """The answers of the models that were asked in several ways."""
    counts = frame.groupby("model")[WAY].transform("nunique")
    return frame[counts > 1].reset_index(drop=True)


def in_base_way(frame: pd.DataFrame) -> pd.DataFrame:
    """The answers in the base way, without the columns of ways."""
    columns = [name for name in frame.columns if name == WAY or str(name).startswith(WAY_FACTOR)]
    return frame[frame[WAY] == BASE].drop(columns=columns).reset_index(drop=True)


def _order(experiment: Experiment) -> tuple[bool, str, bool, int]:
    """Study by study, scored answers before free text, as in the study file; null contexts last."""
    place = list(experiment.study.experiments).index(experiment.name)
    return is_null(experiment), experiment.study.name, not experiment.scored, place
