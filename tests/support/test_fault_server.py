"""The fault server gives true distributions in vLLM's form, and each fault does what it says."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from tests.support.fake_vllm import BOS, END, VOCAB_SIZE, FakeVllm, Tokenizer
from tests.support.fault_server import DEAD, Fault, FaultServer, in_thread

Ask = Callable[..., Awaitable[tuple[int, Any]]]

SCORE: dict[str, Any] = {
    "model": "fake-model",
    "prompt": [BOS, 1, 2],
    "max_tokens": 1,
    "temperature": 0,
    "logprobs": 1,
    "logprob_token_ids": [7, 8, 9],
    "return_tokens_as_token_ids": True,
}


def against(server: FaultServer, work: Callable[[Ask], Awaitable[None]]) -> None:
    """Run a conversation with a server; `ask(path, body)` is a POST and `ask(path)` a GET."""

    async def talk() -> None:
        async with server, aiohttp.ClientSession(server.url) as session:

            async def ask(path: str = "/v1/completions", body: Any = None) -> tuple[int, Any]:
                async with session.request("POST" if body else "GET", path, json=body) as response:
                    text = await response.text()
                    return response.status, json.loads(text) if text.startswith("{") else text

            await work(ask)

    asyncio.run(talk())


def tops(answer: Any) -> list[dict[str, float]]:
    return [choice["logprobs"]["top_logprobs"][0] for choice in answer["choices"]]


@pytest.mark.parametrize("seed", [0, 1])
def test_log_probabilities_are_a_distribution(seed: int) -> None:
    """Asked id by id, in lists of 128, all of them sum to one."""

    async def work(ask: Ask) -> None:
        told: dict[str, float] = {}
        for start in range(0, VOCAB_SIZE, 128):
            _, answer = await ask(body=SCORE | {"logprob_token_ids": list(range(start, start + 128))})
            told |= tops(answer)[0]
        assert len(told) == VOCAB_SIZE
        assert np.exp(list(told.values())).sum() == pytest.approx(1, abs=1e-6)

    against(FaultServer(seed=seed), work)


def test_answers_depend_on_seed_and_tokens_alone() -> None:
    """In a list or alone, in any order, with any other question and after any fault, values are the same."""
    prompts = [[BOS, *range(n)] for n in range(1, 9)]
    seen: list[Any] = []

    async def together(ask: Ask) -> None:
        _, answer = await ask(body=SCORE | {"prompt": prompts})
        assert [choice["index"] for choice in answer["choices"]] == list(range(8))
        seen.append(tops(answer))

    async def apart(ask: Ask) -> None:
        answers = [await ask(body=SCORE | {"prompt": prompt}) for prompt in reversed(prompts)]
        again = [await ask(body=SCORE | {"prompt": prompt}) for prompt in reversed(prompts)]
        kept = [answer for status, answer in again if status == 200]
        assert {status for status, _ in answers} == {503}
        seen.append([tops(answer)[0] for answer in reversed(kept)])

    against(FaultServer(), together)
    against(FaultServer([Fault("503", each=1)]), apart)
    against(FaultServer(seed=1), together)
    assert seen[0] == seen[1] != seen[2]


def test_both_ways_of_scoring_agree() -> None:
    """Named ids after a prompt, and the prompt's own log-probabilities, tell the same numbers."""

    async def work(ask: Ask) -> None:
        _, walked = await ask(body=SCORE | {"prompt": [[BOS, 1, 2], [BOS, 1, 2, 7]]})
        _, forced = await ask(body=SCORE | {"prompt": [BOS, 1, 2, 7, 9], "prompt_logprobs": 0})
        entries = forced["choices"][0]["prompt_logprobs"]
        first, second = tops(walked)
        assert entries[0] is None
        assert (entries[3]["7"]["logprob"], entries[4]["9"]["logprob"]) == (
            first["token_id:7"],
            second["token_id:9"],
        )

    against(FaultServer(), work)


