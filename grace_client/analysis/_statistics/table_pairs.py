"""Two tables of distributions in one order, and their bootstrap samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grace_client.analysis.inference import FEW, expanded, tails
from grace_client.analysis.intervals import LEVEL
from grace_client.core.errors import SpecError

Array = NDArray[np.float64]

LEAST = 3
"""Fewest items in every cell; with fewer, the result is about a few stories only."""


@dataclass(frozen=True)
class Sides:
    """Two tables in the same order.

    Attributes
    ----------
    models : list of str
        Names of the models, in the order of the first axis of `p`.
    keys : list of str
        Columns that make a cell.
    labels : list of tuple
        Values of `keys` in each cell.
    outcomes : list
        The outcomes of the distributions.
    p : ndarray, shape (n_models, n_cells, n_outcomes)
        Probabilities of the first table.
    q : ndarray, shape (n_cells, n_outcomes)
        Probabilities of the second table.
    by_item : ndarray, shape (n_models, n_items, n_cells, n_outcomes), or None
        Distributions times their weights.
    weight : ndarray, shape (n_models, n_items, n_cells), or None
        0 where an item is not in a cell.
    people : ndarray, shape (n_cells,), or None
        Number of answers in each cell of the second table.
    """

    models: list[str]
    keys: list[str]
    labels: list[tuple[object, ...]]
    outcomes: list[object]
    p: Array
    q: Array
    by_item: Array | None
    weight: Array | None
    people: Array | None

    @property
    def items(self) -> int:
        """Number of items; 0 where they are unknown."""
        return 0 if self.weight is None else self.weight.shape[1]

    @property
    def drawn(self) -> str:
        """What the bootstrap of `draw` draws: items, people, both, or nothing."""
        groups = (("items", self.items > 1), ("people", self.people is not None))
        return " and ".join(name for name, present in groups if present) or "nothing"

    def blocks(self, across: Sequence[str] | None) -> Array | None:
        """By cell, the number of its block: blocks differ in keys other than `across`."""
        if across is None:
            return None
        if unknown := [key for key in across if key not in self.keys]:
            raise SpecError(f"across={unknown[0]!r} is none of the keys: {', '.join(self.keys)}")
        kept = [i for i, key in enumerate(self.keys) if key not in across]
        groups = [tuple(label[i] for i in kept) for label in self.labels]
        order = list(dict.fromkeys(groups))
        return np.array([order.index(one) for one in groups], dtype=np.float64)

    def draw(self, draws: int, seed: int) -> tuple[Array, Array]:
        """Bootstrap samples of both tables: shapes (n_models, draws, …) and (draws, …).

        Few items are not drawn.
        """
        generator = np.random.default_rng(seed)
        p = np.broadcast_to(self.p[:, None], (len(self.models), draws, *self.q.shape))
        q = np.broadcast_to(self.q, (draws, *self.q.shape))
        if self.by_item is not None and self.weight is not None and self.items > 1 and not self.few:
            times = generator.multinomial(self.items, np.full(self.items, 1 / self.items), size=draws)
            top = np.einsum("di,mico->mdco", times, self.by_item)
            bottom = np.einsum("di,mic->mdc", times, self.weight)[..., None]
            # A cell does not change in a draw that has none of its items.
            p = np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1), p)
        if self.people is not None:
            cells = [
                generator.multinomial(int(n), shares, size=draws) / n
                for n, shares in zip(self.people, self.q, strict=True)
            ]
            q = np.stack(cells, axis=1)
        return p, q

    @property
    def few(self) -> bool:
        """Whether there are too few items to draw from."""
        return 1 < self.items < FEW

    def without_each(self) -> Array:
        """The first table, with each item left out in turn, shape (n_models, n_items, n_cells, n_outcomes).

        A cell that has only this item does not change.
        """
        assert self.by_item is not None and self.weight is not None
        bottom = (self.weight.sum(axis=1, keepdims=True) - self.weight)[..., None]
        top = self.by_item.sum(axis=1, keepdims=True) - self.by_item
        return np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1), self.p[:, None])

    def interval(self, value: float, drawn: Array | None, bounds: tuple[float, float]) -> tuple[float, float]:
        """An interval around a value from the draws' distances from their median, within bounds."""
        known = np.array([]) if drawn is None else drawn[~np.isnan(drawn)]
        if not len(known):
            return float("nan"), float("nan")
        levels = expanded(self.items, LEVEL) if self.items > 1 else tails(LEVEL)
        low, high = value + np.quantile(known, levels) - np.median(known)
        return _within(low, high, bounds)


def jackknifed(
    value: float, left_out: Array, bounds: tuple[float, float], drawn: Array | None = None
) -> tuple[float, float]:
    """Student's t around a value, kept within its bounds.

    Its standard error is that of leaving out each item, combined with that of draws of people, if any.
    """
    from scipy import stats

    n = len(left_out)
    error = np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    if drawn is not None:
        error = np.hypot(error, np.nanstd(drawn, ddof=1))
    reach = stats.t.ppf(tails(LEVEL)[1], n - 1) * error
    return _within(value - reach, value + reach, bounds)


