"""A stand-in for a vLLM server that serves the model of an embedded engine: the same tokens and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jinja2 import TemplateError
from numpy.typing import NDArray

from grace_client.engines.local.engine import LocalEngine
from tests.support.fake_vllm import FakeVllm, Json, Tokenizer, bad_request


class ServedTokens(Tokenizer):
    """A tokenizer of transformers, with its chat template, which prints today's date.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        The tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.harmony = False
        self.own = tokenizer
        self.bos = tokenizer.bos_token_id
        self.end = tokenizer.eos_token_id
        self.size = len(tokenizer)
        self.special = frozenset(tokenizer.all_special_ids)

    def encode(self, text: str) -> list[int]:
        return list(self.own.encode(text, add_special_tokens=False))

    def begun(self, text: str) -> list[int]:
        return list(self.own.encode(text))

    def decode(self, ids: Iterable[int]) -> str:
        return str(self.own.decode(list(ids), clean_up_tokenization_spaces=False))

    def chat(
        self, messages: Sequence[Json], add_generation_prompt: bool = True, options: Json | None = None
    ) -> list[int]:
        try:
            text = self.own.apply_chat_template(
                list(messages), add_generation_prompt=add_generation_prompt, tokenize=False, **options or {}
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise bad_request(str(error)) from None
        return self.encode(text)


class ServedModel(FakeVllm):
    """The answers of a server that serves the model of an engine.

    Parameters
    ----------
    engine : LocalEngine
        The engine.
    """

    def __init__(self, engine: LocalEngine) -> None:
        super().__init__(model=engine.name)
        self.tokenizer = ServedTokens(engine.tokenizer)
        self.served = engine.model
        self._rows: dict[bytes, NDArray[np.float64]] = {}

    def logprobs(self, ids: Sequence[int]) -> NDArray[np.float64]:
        key = np.array(ids).tobytes()
        if key not in self._rows:
            with torch.no_grad():
                logits = self.served(torch.tensor([list(ids)])).logits[0, -1].double()
            self._rows[key] = torch.log_softmax(logits, dim=0).numpy()[: self.tokenizer.size]
        return self._rows[key]