def test_answers_have_the_form_of_vllm() -> None:
    """The sampled token comes first, then the named ones; errors carry message, type, param and code."""

    async def work(ask: Ask) -> None:
        _, answer = await ask(body=SCORE)
        assert answer["model"] == "fake-model"
        assert answer["usage"]["prompt_tokens"] == 3
        (top,) = tops(answer)
        sampled = answer["choices"][0]["logprobs"]["tokens"][0]
        assert list(top) == list(dict.fromkeys([sampled, "token_id:7", "token_id:8", "token_id:9"]))
        refused: list[tuple[dict[str, Any], int, str]] = [
            ({"logprobs": None}, 400, "`logprobs` must be set"),
            ({"logprob_token_ids": [1] * 129}, 400, "greater than max allowed: 128"),
            ({"logprob_token_ids": [VOCAB_SIZE]}, 400, f"Vocabulary size: {VOCAB_SIZE}"),
            ({"prompt": [1] * 3000}, 400, "maximum context length is 2048 tokens"),
            ({"prompt": [[1], []]}, 400, "cannot be empty"),
            ({"model": "other"}, 404, "The model `other` does not exist"),
        ]
        for change, status, message in refused:
            got, error = await ask(body=SCORE | change)
            assert (got, error["error"]["code"]) == (status, status)
            assert message in error["error"]["message"]
        assert await ask("/health") == (200, "")
        assert (await ask("/version")) == (200, {"version": "0.32.0"})
        assert (await ask("/v1/models"))[1]["data"][0]["max_model_len"] == 2048
        assert 'source="local_compute"} 3.0' in (await ask("/metrics"))[1]
        assert (await ask("/nowhere"))[0] == 404

    against(FaultServer(), work)


def test_tokenizer_is_reversible_and_templates_begin_with_one_bos() -> None:
    """Texts come back from their ids; digits are single; BOS comes from the template or is asked for."""
    text = "How many of 100% was it? “It wasn't bad”, naïve yes"

    async def work(ask: Ask) -> None:
        _, chat = await ask("/tokenize", {"messages": [{"role": "user", "content": text}]})
        _, plain = await ask("/tokenize", {"prompt": text, "return_token_strs": True})
        _, bare = await ask("/tokenize", {"prompt": text, "add_special_tokens": False})
        assert chat["tokens"].count(BOS) == plain["tokens"].count(BOS) == 1
        assert plain["tokens"][1:] == bare["tokens"]
        assert plain["token_strs"][:3] == ["<bos>", "How", " many"]
        assert await ask("/detokenize", {"tokens": bare["tokens"]}) == (200, {"prompt": text})
        _, whole = await ask("/detokenize", {"tokens": chat["tokens"]})
        assert whole["prompt"] == f"<bos><turn>user\n{text}</turn>\n<turn>model\n"

    against(FaultServer(), work)
    assert Tokenizer().encode("100%") == [49, 48, 48, 37]


@pytest.mark.parametrize("merges", [False, True])
def test_merging_changes_only_joined_texts(merges: bool) -> None:
    """With the switch, prompt and answer as one text have other tokens than apart."""
    tokenizer = Tokenizer(merges)
    apart = tokenizer.encode("Answer:") + tokenizer.encode(" yes")
    assert (tokenizer.encode("Answer: yes") != apart) == merges
    assert tokenizer.decode(tokenizer.encode("Answer: yes")) == "Answer: yes"


def test_chat_repeats_with_its_seed() -> None:
    """Text follows seed and messages; a bound cuts it; thoughts come in their field."""
    vllm = FakeVllm(thoughts="Hm.", reasoning_field="reasoning_content")
    body = {"messages": [{"role": "user", "content": "How many?"}], "temperature": 0.7, "max_tokens": 64}
    texts = {seed: vllm.chat(body | {"seed": seed})["choices"][0]["message"] for seed in range(20)}
    assert all(vllm.chat(body | {"seed": s})["choices"][0]["message"] == m for s, m in texts.items())
    assert len({m["content"] for m in texts.values()}) > 3
    assert {m["reasoning_content"] for m in texts.values()} == {"Hm."}
    told = vllm.chat(body | {"return_token_ids": True})
    assert told["prompt_token_ids"][0] == BOS
    assert told["choices"][0]["token_ids"][-1] == END
    assert vllm.chat(body | {"max_tokens": 2})["choices"][0]["finish_reason"] == "length"
    cold = [vllm.chat(body | {"temperature": 0, "seed": s})["choices"] for s in range(9)]
    assert all(choices == cold[0] for choices in cold)


