"""Downloads the files that vLLM loads to the claim, once: download.py REPOSITORY REVISION DECLARED_GIB."""

import fcntl
import fnmatch
import json
import os
import shutil
import sys
from pathlib import Path

WANTED = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.tiktoken", "merges.txt", "vocab.txt")
# Copies of the weights for other programs (original/, metal/, onnx/) lie in folders.
UNWANTED = ("*/*",)
GIB = 2**30
BAD_INPUT, TRY_AGAIN = 2, 3


def say(text):
    """One line of the pod's log."""
    print(f"weights: {text}", flush=True)


def give_up(code, text):
    """End with a reason. Exit code 2: a retry does not help. 3: the next try may succeed."""
    say(text)
    sys.exit(code)


def complete(receipt):
    """Whether every file of an earlier, finished download is still there."""
    if not receipt.exists():
        return False
    files = json.loads(receipt.read_text())["files"]
    return all(Path(name).is_file() and Path(name).stat().st_size == size for name, size in files.items())


def main(repository, revision, declared):
    """Download, unless it is complete; then leave a receipt."""
    home = Path(os.environ["HF_HOME"])
    name = repository.replace("/", "--")
    receipt = home / "receipts" / f"{name}@{revision.replace('/', '--')}.json"
    receipt.parent.mkdir(parents=True, exist_ok=True)
    # Two releases may share the claim; the second waits here, and then has nothing to download.
    lock = receipt.with_name(f"{name}.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    if complete(receipt):
        return say(f"{repository}@{revision} is complete, nothing to download")

    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        info = HfApi().model_info(repository, revision=revision, files_metadata=True)
        sizes = {
            file.rfilename: file.size or 0
            for file in info.siblings
            if any(fnmatch.fnmatch(file.rfilename, pattern) for pattern in WANTED)
            and not any(fnmatch.fnmatch(file.rfilename, pattern) for pattern in UNWANTED)
        }
        weights = sum(size for name, size in sizes.items() if name.endswith(".safetensors"))
        if not weights:
            give_up(
                BAD_INPUT,
                f"{repository}@{revision} has no .safetensors file in its top folder; vLLM loads only these",
            )
        if weights > 1.02 * declared * GIB:
            give_up(
                BAD_INPUT,
                f"{repository}@{revision} has {weights / GIB:.1f} GiB of weights, but model.weightsGiB is "
                f"{declared}. Correct it: the chart computes the claim, the GPU memory and the start-up "
                "budget from it",
            )
        cache = home / "hub" / f"models--{name}"
        # The library downloads a broken file again under another name, and never deletes this one.
        for part in cache.glob("blobs/*.incomplete"):
            part.unlink()
        present = sum(file.stat().st_size for file in cache.glob("blobs/*"))
        missing, free = sum(sizes.values()) - present, shutil.disk_usage(home).free
        if missing > free:
            give_up(
                BAD_INPUT,
                f"{missing / GIB:.1f} GiB are missing, but the claim has only {free / GIB:.1f} GiB free. Set "
                "a larger weights.storage.size",
            )
        whole = sum(sizes.values())
        say(f"{repository}@{info.sha}: {whole / GIB:.1f} GiB, {max(missing, 0) / GIB:.1f} GiB to download")
        folder = snapshot_download(
            repository,
            revision=revision,
            allow_patterns=list(WANTED),
            ignore_patterns=list(UNWANTED),
            max_workers=4,
        )
    except GatedRepoError:
        give_up(
            BAD_INPUT,
            f"the token may not read {repository}: accept its licence at https://huggingface.co/{repository} "
            "with the account of the token, or put another token into the Secret",
        )
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        give_up(BAD_INPUT, f"{repository}@{revision} does not exist, or the token may not read it: {error}")
    except Exception as error:  # each version of the library has its own for a network that fails
        give_up(
            TRY_AGAIN, f"the download failed. The next try downloads the missing files. The error: {error!r}"
        )

    found = {str(Path(folder, name)): size for name, size in sizes.items()}
    new = receipt.with_suffix(".new")
    new.write_text(json.dumps({"commit": info.sha, "files": found}, indent=1))
    new.replace(receipt)
    if not complete(receipt):
        receipt.unlink()
        give_up(TRY_AGAIN, "a file is too short. The next try downloads it again")
    say(f"complete: {len(sizes)} files")


main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
