"""Checks that a transformers model is complete, and that it is a causal language model."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from grace_client.core.errors import SpecError

SHOWN = 3
"""Most tensors that a message names."""

LOOKS_AHEAD = {"exact": 1e-3, "rounded": 0.05}
"""Largest change of the logits before a token when that token changes, divided by the change at the token.

It allows for rounding, in float32 and in 16 bits or fewer. A model that looks ahead is near 1."""

_GENERATIVE = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_TASK = re.compile(r"(ForSequenceClassification|ForTokenClassification|RewardModel|ForMaskedLM)$")
_KINDS = {
    "ForSequenceClassification": "a reward model or classifier",
    "ForTokenClassification": "a classifier of tokens",
    "RewardModel": "a reward model",
    "ForMaskedLM": "a masked model, which fills gaps and looks ahead",
}


def check_architecture(config: Any, name: str) -> None:
    """Check that a checkpoint was saved from a causal language model, by what its configuration says.

    Raises
    ------
    SpecError
        If it was saved from a model of another task. transformers would load its body and add a random head.
    """
    declared = [str(one) for one in config.architectures or ()]
    known = {
        one
        for names in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()
        for one in (names if isinstance(names, tuple) else (names,))
    }
    if not declared or any(one in known or one.endswith(_GENERATIVE) for one in declared):
        return
    task = _TASK.search(declared[0])
    what = _KINDS[task[1]] if task else "a body without the head of a language model, as embedding models are"
    raise SpecError(
        f"{name} is {what} ({', '.join(declared)} in config.json), which gives no probabilities of texts. "
        "Name a causal language model (…ForCausalLM) with --model"
    )


def check_tensors(model: Any, loading: Mapping[str, Any], name: str) -> None:
    """Check that every tensor of a model came from its checkpoint, and that the checkpoint's were all used.

    Parameters
    ----------
    model : PreTrainedModel
        As loaded.
    loading : mapping
        What transformers reports about the loading: ``missing_keys``, ``unexpected_keys``,
        ``mismatched_keys``, ``error_msgs``. Weights that are tied to others are not among the missing ones.
    name : str
        Name of the model, for errors.

    Raises
    ------
    SpecError
        Names the tensors. transformers silently fills missing tensors with random numbers.
    """
    kind = type(model).__name__
    if mismatched := sorted(loading["mismatched_keys"]):
        key, found, expected = mismatched[0]
        more = f" (and so on for {_count(len(mismatched) - 1, 'more tensor')})" if mismatched[1:] else ""
        raise SpecError(
            f"The weights of {name} do not fit its config.json: {key} is {_size(found)} in the weights and "
            f"{_size(expected)} by the configuration{more}. Copy config.json and weights of the same model "
            "again"
        )
    missing, unexpected = sorted(loading["missing_keys"]), sorted(loading["unexpected_keys"])
    if missing:
        of = _count(len(model.state_dict()), "tensor")
        raise SpecError(
            f"The checkpoint of {name} lacks {len(missing)} of the {of} of a {kind}: {_named(missing)}. "
            f"transformers would fill them with random numbers. {_remedy(missing, unexpected)}"
        )
    if unused := _unused(model, unexpected):
        raise SpecError(
            f"The checkpoint of {name} has {_count(len(unused), 'tensor')} that a {kind} with this "
            f"config.json does not use: {_named(unused)}. Without them, grace would measure another model. "
            f"{_remedy((), unused)}"
        )
    if loading["error_msgs"]:
        raise SpecError(
            f"The weights of {name} cannot be loaded: {'; '.join(loading['error_msgs'][:SHOWN])}. Copy the "
            "model again"
        )


def check_vocabulary(tokenizer: Any, rows: int, name: str) -> None:
    """Check that the model knows all ids of its tokenizer, and that a token ends a text.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        The tokenizer.
    rows : int
        Number of tokens that the model has an embedding for.
    name : str
        Name of the model, for errors.

    Raises
    ------
    SpecError
        If not. Special tokens that the model does not know are allowed, because no text of a study contains
        them: text-only models of a larger family have them.
    """
    special = set(tokenizer.all_special_tokens)
    special |= {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    beyond = {token: i for token, i in tokenizer.get_vocab().items() if i >= rows and token not in special}
    if beyond:
        first = min(beyond, key=lambda token: beyond[token])
        raise SpecError(
            f"The tokenizer of {name} has more ids than the model: the model knows {rows} tokens, and the "
            f"tokenizer has {len(beyond)} more, from {first!r} (id {beyond[first]}) on. Copy tokenizer and "
            "weights of the same model again"
        )
    end = tokenizer.eos_token_id
    if end is None:
        raise SpecError(
            f"The tokenizer of {name} names no end-of-sequence token, so grace does not know where an "
            "answer ends. Name the token as eos_token in tokenizer_config.json, in a copy of the model's "
            "folder, and name that folder with --model"
        )


@torch.inference_mode()
def check_causal(model: Any, prompt_ids: Sequence[int], name: str) -> None:
    """Check that a model computes numbers, depends on its prompt, and does not look ahead.

    The logits before a token must not change when that token changes.

    Parameters
    ----------
    model : PreTrainedModel
        With the data type and on the device of the run.
    prompt_ids : sequence of int
        Token ids of any text, with at least two different tokens.
    name : str
        Name of the model, for errors.
    """
    # Few tokens, so that one token has a large effect.
    ids = list(prompt_ids[-6:])
    changed = [*ids[:-1], next(token for token in prompt_ids if token != ids[-1])]
    first, second = (
        model(input_ids=torch.tensor([one], device=model.device)).logits[0] for one in (ids, changed)
    )
    if bool((torch.isnan(first) | torch.isposinf(first)).any()):
        raise SpecError(
            f"{name} computes no usable numbers in {_dtype(model)} (its logits contain NaN or infinity). Try "
            "--dtype float32 or bfloat16. If that does not help, copy the weights again"
        )
    # Some models give minus infinity to ids that are not tokens.
    moved = (first.double() - second.double()).abs().nan_to_num(nan=0.0)
    at_token, before = float(moved[-1].max()), float(moved[:-1].max())
    if at_token == 0:
        raise SpecError(
            f"{name} gives the same answer to every prompt. Its weights are empty or damaged. Copy them again"
        )
    most = LOOKS_AHEAD["exact" if _dtype(model) == "float32" else "rounded"]
    if not before <= most * at_token:
        raise SpecError(
            f"{name} looks ahead: a token changes the logits before it (by {before / at_token:.1%} of the "
            "change at the token). So it is not a causal language model, and its numbers are no "
            "probabilities of texts. Name a causal language model with --model"
        )


def _unused(model: Any, unexpected: Sequence[str]) -> list[str]:
    """Tensors of the checkpoint that a complete language model would use: in its layers, or more layers.

    Heads for other tasks, and towers for images or sound, are not part of the language model.
    """
    modules = dict(model.named_modules())
    quantised = getattr(model, "hf_quantizer", None) is not None
    found = []
    for key in unexpected:
        parent = key.rpartition(".")[0]
        inside = parent in modules and next(modules[parent].parameters(recurse=False), None) is not None
        if "lora_" in key or (inside and not quantised) or _further_layer(modules, key):
            found.append(key)
    return found


def _further_layer(modules: Mapping[str, Any], key: str) -> bool:
    """Whether a tensor belongs to a layer after the last layer of the model."""
    for number in re.finditer(r"\.(\d+)\.", key):
        stack = modules.get(key[: number.start()])
        if isinstance(stack, torch.nn.ModuleList) and int(number[1]) >= len(stack):
            return True
    return False


def _remedy(missing: Sequence[str], unexpected: Sequence[str]) -> str:
    """The next step, according to the names of the tensors."""
    if any("lora_" in key or ".base_layer." in key for key in unexpected):
        return (
            "Its names are those of an adapter that was not merged: merge it with peft "
            "(model.merge_and_unload(), then save_pretrained), and name that folder with --model"
        )
    if not missing:
        return "Copy config.json and weights of the same model again"
    lacking = set(missing)
    for key in unexpected:
        for dot in re.finditer(r"\.", key):
            if key[dot.end() :] in lacking:
                return (
                    f"The checkpoint has such tensors with {key[: dot.end()]!r} in front, as a wrapped model "
                    "saves them: save the model itself (save_pretrained of what is inside the wrapper), and "
                    "give that folder with --model"
                )
    return "Name a checkpoint of the whole causal language model with --model"


def _named(keys: Collection[str]) -> str:
    shown = ", ".join(list(keys)[:SHOWN])
    return shown if len(keys) <= SHOWN else f"{shown} and {len(keys) - SHOWN} more"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _size(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def _dtype(model: Any) -> str:
    return str(model.dtype).removeprefix("torch.")
