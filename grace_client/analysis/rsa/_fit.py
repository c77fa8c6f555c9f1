"""Rational speech act models fitted to the answers of a model, or of people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from grace_client.analysis import reference
from grace_client.analysis.rsa import _listener, _speaker
from grace_client.analysis.rsa._speaker import Goals
from grace_client.core.errors import NotEnoughDataError, SpecError

Array = NDArray[np.float64]

OPTIONS = {"maxiter": 2000, "ftol": 1e-7}
"""End of the search: a relative gain of 1e-7 is far below what data can show."""


@dataclass(frozen=True)
class Fit:
    """A model fitted by maximum likelihood; in Study 2 with a prior on the meanings of the utterances.

    Attributes
    ----------
    parameters : DataFrame
        ``parameter, value, lower, upper`` (the bounds of the search) and ``at_bound``: the data do not
        determine a value at a bound.
    predictions : DataFrame
        The cells that were fitted, with the model's ``prob``.
    statistics : dict
        How close the fit is to the data that it was fitted to. This says nothing about other data: compare
        ``n_parameters`` with the number of free shares. ``log_likelihood`` (nats: the sum over cells of n · Σ
        p ln q, n being 1 where no counts were given), ``kl`` (bits, the mean over cells of the divergence of
        the fitted distribution q from p: 0 is perfect), ``rmse``, ``r``, ``n_cells``, ``n_parameters`` and
        ``converged``.
    """

    parameters: pd.DataFrame
    predictions: pd.DataFrame
    statistics: dict[str, float | int | bool]


def fit_study1(cells: pd.DataFrame) -> Fit:
    """Fit the knowing listener of `knowing_listener` to Study 1.

    Parameters
    ----------
    cells : DataFrame
        ``access, observe, state, prob``: in each of some cells a distribution over the four states; and,
        optionally, ``n``, the number of answers in each cell.

    Returns
    -------
    Fit
        Parameters ``alpha`` (optimality), ``base_rate`` (prior probability that an item has the property)
        and ``lapse`` (share of answers that are uniform over the states).

    Raises
    ------
    SpecError
        If a column is missing, a value is not a number, or a cell does not sum to 1.
    NotEnoughDataError
        If there are not more free shares than parameters.

    Examples
    --------
    >>> from grace_client.analysis import rsa
    >>> found = rsa.fit_study1(rsa.predict_study1(alpha=3.0, base_rate=0.6, lapse=0.1))
    >>> found.parameters["value"].round(2).tolist()
    [3.0, 0.6, 0.1]
    """
    keys = ["access", "observe"]
    data, n = _table(cells, keys, "state", list(range(_listener.ITEMS + 1)))
    order = [_listener.CELLS.index((a, o)) for a, o in data.index]
    names, lower, upper = ["alpha", "base_rate", "lapse"], [0.0, 0.01, 1e-4], [20.0, 0.99, 1.0]

    def predict(x: Array) -> Array:
        return _listener.study1_cells(x[..., 0], x[..., 1], x[..., 2])[..., order, :]

    return _fit(predict, data, n, names, lower, upper, [2.0, 0.5, 0.1], starts=4)


def fit_study2(cells: pd.DataFrame, *, semantics: ArrayLike | None = None) -> Fit:
    """Fit the polite speaker of `second_speaker` to Study 2.

    Parameters
    ----------
    cells : DataFrame
        ``goal, state, utterance, prob``: in each of some cells a distribution over the eight utterances; and
        ``n``, the number of answers in each cell: it is the weight of the data against the judgements of
        meaning.
    semantics : array_like, shape (8, 4), optional
        How true each utterance is of each state. By default it is fitted together with the goals, as in the
        paper, with the judgements of 49 people (`reference.meanings`) as a Beta prior after a uniform one.
        (The authors' file counts one judgement "false" less in each cell.) For a model's answers give
        ``people().semantics``, so that only goals differ, and the fit takes a second, not a quarter of a
        minute.

    Returns
    -------
    Fit
        Parameters ``alpha`` (optimality) and ``cost`` (of a negation; 1 is that of the other utterances); for
        each goal the weights ``informational``, ``social`` and ``presentational``, which sum to 1, and
        ``phi`` (how the speaker wants to appear: 0 kind, 1 informative), as in ``both: phi``; and,
        where they were fitted, the 32 meanings, as in ``meaning: wasnt_bad, 2 hearts``.

    Raises
    ------
    SpecError
        If a column is missing, a value is not a number, or a cell does not sum to 1.
    NotEnoughDataError
        If there are no more free shares than parameters.
    """
    if "n" not in cells.columns:
        raise SpecError("no cells to fit: column n is missing. It is the number of answers of a cell")
    data, n = _table(cells, ["goal", "state"], "utterance", list(reference.UTTERANCES))
    goals = list(dict.fromkeys(goal for goal, _ in data.index))
    place = [(goals.index(goal), reference.STATES.index(state)) for goal, state in data.index]
    judged = reference.meanings()
    true, false = judged["count"].to_numpy(), (judged["n"] - judged["count"]).to_numpy()
    most, sought = float(_speaker.PHI[-1]), reference.speaker_model()
    # Two parameters give the three weights: the share of social and presentational, and of social in that.
    names = ["alpha", "cost", *(f"{goal}: {name}" for goal in goals for name in ("rest", "social", "phi"))]
    split = len(names)
    lower, upper = ([sought[name][end] for name in ("alpha", "cost")] for end in (0, 1))
    lower, upper = lower + [0.0, 0.0, 0.0] * len(goals), upper + [1.0, 1.0, most] * len(goals)
    start = [4.0, 2.0] + [0.6, 0.3, 0.4] * len(goals)
    if semantics is None:
        names += [f"meaning: {u}, {s}" for u, s in zip(judged["utterance"], judged["state"], strict=True)]
        lower, upper = lower + [0.001] * len(judged), upper + [0.999] * len(judged)
        start += list(_speaker.meanings().ravel())

    def weights_of(x: Array) -> Goals:
        rest, kind, phi = np.moveaxis(x[..., 2:split].reshape(*x.shape[:-1], -1, 3), -1, 0)
        return Goals(1 - rest, rest * kind, rest * (1 - kind), phi)

    def predict(x: Array) -> Array:
        alpha, cost = x[..., 0], x[..., 1]
        own = (
            x[..., split:].reshape(*x.shape[:-1], *_speaker.meanings().shape)
            if semantics is None
            else semantics
        )
        heard = _speaker.first_listener(alpha, cost, own)[..., None, :, :, :]
        said = _speaker.second_speaker(weights_of(x), alpha[..., None], cost[..., None], heard)
        return np.stack([said[..., g, s, :] for g, s in place], axis=-2)

    def prior(x: Array) -> Array:
        truth = x[..., split:]
        return np.asarray((true * np.log(truth) + false * np.log(1 - truth)).sum(axis=-1))

    known = semantics is not None
    result = _fit(
        predict, data, n, names, lower, upper, start, starts=3 if known else 1, prior=None if known else prior
    )
    fitted = result.parameters
    weights = weights_of(fitted["value"].to_numpy())
    rows = []
    for i, goal in enumerate(goals):
        for name in ("informational", "social", "presentational", "phi"):
            value, end = float(np.asarray(getattr(weights, name))[i]), most if name == "phi" else 1.0
            rows.append((f"{goal}: {name}", value, 0.0, end, _at_bound(value, 0.0, end)))
    named = pd.DataFrame(rows, columns=fitted.columns)
    parameters = pd.concat([fitted.iloc[:2], named, fitted.iloc[split:]], ignore_index=True)
    return Fit(parameters, result.predictions, result.statistics)


def _table(
    cells: pd.DataFrame, keys: list[str], outcome: str, outcomes: list[Any]
) -> tuple[pd.DataFrame, Array]:
    """One row per cell, one column per outcome; and how much each row counts."""
    if missing := [name for name in (*keys, outcome, "prob") if name not in cells.columns]:
        raise SpecError(f"no cells to fit: column {', '.join(missing)} is missing")
    data = cells.pivot(index=keys, columns=outcome, values="prob").reindex(columns=outcomes)
    bad = data.isna().any(axis=1) | ~np.isclose(data.sum(axis=1), 1, atol=1e-6)
    if bad.any():
        named = dict(zip(keys, data.index[bad.to_numpy()][0], strict=True))
        raise SpecError(f"prob of {named} is not a distribution over {len(outcomes)} outcomes")
    if "n" not in cells.columns:
        return data, np.ones(len(data))
    return data, cells.groupby(keys)["n"].first().loc[data.index].to_numpy(dtype=np.float64)


def _fit(
    predict: Callable[[Array], Array],
    data: pd.DataFrame,
    n: Array,
    names: list[str],
    lower: list[float],
    upper: list[float],
    start: list[float],
    *,
    starts: int,
    prior: Callable[[Array], Array] | None = None,
) -> Fit:
    from scipy.optimize import minimize

    shares, count = data.shape[0] * (data.shape[1] - 1), len(names)
    if prior is None and shares <= count:
        raise NotEnoughDataError(
            f"{count} parameters can fit any {shares} free shares, so this fit would say nothing. There are "
            f"answers in {len(data)} {'cell' if len(data) == 1 else 'cells'}. Give answers in more cells"
        )
    low, high, p = np.array(lower), np.array(upper), data.to_numpy()

    def likelihood(x: Array) -> Array:
        # A floor, far below any measurable probability, keeps the search going where q is zero.
        q = np.maximum(predict(x), 1e-300)
        return np.asarray((n * (p * np.log(q)).sum(axis=-1)).sum(axis=-1))

    def loss(unit: Array) -> tuple[float, Array]:
        """Minus the log-posterior per answer, and its gradient by finite differences."""
        step = np.where(unit < 0.5, 1e-6, -1e-6)
        points = np.vstack([unit, unit + np.diag(step)])
        x = low + points * (high - low)
        values = -(likelihood(x) + (prior(x) if prior else 0.0)) / n.sum()
        return float(values[0]), (values[1:] - values[0]) / step

    rng = np.random.default_rng(0)
    first = (np.array(start) - low) / (high - low)
    begin = [first, *rng.uniform(0.05, 0.95, size=(starts - 1, len(names)))]
    ends = [
        minimize(loss, x, jac=True, method="L-BFGS-B", bounds=[(0.0, 1.0)] * len(names), options=OPTIONS)
        for x in begin
    ]
    best = min(ends, key=lambda end: end.fun)
    x = low + best.x * (high - low)
    q = predict(x)
    parameters = pd.DataFrame({"parameter": names, "value": x, "lower": lower, "upper": upper})
    parameters["at_bound"] = [_at_bound(*row) for row in zip(x, lower, upper, strict=True)]
    table = pd.DataFrame(q, index=data.index, columns=data.columns).reset_index()
    long = table.melt(id_vars=list(data.index.names), value_name="prob")
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return Fit(
        parameters,
        long,
        {
            "log_likelihood": float(likelihood(x)),
            "kl": float((p * np.log2(ratio)).sum(axis=1).mean()),
            "rmse": float(np.sqrt(((p - q) ** 2).mean())),
            "r": float(np.corrcoef(p.ravel(), q.ravel())[0, 1]) if p.std() and q.std() else float("nan"),
            "n_cells": len(data),
            "n_parameters": len(names),
            "converged": bool(best.success),
        },
    )


def _at_bound(value: float, lower: float, upper: float) -> bool:
    return min(value - lower, upper - value) < 1e-4 * (upper - lower)
