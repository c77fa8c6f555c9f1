"""A server that repeats the API key, whole or cut, in any field or header of any answer."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from grace_client.core.api_key import HIDDEN, LEAST
from grace_client.core.errors import GraceError, ItemError, SpecError
from grace_client.engines.vllm.engine import VllmEngine
from grace_client.engines.vllm.http_client import Client
from grace_client.engines.vllm.responses import Retrying
from grace_client.extraction import answers as extracted
from grace_client.extraction import endpoint, llm
from grace_client.extraction.endpoint import Endpoint
from grace_client.run import runner, tables
from grace_client.run.folder import RunFolder
from grace_client.run.manifest import SamplingSpec
from grace_client.studies import experiment
from tests.conftest import grace, own_list
from tests.extraction.fake_llm import FakeLlm, completion, serving
from tests.extraction.runs import answered, saying
from tests.support.fault_server import FaultServer
from tests.support.spoiled import Interceptor, places

KEY = "sk-Qx7Lm29vTzRw84KpYbN3"
ONCE = Retrying(tries=1, refusals=1, backoff=0.0, trip=10**9, patience=0.05)
PIECES = (f"Authorization: Bearer {KEY}", KEY[: LEAST + 1], KEY[-LEAST:], f"rer {KEY[:-3]}", f"{KEY[4:17]}…")


def key_parts(text: str) -> list[str]:
    """The parts of the key in a text."""
    return [KEY[at : at + LEAST] for at in range(len(KEY) - LEAST + 1) if KEY[at : at + LEAST] in text]


def planted(body: bytes, draw: random.Random) -> bytes:
    """A true answer with the key in one place."""
    piece = draw.choice(PIECES)
    kind = draw.randrange(8)
    if kind == 0:
        return f"<html>{piece}</html>".encode()
    if kind == 1:
        return json.dumps({"error": {"message": f"no\\u0041 {piece}"}}).encode()
    try:
        whole = [json.loads(body)]
    except ValueError:  # the metrics, which are lines of text
        return body.replace(b'engine="0"', f'engine="{piece}",block_size="{piece}"'.encode())
    # Texts are where a server may repeat something; every third time any field.
    every = [(node, place) for node, place in places(whole) if kind < 4 or isinstance(node[place], str)]
    node, place = draw.choice(every or places(whole))
    if kind == 7 and isinstance(node, dict):
        node[piece] = node.pop(place)
    elif kind % 2 and isinstance(node[place], str):
        node[place] += piece
    else:
        node[place] = piece
    raw = json.dumps(whole[0]).encode()
    return raw[: raw.find(piece[:4].encode()) + LEAST + 6] if kind == 6 else raw


def intercepted(monkeypatch: pytest.MonkeyPatch, server: FaultServer) -> Interceptor:
    interceptor = Interceptor(server)
    monkeypatch.setattr(Client, "_send", lambda client, *request: interceptor.send(client, *request))
    return interceptor


@pytest.mark.parametrize(
    "path", ["/v1/models", "/version", "/metrics", "/tokenize", "/detokenize", "/v1/completions"]
)
def test_the_start_up_check(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No error, no line of progress and no description of the engine contains a part of the key."""
    caplog.set_level(logging.DEBUG)
    draw, lines = random.Random(path), list[str]()

    async def work() -> None:
        interceptor = intercepted(monkeypatch, FaultServer())

        async def connected() -> VllmEngine:
            return await VllmEngine.connect("http://server", api_key=KEY, retrying=ONCE, say=lines.append)

        await (await connected()).close()
        requests = interceptor.asked[path]
        for _ in range(50):
            interceptor.replace(path, lambda body: planted(body, draw), nth=draw.randint(1, requests))
            try:
                engine = await connected()
            except GraceError as error:
                lines.append(str(error))
            else:
                lines.append(json.dumps([(await engine.describe()).as_dict(), await engine.counters()]))
                await engine.close()

    asyncio.run(work())
    assert not key_parts("\n".join([*lines, caplog.text]))
    assert path == "/version" or any(HIDDEN in line for line in lines)


@pytest.mark.parametrize("name", ["study1-exp1", "study2-exp2"])
def test_a_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The run's folder, tables and log contain no part of the key, whatever the server answers."""
    caplog.set_level(logging.DEBUG)
    draw = random.Random(name)
    chosen = experiment(name)
    trials = own_list(chosen.schema.study)

    async def work() -> None:
        interceptor = intercepted(monkeypatch, FaultServer())
        engine = await VllmEngine.connect("http://server", api_key=KEY, retrying=ONCE)
        more: dict[str, Any] = {} if chosen.scored else {"sampling": SamplingSpec(replicates=3)}
        folder = RunFolder.create(
            tmp_path / "run", chosen, trials, await engine.describe(), sample=40, **more
        )
        for path in ("/tokenize", "/v1/chat/completions", "/v1/completions"):
            interceptor.replace(path, lambda body: planted(body, draw) if draw.random() < 0.5 else body)
            engine._prompts._values.clear()
            await runner.run(folder, engine)
        await engine.close()

    asyncio.run(work())
    tables.export(RunFolder.open(tmp_path / "run"))
    files = [file for file in (tmp_path / "run").rglob("*") if file.is_file()]
    texts = {str(file): file.read_bytes().decode(errors="replace") for file in files}
    assert {file: found for file, text in texts.items() if (found := key_parts(text))} == {}
    assert any(HIDDEN in text for text in texts.values())
    assert not key_parts(caplog.text)


