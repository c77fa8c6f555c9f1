"""The endpoints of one vLLM server, for single requests such as those of the start-up checks."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from grace_client.core.errors import ItemError, ServerError, SpecError
from grace_client.core.options import TokenTrie
from grace_client.core.questions import Prompt
from grace_client.engines.vllm import fields
from grace_client.engines.vllm.http_client import Client
from grace_client.engines.vllm.responses import NAN, MalformedError, OtherModelError, Reply
from grace_client.engines.vllm.tasks import run_all
from grace_client.engines.vllm.wire_format import Batch, Method, forced_batches, named_batches

T = TypeVar("T")

CONFIG = re.compile(r"^vllm:cache_config_info\{(.*)\}", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')
"""The line of `/metrics` with the settings of the server's cache, and its labels."""

NO_TEMPLATE = ("default chat template is no longer allowed", "chat_template is not set")
"""Error texts of a server for a model without a chat template."""


class RequestRefusedError(Exception):
    """A request that this server refuses or cannot answer, with the server's own words."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as the server lists it.

    Attributes
    ----------
    name : str
        Name of the model in requests.
    root : str
        What the server loaded: a Hugging Face id or a folder.
    max_context : int
        Longest sequence, in tokens; 0 if unknown.
    """

    name: str
    root: str
    max_context: int


