"""Closeness of models to people and theories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from grace_client.analysis import compare, reference
from grace_client.core.errors import SpecError

KEYS = ("goal", "state")
HUMAN = reference.study2().rename(columns={"share": "prob"})


def model(name: str, noise: float, seed: int = 0) -> pd.DataFrame:
    """People, with a share of something else."""
    rng = np.random.default_rng(seed)
    other = rng.dirichlet(np.ones(8), size=12).ravel()
    return HUMAN[["goal", "state", "utterance"]].assign(
        model=name, prob=(1 - noise) * HUMAN["prob"] + noise * other
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_statistics_are_those_of_scipy(seed: int) -> None:
    """Correlations and divergence equal an independent implementation, alone, vectorised and in blocks."""
    p, q = np.random.default_rng(seed).dirichlet(np.ones(4), size=(2, 5, 6))
    found, parted = compare.statistics(p, q), compare.statistics(p, q, [0, 1, 0, 1, 0, 2])
    for i in range(5):
        x, y = p[i].ravel(), q[i].ravel()
        assert found["r_plain"][i] == pytest.approx(stats.pearsonr(x, y)[0])
        a, b = (table - table.mean(axis=0) for table in (p[i], q[i]))
        assert found["r"][i] == pytest.approx(stats.pearsonr(a.ravel(), b.ravel())[0])
        assert found["rho"][i] == pytest.approx(stats.spearmanr(a.ravel(), b.ravel())[0], abs=1e-9)
        c, d = (
            np.concatenate([t[block] - t[block].mean(axis=0) for block in ([0, 2, 4], [1, 3])])
            for t in (p[i], q[i])
        )
        assert parted["r"][i] == pytest.approx(stats.pearsonr(c.ravel(), d.ravel())[0])
        assert found["rmse"][i] == pytest.approx(np.sqrt(np.mean((x - y) ** 2)))
        apart = [distance.jensenshannon(a, b, base=2) ** 2 for a, b in zip(p[i], q[i], strict=True)]
        assert found["js"][i] == pytest.approx(np.mean(apart))


def test_a_table_that_does_not_vary_has_no_correlation() -> None:
    """With uniform answers, correlations are missing, without a warning."""
    uniform = np.full((3, 4), 0.25)
    found = compare.statistics(uniform, np.eye(4)[:3])
    assert np.isnan(found["r"])
    assert np.isnan(found["rho"])
    assert found["rmse"] > 0


def test_who_ignores_the_goal_does_not_agree() -> None:
    """People averaged over goals have r = .94 with people, and no r of the changes with the goal.

    A model that adds changes of its own to them, which have nothing to do with people's, has r near 0.
    """
    across = {"keys": KEYS, "outcome": "utterance", "across": ["goal"]}
    ignores = compare.blind(HUMAN, **across)  # type: ignore[arg-type]
    found = compare.closeness(ignores, HUMAN, draws=10, **across).set_index("statistic")  # type: ignore[arg-type]
    assert found.loc["r_plain", "value"] == pytest.approx(0.937, abs=0.0005)
    assert found.loc[["r", "rho"], "value"].isna().all()
    rng = np.random.default_rng(3)
    q = HUMAN["prob"].to_numpy().reshape(12, 8)
    p = ignores["prob"].to_numpy().reshape(12, 8)
    others = np.stack([0.7 * p + 0.3 * rng.dirichlet(10 * p[0] + 0.1, size=12) for _ in range(300)])
    simulated = compare.statistics(others, np.broadcast_to(q, others.shape), np.tile(np.arange(4), 3))
    assert simulated["r_plain"].min() > 0.8
    assert abs(simulated["r"].mean()) < 3 * simulated["r"].std() / np.sqrt(300)
    with pytest.raises(SpecError, match="across='word' is none of the keys"):
        compare.closeness(ignores, HUMAN, keys=KEYS, outcome="utterance", across=["word"])


def test_mirror_images_do_not_agree_by_themselves() -> None:
    """For yes and no of a model unrelated to people, r is 0 on average.

    Both options of two tables in which yes is likely everywhere correlate above .9 from nothing.
    """
    rng = np.random.default_rng(5)
    yes = rng.beta(40, 6, size=(2, 400, 6))
    p, q = np.stack([yes, 1 - yes], axis=-1)
    both = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(p, q, strict=True)]
    assert np.median(both) > 0.9
    found = compare.statistics(p, q)
    for name in ("r", "rho", "r_plain"):
        assert abs(found[name].mean()) < 3 * found[name].std() / 20
    assert found["r"] == pytest.approx([stats.pearsonr(a, b)[0] for a, b in zip(*yes, strict=True)])


def test_too_few_items_give_no_figure() -> None:
    """Two stories in a cell are an error that names model and cell. Three are enough."""
    items = by_item("m", 0.3, seed=0)
    here = (items["goal"] == "social") & (items["state"] == "1 heart")
    for kept, enough in ((("0", "1", "2"), True), (("0", "1"), False), ((), False)):
        some = items[~here | items["item"].isin(kept)]
        told = compare.lacking(some, HUMAN, KEYS)
        assert (
            told == {}
            if enough
            else f"items, such as goal social, state 1 heart with {len(kept)}" in told["m"]
        )
        for function in (compare.closeness, compare.ranking):
            if enough:
                function(some, HUMAN, keys=KEYS, outcome="utterance", draws=10)
            else:
                with pytest.raises(SpecError, match=r"cannot compare m: 1 of 12 cells .* with \d"):
                    function(some, HUMAN, keys=KEYS, outcome="utterance", draws=10)


def test_what_does_not_vary_has_no_interval() -> None:
    """If all items are equal, the interval is missing, and not of width 0."""
    theory = HUMAN.drop(columns=["count", "n"])
    for items in (6, 12):
        same = pd.concat([model("m", 0.3).assign(item=str(i), n=3) for i in range(items)])
        found = compare.closeness(same, theory, keys=KEYS, outcome="utterance", draws=50)
        assert found["value"].notna().all()
        assert found[["low", "high"]].isna().all(axis=None)


def test_agreement_orders_models_as_they_are() -> None:
    """Less noise gives better agreement. Intervals contain the value and depend only on the seed."""
    models = pd.concat([model("near", 0.1), model("far", 0.7)])
    found = compare.closeness(models, HUMAN, keys=KEYS, outcome="utterance", draws=500)
    assert list(found.columns) == [
        "model",
        "statistic",
        "value",
        "low",
        "high",
        "n_cells",
        "n_items",
        "drawn",
    ]
    assert ((found["low"] <= found["value"]) & (found["value"] <= found["high"])).all()
    values = found.set_index(["model", "statistic"])["value"]
    assert values["near", "r"] > values["far", "r"]
    assert values["near", "js"] < values["far", "js"]
    again = compare.closeness(models, HUMAN, keys=KEYS, outcome="utterance", draws=500)
    pd.testing.assert_frame_equal(found, again)


def by_item(name: str, noise: float, seed: int, items: int = 12) -> pd.DataFrame:
    """Items that scatter around people with a share of something else."""
    rng = np.random.default_rng(seed)
    prob = model(name, noise)["prob"].to_numpy().reshape(12, 8)
    drawn = [rng.dirichlet(30 * row + 0.01, size=items) for row in prob]
    cells = HUMAN[["goal", "state", "utterance"]]
    parts = [
        cells.assign(model=name, item=str(i), prob=np.concatenate([cell[i] for cell in drawn]), n=20)
        for i in range(items)
    ]
    return pd.concat(parts, ignore_index=True)


def test_ranking_says_how_sure_it_is() -> None:
    """The clearly closest model is first in every sample, and two equal models share the ranks."""
    clear = compare.ranking(
        pd.concat([model("far", 0.9), model("near", 0.05)]), HUMAN, keys=KEYS, outcome="utterance"
    )
    assert clear["model"].tolist() == ["near", "far"]
    assert clear[["rank_low", "rank_high", "best"]].to_numpy()[0].tolist() == [1, 1, 1]
    unclear = compare.ranking(
        pd.concat([by_item("a", 0.5, seed=1), by_item("b", 0.5, seed=2)]),
        HUMAN,
        keys=KEYS,
        outcome="utterance",
    )
    assert unclear["best"].sum() == pytest.approx(1)
    assert unclear["rank_low"].min() == 1 and unclear["rank_high"].max() == 2
    same = compare.ranking(
        pd.concat([model("a", 0.5), model("b", 0.5)]), HUMAN, keys=KEYS, outcome="utterance"
    )
    assert same["best"].tolist() == [0.5, 0.5]


def test_intervals_say_what_was_drawn() -> None:
    """The interval covers items and people if the tables have them. With neither it is missing."""
    items = by_item("m", 0.3, seed=0)
    theory = HUMAN.drop(columns=["count", "n"])
    width = {}
    for one, other, drawn in (
        (items, HUMAN, "items and people"),
        (items, theory, "items"),
        (model("m", 0.3), HUMAN, "people"),
        (model("m", 0.3), theory, "nothing"),
    ):
        for function in (compare.closeness, compare.ranking):
            found = function(one, other, keys=KEYS, outcome="utterance", draws=300)
            assert set(found["drawn"]) == {drawn}
            assert (found["n_items"] == (12 if "items" in drawn else 0)).all()
            assert found[["low", "high"]].isna().all(axis=None) == (drawn == "nothing")
        width[drawn] = float(found["high"].iloc[0] - found["low"].iloc[0])
    assert width["items and people"] > max(width["items"], width["people"])


def test_few_items_are_left_out_in_turn() -> None:
    """With six stories, the interval is Student's t with the jackknife's error. Counts of people widen it."""
    items, theory = by_item("m", 0.3, seed=0, items=6), HUMAN.drop(columns=["count", "n"])

    def value(rows: pd.DataFrame) -> float:
        found = compare.closeness(rows, theory, keys=KEYS, outcome="utterance", draws=10)
        return float(found.loc[found["statistic"] == "js", "value"].item())

    found = compare.closeness(items, theory, keys=KEYS, outcome="utterance").set_index("statistic").loc["js"]
    left = np.array([value(items[items["item"] != str(i)]) for i in range(6)])
    error = np.sqrt(5 / 6 * ((left - left.mean()) ** 2).sum())
    assert found["high"] - found["low"] == pytest.approx(2 * stats.t.ppf(0.975, 5) * error)
    assert (found["low"] + found["high"]) / 2 == pytest.approx(found["value"])
    people = compare.closeness(items, HUMAN, keys=KEYS, outcome="utterance").set_index("statistic").loc["js"]
    assert people["high"] - people["low"] > found["high"] - found["low"]
    order = compare.ranking(items, theory, keys=KEYS, outcome="utterance").iloc[0]
    assert order["low"] == pytest.approx(found["low"]) and order[["rank_low", "best"]].isna().all()


def test_items_count_by_their_answers() -> None:
    """The value is that of the cell means, weighted by n. An item may be missing from a cell."""
    items = by_item("m", 0.3, seed=0)
    items["n"] = items["item"].astype(int) + 1
    lost = (items["item"] == "3") & (items["goal"] == "both") & (items["state"] == "1 heart")
    items = items[~lost]
    weighted = items.assign(top=items["prob"] * items["n"])
    cells = weighted.groupby([*KEYS, "utterance"], sort=False)[["top", "n"]].sum().reset_index()
    means = cells.assign(prob=cells["top"] / cells["n"], model="m").drop(columns="n")
    found, wanted = (
        compare.closeness(one, HUMAN, keys=KEYS, outcome="utterance", draws=100) for one in (items, means)
    )
    np.testing.assert_allclose(found["value"], wanted["value"], rtol=1e-12)
    with pytest.raises(SpecError, match="two rows for the same item, cell and outcome"):
        compare.closeness(pd.concat([items, items]), HUMAN, keys=KEYS, outcome="utterance")


def test_intervals_cover_what_they_say() -> None:
    """About 95% of the intervals contain the mean over all items and samples of people.

    100 studies: the share is known to 0.022. Twelve items and 203 people are drawn anew for each.
    """
    rng = np.random.default_rng(4)
    shares = HUMAN["prob"].to_numpy().reshape(12, 8)
    values, intervals = [], []
    for study in range(100):
        people = np.stack([rng.multinomial(203, row) for row in shares])
        sample = HUMAN.assign(count=people.ravel(), prob=people.ravel() / 203)
        found = compare.closeness(
            by_item("m", 0.4, seed=study), sample, keys=KEYS, outcome="utterance", draws=300
        )
        values.append(found["value"].to_numpy())
        intervals.append(found[["low", "high"]].to_numpy())
    truth, ends = np.mean(values, axis=0), np.stack(intervals)
    inside = ((ends[..., 0] <= truth) & (truth <= ends[..., 1])).mean(axis=0)
    assert (inside >= 0.90).all() and (inside <= 0.99).all()


def test_cells_of_ordered_states_have_a_distance() -> None:
    """Probability that moves from state 0 to state 3 has a distance of 3."""
    one = pd.DataFrame({"cell": "a", "state": [0, 1, 2, 3], "prob": [1.0, 0, 0, 0]})
    other = one.assign(prob=[0.0, 0, 0, 1])
    found = compare.cells(one, other, keys=["cell"], outcome="state", ordered=True)
    assert found[["js", "tv", "emd"]].to_numpy().tolist() == [[1, 1, 3]]


def test_the_distance_of_ordered_states_is_over_items() -> None:
    """EMD is the mean over the cells, and its interval is over the same items as the other intervals."""
    rng = np.random.default_rng(0)
    keys = ["cell", "item", "state"]
    rows = pd.MultiIndex.from_product([["a", "b"], range(5), range(4)], names=keys).to_frame(index=False)
    rows["prob"] = rng.dirichlet(np.ones(4), size=10).ravel()
    theory = pd.DataFrame({"cell": ["a"] * 4 + ["b"] * 4, "state": [0, 1, 2, 3] * 2, "prob": 0.25})
    found = compare.closeness(rows, theory, keys=["cell"], outcome="state", ordered=True)
    emd = found.set_index("statistic").loc["emd"]
    assert (emd["drawn"], emd["n_items"]) == ("items", 5)

    def distance(some: pd.DataFrame) -> float:
        means = some.groupby(["cell", "state"])["prob"].mean().reset_index()
        cells = compare.cells(means, theory, keys=["cell"], outcome="state", ordered=True)
        return float(cells["emd"].mean())

    assert emd["value"] == pytest.approx(distance(rows))
    others = np.array([distance(rows[rows["item"] != item]) for item in range(5)])
    error = np.sqrt(4 / 5 * ((others - others.mean()) ** 2).sum())
    assert emd["high"] - emd["value"] == pytest.approx(2.776 * error, rel=1e-3)
    assert "emd" not in set(compare.closeness(rows, theory, keys=["cell"], outcome="state")["statistic"])


def test_nobody_knows_less_than_the_even_baseline() -> None:
    """The uniform baseline has no r, but a divergence."""
    even = compare.even(HUMAN, keys=KEYS, outcome="utterance")
    assert even["prob"].eq(1 / 8).all() and len(even) == len(HUMAN)
    found = compare.closeness(even, HUMAN, keys=KEYS, outcome="utterance").set_index("statistic")
    assert np.isnan(found["value"]["r"]) and found["value"]["js"] == pytest.approx(0.352, abs=0.0005)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda frame: frame.drop(columns="prob"), "no column prob"),
        (lambda frame: frame[frame["state"] != "1 heart"], "a cell or an outcome is missing"),
        (lambda frame: frame.assign(prob=frame["prob"] * 2), "do not sum to 1"),
        (lambda frame: frame.assign(utterance=frame["utterance"] + "?"), "is not in `other`"),
        (
            lambda frame: frame.assign(prob=frame["prob"].where(frame.index != 3)),
            "a cell or an outcome is missing",
        ),
        (lambda frame: pd.concat([frame, frame]), "two rows"),
    ],
)
def test_what_cannot_be_compared_is_named(break_it, message: str) -> None:  # type: ignore[no-untyped-def]
    """The error says why the tables cannot be compared. No row is left out silently."""
    with pytest.raises(SpecError, match=message):
        compare.closeness(break_it(model("m", 0.1)), HUMAN, keys=KEYS, outcome="utterance", draws=10)


def test_differences_from_baselines() -> None:
    """Difference and interval are those of the divergences in the same samples; items move them too."""
    ignores = compare.blind(HUMAN, keys=KEYS, outcome="utterance", across=["goal"])
    even = compare.even(HUMAN, keys=KEYS, outcome="utterance")
    baselines = pd.concat([ignores, even])
    models = pd.concat([model("near", 0.05), model("far", 0.9), ignores.assign(model="the same")])
    how: dict[str, Any] = {"keys": KEYS, "outcome": "utterance"}
    found = compare.against(models, HUMAN, baselines, **how)
    q = HUMAN["prob"].to_numpy().reshape(12, 8)
    for row in found.to_dict("records"):
        p, b = (
            table.loc[table["model"] == one, "prob"].to_numpy().reshape(12, 8)
            for table, one in ((models, row["model"]), (baselines, row["baseline"]))
        )
        js = [
            np.mean([distance.jensenshannon(x, y, base=2) ** 2 for x, y in zip(t, q, strict=True)])
            for t in (p, b)
        ]
        assert row["difference"] == pytest.approx(js[0] - js[1], abs=1e-9)
    assert found["best"].tolist() == [True, False] * 3
    assert found["closer"].tolist() == [True, True, False, True, False, True]
    # Against what is as good as itself there is nothing to draw.
    same = found[(found["model"] == "the same") & found["best"]]
    assert same["difference"].tolist() == [0] and same["low"].isna().all()
    items = pd.concat([by_item("near", 0.3, seed=seed).assign(model=f"m{seed}") for seed in range(2)])
    for some in (items, items[items["item"].isin(["0", "1", "2", "3"])]):
        both = compare.against(some, HUMAN, baselines, **how)
        assert both["drawn"].eq("items and people").all() and both["low"].lt(both["difference"]).all()
        assert both["high"].gt(both["difference"]).all()
