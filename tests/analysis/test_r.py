"""Every test statistic equals that of R."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from grace_client.analysis import consistency, example, mixed, study1, study2
from grace_client.analysis.intervals import clopper_pearson
from grace_client.analysis.study2._shares import negated_share
from tests.analysis import frames, third
from tests.analysis.test_regression import crossed

SCRIPTS = Path(__file__).parent / "r"


def run_r(rscript: str, script: str, folder: Path, *tables: pd.DataFrame) -> pd.DataFrame:
    """The table that an R script makes from other tables."""
    paths = [folder / f"{i}.csv" for i in range(len(tables) + 1)]
    for table, path in zip(tables, paths, strict=False):
        table.to_csv(path, index=False)
    command = [rscript, "--vanilla", str(SCRIPTS / script), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return pd.read_csv(paths[-1], skipinitialspace=True)


ANOVAS = {
    "people": (frames.bets(), "participant"),
    "people, some trials excluded": (frames.bets().query("trial_id % 7 > 0"), "participant"),
    "stimuli in stories": (study1.bets(frames.scored1()), "item"),
    "stimuli": (frames.bets().query("trial_id % 7 > 0"), None),
}


@pytest.mark.parametrize("case", ANOVAS)
def test_anova(rscript: str, tmp_path: Path, case: str) -> None:
    """Sums of squares, F and p equal R's: repeated measures, unbalanced, with and without blocks."""
    rows, within = ANOVAS[case]
    ours = study1.anova(rows, within=within)
    unit = "participant" if within == "participant" else "stimulus"
    columns = ["access", "observe", *([within] if within else [])]
    fitted = (
        rows[rows["state"] == 3].groupby(list(dict.fromkeys([unit, *columns])))["bet"].mean().reset_index()
    )
    assert (ours["n_distinct"] == len(fitted)).all()
    table = fitted[[*columns, "bet"]].rename(columns={"bet": "y"} | ({within: "block"} if within else {}))
    theirs = run_r(rscript, "anova.R", tmp_path, table)
    assert ours["effect"].tolist() == theirs["effect"].tolist()
    for name in ("ss", "df", "f", "p", "eta_p2"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-6, atol=1e-12, err_msg=name)
    if case == "people":
        residual = ours.set_index("effect").loc["residual"]
        assert residual["df"] == theirs["within_df"].iloc[0] == 245
        assert residual["ss"] == pytest.approx(theirs["within_ss"].iloc[0], rel=1e-6)


def test_contrasts(rscript: str, tmp_path: Path) -> None:
    """T, df, p, Holm and effect size equal R's, for people with unequal numbers of trials and for a model."""
    people = frames.bets(seed=3)
    people = people[~people["trial_id"].isin(range(5, 300, 7))]
    for rows, unit in ((people, "participant"), (frames.scored1(seed=4), "stimulus")):
        ours = study1.contrasts(rows, unit=unit)
        table = study1.bets(rows) if "option" in rows.columns else rows
        pairs = []
        for i, (access, observe, greater, lesser) in enumerate(study1.CONTRASTS):
            cell = table[(table["access"] == access) & (table["observe"] == observe)]
            wide = cell.pivot_table(values="bet", index=unit, columns="state")
            n = cell[cell["state"] == 0].groupby(unit).size()
            pairs.append(
                pd.DataFrame({"contrast": i, "greater": wide[greater], "lesser": wide[lesser], "n": n})
            )
        theirs = run_r(rscript, "contrasts.R", tmp_path, pd.concat(pairs))
        for name in ("difference", "t", "df", "p", "p_holm", "low", "high", "d_z"):
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-6, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("of", ["utterance", "adjective", "negation"])
@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
def test_binomial(rscript: str, tmp_path: Path, of: str, alternative: str) -> None:
    """Exact tests on the human counts equal R's, also for counts of 0."""
    ours = study2.binomial(frames.human(), of=of, alternative=alternative)
    assert of == "negation" or (ours["k"] == 0).any()
    theirs = run_r(
        rscript, "binomial.R", tmp_path, ours[["k", "n", "chance"]].assign(alternative=alternative)
    )
    for name in ("p", "p_holm", "low", "high"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-6, atol=1e-300, err_msg=name)
    low, high = clopper_pearson(ours["k"], ours["n"])
    np.testing.assert_allclose(low, theirs["low"], rtol=1e-6, atol=1e-15)
    np.testing.assert_allclose(high, theirs["high"], rtol=1e-6)


