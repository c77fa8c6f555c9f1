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


def apart(*models: tuple[str, float, float]) -> pd.DataFrame:
    """Differences from two baselines as `compare.against` gives them: a model, and its ends from the best."""
    rows = [
        (model, baseline, low + 0.01 - further, low - further, high - further)
        for model, low, high in models
        for baseline, further in (("averaged", 0.0), ("even", 0.3))
    ]
    table = pd.DataFrame(rows, columns=["model", "baseline", "difference", "low", "high"])
    return table.assign(closer=table["high"] < 0, best=table["baseline"] == "averaged")


NEAR, SAME, FAR, FARTHEST = (-0.03, -0.02), (-0.02, 0.01), (0.1, 0.2), (0.4, 0.5)


@pytest.mark.parametrize(
    ("r", "ends", "other", "start"),
    [
        ((0.6, 0.4, 0.7), NEAR, SAME, "m is closest to people"),
        ((0.6, 0.4, 0.7), NEAR, None, "m changes with the goal as people do, more than by chance"),
        (
            (0.1, -0.2, 0.4),
            NEAR,
            FAR,
            "m is the closest to people over all cells, but it is not shown to change",
        ),
        ((0.1, -0.2, 0.4), NEAR, None, "m is not shown to change with the goal as people do"),
        ((0.6, np.nan, np.nan), NEAR, None, "m is not shown to change with the goal as people do"),
        (
            (0.9, 0.8, 0.95),
            FAR,
            FAR,
            "none is close to people: the closest model, m, is further from people than",
        ),
        (
            (0.9, 0.8, 0.95),
            FAR,
            None,
            "m is not close to people: it is further from people than the baseline ",
        ),
        (
            (0.9, 0.8, 0.95),
            FARTHEST,
            None,
            "m is not close to people: it is further from people than the baselines",
        ),
        (
            (0.9, 0.8, 0.95),
            SAME,
            None,
            "m is not close to people: it is not shown to be closer to people than the",
        ),
        (
            (0.9, 0.8, 0.95),
            SAME,
            SAME,
            "none is close to people: the closest model, m, is not shown to be closer",
        ),
        ((np.nan,) * 3, (np.nan, np.nan), None, "m is not close to people: it is not shown to be closer"),
        (
            (0.9, 0.8, 0.95),
            SAME,
            NEAR,
            "m is the closest to people over all cells, but it is not shown to be",
        ),
    ],
)
def test_what_no_baseline_is_behind_is_not_called_close(
    r: tuple[float, float, float], ends: tuple[float, float], other: tuple[float, float] | None, start: str
) -> None:
    """A model is called close only if the interval of its difference from the best baseline is below 0."""
    table = apart(("m", *ends), *([("n", *other)] if other else []))
    text = closeness.verdict("m", "the goal", r, table)
    assert text.startswith(start)
    assert ("“even”" in text) == (ends is FARTHEST or np.isnan(ends[0]))
    assert ("n is shown to be closer" in text) == (other is NEAR)


def test_a_ranking_of_models_says_that_none_is_close() -> None:
    """Two models that ignore the goal, as the best baseline does, are ranked, but none is called close."""
    scored = blind(example.scored("study2"))
    some = 0.9 * scored["prob_norm"] + 0.1 / 8
    worse = scored.assign(model="worse", prob_norm=some, prob_raw=some * scored["option_mass"])
    data = ReportData({"study2-exp2": pd.concat([scored, worse], ignore_index=True)}, {}, {})
    found = comparison.comparison(data)
    assert found is not None
    sentence = next(one for one in found.summary if one.startswith("Study 2, scored answers: "))
    assert "none is close to people: the closest model, blind, is" in sentence
    assert "of the bootstrap samples" not in sentence and "is closest to people" not in sentence
    assert closeness.NONE in said(found)


def test_close_models_are_not_said_to_be_far(compared: Section) -> None:
    """The note on a ranking in which none is close is not there if one is."""
    assert closeness.NONE not in said(compared)


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
