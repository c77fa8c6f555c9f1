"""Numbers, intervals, lists and table cells as text for readers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

MINUS = "\u2212"
P_VALUES = ("p", "p_holm", "p_exact", "p_exact_holm")
CORRELATIONS = ("r", "rho", "r_plain", "icc")
"""Columns that are undefined where the answers do not vary."""
NO_VARIATION = "undefined: no variation"
TEXT = {True: "yes", False: "no"}
HEADS = {
    "beside": "compared with",
    "drawn": "interval covers",
    "n_cells": "cells",
    "n_items": "stories or domains",
    "ways": "ways of scoring",
    "share_below": "share below 0.5",
    "p_holm": "p (Holm)",
    "p_exact_holm": "p exact (Holm)",
    "d_z": "d z",
    "eta_p2": "partial η²",
    "f": "F",
    "df": "df",
    "ss": "SS",
    "ms": "MS",
    "js": "JS",
    "tv": "TV",
    "kl": "KL",
    "kl_even": "KL even",
    "rmse": "RMSE",
    "rho": "ρ",
    "emd": "EMD",
    "icc": "ICC",
}


def listed(items: Iterable[object]) -> str:
    """Such as ``a, b and c``."""
    names = [str(item) for item in items]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else "none"


def number(value: float, digits: int = 2) -> str:
    """A number with fixed decimals and a true minus sign; a dash if it is missing."""
    if pd.isna(value):
        return "–"
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else f"{MINUS}∞"
    shown = f"{value:.{digits}f}"
    # A value that rounds to zero has no sign.
    return shown.lstrip("-") if float(shown) == 0 else shown.replace("-", MINUS)


def percent(share: float, digits: int = 0) -> str:
    """A share as a percentage."""
    return "–" if pd.isna(share) else f"{100 * share:.{digits}f}%"


def p_value(value: float) -> str:
    """A p value with three decimals, or ``< .001`` or ``> .999``."""
    if pd.isna(value):
        return "–"
    return "< .001" if value < 0.001 else "> .999" if value > 0.999 else f"{value:.3f}".lstrip("0")


def equal(value: float) -> str:
    """What follows the letter p, such as ``= .012``, ``< .001`` or ``unknown``."""
    shown = p_value(value)
    return "unknown" if shown == "–" else shown if shown[0] in "<>" else f"= {shown}"


def stories(counts: pd.Series) -> str:
    """Such as ``6 stories`` or ``5 to 6 stories``."""
    low, high = int(counts.min()), int(counts.max())
    return f"{low} to {high} stories" if low < high else f"{low} {'story' if low == 1 else 'stories'}"


def interval(mean: float, low: float, high: float, digits: int = 2) -> str:
    """A mean and its 95% interval; more decimals where the two bounds would look equal. A dash if no mean."""
    if pd.isna(mean):
        return "–"
    if pd.isna(low) or pd.isna(high):
        return f"{number(mean, digits)} (no interval: too few stimuli)"
    while digits < 4 and low < high and number(low, digits) == number(high, digits):
        digits += 1
    return f"{number(mean, digits)} [{number(low, digits)}, {number(high, digits)}]"


def means(table: pd.DataFrame, label: str, digits: int = 2) -> list[str]:
    """The value in the column `label`, the mean and the interval of every row."""
    return [
        f"{row[label]} {interval(row['mean'], row['low'], row['high'], digits)}"
        for row in table.to_dict("records")
    ]


def plural(count: float, noun: str) -> str:
    """Such as ``1 model`` or ``1,200 models``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def correlation(value: float, low: float, high: float, digits: int = 2) -> str:
    """A correlation and its 95% interval, or that it is undefined."""
    return NO_VARIATION if pd.isna(value) else interval(value, low, high, digits)


def correlations(table: pd.DataFrame, name: Callable[[Mapping[Any, Any]], str]) -> str:
    """The ``r`` of every row with its interval, in one list; `name` gives the name of a row."""
    return listed(
        f"{name(row)} r = {correlation(row['r'], row['r_low'], row['r_high'])}"
        for row in table.to_dict("records")
    )


def share(mean: float, low: float, high: float) -> str:
    """A share and its 95% interval, in percent."""
    text = interval(100 * mean, 100 * low, 100 * high, 0)
    whole, _, rest = text.partition(" ")
    return text if whole == "–" else f"{whole}% {rest}"


def cells(frame: pd.DataFrame, unit: str = "distinct") -> tuple[list[tuple[str, bool]], list[list[str]]]:
    """Column heads of a table, each with whether its column is numeric, and the rows as text.

    `unit` is the head of ``n_distinct``. An estimate and its interval, such as ``mean, low, high`` or
    ``share, share_low, share_high``, become one column.
    """
    names = list(frame.columns)
    # The bounds of each estimate, by the name of its column. A p value has no interval.
    bounds = {
        names[i - 1]: (names[i], names[i + 1])
        for i, name in enumerate(names)
        if name == "low" and i and names[i - 1] not in P_VALUES
    }
    bounds |= {
        name: (f"{name}_low", f"{name}_high") for name in names if f"{name}_low" in names and name != "rank"
    }
    hidden = {bound for pair in bounds.values() for bound in pair}
    heads: list[tuple[str, bool]] = []
    columns: list[list[str]] = []
    for name in (name for name in names if name not in hidden):
        column = frame[name]
        numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        head = unit if name == "n_distinct" else HEADS.get(name, name.replace("_", " "))
        if name in bounds:
            low, high = bounds[name]
            digits = decimals(column)
            write = correlation if name in CORRELATIONS else interval
            shown = [write(*row, digits) for row in zip(column, frame[low], frame[high], strict=True)]
            if "drawn" in frame.columns:
                # A value that was computed from nothing random needs no interval.
                computed = (frame["drawn"] == "nothing") & column.notna() & frame[low].isna()
                shown = [
                    number(v, digits) if without else text
                    for v, without, text in zip(column, computed, shown, strict=True)
                ]
            head += " [95% interval]"
        elif name in P_VALUES:
            shown = [p_value(value) for value in column]
        elif numeric:
            digits = decimals(column)
            shown = [number(value, digits) for value in column]
            if name in CORRELATIONS:
                shown = [NO_VARIATION if pd.isna(v) else text for v, text in zip(column, shown, strict=True)]
        else:
            shown = [
                "–" if pd.isna(v) else TEXT[bool(v)] if isinstance(v, bool | np.bool_) else str(v)
                for v in column
            ]
        heads.append((head, bool(numeric)))
        columns.append(shown)
    return heads, [list(row) for row in zip(*columns, strict=True)]


def decimals(column: pd.Series) -> int:
    """Number of decimals: 0 for whole numbers, else 1 for large values, 2 for medium ones, 3 for shares."""
    values = column.astype("float64").replace([float("inf"), float("-inf")], float("nan")).dropna()
    if values.empty or ((values % 1) == 0).all():
        return 0
    largest = values.abs().max()
    return 1 if largest >= 10 else 2 if largest > 1.05 else 3
