"""A namespace of the test cluster, as the user sees it who has rights in that namespace only."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

from grace_client.kube import job_end
from tests.conftest import ROOT, undated

Json = dict[str, Any]

CHART = ROOT / "charts" / "grace"
SMALL = ROOT / "tests" / "real_cluster" / "values.yaml"
API, NAMESPACE = "GRACE_TEST_API", "GRACE_TEST_NAMESPACE"
"""Variables of a test's environment: where the API answers this user without a key, and the namespace."""
GROUPS = {
    "deployments": "apis/apps/v1",
    "jobs": "apis/batch/v1",
    "networkpolicies": "apis/networking.k8s.io/v1",
}
"""Of what is not in the first group."""
EVERYTHING = "all,pvc,secret,configmap,networkpolicy"
BUSY = 4
"""How much slower than an idle machine a busy one may be."""
POLL = 0.5
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that failed.

    Attributes
    ----------
    said : str
        What it printed.
    """

    said: str


class Kube:
    """Runs helm and kubectl.

    Parameters
    ----------
    env : mapping
        Environment in which both find the cluster.
    helm : str
        Program: ``helm`` is Helm 4, ``helm3`` Helm 3.
    """

    def __init__(self, env: Mapping[str, str], helm: str = "helm") -> None:
        self.env, self.helm_program = dict(env), helm
        self.namespace = env[NAMESPACE]

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """What kubectl prints."""
        return self._done(["kubectl", *args], stdin)

    def helm(self, *args: str) -> str:
        """What helm prints."""
        return self._done([self.helm_program, *args])

    def refused(self, *command: str) -> Refused:
        """A helm command that must fail, or kubectl's where that is named first."""
        program = [] if command[0] == "kubectl" else [self.helm_program]
        done = self._run([*program, *command])
        assert done.returncode, f"was not refused: {' '.join(command)}\n{done.stdout}"
        return Refused(done.stdout + done.stderr)

    def install(
        self, release: str, *args: str, verb: str = "install", values: Sequence[Path] = (SMALL,)
    ) -> None:
        """Install the chart and wait until its server is ready."""
        files = [word for path in values for word in ("--values", str(path))]
        self.helm(verb, release, str(CHART), *files, "--wait", "--timeout", "400s", *args)

    def uninstall(self, release: str) -> None:
        """Uninstall, and wait until the release's pods are gone: one of them may still hold a GPU."""
        self.helm("uninstall", release, "--cascade", "foreground", "--wait", "--timeout", "200s")
        # A kubelet of this age ends its wait for a volume, two minutes, before it ends the pod.
        self.until(lambda: not self.get("pods", instance(release)), 150, f"the pods of {release} to go")

    def get(self, kind: str, selector: str = "") -> list[Json]:
        """Objects of some kind, the oldest first."""
        found: list[Json] = self._read(f"{kind}?labelSelector={quote(selector)}")["items"]
        return sorted(found, key=lambda item: str(item["metadata"]["creationTimestamp"]))

    def names(self, kinds: str) -> set[str]:
        """``kind/name`` of all objects of some kinds, except those that Kubernetes makes itself."""
        found = self.kubectl("get", kinds, "--output", "name").split()
        own = ("secret/default-token-", "configmap/kube-root-ca.crt", "secret/sh.helm.")
        return {name for name in found if not name.startswith(own)}

    def until(self, true: Callable[[], object], seconds: float, what: str) -> None:
        """Wait for something, `BUSY` times as long as it may take on a machine with nothing else to do."""
        end = time.monotonic() + BUSY * seconds
        while not true():
            if time.monotonic() > end:
                raise AssertionError(f"waited {BUSY * seconds:g} s for {what}\n{self.state()}")
            time.sleep(POLL)

    def finished(self, job: str, seconds: float) -> bool:
        """Wait until a Job has ended; whether it succeeded."""
        ends: list[Json] = []

        def ended() -> bool:
            if found := job_end.end(self._read(f"jobs/{job}")):
                ends.append(found)
            return bool(ends)

        self.until(ended, seconds, f"the end of Job {job}")
        return bool(ends[0]["type"] == job_end.COMPLETE)

    def query_job(self, release: str) -> str:
        """Name of the one query Job of a release."""
        (job,) = self.get("jobs", component(release, "query"))
        return str(job["metadata"]["name"])

    def exit_codes(self, job: str) -> list[int]:
        """Of a Job's pods that have ended, the oldest first."""
        statuses = [pod["status"].get("containerStatuses", []) for pod in self.get("pods", f"job-name={job}")]
        ended = [status["state"].get("terminated") for containers in statuses for status in containers]
        return [state["exitCode"] for state in ended if state]

    def version(self) -> tuple[int, int]:
        """Version of the cluster's API, such as ``(1, 20)``."""
        found = json.loads(self.kubectl("version", "--output", "json"))["serverVersion"]
        major, minor = (int(re.sub(r"\D", "", found[part])) for part in ("major", "minor"))
        return major, minor

    def token(self, account: str) -> str:
        """A token of a service account."""
        if self.version() >= (1, 24):
            return self.kubectl("create", "token", account).strip()
        # Older clusters put one into a Secret, and do not let a namespace's user ask for another.
        form = "jsonpath={.secrets[*].name}"
        named = ["get", "serviceaccount", account, "--output", form]
        self.until(lambda: self.kubectl(*named), 10, f"a token of {account}")
        form = "go-template={{.data.token | base64decode}}"
        return self.kubectl("get", "secret", self.kubectl(*named), "--output", form)

    def log(self, job: str) -> str:
        """What the pods of a Job printed."""
        return self.kubectl("logs", "--selector", f"job-name={job}", "--tail=-1")

    def run_job(self, name: str, image: str, args: Sequence[str], **container: Any) -> Json:
        """Start a Job of one small container that is not retried."""
        amounts = {"cpu": "300m", "memory": "512Mi"}
        mounts = container.pop("volumes", [])
        pod = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "nodeSelector": {"grace.test/node": "real"},
            "volumes": [{"name": "tmp", "emptyDir": {}}, *mounts],
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "args": list(args),
                    "resources": {"requests": amounts, "limits": amounts},
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                }
                | container
            ],
        }
        spec = {"backoffLimit": 0, "activeDeadlineSeconds": 600, "template": {"spec": pod}}
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "--filename", "-", stdin=json.dumps(job))
        return job

    def state(self) -> str:
        """What there is and what went wrong, for a message."""
        parts = [
            ["get", "all,pvc", "--output", "wide"],
            ["get", "events", "--field-selector", "type=Warning"],
        ]
        return "\n".join(self._run(["kubectl", *part]).stdout for part in parts)

    def clean(self) -> None:
        """Empty the namespace."""
        for release in json.loads(self._done(["helm3", "list", "--all", "--output", "json"])):
            self._run(["helm3", "uninstall", release["name"], "--no-hooks"])
        self.kubectl("delete", "deployments,jobs,services,networkpolicies,pvc", "--all", "--wait=false")
        self.kubectl("delete", "pods", "--all", "--force", "--grace-period=0")
        if rest := self.names("secret,configmap"):
            self.kubectl("delete", *sorted(rest), "--ignore-not-found")
        self.until(lambda: not self.names(EVERYTHING), 60, "an empty namespace")

    def _read(self, what: str) -> Json:
        """What the API answers. A process of kubectl would use a fifth of a second of CPU for each look."""
        kind = re.split(r"\W", what)[0]
        url = f"{self.env[API]}/{GROUPS.get(kind, 'api/v1')}/namespaces/{self.namespace}/{what}"
        with urlopen(url, timeout=60) as answer:
            found: Json = json.load(answer)
        return found

    def _done(self, command: list[str], stdin: str | None = None) -> str:
        done = self._run(command, stdin)
        if done.returncode:
            said = done.stdout + done.stderr
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{said}\n{self.state()}")
        return done.stdout

    def _run(self, command: list[str], stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.env, cwd=ROOT, input=stdin or "", capture_output=True, text=True, timeout=600
        )


