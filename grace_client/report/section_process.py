"""Computes and draws one section, in a process that does this for several."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from grace_client.report import runs
from grace_client.report.blocks import Figure, Section
from grace_client.report.runs import ReportData
from grace_client.report.sections import experiment, methods, people, quality, ways
from grace_client.report.theory import registry


def names(data: ReportData) -> list[str]:
    """All sections, in the order of the page."""
    own = (name for name in data.frames if not runs.is_null(data.experiment(name)))
    return ["quality", "ways", *own, *people.names(data), *registry.FURTHER, "methods"]


def longest_first(data: ReportData) -> list[str]:
    """All sections, in an order that keeps processes busy to the end."""
    return sorted(names(data), key=lambda name: -(name in (*registry.SLOW, "ways")) - (name in data.frames))


@dataclass(frozen=True)
class Job:
    """What the processes need to know.

    Attributes
    ----------
    data : ReportData
        The data of the report.
    figures : Path or None
        Folder for figures as files.
    nrp : bool
        Whether the runs were made on the National Research Platform.
    """

    data: ReportData
    figures: Path | None
    nrp: bool


@dataclass(frozen=True)
class DrawnSection:
    """A section with its figures.

    Attributes
    ----------
    section : Section
        Its figures are drawn.
    drawings : dict of str to str
        SVG of every figure by its name.
    files : list of Path
        Figures written as files.
    """

    section: Section
    drawings: dict[str, str]
    files: list[Path]


_jobs: list[Job] = []


def start(job: Job) -> None:
    """Keep the job for every section that this process draws."""
    _jobs[:] = [job]


def draw(name: str) -> DrawnSection | None:
    """Compute and draw a section of the job; None if the runs have nothing for it."""
    from grace_client.analysis import figures as drawing

    (job,) = _jobs
    section = compute(name, job)
    if section is None:
        return None
    drawings: dict[str, str] = {}
    files: list[Path] = []
    for place, item in enumerate(section.content):
        if not isinstance(item, Figure) or item.draw is None:
            continue
        try:
            with drawing.cast(job.data.models):
                figure = item.draw()
            if job.figures is None:
                drawings[item.name] = drawing.svg(figure)
            else:
                saved = drawing.save(figure, job.figures, item.name)
                drawings[item.name] = saved[0].read_text(encoding="utf-8")
                files += saved
        except Exception as error:
            section.content[place] = section.explain(f"The figure “{item.title}”", error)
        else:
            section.content[place] = replace(item, draw=None)
    section.summary += section.faults
    if section.lost:
        count = len(section.lost)
        section.summary.append(
            f"{count} part{'s' * (count > 1)} of this section could not be computed from these answers. The "
            "section gives the reasons."
        )
    return DrawnSection(section, drawings, files)


def compute(name: str, job: Job) -> Section | None:
    """A section before its figures are drawn; where nothing of it can be computed, it says why."""
    data = job.data
    empty = Section(name, _title(name, data))
    with empty.block("This section"):
        if name == "quality":
            return quality.section(data)
        if name == "ways":
            return ways.section(data, registry.headlines)
        if name == "people":
            return people.section(data, lambda experiment: registry.means_of(data.experiment(experiment)))
        if name == "methods":
            return methods.section(
                data,
                nrp=job.nrp,
                theory=registry.methods(data),
                left_out=lambda name, model: registry.left_out(data, name, model),
            )
        if name in registry.FURTHER:
            return registry.FURTHER[name][1](registry.of(data))
        own = registry.section_of(data.experiment(name))
        return experiment.section(data, name) if own is None else own(data)
    return empty


def _title(name: str, data: ReportData) -> str:
    titles = {"quality": quality.TITLE, "ways": ways.TITLE, "people": people.TITLE, "methods": methods.TITLE}
    titles |= {key: title for key, (title, _) in registry.FURTHER.items()}
    return titles.get(name) or data.experiment(name).title
