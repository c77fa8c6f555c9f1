"""The polite speaker of Yoon et al., who wants to inform, to be kind, and to appear informative or kind.

References
----------
Yoon, E. J., Tessler, M. H., Goodman, N. D., & Frank, M. C. (2020). Polite speech emerges from competing
social goals. *Open Mind*, 4. doi:10.1162/opmi_a_00035. Details that the paper leaves open (the grid of φ,
costs as a prior over utterances) are as in the authors' model: public repository
ejyoon/polite_speaker, `03_model`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from grace_client.analysis import reference
from grace_client.analysis.rsa._listener import literal_listener, softmax

Array = NDArray[np.float64]

PHI = np.array(reference.speaker_model()["phi"])
"""Values of φ that the pragmatic listener thinks possible, all equally likely: 0 is kindness only, 1 truth
only.

They are the authors' 40 values: multiples of 0.025, rounded to two decimals, so the steps are not quite
equal.
"""
VALUES = np.arange(4.0)
"""Value of a state to the listener: its hearts."""
NEGATED = np.array([name.startswith("wasnt") for name in reference.UTTERANCES])


@dataclass(frozen=True)
class Goals:
    """Utility weights of a polite speaker, and φ. If they are arrays, their shape leads that of the result.

    Attributes
    ----------
    informational, social, presentational : array_like, shape (...)
        Weights of the three utilities; they are divided by their sum.
    phi : array_like, shape (...)
        How the speaker wants to appear, from 0 (kind) to 0.98 (informative).
    """

    informational: ArrayLike
    social: ArrayLike
    presentational: ArrayLike
    phi: ArrayLike


@cache
def meanings() -> Array:
    """How true each utterance is of each state, shape (8, 4).

    The posterior mean of the judgements of 49 people after a uniform prior, (k + 1) / (49 + 2), so no meaning
    is impossible. See `reference.meanings`.
    """
    judged = reference.meanings()
    result = ((judged["count"] + 1) / (judged["n"] + 2)).to_numpy().reshape(len(NEGATED), len(VALUES))
    result.flags.writeable = False
    return result


def first_speaker(
    alpha: ArrayLike, cost: ArrayLike, phi: ArrayLike = PHI, semantics: ArrayLike | None = None
) -> Array:
    r"""First speaker S1: weighs truth against kindness, for a literal listener.

    .. math::
        P_{S_1}(w \mid s, \phi) \propto e^{-C(w)}
            \exp\Bigl(\alpha \bigl[\phi \ln P_{L_0}(s \mid w)
            + (1 - \phi) \, \mathbb{E}_{P_{L_0}(s' \mid w)} V(s')\bigr]\Bigr)

    Parameters
    ----------
    alpha : array_like, shape (...)
        Optimality.
    cost : array_like, shape (...)
        :math:`C(w)` of a negated utterance; that of the others is 1.
    phi : array_like, shape (n_phi,)
        Weight of truth.
    semantics : array_like, shape (..., n_utterances, n_states), optional
        As in `meanings`, which is the default.

    Returns
    -------
    ndarray, shape (..., n_phi, n_states, n_utterances)
    """
    literal = literal_listener(meanings() if semantics is None else semantics)
    weight = np.asarray(phi, dtype=np.float64)[:, None, None]
    truth = np.swapaxes(_log(literal), -1, -2)[..., None, :, :]
    utility = _weigh(weight, truth) + (1 - weight) * (literal @ VALUES)[..., None, None, :]
    return _choose(alpha, utility, cost, axes=3)


def first_listener(alpha: ArrayLike, cost: ArrayLike, semantics: ArrayLike | None = None) -> Array:
    r"""First pragmatic listener L1: infers the state and φ, how the speaker weighs truth and kindness.

    :math:`P_{L_1}(s, \phi \mid w) \propto P_{S_1}(w \mid s, \phi) P(s) P(\phi)`, both priors uniform.

    Parameters
    ----------
    alpha, cost, semantics
        As in `first_speaker`.

    Returns
    -------
    ndarray, shape (..., n_utterances, n_states, n_phi)
        Sums to 1 for each utterance.
    """
    joint = np.swapaxes(first_speaker(alpha, cost, PHI, semantics), -1, -3)
    return np.asarray(joint / joint.sum(axis=(-1, -2), keepdims=True))


def second_speaker(
    goals: Goals,
    alpha: ArrayLike,
    cost: ArrayLike,
    heard: ArrayLike | None = None,
    semantics: ArrayLike | None = None,
) -> Array:
    r"""Second speaker S2: also weighs how the speaker appears to the listener L1.

    .. math::
        P_{S_2}(w \mid s) \propto e^{-C(w)} \exp\Bigl(\alpha \bigl[
            \omega_{inf} \ln P_{L_1}(s \mid w)
            + \omega_{soc} \, \mathbb{E}_{P_{L_1}(s' \mid w)} V(s')
            + \omega_{pres} \ln P_{L_1}(\phi \mid w)\bigr]\Bigr)

    Parameters
    ----------
    goals : Goals
        The weights ω, and the φ that the speaker wants to show. Between two values of the grid, its
        log-probability is interpolated.
    alpha, cost, semantics
        As in `first_speaker`.
    heard : array_like, optional
        The result of `first_listener` for the same `alpha` and `cost`, so that it is not computed again.

    Returns
    -------
    ndarray, shape (..., n_states, n_utterances)
    """
    joint = np.asarray(first_listener(alpha, cost, semantics) if heard is None else heard)
    state, taken_for = joint.sum(axis=-1), _log(joint.sum(axis=-2))
    place = np.interp(np.asarray(goals.phi, dtype=np.float64), PHI, np.arange(len(PHI)))
    # A tent over the grid: the weights of its two neighbours, zero elsewhere.
    tent = np.maximum(1 - np.abs(place[..., None] - np.arange(len(PHI))), 0)
    presented = _weigh(tent[..., None, :], taken_for).sum(axis=-1)
    weights = [
        np.asarray(weight, dtype=np.float64)
        for weight in (goals.informational, goals.social, goals.presentational)
    ]
    total = weights[0] + weights[1] + weights[2]
    inform, kind, present = ((weight / total)[..., None, None] for weight in weights)
    utility = (
        _weigh(inform, np.swapaxes(_log(state), -1, -2))
        + kind * (state @ VALUES)[..., None, :]
        + _weigh(present, presented[..., None, :])
    )
    return _choose(alpha, utility, cost, axes=2)


@dataclass(frozen=True)
class Speaker:
    """A polite speaker with all parameters.

    Attributes
    ----------
    alpha, cost : float
        As in `first_speaker`.
    goals : mapping of goal condition to Goals
        What the speaker wants under each instruction.
    semantics : ndarray, shape (8, 4)
        How true each utterance is of each state.
    """

    alpha: float
    cost: float
    goals: Mapping[str, Goals]
    semantics: Array


def people() -> Speaker:
    """The polite speaker fitted to the human answers of Study 2. The fitted values are part of the package.

    It has 43 free parameters: optimality, cost, three for each of three goals, and 32 meanings. The data are
    the 96 shares, of which 84 are free, and the judgements of 49 people on the meanings. Its r² with these
    shares is 0.98, which describes the shares and predicts nothing. The paper's figure is r² = 0.97, for the
    mean prediction of its Bayesian fit of the same model. The paper's goal weights
    (`reference.study2_speaker`) differ from these, because different weights can have nearly the same effect.

    Returns
    -------
    Speaker

    Examples
    --------
    >>> from grace_client.analysis import rsa
    >>> people = rsa.people()
    >>> 2 + 3 * len(people.goals) + people.semantics.size
    43
    """
    data = tomllib.loads(resources.files(__package__).joinpath("people.toml").read_text(encoding="utf-8"))
    semantics = np.array([data["meanings"][name] for name in reference.UTTERANCES])
    goals = {goal: Goals(**values) for goal, values in data["goals"].items()}
    return Speaker(data["alpha"], data["cost"], goals, semantics)


def predict_study2(speaker: Speaker) -> pd.DataFrame:
    """Probabilities of the utterances of a polite speaker in the cells of Study 2.

    Parameters
    ----------
    speaker : Speaker
        Such as `people`, which was fitted to these cells.

    Returns
    -------
    DataFrame
        ``goal, state, utterance`` and ``prob``, which sums to 1 in a cell.

    Examples
    --------
    >>> from grace_client.analysis import rsa
    >>> said = rsa.predict_study2(rsa.people())
    >>> bad_news = said[(said["goal"] == "both") & (said["state"] == "0 hearts")]
    >>> bad_news.nlargest(1, "prob")["utterance"].item()
    'wasnt_terrible'
    """
    heard = first_listener(speaker.alpha, speaker.cost, speaker.semantics)
    rows = []
    for goal, weights in speaker.goals.items():
        said = second_speaker(weights, speaker.alpha, speaker.cost, heard)
        for i, state in enumerate(reference.STATES):
            rows += [
                (goal, state, name, float(p)) for name, p in zip(reference.UTTERANCES, said[i], strict=True)
            ]
    return pd.DataFrame(rows, columns=["goal", "state", "utterance", "prob"])


def _choose(alpha: ArrayLike, utility: Array, cost: ArrayLike, axes: int) -> Array:
    """Soft-max choice of an utterance, weighted by exp(-cost); `axes` axes of utility are its own."""
    optimality, own = (np.asarray(x, dtype=np.float64)[(..., *[None] * axes)] for x in (alpha, cost))
    chosen = softmax(optimality, utility) * np.exp(-np.where(NEGATED, own, 1.0))
    return np.asarray(chosen / chosen.sum(axis=-1, keepdims=True))


def _log(prob: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(prob))


def _weigh(weight: Array, utility: Array) -> Array:
    """Weight times utility; a weight of 0 gives 0 even for a utility of -inf."""
    with np.errstate(invalid="ignore"):
        product = weight * utility
    return np.asarray(np.where(np.isnan(product), 0.0, product) if np.isnan(product).any() else product)
