"""The server is stopped when the last Job has ended, and not before, whatever the API does meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from grace_client.deploy import autostop
from grace_client.deploy.autostop import Api, Autostop, AwayError

Json = dict[str, Any]
JOBS = "/apis/batch/v1/namespaces/lab/jobs"
SCALE = "/apis/apps/v1/namespaces/lab/deployments/server/scale"


def job(*conditions: str, version: str = "1") -> Json:
    return {
        "metadata": {"name": "a", "resourceVersion": version},
        "status": {"conditions": [{"type": kind, "status": "True"} for kind in conditions]},
    }


def event(kind: str, what: Json) -> Json:
    return {"type": kind, "object": what}


class Answer(BaseHTTPRequestHandler):
    """The next answer that the test prepared for this path."""

    server: Kubernetes

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        name = "watch" if split.query else "get"
        self.server.asked.append((name, split.path, parse_qs(split.query)))
        self._answer(name)

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Authorization"] == "Bearer token"
        assert self.headers["Content-Type"] == "application/merge-patch+json"
        self.server.asked.append(("patch", self.path, body))
        self._answer("patch")

    def _answer(self, name: str) -> None:
        answers = self.server.answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            self.close_connection = True
            return
        if isinstance(answer, int):
            self.send_error(answer)
            return
        self.send_response(200)
        self.end_headers()
        for document in answer if isinstance(answer, list) else [answer]:
            self.wfile.write(json.dumps(document).encode() + b"\n")

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Kubernetes(ThreadingHTTPServer):
    """An API server whose answers are prepared; the last one of a kind is given for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.answers: dict[str, list[Any]] = {"get": [404], "watch": [[]], "patch": [{}]}
        self.asked: list[tuple[str, str, Any]] = []


class Clock:
    """Time that passes only when somebody waits, or looks."""

    def __init__(self) -> None:
        self.now, self.pauses = 0.0, list[float]()

    def __call__(self) -> float:
        self.now += 1
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def api() -> Iterator[Kubernetes]:
    server = Kubernetes()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stopper(api: Kubernetes, clock: Clock, tmp_path: Path) -> Autostop:
    (tmp_path / "token").write_text("token\n")
    (tmp_path / "namespace").write_text("lab")
    asked = Api(f"http://127.0.0.1:{api.server_port}", tmp_path)
    return Autostop(asked, pause=clock.pause, clock=clock)


@pytest.mark.parametrize(("condition", "how"), [("Complete", "complete"), ("Failed", "failed")])
def test_a_job_that_has_ended(stopper: Autostop, api: Kubernetes, condition: str, how: str) -> None:
    """Is seen at once, and nothing is watched."""
    api.answers["get"] = [job("Suspended", condition)]
    assert stopper.wait_for("a") == how
    assert [(name, path) for name, path, _ in api.asked] == [("get", f"{JOBS}/a")]


def test_a_job_that_goes_on_is_watched(stopper: Autostop, api: Kubernetes) -> None:
    """It alone, from the state that was seen; the watch that the API ends is begun anew."""
    api.answers["get"] = [job(version="7"), job(version="8")]
    api.answers["watch"] = [[event("MODIFIED", job())], [event("MODIFIED", job("Complete"))]]
    assert stopper.wait_for("a") == "complete"
    watches = [query for name, _, query in api.asked if name == "watch"]
    assert [query["resourceVersion"] for query in watches] == [["7"], ["8"]]
    assert {query["fieldSelector"][0] for query in watches} == {"metadata.name=a"}


def test_a_version_that_is_too_old(stopper: Autostop, api: Kubernetes) -> None:
    """The state is asked for anew."""
    api.answers["get"] = [job(), job("Failed")]
    api.answers["watch"] = [[event("ERROR", {"code": 410})]]
    assert stopper.wait_for("a") == "failed"


def test_a_job_that_is_deleted_has_ended(stopper: Autostop, api: Kubernetes) -> None:
    """Whether it is seen to go or was there before."""
    api.answers |= {"get": [job()], "watch": [[event("DELETED", job())]]}
    assert stopper.wait_for("a") == "gone"
    api.answers |= {"get": [job(), 404], "watch": [[]]}
    assert stopper.wait_for("a") == "gone"


def test_a_job_that_is_not_there_yet(stopper: Autostop, api: Kubernetes, clock: Clock) -> None:
    """Is waited for, since Helm makes one after another; not for ever."""
    api.answers |= {"get": [404], "watch": [[], [event("ADDED", job()), event("MODIFIED", job("Complete"))]]}
    assert stopper.wait_for("a") == "complete"
    began = clock.now
    api.answers |= {"get": [404], "watch": [[]]}
    assert stopper.wait_for("a") == "gone"
    assert clock.now - began > autostop.UNSEEN_S


def test_an_api_that_restarts(stopper: Autostop, api: Kubernetes, clock: Clock) -> None:
    """No answer, a broken one, a refusal: it is asked again, ever more slowly."""
    api.answers |= {"get": [None, 503, 403, job()], "watch": [None, [event("MODIFIED", job("Complete"))]]}
    assert stopper.wait_for("a") == "complete"
    assert clock.pauses == [1.0, 2.0, 4.0, 8.0]


def test_patience_begins_anew_when_the_api_was_heard(
    stopper: Autostop, api: Kubernetes, clock: Clock
) -> None:
    """A watch of hours that breaks off has not used it up."""
    api.answers["get"] = [job(), 503, job("Complete")]

    class Long(Api):
        def watch(self, path: str) -> Iterator[Json]:
            clock.now += 40_000
            yield event("MODIFIED", job())
            raise AwayError("broken off")

    stopper.api = Long(stopper.api.server, stopper.api.account)
    assert stopper.wait_for("a") == "complete"


def test_patience_is_bounded(stopper: Autostop, api: Kubernetes, clock: Clock) -> None:
    """An API that stays away is given up, for the Job to be tried again."""
    api.answers["get"] = [503]
    with pytest.raises(AwayError, match="503"):
        stopper.wait_for("a")
    assert autostop.PATIENCE_S < clock.now < 2 * autostop.PATIENCE_S


def test_stopping(stopper: Autostop, api: Kubernetes) -> None:
    """Exactly the one Deployment's scale is patched; a Deployment that is gone needs no stopping."""
    api.answers["patch"] = [503, {"spec": {"replicas": 0}}]
    assert stopper.stop("server")
    assert api.asked == [("patch", SCALE, {"spec": {"replicas": 0}})] * 2
    api.answers["patch"] = [404]
    assert not stopper.stop("server")