@pytest.mark.parametrize("separated", [False, True])
@pytest.mark.parametrize(
    ("random", "cluster"), [(("participant", "item"), "participant"), (("item", "item_cell"), "item")]
)
def test_negation_model(
    rscript: str, tmp_path: Path, separated: bool, random: tuple[str, ...], cluster: str
) -> None:
    """The mixed model and its errors are those of `summary(glmer)` to 3e-3, GEE R's sandwich to 1e-6.

    So do the Wald tests of the interaction and the comparison of goals. With a cell that nobody negates in,
    every term that does not need it is that of R without the cell.
    """
    rows = frames.said2(separated=separated)
    both = [study2.negation_model(rows, method=m, random=random, cluster=cluster) for m in ("mixed", "gee")]
    mixed, gee = (fit.terms for fit in both)
    assert mixed["separated"].sum() == separated
    assert mixed["converged"].dropna().all() and gee["converged"].dropna().all()
    for table, test in ((mixed, "z"), (gee, "t")):
        assert (
            table[["estimate", "se", test, "p", "low", "high"]].isna().all(axis=1) == table["separated"]
        ).all()
    kept = rows.assign(y=rows["structured"].str.startswith("wasnt").astype(int), cluster=rows[cluster])
    if separated:
        kept = kept[~((kept["goal"] == "social") & (kept["state"] == "3 hearts"))]
    terms = mixed.loc[~mixed["separated"], ["term"]].reset_index(drop=True)
    goal, state = (terms["term"].str.extract(rf"{name}\[(.+?)\]")[0] for name in ("goal", "state"))
    terms = terms.assign(
        goal=goal.fillna("informational"), state=state.fillna("0 hearts"), random=" ".join(random)
    )
    columns = ["y", "goal", "state", "participant", "item", "cluster"]
    theirs = run_r(rscript, "negation.R", tmp_path, kept[columns], terms)
    mixed, gee = mixed[~mixed["separated"]], gee[~gee["separated"]]
    np.testing.assert_allclose(gee["estimate"], theirs["gee"], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(gee["se"], theirs["gee_se"], rtol=1e-6)
    # lme4 leaves its search earlier: it is the looser of the two.
    assert (np.abs(mixed["estimate"].to_numpy() - theirs["mixed"]) < 1e-3 * theirs["mixed_se"]).all()
    np.testing.assert_allclose(mixed["se"], theirs["mixed_se"], rtol=3e-3)
    for name in random:
        np.testing.assert_allclose(mixed[f"sd_{name}"], theirs[f"sd_{name}"], rtol=1e-3)
    one = theirs.iloc[0]
    for fit in both:
        found = fit.omnibus.iloc[0]
        assert found["df"] == one["df"] == 6 - separated and found["separated"] == separated
    assert both[0].omnibus["chi2"].item() == pytest.approx(one["chi2_mixed"], rel=1e-2)
    clusters = rows[cluster].nunique()
    assert both[0].omnibus["p"].item() == pytest.approx(stats.chi2.sf(one["chi2_mixed"], one["df"]), rel=1e-2)
    error = clusters - one["df"]
    scaled = one["chi2_gee"] * error / ((clusters - 1) * one["df"])
    assert both[1].omnibus["f"].item() == pytest.approx(scaled, rel=1e-6)
    assert both[1].omnibus["p"].item() == pytest.approx(stats.f.sf(scaled, one["df"], error), rel=1e-4)
    assert (both[1].terms["df"] == clusters - 1).all()
    if not separated:
        whole = [fit.contrasts.query("against == 'social' and state == 'all'").iloc[0] for fit in both]
        assert whole[0]["estimate"] == pytest.approx(one["both"], abs=1e-3 * one["both_se"])
        assert whole[0]["se"] == pytest.approx(one["both_se"], rel=3e-3)
        assert whole[1]["estimate"] == pytest.approx(one["both_gee"], rel=1e-6)
        assert whole[1]["se"] == pytest.approx(one["both_gee_se"], rel=1e-6)
        assert whole[1]["p"] == pytest.approx(2 * stats.t.sf(abs(whole[1]["t"]), clusters - 1))


def test_fractional_logit(rscript: str, tmp_path: Path) -> None:
    """Scored probabilities have R's quasibinomial estimates, its sandwich of items and its Wald test."""
    frame = example.scored("study2")
    fit = study2.negation_model(frame)
    assert (fit.terms["method"] == "gee").all() and (fit.terms["n_distinct"] == 12).all()
    shares = frame[frame["option"].str.startswith("wasnt")].groupby("trial_id")["prob_norm"].sum()
    rows = frame.drop_duplicates("trial_id")
    rows = rows.assign(y=rows["trial_id"].map(shares))
    theirs = run_r(rscript, "fractional.R", tmp_path, rows[["y", "goal", "state", "item"]])
    beside = fit.terms.merge(theirs, on="term", suffixes=("", "_r"))
    assert len(beside) == len(theirs) == 12
    np.testing.assert_allclose(beside["estimate"], beside["estimate_r"], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(beside["se"], beside["se_r"], rtol=1e-6)
    assert fit.omnibus["f"].item() == pytest.approx(theirs["chi2"].iloc[0] * 6 / (11 * 6), rel=1e-6)


def test_goals_within_items(rscript: str, tmp_path: Path) -> None:
    """Paired differences of items are those of t.test and p.adjust, the analysis of variance aov's."""
    for frame in (example.scored("study2"), example.free("study2")):
        ours = study2.differences(frame)
        variance = study2.anova(frame)
        rows = negated_share(frame)
        table = rows.groupby(["item", "goal", "state"])["prob"].mean().reset_index(name="y")
        theirs = run_r(rscript, "goals.R", tmp_path, table)
        tests, effects = theirs[theirs["what"] == "test"], theirs[theirs["what"] == "effect"]
        for name, column in (("difference", "a"), ("t", "b"), ("df", "c"), ("p", "d"), ("p_holm", "e")):
            np.testing.assert_allclose(ours[name], tests[column], rtol=1e-6, atol=1e-12, err_msg=name)
        for name, column in (("ss", "a"), ("df", "b"), ("f", "c"), ("p", "d"), ("eta_p2", "e")):
            np.testing.assert_allclose(
                variance[name][:3], effects[column], rtol=1e-6, atol=1e-12, err_msg=name
            )


def test_variance_components(rscript: str, tmp_path: Path) -> None:
    """The intraclass correlation is that of R's one-way mean squares, with unequal numbers of answers."""
    generator = np.random.default_rng(6)
    sizes = generator.integers(2, 6, 25)
    stimulus = np.repeat(np.arange(25), sizes)
    yes = generator.random(len(stimulus)) < generator.random(25)[stimulus]
    free = pd.DataFrame({"model": "m", "question": "knowledge", "stimulus": stimulus, "status": "ok"})
    free["structured"] = np.where(yes, "yes", "no")
    ours = consistency.replicate_variance(free).set_index("answer").loc["yes"]
    theirs = run_r(rscript, "icc.R", tmp_path, pd.DataFrame({"stimulus": stimulus, "y": yes.astype(int)}))
    for name in ("within", "between", "icc"):
        assert ours[name] == pytest.approx(theirs[name].item(), rel=1e-9)


def test_mixed_models(rscript: str, tmp_path: Path) -> None:
    """Coefficients, errors and residuals of crossed and nested random intercepts equal those of lme4."""
    rows, experiment = crossed(), third.study().experiments["scenes-rated"]
    theirs = run_r(rscript, "mixed.R", tmp_path, rows)
    for formula, wanted in theirs.groupby("formula", sort=False):
        # Replicates are never averaged.
        ours = mixed(rows.assign(replicate=1), str(formula), experiment=experiment)
        for name in ("estimate", "se", "sd_residual"):
            np.testing.assert_allclose(ours[name], wanted[name], rtol=1e-4, err_msg=str(formula))
