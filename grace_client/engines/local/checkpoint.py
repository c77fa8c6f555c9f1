"""Loads a transformers model from a folder or the hub, completely, or says what is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PretrainedConfig
from transformers.utils import logging

from grace_client.core.errors import SpecError
from grace_client.engines.local import default_model
from grace_client.engines.local.model_check import check_architecture, check_tensors

DTYPES = ("auto", "float32", "bfloat16", "float16")

LFS = b"version https://git-lfs.github.com/spec/"
"""The beginning of a Git LFS pointer, the small file that stands for a large one."""

FORMAT = "config.json, *.safetensors and tokenizer.json"

_SINGLE = {".gguf", ".safetensors", ".bin", ".pt", ".pth", ".ckpt"}


def source_of(model: str | None, say: Callable[[str], None]) -> tuple[str, str]:
    """Where a model is, a folder or an id on the hub, and its name. Default: the embedded model."""
    if model is None or model == default_model.NAME:
        model = str(default_model.ensure(say))
    return model, Path(model).resolve().name if Path(model).is_dir() else model


def load_tokenizer(source: str, name: str) -> tuple[Any, Any]:
    """Load configuration and tokenizer of a model, without weights.

    Parameters
    ----------
    source, name : str
        From `source_of`; the name is for errors.

    Raises
    ------
    SpecError
        If they cannot be loaded, or the model is not a causal language model.
    """
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    folder = Path(source) if Path(source).is_dir() else None
    if folder is None:
        _check_name(source)
    else:
        _check_files(folder)
    part = "configuration"
    try:
        # Program code in a checkpoint is never run, and transformers must not ask whether to run it.
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        check_architecture(config, name)
        part = "tokenizer"
        return config, AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except SpecError:
        raise
    except Exception as error:  # the libraries raise many types of errors
        raise SpecError(_failure(source, name, part, "cpu", error)) from error


def load(source: str, name: str, *, dtype: str, device: str) -> tuple[Any, Any]:
    """Load model and tokenizer, every weight from the checkpoint.

    Parameters
    ----------
    source, name : str
        From `source_of`; the name is for errors.
    dtype : str
        One of `DTYPES`; ``"auto"`` is float32 on a CPU and the type of the weights elsewhere.
    device : str
        Device to compute on, see `device_for`.

    Raises
    ------
    SpecError
        If the model cannot be loaded, or a tensor would not come from the checkpoint.
    """
    config, tokenizer = load_tokenizer(source, name)
    kind = "float32" if dtype == "auto" and device == "cpu" else dtype
    try:
        model, loading = AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            dtype=kind,
            device_map=device,
            trust_remote_code=False,
            output_loading_info=True,
            # `check_tensors` refuses them and names them.
            ignore_mismatched_sizes=True,
        )
    except Exception as error:  # the libraries raise many types of errors
        raise SpecError(_failure(source, name, "weights", device, error)) from error
    check_tensors(model, loading, name)
    return model.eval(), tokenizer


def device_for(dtype: str, device: str | None) -> str:
    """The device to compute on. Default: the first of CUDA, MPS and CPU that is available.

    Raises
    ------
    SpecError
        If the data type or the device does not exist.
    """
    if dtype not in DTYPES:
        raise SpecError(f"--dtype {dtype} does not exist. Use one of {', '.join(DTYPES)}")
    if device is None:
        return _devices()[0]
    try:
        torch.zeros(1, device=device).item()
    except Exception as error:  # an AssertionError where torch was built without CUDA
        raise SpecError(
            f"torch {torch.__version__} cannot compute on the device {device!r} ({_first_line(error)}). Use "
            f"--device {' or '.join(_devices())}, or leave --device out"
        ) from None
    return device


def fingerprint(folder: Path) -> str:
    """Hash over names, sizes and both ends of the files of a model folder.

    The ends distinguish two sets of weights, and reading 140 GB would take too long.
    """
    end = 4 << 20
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in {".safetensors", ".bin", ".json", ".model", ".jinja"}:
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(end))
            if size > end:
                file.seek(max(end, size - end))
                digest.update(file.read(end))
    return f"sha256:{digest.hexdigest()}"


def _devices() -> list[str]:
    found = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return [*found, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def _check_name(source: str) -> None:
    """SpecError if a name is neither a folder nor an id on the hub."""
    path = Path(source)
    if path.suffix in _SINGLE and (path.is_file() or len(path.parts) != 2):
        what = "a GGUF file" if path.suffix == ".gguf" else "a single file of weights"
        absent = "" if path.is_file() else ", which does not exist"
        whole = (path.parent / "config.json").is_file() and path.suffix != ".gguf"
        remedy = f"use {path.parent}" if whole else "use the folder of the model from which the file was made"
        raise SpecError(
            f"{source} is {what}{absent}. --model takes a folder in the format of transformers ({FORMAT}): "
            f"{remedy}"
        )
    if path.is_file():
        raise SpecError(f"{source} is a file. --model takes a model's folder ({FORMAT}) or its id on the hub")
    if path.is_absolute() or source.startswith((".", "~")):
        raise SpecError(f"The folder {source} does not exist. Check the spelling of --model")


def _check_files(folder: Path) -> None:
    """Check that a folder contains a whole model; SpecError with the file at fault."""
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
        _check_kind(folder, names)
        for name in names:
            _check_file(folder / name)
    except OSError as error:
        raise SpecError(
            f"{error.filename or folder} cannot be read ({error.strerror}). Check the permissions of the "
            "model's folder, or copy the model again"
        ) from None


def _check_kind(folder: Path, names: list[str]) -> None:
    if "adapter_config.json" in names:
        raise SpecError(
            f"{folder} contains an adapter (adapter_config.json). An adapter changes another model, and "
            "grace does not apply adapters. Merge the two with peft (model.merge_and_unload(), then "
            "save_pretrained), and name the merged model's folder with --model"
        )
    if "config.json" in names:
        return
    if ggufs := [name for name in names if name.endswith(".gguf")]:
        raise SpecError(
            f"{folder} contains GGUF files ({', '.join(ggufs[:3])}), which the embedded engine does not "
            f"read. Name the folder of the model from which they were made ({FORMAT}) with --model"
        )
    inner = next((path.parent for path in _configs(folder)), None)
    hint = f"Did you mean {inner}?" if inner else f"A model's folder contains {FORMAT}. Copy all of it again"
    raise SpecError(f"{folder} contains no config.json, so it is not the folder of a model. {hint}")


def _configs(folder: Path) -> Iterator[Path]:
    """Configurations of models one and three levels down; the hub's cache has them in snapshots/COMMIT."""
    for pattern in ("*/config.json", "snapshots/*/config.json"):
        yield from sorted(folder.glob(pattern))


