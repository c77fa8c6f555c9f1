"""The LLM that reads what rules leave unclear, against a local endpoint."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grace_client.core.errors import ServerError, SpecError
from grace_client.extraction import answers as extracted
from grace_client.extraction import endpoint, llm
from grace_client.extraction.answers import Answer, Place
from grace_client.extraction.endpoint import DEEPSEEK_MODEL, DEEPSEEK_URL, RETRIES, Endpoint
from grace_client.extraction.instructions import Codebook
from grace_client.extraction.llm import Spent
from grace_client.extraction.reading import Reading
from grace_client.run.folder import RunFolder
from grace_client.run.ledger import Ledger
from grace_client.run.manifest import LlmUse
from tests.extraction.fake_llm import FakeLlm, Json, Reply, coded, completion, refusal, serving, text_of
from tests.extraction.runs import KINDS, TRIALS, answered, saying

TEXTS = ("Two.", "Je crois que deux.", "C'est trois.", "Quelle question !")
"""Only the first is clear to the rules."""

NUMBER = Codebook.of(KINDS["number"], TRIALS["study1"][0])

Result = tuple[dict[Place, Reading], LlmUse, Spent]


def run_of(path: Path, texts: Sequence[str] = TEXTS) -> tuple[RunFolder, list[Answer]]:
    """A run that says `texts` in turn to `number`, and yes to `knowledge`."""
    number, knowledge = saying(texts), saying(["Yes."])
    folder = answered(path, lambda item: (number if item.question.name == "number" else knowledge)(item))
    return folder, extracted.by_rules(folder)


def reads(folder: RunFolder, answers: list[Answer], server: FakeLlm, **options: Any) -> Result:
    return asyncio.run(llm.read(folder, answers, Endpoint(server.url, "reader"), **options))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are short, and as many as ever."""
    monkeypatch.setattr(endpoint, "RETRIES", replace(RETRIES, backoff=0.005, backoff_most=0.02))


def test_only_what_is_unclear_is_asked_and_equal_texts_once(tmp_path: Path) -> None:
    """Eight answers with four texts, of which rules read one: three requests, six readings."""
    folder, answers = run_of(tmp_path)
    with serving(FakeLlm()) as server:
        readings, use, spent = reads(folder, answers, server)
    assert sorted(server.texts) == sorted(TEXTS[1:])
    by_text = {a.text: readings[a.place] for a in answers if a.place in readings}
    assert set(by_text) == set(TEXTS[1:])
    two = by_text["Je crois que deux."]
    assert (two.structured, two.category, two.method, two.confidence) == ("2", "answer", "llm", "high")
    assert two.span == (13, 17)
    assert by_text["Quelle question !"] == Reading("unparsed", "other", method="llm")
    assert len(readings) == 6
    assert (spent.texts, spent.failed, spent.prompt_tokens, spent.completion_tokens) == (3, 0, 300, 60)
    assert (use.texts, use.prompt_tokens) == (3, 300)


def test_what_is_sent(tmp_path: Path) -> None:
    """Temperature 0, the schema, the model, the text alone; nothing of the run besides; no key unasked."""
    folder, answers = run_of(tmp_path)
    with serving(FakeLlm()) as server:
        reads(folder, answers, server)
    body = server.requests[0]
    assert body["temperature"] == 0
    assert body["model"] == "reader"
    assert body["response_format"]["json_schema"]["schema"] == NUMBER.schema
    assert body["response_format"]["json_schema"]["strict"] is True
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert body["messages"][0]["content"] == NUMBER.instructions
    assert set(server.keys) == {None}


def test_all_asks_about_every_text(tmp_path: Path) -> None:
    """With `every`, clear answers are sent too."""
    folder, answers = run_of(tmp_path)
    with serving(FakeLlm()) as server:
        readings, _, _ = reads(folder, answers, server, every=True)
    assert sorted(server.texts) == sorted([*TEXTS, "Yes."])
    assert len(readings) == len(answers)


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    """The ledger holds every reading, whatever became of it: the second bill is zero."""
    folder, answers = run_of(tmp_path)
    with serving(FakeLlm()) as server:
        first, use, _ = reads(folder, answers, server)
        again, use_again, spent = reads(folder, answers, server)
        assert len(server.requests) == 3
        other = asyncio.run(llm.read(folder, answers, Endpoint(server.url, "another")))
        assert len(server.requests) == 6, "another model is asked anew"
    assert again == first
    assert use_again == use
    assert spent == Spent()
    assert llm.kept(folder, answers, use) == first
    assert other[1].texts == 3
    with pytest.raises(SpecError, match="lacks 3 of 3 readings by another"):
        llm.kept(folder, answers, use.model_copy(update={"model": "another", "url": "http://elsewhere"}))