class ModelApi:
    """One model on one server.

    Parameters
    ----------
    client : Client
        The connection.
    card : ModelCard
        The model.
    deadline : float
        Longest duration of one request, in seconds.
    """

    def __init__(self, client: Client, card: ModelCard, *, deadline: float = 300.0) -> None:
        self.client = client
        self.card = card
        self.deadline = deadline
        self.model = json.dumps(card.name)
        self.fingerprint: str | None = None
        """Version and configuration of the server, as its answers state it."""
        self.pinned = False
        """Whether every answer must have this fingerprint."""

    def own_answer(self, answer: Any) -> dict[str, Any]:
        """The answer; OtherModelError if it is from another model or server."""
        name = fields.text(answer, "model")
        if name != self.card.name:
            raise OtherModelError(
                f"the model {fields.quoted(name)} answered instead of {self.card.name!r}", name
            )
        if self.pinned and (actual := fields.text_or_none(answer, "system_fingerprint")) != self.fingerprint:
            raise OtherModelError(
                f"a server with fingerprint {fields.quoted(actual)} answered instead of the one with "
                f"{fields.quoted(self.fingerprint)} that this run began with"
            )
        return fields.mapping(answer)

    async def post(self, path: str, body: bytes | dict[str, Any], read: Callable[[Any], T]) -> T:
        """Post one request and read its answer with `read`.

        Raises
        ------
        RequestRefusedError
            If the server refuses the request.
        MalformedError
            If the answer is malformed. The message quotes it.
        ServerError
            If the server does not answer, or refuses the key or the model.
        """
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        reply = await self.client.once("POST", path, raw, deadline=self.deadline)
        if reply.status != 200:
            self._raise_status(reply, path)
        try:
            reply.json()
        except MalformedError as error:
            raise ServerError(f"The answer of {self.client.url}{path} is {error}: {reply.text()!r}") from None
        return reply.read(read)

    async def complete(self, **request: Any) -> dict[str, Any]:
        """The single choice of a completion."""

        def read(answer: Any) -> dict[str, Any]:
            choice = fields.mapping(self.own_answer(answer), "choices", 0)
            self.fingerprint = fields.text_or_none(answer, "system_fingerprint")
            return choice

        return await self.post("/v1/completions", {"model": self.card.name, **request}, read)

    async def score(self, prompt_ids: Sequence[int], trie: TokenTrie, method: Method) -> NDArray[np.float64]:
        """Log-probability of every edge of a trie, shape (n_edges,).

        Raises
        ------
        MalformedError
            If a value is missing.
        """
        edges = np.full(trie.n_edges, np.nan)
        for batch in named_batches(trie) if method == "logprob_token_ids" else forced_batches(trie):
            edges[batch.edges] = await self._score(prompt_ids, batch)
        return edges

    async def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Token ids of a text, with or without the special tokens that the tokenizer adds."""
        body = {"model": self.card.name, "prompt": text, "add_special_tokens": special}
        return await self.ids(body)

    async def tokenize_chat(
        self,
        messages: list[dict[str, str]],
        *,
        generation_prompt: bool,
        options: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Token ids of a chat; `options` are variables for its template."""
        body: dict[str, Any] = {
            "model": self.card.name,
            "messages": messages,
            "add_generation_prompt": generation_prompt,
        }
        if options:
            body["chat_template_kwargs"] = dict(options)
        return await self.ids(body)

    async def has_template(self) -> bool:
        """Whether the server has a chat template."""
        try:
            await self.tokenize_chat(Prompt("Hello").messages, generation_prompt=True)
        except RequestRefusedError as error:
            # An error inside a template may contain the words "chat template" too.
            if any(words in str(error).lower() for words in NO_TEMPLATE):
                return False
            raise
        return True

    async def ids(self, body: dict[str, Any]) -> list[int]:
        """The ids in the answer of `/tokenize` to a request."""
        return await self.post("/tokenize", body, token_ids)

    async def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens written out."""
        body = {"model": self.card.name, "tokens": list(ids)}
        try:
            return await self.post("/detokenize", body, detokenized)
        except RequestRefusedError as error:
            raise SpecError(
                f"{self.client.url} does not turn token ids back into text ({error}), so grace cannot check "
                "what the model reads. Allow requests to /detokenize"
            ) from None

    async def facts(self) -> dict[str, str]:
        """Properties of the server that stay the same after a restart."""
        facts = {"vllm": "unknown"}
        version, metrics = await run_all(*(self._get(path) for path in ("/version", "/metrics")))
        if version:
            # The answer may come from a proxy.
            with suppress(MalformedError):
                facts["vllm"] = version.read(lambda answer: fields.text(answer, "version"))
        config = CONFIG.search(metrics.whole()) if metrics else None
        labels = dict(LABEL.findall(config[1])) if config else {}
        for label in ("enable_prefix_caching", "block_size", "cache_dtype"):
            if label in labels:
                facts[label.removeprefix("enable_")] = labels[label]
        if self.fingerprint:
            facts["fingerprint"] = self.fingerprint
        return facts

    async def prefix_cache(self) -> dict[str, float]:
        """Tokens looked up and hit in the prefix cache since the server's start; empty if unknown."""
        metrics = await self._get("/metrics")
        found: dict[str, float] = {}
        for name in ("queries", "hits"):
            pattern = rf"^vllm:prefix_cache_{name}_total(?:\{{.*\}})? ([\d.eE+-]+)$"
            counts = re.findall(pattern, metrics.whole(), re.MULTILINE) if metrics else []
            try:
                counted = sum(map(float, counts))
            except ValueError:
                continue
            if counts and math.isfinite(counted):
                found[f"prefix_cache_{name}"] = counted
        return found

    async def _get(self, path: str) -> Reply | None:
        try:
            reply = await self.client.once("GET", path, deadline=self.deadline)
        except ServerError:
            return None
        return reply if reply.status == 200 else None

    async def _score(self, prompt_ids: Sequence[int], batch: Batch) -> NDArray[np.float64]:
        body = batch.body(self.model, prompt_ids)
        try:
            return await self.post(
                "/v1/completions", body, lambda answer: batch.read(self.own_answer(answer), len(prompt_ids))
            )
        except ItemError as error:
            raise SpecError(f"{self.client.url} cannot be used: {error}") from None

    def _raise_status(self, reply: Reply, path: str) -> None:
        words = reply.text()
        if NAN in words:
            raise SpecError(
                f"{self.client.url} cannot be used: the model overflows on the test prompt ({words}). Serve "
                "it in bfloat16 or float32"
            )
        if reply.status == 404 and "model" not in words.lower():
            raise RequestRefusedError(f"there is no {path} (HTTP 404: {words})")
        self.client.refuse(reply)
        if 400 <= reply.status < 500 and reply.status not in (408, 429):
            raise RequestRefusedError(words)
        raise ServerError(f"{self.client.url} answered HTTP {reply.status}: {words}")


async def models(client: Client, *, deadline: float) -> list[ModelCard]:
    """The models that a server lists.

    Raises
    ------
    ServerError
        If the server does not answer, or needs a key.
    MalformedError
        If this is not an OpenAI-compatible server.
    """
    reply = await client.once("GET", "/v1/models", deadline=deadline)
    client.refuse(reply)
    if reply.status != 200:
        raise ServerError(f"{client.url} answered HTTP {reply.status}: {reply.text()}")
    return reply.read(_cards)


def _cards(answer: Any) -> list[ModelCard]:
    return [
        ModelCard(
            fields.text(one, "id"),
            fields.text_or_none(one, "root") or "unknown",
            fields.whole_or_none(one, "max_model_len") or 0,
        )
        for one in fields.listed(answer, "data")
    ]


def detokenized(answer: Any) -> str:
    """The text in an answer of `/detokenize`."""
    return fields.text(answer, "prompt")


def token_ids(answer: Any) -> list[int]:
    """The ids in an answer of `/tokenize`, checked against the count in it."""
    ids = fields.ids(answer, "tokens")
    count = fields.whole_or_none(answer, "count")
    if count is not None and count != len(ids):
        raise MalformedError(f"it contains {len(ids)} token ids, and its count is {count}")
    return ids
