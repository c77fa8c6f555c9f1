"""`grace study`: begin, check, show."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml

from grace_client import studies
from grace_client.cli._engine_options import Choice
from grace_client.cli.summary import print_summary
from grace_client.run import runner, tables
from grace_client.run.folder import RunFolder
from grace_client.studies import lists, new
from grace_client.studies.web import _library
from tests.conftest import ROOT, grace
from tests.support.deterministic import DeterministicEngine


@pytest.mark.parametrize("template", new.TEMPLATES)
def test_a_new_study_has_no_fault(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every template: two files, and a check that shows a prompt and counts questions."""
    monkeypatch.chdir(tmp_path)
    assert grace(monkeypatch, "study", "new", "my-study", "--template", template) == 0
    assert "grace study check my-study.yaml" in capsys.readouterr().err
    assert grace(monkeypatch, "study", "check", "my-study.yaml", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["study"], found["trials"], found["notes"]) == ("my-study", 4, [])
    (experiment,) = found["experiments"]
    assert (experiment["questions"], experiment["distinct"], experiment["notes"]) == (4, 4, [])
    assert grace(monkeypatch, "study", "check", "my-study.yaml") == 0
    assert "4 questions, 4 different" in capsys.readouterr().out
    assert grace(monkeypatch, "study", "show", "my-study.yaml", "--trial", "2") == 0
    shown = capsys.readouterr().out
    assert experiment["example"][0]["question"] in shown
    assert grace(monkeypatch, "study", "show", "my-study.yaml", "--trial", "5") == 2
    assert "has 4 trials" in capsys.readouterr().err
    assert grace(monkeypatch, "study", "new", "my-study", "--template", template) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("new", "My Study", "--template", "likert"), "cannot be the name of a study"),
        (("new", "x", "--template", "nothing"), "There is no template 'nothing'"),
        (("check", "nowhere.yaml"), "nowhere.yaml"),
        (("check", "study9"), "There is no experiment 'study9'"),
        (("check", "study1-exp9"), "Experiments: study1-exp1"),
        (("show", "study1", "--trials", "nowhere.csv"), "nowhere.csv"),
        (("web", "study1", "--out", "page"), "Name it: study1-exp1, study1-exp2"),
        (("web", "study1-exp2", "--out", "page", "--post", "save"), "--post save: is no address"),
        (("web", "study1-exp2", "--out", "page", "--consent", "nowhere.md"), "nowhere.md"),
        (("web", "study1-exp2", "--out", "page", "--jspsych", "nowhere"), "npm pack jspsych@"),
        (("web", "study1-exp2"), "Missing option '--out'"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And exit code 2."""
    monkeypatch.chdir(tmp_path)
    assert grace(monkeypatch, "study", *arguments) == 2
    assert said in capsys.readouterr().err


def test_faults_of_a_file_and_of_its_list_have_their_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong key in the file; a wrong value in the list; options that begin each other."""
    monkeypatch.chdir(tmp_path)
    assert grace(monkeypatch, "study", "new", "tea", "--template", "likert") == 0
    file, listed = tmp_path / "tea.yaml", tmp_path / "tea.csv"
    whole = file.read_text()
    file.write_text(whole.replace("title:", "titel:"))
    capsys.readouterr()
    assert grace(monkeypatch, "study", "check", "tea.yaml", "--json") == 2
    found = json.loads(capsys.readouterr().out)
    assert found["code"] == "study"
    assert {(one["line"], one["where"]) for one in found["problems"]} == {(1, "title"), (3, "titel")}
    file.write_text(whole.replace("full stop", "open"))
    assert grace(monkeypatch, "study", "check", "tea.yaml") == 0
    assert "note: the form 'agree' begins" not in capsys.readouterr().out
    file.write_text(
        whole.replace("full stop", "open").replace("[strongly disagree, disagree", "[no, not at all")
    )
    assert grace(monkeypatch, "study", "check", "tea.yaml") == 0
    assert "note: the form 'no' begins 'not at all'" in capsys.readouterr().out
    file.write_text(whole)
    listed.write_text(listed.read_text().replace("o1,order", "o1,ordr"))
    assert grace(monkeypatch, "study", "check", "tea.yaml") == 2
    assert "tea.csv:2: column 'topic': is 'ordr', but must be one of order, travel" in capsys.readouterr().err


def test_the_list_of_studies_and_the_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names that `grace run` takes; a schema that an editor can use."""
    assert grace(monkeypatch, "study", "list", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["study"] for one in found] == ["study1", "study2"]
    assert "study2-judgement" in found[1]["experiments"]
    assert grace(monkeypatch, "study", "list") == 0
    assert "study1-exp2" in capsys.readouterr().out
    assert grace(monkeypatch, "study", "schema", "--out", str(tmp_path / "s.json")) == 0
    assert grace(monkeypatch, "study", "schema") == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "s.json").read_text()
    data = yaml.safe_load((ROOT / "studies" / "some-all" / "some-all.yaml").read_text())
    jsonschema.validate(data, json.loads(printed), jsonschema.Draft7Validator)


def test_a_page_for_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of one experiment; the command says how much each person gets, and what is still to do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_library, "scripts", lambda folder: ["/* jsPsych */"])
    assert grace(monkeypatch, "study", "web", "study1-exp2", "--out", "page") == 0
    told = capsys.readouterr()
    assert told.out == (
        "page/index.html\nstudy1-exp2: 50 participants in the list; each person gets 6 trials, 30 questions\n"
    )
    assert "note: the first page is a placeholder" in told.err
    assert grace(monkeypatch, "study", "new", "tea", "--template", "likert") == 0
    (tmp_path / "tea.csv").write_text("".join((tmp_path / "tea.csv").open().readlines()[:3]))
    (tmp_path / "consent.txt").write_text("Welcome.")
    capsys.readouterr()
    given = ("--title", "Tea <3", "--consent", "consent.txt", "--trials", "tea.csv", "--json")
    assert grace(monkeypatch, "study", "web", "tea.yaml", "--out", "tea", *given) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "file": "tea/index.html",
        "experiment": f"tea-{found['experiment'].removeprefix('tea-')}",
        "participants": [],
        "trials": [2, 2],
        "questions": [2, 2],
        "notes": [],
    }
    assert "<title>Tea &lt;3</title>" in (tmp_path / "tea" / "index.html").read_text()


PLAN = """\
    contrasts:
      - {name: larger, greater: {size: large}, lesser: {size: small}, outcome: prob_yes}
      - {name: huge, greater: {size: huge}, lesser: {size: small}}
    model: prob_yes ~ size + (1 | item)
"""
TONES = """\
grace: 1
study: tones
title: Tones
trials:
  file: tones.csv
  item: item
  conditions: [size]
  columns: {item: , size: , keyed: }
options:
  agreement: {names: [no, perhaps, yes], values: [1, 2, 3]}
experiments:
  exp1:
    ask:
      - name: high
        prompt: "Is the {{ size }} {{ item }} high? {{ options|join(', ') }}"
        options: agreement
        reverse: keyed == 'minus'
"""
LIST = "item,size,keyed\nbell,small,plus\nbell,large,plus\nhorn,small,minus\nhorn,large,minus\n"


@pytest.fixture
def tones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study whose plan names a level that its list does not have."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tones.yaml").write_text(TONES + PLAN)
    (tmp_path / "tones.csv").write_text(LIST)
    return tmp_path


def test_a_faulty_plan_is_found_before_a_model_is_loaded(
    tones: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By check and by run, with line and column; a run that has begun goes on, and says it."""
    said = "tones.yaml:20:9: experiments.exp1.contrasts.1: contrast 'huge': size has no level 'huge'."
    for command in (("study", "check", "tones.yaml"), ("run", "tones.yaml", "--model", ".", "--out", "run")):
        assert grace(monkeypatch, *command) == 2
        assert said in capsys.readouterr().err
    assert not (tones / "run").exists()
    (tones / "run").mkdir()
    (tones / "run" / "manifest.json").write_text("{}")
    assert grace(monkeypatch, *command) == 2
    assert f"note: {said}" in (told := capsys.readouterr().err)
    assert "config.json" in told


def test_a_list_may_be_a_part(
    tones: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Levels that only the study's own list has are no fault."""
    (tones / "tones.csv").write_text(LIST + "drum,huge,minus\n")
    (tones / "part.csv").write_text(LIST)
    assert grace(monkeypatch, "study", "check", "tones.yaml") == 0
    assert "note" not in capsys.readouterr().out
    assert grace(monkeypatch, "study", "check", "tones.yaml", "--trials", "part.csv") == 0
    assert (
        "note: tones.yaml, line 20: with this list, contrast 'huge': size has no" in capsys.readouterr().out
    )


def test_without_the_analysis_the_check_says_what_it_left_out(
    tones: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The base packages check the rest."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "scipy"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert grace(monkeypatch, "study", "check", "tones.yaml") == 0
    assert (
        "note: the planned contrasts, outcomes, figures and models were not checked"
        in capsys.readouterr().out
    )


def test_a_reverse_that_tells_no_trials_apart_is_named(
    tones: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A condition with a word that the list does not have, or that all rows have."""
    for keyed, held in (("up", "no trial"), ("minus", "all trials")):
        (tones / "tones.yaml").write_text(TONES)
        (tones / "tones.csv").write_text(LIST.replace("plus", keyed).replace("minus", keyed))
        said = f"note: 'reverse' of the question 'high' holds for {held} of tones.csv"
        assert grace(monkeypatch, "study", "check", "tones.yaml") == 0
        assert said in capsys.readouterr().out
        assert grace(monkeypatch, "run", "tones.yaml", "--model", ".") == 2
        assert said in capsys.readouterr().err


def test_the_summary_of_a_run_turns_reverse_keyed_trials(
    tones: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its means are those of the wide table, which the run turned."""
    (tones / "tones.yaml").write_text(TONES)
    asyncio.run(asked(tones / "run", "tones.yaml"))
    folder = RunFolder.open(tones / "run")
    print_summary(folder, files := tables.export(folder))
    shown = capsys.readouterr().out
    wide = pd.read_csv(files[0])
    for mean in wide.groupby("size")["high_mean"].mean():
        assert f"{mean:.1f}" in shown
    unturned = (wide[["high_prob_no", "high_prob_perhaps", "high_prob_yes"]] * [1, 2, 3]).sum(axis=1)
    assert f"{unturned[wide['size'] == 'large'].mean():.1f}" not in shown
    assert "high: one bar for each option (no, perhaps, yes); below, the mean of their numbers" in shown
    assert "The scale of reverse-keyed trials is turned round" in shown


async def asked(path: Path, study: str) -> None:
    """A run of a study with one experiment."""
    engine, experiment = DeterministicEngine(), studies.experiment(study)
    listed = lists.default(experiment.study)
    await runner.run(RunFolder.create(path, experiment, listed, await engine.describe()), engine)


def test_options_that_the_model_cannot_score_leave_no_folder(
    tones: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The set is refused before anything is written, even if the first questions have another set."""
    text = TONES.replace("[no, perhaps, yes]", "[no, perhaps, not at all]")
    first = "      - {name: first, prompt: 'Is it {{ size }}?', options: [yes, no]}\n"
    (tones / "tones.yaml").write_text(text.replace("      - name: high", first + "      - name: high"))
    monkeypatch.setattr(Choice, "connect", lambda *_: connected())
    assert grace(monkeypatch, "run", "tones.yaml", "--out", "runs/tones") == 2
    assert "not prefix-free" in (said := capsys.readouterr().err) and "'end: full stop'" in said
    assert not (tones / "runs").exists()


async def connected() -> DeterministicEngine:
    """An engine whose tokens are bytes."""
    return DeterministicEngine()
