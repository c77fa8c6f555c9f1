"""The declaration of an experiment, for the modules of the studies."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from grace_client.core.questions import Question
from grace_client.core.trials import Schema, Trial

Probabilities = NDArray[np.float64]

_CUE = re.compile(r"^[A-Z]\w*:", re.MULTILINE)


def turn_cue(template: str) -> str:
    """The word before the question in a prompt's template, at the beginning of a line, such as "Question:".

    If a model writes this word after its answer, it begins to ask itself another question.
    """
    cues = _CUE.findall(template)
    if len(cues) < 2:
        raise ValueError(
            "a template needs two cues at the beginning of lines, one before the question and one for the "
            f"answer, such as 'Question:' and 'Answer:'. It has {cues}"
        )
    return str(cues[-2])


@dataclass(frozen=True)
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
        From a trial to its questions: always the same names in the same order.
    columns : tuple of str
        Columns that the wide table adds to those of the trial list, in order; empty for free text.
    option_columns : mapping of question name to tuple of str
        For each scored question: the columns of its normalised probabilities, in the order of its options.
    measures : mapping of question name to callable
        From the normalised distribution of a question, shape (n_options,), to further columns. Together,
        `option_columns` and `measures` give all `columns`. A question without an answer has empty columns.
    shown : mapping of str to str
        Further parts of the stimulus that only this experiment shows, and that are conditions: from the name
        of the condition to the column of the trial list.
    stop : tuple of str
        For free text: texts that end an answer, because the model begins another question there.
    """

    name: str
    title: str
    schema: Schema
    table: str
    questions: Callable[[Trial], tuple[Question, ...]]
    columns: tuple[str, ...] = ()
    option_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    measures: Mapping[str, Callable[[Probabilities], dict[str, float]]] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    stop: tuple[str, ...] = ()

    @property
    def scored(self) -> bool:
        """True if the experiment scores options; False if it draws free text."""
        return bool(self.columns)

    def cells(self, question: str, prob: Probabilities) -> dict[str, float]:
        """A question's columns in the wide table: probabilities of its options, and measures."""
        named = dict(zip(self.option_columns[question], prob.tolist(), strict=True))
        return named | (self.measures[question](prob) if question in self.measures else {})
