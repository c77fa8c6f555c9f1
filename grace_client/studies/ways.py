"""Ways of asking: factors with levels, and the designs that combine them."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from itertools import product

from grace_client.core.errors import SpecError

Way = Mapping[str, str]
"""One way of asking: the level of each factor, in the order of the study file."""

Factors = Mapping[str, tuple[str, ...]]
"""Factors with their levels; the first level of each is the base."""

MAX_WAYS = 500
"""Most ways of asking in one run."""

DESIGNS = "one-by-one, full, latin, random-K or random-K-SEED"
_DESIGN = re.compile(
    r"(?P<name>one-by-one|full|latin|random-(?P<count>\d{1,4})(?:-(?P<seed>\d{1,9}))?)(?::(?P<factors>.+))?"
)

BASE = "base"
"""Label of the way in which nothing is varied."""


def base(factors: Factors) -> dict[str, str]:
    """The way in which the experiment is asked without a design."""
    return {name: levels[0] for name, levels in factors.items()}


def label(way: Way, start: Way) -> str:
    """A short name: the levels that differ from the base `start`, such as ``"order=reversed, cue=colon"``."""
    return ", ".join(f"{name}={level}" for name, level in way.items() if level != start[name]) or BASE


def design(factors: Factors, given: str) -> tuple[dict[str, str], ...]:
    """The ways of asking of a design, the base first.

    Parameters
    ----------
    factors : mapping of str to tuple of str
        All factors with their levels.
    given : str
        ``one-by-one``: the base, and every other level of each factor alone. ``full``: every combination.
        ``latin``: a balanced fraction of them, in which any two levels of different factors meet.
        ``random-K`` or ``random-K-SEED``: the base and K other combinations, drawn without replacement. A
        colon and names restrict it to some factors, as in ``full:order,wording``.

    Returns
    -------
    tuple of dict
        Each has a level for every factor.

    Raises
    ------
    SpecError
        If the design or a factor is unknown, or if there would be more than `MAX_WAYS` ways.
    """
    found = _DESIGN.fullmatch(given)
    if found is None:
        raise SpecError(f"--ways {given}: a design is {DESIGNS}. 'full:order,cue' crosses only two factors")
    names = found["factors"].split(",") if found["factors"] else list(factors)
    for name in names:
        if name not in factors:
            known = ", ".join(factors) or "none"
            raise SpecError(
                f"--ways {given}: {name!r} is not a way in which this can be asked. There are: {known}"
            )
    if not names:
        raise SpecError(
            "--ways: this experiment has no ways of asking. Declare them as 'ways' in the study file"
        )
    if len(set(names)) < len(names):
        raise SpecError(f"--ways {given}: names a factor twice")
    varied = {name: levels for name, levels in factors.items() if name in names}
    start = base(factors)
    made = [start | one for one in _combined(varied, found)]
    distinct = list({tuple(one.items()): one for one in (start, *made)}.values())
    if len(distinct) > MAX_WAYS:
        raise SpecError(f"--ways {given}: has {len(distinct)} ways, and a run has at most {MAX_WAYS}")
    return tuple(distinct)


def _combined(varied: Factors, found: re.Match[str]) -> list[dict[str, str]]:
    sizes = [len(levels) for levels in varied.values()]
    every = 1
    for size in sizes:
        every *= size
    if found["name"] == "one-by-one":
        return [{name: level} for name, levels in varied.items() for level in levels[1:]]
    if found["name"] == "latin":
        return [_named(varied, row) for row in latin(sizes)]
    if found["name"] == "full":
        if every > MAX_WAYS:
            raise SpecError(
                f"--ways full: there are {every} combinations, and a run has at most {MAX_WAYS}. Use latin "
                "or random-K, or name some factors: full:order,cue"
            )
        return [dict(zip(varied, levels, strict=True)) for levels in product(*varied.values())]
    count = int(found["count"])
    if not 0 < count < every:
        raise SpecError(
            f"--ways {found[0]}: there are {every - 1} ways beside the base. Write a number from 1 to that"
        )
    drawn = random.Random(int(found["seed"] or 0)).sample(range(1, every), count)
    return [_named(varied, _digits(number, sizes)) for number in sorted(drawn)]


def _named(varied: Factors, row: Sequence[int]) -> dict[str, str]:
    return {name: levels[place] for (name, levels), place in zip(varied.items(), row, strict=True)}


def _digits(number: int, sizes: Sequence[int]) -> list[int]:
    """A number in a system whose digits have these sizes, the first the slowest."""
    places = []
    for size in reversed(sizes):
        number, place = divmod(number, size)
        places.append(place)
    return places[::-1]


def latin(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """A fraction of a full crossing in which any two levels of two factors meet.

    Bose's orthogonal array OA(p², k, p, 2), from the p - 1 mutually orthogonal Latin squares of a prime order
    p: the smallest with p ≥ every size and p ≥ k - 1. Factors with fewer than p levels use some of them more
    than once.

    Parameters
    ----------
    sizes : sequence of int
        Number of levels of each factor.

    Returns
    -------
    list of tuple of int
        A level of each factor in every row, from 0; the first row is all zeros, and no row occurs twice.
    """
    order = max(2, *sizes, len(sizes) - 1)
    while any(order % divisor == 0 for divisor in range(2, order)):
        order += 1
    rows = []
    for row, column in product(range(order), repeat=2):
        symbols = [column, *((row + step * column) % order for step in range(order))]
        rows.append(tuple(symbol % size for symbol, size in zip(symbols, sizes, strict=False)))
    return list(dict.fromkeys(rows))


# --- Orders of the listed options ------------------------------------------------------------------------


ORDER = re.compile(r"listed|reversed|balanced|rotated-[1-9]\d{0,2}|random-\d{1,9}")


def arranged(count: int, order: str, trial_id: int, stimulus: str) -> list[int]:
    """The order in which a prompt lists options.

    Parameters
    ----------
    count : int
        Number of options.
    order : str
        ``listed``; ``reversed``; ``rotated-K``: begin with option K + 1; ``balanced``: rotated by one more in
        each trial; ``random-SEED``: shuffled, in the same way for the same stimulus.
    trial_id : int
        Number of the trial, from 1.
    stimulus : str
        Text of the stimulus.

    Returns
    -------
    list of int
        Numbers of the options, from 0.
    """
    places = list(range(count))
    kind, _, number = order.partition("-")
    if kind == "reversed":
        return places[::-1]
    if kind == "random":
        seed = hashlib.sha256(f"{number}\0{stimulus}".encode()).digest()
        random.Random(seed).shuffle(places)
        return places
    step = {"rotated": int(number or 0), "balanced": trial_id - 1}.get(kind, 0) % count
    return places[step:] + places[:step]
