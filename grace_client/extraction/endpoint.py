"""Send one answer to an LLM at an OpenAI-compatible endpoint, and check the reply."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from grace_client.core.api_key import from_environment
from grace_client.core.errors import ItemError, ServerError, SpecError
from grace_client.engines.vllm import fields
from grace_client.engines.vllm.http_client import Client, Hints
from grace_client.engines.vllm.responses import Retrying, base_url
from grace_client.engines.vllm.tls import speaks_tls
from grace_client.extraction.instructions import Codebook
from grace_client.run.layout import OK
from grace_client.run.ledger import key_of

DEEPSEEK_URL, DEEPSEEK_MODEL, DEEPSEEK_KEY = "https://api.deepseek.com", "deepseek-flash", "DEEPSEEK_API_KEY"
"""From DeepSeek's API documentation: https://api-docs.deepseek.com/ (read 2026-11)."""

MAX_TOKENS = 256
ATTEMPTS = 2

RETRIES = Retrying(
    tries=6,
    refusals=7,
    backoff_most=8.0,
    deadline=120.0,
    per_prompt_token=0.0,
    window=3600.0,
    patience=120.0,
)
"""How the client retries with a paid service, which limits requests and does not restart: grace waits as long
as ``Retry-After`` says, up to two minutes."""

KEPT = "The readings so far are kept"


@dataclass(frozen=True, slots=True)
class Said:
    """An endpoint's reply.

    Attributes
    ----------
    content : str
        Text of the reply.
    refusal : str
        Why the endpoint refuses to read this text; empty if it does not refuse.
    prompt_tokens, completion_tokens : int
        Number of tokens, as counted by the endpoint.
    """

    content: str
    refusal: str
    prompt_tokens: int
    completion_tokens: int


def said(answer: Any) -> Said:
    """Read a reply of ``/chat/completions``; MalformedError if it has another form."""
    choice = fields.mapping(answer, "choices", 0)
    message = fields.mapping(choice, "message")
    filtered = fields.text_or_none(choice, "finish_reason") == "content_filter"
    refusal = fields.text_or_none(message, "refusal") or ("content filter" if filtered else "")
    used = {} if fields.optional(answer, "usage") is None else fields.mapping(answer, "usage")
    counts = [fields.whole_or_none(used, name) or 0 for name in ("prompt_tokens", "completion_tokens")]
    return Said(fields.text_or_none(message, "content") or "", refusal, *counts)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint and a model there.

    Attributes
    ----------
    url, model : str
        Base URL of the endpoint, and the model's name there.
    key : str or None
        The endpoint's API key; None if it needs none.
    key_env : str or None
        Name of the environment variable with the key.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    key_env: str | None = None

    @classmethod
    def of(cls, url: str | None, model: str | None, key_env: str | None, *, needs_key: bool) -> Endpoint:
        """The endpoint of the options, by default DeepSeek's; SpecError if a setting is missing."""
        if url is not None and model is None:
            raise SpecError("--llm-url needs --llm-model. Add the model's name at that endpoint")
        if url is None:
            url, model, key_env = DEEPSEEK_URL, model or DEEPSEEK_MODEL, key_env or DEEPSEEK_KEY
        assert model is not None
        base_url(url)
        key = from_environment(key_env) if key_env else None
        if key_env and not key and needs_key:
            raise SpecError(
                f"The environment variable {key_env} with the API key for {url} is not set. Set it, or name "
                "another variable with --llm-key-env"
            )
        return cls(url.rstrip("/"), model, key, key_env)

    @property
    def extra(self) -> dict[str, Any]:
        """Parameters of every request that only this endpoint has."""
        host = urlsplit(self.url).hostname or ""
        # DeepSeek's models reason by default, and then ignore the temperature.
        return {"thinking": {"type": "disabled"}} if host.endswith("deepseek.com") else {}

    def key_of(self, codebook: Codebook, text: str) -> str:
        """Key of a request. Requests with the same key have the same reading."""
        return key_of(self.url, self.model, self.extra, MAX_TOKENS, ATTEMPTS, codebook.instructions, text)


def client(endpoint: Endpoint, *, concurrency: int) -> Client:
    """The connection to an endpoint."""
    where = f"the environment variable {endpoint.key_env}" if endpoint.key_env else "--llm-key-env"
    return Client(
        endpoint.url,
        api_key=endpoint.key,
        retrying=RETRIES,
        max_in_flight=concurrency,
        hints=Hints(f"check the key in {where}", "check --llm-url and --llm-model"),
    )