@pytest.mark.parametrize(
    "wrong",
    [
        "no JSON at all",
        "",
        "   ",
        '{"value": "7", "category": "answer", "confidence": "high", "span": "deux"}',
        '{"value": "2", "category": "hedge", "confidence": "high", "span": "deux"}',
        '{"value": "unparsed", "category": "answer", "confidence": "high", "span": ""}',
        '{"value": "2", "category": "answer", "confidence": "high", "span": ""}',
        '{"value": "2", "category": "answer", "confidence": "high"}',
        '{"value": "2", "category": "answer", "confidence": "high", "span": "deux", "more": 1}',
    ],
)
def test_an_answer_that_fails_the_schema_twice_is_unparsed(wrong: str, tmp_path: Path) -> None:
    """It is asked once more and told why, then never again."""
    folder, answers = run_of(tmp_path, ["Je crois que deux."])
    with serving(FakeLlm(lambda body, n: completion(wrong))) as server:
        readings, use, spent = reads(folder, answers, server)
        assert {(r.structured, r.method) for r in readings.values()} == {("unparsed", "llm")}
        assert len(server.requests) == 2
        assert "not valid" in server.requests[1]["messages"][-1]["content"]
        assert (use.failed, spent.failed, spent.prompt_tokens) == (1, 1, 200)
        reads(folder, answers, server)
        assert len(server.requests) == 2


def test_the_second_answer_counts(tmp_path: Path) -> None:
    """A schema error that is mended costs one more request."""
    folder, answers = run_of(tmp_path, ["Je crois que deux."])

    def answer(body: Json, number: int) -> Reply:
        return completion("{}" if number == 1 else json.dumps(coded(text_of(body))))

    with serving(FakeLlm(answer)) as server:
        readings, _, spent = reads(folder, answers, server)
    assert {r.structured for r in readings.values()} == {"2"}
    assert (spent.failed, spent.completion_tokens) == (0, 40)


def test_a_span_that_is_not_in_the_text_is_unparsed(tmp_path: Path) -> None:
    """What an LLM quotes must be there, character by character."""
    folder, answers = run_of(tmp_path, ["Je crois que deux."])
    made_up = {"value": "2", "category": "answer", "confidence": "high", "span": "Deux"}
    with serving(FakeLlm(lambda body, n: completion(json.dumps(made_up)))) as server:
        readings, _, _ = reads(folder, answers, server)
    assert set(readings.values()) == {Reading("unparsed", "other", method="llm")}


@pytest.mark.parametrize(
    "reply",
    [completion(None, refusal="I must not."), completion("", finish_reason="content_filter")],
    ids=["refusal", "filter"],
)
def test_an_llm_that_refuses_leaves_the_answer_unparsed(reply: Reply, tmp_path: Path) -> None:
    """It is not asked again, and the category stays what the rules say."""
    folder, answers = run_of(tmp_path, ["Je crois que deux.", "I'm sorry, but I can't answer that."])
    with serving(FakeLlm(lambda body, n: reply)) as server:
        readings, use, _ = reads(folder, answers, server)
        assert len(server.requests) == 2
    assert {r.category for r in readings.values()} == {"other", "refusal"}
    assert {r.structured for r in readings.values()} == {"unparsed"}
    assert use.failed == 2


def test_no_json_schema_support_is_settled_once_and_said(tmp_path: Path) -> None:
    """The first request is tried again as plain JSON; all others go that way at once."""
    folder, answers = run_of(tmp_path)

    def answer(body: Json, _: int) -> Reply:
        if body["response_format"]["type"] == "json_schema":
            return refusal(400, "This response_format type is unavailable now")
        return completion(json.dumps(coded(text_of(body))))

    lines: list[str] = []
    with serving(FakeLlm(answer)) as server:
        readings, _, _ = reads(folder, answers, server, say=lines.append)
    assert [body["response_format"]["type"] for body in server.requests] == ["json_schema"] + [
        "json_object"
    ] * 3
    assert len(lines) == 1
    assert "JSON schemas" in lines[0]
    assert "2" in {r.structured for r in readings.values()}


def test_one_text_that_is_rejected_stops_nothing(tmp_path: Path) -> None:
    """Once the endpoint has answered, a 400 is about the one text, and final."""
    folder, answers = run_of(tmp_path)

    def answer(body: Json, _: int) -> Reply:
        if text_of(body) == "C'est trois.":
            return refusal(400, "content policy")
        return completion(json.dumps(coded(text_of(body))))

    with serving(FakeLlm(answer)) as server:
        _, use, spent = reads(folder, answers, server, concurrency=1)
        reads(folder, answers, server)
        assert len(server.requests) == 3
    assert (use.texts, use.failed, spent.failed) == (3, 1, 1)


def test_rate_limits_are_waited_out(tmp_path: Path) -> None:
    """The wait is the one that the endpoint names."""
    folder, answers = run_of(tmp_path, ["Je crois que deux."])

    def answer(body: Json, number: int) -> Reply:
        if number <= 2:
            return refusal(429, "slow down", retry_after="0.3")
        return completion(json.dumps(coded(text_of(body))))

    with serving(FakeLlm(answer)) as server:
        start = time.monotonic()
        readings, _, _ = reads(folder, answers, server)
    assert 0.6 <= time.monotonic() - start < 3
    assert {r.structured for r in readings.values()} == {"2"}


