"""The vLLM engine: against a fake of the server that misbehaves on demand, and against the real one."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pytest
from aiohttp.test_utils import unused_port

from grace_client import studies
from grace_client.core.api_key import from_file
from grace_client.core.errors import ItemError, ServerError, SpecError
from grace_client.core.options import Option, OptionSet, TokenTrie
from grace_client.core.progress import Progress
from grace_client.core.questions import Prompt, Sampling, Turn
from grace_client.core.scoring import score
from grace_client.engines.local.engine import LocalEngine
from grace_client.engines.vllm.engine import VllmEngine
from grace_client.engines.vllm.likeliest import read_likeliest
from grace_client.engines.vllm.responses import MalformedError, Retrying
from grace_client.engines.vllm.wire_format import MAX_IDS, MAX_PROMPTS, forced_batches, named_batches
from grace_client.run import manifest, runner, tables
from grace_client.run.folder import RunFolder
from tests.conftest import own_list
from tests.engines.local.test_engine import CASES, PROMPTS
from tests.engines.reference import teacher_forced
from tests.support.fake_vllm import BOS, END, FakeVllm, bad_request
from tests.support.fault_server import Fault, FaultServer

T = TypeVar("T")

TOLERANCE = 2e-4
"""Nats between the real server in float32 on a CPU and teacher forcing with transformers."""

QUICK = Retrying(
    tries=6,
    refusals=40,
    backoff=0.01,
    backoff_most=0.05,
    deadline=1.5,
    per_prompt_token=0.0,
    per_new_token=0.0,
    window=6.0,
    probe=0.02,
    probe_deadline=1.0,
    patience=10.0,
)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def drive(
    use: Callable[[VllmEngine, FaultServer], Awaitable[T]],
    faults: Iterable[Fault] = (),
    *,
    retrying: Retrying = QUICK,
    server: FaultServer | None = None,
    **connect: Any,
) -> T:
    """Run a test with an engine on a fault server; its faults begin after the connection."""

    async def work() -> T:
        async with server or FaultServer() as running:
            engine = await VllmEngine.connect(running.url, retrying=retrying, **connect)
            running.faults = (*running.faults, *faults)
            try:
                return await use(engine, running)
            finally:
                await engine.close()

    return run(work())


def refusal(server: FaultServer, **connect: Any) -> str:
    """The error with which a server is refused at the start."""

    async def use(engine: VllmEngine, running: FaultServer) -> None: ...

    with pytest.raises(SpecError) as caught:
        drive(use, server=server, **connect)
    return str(caught.value)


async def trie_of(engine: VllmEngine, options: OptionSet | None) -> TokenTrie:
    assert options is not None
    end = [(await engine.describe()).end_of_turn] if options.end_of_turn else []
    return TokenTrie.build(
        options,
        [[await engine.tokenize_form(f, []) + end for f in option.forms] for option in options.options],
    )


def expected(vllm: FakeVllm, ids: list[int], trie: TokenTrie) -> list[float]:
    """Log-probability of every form by teacher forcing on the fake's own distributions."""
    sums = []
    for leaf in trie.leaf:
        path, total = trie.path(int(leaf)), 0.0
        for place, token in enumerate(path):
            total += float(vllm.logprobs([*ids, *path[:place]])[token])
        sums.append(total)
    return sums


