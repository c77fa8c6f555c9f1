"""What kubectl says becomes objects or an error that tells what to do; no kubectl outlives its caller."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from grace_client.core.errors import ExitCode, ReleaseError, SpecError
from grace_client.kube import process
from grace_client.kube.clock import Clock
from grace_client.kube.kubectl import Kubectl, explained
from tests.kube.standin import Tools

POD = {"kind": "Pod", "metadata": {"name": "a"}, "status": {"phase": "Pending"}}

AWAY = [
    "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
    'Error: kubernetes cluster unreachable: Get "https://x/version": dial tcp: connect: connection refused',
    "Error from server: etcdserver: leader changed",
    "Error from server (ServiceUnavailable): the server is currently unable to handle the request",
    "Unable to connect to the server: net/http: TLS handshake timeout",
    "Unable to connect to the server: dial tcp: lookup api.example on 10.0.0.2:53: no such host",
    "Error from server (InternalError): an error on the server",
    "error: unexpected EOF",
    'Error from server: Get "https://10.0.0.5:10250/containerLogs/lab/a/c": x509: certificate has expired',
    'Error from server: Get "https://10.0.0.5:10250/containerLogs/lab/a": remote error: tls: internal error',
    "error: You must be logged in to the server (the server has asked for the client to provide credentials "
    "( pods/log a))",
    "Error from server (Forbidden): Forbidden (user=kube-apiserver, verb=get, resource=nodes, "
    "subresource=proxy) ( pods/log a)",
    "error: unable to upgrade connection: Unauthorized",
    'Error from server (InternalError): Internal error occurred: failed calling webhook "rules": failed to '
    'call webhook: Post "https://rules.svc:443/": x509: certificate signed by unknown authority',
    "error: get-token: authentication error: lookup idp.example: no such host\nUnable to connect to the "
    "server: getting credentials: exec: executable kubectl failed with exit code 1",
]
REFUSED = [
    'Error from server (Forbidden): nodes is forbidden: User "u" cannot list resource "nodes"',
    'Error from server: admission webhook "rules" denied the request: limit over 1.2 x request',
    "error: You must be logged in to the server (Unauthorized)",
    "Error in configuration: context was not found for specified context: nope",
    "error: cannot locate context nope",
    "error: stat /none: no such file or directory",
    "Unable to connect to the server: x509: certificate signed by unknown authority",
    "Unable to connect to the server: tls: failed to verify certificate: x509: certificate has expired",
    "Unable to connect to the server: getting credentials: exec: executable kubelogin not found",
    "Unable to connect to the server: getting credentials: exec: executable aws failed with exit code 1",
]
OTHER = [
    'error: the server doesn\'t have a resource type "foo"',
    'Error from server (Conflict): conflict with "x"',
]


@pytest.mark.parametrize("said", AWAY)
def test_an_api_that_is_away_may_come_back(said: str) -> None:
    """Retryable, with kubectl's words."""
    error = explained("kubectl get", said.encode())
    assert isinstance(error, ReleaseError) and error.retryable
    assert error.exit_code is ExitCode.UNREACHABLE
    assert said in str(error)


@pytest.mark.parametrize("said", REFUSED)
def test_who_is_not_known_or_not_allowed_stays_so(said: str) -> None:
    """And is told where to look."""
    error = explained("kubectl get", said.encode())
    assert isinstance(error, SpecError)
    assert said in str(error) and "kubectl " in str(error).splitlines()[-1]


@pytest.mark.parametrize("said", OTHER)
def test_what_is_neither_is_not_tried_again(said: str) -> None:
    """Whatever it is."""
    error = explained("kubectl get", said.encode())
    assert isinstance(error, ReleaseError) and not error.retryable


