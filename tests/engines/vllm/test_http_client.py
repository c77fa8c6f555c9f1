"""The client of a server that is busy, slow, hung, dying, restarted, or says no."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from email.utils import formatdate
from typing import Any, TypeVar

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from grace_client.core.errors import ItemError, ServerError, SpecError
from grace_client.engines.vllm.concurrency import AdaptiveLimit
from grace_client.engines.vllm.http_client import Client
from grace_client.engines.vllm.responses import MalformedError, Reply, Retrying, base_url, retry_seconds

T = TypeVar("T")
Handler = Callable[[web.Request, int], Awaitable[web.StreamResponse]]

QUICK = Retrying(
    tries=4,
    refusals=6,
    backoff=0.005,
    backoff_most=0.02,
    deadline=5.0,
    per_new_token=0.0,
    window=5.0,
    trip=1000,
    probe=0.01,
    probe_deadline=0.2,
    patience=0.5,
)


def ok(**values: Any) -> web.Response:
    return web.json_response({"fine": True, **values})


def error(status: int, message: str, **headers: str) -> web.Response:
    return web.json_response({"error": {"message": message, "code": status}}, status=status, headers=headers)


class Scripted:
    """A server that gives each request and its number to the test, which chooses the answer."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.keys: set[str | None] = set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        self.keys.add(request.headers.get("Authorization"))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self.handler(request, self.requests)
        finally:
            self.in_flight -= 1


def drive(
    handler: Handler,
    use: Callable[[Client, Scripted], Coroutine[Any, Any, T]],
    *,
    retrying: Retrying = QUICK,
    api_key: str | None = None,
    max_in_flight: int = 64,
) -> T:
    """Run a test with a client of a scripted server."""

    async def work() -> T:
        script = Scripted(handler)
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", script.answer)
        server = TestServer(app)
        await server.start_server()
        client = Client(
            str(server.make_url("/")), retrying=retrying, api_key=api_key, max_in_flight=max_in_flight
        )
        try:
            return await use(client, script)
        finally:
            await client.close()
            await server.close()

    return asyncio.run(work())


async def post(client: Client, **sizes: Any) -> Any:
    return await client.post("/v1/completions", b"{}", lambda answer: answer, **sizes)


async def asked_once(client: Client, script: Scripted) -> tuple[Any, int]:
    return await post(client), script.requests


async def outcomes(client: Client, count: int) -> list[Any]:
    return await asyncio.gather(*(post(client) for _ in range(count)), return_exceptions=True)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_failure_that_passes_is_not_noticed(status: int) -> None:
    """The client retries until the server answers."""

    async def handler(request: web.Request, number: int) -> web.Response:
        return error(status, "later") if number < 4 else ok()

    answer, requests = drive(handler, asked_once)
    assert (answer["fine"], requests) == (True, 4)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "logprobs must be set", "bad_request"),
        (422, "no such field", "bad_request"),
        (400, "This model's maximum context length is 2048 tokens.", "context"),
        (400, "Out of range float values are not JSON compliant", "nan"),
        (500, "Out of range float values are not JSON compliant: nan", "nan"),
    ],
)
def test_a_refusal_is_final_and_keeps_the_servers_words(status: int, message: str, kind: str) -> None:
    """The client does not retry, and only this item fails."""

    async def handler(request: web.Request, number: int) -> web.Response:
        return error(status, message)

    async def use(client: Client, script: Scripted) -> int:
        with pytest.raises(ItemError, match=message.split()[0]) as caught:
            await post(client)
        assert caught.value.status == kind
        assert not caught.value.retryable
        assert message in str(caught.value)
        return script.requests

    assert drive(handler, use) == 1


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("500", "HTTP 500: broken"),
        ("html", "not JSON; the answer was: <html>"),
        ("reset", "the connection broke"),
    ],
)
def test_a_failure_that_stays_fails_the_item_and_not_the_run(kind: str, match: str) -> None:
    """The item fails after the stated number of tries. The next request is not affected."""

    async def handler(request: web.Request, number: int) -> web.StreamResponse:
        if (await request.text()) == "{}":
            return ok()
        if kind == "500":
            return error(500, "broken")
        if kind == "html":
            return web.Response(text="<html>sorry</html>")
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"fine":')
        assert request.transport is not None
        request.transport.close()
        return response

    async def use(client: Client, script: Scripted) -> int:
        with pytest.raises(ItemError, match=match) as caught:
            await client.post("/v1/completions", b"[]", lambda answer: answer)
        assert caught.value.retryable
        assert script.requests == QUICK.tries
        assert (await post(client))["fine"]
        return script.requests

    assert drive(handler, use) == QUICK.tries + 1


