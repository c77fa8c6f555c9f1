"""Summary measures of probability distributions. Pure and vectorised over the last axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def mean(prob: ArrayLike, values: ArrayLike) -> Array:
    r"""Expected value, :math:`\sum_i p_i x_i`.

    Parameters
    ----------
    prob : array_like, shape (..., n_options)
        Probabilities that sum to 1.
    values : array_like, shape (n_options,)
        Value of each option.

    Returns
    -------
    ndarray, shape (...)
        In the unit of `values`.
    """
    # No matrix product: its last digit depends on the machine, and tables are compared byte by byte.
    weighted = np.asarray(prob, dtype=np.float64) * np.asarray(values, dtype=np.float64)
    return np.asarray(weighted.sum(axis=-1))


def std(prob: ArrayLike, values: ArrayLike) -> Array:
    r"""Standard deviation, :math:`\sqrt{\sum_i p_i (x_i - \mu)^2}`.

    Parameters and shapes as in `mean`; the result is in the unit of `values`.
    """
    prob, values = np.asarray(prob, dtype=np.float64), np.asarray(values, dtype=np.float64)
    centred = values - mean(prob, values)[..., None]
    return np.asarray(np.sqrt((prob * centred**2).sum(axis=-1)))


def median(prob: ArrayLike, values: ArrayLike) -> Array:
    """The smallest value at which the cumulative probability reaches one half.

    Parameters and shapes as in `mean`; `values` must ascend.
    """
    values = np.asarray(values, dtype=np.float64)
    # Without this tolerance, rounding errors would decide ties such as (0.5, 0.5).
    reached = np.cumsum(np.asarray(prob, dtype=np.float64), axis=-1) >= 0.5 - 1e-12
    return np.asarray(values[reached.argmax(axis=-1)])


def mode(prob: ArrayLike, values: ArrayLike) -> Array:
    """The likeliest value; of several, the first one. Parameters and shapes as in `mean`."""
    return np.asarray(np.asarray(values, dtype=np.float64)[np.asarray(prob).argmax(axis=-1)])


def entropy(prob: ArrayLike) -> Array:
    r"""Shannon entropy in bits, :math:`-\sum_i p_i \log_2 p_i`, with :math:`0 \log 0 = 0`.

    Parameters
    ----------
    prob : array_like, shape (..., n_options)
        Probabilities that sum to 1.

    Returns
    -------
    ndarray, shape (...)
        Between 0 and ``log2(n_options)`` bits.

    References
    ----------
    Shannon, C. E. (1948). A mathematical theory of communication. *Bell System Technical Journal*, 27(3).
    """
    prob = np.asarray(prob, dtype=np.float64)
    terms = prob * np.log2(prob, out=np.zeros_like(prob), where=prob > 0)
    return np.asarray(0.0 - terms.sum(axis=-1))
