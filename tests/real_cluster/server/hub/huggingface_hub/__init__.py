"""The model hub, which no test cluster reaches: a repository is a folder of the image, or three small files.

Only what the chart's download asks of the real package, which lays the files out in the same folders.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.errors import RepositoryNotFoundError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODELS = Path("/opt/models")
FILES = {"config.json": 2_000, "model.safetensors": 1_000_000, "onnx/model.onnx": 1_000_000}


@dataclass
class Sibling:
    """A file of a repository."""

    rfilename: str
    size: int


@dataclass
class ModelInfo:
    """What the hub tells of a model."""

    sha: str
    siblings: list[Sibling]


class HfApi:
    """Asks the hub."""

    def model_info(self, repository: str, *, revision: str, files_metadata: bool) -> ModelInfo:
        """Files of a model."""
        if "no-such-model" in repository:
            raise RepositoryNotFoundError(f"404 for {repository}")
        return ModelInfo(COMMIT, [Sibling(name, size) for name, size in _files(repository).items()])


def snapshot_download(
    repository: str, *, revision: str, allow_patterns: list[str], ignore_patterns: list[str], max_workers: int
) -> str:
    """Write the files that lie at the top."""
    home = Path(os.environ["HF_HOME"]) / "hub" / f"models--{repository.replace('/', '--')}"
    snapshot = home / "snapshots" / COMMIT
    for folder in home / "blobs", home / "refs", snapshot:
        folder.mkdir(parents=True, exist_ok=True)
    (home / "refs" / revision).write_text(COMMIT)
    for name, size in _files(repository).items():
        if "/" not in name:
            blob = home / "blobs" / name
            if (source := MODELS / repository / name).exists():
                shutil.copyfile(source, blob)
            else:
                blob.write_bytes(bytes(size))
            (snapshot / name).unlink(missing_ok=True)
            (snapshot / name).symlink_to(f"../../blobs/{name}")
    return str(snapshot)


def _files(repository: str) -> dict[str, int]:
    """Names and sizes."""
    folder = MODELS / repository
    return {path.name: path.stat().st_size for path in folder.iterdir()} if folder.is_dir() else FILES
