"""Study 2: shares, negation, chance levels, tests and utilities."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from grace_client.analysis import consistency, inference, quality
from grace_client.analysis._data.files import design
from grace_client.analysis.study2 import (
    UTTERANCES,
    anova,
    binomial,
    counts,
    differences,
    judgements,
    negation,
    negation_model,
    utilities,
    utterances,
)
from grace_client.core.errors import SpecError
from grace_client.core.trials import TrialList
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
        option=list(UTTERANCES) * len(rows),
        prob_norm=prob.ravel(),
        option_mass=0.9,
        status="ok",
        reason="",
    )


def test_human_negation() -> None:
    """The human counts give the published shares."""
    found = negation(frames.human())
    for goal, shares in NEGATION.items():
        assert found.loc[found["goal"] == goal, "mean"].round(3).tolist() == shares
    assert (found["n"] == 203).all() and (found["chance"] == 0.5).all()


def test_shares_of_scores_counts_and_answers() -> None:
    """Shares sum to 1 in every cell, scored ones are means over trials, and chance is 1/8."""
    for frame in (scored2(), frames.human(), frames.said2()):
        found = utterances(frame)
        assert list(found.columns) == [
            *["model", "goal", "state", "utterance", "mean", "low", "high", "n", "n_distinct", "chance"]
        ]
        assert found.groupby(["goal", "state"])["mean"].sum().to_numpy() == pytest.approx(1)
        assert (found["chance"] == 1 / 8).all() and len(found) == 96
        assert (found["low"] <= found["mean"]).all() and (found["mean"] <= found["high"]).all()
    frame = scored2()
    plain = frame[(frame["goal"] == "both") & (frame["state"] == "1 heart") & (frame["option"] == "was_bad")]
    found = utterances(frame)
    row = found.iloc[9]
    assert (row["goal"], row["state"], row["utterance"]) == ("both", "1 heart", "was_bad")
    assert row["mean"] == pytest.approx(plain["prob_norm"].mean())
    assert (row["n"], row["n_distinct"]) == (len(plain), 12)
    negated = frame["option"].str.startswith("wasnt")
    assert negation(frame)["mean"].mean() == pytest.approx(
        frame[negated]
        .groupby(["goal", "state"])["prob_norm"]
        .sum()
        .div(frame.groupby(["goal", "state"])["prob_norm"].sum())
        .mean()
    )


def masked(listed: TrialList) -> pd.DataFrame:
    """The design of a list, with the text of every stimulus with masked names."""
    rows = design(listed)
    rows["text"] = [
        "|".join(
            trial[column].replace(trial["SP_Name"], "S").replace(trial["LS_Name"], "L")
            for column in listed.schema.stimulus
        )
        for trial in listed.trials
    ]
    return rows.reset_index()


def test_no_interval_takes_names_for_stimuli(study2: TrialList) -> None:
    """By default no cluster of Study 2 is smaller than a text with masked names.

    A cell has some two hundred texts and twelve domains; a model that ignores names has twelve answers.
    """
    rows = masked(study2)
    texts = rows.groupby(["goal", "state"])["text"].nunique()
    assert (texts == 12).all() and (rows.groupby(["goal", "state"])["stimulus"].nunique() > 100).all()
    scored, free = scored_of(rows), said_of(rows)
    judged = pd.concat(
        [
            rows.loc[rows.index.repeat(2)].assign(
                question="appropriateness", option=["appropriate", "inappropriate"] * len(rows), prob_norm=0.5
            )
        ]
    ).assign(model="m", status="ok", utterance="It was okay")
    mass = {"option_mass": 0.5}
    pairs = consistency.pairs(free, scored)
    found = {
        "utterances": utterances(scored),
        "utterances, free": utterances(free),
        "negation": negation(scored),
        "counts": counts(free),
        "binomial": binomial(free),
        "judgements": judgements(judged),
        "option mass": quality.option_mass(scored.assign(**mass), ["goal", "state"]),
        "bootstrap": inference.mean_intervals(scored, "prob_norm", ["goal", "state", "option"]),
        "agreement": consistency.by_cell(pairs),
    }
    for name, table in found.items():
        most = table.set_index(["goal", "state"])["n_distinct"]
        assert (most <= texts.reindex(most.index)).all(), name
    whole = {
        "option mass": quality.option_mass(scored.assign(**mass)),
        "completeness": quality.completeness(scored),
        "failures": quality.failures(scored.assign(status="nan")),
        "agreement": consistency.summary(pairs),
    }
    for name, table in whole.items():
        assert (table["n_distinct"] <= rows["text"].nunique()).all(), name


def scored_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Answers that depend only on goal, state and domain."""
    number = pd.factorize(rows["goal"] + rows["state"] + rows["item"])[0]
    prob = np.random.default_rng(1).dirichlet(np.ones(8), number.max() + 1)[number]
    head = {"model": "m", "experiment": "study2-exp2", "question": "utterance", "status": "ok", "reason": ""}
    return rows.loc[rows.index.repeat(8)].assign(
        option=list(UTTERANCES) * len(rows), prob_norm=prob.ravel(), **head
    )


