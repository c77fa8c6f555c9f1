"""`grace report`, from run folders to the page, as a user calls it."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import re
import shutil
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from grace_client import report
from grace_client.analysis import study1, study2
from grace_client.analysis._data import reading
from grace_client.core.errors import ItemError
from grace_client.report import runs as report_runs
from grace_client.report.theory import comparison
from tests.conftest import grace
from tests.report.conftest import EXPERIMENTS, Salted, make, structure

SECTIONS = [
    "summary",
    "quality",
    "ways",
    "study1-exp2",
    "study1-exp1",
    "study2-exp2",
    "study2-judgement",
    "study2-exp1",
    "comparison",
    "agreement",
    "methods",
    "downloads",
]


def anchors(page: str) -> list[str]:
    """The ids of the sections, in order."""
    return re.findall(r'<section id="([^"]+)"', page)


def test_two_models_and_all_experiments(written: tuple[Path, dict[str, Any]]) -> None:
    """The page has every section, every table can be downloaded, and figures and tables are files too."""
    folder, found = written
    tables = folder / "tables"
    assert (found["models"], set(found["experiments"])) == (["alpha", "beta"], set(EXPERIMENTS))
    page = (folder / "report.html").read_text()
    assert anchors(page) == SECTIONS
    assert found["summary"][0].startswith("These results are of one way of asking: ")
    head = page[page.index("<header>") : page.index("</header>")]
    assert found["summary"][0] in head, "it stands before everything else"
    for sentence in found["summary"]:
        assert page.count(sentence.replace("'", "&#39;").replace("<", "&lt;").replace(">", "&gt;")) >= 1
    assert "National Research Platform" in page
    assert "opmi_a_00035" in page
    names = sorted(Path(path).name for path in found["tables"])
    archive = re.search(r'download="tables.zip" href="data:application/zip;base64,([^"]+)"', page)
    assert archive is not None
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(archive[1]))) as whole:
        assert sorted(whole.namelist()) == names
        for path in map(Path, found["tables"]):
            assert whole.read(path.name) == path.read_bytes()
            assert f'download="{path.name}"' in page
    drawn = {Path(path).suffix for path in found["figures"]}
    assert drawn == {".svg", ".pdf", ".png"}
    assert page.count("<figure ") == len(found["figures"]) / 3
    means = pd.read_csv(tables / "study1-cell-means.csv")
    assert {"mean", "low", "high", "n", "n_distinct"} <= set(means.columns)
    gains = pd.read_csv(tables / "study2-utilities.csv")
    assert set(gains["utility"]) == {"social", "informational"}
    assert (gains["people"] <= gains["best"] + 1e-9).all() and gains["people_low"].notna().all()
    for kind in ("study2", "study2-free"):
        against = pd.read_csv(tables / f"{kind}-negation-contrasts.csv")
        assert set(against["against"]) == {"social", "informational"} and {"p", "p_holm"} <= set(against)
    rank = pd.read_csv(tables / "comparison-study2-exp2-rank.csv")
    assert set(rank["model"]) == {"alpha", "beta"}
    for study, questions in (("study1", 5), ("study2", 1)):
        scoring = pd.read_csv(tables / f"{study}-exp2-scoring.csv")
        assert scoring.groupby("model")["question"].nunique().tolist() == [questions] * 2
        assert set(scoring["ways"]) == {"normalised, raw, pmi"}
    people = pd.read_csv(tables / "comparison-scoring.csv")
    assert set(people["variant"]) == {"normalised", "raw", "pmi"}


@pytest.mark.usefixtures("undrawn")
def test_nothing_is_read_or_computed_twice(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of four folders is opened once, and bets and utterances are computed once for each experiment."""
    calls: Counter[str] = Counter()

    def count(function: Callable[..., Any]) -> None:
        """Count its calls, under every name by which a module of the package knows it."""

        @functools.wraps(function)
        def counted(*arguments: Any, **named: Any) -> Any:
            calls[function.__name__] += 1
            return function(*arguments, **named)

        for name, module in list(sys.modules.items()):
            if name.startswith("grace_client"):
                for own, value in list(vars(module).items()):
                    if value is function:
                        monkeypatch.setattr(module, own, counted)

    for function in (reading.load, study1.bets, study2.utterances):
        count(function)
    names = ("study1-exp2", "study1-exp1", "study2-exp2", "study2-exp1")
    report.write([runs / "alpha" / name for name in names], tmp_path / "report.html")
    assert calls == {"load": 4, "bets": 2, "utterances": 2}


def test_without_a_null_context_there_is_no_pmi(runs: Path) -> None:
    """A model without a null context is compared by the other two ways of scoring."""
    section = comparison.comparison(report_runs.load([runs / "alpha", runs / "beta" / "study2-exp2"]))
    assert section is not None
    (people,) = (table.frame for table in section.tables if table.name == "comparison-scoring")
    ways = people.groupby("model")["variant"].agg(set).to_dict()
    assert ways == {"alpha": {"normalised", "raw", "pmi"}, "beta": {"normalised", "raw"}}


