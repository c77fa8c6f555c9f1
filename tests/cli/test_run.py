"""The command line, as a user meets it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from grace_client.core import trials
from grace_client.core.progress import JSON, VARIABLE, ProgressLine
from grace_client.core.questions import Question
from grace_client.engines.local.engine import LocalEngine
from grace_client.engines.local.tree import CHUNK
from grace_client.studies import _experiments
from tests.conftest import ROOT, grace
from tests.engines.conftest import random_model, tokenizer

STUDY1 = str(ROOT / "data" / "study1.csv")
TINY = "tiny"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny random model."""
    folder = tmp_path_factory.mktemp("models") / TINY
    random_model("llama").save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def test_a_run_from_list_to_trace(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run, run again, status, verify, export, explain, each with --json."""
    out = str(tmp_path / "run")
    command = ("run", "study1-exp2", "--model", model, "--trials", STUDY1, "--out", out, "--sample", "12")

    def result(*arguments: str) -> Any:
        assert grace(monkeypatch, *arguments, "--json") == 0
        return json.loads(capsys.readouterr().out)

    first = result(*command)
    assert (first["model"], first["trials"], first["items"], first["failed"]) == (TINY, 12, 60, 0)
    tables = {file: Path(file).read_bytes() for file in first["files"]}
    assert pd.read_csv(first["files"][0]).shape == (12, 68)

    assert result(*command)["tables"] == first["tables"]
    status = result("status", out)
    assert status["answered"] == status["distinct"] == first["distinct"]
    verified = result("verify", out)
    assert verified["missing"] == 0
    assert verified["corrupt"] == []
    assert result("export", out)["tables"] == first["tables"]
    assert {file: Path(file).read_bytes() for file in first["files"]} == tables

    wide = pd.read_csv(first["files"][0])
    trial = pd.read_parquet(first["files"][2])["trial_id"].iloc[0]
    (trace,) = result("explain", out, "--trial", str(trial), "--question", "knowledge")
    assert trace["prompt"].startswith("<s>[user]")
    assert trace["prompt"].endswith("Answer:[assistant]")
    assert trace["options"][0]["prob_norm"] == wide["prob_knowledge_yes"].iloc[0]
    assert len(trace["answer"]["forms"]) == 8

    assert grace(monkeypatch, "explain", out, "--trial", str(trial)) == 0
    shown = capsys.readouterr().out
    assert "── trial" in shown
    assert "option mass" in shown


def test_a_program_reads_a_runs_progress(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the environment asks for it: before the first answer, and after the last."""
    monkeypatch.setenv(VARIABLE, JSON)
    command = ("run", "study2-exp2", "--model", model, "--out", str(tmp_path / "run"), "--sample", "4")
    for done in (0, 4):
        assert grace(monkeypatch, *command) == 0
        lines = list(filter(None, map(ProgressLine.from_line, capsys.readouterr().err.splitlines())))
        assert {line.task for line in lines} == {"study2-exp2"}
        assert (lines[0].done, lines[-1].done) == (done, 4)
        assert lines[-1].total == 4


def test_a_run_is_planned_once(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command parses the trial list once, and writes each trial's questions once."""
    parsed: list[str] = []
    written: list[int] = []
    parse, questions = trials.parse, _experiments.Builder._questions

    def counted_parse(raw: bytes, *, path: str, **options: Any) -> trials.TrialList:
        parsed.append(path)
        return parse(raw, path=path, **options)

    def counted_questions(self: _experiments.Builder, asked: Any, trial: trials.Trial) -> Iterator[Question]:
        written.append(trial.trial_id)
        return questions(self, asked, trial)

    monkeypatch.setattr(trials, "parse", counted_parse)
    monkeypatch.setattr(_experiments.Builder, "_questions", counted_questions)
    out = str(tmp_path / "run")
    run = ("run", "study2-exp2", "--model", model, "--out", out, "--sample", "5", "--quiet")
    for command in (run, run, ("status", out), ("verify", out), ("export", out)):
        assert grace(monkeypatch, *command) == 0
        assert (len(parsed), len(written), len(set(written))) == (1, 5, 5), command[0]
        parsed.clear()
        written.clear()


def test_a_damaged_record_is_reported_and_mended(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`verify` names segment and line and exits with 1; the run asks again; the table is as before."""
    out = tmp_path / "run"
    command = ("run", "study1-exp2", "--model", model, "--out", str(out), "--sample", "4", "--quiet")
    assert grace(monkeypatch, *command) == 0
    (table,) = out.glob("*_20??????.csv")
    before = table.read_bytes()
    (segment,) = (out / "ledger").glob("*.jsonl")
    lines = segment.read_bytes().split(b"\n")
    lines[3] = lines[3].replace(b'"ok"', b'"OK"')
    segment.write_bytes(b"\n".join(lines))
    capsys.readouterr()
    assert grace(monkeypatch, "verify", str(out)) == 1
    assert f"{segment.name}:4: " in capsys.readouterr().out
    assert grace(monkeypatch, *command) == 0
    assert table.read_bytes() == before
    table.write_bytes(before + b"x")
    assert grace(monkeypatch, "verify", str(out)) == 1
    assert f"{table.name}: changed or missing. 'grace export {out}'" in capsys.readouterr().out


def test_the_summary_is_worth_reading(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cells, bars, option mass, failures, files."""
    for name in ("study1-exp2", "study2-exp2", "study2-exp1", "study2-judgement"):
        command = ("run", name, "--model", model, "--out", str(tmp_path / name), "--sample", "5")
        assert grace(monkeypatch, *command, "--replicates", "1", "--max-tokens", "5") == 0
        captured = capsys.readouterr()
        assert f"{tmp_path / name}" in captured.out
        assert "without an answer: none" in captured.out
        assert "to ask" in captured.err
        if name != "study2-exp1":
            assert "Option mass" in captured.out
            kinds = {
                "study1-exp2": ("state", "knowledge"),
                "study2-judgement": ("appropriateness", "quality"),
            }
            for kind in kinds.get(name, ("utterance",)):
                assert re.search(rf"{kind} \d[\d.e-]+ \(lowest", captured.out), captured.out
            assert "█" in captured.out


def test_a_narrow_terminal_cuts_no_number(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Option mass stays in one piece; bars go on in the next line."""
    monkeypatch.setenv("COLUMNS", "70")
    command = ("run", "study1-exp2", "--model", model, "--trials", STUDY1, "--sample", "2", "--quiet")
    assert grace(monkeypatch, *command, "--out", str(tmp_path / "run")) == 0
    printed = capsys.readouterr().out
    assert re.search(r" \d[\d.e-]+/\d[\d.e-]+\n", printed)
    assert "…" not in printed


def test_run_all_runs_the_four(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each in its own folder below --out, on grace's own lists."""
    out = tmp_path / "all"
    options = ("--sample", "2", "--replicates", "1", "--max-tokens", "4", "--quiet", "--json")
    assert grace(monkeypatch, "run", "all", "--model", model, "--out", str(out), *options) == 0
    results = json.loads(capsys.readouterr().out)
    assert [result["experiment"] for result in results] == [
        *("study1-exp1", "study1-exp2", "study2-exp1", "study2-exp2")
    ]
    assert {path.name for path in out.iterdir()} == {result["experiment"] for result in results}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "study9"), "There is no experiment 'study9'. Experiments: study1-exp1"),
        (
            ("run", "study2-exp2", "--trials", STUDY1),
            "study1.csv is a trial list of study1, but this experiment needs one of study2",
        ),
        (("run", "all", "--trials", STUDY1, "--trials", STUDY1), "are both trial lists of study1"),
        (("run", "study1-exp2", "--trials", "none.csv"), "none.csv: it does not exist. Check the spelling"),
        (("run", "study1-exp2", "--prune", "0.1"), "--prune can only be used with a server. Add --server"),
        (
            ("run", "study1-exp2", "--server", "x", "--device", "cpu"),
            "--device and --dtype do not work with --server",
        ),
        (
            ("run", "study1-exp2", "--server", "http://127.0.0.1:9", "--declare", "x"),
            "--declare x: expected NAME=VALUE",
        ),
        (("status", "nowhere"), "nowhere: it does not exist"),
        (("trials", "make", "study9", "--participants", "1", "--out", "x"), "no study 'study9'"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For people, and as JSON."""
    monkeypatch.chdir(tmp_path)
    assert grace(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err
    assert grace(monkeypatch, *arguments, "--json") == 2
    assert message in json.loads(capsys.readouterr().out)["error"]


def test_a_server_that_is_not_there_may_be_there_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3, and how to wait for it."""
    monkeypatch.chdir(tmp_path)
    assert grace(monkeypatch, "run", "study1-exp2", "--server", "http://127.0.0.1:9") == 3
    assert "--wait-for-server" in capsys.readouterr().err


def test_checking_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a list holds, or every fault of it."""
    assert grace(monkeypatch, "trials", "check", STUDY1) == 0
    assert "study1, 300 trials, 50 participants, 36 distinct stimuli, 6 cells" in capsys.readouterr().out
    bad = tmp_path / "bad.csv"
    bad.write_text(Path(STUDY1).read_text().replace(",3,1\n", ",4,1\n"))
    assert grace(monkeypatch, "trials", "check", str(bad)) == 2
    assert f"{bad}:2: column 'access': is '4', but must be one of 1, 2, 3" in capsys.readouterr().err
    assert grace(monkeypatch, "trials", "check", str(bad), "--json") == 2
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 50
    made = tmp_path / "made.csv"
    assert grace(monkeypatch, "trials", "make", "study1", "--participants", "50", "--out", str(made)) == 0
    assert made.read_bytes() == Path(STUDY1).read_bytes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 3), (signal.SIGTERM, 3)])
def test_a_signal_stops_the_run_and_keeps_what_was_answered(
    model: str, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Exit code 3, a table of what there is, and the command to go on with."""
    out = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "grace_client", "run", "study2-exp2", "--model", model, "--out", str(out)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + 120
    while sum(file.stat().st_size for file in (out / "ledger").glob("*")) < 20_000:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "The same command continues" in errors
    assert "Traceback" not in errors
    (table,) = out.glob("*_20??????.csv")
    answered = pd.read_csv(table)["prob_was"].notna()
    assert 0 < answered.sum() < 2424


def test_importing_grace_is_light() -> None:
    """Neither `import grace_client` nor `grace --help` pulls in what only a run needs."""
    heavy = {"torch", "transformers", "pandas", "pyarrow", "numpy", "aiohttp", "pydantic", "yaml"}
    for code in (
        "import grace_client",
        "import sys; sys.argv = ['grace', '--help']\nfrom grace_client.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass",
    ):
        done = subprocess.run(
            [sys.executable, "-c", f"{code}\nimport sys; print('\\nLOADED', *sys.modules)"],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        loaded = set(done.stdout.rsplit("LOADED", 1)[1].split())
        assert not heavy & loaded


def test_the_local_engine_reports_how_it_scores(model: str) -> None:
    """One line that a person can read, and the piece size its exactness test relies on."""
    said: list[str] = []
    LocalEngine.load(model, say=said.append)
    assert said[-1] == "tiny is ready: float32 on cpu, scoring by tree"
    assert CHUNK == 64
