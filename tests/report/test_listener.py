"""The rational speech act listener of the report: its priors are said, and a fit is called what it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from grace_client import analysis
from grace_client.analysis import example
from grace_client.report.blocks import Section
from grace_client.report.runs import ReportData
from grace_client.report.theory import comparison, listener, study1
from tests.report.test_content import said, table


@pytest.fixture(scope="module")
def bets() -> pd.DataFrame:
    """Scored answers of one model."""
    return example.scored("study1")


def test_the_listener_is_shown_under_several_priors(bets: pd.DataFrame) -> None:
    """The table and the text have three base rates: .91 at even odds is .34 at a base rate of .8."""
    found = Section("study1-exp2", "Study 1")
    study1._bets(found, analysis.study1.cell_means(bets))
    wide = table(found, "study1-exp2-priors").frame
    one = wide[(wide["access"] == "3") & (wide["observe"] == "1") & (wide["state"] == 1)].iloc[0]
    assert [round(one[f"base rate {rate:g}"], 2) for rate in listener.PRIORS] == [0.91, 0.34, 0.1]
    for rate in listener.PRIORS:
        assert wide.groupby(["access", "observe"])[f"base rate {rate:g}"].sum().to_numpy() == pytest.approx(1)
    text = said(found)
    assert "0.91 at 0.5, 0.34 at 0.8, 0.10 at 0.9" in text
    assert "in the figure a thing has the property with probability 0.5" in text
    assert "at any optimality above 0" in text


def test_models_stand_beside_every_prior(bets: pd.DataFrame) -> None:
    """Each comparison with the listener names its base rate, and so does the summary."""
    found = comparison.comparison(ReportData({"study1-exp2": bets}, {}, {}))
    assert found is not None
    beside = table(found, "comparison-study1-exp2").frame["beside"].tolist()
    assert beside == [f"RSA, base rate {rate:g}" for rate in listener.PRIORS] + [
        f"RSA, base rate {rate:g}" for rate in listener.PRIORS for _ in range(2)
    ]
    (sentence,) = found.summary
    for rate in listener.PRIORS:
        assert f"With base rate {rate:g}, example r = " in sentence


def fitted(cells: pd.DataFrame) -> str:
    """The text on a listener fitted to bets that are the same in six stories."""
    items = pd.concat([cells.assign(model="m", item=f"s{i}", n=1) for i in range(6)])
    found = Section("study1-exp2", "Study 1")
    listener.fits(found, cells.assign(model="m", mean=100 * cells["prob"]), items)
    return said(found)


def test_a_fit_is_called_what_it_is() -> None:
    """The text says whether a fit is uniform, literal or a listener, and whether it is at a bound."""
    uniform = fitted(analysis.rsa.predict_study1(4.0, lapse=0.98))
    assert "m: in the best fit, 98% of its bets are spread evenly over the four states" in uniform
    assert "describes almost nothing of this model" in uniform and "r =" not in uniform
    assert "describes the smaller part" in fitted(analysis.rsa.predict_study1(4.0, lapse=0.6))
    literal = fitted(analysis.rsa.predict_study1(0.0, lapse=0.1))
    assert "m: the fit ends at optimality 0, the limit: a listener who takes words literally" in literal
    listens = fitted(analysis.rsa.predict_study1(3.0, 0.6, lapse=0.1))
    assert "m: optimality 3.0" in listens and "limit" not in listens
    extreme = {"alpha": 20.0, "base_rate": 0.5, "lapse": 0.1, "r": 0.9, "r_low": 0.8, "r_high": 0.95}
    assert listener.describe(extreme, ["alpha"]).endswith("; alpha at a limit of the search")


def test_values_of_a_fit_that_is_mainly_even_are_left_out() -> None:
    """Optimality and base rate are missing if the fit is mainly uniform. KL has its baseline."""
    cells = pd.concat(
        [analysis.rsa.predict_study1(4.0, lapse=lapse).assign(model=str(lapse)) for lapse in (0.1, 0.98)]
    )
    items = pd.concat([cells.assign(item=f"s{i}", n=1) for i in range(6)])
    found = Section("study1-exp2", "Study 1")
    listener.fits(found, cells.assign(mean=100 * cells["prob"]), items)
    wide = table(found, "study1-rsa").frame
    assert wide["alpha"].isna().tolist() == wide["base_rate"].isna().tolist() == [False, True]
    assert wide["lapse"].tolist() == pytest.approx([0.1, 0.98], abs=0.01)
    listens = cells.loc[cells["model"] == "0.1", "prob"].to_numpy().reshape(6, 4)
    assert wide["kl_even"].iloc[0] == pytest.approx((listens * np.log2(4 * listens)).sum(axis=1).mean())
    assert wide["kl"].iloc[0] < 0.001 < wide["kl_even"].iloc[0]


def test_a_fit_needs_answers_in_all_cells(bets: pd.DataFrame) -> None:
    """With seven trials there is a sentence instead of a fit. The other model has its fit."""
    few = bets[bets["trial_id"].isin(bets["trial_id"].unique()[:7])].assign(model="few")
    both = pd.concat([bets, few])
    found = Section("study1-exp2", "Study 1")
    listener.fits(found, analysis.study1.cell_means(both), analysis.study1.by_item(both))
    assert table(found, "study1-rsa").frame["model"].tolist() == ["example"]
    assert "Not compared (the fit of the RSA listener): few: " in said(found)
    assert "few: optimality" not in said(found)
    numbers = table(found, "study1-rsa").frame[["r", "r_low", "r_high"]].to_numpy(dtype=float)
    assert np.isfinite(numbers).all() and (np.abs(numbers) <= 1).all()
