"""A reasoning model through the command line: declared, drawn, scored after, kept and shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import grace
from tests.engines.test_reasoning_engines import served
from tests.support.fault_server import FaultServer, in_thread


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_scores_after_reasoning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run, run again, noise and explain; another effort is another run; a plain model refuses."""
    out = str(tmp_path / "run")

    def result(*arguments: str) -> Any:
        assert grace(monkeypatch, *arguments, "--json", "--quiet") == 0
        return json.loads(capsys.readouterr().out)

    with in_thread(served()) as server:
        command = ["run", "study2-exp2", "--server", server.url, "--out", out, "--sample", "3"]
        declared = ["--reasoning", "on", "--reasoning-effort", "low", "--max-tokens", "200"]
        first = result(*command, *declared)
        assert (first["items"], first["distinct"], first["failed"]) == (3, 3, 0)
        (kept,) = (file for file in first["files"] if "_study2_reasoning_" in file)
        assert set(pd.read_csv(kept)["reasoning"]) == {"Two are red."}
        segments = sorted((tmp_path / "run" / "ledger").iterdir())
        for reasoning in ("on", "none"):
            # Manifests of earlier versions have "none" where "on" is meant.
            manifest = tmp_path / "run" / "manifest.json"
            entries = json.loads(manifest.read_text())
            entries["spec"]["reasoning"] = reasoning
            entries.pop("sha256")
            manifest.write_text(json.dumps(entries))
            assert grace(monkeypatch, "verify", out) == 0
            assert grace(monkeypatch, "export", out) == 0
            assert grace(monkeypatch, "report", out, "--out", out + ".html") == 0
            capsys.readouterr()
            assert result(*command, *declared)["tables"] == first["tables"]
            assert sorted((tmp_path / "run" / "ledger").iterdir()) == segments
        assert grace(monkeypatch, *command, "--reasoning", "none", *declared[2:]) == 2
        assert "--reasoning on" in capsys.readouterr().err
        assert result("noise", out, "--server", server.url, "--repeats", "1")["nats"]["max"] < 1e-5
        assert grace(monkeypatch, "explain", out, "--trial", str(pd.read_csv(kept)["trial_id"][0])) == 0
        shown = capsys.readouterr().out
        assert "Reasoning: low<|end|>" in shown and "── reasoning: 'Two are red.'" in shown
        assert grace(monkeypatch, *command, "--reasoning", "on", "--reasoning-effort", "high") == 2
        assert "Reasoning: high" in capsys.readouterr().err
        free = result("run", "study1-exp1", *command[2:4], "--out", out + "2", "--sample", "2")
        spec = json.loads((tmp_path / "run2" / "manifest.json").read_text())["spec"]
        assert (spec["reasoning"], spec["sampling"]["max_tokens"]) == ("on", 2048)
        responses = pd.read_csv(free["files"][0])
        assert set(responses["reasoning"]) == {"Two are red."}
        assert not responses["response"].str.contains("red|<").any()
    with in_thread(FaultServer()) as server:
        plain = ("run", "study2-exp2", "--server", server.url, "--out", out + "3", "--reasoning", "on")
        assert grace(monkeypatch, *plain) == 2
        assert "of fake-model have neither" in capsys.readouterr().err