def test_an_llm_that_reads_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Stored answers and errors of the LLM contain no part of the key."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(endpoint, "RETRIES", ONCE)
    draw, lines = random.Random(2), list[str]()
    words = [f"Je crois que deux {i}." for i in range(60)]
    number, yes = saying(words), saying(["Yes."])
    folder = answered(
        tmp_path,
        lambda item: (number if item.question.name == "number" else yes)(item),
        sample=30,
    )
    true = json.dumps(completion("{}")[2]).encode()

    def answer(body: Any, count: int) -> Any:
        raw = planted(true, draw)
        try:
            return 200 if count > 2 else 401, {}, json.loads(raw)
        except ValueError:
            return 200, {}, {"choices": raw.decode()}

    with serving(FakeLlm(answer)) as server:
        reader = Endpoint(server.url, "reader", KEY, "READER_KEY")
        for _ in range(3):
            try:
                asyncio.run(llm.read(folder, extracted.by_rules(folder), reader, say=lines.append))
            except (GraceError, ItemError) as error:
                lines.append(str(error))
    assert set(server.keys) == {f"Bearer {KEY}"}
    ledger = "".join(file.read_text() for file in (tmp_path / llm.LEDGER).iterdir())
    assert ledger.count(HIDDEN) > 10
    assert not key_parts("\n".join([ledger, *lines, caplog.text]))


@contextmanager
def echoing(status: int, headers: dict[str, str], reason: str, body: str) -> Iterator[str]:
    """A proxy that repeats the request in the headers and the body that the test chooses."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            got = self.headers["Authorization"]
            self.wfile.write(f"HTTP/1.1 {status} {reason.format(got)}\r\n".encode())
            for name, value in headers.items():
                self.wfile.write(f"{name.format(got)}: {value.format(got)}\r\n".encode())
            self.wfile.write(f"Connection: close\r\n\r\n{body.replace('{}', got)}".encode())
            self.close_connection = True

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


ECHOES: list[tuple[int, dict[str, str], str, str]] = [
    (200, {}, "OK", "<p>{}</p>"),
    (400, {}, "Bad", '{"error": "{}"}'),
    (401, {"WWW-Authenticate": "{}"}, "{}", '{"detail": {"headers": ["{}"]}}'),
    (404, {"X-Got": "{}"}, "{}", "{}"),
    (302, {"Location": "https://sso.example/?next={}"}, "Found", ""),
    (307, {"Location": "/{}/v1/models"}, "Found", ""),
    (429, {"Retry-After": "{}"}, "Slow", "{}"),
    (500, {"Set-Cookie": "{}=1; {}"}, "{}", '{"message": "{}"}'),
    (500, {"Set-Cookie": "a\x01{}=\x02{}"}, "Error", ""),
    (200, {"Bad {} \x00": "x"}, "OK", "[]"),
    (200, {"X": "\x00{}"}, "OK", "[]"),
    (200, {"Content-Length": "{}"}, "OK", "[]"),
    (200, {"Transfer-Encoding": "chunked"}, "OK", "{}"),
    (200, {"Content-Encoding": "gzip"}, "OK", "{}"),
    (200, {"Content-Type": "text/html; charset={}"}, "OK", "{}"),
    (0, {}, "{}", "{}"),
]


@pytest.mark.parametrize("echo", ECHOES, ids=lambda echo: f"{echo[0]} {next(iter(echo[1]), '')}")
def test_headers_and_broken_http(
    echo: tuple[int, dict[str, str], str, str],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No error, log or output contains the key that a proxy repeats."""
    caplog.set_level(logging.DEBUG)

    async def work(url: str) -> list[str]:
        lines = []
        try:
            await VllmEngine.connect(url, api_key=KEY, retrying=ONCE)
        except GraceError as error:
            lines.append(str(error))
        client = Client(url, api_key=KEY, retrying=ONCE)
        for _ in range(2):
            try:
                await client.post("/v1/completions", b"{}", lambda answer: answer["model"][0])
            except (GraceError, ItemError) as error:
                lines.append(str(error))
        await client.close()
        return lines

    with echoing(*echo) as url:
        lines = asyncio.run(work(url))
    assert len(lines) == 3
    out, err = capfd.readouterr()
    assert not key_parts("\n".join([*lines, caplog.text, out, err]))


def test_a_key_that_is_a_part_of_the_models_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a key cannot be used, because grace must store the name. The error says so."""
    intercepted(monkeypatch, FaultServer(model="lab/gemma-2b-it"))
    connecting = VllmEngine.connect("http://server", model="lab/gemma-2b-it", api_key="our-gemma-2b-key")
    with pytest.raises(SpecError, match=r"serves lab/\*\*\*it: the stars hide a part of the API key"):
        asyncio.run(connecting)


@pytest.mark.parametrize("echo", [ECHOES[2], ECHOES[8]], ids=["401", "cookie"])
def test_the_command_line(
    echo: tuple[int, dict[str, str], str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Neither the output, as lines or as JSON, nor the files contain a part of the key."""
    monkeypatch.setenv("VLLM_API_KEY", KEY)
    with echoing(*echo) as url:
        command = ("run", "study2-exp2", "--server", url, "--out", str(tmp_path / "run"), "--json")
        assert grace(monkeypatch, *command) in (2, 3)
    out, err = capfd.readouterr()
    assert "error" in json.loads(out) and "Traceback" not in err
    assert not key_parts(out + err)
    assert not (tmp_path / "run").exists()