def said_of(rows: pd.DataFrame) -> pd.DataFrame:
    """One answer to each trial."""
    said = np.random.default_rng(1).choice(UTTERANCES, len(rows))
    head = {"model": "m", "experiment": "study2-exp1", "question": "utterance", "status": "ok", "reason": ""}
    return rows.assign(structured=said, response=said, replicate=1, finish_reason="stop", **head)


def test_an_interval_by_item_covers_names_that_do_not_matter() -> None:
    """Two hundred copies of twelve domains with other names have the interval of twelve domains."""
    scored = scored_of(frames.trials("study2"))
    twelve = scored.drop_duplicates(["goal", "state", "item", "option"])
    many, few = (utterances(frame) for frame in (scored, twelve))
    width, wanted = (table["high"] - table["low"] for table in (many, few))
    assert (width / wanted).median() == pytest.approx(1, abs=0.1)
    naive = utterances(scored, cluster="stimulus")
    assert ((naive["high"] - naive["low"]) / wanted).median() < 0.4
    with pytest.raises(SpecError, match="the same answer to all copies"):
        utterances(scored, cluster="participant")
    with pytest.raises(SpecError, match="the same answer to all copies"):
        negation(scored, cluster="participant")
    assert (negation(frames.said2(), cluster="participant")["n_distinct"] > 12).all()


def test_counts_have_no_clusters() -> None:
    """Counts with a cluster are an error."""
    for function in (utterances, negation):
        with pytest.raises(SpecError, match="cluster='item': a table of counts has no clusters"):
            function(frames.human(), cluster="item")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("goal", "kind", "column goal, row 3: 'kind' is not a level of the design. The levels are 'both'"),
        ("goal", None, "column goal, row 3: missing"),
        ("state", "4 hearts", "column state, row 3: '4 hearts' is not a level"),
    ],
)
def test_levels_that_are_none_are_named(column: str, value: object, message: str) -> None:
    """The error names column, row and value, for counts, scores and answers."""
    for frame, function in (
        (frames.human(), counts),
        (frames.human(), utterances),
        (frames.human(), binomial),
        (scored2().reset_index(drop=True), utterances),
        (scored2().reset_index(drop=True), negation),
        (frames.said2(), counts),
        (frames.said2(), negation_model),
    ):
        values = frame[column].astype("object").mask(frame.index == 3, value)
        with pytest.raises(SpecError, match=message):
            function(frame.assign(**{column: values}))


def test_filled_in_zero_rows_are_no_observations() -> None:
    """Rows with a count of 0 change no n, share or test."""
    full = frames.human()
    cells = full[["goal", "state", "utterance"]].drop_duplicates()
    nobody = cells[cells["goal"] == "both"].assign(model="other", count=0)
    bare = full[full["count"] > 0]
    filled = pd.concat([full, nobody], ignore_index=True)
    for function in (counts, utterances, negation, binomial):
        pd.testing.assert_frame_equal(function(filled), function(bare))
    assert (counts(filled)["n"] == 203).all()
    assert (counts(filled)["count"] == 0).any()


def test_chance_is_that_of_the_question() -> None:
    """A speaker who ignores everything is at chance: 1/8, 1/4 or 1/2 for utterance, adjective or negation."""
    blind = frames.human().assign(count=25)
    for of, chance in (("utterance", 1 / 8), ("adjective", 1 / 4), ("negation", 1 / 2)):
        found = binomial(blind, of=of)
        assert (
            (found["chance"] == chance).all() and (found["p"] == 1).all() and (found["mean"] == chance).all()
        )
        assert len(found) == 12 * {"utterance": 8, "adjective": 4, "negation": 1}[of]
    from scipy import stats

    assert stats.binomtest(50, 200, 1 / 8).pvalue < 1e-5


