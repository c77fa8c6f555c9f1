"""Log odds of negation in the cells of Study 2: how they are fitted, combined and tested."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from grace_client.analysis._statistics.variance import sign_flips
from grace_client.analysis.inference import holm
from grace_client.analysis.reference._design import CELL, STATES
from grace_client.analysis.study2._goal_contrasts import ALL, GOAL_CONTRASTS, item_means

if TYPE_CHECKING:
    from grace_client.analysis._statistics.logistic import Fit

Cell = tuple[str, str]

PENALISED = ("penalised", "penalised_low", "penalised_high")

MODEL_GOALS = ("informational", "social", "both")
"""The goals with the base level first."""


@dataclass(frozen=True)
class Cells:
    """One model's rows, and how many clusters and rows each cell has."""

    model: str
    rows: pd.DataFrame
    method: str
    shares: Mapping[Cell, float]
    sizes: Mapping[Cell, int]
    clusters: Mapping[Cell, int]

    @classmethod
    def of(cls, model: str, rows: pd.DataFrame, method: str, cluster: str) -> Cells:
        """The cells of a model's rows; clusters are items for a mixed model."""
        column = cluster if method == "gee" else "item"
        cells = rows.groupby([*CELL], sort=False).agg(
            share=("prob", "mean"), size=("prob", "size"), clusters=(column, "nunique")
        )
        known = [cell for g in MODEL_GOALS for s in STATES if (cell := (g, s)) in cells.index]
        share, size, clusters = (dict(zip(known, cells[name].reindex(known), strict=True)) for name in cells)
        return cls(model, rows, method, share, size, clusters)

    def fewest(self, needed: Iterable[Cell]) -> int:
        """The smallest number of clusters in one of the cells."""
        return min((int(self.clusters.get(cell, 0)) for cell in needed), default=0)

    def separated(self, cell: Cell) -> bool:
        """Whether all choices of a cell are negated, or none is."""
        return cell in self.shares and not 0 < self.shares[cell] < 1