class Asker:
    """Sends answers to one endpoint, with a JSON schema or, if the endpoint has none, for any JSON object.

    Parameters
    ----------
    client : Client
        The connection to the endpoint.
    endpoint : Endpoint
        The endpoint.
    say : callable
        Prints a line for people.
    """

    def __init__(self, client: Client, endpoint: Endpoint, say: Callable[[str], None]) -> None:
        self.client, self.endpoint, self.say = client, endpoint, say
        self.by_schema: bool | None = None
        # The client's URL does not contain the version.
        version = "/v1" if endpoint.url.endswith("/v1") else ""
        self.path = f"{version}/chat/completions"

    async def ask(self, codebook: Codebook, text: str) -> tuple[dict[str, Any], bool]:
        """Send one text. Returns its ledger entry, and whether that is final.

        Raises
        ------
        ServerError
            If the endpoint does not answer.
        SpecError
            If the endpoint refuses this kind of request.
        """
        messages = [
            {"role": "system", "content": codebook.instructions},
            {"role": "user", "content": text},
        ]
        entry: dict[str, Any] = {"status": "schema", "reason": "", "prompt_tokens": 0, "completion_tokens": 0}
        final = True
        # The client retries failed requests. This loop tells the model what is wrong in its reply.
        for attempt in range(1, ATTEMPTS + 1):
            entry["attempts"] = attempt
            reply = await self._send(codebook, messages)
            if isinstance(reply, ItemError):
                final = not reply.retryable
                entry |= {"status": "rejected" if final else reply.status, "reason": str(reply)}
                break
            entry["prompt_tokens"] += reply.prompt_tokens
            entry["completion_tokens"] += reply.completion_tokens
            entry["content"] = reply.content
            if reply.refusal:
                entry |= {"status": "refused", "reason": reply.refusal}
                break
            try:
                coded = codebook.shape.model_validate_json(reply.content)
            except ValidationError as error:
                entry["reason"] = f"{error.errors()[0]['msg']}: {reply.content[:200]}"
                kept = [{"role": "assistant", "content": reply.content}] if reply.content.strip() else []
                again = f"That is not valid: {error.errors()[0]['msg']}. Reply with the JSON object alone."
                messages = [*messages[:2], *kept, {"role": "user", "content": again}]
                continue
            entry |= {"status": OK, "reason": "", "coded": coded.model_dump()}
            break
        return entry | {
            "question": codebook.name,
            "text": text,
            "format": "json_schema" if self.by_schema else "json_object",
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }, final

    async def _send(self, codebook: Codebook, messages: list[dict[str, str]]) -> Said | ItemError:
        """The endpoint's reply, or the error for this text."""
        try:
            if self.by_schema is None:
                return await self._first(codebook, messages)
            return await self._post(codebook, messages, by_schema=self.by_schema)
        except ItemError as error:
            if not error.retryable or error.status == "engine_fault":
                return error
            if await speaks_tls(self.client.url):
                raise SpecError(
                    f"{self.endpoint.url} uses https, not http. Write https:// in --llm-url"
                ) from None
            raise ServerError(
                f"{self.endpoint.url}: {error}. {KEPT}. Repeat the command later to continue"
            ) from None
        except ServerError as error:
            raise ServerError(f"{error}. {KEPT}", retryable=error.retryable) from None

    async def _first(self, codebook: Codebook, messages: list[dict[str, str]]) -> Said:
        """Send the first request. It finds out whether the endpoint supports JSON schemas."""
        try:
            answer = await self._post(codebook, messages, by_schema=True)
            self.by_schema = True
        except ItemError as error:
            if error.retryable:
                raise
            try:
                answer = await self._post(codebook, messages, by_schema=False)
            except ItemError as second:
                if second.retryable:
                    raise
                raise SpecError(
                    f"{self.endpoint.url} refuses the request for the model {self.endpoint.model}: {error}. "
                    "Check --llm-url and --llm-model"
                ) from None
            self.by_schema = False
            self.say(
                f"{self.endpoint.url} does not support JSON schemas. grace asks for JSON and checks it itself"
            )
        return answer

    async def _post(self, codebook: Codebook, messages: list[dict[str, str]], *, by_schema: bool) -> Said:
        strict = {"name": codebook.name, "strict": True, "schema": codebook.schema}
        by = {"type": "json_schema", "json_schema": strict} if by_schema else {"type": "json_object"}
        body = {
            "model": self.endpoint.model,
            "messages": messages,
            "response_format": by,
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
        }
        return await self.client.post(
            self.path, json.dumps(body | self.endpoint.extra).encode(), said, new_tokens=MAX_TOKENS
        )
