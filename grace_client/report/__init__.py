"""The report: one page on the quality of the answers, the results and the methods of one or many runs."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from grace_client.core import paths
from grace_client.report import format, section_process
from grace_client.report.sections import ways

__all__ = ["Report", "write"]

MOST_WORKERS = 4
"""Most processes at a time. More would not help: few sections are large."""


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes
    ----------
    page : Path
        The page.
    models, experiments : list of str
        The models and experiments on the page.
    summary : list of str
        The sentences of its summary.
    figures, tables : list of Path
        Figures and tables as files; empty unless `write` got a folder for them.
    failed : list of str
        A sentence on each part that is missing although there are enough answers, such as a planned contrast
        of a level that does not exist.
    faults : list of str
        A sentence on each part that is missing because of an error in grace. The summary has them too.
    """

    page: Path
    models: list[str]
    experiments: list[str]
    summary: list[str]
    figures: list[Path]
    tables: list[Path]
    failed: list[str]
    faults: list[str]


def write(
    runs: Sequence[Path],
    out: Path,
    *,
    figures: Path | None = None,
    tables: Path | None = None,
    people: Path | None = None,
    nrp: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Write the report of runs.

    Parameters
    ----------
    runs : sequence of Path
        Run folders, or folders of run folders; any experiments, one model or many.
    out : Path
        The page, HTML. It needs no other file.
    figures, tables : Path, optional
        Folders to which the figures (SVG, PDF, PNG) and the tables (CSV) are written as files too.
    people : Path, optional
        Answers of people: a table, or a file that says what its columns mean.
    nrp : bool
        Whether the runs used the National Research Platform; if so, the page acknowledges it.
    say : callable
        Called with a line of text at each step.

    Returns
    -------
    Report

    Raises
    ------
    SpecError
        If a run or the answers of people cannot be trusted; the message names the run and the reason. A part
        of the page that needs more answers, or fails because of an error in grace, raises nothing: the page
        has a sentence instead.
    """
    from grace_client.report import page
    from grace_client.report.runs import load

    # Before anything is computed.
    paths.check_file(out)
    for folder in filter(None, (figures, tables)):
        paths.check_folder(folder)
    say("reading the runs")
    data = load(runs, people)
    drawn = _draw_all(section_process.Job(data, figures, nrp), say)
    sections = [one.section for one in drawn]
    table_files = []
    for table in (table for section in sections for table in section.tables if tables is not None):
        path = Path(tables or "") / f"{table.name}.csv"
        with paths.replacing(path) as new:
            new.write_bytes(page.csv(table))
        table_files.append(path)
    dates = sorted({manifest.created[:10] for manifest in data.manifests.values()})
    span = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    caution = ways.caution(data)
    html = page.render(
        f"Report on {data.models[0] if len(data.models) == 1 else f'{len(data.models)} models'}",
        " · ".join([", ".join(data.models), ", ".join(data.frames), f"runs of {span}"]),
        sections,
        {name: svg for one in drawn for name, svg in one.drawings.items()},
        caution,
    )
    with paths.replacing(out) as new:
        new.write_text(html, encoding="utf-8")
    return Report(
        out,
        data.models,
        list(data.frames),
        [caution, *(sentence for section in sections for sentence in section.summary)],
        [path for one in drawn for path in one.files],
        table_files,
        [sentence for section in sections for sentence in section.failed],
        [fault for section in sections for fault in section.faults],
    )


def _draw_all(job: section_process.Job, say: Callable[[str], None]) -> list[section_process.DrawnSection]:
    """All sections, in their order. With several models, processes draw them in parallel."""
    drawn: dict[str, section_process.DrawnSection] = {}

    def done(name: str, result: section_process.DrawnSection | None) -> None:
        if result is not None:
            drawn[name] = result
            counts = (("figure", len(result.drawings)), ("table", len(result.section.tables)))
            say(f"{result.section.title}: {', '.join(format.plural(count, noun) for noun, count in counts)}")

    workers = min(os.cpu_count() or 1, MOST_WORKERS, len(job.data.models))
    if workers == 1:
        # For one model, starting a process takes longer than the work itself.
        section_process.start(job)
        for name in section_process.names(job.data):
            done(name, section_process.draw(name))
    else:
        # "spawn" and not "fork": a forked process with threads may hang.
        context = multiprocessing.get_context("spawn")
        # There are as many processes as cores; more threads would slow them down.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        with ProcessPoolExecutor(workers, context, section_process.start, (job,)) as pool:
            order = section_process.longest_first(job.data)
            jobs = {pool.submit(section_process.draw, name): name for name in order}
            for future in as_completed(jobs):
                done(jobs[future], future.result())
    return [drawn[name] for name in section_process.names(job.data) if name in drawn]
