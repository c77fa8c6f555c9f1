"""A Kubernetes with the cluster's rules, and in it the two images and an empty namespace."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real_cluster import cluster, images, vllm_image
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
    with cluster.locked("images"):
        return images.ensure()


@pytest.fixture(scope="session")
def environment(
    archives: images.Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Environment of a user of this process's namespace."""
    name = f"grace-{os.environ.get('PYTEST_XDIST_WORKER', 'tests')}"
    folder = tmp_path_factory.mktemp("user")
    with cluster.running(archives) as admin, cluster.namespace(admin, name, folder) as user:
        yield user


@pytest.fixture(scope="session")
def vllm(environment: dict[str, str]) -> str:
    """Tag of the image with the real server, which the cluster has."""
    vllm_image.setup()
    program = os.environ["GRACE_TEST_CLUSTER"]
    admin = environment | {"KUBECONFIG": environment["GRACE_CLUSTER_KUBECONFIG"]}
    command = ["kubectl", "get", "nodes", "--output", "jsonpath={.items[*].status.images[*].names}"]
    with cluster.turn(alone=False):
        has = subprocess.run(command, env=admin, capture_output=True, text=True, check=True).stdout
        return vllm_image.ensure(program, has)


@pytest.fixture
def kube(environment: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Kube]:
    """An empty namespace, and Helm 4; for a test with the marker ``alone`` the whole cluster."""
    with cluster.turn(alone=request.node.get_closest_marker("alone") is not None):
        made = Kube(environment)
        if made.names(EVERYTHING):
            made.clean()
        yield made
        made.clean()
