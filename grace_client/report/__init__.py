"""One page about one or many runs: what was asked, how good the answers are, what they say."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from grace_client.core import paths
from grace_client.report import section_process
from grace_client.report.sections import comparability

__all__ = ["Report", "write"]

MOST_WORKERS = 4
"""Processes that compute and draw at a time; there are hardly more large sections."""


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes
    ----------
    page : Path
        The page.
    models, experiments : list of str
        What it is about.
    summary : list of str
        The sentences at its head.
    figures, tables : list of Path
        Files beside it, where they were asked for.
    faults : list of str
        What an error of grace keeps off the page, a sentence each; they are in the summary too.
    """

    page: Path
    models: list[str]
    experiments: list[str]
    summary: list[str]
    figures: list[Path]
    tables: list[Path]
    faults: list[str]


def write(
    runs: Sequence[Path],
    out: Path,
    *,
    figures: Path | None = None,
    tables: Path | None = None,
    nrp: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Write the report of runs.

    Parameters
    ----------
    runs : sequence of Path
        Run folders, or folders of run folders; any experiments, one model or many.
    out : Path
        The page, HTML. It holds everything it needs.
    figures, tables : Path, optional
        Folders for the figures (SVG, PDF, PNG) and the tables (CSV) alone.
    nrp : bool
        Whether the runs were made on the National Research Platform, which asks to be acknowledged.
    say : callable
        Called with a line about what is being done.

    Returns
    -------
    Report

    Raises
    ------
    SpecError
        Where a run cannot be trusted; it names run and reason. What answers are too few for, and what an
        error of grace keeps from being computed, raises nothing: a sentence stands in its place.
    """
    from grace_client.report import page
    from grace_client.report import runs as material

    # Before anything is computed.
    paths.check_file(out)
    for folder in filter(None, (figures, tables)):
        paths.check_folder(folder)
    say("reading the runs")
    found = material.load(runs)
    made = _made(section_process.Order(found, figures, nrp), say)
    sections = [one.section for one in made]
    drawings = {name: svg for one in made for name, svg in one.drawings.items()}
    written = {"figures": [path for one in made for path in one.files], "tables": list[Path]()}
    for table in (table for section in sections for table in section.tables):
        if tables is not None:
            path = tables / f"{table.name}.csv"
            with paths.replacing(path) as new:
                new.write_bytes(page.csv(table))
            written["tables"].append(path)
    dates = sorted({manifest.created[:10] for manifest in found.manifests.values()})
    span = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    html = page.render(
        f"Report on {found.models[0] if len(found.models) == 1 else f'{len(found.models)} models'}",
        " · ".join([", ".join(found.models), ", ".join(found.frames), f"runs of {span}"]),
        sections,
        drawings,
        comparability.ONE_WAY,
    )
    with paths.replacing(out) as new:
        new.write_text(html, encoding="utf-8")
    summary = [comparability.ONE_WAY, *(sentence for section in sections for sentence in section.summary)]
    faults = [fault for section in sections for fault in section.faults]
    return Report(out, found.models, list(found.frames), summary, **written, faults=faults)


def _made(order: section_process.Order, say: Callable[[str], None]) -> list[section_process.Made]:
    """All sections that there are, in their order; of several models computed and drawn side by side."""
    made: dict[str, section_process.Made | None] = {}

    def done(name: str, one: section_process.Made | None) -> None:
        made[name] = one
        if one is not None:
            say(f"{one.section.title}: {len(one.drawings)} figures, {len(one.section.tables)} tables")

    workers = min(os.cpu_count() or 1, MOST_WORKERS, len(order.found.models))
    if workers == 1:
        # One model takes hardly longer than another process takes to begin.
        section_process.take(order)
        for name in section_process.NAMES:
            done(name, section_process.make(name))
    else:
        # New processes rather than copies of this one: copies of processes with threads may hang.
        context = multiprocessing.get_context("spawn")
        # There are as many as cores, so that threads of each would only be in the others' way.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        with ProcessPoolExecutor(workers, context, section_process.take, (order,)) as pool:
            jobs = {pool.submit(section_process.make, name): name for name in section_process.LONGEST_FIRST}
            for job in as_completed(jobs):
                done(jobs[job], job.result())
    return [one for name in section_process.NAMES if (one := made[name]) is not None]
