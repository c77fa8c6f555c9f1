"""Models beside people and theories: how far apart two tables of distributions are, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from grace_client.analysis.distributions import jensen_shannon, pmi, total_variation, wasserstein
from grace_client.analysis.layout import per_model, require
from grace_client.errors import SpecError

Array = NDArray[np.float64]

DRAWS = 2000
"""Bootstrap samples of an interval."""
LEVEL = 0.95
"""Coverage of the intervals."""


def statistics(p: ArrayLike, q: ArrayLike) -> dict[str, Array]:
    r"""Agreement of two tables of distributions.

    Parameters
    ----------
    p, q : array_like, shape (..., n_cells, n_outcomes)
        Each row a distribution.

    Returns
    -------
    dict of str to ndarray, shape (...)
        ``r`` (Pearson) and ``rho`` (Spearman) over all cells and outcomes; ``rmse``, the root of the mean
        squared difference of probabilities; ``js``, the mean over cells of the Jensen-Shannon divergence,
        in bits, between 0 and 1. A correlation is empty where a table does not vary.

    """
    from scipy.stats import rankdata

    p, q = np.broadcast_arrays(np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64))
    flat = (*p.shape[:-2], p.shape[-2] * p.shape[-1])
    x, y = p.reshape(flat), q.reshape(flat)
    return {
        "r": _correlation(x, y),
        "rho": _correlation(rankdata(x, axis=-1), rankdata(y, axis=-1)),
        "rmse": np.sqrt(((x - y) ** 2).mean(axis=-1)),
        "js": jensen_shannon(p, q).mean(axis=-1),
    }


def cells(
    one: pd.DataFrame, other: pd.DataFrame, *, keys: Sequence[str], outcome: str, ordered: bool = False
) -> pd.DataFrame:
    """How far apart two tables are in each cell.

    Parameters
    ----------
    one, other : DataFrame
        `keys`, `outcome` and ``prob``, which sums to 1 in each cell; `one` may hold ``model``.
    keys : sequence of str
        Columns that make a cell, such as ``("goal", "state")``.
    outcome : str
        Column of what the distribution is over.
    ordered : bool
        Whether the outcomes are numbers, so that their distance has a meaning.

    Returns
    -------
    DataFrame
        ``model`` and `keys`; ``js`` (bits), ``tv`` (total variation: the share that would have to move) and,
        where `ordered`, ``emd`` (Wasserstein-1 distance, in the outcomes' unit).
    """
    models, labels, outcomes, p, q = _align(one, other, keys, outcome)
    js, tv = jensen_shannon(p, q), total_variation(p, q)
    emd = wasserstein(p, q, np.asarray(outcomes, dtype=np.float64)) if ordered else None
    rows = []
    for i, model in enumerate(models):
        for j, label in enumerate(labels):
            row = {"model": model, **dict(zip(keys, label, strict=True)), "js": js[i, j], "tv": tv[i, j]}
            if emd is not None:
                row["emd"] = emd[i, j]
            rows.append(row)
    return pd.DataFrame(rows)


def agreement(
    one: pd.DataFrame,
    other: pd.DataFrame,
    *,
    keys: Sequence[str],
    outcome: str,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """How well each model agrees with people, or with a theory.

    Intervals are percentiles of a bootstrap over the cells: the outcomes of a cell sum to 1 and are not
    independent, so cells are drawn, not numbers. The same cells are drawn for every model.

    Parameters
    ----------
    one, other, keys, outcome
        As in `cells`.
    draws : int
        Bootstrap samples.
    seed : int
        Of the draws.

    Returns
    -------
    DataFrame
        One row per model and statistic (see `statistics`): ``model, statistic, value, low, high`` (95 %) and
        ``n_cells``.
    """
    models, labels, _, p, q = _align(one, other, keys, outcome)
    drawn = _draw(len(labels), draws, seed)
    rows = []
    for i, model in enumerate(models):
        whole, sampled = statistics(p[i], q), statistics(p[i][drawn], q[drawn])
        for name, value in whole.items():
            low, high = _interval(sampled[name])
            rows.append((model, name, float(value), low, high, len(labels)))
    return pd.DataFrame(rows, columns=["model", "statistic", "value", "low", "high", "n_cells"])


def ranking(
    one: pd.DataFrame,
    other: pd.DataFrame,
    *,
    keys: Sequence[str],
    outcome: str,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Order models by their mean Jensen-Shannon divergence from people, the closest first.

    Parameters
    ----------
    one, other, keys, outcome, draws, seed
        As in `agreement`.

    Returns
    -------
    DataFrame
        One row per model, in order: ``rank``; ``model``; ``js`` with ``low, high``; ``rank_low, rank_high``
        (95 % of the bootstrap's ranks); ``best`` (share of samples in which the model comes first) and
        ``n_cells``.
    """
    models, labels, _, p, q = _align(one, other, keys, outcome)
    js = jensen_shannon(p, q)
    sampled = js[:, _draw(len(labels), draws, seed)].mean(axis=-1)
    ranks = sampled.argsort(axis=0).argsort(axis=0) + 1
    rows = []
    for place, i in enumerate(js.mean(axis=1).argsort(kind="stable"), start=1):
        low, high = _interval(sampled[i])
        first, last = np.quantile(ranks[i], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
        rows.append(
            {
                "rank": place,
                "model": models[i],
                "js": float(js[i].mean()),
                "low": low,
                "high": high,
                "rank_low": int(first),
                "rank_high": int(last),
                "best": float((ranks[i] == 1).mean()),
                "n_cells": len(labels),
            }
        )
    return pd.DataFrame(rows)


def variants(
    frame: pd.DataFrame, *, keys: Sequence[str], question: str, null: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The distribution of a question in each cell, by each way of scoring it.

    Parameters
    ----------
    frame : DataFrame
        Scored answers as `read` gives them.
    keys : sequence of str
        Columns that make a cell.
    question : str
        Which question, such as ``"utterance"``.
    null : DataFrame, optional
        The same options scored without the scene; see `distributions.pmi`.

    Returns
    -------
    DataFrame
        ``model, variant``, `keys`, ``option, prob``. ``normalised`` is the mean of the normalised
        probabilities: every trial counts the same. ``raw`` is the mean of the raw ones, brought to a sum of
        1: trials with little option mass count little. ``pmi`` is, where `null` is given, the mean of
        ``prob_pmi``.
    """
    require(frame, ["model", "trial_id", *keys, "question", "option", "prob_raw", "prob_norm", "status"])
    rows = frame[(frame["question"] == question) & (frame["status"] == "ok")]
    columns = {"normalised": rows["prob_norm"], "raw": rows["prob_raw"]}
    if null is not None:
        columns["pmi"] = pmi(rows, null)["prob_pmi"]
    parts = []
    for variant, values in columns.items():
        if values.isna().all():
            continue
        cells = rows.assign(prob=values).groupby(["model", *keys, "option"], sort=False)["prob"].mean()
        found = cells.reset_index()
        found["prob"] /= found.groupby(["model", *keys])["prob"].transform("sum")
        found.insert(1, "variant", variant)
        parts.append(found)
    return pd.concat(parts, ignore_index=True)


def spread(table: pd.DataFrame, *, keys: Sequence[str]) -> pd.DataFrame:
    """How much the way of scoring matters: the largest distance between two variants.

    Parameters
    ----------
    table : DataFrame
        As `variants` gives it.
    keys : sequence of str
        Columns that make a cell.

    Returns
    -------
    DataFrame
        One row per model: ``model``; ``mean`` and ``highest`` over the cells of the largest total variation
        distance between two variants (the share of the belief that would move); ``n_cells``.
    """
    rows = []
    for model, of_model in per_model(table):
        apart = []
        for _, cell in of_model.groupby(list(keys), sort=False):
            wide = cell.pivot(index="variant", columns="option", values="prob").to_numpy()
            apart.append(float(total_variation(wide[:, None], wide[None, :]).max()))
        rows.append((model, float(np.mean(apart)), max(apart), len(apart)))
    return pd.DataFrame(rows, columns=["model", "mean", "highest", "n_cells"])


def _align(
    one: pd.DataFrame, other: pd.DataFrame, keys: Sequence[str], outcome: str
) -> tuple[list[str], list[tuple[object, ...]], list[object], Array, Array]:
    """Models, cells, outcomes, and the probabilities as (models, cells, outcomes) and (cells, outcomes)."""
    keys = list(keys)
    for frame, name in ((one, "one"), (other, "other")):
        if missing := [column for column in (*keys, outcome, "prob") if column not in frame.columns]:
            raise SpecError(f"cannot compare: `{name}` has no column {', '.join(missing)}")
    if "model" not in one.columns:
        one = one.assign(model="model")
    outcomes = list(dict.fromkeys(other[outcome]))
    truth = other.pivot(index=keys, columns=outcome, values="prob")[outcomes]
    models = list(dict.fromkeys(one["model"]))
    found = []
    for model in models:
        own = one[one["model"] == model]
        if own.duplicated([*keys, outcome]).any():
            raise SpecError(f"cannot compare {model}: an outcome of a cell is there twice")
        table = own.pivot(index=keys, columns=outcome, values="prob")
        unknown = [name for name in table.columns if name not in outcomes]
        table = table.reindex(index=truth.index, columns=outcomes)
        if unknown or table.isna().any(axis=None):
            what = (
                f"outcome {unknown[0]!r} is not in `other`" if unknown else "a cell or an outcome is missing"
            )
            raise SpecError(f"cannot compare {model}: {what}")
        found.append(table.to_numpy(dtype=np.float64))
    p, q = np.stack(found), truth.to_numpy(dtype=np.float64)
    for table in (*p, q):
        if not np.allclose(table.sum(axis=-1), 1, atol=1e-6):
            raise SpecError("cannot compare: the probabilities of a cell do not sum to 1")
    labels = [label if isinstance(label, tuple) else (label,) for label in truth.index]
    return models, labels, outcomes, p, q


def _draw(n: int, draws: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(n, size=(draws, n))


def _interval(values: Array) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _correlation(x: Array, y: Array) -> Array:
    x, y = x - x.mean(axis=-1, keepdims=True), y - y.mean(axis=-1, keepdims=True)
    size = np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    return np.asarray(
        np.divide((x * y).sum(axis=-1), size, out=np.full(size.shape, np.nan), where=size > 1e-12)
    )