def test_scores_are_no_choices() -> None:
    """A binomial test of probabilities and a mixed model of counts are errors."""
    with pytest.raises(SpecError, match="these are scored probabilities"):
        binomial(scored2())
    with pytest.raises(SpecError, match="counts has no participants"):
        negation_model(frames.human())
    with pytest.raises(SpecError, match="method='vb'"):
        negation_model(frames.said2(), method="vb")
    with pytest.raises(SpecError, match="of='frame'"):
        binomial(frames.human(), of="frame")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": -1}, "row 0, column count: .*-1"),
        ({"count": 1.5}, "row 0, column count: .*1.5"),
        ({"utterance": "was_fine"}, "row 0, column utterance: 'was_fine'"),
        ({"utterance": "was_bad"}, "row 1, column utterance: 'was_bad'"),
    ],
)
def test_bad_counts_are_named(change: dict[str, object], message: str) -> None:
    """The message names row and column of a value that is not a count or an utterance, or appears twice."""
    frame = frames.human()
    for column, value in change.items():
        frame[column] = [value, *frame[column].iloc[1:]]
    with pytest.raises(SpecError, match=message):
        counts(frame)


def test_unclear_answers_are_no_choices() -> None:
    """Refusals do not count in n, and free text without any clear answer is an error."""
    answers = frames.said2()
    whole = counts(answers)
    answers.loc[answers.index[0], "structured"] = "unparsed"
    answers.loc[answers.index[1], ["structured", "status"]] = [None, "timeout"]
    assert counts(answers)["count"].sum() == whole["count"].sum() - 2
    with pytest.raises(SpecError, match="no answer is one of the eight"):
        utterances(answers.assign(structured="unparsed"))


def test_a_model_that_always_negates() -> None:
    """With complete separation every estimate is missing and marked, and nothing has converged."""
    answers = frames.said2(participants=5).assign(structured="wasnt_bad")
    for method in ("mixed", "gee"):
        fit = negation_model(answers, method=method)
        found = fit.terms
        assert fit.omnibus["p"].isna().all() and fit.omnibus["separated"].all()
        assert fit.contrasts["separated"].all() and fit.contrasts["estimate"].isna().all()
        assert found["separated"].all() and not found["converged"].any() and found["estimate"].isna().all()


def test_scored_probabilities_are_modelled_without_choices() -> None:
    """Scored probabilities get a fractional logit. A mixed model of them is an error with the next step."""
    with pytest.raises(SpecError, match="a mixed model needs choices, but these are scored probabilities"):
        negation_model(scored2(), method="mixed")
    with pytest.raises(SpecError, match=r"random=\['story'\]: choose among"):
        negation_model(frames.said2(), random=("story",))
    frame = scored_of(frames.trials("study2"))
    found = negation_model(frame)
    means = negation(frame).set_index(["goal", "state"])["mean"]
    odds = pd.Series(np.log(means / (1 - means)), index=means.index)
    terms = found.terms.set_index("term")["estimate"]
    assert terms["intercept"] == pytest.approx(odds["informational", "0 hearts"])
    apart = found.contrasts.set_index(["against", "state"])["estimate"]
    for state in ("0 hearts", "3 hearts"):
        assert apart["social", state] == pytest.approx(odds["both", state] - odds["social", state])
    both, social = (float(np.mean(odds[goal])) for goal in ("both", "social"))
    assert apart["social", "all"] == pytest.approx(both - social)


def test_differences_take_items_that_have_both_cells() -> None:
    """An item needs both cells to be a pair, and for `all` every state."""
    frame = scored_of(frames.trials("study2"))
    cell = (frame["goal"] == "both") & (frame["state"] == "1 heart")
    lost = frame[~(cell & (frame["item"] == frame["item"].iloc[0]))]
    found = differences(lost).set_index(["against", "state"])
    pairs = found["n_distinct"]["social"]
    assert pairs.to_dict() == {"0 hearts": 12, "1 heart": 11, "2 hearts": 12, "3 hearts": 12, "all": 11}
    whole = differences(frame).set_index(["against", "state"])
    np.testing.assert_allclose(
        whole["difference"]["social"][:4].mean(), whole["difference"]["social", "all"], rtol=1e-9
    )
    one = differences(frame, of="was_good")
    assert (one["n_distinct"] == 12).all() and not one["difference"].equals(whole["difference"])
    with pytest.raises(SpecError, match="counts has no items"):
        differences(frames.human())
    with pytest.raises(SpecError, match="of='was_fine'"):
        anova(frame, of="was_fine")


