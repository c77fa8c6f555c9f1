"""The engine behind a vLLM server: exact scoring and free text over its OpenAI-compatible interface."""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grace_client.core.api_key import HIDDEN, from_environment, usable
from grace_client.core.errors import ItemError, ServerError, SpecError
from grace_client.core.options import TokenTrie
from grace_client.core.questions import Generation, Prompt, Sampling
from grace_client.engines.base import Answered, EngineInfo, Likeliest
from grace_client.engines.chat.reasoning import split_turn
from grace_client.engines.chat.template import DEFAULT_SETTINGS, TemplateSettings
from grace_client.engines.chat.turns import Conversation, structure
from grace_client.engines.forms import ENDED
from grace_client.engines.vllm import fields
from grace_client.engines.vllm.endpoints import (
    ModelApi,
    ModelCard,
    RequestRefusedError,
    detokenized,
    models,
    token_ids,
)
from grace_client.engines.vllm.http_client import Client
from grace_client.engines.vllm.likeliest import NEUTRAL, likeliest_body, read_likeliest
from grace_client.engines.vllm.pruning import pruned
from grace_client.engines.vllm.responses import MalformedError, OtherModelError, Retrying
from grace_client.engines.vllm.startup_check import CheckedServer, check_server
from grace_client.engines.vllm.tasks import AsyncCache, run_all
from grace_client.engines.vllm.tls import speaks_tls
from grace_client.engines.vllm.wire_format import Batch, forced_batches, named_batches

CACHED_TEXTS = 4096
"""Number of prompts, and of surface forms, whose token ids are cached."""

CACHED_TRIES = 64

CACHED_CONVERSATIONS = 64

REASONING_FIELDS = ("reasoning", "reasoning_content")
"""Fields of a message with its reasoning: of newer and of older servers."""