def test_servers_of_other_kinds() -> None:
    """An old server tells no named ids, a processed one shows its bias, a guarded one wants its key."""

    async def old(ask: Ask) -> None:
        _, answer = await ask(body=SCORE | {"prompt_logprobs": 0})
        assert len(tops(answer)[0]) == 1
        assert answer["choices"][0]["prompt_logprobs"] is not None

    async def biased(ask: Ask) -> None:
        values = [
            tops((await ask(body=SCORE | {"logit_bias": {"7": b}}))[1])[0]["token_id:7"] for b in (0, 3)
        ]
        shown.append(values[0] != values[1])

    async def guarded(ask: Ask) -> None:
        assert await ask(body=SCORE) == (401, {"error": "Unauthorized"})
        assert (await ask("/tokenize", {"prompt": "x"}))[0] == 200

    shown: list[bool] = []
    against(FaultServer(ignores=["logprob_token_ids"]), old)
    against(FaultServer(), biased)
    against(FaultServer(processed=True), biased)
    against(FaultServer(api_key="key"), guarded)
    assert shown == [False, True]


def test_refusals() -> None:
    """429 with and without Retry-After, 503 and NaN come as scheduled and only then."""
    faults = [
        Fault("429", at=(1,), seconds=2),
        Fault("429", at=(2,)),
        Fault("503", at=(3,)),
        Fault("nan", text="yes", status=500),
        Fault("nan", text="no"),
    ]

    async def work() -> None:
        async with FaultServer(faults) as server, aiohttp.ClientSession(server.url) as session:
            told = []
            for text in ["it"] * 4 + ["say yes", "say no", "say yes"]:
                body = SCORE | {"prompt": Tokenizer().encode(text)}
                async with session.post("/v1/completions", json=body) as response:
                    message = (await response.json()).get("error", {}).get("message", "")
                    told.append((response.status, response.headers.get("Retry-After"), message[:12]))
            assert told == [
                (429, "2", "Too many req"),
                (429, None, "Too many req"),
                (503, None, "The engine i"),
                (200, None, ""),
                (500, None, "Out of range"),
                (400, None, "Out of range"),
                (500, None, "Out of range"),
            ]
            assert server.given == {"429": 2, "503": 1, "nan": 3}
            assert server.requests == {"/v1/completions": 7}
            assert server.vllm.prompts == 1

    asyncio.run(work())


