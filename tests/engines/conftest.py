"""Models for engine tests: the default one, and tiny random ones made on the spot."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM as Auto
from transformers import (
    BloomConfig,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
)

from grace_client import studies
from grace_client.engines.local.engine import LocalEngine
from grace_client.studies import lists

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
SHAPE = {"vocab_size": 600, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}

CONFIGS: dict[str, Callable[[], PretrainedConfig]] = {
    "llama": lambda: LlamaConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        **SHAPE,
    ),
    "gpt2": lambda: GPT2Config(n_embd=64, n_layer=2, n_head=4, n_positions=2048, **SHAPE),
    "gemma2": lambda: Gemma2Config(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        sliding_window=256,
        max_position_embeddings=2048,
        **SHAPE,
    ),
    "bloom": lambda: BloomConfig(hidden_size=64, n_layer=2, n_head=4, **SHAPE),
    "mamba": lambda: MambaConfig(hidden_size=64, num_hidden_layers=2, state_size=8, **SHAPE),
}


def tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 600 tokens, trained on the project's own stories."""
    backend = Tokenizer.from_str(_trained())
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    made.chat_template = template
    return made


@functools.cache
def _trained() -> str:
    text = lists.default(studies.named("study1")).raw.decode()
    text += "It was amazing. It wasn’t terrible. 0% 10% 100% yes no"
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        [text],
        trainers.BpeTrainer(
            vocab_size=SHAPE["vocab_size"],
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return str(backend.to_str())


def random_model(architecture: str) -> Any:
    """A model with random weights, large enough that its distributions are far from uniform."""
    torch.manual_seed(7)
    model = Auto.from_config(CONFIGS[architecture](), dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3 if architecture == "mamba" else 12)
    return model


@pytest.fixture(scope="session")
def tiny() -> Callable[..., LocalEngine]:
    """Makes an engine with a tiny random model of an architecture."""

    def make(architecture: str = "llama", template: str | None = TEMPLATE) -> LocalEngine:
        model = random_model(architecture)
        return LocalEngine(model, tokenizer(template), name=f"tiny-{architecture}", revision="random")

    return make


@pytest.fixture(scope="session")
def default_engine() -> LocalEngine:
    """The embedded default model."""
    return LocalEngine.load(say=print)


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """A tiny model as a folder on disk."""
    random_model("llama").save_pretrained(tmp_path / "tiny")
    tokenizer().save_pretrained(tmp_path / "tiny")
    assert json.loads((tmp_path / "tiny" / "config.json").read_text())["model_type"] == "llama"
    return tmp_path / "tiny"
