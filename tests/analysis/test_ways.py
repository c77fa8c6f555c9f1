"""Ways of asking: components equal those of lme4, and a verdict says what an effect depends on."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from grace_client import analysis, studies
from grace_client.analysis import (
    cell_means,
    compare,
    contrasts,
    example,
    figures,
    mixed,
    quality,
    read,
    reference,
    study2,
    ways,
)
from grace_client.analysis._statistics.components import Likelihood, components
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.run import tables
from grace_client.run.folder import RunFolder
from grace_client.run.runner import run
from grace_client.studies.ways import Way, design
from tests.analysis import asked
from tests.analysis.test_figures import texts
from tests.analysis.test_r import run_r
from tests.conftest import ROOT
from tests.support.deterministic import DeterministicEngine

WAYS = ["base", "order=reversed", "wording=short", "order=reversed, wording=short"]


def yes(answers: pd.DataFrame) -> pd.DataFrame:
    """Mean probability of yes."""
    return cell_means(answers, "prob_yes", by=[])


@pytest.fixture(scope="module")
def study1_asked() -> pd.DataFrame:
    """Invented answers in four ways, of which the order matters; some participants are enough."""
    frame = example.asked("study1")
    return frame[frame["trial_id"] <= 72]


def table(values: list[float], **columns: list[str]) -> pd.DataFrame:
    """Effects in ways that differ in an order."""
    names = [f"o{i}" for i in range(len(values))]
    way = ["base", *(f"order={name}" for name in names[1:])]
    found = {"model": "m", "way": way, "way_order": names, "value": values} | columns
    return pd.DataFrame(found)


# --- Values in each way -----------------------------------------------------------------------------------


def test_an_effect_in_each_way_is_that_of_the_answers_of_this_way(study1_asked: pd.DataFrame) -> None:
    """A number or a table; the function sees the columns of `read` without those of the way."""
    seen: list[list[str]] = []

    def share(answers: pd.DataFrame) -> float:
        seen.append(list(answers.columns))
        return float(answers.loc[answers["option"] == "yes", "prob_norm"].mean())

    found = ways.effects(study1_asked, share)
    assert found["way"].tolist() == WAYS and found["way_order"].tolist() == ["listed", "reversed"] * 2
    assert seen[0] == [name for name in study1_asked.columns if not name.startswith("way")]
    as_table = ways.effects(study1_asked, yes)
    np.testing.assert_allclose(as_table["value"], found["value"])
    assert (as_table["low"] < as_table["value"]).all() and as_table["question"].eq("knowledge").all()
    with pytest.raises(SpecError, match="no column price"):
        ways.effects(study1_asked, yes, value="price")


def test_the_effects_of_any_study_have_their_keys() -> None:
    """Contrasts, mixed models, the share of negation and closeness to people."""
    frame = example.asked("study2")
    frame = frame[frame["trial_id"] <= 600]
    human = reference.study2().rename(columns={"share": "prob"})
    kind, plain = ({study2.CELL[0]: level} for level in ("both", "informational"))
    planned = {"name": "kind", "greater": kind, "lesser": plain, "outcome": "prob_wasnt", "smallest": 0.05}

    def close(answers: pd.DataFrame) -> pd.DataFrame:
        items = study2.by_item(answers)
        return compare.closeness(items, human, keys=study2.CELL, outcome="utterance", draws=20)

    contrast = ways.effects(frame, lambda answers: contrasts(answers, [planned]))
    assert len(contrast) == 4 and contrast["smallest"].eq(0.05).all()
    alone = contrasts(frame[frame["way"] == WAYS[1]], [planned])["difference"][0]
    assert contrast["value"][1] == pytest.approx(alone)
    negated = ways.effects(frame, study2.negation)
    assert len(negated) == 4 * 12 and set(study2.CELL) <= set(negated.columns)
    closeness = ways.effects(frame, close)
    assert closeness.groupby("statistic")["way"].nunique().eq(4).all()
    terms = ways.effects(frame, lambda answers: mixed(answers, f"prob_wasnt ~ {study2.CELL[0]} + (1 | item)"))
    assert terms.groupby("term")["way"].nunique().eq(4).all() and terms["term"].nunique() == 3
    share = ways.effects(frame, lambda answers: float(study2.negation(answers)["mean"].mean()))
    np.testing.assert_allclose(share["value"], negated.groupby("way", sort=False)["value"].mean())
    verdicts = ways.verdict(negated, neutral=0.5)
    assert len(verdicts) == 12 and verdicts["n_ways"].eq(4).all()


def test_a_way_without_an_answer_has_no_row(study1_asked: pd.DataFrame) -> None:
    """The others stay. Without any, the message is that of the effect."""
    failed = study1_asked.assign(
        status=study1_asked["status"].where(study1_asked["way"] != WAYS[1], "failed")
    )
    assert ways.effects(failed, yes)["way"].tolist() == [WAYS[0], *WAYS[2:]]
    with pytest.raises(NotEnoughDataError, match="no way of asking: no question of study1-exp2"):
        ways.effects(study1_asked.assign(status="failed"), yes)


def test_contributions_of_a_mean_are_the_means_of_the_items(study1_asked: pd.DataFrame) -> None:
    """The jackknife's pseudo-values; and NaN without the item that the effect needs."""
    found = ways.per_item(study1_asked, yes)
    own = ways.effects(study1_asked, lambda answers: cell_means(answers, "prob_yes", by=["item"]))
    both = found.merge(own, on=["way", "item"])
    assert len(both) == len(own) == 4 * 6
    np.testing.assert_allclose(both["value_x"], both["value_y"])

    def needs_all(answers: pd.DataFrame) -> pd.DataFrame:
        if answers["item"].nunique() < 6:
            raise NotEnoughDataError("too few items")
        return yes(answers)

    lost = ways.per_item(study1_asked, needs_all)
    assert lost["value"].isna().all() and len(lost) == 24
    found = ways.verdict(ways.effects(study1_asked, needs_all), lost)
    assert np.isnan(found["low"][0]) and "without some item" in found["reason"][0]


