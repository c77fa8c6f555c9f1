"""Every test statistic equals that of R, an implementation that shares nothing with this one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grace_client.analysis import study1, study2
from grace_client.analysis.inference import wilson
from tests.analysis import frames

SCRIPTS = Path(__file__).parent / "r"


def run_r(rscript: str, script: str, folder: Path, *tables: pd.DataFrame) -> pd.DataFrame:
    """The table that a script makes of others."""
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
    """Sums of squares, F and p of repeated measures, unbalanced ones, and stimuli with and without blocks."""
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
    for name in ("ss", "df", "f", "p"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-6, atol=1e-12, err_msg=name)
    if case == "people":
        residual = ours.set_index("effect").loc["residual"]
        assert residual["df"] == theirs["within_df"].iloc[0] == 245
        assert residual["ss"] == pytest.approx(theirs["within_ss"].iloc[0], rel=1e-6)


def test_contrasts(rscript: str, tmp_path: Path) -> None:
    """t, df, p, Holm, interval and effect size, of people with unequal numbers of trials and of a model."""
    people = frames.bets(seed=3)
    people = people[~people["trial_id"].isin(range(5, 300, 7))]
    for rows, unit in ((people, "participant"), (frames.scored1(seed=4), "stimulus")):
        ours = study1.contrasts(rows, unit=unit)
        table = study1.bets(rows) if "option" in rows.columns else rows
        pairs = []
        for i, (access, observe, greater, lesser) in enumerate(study1.CONTRASTS):
            cell = table[(table["access"] == access) & (table["observe"] == observe)]
            wide = cell.pivot_table(values="bet", index=unit, columns="state")
            pairs.append(pd.DataFrame({"contrast": i, "greater": wide[greater], "lesser": wide[lesser]}))
        theirs = run_r(rscript, "contrasts.R", tmp_path, pd.concat(pairs))
        for name in ("t", "df", "p", "p_holm", "low", "high", "d_z"):
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-6, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("of", ["utterance", "adjective", "negation"])
@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
def test_binomial(rscript: str, tmp_path: Path, of: str, alternative: str) -> None:
    """Exact tests on the human counts, zero counts among them."""
    ours = study2.binomial(frames.human(), of=of, alternative=alternative)
    assert of == "negation" or (ours["k"] == 0).any()
    theirs = run_r(
        rscript, "binomial.R", tmp_path, ours[["k", "n", "chance"]].assign(alternative=alternative)
    )
    for name in ("p", "p_holm", "low", "high"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-6, atol=1e-300, err_msg=name)
    low, high = wilson(ours["k"], ours["n"])
    np.testing.assert_allclose(low, theirs["wilson_low"], rtol=1e-6, atol=1e-15)
    np.testing.assert_allclose(high, theirs["wilson_high"], rtol=1e-6)


@pytest.mark.parametrize("separated", [False, True])
def test_negation_model(rscript: str, tmp_path: Path, separated: bool) -> None:
    """The mixed model equals lme4's to 1e-3 of a standard error, GEE R's sandwich to 1e-6.

    With a cell that nobody negates in, every term that does not need it is that of R without the cell.
    """
    rows = frames.said2(separated=separated)
    mixed, gee = (study2.negation_model(rows, method=method) for method in ("mixed", "gee"))
    assert mixed["separated"].sum() == separated
    assert mixed["converged"].all() and gee["converged"].all()
    for table in (mixed, gee):
        assert (
            table[["estimate", "se", "z", "p", "low", "high"]].isna().all(axis=1) == table["separated"]
        ).all()
    kept = rows.assign(y=rows["structured"].str.startswith("wasnt").astype(int))
    if separated:
        kept = kept[~((kept["goal"] == "social") & (kept["state"] == "3 hearts"))]
    terms = mixed.loc[~mixed["separated"], ["term"]].reset_index(drop=True)
    goal, state = (terms["term"].str.extract(rf"{name}\[(.+?)\]")[0] for name in ("goal", "state"))
    terms = terms.assign(goal=goal.fillna("informational"), state=state.fillna("0 hearts"))
    theirs = run_r(
        rscript, "negation.R", tmp_path, kept[["y", "goal", "state", "participant", "item"]], terms
    )
    mixed, gee = mixed[~mixed["separated"]], gee[~gee["separated"]]
    np.testing.assert_allclose(gee["estimate"], theirs["gee"], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(gee["se"], theirs["gee_se"], rtol=1e-6)
    # lme4 leaves its search earlier: it is the looser of the two.
    assert (np.abs(mixed["estimate"].to_numpy() - theirs["mixed"]) < 1e-3 * theirs["mixed_se"]).all()
    np.testing.assert_allclose(mixed["se"], theirs["mixed_se"], rtol=1e-3)
    for name in ("sd_participant", "sd_item"):
        np.testing.assert_allclose(mixed[name], theirs[name], rtol=1e-3)
