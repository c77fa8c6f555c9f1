"""Sections, tables and figures of a report, before they are a page."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from grace_client.core.errors import GraceError, NotEnoughDataError

FOLDED = 30
"""The page folds a table with more rows than this."""
PRINTED = 150
"""A table with more rows than this is not printed."""
RAISE = "GRACE_REPORT_RAISE"
"""Environment variable: if set, an error in grace ends the report. Tests set it."""


class Review(str):
    """A sentence that asks the reader to check something before using the results."""


@dataclass(frozen=True)
class Table:
    """A table of the page, and its CSV file.

    Attributes
    ----------
    name : str
        Unique in the report; the file's name.
    title : str
        Its caption.
    frame : DataFrame
        All rows and columns.
    note : str
        Explains the columns.
    long : bool
        Whether it is folded on the page. A table of more than `FOLDED` rows always is.
    hidden : tuple of str
        Columns that are in the file only.
    unit : str
        What the column ``n_distinct`` counts; the page shows it as the head of that column.
    """

    name: str
    title: str
    frame: pd.DataFrame
    note: str = ""
    long: bool = False
    hidden: tuple[str, ...] = ()
    unit: str = "distinct"

    @property
    def folded(self) -> bool:
        """Whether the page shows it only when unfolded."""
        return self.long or len(self.frame) > FOLDED

    @property
    def printed(self) -> bool:
        """Whether it is printed. A long table would fill many sheets."""
        return len(self.frame) <= PRINTED

    @property
    def shown(self) -> pd.DataFrame:
        """The columns on the page: without the hidden ones, and without the model if there is only one."""
        omitted = {*self.hidden, "se"}
        if "model" in self.frame.columns and self.frame["model"].nunique() == 1 and len(self.frame) > 1:
            omitted.add("model")
        return self.frame[[name for name in self.frame.columns if name not in omitted]]


@dataclass(frozen=True)
class Figure:
    """A figure of the page, and its files.

    Attributes
    ----------
    name : str
        Unique in the report; the file's name.
    title : str
        Its caption.
    alt : str
        What it shows, for readers who cannot see it.
    draw : callable or None
        Returns the plotnine figure; None once it has been drawn.
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
    lost : list of str
        Parts that cannot be computed from these answers.
    failed : list of str
        A sentence on each of these that no other answers would make possible: the study file plans what does
        not exist.
    faults : list of str
        A sentence on each part that could not be computed because of an error in grace.
    """

    name: str
    title: str
    summary: list[str] = field(default_factory=list)
    content: list[str | Table | Figure] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @contextmanager
    def block(self, what: str) -> Iterator[None]:
        """Add a part of the section or, where it cannot be computed, a sentence that says why.

        Parameters
        ----------
        what : str
            The part, as the subject of that sentence, such as "The table of contrasts".
        """
        before = len(self.content), len(self.summary)
        try:
            yield
        except Exception as error:
            del self.content[before[0] :], self.summary[before[1] :]
            self.content.append(self.explain(what, error))

    def explain(self, what: str, error: Exception) -> str:
        """Note that a part could not be computed; return the sentence that replaces it on the page."""
        # A full disk is not an error of the section. Tests must see every error except too few answers.
        if isinstance(error, OSError | MemoryError) or (
            os.environ.get(RAISE) and not isinstance(error, NotEnoughDataError)
        ):
            raise error
        if isinstance(error, GraceError):
            self.lost.append(what)
            sentence = f"{what} could not be computed: {str(error).rstrip('.')}."
            if not isinstance(error, NotEnoughDataError):
                self.failed.append(sentence)
            return sentence
        last = traceback.extract_tb(error.__traceback__)[-1]
        self.faults.append(
            Review(
                f"Review: {what} could not be computed because of an error in grace "
                f"({type(error).__name__}: {error}; {Path(last.filename).name}, line {last.lineno})."
            )
        )
        return self.faults[-1]

    @property
    def tables(self) -> list[Table]:
        """Its tables, in order."""
        return [item for item in self.content if isinstance(item, Table)]

    @property
    def figures(self) -> list[Figure]:
        """Its figures, in order."""
        return [item for item in self.content if isinstance(item, Figure)]
