"""A stand-in for a vLLM server that answers deterministically and misbehaves on a schedule.

As a program: ``python -m tests.support.fault_server --help``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import ssl
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson
from aiohttp import web

from tests.support.fake_vllm import FakeVllm, Json, RefusedError

COMPLETIONS = ("/v1/completions", "/v1/chat/completions")

DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."
BUSY = "The engine is currently busy and cannot accept new requests."
NAN = "Out of range float values are not JSON compliant"

REFUSALS = frozenset({"429", "503", "nan", "dead", "gone", "restart"})
TRANSPORT = frozenset({"reset", "hang", "drip", "not_json"})
WRONG = frozenset({"few_logprobs", "few_choices", "floor", "null", "constant", "model", "abort"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule of a schedule: which requests are disturbed, and how.

    Attributes
    ----------
    kind : str
        ``"429"``, with Retry-After if `seconds` is given. ``"503"``. ``"nan"``, with `status`: 400 in vLLM
        0.32, 500 in others. ``"dead"``: the engine fails until a restart, or for `seconds`. ``"gone"``: it
        fails, and the port is closed for `seconds`, as vLLM's is when its engine died. ``"restart"``: with
        another `model`.
        ``"reset"``: the connection, in mid-body. ``"hang"``: for `seconds` or for ever. ``"drip"``: the body
        takes `seconds`. ``"not_json"``: a page of a proxy, with 200.
        ``"few_logprobs"``, ``"few_choices"``: one is missing. ``"floor"``, ``"null"``, ``"constant"``: all
        log-probabilities are -9999, null, or the same. ``"model"``: a wrong name. ``"abort"``: no text and no
        log-probabilities, as vLLM answers, with 200, what it was working on when it is shut down.
    path : str
        Path of the requests.
    at : tuple of int
        Which requests to that path, counted from 1; empty for any.
    after : int
        Only requests to that path after so many.
    text : str
        What the (first) prompt of the request contains.
    share : float
        Share of the different requests, chosen by seed and content.
    times, each : int or None
        Bound on how often in total, and how often for requests of the same content.
    """

    kind: str
    path: str = "/v1/completions"
    at: tuple[int, ...] = ()
    after: int = 0
    text: str = ""
    share: float = 1.0
    times: int | None = None
    each: int | None = None
    seconds: float | None = None
    status: int = 400
    model: str = "another-model"

    def __post_init__(self) -> None:
        if self.kind not in REFUSALS | TRANSPORT | WRONG:
            raise ValueError(f"there is no fault {self.kind!r}")

    def lasts(self, otherwise: float) -> float:
        """How long it lasts, in seconds."""
        return otherwise if self.seconds is None else self.seconds


