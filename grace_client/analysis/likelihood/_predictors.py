"""What predicts choices without a model: equal chances, shares of other choices, and other people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from grace_client.analysis.likelihood._choices import ITEM, Array, Choices, Predicted, tally
from grace_client.core import measures
from grace_client.core.errors import SpecError
from grace_client.core.spelling import did_you_mean

ADDED = 1.0
"""Choices that an estimated share begins with, spread evenly over the outcomes (Perks, 1947).

Without them, an outcome that nobody else chose would be impossible.
"""
LEAST_FOR_SHARE = 5
"""Fewest choices for each free share that is estimated from them.

Each estimated share costs its predictions about ``1 / (2 n)`` nats per choice (Rissanen, 1986). With five
choices for each share the cost is 0.1 nats, as much as models may differ by. It is also the old rule that
a cell of a table should expect five cases.
"""
SPLITS = 100
"""Random halves of the people."""

PEOPLE = "people on people"


@dataclass(frozen=True)
class Row:
    """A predictor of the choices.

    Attributes
    ----------
    kind, name : str
        ``baseline``, ``model``, ``theory`` or ``people``, and its name.
    loss : ndarray, shape (n_choices,)
        ``-ln(prob)`` of each choice, in nats.
    bounds : pair of float
        Least and largest loss that a choice could have.
    left_out : Series
        Mean loss without each of the model's own items, by item; empty if the choices have items, or it none.
    noise : float
        Of people: what estimating their shares costs, in nats per choice.
    reason : str
        Why there is no number; empty if there is one.
    """

    kind: str
    name: str
    loss: Array
    bounds: tuple[float, float]
    left_out: pd.Series[float] = field(default_factory=lambda: pd.Series(dtype=np.float64))
    noise: float = float("nan")
    reason: str = ""


def of_model(people: Choices, one: Predicted) -> Row:
    """The row of a model or a theory."""
    loss, bounds = _losses(people, one.prob)
    if one.left_out is None:
        return Row(one.kind, one.name, loss, bounds)
    means = [float(_losses(people, prob)[0].mean()) for prob in one.left_out]
    return Row(one.kind, one.name, loss, bounds, pd.Series(means, index=list(one.items)))


def baselines(people: Choices, ignoring: Sequence[str | Sequence[str]] | None) -> Iterator[Row]:
    """Uniform, marginal, and for each condition the shares of those who ignore it."""
    size = len(people.outcomes)
    loss, bounds = _losses(people, np.full((len(people.cells), size), 1 / size))
    yield Row("baseline", "uniform", loss, bounds)
    yield _others(people, [], "marginal")
    for ignored in [[key] for key in people.keys] if ignoring is None else map(_names, ignoring):
        ignored = [ITEM if name == "item" and ITEM in people.keys else name for name in ignored]
        if unknown := [name for name in ignored if name not in people.keys]:
            known = [_plain(key) for key in people.keys]
            raise SpecError(
                f"ignoring={unknown[0]!r} is none of the keys. {did_you_mean(unknown[0], known)}"
                f"They are {', '.join(known)}"
            )
        kept = [key for key in people.keys if key not in ignored]
        if not kept and ignoring is None:
            continue  # it would be the marginal once more
        named = " and ".join(map(_plain, ignored))
        yield _others(people, kept, f"blind to {named}")
        yield _fitted(people, kept, f"blind to {named}, fitted")


def ceiling(people: Choices, splits: int, seed: int) -> Row:
    """How well one half of the people predicts the other half, the mean over random halves."""
    shape = people.counts.shape
    if reason := _scarce(len(people.cells), shape[1], len(people.cell) / 2, "from half of the people"):
        return _nothing(people, "people", PEOPLE, reason)
    units, own = np.unique(people.own, return_inverse=True)
    if len(units) < 2:
        return _nothing(people, "people", PEOPLE, "all choices are of one person")
    generator = np.random.default_rng(seed)
    loss = np.zeros(len(people.cell))
    place = np.arange(len(units)) < len(units) // 2
    for _ in range(splits):
        first = generator.permutation(place)[own]
        half = tally(people.cell, people.chosen, shape, first.astype(np.float64))
        for counts, predicted in ((half, ~first), (people.counts - half, first)):
            prob = _smoothed(counts)
            loss[predicted] -= np.log(prob[people.cell[predicted], people.chosen[predicted]])
    loss /= splits
    noise = float(loss.mean()) - entropy(people)
    return Row("people", PEOPLE, loss, _wide(_smoothed(people.counts), loss), noise=noise)


def entropy(people: Choices) -> float:
    """Estimated entropy of the choices of a cell, in nats: the mean over choices, by the jackknife.

    The entropy of the shares of a sample is too low. Each person (each choice, where nobody knows them) is
    left out in turn.

    References
    ----------
    Zahl, S. (1977). Jackknifing an index of diversity. *Ecology*, 58(4), 907-913.
    """
    shape = people.counts.shape
    if people.person is None:
        # Equal choices in a cell are left out at once.
        cell, chosen = np.nonzero(people.counts)
        times = people.counts[cell, chosen]
        without = people.counts[cell]
        without[np.arange(len(cell)), chosen] -= 1
    else:
        pair, number = np.unique(np.stack([people.person, people.cell]), axis=1, return_inverse=True)
        cell, times = pair[1], np.ones(pair.shape[1])
        without = people.counts[cell] - tally(number.ravel(), people.chosen, (len(times), shape[1]))
    units = np.bincount(cell, weights=times, minlength=shape[0])
    left = without.sum(axis=1) > 0
    others = np.zeros(len(cell))
    others[left] = _entropy(without[left])
    mean = np.bincount(cell, weights=times * others, minlength=shape[0]) / units
    whole = _entropy(people.counts)
    return float(np.average(units * whole - (units - 1) * mean, weights=people.counts.sum(axis=1)))


def _entropy(counts: Array) -> Array:
    bits = measures.entropy(counts / counts.sum(axis=-1, keepdims=True))
    return np.asarray(bits * np.log(2))


def _others(people: Choices, keys: Sequence[str], name: str) -> Row:
    """Shares of the choices of other people, in groups that differ in `keys`."""
    group = people.group(keys)
    mine = group[people.cell]
    size = len(people.outcomes)
    counts = tally(mine, people.chosen, (int(group.max()) + 1, size))
    own = people.own
    if people.person is not None:
        own = np.unique(np.stack([own, mine]), axis=1, return_inverse=True)[1].ravel()
    same = tally(own, people.chosen, (int(own.max()) + 1, size))
    others = counts.sum(axis=1)[mine] - same.sum(axis=1)[own]
    if reason := _scarce(len(counts), size, _typical(others, len(counts)), "from other people"):
        return _nothing(people, "baseline", name, reason)
    top = counts[mine, people.chosen] - same[own, people.chosen] + ADDED / size
    loss = -np.log(top / (others + ADDED))
    return Row("baseline", name, loss, _wide(_smoothed(counts), loss))


def _typical(others: Array, groups: int) -> float:
    """Choices that all groups' shares are estimated from, if each were as large as that of a usual choice."""
    return groups / float((1 / np.maximum(others, ADDED)).mean())


