"""A command's work and its exit code do not depend on who still reads what it prints."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from grace_client import cli, studies
from grace_client.cli._output import say
from tests.conftest import ROOT

LIST = str(ROOT / "data" / "study1.csv")
WELL, BADLY = ["trials", "check", LIST], ["trials", "check", "/none.csv"]


def unread() -> int:
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def hung_up() -> int:
    """A terminal that was closed."""
    controller, terminal = pty.openpty()
    os.close(controller)
    return terminal


def ended(arguments: list[str], *, stdout: int, stderr: int) -> int:
    command = [sys.executable, "-m", "grace_client", *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=stdout, stderr=stderr, timeout=60).returncode


@pytest.mark.parametrize(
    "arguments", [WELL, BADLY, ["--help"], [*BADLY, "--json"], ["nonsense"]], ids=" ".join
)
@pytest.mark.parametrize("gone", [unread, hung_up])
def test_the_exit_code_is_that_of_the_work(arguments: list[str], gone: object) -> None:
    """Whoever has gone: the reader of results, of messages, or of both."""
    assert callable(gone)
    code = 0 if arguments in (WELL, ["--help"]) else 2
    for given in (gone(), subprocess.DEVNULL), (subprocess.DEVNULL, gone()), (gone(), gone()):
        assert ended(arguments, stdout=given[0], stderr=given[1]) == code


def test_a_reader_that_has_seen_enough() -> None:
    """`grace … | head -1`: the first line, no traceback, and the exit code of the work."""
    command = f"{sys.executable} -m grace_client --help"
    shell = ["bash", "-c", f"{command} | head -n 1; exit ${{PIPESTATUS[0]}}"]
    done = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout


def test_closed_from_the_beginning() -> None:
    """Messages do not appear among the results."""
    command = f"{sys.executable} -m grace_client {' '.join(BADLY)} 2>&-"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_full_disk_is_no_reader_that_has_gone() -> None:
    """The exit code says that results could not be written."""
    with Path("/dev/full").open("w") as full:
        assert ended(WELL, stdout=full.fileno(), stderr=subprocess.DEVNULL) not in (0, 2)
        assert ended(BADLY, stdout=subprocess.DEVNULL, stderr=full.fileno()) == 2


def test_another_broken_pipe_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is no reader of stdout; what was asked was not done."""

    def broken(*_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(studies, "read_trials", broken)
    monkeypatch.setattr(sys, "argv", ["grace", *WELL])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 3
    assert "connection to a program or a server was lost" in capsys.readouterr().err


@pytest.mark.parametrize("gone", [unread, hung_up])
def test_saying_never_fails(monkeypatch: pytest.MonkeyPatch, gone: object) -> None:
    """Whatever has become of stderr, and however often."""
    assert callable(gone)
    # Unbuffered: what could not be written is not tried again when the file is closed.
    with os.fdopen(gone(), "wb", buffering=0) as raw:
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, write_through=True))
        for _ in range(3):
            say("anybody?")