@pytest.mark.parametrize("ignores", [(), ("logprob_token_ids",), ("prompt_logprobs",)], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_every_form_has_its_probability(case: str, ignores: tuple[str, ...]) -> None:
    """Both ways of scoring give every form its probability."""

    async def use(engine: VllmEngine, server: FaultServer) -> str:
        trie = await trie_of(engine, CASES[case])
        for prompt in PROMPTS:
            ids = await engine.tokenize(prompt)
            got = score(trie, (await engine.edge_logprobs(ids, trie)).edges)
            assert np.abs(got.form_logprob - expected(server.vllm, ids, trie)).max() < 1e-5
            assert got.mass <= 1 + 1e-4
        return (await engine.describe()).versions["method"]

    method = drive(use, server=FaultServer(ignores=ignores))
    assert method == ("prompt_logprobs" if "logprob_token_ids" in ignores else "logprob_token_ids")


def test_tokens_that_merge_over_the_end_of_the_prompt_do_not() -> None:
    """Prompt and form are tokenised separately, and their ids are joined."""

    async def use(engine: VllmEngine, server: FaultServer) -> None:
        trie = await trie_of(engine, CASES["leading space"])
        ids = await engine.tokenize(Prompt("Well?\nAnswer:"))
        got = score(trie, (await engine.edge_logprobs(ids, trie)).edges)
        assert np.abs(got.form_logprob - expected(server.vllm, ids, trie)).max() < 1e-5

    drive(use, server=FaultServer(merges=True))


def test_the_likeliest_first_tokens_and_the_greedy_answer_are_asked_for_apart() -> None:
    """As the server's distribution has them, in one request; the scores bring none."""

    async def use(engine: VllmEngine, server: FaultServer) -> None:
        ids = await engine.tokenize(PROMPTS[0])
        trie = await trie_of(engine, CASES["leading space"])
        assert (await engine.edge_logprobs(ids, trie)).outside is None
        before = server.vllm.answered
        found = await engine.likeliest(ids, 3)
        assert server.vllm.answered == before + 1
        row = server.vllm.logprobs(ids)
        order = np.argsort(-row, kind="stable")[:20]
        assert [one.ids for one in found.first] == [(int(token),) for token in order]
        assert np.allclose([one.logprob for one in found.first], row[order], atol=1e-5)
        assert found.token_ids[0] == int(order[0])
        assert len(found.token_ids) == 3

    drive(use)


def test_an_answer_from_a_step_that_also_scored_forms_is_malformed() -> None:
    """VLLM then gives the chosen token and no other; such an answer is asked for again."""
    choice = {"finish_reason": "length", "token_ids": [7]}
    mixed = choice | {"logprobs": {"top_logprobs": [{"token_id:7": -0.5, "token_id:0": -9999.0}]}}
    with pytest.raises(MalformedError, match="another client"):
        read_likeliest({"choices": [mixed]}, end_of_turn=1)
    whole = choice | {"logprobs": {"top_logprobs": [{f"token_id:{i}": -float(i + 1) for i in range(20)}]}}
    assert read_likeliest({"choices": [whole]}, end_of_turn=1).first[0].ids == (0,)
    whole["logprobs"] = {"top_logprobs": [{f"token {i}": -1.0 for i in range(20)}]}
    with pytest.raises(MalformedError, match="is not an id"):
        read_likeliest({"choices": [whole]}, end_of_turn=1)


def test_large_sets_take_several_requests() -> None:
    """The set has more ids than vLLM names in one request, and more nodes than prompts in one request."""
    options = OptionSet(tuple(Option(str(i), (chr(1 + i) + chr(1 + i // 2) + ".",)) for i in range(127)))
    wide = OptionSet(tuple(Option(str(i), (chr(1 + i % 120) + chr(1 + i // 120),)) for i in range(500)))

    async def use(engine: VllmEngine, server: FaultServer) -> None:
        for one in (options, wide):
            trie = await trie_of(engine, one)
            assert len(named_batches(trie)) > 1
            assert all(len(batch.tails) <= MAX_PROMPTS for batch in named_batches(trie))
            ids = await engine.tokenize(PROMPTS[0])
            got = score(trie, (await engine.edge_logprobs(ids, trie)).edges)
            assert np.abs(got.form_logprob - expected(server.vllm, ids, trie)).max() < 1e-5

    drive(use)
    # One node with more children than vLLM names at once.
    many = OptionSet(tuple(Option(str(i), (str(i),)) for i in range(300)))
    trie = TokenTrie.build(many, [[[i]] for i in range(300)])
    batches = named_batches(trie)
    assert [len(batch.edges) for batch in batches] == [MAX_IDS, MAX_IDS, 300 - 2 * MAX_IDS]
    assert sorted(np.concatenate([batch.edges for batch in batches])) == list(range(300))


def test_nodes_behind_one_token_are_read_from_second_positions() -> None:
    """Half of the nodes of the percentages are no prompts, and every edge is requested once."""
    percentages = OptionSet(tuple(Option(f"{p}", (f"{p}%", f" {p}%")) for p in range(0, 101, 10)))

    async def use(engine: VllmEngine, server: FaultServer) -> None:
        trie = await trie_of(engine, percentages)
        (batch,) = named_batches(trie)
        zero = (await engine.tokenize_form("0", []))[0]
        assert (batch.forced, batch.new_tokens) == (f"token_id:{zero}", 2)
        assert (len(trie.inner), len(batch.tails)) == (42, 22)
        assert sorted(batch.edges) == list(range(trie.n_edges))
        for text in ("Well?", "How many?"):
            ids = await engine.tokenize(Prompt(text))
            got = score(trie, (await engine.edge_logprobs(ids, trie)).edges)
            assert np.abs(got.form_logprob - expected(server.vllm, ids, trie)).max() < 1e-5
        # Where it would spare little, nothing is forced.
        (plain,) = named_batches(await trie_of(engine, CASES["sentences"]))
        assert (plain.forced, plain.new_tokens) == (None, 1)
        # An answer that begins otherwise is not one to this request.
        server.ignores = frozenset({"allowed_token_ids"})
        with pytest.raises(ItemError, match="does not begin with the only token allowed"):
            await engine.edge_logprobs(await engine.tokenize(Prompt("No?")), trie)

    drive(use)
    # As many children as one request names: no room for a follower's beside them.
    wide = OptionSet(tuple(Option(str(i), (str(i),)) for i in range(MAX_IDS + 1)))
    trie = TokenTrie.build(wide, [[[i]] for i in range(MAX_IDS)] + [[[MAX_IDS, 1]]])
    assert [batch.forced for batch in named_batches(trie)] == [None, None]


def test_pruning_keeps_its_bound_and_is_on_record() -> None:
    """No option's probability changes by more than the bound, and fewer values are requested."""

    async def use(engine: VllmEngine, server: FaultServer) -> None:
        trie = await trie_of(engine, CASES["sentences"])
        for text in "abcdefgh":
            ids = await engine.tokenize(Prompt(text))
            engine.prune = None
            before = server.vllm.prompts
            exact = score(trie, (await engine.edge_logprobs(ids, trie)).edges)
            between = server.vllm.prompts
            engine.prune = 1e-3
            pruned = score(trie, (await engine.edge_logprobs(ids, trie)).edges)
            assert (pruned.raw <= exact.raw + 1e-9).all()
            assert np.abs(exact.normalised - pruned.normalised).max() <= 1e-3
            assert exact.mass - pruned.mass <= 1e-3 * exact.mass
            assert server.vllm.prompts - between < between - before
        assert (await engine.describe()).versions["prune"] == "0.001"
        engine.prune = None
        assert "prune" not in (await engine.describe()).versions

    drive(use)


def test_a_server_that_cannot_score_exactly_is_refused() -> None:
    """It is refused at the start, with the reason."""
    neither = refusal(FaultServer(ignores=("logprob_token_ids", "prompt_logprobs")))
    assert "neither logprob_token_ids" in neither
    assert "--logprobs-mode raw_logprobs" in refusal(FaultServer(processed=True))
    constant = refusal(FaultServer([Fault("constant", after=1)], ignores=("prompt_logprobs",)))
    assert "all log-probabilities are the same" in constant
    assert "overflows on the test prompt" in refusal(FaultServer([Fault("nan", after=1)]))


def test_the_model_is_the_one_served_or_refused_with_what_is() -> None:
    """The model is the named one or the only one; otherwise the error lists the served models."""
    message = refusal(FaultServer(model="gemma"), model="llama")
    assert "does not serve 'llama'. It serves gemma" in message

    async def use(engine: VllmEngine, server: FaultServer) -> str:
        return (await engine.describe()).model

    assert drive(use, server=FaultServer(model="gemma")) == "gemma"
    assert drive(use, server=FaultServer(model="gemma"), model="gemma") == "gemma"


def test_the_description_is_the_same_after_a_restart() -> None:
    """It contains nothing that depends on time or URL."""

    async def use(engine: VllmEngine, server: FaultServer) -> Any:
        return await engine.describe()

    info = drive(use, declared={"dtype": "bfloat16", "revision": "abc", "quantization": "none"})
    assert info == drive(use, declared={"dtype": "bfloat16", "revision": "abc", "quantization": "none"})
    assert (info.prompt_prefix, info.prompt_suffix) == ("<bos><turn>user\n", "</turn>\n<turn>model\n")
    assert (info.end_of_turn, info.max_context, info.dtype, info.revision) == (END, 2048, "bfloat16", "abc")
    assert info.versions["quantization"] == "none"
    assert info.versions["prefix_caching"] == "True"
    assert info.versions["vllm"] == "0.32.0"
    assert "127.0.0.1" not in json.dumps(info.as_dict())


def test_retries_and_the_prefix_cache_are_counted() -> None:
    """One broken answer is one retry. Without server metrics, the cache counters are missing, not 0."""

    async def use(engine: VllmEngine, server: FaultServer) -> tuple[dict[str, float], ...]:
        before = await engine.counters()
        await engine.generate(Prompt("Hello?"), Sampling(0.7, 4, 1))
        after = await engine.counters()
        server.vllm.metrics = lambda running: "vllm:num_requests_running 0.0\n"  # type: ignore[method-assign]
        return before, after, await engine.counters()

    before, after, silent = drive(use, [Fault("reset", path="/v1/chat/completions", times=1)])
    assert after["retries"] == before["retries"] + 1
    assert after["prefix_cache_queries"] > before["prefix_cache_queries"]
    assert after["prefix_cache_hits"] == 0
    assert silent == {"retries": after["retries"]}


def test_a_prompt_is_tokenised_once_with_one_bos() -> None:
    """Many calls at the same time cause one request. A template with a second BOS is refused."""

    async def use(engine: VllmEngine, server: FaultServer) -> None:
        before = server.requests["/tokenize"]
        many = await asyncio.gather(*(engine.tokenize(Prompt("Hello?")) for _ in range(20)))
        assert server.requests["/tokenize"] == before + 1
        assert all(ids == many[0] for ids in many)
        assert many[0].count(BOS) == 1
        template = server.vllm.tokenizer.chat
        server.vllm.tokenizer.chat = lambda *args: [BOS, *template(*args)]  # type: ignore[method-assign]
        with pytest.raises(ItemError, match="exactly one BOS"):
            await engine.tokenize(Prompt("Hello again?"))
        server.vllm.tokenizer.chat = template  # type: ignore[method-assign]
        # A failure is not remembered.
        assert (await engine.tokenize(Prompt("Hello again?"))).count(BOS) == 1

    drive(use)


def test_a_base_model_gets_the_plain_text() -> None:
    """A server without a chat template gets plain text."""

    class Base(FakeVllm):
        def tokenize(self, body: dict[str, Any]) -> dict[str, Any]:
            if "messages" in body:
                raise bad_request("default chat template is no longer allowed, so you must provide one")
            return super().tokenize(body)

    async def use(engine: VllmEngine, running: FaultServer) -> None:
        ids = await engine.tokenize(Prompt("Hello?"))
        assert ids == [BOS, *b"Hello?"]
        assert (await engine.describe()).template_sha256 is None
        trie = await trie_of(engine, CASES["terminator"])
        got = score(trie, (await engine.edge_logprobs(ids, trie)).edges)
        assert np.abs(got.form_logprob - expected(running.vllm, ids, trie)).max() < 1e-5
        drawn = await engine.generate(Prompt("Hello?"), Sampling(0.0, 4, 0))
        assert drawn.prompt_ids == tuple(ids)
        assert len(drawn.token_ids) == 4

    server = FaultServer()
    server.vllm = Base()
    drive(use, server=server)


def test_the_key_is_given_and_never_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The key comes from the environment, an argument or a file, and is in no message, log or description."""
    key, said = "sk-grace-topsecret", list[str]()
    caplog.set_level(logging.DEBUG)
    (tmp_path / "key").write_text(f"{key}\n")

    async def use(engine: VllmEngine, server: FaultServer) -> str:
        said.append(json.dumps((await engine.describe()).as_dict()))
        folder = folder_of(tmp_path / f"{len(said)}", await engine.describe(), sample=1)
        await runner.run(folder, engine)
        said.append((folder.path / "manifest.json").read_text())
        return "in"

    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    assert drive(use, server=FaultServer(api_key=key), api_key=from_file(tmp_path / "key")) == "in"
    for wrong in (None, "sk-another"):
        with pytest.raises(ServerError, match="API key") as caught:
            drive(use, server=FaultServer(api_key=key), api_key=wrong, wait_minutes=5)
        assert not caught.value.retryable
        said.append(str(caught.value))
    monkeypatch.setenv("VLLM_API_KEY", key)
    assert drive(use, server=FaultServer(api_key=key), say=said.append) == "in"
    assert not any(secret in text for text in [*said, caplog.text] for secret in (key, "sk-another"))
    (tmp_path / "key").write_text("")
    with pytest.raises(SpecError, match="is empty"):
        from_file(tmp_path / "key")
    with pytest.raises(SpecError, match="several words or lines") as bad:
        drive(use, api_key=f"{key}\nX: y")
    assert key not in str(bad.value)


def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    """The client waits until a completion is answered. Without waiting it is an error at once."""
    port, said = unused_port(), list[str]()

    async def work() -> str:
        async def later() -> FaultServer:
            await asyncio.sleep(0.3)
            server = FaultServer([Fault("dead", times=1, seconds=0.3)], port=port)
            return await server.__aenter__()

        starting = asyncio.create_task(later())
        engine = await VllmEngine.connect(
            f"http://127.0.0.1:{port}/v1", wait_minutes=1, retrying=QUICK, say=said.append
        )
        name = (await engine.describe()).model
        await engine.close()
        await (await starting).__aexit__()
        return name

    with pytest.raises(ServerError, match="wait for it with --wait-for-server") as caught:
        run(VllmEngine.connect(f"http://127.0.0.1:{port}", retrying=QUICK))
    assert caught.value.retryable
    assert run(work()) == "fake-model"
    assert any("waiting for the server" in line and "cannot be reached" in line for line in said)
    assert any("EngineCore encountered" in line for line in said)


@pytest.mark.parametrize(
    ("options", "reasoning", "text"),
    [
        ({}, None, None),
        ({"thoughts": "Hm."}, "Hm.", None),
        ({"thoughts": "Hm.", "reasoning_field": "reasoning_content"}, "Hm.", None),
        ({"text_pattern": "<think>\nHm.\n</think>\n\n{answer}"}, "Hm.", None),
        ({"text_pattern": "Hm.</think>{answer}"}, "Hm.", None),
        ({"text_pattern": "<think>Hm."}, "Hm.", ""),
    ],
)
def test_reasoning_is_apart_from_the_answer(
    options: dict[str, Any], reasoning: str | None, text: str | None
) -> None:
    """The server or the tags separate them, or the reasoning never ended."""

    async def use(engine: VllmEngine, server: FaultServer) -> None:
        one = await engine.generate(Prompt("Well?"), Sampling(0.7, 64, 3))
        assert one == await engine.generate(Prompt("Well?"), Sampling(0.7, 64, 3))
        assert one.reasoning == reasoning
        assert (one.text == text) if text is not None else (one.text.endswith(".") and "<" not in one.text)
        assert one.finish_reason == "stop"
        assert END not in one.token_ids
        assert one.prompt_ids == tuple(await engine.tokenize(Prompt("Well?")))

    drive(use, server=FaultServer(**options))


def test_a_text_that_the_server_broke_off_is_asked_again() -> None:
    """An incomplete or empty text is not an answer."""

    async def use(engine: VllmEngine, server: FaultServer) -> None:
        calm = await engine.generate(Prompt("Well?"), Sampling(0.7, 64, 3))
        server.faults = (Fault("abort", path="/v1/chat/completions", times=2),)
        assert await engine.generate(Prompt("Well?"), Sampling(0.7, 64, 3)) == calm
        assert server.given["abort"] == 2
        server.faults = (Fault("abort", path="/v1/chat/completions"),)
        with pytest.raises(ItemError, match="finish reason 'abort'") as caught:
            await engine.generate(Prompt("Ill?"), Sampling(0.7, 64, 3))
        assert caught.value.retryable

    drive(use)


def test_a_prompt_longer_than_the_context_is_an_item_error() -> None:
    """The error has the server's words."""

    async def use(engine: VllmEngine, server: FaultServer) -> None:
        trie = await trie_of(engine, CASES["terminator"])
        with pytest.raises(ItemError, match="maximum context length is 2048") as caught:
            await engine.edge_logprobs([1] * 3000, trie)
        assert (caught.value.status, caught.value.retryable) == ("context", False)

    drive(use)


@pytest.mark.parametrize(
    ("kind", "status", "retryable"),
    [
        ("few_logprobs", "engine_fault", True),
        ("few_choices", "engine_fault", True),
        ("floor", "engine_fault", True),
        ("constant", "engine_fault", True),
        ("model", "engine_fault", True),
        ("not_json", "engine_fault", True),
        ("abort", "engine_fault", True),
        ("null", "nan", False),
        ("nan", "nan", False),
        ("hang", "timeout", True),
        ("drip", "timeout", True),
        ("reset", "connection", True),
        ("429", "overloaded", True),
        ("503", "overloaded", True),
    ],
)
def test_a_fault_that_stays_is_the_items_own(kind: str, status: str, retryable: bool) -> None:
    """One question fails with a status and a reason. The next one has its answer."""
    retrying = replace(QUICK, tries=2, refusals=3, deadline=0.3)
    poisoned = Fault(kind, text="poison", seconds=0.01 if kind == "429" else 2.0)

    async def use(engine: VllmEngine, server: FaultServer) -> None:
        trie = await trie_of(engine, CASES["shared prefixes"])
        ids = await engine.tokenize(Prompt("poison"))
        with pytest.raises(ItemError) as caught:
            await engine.edge_logprobs(ids, trie)
        assert (caught.value.status, caught.value.retryable) == (status, retryable), str(caught.value)
        ids = await engine.tokenize(Prompt("water"))
        got = score(trie, (await engine.edge_logprobs(ids, trie)).edges)
        assert np.abs(got.form_logprob - expected(server.vllm, ids, trie)).max() < 1e-5

    drive(use, [poisoned], retrying=retrying)


def folder_of(path: Path, info: Any, *, sample: int | None = None) -> RunFolder:
    trials = own_list("study2")
    return RunFolder.create(path, studies.experiment("study2-exp2"), trials, info, sample=sample)


def study2(
    path: Path, *, sample: int | None = None
) -> Callable[[VllmEngine, FaultServer], Awaitable[Progress]]:
    """A run of Study 2 with a given engine."""

    async def use(engine: VllmEngine, server: FaultServer) -> Progress:
        return await runner.run(folder_of(path, await engine.describe(), sample=sample), engine)

    return use


def exported(path: Path) -> list[bytes]:
    return [file.read_bytes() for file in tables.export(RunFolder.open(path))]


def test_everything_at_once(tmp_path: Path) -> None:
    """More than 2,000 questions through the whole schedule of faults: the same tables as undisturbed.

    But for the items whose fault is permanent; those carry status and reason.
    """
    faults = [
        # The first rule that fits is given: these two come first, for the one request that each names.
        Fault("gone", at=(700,), seconds=0.4),
        Fault("dead", at=(300, 1100), seconds=0.3),
        Fault("nan", text="met Olga,", status=400),
        Fault("nan", text="met Yara,", status=500),
        Fault("null", share=0.002),
        *(Fault(kind, share=0.004, each=1) for kind in ("few_logprobs", "few_choices", "floor", "constant")),
        *(Fault(kind, share=0.004, each=2) for kind in ("model", "not_json", "503", "429", "reset", "abort")),
        Fault("429", share=0.003, each=1, seconds=0.05),
        Fault("hang", share=0.001, each=1),
        Fault("drip", share=0.002, each=1, seconds=0.3),
    ]
    # Client and server share a process: on a busy machine an answer may be seconds late and still come.
    patient = replace(QUICK, deadline=10.0, window=60.0, probe_deadline=10.0, patience=60.0)
    drive(study2(tmp_path / "a"), retrying=patient)
    seen: list[FaultServer] = []

    async def use(engine: VllmEngine, server: FaultServer) -> Progress:
        seen.append(server)
        return await study2(tmp_path / "b")(engine, server)

    progress = drive(use, faults, retrying=patient)
    assert progress.total >= 2000
    assert set(seen[0].given) == {fault.kind for fault in faults}
    undisturbed, disturbed = (
        pd.read_parquet(tables.export(RunFolder.open(tmp_path / name))[2]) for name in "ab"
    )
    failed = disturbed["status"] != "ok"
    assert 0 < failed.sum() < 0.1 * len(failed)
    assert set(disturbed.loc[failed, "status"]) == {"nan"}
    assert set(disturbed.loc[failed, "reason"].str.contains("Out of range float|no number")) == {True}
    assert disturbed.loc[failed, "prob_raw"].isna().all()
    pd.testing.assert_frame_equal(undisturbed[~failed], disturbed[~failed])
    (wide, long, _), (other_wide, other_long, _) = (exported(tmp_path / name) for name in "ab")
    rows = differing(long, other_long)
    assert rows == failed.to_numpy().nonzero()[0].tolist()
    assert differing(wide, other_wide) == sorted({row // 8 for row in rows}), "8 options make a trial's row"


def differing(one: bytes, other: bytes) -> list[int]:
    """Rows in which two CSV files differ, the header not counted, to the byte."""
    return [
        row - 1
        for row, (left, right) in enumerate(zip(one.splitlines(), other.splitlines(), strict=True))
        if left != right
    ]


def test_a_hang_ends_the_run_within_twice_the_window(tmp_path: Path) -> None:
    """All answers are on disk, and the rest is asked when the server is back."""
    began: list[float] = []

    async def use(engine: VllmEngine, server: FaultServer) -> Progress:
        folder = folder_of(tmp_path / "a", await engine.describe(), sample=200)

        def watch(progress: Progress) -> None:
            began.append(time.monotonic())

        return await runner.run(folder, engine, on_progress=watch)

    with pytest.raises(ServerError, match=r"hangs: .* requests are waiting") as caught:
        drive(use, [Fault("hang", after=80)], retrying=replace(QUICK, window=2.0, deadline=30))
    assert 2.0 < time.monotonic() - began[-1] < 4.0 + 0.5
    assert caught.value.retryable
    progress = drive(use)
    assert progress.done == progress.total
    assert progress.asked < progress.total
    drive(study2(tmp_path / "b", sample=200))
    assert exported(tmp_path / "a") == exported(tmp_path / "b")


def test_another_model_mid_run_is_noticed_and_nothing_is_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noticed under any name. The run continues when the first model is back."""
    with pytest.raises(ServerError, match="HTTP 404") as caught:
        drive(study2(tmp_path / "a", sample=200), [Fault("restart", at=(80,))])
    assert not caught.value.retryable

    async def use(engine: VllmEngine, server: FaultServer) -> Progress:
        folder = folder_of(tmp_path / "a", await engine.describe(), sample=200)

        def swap(progress: Progress) -> None:
            if progress.asked == 20:
                # Another configuration of the same name, as after a new deployment.
                complete = server.vllm.completion
                other = {"system_fingerprint": "vllm-0.33.0-00000000"}
                monkeypatch.setattr(server.vllm, "completion", lambda body: complete(body) | other)

        return await runner.run(folder, engine, on_progress=swap)

    with pytest.raises(ServerError, match=r"no longer serves fake-model .*vllm-0\.33\.0") as caught:
        drive(use)
    assert not caught.value.retryable
    progress = drive(study2(tmp_path / "a", sample=200))
    assert 0 < progress.asked < progress.total == progress.done
    drive(study2(tmp_path / "b", sample=200))
    assert exported(tmp_path / "a") == exported(tmp_path / "b")


def test_other_weights_behind_the_same_name_are_noticed_after_an_outage() -> None:
    """The test question has other log-probabilities."""

    async def use(engine: VllmEngine, server: FaultServer) -> None:
        trie = await trie_of(engine, CASES["terminator"])
        ids = await engine.tokenize(Prompt("Hello?"))
        server.vllm = FakeVllm(seed=5, model=server.vllm.model)
        server.faults = (Fault("reset", times=1),)
        with pytest.raises(ServerError, match="log-probabilities for the test question moved") as caught:
            await engine.edge_logprobs(ids, trie)
        assert not caught.value.retryable

    drive(use)


def test_two_models_in_one_folder_are_refused(tmp_path: Path) -> None:
    """The error says what differs."""
    drive(study2(tmp_path, sample=3))
    with pytest.raises(SpecError, match=r'engine\.model: "fake-model" in the folder, "gemma" now'):
        drive(study2(tmp_path, sample=3), server=FaultServer(model="gemma"))
    assert manifest.load(tmp_path).model == "fake-model"


@pytest.fixture(scope="session")
def real() -> str:
    """Base URL of a real vLLM server with the default model in float32."""
    url = os.environ.get("GRACE_TEST_VLLM")
    if not url:
        pytest.skip("GRACE_TEST_VLLM names no server; 'scripts/test --all' starts one")
    return url


@pytest.mark.vllm
@pytest.mark.model
@pytest.mark.parametrize("case", CASES)
def test_the_real_server_is_exact(real: str, default_engine: LocalEngine, case: str) -> None:
    """Every form within 2e-4 nats of float32 teacher forcing, and no more than all of the probability."""

    async def work() -> None:
        engine = await VllmEngine.connect(real)
        try:
            trie = await trie_of(engine, CASES[case])
            for prompt, every in zip(PROMPTS, (1, 5), strict=True):
                ids = await engine.tokenize(prompt)
                assert ids == await default_engine.tokenize(prompt)
                got = score(trie, (await engine.edge_logprobs(ids, trie)).edges)
                truth = [
                    teacher_forced(default_engine.model, ids, trie.path(int(leaf)))
                    for leaf in trie.leaf[::every]
                ]
                assert np.abs(got.form_logprob[::every] - truth).max() < TOLERANCE
                assert got.mass <= 1 + 1e-4
        finally:
            await engine.close()

    run(work())


@pytest.mark.vllm
@pytest.mark.model
def test_the_real_server_says_the_same_outside_the_forms(real: str, default_engine: LocalEngine) -> None:
    """The likeliest first tokens and the greedy answer of the embedded engine; also while it scores."""

    async def work() -> None:
        engine = await VllmEngine.connect(real)
        try:
            trie = await trie_of(engine, CASES["shared prefixes"])
            ids = [await engine.tokenize(prompt) for prompt in PROMPTS]
            for one in ids:
                scoring = [asyncio.create_task(engine.edge_logprobs(other, trie)) for other in ids * 2]
                found = await engine.likeliest(one, 6)
                await asyncio.gather(*scoring)
                expected = await default_engine.likeliest(one, 6)
                assert found.token_ids == expected.token_ids
                there = {first.ids: first.logprob for first in expected.first}
                same = [abs(there[first.ids] - first.logprob) for first in found.first[:10]]
                assert max(same) < TOLERANCE
        finally:
            await engine.close()

    run(work())


@pytest.mark.vllm
@pytest.mark.model
def test_the_real_server_takes_turns_as_the_embedded_engine_does(
    real: str, default_engine: LocalEngine
) -> None:
    """The same tokens and numbers after several turns, also with the default system text switched off."""
    question, system = Turn("user", "How many cats?\nAnswer:"), Turn("system", "You are terse.")
    examples = (Turn("user", "How many dogs?\nAnswer:"), Turn("assistant", "Two."))
    prompts = [
        Prompt("\n\n".join(turn.text for turn in turns if turn.text), direct=True, turns=turns)
        for turns in (
            (*examples, question),
            (system, *examples, question),
            (Turn("system", ""), *examples, question),
        )
    ]

    async def work() -> None:
        engine = await VllmEngine.connect(real)
        try:
            trie = await trie_of(engine, CASES["leading space"])
            for prompt in prompts:
                ids = await engine.tokenize(prompt)
                assert ids == await default_engine.tokenize(prompt)
                edges = (await engine.edge_logprobs(ids, trie)).edges
                expected = (await default_engine.edge_logprobs(ids, trie)).edges
                assert np.abs(edges - expected).max() < TOLERANCE
                drawn = await engine.generate(prompt, Sampling(0.0, 4, 0))
                assert drawn.prompt_ids == tuple(ids)
        finally:
            await engine.close()

    run(work())


@pytest.mark.vllm
def test_the_real_server_gives_the_same_numbers_by_prompt_logprobs(real: str) -> None:
    """Servers without logprob_token_ids are scored in this way."""

    async def work() -> None:
        engine = await VllmEngine.connect(real)
        try:
            for case in CASES:
                trie = await trie_of(engine, CASES[case])
                ids = await engine.tokenize(PROMPTS[1])
                forced = await engine._ask(ids, trie, forced_batches(trie))
                named = (await engine.edge_logprobs(ids, trie)).edges
                assert np.abs(forced - named).max() < TOLERANCE
        finally:
            await engine.close()

    run(work())


@pytest.mark.vllm
def test_the_real_server_draws_the_same_text_again(real: str) -> None:
    """The same seed gives the same text, alone and among others. Another seed gives another text."""

    async def work() -> None:
        engine = await VllmEngine.connect(real)
        try:
            prompt = Prompt("Tell me about rain.")
            alone = await engine.generate(prompt, Sampling(0.9, 16, 5))
            drawn = await asyncio.gather(
                *(engine.generate(prompt, Sampling(0.9, 16, seed)) for seed in range(12))
            )
            assert drawn[5] == alone
            assert len({one.text for one in drawn}) > 6
            assert alone.prompt_ids == tuple(await engine.tokenize(prompt))
            assert len(alone.token_ids) <= 16
            short = await engine.generate(Prompt("Is ice cold? Answer yes or no."), Sampling(0.0, 64, 0))
            assert short.finish_reason == "stop"
            assert (await engine.describe()).end_of_turn not in short.token_ids
        finally:
            await engine.close()

    run(work())


@pytest.mark.vllm
@pytest.mark.model
def test_the_real_server_is_described_as_the_embedded_engine_is(
    real: str, default_engine: LocalEngine
) -> None:
    """Template and end of turn are those of the embedded engine, and the description is stable."""

    async def work() -> None:
        infos = []
        for _ in range(2):
            engine = await VllmEngine.connect(real, declared={"dtype": "float32"})
            infos.append(await engine.describe())
            await engine.close()
        assert infos[0] == infos[1]
        ours, theirs = await default_engine.describe(), infos[0]
        assert (theirs.prompt_prefix, theirs.prompt_suffix) == (ours.prompt_prefix, ours.prompt_suffix)
        assert theirs.end_of_turn == ours.end_of_turn
        assert theirs.dtype == "float32"
        assert theirs.versions["method"] == "logprob_token_ids"
        assert theirs.versions["prefix_caching"] == "True"

    run(work())
