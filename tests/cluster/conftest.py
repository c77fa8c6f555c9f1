"""A kubectl and a helm that answer as a test tells them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cluster.standin import HERE, Tools
from tests.conftest import ROOT


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """The only programs of these names on the PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv(HERE, str(folder))
    made = Tools(folder)
    made.answer("config view", "lab")
    made.answer("kubectl .*get", "")
    return made
