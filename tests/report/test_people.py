"""What the report says of models beside people and theory: against a baseline, and of enough answers only."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from grace_client import analysis
from grace_client.analysis import example
from grace_client.report import closeness, models, speaker
from grace_client.report.material import Material
from grace_client.report.parts import Section
from tests.report.test_content import said, table


def blind(scored: pd.DataFrame) -> pd.DataFrame:
    """The same answers under every goal: the mean of a state."""
    norm = scored.groupby(["state", "option"])["prob_norm"].transform("mean")
    return scored.assign(model="blind", prob_norm=norm, prob_raw=norm * scored["option_mass"])


@pytest.fixture(scope="module")
def compared() -> Section:
    """A model that speaks as people do and one that ignores the goal; in Study 1 one model."""
    scored = example.scored("study2").assign(model="near")
    frames = {
        "study2-exp2": pd.concat([scored, blind(scored)], ignore_index=True),
        "study1-exp2": example.scored("study1"),
    }
    found = models.comparison(Material(frames, {}, {}))
    assert found is not None
    return found


def test_models_beside_people_theory_and_baseline(compared: Section) -> None:
    """Every pair of model, people and theory, and who ignores the condition, over all cells and in each."""
    pairs = table(compared, "comparison-study2-exp2").frame
    assert list(zip(pairs["model"], pairs["beside"], strict=True)) == [
        ("near", "people"),
        ("blind", "people"),
        ("near", "RSA"),
        ("blind", "RSA"),
        ("RSA", "people"),
        ("ignores the goal", "people"),
    ]
    rows = pairs[pairs["beside"] == "people"]
    r, plain = (dict(zip(rows["model"], rows[c].astype(float), strict=True)) for c in ("r", "r_plain"))
    assert plain["ignores the goal"] == pytest.approx(0.937, abs=0.0005)
    assert np.isnan(r["ignores the goal"]) and np.isnan(r["blind"])
    assert plain["RSA"] == pytest.approx(0.99, abs=0.005)
    assert r["near"] > 0.8
    cells = table(compared, "comparison-study2-exp2-cells").frame
    assert cells.groupby(["model", "beside"]).size().tolist() == [12] * 5
    close = table(compared, "comparison-study1-exp2").frame
    assert close["model"].tolist() == ["example"] * 3 + ["ignores the access"] * 3
    assert close["r"].isna().tolist() == [False] * 3 + [True] * 3 and close["r_plain"].gt(0.5).iloc[3]
    own = table(compared, "comparison-study1-exp2-cells").frame
    assert list(own.columns) == ["model", "beside", "access", "observe", "js", "tv", "emd"]


def test_the_sentence_on_people_has_its_baseline(compared: Section) -> None:
    """Who is closest, with r, and beside it who ignores the goal and a second sample of people."""
    (sentence,) = (one for one in compared.summary if one.startswith("Study 2, scored"))
    assert sentence.startswith("Study 2, scored: near is closest to people (in ")
    assert "that of somebody who ignores the goal is 0.06" in sentence
    assert "a second sample of people 0.01 [" in sentence


@pytest.mark.parametrize(
    ("r", "js", "of", "told"),
    [
        ((0.6, 0.4, 0.7), (0.03, 0.055), 2, "m is closest to people"),
        ((0.6, 0.4, 0.7), (0.03, 0.055), 1, "m changes with the goal as people do, more than by chance"),
        ((0.1, -0.2, 0.4), (0.03, 0.055), 2, "m is the nearest to people over all cells, but is not shown"),
        ((0.1, -0.2, 0.4), (0.03, 0.055), 1, "m is not shown to change with the goal as people do"),
        ((-0.1, -0.3, 0.1), (0.3, 0.055), 2, "no model is closer to people than somebody who ignores"),
        ((0.9, 0.8, 0.95), (0.3, 0.055), 1, "m is no closer to people than somebody who ignores the goal"),
        ((np.nan,) * 3, (0.055, 0.055), 2, "no model is closer to people than somebody who ignores"),
        ((0.6, np.nan, np.nan), (0.03, 0.055), 1, "m is not shown to change with the goal as people do"),
    ],
)
def test_what_a_baseline_beats_is_not_called_close(
    r: tuple[float, float, float], js: tuple[float, float], of: int, told: str
) -> None:
    """Closest to people is said with a correlation above 0 and a divergence below the baseline's alone."""
    assert closeness.verdict("m", "the goal", r, js, of).startswith(told)


def test_too_few_answers_are_a_sentence() -> None:
    """Thirty trials of Study 2, seven answers of free text: what is missing is said, and no number stands."""
    scored, free = example.scored("study2"), example.free("study2")
    some = Material(
        {
            "study2-exp2": scored[scored["trial_id"].isin(scored["trial_id"].unique()[:30])],
            "study2-exp1": free[free["trial_id"].isin(free["trial_id"].unique()[:7])],
        },
        {},
        {},
    )
    found, both = models.comparison(some), models.agreement(some)
    assert found is not None and both is not None
    assert not found.tables and not found.summary
    assert "Not compared (Study 2, scored): example: " in said(found)
    assert "have answers to fewer than 3 items, such as " in said(found)
    assert "r =" not in said(both) and not both.summary
    assert "are not compared on the question utterance: " in said(both)
    assert "agreement-study2" not in [one.name for one in both.tables]


def test_the_theory_is_told_with_its_baseline() -> None:
    """The fit to people has r = .99, and somebody who ignores the goal .94."""
    text = speaker.theory(analysis.rsa.predict_study2(analysis.rsa.people()))
    assert "(r = 0.99 [" in text and "somebody who ignores the goal would have r = 0.94)" in text


def test_the_speaker_is_fitted_to_enough_answers_alone() -> None:
    """A model with few answers is named with what it lacks; one that ignores everything has no weights."""
    scored = example.scored("study2")
    few = scored[scored["trial_id"].isin(scored["trial_id"].unique()[:7])].assign(model="few")
    cost = np.where(scored["option"].str.startswith("wasnt"), 0.05, 0.2)
    even = scored.assign(model="even", prob_norm=cost)
    whole = pd.concat([scored, few, even], ignore_index=True)
    found = Section("study2-exp2", "Study 2")
    speaker.fits(found, analysis.study2.utterances(whole), analysis.study2.by_item(whole))
    wide = table(found, "study2-exp2-rsa").frame.set_index("parameter")
    assert list(wide.columns) == ["grace's fit to people", "example", "even"]
    assert "Not compared (the fit of the polite speaker): few: " in said(found)
    assert "The fit of the polite speaker to even ends at optimality 0, the limit" in said(found)
    assert wide.loc["both: social", "even"] == "–" != wide.loc["both: social", "example"]
    assert "Do not read" not in said(found)


def test_a_fit_whose_weights_all_ended_at_a_limit_is_not_to_be_read() -> None:
    """A model that says one utterance whatever the goal and the state has no weights that mean anything."""
    scored = example.scored("study2").assign(model="one")
    stuck = scored.assign(prob_norm=np.where(scored["option"] == "was_terrible", 0.93, 0.01))
    found = Section("study2-exp2", "Study 2")
    speaker.fits(found, analysis.study2.utterances(stuck), analysis.study2.by_item(stuck))
    wide = table(found, "study2-exp2-rsa").frame.set_index("parameter")["one"]
    even = 0.93 * np.log2(8 * 0.93) + 7 * 0.01 * np.log2(8 * 0.01)
    assert wide["kl of even answers"] == f"{even:.2f}"
    assert "Do not read the fitted values of one: every weight ended at a limit" in said(found)
