"""What helm is told, and what its complaints become."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from grace_client.core.errors import ReleaseError, SpecError
from grace_client.deploy.release import Release, installed_values, releases
from grace_client.deploy.values import model_values
from grace_client.kube.kubectl import Kubectl
from tests.kube.standin import Tools

CHART = Path(__file__).parent / "chart"
GONE = "Error: release: not found"
POD = {"kind": "Pod", "metadata": {"name": "a"}, "status": {"phase": "Running"}}


def status(word: str, number: int = 1) -> dict[str, Any]:
    info = {"status": word, "last_deployed": "2026-11-22T23:00:00.5Z", "description": "d"}
    return {"name": "x", "namespace": "lab", "version": number, "info": info, "manifest": ""}


@pytest.fixture
def release(tools: Tools, tmp_path: Path) -> Release:
    """Of a model whose overlay deletes a default, on a cluster without releases."""
    (tmp_path / "m.yaml").write_text(
        "model: {name: m, repository: a/b, weightsGiB: 1}\nserver: {a: 1, b: [1]}\n"
    )
    (tmp_path / "gpu.yaml").write_text("server: {a: null, b: [2]}\n")
    tools.answer("helm version", "v4.3.1")
    tools.answer("helm show chart", "apiVersion: v2\nname: grace\nversion: 0.1.0\n")
    tools.answer("helm status", err=GONE, code=1)
    tools.answer("helm upgrade", status("deployed"))
    tools.answer("helm uninstall")
    values = model_values(tmp_path / "m.yaml", tmp_path / "gpu.yaml")
    kubectl = Kubectl(context="c", timeout=20)
    return Release(kubectl, values, name="x", chart=CHART, sets={"queries.runId": "r", "server.c": {"d": 1}})


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_installing(release: Release, tools: Tools) -> None:
    """Upgrade or install, waiting for no pod and no Job, making no namespace, with all values in one."""
    found = run(release.install(timeout=90))
    assert (found.number, found.status, found.repaired) == (1, "deployed", "")
    (call,) = tools.calls("helm upgrade")
    assert f"upgrade x {CHART} " in call
    for option in "--install", "--namespace lab", "--timeout 90s", "--kube-context c":
        assert option in call
    assert "--wait" not in call and "--create-namespace" not in call
    # Whoever scaled the server has its field; the release takes it back.
    assert "--server-side=true" in call and "--force-conflicts" in call
    model = {"name": "m", "repository": "a/b", "weightsGiB": 1}
    server = {"a": None, "b": [2], "c": {"d": 1}}
    assert json.loads(tools.stdin()[-1]) == {"model": model, "server": server, "queries": {"runId": "r"}}


def test_helm_3_is_not_told_what_it_does_not_know(release: Release, tools: Tools) -> None:
    """Its patches need no force."""
    tools.answer("helm version", "v3.19.0")
    run(release.install(timeout=90))
    (call,) = tools.calls("helm upgrade")
    assert "--server-side" not in call and "--force" not in call


@pytest.mark.parametrize("word", ["pending-install", "uninstalling"])
def test_what_a_killed_helm_began_is_cleared_away(release: Release, tools: Tools, word: str) -> None:
    """A first installation has nothing to go back to."""
    tools.answer("helm status", status(word))
    found = run(release.install(timeout=90))
    assert word in found.repaired and "uninstalled first" in found.repaired
    verbs = [call.split()[1] for call in tools.calls("helm (upgrade|uninstall|rollback)")]
    assert verbs == ["uninstall", "upgrade"]


@pytest.mark.parametrize("word", ["pending-upgrade", "pending-rollback"])
def test_what_a_killed_upgrade_began_is_taken_back(release: Release, tools: Tools, word: str) -> None:
    """Or, where even that is refused, uninstalled."""
    tools.answer("helm status", status(word, 2))
    tools.answer("helm rollback")
    assert "rolled back first" in run(release.install(timeout=90)).repaired
    tools.answer("helm rollback", err="Error: release has no 1 version", code=1)
    assert "uninstalled first" in run(release.install(timeout=90)).repaired
    verbs = [call.split()[1] for call in tools.calls("helm (upgrade|uninstall|rollback)")]
    assert verbs == ["rollback", "upgrade", "rollback", "uninstall", "upgrade"]


@pytest.mark.parametrize(
    "said",
    [
        'Error: roles.rbac.authorization.k8s.io "r" is forbidden: User "u" cannot patch resource "roles"',
        'Error: roles "r" is forbidden: user "u" is attempting to grant RBAC permissions not currently held',
        'Error: serviceaccounts is forbidden: User "u" cannot create resource "serviceaccounts"',
    ],
)
def test_a_namespace_without_roles(release: Release, tools: Tools, said: str) -> None:
    """Names both ways around."""
    tools.answer("helm upgrade", err=said, code=1)
    with pytest.raises(SpecError) as caught:
        run(release.install(timeout=90))
    assert said in str(caught.value)
    assert "autoStop to false and uninstall the release yourself" in str(caught.value)
    assert "server.kind to Job" in str(caught.value)


def test_what_the_chart_refuses_is_bad_input(release: Release, tools: Tools) -> None:
    """With the chart's sentence."""
    said = "Error: execution error at (grace/templates/rules.yaml:3:4): this release is refused:\n  too many"
    tools.answer("helm upgrade", err=said, code=1)
    with pytest.raises(SpecError, match="refused:\n  too many"):
        run(release.install(timeout=90))


