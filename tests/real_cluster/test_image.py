"""The client image is small, holds no secret of the machine that built it, and runs as anybody."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.real_cluster import images
from tests.real_cluster.kube import Kube


@pytest.fixture(scope="module")
def archive(archives: images.Images) -> Iterator[tarfile.TarFile]:
    with tarfile.open(archives.client) as opened:
        yield opened


def read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member
    return member.read()


def manifest(archive: tarfile.TarFile) -> dict[str, Any]:
    (entry,) = json.loads(read(archive, "manifest.json"))
    return dict(entry)


def layers(archive: tarfile.TarFile) -> Iterator[tarfile.TarFile]:
    """Those on top of the base."""
    for name in manifest(archive)["Layers"][1:]:
        with tarfile.open(fileobj=archive.extractfile(name)) as layer:
            yield layer


def test_its_configuration(archive: tarfile.TarFile) -> None:
    """A numeric user other than root, the command, and labels that tell what is inside."""
    whole = json.loads(read(archive, manifest(archive)["Config"]))
    config = whole["config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["grace"]
    labels = {
        name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()
    }
    assert labels["licenses"] == "Apache-2.0"
    assert labels["base.name"] == images.BASE
    assert len(labels["revision"].removesuffix("-modified")) == 40
    text = json.dumps(whole)
    assert "pip.conf" not in "".join(config["Env"])
    assert "/wheels" not in text
    assert "index-url" not in text


def test_what_is_in_it(archive: tarfile.TarFile) -> None:
    """The client and the trial lists; no torch, no tests, nothing of the build; under 350 MB on its base."""
    members = [member for layer in layers(archive) for member in layer.getmembers()]
    names = {member.name for member in members}
    assert {"app/data/study1.csv", "app/data/study2.csv", "opt/grace/bin/grace"} <= names
    packages = {name.split("/")[5] for name in names if "/site-packages/" in name}
    assert {"grace_client", "pandas", "pyarrow", "aiohttp"} <= packages
    assert not packages & {"torch", "transformers", "pytest", "pip", "hatchling"}
    assert not [name for name in names if name.endswith(("pip.conf", "pip.pem")) or name.startswith("src/")]
    assert not [
        name for name in names if "/tests/" in name and name.split("/")[5] in ("pandas", "numpy", "pyarrow")
    ]
    assert not [member.name for member in members if member.isfile() and member.mode & 0o7022]
    assert {(member.uid, member.gid) for member in members} == {(0, 0)}
    assert sum(member.size for member in members) < 350e6


def test_byte_code_does_not_depend_on_file_times(archive: tarfile.TarFile) -> None:
    """PEP 552: flag 1 is byte code by hash that Python does not compare with its source."""
    found = 0
    for layer in layers(archive):
        for member in layer:
            if member.name.endswith(".pyc"):
                opened = layer.extractfile(member)
                assert opened and opened.read(8)[4:] == b"\1\0\0\0", member.name
                found += 1
    assert found > 1000


def test_it_runs_as_anybody_on_a_read_only_root(kube: Kube) -> None:
    """With a user number that it does not know, nothing writable but /tmp, and no capability."""
    strict = {
        "runAsUser": 12345,
        "runAsGroup": 12345,
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    kube.run_job("check", images.CLIENT, ["trials", "check", "data/study1.csv"], securityContext=strict)
    assert kube.finished("check", 60), kube.log("check")
    assert "300 trials" in kube.log("check")
