"""The report compares models with people and theory, against baselines, and only with enough answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from grace_client import analysis
from grace_client.analysis import example
from grace_client.report.blocks import Section
from grace_client.report.runs import ReportData
from grace_client.report.theory import closeness, comparison, listener, speaker, study2
from tests.report.test_content import said, table


def blind(scored: pd.DataFrame) -> pd.DataFrame:
    """The same answers for every goal: the mean of each state."""
    norm = scored.groupby(["state", "option"])["prob_norm"].transform("mean")
    return scored.assign(model="blind", prob_norm=norm, prob_raw=norm * scored["option_mass"])


@pytest.fixture(scope="module")
def compared() -> Section:
    """In Study 2 a model that speaks as people do and one that ignores the goal; in Study 1 one model."""
    scored = example.scored("study2").assign(model="near")
    frames = {
        "study2-exp2": pd.concat([scored, blind(scored)], ignore_index=True),
        "study1-exp2": example.scored("study1"),
    }
    found = comparison.comparison(ReportData(frames, {}, {}))
    assert found is not None
    return found


def test_models_beside_people_theory_and_baseline(compared: Section) -> None:
    """Every pair of model, people and theory, and the baselines, over all cells and in each."""
    pairs = table(compared, "comparison-study2-exp2").frame
    assert list(zip(pairs["model"], pairs["beside"], strict=True)) == [
        ("near", "people"),
        ("blind", "people"),
        ("near", "RSA"),
        ("blind", "RSA"),
        ("RSA", "people"),
        (comparison.AVERAGED, "people"),
        (closeness.EVEN, "people"),
    ]
    rows = pairs[pairs["beside"] == "people"]
    r, plain = (dict(zip(rows["model"], rows[c].astype(float), strict=True)) for c in ("r", "r_plain"))
    assert plain[comparison.AVERAGED] == pytest.approx(0.937, abs=0.0005)
    assert np.isnan(r[comparison.AVERAGED]) and np.isnan(r["blind"])
    assert plain["RSA"] == pytest.approx(0.99, abs=0.005)
    assert r["near"] > 0.8
    js = dict(zip(rows["model"], rows["js"].astype(float), strict=True))
    assert js[comparison.AVERAGED] == pytest.approx(0.055, abs=0.0005)
    assert js[closeness.EVEN] == pytest.approx(0.352, abs=0.0005) and np.isnan(plain[closeness.EVEN])
    assert rows["js_low"].notna().all()
    cells = table(compared, "comparison-study2-exp2-cells").frame
    assert cells.groupby(["model", "beside"]).size().tolist() == [12] * 5
    close = table(compared, "comparison-study1-exp2").frame
    assert close["model"].tolist() == ["example"] * 3 + [listener.AVERAGED, closeness.EVEN] * 3
    assert close["r"].isna().tolist() == [False] * 3 + [True] * 6 and close["r_plain"].gt(0.5).iloc[3]
    assert close["n_items"].tolist() == [6] * 3 + [0] * 6 and close["emd_low"].notna().sum() == 3
    own = table(compared, "comparison-study1-exp2-cells").frame
    assert list(own.columns) == ["model", "beside", "access", "observe", "js", "tv", "emd"]


def test_the_sentence_on_people_has_its_baseline(compared: Section) -> None:
    """The sentence names the closest model, with r, both baselines and a second sample of people."""
    (sentence,) = (one for one in compared.summary if one.startswith("Study 2, scored answers: "))
    assert sentence.partition(": ")[2].startswith("near is closest to people (in ")
    assert "people's answers averaged over the goals: 0.055 [0.048, 0.063]" in sentence
    assert "every answer equally likely: 0.3" in sentence and "a second sample of people: 0.01" in sentence


@pytest.mark.parametrize(
    ("r", "js", "models", "start"),
    [
        ((0.6, 0.4, 0.7), (0.03, 0.02), 2, "m is closest to people"),
        ((0.6, 0.4, 0.7), (0.03, 0.02), 1, "m changes with the goal as people do, more than by chance"),
        ((0.1, -0.2, 0.4), (0.03, 0.02), 2, "m is the closest to people over all cells, but it is not shown"),
        ((0.1, -0.2, 0.4), (0.03, 0.02), 1, "m is not shown to change with the goal as people do"),
        ((0.6, np.nan, np.nan), (0.03, 0.02), 1, "m is not shown to change with the goal as people do"),
        ((-0.1, -0.3, 0.1), (0.3, 0.2), 2, "even the closest model, m, is further from people than the"),
        ((0.9, 0.8, 0.95), (0.3, 0.2), 1, "m is further from people than the baseline “averaged”"),
        (
            (0.9, 0.8, 0.95),
            (0.5, 0.4),
            1,
            "m is further from people than the baselines “averaged” and “even”",
        ),
        ((0.9, 0.8, 0.95), (0.06, 0.05), 1, "m is no closer to people than the baseline “averaged”"),
        ((np.nan,) * 3, (0.055, np.nan), 1, "m is no closer to people than the baseline “averaged”"),
    ],
)
def test_what_a_baseline_beats_is_not_called_close(
    r: tuple[float, float, float], js: tuple[float, float], models: int, start: str
) -> None:
    """A model is called closest only if r is above 0 and its divergence is below both baselines."""
    text = closeness.verdict("m", "the goal", r, js, {"averaged": 0.055, "even": 0.35}, models)
    assert text.startswith(start) and ("even" in text.replace("even the", "")) == (js[0] == 0.5)


def test_too_few_answers_are_a_sentence() -> None:
    """With too few answers the page says what is missing, and has no number."""
    scored, free = example.scored("study2"), example.free("study2")
    some = ReportData(
        {
            "study2-exp2": scored[scored["trial_id"].isin(scored["trial_id"].unique()[:30])],
            "study2-exp1": free[free["trial_id"].isin(free["trial_id"].unique()[:7])],
        },
        {},
        {},
    )
    found, both = comparison.comparison(some), comparison.consistency(some)
    assert found is not None and both is not None
    assert not found.tables and not found.summary
    assert "Not compared (Study 2, scored answers): example: " in said(found)
    assert "have answers to fewer than 3 items, such as " in said(found)
    assert "r =" not in said(both) and not both.summary
    assert "are not compared on the question utterance: " in said(both)
    assert "agreement-study2" not in [one.name for one in both.tables]


def test_the_theory_has_its_baseline() -> None:
    """The text has r = .99 of the fit to people, and .94 of answers averaged over the goals."""
    text = speaker.theory(analysis.rsa.predict_study2(analysis.rsa.people()))
    assert "r = 0.99 [" in text and "averaged over the goals would have r = 0.94." in text


def test_the_speaker_is_fitted_to_enough_answers_alone() -> None:
    """The page says what a model with few answers lacks. A model that ignores everything has no weights."""
    scored = example.scored("study2")
    few = scored[scored["trial_id"].isin(scored["trial_id"].unique()[:7])].assign(model="few")
    cost = np.where(scored["option"].str.startswith("wasnt"), 0.05, 0.2)
    even = scored.assign(model="even", prob_norm=cost)
    whole = pd.concat([scored, few, even], ignore_index=True)
    found = Section("study2-exp2", "Study 2")
    speaker.fits(found, analysis.study2.utterances(whole), analysis.study2.by_item(whole))
    wide = table(found, "study2-exp2-rsa").frame.set_index("parameter")
    assert list(wide.columns) == ["people (fitted by grace)", "example", "even"]
    assert "Not compared (the fit of the polite speaker): few: " in said(found)
    assert "The fit of the polite speaker to even ends at optimality 0, the limit" in said(found)
    assert wide.loc["both: social", "even"] == "–" != wide.loc["both: social", "example"]
    assert "Do not interpret" not in said(found)


def test_weights_of_a_speaker_that_never_changes_are_not_to_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """If r is undefined, the weights are in the table with a warning, and in no figure."""
    scored = example.scored("study2")
    nothing = dict.fromkeys(("r", "r_low", "r_high"), float("nan"))
    monkeypatch.setattr(closeness, "of_fit", lambda *_: nothing)
    found = Section("study2-exp2", "Study 2")
    speaker.fits(found, analysis.study2.utterances(scored), analysis.study2.by_item(scored))
    assert "Do not interpret the weights and phi of example: " in said(found)
    assert not found.figures and "both: phi" in set(table(found, "study2-exp2-rsa").frame["parameter"])


def test_bad_news_is_given_for_each_goal() -> None:
    """The sentence has, for each goal, people and the model, and the number of domains."""
    found = Section("study2-exp2", "Study 2")
    frame = example.scored("study2")
    means, negation = analysis.study2.utterances(frame), analysis.study2.negation(frame)
    study2._utterances(found, ReportData({}, {}), means, negation, "study2")
    (text,) = found.summary
    assert "to be kind and informative: people 73% [67, 79], example " in text
    assert text.count(" over 12 domains") == 3 and text.index("to be kind:") < text.index(
        "to be informative:"
    )