def _fitted(people: Choices, keys: Sequence[str], name: str) -> Row:
    """Shares of these very choices: no prediction that is the same in each group can be better."""
    group = people.group(keys)
    counts = tally(group[people.cell], people.chosen, (int(group.max()) + 1, len(people.outcomes)))
    if reason := _scarce(counts.shape[0], counts.shape[1], len(people.cell), "from all people"):
        return _nothing(people, "baseline", name, reason)
    prob = counts / counts.sum(axis=1, keepdims=True)
    loss = -np.log(prob[group[people.cell], people.chosen])
    return Row("baseline", name, loss, _wide(_smoothed(counts), loss))


def _scarce(groups: int, outcomes: int, choices: float, whence: str) -> str:
    """Why shares cannot be estimated; empty if they can."""
    free = groups * (outcomes - 1)
    if choices >= LEAST_FOR_SHARE * free:
        return ""
    return (
        f"{choices:.0f} choices for {free} shares ({groups} groups, {outcomes} outcomes), estimated "
        f"{whence}: fewer than {LEAST_FOR_SHARE} for each"
    )


def _nothing(people: Choices, kind: str, name: str, reason: str) -> Row:
    loss = np.full(len(people.cell), np.nan)
    return Row(kind, name, loss, (float("nan"), float("nan")), reason=reason)


def _smoothed(counts: Array) -> Array:
    return np.asarray((counts + ADDED / counts.shape[1]) / (counts.sum(axis=1, keepdims=True) + ADDED))


def _losses(people: Choices, prob: Array) -> tuple[Array, tuple[float, float]]:
    with np.errstate(divide="ignore"):
        table = -np.log(prob)
    # Not -0.0 for what was certain.
    table = np.abs(table)
    return table[people.cell, people.chosen], (float(table.min()), float(table.max()))


def _wide(prob: Array, loss: Array) -> tuple[float, float]:
    """Bounds of losses whose probabilities differ a little from choice to choice."""
    table = -np.log(prob)
    return float(min(table.min(), loss.min())), float(max(table.max(), loss.max()))


def _names(one: str | Sequence[str]) -> list[str]:
    return [one] if isinstance(one, str) else list(one)


def _plain(key: str) -> str:
    return "item" if key == ITEM else key
