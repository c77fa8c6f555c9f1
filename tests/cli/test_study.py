"""`grace study`: begin, check, show."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from grace_client.studies import new
from tests.conftest import ROOT, grace


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
