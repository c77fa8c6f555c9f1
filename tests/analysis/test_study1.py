"""Study 1: bets, contrasts, and the analysis of variance of the triangular design."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from grace_client.analysis import exclusions, mean_intervals, study1
from grace_client.core.errors import SpecError
from tests.analysis import frames


def test_bets_are_dollars_of_a_hundred() -> None:
    """The four bets of a trial sum to 100 and are in the ratio of the elicited percentages."""
    found = study1.bets(frames.scored1())
    assert len(found) == 1200
    assert found.groupby("trial_id")["bet"].sum().to_numpy() == pytest.approx(100)
    one = found[found["trial_id"] == 1]
    assert (one["bet"] / one["percentage"]).to_numpy() == pytest.approx(100 / one["percentage"].sum())
    frame = frames.scored1()
    rows = frame[(frame["trial_id"] == 1) & (frame["question"] == "state2")]
    by_hand = (rows["prob_norm"] * rows["option"].astype(float)).sum()
    assert one["percentage"].iloc[2] == pytest.approx(by_hand)


def test_bets_by_story() -> None:
    """Every cell has six stories, and their mean, weighted by trials, is the mean of the cell."""
    items = study1.by_item(frames.scored1())
    assert items.groupby(["access", "observe", "state"])["item"].nunique().unique().tolist() == [6]
    weighted = items.assign(bet=100 * items["prob"] * items["n"])
    sums = weighted.groupby(["access", "observe", "state"])[["bet", "n"]].sum()
    means = study1.cell_means(frames.scored1()).set_index(["access", "observe", "state"])["mean"]
    assert (sums["bet"] / sums["n"]).to_numpy() == pytest.approx(means.loc[sums.index].to_numpy())


def test_a_trial_with_a_failed_question_has_no_bets() -> None:
    """A trial with three of four answers has no bets. Nothing is imputed."""
    frame = frames.scored1()
    lost = (frame["trial_id"] == 1) & (frame["question"] == "state2")
    frame.loc[lost, ["logprob", "prob_raw", "prob_norm", "option_mass"]] = np.nan
    frame.loc[lost, "status"] = "timeout"
    found = study1.bets(frame)
    assert len(found) == 1199 and found["bet"].isna().sum() == 3
    means = study1.cell_means(frame)
    first = frames.trials("study1").set_index("trial_id").loc[1]
    cell = means[(means["access"] == first["access"]) & (means["observe"] == first["observe"])]
    assert (cell["n"] == 49).all()
    kept, excluded = exclusions.incomplete(frame)
    assert kept["trial_id"].nunique() == 299
    assert excluded.to_dict("records") == [
        {
            "model": "m",
            "experiment": "study1-exp2",
            "trial_id": 1,
            "rule": "incomplete",
            "reason": "state2: timeout",
        }
    ]


def test_bets_of_free_text() -> None:
    """A named number is a bet of 100 dollars, percentages are bets, and other answers have no row."""
    rows = (
        frames.trials("study1")
        .head(4)
        .assign(model="m", experiment="study1-exp1", question="number", status="ok")
    )
    rows = rows.assign(replicate=1, response="…", structured=["2", "unparsed", "0", "unparsed"])
    rows[["bet_0", "bet_1", "bet_2", "bet_3"]] = np.nan
    rows.loc[3, ["bet_0", "bet_1", "bet_2", "bet_3"]] = [10.0, 20.0, 30.0, 40.0]
    found = study1.bets(rows).pivot_table(values="bet", index="trial_id", columns="state")
    assert found.to_numpy().tolist() == [[0, 0, 100, 0], [100, 0, 0, 0], [10, 20, 30, 40]]
    with pytest.raises(SpecError, match="grace extract RUN"):
        study1.bets(rows.assign(structured="unparsed").drop(columns=["bet_0"]))


def test_cells_and_knowledge() -> None:
    """There are six cells of fifty trials and six stimuli, and the means equal those of pandas."""
    frame = frames.scored1()
    means = study1.cell_means(frame)
    assert list(means.columns) == [
        *["model", "access", "observe", "state", "mean", "low", "high", "se", "n", "n_distinct"]
    ]
    assert len(means) == 24 and (means["n"] == 50).all() and (means["n_distinct"] == 6).all()
    assert (means["low"] <= means["mean"]).all() and (means["mean"] <= means["high"]).all()
    plain = study1.bets(frame).groupby(["access", "observe", "state"])["bet"].mean()
    assert means["mean"].to_numpy() == pytest.approx(plain.to_numpy())
    known = study1.knowledge(frame)
    yes = frame[frame["option"] == "yes"].groupby(["access", "observe"])["prob_norm"]
    assert known["mean"].to_numpy() == pytest.approx(yes.mean().to_numpy())
    assert known["share_yes"].to_numpy() == pytest.approx(yes.agg(lambda p: (p > 0.5).mean()).to_numpy())


def test_implicature_strength() -> None:
    """A listener who understands "one" as exactly one has a mean of 100 and a share of 1."""
    table = frames.bets()
    sure = table.assign(bet=np.where(table["state"].astype(str) == table["observe"], 100.0, 0.0))
    found = study1.implicature(sure)
    assert found[["access", "observe"]].to_numpy().tolist() == [
        ["1", "1"],
        ["2", "1"],
        ["2", "2"],
        ["3", "1"],
        ["3", "2"],
    ]
    assert (found["mean"] == 100).all() and (found["share"] == 1).all()
    literal = study1.implicature(table.assign(bet=25.0)).set_index(["access", "observe"])
    assert (literal["mean"] == 0).all()
    assert literal.loc[("3", "1"), "share"] == pytest.approx(1 / 3)
    assert literal.loc[("3", "2"), "share"] == pytest.approx(1 / 2)


def test_conditions_are_factors() -> None:
    """An access effect that goes up and down is found, because access is a factor and not a number."""
    table = frames.bets()
    table = table.assign(bet=25 + 10 * (table["access"] == "2") + 0.1 * (table["trial_id"] * 37 % 101))
    found = study1.anova(table, within="participant").set_index("effect")
    as_factor = float(found["p"]["access"])
    assert as_factor < 1e-10
    one = table[table["state"] == 3].assign(
        number=table["access"].astype(float), said=table["observe"].astype(float)
    )
    as_number = float(smf.ols("bet ~ number + said", one).fit().pvalues["number"])
    assert as_number > 1e10 * as_factor
    assert found["df"].tolist() == [2, 2, 1, 245]
    numbers = table.assign(access=table["access"].astype(int), observe=table["observe"].astype(float))
    again = study1.anova(numbers, within="participant")
    np.testing.assert_allclose(again["ss"], found["ss"], rtol=1e-9)


def test_frames_that_were_read_again_mean_the_same() -> None:
    """Numbers, categories and spaces around a level are that level. Any other value is an error."""
    frame, table = frames.scored1(), frames.bets()
    spelled: dict[str, pd.Series] = {
        "int64": frame["access"].astype(int),
        "float64": frame["access"].astype(float),
        "category": frame["access"].astype("category"),
        "blank": frame["access"] + " ",
    }
    wanted = study1.contrasts(frame)
    assert wanted["t"].notna().all()
    for access in spelled.values():
        again = frame.assign(access=access, observe=frame["observe"].astype(int))
        pd.testing.assert_frame_equal(study1.contrasts(again), wanted)
        pd.testing.assert_frame_equal(study1.knowledge(again), study1.knowledge(frame))
    back = table.assign(state=table["state"].astype(float), access=table["access"].astype(int))
    pd.testing.assert_frame_equal(study1.cell_means(back), study1.cell_means(table))
    for column, value, message in (
        (
            "access",
            "4",
            "column access, row 7: '4' is .* '1', '2', '3'",
        ),
        ("access", np.nan, "column access, row 7: missing"),
        ("observe", "some", "column observe, row 7: 'some' is not a level"),
    ):
        values = frame[column].astype("object").mask(frame.index == 7, value)
        for function in (study1.contrasts, study1.knowledge, study1.anova, exclusions.knowledge):
            with pytest.raises(SpecError, match=message):
                function(frame.assign(**{column: values}))
    with pytest.raises(SpecError, match="column state, row 0: '4' is not a level"):
        study1.cell_means(table.assign(state=4))
    with pytest.raises(SpecError, match="column observe, row 0: 3 where access is 1"):
        study1.bets(frame.assign(access="1", observe="3"))


def test_copies_are_not_participants() -> None:
    """300 copies of 36 stimuli are 36 observations, and cannot be analysed as 50 participants."""
    frame = frames.scored1()
    found = study1.anova(frame)
    assert (found["n"] == 300).all() and (found["n_distinct"] == 36).all()
    assert found["df"].tolist() == [2, 2, 1, 36 - 6 - 5]
    with pytest.raises(SpecError, match="its 300 values are only 36 observations"):
        study1.anova(frame, within="participant")
    for function in (study1.cell_means, study1.knowledge, study1.implicature):
        with pytest.raises(SpecError, match="the same answer to all copies"):
            function(frame, cluster="participant")
    with pytest.raises(SpecError, match="its 1200 values are only 144 observations"):
        study1.contrasts(frame, unit="participant")
    with pytest.raises(SpecError, match="unit='story'"):
        study1.contrasts(frame, unit="story")
    people = frames.scored1(people=True)
    assert (study1.contrasts(people, unit="participant")["n_distinct"] == 50).all()
    assert (study1.cell_means(people, cluster="participant")["n_distinct"] == 50).all()
    once = study1.anova(study1.bets(frame).drop_duplicates(["stimulus", "state"]))
    np.testing.assert_allclose(found["ss"], once["ss"], rtol=1e-9)
    assert (study1.contrasts(frame)["n_distinct"] == 6).all()


def test_a_mean_over_cells_is_over_stories() -> None:
    """The interval of a mean over cells is over 6 stories, because its 36 stimuli are not independent."""
    frame = study1.coherence(frames.scored1())
    over = {story: 90.0 + 10 * place for place, story in enumerate(frame["item"].unique())}
    frame = frame.assign(total=frame["item"].map(over))
    pooled = mean_intervals(frame, "total", ["model"], bounds=(0, 400)).iloc[0]
    one = frame.drop_duplicates("item").merge(frame.groupby("item").size().rename("n").reset_index())
    weight = one["n"] / one["n"].sum()
    pull = weight * (one["total"] - (weight * one["total"]).sum())
    assert pooled["n_distinct"] == 6
    assert pooled["se"] == pytest.approx(float(np.sqrt((pull**2 / (1 - weight)).sum())))
    stimuli = mean_intervals(frame, "total", ["model"], cluster="stimulus", bounds=(0, 400)).iloc[0]
    assert pooled["high"] - pooled["low"] > 2 * (stimuli["high"] - stimuli["low"])
    unnamed = mean_intervals(frame.drop(columns="item"), "total", ["model"], bounds=(0, 400)).iloc[0]
    assert unnamed["n_distinct"] == 36


def test_perfectly_separated_conditions() -> None:
    """If nothing varies within cells, F and t are missing, and p is that of the sign test."""
    table = frames.bets()
    sure = table.assign(bet=np.where(table["state"].astype(str) == table["observe"], 100.0, 0.0))
    tested = study1.contrasts(sure)
    assert tested[["t", "d_z"]].isna().all(axis=None) and (tested["p"].iloc[[0, 1, 2]] == 0.5**6).all()
    variance = study1.anova(sure, within=None).set_index("effect")
    assert variance[["f", "p"]].isna().all(axis=None)
    flat = table.assign(bet=25.0)
    assert study1.contrasts(flat)[["t", "p", "p_holm", "d_z"]].isna().all(axis=None)
    assert study1.anova(flat, within=None)[["f", "p"]].isna().all(axis=None)


def test_contrasts_of_two_models_are_corrected_apart() -> None:
    """Holm's family is the eight contrasts of one model."""
    one, two = frames.bets(seed=1), frames.bets(seed=2).assign(model="n")
    both = study1.contrasts(pd.concat([one, two]), unit="participant")
    alone = study1.contrasts(one, unit="participant")
    assert both["model"].tolist() == ["m"] * 8 + ["n"] * 8
    pd.testing.assert_frame_equal(both.head(8), alone)