def test_what_is_only_logged_is_not_told() -> None:
    """Unless there is nothing else."""
    noise = 'E1122 23:14:21.786776    7288 memcache.go:265] "Unhandled Error" err="refused"'
    assert noise not in str(explained("kubectl", f"{noise}\nerror: conflict".encode()))
    assert noise in str(explained("kubectl", noise.encode()))


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_objects(tools: Tools) -> None:
    """One, several or none, in the context's own namespace."""
    tools.answer("get .*pods one", POD)
    tools.answer("get .*pods --selector", {"kind": "List", "items": [POD, POD]})
    kubectl = Kubectl(context="c", kubeconfig=Path("/k"))
    assert run(kubectl.get("pods", names=["one"])) == [POD]
    assert run(kubectl.get("pods", selector="a=b")) == [POD, POD]
    assert run(kubectl.get("jobs")) == []
    assert all(call.startswith("kubectl --kubeconfig /k --context c ") for call in tools.calls())
    assert all("--namespace lab" in call for call in tools.calls(" get "))
    assert len(tools.calls("config view")) == 1


def test_changes(tools: Tools) -> None:
    """Are those of kubectl, and a deletion is content with nothing to delete."""
    for verb in "apply", "patch", "delete":
        tools.answer(f"kubectl {verb}")
    kubectl = Kubectl(namespace="n")
    run(kubectl.apply({"kind": "A"}, {"kind": "B"}))
    run(kubectl.patch("job", "x", {"spec": None}))
    run(kubectl.delete("job", "x", wait=True, grace=0))
    applied, _, deleted = tools.calls()
    assert "--server-side" in applied and '"items": [{"kind": "A"}, {"kind": "B"}]' in tools.stdin()[0]
    assert json.loads(tools.stdin()[1]) == {"spec": None}
    assert {"--ignore-not-found", "--wait=true", "--grace-period=0"} <= set(deleted.split())


def test_a_large_patch(tools: Tools) -> None:
    """A campaign may be more than a command line holds, and nobody else on the machine reads it."""
    tools.answer("kubectl patch")
    patch = {"data": {"campaign": "x" * 500_000, "set": "hf_secret"}}
    run(Kubectl(namespace="n").patch("configmap", "grace-campaign", patch))
    (call,) = tools.calls()
    assert json.loads(tools.stdin()[0]) == patch
    assert "hf_secret" not in call and len(call) < 500
    assert not Path(call.split()[-1]).exists()


def test_the_clusters_time(tools: Tools) -> None:
    """Is told of an object that is not made."""
    made = {"kind": "ConfigMap", "metadata": {"creationTimestamp": "2026-11-22T12:00:03Z"}}
    tools.answer("create .*--dry-run=server", made)
    assert run(Kubectl(namespace="n").time()).isoformat() == "2026-11-22T12:00:03+00:00"
    made["metadata"]["creationTimestamp"] = (datetime.now(UTC) + timedelta(hours=2)).isoformat()  # type: ignore[index]
    tools.answer("create .*--dry-run=server", made)
    ahead = run(Clock.of(Kubectl(namespace="n"))).now() - datetime.now(UTC)
    assert timedelta(minutes=119) < ahead < timedelta(minutes=121)
    made["metadata"]["creationTimestamp"] = datetime.now(UTC).replace(microsecond=0).isoformat()  # type: ignore[index]
    tools.answer("create .*--dry-run=server", made)
    assert run(Clock.of(Kubectl(namespace="n"))).ahead == timedelta()


def test_logs_that_are_not_there(tools: Tools) -> None:
    """Are empty; what hides them is an error."""
    kubectl = Kubectl(namespace="n")
    for said in (
        'Error from server (NotFound): pods "a" not found',
        'Error from server (BadRequest): container "c" in pod "a" is waiting to start: PodInitializing',
        'Error from server (BadRequest): previous terminated container "c" in pod "a" not found',
    ):
        tools.answer("kubectl logs", err=said, code=1)
        assert run(kubectl.logs("a", "c", previous=True)) == ""
    tools.answer("kubectl logs", err=REFUSED[0], code=1)
    with pytest.raises(SpecError):
        run(kubectl.logs("a", "c"))
    tools.answer("kubectl logs", "line\n")
    assert run(kubectl.logs("a", "c")) == "line\n"


