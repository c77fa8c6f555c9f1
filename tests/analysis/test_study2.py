"""Study 2: shares, negation, the right chance levels, and the traps in them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from grace_client.analysis import study2
from grace_client.errors import SpecError
from tests.analysis import frames

NEGATION = {
    "both": [0.734, 0.744, 0.064, 0.005],
    "social": [0.498, 0.429, 0.054, 0.010],
    "informational": [0.276, 0.581, 0.133, 0.015],
}
"""Human shares of negation at 0, 1, 2 and 3 hearts."""


def scored2(seed: int = 0) -> pd.DataFrame:
    """Scored Study 2: equal stimuli have equal answers."""
    rows = frames.trials("study2")
    number = pd.factorize(rows["stimulus"])[0]
    prob = np.random.default_rng(seed).dirichlet(np.ones(8), number.max() + 1)[number]
    return rows.loc[rows.index.repeat(8)].assign(
        model="m",
        experiment="study2-exp2",
        question="utterance",
        option=list(study2.UTTERANCES) * len(rows),
        prob_norm=prob.ravel(),
        option_mass=0.9,
        status="ok",
        reason="",
    )


def test_human_negation() -> None:
    """The human counts give the published shares."""
    found = study2.negation(frames.human())
    for goal, shares in NEGATION.items():
        assert found.loc[found["goal"] == goal, "mean"].round(3).tolist() == shares
    assert (found["n"] == 203).all() and (found["chance"] == 0.5).all()


def test_shares_of_scores_counts_and_answers() -> None:
    """Shares sum to 1 in every cell; scored ones are means over trials; the line is at 1/8."""
    for frame in (scored2(), frames.human(), frames.said2()):
        found = study2.utterances(frame, draws=200)
        assert list(found.columns) == [
            *["model", "goal", "state", "utterance", "mean", "low", "high", "n", "n_distinct", "chance"]
        ]
        assert found.groupby(["goal", "state"])["mean"].sum().to_numpy() == pytest.approx(1)
        assert (found["chance"] == 1 / 8).all() and len(found) == 96
        assert (found["low"] <= found["mean"]).all() and (found["mean"] <= found["high"]).all()
    frame = scored2()
    plain = frame[(frame["goal"] == "both") & (frame["state"] == "1 heart") & (frame["option"] == "was_bad")]
    found = study2.utterances(frame, draws=200)
    row = found.iloc[9]
    assert (row["goal"], row["state"], row["utterance"]) == ("both", "1 heart", "was_bad")
    assert row["mean"] == pytest.approx(plain["prob_norm"].mean())
    assert (row["n"], row["n_distinct"]) == (len(plain), plain["stimulus"].nunique())
    negated = frame["option"].str.startswith("wasnt")
    assert study2.negation(frame, draws=200)["mean"].mean() == pytest.approx(
        frame[negated]
        .groupby(["goal", "state"])["prob_norm"]
        .sum()
        .div(frame.groupby(["goal", "state"])["prob_norm"].sum())
        .mean()
    )


def test_clusters_may_be_items() -> None:
    """Clustered by domain, a cell has twelve observations."""
    found = study2.negation(scored2(), cluster="item", draws=200)
    assert (found["n_distinct"] == 12).all() and found["n"].sum() == 2424


def test_filled_in_zero_rows_are_no_observations() -> None:
    """A table with a row for every combination has the same n, shares and tests as one without empty rows."""
    full = frames.human()
    cells = full[["goal", "state", "utterance"]].drop_duplicates()
    nobody = cells[cells["goal"] == "both"].assign(model="other", count=0)
    bare = full[full["count"] > 0]
    filled = pd.concat([full, nobody], ignore_index=True)
    for function in (study2.counts, study2.utterances, study2.negation, study2.binomial):
        pd.testing.assert_frame_equal(function(filled), function(bare))
    assert (study2.counts(filled)["n"] == 203).all()
    assert (study2.counts(filled)["count"] == 0).any()


def test_chance_is_that_of_the_question() -> None:
    """A blind speaker is at chance at every level; against 1/8 a pooled adjective would be significant."""
    blind = frames.human().assign(count=25)
    for of, chance in (("utterance", 1 / 8), ("adjective", 1 / 4), ("negation", 1 / 2)):
        found = study2.binomial(blind, of=of)
        assert (
            (found["chance"] == chance).all() and (found["p"] == 1).all() and (found["mean"] == chance).all()
        )
        assert len(found) == 12 * {"utterance": 8, "adjective": 4, "negation": 1}[of]
    from scipy import stats

    assert stats.binomtest(50, 200, 1 / 8).pvalue < 1e-5


def test_scores_are_no_choices() -> None:
    """A binomial test of probabilities is refused; so are counts for the mixed model."""
    with pytest.raises(SpecError, match="these are scored probabilities"):
        study2.binomial(scored2())
    with pytest.raises(SpecError, match="counts do not tell who chose"):
        study2.negation_model(frames.human())
    with pytest.raises(SpecError, match="no method 'vb'"):
        study2.negation_model(frames.said2(), method="vb")
    with pytest.raises(SpecError, match="no test of 'frame'"):
        study2.binomial(frames.human(), of="frame")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": -1}, "row 0, column count: .* is no count"),
        ({"count": 1.5}, "row 0, column count: .* is no count"),
        ({"utterance": "was_fine"}, "row 0, column utterance: 'was_fine' is none of the eight"),
        ({"utterance": "was_bad"}, "row 1, column utterance: 'was_bad' is there twice in its cell"),
    ],
)
def test_bad_counts_are_named(change: dict[str, object], message: str) -> None:
    """Row and column of what is no count, no utterance, or there twice."""
    frame = frames.human()
    for column, value in change.items():
        frame[column] = [value, *frame[column].iloc[1:]]
    with pytest.raises(SpecError, match=message):
        study2.counts(frame)


def test_unclear_answers_are_no_choices() -> None:
    """Refusals are left out of n, and an extraction without one clear answer is an error."""
    answers = frames.said2()
    whole = study2.counts(answers)
    answers.loc[answers.index[0], "structured"] = "unparsed"
    answers.loc[answers.index[1], ["structured", "status"]] = [None, "timeout"]
    assert study2.counts(answers)["count"].sum() == whole["count"].sum() - 2
    with pytest.raises(SpecError, match="no answer is one of the eight"):
        study2.utterances(answers.assign(structured="unparsed"))


def test_a_model_that_always_negates() -> None:
    """Complete separation: every estimate is missing and marked, and nothing claims to converge."""
    answers = frames.said2(participants=5).assign(structured="wasnt_bad")
    for method in ("mixed", "gee"):
        found = study2.negation_model(answers, method=method)
        assert found["separated"].all() and not found["converged"].any() and found["estimate"].isna().all()


def test_no_item_effect_is_found_to_be_none() -> None:
    """Where items do not differ, their standard deviation goes to its bound of 0 and the fit stands."""
    answers = frames.said2(seed=5)
    rng = np.random.default_rng(0)
    shuffled = answers.assign(item=rng.integers(0, 3, len(answers)).astype(str))
    found = study2.negation_model(shuffled)
    assert (
        found["converged"].all() and (found["sd_item"] < 0.2).all() and (found["sd_participant"] > 0.4).all()
    )


def test_judgements() -> None:
    """The mean quality score of certainty about "good" is 4, that of the uniform distribution 3."""
    rows = frames.trials("study2").head(60)
    words = ["excellent", "good", "neutral", "poor", "terrible"]
    quality = rows.loc[rows.index.repeat(5)].assign(question="quality", option=words * 60)
    suits = rows.loc[rows.index.repeat(2)].assign(
        question="appropriateness", option=["appropriate", "inappropriate"] * 60
    )
    frame = pd.concat(
        [quality.assign(prob_norm=[0, 1.0, 0, 0, 0] * 60), suits.assign(prob_norm=[0.7, 0.3] * 60)]
    )
    frame = frame.assign(model="m", status="ok")
    found = study2.judgements(frame, draws=50)
    assert found.loc[found["measure"] == "quality", "mean"].to_numpy() == pytest.approx(4)
    assert found.loc[found["measure"] == "appropriate", "mean"].to_numpy() == pytest.approx(0.7)
    uniform = study2.judgements(frame.assign(prob_norm=0.2), draws=50)
    assert uniform.loc[uniform["measure"] == "quality", "mean"].to_numpy() == pytest.approx(3)
