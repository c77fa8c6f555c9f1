"""Model formulas: a small part of R's language, read without running any of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grace_client.core.errors import NotEnoughDataError, SpecError

Array = NDArray[np.float64]
Term = tuple[str, ...]

ALLOWED = "Write OUTCOME ~ A * B + C:D + (1 | GROUP), with names of columns"
MOST = 200
"""Most columns of a design."""
_NAME = r"[^\W\d]\w*"
_PRODUCT = re.compile(rf"{_NAME}(\s*[:*]\s*{_NAME})*")
_RANDOM = re.compile(rf"\(\s*1\s*\|\s*({_NAME}(?:\s*[:/]\s*{_NAME})*)\s*\)")


@dataclass(frozen=True)
class Formula:
    """A formula.

    Attributes
    ----------
    outcome : str or None
        What stands before ``~``.
    terms : tuple of tuple of str
        The fixed effects without the intercept: the columns of each.
    groups : tuple of tuple of str
        The random intercepts: the columns that make up each group.
    """

    outcome: str | None
    terms: tuple[Term, ...]
    groups: tuple[Term, ...]

    @classmethod
    def read(cls, text: str, column: Callable[[str], str]) -> Formula:
        """A formula from its text; `column` gives the column of a name. SpecError if it cannot be read."""
        left, tilde, right = text.rpartition("~")
        outcome = left.strip() or None
        if len(text) > 1000 or "~" in left or (tilde and outcome and not re.fullmatch(r"\w+", outcome)):
            raise SpecError(f"formula {text[:80]!r} cannot be read. {ALLOWED}")
        groups: dict[Term, None] = {}
        terms: dict[Term, None] = {}
        for match in _RANDOM.finditer(right):
            names = [column(name.strip()) for name in re.split("[:/]", match[1])]
            if "/" in match[1]:
                groups |= dict.fromkeys(tuple(names[:count]) for count in range(1, len(names) + 1))
            else:
                groups[tuple(names)] = None
        for part in _RANDOM.sub("1", right).split("+"):
            part = part.strip()
            if part == "1":
                continue
            if not _PRODUCT.fullmatch(part):
                what = "a random slope or" if "|" in part else ""
                raise SpecError(
                    f"formula {text!r}: {part!r} cannot be read (no {what} other function). {ALLOWED}"
                )
            factors = [tuple(column(name.strip()) for name in one.split(":")) for one in part.split("*")]
            for size in range(1, len(factors) + 1):
                for chosen in combinations(factors, size):
                    terms[tuple(dict.fromkeys(name for one in chosen for name in one))] = None
        ordered = tuple(sorted(terms, key=len))
        known = {frozenset(term) for term in ordered}
        for term in ordered:
            for part_of in combinations(term, len(term) - 1):
                if part_of and frozenset(part_of) not in known:
                    raise SpecError(
                        f"formula {text!r}: {':'.join(term)} needs {':'.join(part_of)} too. Write "
                        + "*".join(term)
                    )
        return cls(outcome, ordered, tuple(groups))

    @property
    def columns(self) -> list[str]:
        """All columns that the formula names, without the outcome."""
        return list(dict.fromkeys(name for one in (*self.terms, *self.groups) for name in one))


def design(
    rows: pd.DataFrame, terms: Sequence[Term], levels: Mapping[str, Sequence[str]], where: str
) -> tuple[list[str], Array]:
    """The columns of the fixed effects: intercept, indicators of levels, numbers, and their products.

    Parameters
    ----------
    rows : DataFrame
        One row per observation.
    terms : sequence of tuple of str
        Columns of each term.
    levels : mapping of str to sequence of str
        Levels of each factor; the first one that the rows have is the base. Other columns are numbers.
    where : str
        For messages: what the rows are.

    Returns
    -------
    names : list of str
        Such as ``amount[most]:tense[past]``.
    matrix : ndarray, shape (n, k)

    Raises
    ------
    NotEnoughDataError
        If terms cannot be told apart, because combinations of levels have no rows.
    """
    single: dict[str, dict[str, Array]] = {}
    for name in dict.fromkeys(name for term in terms for name in term):
        column = rows[name]
        if name in levels:
            there = [level for level in levels[name] if (column == level).any()]
            if len(there) < 2:
                raise NotEnoughDataError(f"{where}: {name} has one level only ({', '.join(there)})")
            single[name] = {
                f"{name}[{one}]": np.asarray(column == one, dtype=np.float64) for one in there[1:]
            }
        else:
            single[name] = {name: column.to_numpy(dtype=np.float64)}
    found = {"intercept": np.ones(len(rows))}
    for term in terms:
        products = {"": np.ones(len(rows))}
        for name in term:
            products = {
                f"{before}:{own}".lstrip(":"): values * more
                for before, values in products.items()
                for own, more in single[name].items()
            }
        found |= products
        if len(found) > MOST:
            raise SpecError(f"the formula has more than {MOST} terms. Leave some out")
    matrix = np.column_stack(list(found.values()))
    if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        raise NotEnoughDataError(
            f"{where}: {len(rows)} observations cannot tell the {matrix.shape[1]} terms apart: some "
            "combination of levels has none. Leave out interactions, or levels"
        )
    return list(found), matrix
