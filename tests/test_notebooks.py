"""The example notebooks run, on runs as a user has them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.report.conftest import Salted, make


@pytest.mark.parametrize("study", ["study1", "study2"])
def test_a_notebook_runs(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From top to bottom; its tables name the models, its figures are written."""
    for model in ("alpha", "beta"):
        make(tmp_path / "runs" / model, Salted(model), f"{study}-exp2", sample=120)
    monkeypatch.setattr(sys, "argv", ["notebook", str(tmp_path / "runs"), str(tmp_path / "figures")])
    runpy.run_path(str(ROOT / "docs" / "notebooks" / f"{study}.py"))
    printed = capsys.readouterr().out
    assert "alpha" in printed
    assert "beta" in printed
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".svg", ".pdf", ".png"}