def test_what_is_gone(tools: Tools) -> None:
    """Only what the API itself does not find; a plugin that is not found tells nothing of pods."""
    kubectl = Kubectl(namespace="n")
    tools.answer("kubectl wait", err='Error from server (NotFound): pods "a" not found', code=1)
    run(kubectl.gone("pods", ["a"], timeout=20))
    tools.answer("kubectl wait", err="error: timed out waiting for the condition on pods/a", code=1)
    with pytest.raises(TimeoutError):
        run(kubectl.gone("pods", ["a"], timeout=20))
    tools.answer("kubectl wait", err=REFUSED[-2], code=1)
    with pytest.raises(SpecError, match="kubelogin not found"):
        run(kubectl.gone("pods", ["a"], timeout=20))
    lost = "Unable to connect to the server: dial tcp 10.0.0.1:6443: connect: connection timed out"
    tools.answer("kubectl wait", err=lost, code=1)
    with pytest.raises(ReleaseError) as caught:
        run(kubectl.gone("pods", ["a"], timeout=20))
    assert caught.value.retryable


def test_a_message_tells_what_pods_are_in(tools: Tools) -> None:
    """Phase, reasons, and the warnings about them; of nobody else."""
    waiting = {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    killed = {"name": "d", "lastState": {"terminated": {"reason": "OOMKilled"}}, "state": {"running": {}}}
    pod = POD | {"status": {"phase": "Pending", "containerStatuses": [waiting, killed]}}
    events = [
        {"type": kind, "reason": reason, "message": "why", "involvedObject": {"name": name}}
        for kind, reason, name in [
            ("Warning", "Failed", "a"),
            ("Normal", "Pulled", "a"),
            ("Warning", "Other", "b"),
        ]
    ]
    tools.answer("get .*pods,jobs", {"kind": "List", "items": [pod]})
    tools.answer("get .*events", {"kind": "List", "items": events})
    told = run(Kubectl(namespace="n").states("a=b"))
    assert told == "a: Pending (c ImagePullBackOff, d OOMKilled)\na: Failed: why"
    tools.answer("get .*events", err=AWAY[0], code=1)
    assert run(Kubectl(namespace="n").states("a=b")) == ""


def test_no_kubectl(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is told before anything else, with where to get it."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SpecError, match="https://kubernetes"):
        Kubectl()


def alive(tools: Tools) -> bool:
    try:
        os.kill(int((tools.folder / "pid").read_text()), 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("manner", ["polite", "deaf"])
def test_no_answer_in_time(tools: Tools, monkeypatch: pytest.MonkeyPatch, manner: str) -> None:
    """Retryable, and kubectl is gone, whether it listens or not."""
    monkeypatch.setattr(process, "GRACE_S", 0.05)
    tools.answer("kubectl get", hang=manner)
    with pytest.raises(ReleaseError, match="no answer within 1 s") as caught:
        run(Kubectl(namespace="n", timeout=1).get("pods"))
    assert caught.value.retryable
    assert not alive(tools)


@pytest.mark.slow
@pytest.mark.parametrize("manner", ["polite", "deaf"])
def test_a_call_that_is_given_up(tools: Tools, monkeypatch: pytest.MonkeyPatch, manner: str) -> None:
    """Its kubectl is gone when the cancellation has come through."""
    monkeypatch.setattr(process, "GRACE_S", 0.05)
    tools.answer("kubectl get", hang=manner)

    async def given_up() -> None:
        call = asyncio.create_task(Kubectl(namespace="n").get("pods"))
        while not (tools.folder / "pid").exists():
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not alive(tools)

    run(given_up())


def test_a_stream_ends_with_its_block(tools: Tools) -> None:
    """With whatever is left unread in it."""
    tools.answer("kubectl get", "line\n" * 300_000, hang="polite")

    async def read() -> bytes:
        async with Kubectl(namespace="n").stream("get", "pods", "--watch") as watching:
            assert watching.stdout
            return await watching.stdout.readline()

    assert run(read()) == b"line\n"
    assert not (tools.folder / "pid").exists() or not alive(tools)
