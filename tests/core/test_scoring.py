"""From edge log-probabilities to distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grace_client.core.errors import ItemError
from grace_client.core.options import Option, OptionSet, TokenTrie
from grace_client.core.scoring import normalise, score

OPTIONS = OptionSet((Option("a", ("a", "A")), Option("b", ("b",))))
TRIE = TokenTrie.build(OPTIONS, [[[1], [2, 3]], [[2, 4]]])
"""Edges: 1, 2, 2→3, 2→4."""


def test_paths_are_summed_and_forms_added() -> None:
    """P(a) = .2 + .5·.4, P(b) = .5·.1."""
    scores = score(TRIE, np.log([0.2, 0.5, 0.4, 0.1]))
    assert np.allclose(scores.raw, [0.4, 0.05])
    assert np.allclose(np.exp(scores.form_logprob), [0.2, 0.2, 0.05])
    assert scores.mass == pytest.approx(0.45)
    assert np.allclose(scores.normalised, [8 / 9, 1 / 9])


def test_an_excluded_form_has_probability_zero() -> None:
    """-inf is a probability like any other."""
    scores = score(TRIE, [-np.inf, np.log(0.5), np.log(0.4), -np.inf])
    assert scores.raw.tolist() == pytest.approx([0.2, 0.0])
    assert scores.normalised.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("edges", "status", "message"),
    [
        ([np.nan, -1, -1, -1], "nan", "NaN for 1 of 4"),
        ([-1, -1, -1], "engine_fault", r"\(3,\) log-probabilities for 4 edges"),
        ([0.5, -1, -1, -1], "engine_fault", "above 0: 0.5"),
        (np.log([0.9, 0.9, 0.9, 0.05]), "engine_fault", "option mass 1.755000 exceeds 1"),
        ([-np.inf, -np.inf, -1, -1], "no_mass", "every option probability 0"),
    ],
)
def test_what_is_no_distribution_is_an_item_error(edges: list[float], status: str, message: str) -> None:
    """Never data."""
    with pytest.raises(ItemError, match=message) as caught:
        score(TRIE, edges)
    assert caught.value.status == status
    assert not caught.value.retryable


@given(st.integers(0, 2**32), st.integers(2, 6))
def test_the_mass_of_a_true_distribution_is_at_most_one(seed: int, size: int) -> None:
    """On a complete tree of depth two the options share out all probability there is."""
    rng = np.random.default_rng(seed)
    paths = [[i, j] for i in range(size) for j in range(size)]
    options = OptionSet(tuple(Option(str(p), (str(p),)) for p in paths))
    trie = TokenTrie.build(options, [[p] for p in paths])
    rows = {int(node): rng.dirichlet(np.ones(size)) for node in trie.inner}
    edges = np.log([rows[int(p)][t] for p, t in zip(trie.parent[1:], trie.token[1:], strict=True)])
    scores = score(trie, edges)
    assert scores.mass == pytest.approx(1.0, abs=1e-9)
    assert scores.normalised.sum() == pytest.approx(1.0, abs=1e-12)


def test_normalising_survives_tiny_probabilities() -> None:
    """No underflow where every option is far below the smallest float."""
    assert normalise([-2000.0, -2000.0 + np.log(3)]).tolist() == pytest.approx([0.25, 0.75])