def test_models_stand_in_the_order_of_the_answers() -> None:
    """In every table, whatever their names."""
    frame = frames.bets()
    both = pd.concat([frame.assign(model="zebra"), frame.assign(model="ant")], ignore_index=True)
    for table in (study1.contrasts, study1.access_effects, study1.implicature):
        assert list(dict.fromkeys(table(both)["model"])) == ["zebra", "ant"], table.__name__


def test_exclusion_rules_say_what_they_did() -> None:
    """Every trial is either kept, or excluded with a reason."""
    frame = frames.scored1()
    for rule, options in (
        (exclusions.low_mass, {"minimum": 0.6}),
        (exclusions.incoherent, {"tolerance": 30.0}),
        (exclusions.knowledge, {"minimum": 0.5}),
    ):
        kept, excluded = rule(frame, **options)
        assert set(kept["trial_id"]).isdisjoint(excluded["trial_id"])
        assert kept["trial_id"].nunique() + len(excluded) == 300
        assert len(excluded) > 0 and excluded["reason"].str.len().min() > 10
    right = frame[(frame["option"] == "yes") & ((frame["access"] == "3") == (frame["prob_norm"] >= 0.5))]
    assert set(exclusions.knowledge(frame).kept["trial_id"]) == set(right["trial_id"])
    totals = study1.coherence(frame)
    assert set(exclusions.incoherent(frame).kept["trial_id"]) == set(
        totals.loc[(totals["total"] - 100).abs() <= 10, "trial_id"]
    )
    answers = frames.said2().head(3).assign(category=["answer", "refusal", "answer"])
    answers["structured"] = ["was_good", "unparsed", "was_bad"]
    kept, excluded = exclusions.unclear(answers)
    assert len(kept) == 2 and excluded["reason"].tolist() == ["refusal"]


