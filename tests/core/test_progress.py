"""Progress as a line of JSON."""

from __future__ import annotations

import json

import pytest

from grace_client.cli import _output
from grace_client.core.progress import JSON, VARIABLE, Progress, ProgressLine


def test_a_line_is_read_as_it_was_written() -> None:
    """Every field of it."""
    line = ProgressLine("study1-exp2", done=42, total=180, failed=1, seconds_left=200)
    assert "\n" not in line.to_line()
    assert ProgressLine.from_line(line.to_line()) == line


@pytest.mark.parametrize(
    "text", ["", "study1-exp2: 42 of 180", "1", "{}", '{"done": 1, "total": 2}', '{"grace": "progress"}', "{"]
)
def test_other_lines_are_none(text: str) -> None:
    """Also those that are JSON."""
    assert ProgressLine.from_line(text) is None


def test_a_newer_line_is_read() -> None:
    """A client may be newer than the campaign that reads its log."""
    newer = json.dumps({"grace": "progress", "task": "noise", "done": 1, "total": 2, "speed": 3})
    assert ProgressLine.from_line(newer) == ProgressLine("noise", 1, 2)


def test_time_left_follows_from_this_processs_rate() -> None:
    """Answers of earlier processes do not count towards it."""
    progress = Progress(total=100, done=40)
    assert ProgressLine.of("noise", progress).seconds_left is None
    progress.done, progress.asked, progress.started = 50, 10, progress.started - 20
    assert ProgressLine.of("noise", progress).seconds_left == 100


def test_the_environment_asks_for_lines_of_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first state and the last; the same states are sentences without the variable."""
    states = [Progress(total=3, done=done) for done in range(4)]
    for value in (JSON, ""):
        monkeypatch.setenv(VARIABLE, value)
        with _output.progress("study2-exp2", quiet=False) as show:
            for state in states:
                show(state)
        read = [ProgressLine.from_line(line) for line in capsys.readouterr().err.splitlines()]
        expected = [ProgressLine("study2-exp2", done, 3) for done in (0, 3)]
        assert read == (expected if value else [None, None])
