"""The answers in an outside table: where they are, and what each cell means."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from grace_client.analysis._data.presented import EXCLUDED, Outside, Rows
from grace_client.analysis.measured import Answerable
from grace_client.core.errors import Problem, SpecError
from grace_client.core.meaning import meaning
from grace_client.core.options import OptionSet
from grace_client.core.spelling import did_you_mean
from grace_client.core.trials import Trial
from grace_client.run.layout import BETS, FREE, MISSING, OK, READING, SCORED
from grace_client.studies import format as formats
from grace_client.studies._options import Answers
from grace_client.studies.declaration import Experiment, Kind

Asked = str | Sequence[str] | Mapping[str, str]
"""Where the answer to a question is: a column, or one for each option."""

NUMBERS = tuple(map(str, range(len(BETS))))
"""The numbers on which people bet, in the order of `BETS`."""


@dataclass(frozen=True)
class Places:
    """Where the answers are.

    Attributes
    ----------
    choices : dict of str to str
        For each question that has one answer: its column.
    shares : dict of str to dict of str to str
        For each question with a distribution: the column of each option, or of each number that is bet on.
    long : bool
        Whether each row has one answer, with the question in a column.
    """

    choices: dict[str, str]
    shares: dict[str, dict[str, str]]
    long: bool = False

    @property
    def columns(self) -> list[str]:
        """The columns with answers."""
        return [*self.choices.values(), *(column for one in self.shares.values() for column in one.values())]


def claimed(experiment: Experiment, answers: Mapping[str, Asked] | None) -> set[str]:
    """Columns that may have answers, and so are no columns of the trial list."""
    if answers is None:
        return set(experiment.kinds)
    several = (
        [one] if isinstance(one, str) else [*(one.values() if isinstance(one, Mapping) else one)]
        for one in answers.values()
    )
    return {column for columns in several for column in columns}


def places(outside: Outside, experiment: Experiment, answers: Mapping[str, Asked] | None) -> Places:
    """Where the answers are, as the caller says or as the columns are named; SpecError if nothing says it."""
    there = list(outside.cells.columns)
    if answers is None:
        if {"question", "answer"} <= set(outside.names):
            return Places({}, {}, long=True)
        return _named(outside, experiment, there)
    found = Places({}, {})
    for question, where in answers.items():
        if question not in experiment.kinds:
            raise SpecError(
                f"{experiment.name} has no question {question!r}, which answers= names. "
                f"{did_you_mean(question, list(experiment.kinds))}It asks {', '.join(experiment.kinds)}"
            )
        if isinstance(where, str):
            found.choices[question] = where
        else:
            found.shares[question] = _distribution(experiment, question, where)
    for column in found.columns:
        outside.require(column, "answers=")
    return found


def _named(outside: Outside, experiment: Experiment, there: list[str]) -> Places:
    found = Places({}, {})
    for question, kind in experiment.kinds.items():
        options = _options(kind)
        if question in there:
            found.choices[question] = question
        elif options and set(options) <= set(there):
            found.shares[question] = {option: option for option in options}
        elif _bets(kind) and set(BETS) <= set(there):
            found.shares[question] = dict(zip(NUMBERS, BETS, strict=True))
    claimed = [column for one in found.shares.values() for column in one]
    if not found.columns or len(claimed) > len(set(claimed)):
        raise SpecError(
            f"Nothing says where {outside.path} has the answers to {', '.join(experiment.kinds)}. Name the "
            f"columns, as in answers={{{next(iter(experiment.kinds))!r}: COLUMN}}, or one column for each "
            f"option. Columns: {', '.join(outside.unused(()))}"
        )
    return found


def _bets(kind: Kind) -> bool:
    return kind.read is not None and kind.read.rules == "how-many"


def _options(kind: Kind) -> tuple[str, ...]:
    """The options over which an answer may be a distribution; none if any text is possible."""
    return NUMBERS if _bets(kind) else () if kind.read is not None else kind.options


def _distribution(
    experiment: Experiment, question: str, where: Sequence[str] | Mapping[str, str]
) -> dict[str, str]:
    options = _options(experiment.kinds[question])
    if not options:
        raise SpecError(
            f"answers= gives several columns for {question}, but an answer to it in {experiment.name} is one "
            "value. Give one column, or name an experiment that scores options"
        )
    named = where if isinstance(where, Mapping) else dict(zip(options, where, strict=False))
    if set(named) != set(options) or len(where) != len(options):
        raise SpecError(
            f"answers= gives {len(where)} columns for {question}, which has the {len(options)} options "
            f"{', '.join(options)}. Give one column for each, in this order"
        )
    return {option: named[option] for option in options}


def long(
    outside: Outside,
    experiment: Experiment,
    wanted: Places,
    known: Rows,
    values: Mapping[str, str],
    absent: Collection[str],
) -> tuple[pd.DataFrame, list[Problem]]:
    """The answers as rows of a long table, and the cells that have no meaning.

    Returns
    -------
    DataFrame
        The columns of a long table but ``model`` and ``experiment``; ``row`` is the row of the outside table.
    list of Problem
        One for each cell that has no meaning.
    """
    problems: list[Problem] = []
    rows: list[dict[str, Any]] = []
    cells = outside.cells
    for row, record in enumerate(cells.to_dict("records")):
        head = {"row": row, "trial_id": int(known.unit[row])}
        trial, out = known.trials[head["trial_id"]], known.excluded[row]
        for question, place in _asked(outside, experiment, wanted, record, row, problems):
            own: dict[str, Any] = {"status": OK, "reason": ""}
            shares: list[float] = []
            columns = [place] if isinstance(place, str) else list(place.values())
            texts = [record[column] for column in columns]
            empty = [column for column, text in zip(columns, texts, strict=True) if text in absent]
            if out:
                own = {"status": EXCLUDED, "reason": out}
            elif empty:
                own = {"status": MISSING, "reason": f"no value in {', '.join(empty)}"}
            else:
                try:
                    if isinstance(place, str):
                        own["value"] = _value(experiment, question, trial, values.get(texts[0], texts[0]))
                    else:
                        shares = _shares(dict(zip(columns, texts, strict=True)))
                except _CellError as error:
                    problems.append(Problem(outside.lines[row], error.column or columns[0], str(error)))
                    continue
            make = _scored_rows if experiment.scored else _free_row
            rows += make(experiment.kinds[question], {**head, "question": question, **own}, shares, texts)
    columns = list(SCORED if experiment.scored else FREE)[2:]
    if not experiment.scored:
        columns += [*READING, *(BETS if any(map(_bets, experiment.kinds.values())) else ())]
    return pd.DataFrame(rows, columns=["row", *dict.fromkeys(columns)]), problems


class _CellError(ValueError):
    """A cell without a meaning."""

    def __init__(self, message: str, column: str | None = None) -> None:
        super().__init__(message)
        self.column = column


def _asked(
    outside: Outside,
    experiment: Experiment,
    wanted: Places,
    record: Mapping[Any, str],
    row: int,
    problems: list[Problem],
) -> Iterator[tuple[str, str | dict[str, str]]]:
    """The questions that a row answers, and where."""
    if not wanted.long:
        yield from wanted.choices.items()
        yield from wanted.shares.items()
        return
    question = record[outside.names["question"]]
    if question in experiment.kinds:
        yield question, outside.names["answer"]
    else:
        asked = ", ".join(experiment.kinds)
        problems.append(
            Problem(
                outside.lines[row],
                outside.names["question"],
                f"is {question!r}, but {experiment.name} asks {asked}",
            )
        )


def _value(experiment: Experiment, question: str, trial: Trial, text: str) -> str:
    """The option, or the value of free text, that a cell means."""
    kind = experiment.kinds[question]
    listed = Answerable.of(kind, experiment).options
    for one in (text, _whole(text), text.lower()):
        if one in listed or (not listed and _fits(one, kind)):
            return one
    if (name := _of_number(kind, text)) is not None:
        return name
    options = _option_set(experiment, question, trial)
    if options is not None and (name := meaning(text, options, ended=True)) is not None:
        return name
    raise _CellError(
        f"is {text!r}, which is not {_expected(kind, listed)}. If it means no answer, name it in missing=; "
        f"if it means an option, in values={{{text!r}: OPTION}}"
    )


def _fits(text: str, kind: Kind) -> bool:
    """Whether a text is a value of a question that does not list its values."""
    read = kind.read
    if read is None or read.number is None:
        return True
    return text.removeprefix("-").isdecimal() and read.number[0] <= int(text) <= read.number[1]


def _expected(kind: Kind, listed: Sequence[str]) -> str:
    if kind.read is not None and kind.read.number is not None:
        return "a whole number from {} to {}".format(*kind.read.number)
    return f"one of {', '.join(listed)}"


def _of_number(kind: Kind, text: str) -> str | None:
    """The option that has this number; None if none has, or several have."""
    own = kind.choices
    names, numbers = (kind.options, kind.values) if own is None else (own.names, own.values)
    try:
        found = [name for name, value in zip(names, numbers or (), strict=False) if value == float(text)]
    except ValueError:
        return None
    return found[0] if len(found) == 1 else None


def _whole(text: str) -> str:
    """3.0 as 3."""
    number = text.removesuffix("0").removesuffix(".") if text.endswith(".0") else text
    return number if number.isdecimal() else text


def _option_set(experiment: Experiment, question: str, trial: Trial) -> OptionSet | None:
    """The options with the texts that say them; None if any text is possible, or they are not known here."""
    kind = experiment.kinds[question]
    if kind.choices is not None:
        return kind.choices.options(trial.variables)
    if kind.read is not None:
        return None
    given = next(ask.options for ask in experiment.file.ask if ask.name == kind.name)
    declared = experiment.study.file.options[given] if isinstance(given, str) else given
    if not isinstance(declared, formats.Options) or not set(declared.columns) <= trial.variables.keys():
        return None
    return Answers(declared).options(trial.variables)


def _shares(texts: Mapping[str, str]) -> list[float]:
    """A distribution in any unit; a fault names the column of the cell."""
    found = []
    for column, text in texts.items():
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number < 0:
            raise _CellError(
                f"is {text!r}, which is not a number from 0 up. If it means no answer, name it in missing=; "
                "else correct the file",
                column,
            )
        found.append(number)
    if not sum(found):
        raise _CellError(
            f"is 0, and so are {', '.join(list(texts)[1:])}. A distribution needs a number above 0"
        )
    return found


def _scored_rows(
    kind: Kind, own: dict[str, Any], shares: list[float], texts: list[str]
) -> Iterator[dict[str, Any]]:
    value = own.pop("value", None)
    for place, option in enumerate(kind.options):
        prob = np.nan
        if own["status"] == OK:
            prob = shares[place] / sum(shares) if shares else float(option == value)
        yield own | {"option": option, "prob_norm": prob}


def _free_row(
    kind: Kind, own: dict[str, Any], shares: list[float], texts: list[str]
) -> Iterator[dict[str, Any]]:
    answered = own["status"] == OK
    own |= {"structured": own.pop("value", ""), "response": ", ".join(texts) if answered else ""}
    yield own | {"replicate": 0} | dict(zip(BETS, shares, strict=False))
