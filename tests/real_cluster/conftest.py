"""A Kubernetes with the cluster's rules, and in it the two images and an empty namespace."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real_cluster import images, vllm_image
from tests.real_cluster.kube import EVERYTHING, Kube


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the cluster."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.kube)


@pytest.fixture(scope="session")
def archives() -> images.Images:
    """Both images as archives."""
    return images.ensure()


@pytest.fixture(scope="session")
def environment(archives: images.Images) -> Iterator[dict[str, str]]:
    """Environment of a user of one namespace, on a cluster that runs with the rules and holds the images."""
    program = os.environ.get("GRACE_TEST_CLUSTER")
    if not program:
        pytest.fail("GRACE_TEST_CLUSTER names no cluster program; 'scripts/test --all' looks for one")

    def cluster(*args: str) -> str:
        done = subprocess.run([program, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            pytest.fail(
                f"{program} {' '.join(args)} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        return done.stdout

    ran = subprocess.run([program, "status"], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0
    cluster("up", "--nrp")
    try:
        cluster("load-image", str(archives.client))
        cluster("load-image", str(archives.server))
        given = dict(word.split("=", 1) for word in shlex.split(cluster("env")) if "=" in word)
        users = {"KUBECONFIG": given["GRACE_CLUSTER_USER_KUBECONFIG"]}
        yield os.environ | given | users | {"GRACE_CLUSTER_KUBECONFIG": given["KUBECONFIG"]}
    finally:
        if not ran:
            cluster("down")


@pytest.fixture(scope="session")
def vllm(environment: dict[str, str]) -> str:
    """Tag of the image with the real server, which the cluster has."""
    program = os.environ["GRACE_TEST_CLUSTER"]
    admin = environment | {"KUBECONFIG": environment["GRACE_CLUSTER_KUBECONFIG"]}
    command = ["kubectl", "get", "nodes", "--output", "jsonpath={.items[*].status.images[*].names}"]
    has = subprocess.run(command, env=admin, capture_output=True, text=True, check=True).stdout
    return vllm_image.ensure(program, has)


@pytest.fixture
def kube(environment: dict[str, str]) -> Iterator[Kube]:
    """An empty namespace, and Helm 4."""
    made = Kube(environment)
    if made.names(EVERYTHING):
        made.clean()
    yield made
    made.clean()
