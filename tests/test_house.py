"""The house: what may import what, and how large a room and a module may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "grace_client"

# From left to right, as data flows. A room imports only from rooms that stand before it.
ROOMS = [
    {"__init__"},
    {"core"},
    {"studies"},
    {"engines"},
    {"run"},
    {"extraction"},
    {"analysis"},
    {"report"},
    {"kube"},
    {"deploy", "policy"},
    {"transfer"},
    {"campaign"},
    {"local"},
    {"cli"},
    {"__main__"},
]
PLACE = {room: i for i, rooms in enumerate(ROOMS) for room in rooms}
# What a run folder holds, and whether it is whole: every room that meets one needs to know.
FACTS = {"run.layout", "run.verify"}
CLUSTER = {"kube", "deploy", "policy", "transfer", "campaign", "local"}
MODULES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in MODULES})


def dotted(path: Path) -> str:
    """A module's name below the package; of a folder, the folder's."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


NAMES = {dotted(path) for path in MODULES}


def imported(path: Path) -> Iterator[str]:
    """Modules of the package that a module imports, those of functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "grace_client":
            base = node.module.removeprefix("grace_client").lstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                yield inner if inner in NAMES else base or "__init__"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_nothing_imports_from_the_right(path: Path) -> None:
    """Analysis knows no engine, no runner and no ledger; the cluster knows nothing of scoring or analysis."""
    room = dotted(path).split(".")[0]
    modules = {name for name in imported(path) if name.split(".")[0] != room}
    rooms = {name.split(".")[0] for name in modules}
    for other in rooms:
        assert PLACE[other] < PLACE[room], f"{room} imports {other}"
    if room == "analysis":
        # What the tables and the manifest hold, and what a study declares; nothing that asks or answers.
        assert {name for name in modules if name.startswith("run.")} <= {
            "run.manifest",
            "run.study_copy",
            *FACTS,
        }
        assert rooms <= {"core", "studies", "run"}
    if room == "report":
        assert rooms <= {"__init__", "core", "studies", "run", "analysis"}
        assert {name for name in modules if name.startswith("run")} <= {"run.layout", "run.study_copy"}
    if path.parent.name == "run" and path.stem in ("layout", "verify"):
        assert set(imported(path)) <= {"core.paths", *FACTS}
    if room in CLUSTER:
        assert rooms <= CLUSTER | {"core"} | ({"run"} if room == "transfer" else set())
        assert {name for name in modules if name.startswith("run")} <= FACTS
        assert {name for name in modules if name.startswith("core")} <= {
            "core",
            "core.errors",
            "core.paths",
            "core.progress",
            "core.reasoning",
            "core.retry",
        }


def test_no_circles() -> None:
    """Modules can be understood one after another."""
    TopologicalSorter({dotted(path): set(imported(path)) - {dotted(path)} for path in MODULES}).prepare()


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_modules_stay_short(path: Path) -> None:
    """Four hundred lines are enough for anybody."""
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_folders_stay_small(folder: Path) -> None:
    """Fifteen modules side by side can be overlooked."""
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= 15
