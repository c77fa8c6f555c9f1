"""The two images of the Kubernetes tests: the real client image, and the fault server as a model server.

There is no registry at hand, so a Debian made by debootstrap stands in for the client image's public base. It
is made once and kept in grace's cache, as are the images of the latest sources.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from grace_client.core import paths
from tests.conftest import ROOT

CLIENT = "localhost/grace-client:test"
SERVER = "localhost/grace-fault-server:test"
BASE = "localhost/grace-standin:bookworm"
DEBOOTSTRAP = ("debootstrap", "--variant=minbase", "--include=python3,python3-venv", "bookworm")
TOOLS = ("buildah", "debootstrap")
MADE_OF = (
    "Containerfile",
    ".containerignore",
    "constraints.txt",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "charts",
    "data",
    "grace_client",
    "scripts/image",
    "scripts/pip_settings.py",
    "tests/real_cluster/images.py",
    "tests/real_cluster/server",
    "tests/support",
    "values",
)


@dataclass(frozen=True, slots=True)
class Images:
    """Archives of both images.

    Attributes
    ----------
    client, server : Path
        Docker archives.
    """

    client: Path
    server: Path


def ensure() -> Images:
    """The archives of the sources as they are, built where the cache does not hold them."""
    home = paths.cache() / "kube"
    home.mkdir(parents=True, exist_ok=True)
    folder = home / f"images-{_digest()}"
    if not folder.is_dir():
        for older in home.glob("images-*"):
            shutil.rmtree(older)
        _install_tools()
        with tempfile.TemporaryDirectory(dir=home, prefix="building-") as building:
            _build(home, Path(building))
            (Path(building) / "images").rename(folder)
    return Images(folder / "client.tar", folder / "server.tar")


def _build(home: Path, building: Path) -> None:
    root = base()
    images = building / "images"
    env = os.environ | _storage(home, building)
    try:
        made = _run("buildah", "from", "scratch", env=env)
        _run("buildah", "add", "--quiet", made, str(root), "/", env=env)
        _run("buildah", "config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", made, env=env)
        _run("buildah", "commit", "--quiet", "--rm", made, BASE, env=env)
        image = [str(ROOT / "scripts" / "image")]
        given = ["--tag", CLIENT, "--with", "buildah"]
        _run(*image, "build", *given, "--base", BASE, env=env)
        _run(*image, "save", str(images / "client.tar"), *given, env=env)
        options = ["--build-arg", f"CLIENT={CLIENT}", "--tag", SERVER, "--ignorefile", os.devnull]
        _run("buildah", "build", *options, "--file", "tests/real_cluster/server/Containerfile", ".", env=env)
        _run(
            "buildah", "push", "--quiet", SERVER, f"docker-archive:{images / 'server.tar'}:{SERVER}", env=env
        )
    finally:
        _run("buildah", "rm", "--all", env=env)
        _run("buildah", "rmi", "--all", "--force", env=env)


def base() -> Path:
    """A root file system with Python as an archive."""
    archive = paths.cache() / "kube" / "bookworm-python.tar"
    if not archive.exists():
        # Not under the cache: debootstrap needs a file system with devices.
        with tempfile.TemporaryDirectory() as root, paths.replacing(archive) as new:
            _run(*DEBOOTSTRAP, root)
            _run(
                "tar", "--create", "--file", str(new), "--directory", root, "--exclude=./var/cache/apt/*", "."
            )
    return archive


def _storage(home: Path, building: Path) -> dict[str, str]:
    """Environment in which buildah leaves this machine's own images alone and needs no container runtime."""
    config = building / "storage.conf"
    for driver in ("overlay", "vfs"):
        places = f'graphroot = "{home / "storage"}"\nrunroot = "{home / "run"}"\n'
        config.write_text(f'[storage]\ndriver = "{driver}"\n{places}')
        env = {"CONTAINERS_STORAGE_CONF": str(config), "BUILDAH_ISOLATION": "chroot"}
        # Overlays do not lie on every file system.
        if subprocess.run(["buildah", "info"], env=os.environ | env, capture_output=True).returncode == 0:
            return env
    raise RuntimeError("buildah works neither with overlay nor with vfs here; 'buildah info' says why")


def _install_tools() -> None:
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        _run("apt-get", "update", "--quiet")
        quietly = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        _run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing, env=quietly)


def _digest() -> str:
    """Of everything the images are made of."""
    digest = hashlib.sha256()
    for path in sorted(_files(ROOT / name for name in MADE_OF)):
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_mode & 0o111}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _files(places: Iterable[Path]) -> list[Path]:
    found = [path for place in places for path in ([place] if place.is_file() else place.rglob("*"))]
    return [path for path in found if path.is_file() and path.suffix != ".pyc"]


def _run(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        tail = (done.stdout + done.stderr)[-4000:]
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{tail}")
    return done.stdout.strip()
