"""Power by simulation is the power that studies have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from grace_client.analysis import contrasts, power
from grace_client.core.errors import NotEnoughDataError, SpecError

MADE = 1000
KNOWLEDGE = "study1-exp2"


def made(
    design: power.Design, means: dict[str, float], studies: int, seed: int, column: str = "access"
) -> pd.DataFrame:
    """Answers of studies, written answer by answer from the model's formula; each study is a model."""
    rng = np.random.default_rng(seed)
    parts = []
    for study in range(studies):
        rows = pd.MultiIndex.from_product(
            [range(design.items), list(means), range(design.ways), range(design.answers)],
            names=["item", column, "asked", "answer"],
        ).to_frame(index=False)
        if not design.within:
            rows["item"] = rows["item"].astype(str) + rows[column]
        y = rows[column].map(means).to_numpy(dtype=np.float64)
        for keys, sd in (
            (["item"], design.item),
            (["item", column], design.item_condition),
            (["asked", column], design.way),
            (["item", column, "asked", "answer"], design.residual),
        ):
            group = rows.groupby(keys, sort=False).ngroup().to_numpy()
            y = y + rng.normal(0, sd, group.max() + 1)[group]
        parts.append(rows.assign(model=f"{study:04d}", question="knowledge", prob_yes=y))
    whole = pd.concat(parts, ignore_index=True)
    return whole.assign(experiment=KNOWLEDGE, stimulus=whole["item"], item=whole["item"].astype(str))


DESIGNS = {
    "six stories": power.Design(items=6, answers=2, item=0.2, item_condition=0.05, residual=0.05),
    "each item in one condition": power.Design(items=8, item=0.1, residual=0.08, within=False),
    "ways that change the effect": power.Design(items=12, ways=3, item=0.1, item_condition=0.08, way=0.05),
}
MEANS = {"1": 0.5, "2": 0.53, "3": 0.6}
PLANNED = {"most": ("3", "1"), "some": ("2", "1"), "knows": ("3", ["1", "2"])}


@pytest.mark.slow
@pytest.mark.parametrize("alternative", ["greater", "two-sided"])
@pytest.mark.parametrize("case", DESIGNS)
def test_simulated_power_is_observed_power(case: str, alternative: str) -> None:
    """1,000 studies made answer by answer and analysed by `contrasts` have the power that was simulated."""
    design = DESIGNS[case]
    frame = made(design, MEANS, MADE, seed=1)
    planned = []
    for name, (greater, lesser) in PLANNED.items():
        sides = {"greater": {"access": greater}, "lesser": {"access": lesser}}
        planned.append({"name": name, "outcome": "prob_yes", "question": "knowledge"} | sides)
    found = contrasts(frame, planned, alternative=alternative)
    expected = power.simulate(design, MEANS, PLANNED, alternative=alternative, seed=2)
    for row in expected.to_dict("records"):
        own = found[found["contrast"] == row["contrast"]]
        assert len(own) == MADE and own["paired"].eq(design.within).all()
        right = own["difference"] > 0
        for end in ("", "_holm"):
            observed = float(((own[f"p{end}"] < 0.05) & right).mean())
            error = np.hypot(row[f"se{end}"], np.sqrt(observed * (1 - observed) / MADE))
            assert abs(observed - row[f"power{end}"]) < 3.5 * error + 1e-9
    assert expected["power"].between(0.06, 0.999).all()
    assert (expected["power_holm"] <= expected["power"]).all()


def test_power_is_that_of_the_noncentral_t() -> None:
    """For one paired contrast there is a formula; without an effect, the level is what is found."""
    for items, effect in ((6, 0.1), (20, 0.04), (6, 0.0)):
        design = power.Design(items=items, item=0.3, item_condition=0.05, residual=0.05)
        found = power.simulate(
            design, {"a": 0.5 + effect, "b": 0.5}, {"one": ("a", "b")}, studies=20_000
        ).to_dict("records")[0]
        d_z = effect / design.spread
        limit = stats.t.isf(0.05, items - 1)
        truth = stats.nct.sf(limit, items - 1, d_z * np.sqrt(items)) if effect else 0.05
        assert found["d_z"] == pytest.approx(d_z)
        assert abs(found["power"] - truth) < 4 * found["se"]


