"""Utilities of utterances in Study 2, kindness and information, for a literal listener."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from grace_client.analysis._data.layout import ordered
from grace_client.analysis.inference import mean_intervals
from grace_client.analysis.intervals import bounded, student
from grace_client.analysis.reference._design import CELL, STATES, UTTERANCES
from grace_client.analysis.study2._shares import LEVELS, counts, probabilities
from grace_client.core.errors import SpecError

UTILITIES = ("social", "informational")


def utilities(
    frame: pd.DataFrame,
    *,
    semantics: ArrayLike | None = None,
    cluster: str | None = None,
) -> pd.DataFrame:
    r"""Expected social and informational utility of the utterances, by goal and state.

    A literal listener who hears w believes in state s with :math:`P_{L_0}(s \mid w) \propto [w](s)`. What a
    speaker who says w with probability :math:`P(w)` in state s may expect is

    .. math::
        U_{soc} = \sum_w P(w) \sum_{s'} P_{L_0}(s' \mid w) \, V(s'), \qquad
        U_{inf} = \sum_w P(w) \ln P_{L_0}(s \mid w),

    with V(s) the hearts of the state: 0 to 3.

    Parameters
    ----------
    frame : DataFrame
        Study 2 as `read` gives it: scored, or free text with structured answers; or counts, with columns
        ``model, goal, state, utterance, count``.
    semantics : array_like, shape (8, 4), optional
        How true each utterance is of each state, from 0 to 1, such as ``rsa.people().semantics``. By default
        the judgements of 49 people (`reference.meanings`), which do not depend on a model of speakers.
    cluster : str, optional
        Column of the clusters, as in `utterances`. Counts have no clusters: their interval treats each choice
        as one observation. Intervals stay between the lowest and the highest utility of an utterance in the
        state.

    Returns
    -------
    DataFrame
        ``model, goal, state, utility`` (``social``, in hearts; ``informational``, in nats, 0 at most),
        ``mean, low, high, n, n_distinct``, and ``best``, the highest utility of any utterance in that state.
        An utterance that is literally false of its state has an informational utility of minus infinity, and
        so has a mean that contains it.

    Raises
    ------
    SpecError
        If `semantics` has another shape, or an utterance is true of no state; else as `utterances`.

    References
    ----------
    Yoon, E. J., Tessler, M. H., Goodman, N. D., & Frank, M. C. (2020). Polite speech emerges from competing
    social goals. *Open Mind*, 4: the two utilities of the first-order speaker, of which this is the mean.

    Examples
    --------
    >>> from grace_client.analysis import example, study2
    >>> found = study2.utilities(example.scored("study2"))
    >>> kind = found[(found["goal"] == "social") & (found["utility"] == "social")]
    >>> kind[["state", "mean", "best", "n_distinct"]].round(1)
           state  mean  best  n_distinct
    8   0 hearts   2.0   2.7          12
    10   1 heart   2.0   2.7          12
    12  2 hearts   2.5   2.7          12
    14  3 hearts   2.7   2.7          12
    """
    social, informational = _of_utterances(semantics)
    if "count" in frame.columns:
        if cluster is not None:
            raise SpecError(f"cluster={cluster!r}: a table of counts has no clusters. Leave cluster= out")
        table = _of_counts(counts(frame), social, informational)
    else:
        rows = probabilities(frame)
        place = rows["utterance"].map({name: i for i, name in enumerate(UTTERANCES)}).to_numpy()
        state = rows["state"].map({name: i for i, name in enumerate(STATES)}).to_numpy()
        head = ["model", *CELL, "trial_id", "replicate", "participant", "item", "stimulus"]
        keys = [column for column in head if column in rows.columns]
        prob = rows["prob"].to_numpy(dtype=np.float64)
        gain = {"social": social[place], "informational": informational[state, place]}
        # An utterance with a probability of 0 adds nothing, even if its utility is minus infinity.
        gains = {name: np.where(prob > 0, value, 0) * prob for name, value in gain.items()}
        sums = rows.assign(**gains).groupby(keys, sort=False)[list(gains)].sum().reset_index()
        parts = []
        for (of_state, own), name in product(sums.groupby("state", sort=False), UTILITIES):
            ends = _ends(social if name == "social" else informational[STATES.index(str(of_state))])
            # A sum over utterances may leave its ends by the last digit of a table.
            own = own.assign(**{name: own[name].where(~np.isfinite(own[name]), own[name].clip(*ends))})
            with np.errstate(invalid="ignore"):
                result = mean_intervals(own, name, ["model", *CELL], cluster=cluster, bounds=ends)
            if ends[0] == ends[1]:
                # All utterances have the same utility, so nothing can vary.
                result[["low", "high"]] = np.nan
            parts.append(result.drop(columns="se").assign(utility=name))
        table = pd.concat(parts, ignore_index=True)
    most = {("social", s): social.max() for s in STATES}
    most |= {("informational", s): informational[i].max() for i, s in enumerate(STATES)}
    table["best"] = [most[u, s] for u, s in zip(table["utility"], table["state"], strict=True)]
    order = ["model", *CELL, "utility", "mean", "low", "high", "n", "n_distinct", "best"]
    return ordered(table[order], LEVELS | {"utility": UTILITIES})


def _of_utterances(semantics: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    """Social utility of each utterance, and informational utility of each state and utterance."""
    from grace_client.analysis.rsa import _speaker
    from grace_client.analysis.rsa._listener import literal_listener

    meaning = np.asarray(_speaker.meanings() if semantics is None else semantics, dtype=np.float64)
    expected = (len(UTTERANCES), len(STATES))
    if meaning.shape != expected:
        raise SpecError(f"semantics has the shape {meaning.shape}. Expected: {expected}, a row per utterance")
    if (never := ~(meaning.sum(axis=1) > 0)).any():
        raise SpecError(f"semantics: {UTTERANCES[int(never.argmax())]} is true of no state")
    heard = literal_listener(meaning)
    with np.errstate(divide="ignore"):
        return heard @ _speaker.VALUES, np.log(heard).T


def _ends(values: np.ndarray) -> tuple[float, float]:
    """Least and greatest utility of any utterance; means and intervals stay between them."""
    return float(values.min()), float(values.max())


def _of_counts(table: pd.DataFrame, social: np.ndarray, informational: np.ndarray) -> pd.DataFrame:
    """Means over choices, with the multinomial error of a mean."""
    parts = []
    for key, cell in table.groupby(["model", *CELL], sort=False):
        share = (cell["count"] / cell["n"]).to_numpy()
        n = int(cell["n"].iloc[0])
        row = dict(zip(["model", *CELL], key, strict=True))
        informs = informational[STATES.index(str(row["state"]))]
        for name, values in (("social", social), ("informational", informs)):
            said = share > 0
            mean = float(share[said] @ values[said])
            low, high = _interval(mean, share[said], values[said], n, _ends(values))
            ends = {"low": low, "high": high}
            parts.append(row | {"utility": name, "mean": mean} | ends | {"n": n, "n_distinct": n})
    return pd.DataFrame(parts)


def _interval(
    mean: float, share: np.ndarray, values: np.ndarray, n: int, ends: tuple[float, float]
) -> tuple[float, float]:
    """Of a mean over independent choices; missing for one choice, or where the mean is not finite."""
    if n < 2 or not np.isfinite(mean) or ends[0] == ends[1]:
        return np.nan, np.nan
    error = np.sqrt(float(share @ (values - mean) ** 2) / (n - 1))
    if np.isfinite(ends).all():
        # Choices that are all alike are no more than so many choices.
        low, high = bounded(mean, error, n, bounds=ends, choices=np.inf if error > 1e-12 else n)
        return float(low), float(high)
    if error < 1e-12:
        return np.nan, np.nan
    return mean - float(student(n)) * error, min(mean + float(student(n)) * error, ends[1])