def test_an_answer_that_is_not_what_was_asked_for_is_asked_again() -> None:
    """If the reader finds the answer malformed, the client retries; in the end the item fails."""

    async def handler(request: web.Request, number: int) -> web.Response:
        return ok()

    def read(answer: Any) -> Any:
        raise MalformedError("three values instead of four")

    async def use(client: Client, script: Scripted) -> int:
        with pytest.raises(ItemError, match="three values instead of four") as caught:
            await client.post("/", b"{}", read)
        assert caught.value.status == "engine_fault"
        return script.requests

    assert drive(handler, use) == QUICK.tries


def test_a_slow_drip_ends_at_the_deadline() -> None:
    """The deadline grows with the prompt."""

    async def handler(request: web.Request, number: int) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b" ")
            await asyncio.sleep(0.02)
        return response

    async def use(client: Client, script: Scripted) -> tuple[float, float]:
        times = []
        for tokens in (0, 10):
            start = time.monotonic()
            with pytest.raises(ItemError, match=r"no answer within") as caught:
                await post(client, prompt_tokens=tokens)
            assert caught.value.status == "timeout"
            times.append(time.monotonic() - start)
        return times[0], times[1]

    short, long = drive(handler, use, retrying=replace(QUICK, tries=1, deadline=0.1, per_prompt_token=0.02))
    assert 0.1 <= short < 0.25
    assert 0.3 <= long < 0.6


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured_by_everyone(form: str) -> None:
    """No request is sent before the time in the header."""
    seen: list[float] = []

    async def handler(request: web.Request, number: int) -> web.Response:
        seen.append(time.monotonic())
        if number == 1:
            header = "0.4" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
            return error(429, "slow down", **{"Retry-After": header})
        return ok()

    async def use(client: Client, script: Scripted) -> None:
        first = asyncio.create_task(post(client))
        while not script.requests:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        await asyncio.gather(first, *(post(client) for _ in range(5)))

    drive(handler, use, retrying=replace(QUICK, patience=10))
    # An HTTP date has whole seconds.
    assert seen[1] - seen[0] >= (0.4 if form == "seconds" else 0.9)
    assert len(seen) == 7


def test_retry_after_is_read_in_both_forms() -> None:
    """Both forms are read, and nonsense is ignored."""
    assert retry_seconds("2") == 2
    assert retry_seconds("-2") == 0
    assert 4 < (retry_seconds(formatdate(time.time() + 5.5, usegmt=True)) or 0) < 6
    for nonsense in (None, "", "soon", "inf", "nan"):
        assert retry_seconds(nonsense) is None


def test_a_server_that_takes_few_requests_gets_few() -> None:
    """The limit falls until the server refuses nothing, and in the end every request is answered."""
    now = 0

    async def handler(request: web.Request, number: int) -> web.Response:
        nonlocal now
        if now >= 4:
            return error(503, "busy")
        now += 1
        await asyncio.sleep(0.01)
        now -= 1
        return ok()

    async def use(client: Client, script: Scripted) -> tuple[list[Any], int]:
        return await outcomes(client, 200), script.requests

    answers, requests = drive(handler, use, retrying=replace(QUICK, refusals=50))
    assert all(answer["fine"] for answer in answers)
    assert requests < 350


def test_the_limit_grows_to_its_bound_and_never_beyond() -> None:
    """With constant latency the limit grows to its bound."""

    async def handler(request: web.Request, number: int) -> web.Response:
        await asyncio.sleep(0.02)
        return ok()

    async def use(client: Client, script: Scripted) -> tuple[int, int]:
        await outcomes(client, 400)
        return script.most_in_flight, int(client.limit.value)

    assert drive(handler, use, max_in_flight=32) == (32, 32)


def test_the_limit_stops_growing_when_answers_take_longer() -> None:
    """The limit stops growing when the latency rises."""
    limit = AdaptiveLimit(64, comfort=0.0)
    for _ in range(1000):
        in_flight = int(limit.value)
        limit.answered(0.1 * max(1.0, in_flight / 10), in_flight)
    assert 30 <= limit.value <= 55
    sent_in = limit.round
    before = limit.value
    for _ in range(20):
        limit.refused(sent_in)
    assert limit.value == before / 2, "refusals of one round are one"


