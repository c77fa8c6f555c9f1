"""Choices of people, and the probabilities that models and theories give to them, in one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grace_client.analysis._data.layout import per_model, require
from grace_client.analysis._statistics.table_pairs import side_by_side
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.core.spelling import did_you_mean

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

ITEM = "item of the choices"
"""Name of the items of the choices where they are a key; a column ``item`` would be averaged over."""


@dataclass(frozen=True)
class Choices:
    """Choices of people, one entry for each.

    Attributes
    ----------
    keys : list of str
        Columns that make a cell: the conditions, and `ITEM` if the choices have items.
    cells : DataFrame
        `keys` of each cell, as text.
    outcomes : list of str
        The possible outcomes.
    outcome : str
        Their column.
    cell, chosen : ndarray of int, shape (n_choices,)
        Cell of each choice, and the number of the chosen outcome.
    item, person : ndarray of int, shape (n_choices,), or None
        Its item and its participant, where they are known.
    """

    keys: list[str]
    cells: pd.DataFrame
    outcomes: list[str]
    outcome: str
    cell: Ints
    chosen: Ints
    item: Ints | None
    person: Ints | None

    @property
    def counts(self) -> Array:
        """How often each outcome was chosen in each cell, shape (n_cells, n_outcomes)."""
        return tally(self.cell, self.chosen, (len(self.cells), len(self.outcomes)))

    @property
    def own(self) -> Ints:
        """Who made each choice: a participant, or, where nobody knows them, each choice is of its own."""
        return np.arange(len(self.cell)) if self.person is None else self.person

    def group(self, keys: Sequence[str]) -> Ints:
        """By cell, the number of its group: groups differ in `keys`."""
        if not keys:
            return np.zeros(len(self.cells), dtype=np.int64)
        return np.asarray(self.cells.groupby(list(keys), sort=False).ngroup(), dtype=np.int64)


def tally(group: Ints, chosen: Ints, shape: tuple[int, int], weight: Array | None = None) -> Array:
    """Sums of weights (by default 1 for each choice) by group and outcome."""
    place = group * shape[1] + chosen
    return np.bincount(place, weights=weight, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)


@dataclass(frozen=True)
class Predicted:
    """What a model predicts.

    Attributes
    ----------
    name, kind : str
        Its name, and ``model`` or ``theory``.
    prob : ndarray, shape (n_cells, n_outcomes)
        Its probabilities.
    left_out : ndarray, shape (n_items, n_cells, n_outcomes), or None
        The same without each of its items, where it was asked about items that the choices do not name.
    items : tuple of str
        The names of these items.
    """

    name: str
    kind: str
    prob: Array
    left_out: Array | None = None
    items: tuple[str, ...] = ()


def read(
    models: pd.DataFrame,
    choices: pd.DataFrame,
    keys: Sequence[str],
    outcome: str,
    theories: Mapping[str, pd.DataFrame] | None,
    lapse: float,
) -> tuple[Choices, list[Predicted]]:
    """Check the tables, and bring them into one order."""
    if not 0 <= lapse < 1:
        raise SpecError(f"lapse={lapse!r}: give a share of at least 0 and below 1")
    if not keys:
        raise SpecError("keys: name at least one condition of the study")
    if "item" in keys:
        raise SpecError("keys: leave out 'item'. A column 'item' of the choices is used where there is one")
    require(models, [*keys, outcome, "prob"], "the table of models")
    models = models if "model" in models.columns else models.assign(model="model")
    people = _choices(models, choices, list(keys), outcome)
    tables = [(name, "model", own) for name, own in per_model(models)]
    for name, own in (theories or {}).items():
        require(own, [outcome, "prob"], f"the theory {name}")
        tables.append((str(name), "theory", own))
    names = [name for name, *_ in tables]
    if twice := [name for name in names if names.count(name) > 1]:
        raise SpecError(f"{twice[0]!r} is the name of two models or theories. Rename one")
    return people, [_predicted(people, *one, lapse) for one in tables]


def _choices(models: pd.DataFrame, choices: pd.DataFrame, keys: list[str], outcome: str) -> Choices:
    require(choices, [*keys, outcome], "the table of choices")
    items = "item" in choices.columns
    own = [
        *keys,
        *(["item"] if items else []),
        *(["participant"] if "participant" in choices.columns else []),
    ]
    for column in (*own, outcome):
        if (empty := choices[column].isna()).any():
            row = choices.index[empty][0]
            raise SpecError(f"the table of choices, row {row}: {column} is empty. Leave such rows out")
    count = _counts(choices)
    rows = choices[[*own, outcome]].iloc[np.repeat(np.arange(len(choices)), count)].astype(str)
    rows = rows.rename(columns={"item": ITEM})
    if rows.empty:
        raise NotEnoughDataError("the table of choices has no choice")
    keys = [*keys, *([ITEM] if items else [])]
    outcomes = list(dict.fromkeys(models[outcome].astype(str)))
    if unknown := [value for value in rows[outcome].unique() if value not in outcomes]:
        raise SpecError(
            f"people chose {unknown[0]!r}, but the models have no such {outcome}. "
            f"{did_you_mean(unknown[0], outcomes)}They have {', '.join(outcomes)}"
        )
    cells = rows[keys].drop_duplicates(ignore_index=True)
    return Choices(
        keys,
        cells,
        outcomes,
        outcome,
        np.asarray(rows.groupby(keys, sort=False).ngroup(), dtype=np.int64),
        pd.Categorical(rows[outcome], categories=outcomes).codes.astype(np.int64),
        pd.factorize(rows[ITEM])[0].astype(np.int64) if items else None,
        pd.factorize(rows["participant"])[0].astype(np.int64) if "participant" in own else None,
    )


def _counts(choices: pd.DataFrame) -> Ints:
    """How often each row was chosen."""
    if "count" not in choices.columns:
        return np.ones(len(choices), dtype=np.int64)
    count = pd.to_numeric(choices["count"], errors="coerce").to_numpy(dtype=np.float64)
    if (wrong := ~(count >= 0) | (count != np.floor(count)) | np.isinf(count)).any():
        at = int(wrong.argmax())
        raise SpecError(
            f"the table of choices, row {choices.index[at]}: count is {choices['count'].iloc[at]}. "
            "Give a whole number of at least 0"
        )
    return count.astype(np.int64)


def _predicted(people: Choices, name: str, kind: str, table: pd.DataFrame, lapse: float) -> Predicted:
    """The probabilities of a model in the cells and outcomes of the choices."""
    outcome = people.outcome
    own = table.rename(columns={"item": ITEM}) if ITEM in people.keys else table
    shared = [key for key in people.keys if key in own.columns]
    over_items = "item" in own.columns
    columns = [*shared, *(["item"] if over_items else []), outcome, "prob", *(["n"] if "n" in own else [])]
    own = own[columns].astype(dict.fromkeys([*shared, outcome], str))
    where = f"{kind} {name}"
    if strange := [value for value in own[outcome].unique() if value not in people.outcomes]:
        raise SpecError(f"{where} has {outcome} {strange[0]!r}, which the first model does not have")
    if shared:
        there = pd.MultiIndex.from_frame(own[shared].drop_duplicates())
        wanted = pd.MultiIndex.from_frame(people.cells[shared])
        if (absent := ~wanted.isin(there)).any():
            first = dict(zip(shared, wanted[int(absent.argmax())], strict=True))
            cell = ", ".join(f"{key.partition(' ')[0]} {value}" for key, value in first.items())
            raise SpecError(f"{where} says nothing about {cell}, where people chose. Leave such choices out")
    prob = own["prob"].to_numpy(dtype=np.float64)
    if (wrong := ~((prob >= 0) & (prob <= 1 + 1e-9))).any():
        raise SpecError(f"{where}: {own['prob'].iloc[int(wrong.argmax())]} is not a probability")
    # A table without one of the keys says the same of all its levels.
    wide = people.cells.merge(own, on=shared) if shared else people.cells.merge(own, how="cross")
    grid = people.cells.merge(pd.DataFrame({outcome: people.outcomes}), how="cross")
    sides = side_by_side(
        wide.assign(model=name), grid.assign(prob=1 / len(people.outcomes)), people.keys, outcome
    )
    order = pd.MultiIndex.from_tuples(sides.labels).get_indexer(pd.MultiIndex.from_frame(people.cells))
    prob = _lapsing(sides.p[0][order], lapse)
    if not over_items or sides.items < 2:
        return Predicted(name, kind, prob)
    left_out = _lapsing(sides.without_each()[0][:, order], lapse)
    return Predicted(name, kind, prob, left_out, tuple(dict.fromkeys(wide["item"].astype(str))))


def _lapsing(prob: Array, lapse: float) -> Array:
    return np.asarray((1 - lapse) * prob + lapse / prob.shape[-1])
