"""What the chart renders, held against `grace policy check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grace_client.kube.manifests import read_manifests
from grace_client.policy.check import Report, check
from grace_client.policy.rules import Severity
from tests.chart.helm import CHART, HELMS, template
from tests.chart.test_models import PAIRS, files, refusal


def report(*values: Path, **more: Any) -> Report:
    return check(read_manifests(template(*values, **more), "rendered", rendered=True))


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
@pytest.mark.parametrize("stage", ["init", "job"])
def test_no_model_on_no_gpu_breaks_a_rule(kind: str, stage: str) -> None:
    """Notes are left: a Deployment that holds a GPU is told of the Job that frees it."""
    checked = 0
    for model, gpu in PAIRS:
        if refusal(model, gpu):
            continue
        overrides = json.dumps({"server": {"kind": kind}, "weights": {"stage": stage}})
        found = report(*files(model, gpu), values=overrides)
        checked += 1
        assert [f for f in found.findings if f.severity is Severity.ERROR] == []
        told = {f.rule: f"{f.why} {f.fix}" for f in found.findings}
        assert ("P7" in told) == (kind == "Deployment")
        if kind == "Deployment":
            assert "server.kind: Job" in told["P7"]
    assert checked > 20


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("values", sorted((CHART / "ci").glob("*-values.yaml")), ids=lambda path: path.stem)
def test_the_charts_own_cases_break_no_rule(values: object, helm: str) -> None:
    """Under either Helm."""
    assert not report(values, helm=helm).violates()
