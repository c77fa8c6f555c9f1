"""`grace report --people` shows the answers that a user brings beside the models."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grace_client import analysis, studies
from tests.analysis.test_people_data import BET_COLUMNS, FLAGS, bets, written
from tests.conftest import ROOT, grace
from tests.report.conftest import Salted, make


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bets of Study 1, and choices of Study 2 under the question's own name."""
    path = tmp_path_factory.mktemp("people")
    written(bets(), path / "bets.csv")
    (path / "bets.yaml").write_text(
        "file: bets.csv\nexperiment: study1-exp1\nname: by hand\n"
        f"answers: {{number: {BET_COLUMNS}}}\nexclude: {FLAGS}\n"
    )
    table = pd.read_csv(ROOT / "data" / "study2.csv", dtype=str)
    said = ["was_good", "wasnt_bad", "wasnt_terrible", ""]
    table = table.assign(utterance=[said[place % 4] for place in range(len(table))])
    table[["Participant_ID", "Domain", "Goal", "State", "utterance"]].to_csv(path / "said.csv", index=False)
    return path


def page(monkeypatch: pytest.MonkeyPatch, run: Path, people: Path, out: Path) -> str:
    command = ("report", run, "--people", people, "--out", out / "p.html", "--tables", out, "--quiet")
    assert grace(monkeypatch, *map(str, command)) == 0
    return (out / "p.html").read_text()


def test_bets_in_a_sheet(runs: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sheet says what the columns mean; the means are those of the bets."""
    text = page(monkeypatch, runs / "alpha" / "study1-exp1", folder / "bets.yaml", tmp_path)
    assert "237 answers of 50 people (by hand)" in text and "(drop_wrongPrior)" in text
    table = pd.read_csv(tmp_path / "people-study1-exp1.csv")
    assert set(table["model"]) >= {"by hand"}
    own = bets()
    own = own[(own[FLAGS] == "").all(axis=1)]
    expected = own["3"].astype(float).groupby([own["access"].astype(int), own["observe"].astype(int)]).mean()
    found = table[(table["model"] == "by hand") & (table["state"] == 3)].set_index(["access", "observe"])
    assert found["mean"].sort_index().round(6).tolist() == expected.round(6).tolist()


def test_a_table_with_the_names_of_the_study(
    runs: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sheet is needed; both models and people are in one table, and missing answers are told."""
    both = runs / "alpha" / "study2-exp2"
    text = page(monkeypatch, both, folder / "said.csv", tmp_path)
    rows = len(pd.read_csv(folder / "said.csv"))
    assert f"{rows // 4} missing (no value in utterance)" in text
    table = pd.read_csv(tmp_path / "people-study2-exp2.csv")
    assert table["model"].value_counts().to_dict() == {"alpha": 12, "people": 12}
    found = pd.read_csv(tmp_path / "people-study2-exp2-utterance-likelihood.csv").set_index("model")
    model = analysis.read(both).groupby(["goal", "state", "item", "option"])["prob_norm"].mean()
    mean = model.groupby(["goal", "state", "option"]).mean()
    people = analysis.people(folder / "said.csv", "study2-exp2").query("prob_norm == 1")
    chosen = mean.reindex(pd.MultiIndex.from_frame(people[["goal", "state", "option"]]))
    assert len(chosen) == found.loc["alpha", "n"] and found.loc["uniform", "nats"] == pytest.approx(np.log(8))
    assert found.loc["alpha", "nats"] == pytest.approx(-np.log(chosen).mean(), rel=0.02)
    assert "in nats per choice" in text and "people predicted from other people" in text


def test_a_study_file_names_its_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A study and its human data are one folder."""
    assert grace(monkeypatch, "study", "new", "taste", "--template", "likert", "--out", str(tmp_path)) == 0
    study = next(tmp_path.glob("**/taste.yaml"))
    listed = pd.read_csv(next(study.parent.glob("*.csv")), dtype=str)
    run = tmp_path / "run"
    make(run, Salted("alpha"), f"{study}", None)
    capsys.readouterr()
    assert grace(monkeypatch, "report", run, "--people", study, "--out", tmp_path / "p.html") == 2
    assert "has no entry 'people'" in capsys.readouterr().err
    question = next(iter(studies.experiment(str(study)).kinds))
    listed.assign(rating="4").to_csv(study.parent / "humans.csv", index=False)
    with study.open("a") as file:
        file.write(f"\npeople:\n- file: humans.csv\n  answers: {{{question}: rating}}\n")
    text = page(monkeypatch, run, study, tmp_path)
    assert f"{len(listed)} answers" in text and "people and models" in text


@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        (
            "file: bets.csv\nanswer: {number: a}\n",
            "yaml:2:1: answer: is not a key.*Did you mean 'answers'",
        ),
        ("file: bets.csv\nexperiment: study9\n", "took part in study9, and the runs are of study1-exp1"),
        ("file: none.csv\n", "none.csv"),
        ("file: bets.csv\nanswers: {colour: a}\n", "answers colour, which no experiment of the runs asks"),
        ("file: ../bets.csv\n", "must match"),
    ],
)
def test_a_wrong_sheet_is_told(
    runs: Path,
    folder: Path,
    sheet: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One sentence with the place; no page."""
    (folder / "people.yaml").write_text(sheet)
    out = folder / "none.html"
    command = ("report", runs / "alpha" / "study1-exp1", "--people", folder / "people.yaml", "--out", out)
    assert grace(monkeypatch, *map(str, command)) in (2, 3)
    assert re.search(message, capsys.readouterr().err) and not out.exists()
