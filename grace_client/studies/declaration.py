"""What a study module declares."""

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
    """The words with which a prompt's template puts its question, at the beginning of a line: "Question:".

    A model that has answered and goes on with them puts the next question to itself.
    """
    cues = _CUE.findall(template)
    if len(cues) < 2:
        raise ValueError("a template ends with a cue for its question and a cue for the answer")
    return str(cues[-2])


@dataclass(frozen=True)
class Experiment:
    """One experiment of a study: what it asks of a trial and the table it becomes.

    Attributes
    ----------
    name : str
        As the command line names it, such as ``"study1-exp2"``.
    title : str
        One line for people.
    schema : Schema
        The trial list it runs on.
    table : str
        Type of its main table, as in the file name: ``"raw_responses"``, ``"probabilities"``, ….
    questions : callable
        From a trial to its questions, always the same names in the same order.
    columns : tuple of str
        Columns that the wide table adds to those of the trial list, in order; empty for free text.
    option_columns : mapping of question name to tuple of str
        For each scored question the columns that hold its normalised probabilities, in the order of its
        options.
    measures : mapping of question name to callable
        From the normalised distribution of one question, shape (n_options,), to more of `columns`. Together
        with `option_columns` they cover `columns`. The columns of a question without an answer stay empty.
    shown : mapping of str to str
        What this experiment shows beside the schema's stimulus and is a condition of its own: by name, the
        column of the trial list.
    stop : tuple of str
        Free text: what ends an answer, because the prompt's own cue for a question is repeated there.
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
        """Whether it scores closed answer sets; otherwise it draws free text."""
        return bool(self.columns)

    def cells(self, question: str, prob: Probabilities) -> dict[str, float]:
        """What a question adds to its row of the wide table: probabilities of its options, and measures."""
        named = dict(zip(self.option_columns[question], prob.tolist(), strict=True))
        return named | (self.measures[question](prob) if question in self.measures else {})
