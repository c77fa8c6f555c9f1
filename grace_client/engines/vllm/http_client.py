"""An HTTP client for a model server that may be busy, slow, hung, dying or restarted."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from grace_client.core import retry
from grace_client.core.api_key import ApiKey
from grace_client.core.errors import ItemError, ServerError
from grace_client.engines.vllm.circuit_breaker import Circuit
from grace_client.engines.vllm.concurrency import AdaptiveLimit
from grace_client.engines.vllm.responses import (
    DEAD,
    NAN,
    MalformedError,
    OtherModelError,
    Reply,
    Retrying,
    base_url,
    evidence,
    retry_seconds,
    why,
)
from grace_client.engines.vllm.tls import refusal

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hints:
    """What a user can do if a server refuses everything.

    Attributes
    ----------
    key : str
        How to set the API key.
    missing : str
        What to check if the server does not know the URL or the model.
    """

    key: str = "set VLLM_API_KEY to the server's key, or name a file that contains it with --api-key-file"
    missing: str = "'grace' needs a vLLM server with the model of this run"


class Client:
    """Sends requests to one server, many at the same time, and retries temporary failures.

    Parameters
    ----------
    url : str
        Such as ``http://host:8000``; a final ``/v1`` is removed.
    api_key : str, optional
        Sent as bearer token, and hidden in every message.
    retrying : Retrying
        When to wait, retry and give up.
    max_in_flight : int
        Most requests in flight.
    hints : Hints
        Next steps for error messages.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        retrying: Retrying | None = None,
        max_in_flight: int = 64,
        hints: Hints | None = None,
    ) -> None:
        self.url = base_url(url)
        self.hints = hints or Hints()
        self.retrying = retrying or Retrying()
        self.limit = AdaptiveLimit(max_in_flight)
        self.circuit = Circuit(self.url, self.retrying, opened=self._wake)
        self.key = ApiKey(api_key or "")
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            # vLLM closes a connection that was idle for 5 s; a request sent at that moment would be lost.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.retrying.connect),
        )
        self._slots: deque[asyncio.Future[None]] = deque()
        self._sent = 0
        self._not_before = 0.0
        self.retries = 0
        self._urls: dict[str, URL] = {}

    async def post(
        self,
        path: str,
        body: bytes,
        read: Callable[[Any], T],
        *,
        prompt_tokens: int = 0,
        new_tokens: int = 1,
        limited: bool = True,
    ) -> T:
        """Post a request, and retry it until it is answered or until `retrying` says to give up.

        Parameters
        ----------
        path : str
            Such as ``/v1/completions``.
        body : bytes
            JSON.
        read : callable
            Turns the parsed answer into the result. Raises `MalformedError` if the answer is malformed, and
            `ItemError` if it says that there is no answer.
        prompt_tokens, new_tokens : int
            Number of tokens in the prompts and in the answer. The deadline grows with them.
        limited : bool
            Whether the request counts as one in flight. Small requests need not.

        Raises
        ------
        ItemError
            If this request has no answer: the server refused it for good, or all tries failed.
        ServerError
            If the server is gone, hangs, refuses the key or serves another model.
        """
        retrying, tries, refusals = self.retrying, 0, 0
        deadline = retrying.deadline + retrying.per_prompt_token * prompt_tokens
        slack = retrying.per_new_token * new_tokens
        while True:
            sent_in = await self._admit(limited)
            reply, reason, status = None, "", "connection"
            try:
                kind = new_tokens if limited else 0
                reply = await self._attempt(path, body, deadline + slack, slack, kind)
                if reply.status == 200:
                    result = reply.read(read)
                    self.circuit.failures = 0
                    return result
                reason = f"HTTP {reply.status}: {reply.text()}"
            except MalformedError as error:
                status, reason = "engine_fault", f"unusable answer: {error}"
                if isinstance(error, OtherModelError):
                    self.circuit.suspect(reason)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                self._give_up(refusal(error, self.url))
                reason = f"cannot connect: {self._why(error)}"
                refusals += 1
                self._died(reason, sent_in)
            except TimeoutError:
                status, reason = "timeout", f"no answer within {deadline + slack:.0f} s"
            except (aiohttp.ClientError, OSError) as error:
                self._give_up(refusal(error, self.url))
                reason = f"the connection broke: {self._why(error)}"
                tries += 1
                self.circuit.suspect(reason)
            finally:
                if limited:
                    self._free()
            self.circuit.check()

            if reply is not None and reply.status != 200:
                self._final(reply, reason)
                status = "server_error"
                if reply.status in (429, 503):
                    status = "overloaded"
                    refusals += 1
                    self.limit.refused(sent_in)
                    self._pause(reply.retry_after)
                else:
                    tries += 1
                    if any(word in reason for word in DEAD):
                        self._died(reason, sent_in)
            elif status in ("engine_fault", "timeout"):
                tries += 1
                if status == "timeout":
                    self.limit.refused(sent_in)
            self.circuit.failed(reason)
            if tries >= retrying.tries or refusals >= retrying.refusals:
                times = tries if tries >= retrying.tries else refusals
                raise ItemError(
                    status, f"no answer after {times} attempts. The last one: {reason}", retryable=True
                )
            await self.circuit.sleep(self._backoff(tries + refusals))
            self.retries += 1

    async def once(self, method: str, path: str, body: bytes | None = None, *, deadline: float) -> Reply:
        """Send one request once, without retries or limits.

        Raises
        ------
        ServerError
            If the server does not answer.
        """
        try:
            async with asyncio.timeout(deadline):
                return await self._send(method, path, body)
        except TimeoutError:
            raise ServerError(f"{self.url} did not answer within {deadline:.0f} s") from None
        except (aiohttp.ClientError, OSError) as error:
            final = refusal(error, self.url)
            raise final or ServerError(f"{self.url} cannot be reached: {self._why(error)}") from None

    async def close(self) -> None:
        """Close all connections."""
        await self.circuit.close()
        await self._session.close()

    def refuse(self, reply: Reply) -> None:
        """Raise ServerError if an answer means that no request of this run can succeed."""
        words = f"HTTP {reply.status}: {reply.text()}"
        fault = ""
        if reply.status in (401, 403):
            refused = "refuses the API key" if self.key else "needs an API key"
            fault = f"{refused} ({words}). To correct this, {self.hints.key}"
        elif reply.status == 402:
            fault = f"asks for payment ({words})"
        elif reply.status == 404:
            fault = f"does not know this address or model ({words}): {self.hints.missing}"
        elif 300 <= reply.status < 400 and reply.moved:
            fault = f"redirects to {reply.moved}. Use that URL instead"
        elif 300 <= reply.status < 400:
            fault = (
                f"redirects to {reply.location or 'nowhere'} (HTTP {reply.status}). grace does not follow "
                "redirects. If this is a login page, ask the server's administrator for a URL that takes an "
                "API key"
            )
        if fault:
            raise ServerError(f"{self.url} {fault}", retryable=False)

    def _final(self, reply: Reply, reason: str) -> None:
        """Raise the error of a refusal that a retry cannot change."""
        if NAN in reason:
            raise ItemError(
                "nan",
                "the model overflows on this prompt. The usual cause is float16; bfloat16 usually works. "
                f"{reason}",
            )
        if reply.status >= 500 or reply.status in (408, 429):
            return
        try:
            self.refuse(reply)
        except ServerError as error:
            self._give_up(error)
        self.circuit.failures = 0
        if "context length" in reason or "max_tokens must be at least 1" in reason:
            raise ItemError("context", f"{reason}. grace does not shorten prompts")
        raise ItemError("bad_request", reason)

    async def _attempt(self, path: str, body: bytes, deadline: float, slack: float, kind: int) -> Reply:
        start, in_flight = time.monotonic(), self._sent
        async with self.circuit.flight(deadline, slack):
            reply = await self._send("POST", path, body)
        # 502, 503 and 504 may come from a proxy whose server does nothing.
        if reply.status < 502 and reply.status != 429:
            self.circuit.progress()
            if kind and reply.status == 200:
                self.limit.answered(time.monotonic() - start, in_flight, kind)
        return reply

    async def _send(self, method: str, path: str, body: bytes | None) -> Reply:
        async with self._session.request(
            method, self._at(path), data=body, allow_redirects=False
        ) as response:
            payload = await response.read()
            headers = response.headers
            return Reply(
                response.status,
                payload,
                headers.get("Retry-After"),
                evidence(headers.get("Location", ""), self.key),
                self.url + path,
                self.key,
            )

    def _at(self, path: str) -> URL:
        if path not in self._urls:
            self._urls[path] = URL(self.url + path)
        return self._urls[path]

    async def _admit(self, limited: bool) -> int:
        """Wait until a request may be sent; return the round of the limit."""
        while True:
            self.circuit.check()
            if not self.circuit.answers.is_set():
                await self.circuit.answers.wait()
            elif (pause := self._not_before - time.monotonic()) > 0:
                await self.circuit.sleep(pause * random.uniform(1.0, 1.1))
            elif limited and self._sent >= int(self.limit.value):
                turn = asyncio.get_running_loop().create_future()
                self._slots.append(turn)
                try:
                    await turn
                except asyncio.CancelledError:
                    # This call had just received a slot. The next call gets it.
                    if turn.done() and not turn.cancelled():
                        self._wake()
                    raise
            else:
                self._sent += limited
                return self.limit.round

    def _free(self) -> None:
        self._sent -= 1
        self._wake()

    def _wake(self) -> None:
        free = int(self.limit.value) - self._sent
        while self._slots and (free > 0 or self.circuit.failure):
            turn = self._slots.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1

    def _backoff(self, tries: int) -> float:
        # Random, so that questions that failed together are not sent together again.
        return retry.pause(tries, self.retrying.backoff, self.retrying.backoff_most) * random.uniform(
            0.5, 1.5
        )

    def _pause(self, retry_after: str | None) -> None:
        """Send nothing until the time in the Retry-After header."""
        seconds = retry_seconds(retry_after)
        if seconds is not None:
            resume = time.monotonic() + min(seconds, self.retrying.patience)
            self._not_before = max(self._not_before, resume)
            self.circuit.progress(self._not_before)

    def _died(self, reason: str, sent_in: int) -> None:
        self.circuit.suspect(reason)
        if sent_in == self.limit.round:
            self.limit.restart()

    def _give_up(self, error: ServerError | None) -> None:
        """End every call with `error`, if there is one."""
        if error:
            self.circuit.stop(error)
            raise error from None

    def _why(self, error: Exception) -> str:
        # The error may quote an answer that is not HTTP.
        return evidence(why(error), self.key)
