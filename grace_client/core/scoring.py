"""Compute a distribution over options from the edge log-probabilities of a token trie. No side effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grace_client.core.errors import ItemError
from grace_client.core.options import TokenTrie

LOW_MASS = 0.5
"""Option mass below which most of the model's probability is on none of the offered answers."""

MASS_TOLERANCE = 1e-4
"""By how much rounding may make the option mass of a prefix-free set exceed 1."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The log-probabilities of one question's forms and options.

    Attributes
    ----------
    form_logprob : ndarray, shape (n_forms,)
        Log-probability of each form, in nats; -inf if the model gives it probability 0.
    logprob : ndarray, shape (n_options,)
        Log-probability of each option, in nats: log-sum over its forms.
    """

    form_logprob: NDArray[np.float64]
    logprob: NDArray[np.float64]

    @property
    def raw(self) -> NDArray[np.float64]:
        """Probability of each option, shape (n_options,)."""
        return np.exp(self.logprob)

    @property
    def mass(self) -> float:
        """Option mass: the probability of all options together, that is, of any valid answer."""
        return float(self.raw.sum())

    @property
    def normalised(self) -> NDArray[np.float64]:
        """Distribution over the options, given that the answer is one of them; shape (n_options,)."""
        return normalise(self.logprob)


def add_forms(option: ArrayLike, form_logprob: ArrayLike, n_options: int) -> Scores:
    r"""Add up the forms of each option: :math:`\log \sum_f e^{x_f}` over its forms *f*.

    Parameters
    ----------
    option : array_like, shape (n_forms,)
        Index of the option to which each form belongs.
    form_logprob : array_like, shape (n_forms,)
        Log-probability of each form, in nats; -inf is allowed.
    n_options : int
        Number of options.
    """
    forms = np.asarray(form_logprob, dtype=np.float64)
    logprob = np.full(n_options, -np.inf)
    np.logaddexp.at(logprob, np.asarray(option), forms)
    return Scores(form_logprob=forms, logprob=logprob)


def normalise(logprob: ArrayLike) -> NDArray[np.float64]:
    """Normalise log-probabilities over the last axis.

    Parameters
    ----------
    logprob : array_like, shape (..., n_options)
        Log-probabilities in nats. A common offset does not matter.

    Returns
    -------
    ndarray, shape (..., n_options)
        Probabilities that sum to 1.
    """
    logprob = np.asarray(logprob, dtype=np.float64)
    shifted = np.exp(logprob - logprob.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def score(trie: TokenTrie, edge_logprobs: ArrayLike) -> Scores:
    """Add up a trie's edges along its forms and its forms into options.

    Parameters
    ----------
    trie : TokenTrie
        The scored forms.
    edge_logprobs : array_like, shape (n_edges,)
        Log-probability of each edge's token, given the path to its parent, in nats; -inf is allowed.

    Raises
    ------
    ItemError
        If a value is not a log-probability, if the option mass exceeds 1, or if every option has
        probability 0.
    """
    edges = np.asarray(edge_logprobs, dtype=np.float64)
    if edges.shape != (trie.n_edges,):
        raise ItemError(
            "engine_fault", f"the engine gave {edges.shape} log-probabilities for {trie.n_edges} edges"
        )
    if np.isnan(edges).any():
        bad = int(np.isnan(edges).sum())
        raise ItemError(
            "nan",
            f"the engine gave NaN for {bad} of {len(edges)} log-probabilities. The model overflows on this "
            "prompt, usually because of float16. Use --dtype bfloat16",
        )
    if (edges > MASS_TOLERANCE).any():
        raise ItemError("engine_fault", f"the engine gave a log-probability above 0: {edges.max():.6g}")

    scores = add_forms(trie.option, trie.reach(edges)[trie.leaf], trie.n_options)
    if scores.mass > 1 + MASS_TOLERANCE:
        raise ItemError(
            "engine_fault",
            f"the option mass {scores.mass:.6f} exceeds 1, but a probability cannot. The engine's "
            "log-probabilities are not those of this model",
        )
    if np.isneginf(scores.logprob).all():
        reason = "the model gives every option probability 0, so that grace cannot normalise them"
        raise ItemError("no_mass", reason)
    return scores
