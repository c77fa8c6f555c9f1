"""An image with the real vLLM server, its CPU build, and a hub that holds the default model.

It is this machine's own environment, which `scripts/vllm-cpu setup` made, on the Debian of the other images;
packed once for each cluster.
"""

from __future__ import annotations

import ctypes.util
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from grace_client.core import paths
from grace_client.engines.local import default_model
from tests.conftest import ROOT
from tests.real_cluster import images

REPOSITORY = "example/default"
"""Under which name the hub has the default model."""
SYSTEM = Path("usr/lib/python3/dist-packages")
"""Where Debian's Python looks for packages: the download finds this hub there, and vLLM its own packages."""
Ignore = Callable[[str, list[str]], set[str]]
UNUSED = (
    "torch/include",
    "torch/test",
    "torch/bin/test_*",
    "cv2",
    "opencv_python_headless*",
    "pip",
    "pycountry",
)
VLLM = """#!/bin/sh
# vllm serve MODEL [OPTION…]: of the CPU build only the module works, not the command.
[ "$1" = serve ] || exit 2
shift
cd /tmp
export PYTHONPATH=/opt/vllm/site-packages LD_LIBRARY_PATH=/opt/vllm/lib
exec python3 -m vllm.entrypoints.openai.api_server --model "$@"
"""


def setup() -> None:
    """The environment of which the image is made; takes minutes where there is none."""
    command = [str(ROOT / "scripts" / "vllm-cpu"), "setup"]
    env = os.environ | {"GRACE_PYTHON": sys.executable}
    subprocess.run(command, env=env, check=True, capture_output=True)


def ensure(program: str, node_images: str) -> str:
    """Give the image to a cluster, unless it has it.

    Parameters
    ----------
    program : str
        The cluster's program.
    node_images : str
        What the cluster tells of its nodes' images.

    Returns
    -------
    str
        The image's tag; its name is ``localhost/grace-vllm``.
    """
    env = paths.cache() / "vllm-cpu" / "env"
    made_of = [
        env / "recipe",
        Path(__file__),
        *sorted((ROOT / "tests/real_cluster/server/hub").rglob("*.py")),
    ]
    tag = hashlib.sha256(b"".join(path.read_bytes() for path in made_of)).hexdigest()[:16]
    if tag in node_images:
        return tag
    with tempfile.TemporaryDirectory(dir=paths.cache() / "kube", prefix="vllm-") as folder:
        root = Path(folder)
        subprocess.run(["tar", "-xf", str(images.base()), "-C", folder], check=True)
        (packages,) = (env / "lib").glob("python3*/site-packages")
        _copy(packages, root / "opt/vllm/site-packages", ignore=_unused(packages))
        _copy(default_model.ensure(lambda _: None), root / "opt/models" / REPOSITORY)
        _copy(ROOT / "tests/real_cluster/server/hub/huggingface_hub", root / SYSTEM / "huggingface_hub")
        (root / "opt/vllm/lib").mkdir()
        for library in (env / "lib").glob("lib*.so*"):
            shutil.copy(library, root / "opt/vllm/lib")
        numa = ctypes.util.find_library("numa")
        assert numa, "vLLM needs libnuma"
        found = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
        shutil.copy(
            next(line.split()[-1] for line in found.splitlines() if numa in line), root / "opt/vllm/lib"
        )
        vllm = root / "usr/local/bin/vllm"
        vllm.write_text(VLLM)
        vllm.chmod(0o755)
        subprocess.run([program, "image-from-dir", folder, f"localhost/grace-vllm:{tag}"], check=True)
    return tag


def _unused(packages: Path) -> Ignore:
    """Tests, headers, and what only images and phones ask for."""
    unused = {path for pattern in UNUSED for path in packages.glob(pattern)}

    def ignored(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if Path(folder, name) in unused}

    return ignored


def _copy(source: Path, target: Path, ignore: Ignore | None = None) -> None:
    """A folder as hard links, where both are on one file system."""

    def copy(one: str, other: str) -> None:
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)

    shutil.copytree(source, target, copy_function=copy, ignore=ignore)
