"""Simulated studies, and the test of `contrasts` on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from grace_client.analysis.inference import holm, tails
from grace_client.analysis.intervals import LEVEL
from grace_client.analysis.power._design import Array, Design
from grace_client.core.errors import SpecError
from grace_client.core.spelling import did_you_mean

STUDIES = 10_000
"""Simulated studies."""
WANTED = 0.8
"""Power of a sensitivity analysis."""

Levels = str | Sequence[str]


def simulate(
    design: Design,
    means: Mapping[str, float],
    contrasts: Mapping[str, tuple[Levels, Levels]],
    *,
    alternative: str = "greater",
    alpha: float = 0.05,
    studies: int = STUDIES,
    seed: int = 0,
) -> pd.DataFrame:
    """Power of planned contrasts: the share of simulated studies in which each is significant.

    Parameters
    ----------
    design : Design
        Items, answers, ways, and the assumed variance.
    means : mapping of str to float
        The assumed mean of each condition, in the unit of the outcome.
    contrasts : mapping of str to pair
        By its name, the greater and the lesser side of each contrast: a condition, or several.
    alternative : {"greater", "two-sided"}
        As in `effects.contrasts`. Of two sides, only results in the assumed direction count, where there is
        one.
    alpha : float
        Level of significance.
    studies : int
        Number of simulated studies.
    seed : int
        Seed of the studies.

    Returns
    -------
    DataFrame
        One row per contrast: ``contrast, difference`` (assumed), ``d_z`` (assumed difference over the
        standard deviation of the items' differences; missing unless the design is `within`), ``power`` and
        its Monte Carlo standard error ``se``, ``power_holm`` and ``se_holm`` (with p values corrected
        over the contrasts), ``items`` (of a condition) and ``studies``.

    Raises
    ------
    SpecError
        If a contrast names a condition without a mean, a side is empty, or both sides are one.

    Notes
    -----
    The test is that of `effects.contrasts` for items with as many answers in all conditions: a paired t test
    of items, or, if each is in one condition, Welch's. Answers are assumed to be normal; those near the
    bounds of a scale have less power.

    Examples
    --------
    Six stories, an effect of .1, and stories whose effects differ with a standard deviation of .1:

    >>> from grace_client.analysis import power
    >>> design = power.Design(items=6, item_condition=0.05, residual=0.05)
    >>> found = power.simulate(design, {"full": 0.6, "partial": 0.5}, {"view": ("full", "partial")})
    >>> found[["contrast", "difference", "power", "se", "items"]].round(3)
      contrast  difference  power     se  items
    0     view         0.1  0.678  0.005      6
    """
    _level(alpha, alternative, studies)
    if not contrasts:
        raise SpecError("contrasts: give at least one, such as {'view': ('full', 'partial')}")
    names = list(means)
    sides = {name: [_places(name, side, names) for side in pair] for name, pair in contrasts.items()}
    values = np.array(list(means.values()), dtype=np.float64)
    y = design.draw(len(names), studies, np.random.default_rng(seed)) + values
    p, right, effects = [], [], []
    for name, (greater, lesser) in sides.items():
        if set(greater) & set(lesser):
            raise SpecError(f"contrast {name!r}: a condition is on both sides. Name it on one")
        effects.append(float(values[greater].mean() - values[lesser].mean()))
        difference, own = _tested(y, greater, lesser, design.within, alternative)
        p.append(own)
        right.append((difference * np.sign(effects[-1]) >= 0) | (alternative == "greater"))
    found = np.stack(p)
    corrected = np.apply_along_axis(holm, 0, found) if len(p) > 1 else found
    rows = []
    for number, (name, (greater, lesser)) in enumerate(sides.items()):
        row: dict[str, object] = {"contrast": name, "difference": effects[number], "d_z": np.nan}
        if design.within:
            row["d_z"] = effects[number] / _spread(design, greater, lesser)
        for end, tests in (("", found), ("_holm", corrected)):
            share = float(((tests[number] < alpha) & right[number]).mean())
            row |= {f"power{end}": share, f"se{end}": float(np.sqrt(share * (1 - share) / studies))}
        rows.append(row | {"items": design.items, "studies": studies})
    return pd.DataFrame(rows)


def sensitivity(
    design: Design,
    *,
    items: Sequence[int] | None = None,
    power: float = WANTED,
    alternative: str = "greater",
    alpha: float = 0.05,
    tests: int = 1,
    studies: int = STUDIES,
    seed: int = 0,
) -> pd.DataFrame:
    """The smallest difference of two conditions that a study finds with a wanted power.

    Parameters
    ----------
    design : Design
        As in `simulate`.
    items : sequence of int, optional
        Numbers of items to try. Default: that of the design.
    power : float
        The wanted share of significant studies.
    alternative, alpha, studies, seed
        As in `simulate`.
    tests : int
        Number of planned contrasts. The level is `alpha` divided by it, which is Holm's for the smallest p.

    Returns
    -------
    DataFrame
        One row per number of items: ``items``, ``smallest`` (difference, in the unit of the outcome) with
        ``low, high`` (95%, of the simulation), ``d_z`` (``smallest`` over the standard deviation of the
        items' differences; missing unless the design is `within`), ``power, alpha`` (of one test) and
        ``studies``.

    Notes
    -----
    In a simulated study with the mean difference m, its error s and the critical value t of Student, an
    effect is found if it is above ``t s - m``. The smallest effect with power .8 is the .8 quantile of these
    over the studies. With two sides, only results in the right direction count.

    Examples
    --------
    What can six stories show, and how much more would twelve or 24?

    >>> from grace_client.analysis import power
    >>> design = power.Design(items=6, item_condition=0.05, residual=0.05)
    >>> found = power.sensitivity(design, items=[6, 12, 24])
    >>> found[["items", "smallest", "d_z"]].round(2)
       items  smallest   d_z
    0      6      0.12  1.19
    1     12      0.08  0.77
    2     24      0.05  0.53
    """
    from scipy import stats

    _level(alpha, alternative, studies)
    if not alpha < power < 1:
        raise SpecError(f"power={power!r}: give a share above alpha and below 1")
    if tests < 1:
        raise SpecError(f"tests={tests!r}: give at least 1")
    level = alpha / tests
    tail = level if alternative == "greater" else level / 2
    rows = []
    for count in [design.items] if items is None else items:
        own = replace(design, items=int(count))
        y = own.draw(2, studies, np.random.default_rng(seed))
        needed = np.sort(_needed(y, own.within, tail))
        ranks = stats.binom.ppf([*tails(LEVEL), 0.5], studies, power).astype(int).clip(0, studies - 1)
        low, high, smallest = (float(needed[rank]) for rank in ranks)
        d_z = smallest / own.spread if own.within else np.nan
        head = {"items": int(count), "smallest": smallest, "low": low, "high": high, "d_z": d_z}
        rows.append(head | {"power": power, "alpha": level, "studies": studies})
    return pd.DataFrame(rows)


def _level(alpha: float, alternative: str, studies: int) -> None:
    if not 0 < alpha < 1:
        raise SpecError(f"alpha={alpha!r}: give a level between 0 and 1")
    if alternative not in ("greater", "two-sided"):
        raise SpecError(f"alternative={alternative!r}: choose 'greater' or 'two-sided'")
    if studies < 100:
        raise SpecError(f"studies={studies!r}: give at least 100")


def _places(contrast: str, side: Levels, names: list[str]) -> list[int]:
    """The numbers of a side's conditions."""
    wanted = [side] if isinstance(side, str) else list(side)
    if not wanted:
        raise SpecError(f"contrast {contrast!r}: a side has no condition")
    if unknown := [one for one in wanted if one not in names]:
        raise SpecError(
            f"contrast {contrast!r}: means has no condition {unknown[0]!r}. {did_you_mean(unknown[0], names)}"
            f"It has {', '.join(names)}"
        )
    return [names.index(one) for one in wanted]


def _spread(design: Design, greater: list[int], lesser: list[int]) -> float:
    """Standard deviation of an item's difference between two sides."""
    return float(design.spread * np.sqrt((1 / len(greater) + 1 / len(lesser)) / 2))


def _tested(
    y: Array, greater: list[int], lesser: list[int], within: bool, alternative: str
) -> tuple[Array, Array]:
    """Difference and p value of every study."""
    from scipy import stats

    if within:
        apart = y[:, :, greater].mean(axis=2) - y[:, :, lesser].mean(axis=2)
        found = stats.ttest_1samp(apart, 0, axis=1, alternative=alternative)
        return apart.mean(axis=1), np.asarray(found.pvalue)
    one, other = (y[:, :, side].reshape(len(y), -1) for side in (greater, lesser))
    found = stats.ttest_ind(one, other, axis=1, equal_var=False, alternative=alternative)
    return one.mean(axis=1) - other.mean(axis=1), np.asarray(found.pvalue)


def _needed(y: Array, within: bool, tail: float) -> Array:
    """The least effect that would be significant in every study."""
    from scipy import stats

    n = y.shape[1]
    if within:
        apart = y[..., 0] - y[..., 1]
        error = apart.std(axis=1, ddof=1) / np.sqrt(n)
        return np.asarray(stats.t.isf(tail, n - 1) * error - apart.mean(axis=1))
    variances = y.var(axis=1, ddof=1) / n
    df = variances.sum(axis=1) ** 2 / (variances**2 / (n - 1)).sum(axis=1)
    mean = y.mean(axis=1)
    return np.asarray(stats.t.isf(tail, df) * np.sqrt(variances.sum(axis=1)) - (mean[:, 0] - mean[:, 1]))
