"""The difference between every two models, paired by item."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from grace_client.analysis import example, outcomes, paired
from grace_client.analysis._statistics.differences import d_z_interval
from grace_client.core.errors import NotEnoughDataError, SpecError
from tests.analysis.test_r import run_r


def balanced(models: int = 3, cells: int = 2) -> pd.DataFrame:
    """Outcomes of models whose items have as many answers in every cell."""
    parts = [example.scored("study2", seed=seed).assign(model=f"m{seed}") for seed in range(models)]
    table = outcomes(pd.concat(parts, ignore_index=True))
    table = table[table["goal"].isin(["both", "social"][:cells]) & (table["state"] == "0 hearts")]
    return table[table.groupby(["model", "goal", "item"]).cumcount() < 3]


def test_it_is_the_t_test_of_item_means() -> None:
    """With equally many answers, every number is that of scipy's paired t test of the items' means."""
    table = balanced(cells=1)
    found = paired(table, "prob_wasnt")
    assert list(zip(found["model"], found["other"], strict=True)) == [
        ("m0", "m1"),
        ("m0", "m2"),
        ("m1", "m2"),
    ]
    means = table.groupby(["model", "item"])["prob_wasnt"].mean().unstack("model")
    for row in found.to_dict("records"):
        one, other = means[row["model"]], means[row["other"]]
        test = stats.ttest_rel(one, other)
        ends = test.confidence_interval()
        theirs = [one.mean(), other.mean(), (one - other).mean(), ends.low, ends.high, test.statistic]
        theirs += [test.df, test.pvalue, (one - other).mean() / (one - other).std()]
        names = ["mean_model", "mean_other", "difference", "low", "high", "t", "df", "p", "d_z"]
        assert [row[name] for name in names] == pytest.approx(theirs)
        assert row["d_z_low"] < row["d_z"] < row["d_z_high"] and row["n_distinct"] == 12 and row["n"] == 72
    p = np.sort(found["p"])
    assert np.sort(found["p_holm"]) == pytest.approx(np.minimum(1, np.maximum.accumulate(p * [3, 2, 1])))


def test_it_is_that_of_r(rscript: str, tmp_path: Path) -> None:
    """T, p, Holm over pairs and cells, and the interval of d_z equal R's."""
    table = balanced()
    found = paired(table, "prob_wasnt", by=["goal"])
    means = table.groupby(["goal", "model", "item"])["prob_wasnt"].mean().reset_index(name="y")
    theirs = run_r(rscript, "paired.R", tmp_path, means.rename(columns={"goal": "cell"}))
    assert found[["goal", "model", "other"]].to_numpy().tolist() == (
        theirs[["cell", "model", "other"]].to_numpy().tolist()
    )
    for name in ("difference", "t", "df", "p", "p_holm", "low", "high", "d_z", "d_z_low", "d_z_high"):
        np.testing.assert_allclose(found[name], theirs[name], rtol=1e-6, atol=1e-9, err_msg=name)


def test_answers_of_one_model_alone_do_not_count() -> None:
    """A failed answer of one model takes the same stimulus from the other."""
    table = balanced(models=2, cells=1)
    first = table[table["model"] == "m0"]
    lost = set(first["stimulus"].unique()[:5])
    some = table[~((table["model"] == "m1") & table["stimulus"].isin(lost))]
    without = table[~table["stimulus"].isin(lost)]
    pd.testing.assert_frame_equal(paired(some, "prob_wasnt"), paired(without, "prob_wasnt"))
    assert paired(some, "prob_wasnt")["n"].tolist() == [len(without)]


def test_the_interval_of_d_z_covers() -> None:
    """Of 400 samples of 6 and of 12 pairs, about 95% contain the true effect."""
    rng = np.random.default_rng(2)
    for n, truth in ((6, 0.8), (12, 0.0)):
        x = rng.normal(truth, 1, (400, n))
        t = x.mean(axis=1) / x.std(axis=1, ddof=1) * np.sqrt(n)
        ends = np.array([d_z_interval(float(one), n - 1) for one in t])
        covered = ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()
        assert covered == pytest.approx(0.95, abs=0.04)


def test_equal_models_do_not_differ() -> None:
    """The difference is 0, and there is no test."""
    table = balanced(models=1, cells=1)
    found = paired(pd.concat([table, table.assign(model="copy")]), "prob_wasnt")
    assert found["difference"].tolist() == [0]
    assert found[["low", "t", "p", "d_z", "d_z_low"]].isna().all(axis=None)


def test_what_cannot_be_paired_is_said() -> None:
    """One model, no common stimulus, and a wrong unit."""
    table = balanced(models=2, cells=1)
    with pytest.raises(NotEnoughDataError, match="answers of 1 model"):
        paired(table[table["model"] == "m0"], "prob_wasnt")
    other = table["model"] == "m1"
    with pytest.raises(NotEnoughDataError, match="no two models answered the same stimulus"):
        paired(table.assign(stimulus=table["stimulus"].where(~other, "other")), "prob_wasnt")
    with pytest.raises(SpecError, match="unit='story'"):
        paired(table, "prob_wasnt", unit="story")
    with pytest.raises(SpecError, match="no column gaol"):
        paired(table, "prob_wasnt", by=["gaol"])
    with pytest.raises(SpecError, match="only 36 observations"):
        paired(pd.concat([table, table]), "prob_wasnt", unit="participant")