# --- Components -------------------------------------------------------------------------------------------


def crossed(seed: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Unbalanced observations of two crossed groups and their combination."""
    generator = np.random.default_rng(seed)
    one, other = generator.integers(0, 5, 60), generator.integers(0, 4, 60)
    both = np.unique(one * 4 + other, return_inverse=True)[1]
    one, other = (np.unique(code, return_inverse=True)[1] for code in (one, other))
    matrix = np.column_stack([np.ones(60), generator.normal(size=60)])
    y = generator.normal(size=5)[one % 5] + generator.normal(size=60) + matrix[:, 1]
    return y, matrix, [one, other, both]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    variance=st.lists(st.floats(0.01, 4), min_size=4, max_size=4),
)
def test_the_likelihood_is_that_of_its_formula(seed: int, variance: list[float]) -> None:
    """Value, gradient and average information equal those of the dense matrices, up to a constant."""
    y, matrix, codes = crossed(seed)
    at = np.array(variance)
    indicators = [np.eye(int(code.max()) + 1)[code] for code in codes]
    parts = [*(z @ z.T for z in indicators), np.eye(len(y))]
    whole = sum(one * part for one, part in zip(at, parts, strict=True))
    inverse = np.linalg.inv(whole)
    middle = matrix.T @ inverse @ matrix
    p = inverse - inverse @ matrix @ np.linalg.inv(middle) @ matrix.T @ inverse
    value = np.linalg.slogdet(whole)[1] + np.linalg.slogdet(middle)[1] + y @ p @ y
    gradient = [np.trace(p @ part) - y @ p @ part @ p @ y for part in parts]
    information = [[y @ p @ one @ p @ other @ p @ y / 2 for other in parts] for one in parts]
    found = Likelihood(y, matrix, codes).deviance(at)
    assert found[0] == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(found[1], gradient, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found[2], information, rtol=1e-6, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_other_variances_are_likelier(seed: int) -> None:
    """At the estimate the deviance is least: nothing near it, and no other start, is better."""
    y, matrix, codes = crossed(seed)
    fit = components(y, matrix, codes, level=None)
    assert fit.converged
    likelihood = Likelihood(y, matrix, codes)
    least = likelihood.deviance(fit.variance)[0]
    generator = np.random.default_rng(seed)
    for _ in range(20):
        other = fit.variance * np.exp(generator.normal(0, 0.5, 4)) + 0.1 * generator.random(4) ** 4
        assert likelihood.deviance(other)[0] > least - 1e-6


def test_balanced_components_are_those_of_the_mean_squares() -> None:
    """One value per item and order: estimates and interval of the mean in closed form."""
    rows = asked.values(3, wordings=1, conditions=("few",)).drop(columns="condition")
    found = ways.components(rows, intervals=False).set_index("component")
    wide = rows.pivot_table(index="item", columns="way_order", values="value").to_numpy()
    items, orders = wide.shape
    rest = wide - wide.mean(0) - wide.mean(1)[:, None] + wide.mean()
    residual = (rest**2).sum() / ((items - 1) * (orders - 1))
    by_item, by_order = orders * wide.mean(1).var(ddof=1), items * wide.mean(0).var(ddof=1)
    wanted = [(by_item - residual) / orders, (by_order - residual) / items, residual]
    np.testing.assert_allclose(found.loc[["item", "order", "residual"], "variance"], wanted, rtol=1e-4)
    assert found["share"].sum() == pytest.approx(1) and found["low"].isna().all()
    values = rows.groupby(["model", "way", *asked.FACTORS], sort=False)["value"].mean().reset_index()
    one = ways.verdict(values, rows).iloc[0]
    square = (by_item + by_order - residual) / (items * orders)
    parts = [by_item**2 / (items - 1), by_order**2 / (orders - 1)]
    df = (by_item + by_order - residual) ** 2 / (sum(parts) + residual**2 / ((items - 1) * (orders - 1)))
    assert one["se"] == pytest.approx(np.sqrt(square), rel=1e-4)
    assert one["df"] == pytest.approx(df, rel=0.02)
    assert one["high"] == pytest.approx(wide.mean() + stats.t.ppf(0.975, one["df"]) * one["se"])


def test_components_are_those_of_lme4(rscript: str, tmp_path: Path) -> None:
    """With conditions and missing values; and the profile intervals of a smaller model."""
    rows = asked.values(5).drop(index=list(range(0, 288, 7))).reset_index(drop=True)
    plain = rows.rename(columns={"way_order": "order", "way_wording": "wording"})
    theirs = run_r(rscript, "components.R", tmp_path, plain).set_index("component")
    ours = ways.components(rows, conditions=["condition"], intervals=False).set_index("component")
    theirs.loc["residual"] = theirs.loc["Residual"]
    assert (ours["reason"] == "").all() and len(ours) == 9
    wanted = theirs.loc[ours.index, "variance"]
    np.testing.assert_allclose(ours["variance"], wanted, rtol=2e-3, atol=1e-7)
    few = rows[rows["condition"] == "few"]
    codes = [pd.factorize(few[name])[0] for name in ("item", "way_order")]
    fit = components(few["value"].to_numpy(), np.ones((len(few), 1)), codes)
    small = theirs.loc[["small item", "small order", "small residual"]]
    # lme4 profiles the full likelihood, not the restricted one: close, and a little narrower for few levels.
    np.testing.assert_allclose(np.sqrt(fit.low), np.sqrt(small["low"]), rtol=0.15)
    np.testing.assert_allclose(np.sqrt(fit.high)[[0, 2]], np.sqrt(small["high"]).iloc[[0, 2]], rtol=0.15)
    assert fit.high[1] > small["high"].iloc[1]


def test_an_interval_ends_where_the_deviance_has_risen_by_its_quantile() -> None:
    """Without groups, the deviance is in closed form."""
    generator = np.random.default_rng(0)
    y = generator.normal(size=40)
    fit = components(y, np.ones((40, 1)), [])
    square, df = float(((y - y.mean()) ** 2).sum()), 39
    for end in (fit.low[0], fit.high[0]):
        risen = df * np.log(end) + square / end - (df * np.log(square / df) + df)
        assert risen == pytest.approx(stats.chi2.ppf(0.95, 1), rel=0.02)
    assert fit.variance[0] == pytest.approx(square / df, rel=1e-4)


def covered(found: pd.DataFrame, noise: bool) -> pd.Series:
    """Whether each interval contains the true variance."""
    table = found[found["variance"].notna() & (found["component"] != "noise")].set_index("component")
    true = pd.Series(asked.SD)[table.index] ** 2
    if not noise:
        true["residual"] += asked.NOISE**2
    return (table["low"] <= true) & (true <= table["high"])


def test_a_known_order_bias_a_known_effect_and_known_noise_are_recovered() -> None:
    """All nine components are within their intervals, and the noise is taken out of the residual."""
    found = ways.components(asked.values(1), conditions=["condition"], noise=asked.NOISE)
    assert covered(found, noise=True).all()
    by = found.set_index("component")
    without = ways.components(asked.values(1), conditions=["condition"], intervals=False)
    residual = without.set_index("component")["variance"]["residual"]
    assert by["variance"]["residual"] == pytest.approx(residual - asked.NOISE**2, rel=1e-3)
    assert by["variance"]["noise"] == pytest.approx(asked.NOISE**2) and np.isnan(by["low"]["noise"])
    # The intervals are narrow enough to mean something.
    assert (by["low"][["item", "item:condition", "item:way", "residual"]] > 0).all()
    assert np.sqrt(by["high"]["item"]) < 3 * asked.SD["item"]
    assert np.sqrt(by["high"]["order"]) < 4 * asked.SD["order"]


def test_intervals_of_components_have_their_coverage() -> None:
    """Of 100 studies with 12 items and 4 orders: each interval contains the true variance in 95%, ± 7."""
    found = []
    for seed in range(100):
        rows = asked.values(seed, wordings=1, conditions=("few",)).drop(columns="condition")
        # With one condition and wording, item:condition is a part of the item, and so on.
        result = ways.components(rows).set_index("component")
        parts = {
            "item": ("item", "item:condition"),
            "order": ("order", "order:condition", "way"),
            "residual": ("item:way", "residual"),
        }
        true = {name: sum(asked.SD[part] ** 2 for part in own) for name, own in parts.items()}
        true["residual"] += asked.NOISE**2
        found.append({k: result["low"][k] <= v <= result["high"][k] for k, v in true.items()})
    assert (pd.DataFrame(found).mean() >= 0.88).all()


@pytest.mark.slow
def test_intervals_of_all_components_have_their_coverage() -> None:
    """Of 60 studies with 12 items, 4 orders, 3 wordings and 2 conditions. Of 200 it was 92.5 to 97.5%."""
    hits = [
        covered(ways.components(asked.values(seed), conditions=["condition"], noise=asked.NOISE), noise=True)
        for seed in range(60)
    ]
    assert (pd.concat(hits, axis=1).mean(axis=1) >= 0.86).all()


def test_components_that_the_design_cannot_tell_apart_have_a_reason() -> None:
    """A constant factor, two factors that change together, and one value for each item and way."""
    rows = asked.values(2, wordings=1, conditions=("few",)).drop(columns="condition")
    found = ways.components(rows.assign(way_cue=rows["way_order"]), intervals=False).set_index("component")
    lost = found[found["variance"].isna()]
    assert set(lost.index) == {"wording", "way", "cue", "item:way"}
    assert lost["reason"]["wording"] == "one level only" and "from order" in lost["reason"]["cue"]
    assert "part of the residual" in lost["reason"]["item:way"] and lost["sd"].isna().all()
    same = ways.components(rows.assign(value=0.5), intervals=False)
    assert same["variance"].isna().all() and same["reason"].str.contains("equal").any()


def test_what_has_no_components_is_refused() -> None:
    """One way only, one item, several outcomes, no ways, too few values."""
    rows = asked.values(0)
    for wrong, message in (
        (rows[rows["way"] == "base"], "m was asked in one way only.*--ways"),
        (rows[rows["item"] == "i0"], "one item only"),
        (rows.assign(value=np.nan), "no row has a value"),
        (rows[rows["item"].isin(["i0", "i1"]) & (rows["condition"] == "few")].iloc[[0, 1, 6]], "too few"),
    ):
        with pytest.raises(NotEnoughDataError, match=message):
            ways.components(wrong, conditions=["condition"])
    with pytest.raises(SpecError, match="several levels of condition"):
        ways.components(rows)
    with pytest.raises(SpecError, match=r"read\(source, ways=True\)"):
        ways.components(rows.drop(columns="way"))
    with pytest.raises(SpecError, match="no column item"):
        ways.components(rows.drop(columns="item"), conditions=["condition"])


# --- Verdicts ---------------------------------------------------------------------------------------------


NUMBERS = st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=2, max_size=12)


@given(NUMBERS, st.floats(0.01, 0.5), st.sampled_from([0.0, 0.25]))
def test_a_verdict_counts_ways(values: list[float], smallest: float, neutral: float) -> None:
    """Its shares are those of counting, and do not change if all effects change their sign."""
    one = ways.verdict(table(values), smallest=smallest, neutral=neutral).iloc[0]
    away = [value - neutral for value in values]
    assert one["minimum"] == min(values) and one["maximum"] == max(values) and one["n_ways"] == len(values)
    assert one["flips"] == (min(away) < 0 < max(away))
    if away[0]:
        ahead = [value * np.sign(away[0]) for value in away]
        assert one["same_sign"] == pytest.approx(np.mean([value > 0 for value in ahead]))
        assert one["clears"] == pytest.approx(np.mean([value >= smallest for value in ahead]))
        turned = [2 * neutral - value for value in values]
        other = ways.verdict(table(turned), smallest=smallest, neutral=neutral).iloc[0]
        assert other["same_sign"] == one["same_sign"] and other["flips"] == one["flips"]
        assert other["spread"] == pytest.approx(one["spread"]) == pytest.approx(max(values) - min(values))
    else:
        assert np.isnan(one["same_sign"]) and one["verdict"] == "no effect in the base way"


def test_a_verdict_says_what_an_effect_depends_on() -> None:
    """Phrases of effects that hold, that do not everywhere, and that change their sign."""
    for values, phrase in (
        ([0.3, 0.4, 0.2], "holds in 3 of 3 ways"),
        ([0.3, 0.05, 0.2], "holds in 2 of 3 ways, depends most on order"),
        ([0.3, -0.1, 0.2], "changes its sign in 1 of 3 ways, most with order"),
        ([0.3], "one way of asking"),
    ):
        assert ways.verdict(table(values), smallest=0.1)["verdict"].tolist() == [phrase]
    alone = ways.verdict(table([0.3])).iloc[0]
    assert alone["n_ways"] == 1 and np.isnan(alone["low"]) and "other ways" in alone["reason"]
    lost = ways.verdict(table([np.nan, 0.2, 0.4])).iloc[0]
    assert "no value in 1 of 3 ways; no base way" in lost["reason"] and lost["same_sign"] == 1
    assert (
        ways.verdict(table([0.3, 0.2], smallest=["0.25"] * 2).astype({"smallest": float}))["clears"][0] == 0.5
    )
    with pytest.raises(SpecError, match="negative"):
        ways.verdict(table([0.1, 0.2]), smallest=-1)


def test_the_widest_factor_is_found_in_a_design_of_one_by_one() -> None:
    """Levels are compared with the other factors at the same level: the base is in most ways."""
    rows = pd.DataFrame(
        [("base", "a", "x", 0.5), ("order=b", "b", "x", 0.8), ("cue=y", "a", "y", 0.1)],
        columns=["way", "way_order", "way_cue", "value"],
    ).assign(model="m")
    one = ways.verdict(rows).iloc[0]
    assert one["factor"] == "cue" and one["spread"] == pytest.approx(0.4)


def test_the_interval_over_ways_covers_other_ways() -> None:
    """Of 60 studies with 12 items, 4 orders and 3 wordings; that of one way alone is far too narrow.

    Of 300 such studies, the interval covered the true effect in 93%, that of the base way in 44%.
    """
    covers, narrow = [], []
    for seed in range(60):
        values, items = asked.differences(asked.values(seed))
        one = ways.verdict(values, items).iloc[0]
        covers.append(one["low"] <= asked.EFFECT <= one["high"])
        base = items.loc[items["way"] == "base", "value"]
        reach = stats.t.ppf(0.975, 11) * base.std() / np.sqrt(12)
        narrow.append(abs(base.mean() - asked.EFFECT) <= reach)
    assert np.mean(covers) >= 0.86 and np.mean(narrow) <= 0.7


def test_models_are_judged_one_by_one() -> None:
    """The items of a model have no part in the verdict of another; equal items have no interval."""
    values, items = asked.differences(asked.values(0))
    flat = [one.assign(model="flat", value=0.1) for one in (values, items)]
    found = ways.verdict(pd.concat([values, flat[0]]), pd.concat([items, flat[1]])).set_index("model")
    alone = ways.verdict(values, items).iloc[0]
    assert found["low"]["m"] == alone["low"] and alone["low"] < alone["mean"] < alone["high"]
    assert np.isnan(found["low"]["flat"]) and "same value in all ways" in found["reason"]["flat"]


# --- A run ------------------------------------------------------------------------------------------------

DECLARED = """\
ways:
  order: [listed, reversed]
  tone:
    base: null
    plain: {system: You decide.}

experiments:
"""


def test_a_run_in_four_ways_is_read_and_judged(tmp_path: Path) -> None:
    """From a study file that declares an order and a system turn to a verdict, with its contrast."""
    source = ROOT / "studies" / "framing"
    declared = (source / "framing.yaml").read_text().replace("experiments:\n", DECLARED, 1)
    (tmp_path / "framing.yaml").write_text(declared)
    shutil.copy(source / "framing.csv", tmp_path)
    study = studies.find(str(tmp_path / "framing.yaml"))
    (experiment,) = study.experiments.values()
    listed = studies.read_trials(tmp_path / "framing.csv", study)

    async def work(name: str, asked_in: Sequence[Way]) -> None:
        engine = DeterministicEngine()
        info = await engine.describe()
        folder = RunFolder.create(tmp_path / name, experiment, listed, info, ways=asked_in)
        await run(folder, engine)

    asyncio.run(work("run", design(experiment.ways, "full")))
    tables.export(RunFolder.open(tmp_path / "run"))
    frame = read(tmp_path / "run", ways=True)
    base = contrasts(read(tmp_path / "run"), experiment=experiment)

    def effect(answers: pd.DataFrame) -> pd.DataFrame:
        return contrasts(answers, experiment=experiment)

    values = ways.effects(frame, effect)
    assert values["way"].tolist() == ["base", "tone=plain", "order=reversed", "order=reversed, tone=plain"]
    one = ways.verdict(values, ways.per_item(frame, effect)).iloc[0]
    assert one["base"] == pytest.approx(base["difference"][0]) and one["smallest"] == 0.1
    assert one["low"] < one["mean"] < one["high"] and one["contrast"] == "framing"
    cells = ways.effects(
        frame, lambda answers: cell_means(answers, by=["item", "frame"], experiment=experiment)
    )
    found = ways.components(cells, conditions=["frame"], intervals=False)
    assert found["variance"].notna().all() and found["component"].tolist()[2:4] == ["order", "tone"]
    for name, asked_in in (("plain", ()), ("orders", design(experiment.ways, "one-by-one:order"))):
        asyncio.run(work(name, asked_in))
        tables.export(RunFolder.open(tmp_path / name))
    together = read([tmp_path / "plain", tmp_path / "orders"], ways=True)
    assert together.groupby("way", sort=False)["way_order"].unique().str[0].to_dict() == {
        "base": "listed",
        "order=reversed": "reversed",
    }
    assert len(together) == 2 * len(read(tmp_path / "plain")) and together.notna()["way_tone"].all()
    shutil.copytree(tmp_path / "plain", tmp_path / "again")
    with pytest.raises(SpecError, match="both contain"):
        read([tmp_path / "plain", tmp_path / "again"], ways=True)
    both = ways.averaged(frame)
    mean = both.groupby(["trial_id", "option", "way_tone"])["prob_norm"].mean()
    assert (
        both.groupby(["trial_id", "option", "way_tone"])["prob_averaged"]
        .first()
        .equals(mean.rename("prob_averaged"))
    )


# --- Averages over orders ---------------------------------------------------------------------------------


def answered(content: list[float], place: list[float]) -> pd.DataFrame:
    """One question whose answers have probabilities of content and of place, in all rotations."""
    parts = []
    for step in range(len(content)):
        prob = np.array([c + place[(i - step) % len(content)] for i, c in enumerate(content)])
        name = f"rotated-{step}" if step else "listed"
        own = {"option": [f"o{i}" for i in range(len(content))], "prob_norm": prob / prob.sum()}
        levels = {"way": f"order={name}" if step else "base", "way_order": name, "way_cue": "text"}
        parts.append(pd.DataFrame(own).assign(**levels))
    whole = pd.concat(parts, ignore_index=True)
    return whole.assign(model="m", experiment="e", trial_id=1, question="q", status="ok")


@given(
    st.integers(2, 6).flatmap(
        lambda n: st.tuples(*[st.lists(st.floats(0.01, 1), min_size=n, max_size=n)] * 2)
    )
)
def test_a_bias_of_place_is_gone_from_the_average_over_rotations(drawn: tuple[list[float], ...]) -> None:
    """What place adds is the same for every option, and the average is a distribution."""
    content, place = drawn
    found = ways.averaged(answered(content, place))
    own = found[found["way"] == "base"]
    wanted = (np.array(content) + np.mean(place)) / (sum(content) + sum(place))
    np.testing.assert_allclose(own["prob_averaged"], wanted)
    assert own["prob_averaged"].sum() == pytest.approx(1) and own["n_averaged"].eq(len(content)).all()
    pd.testing.assert_series_equal(found["prob_norm"], answered(content, place)["prob_norm"])


def test_an_average_with_a_failed_order_is_missing() -> None:
    """Nothing is imputed; other cues are other groups; one order alone is no average."""
    rows = answered([0.5, 0.3, 0.2], [0.2, 0.1, 0.0])
    rows.loc[rows["way_order"] == "rotated-1", "status"] = "failed"
    assert ways.averaged(rows)["prob_averaged"].isna().all()
    whole = answered([0.5, 0.3, 0.2], [0.2, 0.1, 0.0])
    lone = whole[whole["way"] == "base"].assign(way="cue=colon", way_cue="colon")
    found = ways.averaged(pd.concat([whole, lone], ignore_index=True))
    assert found["prob_averaged"].isna().tolist() == [False] * 9 + [True] * 3
    with pytest.raises(NotEnoughDataError, match=r"the order listed.*--ways full:order"):
        ways.averaged(lone)
    with pytest.raises(SpecError, match="two answers in the way base"):
        ways.averaged(pd.concat([whole, whole.iloc[:3]]))
    with pytest.raises(SpecError, match="no column way_tone"):
        ways.averaged(whole, factor="tone")


# --- Figures ----------------------------------------------------------------------------------------------


def test_a_specification_curve_shows_each_way_and_its_levels(study1_asked: pd.DataFrame) -> None:
    """A row for each level, ways from the smallest effect to the largest."""
    found = ways.effects(study1_asked, yes)
    drawn = figures.specification_curve(found, label="probability of yes", neutral=0.5, smallest=0.05)
    written = texts(figures.svg(drawn))
    assert {"order: listed", "order: reversed", "wording: long", "wording: short"} <= set(written)
    assert {"probability of yes", "1", "2", "3", "4"} <= set(written)
    shown = drawn.data.sort_values("rank")
    assert shown["value"].is_monotonic_increasing
    with pytest.raises(SpecError, match="several values in the way base"):
        figures.specification_curve(pd.concat([found, found]))
    with pytest.raises(SpecError, match="no effect to draw"):
        figures.specification_curve(found.assign(value=np.nan))
    many = pd.concat([found.iloc[:1].assign(way=f"w{i}") for i in range(201)])
    with pytest.raises(SpecError, match="at most 200 ways, and there are 201"):
        figures.specification_curve(many)


def test_a_figure_of_components_leaves_out_what_has_no_variance() -> None:
    """And says where a line is longer than the panel."""
    rows = asked.values(0, orders=2, wordings=1, conditions=("few",)).drop(columns="condition")
    found = ways.components(rows, noise=asked.NOISE)
    written = texts(figures.svg(figures.variance_components(found)))
    assert {"item", "order", "residual", "noise"} <= set(written) and "item:way" not in written
    assert any("ask in more" in text for text in written)
    with pytest.raises(SpecError, match="nothing to draw"):
        figures.variance_components(found.assign(variance=np.nan))


def test_the_noise_of_a_run_can_be_given(study1_asked: pd.DataFrame) -> None:
    """As a standard deviation by model, from `quality.noise`."""
    measured = quality.noise(example.manifests("study1")).set_index("model")["sd_points"] / 100
    values = ways.effects(study1_asked, lambda answers: cell_means(answers, "prob_yes", by=["item"]))
    noise = {str(model): float(sd) for model, sd in measured.items()}
    found = ways.components(values, noise=noise, intervals=False).set_index("component")
    assert found["sd"]["noise"] == pytest.approx(0.001)
    other = ways.components(values, noise={}, intervals=False).set_index("component")
    assert np.isnan(other["sd"]["noise"]) and other["reason"]["noise"] == "no noise was given"


@pytest.mark.parametrize("study", ["study1", "study2"])
def test_a_function_for_one_way_refuses_several(study: str) -> None:
    """A trial would count once for each way, under the name of one."""
    every = example.asked(study)
    base = every[every["way"] == "base"]
    own: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], ...]] = {
        "study1": (analysis.study1.cell_means, analysis.study1.implicature, analysis.study1.coherence),
        "study2": (analysis.study2.utterances, analysis.study2.differences, analysis.study2.by_item),
    }
    functions: list[Callable[[pd.DataFrame], pd.DataFrame]] = [
        *(analysis.outcomes, analysis.cell_means, analysis.shares, analysis.summarise),
        *own[study],
    ]
    for function in functions:
        with pytest.raises(SpecError, match="answers in 4 ways of asking"):
            function(every)
        assert len(function(base)) > 0