class Fitted:
    """One model's log odds of negation in every cell that has finite ones."""

    def __init__(self, cells: Cells, random: Sequence[str], cluster: str) -> None:
        self.cells, self.gee = cells, cells.method == "gee"
        self.finite = [cell for cell in cells.shares if not cells.separated(cell)]
        self.fit = self._fitted(self.finite, random, cluster) if self.finite else None
        # The prior changes little if no cell is at 0 or 1. The penalised fit is always computed, to compare.
        self.penalised = None if self.gee else self._fitted(list(cells.shares), random, cluster, True)

    def _fitted(self, place: list[Cell], random: Sequence[str], cluster: str, penalised: bool = False) -> Fit:
        from grace_client.analysis._statistics import logistic

        rows, number = self.cells.rows, {cell: i for i, cell in enumerate(place)}
        code = np.array([number.get(cell, -1) for cell in zip(rows["goal"], rows["state"], strict=True)])
        own, matrix = rows[code >= 0], np.eye(len(place))[code[code >= 0]]
        value = own["prob"].to_numpy(dtype=np.float64)
        if self.gee:
            return logistic.gee(value, matrix, pd.factorize(own[cluster])[0])
        levels = {name: pd.factorize(own[name])[0] for name in random}
        return logistic.mixed(value, matrix, levels, penalised=penalised)

    def combined(self, needed: Mapping[Cell, float]) -> dict[str, object]:
        """Estimate, error, test and interval of a combination of log odds; missing if those of a cell are."""
        from scipy import stats

        clusters = self.cells.fewest(needed)
        name = "t" if self.gee else "z"
        result: dict[str, object] = dict.fromkeys(("estimate", "se", name, "p", "low", "high"), np.nan)
        result |= (
            {"df": clusters - 1 if clusters > 1 else np.nan} if self.gee else dict.fromkeys(PENALISED, np.nan)
        )
        result["separated"] = any(self.cells.separated(cell) for cell in needed)
        result["converged"] = None
        if clusters > 1 and self.penalised is not None:
            middle, error = _weighed(self.penalised, list(self.cells.shares), needed)
            reach = float(stats.norm.ppf(0.975)) * error
            result |= dict(zip(PENALISED, (middle, middle - reach, middle + reach), strict=True))
        if clusters < 1 or self.fit is None or result["separated"]:
            return result
        estimate, se = _weighed(self.fit, self.finite, needed)
        result |= {"estimate": estimate, "converged": self.fit.converged}
        # An error this small is rounding: all clusters are equal.
        if clusters < 2 or not se > 1e-9:
            return result
        se *= np.sqrt(clusters / (clusters - 1)) if self.gee else 1
        distribution = stats.t(clusters - 1) if self.gee else stats.norm()
        reach = float(distribution.ppf(0.975)) * se
        result |= {"se": se, name: estimate / se, "p": 2 * float(distribution.sf(abs(estimate / se)))}
        return result | {"low": estimate - reach, "high": estimate + reach}

    @property
    def shared(self) -> dict[str, object]:
        """The columns that all three tables share."""
        rows = self.cells.rows
        return {"method": self.cells.method, "n": len(rows), "n_distinct": rows["item"].nunique()}

    def terms(self) -> pd.DataFrame:
        """One row per treatment-coded term."""
        rows = [{"term": term} | self.combined(needed) | self.shared for term, needed in _terms()]
        table = pd.DataFrame(rows).assign(model=self.cells.model)
        spread = {} if self.fit is None else self.fit.spread
        sd = [f"sd_{name}" for name in ("participant", "item", "item_cell") if not self.gee]
        table = table.assign(**{name: spread.get(name.removeprefix("sd_"), np.nan) for name in sd})
        return table[["model", "term", *self._columns(), *sd, "n", "n_distinct"]]

    def contrasts(self) -> pd.DataFrame:
        """One row per comparison of goals and per state."""
        rows = []
        for goal, against in GOAL_CONTRASTS:
            for state in (*STATES, ALL):
                states = STATES if state == ALL else (state,)
                needed = {(goal, s): 1 / len(states) for s in states}
                needed |= {(against, s): -1 / len(states) for s in states}
                first, second, _ = item_means(self.cells.rows, goal, against, state)
                row = {"goal": goal, "against": against, "state": state} | self.combined(needed) | self.shared
                row |= {"p_exact": sign_flips(first - second), "n_distinct": self.cells.fewest(needed)}
                rows.append(row | {"n": sum(int(self.cells.sizes.get(cell, 0)) for cell in needed)})
        table = pd.DataFrame(rows).assign(model=self.cells.model)
        for name in ("p", "p_exact"):
            table[f"{name}_holm"] = holm(table[name].to_numpy())
        columns = self._columns()
        columns[columns.index("p") + 1 : columns.index("p") + 1] = ["p_holm", "p_exact", "p_exact_holm"]
        return table[["model", "goal", "against", "state", *columns, "n", "n_distinct"]]

    def _columns(self) -> list[str]:
        test = ["t", "df"] if self.gee else ["z"]
        beside = [] if self.gee else PENALISED
        return ["estimate", "se", *test, "p", "low", "high", *beside, "separated", "converged", "method"]

    def omnibus(self) -> dict[str, object]:
        """Wald's test of the interaction over the cells that have finite log odds and several clusters."""
        from scipy import stats

        place = [cell for cell in self.finite if self.cells.clusters[cell] > 1]
        additive = np.array(
            [[g == goal for g in MODEL_GOALS] + [s == state for s in STATES] for goal, state in place],
            dtype=np.float64,
        ).reshape(len(place), len(MODEL_GOALS) + len(STATES))
        # The part that no sum of a goal effect and a state effect can explain.
        left, size, _ = np.linalg.svd(additive)
        beyond, clusters = left[:, int((size > 1e-9).sum()) :], self.cells.fewest(place)
        df, statistic, p, df_error = beyond.shape[1], np.nan, np.nan, clusters - beyond.shape[1]
        if df and self.fit is not None and (df_error > 0 or not self.gee):
            own = [self.finite.index(cell) for cell in place]
            effect = beyond.T @ self.fit.estimate[own]
            covariance = beyond.T @ self.fit.covariance[np.ix_(own, own)] @ beyond
            if np.linalg.cond(covariance) < 1e12:
                statistic = float(effect @ np.linalg.solve(covariance, effect))
            if self.gee:
                # Errors raised by G / (G - 1), and Hotelling's G - 1.
                statistic *= df_error / (clusters * df)
                p = float(stats.f.sf(statistic, df, df_error))
            else:
                p = float(stats.chi2.sf(statistic, df))
        row: dict[str, object] = {"model": self.cells.model, "effect": "goal:state"}
        row |= {"f": statistic} if self.gee else {"chi2": statistic}
        row["df"] = df
        row |= {"df_error": df_error if df_error > 0 else np.nan} if self.gee else {}
        known = None if self.fit is None or np.isnan(p) else self.fit.converged
        return (
            row
            | {"p": p, "separated": len(self.finite) < len(self.cells.shares), "converged": known}
            | self.shared
        )


def _weighed(fit: Fit, place: list[Cell], needed: Mapping[Cell, float]) -> tuple[float, float]:
    """A combination of cells' log odds, and its error."""
    weights = np.array([needed.get(cell, 0.0) for cell in place])
    return float(weights @ fit.estimate), float(np.sqrt(weights @ fit.covariance @ weights))


def _terms() -> list[tuple[str, dict[Cell, int]]]:
    """Treatment-coded terms, each as the cells whose log odds it adds and subtracts."""
    goals, states = MODEL_GOALS, STATES
    base = (goals[0], states[0])
    terms: list[tuple[str, dict[Cell, int]]] = [("intercept", {base: 1})]
    terms += [(f"goal[{goal}]", {(goal, states[0]): 1, base: -1}) for goal in goals[1:]]
    terms += [(f"state[{state}]", {(goals[0], state): 1, base: -1}) for state in states[1:]]
    terms += [
        (
            f"goal[{goal}]:state[{state}]",
            {(goal, state): 1, (goal, states[0]): -1, (goals[0], state): -1, base: 1},
        )
        for goal in goals[1:]
        for state in states[1:]
    ]
    return terms