def test_the_page_needs_nothing_from_outside(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page has no address, no script and no id twice. Equal runs give an equal page."""
    first, again = tmp_path / "a.html", tmp_path / "b.html"
    for out in (first, again):
        assert (
            grace(monkeypatch, "report", str(runs / "alpha" / "study1-exp2"), "--out", str(out), "--quiet")
            == 0
        )
    page = first.read_text()
    assert page == again.read_text()
    assert not re.findall(r"""(?:https?:)?//[a-z]""", re.sub(r'href="data:[^"]*"', "", page))
    assert "<script" not in page
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= set(ids)
    sections = ["summary", "quality", "ways", "study1-exp2", "comparison", "methods", "downloads"]
    assert anchors(page) == sections


@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if not name.endswith("-null")])
def test_any_experiment_alone(
    experiment: str, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run of one model is enough for a page."""
    out = tmp_path / "report.html"
    assert grace(monkeypatch, "report", str(runs / "beta" / experiment), "--out", str(out), "--quiet") == 0
    page = out.read_text()
    assert experiment in anchors(page)
    assert "<h1>Report on beta</h1>" in page


@pytest.mark.usefixtures("undrawn")
def test_a_failed_part_is_told_and_not_averaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Questions that failed are counted with their reasons, and are in no mean."""

    def fault(text: str) -> None:
        if marks and all(mark in text for mark in marks):
            raise ItemError("nan", "the model overflowed")

    marks: tuple[str, ...] = ("Exactly 3", "looked at 1 of the 3")
    some = make(tmp_path / "some", Salted("some", fault=fault), "study1-exp2")
    tables, out = tmp_path / "tables", tmp_path / "report.html"
    assert grace(monkeypatch, "report", str(some), "--out", str(out), "--tables", str(tables), "--quiet") == 0
    assert re.search(r"answers expected, \d+ of them missing", capsys.readouterr().out)
    failures = pd.read_csv(tables / "failures.csv")
    assert set(failures["reason"]) == {"the model overflowed"}
    means = pd.read_csv(tables / "study1-cell-means.csv")
    assert set(means["access"].astype(str)) == {"2", "3"}, "no bets without all four states"

    marks = ("Exactly 3",)
    whole = make(tmp_path / "whole", Salted("whole", fault=fault), "study1-exp2")
    assert grace(monkeypatch, "report", str(whole), "--out", str(out), "--quiet") == 0
    assert "6 parts of this section could not be computed" in capsys.readouterr().out
    assert "The bets on the four states could not be computed: " in out.read_text()
    assert "study1-knowledge" in out.read_text(), "what needs no bets is there"


@pytest.mark.usefixtures("undrawn")
def test_free_text_below_ninety_percent_asks_for_review(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page says what to do with free text that was not extracted."""
    run = make(tmp_path / "run", Salted("talker"), "study2-exp1", sample=60)
    assert grace(monkeypatch, "report", str(run), "--out", str(tmp_path / "a.html"), "--quiet") == 0
    assert "grace extract" in capsys.readouterr().out
    structure(run, unparsed=0.3)
    assert grace(monkeypatch, "report", str(run), "--out", str(tmp_path / "b.html"), "--quiet") == 0
    assert "Review: talker, study2-exp1" in capsys.readouterr().out
    assert 'class="review"' in (tmp_path / "b.html").read_text()


def spoil(run: Path, change: str) -> None:
    """Break a run's long table."""
    (path,) = run.glob("*_long.parquet")
    table = pd.read_parquet(path)
    if change == "column":
        table = table.drop(columns="prob_norm")
    if change == "nan":
        table.loc[5, "prob_norm"] = float("nan")
    if change == "sum":
        table["prob_norm"] += (table.index == 5) * 0.1
    if change == "study":
        table["experiment"] = "study2-exp2"
    if change == "failures":
        table["status"] = "timeout"
        table[["logprob", "prob_raw", "prob_norm", "option_mass"]] = float("nan")
    table.to_parquet(path)
    if change == "changed":
        return
    # As if it had been exported so: the reader refuses a file that is not the one that was.
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["results"]["tables"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    del manifest["sha256"]
    (run / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("changed", "grace export"),
        ("column", "prob_norm"),
        ("nan", "prob_norm"),
        ("sum", "not to 1"),
        ("study", "study2-exp2"),
    ],
)
def test_a_table_that_cannot_be_trusted_is_named(
    change: str,
    message: str,
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The error names the file and its fault, no page is written, and the exit code is 2."""
    run = tmp_path / "run"
    shutil.copytree(runs / "alpha" / "study1-exp2", run)
    spoil(run, change)
    out = tmp_path / "report.html"
    assert grace(monkeypatch, "report", str(run), str(runs / "beta"), "--out", str(out), "--quiet") == 2
    told = capsys.readouterr().err
    assert message in told
    assert str(run) in told
    assert not out.exists()


@pytest.mark.usefixtures("undrawn")
def test_a_run_without_answers_takes_no_other_with_it(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The summary names a run without answers, and the page has the others. Alone it is an error."""
    run, out = tmp_path / "run", tmp_path / "report.html"
    shutil.copytree(runs / "alpha" / "study2-judgement", run)
    spoil(run, "failures")
    assert grace(monkeypatch, "report", str(run), "--out", str(out), "--quiet") == 2
    assert "no question was answered (280 timeout)" in capsys.readouterr().err
    others = str(runs / "beta" / "study2-judgement")
    assert grace(monkeypatch, "report", str(run), others, "--out", str(out), "--quiet") == 0
    summary = capsys.readouterr().out
    assert "1 model, 1 run" in summary
    assert "Review: alpha, study2-judgement: " in summary
    assert "no question was answered" in out.read_text()


def test_runs_that_contradict_each_other_are_named(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One model in two revisions, one model twice and a folder without a run are errors."""
    other = make(tmp_path / "other", Salted("alpha", revision="2"), "study1-exp2", sample=5)
    alpha = str(runs / "alpha" / "study1-exp2")
    assert grace(monkeypatch, "report", alpha, str(other), "--quiet") == 2
    assert "two revisions" in capsys.readouterr().err
    shutil.copytree(alpha, tmp_path / "copy")
    assert grace(monkeypatch, "report", alpha, str(tmp_path / "copy"), "--quiet") == 2
    assert "both contain study1-exp2 of alpha" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert grace(monkeypatch, "report", str(tmp_path / "empty"), "--quiet") == 2
    assert "contains no run" in capsys.readouterr().err
