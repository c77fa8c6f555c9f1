"""Mixed and logistic models of any study: closed forms, statsmodels, and formulas that are refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from grace_client.analysis import anova, example, logistic, mixed, outcomes, study1, study2
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.studies.declaration import Experiment
from tests.analysis import frames, third

Answers = tuple[pd.DataFrame, Experiment]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """The third study, scored."""
    return third.scored(tmp_path_factory.mktemp("third"))


def test_a_mixed_model_of_two_conditions_is_the_paired_t_test(scored: Answers) -> None:
    """In a balanced design: estimate, t, degrees of freedom and p."""
    frame, experiment = scored
    found = mixed(frame, "mean ~ quantifier + (1 | scene)", experiment=experiment)
    means = outcomes(frame, experiment).query("question != 'word'").pivot_table("mean", "item", "amount")
    wanted = stats.ttest_rel(means["most"], means["few"])
    row = found.iloc[1]
    assert found["term"].tolist() == ["intercept", "amount[most]"] and found["converged"].all()
    assert row["estimate"] == pytest.approx((means["most"] - means["few"]).mean())
    assert (row["t"], row["df"], row["p"]) == pytest.approx((wanted.statistic, 7, wanted.pvalue), rel=1e-5)
    assert (found["n"].iloc[0], found["n_distinct"].iloc[0]) == (96, 16)


def test_the_model_of_the_study_file_has_the_tests_of_the_analysis_of_variance(scored: Answers) -> None:
    """An interaction with two degrees of freedom: the Wald test of its terms is the F test."""
    frame, experiment = scored
    found = mixed(frame, experiment=experiment)
    assert found["term"].tolist()[1:] == [
        *("amount[most]", "tense[present]", "tense[future]"),
        *("amount[most]:tense[present]", "amount[most]:tense[future]"),
    ]
    assert found["df"].tolist() == [7, *[35] * 5]
    table = outcomes(frame, experiment).query("question != 'word'").assign(question="fit1")
    effects = anova(table, "prob_high", question="fit", experiment=experiment).set_index("effect")
    own = mixed(frame, "prob_high ~ amount * tense + (1 | scene)", experiment=experiment)
    assert own["sd_item"].iloc[0] > 0
    assert own["sd_residual"].iloc[0] ** 2 == pytest.approx(effects.loc["residual", "ms"], rel=1e-5)


def crossed(participants: int = 15) -> pd.DataFrame:
    """Outcomes with crossed groups, a number as predictor, and unbalanced rows."""
    generator = np.random.default_rng(1)
    cells = [(f"i{i}", f"p{p}", i, p) for i in range(8) for p in range(participants) if (i * p) % 4]
    rows = pd.DataFrame(cells, columns=["item", "participant", "i", "p"])
    rows["amount"] = np.where((rows.pop("i") + rows.pop("p")) % 2, "few", "most")
    rows["tense"] = generator.choice(["past", "present"], len(rows))
    rows["size"] = generator.normal(0, 1, len(rows))
    effect = {
        name: generator.normal(0, 0.4) for name in [*rows["item"].unique(), *rows["participant"].unique()]
    }
    rows["mean"] = 0.2 * rows["size"] + 0.3 * (rows["amount"] == "most") + generator.normal(2, 0.3, len(rows))
    rows["mean"] += rows["item"].map(effect) + rows["participant"].map(effect)
    return rows.assign(model="m", question="fit1", stimulus=rows["item"] + rows["participant"])


def test_a_mixed_model_is_that_of_statsmodels_inside_its_bounds() -> None:
    """A factor and a number; and a plain regression where the groups have no variance."""
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    rows, experiment = crossed(), third.study().experiments["scenes-rated"]
    found = mixed(rows, "mean ~ amount + size + (1 | participant)", experiment=experiment)
    theirs = smf.mixedlm("mean ~ C(amount) + size", rows, groups="participant").fit(reml=True)
    np.testing.assert_allclose(found["estimate"], theirs.fe_params, rtol=1e-5)
    np.testing.assert_allclose(found["se"], theirs.bse_fe, rtol=1e-2)
    assert found["sd_participant"].iloc[0] ** 2 == pytest.approx(theirs.cov_re.iloc[0, 0], rel=1e-3)
    # Each item has the same mean.
    flat = rows.iloc[:56].assign(item=[f"i{i // 8}" for i in range(56)])
    flat["mean"] = np.tile([1.0, 3.0], 28) + 0.1 * flat["size"]
    own = mixed(flat, "mean ~ size + (1 | item)", experiment=experiment)
    plain = sm.OLS(flat["mean"], sm.add_constant(flat["size"])).fit()
    assert own["sd_item"].iloc[0] == 0
    np.testing.assert_allclose(own["estimate"], plain.params, rtol=1e-6)
    np.testing.assert_allclose(own["se"], plain.bse, rtol=1e-6)


def test_a_logistic_model_is_that_of_study_2() -> None:
    """Log odds ratios between goals in each cell; those without a finite value are missing."""
    goal, condition = study2.CELL
    frame = example.scored("study2")
    found = logistic(frame, f"prob_wasnt ~ {condition} * {goal}").set_index("term")
    wanted = study2.negation_model(frame, method="gee").contrasts
    one = wanted[(wanted["against"] == "social") & (wanted[condition] == "0 hearts")].iloc[0]
    row = found.loc[f"{goal}[social]"]
    assert -row["estimate"] == pytest.approx(one["estimate"]) and row["se"] == pytest.approx(one["se"])
    assert (row["df"], row["p"]) == pytest.approx((11, one["p"])) and not found["separated"].any()
    said = frames.said2(separated=True)
    ours = logistic(said, f"prob_wasnt ~ {goal} * {condition}", cluster="item").set_index("term")
    theirs = study2.negation_model(said, method="gee").contrasts
    lost = f"{goal}[social]:{condition}[3 hearts]"
    assert ours.index[ours["separated"]].tolist() == [lost] and np.isnan(ours["estimate"][lost])
    own = theirs[(theirs["against"] == "social") & (theirs[condition] == "0 hearts")].iloc[0]
    assert -float(ours["estimate"][f"{goal}[social]"]) == pytest.approx(own["estimate"], rel=1e-6)


def test_formulas_run_nothing_and_say_what_is_wrong(scored: Answers) -> None:
    """What cannot be read, what does not exist, and what cannot be fitted."""
    frame, experiment = scored
    for formula, message in (
        ("mean ~ __import__('os').system('true') + (1 | item)", "cannot be read"),
        ("mean ~ C(amount) + (1 | item)", "cannot be read"),
        ("mean ~ amount + (tense | item)", "a random slope"),
        ("mean ~ amount:tense + (1 | item)", r"amount:tense needs amount too. Write amount\*tense"),
        ("mean ~ amount", "no random intercept"),
        ("mean ~ mood + (1 | item)", "has no column mood"),
        ("mood ~ amount + (1 | item)", "no outcome 'mood'"),
        ("a ~ b ~ c", "cannot be read"),
    ):
        with pytest.raises(SpecError, match=message):
            mixed(frame, formula, experiment=experiment)
    with pytest.raises(SpecError, match="declares no model"):
        mixed(example.scored("study1"))
    with pytest.raises(SpecError, match="mean is not a probability"):
        logistic(frame, "mean ~ amount", experiment=experiment)
    few = frame[frame["amount"] == "few"]
    empty = frame[(frame["amount"] == "few") | (frame["tense"] == "past")]
    for rows, formula, message in (
        (few, "mean ~ amount + (1 | item)", "mixed model of m: amount has one level only"),
        (empty, "mean ~ amount * tense + (1 | item)", "cannot tell the 6 terms apart"),
        (frame, "mean ~ amount + (1 | item:amount)", "leave no residuals|observations"),
    ):
        with pytest.raises(NotEnoughDataError, match=message):
            mixed(rows, formula, experiment=experiment)
    with pytest.raises(SpecError, match="same answer to all copies of a stimulus"):
        mixed(example.scored("study1"), f"prob_yes ~ {study1.CELL[0]} + (1 | participant)")