@pytest.mark.parametrize("alternative", ["greater", "two-sided"])
@pytest.mark.parametrize("within", [True, False])
def test_sensitivity_has_the_power_it_names(within: bool, alternative: str) -> None:
    """An effect of the smallest size has power .8 in other simulated studies, and more items find less."""
    design = power.Design(items=6, item=0.05, item_condition=0.04, residual=0.03, within=within)
    how: dict[str, Any] = {"alternative": alternative}
    found = power.sensitivity(design, items=[6, 12, 24], tests=2, **how)
    assert found["smallest"].is_monotonic_decreasing and found["items"].tolist() == [6, 12, 24]
    assert (found["low"] < found["smallest"]).all() and (found["smallest"] < found["high"]).all()
    own = float(found["smallest"].iloc[0])
    again = power.simulate(design, {"a": own, "b": 0}, {"one": ("a", "b")}, alpha=0.025, seed=9, **how)
    assert float(again["power"].iloc[0]) == pytest.approx(0.8, abs=0.02)
    if within and alternative == "greater":
        limit = stats.t.isf(0.025, 5)
        at_ends = stats.nct.sf(limit, 5, found["d_z"].iloc[0] * np.sqrt(6))
        assert at_ends == pytest.approx(0.8, abs=0.015)


def test_ways_shift_effects_unseen() -> None:
    """Without an effect, ways that differ in it make over 5% of tests significant; more ways, fewer."""
    shares = []
    for ways in (1, 4):
        design = power.Design(items=12, ways=ways, item_condition=0.05, way=0.05)
        found = power.simulate(design, {"a": 0.5, "b": 0.5}, {"none": ("a", "b")})
        shares.append(float(found["power"].iloc[0]))
    assert shares[0] > shares[1] > 0.07


def test_the_seed_decides() -> None:
    """Equal seeds give equal tables, others do not."""
    design = DESIGNS["six stories"]
    one, two, other = (power.simulate(design, MEANS, PLANNED, seed=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(one, two)
    assert not one["power"].equals(other["power"])


def test_assumptions_come_from_a_pilot() -> None:
    """The variance of made answers is found again; with one stimulus, the residual has both parts."""
    truth = power.Design(items=30, answers=4, item=0.2, item_condition=0.1, residual=0.15)
    frame = made(truth, MEANS, 60, seed=5)
    frame["stimulus"] = frame["item"] + "-" + frame["answer"].astype(str)
    found = power.assumed(frame, "prob_yes", by=["access"])
    assert len(found) == 60 and found["answers"].eq(4).all() and found["items"].eq(30).all()
    for name in ("item", "item_condition", "residual"):
        mean = float(np.sqrt((found[name] ** 2).mean()))
        assert mean == pytest.approx(getattr(truth, name), rel=0.06), name
    one = power.assumed(frame[frame["answer"] == 0], "prob_yes", by=["access"])
    assert one["item_condition"].eq(0).all()
    assert float(np.sqrt((one["residual"] ** 2).mean())) == pytest.approx(np.hypot(0.1, 0.15), rel=0.06)
    same = frame.assign(prob_yes=frame["access"].map(MEANS))
    with pytest.raises(NotEnoughDataError, match="all items have the same effects"):
        power.assumed(same, "prob_yes", by=["access"])
    with pytest.raises(NotEnoughDataError, match="2 items in 3 conditions"):
        power.assumed(frame[frame["item"].isin(["0", "1"])], "prob_yes", by=["access"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"items": 1}, "items=1"),
        ({"items": 6.5}, "items=6.5"),
        ({"answers": 0}, "answers=0"),
        ({"residual": -0.1}, "residual=-0.1"),
        ({"residual": 0.0}, "items do not differ"),
    ],
)
def test_designs_that_cannot_be(change: dict[str, Any], message: str) -> None:
    """The message names the value."""
    with pytest.raises(SpecError, match=message):
        power.Design(**{"items": 6, "residual": 0.1} | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contrasts": {}}, "give at least one"),
        ({"contrasts": {"one": ("1", "4")}}, "means has no condition '4'"),
        ({"contrasts": {"one": ("1", [])}}, "a side has no condition"),
        ({"contrasts": {"one": ("1", ["1", "2"])}}, "a condition is on both sides"),
        ({"alternative": "less"}, "alternative='less'"),
        ({"alpha": 5}, "alpha=5"),
        ({"studies": 10}, "studies=10"),
    ],
)
def test_plans_that_cannot_be(change: dict[str, Any], message: str) -> None:
    """The message names the value."""
    given: dict[str, Any] = {"means": MEANS, "contrasts": PLANNED} | change
    with pytest.raises(SpecError, match=message):
        power.simulate(DESIGNS["six stories"], **given)
    with pytest.raises(SpecError, match="power=1"):
        power.sensitivity(DESIGNS["six stories"], power=1)
