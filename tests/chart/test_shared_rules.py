"""Rules that stand both in the chart's templates and in `grace policy check`: one table of cases for both.

The table is `invalid/`: a case names its rule in the sentence that refuses it, such as (P1), or as `# rule:`.
`# chart-only:` says why `grace policy check` cannot judge a case. The table of secrets is in tests/policy.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from grace_client.kube.manifests import read_manifests
from grace_client.policy.check import Finding, check
from grace_client.policy.rules import RULES
from tests.chart.helm import CHART, HELMS, NAMESPACE, RefusedError, render, run
from tests.chart.test_invalid import BASE, CASES, told
from tests.policy.test_secrets import HARMLESS, SECRETS

SHARED = {
    case.stem: rule
    for case in CASES
    for rule in re.findall(r"\bP\d+\b", told(case).get("rule", "") or told(case)["refused"])[:1]
    if "chart-only" not in told(case)
}
"""The rule of each case that both judge."""


@pytest.fixture(scope="module")
def unruled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart without its rules: it renders what the chart refuses."""
    folder = tmp_path_factory.mktemp("chart") / "grace"
    shutil.copytree(CHART, folder)
    (folder / "templates" / "rules.yaml").unlink()
    return folder


def findings(chart: Path, rule: str, *options: str | Path, values: str = "{}") -> list[Finding]:
    common = ("template", "gemma-9b", chart, "-n", NAMESPACE, "--kube-version", "1.29")
    text = run("helm", *common, "--skip-schema-validation", "-f", BASE, *options, "-f", "-", stdin=values)
    found = check(read_manifests(text, "rendered", rendered=True)).findings
    return [finding for finding in found if finding.rule == rule]


@pytest.mark.parametrize("stem", SHARED)
def test_the_check_finds_what_the_chart_refuses(stem: str, unruled: Path) -> None:
    """And nothing where the chart allows it."""
    case, rule = next(case for case in CASES if case.stem == stem), SHARED[stem]
    says = told(case)
    severity = next(one.severity for one in RULES if one.id == rule)
    broken = findings(unruled, rule, "-f", case)
    assert {finding.severity for finding in broken} == {severity}
    files = ("-f", case) if "allowed" in says else ()
    values = json.dumps(yaml.safe_load(says.get("allowed") or says["instead"]))
    allowed = findings(unruled, rule, *files, values=values)
    assert len(allowed) < len(broken) and (severity == "note" or not allowed)


@pytest.mark.parametrize("helm", HELMS)
def test_the_chart_knows_the_same_secrets(helm: str) -> None:
    """Every variable that the check calls a secret, and none of those that only look like one."""
    secret = {name: (name, value) for name, value, _ in SECRETS}
    for variables, refused in ((list(secret.values()), set(secret)), (HARMLESS, set[str]())):
        extra = [{"name": name, "value": value} for name, value in variables]
        with pytest.raises(RefusedError) as error:
            # The second violation makes the chart refuse harmless variables as well.
            render(
                BASE,
                values={"server": {"extraEnv": extra, "tensorParallelSize": 3}},
                helm=helm,
                options=("--skip-schema-validation",),
            )
        assert set(re.findall(r"server.extraEnv gives (\S+) as plain text", str(error.value))) == refused
