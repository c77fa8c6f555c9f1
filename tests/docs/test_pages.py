"""The pages name what exists: modules, files, commands, options, links."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from grace_client.cli import app
from tests.conftest import ROOT
from tests.test_house import PLACE

TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = sorted([*TOP, *(ROOT / "docs").rglob("*.md"), ROOT / "charts" / "grace" / "README.md"])
OF_GRACE = re.compile(rf"(?:{'|'.join(room for room in PLACE if not room.startswith('_'))})(?:\.\w+)*")
A_FILE = re.compile(r"(?:\.github|benchmarks|charts|data|docs|grace_client|scripts|tests|values)/[\w./-]*\w")
# What stands for a name of the reader's, and what a run writes.
OURS = {"docs/_build", "grace_client/engines/NAME"}


def named(path: Path) -> Iterator[str]:
    """What stands in backticks."""
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", path.read_text("utf-8"))


def exists(name: str) -> bool:
    """Whether a dotted name below the package is a module, or something in one."""
    found: Any = importlib.import_module("grace_client")
    for part in name.split("."):
        try:
            found = (
                importlib.import_module(f"{found.__name__}.{part}")
                if hasattr(found, "__path__")
                else getattr(found, part)
            )
        except (ImportError, AttributeError):
            found = getattr(found, part, None)
        if found is None:
            return False
    return True


def test_the_architecture_names_what_exists() -> None:
    """Every room, module, class and function of the walks."""
    names = {name for name in named(ROOT / "docs" / "architecture.md") if OF_GRACE.fullmatch(name)}
    assert len(names) > 40
    assert set(PLACE) - {"__init__", "__main__"} <= names
    assert [name for name in sorted(names) if not exists(name)] == []
    assert not exists("core.options.Nothing") and not exists("core.nothing")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(path: Path) -> None:
    """In backticks and in commands."""
    found = {name for name in A_FILE.findall(path.read_text("utf-8")) if not re.search(r"[A-Z]{4}", name)}
    assert [name for name in sorted(found - OURS) if not (ROOT / name).exists()] == []


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every line of a code block that begins with `grace`, as words."""
    for path in PAGES:
        for block in re.findall(r"```(?:\w*)\n(.*?)```", path.read_text("utf-8"), flags=re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if "grace " in line:
                    words = shlex.split(line.partition("#")[0].split("| ")[-1].strip())
                    if words and words[0] == "grace":
                        yield f"{path.relative_to(ROOT)}: {line.strip()}", words[1:]


@pytest.mark.parametrize(
    ("line", "words"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_command_is_one_of_grace(line: str, words: list[str]) -> None:
    """Its verb exists, and so does every option."""
    command: Any = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    if hasattr(command, "commands"):
        # `grace extract RUN` is short for `grace extract answers RUN`.
        command = command.commands["answers"]
    known = {name for parameter in command.params for name in parameter.opts + parameter.secondary_opts}
    given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert given - known == set()


@pytest.mark.parametrize("path", TOP, ids=lambda path: path.name)
def test_links_of_the_pages_at_the_top_lead_somewhere(path: Path) -> None:
    """Those of the site are checked when it is built."""
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text("utf-8")):
        file, _, anchor = target.partition("#")
        if "://" in target or not file:
            continue
        assert (ROOT / file).exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", (ROOT / file).read_text("utf-8"), flags=re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}, target
