"""The endpoints of one vLLM server, asked one at a time: what the start-up checks are made of."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grace_client.engines.exchange import NAN, MalformedError, Reply, StrangerError
from grace_client.engines.http import Client
from grace_client.engines.wire import Batch, Method, forced_batches, named_batches
from grace_client.errors import ItemError, ServerError, SpecError
from grace_client.options import TokenTrie
from grace_client.questions import Prompt

NO_TEMPLATE = ("must provide a chat template", "chat_template is not set")
"""What a server says of a model without a chat template."""


class RefusedError(Exception):
    """A request that this server will not or cannot answer; the text is its own."""


@dataclass(frozen=True, slots=True)
class Card:
    """A model as the server lists it.

    Attributes
    ----------
    name : str
        The name to ask by.
    root : str
        What the server was told to load: a Hugging Face id or a folder.
    max_context : int
        Longest sequence, in tokens; 0 where the server does not say.
    """

    name: str
    root: str
    max_context: int


class Api:
    """One model on one server.

    Parameters
    ----------
    client : Client
        The connection.
    card : Card
        The model.
    deadline : float
        Seconds that one request may take.
    """

    def __init__(self, client: Client, card: Card, *, deadline: float = 300.0) -> None:
        self.client = client
        self.card = card
        self.deadline = deadline
        self.model = json.dumps(card.name)
        self.fingerprint: str | None = None
        """Version and configuration of the server, as its answers state it."""
        self.pinned = False
        """Whether an answer with another fingerprint is one of another server."""

    def mine(self, answer: Any) -> Any:
        """The answer, unless it is of another model or server."""
        if not isinstance(answer, dict):
            raise MalformedError(f"not an object: {str(answer)[:80]!r}")
        if answer.get("model") != self.card.name:
            raise StrangerError(f"the model {answer.get('model')!r} answered instead of {self.card.name!r}")
        if self.pinned and answer.get("system_fingerprint") != self.fingerprint:
            raise StrangerError(
                f"a server with fingerprint {answer.get('system_fingerprint')!r} answered instead of the one "
                f"with {self.fingerprint!r} that this run began with"
            )
        return answer

    async def post(self, path: str, body: bytes | dict[str, Any]) -> Any:
        """One answer.

        Raises
        ------
        RefusedError
            Where the server will not do it.
        ServerError
            Where the server does not answer, or refuses the key or the model.
        """
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        reply = await self.client.once("POST", path, raw, deadline=self.deadline)
        if reply.status != 200:
            self._unanswered(reply, path)
        try:
            return reply.json()
        except MalformedError as error:
            raise ServerError(f"{self.client.url}{path} gave an answer that is {error}") from None

    async def complete(self, **fields: Any) -> dict[str, Any]:
        """The single choice of a completion."""
        try:
            answer = self.mine(await self.post("/v1/completions", {"model": self.card.name, **fields}))
            choice: dict[str, Any] = answer["choices"][0]
        except (MalformedError, KeyError, IndexError, TypeError) as error:
            raise ServerError(f"{self.client.url} gave no usable completion: {error}") from None
        self.fingerprint = answer.get("system_fingerprint")
        return choice

    async def score(self, prompt_ids: Sequence[int], trie: TokenTrie, method: Method) -> NDArray[np.float64]:
        """Log-probability of every edge of a trie, shape (n_edges,).

        Raises
        ------
        MalformedError
            Where any is missing.
        """
        edges = np.full(trie.n_edges, np.nan)
        for batch in named_batches(trie) if method == "logprob_token_ids" else forced_batches(trie):
            edges[batch.edges] = await self._score(prompt_ids, batch)
        return edges

    async def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Token ids of a text, with or without what the tokenizer puts around texts."""
        body = {"model": self.card.name, "prompt": text, "add_special_tokens": special}
        return token_ids(await self.post("/tokenize", body))

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
        return token_ids(await self.post("/tokenize", body))

    async def has_template(self) -> bool:
        """Whether the server has a chat template."""
        try:
            await self.tokenize_chat(Prompt("Hello").messages, generation_prompt=True)
        except RefusedError as error:
            # A template that raises may say "chat template" too, and is one.
            if any(words in str(error).lower() for words in NO_TEMPLATE):
                return False
            raise
        return True

    async def detokenize(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens written out."""
        body = {"model": self.card.name, "tokens": list(ids)}
        try:
            return detokenized(await self.post("/detokenize", body))
        except RefusedError as error:
            raise SpecError(
                f"{self.client.url} does not turn token ids back into text, so that nobody could see what "
                f"the model was sent ({error}); let requests to /detokenize pass to the server"
            ) from None

    async def facts(self) -> dict[str, str]:
        """What the server tells of itself and what stays the same when it is started again."""
        facts = {"vllm": "unknown"}
        version, metrics = await asyncio.gather(*(self._get(path) for path in ("/version", "/metrics")))
        if version:
            facts["vllm"] = str(json.loads(version).get("version", "unknown"))
        if found := re.search(r"^vllm:cache_config_info\{(.*)\}", metrics, flags=re.MULTILINE):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', found[1]))
            for label in ("enable_prefix_caching", "block_size", "cache_dtype"):
                if label in labels:
                    facts[label.removeprefix("enable_")] = labels[label]
        if self.fingerprint:
            facts["fingerprint"] = self.fingerprint
        return facts

    async def prefix_cache(self) -> dict[str, float]:
        """Tokens looked up and found in the prefix cache since the server's start; empty if it tells none."""
        metrics = await self._get("/metrics")
        found: dict[str, float] = {}
        for name in ("queries", "hits"):
            values = re.findall(
                rf"^vllm:prefix_cache_{name}_total(?:\{{.*\}})? (\S+)$", metrics, re.MULTILINE
            )
            if values:
                found[f"prefix_cache_{name}"] = sum(map(float, values))
        return found

    async def _get(self, path: str) -> str:
        try:
            reply = await self.client.once("GET", path, deadline=self.deadline)
        except ServerError:
            return ""
        return reply.body.decode(errors="replace") if reply.status == 200 else ""

    async def _score(self, prompt_ids: Sequence[int], batch: Batch) -> NDArray[np.float64]:
        answer = self.mine(await self.post("/v1/completions", batch.body(self.model, prompt_ids)))
        try:
            return batch.read(answer, len(prompt_ids))
        except ItemError as error:
            raise SpecError(f"{self.client.url} cannot be used: {error}") from None

    def _unanswered(self, reply: Reply, path: str) -> None:
        words = reply.text()
        if NAN in words:
            raise SpecError(
                f"{self.client.url} cannot be used: the model overflows on the test prompt ({words}); serve "
                "it in bfloat16 or float32"
            )
        if reply.status == 404 and "model" not in words.lower():
            raise RefusedError(f"there is no {path} (HTTP 404: {words})")
        self.client.refuse(reply)
        if 400 <= reply.status < 500 and reply.status not in (408, 429):
            raise RefusedError(words)
        raise ServerError(f"{self.client.url} answered HTTP {reply.status}: {words}")


async def models(client: Client, *, deadline: float) -> list[Card]:
    """The models that a server lists.

    Raises
    ------
    ServerError
        Where it does not answer, wants a key, or is no such server.
    """
    reply = await client.once("GET", "/v1/models", deadline=deadline)
    client.refuse(reply)
    if reply.status != 200:
        raise ServerError(f"{client.url} answered HTTP {reply.status}: {reply.text()}")
    try:
        return [
            Card(str(one["id"]), str(one.get("root") or "unknown"), int(one.get("max_model_len") or 0))
            for one in reply.json()["data"]
        ]
    except (MalformedError, KeyError, TypeError, ValueError, AttributeError):
        raise ServerError(
            f"{client.url} is not a vLLM server: /v1/models gave {reply.text()!r}", retryable=False
        ) from None


def detokenized(answer: Any) -> str:
    """The text in an answer of `/detokenize`."""
    text = answer.get("prompt") if isinstance(answer, dict) else None
    if not isinstance(text, str):
        raise MalformedError("no text")
    return text


def token_ids(answer: Any) -> list[int]:
    """The ids in an answer of `/tokenize`."""
    ids = answer.get("tokens") if isinstance(answer, dict) else None
    if not isinstance(ids, list) or not set(map(type, ids)) <= {int}:
        raise MalformedError("no list of token ids")
    return ids
