"""The listener of Goodman & Stuhlmüller: the meaning of a speaker's words, given how much the speaker has
seen.

References
----------
Goodman, N. D., & Stuhlmüller, A. (2013). Knowledge and implicature: Modeling language understanding as social
cognition. *Topics in Cognitive Science*, 5(1), 173-184.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import comb

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

ITEMS = 3
"""Items that a story speaks of; the states are 0 to 3 of them."""

NUMBERS: Mapping[str, tuple[int, ...]] = {
    "one": (0, 1, 1, 1),
    "two": (0, 0, 1, 1),
    "three": (0, 0, 0, 1),
}
"""Number words and the states they are true of: "one" means at least one."""

QUANTIFIERS: Mapping[str, tuple[int, ...]] = {
    "none": (1, 0, 0, 0),
    "some": (0, 1, 1, 1),
    "all": (0, 0, 0, 1),
}
"""Quantifiers and the states they are true of: "some" may be all."""


def binomial_prior(base_rate: ArrayLike, items: int = ITEMS) -> Array:
    r"""Prior over states: each item has the property with the same probability, independently.

    Parameters
    ----------
    base_rate : array_like, shape (...)
        Probability that an item has the property.
    items : int
        Number of items.

    Returns
    -------
    ndarray, shape (..., items + 1)
        :math:`P(s) = \binom{n}{s} b^s (1 - b)^{n - s}`.
    """
    rate = np.asarray(base_rate, dtype=np.float64)[..., None]
    states = np.arange(items + 1)
    counts = np.array([comb(items, int(s)) for s in states], dtype=np.float64)
    return np.asarray(counts * rate**states * (1 - rate) ** (items - states))


def observation(items: int = ITEMS) -> Array:
    r"""Probability of what a speaker sees who looks at some of the items, drawn without replacement.

    Parameters
    ----------
    items : int
        Number of items.

    Returns
    -------
    ndarray, shape (items, items + 1, items + 1)
        :math:`P(k \mid a, s)`, hypergeometric: access `a` (from 1), state `s`, and `k` seen to have it.
    """
    sizes = range(items + 1)
    counts = [
        [[comb(s, k) * comb(items - s, a - k) if k <= a else 0 for k in sizes] for s in sizes]
        for a in range(1, items + 1)
    ]
    result = np.array(counts, dtype=np.float64)
    return np.asarray(result / result.sum(axis=-1, keepdims=True))


def literal_listener(meanings: ArrayLike, prior: ArrayLike | None = None) -> Array:
    r"""A listener who takes words at their literal meaning: :math:`P_{L_0}(s \mid w) \propto [w](s) P(s)`.

    Parameters
    ----------
    meanings : array_like, shape (n_words, n_states)
        How true each word is of each state, from 0 to 1.
    prior : array_like, shape (..., n_states), optional
        Prior of the states; uniform by default.

    Returns
    -------
    ndarray, shape (..., n_words, n_states)
    """
    meanings = np.asarray(meanings, dtype=np.float64)
    weights = meanings * _prior(prior, meanings.shape[-1])[..., None, :]
    return _normalise(weights)


def knowing_speaker(alpha: ArrayLike, meanings: ArrayLike, prior: ArrayLike | None = None) -> Array:
    r"""Speaker with partial knowledge, who chooses words for a literal listener.

    .. math::
        P_S(w \mid k, a) \propto \exp\Bigl(\alpha \sum_s P(s \mid k, a) \ln P_{L_0}(s \mid w)\Bigr)

    A word that is false of a state that the speaker thinks possible is never said, even at :math:`\alpha =
    0`.

    Parameters
    ----------
    alpha : array_like, shape (...)
        Optimality. At 0 the speaker says any true word, at infinity only the best (equally good ones equally
        often).
    meanings, prior
        As in `literal_listener`; the leading axes of `prior` broadcast against `alpha`.

    Returns
    -------
    ndarray, shape (..., items, items + 1, n_words)
        By access (from 1) and number seen. All zero if no word is true, or where the number seen is above
        access.
    """
    meanings = np.asarray(meanings, dtype=np.float64)
    items = meanings.shape[-1] - 1
    base = _prior(prior, items + 1)
    seen = np.swapaxes(observation(items), -1, -2)
    belief = _normalise(seen * base[..., None, None, :])
    with np.errstate(divide="ignore"):
        known = np.log(literal_listener(meanings, base))
    belief, known = np.broadcast_arrays(belief[..., None, :], known[..., None, None, :, :])
    # A state that the speaker rules out does not matter, even if the word excludes it.
    utility = np.multiply(belief, known, out=np.zeros(belief.shape), where=belief > 0).sum(axis=-1)
    said = softmax(np.asarray(alpha, dtype=np.float64)[..., None, None, None], utility)
    return np.asarray(said * (belief[..., 0, :].sum(axis=-1) > 0)[..., None])


def knowing_listener(alpha: ArrayLike, meanings: ArrayLike, prior: ArrayLike | None = None) -> Array:
    r"""Listener who knows how much the speaker has seen, and reasons about the choice of words.

    .. math::
        P_L(s \mid w, a) \propto P(s) \sum_k P(k \mid a, s) \, P_S(w \mid k, a)

    Parameters
    ----------
    alpha, meanings, prior
        As in `knowing_speaker`.

    Returns
    -------
    ndarray, shape (..., items, n_words, items + 1)
        By access (from 1), word and state; all zero for a word that a speaker of that access never says.

    Examples
    --------
    >>> from grace_client.analysis import rsa
    >>> found = rsa.knowing_listener(4.0, list(rsa.NUMBERS.values()))
    >>> found[2, 1].round(2)  # "two" from a speaker who has seen all three: two, and not three
    array([0.  , 0.  , 0.93, 0.07])
    >>> found[1, 1].round(2)  # from one who has seen two of them: perhaps all three
    array([0.  , 0.  , 0.25, 0.75])
    """
    meanings = np.asarray(meanings, dtype=np.float64)
    items = meanings.shape[-1] - 1
    said = np.einsum("ask,...akw->...aws", observation(items), knowing_speaker(alpha, meanings, prior))
    return _normalise(said * _prior(prior, items + 1)[..., None, None, :])


def predict_study1(alpha: float, base_rate: float = 0.5, lapse: float = 0.0) -> pd.DataFrame:
    """The listener's beliefs in the six cells of Study 1.

    Parameters
    ----------
    alpha : float
        The speaker's optimality.
    base_rate : float
        Prior probability that an item has the property. The default is only a convention: the stories of
        Study 1 say that nearly all items have the property, and the paper prints no prior of people. Look at
        several values.
    lapse : float
        Share of answers that are uniform over the states and ignore the words.

    Returns
    -------
    DataFrame
        ``access, observe`` (the number the speaker names), ``state`` and ``prob``, which sums to 1 in a cell.

    Examples
    --------
    >>> from grace_client.analysis import rsa
    >>> for base_rate in (0.5, 0.8, 0.9):  # "one" from a speaker who has seen all three: exactly one?
    ...     found = rsa.predict_study1(4.0, base_rate).set_index(["access", "observe", "state"])["prob"]
    ...     print(base_rate, round(float(found["3", "1", 1]), 2))
    0.5 0.91
    0.8 0.34
    0.9 0.1
    """
    result = study1_cells(alpha, base_rate, lapse)
    rows = [
        (access, observe, state, float(result[i, state]))
        for i, (access, observe) in enumerate(CELLS)
        for state in range(ITEMS + 1)
    ]
    return pd.DataFrame(rows, columns=["access", "observe", "state", "prob"])


CELLS = tuple((str(access), str(observe)) for access in (1, 2, 3) for observe in range(1, access + 1))
"""Access and observe of the six cells of Study 1, as the trial list spells them."""


def study1_cells(alpha: ArrayLike, base_rate: ArrayLike, lapse: ArrayLike) -> Array:
    """Like `predict_study1`, as an array of shape (..., 6, 4) in the order of `CELLS`."""
    result = knowing_listener(alpha, list(NUMBERS.values()), binomial_prior(base_rate))
    cells = np.stack(
        [result[..., int(access) - 1, int(observe) - 1, :] for access, observe in CELLS], axis=-2
    )
    share = np.asarray(lapse, dtype=np.float64)[..., None, None]
    return np.asarray((1 - share) * cells + share / cells.shape[-1])


def softmax(alpha: Array, utility: Array) -> Array:
    """Probabilities proportional to exp(alpha · utility) over the last axis; zero if utility is -inf."""
    with np.errstate(invalid="ignore"):
        below = utility - utility.max(axis=-1, keepdims=True)
        power = alpha * below
    if np.isnan(power).any():
        # The best of an infinite optimality stay the best; what is impossible stays so at an optimality of 0.
        power = np.where(np.isnan(power), np.where(below == 0, 0.0, -np.inf), power)
    return _normalise(np.exp(power))


def _prior(prior: ArrayLike | None, states: int) -> Array:
    return np.full(states, 1 / states) if prior is None else np.asarray(prior, dtype=np.float64)


def _normalise(weights: Array) -> Array:
    """Divide by the sum over the last axis; rows that sum to nothing stay zero."""
    total = weights.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(weights, total, out=np.zeros_like(weights), where=total > 0))
