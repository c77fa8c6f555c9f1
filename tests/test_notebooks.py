"""The notebooks are those of their sources, and run on runs as a user has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docs.notebooks import SOURCES, made
from tests.report.conftest import Salted, make


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_is_that_of_its_source(source: Path) -> None:
    """`python -m tests.docs.notebooks` makes it again."""
    assert source.with_suffix(".ipynb").read_text("utf-8") == made(source)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_runs(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cell after cell; its tables name the models, its figures are written."""
    for model in ("alpha", "beta"):
        make(tmp_path / "runs" / model, Salted(model), f"{source.stem}-exp2", sample=120)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for cell in json.loads(source.with_suffix(".ipynb").read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    printed = capsys.readouterr().out
    assert "alpha" in printed
    assert "beta" in printed
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".svg", ".pdf", ".png"}