def _check_file(path: Path) -> None:
    with path.open("rb") as file:
        begins = file.read(len(LFS))
    if begins == LFS:
        raise SpecError(
            f"{path} is a Git LFS pointer: the file itself was not fetched. Run "
            f"'git -C {path.parent} lfs pull', then the same command again"
        )
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, "pt"):
                pass
        except SafetensorError as error:
            raise SpecError(
                f"{path} is damaged or incomplete ({path.stat().st_size} bytes; {_first_line(error)}). Copy "
                "or download it again"
            ) from None


def _failure(source: str, name: str, part: str, device: str, error: Exception) -> str:
    """The cause of a library's error and the next step, from its class and the model's configuration."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__

    def caused_by(*kinds: type[BaseException]) -> bool:
        return any(isinstance(one, kinds) for one in causes)

    config: dict[str, Any] = {}
    with suppress(Exception):  # the configuration may be the file at fault
        config = PretrainedConfig.get_config_dict(source)[0]

    if caused_by(torch.OutOfMemoryError, MemoryError):
        what = (
            f"{name} does not fit into the memory of {device}. Use a smaller --dtype, such as bfloat16, or a "
            "smaller model"
        )
    elif isinstance(error, ImportError):
        what = (
            f"{name} needs a Python package that is not installed. Install it, or use a model whose weights "
            "are not quantised"
        )
    elif caused_by(GatedRepoError):
        what = (
            f"{name} is gated. Accept its licence on its model page, make an access token, and set HF_TOKEN "
            "to it"
        )
    elif caused_by(RepositoryNotFoundError, HFValidationError):
        what = (
            f"There is no model {name!r}, neither as a folder here nor on the hub. Check the spelling; if "
            "the model is private, set HF_TOKEN"
        )
    elif caused_by(LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError):
        what = (
            f"{name} is not in the local cache, and the hub cannot be reached. Check the network, or name "
            "the folder of a downloaded model with --model"
        )
    elif "auto_map" in config:
        what = (
            f"{name} needs program code of its own, which grace does not run. Use a model that transformers "
            "supports, or serve this one with vLLM and name the server with --server"
        )
    elif "quantization_config" in config:
        what = (
            f"The quantised weights of {name} cannot be used on {device}. Use a model that is not quantised"
        )
    else:
        what = (
            f"The {part} of {name} cannot be loaded. Check that it is a causal language model and that all "
            "its files are there"
        )
    return f"{what} ({type(error).__name__}: {_first_line(error)})"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
