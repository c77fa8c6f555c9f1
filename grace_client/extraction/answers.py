"""The free-text answers of a run, read one by one, and the table and figures they become."""

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

TARGET, REVIEW = 0.95, 0.90
"""Share of answers that should be read, and the share below which a person has to look."""

Place = tuple[int, str, int]
"""Which answer of a run: source row of the trial, question, replicate."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a run and what was read from it.

    Attributes
    ----------
    item : Item
        What was asked.
    status : str
        Of the item; any but ``ok`` has no text.
    text : str or None
        The response.
    reading : Reading or None
        None where the item has no text.
    """

    item: Item
    status: str
    text: str | None
    reading: Reading | None

    @property
    def first(self) -> str:
        """The text up to the end of its first answer; empty where there is none."""
        return first_answer(self.text or "", self.item.question.prompt.text)

    @property
    def place(self) -> Place:
        """Where it stands in the run."""
        assert self.item.replicate is not None
        return self.item.trial.trial_id, self.item.question.name, self.item.replicate


def by_rules(folder: RunFolder) -> list[Answer]:
    """Every answer of a free-text run, read by the rules, in the order of the tables.

    Raises
    ------
    SpecError
        Where the run's experiment scores closed sets of answers, and where its record has lost some.
    """
    if folder.experiment.scored:
        raise SpecError(
            f"{folder.path} holds {folder.experiment.name}, whose answers are scores; there is no text to "
            "read. 'grace extract' takes runs of study1-exp1 and study2-exp1"
        )
    tables.check_record(folder)
    answers = []
    for item in folder.plan.items:
        held = folder.ledger.get(item.key)
        if held is None or held["status"] != OK:
            status = held["status"] if held else layout.UNASKED
            answers.append(Answer(item, status, None, None))
            continue
        reading = rules.read(
            item.question.name,
            held["text"],
            item.trial,
            prompt=item.question.prompt.text,
            finish_reason=held["finish_reason"],
        )
        answers.append(Answer(item, OK, held["text"] or "", reading))
    return answers


def replaced(answers: Iterable[Answer], readings: Mapping[Place, Reading]) -> list[Answer]:
    """The answers, with other readings where there are any."""
    return [
        replace(answer, reading=readings[answer.place])
        if answer.reading and answer.place in readings
        else answer
        for answer in answers
    ]


def table_path(folder: RunFolder) -> Path:
    """Where a run's structured table is, or will be."""
    return (
        folder.path / f"{tables.file_stem(folder.manifest, folder.experiment, layout.STRUCTURED_TABLE)}.csv"
    )


def write(folder: RunFolder, answers: Sequence[Answer], record: Extraction) -> Path:
    """Write the structured table whole, and its checksum and figures into the manifest.

    One row for each answer. The columns are those of the trial list, `layout.STRUCTURED`, for Study 1 `BETS`,
    and ``status``. `structured` and the columns that belong to it are empty where the item has no answer.
    """
    with_bets = "number" in _questions(answers)
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
    """Per question: answers, how many were read and by which method, their categories and values.

    ``coverage`` is the share of the answers that was read; ``verdict`` is ``ok`` from the target of 95% on,
    ``below target`` under it and ``review`` under 90%.
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
