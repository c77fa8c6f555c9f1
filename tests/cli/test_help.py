"""What a user sees before the first run: version, help, completion."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

from grace_client import __version__


def grace(*arguments: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", "from grace_client.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    ).stdout


def test_the_version() -> None:
    """A bug report can say which grace it is about."""
    assert grace("--version") == f"grace {__version__}\n"


def test_help_begins_with_an_example_and_is_in_panels() -> None:
    """The first thing to copy stands above the options; thirty of these in one list are read by nobody."""
    output = grace("run", "--help")
    parts = ("What to ask", "Server", "Model and hardware", "Free text", "Output")
    places = [output.index(f"─ {panel} ─") for panel in ("Arguments", *parts)]
    assert output.index("Example: grace run study1-exp2") < min(places)


def test_the_terminal_wraps_the_help() -> None:
    """A paragraph has no short line inside, whatever the width of the source is."""
    described = grace("campaign", "run", "--help", COLUMNS="80").partition("─ Options")[0].splitlines()
    lines = [line.rstrip() for line in described]
    inside = [line for line, following in itertools.pairwise(lines) if line and following]
    assert len(inside) >= 3 and min(map(len, inside)) > 60, described


def test_a_shell_completes_experiments() -> None:
    """A name that has begun is completed."""
    completion = {"_GRACE_COMPLETE": "complete_bash", "COMP_WORDS": "grace run study1-e", "COMP_CWORD": "2"}
    program = "import sys; sys.argv[0] = 'grace'; from grace_client.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | completion
    )
    assert done.stdout.split() == ["study1-exp1", "study1-exp2"]