def test_utilities_are_those_of_the_literal_listener() -> None:
    """Utilities equal a calculation by hand; kind speech has more social utility than true speech."""
    meaning = np.full((8, 4), 0.01)
    meaning[0] = [1, 0, 0, 0]
    meaning[3] = [0, 0, 1, 1]
    sure = frames.human().assign(count=lambda t: 10 * (t["utterance"] == "was_amazing"))
    found = utilities(sure, semantics=meaning).set_index(["goal", "state", "utility"])["mean"]
    assert found["both", "3 hearts", "social"] == pytest.approx(2.5)
    assert found["both", "3 hearts", "informational"] == pytest.approx(np.log(0.5))
    assert found["both", "0 hearts", "informational"] == -np.inf
    scored = scored_of(frames.trials("study2"))
    scored["prob_norm"] = (scored["option"] == "was_amazing").astype(float)
    again = utilities(scored, semantics=meaning).set_index(["goal", "state", "utility"])
    pd.testing.assert_series_equal(again["mean"], found)
    assert (again["n_distinct"] == 12).all() and again["best"]["both", "0 hearts", "informational"] == 0
    people = utilities(frames.human()).set_index(["goal", "state", "utility"]).sort_index()
    kind, true = people["mean"]["social", "0 hearts"], people["mean"]["informational", "0 hearts"]
    assert kind["social"] > true["social"] and kind["informational"] < true["informational"]
    assert kind["informational"] == pytest.approx(-2.943, abs=5e-4)
    assert people["mean"]["both", "0 hearts", "informational"] == pytest.approx(-2.422, abs=5e-4)
    assert (people["low"] < people["mean"]).all() and (people["mean"] < people["best"]).all()
    with pytest.raises(SpecError, match=r"semantics .*\(4, 8\).*\(8, 4\)"):
        utilities(scored, semantics=meaning.T)
    with pytest.raises(SpecError, match="semantics: was_bad is true of no state"):
        utilities(scored, semantics=meaning * (np.arange(8) != 1)[:, None])
    with pytest.raises(SpecError, match="cluster='item': a table of counts"):
        utilities(frames.human(), cluster="item")


def test_no_item_effect_is_found_to_be_none() -> None:
    """If items do not differ, their standard deviation is 0, and the fit is valid."""
    answers = frames.said2(seed=5)
    rng = np.random.default_rng(0)
    shuffled = answers.assign(item=rng.integers(0, 3, len(answers)).astype(str))
    found = negation_model(shuffled, random=("participant", "item")).terms
    assert (
        found["converged"].all() and (found["sd_item"] < 0.2).all() and (found["sd_participant"] > 0.4).all()
    )


def test_judgements() -> None:
    """The mean quality score of certainty about "good" is 4, that of the uniform distribution 3.

    Each of the six sentences is judged apart.
    """
    rows = frames.judged()
    words = ["excellent", "good", "neutral", "poor", "terrible"]
    suits = np.where(rows["utterance"] == "It was okay", 0.9, 0.7)
    frame = pd.concat(
        [
            rows.loc[rows.index.repeat(5)].assign(
                question="quality", option=words * len(rows), prob_norm=[0, 1.0, 0, 0, 0] * len(rows)
            ),
            rows.loc[rows.index.repeat(2)].assign(
                question="appropriateness",
                option=["appropriate", "inappropriate"] * len(rows),
                prob_norm=np.column_stack([suits, 1 - suits]).ravel(),
            ),
        ],
        ignore_index=True,
    ).assign(model="m", status="ok")
    found = judgements(frame)
    assert list(found.columns[:5]) == ["model", "goal", "state", "utterance", "measure"]
    assert len(found) == 12 * 6 * 2 and found["utterance"].nunique() == 6
    assert found.groupby("measure")["n"].sum().tolist() == [2424, 2424]
    assert (found["n_distinct"] <= 12).all()
    assert found.loc[found["measure"] == "quality", "mean"].to_numpy() == pytest.approx(4)
    appropriate = found[found["measure"] == "appropriate"]
    okay = appropriate["utterance"] == "It was okay"
    assert appropriate.loc[okay, "mean"].to_numpy() == pytest.approx(0.9)
    assert appropriate.loc[~okay, "mean"].to_numpy() == pytest.approx(0.7)
    uniform = judgements(frame.assign(prob_norm=0.2))
    assert uniform.loc[uniform["measure"] == "quality", "mean"].to_numpy() == pytest.approx(3)
    with pytest.raises(SpecError, match="no column utterance"):
        judgements(frame.drop(columns="utterance"))