def _within(low: float, high: float, bounds: tuple[float, float]) -> tuple[float, float]:
    """An interval within bounds; missing if it has no width, because then nothing varied."""
    low, high = (float(end) for end in np.clip([low, high], *bounds))
    return (low, high) if high - low > 1e-9 else (float("nan"), float("nan"))


def lacking(one: pd.DataFrame, other: pd.DataFrame, keys: Sequence[str]) -> dict[str, str]:
    """What models lack for a comparison: answers to at least three items in every cell.

    Parameters
    ----------
    one : DataFrame
        ``model`` (optional), `keys` and ``item``, such as `study2.by_item` gives it. A table without ``item``
        is not checked.
    other : DataFrame
        `keys`: the cells of the comparison.
    keys : sequence of str
        Columns that make a cell.

    Returns
    -------
    dict of str to str
        By model, the missing answers in words; models with enough answers are not in it.
    """
    keys = list(keys)
    if missing := [column for column in keys if column not in one.columns or column not in other.columns]:
        raise SpecError(f"cannot compare: column {', '.join(missing)} is missing from one of the tables")
    if "item" not in one.columns:
        return {}
    rows = one if "model" in one.columns else one.assign(model="model")
    expected = pd.MultiIndex.from_frame(other[keys].drop_duplicates().astype(str))
    result = {}
    for model, own in rows.groupby("model", sort=False):
        items = own.astype(dict.fromkeys(keys, str)).groupby(keys)["item"].nunique()
        items.index = pd.MultiIndex.from_tuples([i if isinstance(i, tuple) else (i,) for i in items.index])
        items = items.reindex(expected, fill_value=0)
        if thin := int((items < LEAST).sum()):
            thinnest = expected[int(items.to_numpy().argmin())]
            cell = ", ".join(f"{key} {value}" for key, value in zip(keys, thinnest, strict=True))
            result[str(model)] = (
                f"{thin} of {len(expected)} cells ({'/'.join(keys)}) have answers to fewer than {LEAST} "
                f"items, such as {cell} with {int(items.min())}"
            )
    return result


def side_by_side(one: pd.DataFrame, other: pd.DataFrame, keys: Sequence[str], outcome: str) -> Sides:
    """Align two tables. The first may have a row for each item, the second numbers of answers."""
    keys = list(keys)
    whole, by_item, weight = one, None, None
    if "item" in one.columns:
        if missing := [column for column in (*keys, outcome, "prob") if column not in one.columns]:
            raise SpecError(f"cannot compare: `one` has no column {', '.join(missing)}")
        rows = one.assign(model=one["model"] if "model" in one.columns else "model")
        rows["weight"] = rows["n"].astype(np.float64) if "n" in rows.columns else 1.0
        if rows.duplicated(["model", *keys, "item", outcome]).any():
            raise SpecError("cannot compare: `one` has two rows for the same item, cell and outcome")
        rows["prob"] = rows["prob"] * rows["weight"]
        summed = rows.groupby(["model", *keys, outcome], sort=False)[["prob", "weight"]].sum(min_count=1)
        summed["prob"] /= summed["weight"]
        whole = summed["prob"].reset_index()
    models, labels, outcomes, p, q = align(whole, other, keys, outcome)
    cells = pd.MultiIndex.from_tuples(labels) if len(keys) > 1 else pd.Index([label[0] for label in labels])
    if "item" in one.columns:
        items = list(dict.fromkeys(rows["item"]))
        index = pd.MultiIndex.from_tuples(
            [(model, item, *label) for model in models for item in items for label in labels],
            names=["model", "item", *keys],
        )
        shape = (len(models), len(items), len(cells))
        top, bottom = (
            rows.pivot(index=["model", "item", *keys], columns=outcome, values=name)
            .reindex(index=index, columns=outcomes)
            .fillna(0)
            .to_numpy(dtype=np.float64)
            for name in ("prob", "weight")
        )
        by_item, weight = top.reshape(*shape, len(outcomes)), bottom[:, 0].reshape(shape)
    people = None
    if "count" in other.columns:
        people = other.groupby(keys)["count"].sum().reindex(cells).to_numpy(dtype=np.float64)
    return Sides(models, keys, labels, outcomes, p, q, by_item, weight, people)


def align(
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
    result = []
    for model in models:
        own = one[one["model"] == model]
        if own.duplicated([*keys, outcome]).any():
            raise SpecError(f"cannot compare {model}: it has two rows for the same cell and outcome")
        table = own.pivot(index=keys, columns=outcome, values="prob")
        unknown = [name for name in table.columns if name not in outcomes]
        table = table.reindex(index=truth.index, columns=outcomes)
        if unknown or table.isna().any(axis=None):
            what = (
                f"outcome {unknown[0]!r} is not in `other`" if unknown else "a cell or an outcome is missing"
            )
            raise SpecError(f"cannot compare {model}: {what}")
        result.append(table.to_numpy(dtype=np.float64))
    p, q = np.stack(result), truth.to_numpy(dtype=np.float64)
    for table in (*p, q):
        if not np.allclose(table.sum(axis=-1), 1, atol=1e-6):
            raise SpecError("cannot compare: the probabilities of a cell do not sum to 1")
    labels = [label if isinstance(label, tuple) else (label,) for label in truth.index]
    return models, labels, outcomes, p, q
