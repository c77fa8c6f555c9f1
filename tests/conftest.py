"""What the tests share: trial lists, models, engines."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

from grace_client import cli, studies
from grace_client.core.trials import TrialList
from grace_client.report.blocks import RAISE
from tests.kube.program import HERE
from tests.kube.standin import Tools

ROOT = Path(__file__).parents[1]
USERS_LISTS = ROOT.parent / "shared" / "data"
"""The users' own lists, where they lie beside the checkout."""

# A busy machine is no failure.
hypothesis.settings.register_profile("grace", deadline=None)
hypothesis.settings.load_profile("grace")


class _LeaveOut(MetaPathFinder):
    """Skips a test, or a module of tests, that needs a package of an extra.

    Asked last, it skips what needs a package that is not installed; asked first, what needs any of them.
    """

    def __init__(self) -> None:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        self.extra = {
            re.split(r"[^\w]", need)[0]: extra
            for extra in ("analysis", "cluster", "local")
            for need in extras[extra]
        } | {"matplotlib": "analysis"}  # it comes with plotnine

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        extra = self.extra.get(name)
        if extra:
            pytest.skip(f"{name} is left out (extra {extra!r})", allow_module_level=True)


if os.environ.get("GRACE_TEST_FAST"):
    collect_ignore = ["engines"]
    sys.meta_path.insert(0, _LeaveOut())
elif not os.environ.get("GRACE_TEST_ALL"):
    # Its conftest imports torch, and a conftest cannot be skipped.
    collect_ignore = [] if find_spec("torch") else ["engines"]
    sys.meta_path.append(_LeaveOut())


@pytest.fixture(autouse=True, scope="session")
def _surroundings() -> Iterator[None]:
    """An error of grace in a report ends the test. No test waits for the disk, because none loses power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(RAISE, "1")
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def _quiet_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on how wide the terminal is."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report on one model has empty figures: to draw them takes most of its time."""
    from grace_client.analysis import figures

    monkeypatch.setattr(figures, "svg", lambda _: "<svg></svg>")


@pytest.fixture
def a_terminal() -> Iterator[None]:
    """As if the tests were not run under nohup, whose children ignore a hang-up as well."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def grace(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the command in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["grace", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def undated(name: str) -> str:
    """A table's name without the day on which its run began: midnight may lie between two runs of a test."""
    return re.sub(r"_\d{8}(?=[_.])", "", name)


@cache
def own_list(study: str) -> TrialList:
    """The project's list of a study, read once."""
    return studies.read_trials(ROOT / "data" / f"{study}.csv")


def lists(study: str) -> Iterator[Path]:
    """The project's list of a study, and the users' where it is present."""
    yield ROOT / "data" / f"{study}.csv"
    if (users := USERS_LISTS / f"{study}.csv").exists():
        yield users


@pytest.fixture(params=list(lists("study1")), ids=lambda path: path.parent.parent.name)
def study1(request: pytest.FixtureRequest) -> TrialList:
    """Every Study 1 list there is."""
    return studies.read_trials(request.param)


@pytest.fixture(params=list(lists("study2")), ids=lambda path: path.parent.parent.name)
def study2(request: pytest.FixtureRequest) -> TrialList:
    """Every Study 2 list there is."""
    return studies.read_trials(request.param)


def _program(name: str, package: str) -> str:
    """A program of the system. Without it a test is skipped, except where every tier must run."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not installed (Debian: {package})"
        if os.environ.get("GRACE_TEST_ALL"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@pytest.fixture(scope="session")
def rscript() -> str:
    """R, with lme4."""
    return _program("Rscript", "r-base-core r-cran-lme4")


@pytest.fixture(scope="session")
def chromium() -> str:
    """A browser that runs without a screen."""
    return _program("chromium", "chromium")


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
