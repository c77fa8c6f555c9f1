"""An OpenAI-compatible endpoint, and one question to it about one text."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from grace_client.errors import ServerError, SpecError
from grace_client.extraction.instructions import instructions, schema, shape
from grace_client.extraction.reading import VALUES
from grace_client.ledger import OK, key_of

if TYPE_CHECKING:
    from openai import AsyncOpenAI

DEEPSEEK_URL, DEEPSEEK_MODEL, DEEPSEEK_KEY = "https://api.deepseek.com", "deepseek-flash", "DEEPSEEK_API_KEY"
"""As DeepSeek's API documentation names them: https://api-docs.deepseek.com/ (read 2026-11)."""

MAX_TOKENS = 256
ATTEMPTS = 2
RETRIES, TIMEOUT_SECONDS = 6, 120.0
"""Of the openai client, which waits as long as ``Retry-After`` says, up to two minutes, or backs off."""


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
        key = os.environ.get(key_env) if key_env else None
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


def client(endpoint: Endpoint) -> AsyncOpenAI:
    """The openai client for an endpoint; SpecError where the package is not installed."""
    try:
        import openai
    except ImportError:
        raise SpecError(
            "an LLM is asked through the openai package, which is not installed: pip install "
            "'grace-client[extract]'"
        ) from None
    # The client wants a key even for an endpoint that has none.
    return openai.AsyncOpenAI(
        base_url=endpoint.url,
        api_key=endpoint.key or "none",
        max_retries=RETRIES,
        timeout=TIMEOUT_SECONDS,
    )


class Asker:
    """Asks one endpoint, by JSON schema or, where it does not know them, for any JSON object.

    Parameters
    ----------
    client : AsyncOpenAI
        Of the endpoint.
    endpoint : Endpoint
        Who reads.
    say : callable
        Takes lines for people.
    """

    def __init__(self, client: AsyncOpenAI, endpoint: Endpoint, say: Callable[[str], None]) -> None:
        self.client, self.endpoint, self.say = client, endpoint, say
        self.by_schema: bool | None = None

    async def ask(self, question: str, text: str) -> dict[str, Any]:
        """The ledger entry of one text."""
        messages = [
            {"role": "system", "content": instructions(question)},
            {"role": "user", "content": text},
        ]
        entry: dict[str, Any] = {"status": "schema", "reason": "", "prompt_tokens": 0, "completion_tokens": 0}
        for attempt in range(1, ATTEMPTS + 1):
            entry["attempts"] = attempt
            answer = await self._send(question, messages)
            if isinstance(answer, str):
                entry |= {"status": "rejected", "reason": answer}
                break
            choice, usage = answer.choices[0], answer.usage
            if usage:
                entry["prompt_tokens"] += usage.prompt_tokens
                entry["completion_tokens"] += usage.completion_tokens
            content = choice.message.content or ""
            entry["content"] = content
            if choice.message.refusal or choice.finish_reason == "content_filter":
                entry |= {"status": "refused", "reason": choice.message.refusal or "content filter"}
                break
            try:
                coded = shape(question).model_validate_json(content)
            except ValidationError as error:
                entry["reason"] = f"{error.errors()[0]['msg']}: {content[:200]}"
                said = [{"role": "assistant", "content": content}] if content.strip() else []
                again = f"That is not valid: {error.errors()[0]['msg']}. Reply with the JSON object alone."
                messages = [*messages[:2], *said, {"role": "user", "content": again}]
                continue
            entry |= {"status": OK, "reason": "", "coded": coded.model_dump()}
            break
        return entry | {
            "question": question,
            "text": text,
            "format": "json_schema" if self.by_schema else "json_object",
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }

    async def _send(self, question: str, messages: list[dict[str, str]]) -> Any:
        """The endpoint's answer, or why it does not take this text."""
        import openai

        try:
            if self.by_schema is None:
                return await self._first(question, messages)
            return await self._create(question, messages, by_schema=self.by_schema)
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            return _message(error)
        except openai.APIError as error:
            raise _stopped(error, self.endpoint) from None

    async def _first(self, question: str, messages: list[dict[str, str]]) -> Any:
        """The first request, which decides whether the endpoint knows JSON schemas."""
        import openai

        refused = (openai.BadRequestError, openai.UnprocessableEntityError)
        try:
            answer = await self._create(question, messages, by_schema=True)
            self.by_schema = True
        except refused as error:
            try:
                answer = await self._create(question, messages, by_schema=False)
            except refused:
                raise SpecError(
                    f"{self.endpoint.url} does not take the request for {self.endpoint.model}: "
                    f"{_message(error)}"
                ) from None
            self.by_schema = False
            self.say(
                f"{self.endpoint.url} knows no JSON schemas; it is asked for JSON, which is checked here"
            )
        return answer

    async def _create(self, question: str, messages: list[dict[str, str]], *, by_schema: bool) -> Any:
        strict = {"name": question, "strict": True, "schema": schema(question)}
        by = {"type": "json_schema", "json_schema": strict} if by_schema else {"type": "json_object"}
        arguments: dict[str, Any] = {"messages": messages, "response_format": by}
        return await self.client.chat.completions.create(
            model=self.endpoint.model,
            temperature=0,
            max_tokens=MAX_TOKENS,
            extra_body=self.endpoint.extra or None,
            **arguments,
        )


def _message(error: Any) -> str:
    return " ".join(str(error).split())[:300]


def _stopped(error: Any, endpoint: Endpoint) -> ServerError | SpecError:
    """What keeps the endpoint from answering anything."""
    import openai

    told = f"{endpoint.url}: {_message(error)}"
    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        where = f"the environment variable {endpoint.key_env}" if endpoint.key_env else "--llm-key-env"
        return ServerError(f"{told}. Check the key in {where}", retryable=False)
    if isinstance(error, openai.NotFoundError):
        return SpecError(f"{told}. Check --llm-url and --llm-model")
    status = getattr(error, "status_code", None)
    if status is not None and status < 500 and status not in (408, 409, 429):
        return ServerError(f"{told}. What was read so far is kept", retryable=False)
    return ServerError(f"{told}. What was read so far is kept; the same command goes on from there later")
