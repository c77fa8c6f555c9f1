"""The test cluster, which all processes of a run share: each has its namespace, and tests take turns."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from grace_client.core import paths
from tests.real_cluster.images import Images
from tests.real_cluster.kube import API, NAMESPACE

RULES = ("rolebinding/grace-user", "limitrange/nrp")
"""What the cluster's own namespace has: rights of the user, and the rules that are not of the webhook."""
LABELS = {"grace.test/nrp": "yes"}
"""With it the rules' webhook looks at a namespace."""


def cluster(*verb: str) -> str:
    """What the cluster program prints."""
    program = os.environ.get("GRACE_TEST_CLUSTER")
    if not program:
        pytest.fail("GRACE_TEST_CLUSTER names no cluster program; 'scripts/test --all' looks for one")
    done = _program(program, *verb)
    if done.returncode:
        pytest.fail(f"{program} {' '.join(verb)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def running(archives: Images) -> Iterator[dict[str, str]]:
    """Environment of the administrator of a cluster that runs with the rules and has the images.

    The first process starts it. If it did not run before, the last one stops it.
    """
    with _lock("users").open("a+") as users:
        with locked("start"):
            if first := _at_once(users, fcntl.LOCK_EX):
                ran = _program(os.environ.get("GRACE_TEST_CLUSTER", "false"), "status").returncode == 0
                users.truncate(0)
                users.write("" if ran else "started")
                users.flush()
            cluster("up", "--nrp")
            if first:
                cluster("load-image", str(archives.client))
                cluster("load-image", str(archives.server))
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            given = dict(word.split("=", 1) for word in shlex.split(cluster("env")) if "=" in word)
            yield os.environ | given | {"GRACE_CLUSTER_KUBECONFIG": given["KUBECONFIG"]}
        finally:
            with locked("start"):
                if _at_once(users, fcntl.LOCK_EX) and _lock("users").read_text():
                    cluster("down")


@contextmanager
def namespace(admin: Mapping[str, str], name: str, folder: Path) -> Iterator[dict[str, str]]:
    """Environment of a user who has rights in one namespace only, which has the rules of ``grace``.

    Parameters
    ----------
    admin : mapping
        The administrator's environment.
    name : str
        The namespace; made where it does not exist.
    folder : Path
        For the user's configuration.
    """

    def kubectl(*args: str, env: Mapping[str, str] = admin, stdin: str = "") -> str:
        return subprocess.run(
            ["kubectl", *args], env=env, input=stdin, capture_output=True, text=True, check=True
        ).stdout

    kept = ("apiVersion", "kind", "spec", "roleRef", "subjects")
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": LABELS}}
    ]
    for rule in json.loads(kubectl("get", *RULES, "--namespace", "grace", "--output", "json"))["items"]:
        own = {field: rule[field] for field in kept if field in rule}
        objects.append(own | {"metadata": {"name": rule["metadata"]["name"], "namespace": name}})
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    kubectl("apply", "--filename", "-", stdin=json.dumps(listed))
    config = folder / "kubeconfig"
    config.write_bytes(Path(admin["GRACE_CLUSTER_USER_KUBECONFIG"]).read_bytes())
    user = dict(admin) | {"KUBECONFIG": str(config)}
    kubectl("config", "set-context", "--current", "--namespace", name, env=user)
    command = ["kubectl", "proxy", "--port=0"]
    with subprocess.Popen(command, env=user, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout
        address = proxy.stdout.readline().split()[-1]
        try:
            yield user | {API: f"http://{address}", NAMESPACE: name}
        finally:
            proxy.terminate()


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Use the cluster beside other tests, or alone, once these have ended and before others begin."""
    with _lock("turn").open("a") as held:
        with locked("queue"):
            fcntl.flock(held, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Do what only one process may do at a time."""
    with _lock(name).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _lock(name: str) -> Path:
    folder = paths.cache() / "kube" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def _at_once(file: IO[str], how: int) -> bool:
    """Take a lock, if nobody has it."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _program(program: str, *verb: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *verb], stdin=subprocess.DEVNULL, capture_output=True, text=True)
