"""The server is stopped when the last Job has ended, and comes back when there is more to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from grace_client.core.errors import SpecError
from grace_client.deploy.release import Release, Revision
from grace_client.deploy.values import model_values
from grace_client.kube.kubectl import Kubectl
from tests.real_cluster.kube import EVERYTHING, SMALL, Kube, component
from tests.real_cluster.test_release import KEPT, WEIGHTS, gpus

SETS = {"autoStop": True, "queries.experiments.study1-exp2.sample": 5}
ACCOUNTS = "serviceaccount,role,rolebinding"


def install(kube: Kube, sets: Mapping[str, object] = {}, kubeconfig: str = "") -> Revision:
    """Install or upgrade as a campaign does."""

    async def work() -> Revision:
        config = Path(kubeconfig or kube.env["KUBECONFIG"])
        release = Release(Kubectl(kubeconfig=config), model_values(SMALL), name="auto", sets={**SETS, **sets})
        return await release.install(timeout=400)

    return asyncio.run(work())


def stopped(kube: Kube, *, succeeds: bool = True) -> None:
    """Wait until the Job has ended, the server is gone, and so is everything that holds a GPU."""
    query = kube.query_job("auto")
    assert kube.finished(query, 150) == succeeds, kube.log(query)
    kube.until(lambda: not kube.get("pods", component("auto", "server")), 60, "the server to be stopped")
    assert gpus(kube) == 0
    (stopping,) = kube.get("jobs", component("auto", "autostop"))
    assert kube.finished(stopping["metadata"]["name"], 30)


def test_the_server_is_stopped_and_comes_back(kube: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an installation, an upgrade without a new Job, and a Job that fails; no account is left."""
    monkeypatch.setenv("PATH", kube.env["PATH"])
    before = kube.names(ACCOUNTS)
    assert install(kube).number == 1
    first = kube.query_job("auto")
    stopped(kube)

    # The server is asked for, and stopped again although no Job ends now.
    assert install(kube).number == 2
    assert kube.query_job("auto") == first
    stopped(kube)

    # GPUs are not held for answers that will not come.
    fails = {"queries.trials.fromInput.study1": "nowhere.csv", "queries.backoffLimit": 0}
    assert install(kube, fails).number == 3
    stopped(kube, succeeds=False)

    kube.uninstall("auto")
    assert kube.names(EVERYTHING) == KEPT | {f"{WEIGHTS}fake"}
    assert kube.names(ACCOUNTS) == before


def test_a_namespace_without_roles(kube: Kube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names two ways around, no GPU is held, and the first way works."""
    monkeypatch.setenv("PATH", kube.env["PATH"])
    kube.kubectl("create", "serviceaccount", "editor")
    account = f"--serviceaccount={kube.namespace}:editor"
    kube.kubectl("create", "rolebinding", "editor", "--clusterrole=edit", account)
    try:
        config = json.loads(kube.kubectl("config", "view", "--raw", "--minify", "--output", "json"))
        config["users"][0]["user"] = {"token": kube.token("editor")}
        (tmp_path / "config").write_text(json.dumps(config))
        with pytest.raises(SpecError, match="autoStop to false"):
            install(kube, {}, str(tmp_path / "config"))
        assert gpus(kube) == 0 and not kube.get("deployments")
        install(kube, {"autoStop": False}, str(tmp_path / "config"))
        assert kube.finished(kube.query_job("auto"), 120)
    finally:
        kube.kubectl("delete", "rolebinding,serviceaccount", "editor")