def test_shares_are_of_contents() -> None:
    """A share picks the same requests each time; `each` lets the second try through, `times` bounds all."""

    async def work(ask: Ask) -> None:
        bodies = [SCORE | {"prompt": [BOS, n % 250, n // 250]} for n in range(400)]
        first = [(await ask(body=body))[0] for body in bodies]
        assert 60 < first.count(503) < 140
        assert {(await ask(body=body))[0] for body in bodies} == {200}

    against(FaultServer([Fault("503", share=0.25, each=1)]), work)

    async def bounded(ask: Ask) -> None:
        assert [(await ask(body=SCORE))[0] for _ in range(4)] == [200, 503, 503, 200]

    against(FaultServer([Fault("503", after=1, times=2)]), bounded)


def test_dead_engine_fails_until_its_restart() -> None:
    """Completions fail and /health says so; tokens still come; a restart brings the same answers back."""

    async def work(ask: Ask) -> None:
        before = await ask(body=SCORE)
        for _ in range(3):
            status, answer = await ask(body=SCORE)
            assert (status, answer["error"]["message"]) == (500, DEAD)
        assert (await ask("/health"))[0] == 503
        assert (await ask("/tokenize", {"prompt": "x"}))[0] == 200
        await ask("/control/restart", {"model": "fake-model"})
        assert tops((await ask(body=SCORE))[1]) == tops(before[1])
        assert (await ask("/health"))[0] == 200

    against(FaultServer([Fault("dead", at=(2,))]), work)

    async def by_time(ask: Ask) -> None:
        assert (await ask(body=SCORE))[0] == 500
        await asyncio.sleep(0.15)
        assert (await ask(body=SCORE))[0] == 200

    against(FaultServer([Fault("dead", at=(1,), seconds=0.1)]), by_time)


def test_gone_server_refuses_connections() -> None:
    """After the 500 the port is closed, for old connections too, and opens again."""

    async def work(ask: Ask) -> None:
        assert (await ask(body=SCORE))[0] == 500
        for _ in range(2):
            with pytest.raises(aiohttp.ClientConnectionError):
                await ask(body=SCORE)
        await asyncio.sleep(0.4)
        assert (await ask(body=SCORE))[0] == 200

    against(FaultServer([Fault("gone", at=(1,), seconds=0.3)]), work)


def test_restart_with_another_model() -> None:
    """The old name is unknown from then on, and the answers are others."""

    async def work(ask: Ask) -> None:
        before = await ask(body=SCORE)
        assert (await ask(body=SCORE))[0] == 404
        assert (await ask("/v1/models"))[1]["data"][0]["id"] == "impostor"
        after = await ask(body=SCORE | {"model": "impostor"})
        assert after[1]["model"] == "impostor"
        assert tops(after[1]) != tops(before[1])

    against(FaultServer([Fault("restart", at=(2,), model="impostor")]), work)


def test_transport_faults() -> None:
    """A reset ends the body early, a hang never answers while /health does, a drip takes its time."""

    async def work(ask: Ask) -> None:
        with pytest.raises(aiohttp.ClientError):
            await ask(body=SCORE)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await ask(body=SCORE)
        assert (await ask("/health"))[0] == 200
        start = time.monotonic()
        assert tops((await ask(body=SCORE))[1]) == tops((await ask(body=SCORE))[1])
        assert time.monotonic() - start > 0.2
        status, text = await ask(body=SCORE)
        assert (status, text[:6]) == (200, "<html>")

    kinds = ["reset", "hang", "drip", "", "not_json"]
    against(
        FaultServer(
            [Fault(k, at=(n,), seconds=0.2 * (k == "drip") or None) for n, k in enumerate(kinds, 1) if k]
        ),
        work,
    )


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("few_logprobs", lambda right: [dict(list(right.items())[:-1])] * 2),
        ("few_choices", lambda right: [right]),
        ("floor", lambda right: [dict.fromkeys(right, -9999.0)] * 2),
        ("null", lambda right: [dict.fromkeys(right)] * 2),
        ("constant", lambda right: [dict.fromkeys(right, -1.0)] * 2),
    ],
)
def test_wrong_answers(kind: str, wrong: Callable[[dict[str, float]], Any]) -> None:
    """One answer is wrong in the way the fault says, and the next is right."""

    async def work(ask: Ask) -> None:
        body = SCORE | {"prompt": [[BOS, 1], [BOS, 1]]}
        (_, spoiled), (_, answer) = await ask(body=body), await ask(body=body)
        assert tops(spoiled) == wrong(tops(answer)[0])

    against(FaultServer([Fault(kind, times=1)]), work)


def test_aborted_answers() -> None:
    """As vLLM words them, a completion's and a chat's."""
    chat = {"messages": [{"role": "user", "content": "Well?"}], "seed": 1, "temperature": 0.7}

    async def work(ask: Ask) -> None:
        choice = (await ask(body=SCORE))[1]["choices"][0]
        assert (choice["finish_reason"], choice["text"]) == ("abort", "")
        assert choice["logprobs"]["top_logprobs"] == []
        choice = (await ask("/v1/chat/completions", chat))[1]["choices"][0]
        assert (choice["finish_reason"], choice["message"]["content"]) == ("abort", "")
        assert tops((await ask(body=SCORE))[1])

    against(FaultServer([Fault("abort", times=1), Fault("abort", "/v1/chat/completions", times=1)]), work)


def test_wrong_model_name() -> None:
    """The name in one answer is wrong; the server has not changed."""

    async def work(ask: Ask) -> None:
        assert (await ask(body=SCORE))[1]["model"] == "another-model"
        assert (await ask(body=SCORE))[1]["model"] == "fake-model"

    against(FaultServer([Fault("model", times=1)]), work)


def test_unknown_fault_is_refused() -> None:
    """A typing error in a schedule does not pass for a quiet server."""
    with pytest.raises(ValueError, match="no fault 'hnag'"):
        Fault("hnag")


def test_in_a_thread_and_as_a_program(tmp_path: Path) -> None:
    """Both serve callers that are not async."""

    def version(url: str) -> Any:
        return json.load(urllib.request.urlopen(f"{url}/version", timeout=10))

    with in_thread(FaultServer()) as server:
        assert version(server.url) == {"version": "0.32.0"}
    schedule = tmp_path / "schedule.json"
    schedule.write_text('[{"kind": "not_json", "path": "/version", "at": [2]}]')
    command = [sys.executable, "-m", "tests.support.fault_server", "--schedule", str(schedule)]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout
        url = program.stdout.readline().strip()
        assert version(url) == {"version": "0.32.0"}
        with pytest.raises(json.JSONDecodeError):
            version(url)
        program.terminate()