def test_a_failure_tells_what_pods_are_in(release: Release, tools: Tools) -> None:
    """Beside helm's words, which an unknown state of the pods never hides."""
    tools.answer("helm upgrade", err="Error: pre-install hooks failed: timed out", code=1)
    tools.answer("get .*pods,jobs", {"kind": "List", "items": [POD]})
    tools.answer("get .*events", {"kind": "List", "items": []})
    with pytest.raises(ReleaseError, match=r"hooks failed: timed out\n(.|\n)*a: Running"):
        run(release.install(timeout=90))
    tools.answer("get .*pods,jobs", err="Error from server (Forbidden): no", code=1)
    with pytest.raises(ReleaseError, match="hooks failed"):
        run(release.install(timeout=90))


def test_an_installation_that_is_given_up(release: Release, tools: Tools) -> None:
    """Ends helm itself, not a shell around it."""
    tools.answer("helm upgrade", hang="polite")

    async def given_up() -> None:
        call = asyncio.create_task(release.install(timeout=90))
        pid = tools.folder / "pid"
        while not (pid.exists() and pid.read_text()):
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)

    run(given_up())


def test_uninstalling_waits_until_no_pod_is_left(release: Release, tools: Tools) -> None:
    """Helm's own wait ends before the pods are gone."""
    tools.answer("get .*pods", {"kind": "List", "items": [POD]}, times=2)
    tools.answer("kubectl .*wait")
    run(release.uninstall(timeout=90))
    (call,) = tools.calls("helm uninstall")
    assert "--cascade foreground --wait" in call and "--timeout 90s" in call
    assert len(tools.calls("wait .*pods a --for=delete")) == 2
    tools.answer("helm uninstall", err=GONE, code=1)
    run(release.uninstall(timeout=90))


def test_a_pod_that_stays(release: Release, tools: Tools) -> None:
    """Is named, and the call is worth repeating."""
    tools.answer("get .*pods", {"kind": "List", "items": [POD]})
    tools.answer("kubectl .*wait", err="error: timed out waiting for the condition on pods/a", code=1)
    with pytest.raises(ReleaseError, match=r"still has pods after .*: a") as caught:
        run(release.uninstall(timeout=90))
    assert caught.value.retryable
    tools.answer("helm uninstall", err="Error: context deadline exceeded", code=1)
    with pytest.raises(ReleaseError, match="deadline") as caught:
        run(release.uninstall(timeout=90))
    assert caught.value.retryable


def test_what_is_installed(release: Release, tools: Tools) -> None:
    """Nothing, something, and something of which only the history is left."""
    assert run(release.current()) is None
    tools.answer("helm status", status("failed", 3))
    found = run(release.current())
    assert (found.number, found.status, found.updated.year) == (3, "failed", 2026)
    tools.answer("helm status", status("uninstalled"))
    assert run(release.current()) is None


def test_releases_of_this_chart(release: Release, tools: Tools) -> None:
    """In whatever state; others' are not ours."""
    charts = {"b": "grace-0.1.0", "a": "grace-0.1.0", "c": "grafana-8.0.1"}
    tools.answer("helm list", [{"name": name, "chart": chart} for name, chart in charts.items()])
    assert run(releases(release.kubectl)) == ["a", "b"]
    assert "--deployed" not in tools.calls("helm list")[0]
    tools.answer("helm version", "v3.19.0")
    run(releases(release.kubectl))
    assert "--all" in tools.calls("helm list")[1]


def test_values_of_a_release(release: Release, tools: Tools) -> None:
    """Those with which it was installed; without a release, what there is instead."""
    tools.answer(
        "helm get values",
        {"model": {"name": "m", "repository": "a/b", "weightsGiB": 1}, "files": {"minutes": 5}},
    )
    values = run(installed_values(release.kubectl, "x"))
    assert values.name == "m" and values.values["files"] == {"minutes": 5}
    tools.answer("helm get values", err=GONE, code=1)
    tools.answer("helm list", [{"name": "other", "chart": "grace-0.1.0"}])
    with pytest.raises(SpecError, match=r"no release x in namespace lab \(releases: other\).*--values"):
        run(installed_values(release.kubectl, "x"))


def test_an_api_that_is_away(release: Release, tools: Tools) -> None:
    """Is worth a retry."""
    tools.answer("helm status", err="Error: kubernetes cluster unreachable: connection refused", code=1)
    with pytest.raises(ReleaseError) as caught:
        run(release.install(timeout=90))
    assert caught.value.retryable