def test_what_cannot_be_is_named() -> None:
    """The wrong study, an unknown state and an unknown unit are errors."""
    with pytest.raises(SpecError, match="has no column access, observe"):
        study1.cell_means(frames.said2())
    with pytest.raises(SpecError, match="there is no state 4"):
        study1.anova(frames.bets(), state=4)
    with pytest.raises(SpecError, match="within='subject'"):
        study1.anova(frames.bets(), within="subject")
    only = frames.scored1()
    with pytest.raises(SpecError, match="no state question was answered"):
        study1.bets(only.assign(status="nan"))
    with pytest.raises(SpecError, match="the knowledge question has no answer"):
        study1.knowledge(only[only["question"] != "knowledge"])


def test_every_trial_counts_the_same_in_every_table() -> None:
    """Means and contrasts have the same dollars, also if stimuli have unequal numbers of copies."""
    frame = frames.scored1(seed=2)
    frame = frame[frame["trial_id"] % 7 > 2]
    means = study1.cell_means(frame).set_index(["access", "observe", "state"])["mean"]
    for row in study1.contrasts(frame).to_dict("records"):
        cell = (row["access"], row["observe"])
        assert row["mean_greater"] == pytest.approx(means[(*cell, row["greater"])], rel=1e-12)
        assert row["difference"] == pytest.approx(
            means[(*cell, row["greater"])] - means[(*cell, row["lesser"])], rel=1e-9
        )
        assert -100 <= row["low"] < row["high"] <= 100
    for row in study1.access_effects(frame).to_dict("records"):
        leads = [
            means[access, row["observe"], row["greater"]] - means[access, row["observe"], row["lesser"]]
            for access in ("3", row["observe"])
        ]
        assert (row["full"], row["partial"]) == pytest.approx(leads)
        assert row["difference"] == pytest.approx(leads[0] - leads[1])


def test_the_effect_of_access_is_a_paired_test_of_stories() -> None:
    """With equal numbers of trials, the test is a t test of the stories' differences between leads."""
    table = frames.bets()
    stories = table.groupby(["item", "stimulus", "access", "observe", "state"])["bet"].mean().reset_index()
    even = stories.assign(model="m", participant="p", trial_id=pd.factorize(stories["stimulus"])[0])
    found = study1.access_effects(even.assign(percentage=np.nan)).iloc[0]
    wide = even.pivot_table(index="item", columns=["access", "observe", "state"], values="bet")
    lead = wide["3", "2", 2] - wide["3", "2", 3] - wide["2", "2", 2] + wide["2", "2", 3]
    wanted = stats.ttest_1samp(lead, 0, alternative="greater")
    assert (found["t"], found["df"], found["p"]) == pytest.approx((wanted.statistic, 5, wanted.pvalue))
    assert found["difference"] == pytest.approx(lead.mean()) and found["n_distinct"] == 6
