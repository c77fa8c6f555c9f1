"""Models beside people and theories."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from grace_client.analysis import compare, reference
from grace_client.errors import SpecError

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
    """Correlations and divergence equal an independent implementation, alone and vectorised."""
    p, q = np.random.default_rng(seed).dirichlet(np.ones(4), size=(2, 5, 6))
    found = compare.statistics(p, q)
    for i in range(5):
        x, y = p[i].ravel(), q[i].ravel()
        assert found["r"][i] == pytest.approx(stats.pearsonr(x, y)[0])
        assert found["rho"][i] == pytest.approx(stats.spearmanr(x, y)[0])
        assert found["rmse"][i] == pytest.approx(np.sqrt(np.mean((x - y) ** 2)))
        apart = [distance.jensenshannon(a, b, base=2) ** 2 for a, b in zip(p[i], q[i], strict=True)]
        assert found["js"][i] == pytest.approx(np.mean(apart))


def test_a_table_that_does_not_vary_has_no_correlation() -> None:
    """Uniform answers: empty, not 0 and not a warning."""
    uniform = np.full((3, 4), 0.25)
    found = compare.statistics(uniform, np.eye(4)[:3])
    assert np.isnan(found["r"])
    assert np.isnan(found["rho"])
    assert found["rmse"] > 0


def test_agreement_orders_models_as_they_are() -> None:
    """Less noise, better agreement; the value lies in its interval; equal seeds give equal intervals."""
    models = pd.concat([model("near", 0.1), model("far", 0.7)])
    found = compare.agreement(models, HUMAN, keys=KEYS, outcome="utterance", draws=500)
    assert list(found.columns) == ["model", "statistic", "value", "low", "high", "n_cells"]
    assert ((found["low"] <= found["value"]) & (found["value"] <= found["high"])).all()
    values = found.set_index(["model", "statistic"])["value"]
    assert values["near", "r"] > values["far", "r"]
    assert values["near", "js"] < values["far", "js"]
    again = compare.agreement(models, HUMAN, keys=KEYS, outcome="utterance", draws=500)
    pd.testing.assert_frame_equal(found, again)


def test_ranking_says_how_sure_it_is() -> None:
    """A clear winner is first in every sample; two equal models share the ranks."""
    clear = compare.ranking(
        pd.concat([model("far", 0.9), model("near", 0.05)]), HUMAN, keys=KEYS, outcome="utterance"
    )
    assert clear["model"].tolist() == ["near", "far"]
    assert clear[["rank_low", "rank_high", "best"]].to_numpy()[0].tolist() == [1, 1, 1]
    unclear = compare.ranking(
        pd.concat([model("a", 0.5, seed=1), model("b", 0.5, seed=2)]), HUMAN, keys=KEYS, outcome="utterance"
    )
    assert unclear["best"].sum() == pytest.approx(1)
    assert unclear["rank_high"].max() == 2


def test_cells_of_ordered_states_have_a_distance() -> None:
    """All belief moved from state 0 to state 3 is moved by three states."""
    one = pd.DataFrame({"cell": "a", "state": [0, 1, 2, 3], "prob": [1.0, 0, 0, 0]})
    other = one.assign(prob=[0.0, 0, 0, 1])
    found = compare.cells(one, other, keys=["cell"], outcome="state", ordered=True)
    assert found[["js", "tv", "emd"]].to_numpy().tolist() == [[1, 1, 3]]


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
        (lambda frame: pd.concat([frame, frame]), "twice"),
    ],
)
def test_what_cannot_be_compared_is_named(break_it, message: str) -> None:  # type: ignore[no-untyped-def]
    """Nothing is averaged away."""
    with pytest.raises(SpecError, match=message):
        compare.agreement(break_it(model("m", 0.1)), HUMAN, keys=KEYS, outcome="utterance", draws=10)
