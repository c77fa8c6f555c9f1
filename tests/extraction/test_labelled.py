"""The rules against answers that a person labelled."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from grace_client import studies
from grace_client.extraction import rules
from grace_client.extraction.reading import CATEGORIES, LEVELS, UNPARSED, VALUES, Reading
from tests.conftest import ROOT

LABELLED = Path(__file__).parent / "labelled"
PRECISION, COVERAGE = 0.98, 0.90


@dataclass(frozen=True)
class Example:
    """One labelled answer, and what the rules make of it."""

    part: str
    question: str
    response: str
    structured: str
    category: str
    bets: tuple[float, ...] | None
    got: Reading

    @property
    def answerable(self) -> bool:
        return self.structured != UNPARSED or self.bets is not None

    @property
    def right(self) -> bool:
        return (self.got.structured, self.got.bets) == (self.structured, self.bets)


def examples() -> Iterator[Example]:
    for study in ("study1", "study2"):
        experiment = studies.experiment(f"{study}-exp1")
        trials = {t.trial_id: t for t in studies.read_trials(ROOT / "data" / f"{study}.csv").trials}
        with (LABELLED / f"{study}.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                trial = trials[int(row["trial_id"])]
                prompts = {q.name: q.prompt.text for q in experiment.questions(trial)}
                got = rules.read(
                    row["question"],
                    row["response"],
                    trial,
                    prompt=prompts[row["question"]],
                    finish_reason=row["finish_reason"],
                )
                bets = tuple(map(float, row["bets"].split())) or None
                told = (row["part"], row["question"], row["response"], row["structured"], row["category"])
                yield Example(*told, bets, got)


EXAMPLES = list(examples())


def wrong(found: list[Example]) -> str:
    return "\n".join(f"{e.question} {e.response!r}: {e.structured}, read {e.got}" for e in found)


def test_the_set_is_what_it_says() -> None:
    """Over 400 answers of every question, category and value, none twice, every label a possible one."""
    assert len(EXAMPLES) >= 400
    assert len({(e.question, e.response) for e in EXAMPLES}) == len(EXAMPLES)
    for question, values in VALUES.items():
        assert {e.structured for e in EXAMPLES if e.question == question} == {*values, UNPARSED}
        assert {e.category for e in EXAMPLES if e.question == question} == set(CATEGORIES)
    held_out = sum(e.part == "held_out" for e in EXAMPLES)
    assert 0.3 < held_out / len(EXAMPLES) < 0.36


@pytest.mark.parametrize("part", ["tune", "held_out"])
@pytest.mark.parametrize("question", VALUES)
def test_precision_and_coverage(question: str, part: str) -> None:
    """What is read is right in 98 of 100 cases, and 90 of 100 answers that have a value are read."""
    chosen = [e for e in EXAMPLES if (e.question, e.part) == (question, part)]
    read = [e for e in chosen if e.got.read]
    missed = [e for e in chosen if e.answerable and not e.right]
    mistaken = [e for e in read if not e.right]
    assert 1 - len(mistaken) / len(read) >= PRECISION, wrong(mistaken)
    assert 1 - len(missed) / sum(e.answerable for e in chosen) >= COVERAGE, wrong(missed)


def test_categories() -> None:
    """Nineteen of twenty answers are put into the category that a person gave them."""
    differ = [e for e in EXAMPLES if e.got.category != e.category]
    assert len(differ) / len(EXAMPLES) <= 0.05, "\n".join(
        f"{e.response!r}: {e.category}, read as {e.got.category}" for e in differ
    )


def test_every_reading_is_consistent() -> None:
    """A value has a level and a span within the response; what is not read has neither."""
    for example in EXAMPLES:
        got = example.got
        assert got.structured in (*VALUES[example.question], UNPARSED), example
        assert got.category in CATEGORIES, example
        assert (got.category == "answer") == (got.read and got.structured != "unsure"), example
        assert (got.confidence in LEVELS) == got.read, example
        if got.span:
            assert example.response[slice(*got.span)].strip(), example
        else:
            assert not got.read or got.structured == "unsure", example