@pytest.mark.parametrize(
    ("status", "match"),
    [
        (401, r"needs an API key \(HTTP 401: Unauthorized\).* set VLLM_API_KEY"),
        (404, r"does not know this address or model \(HTTP 404: Unauthorized\)"),
        (402, r"asks for payment \(HTTP 402: Unauthorized\)"),
        (307, r"redirects to /elsewhere \(HTTP 307\)"),
    ],
)
def test_what_concerns_every_request_ends_the_run(status: int, match: str) -> None:
    """All calls end at once, with an error that says what to do."""

    async def handler(request: web.Request, number: int) -> web.Response:
        return web.json_response({"error": "Unauthorized"}, status=status, headers={"Location": "/elsewhere"})

    async def use(client: Client, script: Scripted) -> int:
        for failure in await outcomes(client, 20):
            assert isinstance(failure, ServerError)
            assert not failure.retryable
        with pytest.raises(ServerError, match=match):
            await post(client)
        return script.requests

    assert drive(handler, use) <= 8


def test_the_key_goes_to_the_server_and_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    """No message contains the key, even if the server repeats it."""
    key = "sk-topsecret"
    caplog.set_level(logging.DEBUG)

    async def handler(request: web.Request, number: int) -> web.Response:
        words = f"not for {request.headers['Authorization']}"
        return error([400, 500, 401][number % 3], words)

    async def use(client: Client, script: Scripted) -> list[str]:
        failures = [str(failure) for failure in await outcomes(client, 8)]
        return [*failures, repr(client), *map(str, script.keys)]

    *messages, sent = drive(handler, use, api_key=key)
    assert sent == f"Bearer {key}"
    assert not any(key in message for message in messages)
    assert any("***" in message for message in messages)
    assert key not in caplog.text


def test_a_hang_is_noticed_within_twice_the_window() -> None:
    """All calls end, also those that wait, even if the server says that it is healthy."""

    async def handler(request: web.Request, number: int) -> web.Response:
        if number > 10:
            await asyncio.sleep(60)
        return ok()

    async def use(client: Client, script: Scripted) -> tuple[list[Any], float]:
        await outcomes(client, 10)
        start = time.monotonic()
        return await outcomes(client, 30), time.monotonic() - start

    failures, took = drive(handler, use, retrying=replace(QUICK, window=0.4, deadline=30), max_in_flight=16)
    assert 0.4 < took < 0.8
    for failure in failures:
        assert isinstance(failure, ServerError)
        assert failure.retryable
        assert re.search(r"hangs: .* \d+ requests", str(failure))


def test_slow_but_steady_is_not_a_hang() -> None:
    """It is no hang while requests are answered one after another."""

    async def handler(request: web.Request, number: int) -> web.Response:
        await asyncio.sleep(0.05 * number)
        return ok()

    async def use(client: Client, script: Scripted) -> list[Any]:
        return await outcomes(client, 8)

    assert all(a["fine"] for a in drive(handler, use, retrying=replace(QUICK, window=0.3)))


def test_an_engine_that_died_is_waited_for_until_it_answers() -> None:
    """Only one probe is sent. When it is answered, all calls continue, and every item has its answer."""
    died = 0.0
    during: list[str] = []

    async def handler(request: web.Request, number: int) -> web.Response:
        nonlocal died
        if number == 20:
            died = time.monotonic()
        if died and time.monotonic() - died < 0.3:
            during.append(await request.text())
            return error(500, "EngineCore encountered an issue. See stack trace for the root cause.")
        await asyncio.sleep(0.002)
        return ok()

    async def use(client: Client, script: Scripted) -> list[Any]:
        async def probe() -> None:
            reply = await client.once("POST", "/", b'"probe"', deadline=1.0)
            if reply.status != 200:
                raise ServerError("not yet")

        client.circuit.probe = probe
        return await outcomes(client, 100)

    answers = drive(handler, use, retrying=replace(QUICK, patience=5, tries=3), max_in_flight=16)
    assert all(answer["fine"] for answer in answers)
    assert 1 <= during.count("{}") <= 16, "only what was in flight when it died"
    assert during.count('"probe"') > 10