def test_an_endpoint_that_stays_busy_ends_the_work_and_keeps_what_was_read(tmp_path: Path) -> None:
    """After bounded tries the error says to come back; the next call asks only what is missing."""
    folder, answers = run_of(tmp_path)
    busy = True

    def answer(body: Json, number: int) -> Reply:
        if busy and number > 1:
            return refusal(429, "slow down", retry_after="0.01")
        return completion(json.dumps(coded(text_of(body))))

    with serving(FakeLlm(answer)) as server:
        with pytest.raises(ServerError, match="Repeat the command later") as error:
            reads(folder, answers, server, concurrency=1)
        assert error.value.retryable
        assert len(server.requests) == 1 + RETRIES.refusals
        assert Ledger(folder.path / llm.LEDGER).contents.lines == 1
        busy, asked = False, len(server.requests)
        reads(folder, answers, server)
        assert sorted(server.texts[asked:]) == sorted(set(TEXTS[1:]) - {server.texts[0]})


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (401, ServerError, "check the key"),
        (403, ServerError, "check the key"),
        (402, ServerError, "are kept"),
        (404, ServerError, "--llm-model"),
        (400, SpecError, "refuses the request"),
    ],
)
def test_what_cannot_succeed_is_not_tried_again(
    status: int, error: type[Exception], message: str, tmp_path: Path
) -> None:
    """One request (two for a 400, which may be about the schema), and an error that says where to look."""
    folder, answers = run_of(tmp_path)
    with serving(FakeLlm(lambda body, n: refusal(status, "no"))) as server:
        with pytest.raises(error, match=message) as raised:
            reads(folder, answers, server)
        assert len(server.requests) == (2 if status == 400 else 1)
    assert raised.value.exit_code == 2  # type: ignore[attr-defined]
    assert Ledger(folder.path / llm.LEDGER).contents.lines == 0


def test_an_estimate_sends_nothing_and_is_an_upper_bound(tmp_path: Path) -> None:
    """It counts the texts that are not known yet; prices are the user's."""
    folder, answers = run_of(tmp_path)
    with serving(FakeLlm()) as server:
        endpoint = Endpoint(server.url, "reader")
        before = llm.estimate(folder, answers, endpoint, every=False, prices=(1.0, 2.0))
        assert server.requests == []
        _, _, spent = reads(folder, answers, server)
        after = llm.estimate(folder, answers, endpoint, every=False, prices=(1.0, None))
    assert (before["texts"], before["known"]) == (3, 0)
    assert before["completion_tokens_most"] >= spent.completion_tokens
    assert before["cost_most"] == pytest.approx(
        before["prompt_tokens"] / 1e6 + 2 * before["completion_tokens_most"] / 1e6
    )
    assert (after["texts"], after["known"], after["prompt_tokens"], after["cost_most"]) == (0, 3, 0, None)


def test_the_endpoint_that_the_options_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """DeepSeek is the default, its key goes to it alone, and its thinking is off; others need a model."""
    monkeypatch.setenv("DEEPSEEK_API_KEY", "secret")
    default = Endpoint.of(None, None, None, needs_key=True)
    assert (default.url, default.model, default.key) == (DEEPSEEK_URL, DEEPSEEK_MODEL, "secret")
    assert default.extra == {"thinking": {"type": "disabled"}}
    assert "secret" not in repr(default)
    own = Endpoint.of("http://localhost:8000/v1/", "m", None, needs_key=True)
    assert (own.url, own.key, own.extra) == ("http://localhost:8000/v1", None, {})
    with pytest.raises(SpecError, match="--llm-model"):
        Endpoint.of("http://localhost:8000/v1", None, None, needs_key=True)
    monkeypatch.delenv("DEEPSEEK_API_KEY")
    with pytest.raises(SpecError, match="DEEPSEEK_API_KEY"):
        Endpoint.of(None, None, None, needs_key=True)
    assert Endpoint.of(None, None, None, needs_key=False).key is None


@pytest.mark.parametrize("question", KINDS)
def test_schema_and_pydantic_model_say_the_same(question: str) -> None:
    """What the endpoint is held to is what is checked: the same fields with the same values."""
    codebook = Codebook.of(KINDS[question], TRIALS["study2" if question == "utterance" else "study1"][0])
    model, schema = codebook.shape.model_json_schema(), codebook.schema
    assert set(model["properties"]) == set(schema["properties"])
    for name, field in schema["properties"].items():
        assert model["properties"][name].get("enum") == field.get("enum")
    assert sorted(model["required"]) == sorted(schema["required"])
    assert model["additionalProperties"] is False
