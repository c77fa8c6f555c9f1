"""Trial lists of studies: read them, and make balanced ones from a study's own items."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from grace_client.core import paths, trials
from grace_client.core.errors import SpecError
from grace_client.core.trials import Trial, TrialList
from grace_client.studies import format as formats
from grace_client.studies._syntax.templates import TemplateError, template
from grace_client.studies.declaration import Study

Row = dict[str, str]


def make(study: Study, *, participants: int, seed: int) -> list[Row]:
    """Rows of a balanced trial list.

    Every participant sees each item once, and each cell equally often. Over all participants, each
    combination of item and cell occurs equally often, up to a difference of one.

    Raises
    ------
    SpecError
        If the study has no items of its own, or if a column cannot be written.
    """
    declared = study.file.trials.make
    if declared is None:
        raise SpecError(
            f"The study {study.name} has no items of its own (trials.make). Write its list yourself"
        )
    try:
        return list(_rows(declared, participants, random.Random(seed)))
    except TemplateError as error:
        raise SpecError(f"{study.path}: trials.make.columns: {error}") from None


def write(path: Path, study: Study, *, participants: int | None = None, seed: int) -> tuple[int, int]:
    """Write a balanced trial list. Returns its number of trials and its number of participants."""
    declared = study.file.trials.make
    count = participants or (declared.participants if declared else 1)
    rows = make(study, participants=count, seed=seed)
    raw = _listed(study, rows, str(path)).raw
    with paths.replacing(path) as new:
        new.write_bytes(raw)
    return len(rows), count


def default(study: Study) -> TrialList:
    """The study's own list: the file that it names, or the one that `make` gives with seed 0.

    Raises
    ------
    SpecError
        If the study has neither.
    """
    if (name := study.file.trials.file) is not None and study.folder is not None:
        return trials.read(study.folder / name, [study.schema])
    declared = study.file.trials.make
    if declared is None:
        raise SpecError(f"The study {study.name} has no trial list of its own. Name one with --trials FILE")
    rows = make(study, participants=declared.participants, seed=0)
    name = f"grace's own list ({study.name}, {declared.participants} participants, seed 0)"
    return _listed(study, rows, name)


def own(trial_list: TrialList, study: Study) -> int:
    """The number of trials with one of the study's own items. The names of people do not matter."""
    if study.file.trials.make is None:
        return 0
    schema = study.schema
    varied = set(study.conditions.values())
    columns = schema.item_text or tuple(name for name in schema.stimulus if name not in varied)

    def shown(trial: Trial) -> tuple[str, ...]:
        texts = [trial[column] for column in columns]
        for person in schema.people:
            name = re.compile(rf"(?<!\w){re.escape(trial[person].strip())}(?!\w)")
            texts = [name.sub(f"\0{person}", text) for text in texts]
        return tuple(texts)

    known = set(map(shown, default(study).trials))
    return sum(shown(trial) in known for trial in trial_list.trials)


def _listed(study: Study, rows: list[Row], name: str) -> TrialList:
    """The rows as a trial list; columns that `make` leaves out have their defaults."""
    schema = study.schema
    names = [column for column in schema.names if column in rows[0]]
    listed = trials.parse(trials.to_csv(names, rows), path=name, schemas=[schema])
    if len(names) == len(schema.names):
        return listed
    raw = trials.to_csv(schema.names, (trial.fields for trial in listed.trials))
    return trials.parse(raw, path=name, schemas=[schema])


def _rows(declared: formats.Make, participants: int, rng: random.Random) -> Iterator[Row]:
    cells = (
        [dict(zip(declared.cells, levels, strict=True)) for levels in product(*declared.cells.values())]
        if isinstance(declared.cells, dict)
        else list(declared.cells)
    )
    items, columns = declared.items, {name: template(text) for name, text in declared.columns.items()}
    for number, shift in enumerate(_shifts(participants, len(cells), rng), start=1):
        drawn = {
            name: rng.sample(pool * math.ceil(len(items) / len(pool)), len(items))
            for name, pool in declared.draw.items()
        }
        for turn, place in enumerate(rng.sample(range(len(items)), len(items))):
            known = items[place] | cells[(place + shift) % len(cells)] | {"participant": str(number)}
            known |= {name: texts[turn] for name, texts in drawn.items()}
            if (people := declared.people) is not None:
                known |= zip(people.as_, rng.sample(people.names, len(people.as_)), strict=True)
            yield {name: wanted.render(known) for name, wanted in columns.items()}


def _shifts(participants: int, length: int, rng: random.Random) -> list[int]:
    """One cyclic shift for each participant: every shift equally often, in random order."""
    shifts: list[int] = []
    while len(shifts) < participants:
        shifts += rng.sample(range(length), length)
    return shifts[:participants]
