"""`grace explain` of a run in several ways of asking."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import grace
from tests.report.conftest import Salted, make


def test_one_way_of_asking_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All ways, or the one that is named; a way that the run does not have is refused, with those it has."""
    run = make(tmp_path / "run", Salted("alpha"), "study2-exp2", 1, "one-by-one:order,cue")
    listed = str(pd.read_csv(next(run.glob("*_long.csv")))["trial_id"][0])
    capsys.readouterr()

    def explained(*more: str) -> list[dict[str, object]]:
        assert grace(monkeypatch, "explain", run, "--trial", listed, "--json", *more) == 0
        found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
        return found

    assert len(explained()) == 4
    ((one,), (base,)) = (explained("--way", way) for way in ("order=reversed", "base"))
    assert one["way"] == dict(base["way"]) | {"order": "reversed"}  # type: ignore[call-overload]
    first, second = (str(trace["asked"]).splitlines() for trace in (base, one))
    places = [lines.index("It was terrible") for lines in (first, second)]
    assert places[1] == places[0] + 7, "the first of eight sentences is the last"
    assert grace(monkeypatch, "explain", run, "--trial", listed, "--way", "order=odd") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "was not asked in the way 'order=odd'" in said
    assert "Its ways: base; order=reversed; order=rotated-4; cue=reply" in said