def grace_command(*args: str) -> list[str]:
    """The command line of grace in this checkout."""
    return [sys.executable, "-m", "grace_client", *args]


def grace(kube: Kube, *args: str) -> str:
    """What grace prints, as the user of this cluster."""
    done = subprocess.run(
        grace_command(*args), env=kube.env, cwd=ROOT, capture_output=True, text=True, timeout=1200
    )
    assert not done.returncode, f"grace {' '.join(args)}:\n{done.stdout}{done.stderr}\n{kube.state()}"
    return done.stdout


def tables(run: Path) -> dict[str, bytes]:
    """The CSV files of a run folder, by their names without the day."""
    return {undated(path.name): path.read_bytes() for path in run.glob("*.csv")}


def assert_same(found: Mapping[str, bytes], expected: Mapping[str, bytes]) -> None:
    """Tables are equal byte for byte; the message has the first line that differs."""
    assert sorted(found) == sorted(expected) and expected
    for name, content in expected.items():
        lines, wanted = found[name].splitlines(), content.splitlines()
        for number, (line, want) in enumerate(zip(lines, wanted, strict=False), start=1):
            assert line == want, f"{name}, line {number}:\n{line!r}\n{want!r}"
        assert found[name] == content, f"{name}: {len(lines)} lines, {len(wanted)} expected"


def instance(release: str) -> str:
    """Selector of everything of a release."""
    return f"app.kubernetes.io/instance={release}"


def component(release: str, name: str) -> str:
    """Selector of one component of a release."""
    return f"{instance(release)},app.kubernetes.io/component={name}"
