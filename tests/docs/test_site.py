"""The site is built without a warning, reads nothing from the network, and has every command and function."""

from __future__ import annotations

import html
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer

from grace_client import analysis
from grace_client.cli import app
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built anew. Links, anchors and examples that fail are errors."""
    if find_spec("sphinx") is None or find_spec("pydata_sphinx_theme") is None:
        missing = "the site's generator is not installed (the extra 'docs')"
        if os.environ.get("GRACE_TEST_ALL"):
            pytest.fail(missing)
        pytest.skip(missing)
    out = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "--quiet",
        "-b",
        "html",
        "-d",
        f"{out}-trees",
    ]
    done = subprocess.run([*command, str(ROOT / "docs"), str(out)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return out


def text(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text("utf-8")))


def test_nothing_comes_from_the_network(site: Path) -> None:
    """No script, style, font or picture of another host; links that a person follows are no such thing."""
    for page in site.rglob("*.html"):
        source = page.read_text("utf-8")
        loaded = re.findall(r'(?:\ssrc=|<link[^>]*\shref=)"((?:https?:)?//[^"]+)"', source)
        assert loaded == [], page


def leaves(command: Any, path: str) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path
    for name, one in (inner or {}).items():
        yield from leaves(one, f"{path} {name}")


def test_every_command_is_in_the_reference(site: Path) -> None:
    """With a heading of its own."""
    page = text(site / "reference" / "cli.html")
    names = list(leaves(typer.main.get_command(app), "grace"))
    assert len(names) > 15
    assert [name for name in names if name not in page] == []
    assert "--max-failed" in page


def test_every_function_for_analysts_is_in_the_reference(site: Path) -> None:
    """Of the package itself and of its public modules, each with an anchor."""
    anchors = {
        anchor
        for page in (site / "reference" / "analysis").glob("*.html")
        for anchor in re.findall(r'id="grace_client\.analysis\.([\w.]+)"', page.read_text("utf-8"))
    }
    for name in analysis.__all__:
        thing = getattr(analysis, name)
        if inspect.ismodule(thing):
            public = getattr(thing, "__all__", None) or [
                one
                for one, value in vars(thing).items()
                if getattr(value, "__module__", "") == thing.__name__
            ]
            functions = {
                f"{name}.{one}" for one in public if inspect.isfunction(getattr(thing, one)) and one[0] != "_"
            }
            assert functions <= anchors, functions - anchors
        else:
            module = thing.__module__.removeprefix("grace_client.analysis.")
            assert {name, f"{module}.{name}"} & anchors, name


def test_examples_have_run(site: Path) -> None:
    """The tutorial for analysts has a table and a figure that were computed while the site was built."""
    page = (site / "tutorials" / "analyst.html").read_text("utf-8")
    assert "<svg" in page
    assert "n_distinct" in text(site / "tutorials" / "analyst.html")
    assert "&lt;math" not in page
    assert "<math" in (site / "reference" / "analysis" / "distributions.html").read_text("utf-8")
