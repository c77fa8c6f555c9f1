"""The table of `grace campaign plan`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from grace_client.campaign import settings
from grace_client.campaign.estimate import Assumptions, Estimate, Total, estimate, total
from grace_client.campaign.records import What
from grace_client.cli.workload import loads
from grace_client.core.errors import ProgramMissingError, SpecError
from grace_client.deploy.values import ModelValues, chart_folder, document
from grace_client.policy import check
from grace_client.policy.rules import Severity

WIDTH = 120
"""Columns that the table needs; a narrower terminal wraps it, which is better than cutting names."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One model.

    Attributes
    ----------
    estimate : Estimate
        What it will take.
    findings : tuple of str
        What the cluster's rules say of it, errors first.
    errors : int
        How many of them refuse it.
    """

    estimate: Estimate
    findings: tuple[str, ...]
    errors: int


@dataclass(frozen=True, slots=True)
class Made:
    """A plan."""

    models: tuple[Planned, ...]
    total: Total
    assumptions: Assumptions
    model_hours: float

    @property
    def refused(self) -> bool:
        """Whether a rule is broken."""
        return any(model.errors for model in self.models)


def estimates(what: What, assumptions: Assumptions) -> list[Estimate]:
    """Estimate every model; asks neither the rules nor helm."""
    with TemporaryDirectory() as folder:
        return [_estimate(what, name, assumptions, Path(folder))[1] for name in what.models]


def make(what: What, assumptions: Assumptions, *, model_hours: float) -> Made:
    """Estimate and check every model."""
    with TemporaryDirectory() as folder:
        found = tuple(_model(what, name, assumptions, Path(folder)) for name in what.models)
    return Made(found, total([m.estimate for m in found], model_hours=model_hours), assumptions, model_hours)


def _model(what: What, name: str, assumptions: Assumptions, folder: Path) -> Planned:
    values, expected = _estimate(what, name, assumptions, folder)
    findings, errors = _findings(values, what)
    return Planned(expected, findings, errors)


def _estimate(what: What, name: str, assumptions: Assumptions, folder: Path) -> tuple[ModelValues, Estimate]:
    values = settings.values_of(what, name, what.gpu, folder)
    known = settings.effective(values, what.sets)
    return values, estimate(values, known, loads(known, assumptions), assumptions)


def _findings(values: ModelValues, what: What) -> tuple[tuple[str, ...], int]:
    from grace_client.kube import helm

    try:
        rendered = helm.template(chart_folder(), document=document(values, what.sets), release=values.name)
    except ProgramMissingError as error:
        return (f"not checked: {error}",), 0
    except SpecError as error:
        return (str(error),), 1
    report = check.check(rendered)
    told = tuple(dict.fromkeys(f"{f.severity} {f.rule} {f.kind}/{f.name}: {f.why}" for f in report.findings))
    return told, report.count(Severity.ERROR)


def to_json(made: Made, budget_hours: float) -> dict[str, object]:
    """The plan as JSON has it."""
    return {
        "models": [
            model.estimate.to_json() | {"findings": list(model.findings), "errors": model.errors}
            for model in made.models
        ],
        **asdict(made.total),
        "budget_hours": budget_hours,
        "fits": made.total.gpu_hours <= budget_hours,
        "assumptions": asdict(made.assumptions) | {"model_hours": made.model_hours},
    }


def show(made: Made, budget_hours: float) -> None:
    """The plan for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("model", "GPUs", "kind"):
        table.add_column(name)
    for name in ("GiB each", "weights GiB", "questions", "download h", "load h", "query h", "GPU-hours"):
        table.add_column(name, justify="right")
    for model in made.models:
        e = model.estimate
        hours = (f"{x:.2f}" for x in (e.download_hours, e.load_hours, e.query_hours))
        cells = (f"{e.memory_gib:g}", f"{e.weights_gib:g}", f"{e.questions:,}", *hours, f"{e.gpu_hours:.1f}")
        table.add_row(e.model, str(e.gpus), e.gpu, *cells)
    console = Console(highlight=False)
    console.width = max(console.width, WIDTH)
    console.print(table)
    for line in _sums(made, budget_hours):
        typer.echo(line)
    shared: dict[str, list[str]] = {}
    for model in made.models:
        for finding in model.findings:
            shared.setdefault(finding.replace(model.estimate.model, "MODEL"), []).append(model.estimate.model)
    for finding, names in shared.items():
        typer.echo(f"{finding} [{', '.join(names)}]")


def _sums(made: Made, budget_hours: float) -> list[str]:
    whole = made.total
    gpus, day = whole.at_once_gpus, made.model_hours
    fits = "within" if whole.gpu_hours <= budget_hours else "OVER"
    longest = max(model.estimate.hours for model in made.models)
    return [
        f"One after another: {whole.gpu_hours:.1f} GPU-hours, {fits} the budget of {budget_hours:g}; at most "
        f"{whole.peak_gpus} GPUs at a time.",
        f"At worst: {whole.worst_gpu_hours:g} GPU-hours, {gpus} GPUs x {day:g} hours, after which a model is "
        "stopped.",
        f"All at once: {whole.at_once_gpu_hours:.1f} GPU-hours and {gpus} GPUs at a time, since each server "
        f"stands until the last one is done ({gpus} GPUs x {longest:.1f} hours).",
        f"Assumed: {made.assumptions.formula()} Downloads and loads come at the values' worst-case rates.",
    ]
