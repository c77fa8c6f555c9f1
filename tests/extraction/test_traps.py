"""Answers that are easily misread, through `grace extract`."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

from grace_client import cli, studies
from grace_client.extraction.reading import HIGH, UNPARSED
from grace_client.run import tables
from grace_client.run.folder import RunFolder
from grace_client.run.manifest import SamplingSpec
from tests.conftest import ROOT
from tests.extraction.runs import ENGINE, said
from tests.extraction.test_labelled import LABELLED

ASKED = {"study1": 2, "study2": 3}
"""The trials of the traps."""


def traps(study: str) -> dict[str, list[dict[str, str]]]:
    """The traps of a study, by question."""
    found: dict[str, list[dict[str, str]]] = {}
    with (LABELLED / "traps.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if (row["question"] == "utterance") == (study == "study2"):
                assert int(row["trial_id"]) == ASKED[study]
                found.setdefault(row["question"], []).append(row)
    return found


def run_of(study: str, folder: Path) -> RunFolder:
    """A run on one trial whose answers are the traps."""
    rows = list(csv.reader((ROOT / "data" / f"{study}.csv").open(encoding="utf-8", newline="")))
    with (folder / "one.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([rows[0], rows[ASKED[study]]])
    by_question = traps(study)
    sampling = SamplingSpec(replicates=max(map(len, by_question.values())))
    run = RunFolder.create(
        folder / "run",
        studies.experiment(f"{study}-exp1"),
        studies.read_trials(folder / "one.csv"),
        ENGINE,
        sampling=sampling,
    )
    for item in run.plan.distinct:
        assert item.replicate is not None
        answers = by_question[item.question.name]
        if item.replicate <= len(answers):
            run.ledger.append(item.key, said(answers[item.replicate - 1]["response"]), final=True)
    run.ledger.close()
    tables.export(run)
    return run


@pytest.mark.parametrize("study", ASKED)
def test_the_table_holds_no_wrong_reading(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each trap is read as a careful person reads it, or is unparsed. The text itself does not change."""
    run = run_of(study, tmp_path)
    monkeypatch.setattr(sys, "argv", ["grace", "extract", str(run.path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert "below 90%" in capsys.readouterr().out
    with next(run.path.glob("*_structured_*.csv")).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "ok"]
    by_question = traps(study)
    assert len(rows) == sum(map(len, by_question.values()))
    for row in rows:
        trap = by_question[row["question"]][int(row["replicate"]) - 1]
        assert row["response"] == trap["response"]
        assert row["structured"] in (trap["structured"], UNPARSED), row
        if row["confidence"] == HIGH:
            assert row["structured"] == trap["structured"]
