"""Answers to reverse-keyed trials on the turned scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grace_client.analysis import outcomes, scales, shares
from tests.analysis import third


def test_scored_answers_change_sides(tmp_path: Path) -> None:
    """The mean of a turned distribution is the mean that outcomes gives; other questions stay."""
    frame, experiment = third.scored(tmp_path)
    found = scales.turned(frame, experiment)
    assert frame["reversed"].any() and not found["reversed"].any()
    assert scales.turned(found, experiment) is found
    word = frame["question"] == "word"
    pd.testing.assert_frame_equal(found[word], frame[word])
    values = dict(zip(third.RATING, (1, 2, 4), strict=True))
    rows = found[~word].assign(part=lambda t: t["option"].map(values) * t["prob_norm"])
    means = rows.groupby(["question", "trial_id"])["part"].sum()
    wanted = outcomes(frame, experiment).set_index(["question", "trial_id"])["mean"].dropna()
    np.testing.assert_allclose(means.sort_index(), wanted.sort_index())
    mean = shares(found, by=[], question="fit1", experiment=experiment).set_index("answer")["mean"]
    assert mean.index.tolist() == list(third.RATING)
    assert sum(mean[name] * value for name, value in values.items()) == pytest.approx(
        wanted.loc["fit1"].mean()
    )


def test_free_answers_change_sides() -> None:
    """A choice has another side, "unsure" has none, and a number is counted from the other end."""
    frame, experiment = third.said()
    found = scales.turned(frame, experiment)
    at = frame["reversed"]
    other = {"low": "high", "middling": "middling", "high": "low", "unsure": "unsure"}
    assert found.loc[at, "structured"].tolist() == [other[one] for one in frame.loc[at, "structured"]]
    pd.testing.assert_series_equal(found.loc[~at, "structured"], frame.loc[~at, "structured"])
    counted = frame.assign(reversed=frame["question"] == "count")
    sides = {"0": "2", "1": "1", "2": "0", "unparsed": "unparsed"}
    count = frame["question"] == "count"
    turned = scales.turned(counted, experiment).loc[count, "structured"]
    assert turned.tolist() == [sides[one] for one in frame.loc[count, "structured"]]