class FaultServer:
    """The server; an async context manager.

    Parameters
    ----------
    faults : iterable of Fault
        The schedule: the first rule that fits a request counts. It may be replaced while the server runs.
    seed : int
        Of the answers and of the choice of disturbed requests.
    port : int
        0 takes a free one.
    host : str
        Address it listens on; loopback unless told.
    ignores : iterable of str
        Request fields that this server does not know and so ignores: ``"logprob_token_ids"`` makes it an old
        vLLM, ``"prompt_logprobs"`` one without teacher forcing.
    api_key : str or None
        The key it wants, on the paths where vLLM wants one.
    delay : float
        Seconds that a completion takes.
    model : str
        Name of the model.
    tls : ssl.SSLContext or None
        With which it speaks https.
    **options
        Of `FakeVllm`.

    Attributes
    ----------
    vllm : FakeVllm
        Who answers.
    requests : Counter of str
        Requests per path.
    given : Counter of str
        Faults per kind.
    """

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        *,
        seed: int = 0,
        port: int = 0,
        host: str = "127.0.0.1",
        ignores: Iterable[str] = (),
        api_key: str | None = None,
        delay: float = 0.0,
        model: str = "fake-model",
        tls: ssl.SSLContext | None = None,
        **options: Any,
    ) -> None:
        self.faults = tuple(faults)
        self.seed, self.port, self.host, self.ignores = seed, port, host, frozenset(ignores)
        self.api_key, self.delay, self.tls, self.options = api_key, delay, tls, options
        self.vllm = FakeVllm(seed=seed, model=model, **options)
        self.requests: Counter[str] = Counter()
        self.given: Counter[str] = Counter()
        self._applied: Counter[tuple[Fault, int | None]] = Counter()
        self._dead_until = 0.0
        self._closed = False
        self._reopening: asyncio.Task[None] | None = None
        self._running = 0
        self._routes: dict[str, Callable[[Json], Json]] = {
            "GET /v1/models": lambda _: self.vllm.models(),
            "GET /version": lambda _: {"version": "0.32.0"},
            "POST /tokenize": lambda body: self.vllm.tokenize(body),
            "POST /detokenize": lambda body: self.vllm.detokenize(body),
            "POST /v1/completions": lambda body: self.vllm.completion(body),
            "POST /v1/chat/completions": lambda body: self.vllm.chat(body),
            "POST /control/restart": lambda body: self.restart(**body),
            "GET /control/counters": lambda _: self.counters(),
        }

    @property
    def url(self) -> str:
        """Base URL."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def counters(self) -> Json:
        """What has happened so far."""
        return {"requests": self.requests, "prompts": self.vllm.prompts, "given": self.given}

    def restart(self, model: str | None = None) -> Json:
        """Bring a dead engine back, with the same model and its answers or with another."""
        self._dead_until = 0.0
        if model and model != self.vllm.model:
            self.vllm = FakeVllm(seed=self.vllm.seed + 1, model=model, **self.options)
        return {}

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        # A hanging request ends with its client, and holds up no shutdown.
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reopening:
            self._reopening.cancel()
        await self._runner.cleanup()

    async def _open(self) -> None:
        self._site = web.TCPSite(self._runner, self.host, self.port, ssl_context=self.tls)
        await self._site.start()
        self.port = self._runner.addresses[0][1]
        self._closed = False

    async def _close_for(self, seconds: float) -> None:
        self._closed = True
        await self._site.stop()
        await asyncio.sleep(seconds)
        await self._open()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self._closed and request.transport:
            # A connection from before the end: it ends without an answer.
            request.transport.abort()
            return web.Response()
        self.requests[request.path] += 1
        guarded = self.api_key is not None and request.path.startswith("/v1")
        if guarded and request.headers.get("Authorization") != f"Bearer {self.api_key}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        self._running += request.path in COMPLETIONS
        try:
            return await self._answer(request)
        except RefusedError as refused:
            return web.json_response(refused.body, status=refused.status, headers=refused.headers)
        finally:
            self._running -= request.path in COMPLETIONS

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        ordinal = self.requests[request.path]
        try:
            body: Json = orjson.loads(await request.read()) if request.can_read_body else {}
        except ValueError:
            message = "1 validation error:\n  JSON decode error"
            raise RefusedError(400, "Bad Request", message, "body") from None
        body = {field: value for field, value in body.items() if field not in self.ignores}
        fault = self._due(request.path, ordinal, body)
        if fault:
            self._refuse(fault)
            if fault.kind == "hang":
                await asyncio.sleep(fault.lasts(1e6))

        dead = time.monotonic() < self._dead_until
        if dead and request.path in COMPLETIONS:
            raise RefusedError(500, "InternalServerError", DEAD)
        if request.path == "/health":
            return web.Response(status=503 if dead else 200)
        if request.path == "/metrics":
            return web.Response(text=self.vllm.metrics(self._running))
        route = f"{request.method} {request.path}"
        if route not in self._routes:
            return web.json_response({"detail": "Not Found"}, status=404)
        asked = body.get("model", self.vllm.model)
        if asked != self.vllm.model and "control" not in route:
            message = f"The model `{asked}` does not exist. Valid aliases: {self.vllm.model}."
            raise RefusedError(404, "NotFoundError", message, "model")
        answer = self._routes[route](body)
        if request.path in COMPLETIONS:
            await asyncio.sleep(self.delay)
        if fault and fault.kind in WRONG:
            _spoil(answer, fault)
        text = orjson.dumps(answer)
        if fault and fault.kind == "not_json":
            text = b"<html><body>Bad gateway</body></html>"
        if fault and fault.kind == "drip":
            return await _drip(request, text, fault.lasts(1.0))
        if fault and fault.kind == "reset":
            return await _reset(request, text)
        return web.Response(body=text, content_type="application/json")

    def _due(self, path: str, ordinal: int, body: Json) -> Fault | None:
        """The first rule that fits."""
        if not self.faults:
            return None
        content = orjson.dumps([body.get("prompt"), body.get("messages"), body.get("seed")])
        key = zlib.crc32(content)
        for index, rule in enumerate(self.faults):
            if (
                rule.path == path
                and (not rule.at or ordinal in rule.at)
                and ordinal > rule.after
                and (not rule.text or rule.text in self._text(body))
                and zlib.crc32(f"{self.seed} {index} {key}".encode()) < rule.share * 2**32
                and (rule.times is None or self._applied[rule, None] < rule.times)
                and (rule.each is None or self._applied[rule, key] < rule.each)
            ):
                self._applied.update([(rule, None), (rule, key)])
                self.given[rule.kind] += 1
                return rule
        return None

    def _text(self, body: Json) -> str:
        prompt = body.get("prompt")
        if isinstance(prompt, list) and prompt:
            first = prompt if isinstance(prompt[0], int) else prompt[0]
            return self.vllm.tokenizer.decode(first)
        return str(prompt or "") + "".join(m["content"] for m in body.get("messages", ()))

    def _refuse(self, fault: Fault) -> None:
        """Raise what the fault answers instead, and change the state of the server."""
        if fault.kind == "429":
            refused = RefusedError(429, "Too Many Requests", "Too many requests")
            if fault.seconds is not None:
                refused.headers["Retry-After"] = f"{fault.seconds:g}"
            raise refused
        if fault.kind == "503":
            raise RefusedError(503, "Service Unavailable", BUSY)
        if fault.kind == "nan":
            kind = "BadRequestError" if fault.status == 400 else "InternalServerError"
            raise RefusedError(fault.status, kind, NAN)
        if fault.kind == "dead":
            self._dead_until = time.monotonic() + fault.lasts(float("inf"))
        if fault.kind == "gone":
            self._reopening = asyncio.create_task(self._close_for(fault.lasts(1.0)))
            raise RefusedError(500, "InternalServerError", DEAD)
        if fault.kind == "restart":
            self.restart(fault.model)


def _spoil(answer: Json, fault: Fault) -> None:
    """Make a right answer wrong."""
    if fault.kind == "model":
        answer["model"] = fault.model
    elif fault.kind == "few_choices":
        answer["choices"].pop()
    elif fault.kind == "abort":
        for choice in answer["choices"]:
            empty: Json = {"text_offset": [], "token_logprobs": [], "tokens": [], "top_logprobs": []}
            choice |= {"finish_reason": "abort", "logprobs": choice.get("logprobs") and empty}
            choice |= {"token_ids": None, "prompt_logprobs": None}
            if "message" in choice:
                choice["message"] |= {"content": "", "reasoning": None}
            else:
                choice["text"] = ""
    else:
        for choice in answer["choices"]:
            for top in (choice["logprobs"] or {}).get("top_logprobs", ()):
                if fault.kind == "few_logprobs":
                    top.popitem()
                else:
                    value = {"floor": -9999.0, "null": None, "constant": -1.0}[fault.kind]
                    top.update(dict.fromkeys(top, value))


async def _begin(request: web.Request, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    return response


async def _drip(request: web.Request, body: bytes, seconds: float) -> web.StreamResponse:
    response = await _begin(request, body)
    step = len(body) // 20 + 1
    for start in range(0, len(body), step):
        await asyncio.sleep(seconds / 20)
        await response.write(body[start : start + step])
    return response


async def _reset(request: web.Request, body: bytes) -> web.StreamResponse:
    response = await _begin(request, body)
    await response.write(body[: len(body) // 2])
    if request.transport:
        # A socket that may not linger is reset when it is closed.
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return response


@contextmanager
def in_thread(server: FaultServer) -> Iterator[FaultServer]:
    """Run a server in a thread of its own, for callers that are not async."""
    loop, started, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with server:
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    if not started.wait(10):
        raise RuntimeError("the fault server did not start")
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A vLLM stand-in that misbehaves on a schedule.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="fake-model")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that a completion takes")
    parser.add_argument("--ignore", action="append", default=[], help="request field it does not know")
    parser.add_argument("--schedule", type=Path, help="JSON list of objects with the fields of Fault")
    given = parser.parse_args()
    rules = json.loads(given.schedule.read_text()) if given.schedule else []
    server = FaultServer(
        [Fault(**rule | {"at": tuple(rule.get("at", ()))}) for rule in rules],
        seed=given.seed,
        port=given.port,
        host=given.host,
        model=given.model,
        delay=given.delay,
        ignores=given.ignore,
    )

    async def serve() -> None:
        async with server:
            print(server.url, flush=True)
            await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):
        asyncio.run(serve())


if __name__ == "__main__":
    main()
