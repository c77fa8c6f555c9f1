"""An OpenAI-compatible endpoint, and one question to it about one text."""

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
from grace_client.engines.vllm.responses import RetryPolicy, base_url
from grace_client.engines.vllm.tls import speaks_tls
from grace_client.extraction.instructions import instructions, schema, shape
from grace_client.extraction.reading import VALUES
from grace_client.run.layout import OK
from grace_client.run.ledger import key_of

DEEPSEEK_URL, DEEPSEEK_MODEL, DEEPSEEK_KEY = "https://api.deepseek.com", "deepseek-flash", "DEEPSEEK_API_KEY"
"""As DeepSeek's API documentation names them: https://api-docs.deepseek.com/ (read 2026-11)."""

MAX_TOKENS = 256
ATTEMPTS = 2

RETRIES = RetryPolicy(
    tries=6,
    refusals=7,
    backoff_most=8.0,
    deadline=120.0,
    per_prompt_token=0.0,
    window=3600.0,
    patience=120.0,
)
"""The client's retries with other numbers, because a paid service limits requests and does not restart: grace
waits as long as ``Retry-After`` says, up to two minutes."""

KEPT = "What was read so far is kept"


@dataclass(frozen=True, slots=True)
class Said:
    """An endpoint's answer.

    Attributes
    ----------
    content : str
        Its text.
    refusal : str
        Why it does not read this text; empty where it does.
    prompt_tokens, completion_tokens : int
        As the endpoint counted them.
    """

    content: str
    refusal: str
    prompt_tokens: int
    completion_tokens: int


def said(answer: Any) -> Said:
    """What an answer of ``/chat/completions`` says; MalformedError where it is none."""
    choice = fields.mapping(answer, "choices", 0)
    message = fields.mapping(choice, "message")
    filtered = fields.text_or_none(choice, "finish_reason") == "content_filter"
    refusal = fields.text_or_none(message, "refusal") or ("content filter" if filtered else "")
    used = {} if fields.optional(answer, "usage") is None else fields.mapping(answer, "usage")
    counts = [fields.whole_or_none(used, name) or 0 for name in ("prompt_tokens", "completion_tokens")]
    return Said(fields.text_or_none(message, "content") or "", refusal, *counts)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who reads.

    Attributes
    ----------
    url, model : str
        Base URL, and the model as it is named there.
    key : str or None
        The endpoint's key; None where it wants none.
    key_env : str or None
        The environment variable that it is from.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    key_env: str | None = None

    @classmethod
    def of(cls, url: str | None, model: str | None, key_env: str | None, *, needs_key: bool) -> Endpoint:
        """The endpoint that the options name, DeepSeek's by default; SpecError where something is missing."""
        if url is not None and model is None:
            raise SpecError("--llm-url needs --llm-model, the model's name at that endpoint")
        if url is None:
            url, model, key_env = DEEPSEEK_URL, model or DEEPSEEK_MODEL, key_env or DEEPSEEK_KEY
        assert model is not None
        base_url(url)
        key = from_environment(key_env) if key_env else None
        if key_env and not key and needs_key:
            raise SpecError(
                f"the key for {url} is expected in the environment variable {key_env}, which is not set; set "
                "it, or name another one with --llm-key-env"
            )
        return cls(url.rstrip("/"), model, key, key_env)

    @property
    def extra(self) -> dict[str, Any]:
        """What goes into every request beyond the common parameters."""
        host = urlsplit(self.url).hostname or ""
        # Its models think by default, and then pass over the temperature.
        return {"thinking": {"type": "disabled"}} if host.endswith("deepseek.com") else {}

    @property
    def prompt_sha256(self) -> str:
        """Hash over all instructions."""
        return key_of({question: instructions(question) for question in VALUES})

    def key_of(self, question: str, text: str) -> str:
        """Equal for requests that must have equal readings."""
        return key_of(self.url, self.model, self.extra, MAX_TOKENS, ATTEMPTS, instructions(question), text)


def client(endpoint: Endpoint, *, concurrency: int) -> Client:
    """The connection to an endpoint."""
    where = f"the environment variable {endpoint.key_env}" if endpoint.key_env else "--llm-key-env"
    return Client(
        endpoint.url,
        api_key=endpoint.key,
        policy=RETRIES,
        max_in_flight=concurrency,
        hints=Hints(f"check the key in {where}", "check --llm-url and --llm-model"),
    )