def test_one_item_in_a_cell_has_no_error() -> None:
    """A cell with one cluster has an estimate, but no error and no test."""
    rows = scored2()
    first = rows["item"].iloc[0]
    one = rows[(rows["item"] == first)]
    fit = negation_model(one)
    assert fit.terms["estimate"].notna().all()
    for name in ("se", "t", "p", "low", "high"):
        assert fit.terms[name].isna().all(), name
        assert fit.contrasts[name].isna().all(), name
    assert fit.omnibus["p"].isna().all()
    # One cell with one item among cells with many.
    cell = (rows["goal"] == "social") & (rows["state"] == "0 hearts")
    terms = negation_model(rows[~cell | (rows["item"] == first)]).terms.set_index("term")
    assert (terms["se"].dropna() > 0.01).all()


def test_a_contrast_needs_clusters_in_its_cells() -> None:
    """Degrees of freedom are those of the cell with the fewest items. A cell with one item has no test."""
    rows = scored2()
    items = list(rows["item"].unique())
    for kept, df in ((3, 2), (2, 1)):
        cell = (rows["goal"] == "social") & (rows["state"] == "3 hearts")
        few = negation_model(rows[~cell | rows["item"].isin(items[:kept])]).contrasts
        few = few.set_index(["against", "state"])
        assert few["df"]["social", "3 hearts"] == few["df"]["social", "all"] == df
        assert few["df"]["social", "1 heart"] == few["df"]["informational", "3 hearts"] == 11
        assert few["n_distinct"]["social", "3 hearts"] == kept
        assert few["p_exact"]["social", "3 hearts"] >= 2 / 2**kept
    one = negation_model(rows[~cell | (rows["item"] == items[0])]).contrasts.set_index(["against", "state"])
    tests = ["se", "t", "p", "p_holm", "low", "high", "p_exact"]
    assert one.loc[("social", "3 hearts"), tests].isna().all()
    assert one["estimate"].notna().all() and one.loc[("social", "1 heart"), tests].notna().all()


def test_a_cell_in_which_nobody_negates_is_not_silent() -> None:
    """A separated row has a penalised estimate and an exact test, but has not converged."""
    found = negation_model(frames.said2(separated=True)).contrasts.set_index(["against", "state"])
    rows = found.to_dict("index")
    lost, kept = rows["social", "3 hearts"], rows["social", "1 heart"]
    assert lost["separated"] and np.isnan(lost["estimate"]) and pd.isna(lost["converged"])
    assert 0 < lost["penalised_low"] < lost["penalised"] < lost["penalised_high"] < np.inf
    assert 2 / 2**12 <= lost["p_exact"] < 0.01
    assert kept["converged"] and kept["penalised"] == pytest.approx(kept["estimate"], abs=0.1)
    sure = frames.said2(participants=202)
    sure["structured"] = np.where(sure["goal"] == "both", "wasnt_bad", "was_bad")
    strong = negation_model(sure).contrasts
    assert strong["separated"].all() and strong["penalised"].between(3, 20).all()
    assert (strong["p_exact"] == 2 / 2**12).all()


def test_utilities_stay_within_what_utterances_gain() -> None:
    """Means and intervals stay between the utilities of the utterances, and every interval has a width.

    Models and people, all utterances, one alone, few trials; informational utility is never above 0.
    """
    human = frames.human()
    one = {u: human.assign(count=np.where(human["utterance"] == u, 203, 0)) for u in UTTERANCES}
    scored = scored2()
    few = scored[scored["trial_id"].isin(scored["trial_id"].unique()[:40])]
    for found in [utilities(frame) for frame in (scored, few, human, *one.values())]:
        known = found.dropna(subset=["low"])
        assert len(known)
        assert (known["low"] <= known["mean"] + 1e-9).all() and (known["mean"] <= known["high"] + 1e-9).all()
        assert (known["high"] <= known["best"] + 1e-9).all()
        assert (known["high"] - known["low"] > 1e-6).all()
        hearts = known[known["utility"] == "social"]
        assert hearts["low"].ge(0).all() and hearts["high"].le(3).all()
        assert known.loc[known["utility"] == "informational", "high"].lt(0).all()
    flat = utilities(human, semantics=np.ones((8, 4)))
    assert flat[["low", "high"]].isna().all(axis=None) and flat["mean"].notna().all()


def test_informational_utility_of_people() -> None:
    """With the judgements of 49 people, bad news that is said kindly has the least information."""
    found = utilities(frames.human()).set_index(["goal", "state", "utility"])["mean"]
    assert found["social", "0 hearts", "informational"] == pytest.approx(-2.94, abs=0.005)
    assert found["both", "0 hearts", "informational"] == pytest.approx(-2.42, abs=0.005)
