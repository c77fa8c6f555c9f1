"""One page about one or many runs: what was asked, how good the answers are, what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from grace_client import paths

__all__ = ["Report", "write"]


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
    """

    page: Path
    models: list[str]
    experiments: list[str]
    summary: list[str]
    figures: list[Path]
    tables: list[Path]


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
        Where a run cannot be trusted; it names run and reason.
    """
    from grace_client.analysis import figures as drawing
    from grace_client.report import material, methods, models, page, quality, study1, study2

    say("reading the runs")
    found = material.load(runs)
    say("computing the tables")
    parts = [
        quality.section(found),
        study1.scored(found),
        study1.free(found),
        study2.scored(found),
        study2.free(found),
        study2.judgements(found),
        models.comparison(found),
        models.agreement(found),
        methods.section(found, nrp=nrp),
    ]
    sections = [section for section in parts if section is not None]
    drawings: dict[str, str] = {}
    written: dict[str, list[Path]] = {"figures": [], "tables": []}
    wanted = [figure for section in sections for figure in section.figures]
    for i, figure in enumerate(wanted, start=1):
        say(f"drawing figure {i} of {len(wanted)}: {figure.title}")
        drawn = figure.draw()
        if figures is None:
            drawings[figure.name] = drawing.svg(drawn)
        else:
            files = drawing.save(drawn, figures, figure.name)
            drawings[figure.name] = files[0].read_text(encoding="utf-8")
            written["figures"] += files
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
    )
    with paths.replacing(out) as new:
        new.write_text(html, encoding="utf-8")
    summary = [sentence for section in sections for sentence in section.summary]
    return Report(out, found.models, list(found.frames), summary, **written)
