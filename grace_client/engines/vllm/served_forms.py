"""The tokens of a text as it follows a prompt, from a server that tokenises texts and decodes ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from grace_client.engines import forms
from grace_client.engines.vllm.endpoints import ModelApi
from grace_client.engines.vllm.tasks import run_all


class Reader(Protocol):
    """What reads token ids from a server, with retries."""

    async def ids(self, body: dict[str, Any]) -> list[int]:
        """The ids in the answer of `/tokenize`; ItemError (``bad_request``) if the server refuses it."""
        ...

    async def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids."""
        ...


def text_body(model: str, text: str) -> dict[str, Any]:
    """The request to `/tokenize` for a text, without special tokens."""
    return {"model": model, "prompt": text, "add_special_tokens": False}


@dataclass(frozen=True, slots=True)
class ServedForms:
    """How the server's tokenizer treats a text.

    Attributes
    ----------
    model : str
        Name of the model.
    anchors : mapping of str to list of int
        The anchors and their ids; empty if the tokenizer puts no space before a text.
    """

    model: str
    anchors: Mapping[str, list[int]]

    @property
    def described(self) -> dict[str, str]:
        """Entry of `EngineInfo.versions`; empty if the tokenizer puts no space before a text."""
        return dict(forms.DESCRIBED) if self.anchors else {}

    def end(self, prompt_ids: Sequence[int]) -> tuple[int, ...]:
        """What of a prompt the tokens of a text behind it depend on."""
        return tuple(prompt_ids[-1:]) if self.anchors else ()

    async def candidates(self, text: str, api: Reader) -> list[list[int]]:
        """What the tokens of a text may be behind a prompt."""
        texts = (text, *(anchor + text for anchor in self.anchors))
        apart, *behind = await run_all(*(api.ids(text_body(self.model, one)) for one in texts))
        return forms.candidates(apart, zip(self.anchors.values(), behind, strict=True))

    async def ids(self, text: str, prompt_ids: Sequence[int], api: Reader) -> list[int]:
        """Token ids with which the model writes a text behind a prompt; see `Engine.tokenize_form`."""
        found = await self.candidates(text, api)
        if not self.anchors:
            return found[0]
        sequences = [list(prompt_ids), *([*prompt_ids, *ids] for ids in found)]
        before, *wholes = await run_all(*map(api.decode, sequences))
        return forms.chosen(text, found, before, wholes, self.model)


async def read_forms(api: ModelApi) -> ServedForms:
    """See whether the server's tokenizer puts a space before a text."""
    name = api.card.name
    before, word = [await api.ids(text_body(name, text)) for text in (forms.BEFORE, forms.WORD)]
    if forms.reads_back(forms.WORD, await api.decode(before), await api.decode(before + word)):
        return ServedForms(name, {})
    return ServedForms(name, {anchor: await api.ids(text_body(name, anchor)) for anchor in forms.ANCHORS})
