"""Read the free-text answers of a run, and write the structured table and its summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from grace_client.core import paths
from grace_client.core.errors import SpecError
from grace_client.extraction import rules
from grace_client.extraction.reading import Reading
from grace_client.extraction.text import first_answer
from grace_client.run import layout, tables, verify
from grace_client.run.folder import RunFolder
from grace_client.run.layout import BETS, OK
from grace_client.run.manifest import Extraction
from grace_client.run.plan import Item
from grace_client.studies.declaration import Kind

TARGET, REVIEW = 0.95, 0.90
"""Target share of read answers, and the share below which a person should check the answers."""

Place = tuple[int, str, int]
"""Place of an answer in its run: id of the trial, question, replicate."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a run and its reading.

    Attributes
    ----------
    item : Item
        The item.
    kind : Kind
        The kind of its question, which says how it is read.
    status : str
        Status of the item. If it is not ``ok``, there is no text.
    text : str or None
        The response.
    reading : Reading or None
        The reading; None if there is no text.
    """

    item: Item
    kind: Kind
    status: str
    text: str | None
    reading: Reading | None

    @property
    def first(self) -> str:
        """The text up to the end of its first answer; empty if there is no text."""
        return first_answer(self.text or "", self.item.question.prompt.asked)

    @property
    def place(self) -> Place:
        """The answer's place in the run."""
        assert self.item.replicate is not None
        return self.item.trial.trial_id, self.item.question.name, self.item.replicate


def by_rules(folder: RunFolder) -> list[Answer]:
    """Every answer of a free-text run, read by the rules, in the order of the tables.

    Raises
    ------
    SpecError
        If the run's experiment is scored, or if its record has lost answers.
    """
    if folder.experiment.scored:
        every = folder.experiment.study.experiments.values()
        free = ", ".join(experiment.name for experiment in every if not experiment.scored)
        raise SpecError(
            f"{folder.path} is a run of {folder.experiment.name}, which has no free text. Experiments of "
            f"this study with free text: {free or 'none'}"
        )
    tables.check_record(folder)
    answers = []
    for item in folder.plan.items:
        kind, entry = folder.experiment.kinds[item.question.name], folder.ledger.get(item.key)
        if entry is None or entry["status"] != OK:
            status = entry["status"] if entry else layout.UNASKED
            answers.append(Answer(item, kind, status, None, None))
            continue
        reading = rules.read(
            kind,
            entry["text"],
            item.trial,
            prompt=item.question.prompt.asked,
            finish_reason=entry["finish_reason"],
        )
        answers.append(Answer(item, kind, OK, entry["text"] or "", reading))
    return answers


def replaced(answers: Iterable[Answer], readings: Mapping[Place, Reading]) -> list[Answer]:
    """The answers, with the given readings instead of their own."""
    return [
        replace(answer, reading=readings[answer.place])
        if answer.reading and answer.place in readings
        else answer
        for answer in answers
    ]


def table_path(folder: RunFolder) -> Path:
    """Path of a run's structured table."""
    return (
        folder.path / f"{tables.file_stem(folder.manifest, folder.experiment, layout.STRUCTURED_TABLE)}.csv"
    )


def write(folder: RunFolder, answers: Sequence[Answer], record: Extraction) -> Path:
    """Write the structured table atomically, and its checksum and summary to the manifest.

    One row for each answer. The columns are those of the trial list, `layout.STRUCTURED`, `BETS` with the
    rules how-many, and ``status``. If an item has no answer, `structured` and the columns of the reading are
    empty.
    """
    with_bets = any(answer.kind.read and answer.kind.read.rules == "how-many" for answer in answers)
    rows = [
        (*answer.item.trial.fields.values(), *_row(answer, with_bets), answer.status) for answer in answers
    ]
    columns = [*folder.experiment.schema.names, *layout.STRUCTURED, *(BETS if with_bets else ()), "status"]
    frame = pd.DataFrame(rows, columns=columns).astype({"span_start": "Int64", "span_end": "Int64"})
    path = table_path(folder)
    with paths.replacing(path) as new:
        tables.write_csv(frame, new)
    checksums = folder.manifest.results.setdefault("tables", {})
    checksums[path.name] = verify.sha256([path])
    folder.manifest.extraction = record
    folder.manifest.save(folder.path)
    return path


def summary(answers: Sequence[Answer]) -> dict[str, dict[str, Any]]:
    """For each question: number of answers, number of read ones, categories, values and methods.

    ``coverage`` is the share of answers that were read. ``verdict`` is ``ok`` from 95% on, ``below target``
    below 95%, and ``review`` below 90%.
    """
    found = {}
    for question in _questions(answers):
        readings = [a.reading for a in answers if a.item.question.name == question and a.reading]
        count = sum(reading.read for reading in readings)
        share = count / len(readings) if readings else 0.0
        found[question] = {
            "answers": len(readings),
            "read": count,
            "coverage": round(share, 4),
            "verdict": "ok" if share >= TARGET else "below target" if share >= REVIEW else "review",
            "categories": _counts(reading.category for reading in readings),
            "values": _counts(reading.structured for reading in readings),
            "methods": _counts(reading.method for reading in readings),
        }
    return found


def _questions(answers: Iterable[Answer]) -> list[str]:
    return list(dict.fromkeys(answer.item.question.name for answer in answers))


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _row(answer: Answer, with_bets: bool) -> tuple[Any, ...]:
    item, reading = answer.item, answer.reading
    assert item.sampling is not None
    head = (item.question.name, item.replicate, item.sampling.seed, answer.text)
    bets = (None,) * len(BETS)
    if reading is None:
        return (*head, *(None,) * 6, *(bets if with_bets else ()))
    return (
        *head,
        reading.structured,
        reading.category,
        reading.method,
        reading.confidence,
        *(reading.span or (None, None)),
        *((reading.bets or bets) if with_bets else ()),
    )
