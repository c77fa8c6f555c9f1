"""The question reaches the model: proved at the start on both engines, and for each as it is sent."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from grace_client import studies
from grace_client.cli._output import probability
from grace_client.core.errors import SpecError
from grace_client.engines.base import Engine
from grace_client.engines.chat import prompt_check
from grace_client.engines.local import engine as local
from grace_client.engines.local.engine import LocalEngine
from grace_client.engines.local.sampling import Draw
from grace_client.engines.vllm.engine import VllmEngine
from grace_client.run import manifest as manifests
from grace_client.run import runner
from grace_client.run.folder import RunFolder
from tests.cli.test_run import STUDY1
from tests.conftest import grace, own_list
from tests.engines.conftest import random_model, tokenizer
from tests.engines.test_reasoning_engines import asked, reasoner
from tests.engines.vllm.test_engine import drive, refusal
from tests.support.fake_vllm import FakeVllm, bad_request
from tests.support.fault_server import FaultServer

TURN = "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]CONTENT{% endfor %}[assistant]"
CONTENTS = {
    "parts": ("{% for part in m['content'] %}{{ part['text'] }}{% endfor %}", "leaves it out"),
    "cut": ("{{ m['content'][:80] }}", "cuts it after its first 80 of 643 characters"),
    "tail": ("{{ m['content'][-80:] }}", "cuts it before its last 8"),
    "dropped": ("{% if m['role'] == 'system' %}{{ m['content'] }}{% endif %}", "leaves it out"),
    "twice": ("{{ m['content'] }} {{ m['content'] }}", "prints it 2 times"),
    "fixed": ("Hello", "leaves it out"),
    "changed": ("{{ m['content'] | replace('honey', 'wax') }}", "changes its words"),
}
"""How templates print a turn, and what is wrong with it."""

PYTHON: dict[str, Callable[[str], str]] = {
    "parts": lambda text: "",
    "cut": lambda text: text[:80],
    "tail": lambda text: text[-80:],
    "dropped": lambda text: "",
    "twice": lambda text: f"{text} {text}",
    "fixed": lambda text: "Hello",
    "changed": lambda text: text.replace("honey", "wax"),
}
"""The same for the stand-in of a server."""

SAYS_PROMPT = TURN.replace("[{{", "Answer the PROMPT of the user.[{{").replace(
    "CONTENT", "{{ m['content'] }}"
)


def engine(template: str | None) -> LocalEngine:
    return LocalEngine(random_model("llama"), tokenizer(template), name="tiny", revision="random")


def server(content: Callable[[str], str], before: str = "") -> FaultServer:
    """A server whose template prints the content of a turn in this way."""
    made = FaultServer()
    chat = made.vllm.tokenizer.chat

    def changed(messages: Sequence[dict[str, str]], *more: Any) -> list[int]:
        told = [m | {"content": before + content(m["content"])} for m in messages]
        return chat(told, *more)

    made.vllm.tokenizer.chat = changed  # type: ignore[method-assign,assignment]
    return made


@pytest.mark.parametrize("case", CONTENTS)
def test_a_template_that_loses_the_question_is_refused(case: str) -> None:
    """Both engines refuse it. The error says what the template does, and the next step."""
    content, fault = CONTENTS[case]
    with pytest.raises(SpecError) as caught:
        engine(TURN.replace("CONTENT", content))
    for message, who, remedy in (
        (str(caught.value), "tiny", "Correct chat_template.jinja"),
        (refusal(server(PYTHON[case])), "fake-model", "vllm serve … --chat-template FILE"),
    ):
        assert f"The chat template of {who} changes the question: it {fault}" in message
        assert remedy in message


def test_a_tokenizer_that_gives_every_question_the_same_ids_is_refused() -> None:
    """It is refused even if the decoded text contains the question."""
    first, second = prompt_check.PROBES
    with pytest.raises(SpecError, match="gives the same tokens for different questions"):
        prompt_check.check([(first, [1, 2], first), (second, [1, 2], second)], "it", "Correct it")
    prompt_check.check([(first, [1, 2], f"<s>{first}"), (second, [1, 3], f"<s>{second}")], "it", "Correct it")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (
            "{% if messages[0]['role'] != 'system' %}{{ raise_exception('No system turn') }}{% endif %}",
            "No system",
        ),
        ("{% for m in messages %}{{ m['content'] }", "TemplateSyntaxError: unexpected '}'"),
        ("{{ bos_token + messages[0]['content'] + 3 }}", "TypeError: "),
        ("{{ messages[0]['content'] | tojson(nonsense=1) }}", "TypeError: "),
    ],
)
def test_a_template_that_fails_is_one_sentence(template: str, words: str) -> None:
    """The error is one line, and quotes the template's error."""
    with pytest.raises(SpecError, match="The chat template of tiny cannot be used for a question") as caught:
        engine(template)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_templates_without_one_for_chats_are_refused(tmp_path: Path) -> None:
    """Several templates are an error, because the choice is the user's."""
    several = {"tool_use": "{{ messages[0]['content'] }}", "rag": "{{ messages[0]['content'] }}"}
    with pytest.raises(SpecError, match=r"tiny cannot be used: .*template"):
        engine(several)  # type: ignore[arg-type]


def test_a_served_template_that_raises_is_not_taken_for_none() -> None:
    """A template error never means that there is no template, because plain text would be another prompt."""

    class Raising(FakeVllm):
        def tokenize(self, body: dict[str, Any]) -> dict[str, Any]:
            if "messages" in body:
                raise bad_request("this chat template needs a system turn")
            return super().tokenize(body)

    made = FaultServer()
    made.vllm = Raising()
    assert "this chat template needs a system turn" in refusal(made)


