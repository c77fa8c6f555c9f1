"""What the rest of grace knows of a study: its experiments, questions and columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from grace_client.core.errors import SpecError
from grace_client.core.questions import Question
from grace_client.core.trials import Schema, Trial
from grace_client.studies import format as formats
from grace_client.studies import ways
from grace_client.studies._options import Answers
from grace_client.studies._syntax.templates import TemplateError, template
from grace_client.studies.ways import Way

Probabilities = NDArray[np.float64]
Measure = Callable[[Probabilities], float]


class Asking(Protocol):
    """From a trial to its questions, as a way asks them; without a way, as the study file does."""

    def __call__(self, trial: Trial, way: Way | None = None, /) -> tuple[Question, ...]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Kind:
    """Questions that differ only in the values of `each`: the same options and wording.

    Attributes
    ----------
    name : str
        Its name in the study file, such as ``"state"`` for the questions state0 to state3.
    options : tuple of str
        Names of the options, in the order of the tables; empty for free text.
    values : tuple of float or None
        Number of each option.
    factors : mapping of str to tuple of str
        Crossed factors of the options, and their levels.
    read : Read or None
        How free text becomes a value.
    choices : Answers or None
        For free text that chooses: the options.
    each : mapping of str to str
        For free text: the question's own values of `each`.
    """

    name: str
    options: tuple[str, ...] = ()
    values: tuple[float, ...] | None = None
    factors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    read: formats.Read | None = None
    choices: Answers | None = None
    each: Mapping[str, str] = field(default_factory=dict)

    def render(self, source: str, trial: Trial, **more: object) -> str:
        """A template of `read` for a trial; SpecError if it cannot be rendered.

        It may use the variables of the trial, the values of `each`, and `more`.
        """
        try:
            return template(source).render({**trial.variables, **self.each, **more})
        except TemplateError as error:
            raise SpecError(f"Trial {trial.trial_id}, question {self.name!r}, {source!r}: {error}") from None


@dataclass(frozen=True, eq=False)
class Experiment:
    """One experiment of a study: its questions about a trial, and the columns of its tables.

    Attributes
    ----------
    name : str
        Its name on the command line, such as ``"study1-exp2"``.
    title : str
        Its title for people, one line.
    schema : Schema
        The columns of its trial lists.
    table : str
        Kind of its main table, as in the file name: ``"raw_responses"``, ``"probabilities"``, ….
    questions : callable
        From a trial, and optionally a way of asking, to its questions: always the same names in the same
        order.
    kinds : mapping of question name to Kind
        The kind of each question, in the order of the questions.
    columns : tuple of str
        Columns that the wide table adds to those of the trial list, in order; empty for free text.
    option_columns : mapping of question name to tuple of str
        For each scored question: the columns of its normalised probabilities, in the order of its options.
    measures : mapping of question name to mapping of column to callable
        For each scored question, its further columns: each from the normalised distribution, shape
        (n_options,). Together, `option_columns` and `measures` give all `columns`. A question without an
        answer has empty columns.
    reversed_for : mapping of question name to callable
        Whether a trial turns the scale of a question round. Then measures get its distribution in reverse
        order.
    shown : mapping of str to str
        Further parts of the stimulus that only this experiment shows, and that are conditions: from the name
        of the condition to the column of the trial list.
    ways : mapping of str to tuple of str
        The ways of asking that change something here: factors with their levels, the base first.
    stop : tuple of str
        For free text: texts that end an answer, because the model begins another question there.
    file : ExperimentFile
        The experiment as the study file declares it.
    study : Study
        The study.
    """

    name: str
    title: str
    schema: Schema
    table: str
    questions: Asking
    kinds: Mapping[str, Kind]
    file: formats.ExperimentFile
    study: Study
    columns: tuple[str, ...] = ()
    option_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    measures: Mapping[str, Mapping[str, Measure]] = field(default_factory=dict)
    reversed_for: Mapping[str, Callable[[Trial], bool]] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    ways: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stop: tuple[str, ...] = ()

    def design(self, given: str) -> tuple[Way, ...]:
        """The ways of asking of a design, see `ways.design`; SpecError if it cannot be asked in them."""
        if not self.scored:
            raise SpecError(
                f"{self.name} draws free text, which is asked in one way. Leave --ways out, or name a scored "
                "experiment"
            )
        return ways.design(self.ways, given)

    @property
    def scored(self) -> bool:
        """True if the experiment scores options; False if it draws free text."""
        return bool(self.columns)

    def cells(self, question: str, prob: Probabilities, *, reverse: bool = False) -> dict[str, float]:
        """A question's columns in the wide table: probabilities of its options, and measures."""
        named: dict[str, float] = dict(zip(self.option_columns[question], prob.tolist(), strict=True))
        turned = prob[::-1] if reverse else prob
        return named | {name: measure(turned) for name, measure in self.measures[question].items()}

    def reverses(self, question: str, trial: Trial) -> bool:
        """Whether a trial turns the scale of a question round."""
        return question in self.reversed_for and self.reversed_for[question](trial)


@dataclass(frozen=True, eq=False)
class Study:
    """A study: its trial lists and its experiments.

    Attributes
    ----------
    name, title : str
        Its name and its title.
    schema : Schema
        The columns of its trial lists.
    experiments : mapping of str to Experiment
        By their whole names, such as ``"study1-exp2"``.
    file : StudyFile
        The study as its file declares it.
    path : str
        Path of the file, or a name for messages.
    raw : bytes
        The bytes of the file.
    attached : mapping of str to bytes
        The files beside it that its questions need, by name.
    folder : Path or None
        Its folder; None if it came with grace, or from a run folder.
    """

    name: str
    title: str
    schema: Schema
    experiments: dict[str, Experiment] = field(repr=False)
    file: formats.StudyFile
    path: str
    raw: bytes = field(repr=False)
    attached: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    folder: Path | None = None

    @property
    def conditions(self) -> dict[str, str]:
        """The factors of the study, each with its column."""
        declared = self.file.trials.conditions
        return dict(declared) if isinstance(declared, Mapping) else {name: name for name in declared}
