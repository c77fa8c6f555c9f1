"""The protocol every engine keeps, and how an engine names itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from grace_client.core.options import TokenTrie
from grace_client.core.questions import Generation, Prompt, Sampling


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Everything about an engine that determines its answers.

    Attributes
    ----------
    engine : str
        Name of the implementation: ``"local"``, ``"vllm"``.
    model : str
        Model id, as tables show it.
    revision : str
        Exact version of the weights: a commit, or a hash of the files.
    dtype : str
        Type in which the weights compute.
    template_sha256 : str or None
        Hash of the chat template; None for a base model, which is asked in plain text.
    tokenizer_sha256 : str
        Hash of the tokenizer.
    max_context : int
        Longest sequence the model takes, in tokens.
    end_of_turn : int
        Token id with which the model ends its turn; -1 where it cannot be found out.
    prompt_prefix, prompt_suffix : str
        What the chat template puts before and after the text of a prompt, special tokens written out.
    versions : dict of str to str
        Libraries and the device; the reasoning effort and the date that the chat template was given, where it
        takes them.
    direct_prefix, direct_suffix : str or None
        The same as prefix and suffix for prompts whose answer begins at once; None where they are no other.
    reasoning_format : str or None
        How the model marks its reasoning; None where nothing shows that it reasons.
    """

    engine: str
    model: str
    revision: str
    dtype: str
    template_sha256: str | None
    tokenizer_sha256: str
    max_context: int
    end_of_turn: int
    prompt_prefix: str
    prompt_suffix: str
    versions: dict[str, str] = field(default_factory=dict)
    direct_prefix: str | None = None
    direct_suffix: str | None = None
    reasoning_format: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The description as the manifest records it."""
        return {name: value for name, value in asdict(self).items() if value is not None or name in REQUIRED}


REQUIRED = frozenset(one.name for one in fields(EngineInfo) if one.default is MISSING)
"""What every description has; the rest is left out where it does not apply."""


class Engine(Protocol):
    """A language model that tells the log-probabilities of given tokens and draws free text.

    All methods may be called concurrently. They raise `ItemError` for a fault of the one call and
    `ServerError` where the engine as a whole is gone.
    """

    def concurrency(self, *, scored: bool) -> int:
        """How many calls are worth having in flight, of `edge_logprobs` or of `generate`."""
        ...

    async def describe(self) -> EngineInfo:
        """Everything that determines the answers."""
        ...

    async def tokenize(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt as the model gets it, chat template and BOS included."""
        ...

    async def tokenize_form(self, text: str) -> list[int]:
        """Token ids of a surface form apart from any prompt, without special tokens."""
        ...

    async def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens written out."""
        ...

    async def edge_logprobs(self, prompt_ids: Sequence[int], trie: TokenTrie) -> NDArray[np.float64]:
        """Log-probability of every edge of a trie after a prompt.

        Parameters
        ----------
        prompt_ids : sequence of int
            The prompt.
        trie : TokenTrie
            The surface forms to follow it.

        Returns
        -------
        ndarray of float64, shape (n_edges,)
            In nats, over the whole vocabulary, untempered.
        """
        ...

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """Draw one free-text answer, its reasoning apart."""
        ...

    async def counters(self) -> dict[str, float]:
        """Running totals, of those of these that are counted.

        ``retries``: requests sent again. ``prefix_cache_queries`` and ``prefix_cache_hits``: tokens looked up
        in the server's prefix cache, and those found there.
        """
        ...

    async def close(self) -> None:
        """Let go of the model or the connections."""
        ...
