"""The files for GitHub and pre-commit are what these programs read. They have not run there."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
TOOLS = Path(sys.executable).parent


def run(tool: str, *arguments: object) -> None:
    done = subprocess.run(
        [TOOLS / tool, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", WORKFLOWS),
        ("github-issue-forms", FORMS),
        ("github-issue-config", [GITHUB / "ISSUE_TEMPLATE" / "config.yml"]),
        ("dependabot", [GITHUB / "dependabot.yml"]),
        ("citation-file-format", [ROOT / "CITATION.cff"]),
    ],
)
def test_a_file_has_its_schema(schema: str, files: list[Path]) -> None:
    """The published ones, as the checker ships them."""
    assert files
    run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)


def test_workflows_give_nothing_away() -> None:
    """No injection, no needless permission, no credential left behind."""
    run("zizmor", "--offline", "--quiet", "--strict-collection", ".github")


def test_every_supported_python_is_tested() -> None:
    """On Linux and macOS; the package names the same versions."""
    matrix = yaml.safe_load((GITHUB / "workflows" / "test.yml").read_text())["jobs"]["test"]["strategy"][
        "matrix"
    ]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [
        line.rpartition(" ")[2] for line in project["classifiers"] if re.search(r"Python :: \d\.\d", line)
    ]
    assert matrix["python"] == named == ["3.11", "3.12", "3.13", "3.14"]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest"]


def test_what_workflows_run_is_there() -> None:
    """Every script and file of the checkout that a workflow names."""
    named = {
        name
        for path in WORKFLOWS
        for name in re.findall(
            r"(?<![\w/.-])(?:\./)?((?:scripts|tests|charts|\.github)/[\w./-]+\w)", path.read_text()
        )
    }
    assert {"scripts/test", "scripts/docs", "scripts/image", "charts/ct.yaml"} <= named
    assert [
        name for name in named if name != "charts/grace/ci/kind-values.yaml" and not (ROOT / name).exists()
    ] == []


def test_the_release_on_kind_renders() -> None:
    """It asks for no GPU."""
    from tests.chart.helm import render  # skips where there is no Helm

    assert "nvidia.com/gpu" not in str(render(GITHUB / "kind-values.yaml"))


def test_pre_commit_runs_the_tools_of_the_project() -> None:
    """Nothing is downloaded."""
    run("pre-commit", "validate-config", ".pre-commit-config.yaml")
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    assert all(hook["entry"].startswith(".venv/bin/") for hook in repository["hooks"])
