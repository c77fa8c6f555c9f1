"""What a campaign would cost, and what the cluster's rules say of it, before anything is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from grace_client.campaign import settings
from grace_client.campaign.estimate import Assumptions, Estimate, Load, Total, estimate, total
from grace_client.campaign.records import Spec
from grace_client.core.errors import ProgramMissingError, SpecError
from grace_client.deploy.values import ModelValues, chart_folder, document, effective
from grace_client.kube import helm
from grace_client.policy import check
from grace_client.policy.rules import Severity

CountLoads: TypeAlias = Callable[[Mapping[str, Any], Assumptions], Sequence[Load]]
"""Counts the questions and tokens of the enabled experiments; given, as this room knows no studies."""


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """One model of a plan.

    Attributes
    ----------
    estimate : Estimate
        Its GPUs and hours.
    findings : tuple of str
        What the cluster's rules say of it, errors first.
    errors : int
        Number of findings that refuse it.
    """

    estimate: Estimate
    findings: tuple[str, ...]
    errors: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A campaign before it begins.

    Attributes
    ----------
    models : tuple of PlannedModel
        In order.
    total : Total
        Sums over the models.
    assumptions : Assumptions
        What the estimates assume.
    model_hours, budget_hours : float
        Hours for which one model may use GPUs, and GPU-hours of the whole campaign.
    """

    models: tuple[PlannedModel, ...]
    total: Total
    assumptions: Assumptions
    model_hours: float
    budget_hours: float

    @property
    def refused(self) -> bool:
        """Whether a rule is broken."""
        return any(model.errors for model in self.models)

    @property
    def fits(self) -> bool:
        """Whether the estimate is within the budget."""
        return self.total.gpu_hours <= self.budget_hours

    def to_json(self) -> dict[str, object]:
        """The plan as JSON."""
        return {
            "models": [
                model.estimate.to_json() | {"findings": list(model.findings), "errors": model.errors}
                for model in self.models
            ],
            **asdict(self.total),
            "budget_hours": self.budget_hours,
            "fits": self.fits,
            "assumptions": asdict(self.assumptions) | {"model_hours": self.model_hours},
        }

    def findings(self) -> dict[str, list[str]]:
        """Each finding, with `MODEL` for the model's name, and the models that it concerns."""
        shared: dict[str, list[str]] = {}
        for model in self.models:
            name = model.estimate.model
            for finding in model.findings:
                shared.setdefault(finding.replace(name, "MODEL"), []).append(name)
        return shared

    def lines(self) -> list[str]:
        """The sums and the assumptions in words."""
        sums, budget = self.total, self.budget_hours
        longest = max(model.estimate.hours for model in self.models)
        return [
            f"One after another: {sums.gpu_hours:.1f} GPU-hours, {'within' if self.fits else 'OVER'} the "
            f"budget of {budget:g}; at most {sums.peak_gpus} GPUs at a time.",
            f"At worst: {sums.worst_gpu_hours:g} GPU-hours ({sums.at_once_gpus} GPUs x {self.model_hours:g} "
            "hours; then the campaign stops the model).",
            f"All at once: {sums.at_once_gpu_hours:.1f} GPU-hours and {sums.at_once_gpus} GPUs at a time, "
            f"because each server runs until the last one is done ({sums.at_once_gpus} GPUs x {longest:.1f} "
            "hours).",
            f"Assumed: {self.assumptions.formula()} Downloads and loads run at the values' worst-case rates.",
        ]


def estimates(spec: Spec, count: CountLoads, assumptions: Assumptions) -> list[Estimate]:
    """Estimate every model; checks no rules and needs no helm."""
    with TemporaryDirectory() as folder:
        return [one for _, one in _estimated(spec, count, assumptions, Path(folder))]


async def plan(
    spec: Spec, count: CountLoads, assumptions: Assumptions, *, model_hours: float, budget_hours: float
) -> Plan:
    """Estimate and check every model."""
    with TemporaryDirectory() as folder:
        found = _estimated(spec, count, assumptions, Path(folder))
        findings = await asyncio.gather(*(_findings(values) for values, _ in found))
    models = tuple(PlannedModel(one, *checked) for (_, one), checked in zip(found, findings, strict=True))
    sums = total([one for _, one in found], model_hours=model_hours)
    return Plan(models, sums, assumptions, model_hours, budget_hours)


def check_affordable(spec: Spec, count: CountLoads, budget_hours: float) -> None:
    """Refuse a campaign that would be stopped half way.

    Raises
    ------
    SpecError
        If the estimate is above the budget.
    """
    expected = total(estimates(spec, count, Assumptions())).gpu_hours
    if expected > budget_hours:
        raise SpecError(
            f"The campaign would take about {expected:.1f} GPU-hours, but the budget is {budget_hours:g}. "
            "'grace campaign plan' shows the hours of each model. To begin the campaign anyway, add "
            "--over-budget"
        )


def _estimated(
    spec: Spec, count: CountLoads, assumptions: Assumptions, folder: Path
) -> list[tuple[ModelValues, Estimate]]:
    """Every model's values, whose files are written into `folder`, and its estimate."""
    found = []
    for name in spec.models:
        values = settings.values_of(spec, name, spec.gpu, folder)
        known = effective(values, {})
        found.append((values, estimate(values, known, count(known, assumptions), assumptions)))
    return found


async def _findings(values: ModelValues) -> tuple[tuple[str, ...], int]:
    """What the rules say of a model, and how many of these findings are errors."""
    try:
        rendered = await helm.template(chart_folder(), document=document(values, {}), release=values.name)
    except ProgramMissingError as error:
        return (f"not checked: {error}",), 0
    except SpecError as error:
        return (str(error),), 1
    report = check.check(rendered)
    lines = (f"{f.severity} {f.rule} {f.kind}/{f.name}: {f.why}" for f in report.findings)
    return tuple(dict.fromkeys(lines)), report.count(Severity.ERROR)
