"""The work on one model, with programs that answer as they are told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from grace_client.campaign import machine, settings
from grace_client.campaign.backend import Backend
from grace_client.campaign.records import Limits
from grace_client.core.errors import ReleaseError
from grace_client.deploy.values import values_folder
from grace_client.kube.kubectl import Kubectl
from tests.kube.standin import Tools


@pytest.fixture
def work(tools: Tools, tmp_path: Path) -> Backend:
    """On a model of the study."""
    tools.answer("helm version", "v4.3.1")
    tools.answer("helm show chart", "apiVersion: v2\nname: grace\nversion: 0.1.0\n")
    tools.answer("helm status", err="Error: release: not found", code=1)
    what = settings.describe(["gemma-2b"], folder=values_folder())
    campaign = machine.begin("c", "lab", what, Limits(), datetime(2026, 11, 22, tzinfo=UTC))
    return Backend(Kubectl(timeout=20), campaign, campaign.models[0], tmp_path / "campaign")


def test_helms_own_time_is_not_waited_for_twice(
    work: Backend, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timeout that has run out is final; the same words after a moment are a lost connection."""
    tools.answer("helm upgrade", err="Error: context deadline exceeded", code=1)
    with pytest.raises(ReleaseError) as early:
        asyncio.run(work.install(timeout=600))
    assert early.value.retryable
    ticks = iter((0.0, 601.0))
    monkeypatch.setattr("grace_client.campaign.backend.monotonic", lambda: next(ticks, 601.0))
    with pytest.raises(ReleaseError) as late:
        asyncio.run(work.install(timeout=600))
    assert not late.value.retryable


def test_whether_helm_has_it(work: Backend, tools: Tools) -> None:
    """In any state but uninstalled."""
    assert not asyncio.run(work.installed())
    info = {"status": "deployed", "last_deployed": "2026-11-22T23:00:00Z", "description": ""}
    tools.answer("helm status", {"name": "x", "namespace": "lab", "version": 1, "info": info})
    assert asyncio.run(work.installed())


def test_logs_outlive_the_release(work: Backend, tools: Tools) -> None:
    """Of every container, the one before a restart too; nothing is no folder."""
    assert asyncio.run(work.keep_logs()) == ""
    spec = {"initContainers": [{"name": "weights"}], "containers": [{"name": "server"}]}
    tools.answer("get .*pods", {"kind": "Pod", "metadata": {"name": "a"}, "spec": spec})
    tools.answer("logs .*--container weights", err="error: x509: unknown authority", code=1)
    tools.answer("logs .*--container server .*--previous=true", "CUDA out of memory\n")
    tools.answer("logs .*--container server .*--previous=false", "starting\n")
    told = asyncio.run(work.keep_logs())
    (folder,) = (work.folder / "logs").iterdir()
    assert str(folder) in told
    found = {file.name: file.read_text() for file in folder.iterdir()}
    assert found == {"a-server-previous.log": "CUDA out of memory\n", "a-server.log": "starting\n"}