def test_a_server_that_does_not_decode_is_refused() -> None:
    """Without decoding, grace cannot check what the model reads."""

    class Mute(FakeVllm):
        def detokenize(self, body: dict[str, Any]) -> dict[str, Any]:
            raise bad_request("no such path")

    made = FaultServer()
    made.vllm = Mute()
    assert "does not turn token ids back into text" in refusal(made)


def test_what_a_tokenizer_does_to_characters_is_no_loss() -> None:
    """Width, composition, case and white space may change; words may not."""
    assert prompt_check.times("Is “naïve” x² ok?\nAnswer:", "<s>is “nai\u0308ve” x2 OK ? answer :</s>") == 1
    assert prompt_check.times("one two", "one two, one  two") == 2
    assert prompt_check.times("one two", "one to") == 0


async def shown(engine: Engine, path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The questions of two trials, each with the answer in the ledger."""
    experiment = studies.experiment("study1-exp2")
    trials = own_list("study1")
    folder = RunFolder.create(path, experiment, trials, await engine.describe(), sample=2)
    await runner.run(folder, engine)
    folder = RunFolder.open(path)
    return [(item.question.prompt.text, folder.ledger.get(item.key) or {}) for item in folder.plan.distinct]


def test_what_was_sent_is_kept_as_it_was_decoded(tmp_path: Path) -> None:
    """Both engines store the decoded prompt of every question."""
    embedded = engine(SAYS_PROMPT)
    for question, answer in asyncio.run(shown(embedded, tmp_path / "local")):
        assert answer["prompt"] == embedded.tokenizer.decode(answer["prompt_ids"])
        assert answer["prompt"] == f"<s>Answer the PROMPT of the user.[user]{question}[assistant]"

    async def use(served: VllmEngine, running: FaultServer) -> None:
        for question, answer in await shown(served, tmp_path / "served"):
            assert answer["prompt"] == running.vllm.tokenizer.decode(answer["prompt_ids"])
            assert answer["prompt"] == f"<bos><turn>user\nMind the PROMPT: {question}</turn>\n<turn>model\n"

    drive(use, server=server(str, "Mind the PROMPT: "))


def test_a_question_that_is_lost_on_its_way_has_no_answer(tmp_path: Path) -> None:
    """If a template changes some questions, these fail, and the error shows the prompt."""
    picky = TURN.replace("CONTENT", "{{ m['content'] if 'almost' not in m['content'] else 'Skip this.' }}")
    answers = asyncio.run(shown(engine(picky), tmp_path / "local"))
    lost = [answer for question, answer in answers if "almost" in question]
    assert lost
    for answer in lost:
        assert answer["status"] == "prompt_lost"
        assert "'<s>[user]Skip this.[assistant]'" in answer["reason"]
    assert all(answer["status"] == "ok" for question, answer in answers if "almost" not in question)


def test_a_thought_that_repeats_the_question_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question must be in the prompt only once. The stored text contains the reasoning too."""
    made = reasoner("think")

    def decode(_: Any, draws: Sequence[Draw], *__: Any) -> None:
        for draw in draws:
            question = made.tokenizer.decode(draw.prompt_ids, skip_special_tokens=True)
            turn = f"<think>\n{question}\n</think>\n\nTwo."
            draw.token_ids[:] = made.tokenizer.encode(turn, add_special_tokens=False)
            draw.finish_reason = "stop"

    monkeypatch.setattr(local, "decode", decode)
    folder = asyncio.run(asked(made, tmp_path, "study2-exp2", "on", max_tokens=64))
    for item in folder.plan.distinct:
        answer = folder.ledger.get(item.key)
        assert answer is not None and answer["status"] == "ok"
        assert answer["prompt"].count(item.question.prompt.text) == 2


def test_explain_and_manifest_show_what_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They show the prompt, also if the template contains the word PROMPT, or that it was not asked yet."""
    random_model("llama").save_pretrained(tmp_path / "tiny")
    tokenizer(SAYS_PROMPT).save_pretrained(tmp_path / "tiny")
    out, model = tmp_path / "run", str(tmp_path / "tiny")
    command = (
        "run",
        "study1-exp2",
        "--model",
        model,
        "--trials",
        STUDY1,
        "--sample",
        "1",
        "--quiet",
        "--json",
    )
    assert grace(monkeypatch, *command, "--out", str(out)) == 0
    told = json.loads((out / "manifest.json").read_text())["spec"]["engine"]
    assert told["prompt_prefix"] == "<s>Answer the PROMPT of the user.[user]"
    assert told["prompt_suffix"] == "[assistant]"
    trial = str(RunFolder.open(out).plan.items[0].trial.trial_id)
    capsys.readouterr()
    assert grace(monkeypatch, "explain", str(out), "--trial", trial, "--json") == 0
    for trace in json.loads(capsys.readouterr().out):
        assert trace["prompt"] == f"<s>Answer the PROMPT of the user.[user]{trace['asked']}[assistant]"
    shutil.rmtree(out / "ledger")
    manifest = manifests.load(out)
    manifest.results.clear()
    manifest.save(out)
    assert grace(monkeypatch, "explain", str(out), "--trial", trial) == 0
    printed = capsys.readouterr().out
    assert "── not asked yet" in printed
    assert "[assistant]" not in printed


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [(3e-8, 6, "3e-08"), (0.0, 6, "0.000000"), (0.25, 6, "0.250000"), (4.23e-5, 6, "0.000042"),
     (4.2e-6, 6, "4.2e-06"), (0.0042, 3, "0.0042"), (1.0, 3, "1.000"), (2e-12, 3, "2e-12")],
)  # fmt: skip
def test_a_small_probability_is_not_printed_as_none(value: float, places: int, text: str) -> None:
    """Only 0 is printed as 0."""
    assert probability(value, places) == text
