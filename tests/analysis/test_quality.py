"""Option mass, completeness, failures, effort."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from grace_client.analysis import quality
from grace_client.core.errors import SpecError
from grace_client.run.manifest import Manifest, Session, Spec
from tests.analysis import frames


def test_option_mass() -> None:
    """Mean, minimum and share below one half, per question and per cell, of questions and not of options."""
    frame = frames.scored1()
    mass = pd.Series(np.where(frame["item"] == frame["item"].iloc[0], 0.25, 0.75), index=frame.index)
    frame = frame.assign(option_mass=mass)
    found = quality.option_mass(frame)
    assert list(found.columns) == [
        *["model", "question", "mean", "low", "high", "minimum", "share_below", "n", "n_distinct"]
    ]
    assert (found["n"] == 300).all() and (found["n_distinct"] == 6).all() and (found["minimum"] == 0.25).all()
    share = (frames.trials("study1")["item"] == frame["item"].iloc[0]).mean()
    assert found["share_below"].to_numpy() == pytest.approx(share)
    assert found["mean"].to_numpy() == pytest.approx(0.75 - 0.5 * share)
    cells = quality.option_mass(frame, ["question", "access", "observe"])
    assert len(cells) == 30 and cells["n"].sum() == 1500
    strict = quality.option_mass(frame, threshold=0.8)
    assert (strict["share_below"] == 1).all()
    with pytest.raises(SpecError, match="no row has an option mass"):
        quality.option_mass(frame.assign(option_mass=np.nan))


def test_free_text_that_was_cut_off_or_not_read() -> None:
    """Cut-off and unparsed answers are counted. Percentages on all states have a clear meaning."""
    answers = frames.said2().head(6)
    answers.loc[0, "finish_reason"] = "length"
    answers.loc[1:3, "structured"] = "unparsed"
    answers.loc[4, ["structured", "status", "reason"]] = [None, "timeout", "no answer within 60 s"]
    found = quality.completeness(answers).iloc[0]
    assert found[["n", "answered", "failed", "cut_off", "unparsed"]].tolist() == [6, 5, 1, 1, 3]
    bets = {f"bet_{s}": [np.nan, 25.0, *[np.nan] * 4] for s in range(4)}
    assert quality.completeness(answers.assign(**bets)).iloc[0]["unparsed"] == 2
    assert "unparsed" not in quality.completeness(answers.drop(columns="structured"))
    why = quality.failures(answers).iloc[0]
    assert (why["status"], why["reason"], why["count"], why["n"]) == (
        "timeout",
        "no answer within 60 s",
        1,
        6,
    )


def manifest(*sessions: Session, **results: object) -> Manifest:
    spec = Spec(experiment="e", engine={"model": "m"}, trials_sha256="", questions_sha256="")
    return Manifest(trials="", spec=spec, results=results, sessions=list(sessions))


def test_effort() -> None:
    """Recorded counts have rates per second. A count that was not recorded is missing, not zero."""
    cache = {"prefix_cache_queries": 500.0, "prefix_cache_hits": 450.0}
    one = Session(started="", asked=100, counters={"retries": 1, **cache})
    two = Session(started="", asked=80, counters={"retries": 2, **cache})
    told = {
        "items": 1500,
        "distinct": 180,
        "wall_seconds": 60.0,
        "tokens": {"prompt": 5400, "generated": 600},
    }
    found = quality.effort(
        {
            ("m", "e"): manifest(one, two, **told),
            ("a process was killed", "e"): manifest(one, **told),
            ("the server told nothing once", "e"): manifest(
                one, two.model_copy(update={"counters": {}}), **told
            ),
            ("an old run", "e"): manifest(items=10, distinct=5),
        }
    )
    assert found.iloc[0].tolist() == ["m", "e", 1500, 180, 60, 3, 5400, 600, 100, 3, 0.9]
    for row in (1, 2):
        assert found.iloc[row].tolist()[2:9] == found.iloc[0].tolist()[2:9]
        assert found.iloc[row][["retries", "prefix_cache_hit_rate"]].isna().all()
    assert found.iloc[3].drop(["model", "experiment", "n", "n_distinct"]).isna().all()
