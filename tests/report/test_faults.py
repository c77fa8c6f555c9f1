"""A report on little: each part is there, or a sentence in its place; no part takes the others with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grace_client import analysis
from grace_client.core.errors import NotEnoughDataError
from grace_client.report import section_process
from grace_client.report.blocks import RAISE, Section
from grace_client.report.runs import ReportData
from tests.conftest import grace
from tests.report.conftest import Salted, make


def cut(frame: pd.DataFrame, size: int, kind: str) -> pd.DataFrame:
    """The answers to some trials, as various strange models would give them."""
    trials = frame["trial_id"].drop_duplicates().sample(size, random_state=size).tolist()
    own = frame[frame["trial_id"].isin(trials)].copy()
    if kind == "one model lacks a trial":
        own = own[(own["model"] == "alpha") | (own["trial_id"] != trials[0])]
    if kind == "sure" and "prob_norm" in own.columns:
        first = ~own.duplicated(["model", "trial_id", "question"])
        own["prob_norm"] = own["prob_raw"] = np.where(first, 1.0, 0.0)
        own["logprob"] = np.where(first, 0.0, -np.inf)
        own["option_mass"] = 1.0
    elif kind == "sure":
        own["structured"] = own.groupby("question")["structured"].transform("first")
    if kind == "flat" and "prob_norm" in own.columns:
        asked = own.groupby(["model", "trial_id", "question"])["option"]
        own["prob_norm"] = 1 / asked.transform("size")
    if kind == "faulty":
        bad = own["trial_id"].isin(trials[::2]) & (own["model"] == "beta")
        own.loc[bad, ["status", "reason"]] = ["nan", "the model overflowed"]
        values = {"logprob", "prob_raw", "prob_norm", "option_mass", "structured", "response"}
        own.loc[bad, list(values & set(own.columns))] = np.nan
    return own


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("size", "kind"),
    [(1, "plain"), (2, "faulty"), (5, "sure"), (7, "one model lacks a trial"), (20, "flat")],
)
def test_any_size_of_any_experiment(found: ReportData, size: int, kind: str) -> None:
    """Every section is computed without an error of grace, and no test has a standard error of 0."""
    few = replace(found, frames={name: cut(frame, size, kind) for name, frame in found.frames.items()})
    order = section_process.Job(few, None, nrp=False)
    made = [section_process.compute(name, order) for name in section_process.names(few)]
    sections = [section for section in made if section is not None]
    assert {section.name for section in sections} >= set(section_process.names(few)) - {"agreement"}
    for section in sections:
        assert not section.faults
        assert not [s for s in (*section.summary, *section.content) if isinstance(s, str) and "nan" in s]
        for table in section.tables:
            for test in {"z", "t"} & set(table.frame.columns):
                assert not np.isinf(table.frame[test].astype(float)).any(), table.name
                assert "se" not in table.frame or not (table.frame["se"] == 0).any(), table.name


def test_the_figures_of_little(found: ReportData) -> None:
    """The figures can be drawn with one trial."""
    small = {name: cut(found.frames[name], 1, "sure") for name in ("study1-exp2", "study2-exp1")}
    section_process.start(section_process.Job(replace(found, frames=small), None, nrp=False))
    for name in small:
        made = section_process.draw(name)
        assert made is not None
        assert len(made.drawings) == len(made.section.figures) >= 2


def broken(*_: Any, **__: Any) -> Any:
    """Raises the error of a faulty analysis."""
    return 1 / 0


@pytest.mark.usefixtures("undrawn")
def test_an_error_of_grace_costs_its_own_part_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Page and summary name the missing part, the rest is complete, and the exit code is 1."""
    run, out = make(tmp_path / "run", Salted("m"), "study1-exp2", sample=6), tmp_path / "report.html"
    monkeypatch.delenv(RAISE)
    monkeypatch.setattr(analysis.study1, "anova", broken)
    monkeypatch.setattr(analysis.figures, "knowledge", broken)
    assert grace(monkeypatch, "report", str(run), "--out", str(out), "--json") == 1
    told = capsys.readouterr()
    assert "2 parts of the page failed because of an error in grace" in told.err
    found = json.loads(told.out)
    assert len(found["faults"]) == 2
    assert found["faults"][0].startswith(
        "Review: The analysis of variance could not be computed because of an error in grace "
        "(ZeroDivisionError: division by zero; test_faults.py, line "
    )
    assert set(found["faults"]) <= set(found["summary"])
    page = out.read_text()
    for fault in found["faults"]:
        assert page.count(f'<p class="review">{fault}</p>') == 1
    assert 'id="table-study1-anova"' not in page
    assert 'id="figure-study1-knowledge"' not in page
    for there in ("figure-study1-states", "table-study1-coherence", "table-study1-knowledge", "table-runs"):
        assert f'id="{there}"' in page


def test_a_part_leaves_nothing_half_done() -> None:
    """A failed part leaves nothing but a sentence that says what is missing. It is no error of grace."""
    section = Section("s", "S", summary=["before"], content=["before"])
    with section.block("The table"):
        section.content.append("half")
        section.summary.append("half")
        raise NotEnoughDataError("no trial has bets on all four states")
    assert section.summary == ["before"]
    assert section.content == [
        "before",
        "The table could not be computed: no trial has bets on all four states.",
    ]
    assert (section.lost, section.faults) == (["The table"], [])


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), OSError("disk full"), MemoryError()])
def test_what_is_no_want_of_answers_is_raised(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see every error of grace. Errors of the machine, such as a full disk, end the report."""
    section = Section("s", "S")
    with pytest.raises(type(error)), section.block("The table"):
        raise error
    monkeypatch.delenv(RAISE)
    if isinstance(error, ZeroDivisionError):
        with section.block("The table"):
            raise error
        assert len(section.faults) == 1
    else:
        with pytest.raises(type(error)), section.block("The table"):
            raise error
