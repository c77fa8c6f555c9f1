"""Values crossed over items, conditions and ways of asking: which components there are, and their table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grace_client.analysis._data.layout import WAY
from grace_client.analysis._statistics.components import components
from grace_client.core.errors import NotEnoughDataError
from grace_client.run.layout import WAY_FACTOR

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

MOST = 4000
"""Most levels of all components together: the time grows with their third power."""


def table(
    rows: pd.DataFrame,
    factors: Sequence[str],
    conditions: list[str],
    noise: float | None,
    level: float | None,
) -> pd.DataFrame:
    """The components of the values of one model; see `ways.components`."""
    codes, reasons = _codes(rows, factors, conditions)
    y = rows["value"].to_numpy(dtype=np.float64)
    matrix = _fixed(rows, conditions)
    residual = y - matrix @ np.linalg.lstsq(matrix, y, rcond=None)[0]
    named = [*codes, "residual"]
    if len(y) - matrix.shape[1] < len(named):
        raise NotEnoughDataError(
            f"{len(y)} values in {matrix.shape[1]} conditions are too few for {len(named)} components. Ask "
            "in more ways, or leave out conditions"
        )
    found = {name: [np.nan] * 3 for name in named}
    if float(np.abs(residual).max()) <= 1e-12 * max(1.0, float(np.abs(y).max())):
        reasons |= dict.fromkeys(named, "all values of a condition are equal")
    else:
        fit = components(y, matrix, list(codes.values()), level=level)
        if not fit.converged:
            reasons |= dict.fromkeys(named, "the estimates did not converge")
        each = zip(fit.variance.tolist(), fit.low.tolist(), fit.high.tolist(), strict=True)
        found = dict(zip(named, map(list, each), strict=True))
    levels = {name: int(code.max()) + 1 for name, code in codes.items()} | {"residual": len(y)}
    if noise is not None:
        found["residual"] = [max(one - noise**2, 0.0) if one == one else one for one in found["residual"]]
        found["noise"] = [noise**2, np.nan, np.nan]
    result = pd.DataFrame(
        [
            (name, *found.get(name, [np.nan] * 3), levels.get(name, 0), reasons.get(name, ""))
            for name in (*_names(factors, conditions), "residual", *(["noise"] if noise is not None else []))
        ],
        columns=["component", "variance", "low", "high", "n_levels", "reason"],
    )
    result.loc[(result["component"] == "noise") & result["variance"].isna(), "reason"] = "no noise was given"
    result["sd"] = np.sqrt(result["variance"])
    result["share"] = result["variance"] / result["variance"].sum()
    return result[["component", "variance", "sd", "share", "low", "high", "n_levels", "reason"]]


def mean_interval(items: pd.DataFrame, factors: Sequence[str]) -> tuple[dict[str, float], str]:
    """Error of the mean over ways and items: ``se, df, reach``, and why they are missing.

    `items` has ``item, way, way_FACTOR, value``; see `ways.verdict`.
    """
    from scipy import stats

    none = dict.fromkeys(("se", "df", "reach"), np.nan)
    if items["value"].isna().any():
        return none, "the effect cannot be computed without some item, so there is no interval"
    y = items["value"].to_numpy(dtype=np.float64)
    if items["item"].nunique() < 2:
        return none, "one item, so there is no interval"
    if np.ptp(y) <= 1e-12 * max(1.0, float(np.abs(y).max())):
        return none, "all items have the same value in all ways, so there is no interval"
    codes, _ = _codes(items, factors, [])
    fit = components(y, np.ones((len(y), 1)), list(codes.values()), level=None)
    weights = [float(((np.bincount(code) / len(code)) ** 2).sum()) for code in codes.values()]
    weight = np.array([*weights, 1 / len(y)])
    square, error = float(weight @ fit.variance), float(weight @ fit.covariance @ weight)
    df = max(1.0, 2 * square**2 / error) if error > 0 else np.nan
    se = float(np.sqrt(square))
    return {"se": se, "df": df, "reach": float(stats.t.ppf(0.975, df)) * se}, ""


def widest(values: pd.DataFrame, factors: Sequence[str]) -> tuple[str, float]:
    """The factor whose levels differ most, and by how much, the other factors being equal.

    Levels are compared by the additive model of all factors; where the ways cannot tell the factors apart, by
    their plain means. ``("", NaN)`` if no factor has two levels.
    """
    varied = [name for name in factors if values[name].nunique() > 1]
    y = values["value"].to_numpy(dtype=np.float64)
    dummies = [pd.get_dummies(values[name]).to_numpy(dtype=np.float64)[:, 1:] for name in varied]
    matrix = np.hstack([np.ones((len(y), 1)), *dummies])
    spreads: dict[str, float] = {}
    if np.linalg.matrix_rank(matrix) == matrix.shape[1]:
        found = np.linalg.lstsq(matrix, y, rcond=None)[0][1:]
        for name, own in zip(varied, dummies, strict=True):
            spreads[name] = float(np.ptp(np.append(found[: own.shape[1]], 0.0)))
            found = found[own.shape[1] :]
    else:
        spreads = {name: float(np.ptp(values.groupby(name)["value"].mean())) for name in varied}
    if not spreads:
        return "", np.nan
    name = max(spreads, key=lambda one: spreads[one])
    return name.removeprefix(WAY_FACTOR), spreads[name]


def _names(factors: Sequence[str], conditions: Sequence[str]) -> dict[str, list[str]]:
    """All components with the columns whose combinations are their levels."""
    short = {name.removeprefix(WAY_FACTOR): [name] for name in factors}
    by_condition = {f"{name}:condition": [*own, *conditions] for name, own in short.items()}
    return {
        "item": ["item"],
        **({"item:condition": ["item", *conditions]} if conditions else {}),
        **short,
        WAY: [WAY],
        **(by_condition if conditions else {}),
        "item:way": ["item", WAY],
    }


def _codes(
    rows: pd.DataFrame, factors: Sequence[str], conditions: Sequence[str]
) -> tuple[dict[str, Codes], dict[str, str]]:
    """The levels of each component, and why some components are left out.

    A component is left out if the design cannot tell it from another one.
    """
    kept: dict[str, Codes] = {}
    reasons: dict[str, str] = {}
    # What the conditions explain is no variance.
    fixed = _number(rows, conditions) if conditions else np.zeros(len(rows), dtype=np.int64)
    for name, columns in _names(factors, conditions).items():
        code = _number(rows, columns)
        twin = next(
            (other for other, own in kept.items() if _joint(code, own) == _joint(code) == _joint(own)), None
        )
        factor = f"{WAY_FACTOR}{name.split(':')[0]}"
        if code.max() == 0 or (factor in rows.columns and rows[factor].nunique() == 1):
            reasons[name] = "one level only"
        elif code.max() + 1 == len(rows):
            reasons[name] = "one value of each level, so it is part of the residual"
        elif _joint(fixed, code) == _joint(fixed):
            reasons[name] = "each condition has one level only"
        elif twin is not None:
            reasons[name] = f"cannot be told from {twin}"
        elif name == WAY and rows[WAY].nunique() <= _rank(rows, factors):
            reasons[name] = "there are no more ways than the factors explain"
        else:
            kept[name] = code
    if (count := sum(int(code.max()) + 1 for code in kept.values())) > MOST:
        raise NotEnoughDataError(
            f"the components have {count} levels, and {MOST} can be fitted. Average over items, or leave out "
            "conditions or ways"
        )
    return kept, reasons


def _rank(rows: pd.DataFrame, factors: Sequence[str]) -> int:
    """Number of ways that the factors alone could explain."""
    ways = rows.drop_duplicates(WAY)
    dummies = [pd.get_dummies(ways[name]).to_numpy(dtype=np.float64) for name in factors]
    return int(np.linalg.matrix_rank(np.hstack([np.ones((len(ways), 1)), *dummies])))


def _fixed(rows: pd.DataFrame, conditions: Sequence[str]) -> Array:
    code = _number(rows, conditions) if conditions else np.zeros(len(rows), dtype=np.int64)
    return np.asarray(np.eye(int(code.max()) + 1)[code], dtype=np.float64)


def _number(rows: pd.DataFrame, columns: Sequence[str]) -> Codes:
    numbers = rows.groupby(list(columns), sort=False, observed=True, dropna=False).ngroup()
    return np.asarray(numbers, dtype=np.int64)


def _joint(*codes: Codes) -> int:
    """Number of combinations."""
    return len(np.unique(np.column_stack(codes), axis=0))
