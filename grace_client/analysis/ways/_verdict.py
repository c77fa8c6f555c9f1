"""Whether an effect holds over ways of asking."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grace_client.analysis._data.layout import WAY, require
from grace_client.analysis._statistics import crossed
from grace_client.analysis.ways._values import BESIDE, factors
from grace_client.core.errors import SpecError
from grace_client.run.layout import WAY_FACTOR
from grace_client.studies.ways import BASE

Array = NDArray[np.float64]


def verdict(
    values: pd.DataFrame,
    items: pd.DataFrame | None = None,
    *,
    smallest: float | None = None,
    neutral: float = 0.0,
) -> pd.DataFrame:
    r"""Whether an effect holds in all ways of asking, and its mean with an interval over ways and items.

    Parameters
    ----------
    values : DataFrame
        As `effects` gives it.
    items : DataFrame, optional
        As `per_item` gives it, of the same effect. Without it there is no interval.
    smallest : float, optional
        Smallest distance from `neutral` that matters. Default: the column ``smallest`` of `values`, if there
        is one.
    neutral : float
        The value without an effect: 0 of a difference, 1/2 of a share of negation.

    Returns
    -------
    DataFrame
        One row per model and effect: ``model``, the keys of the effect; ``n_ways``; ``base`` (value in the
        base way); ``mean`` (over ways, each of which counts the same), ``low, high`` (its 95% interval),
        ``se, df``; ``minimum, median, maximum``; ``same_sign`` (share of the ways in which the effect is on
        the same side of `neutral` as in the base way); ``clears`` (share in which it also is at least as far
        from it as ``smallest``); ``smallest``; ``flips`` (bool: ways lie on both sides);
        ``factor`` (with the largest spread) and ``spread`` (difference between its highest and lowest level,
        the other factors being equal); ``verdict`` (a phrase) and ``reason`` (why a number is missing).

    Raises
    ------
    SpecError
        If a column is missing or `smallest` is negative.

    Notes
    -----
    The interval is that of other items and other ways of asking. The contributions of the items (`per_item`)
    have the variance components :math:`\sigma^2_k` of item, each factor, way and residual, as in
    `components`. With :math:`s_{kl}` the share of the values at level l of component k, the squared error of
    the mean is :math:`V = \sum_k c_k \sigma^2_k` with :math:`c_k = \sum_l s_{kl}^2`, and the interval is
    Student's t with Satterthwaite's :math:`2 V^2 / \mathrm{Var}(V)` degrees of freedom, at least 1. So two
    levels of a factor that matters give a very wide interval: two orders do not show what a third would do.
    Ask in more of its levels. The interval does not stop at the bounds of the outcome.

    In simulations with 12 items (300 studies each), the interval contained the true mean in 92 to 93% of the
    cases with 2 orders and 2 or 6 wordings, 93% with 4 and 3, 95% with 6 and 4, and 97% where nothing but
    single items depended on the way. The interval over items of the base way alone contained it in 18 to 46%.

    References
    ----------
    Satterthwaite, F. E. (1946). An approximate distribution of estimates of variance components. *Biometrics
    Bulletin*, 2(6), 110-114.

    Examples
    --------
    >>> from grace_client.analysis import cell_means, example, ways
    >>> def yes(answers):
    ...     return cell_means(answers, "prob_yes", by=[])
    >>> frame = example.asked("study1")
    >>> found = ways.verdict(ways.effects(frame, yes), ways.per_item(frame, yes), neutral=0.5)
    >>> found[["base", "mean", "minimum", "maximum", "factor", "spread"]].round(2)
       base  mean  minimum  maximum factor  spread
    0  0.62  0.54     0.46     0.62  order    0.13
    >>> found["verdict"][0]
    'is above 0.5 in 2 of 4 ways, depends most on order'
    """
    names = factors(values)
    require(values, ["model", WAY, "value"], "the table of effects")
    if smallest is not None and smallest < 0:
        raise SpecError(f"smallest={smallest}: is a distance, so it cannot be negative")
    keys = ["model", *(n for n in values.columns if n not in {"model", WAY, "value", *BESIDE, *names})]
    if items is not None:
        require(items, [*keys, WAY, "item", "value"], "the table of items")
    rows = []
    for label, own in values.groupby(keys, sort=False, observed=True, dropna=False):
        of_items = None
        if items is not None:
            same = np.ones(len(items), dtype=bool)
            for name, level in zip(keys, label, strict=True):
                same &= (items[name] == level).to_numpy()
            of_items = items[same]
        least = own["smallest"].iloc[0] if smallest is None and "smallest" in own.columns else smallest
        least = np.nan if least is None else float(least)
        rows.append(dict(zip(keys, label, strict=True)) | _verdict(own, of_items, names, least, neutral))
    return pd.DataFrame(rows)


def _verdict(
    own: pd.DataFrame, items: pd.DataFrame | None, names: list[str], smallest: float, neutral: float
) -> dict[str, object]:
    """The verdict of one effect of one model."""
    reasons = []
    known = own[own["value"].notna()]
    if len(known) < len(own):
        reasons.append(f"no value in {len(own) - len(known)} of {len(own)} ways")
    value = known["value"].to_numpy(dtype=np.float64)
    if not len(value):
        reasons.append("no value at all")
        value = np.array([np.nan])
    at_base = known.loc[known[WAY] == BASE, "value"]
    base = float(at_base.iloc[0]) if len(at_base) else np.nan
    side = np.sign((base if base == base else value.mean()) - neutral)
    if base != base:
        reasons.append("no base way, so the sign is that of the mean")
    distance = (value - neutral) * side
    clears = np.nan if np.isnan(smallest) else float((distance >= max(smallest, 1e-300)).mean())
    count = len(known)
    factor, spread = crossed.widest(known, names) if count > 1 else ("", np.nan)
    mean = {"mean": float(value.mean()), "low": np.nan, "high": np.nan, "se": np.nan, "df": np.nan}
    if count < 2:
        reasons.append("one way of asking: nothing shows how far other ways differ, so there is no interval")
    elif items is None:
        reasons.append("no interval without the values of the items")
    else:
        found, reason = crossed.mean_interval(items[items[WAY].isin(set(known[WAY]))], names)
        reasons += [reason] if reason else []
        reach = found["reach"]
        mean |= {
            "low": mean["mean"] - reach,
            "high": mean["mean"] + reach,
            "se": found["se"],
            "df": found["df"],
        }
    flips = bool((value > neutral).any() and (value < neutral).any())
    return {
        "n_ways": count,
        "base": base,
        **mean,
        "minimum": float(value.min()),
        "median": float(np.median(value)),
        "maximum": float(value.max()),
        "same_sign": float((distance > 0).mean()) if count and side else np.nan,
        "clears": clears if count and side else np.nan,
        "smallest": smallest,
        "flips": flips,
        "factor": factor,
        "spread": spread,
        "verdict": _phrase(distance, smallest, factor.removeprefix(WAY_FACTOR), count, side, neutral),
        "reason": "; ".join(reasons),
    }


def _phrase(distance: Array, smallest: float, factor: str, count: int, side: float, neutral: float) -> str:
    if count < 2:
        return "one way of asking" if count else "no value"
    if not side:
        return "no effect in the base way"
    turned = int((distance < 0).sum())
    holds = int((distance >= (smallest if smallest > 0 else 1e-300)).sum())
    if neutral:
        by = f" by {smallest:g} or more" if smallest > 0 and not turned else ""
        text = f"is {'above' if side > 0 else 'below'} {neutral:g}{by} in "
        text += f"{count - turned if turned else holds} of {count} ways"
    elif turned:
        return f"changes its sign in {turned} of {count} ways" + (f", most with {factor}" if factor else "")
    else:
        text = f"holds in {holds} of {count} ways"
    return text + (f", depends most on {factor}" if holds < count and factor else "")
