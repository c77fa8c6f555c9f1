"""The request for what a model would say by itself on vLLM's completions endpoint, and its answer. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from grace_client.engines.base import Beginning, Likeliest
from grace_client.engines.vllm import fields
from grace_client.engines.vllm.responses import MalformedError
from grace_client.engines.vllm.wire_format import FLOOR, ROUNDING

NEUTRAL = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""Without these fields, the server uses the model's generation config, which changes the distribution."""

TOP = 20
"""How many first tokens to ask for: the most that vLLM gives by default (``--max-logprobs``)."""

_KEY = "token_id:"


def likeliest_body(model: str, prompt_ids: Sequence[int], max_tokens: int) -> bytes:
    """The request.

    Parameters
    ----------
    model : str
        Name of the model.
    prompt_ids : sequence of int
        The prompt.
    max_tokens : int
        Longest greedy answer, in tokens.
    """
    asked = {
        "model": model,
        "prompt": list(prompt_ids),
        "max_tokens": max_tokens,
        "temperature": 0,
        **NEUTRAL,
        "logprobs": TOP,
        "return_tokens_as_token_ids": True,
        "return_token_ids": True,
    }
    return json.dumps(asked).encode()


def read_likeliest(answer: Any, end_of_turn: int) -> Likeliest:
    """What an answer says; MalformedError if it has no log-probabilities or no token ids."""
    choice = fields.mapping(answer, "choices", 0)
    named = fields.mapping(choice, "logprobs", "top_logprobs", 0)
    found = [(_token(key), fields.number(named, key)) for key in named]
    if len(found) < TOP or any(value <= FLOOR for _, value in found):
        raise MalformedError(
            "the server gave no likeliest tokens, because another client scores forms on it at the same time"
        )
    if any(not value <= ROUNDING for _, value in found):
        raise MalformedError("a log-probability is above 0")
    drawn = fields.ids(choice, "token_ids")
    ended = fields.text(choice, "finish_reason") == "stop"
    if ended and drawn[-1] == end_of_turn:
        drawn = drawn[:-1]
    first = sorted(found, key=lambda pair: -pair[1])
    return Likeliest(
        tuple(Beginning((token,), min(value, 0.0)) for token, value in first), tuple(drawn), ended
    )


def _token(key: str) -> int:
    number = key.removeprefix(_KEY)
    if number == key or not number.isdecimal():
        raise MalformedError(f"the token {fields.quoted(key)} is not an id")
    return int(number)
