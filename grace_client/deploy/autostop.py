"""Stops a release's server when its last query Job has ended, so that its GPUs are free.

``python -m grace_client.deploy.autostop --deployment NAME JOB…`` runs in a Job of the release. Its account
may only look at these Jobs and scale this Deployment. Exit codes: 0 the server is stopped, or it is gone; 3
the API did not answer or refused, and a retry may succeed.

It imports only the standard library and modules that need nothing else: its pod has a fraction of a core.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from grace_client.core import retry
from grace_client.kube import job_end

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
WATCH_S = 300
"""Seconds after which the API ends a watch; then the next one begins."""
UNSEEN_S = 300
"""Seconds to wait for a Job that does not exist yet: Helm creates a release's Jobs one after another."""
PATIENCE_S = 900
"""Seconds without an answer of the API after which this program gives up."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0

Json = dict[str, Any]
T = TypeVar("T")


class AwayError(Exception):
    """The API does not answer, or refuses."""


@dataclass
class Api:
    """The Kubernetes API of the pod's own cluster and namespace.

    Attributes
    ----------
    server : str
        Such as ``https://10.0.0.1:443``.
    account : Path
        Folder with the account's token, its namespace and the certificate of the API's authority.
    """

    server: str
    account: Path = ACCOUNT
    _trust: ssl.SSLContext | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.server.startswith("https"):
            self._trust = ssl.create_default_context(cafile=str(self.account / "ca.crt"))

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return (self.account / "namespace").read_text().strip()

    def get(self, path: str) -> Json:
        """An object; for errors see `lines`."""
        return dict(json.loads(b"".join(self.lines(path))))

    def watch(self, path: str) -> Iterator[Json]:
        """Changes as they happen, until the API ends the watch; for errors see `lines`."""
        for line in self.lines(path, seconds=WATCH_S + 30):
            yield json.loads(line)

    def patch(self, path: str, patch: Json) -> None:
        """Merge a patch into an object; for errors see `lines`."""
        b"".join(self.lines(path, json.dumps(patch).encode()))

    def lines(self, path: str, patch: bytes | None = None, *, seconds: float = 30) -> Iterator[bytes]:
        """The lines of an answer as they arrive.

        Raises
        ------
        FileNotFoundError
            If there is no such object.
        AwayError
            If the API does not answer, or refuses: a new role may become valid after its pod has started.
        """
        # The token is read every time: Kubernetes replaces it before it expires.
        headers = {"Authorization": f"Bearer {(self.account / 'token').read_text().strip()}"}
        if patch is not None:
            headers["Content-Type"] = "application/merge-patch+json"
        method = "GET" if patch is None else "PATCH"
        request = urllib.request.Request(self.server + path, patch, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=seconds, context=self._trust) as answer:
                yield from answer
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise FileNotFoundError(path) from None
            raise AwayError(f"{error.code} {error.read(500).decode(errors='replace')}") from None
        except (OSError, http.client.HTTPException) as error:
            raise AwayError(str(error) or type(error).__name__) from None


@dataclass
class Autostop:
    """Waits for Jobs, also while the API restarts, and stops a server.

    Attributes
    ----------
    api : Api
        The cluster.
    pause : callable
        Waits for a number of seconds.
    clock : callable
        Monotonic clock, in seconds.
    """

    api: Api
    pause: Callable[[float], object] = field(default_factory=lambda: threading.Event().wait)
    clock: Callable[[], float] = time.monotonic
    _heard: float = field(default=0.0, init=False)

    def wait_for(self, job: str) -> str:
        """Wait until a Job has ended; returns ``complete``, ``failed``, or ``gone`` if it was deleted."""
        jobs = f"/apis/batch/v1/namespaces/{quote(self.api.namespace)}/jobs"
        began, seen = self.clock(), False

        def look() -> str:
            nonlocal seen
            query = {"fieldSelector": f"metadata.name={job}", "watch": "true", "timeoutSeconds": str(WATCH_S)}
            try:
                now = self.api.get(f"{jobs}/{quote(job)}")
            except FileNotFoundError:
                if seen or self.clock() - began > UNSEEN_S:
                    return "gone"
                query["timeoutSeconds"] = "10"
            else:
                seen = True
                query["resourceVersion"] = now["metadata"]["resourceVersion"]
                if end := job_end.end(now):
                    return str(end["type"]).lower()
            for event in self.api.watch(f"{jobs}?{urlencode(query)}"):
                self._heard = self.clock()
                if event["type"] == "DELETED":
                    return "gone"
                if event["type"] == "ERROR":
                    # Such as a resource version that is too old. The next look reads the state again.
                    break
                seen = True
                if end := job_end.end(event["object"]):
                    return str(end["type"]).lower()
            return ""

        while not (how := self._retried(look)):
            pass
        return how

    def stop(self, deployment: str) -> bool:
        """Scale a Deployment to zero; False if there is none."""
        path = f"/apis/apps/v1/namespaces/{quote(self.api.namespace)}/deployments/{quote(deployment)}/scale"
        try:
            self._retried(lambda: self.api.patch(path, {"spec": {"replicas": 0}}))
        except FileNotFoundError:
            return False
        return True

    def _retried(self, call: Callable[[], T]) -> T:
        """Call until it succeeds; raises the last error after `PATIENCE_S` without an answer."""
        self._heard, failures = self.clock(), 0
        while True:
            try:
                return call()
            except (AwayError, ValueError) as error:
                if self.clock() - self._heard > PATIENCE_S:
                    raise AwayError(str(error)) from None
                failures += 1
                seconds = retry.pause(failures, FIRST_PAUSE_S, LONGEST_PAUSE_S)
                print(f"the API does not answer or refuses: {error}; next try in {seconds:g} s", flush=True)
                self.pause(seconds)


def main() -> None:
    """Wait for the Jobs, then stop the server."""
    parser = argparse.ArgumentParser(prog="grace_client.deploy.autostop")
    parser.add_argument("--deployment", required=True)
    parser.add_argument("jobs", nargs="+", metavar="JOB")
    given = parser.parse_args()
    # The first process of a container ignores SIGTERM unless it has a handler; it would be killed much later.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    autostop = Autostop(Api(f"https://{f'[{host}]' if ':' in host else host}:{port}"))
    try:
        for job in given.jobs:
            print(f"Job {job}: {autostop.wait_for(job)}", flush=True)
        stopped = autostop.stop(given.deployment)
    except AwayError as error:
        print(f"giving up after {PATIENCE_S} s without the API: {error}", file=sys.stderr)
        sys.exit(3)
    print(f"Deployment {given.deployment} is {'stopped' if stopped else 'gone'}", flush=True)


if __name__ == "__main__":
    main()
