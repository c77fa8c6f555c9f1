"""The protocol of every engine, and the description of an engine."""

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
        Hash of the chat template; None for a base model, which gets plain text.
    tokenizer_sha256 : str
        Hash of the tokenizer.
    max_context : int
        Longest sequence the model takes, in tokens.
    end_of_turn : int
        Token id with which the model ends its turn; -1 if it is unknown.
    prompt_prefix, prompt_suffix : str
        What the chat template puts before and after the text of a prompt, special tokens written out.
    versions : dict of str to str
        Versions of libraries, and the device; the reasoning effort and the date that the chat template gets,
        if it takes them.
    direct_prefix, direct_suffix : str or None
        Prefix and suffix of prompts after which the answer begins at once; None if they are the same.
    reasoning_format : str or None
        How the model marks its reasoning; None if nothing shows that it reasons.
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
"""Fields that every description has. The others are left out if they do not apply."""


LIKELIEST = 10
"""How many beginnings of one token outside the forms an engine gives, at most, and how many longer ones."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first tokens of an answer.

    Attributes
    ----------
    ids : tuple of int
        The tokens.
    logprob : float
        Log-probability that an answer begins with them, in nats.
    """

    ids: tuple[int, ...]
    logprob: float


@dataclass(frozen=True, slots=True)
class Answered:
    """A scored question, as the engine gives it.

    Attributes
    ----------
    edges : ndarray of float64, shape (n_edges,)
        Log-probability of every edge of the trie, in nats, over the whole vocabulary, untempered.
    outside : tuple of Beginning or None
        The likeliest beginnings outside the forms: each leaves the trie with its last token. At most
        `LIKELIEST` first tokens and as many longer beginnings, the likeliest first. None if the engine does
        not have them with the edges; then `Engine.likeliest` gives the first tokens.
    """

    edges: NDArray[np.float64]
    outside: tuple[Beginning, ...] | None = None


@dataclass(frozen=True, slots=True)
class Likeliest:
    """What follows a prompt if nothing limits the answer.

    Attributes
    ----------
    first : tuple of Beginning
        The likeliest first tokens, each one a beginning of one token, the likeliest first.
    token_ids : tuple of int
        The answer that always takes the likeliest token.
    ended : bool
        Whether the model ended the answer; otherwise it was cut.
    """

    first: tuple[Beginning, ...]
    token_ids: tuple[int, ...]
    ended: bool


class Engine(Protocol):
    """A language model that gives the log-probabilities of given tokens and draws free text.

    All methods may be called concurrently. They raise `ItemError` if one call fails and
    `ServerError` if the whole engine is gone.
    """

    def concurrency(self, *, scored: bool) -> int:
        """How many calls of `edge_logprobs` (`scored`) or of `generate` to run at the same time."""
        ...

    async def describe(self) -> EngineInfo:
        """Everything that determines the answers."""
        ...

    async def tokenize(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt as the model gets it, chat template and BOS included."""
        ...

    async def tokenize_form(self, text: str, prompt_ids: Sequence[int]) -> list[int]:
        """Token ids with which a model writes a text behind a prompt, without special tokens.

        The ids of the prompt stay as they are: no token reaches over its end. A space that the tokenizer puts
        before every text is not among them.

        Parameters
        ----------
        text : str
            A surface form.
        prompt_ids : sequence of int
            Token ids of the prompt that it follows. Only their end matters.

        Raises
        ------
        SpecError
            If the tokenizer cannot write the text there.
        """
        ...

    async def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens written out."""
        ...

    async def edge_logprobs(self, prompt_ids: Sequence[int], trie: TokenTrie) -> Answered:
        """Log-probability of every edge of a trie after a prompt, and the likeliest beginnings outside it.

        Parameters
        ----------
        prompt_ids : sequence of int
            Token ids of the prompt.
        trie : TokenTrie
            The surface forms that may follow the prompt.
        """
        ...

    async def likeliest(self, prompt_ids: Sequence[int], max_tokens: int) -> Likeliest:
        """The likeliest first tokens after a prompt, at least twice `LIKELIEST`, and the greedy answer.

        Parameters
        ----------
        prompt_ids : sequence of int
            Token ids of the prompt.
        max_tokens : int
            Longest greedy answer, in tokens.
        """
        ...

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """Draw one free-text answer, and separate its reasoning."""
        ...

    async def counters(self) -> dict[str, float]:
        """Running totals; those that the engine does not count are missing.

        ``retries``: requests sent again. ``prefix_cache_queries`` and ``prefix_cache_hits``: tokens looked up
        in the server's prefix cache, and those found there.
        """
        ...

    async def close(self) -> None:
        """Release the model or the connections."""
        ...
