"""Whatever a server sends is an answer, or the fault of that item with its evidence; no run ends of it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grace_client import studies
from grace_client.core.errors import GraceError, ItemError, ServerError
from grace_client.core.options import Option, OptionSet, TokenTrie
from grace_client.engines.vllm import fields
from grace_client.engines.vllm.endpoints import token_ids
from grace_client.engines.vllm.engine import VllmEngine
from grace_client.engines.vllm.http_client import Client
from grace_client.engines.vllm.responses import MalformedError, Reply, Retrying
from grace_client.engines.vllm.wire_format import Batch, forced_batches, named_batches
from grace_client.extraction.endpoint import said
from grace_client.run.answering import Asker
from grace_client.run.folder import RunFolder
from grace_client.run.layout import OK
from grace_client.run.manifest import SamplingSpec
from grace_client.run.plan import Item
from tests.conftest import own_list
from tests.extraction.fake_llm import completion
from tests.support.fault_server import FaultServer
from tests.support.spoiled import JUNK, Interceptor, mutated, nested

ONCE = Retrying(tries=1, refusals=1, backoff=0.0, trip=10**9, probe=0.001, probe_deadline=1.0, patience=0.05)
HARMONY = (
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>{answer}<|return|>"
)
COMPLETIONS, CHAT, TOKENS = "/v1/completions", "/v1/chat/completions", "/tokenize"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(JUNK),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "model", "data", "tokens", "logprobs", "message", "text", "error"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def conversation(
    monkeypatch: pytest.MonkeyPatch,
    server: FaultServer,
    use: Callable[[Interceptor], Coroutine[Any, Any, None]],
) -> None:
    """Run a test with a server whose answers an interceptor changes."""
    interceptor = Interceptor(server)
    monkeypatch.setattr(Client, "_send", lambda client, *request: interceptor.send(client, *request))
    unheard: list[Any] = []

    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        await use(interceptor)

    asyncio.run(work())
    assert not unheard


async def connected() -> VllmEngine:
    return await VllmEngine.connect("http://server:8000", retrying=ONCE)


def items(path: Path, engine: VllmEngine, info: Any, experiment: str, count: int, **more: Any) -> list[Item]:
    chosen = studies.experiment(experiment)
    trials = own_list(chosen.schema.study)
    folder = RunFolder.create(path / experiment, chosen, trials, info, sample=count, **more)
    return list(folder.plan.distinct)[:count]


def check(answer: dict[str, Any], seen: list[str]) -> None:
    """The result is an answer, or an error that quotes what came. Both can be stored in a ledger."""
    json.dumps(answer, ensure_ascii=False, allow_nan=False).encode()
    seen.append(answer["status"])
    if answer["status"] != OK and "text" not in answer:
        assert answer["reason"]
        assert len(answer["reason"]) < 700
        assert answer["reason"].isprintable()
    if answer["status"] == "engine_fault":
        assert "the answer was: " in answer["reason"] or "BOS" in answer["reason"]


@pytest.mark.parametrize(
    ("server", "experiment", "path"),
    [
        ({}, "study2-exp2", COMPLETIONS),
        ({}, "study2-exp2", TOKENS),
        ({"ignores": ["logprob_token_ids"]}, "study2-exp2", COMPLETIONS),
        ({}, "study1-exp1", CHAT),
        ({"thoughts": "Hm."}, "study1-exp1", CHAT),
        ({"harmony": True, "text_pattern": HARMONY}, "study1-exp1", COMPLETIONS),
        ({"harmony": True, "text_pattern": HARMONY}, "study2-exp2", COMPLETIONS),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else value.strip("/"),
)
def test_an_answer_in_a_run(
    server: dict[str, Any], experiment: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of hundreds of spoiled answers is an answer or that item's error. The next item is unaffected."""
    seen: list[str] = []
    draw = random.Random(f"{server} {experiment} {path}")
    reasons = "harmony" in server and experiment == "study2-exp2"
    more: dict[str, Any] = {"reasoning": "on"} if reasons else {}
    if experiment == "study1-exp1" or reasons:
        more["sampling"] = SamplingSpec(replicates=1, max_tokens=128)

    async def use(interceptor: Interceptor) -> None:
        engine = await connected()
        info = await engine.describe()
        asked = items(tmp_path, engine, info, experiment, 4, **more)
        right = [await Asker(engine, info).ask(item) for item in asked]
        for round in range(250):
            item, (whole, _) = asked[round % len(asked)], right[round % len(asked)]
            engine._prompts._values.clear()
            interceptor.replace(path, lambda body: mutated(body, draw), nth=draw.randint(1, 2))
            answer, _ = await Asker(engine, info).ask(item)
            check(answer, seen)
            interceptor.replace(path, None)
            if round % 25 == 0:
                again, _ = await Asker(engine, info).ask(item)
                assert {**again, "at": 0, "seconds": 0} == {**whole, "at": 0, "seconds": 0}
        await engine.close()

    conversation(monkeypatch, FaultServer(**server), use)
    assert seen.count(OK) > 10
    assert seen.count("engine_fault") > 60


