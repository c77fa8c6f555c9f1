"""Planned contrasts and analysis of variance of any study, against scipy and statsmodels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from grace_client.analysis import anova, contrasts, example, outcomes, quality, study2
from grace_client.analysis.inference import holm
from grace_client.core.errors import SpecError
from grace_client.studies.declaration import Experiment
from tests.analysis import third

Answers = tuple[pd.DataFrame, Experiment]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """The third study, scored."""
    return third.scored(tmp_path_factory.mktemp("third"))


def test_the_contrasts_of_the_study_file(scored: Answers) -> None:
    """With as many trials of each item on both sides, the test is the paired t test over items."""
    frame, experiment = scored
    found = contrasts(frame, experiment=experiment)
    assert found["contrast"].tolist() == ["amounts", "huge"]
    assert found["question"].tolist() == ["fit1, fit2", "word"] and found["paired"].all()
    table = outcomes(frame, experiment)
    fit = table[table["question"] != "word"].pivot_table("mean", "item", "amount")
    word = table[table["question"] == "word"].assign(past=table["tense"] == "past")
    word = word.pivot_table("prob_huge", "item", "past")
    for row, (greater, lesser) in zip(
        found.to_dict("records"), ((fit["most"], fit["few"]), (word[True], word[False])), strict=True
    ):
        wanted = stats.ttest_rel(greater, lesser, alternative="greater")
        assert row["difference"] == pytest.approx((greater - lesser).mean())
        assert (row["t"], row["p"], row["df"]) == pytest.approx((wanted.statistic, wanted.pvalue, 7))
        both = stats.ttest_rel(greater, lesser).confidence_interval()
        assert (row["low"], row["high"]) == pytest.approx((both.low, both.high))
        flips = stats.permutation_test(
            (greater - lesser,), np.mean, permutation_type="samples", alternative="greater"
        )
        assert row["p_exact"] == pytest.approx(flips.pvalue)
        assert row["n_distinct"] == 8
    assert found["n"].tolist() == [96, 48]
    assert found["p_holm"].tolist() == pytest.approx(holm(found["p"]).tolist())
    assert found["matters"].tolist() == ["yes" if found["low"][0] > 0.1 else "open", ""]


def test_items_of_one_condition_are_compared_as_different_ones(scored: Answers) -> None:
    """Welch's test over item means, where no item is on both sides."""
    frame, experiment = scored
    table = outcomes(frame, experiment).assign(
        list=lambda t: np.where(t["item"] < "scene e", "first", "second")
    )
    planned = [
        {"name": "lists", "greater": {"list": "second"}, "lesser": {"list": "first"}, "question": "fit"}
    ]
    found = contrasts(table, planned, experiment=experiment, alternative="two-sided").iloc[0]
    means = table[table["question"] != "word"].groupby(["list", "item"])["mean"].mean()
    wanted = stats.ttest_ind(means["second"], means["first"], equal_var=False)
    assert (found["t"], found["p"], found["df"]) == pytest.approx(
        (wanted.statistic, wanted.pvalue, wanted.df)
    )
    assert not found["paired"] and np.isnan(found["p_exact"]) and found["n_distinct"] == 8


def test_noise_of_a_contrast() -> None:
    """It is that of the difference of two goals in one cell, and of two cells without a common stimulus."""
    frame = example.scored("study2")
    noise = quality.noise(example.manifests("study2"))
    goal, condition = study2.CELL
    sides = [{goal: name, condition: "0 hearts"} for name in ("both", "social")]
    planned = [{"name": "goals", "greater": sides[0], "lesser": sides[1], "outcome": "prob_wasnt"}]
    found = contrasts(frame, planned, noise=noise, alternative="two-sided").iloc[0]
    wanted = study2.differences(frame, noise=noise).iloc[0]
    assert found["noise_floor"] == pytest.approx(wanted["noise_floor"], rel=0.02)
    assert found["difference"] == pytest.approx(wanted["difference"], abs=0.01) and not found["below_noise"]


def test_wrong_contrasts_are_named(scored: Answers) -> None:
    """Levels, columns, units and sides that do not exist; a level without answers has no values."""
    frame, experiment = scored
    few, most = {"amount": "few"}, {"amount": "most"}
    for contrast, message in (
        (
            {"name": "a", "greater": {"amount": "mots"}, "lesser": few},
            "'a': amount has no level 'mots'. Did you mean 'most'. It has: few, most",
        ),
        (
            {"name": "a", "greater": {"mood": "x"}, "lesser": few},
            "'a': there is no column 'mood'. Conditions: amount, tense",
        ),
        ({"name": "a", "greater": most, "lesser": few, "outcome": "prob_x"}, "no outcome 'prob_x'"),
        ({"name": "a", "greater": most}, "'a': lesser: Field required"),
    ):
        with pytest.raises(SpecError, match=message):
            contrasts(frame, [contrast], experiment=experiment)
    with pytest.raises(SpecError, match="declares no contrasts"):
        contrasts(example.scored("study2"))
    with pytest.raises(SpecError, match="choose stimulus, item, participant"):
        contrasts(frame, experiment=experiment, unit="scene")
    lost = contrasts(frame[frame["amount"] == "few"], experiment=experiment).iloc[0]
    assert (
        lost[["difference", "p", "low"]].isna().all()
        and lost["n_distinct"] in (0, 8)
        and lost["matters"] == "open"
    )


def test_anova_with_any_number_of_factors(scored: Answers) -> None:
    """Type II sums of squares with items as blocks are those of statsmodels."""
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    frame, experiment = scored
    table = outcomes(frame, experiment)
    fit = table[table["question"] != "word"]
    for factors, formula in (
        (["tense"], "mean ~ C(item) + C(tense)"),
        (["amount", "tense"], "mean ~ C(item) + C(amount) * C(tense)"),
        (["each_n", "amount", "tense"], "mean ~ C(item) + C(each_n) * C(amount) * C(tense)"),
    ):
        one = fit if "each_n" in factors else fit[fit["question"] == "fit1"]
        rows = one.assign(question="fit1")
        found = anova(rows, factors=factors, question="fit", experiment=experiment)
        means = rows.groupby(["item", *factors])["mean"].mean().reset_index()
        wanted = sm.stats.anova_lm(smf.ols(formula, means).fit(), typ=2)
        wanted = wanted.drop(index="C(item)")
        assert [effect.replace("C(", "").replace(")", "") for effect in wanted.index[:-1]] == found["effect"][
            :-1
        ].tolist()
        for column, other in (("ss", "sum_sq"), ("df", "df"), ("f", "F"), ("p", "PR(>F)")):
            np.testing.assert_allclose(found[column], wanted[other].to_numpy(), rtol=1e-6)
    with pytest.raises(SpecError, match="Name one to four columns"):
        anova(frame, factors=[], experiment=experiment)
