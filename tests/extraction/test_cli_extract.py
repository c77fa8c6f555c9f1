"""`grace extract`, as a user meets it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from grace_client.extraction.llm import LEDGER
from grace_client.run.ledger import Ledger
from tests.conftest import ROOT, grace
from tests.extraction.fake_llm import FakeLlm, Json, Reply, coded, completion, serving, text_of
from tests.extraction.runs import answered, saying

# Of every trial two answers about the number, then two about knowledge.
TEXTS = ["Two.", "Je crois que deux.", "Yes.", "Oui.", "I don't know.", "Hm.", "No.", "Hm."]


@pytest.fixture
def run(tmp_path: Path) -> str:
    answered(tmp_path / "run", saying(TEXTS), sample=6)
    return str(tmp_path / "run")


def test_extract_sample_agree(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The three spellings, with and without --json; the table is part of what `grace verify` checks."""

    def result(*arguments: str) -> Any:
        assert grace(monkeypatch, *arguments, "--json") == 0
        return json.loads(capsys.readouterr().out)

    found = result("extract", run)
    assert found["questions"]["number"]["answers"] == 12
    assert found["questions"]["number"]["verdict"] == "review"
    assert found["llm"] is None
    assert grace(monkeypatch, "extract", run) == 0
    shown = capsys.readouterr().out
    assert "below 90%" in shown
    assert found["file"] in shown
    assert grace(monkeypatch, "extract", "--quiet", run) == 0, "options may stand before the run"
    assert grace(monkeypatch, "verify", run) == 0
    with Path(found["file"]).open("a") as file:
        file.write("more\n")
    capsys.readouterr()
    assert grace(monkeypatch, "verify", run) == 1
    assert "structured" in capsys.readouterr().out

    sheet = tmp_path / "sheet.csv"
    assert result("extract", "sample", run, "--n", "10", "--out", str(sheet))["answers"] == 10
    rows = list(csv.DictReader(sheet.open(newline="")))
    for row in rows:
        row["human"] = {"Two.": "2", "Yes.": "yes", "No.": "no"}.get(row["response"], "unparsed")
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    agreed = result("extract", "agree", run, str(sheet))
    assert {row["first"] for row in agreed} == {"rule"}
    assert sum(row["n"] for row in agreed if row["category"] == "all") == 10
    assert grace(monkeypatch, "extract", "agree", run, str(sheet)) == 0
    assert "κ" in capsys.readouterr().out
    coded_by_hand = result("extract", run, "--human", str(sheet))
    assert coded_by_hand["questions"]["number"]["methods"]["human"] > 0
    assert list(coded_by_hand["human"]) == ["sheet.csv"]


def test_an_llm_only_by_choice(
    run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is sent without --llm, nor with --estimate; with it, usage and cost are told and recorded."""
    with serving(FakeLlm()) as server:
        there = ("--llm-url", server.url, "--llm-model", "reader")
        assert grace(monkeypatch, "extract", run, *there) == 2
        assert "need --llm" in capsys.readouterr().err
        asked = ("extract", run, "--llm", *there, "--price-in", "1", "--price-out", "2")
        assert grace(monkeypatch, *asked, "--estimate") == 0
        assert "Nothing was sent" in capsys.readouterr().out
        assert server.requests == []
        assert grace(monkeypatch, *asked, "--json") == 0
        captured = capsys.readouterr()
        found = json.loads(captured.out)
        assert len(server.requests) == found["llm"]["texts"] > 0
        assert found["llm"]["prompt_tokens"] == 100 * len(server.requests)
        assert f"{100 * len(server.requests)} prompt" in captured.err
        assert found["questions"]["number"]["methods"]["llm"] > 0
        assert grace(monkeypatch, "extract", "agree", run, "--json") == 0
        assert {row["second"] for row in json.loads(capsys.readouterr().out)} == {"llm"}


def test_without_a_key_nothing_starts(
    run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The default endpoint wants a key, and the message names the variable."""
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)
    assert grace(monkeypatch, "extract", run, "--llm") == 2
    assert "DEEPSEEK_API_KEY" in capsys.readouterr().err


def test_agreement_needs_something_to_agree_with(
    run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither sheet nor LLM: the message says how to get one."""
    assert grace(monkeypatch, "extract", "agree", run) == 2
    assert "grace extract sample" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_and_started_again_asks_nothing_twice(tmp_path: Path) -> None:
    """What the ledger held when the process was killed is never sent again, and the table is whole."""
    texts = ["H" + "m" * n for n in range(1, 41)]
    answered(tmp_path / "run", saying(texts), sample=10)
    ten, killed = threading.Event(), threading.Event()

    def answer(body: Json, number: int) -> Reply:
        if number > 10:
            ten.set()
            killed.wait(120)
        return completion(json.dumps(coded(text_of(body))))

    with serving(FakeLlm(answer)) as server:
        command = [sys.executable, "-m", "grace_client", "extract", str(tmp_path / "run"), "--llm", "--json"]
        command += ["--llm-url", server.url, "--llm-model", "reader", "--llm-concurrency", "1"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        assert ten.wait(120)
        first.kill()
        first.wait()
        killed.set()
        held = {_text(tmp_path, key) for key in Ledger(tmp_path / "run" / LEDGER).contents.final}
        before = len(server.texts)
        assert len(held) == 10
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert not held & set(server.texts[before:])
    assert set(server.texts) == set(texts)
    assert len(server.texts) == 41, "only the one in flight was asked twice"
    assert json.loads(done.stdout)["llm"]["texts"] == 40


def _text(folder: Path, key: bytes) -> str:
    held = Ledger(folder / "run" / LEDGER).get(key.hex())
    assert held
    return str(held["text"])
