"""Commands on a folder of several runs, and lists with default settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grace_client import studies
from grace_client.run import tables
from tests.conftest import ROOT, grace
from tests.run.test_runner import ask


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Three runs, one of them deeper than the others."""
    for path, experiment in (("a", "study1-exp2"), ("b", "study2-exp2"), ("deep/er/c", "study1-exp1")):
        folder, _ = ask(tmp_path / "runs" / path, experiment, sample=2)
        tables.export(folder)
    return tmp_path / "runs"


def test_status_verify_and_export_take_every_run_below(
    several: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list with --json, one after another for people; of one run alone there is no list."""
    for command in ("status", "verify", "export"):
        assert grace(monkeypatch, command, str(several), "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert [Path(one["run"]).name for one in found] == ["a", "b", "c"]
        assert grace(monkeypatch, command, str(several)) == 0
        shown = capsys.readouterr().out
        assert all(str(several / name) in shown for name in ("a", "b", "deep/er/c"))
    assert grace(monkeypatch, "status", str(several / "a"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["answered"] == 10


def test_one_run_that_cannot_be_used_does_not_hide_the_others(
    several: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are shown, it is named, and the exit code is its own."""
    (several / "b" / "manifest.json").write_text("{")
    assert grace(monkeypatch, "status", str(several)) == 2
    captured = capsys.readouterr()
    assert f"{several / 'a'}: study1-exp2" in captured.out
    assert f"{several / 'deep/er/c'}: study1-exp1" in captured.out
    assert f"{several / 'b' / 'manifest.json'} cannot be read" in captured.err
    assert grace(monkeypatch, "status", str(several), "--json") == 2
    found = json.loads(capsys.readouterr().out)
    assert [one.get("exit_code") for one in found] == [None, None, 2]


def test_verify_fails_where_one_of_several_is_incomplete(
    several: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, and the others are still checked."""
    next((several / "a").glob("*_long.csv")).unlink()
    assert grace(monkeypatch, "verify", str(several)) == 1
    assert str(several / "deep/er/c") in capsys.readouterr().out


@pytest.mark.parametrize("command", [("explain", "--trial", "1"), ("extract",), ("noise",)])
def test_a_command_on_one_run_names_the_runs_in_a_folder(
    several: Path,
    command: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What needs one run says which ones the folder holds."""
    assert grace(monkeypatch, command[0], str(several), *command[1:]) == 2
    error = capsys.readouterr().err
    assert f"{several} is not a run folder. It contains 3 of them: {several / 'a'}, " in error
    assert "Name one" in error


def test_a_study_without_a_list_of_its_own_asks_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says which option names it, before a model is loaded."""
    file = tmp_path / "s.yaml"
    file.write_text(
        "grace: 1\nstudy: s\ntitle: S\ntrials: {columns: {a: }}\n"
        "experiments: {e: {ask: [{name: q, prompt: '{{ a }}', options: [x, y]}]}}\n"
    )
    assert grace(monkeypatch, "run", str(file)) == 2
    assert "The study s has no trial list of its own. Name one with --trials" in capsys.readouterr().err


@pytest.mark.parametrize("study", studies.SHIPPED)
def test_a_list_is_made_as_the_readme_says(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`grace trials make STUDY --out FILE` writes the list that runs use when they are given none."""
    out = tmp_path / "made.csv"
    assert "`grace trials make STUDY --out FILE`" in (ROOT / "README.md").read_text()
    assert grace(monkeypatch, "trials", "make", study, "--out", str(out)) == 0
    declared = studies.named(study).file.trials.make
    assert declared is not None and f"{declared.participants} participants" in capsys.readouterr().out
    assert out.read_bytes() == (ROOT / "data" / f"{study}.csv").read_bytes()
    assert studies.read_trials(out).schema.study == study
