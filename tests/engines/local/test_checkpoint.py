"""Folders without a complete causal language model are refused."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BertConfig, LlamaConfig, LlamaModel

from grace_client.core.errors import ItemError, SpecError
from grace_client.core.questions import Prompt
from grace_client.engines.local.checkpoint import DTYPES
from grace_client.engines.local.engine import LocalEngine
from grace_client.engines.local.model_check import check_causal
from tests.cli.test_run import STUDY1
from tests.conftest import grace
from tests.engines.conftest import CONFIGS, SHAPE, random_model, tokenizer

Tensors = dict[str, torch.Tensor]
Change = Callable[[Path], Any]

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 123456\n"
Q = "self_attn.q_proj"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a complete model."""
    folder = tmp_path_factory.mktemp("models") / "whole"
    random_model("llama").save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def broken(whole: Path, tmp_path: Path) -> Callable[[Change], str]:
    """Copies that folder and changes the copy."""

    def make(change: Change) -> str:
        shutil.copytree(whole, tmp_path / "broken")
        change(tmp_path / "broken")
        return str(tmp_path / "broken")

    return make


def refusal(folder: str, **options: Any) -> str:
    """The error for a model, which is one line."""
    with pytest.raises(SpecError) as caught:
        LocalEngine.load(folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def weights(change: Callable[[Tensors], Tensors]) -> Change:
    """A change of the tensors."""

    def made(folder: Path) -> None:
        file = folder / "model.safetensors"
        save_file(change(load_file(file)), file, metadata={"format": "pt"})

    return made


def without(part: str) -> Change:
    return weights(lambda tensors: {k: v for k, v in tensors.items() if part not in k})


def renamed(old: str, new: str) -> Change:
    return weights(lambda tensors: {re.sub(old, new, k): v for k, v in tensors.items()})


def extra(name: str, *size: int) -> Change:
    return weights(lambda tensors: tensors | {name: torch.zeros(size)})


def config(**values: Any) -> Change:
    """A change of config.json."""

    def made(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return made


def text(name: str, content: str | bytes) -> Change:
    """A file with this content."""
    return lambda folder: (folder / name).write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )


def only(name: str) -> Change:
    """A folder with only this file and the tokenizer."""

    def made(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "config.json").unlink()
        (folder / name).write_text("{}")

    return made


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def shard_gone(folder: Path) -> None:
    names = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "model-00001-of-00001.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def tokens(change: Callable[[Any], Any]) -> Change:
    """A change of the tokenizer."""

    def made(folder: Path) -> None:
        changed = tokenizer()
        change(changed)
        changed.save_pretrained(folder)

    return made


def quantised(**how: Any) -> Change:
    return config(quantization_config=how)


BROKEN: dict[str, tuple[Change, str]] = {
    "no head": (
        without("lm_head"),
        r"lacks 1 of the 21 tensors of a LlamaForCausalLM: lm_head\.weight\. .* random numbers\. Name a",
    ),
    "no layer": (
        without(".layers.1."),
        r"lacks 9 of the 21 .*layers\.1\.input_layernorm\.weight.* and 6 more",
    ),
    "one norm": (without("model.norm"), r"lacks 1 of .*: model\.norm\.weight"),
    "no embedding": (without("embed_tokens"), r"lacks 1 of .*: model\.embed_tokens\.weight"),
    "data parallel": (
        renamed("^", "module."),
        r"lacks 21 of .* 'module\.' in front.*: save the model itself",
    ),
    "compiled": (renamed("^", "_orig_mod."), r"lacks 21 of .* '_orig_mod\.' in front"),
    "adapter inside": (renamed(Q, f"{Q}.base_layer"), r"lacks 2 of .*not merged: merge it with peft"),
    "adapter beside": (extra(f"model.layers.0.{Q}.lora_A.weight", 2, 64), r"has 1 tensor that .*merge"),
    "more layers": (config(num_hidden_layers=1), r"has 9 tensors that a .*layers\.1\.input_layernorm"),
    "a bias": (
        extra(f"model.layers.0.{Q}.bias", 64),
        r"has 1 tensor that .*q_proj\.bias.*Copy config",
    ),
    "other sizes": (
        config(intermediate_size=80),
        r"down_proj\.weight is 64 × 96 in the .* 64 × 80 by the conf",
    ),
    "other vocabulary": (
        config(vocab_size=500),
        r"600 × 64 in the .* 500 × 64 .*\(and so on for 1 more tensor\)",
    ),
    "reward": (
        config(architectures=["LlamaForSequenceClassification"]),
        r"is a reward model or classifier \(LlamaForSeq.*Name a causal language model",
    ),
    "embedding": (config(architectures=["LlamaModel"]), r"is a body without the head .*as embedding models"),
    "masked": (config(architectures=["BertForMaskedLM"]), r"is a masked model, which fills gaps and looks"),
    "no numbers": (
        extra("model.norm.weight", 64),
        r"same answer to every prompt.*Copy them again",
    ),
    "NaN": (
        weights(lambda tensors: tensors | {"model.norm.weight": torch.full((64,), torch.nan)}),
        r"computes no usable numbers in float32 .*--dtype",
    ),
    "LFS weights": (
        text("model.safetensors", LFS),
        r"model\.safetensors is a Git LFS pointer.* lfs pull'",
    ),
    "LFS tokenizer": (text("tokenizer.json", LFS), r"tokenizer\.json is a Git LFS pointer"),
    "cut": (
        cut,
        r"model\.safetensors is damaged or incomplete \(\d+ bytes.*download it again",
    ),
    "empty": (text("model.safetensors", b""), r"model\.safetensors is damaged .* \(0 bytes"),
    "no shard": (
        shard_gone,
        r"weights of .* cannot be loaded\. .*model-00001-of-00001\.safetensors",
    ),
    "AWQ": (
        quantised(quant_method="awq", bits=4, group_size=128, version="gemm", zero_point=True),
        r"needs a Python package that is not installed\. .*\(ImportError: .*AWQ",
    ),
    "4 bits": (
        quantised(quant_method="bitsandbytes", load_in_4bit=True),
        r"needs a Python package .*pip install -U bitsandbytes",
    ),
    "GPTQ": (quantised(quant_method="gptq", bits=4), r"needs a Python package .*GPTQ"),
    "own code": (
        config(auto_map={"AutoConfig": "x.Y"}, model_type="own"),
        r"needs program code of its own, .* --server",
    ),
    "encoder and decoder": (config(model_type="t5"), r"Check that it is a causal language model .*T5Config"),
    "unheard of": (
        config(model_type="neverheard"),
        r"configuration of .* cannot be loaded\. .*model type `neverheard`",
    ),
    "broken config": (text("config.json", "{"), r"cannot be loaded\. .*not a valid JSON file"),
    "broken tokenizer": (text("tokenizer.json", "{}"), r"tokenizer of .* cannot be loaded\. "),
    "adapter alone": (only("adapter_config.json"), r"contains an adapter .*[Mm]erge"),
    "adapter and model": (text("adapter_config.json", "{}"), r"contains an adapter .* does not apply"),
    "GGUF": (
        only("tiny.Q4_1.gguf"),
        r"contains GGUF files \(tiny\.Q4_1\.gguf\), which the embedded engine does not",
    ),
    "no end": (
        tokens(lambda t: setattr(t, "eos_token", None)),
        r"names no end-of-sequence token, .*eos_token in",
    ),
    "larger tokenizer": (
        tokens(lambda t: t.add_tokens(["zork", "frotz"])),
        r"more ids than the model: the model knows 600 tokens, and the tokenizer has 2 more, from 'zork'",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_whole_causal_model_is_refused(broken: Callable[[Change], str], case: str) -> None:
    """The error is one line with the file or the tensors, and the next step."""
    change, expected = BROKEN[case]
    assert re.search(expected, refusal(broken(change)))


@pytest.mark.parametrize("case", ["no head", "cut", "larger tokenizer"])
def test_a_refused_model_leaves_nothing_behind(
    broken: Callable[[Change], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: str,
) -> None:
    """The exit code is 2, with one message and no run folder."""
    out = tmp_path / "run"
    model = broken(BROKEN[case][0])
    assert grace(monkeypatch, "run", "study1-exp2", "--model", model, "--out", str(out), "--quiet") == 2
    assert re.search(BROKEN[case][1], capsys.readouterr().err)
    assert not out.exists()


def test_a_run_is_not_taken_up_with_weights_that_have_gone(
    broken: Callable[[Change], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run continues only with the same weights."""
    model, out = broken(lambda folder: None), tmp_path / "run"
    command = ("run", "study1-exp2", "--model", model, "--trials", STUDY1, "--sample", "2", "--quiet")
    assert grace(monkeypatch, *command, "--out", str(out), "--json") == 0
    (ledger,) = (out / "ledger").iterdir()
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[: len(lines) // 2]))
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    without("lm_head")(Path(model))
    assert grace(monkeypatch, *command, "--out", str(out), "--json") == 2
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("architecture", CONFIGS)
def test_whole_models_of_all_kinds_are_loaded(tmp_path: Path, architecture: str) -> None:
    """A tied head that is not in the checkpoint is no error."""
    random_model(architecture).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    names = load_file(tmp_path / "model.safetensors")
    assert ("lm_head.weight" in names) == (architecture == "llama")
    assert LocalEngine.load(str(tmp_path)).name == tmp_path.name


def test_what_stands_beside_a_language_model_is_let_pass(broken: Callable[[Change], str]) -> None:
    """A head of another task, and special tokens of a larger family, are allowed."""

    def change(folder: Path) -> None:
        extra("v_head.summary.weight", 1, 64)(folder)
        tokens(lambda t: t.add_special_tokens({"additional_special_tokens": ["<image>"]}))(folder)

    assert LocalEngine.load(broken(change)).method == "tree"


def test_a_body_saved_by_itself_is_refused(tmp_path: Path) -> None:
    """Embedding models are saved in this way, and transformers would add a random head."""
    made = CONFIGS["llama"]()
    assert isinstance(made, LlamaConfig)
    LlamaModel(made).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    assert "(LlamaModel in config.json)" in refusal(str(tmp_path))
    config(architectures=None)(tmp_path)
    assert ": lm_head.weight." in refusal(str(tmp_path))


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_a_model_that_looks_ahead_is_refused(tmp_path: Path, kind: str) -> None:
    """Its logits show it, whatever its name. The same model as a decoder is accepted."""
    shape: dict[str, Any] = {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "max_position_embeddings": 1024,
    }  # fmt: skip
    model = AutoModelForCausalLM.from_config(BertConfig(**shape, **SHAPE))
    with torch.no_grad():
        for parameter in model.parameters():
            # Fresh weights are so small that a token hardly looks at others.
            parameter.mul_(12 if parameter.dim() > 1 else 1)
    model.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    assert "looks ahead: a token changes the logits before it" in refusal(str(tmp_path), dtype=kind)
    config(is_decoder=True)(tmp_path)
    assert LocalEngine.load(str(tmp_path), dtype=kind).name == tmp_path.name


@pytest.mark.parametrize("architecture", CONFIGS)
def test_rounding_is_not_taken_for_looking_ahead(architecture: str) -> None:
    """No architecture looks ahead because of 16-bit rounding."""
    check_causal(random_model(architecture).to(torch.bfloat16), [5, 9, 2, 7, 11, 4, 8, 3], architecture)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"device": "cuda:0"}, r"cannot compute on the device 'cuda:0' .*--device .*cpu"),
        (
            {"device": "nonsense"},
            r"cannot compute on the device 'nonsense' .*leave --device out",
        ),
        ({"device": "meta"}, r"cannot compute on the device 'meta'"),
        ({"device": ""}, r"cannot compute on the device ''"),
        ({"dtype": "float99"}, rf"--dtype float99 .*{', '.join(DTYPES)}"),
        ({"dtype": "int8"}, r"--dtype int8 .*float32"),
    ],
)
def test_a_device_or_type_that_is_not_there_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, str],
    expected: str,
) -> None:
    """The exit code is 2, before anything is loaded or written."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    if options.get("device") == "cuda:0" and torch.version.cuda:
        pytest.skip("this torch can compute on CUDA")
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    out = tmp_path / "run"
    assert grace(monkeypatch, "run", "study1-exp2", "--model", "none", "--out", str(out), *arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(expected, line)
    assert not out.exists()


def test_a_file_in_the_place_of_a_folder_is_named(whole: Path, tmp_path: Path) -> None:
    """The error says what the file is, and names the folder if it is known."""
    assert refusal(str(whole / "model.safetensors")).endswith(f": use {whole}")
    assert "is a file. --model takes a model's folder" in refusal(str(whole / "config.json"))
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    assert "is a GGUF file. --model takes a folder" in refusal(str(tmp_path / "tiny.gguf"))
    assert "is a GGUF file, which does not exist" in refusal(str(tmp_path / "other.gguf"))
    assert "./nowhere does not exist. Check the spelling" in refusal("./nowhere")
    assert refusal(str(whole.parent)).endswith(f"Did you mean {whole}?")


def test_a_folder_called_like_the_default_model_is_not_taken_for_it(whole: Path, tmp_path: Path) -> None:
    """It is identified by its own files."""
    folder = shutil.copytree(whole, tmp_path / "smollm2-135m")
    assert LocalEngine.load(str(folder)).revision.startswith("sha256:")


def test_a_special_token_that_only_the_tokenizer_knows_is_that_questions_fault(
    broken: Callable[[Change], str],
) -> None:
    """Only a question with this token fails."""
    special = {"additional_special_tokens": ["<image>"]}
    engine = LocalEngine.load(broken(tokens(lambda t: t.add_special_tokens(special))))
    assert asyncio.run(engine.tokenize(Prompt("A picture?")))
    with pytest.raises(ItemError, match="'<image>'"):
        asyncio.run(engine.tokenize(Prompt("A picture <image>?")))
