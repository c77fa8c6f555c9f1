"""How close models are to people and to theories, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grace_client.analysis._statistics.deviations import BOUNDS, statistics
from grace_client.analysis._statistics.scoring import spread, variants
from grace_client.analysis._statistics.table_pairs import align, jackknifed, lacking, side_by_side
from grace_client.analysis.distributions import jensen_shannon, total_variation, wasserstein
from grace_client.analysis.inference import tails
from grace_client.analysis.intervals import LEVEL
from grace_client.core.errors import NotEnoughDataError

__all__ = [
    "BOUNDS",
    "DRAWS",
    "against",
    "blind",
    "cells",
    "closeness",
    "even",
    "lacking",
    "ranking",
    "spread",
    "statistics",
    "variants",
]

Array = NDArray[np.float64]

DRAWS = 2000
"""Bootstrap samples of an interval."""


def blind(
    table: pd.DataFrame, *, keys: Sequence[str], outcome: str, across: Sequence[str] | None = None
) -> pd.DataFrame:
    """A baseline that ignores a condition: each cell is the mean of the table over that condition.

    Its ``r`` and ``rho`` are undefined. A model whose ``js`` is not below that of the baseline is no closer
    than one that ignores the condition.

    Parameters
    ----------
    table : DataFrame
        `keys`, `outcome` and ``prob``, such as the answers of people.
    keys, outcome, across
        As in `closeness`.

    Returns
    -------
    DataFrame
        ``model`` (``blind``), `keys`, `outcome`, ``prob``: every cell counts the same.

    Examples
    --------
    >>> from grace_client.analysis import compare, reference, study2
    >>> human = reference.study2().rename(columns={"share": "prob"})
    >>> keys, wants = study2.CELL, study2.CELL[:1]
    >>> ignores = compare.blind(human, keys=keys, outcome="utterance", across=wants)
    >>> found = compare.closeness(ignores, human, keys=keys, outcome="utterance", across=wants)
    >>> found.set_index("statistic")["value"].round(3).to_dict()
    {'r': nan, 'rho': nan, 'r_plain': 0.937, 'rmse': 0.076, 'js': 0.055}
    """
    kept = [key for key in keys if across is not None and key not in across]
    result = table[[*keys, outcome, "prob"]].copy()
    result["prob"] = result.groupby([*kept, outcome], sort=False)["prob"].transform("mean")
    return result.assign(model="blind")[["model", *keys, outcome, "prob"]]


def even(table: pd.DataFrame, *, keys: Sequence[str], outcome: str) -> pd.DataFrame:
    """A uniform baseline: in each cell all outcomes are equally likely.

    Parameters
    ----------
    table, keys, outcome
        As in `blind`: the cells and outcomes of the comparison.

    Returns
    -------
    DataFrame
        ``model`` (``even``), `keys`, `outcome`, ``prob``.

    Examples
    --------
    >>> from grace_client.analysis import compare, reference, study2
    >>> human = reference.study2().rename(columns={"share": "prob"})
    >>> compare.even(human, keys=study2.CELL, outcome="utterance")["prob"].unique().tolist()
    [0.125]
    """
    result = table[[*keys, outcome]].assign(model="even", prob=1 / table[outcome].nunique())
    return result[["model", *keys, outcome, "prob"]]


def cells(
    one: pd.DataFrame, other: pd.DataFrame, *, keys: Sequence[str], outcome: str, ordered: bool = False
) -> pd.DataFrame:
    """Distances between two tables of distributions in each cell.

    Parameters
    ----------
    one, other : DataFrame
        `keys`, `outcome` and ``prob``, which sums to 1 in each cell; `one` may have ``model``.
    keys : sequence of str
        Columns that make a cell, such as the conditions of the study.
    outcome : str
        Column with the outcomes of the distribution, such as ``"utterance"``.
    ordered : bool
        Whether the outcomes are numbers with meaningful distances. If so, adds ``emd``.

    Returns
    -------
    DataFrame
        ``model`` and `keys`; ``js`` (bits), ``tv`` (total variation: the share that would have to move) and,
        where `ordered`, ``emd`` (Wasserstein-1 distance, in the outcomes' unit).

    Examples
    --------
    >>> from grace_client.analysis import compare, example, reference, study2
    >>> human = reference.study2().rename(columns={"share": "prob"})
    >>> model = study2.utterances(example.scored("study2")).rename(columns={"mean": "prob"})
    >>> compare.cells(model, human, keys=study2.CELL, outcome="utterance")[["js", "tv"]].head(2).round(2)
         js    tv
    0  0.02  0.13
    1  0.00  0.05
    """
    models, labels, outcomes, p, q = align(one, other, keys, outcome)
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


def closeness(
    one: pd.DataFrame,
    other: pd.DataFrame,
    *,
    keys: Sequence[str],
    outcome: str,
    across: Sequence[str] | None = None,
    ordered: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Closeness of each model to people or to a theory: correlations, RMSE and divergence, with intervals.

    Correlations are of deviations from the mean over a condition (see `blind`): they show whether a model
    changes with the condition as people do.

    The design fixes the cells, so no interval is about other cells. If `one` has ``item``, the bootstrap
    draws items, the same ones in all cells and for all models: the interval covers other stories. If `other`
    has ``count``, it draws answers, multinomially in each cell: the interval covers other people. With
    neither, the interval is missing.

    With two to seven items, each item is left out in turn (jackknife), and the interval is Student's t.

    Drawing from a sample adds the sample's noise a second time, so the draws are less alike than the data.
    The interval therefore uses the distances of the draws from their own median. Like ``value``, it is about
    closeness to a sample of this size.

    Parameters
    ----------
    one, other, keys, outcome
        As in `cells`. `one` may also have ``item``, with a distribution for each item of a cell, and ``n``,
        the weight of the item in the cell (see `study2.by_item`); `other` may have ``count``, how often each
        outcome was chosen (see `reference.study2`).
    across : sequence of str, optional
        Keys whose effect is compared: deviations are from the mean over them; else all.
    ordered : bool
        Whether the outcomes are numbers with meaningful distances. If so, adds ``emd``.
    draws : int
        Number of bootstrap samples.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        One row per model and statistic (see `statistics`): ``model, statistic, value, low, high`` (95 %),
        ``n_cells``, ``n_items`` (0 if unknown) and ``drawn``: what the interval covers, ``items and people``,
        ``items``, ``people`` or ``nothing``. The interval is missing if no draw changed the statistic.

    Raises
    ------
    SpecError
        If the tables have different cells or outcomes, or a cell is not a distribution.
    NotEnoughDataError
        If a model has too few items in a cell (see `lacking`).

    References
    ----------
    Hesterberg, T. C. (2015). What teachers should know about the bootstrap. *The American Statistician*,
    69(4), 371-386: levels that make up for few items. Efron, B., & Tibshirani, R. J. (1993). *An introduction
    to the bootstrap*. Chapman & Hall, chapter 11: the jackknife.

    Examples
    --------
    >>> from grace_client.analysis import compare, example, reference, study2
    >>> human = reference.study2().rename(columns={"share": "prob"})
    >>> items = study2.by_item(example.scored("study2"))
    >>> found = compare.closeness(items, human, keys=study2.CELL, outcome="utterance")
    >>> found[["statistic", "n_items", "drawn"]].head(2)
      statistic  n_items             drawn
    0         r       12  items and people
    1       rho       12  items and people
    """
    _enough(one, other, keys)
    sides = side_by_side(one, other, keys, outcome)
    blocks = sides.blocks(across)
    p, q = sides.draw(draws, seed)
    people = sides.people is not None
    places = np.asarray(sides.outcomes, dtype=np.float64) if ordered else None
    rows = []
    for i, model in enumerate(sides.models):
        whole = statistics(sides.p[i], sides.q, blocks, places)
        moves = people if sides.few else sides.drawn != "nothing"
        drawn = statistics(p[i], q, blocks, places) if moves else dict.fromkeys(whole)
        left_out = statistics(sides.without_each()[i], sides.q, blocks, places) if sides.few else {}
        for name, value in whole.items():
            if sides.few:
                low, high = jackknifed(float(value), left_out[name], BOUNDS[name], drawn[name])
            else:
                low, high = sides.interval(float(value), drawn[name], BOUNDS[name])
            rows.append((model, name, float(value), low, high, len(sides.q), sides.items, sides.drawn))
    columns = ["model", "statistic", "value", "low", "high", "n_cells", "n_items", "drawn"]
    return pd.DataFrame(rows, columns=columns)


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
        As in `closeness`; so is what the intervals cover.

    Returns
    -------
    DataFrame
        One row per model, in order: ``rank``; ``model``; ``js`` with ``low, high``; ``rank_low, rank_high``
        (95 % of the bootstrap's ranks); ``best`` (share of samples in which the model comes first; equally
        good ones share it); ``n_cells``, ``n_items`` and ``drawn``. Ranks and ``best`` are missing without
        draws or with fewer than eight items; ``low, high`` without items and counts.

    Examples
    --------
    >>> from grace_client.analysis import compare, example, reference, study2
    >>> human = reference.study2().rename(columns={"share": "prob"})
    >>> items = study2.by_item(example.scored("study2"))
    >>> compare.ranking(items, human, keys=study2.CELL, outcome="utterance")[["rank", "model", "best"]]
       rank    model  best
    0     1  example   1.0
    """
    _enough(one, other, keys)
    sides = side_by_side(one, other, keys, outcome)
    p, q = sides.draw(draws, seed)
    js = jensen_shannon(sides.p, sides.q).mean(axis=-1)
    nothing = sides.drawn == "nothing" or sides.few
    drawn = np.stack([jensen_shannon(own, q).mean(axis=-1) for own in p])
    places = drawn.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable") + 1
    first = drawn <= drawn.min(axis=0) + 1e-12
    first = first / first.sum(axis=0)
    rows = []
    for place, i in enumerate(js.argsort(kind="stable"), start=1):
        if sides.few:
            left_out = jensen_shannon(sides.without_each()[i], sides.q).mean(axis=-1)
            people = drawn[i] if sides.people is not None else None
            low, high = jackknifed(float(js[i]), left_out, BOUNDS["js"], people)
        else:
            low, high = sides.interval(float(js[i]), None if nothing else drawn[i], BOUNDS["js"])
        ends = np.quantile(places[i], tails(LEVEL), method="nearest")
        rows.append(
            {
                "rank": place,
                "model": sides.models[i],
                "js": float(js[i]),
                "low": low,
                "high": high,
                "rank_low": None if nothing else int(ends[0]),
                "rank_high": None if nothing else int(ends[1]),
                "best": np.nan if nothing else float(first[i].mean()),
                "n_cells": len(sides.q),
                "n_items": sides.items,
                "drawn": sides.drawn,
            }
        )
    table = pd.DataFrame(rows)
    kind = "Int64" if nothing else "int64"
    return table.astype({"rank_low": kind, "rank_high": kind})


def against(
    one: pd.DataFrame,
    other: pd.DataFrame,
    baselines: pd.DataFrame,
    *,
    keys: Sequence[str],
    outcome: str,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Whether models are closer to people than baselines are: differences of Jensen-Shannon divergences.

    Parameters
    ----------
    one, other, keys, outcome, draws, seed
        As in `closeness`; so is what the intervals cover. Model and baseline are compared in the same draws.
    baselines : DataFrame
        ``model`` (its name), `keys`, `outcome` and ``prob``, such as `blind` and `even` give them. They are
        the same in all draws.

    Returns
    -------
    DataFrame
        One row per model and baseline: ``model, baseline``; ``js`` and ``js_baseline``, the mean divergences
        from `other` (bits); ``difference`` of the two (below 0: the model is closer), ``low, high`` (95%);
        ``closer`` (whether the whole interval is below 0; False without one); ``best`` (whether no baseline
        is closer than this one); ``n_cells``, ``n_items`` and ``drawn``. A model that is not ``closer`` in
        the row of the best baseline is not close to people.

    Notes
    -----
    Simulated with samples of people as large as those of Study 2, none of 600 models that ignore a condition
    was ``closer`` than `blind`.

    Examples
    --------
    >>> from grace_client.analysis import compare, example, reference, study2
    >>> human = reference.study2().rename(columns={"share": "prob"})
    >>> items, how = study2.by_item(example.scored("study2")), {"keys": study2.CELL, "outcome": "utterance"}
    >>> ignores = compare.blind(human, across=study2.CELL[:1], **how)
    >>> found = compare.against(items, human, ignores, **how)
    >>> found[["model", "baseline", "closer"]]
         model baseline  closer
    0  example    blind    True
    """
    _enough(one, other, keys)
    sides = side_by_side(one, other, keys, outcome)
    names, *_, fixed, _ = align(baselines, other, keys, outcome)
    p, q = sides.draw(draws, seed)
    js, of_fixed = (jensen_shannon(table, sides.q).mean(axis=-1) for table in (sides.p, fixed))
    rows = []
    for i, model in enumerate(sides.models):
        drawn = jensen_shannon(p[i], q).mean(axis=-1) if sides.drawn != "nothing" else None
        for j, name in enumerate(names):
            value = float(js[i] - of_fixed[j])
            apart = None if drawn is None else drawn - jensen_shannon(fixed[j], q).mean(axis=-1)
            if sides.few:
                left_out = jensen_shannon(sides.without_each()[i], sides.q).mean(axis=-1)
                people = apart if sides.people is not None else None
                low, high = jackknifed(value, left_out - of_fixed[j], (-1.0, 1.0), people)
            else:
                low, high = sides.interval(value, apart, (-1.0, 1.0))
            rows.append(
                {
                    "model": model,
                    "baseline": name,
                    "js": float(js[i]),
                    "js_baseline": float(of_fixed[j]),
                    "difference": value,
                    "low": low,
                    "high": high,
                    "closer": high < 0,
                    "best": bool(of_fixed[j] == of_fixed.min()),
                    "n_cells": len(sides.q),
                    "n_items": sides.items,
                    "drawn": sides.drawn,
                }
            )
    return pd.DataFrame(rows)


def _enough(one: pd.DataFrame, other: pd.DataFrame, keys: Sequence[str]) -> None:
    for model, what in lacking(one, other, keys).items():
        raise NotEnoughDataError(
            f"cannot compare {model}: {what}. Run more trials, or leave the model out of `one`"
        )
