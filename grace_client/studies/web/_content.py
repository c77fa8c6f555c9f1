"""What a page shows: each trial with the words that a model gets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import Any

from grace_client.core.errors import SpecError
from grace_client.core.questions import Question
from grace_client.core.trials import Trial, TrialList
from grace_client.studies import format as formats
from grace_client.studies._options import Answers
from grace_client.studies.declaration import Experiment

COLUMNS = (
    "participant",
    "session",
    "study",
    "experiment",
    "study_sha256",
    "trial_index",
    "trial_id",
    "question",
    "answer",
    "option_order",
    "rt_ms",
)
"""The columns of the data that come before those of the trial list."""

_BETWEEN = 10
"""Most characters between two options that a prompt lists."""


def content(experiment: Experiment, listed: TrialList) -> dict[str, Any]:
    """The data of a page, as JSON can hold them.

    Parameters
    ----------
    experiment : Experiment
        What is asked.
    listed : TrialList
        Its trials.

    Returns
    -------
    dict
        ``texts`` has every text once; ``options`` every set of buttons once, as ``[name, text]`` in the order
        of the page. ``trials`` has for each trial its number ``id``, its ``cells`` and its ``questions``;
        their ``turns`` (a role and paragraphs) and cells are places in ``texts``. ``participants`` has the
        trials of each participant of the list, as places in ``trials``; it is empty if the list names none.
        ``columns`` and ``list_columns`` are those of the data.

    Raises
    ------
    SpecError
        If people cannot be asked: no text, or two options with the same text.
    TrialError
        If a trial cannot be asked at all.
    """
    study = experiment.study
    names = experiment.schema.names
    asks = [ask for ask in experiment.file.ask for _ in product(*ask.each.values())]
    answers = [_answers(experiment, ask) for ask in asks]
    store = _Store()
    rows = []
    for trial in listed.trials:
        asked = zip(experiment.questions(trial), answers, strict=True)
        rows.append(
            {
                "id": trial.trial_id,
                "cells": [store.text(trial[name]) for name in names],
                "questions": [store.question(trial, question, own) for question, own in asked],
            }
        )
    return {
        "study": study.name,
        "experiment": experiment.name,
        "study_sha256": hashlib.sha256(study.raw).hexdigest(),
        "columns": list(COLUMNS),
        "list_columns": _renamed(names),
        "texts": list(store.texts),
        "options": [[list(option) for option in options] for options in store.options],
        "system": _common_system(rows),
        "trials": rows,
        "participants": _participants(listed),
    }


def order(texts: Sequence[str], prompt: str) -> list[int]:
    """The order of the buttons: that in which the prompt lists the options, else that of the study file.

    A list is a place of the prompt with every option once and little between them; the last one counts.

    Parameters
    ----------
    texts : sequence of str
        The options.
    prompt : str
        What is asked.

    Returns
    -------
    list of int
        Numbers of the options, from 0.
    """
    # The longest first: one option may begin another.
    longest = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
    known = "|".join(f"(?P<o{place}>{re.escape(texts[place])})" for place in longest)
    found = list(re.finditer(rf"(?<!\w)(?:{known})(?!\w)", prompt, re.IGNORECASE))
    for start in range(len(found) - len(texts), -1, -1):
        run = found[start : start + len(texts)]
        places = [int(str(one.lastgroup)[1:]) for one in run]
        gaps = [later.start() - one.end() for one, later in pairwise(run)]
        if len(set(places)) == len(texts) and max(gaps) <= _BETWEEN:
            return places
    return list(range(len(texts)))


@dataclass
class _Store:
    """Texts and options, each once: most prompts of a list share most of their paragraphs."""

    texts: dict[str, int] = field(default_factory=dict)
    options: dict[tuple[tuple[str, str], ...], int] = field(default_factory=dict)

    def text(self, text: str) -> int:
        """The place of a text."""
        return self.texts.setdefault(text, len(self.texts))

    def question(self, trial: Trial, question: Question, answers: Answers | None) -> dict[str, Any]:
        """A question of a trial."""
        turns = [
            [turn["role"], [self.text(part) for part in paragraphs(turn["content"])]]
            for turn in question.prompt.messages
            if turn["content"].strip()
        ]
        if not any(role == "user" for role, _ in turns):
            raise SpecError(
                f"Trial {trial.trial_id}: the question {question.name!r} has no text that people could read"
            )
        made: dict[str, Any] = {"name": question.name, "turns": turns}
        if answers is not None:
            made["options"] = self._options(trial, question, answers)
        return made

    def _options(self, trial: Trial, question: Question, answers: Answers) -> int:
        texts = [" ".join(text.split()) for text in answers.shown(trial.variables)]
        if twice := {text for text in texts if texts.count(text) > 1}:
            raise SpecError(
                f"Trial {trial.trial_id}: two options of the question {question.name!r} are {min(twice)!r} "
                "on a page, and people could not tell them apart. Give them different texts"
            )
        places = order(texts, question.prompt.asked)
        shown = tuple((answers.names[place], texts[place]) for place in places)
        return self.options.setdefault(shown, len(self.options))


def paragraphs(text: str) -> list[str]:
    """The parts of a text between empty lines."""
    return [part.strip("\n") for part in re.split(r"\n[ \t]*(?:\n[ \t]*)+", text) if part.strip()]


def _answers(experiment: Experiment, ask: formats.Ask) -> Answers | None:
    declared = ask.options
    if isinstance(declared, str):
        declared = experiment.study.file.options[declared]
    return None if declared is None else Answers(declared)


def _renamed(names: Sequence[str]) -> list[str]:
    """The columns of the list in the data: `list_NAME` where the page has a column of that name."""
    taken = {*COLUMNS, *names}
    found = []
    for name in names:
        new = name
        while new in taken and (new != name or name in COLUMNS):
            new = f"list_{new}"
        found.append(new)
    return found


def _common_system(rows: Sequence[dict[str, Any]]) -> list[int]:
    """The system text, if all questions have the same one: paragraphs, as places in the texts."""
    found = {tuple(turn) for turn in _system_turns(rows)}
    return list(found.pop()) if len(found) == 1 else []


def _system_turns(rows: Sequence[dict[str, Any]]) -> Iterator[list[int]]:
    for row in rows:
        for question in row["questions"]:
            role, parts = question["turns"][0]
            yield parts if role == "system" else []


def _participants(listed: TrialList) -> list[tuple[str, list[int]]]:
    column = listed.schema.participant
    found: dict[str, list[int]] = {}
    if column is not None:
        for place, trial in enumerate(listed.trials):
            found.setdefault(trial[column].strip(), []).append(place)
    return list(found.items())
