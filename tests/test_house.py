"""The house: what may import what, and how large a module may be."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "grace_client"

# From left to right, as data flows. A room imports only from rooms that stand before it.
ROOMS = [
    {"__init__", "errors", "paths"},
    {"listtext", "api_key"},
    {"listfile"},
    {"trials", "options", "measures"},
    {"questions"},
    {"studies"},
    {"stimuli", "scoring", "ledger"},
    {"manifest", "engines"},
    {"plan"},
    {"asker"},
    {"runner", "table_readme"},
    {"tables"},
    {"noise", "extraction"},
    {"analysis"},
    {"report"},
    {"cluster"},
    {"cli"},
    {"__main__"},
]
PLACE = {room: i for i, rooms in enumerate(ROOMS) for room in rooms}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("grace_client"):
            rest = node.module.removeprefix("grace_client").lstrip(".")
            found |= {rest.split(".")[0]} if rest else {alias.name for alias in node.names}
    return {name if name in PLACE else "__init__" for name in found}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_imports_from_the_right(path: Path) -> None:
    """Analysis knows no engine, no runner and no ledger; the cluster knows nothing of scoring or analysis."""
    room = room_of(path)
    for other in imported(path) - {room}:
        assert PLACE[other] < PLACE[room], f"{room} imports {other}"
    if room == "analysis":
        # What the tables and the manifest hold, and what a study declares; nothing that asks or answers.
        known = {"errors", "manifest", "measures", "paths", "studies", "trials", "__init__"}
        assert imported(path) <= {"analysis"} | known
    if room == "report":
        # What was found, and what was asked.
        known = {"errors", "paths", "questions", "stimuli", "studies", "__init__"}
        assert imported(path) <= {"analysis", "report"} | known
    if room == "cluster":
        assert imported(path) <= {"cluster", "errors", "paths", "__init__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_stay_short(path: Path) -> None:
    """Four hundred lines are enough for anybody."""
    assert len(path.read_text().splitlines()) <= 400
