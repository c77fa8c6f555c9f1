"""Invented values with known variances, as a model with a known order bias, effect and noise would give."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

EFFECT = 0.2
"""How much higher the value is in the second condition."""
SD = {
    **{"item": 0.1, "item:condition": 0.05, "order": 0.15, "wording": 0.05, "way": 0.02},
    **{"order:condition": 0.06, "wording:condition": 0.03, "item:way": 0.04, "residual": 0.03},
}
"""Standard deviation of each component."""
NOISE = 0.02
"""That of the engine's noise."""
FACTORS = ["way_order", "way_wording"]


def values(
    seed: int,
    *,
    orders: int = 4,
    wordings: int = 3,
    items: int = 12,
    conditions: tuple[str, ...] = ("few", "most"),
) -> pd.DataFrame:
    """A value for each item, condition and way."""
    generator = np.random.default_rng(seed)
    drawn: dict[tuple[object, ...], float] = {}

    def own(component: str, *level: object) -> float:
        key = (component, *level)
        if key not in drawn:
            drawn[key] = float(generator.normal(0, SD[component]))
        return drawn[key]

    rows = []
    for order, wording in product(range(orders), range(wordings)):
        changed = [f"order=o{order}"] * (order > 0) + [f"wording=w{wording}"] * (wording > 0)
        for item, condition in product(range(items), conditions):
            parts = [own("item", item), own("item:condition", item, condition), own("order", order)]
            parts += [own("wording", wording), own("way", order, wording)]
            parts += [own("order:condition", order, condition), own("wording:condition", wording, condition)]
            parts += [own("item:way", item, order, wording), generator.normal(0, SD["residual"])]
            value = 0.4 + EFFECT * (condition == "most") + sum(parts) + generator.normal(0, NOISE)
            way = ", ".join(changed) or "base"
            rows.append(("m", way, f"o{order}", f"w{wording}", f"i{item}", condition, value))
    columns = ["model", "way", *FACTORS, "item", "condition", "value"]
    return pd.DataFrame(rows, columns=columns)


def differences(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The effect of the condition in each way, and of each item in each way."""
    keys = ["model", "way", *FACTORS]
    wide = table.pivot_table(index=[*keys, "item"], columns="condition", values="value", sort=False)
    items = (wide["most"] - wide["few"]).rename("value").reset_index()
    return items.groupby(keys, sort=False)["value"].mean().reset_index(), items