def test_an_item_that_kills_the_engine_fails_alone() -> None:
    """The other requests in flight are sent again, at first one at a time."""
    alive = True

    async def handler(request: web.Request, number: int) -> web.Response:
        nonlocal alive
        text = await request.text()
        if text == '"probe"':
            alive = True
        elif not alive or text == '"poison"':
            alive = False
            return error(500, "EngineCore encountered an issue.")
        await asyncio.sleep(0.002)
        return ok() if alive else error(500, "EngineCore encountered an issue.")

    async def use(client: Client, script: Scripted) -> list[Any]:
        async def probe() -> None:
            await client.once("POST", "/", b'"probe"', deadline=1.0)

        client.circuit.probe = probe
        bodies = [b"{}"] * 20 + [b'"poison"'] + [b"{}"] * 20
        asks = [client.post("/", body, lambda answer: answer) for body in bodies]
        return await asyncio.gather(*asks, return_exceptions=True)

    answers = drive(handler, use, retrying=replace(QUICK, patience=5, tries=5), max_in_flight=16)
    (failure,) = [answer for answer in answers if isinstance(answer, Exception)]
    assert isinstance(failure, ItemError)
    assert failure.retryable
    assert "EngineCore" in str(failure)


def test_a_server_that_stays_away_ends_the_run_after_the_patience() -> None:
    """All waiting calls end, and the exit code says that a retry may help."""

    async def work() -> tuple[list[Any], float]:
        client = Client(f"http://127.0.0.1:{unused_port()}/v1", retrying=QUICK)

        async def probe() -> None:
            await client.once("GET", "/", deadline=1.0)

        client.circuit.probe = probe
        start = time.monotonic()
        try:
            return await outcomes(client, 100), time.monotonic() - start
        finally:
            await client.close()

    failures, took = asyncio.run(work())
    assert QUICK.patience <= took < 2 * QUICK.patience
    for failure in failures:
        assert isinstance(failure, ServerError)
        assert failure.retryable
        assert "has not answered for" in str(failure)
        assert "Connect call failed" in str(failure)


def test_many_failures_in_a_row_put_the_server_in_doubt() -> None:
    """After many failures, calls wait for a probe: a proxy without a server must not fail all items."""

    async def handler(request: web.Request, number: int) -> web.Response:
        return error(502, "bad gateway")

    async def use(client: Client, script: Scripted) -> list[Any]:
        async def probe() -> None:
            raise ServerError("still nothing")

        client.circuit.probe = probe
        return await outcomes(client, 100)

    failures = drive(handler, use, retrying=replace(QUICK, trip=5, patience=0.2))
    assert all(isinstance(failure, ServerError) for failure in failures)


def test_a_cancelled_call_leaves_its_place_to_others() -> None:
    """A waiting call and one in flight both free their place."""

    async def handler(request: web.Request, number: int) -> web.Response:
        await asyncio.sleep(0.02)
        return ok()

    async def use(client: Client, script: Scripted) -> None:
        for delay in (0.0, 0.001, 0.01, 0.03):
            tasks = [asyncio.create_task(post(client)) for _ in range(20)]
            await asyncio.sleep(delay)
            for task in tasks[::2]:
                task.cancel()
            answers = await asyncio.gather(*tasks[1::2])
            assert all(answer["fine"] for answer in answers)
            await asyncio.gather(*tasks, return_exceptions=True)
        assert client._sent == 0

    drive(handler, use, max_in_flight=3)


@pytest.mark.parametrize("url", ["http://h:8000", "http://h:8000/", "http://h:8000/v1", "http://h:8000/v1/"])
def test_a_url_with_or_without_v1(url: str) -> None:
    """Both forms of the URL work."""
    assert base_url(url) == "http://h:8000"


@pytest.mark.parametrize("url", ["h:8000", "ftp://h", "http://", "http://h:x", "http://u:secretpw@h"])
def test_what_is_no_url_is_refused(url: str) -> None:
    """The error does not repeat a password in the URL."""
    with pytest.raises(SpecError) as caught:
        base_url(url)
    assert "secretpw" not in str(caught.value)


def test_the_servers_words_are_found_in_every_shape() -> None:
    """The message is found in an object, a text, a list of details or no JSON, and is cut if it is long."""
    for body, words in [
        ({"error": {"message": "no"}}, "no"),
        ({"error": "Unauthorized"}, "Unauthorized"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"message": "old"}, "old"),
        ({"detail": [{"msg": "x"}]}, '{"detail": [{"msg": "x"}]}'),
        ({"error": {"message": "two\nlines and \x1b[31mred"}}, "two lines and  [31mred"),
        (None, "null"),
    ]:
        assert Reply(400, json.dumps(body).encode()).text() == words
    assert Reply(500, b"<html>").text() == "<html>"
    assert len(Reply(500, b"x" * 10_000).text()) < 400