class VllmEngine:
    """A model behind a vLLM server.

    Make one with `VllmEngine.connect`.

    Parameters
    ----------
    client : Client
        The connection.
    api : ModelApi
        The model on it.
    checked : CheckedServer
        Results of the start-up check.
    prune : float or None
        See `connect`.
    """

    def __init__(
        self, client: Client, api: ModelApi, checked: CheckedServer, *, prune: float | None = None
    ) -> None:
        self.client = client
        self.api = api
        self.checked = checked
        self.prune = prune
        self._conversations = AsyncCache[tuple[bool, tuple[str, ...]], Conversation](CACHED_CONVERSATIONS)
        self._forms = AsyncCache[tuple[str, tuple[int, ...]], list[int]](CACHED_TEXTS)
        self._prompts = AsyncCache[Prompt, list[int]](CACHED_TEXTS)
        self._texts = AsyncCache[tuple[int, ...], str](CACHED_TEXTS)
        self._tries: OrderedDict[bytes, tuple[Batch, ...]] = OrderedDict()
        client.circuit.probe = self._verify
        api.pinned = True

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        wait_minutes: float = 0.0,
        max_in_flight: int = 64,
        prune: float | None = None,
        declared: Mapping[str, str] | None = None,
        settings: TemplateSettings = DEFAULT_SETTINGS,
        retrying: Retrying | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> VllmEngine:
        """Connect to a server, and check that it scores exactly.

        Parameters
        ----------
        url : str
            Such as ``http://localhost:8000``, with or without ``/v1``.
        model : str, optional
            Name of the model on the server. Default: the only one.
        api_key : str, optional
            Default: the environment variable ``VLLM_API_KEY``.
        wait_minutes : float
            How long to wait for the first completion, in minutes.
        max_in_flight : int
            Most requests in flight. The client adapts their number to the server below this limit.
        prune : float, optional
            Skip forms that together cannot change any option's normalised probability by more than this.
            Default: score all forms.
        declared : mapping, optional
            Properties of the server that the user states: ``dtype``, ``revision``, flags.
        settings : TemplateSettings
            Settings for the chat template.
        retrying : Retrying, optional
            When to wait, retry and give up.
        say : callable
            Called with each line of progress.

        Raises
        ------
        SpecError
            If the server cannot answer exactly, or does not serve the model.
        ServerError
            If the server does not answer, or refuses the key.
        """
        if prune is not None and not 0 < prune < 1:
            raise SpecError(f"The bound for pruning must be between 0 and 1; it is {prune}")
        key = usable(api_key) if api_key else from_environment("VLLM_API_KEY") if api_key is None else None
        client = Client(url, api_key=key, retrying=retrying, max_in_flight=max_in_flight)
        try:
            card = await _ready(client, model, wait_minutes * 60, say)
            api = ModelApi(client, card)
            checked = await check_server(api, declared=declared, settings=settings, say=say)
            api.deadline = client.retrying.probe_deadline
            return cls(client, api, checked, prune=prune)
        except BaseException:
            await client.close()
            raise

    def concurrency(self, *, scored: bool) -> int:
        """How many calls to run at the same time: the client itself limits the requests in flight."""
        return self.client.limit.most

    async def describe(self) -> EngineInfo:
        """Everything that determines the answers."""
        info = self.checked.info
        if self.prune is None:
            return info
        fields = {name: getattr(info, name) for name in EngineInfo.__slots__}
        return EngineInfo(**fields | {"versions": info.versions | {"prune": repr(self.prune)}})

    async def tokenize(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt as the model gets it, chat template and BOS included."""
        return list(await self._prompts(prompt, lambda: self._tokenize(prompt)))

    async def tokenize_form(self, text: str, prompt_ids: Sequence[int]) -> list[int]:
        """Token ids with which the model writes a text behind a prompt."""
        forms = self.checked.template.forms
        key = (text, forms.end(prompt_ids))
        return list(await self._forms(key, lambda: forms.ids(text, prompt_ids, self)))

    async def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens written out."""
        body = json.dumps({"model": self.api.card.name, "tokens": list(ids)}).encode()
        return await self._texts(
            tuple(ids), lambda: self.client.post("/detokenize", body, detokenized, limited=False)
        )

    async def ids(self, body: dict[str, Any]) -> list[int]:
        """The ids in the answer of `/tokenize` to a request."""
        return await self.client.post("/tokenize", json.dumps(body).encode(), token_ids, limited=False)

    async def edge_logprobs(self, prompt_ids: Sequence[int], trie: TokenTrie) -> Answered:
        """Log-probability of every edge, in nats; -inf below a pruned node."""
        if (trie.token[1:] < 0).any():
            raise SpecError(
                f"grace cannot find the token with which {self.api.card.name} ends its turn. Use options "
                "that end with a terminator (such as a full stop) instead of end_of_turn"
            )
        if self.prune is not None and self.checked.method == "logprob_token_ids":
            return Answered(
                await pruned(
                    trie, self.prune, lambda nodes: self._ask(prompt_ids, trie, named_batches(trie, nodes))
                )
            )
        return Answered(await self._ask(prompt_ids, trie, self._batches(trie)))

    async def likeliest(self, prompt_ids: Sequence[int], max_tokens: int) -> Likeliest:
        """The likeliest first tokens, and the greedy answer.

        vLLM does not give them while it scores forms: at a step in which any request names token ids, a
        request for the likeliest tokens gets no numbers. Such an answer counts as malformed.
        """
        return await self.client.post(
            "/v1/completions",
            likeliest_body(self.api.card.name, prompt_ids, max_tokens),
            lambda answer: read_likeliest(self.api.own_answer(answer), self.checked.info.end_of_turn),
            prompt_tokens=len(prompt_ids),
            new_tokens=max_tokens,
        )

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """Draw one free-text answer, and separate its reasoning."""
        template = self.checked.template
        prompt_ids, form = await self.tokenize(prompt), template.shape.form
        mark = await self.tokenize_form(form.mark, prompt_ids) if form else []
        # If grace knows the reasoning format, it draws after the same ids as in scoring, and parses the text
        # itself: the server's parser takes an incomplete Harmony header for an answer, and its chat endpoint
        # builds the prompt in another way. Otherwise the server separates reasoning and answer, if it can.
        chat = template.chat and not (form or template.dated or prompt.plain)
        fields: dict[str, Any] = {
            "model": self.api.card.name,
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "seed": sampling.seed,
            **NEUTRAL,
            "return_token_ids": True,
        }
        if sampling.stop:
            fields["stop"] = list(sampling.stop)
        if chat:
            conversation = await self._conversation(prompt)
            fields["messages"] = conversation.messages(prompt) if conversation else prompt.messages
            if options := template.shape.options:
                fields |= {"chat_template_kwargs": options, **options}
        else:
            fields |= {"prompt": prompt_ids, "skip_special_tokens": form is None}
        return await self.client.post(
            "/v1/chat/completions" if chat else "/v1/completions",
            json.dumps(fields).encode(),
            lambda answer: self._read(answer, prompt, prompt_ids, mark),
            prompt_tokens=len(prompt_ids),
            new_tokens=sampling.max_tokens,
        )

    async def counters(self) -> dict[str, float]:
        """Retries of this client, and the prefix-cache tokens of the whole server, if it reports them."""
        return {"retries": float(self.client.retries), **await self.api.prefix_cache()}

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()

    async def _verify(self) -> None:
        await self.checked.verify(self.api)

    async def _tokenize(self, prompt: Prompt) -> list[int]:
        conversation = await self._conversation(prompt)
        ids = await self.checked.template.prompt_ids(prompt, self, conversation)
        bos = self.checked.bos
        if bos is not None and (ids[:1] != [bos] or ids[1:2] == [bos]):
            raise ItemError("engine_fault", "the prompt does not start with exactly one BOS token")
        plain = prompt.plain or not self.checked.template.chat
        if plain and ids[-1:] == [self.checked.info.end_of_turn]:
            raise ItemError("engine_fault", ENDED)
        return ids

    async def _conversation(self, prompt: Prompt) -> Conversation | None:
        """How the chat template prints the turns of this prompt; None if it needs no examination."""
        template = self.checked.template
        if not prompt.turns or prompt.plain or not template.chat:
            return None
        key = (prompt.direct, structure(prompt))
        return await self._conversations(key, lambda: template.conversation(prompt, self.api.card.name, self))

    def _batches(self, trie: TokenTrie) -> tuple[Batch, ...]:
        key = trie.token.tobytes() + trie.parent.tobytes() + trie.leaf.tobytes()
        batches = self._tries.get(key)
        if batches is None:
            named = self.checked.method == "logprob_token_ids"
            batches = self._tries[key] = named_batches(trie) if named else forced_batches(trie)
            if len(self._tries) > CACHED_TRIES:
                self._tries.popitem(last=False)
        return batches

    async def _ask(
        self, prompt_ids: Sequence[int], trie: TokenTrie, batches: Sequence[Batch]
    ) -> NDArray[np.float64]:
        """The log-probabilities of the edges of `batches`, shape (n_edges,); NaN for other edges."""
        edges = np.full(trie.n_edges, np.nan)

        async def one(batch: Batch) -> None:
            edges[batch.edges] = await self.client.post(
                "/v1/completions",
                batch.body(self.api.model, prompt_ids),
                lambda answer: batch.read(self.api.own_answer(answer), len(prompt_ids)),
                prompt_tokens=len(prompt_ids) * len(batch.tails) + batch.tokens,
                new_tokens=batch.new_tokens,
            )

        if len(batches) == 1:
            await one(batches[0])
        else:
            await run_all(*map(one, batches))
        return edges

    def _read(
        self, answer: Any, prompt: Prompt, prompt_ids: Sequence[int], mark: Sequence[int]
    ) -> Generation:
        choice = fields.mapping(self.api.own_answer(answer), "choices", 0)
        message = fields.mapping(choice, "message") if "message" in choice else choice
        text = fields.text_or_none(message, "content" if "message" in choice else "text")
        thoughts = next(filter(None, (fields.text_or_none(message, name) for name in REASONING_FIELDS)), None)
        reason = fields.text(choice, "finish_reason")
        if reason not in ("stop", "length"):
            # While it shuts down, vLLM answers 200, no text, "abort".
            raise MalformedError(
                f"the server stopped in the middle of the answer (finish reason {fields.quoted(reason)})"
            )
        drawn = fields.ids_or_none(choice, "token_ids") or []
        # A chat answer has the ids of its prompt at the top, a completion in the choice.
        used_ids = (
            fields.ids_or_none(answer, "prompt_token_ids")
            or fields.ids_or_none(choice, "prompt_token_ids")
            or prompt_ids
        )
        if reason == "stop" and drawn and drawn[-1] == self.checked.info.end_of_turn:
            drawn = drawn[:-1]
        shape = self.checked.template.shape
        begun = shape.form.begun(shape.around(direct=prompt.direct)[1]) if shape.form else ""
        turn = split_turn(text, thoughts, form=shape.form, begun=begun, cut=reason == "length")
        at = shape.form.answer_at(drawn, mark) if shape.form else None
        return Generation(turn.answer, reason, tuple(used_ids), tuple(drawn), turn.reasoning, turn.status, at)


async def _ready(client: Client, model: str | None, seconds: float, say: Callable[[str], None]) -> ModelCard:
    """The model on the server, after the server has answered a completion for it."""
    start, logged, last = time.monotonic(), -60.0, ""
    while True:
        failure = await _answers(client, model)
        if isinstance(failure, ModelCard):
            return failure
        if not failure.retryable:
            raise failure
        if not last and await speaks_tls(client.url):
            raise SpecError(
                f"{client.url} speaks https, not http. Use https{client.url.removeprefix('http')}"
            )
        waited = time.monotonic() - start
        if waited >= seconds:
            hint = "Start the server, or wait for it with --wait-for-server MINUTES"
            raise ServerError(f"{failure}. {'Look at the log of the server' if seconds else hint}")
        if str(failure) != last or waited - logged >= 60:
            say(f"waiting for the server, {waited / 60:.0f} of {seconds / 60:.0f} min: {failure}")
            logged, last = waited, str(failure)
        # At constant intervals, unlike `core.retry`, because a start takes minutes.
        await asyncio.sleep(min(client.retrying.probe, max(0.05, seconds - waited)))


async def _answers(client: Client, model: str | None) -> ModelCard | ServerError:
    """The model on the server, or why the server does not answer for it yet."""
    try:
        cards = await models(client, deadline=30.0)
    except MalformedError as error:
        return ServerError(f"{client.url} is not a vLLM server: /v1/models: {error}", retryable=False)
    except ServerError as error:
        return error
    card = _pick(cards, model, client.url)
    try:
        await ModelApi(client, card).complete(prompt="Hello", max_tokens=1, temperature=0.0)
    except RequestRefusedError as error:
        raise SpecError(f"{client.url} cannot be used. It refused a completion: {error}") from None
    except OtherModelError as error:
        if error.name in {other.name for other in cards}:
            raise SpecError(
                f"{client.url} answers requests for {card.name!r} as {error.name!r}: these are two names of "
                f"one model. Use the second: --model {error.name}"
            ) from None
        return ServerError(f"{client.url}: {error}")
    except MalformedError as error:
        return ServerError(f"{client.url} gave no usable completion: {error}")
    except ServerError as error:
        return error
    return card


def _pick(cards: Sequence[ModelCard], model: str | None, url: str) -> ModelCard:
    served = ", ".join(card.name for card in cards) or "nothing"
    if hidden := [card.name for card in cards if HIDDEN in card.name]:
        raise SpecError(
            f"{url} serves {hidden[0]}: the stars hide a part of the API key, which grace never prints or "
            "stores. Use another key, or serve the model under another name (--served-model-name)"
        )
    if model is None and len(cards) == 1:
        return cards[0]
    for card in cards:
        if card.name == model:
            return card
    if model is None:
        raise SpecError(f"{url} serves {served}. Choose one with --model")
    raise SpecError(f"{url} does not serve {model!r}. It serves {served}. Choose one with --model")
