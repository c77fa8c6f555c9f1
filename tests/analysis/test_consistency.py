"""Saying and scoring, and how far replicates differ."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from grace_client.analysis import consistency, example, study1, study2
from grace_client.core.errors import SpecError
from tests.analysis import frames
from tests.analysis.test_study2 import scored2


def spoken(scored: pd.DataFrame, replicates: int, seed: int = 0) -> pd.DataFrame:
    """Free text drawn from the scored probabilities."""
    generator = np.random.default_rng(seed)
    wide = scored.pivot_table(values="prob_norm", index="trial_id", columns="option", sort=False)
    wide = wide[list(study2.UTTERANCES)]
    heads = scored.drop_duplicates("trial_id").drop(columns=["option", "prob_norm", "option_mass"])
    parts = []
    for replicate in range(1, replicates + 1):
        at = generator.random(len(wide))[:, None]
        chosen = (wide.to_numpy().cumsum(axis=1) < at).sum(axis=1).clip(max=7)
        said = np.array(study2.UTTERANCES)[chosen]
        parts.append(heads.assign(replicate=replicate, structured=said, response=said, finish_reason="stop"))
    return pd.concat(parts, ignore_index=True)


def test_a_model_that_says_what_it_scores() -> None:
    """Shares and probabilities agree except for sampling, and better with more replicates."""
    scored = scored2()
    scored = scored[scored["trial_id"] <= 600]
    few, many = (consistency.pairs(spoken(scored, n), scored) for n in (2, 20))
    assert many.groupby(["stimulus"])[["said", "scored"]].sum().to_numpy() == pytest.approx(1)
    assert many["n_distinct"].eq(1).all() and many["n"].min() == 20
    near, far = consistency.summary(many).iloc[0], consistency.summary(few).iloc[0]
    assert near["r"] > far["r"] and near["rmse"] < far["rmse"] and near["tv"] < 0.1
    assert near["n"] == 600 * 20 and near["n_distinct"] == 12
    cells = consistency.by_cell(many)
    assert cells["n_distinct"].max() == 12
    assert near["r_plain"] == pytest.approx(stats.pearsonr(cells["said"], cells["scored"])[0])
    one, other = (cells[c] - cells.groupby("option")[c].transform("mean") for c in ("said", "scored"))
    assert near["r"] == pytest.approx(stats.pearsonr(one, other)[0])
    apart = consistency.divergence(many)
    assert apart["js"].between(0, 1).all() and apart["tv"].between(0, 1).all()
    assert apart["js"].mean() < consistency.divergence(few)["js"].mean()


def test_ties_have_no_mode() -> None:
    """If two answers are equally frequent and one is the likeliest option, `same_mode` is missing."""
    pairs = pd.DataFrame(
        {
            "model": "m",
            "question": "utterance",
            "stimulus": ["a"] * 3 + ["b"] * 3 + ["c"] * 3,
            "goal": "both",
            "state": "1 heart",
            "option": list("xyz") * 3,
            "said": [0.5, 0.5, 0, 1, 0, 0, 0.5, 0.5, 0],
            "scored": [0.6, 0.3, 0.1, 0.6, 0.3, 0.1, 0.1, 0.2, 0.7],
            "n": 2,
            "n_distinct": 1,
        }
    )
    found = consistency.divergence(pairs).set_index("stimulus")["same_mode"]
    assert found.isna()["a"] and found["b"] and not found["c"]


def test_numbers_said_beside_percentages_scored() -> None:
    """In Study 1, numbers are compared with normalised percentages, and yes with yes."""
    scored = frames.scored1()
    heads = frames.trials("study1").assign(
        model="m", experiment="study1-exp1", status="ok", response="", replicate=1
    )
    free = pd.concat(
        [
            heads.assign(question="number", structured=heads["observe"]),
            heads.assign(question="knowledge", structured=np.where(heads["access"] == "3", "yes", "unsure")),
        ]
    )
    found = consistency.pairs(free, scored)
    number = found[found["question"] == "number"]
    assert number.groupby("stimulus")["scored"].sum().to_numpy() == pytest.approx(1)
    assert (number["said"] == (number["option"] == number["observe"])).all()
    one = number[number["stimulus"] == number["stimulus"].iloc[0]]
    table = study1.bets(scored)
    bets = table[table["stimulus"] == one["stimulus"].iloc[0]].drop_duplicates("state")
    assert one["scored"].to_numpy() * 100 == pytest.approx(bets["bet"].to_numpy())
    # "unsure" was not offered for scoring, so that stimuli with nothing else have no row.
    assert set(found.loc[found["question"] == "knowledge", "access"]) == {"3"}
    with pytest.raises(SpecError, match="different studies"):
        consistency.pairs(free, scored2())
    with pytest.raises(SpecError, match="share no model"):
        consistency.pairs(free.assign(model="other"), scored)


def test_variance_within_and_between() -> None:
    """The components are those of a one-way analysis of variance. If all answers repeat, the ICC is 1."""
    rng = np.random.default_rng(2)
    rows = [(s, r) for s in range(30) for r in range(int(rng.integers(2, 6)))]
    free = pd.DataFrame(rows, columns=["stimulus", "replicate"]).assign(
        model="m", question="knowledge", status="ok"
    )
    rate = rng.random(30)
    free["structured"] = np.where(rng.random(len(free)) < rate[free["stimulus"]], "yes", "no")
    found = consistency.replicate_variance(free).set_index("answer").loc["yes"]
    y = (free["structured"] == "yes").astype(float)
    groups = [y[free["stimulus"] == s] for s in range(30)]
    sizes = np.array([len(g) for g in groups])
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (len(y) - 30)
    f = stats.f_oneway(*groups).statistic
    size = (len(y) - (sizes**2).sum() / len(y)) / 29
    assert found["within"] == pytest.approx(within)
    assert found["between"] == pytest.approx(max(0, (f - 1) * within / size))
    assert (found["n"], found["n_distinct"]) == (len(y), 30)
    sure = consistency.replicate_variance(
        free.assign(structured=np.where(free["stimulus"] < 10, "yes", "no"))
    )
    assert (sure["within"] == 0).all() and (sure["icc"] == 1).all()
    single = consistency.replicate_variance(free[free["replicate"] == 0])
    assert single[["within", "between", "icc"]].isna().all(axis=None)
    with pytest.raises(SpecError, match="no answer has a clear meaning"):
        consistency.replicate_variance(free.assign(structured="unparsed"))


def repeated(yes: np.ndarray) -> pd.DataFrame:
    """Free text: a row per stimulus, a column per answer, true for yes."""
    stimuli, answers = yes.shape
    return pd.DataFrame(
        {
            "model": "m",
            "question": "knowledge",
            "status": "ok",
            "stimulus": np.repeat(np.arange(stimuli), answers),
            "structured": np.where(yes.ravel(), "yes", "no"),
        }
    )


def test_shares_of_variance_say_how_sure_they_are() -> None:
    """Few answers give wide intervals, also at 0 and 1. Fewer than three such stimuli give none."""
    rng = np.random.default_rng(0)
    always = consistency.replicate_variance(
        repeated(np.array([[True] * 2, [False] * 2, [True] * 2, [False] * 2]))
    )
    assert always["icc"].tolist() == [1, 1] and (always["icc_low"] < 0.6).all()
    assert (always["icc_high"] == 1).all()
    never = consistency.replicate_variance(repeated(np.array([[True, False]] * 4)))
    assert never["icc"].tolist() == [0, 0] and (never["icc_low"] == 0).all()
    assert never["icc_high"].between(0.0, 1).all()
    few = consistency.replicate_variance(repeated(np.array([[True, False], [True, True]])))
    assert few[["within", "between", "icc", "icc_low", "icc_high"]].isna().all(axis=None)
    for stimuli, answers, icc in ((36, 3, 0.3), (12, 2, 0.5), (12, 5, 0.8)):
        share = rng.beta(0.4 * (1 / icc - 1), 0.6 * (1 / icc - 1), size=(150, stimuli, 1))
        drawn = rng.random((150, stimuli, answers)) < share
        ends = [
            consistency.replicate_variance(repeated(one)).iloc[-1][["icc_low", "icc", "icc_high"]].to_list()
            for one in drawn
            if one.any() and not one.all()
        ]
        low, value, high = np.array(ends, dtype=np.float64).T
        assert ((low <= value) & (value <= high) & (low >= 0) & (high <= 1)).all()
        assert np.mean((low <= icc) & (icc <= high)) > 0.92


def test_intervals_are_over_items() -> None:
    """The interval equals a jackknife over domains, and the value is that of the summary."""
    pairs = consistency.pairs(example.free("study2"), example.scored("study2"))
    found = consistency.statistics(pairs).set_index("statistic")
    whole = consistency.summary(pairs).iloc[0]
    assert found["value"][["r", "rmse", "js"]].tolist() == pytest.approx(whole[["r", "rmse", "js"]].tolist())
    left = [
        consistency.summary(pairs[pairs["item"] != item])["rmse"].item() for item in pairs["item"].unique()
    ]
    error = np.sqrt(11 / 12 * ((np.array(left) - np.mean(left)) ** 2).sum())
    rmse = found.loc["rmse"]
    assert rmse["high"] - rmse["low"] == pytest.approx(2 * stats.t.ppf(0.975, 11) * error)


def test_few_answers_give_no_figure() -> None:
    """Seven answers about knowledge have no r and no interval, but a reason."""
    pairs = consistency.pairs(example.free("study1"), example.scored("study1"))
    knows = pairs[pairs["question"] == "knowledge"]
    few = knows[knows["stimulus"].isin(knows["stimulus"].unique()[:7])]
    for found in (consistency.statistics(few), consistency.summary(few)):
        assert found["lacking"].str.contains(r"are needed|fewer than 3 items").all()
        numbers = found.columns.intersection(["value", "low", "high", "r", "rho", "rmse", "js", "tv"])
        assert len(numbers) and found[numbers].isna().all(axis=None)
    whole = consistency.statistics(pairs)
    assert whole["lacking"].eq("").all() and whole["value"].notna().all()
    two = knows[knows["access"] == "2"]
    assert consistency.summary(two)["lacking"].item() == (
        "2 cells (access/observe) have answers that were offered for scoring, and 3 are needed"
    )


def test_yes_and_no_count_once() -> None:
    """Unrelated free text and scores have r near 0, although no is one minus yes."""
    rng = np.random.default_rng(6)
    found = []
    for _ in range(30):
        rows = [
            {"access": a, "observe": o, "item": f"s{i}", "stimulus": f"{a}{o}{i}", "option": option}
            for a, o in study1_cells()
            for i in range(6)
            for option in ("yes", "no")
        ]
        table = pd.DataFrame(rows).assign(model="m", question="knowledge", n=2, n_distinct=1)
        for column in ("said", "scored"):
            yes = np.repeat(rng.beta(30, 4, size=36), 2)
            table[column] = np.where(table["option"] == "yes", yes, 1 - yes)
        found.append(consistency.summary(table)[["r", "r_plain"]].iloc[0].to_list())
    assert np.abs(np.mean(found, axis=0)).max() < 0.3


def study1_cells() -> list[tuple[str, str]]:
    """The six cells of Study 1."""
    return [(str(a), str(o)) for a in (1, 2, 3) for o in range(1, a + 1)]
