"""What a report is made of, before it is a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

FOLDED = 30
"""Rows of a table that the page shows at once."""
PRINTED = 150
"""Rows of a table that goes on paper, folded or not."""


@dataclass(frozen=True)
class Table:
    """A table of the page, and a CSV file to take away.

    Attributes
    ----------
    name : str
        Unique in the report; the file's name.
    title : str
        Its caption.
    frame : DataFrame
        What the file holds, whole.
    note : str
        What a reader should know of its columns.
    long : bool
        Whether it is folded away until it is asked for; a table of more than `FOLDED` rows is in any case.
    hidden : tuple of str
        Columns that are in the file alone.
    """

    name: str
    title: str
    frame: pd.DataFrame
    note: str = ""
    long: bool = False
    hidden: tuple[str, ...] = ()

    @property
    def folded(self) -> bool:
        """Whether the page shows it when asked alone."""
        return self.long or len(self.frame) > FOLDED

    @property
    def printed(self) -> bool:
        """Whether it goes on paper; a longer one would fill sheets that nobody reads."""
        return len(self.frame) <= PRINTED

    @property
    def shown(self) -> pd.DataFrame:
        """What the page shows: without hidden columns, and without a model where there is one alone."""
        away = {*self.hidden, "se"}
        if "model" in self.frame.columns and self.frame["model"].nunique() == 1 and len(self.frame) > 1:
            away.add("model")
        return self.frame[[name for name in self.frame.columns if name not in away]]


@dataclass(frozen=True)
class Figure:
    """A figure of the page, and a file to take away.

    Attributes
    ----------
    name : str
        Unique in the report; the file's name.
    title : str
        Its caption.
    alt : str
        What it shows, for who cannot see it.
    draw : callable or None
        Makes the plotnine figure; None when that is done.
    """

    name: str
    title: str
    alt: str
    draw: Callable[[], Any] | None


@dataclass
class Section:
    """A part of the page.

    Attributes
    ----------
    name : str
        Its anchor.
    title : str
        Its heading.
    summary : list of str
        Sentences for the summary at the head of the page.
    content : list of str, Table or Figure
        In order; a str is a paragraph.
    """

    name: str
    title: str
    summary: list[str] = field(default_factory=list)
    content: list[str | Table | Figure] = field(default_factory=list)

    @property
    def tables(self) -> list[Table]:
        """Its tables, in order."""
        return [item for item in self.content if isinstance(item, Table)]

    @property
    def figures(self) -> list[Figure]:
        """Its figures, in order."""
        return [item for item in self.content if isinstance(item, Figure)]
