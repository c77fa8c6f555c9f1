"""The noise floor of every effect table, against effects of answers that were disturbed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from grace_client.analysis import example, quality, study1, study2
from grace_client.analysis._statistics.noise import linear_gain
from grace_client.analysis.study1._bets import PERCENTAGES
from grace_client.core.errors import SpecError
from tests.analysis import frames

SD = 0.02
"""Of an option's probability between repeats, in percentage points: small, where the delta method holds."""


def disturbed(frame: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """Answers with noise: options move by SD, still sum to 1, and copies move together."""
    asked = frame.drop_duplicates(["stimulus", "question", "option"])[["stimulus", "question", "option"]]
    question = [asked["stimulus"], asked["question"]]
    error = pd.Series(generator.normal(0, SD / 100, len(asked)), index=asked.index)
    number = error.groupby(question).transform("size")
    error = (error - error.groupby(question).transform("mean")) * np.sqrt(number / (number - 1))
    keys = ["stimulus", "question", "option"]
    moved = asked.assign(error=error).set_index(keys)["error"]
    return frame.assign(prob_norm=frame["prob_norm"] + frame.join(moved, on=keys)["error"])


EFFECTS: dict[str, tuple[str, Any, str]] = {
    "contrasts": ("study1", study1.contrasts, "difference"),
    "implicature": ("study1", study1.implicature, "mean"),
    "cell_means": ("study1", study1.cell_means, "mean"),
    "knowledge": ("study1", study1.knowledge, "mean"),
    "utterances": ("study2", study2.utterances, "mean"),
    "negation": ("study2", study2.negation, "mean"),
    "differences": ("study2", study2.differences, "difference"),
}


def noise(study: str, sd: float = 0.1, model: str = "example") -> pd.DataFrame:
    """The noise of a model, in percentage points."""
    return quality.noise(example.manifests(study, sd=sd)).assign(model=model)


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_floor_is_what_noise_makes(effect: str) -> None:
    """The spread of an effect over answers that were scored again is the floor divided by 1.96.

    Trials are left out, so that copies are uneven. The ratio is pooled over the rows of the table; 60 repeats
    and at least 5 rows know it to about 6%.
    """
    study, function, column = EFFECTS[effect]
    frame = example.scored(study)
    frame = frame[frame["trial_id"] % 7 > 0]
    if study == "study2":
        # Noise makes no probability negative: each of the eight has room for it.
        frame = frame[frame["trial_id"] <= 700]
        frame = frame.assign(prob_norm=0.5 * frame["prob_norm"] + 0.5 / 8)
    generator = np.random.default_rng(5)
    floor = function(frame, noise=noise(study, SD))
    effects = [function(disturbed(frame, generator))[column].to_numpy() for _ in range(60)]
    ratio = np.std(effects, axis=0, ddof=1) / (floor["noise_floor"].to_numpy() / 1.959964)
    assert np.sqrt((ratio**2).mean()) == pytest.approx(1, abs=0.13)
    assert ratio.max() < 1.5 and ratio.min() > 0.6


def test_a_percentage_gains_110() -> None:
    """One point of noise in each of the eleven options is 1.1 points in the elicited percentage."""
    assert linear_gain(PERCENTAGES) == pytest.approx(110)
    assert linear_gain(np.array([1.0, 0])) == pytest.approx(1)


def test_effects_are_marked() -> None:
    """An effect below the floor is marked. A model without a measured floor has no mark."""
    frame = frames.scored1()
    found = study1.contrasts(frame, noise=noise("study1", model="m"))
    assert (found["below_noise"] == (found["difference"].abs() < found["noise_floor"])).all()
    pd.testing.assert_frame_equal(
        found, study1.contrasts(study1.bets(frame), noise=noise("study1", model="m"))
    )
    bare = study1.contrasts(frame, noise=noise("study1", model="other"))
    assert bare["noise_floor"].isna().all() and bare["below_noise"].isna().all()
    assert study1.contrasts(frame, noise=noise("study1", sd=500, model="m"))["below_noise"].all()
    assert "below_noise" not in study1.cell_means(frame, noise=noise("study1", model="m"))
    even = example.scored("study2").assign(prob_norm=1 / 8)
    assert study2.utterances(even, noise=noise("study2"))["below_noise"].all()
    assert study2.negation(even, noise=noise("study2"))["below_noise"].all()


def test_floors_of_two_models_are_their_own() -> None:
    """Each model has its own noise floor."""
    two = pd.concat([frames.scored1(), frames.scored1(model="n")], ignore_index=True)
    both = pd.concat([noise("study1", 0.1, "m"), noise("study1", 0.3, "n")])
    found = study1.contrasts(two, noise=both)
    floors = [own["noise_floor"].to_numpy() for _, own in found.groupby("model", sort=False)]
    np.testing.assert_allclose(floors[1], 3 * floors[0])


def test_what_has_no_floor_is_named() -> None:
    """Free text, percentages, and noise of two experiments are errors."""
    frame = frames.scored1()
    with pytest.raises(SpecError, match="free text"):
        study2.utterances(frames.said2(), noise=noise("study2", model="m"))
    with pytest.raises(SpecError, match="percentage"):
        study1.cell_means(frame, value="percentage", noise=noise("study1", model="m"))
    own = noise("study1", model="m")
    several = pd.concat([own, own.assign(experiment="study1-null")])
    assert study1.contrasts(frame, noise=several)["noise_floor"].notna().all()
    with pytest.raises(SpecError, match="m has several experiments"):
        study1.contrasts(study1.bets(frame), noise=several)
