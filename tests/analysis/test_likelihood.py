"""The negative log-likelihood of people's choices, its baselines, and the ceiling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from grace_client.analysis import example, likelihood, reference, study2
from grace_client.core.errors import NotEnoughDataError, SpecError

HOW: dict[str, Any] = {"keys": ["goal", "state"], "outcome": "utterance"}
PEOPLE = reference.study2()
SHARES = PEOPLE.rename(columns={"share": "prob"})[["goal", "state", "utterance", "prob"]]


def choices(count: int = 60, seed: int = 0) -> pd.DataFrame:
    """Choices of two conditions with two options, with items and participants."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"access": np.tile(["low", "high"], count // 2), "item": np.arange(count) // 2 % 6})
    rows["participant"] = np.arange(count) // 4
    rows["answer"] = np.where(rng.random(count) < np.where(rows["access"] == "low", 0.3, 0.8), "yes", "no")
    return rows


def table(**yes: float) -> pd.DataFrame:
    """A model's probabilities of yes, by access."""
    rows = [(access, answer, p) for access, q in yes.items() for answer, p in (("yes", q), ("no", 1 - q))]
    return pd.DataFrame(rows, columns=["access", "answer", "prob"])


def by_name(found: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {str(row["model"]): {str(key): row[key] for key in row} for row in found.to_dict("records")}


def test_by_hand() -> None:
    """Models, uniform, marginal and blind rows equal the sums of a loop over choices and people."""
    people = choices()
    model = table(low=0.4, high=0.7).assign(model="m")
    found = by_name(
        likelihood.per_choice(model, people, keys=["access"], outcome="answer", ignoring=["item"])
    )
    losses: dict[str, list[float]] = {
        "m": [],
        "marginal": [],
        "blind to item": [],
        "blind to item, fitted": [],
    }
    for row in people.itertuples():
        yes = {"low": 0.4, "high": 0.7}[str(row.access)]
        losses["m"].append(-np.log(yes if row.answer == "yes" else 1 - yes))
        others = people[people["participant"] != row.participant]
        cell = people[people["access"] == row.access]
        for name, rows, added in (
            ("marginal", others, 1.0),
            ("blind to item", others[others["access"] == row.access], 1.0),
            ("blind to item, fitted", cell, 0.0),
        ):
            share = ((rows["answer"] == row.answer).sum() + added / 2) / (len(rows) + added)
            losses[name].append(-np.log(share))
    for name, own in losses.items():
        assert found[name]["nats"] == pytest.approx(np.mean(own), abs=1e-12)
    assert found["uniform"]["nats"] == pytest.approx(np.log(2))
    # The difference is paired by choice and clustered by item: with equal items, a t test of their means.
    apart = (np.array(losses["m"]) - losses["marginal"]).reshape(-1, 2)
    means = pd.Series(apart.mean(axis=1)).groupby(people["item"].to_numpy()[::2]).mean()
    test = stats.ttest_1samp(means, 0)
    low, high = test.confidence_interval()
    ends = [found["m"][name] for name in ("difference", "difference_low", "difference_high")]
    assert ends == pytest.approx([means.mean(), low, high])
    again = likelihood.differences(model, people, keys=["access"], outcome="answer", against=["marginal"])
    assert again[["t", "df", "p"]].to_numpy()[0].tolist() == pytest.approx(
        [test.statistic, test.df, test.pvalue]
    )
    assert [found["m"][name] for name in ("clusters", "n", "n_items")] == ["items", 60, 6]


def test_counts_are_choices() -> None:
    """Counts of Study 2 work as they are, and give what one row for each choice gives."""
    model = SHARES.assign(model="people themselves")
    counted = likelihood.per_choice(model, PEOPLE, **HOW)
    each = PEOPLE.loc[PEOPLE.index.repeat(PEOPLE["count"]), ["goal", "state", "utterance"]]
    pd.testing.assert_frame_equal(counted, likelihood.per_choice(model, each, **HOW))
    weight = PEOPLE["count"] / PEOPLE["count"].sum()
    here = PEOPLE["share"] > 0
    assert by_name(counted)["people themselves"]["nats"] == pytest.approx(
        -(weight * np.log(PEOPLE["share"].where(here, 1))).sum()
    )
    assert counted["n"].eq(PEOPLE["count"].sum()).all()


@pytest.mark.parametrize("seed", range(5))
def test_who_ignores_a_condition_gets_no_credit(seed: int) -> None:
    """No model that is the same for all goals is below the fitted row, however well it is informed.

    One that learnt from as many other people as the baseline is not shown to be better than the other row.
    """
    rng = np.random.default_rng(seed)
    truth = SHARES["prob"].to_numpy().reshape(12, 8)
    drawn, others = (np.stack([rng.multinomial(203, p) for p in truth]) for _ in range(2))
    people = SHARES.drop(columns="prob").assign(count=drawn.ravel())
    parts = []
    for name, blind in (
        ("truth", truth.reshape(3, 4, 8).mean(axis=0)),
        ("other people", (others.reshape(3, 4, 8).sum(axis=0) + 1 / 8) / (3 * 203 + 1)),
        ("anything", rng.dirichlet(np.ones(8), 4)),
    ):
        parts.append(SHARES.assign(model=name, prob=np.tile(blind, (3, 1, 1)).ravel()))
    rows = ["blind to goal, fitted", "blind to goal"]
    found = likelihood.differences(pd.concat(parts), people, against=rows, **HOW)
    strict = found[found["against"] == rows[0]]
    assert strict["difference"].between(0, np.inf, inclusive="neither").all() and len(strict) == 3
    fair = found[(found["against"] == rows[1]) & (found["model"] != "truth")]
    assert (fair["high"] > 0).all() and len(fair) == 2
    knows = likelihood.differences(SHARES.assign(model="m"), people, against=rows[:1], **HOW)
    assert knows["high"].tolist() < [0]


@pytest.mark.parametrize("persons", [False, True])
def test_the_ceiling_is_the_entropy(persons: bool) -> None:
    """Split halves of synthetic people cost more than the true entropy; less their noise, the same."""
    rng = np.random.default_rng(7)
    truth = rng.dirichlet(np.ones(4), 6)
    entropy = float(stats.entropy(truth, axis=1).mean())
    above, corrected, inside = [], [], []
    for _ in range(60):
        cell = np.tile(np.arange(6), 100)
        said = (rng.random(600)[:, None] > truth.cumsum(axis=1)[cell]).sum(axis=1)
        people = pd.DataFrame({"cell": cell, "answer": said.clip(max=3)})
        if persons:
            people["participant"] = np.arange(600) // 6
        grid = pd.DataFrame({"cell": np.repeat(np.arange(6), 4), "answer": np.tile(np.arange(4), 6)})
        found = by_name(
            likelihood.per_choice(
                grid.assign(prob=truth.ravel(), model="truth"),
                people,
                keys=["cell"],
                outcome="answer",
                splits=20,
            )
        )
        row = found["people on people"]
        above.append(row["nats"] - found["truth"]["nats"])
        corrected.append(row["nats"] - row["noise"])
        inside.append(found["truth"]["low"] <= entropy <= found["truth"]["high"])
    # Three free shares from 50 choices: about 3 / (2 × 50) = .03 nats.
    assert np.mean(above) == pytest.approx(0.03, abs=0.006) and min(above) > 0
    error = np.std(corrected, ddof=1) / np.sqrt(60)
    assert abs(np.mean(corrected) - entropy) < 3 * error and error < 0.005
    assert np.mean(inside) > 0.85


def test_impossible_choices_are_said() -> None:
    """Zero for a chosen outcome is infinite, with the number of such choices, and with a lapse finite."""
    people = choices()
    model = table(low=0.0, high=0.7).assign(model="m")
    how: dict[str, Any] = {"keys": ["access"], "outcome": "answer"}
    row = by_name(likelihood.per_choice(model, people, **how))["m"]
    yes = int(((people["access"] == "low") & (people["answer"] == "yes")).sum())
    assert np.isinf(row["nats"]) and row["impossible"] == yes > 0 and np.isinf(row["difference"])
    assert np.isnan(row["low"]) and np.isnan(row["difference_high"])
    lapsing = by_name(likelihood.per_choice(model, people, lapse=0.1, **how))
    same = by_name(likelihood.per_choice(table(low=0.05, high=0.68).assign(model="m"), people, **how))
    assert lapsing["m"]["nats"] == pytest.approx(same["m"]["nats"])
    assert lapsing["uniform"]["nats"] == same["uniform"]["nats"] and lapsing["m"]["impossible"] == 0


def test_too_little_is_a_reason() -> None:
    """Few choices, few items and shares of few choices have no number, but a reason."""
    model = table(low=0.4, high=0.7).assign(model="m")
    how: dict[str, Any] = {"keys": ["access"], "outcome": "answer"}
    few = likelihood.per_choice(model, choices(40), **how)
    assert few["nats"].isna().all() and few["reason"].str.contains("40 choices: fewer than 50").any()
    two = choices()
    two["item"] %= 2
    found = likelihood.per_choice(model, two, **how)
    assert found["nats"].isna().all() and found["reason"].str.contains("of 2 items: fewer than 3").any()
    # Three options, six items, two conditions: 24 free shares, from 30 choices of half of the people.
    whole = by_name(likelihood.per_choice(model, choices(), **how))
    ceiling = whole["people on people"]
    assert np.isnan(ceiling["nats"]) and "30 choices for 12 shares" in ceiling["reason"]
    assert np.isfinite(whole["m"]["nats"]) and whole["m"]["reason"] == ""
    assert likelihood.differences(model, choices(), **how)["reason"].iloc[-1] == ceiling["reason"]


def test_items_of_models_and_of_people() -> None:
    """Items that both know are matched; the interval covers the model's own where people's are unknown."""
    people = choices(120)
    rng = np.random.default_rng(3)
    parts = [
        table(low=low, high=high).assign(item=item, model="m")
        for item, (low, high) in enumerate(rng.uniform(0.2, 0.8, (6, 2)))
    ]
    model = pd.concat(parts)
    how: dict[str, Any] = {"keys": ["access"], "outcome": "answer"}
    matched = by_name(likelihood.per_choice(model, people, **how))["m"]
    prob = people.merge(model.drop(columns="model"), on=["access", "item", "answer"])["prob"]
    assert matched["nats"] == pytest.approx(-np.log(prob).mean())
    without = people.drop(columns=["item", "participant"])
    averaged = model.groupby(["access", "answer"], sort=False)["prob"].mean().reset_index().assign(model="m")
    own, fixed = (by_name(likelihood.per_choice(one, without, **how))["m"] for one in (model, averaged))
    assert own["nats"] == pytest.approx(fixed["nats"])
    assert own["high"] - own["low"] > fixed["high"] - fixed["low"]
    assert (own["clusters"], fixed["clusters"]) == ("choices and items", "choices")
    shuffled = pd.concat([model, model.assign(model="again").iloc[::-1]])
    apart = likelihood.differences(shuffled, without, against=["again"], **how).iloc[0]
    assert apart["difference"] == pytest.approx(0) and np.isnan(apart["low"])


def test_theories_and_other_models_are_rows() -> None:
    """A theory without one of the keys says the same of all its levels; models may be compared with it."""
    literal = reference.meanings()
    literal["prob"] = literal["share"] / literal.groupby("state")["share"].transform("sum")
    models = study2.by_item(example.scored("study2"))
    theories = {"literal": literal[["state", "utterance", "prob"]]}
    found = likelihood.per_choice(models, PEOPLE, theories=theories, against="literal", lapse=0.02, **HOW)
    row = by_name(found)["example"]
    prob = PEOPLE.merge(literal[["state", "utterance", "prob"]], on=["state", "utterance"])
    nats = -(prob["count"] * np.log(0.98 * prob["prob"] + 0.02 / 8)).sum() / prob["count"].sum()
    assert by_name(found)["literal"]["nats"] == pytest.approx(nats)
    assert row["against"] == "literal" and row["difference_high"] < 0
    assert found["kind"].tolist() == ["baseline"] * 6 + ["theory", "model", "people"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": ["acess"]}, "no column acess"),
        ({"keys": ["access", "item"]}, "leave out 'item'"),
        ({"keys": []}, "name at least one"),
        ({"ignoring": ["items"]}, "is none of the keys"),
        ({"against": "marginale"}, "'marginale' is no row"),
        ({"lapse": 1.0}, "lapse=1.0"),
        ({"cluster": "choices"}, "choose item, participant, choice"),
        ({"models": table(low=0.4)}, "says nothing about access high"),
        ({"models": table(low=0.4, high=1.2)}, "is not a probability"),
        ({"models": table(low=0.4, high=0.7).assign(prob=0.4)}, "sum to 1"),
        ({"models": table(low=0.4, high=0.7).replace("yes", "Yes")}, "people chose 'yes', but"),
        ({"models": table(low=0.4, high=0.7).assign(model="uniform")}, "the name of a baseline"),
        ({"choices": choices().assign(count=1.5)}, "count is 1.5"),
        ({"choices": choices().assign(answer=None)}, "answer is empty"),
        ({"choices": choices().drop(columns="item"), "cluster": "item"}, "no column 'item'"),
    ],
)
def test_what_cannot_be_used_is_named(change: dict[str, Any], message: str) -> None:
    """The message has the value and the place."""
    given: dict[str, Any] = {"models": table(low=0.4, high=0.7), "choices": choices(), "keys": ["access"]}
    with pytest.raises(SpecError, match=message):
        likelihood.per_choice(**given | {"outcome": "answer"} | change)


def test_no_choice_is_no_data() -> None:
    """An empty table has its own error."""
    with pytest.raises(NotEnoughDataError, match="has no choice"):
        likelihood.per_choice(
            table(low=0.4, high=0.7), choices().assign(count=0), keys=["access"], outcome="answer"
        )
