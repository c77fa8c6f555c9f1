"""The Job that stops the server, and what its account may."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.helm import CHART, VALUES, Object, containers, of, one, render, run

MODEL = VALUES / "gemma-9b.yaml"
KINDS = ("ServiceAccount", "Role", "RoleBinding")


def names(objects: list[Object], kind: str, component: str) -> set[str]:
    return {o["metadata"]["name"] for o in of(objects, kind, component)}


def test_it_may_look_at_the_jobs_and_scale_the_server_and_nothing_else() -> None:
    """By name, each; and it waits for just these."""
    objects = render(MODEL)
    queries = names(objects, "Job", "query")
    role, binding = one(objects, "Role"), one(objects, "RoleBinding")
    jobs, scale = role["rules"]
    assert set(jobs.pop("resourceNames")) == queries and len(queries) == 4
    assert jobs == {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "watch"]}
    deployment = one(objects, "Deployment")["metadata"]["name"]
    assert scale == {
        "apiGroups": ["apps"],
        "resources": ["deployments/scale"],
        "resourceNames": [deployment],
        "verbs": ["patch"],
    }
    pod = one(objects, "Job", "autostop")["spec"]["template"]["spec"]
    account = one(objects, "ServiceAccount")["metadata"]["name"]
    assert pod["serviceAccountName"] == account
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "lab"}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (container,) = containers({"spec": pod})
    assert container["command"] == ["python", "-m", "grace_client.deploy.autostop"]
    assert set(container["args"]) == queries | {f"--deployment={deployment}"}


def test_it_outlasts_what_it_waits_for() -> None:
    """Its deadline is behind the Jobs' own, and under a day."""
    for deadline in (40_000, 86_399):
        objects = render(MODEL, values={"queries": {"activeDeadlineSeconds": deadline}})
        own = one(objects, "Job", "autostop")["spec"]["activeDeadlineSeconds"]
        assert own == min(deadline + 1800, 86_399)


@pytest.mark.parametrize(
    "values",
    [
        {"autoStop": False},
        {"server": {"kind": "Job"}},
        {
            "queries": {
                "experiments": {f"study{s}-exp{e}": {"enabled": False} for s in (1, 2) for e in (1, 2)}
            }
        },
    ],
    ids=["not wanted", "the pod ends by itself", "no Jobs"],
)
def test_where_it_is_not_needed_nothing_of_it_is_made(values: dict[str, Any]) -> None:
    """No Role either: a namespace may forbid them."""
    objects = render(MODEL, values=values)
    assert not [o for o in objects if o["kind"] in KINDS]
    assert not of(objects, "Job", "autostop")


def test_every_revision_has_its_own() -> None:
    """An upgrade starts the server again, and a Job that has ended would not stop it again."""
    asked = ("template", "x", CHART, "-n", "lab", "-f", MODEL, "--show-only", "templates/autostop/job.yaml")
    first = run("helm", *asked)
    assert first == run("helm", *asked)
    assert 'grace/revision: "1"' in first
    upgraded = run("helm", *asked, "--is-upgrade")
    assert 'grace/revision: "1"' in upgraded
    text = (CHART / "templates" / "autostop" / "_autostop.tpl").read_text()
    assert "grace/revision: {{ .Release.Revision | quote }}" in text


def test_a_change_of_a_job_is_a_change_of_who_waits_for_it() -> None:
    """Other names are another Job, and another Role."""
    before = render(MODEL)
    after = render(MODEL, values={"queries": {"maxFailed": 0.02}})
    assert not names(before, "Job", "query") & names(after, "Job", "query")
    assert names(before, "Job", "autostop") != names(after, "Job", "autostop")
    assert names(before, "Job", "autostop") == names(render(MODEL), "Job", "autostop")