class Asker:
    """Asks one endpoint, by JSON schema or, where it does not know them, for any JSON object.

    Parameters
    ----------
    client : Client
        Of the endpoint.
    endpoint : Endpoint
        Who reads.
    say : callable
        Takes lines for people.
    """

    def __init__(self, client: Client, endpoint: Endpoint, say: Callable[[str], None]) -> None:
        self.client, self.endpoint, self.say = client, endpoint, say
        self.by_schema: bool | None = None
        # The client's URL is without it.
        version = "/v1" if endpoint.url.endswith("/v1") else ""
        self.path = f"{version}/chat/completions"

    async def ask(self, question: str, text: str) -> tuple[dict[str, Any], bool]:
        """The ledger entry of one text, and whether it is final.

        Raises
        ------
        ServerError
            Where the endpoint answers nothing.
        SpecError
            Where it does not take the request at all.
        """
        messages = [
            {"role": "system", "content": instructions(question)},
            {"role": "user", "content": text},
        ]
        entry: dict[str, Any] = {"status": "schema", "reason": "", "prompt_tokens": 0, "completion_tokens": 0}
        final = True
        # The client retries failures. This asks again, at once, with the fault in the model's answer.
        for attempt in range(1, ATTEMPTS + 1):
            entry["attempts"] = attempt
            answer = await self._send(question, messages)
            if isinstance(answer, ItemError):
                final = not answer.retryable
                entry |= {"status": "rejected" if final else answer.status, "reason": str(answer)}
                break
            entry["prompt_tokens"] += answer.prompt_tokens
            entry["completion_tokens"] += answer.completion_tokens
            entry["content"] = answer.content
            if answer.refusal:
                entry |= {"status": "refused", "reason": answer.refusal}
                break
            try:
                coded = shape(question).model_validate_json(answer.content)
            except ValidationError as error:
                entry["reason"] = f"{error.errors()[0]['msg']}: {answer.content[:200]}"
                kept = [{"role": "assistant", "content": answer.content}] if answer.content.strip() else []
                again = f"That is not valid: {error.errors()[0]['msg']}. Reply with the JSON object alone."
                messages = [*messages[:2], *kept, {"role": "user", "content": again}]
                continue
            entry |= {"status": OK, "reason": "", "coded": coded.model_dump()}
            break
        return entry | {
            "question": question,
            "text": text,
            "format": "json_schema" if self.by_schema else "json_object",
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }, final

    async def _send(self, question: str, messages: list[dict[str, str]]) -> Said | ItemError:
        """The endpoint's answer, or why it has none to this text."""
        try:
            if self.by_schema is None:
                return await self._first(question, messages)
            return await self._post(question, messages, by_schema=self.by_schema)
        except ItemError as error:
            if not error.retryable or error.status == "engine_fault":
                return error
            if await speaks_tls(self.client.url):
                raise SpecError(f"{self.endpoint.url} speaks https, not http; give an https URL") from None
            raise ServerError(
                f"{self.endpoint.url}: {error}. {KEPT}; the same command goes on from there later"
            ) from None
        except ServerError as error:
            raise ServerError(f"{error}. {KEPT}", retryable=error.retryable) from None

    async def _first(self, question: str, messages: list[dict[str, str]]) -> Said:
        """The first request, which decides whether the endpoint knows JSON schemas."""
        try:
            answer = await self._post(question, messages, by_schema=True)
            self.by_schema = True
        except ItemError as error:
            if error.retryable:
                raise
            try:
                answer = await self._post(question, messages, by_schema=False)
            except ItemError as second:
                if second.retryable:
                    raise
                raise SpecError(
                    f"{self.endpoint.url} does not take the request for {self.endpoint.model}: {error}"
                ) from None
            self.by_schema = False
            self.say(
                f"{self.endpoint.url} knows no JSON schemas; it is asked for JSON, which is checked here"
            )
        return answer

    async def _post(self, question: str, messages: list[dict[str, str]], *, by_schema: bool) -> Said:
        strict = {"name": question, "strict": True, "schema": schema(question)}
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
