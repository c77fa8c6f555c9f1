"""The noise floor of every effect table, against effects of answers that were disturbed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from grace_client.analysis import example, mark_noise, study1, study2
from grace_client.analysis._statistics.noise import PERCENTAGES, linear_gain
from grace_client.core.errors import SpecError
from tests.analysis import frames

SD = 0.02
"""Of an option's probability between repeats, in percentage points: small, where the delta method holds."""


def disturbed(frame: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """Answers scored again: every question's options move by SD, sum to 1 still, and copies move together."""
    asked = frame.drop_duplicates(["stimulus", "question", "option"])[["stimulus", "question", "option"]]
    question = [asked["stimulus"], asked["question"]]
    error = pd.Series(generator.normal(0, SD / 100, len(asked)), index=asked.index)
    number = error.groupby(question).transform("size")
    error = (error - error.groupby(question).transform("mean")) * np.sqrt(number / (number - 1))
    keys = ["stimulus", "question", "option"]
    moved = asked.assign(error=error).set_index(keys)["error"]
    return frame.assign(prob_norm=frame["prob_norm"] + frame.join(moved, on=keys)["error"])


EFFECTS: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "contrasts": ("study1", study1.contrasts, "difference"),
    "implicature": ("study1", lambda f: study1.implicature(f), "mean"),
    "cell_means": ("study1", lambda f: study1.cell_means(f), "mean"),
    "knowledge": ("study1", lambda f: study1.knowledge(f), "mean"),
    "utterances": ("study2", lambda f: study2.utterances(f), "mean"),
    "negation": ("study2", lambda f: study2.negation(f), "mean"),
    "differences": ("study2", study2.differences, "difference"),
}


@pytest.mark.parametrize("of", EFFECTS)
def test_the_floor_is_what_noise_makes(of: str) -> None:
    """The spread of an effect over answers that were scored again is the floor divided by 1.96.

    Trials are left out, so that copies are uneven. The ratio is pooled over the rows of the table; 60 repeats
    and at least 5 rows know it to about 6%.
    """
    study, function, column = EFFECTS[of]
    frame = example.scored(study)
    frame = frame[frame["trial_id"] % 7 > 0]
    if study == "study2":
        # Noise makes no probability negative: each of the eight has room for it.
        frame = frame[frame["trial_id"] <= 700]
        frame = frame.assign(prob_norm=0.5 * frame["prob_norm"] + 0.5 / 8)
    generator = np.random.default_rng(5)
    floor = mark_noise(function(frame), frame, of=of, manifests=example.manifests(study, sd=SD))
    effects = [function(disturbed(frame, generator))[column].to_numpy() for _ in range(60)]
    ratio = np.std(effects, axis=0, ddof=1) / (floor["noise_floor"].to_numpy() / 1.959964)
    assert np.sqrt((ratio**2).mean()) == pytest.approx(1, abs=0.13)
    assert ratio.max() < 1.5 and ratio.min() > 0.6


def test_a_percentage_gains_110() -> None:
    """One point of noise in each of the eleven options is 1.1 points in the elicited percentage."""
    assert linear_gain(PERCENTAGES) == pytest.approx(110)
    assert linear_gain(np.array([1.0, 0])) == pytest.approx(1)


def test_effects_are_marked() -> None:
    """Below the floor is below noise; without a measured floor nothing is said; shares are held to chance."""
    frame = frames.scored1()
    frame.attrs["manifests"] = {("m", "study1-exp2"): example.manifests("study1").popitem()[1]}
    table = study1.contrasts(frame)
    found = mark_noise(table, frame, of="contrasts")
    assert (found["below_noise"] == (found["difference"].abs() < found["noise_floor"])).all()
    none = table.assign(difference=0.0)
    assert mark_noise(none, frame, of="contrasts")["below_noise"].all()
    shuffled = mark_noise(table.iloc[::-1].assign(people=True), frame, of="contrasts")
    assert shuffled["noise_floor"].tolist() == found["noise_floor"].tolist()[::-1]
    bare = mark_noise(table, frame, of="contrasts", manifests={})
    assert bare["noise_floor"].isna().all() and bare["below_noise"].isna().all()
    assert "below_noise" not in mark_noise(study1.cell_means(frame), frame, of="cell_means")
    said = example.scored("study2")
    shares = study2.utterances(said)
    manifests = example.manifests("study2")
    marked = mark_noise(shares.assign(mean=1 / 8), said, of="utterances", manifests=manifests)
    assert marked["below_noise"].all()
    assert not mark_noise(shares.assign(mean=0.0), said, of="utterances", manifests=manifests)[
        "below_noise"
    ].any()


def test_floors_of_two_models_are_their_own() -> None:
    """Each model's noise is set beside its own effects."""
    two = pd.concat([frames.scored1(), frames.scored1(model="n")], ignore_index=True)
    small, large = (example.manifests("study1", sd=sd).popitem()[1] for sd in (0.1, 0.3))
    noise = {("m", "study1-exp2"): small, ("n", "study1-exp2"): large}
    found = mark_noise(study1.contrasts(two), two, of="contrasts", manifests=noise)
    floors = [own["noise_floor"].to_numpy() for _, own in found.groupby("model", sort=False)]
    np.testing.assert_allclose(floors[1], 3 * floors[0])


def test_what_has_no_floor_is_named() -> None:
    """An unknown table, free text, another frame's rows."""
    frame = frames.scored1()
    table = study1.contrasts(frame)
    with pytest.raises(SpecError, match="no table 'anova' to mark"):
        mark_noise(table, frame, of="anova")
    with pytest.raises(SpecError, match="free text is drawn at random"):
        mark_noise(table, frames.said2(), of="contrasts")
    with pytest.raises(SpecError, match=r"'model': 'other'.* has no answers in the frame"):
        mark_noise(table.assign(model="other"), frame, of="contrasts")