@pytest.mark.parametrize("path", ["/v1/models", "/version", "/metrics", TOKENS, "/detokenize", COMPLETIONS])
def test_an_answer_to_the_start_up_check(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is accepted or refused with a message, whichever answer of the check is spoiled."""
    draw = random.Random(path)
    taken: list[bool] = []

    async def use(interceptor: Interceptor) -> None:
        await (await connected()).close()
        requests = interceptor.asked[path]
        assert requests
        for _ in range(60):
            interceptor.replace(path, lambda body: mutated(body, draw), nth=draw.randint(1, requests))
            try:
                engine = await connected()
            except GraceError as error:
                taken.append(False)
                assert str(error).isprintable()
                assert "Session" not in str(error)
            else:
                taken.append(True)
                json.dumps((await engine.describe()).as_dict(), allow_nan=False).encode()
                assert all(value >= 0 for value in (await engine.counters()).values())
                await engine.close()

    conversation(monkeypatch, FaultServer(), use)
    assert any(taken)
    assert path in ("/version", "/metrics") or not all(taken)


def test_an_answer_to_the_check_during_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed answer is requested again. Only another model or server ends the run."""
    draw = random.Random(5)
    found: list[type[Exception] | None] = []

    async def use(interceptor: Interceptor) -> None:
        engine = await connected()
        for path in ("/v1/models", COMPLETIONS):
            for junk in (*JUNK, *[None] * 80):
                spoil = (lambda body: mutated(body, draw)) if junk is None else json_of(junk)
                interceptor.replace(path, spoil)
                try:
                    await engine._verify()
                    found.append(None)
                except MalformedError:
                    found.append(MalformedError)
                except ServerError as error:
                    found.append(ServerError)
                    assert error.retryable or "no longer serves" in str(error)
        await engine.close()

    conversation(monkeypatch, FaultServer(), use)
    assert found.count(MalformedError) > 60


def json_of(value: Any) -> Callable[[bytes], bytes]:
    return lambda _: json.dumps(value).encode()


@pytest.mark.parametrize("bad", [nested(200), {"choices": nested(200)}, "<html>", None, {"data": []}])
def test_one_bad_answer_to_the_probe_does_not_end_a_run(bad: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe is repeated until it is clear what the server serves."""

    async def use(interceptor: Interceptor) -> None:
        engine = await connected()
        engine.client.retrying = engine.client.circuit.retrying = replace(ONCE, patience=5.0)
        interceptor.replace(COMPLETIONS, json_of(bad), nth=1)
        engine.client.circuit.suspect("a test")
        await asyncio.wait_for(engine.client.circuit.answers.wait(), 5)
        assert engine.client.circuit.failure is None
        await engine.close()

    conversation(monkeypatch, FaultServer(), use)


TRIE = TokenTrie.build(OptionSet(tuple(Option(name, (name,)) for name in "abc")), [[[1, 2]], [[1, 3]], [[4]]])
BATCHES: tuple[Batch, ...] = (*named_batches(TRIE), *forced_batches(TRIE))


def readers() -> list[Callable[[Any], Any]]:
    """All functions that read an answer."""
    return [
        token_ids,
        said,
        lambda answer: fields.text(answer, "prompt"),
        *(lambda answer, batch=batch: batch.read(answer, 3) for batch in BATCHES),
    ]


@settings(max_examples=250, deadline=None)
@given(json_values, st.sampled_from([200, 400, 500]))
def test_any_json(value: Any, status: int) -> None:
    """Every reader accepts or refuses any JSON, and quotes it in a short line."""
    reply = Reply(status, json.dumps(value).encode())
    assert reply.text().isprintable()
    assert len(reply.text()) < 400
    for read in readers():
        try:
            reply.read(read)
        except MalformedError as error:
            assert "the answer was: " in str(error)
        except ItemError as error:
            assert error.status == "nan"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes(body: bytes) -> None:
    """Any bytes, also bytes that are not text, are accepted or refused."""
    reply = Reply(200, body)
    assert reply.text().isprintable()
    for read in readers():
        with pytest.raises(MalformedError):
            reply.read(read)


def test_an_llms_answer_with_something_changed() -> None:
    """A changed answer is accepted or refused: no choices, null, other types."""
    draw = random.Random(1)
    true = json.dumps(completion("{}")[2]).encode()
    refused = 0
    for _ in range(2000):
        try:
            Reply(200, mutated(true, draw)).read(said)
        except MalformedError:
            refused += 1
    assert 400 < refused < 1900


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 999 ?\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nBad\x00Name: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 429 Slow\r\nRetry-After: Mon, 01 Jan 0001 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: \xff\xfe\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: \x01=\x02; bad\r\nContent-Length: 1\r\n\r\n[",
        b"HTTP/1.1 204 None\r\n\r\n",
    ],
)
def test_bytes_that_are_no_answer(raw: bytes) -> None:
    """Broken HTTP is that item's error, or ends the run with a message."""

    async def work() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        client = Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", retrying=ONCE)
        try:
            with pytest.raises((ItemError, ServerError)) as caught:
                await client.post("/v1/completions", b"{}", lambda answer: fields.text(answer, "model"))
            assert str(caught.value).isprintable()
            with pytest.raises(ServerError):
                reply = await client.once("GET", "/v1/models", deadline=5.0)
                client.refuse(reply)
                raise ServerError(reply.text())
        finally:
            await client.close()
            server.close()

    asyncio.run(work())
