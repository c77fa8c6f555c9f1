"""Reasoning models through both engines: what they are sent, what is kept, and what is scored after."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from transformers import PreTrainedTokenizerFast

from grace_client import studies
from grace_client.core.errors import SpecError
from grace_client.core.questions import Prompt, Sampling
from grace_client.core.reasoning import Reasoning
from grace_client.engines.base import Engine, EngineInfo
from grace_client.engines.chat.dates import pinned, with_date
from grace_client.engines.chat.template import TemplateSettings
from grace_client.engines.local import engine as local
from grace_client.engines.local.engine import LocalEngine
from grace_client.engines.local.sampling import Draw
from grace_client.engines.vllm import startup_check
from grace_client.engines.vllm.engine import VllmEngine
from grace_client.run import runner, tables
from grace_client.run.folder import RunFolder, sampling_of
from grace_client.run.manifest import SamplingSpec
from tests.conftest import own_list
from tests.engines.conftest import random_model, tokenizer
from tests.engines.reference import teacher_forced
from tests.engines.vllm.test_engine import drive, refusal
from tests.support.fake_vllm import MARKS, Tokenizer
from tests.support.fault_server import FaultServer

HARMONY = (
    "<|start|>system<|message|>Current date: {{ strftime_now('%Y-%m-%d') }}\n\n"
    "Reasoning: {{ reasoning_effort or 'medium' }}<|end|>"
    "{% for m in messages %}<|start|>{{ m['role'] }}<|message|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
"""In the format of gpt-oss, written for this test."""

THINK = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}[assistant]"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
)
UNSWITCHED = THINK.partition("{% if enable")[0]
TURNS = {
    "harmony": "<|channel|>analysis<|message|>Two are red.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>Two.",
    "think": "<think>\nTwo are red.\n</think>\n\nTwo.",
}
PROMPT = Prompt("How many apples are red?\nAnswer:")


def reasoner(form: str, settings: TemplateSettings | None = None, template: str | None = None) -> LocalEngine:
    """A tiny model whose tokenizer has the marks of a format."""
    made: PreTrainedTokenizerFast = tokenizer(template or {"harmony": HARMONY, "think": THINK}[form])
    marks = list(MARKS) if form == "harmony" else ["<think>", "</think>"]
    made.add_special_tokens({"additional_special_tokens": marks})
    if form == "harmony":
        made.bos_token = None
    model = random_model("llama")
    model.resize_token_embeddings(len(made))
    return LocalEngine(
        model, made, name=f"tiny-{form}", revision="random", settings=settings or TemplateSettings()
    )


def speaking(monkeypatch: pytest.MonkeyPatch, engine: LocalEngine, turn: str) -> None:
    """Make an engine draw this turn, up to the limit on tokens."""
    ids = engine.tokenizer.encode(turn, add_special_tokens=False)

    def decode(_: Any, draws: Sequence[Draw], *__: Any) -> None:
        for draw in draws:
            draw.token_ids[:] = ids[: draw.sampling.max_tokens]
            draw.finish_reason = "stop" if len(draw.token_ids) == len(ids) else "length"

    monkeypatch.setattr(local, "decode", decode)


def served(turn: str = TURNS["harmony"]) -> FaultServer:
    return FaultServer(harmony=True, text_pattern=turn.replace("Two.", "{answer}"), max_model_len=4096)


async def asked(
    engine: Engine, path: Path, experiment: str, reasoning: Reasoning | None, **sampling: Any
) -> RunFolder:
    """Four trials asked and exported."""
    found, info = studies.experiment(experiment), await engine.describe()
    trials = own_list(found.schema.study)
    draws = sampling_of(found, info, reasoning, {"replicates": 2} | sampling)
    RunFolder.create(path, found, trials, info, sample=4, sampling=draws, reasoning=reasoning)
    await runner.run(RunFolder.open(path), engine)
    folder = RunFolder.open(path)
    tables.export(folder)
    return folder


def both(
    monkeypatch: pytest.MonkeyPatch,
    use: Callable[[Engine], Any],
    turn: str = TURNS["harmony"],
    **settings: Any,
) -> None:
    """Run a test with the embedded engine and with the one behind a server."""
    engine = reasoner("harmony", TemplateSettings(**settings))
    speaking(monkeypatch, engine, turn)
    asyncio.run(use(engine))
    drive(lambda served, _: use(served), server=served(turn), settings=TemplateSettings(**settings))


def test_the_final_channel_is_reached_with_the_models_own_template(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scored prompt ends with the mark of the final channel, a drawn one at the start of the turn."""

    async def use(engine: Engine) -> None:
        info = await engine.describe()
        assert info.reasoning_format == "harmony"
        assert info.prompt_suffix.endswith("<|end|><|start|>assistant")
        assert info.direct_suffix == info.prompt_suffix + "<|channel|>final<|message|>"
        open_ids = await engine.tokenize(PROMPT)
        mark = await engine.tokenize_form("<|channel|>final<|message|>", open_ids)
        assert await engine.tokenize(Prompt(PROMPT.text, direct=True)) == open_ids + mark

    both(monkeypatch, use)


def test_thoughts_are_apart_wherever_the_bound_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With any limit, the answer is a beginning of the full answer, or empty with a status."""

    async def use(engine: Engine) -> None:
        whole = await engine.generate(PROMPT, Sampling(0.7, 400, 3))
        assert (whole.status, whole.reasoning) == ("ok", "Two are red.")
        assert whole.answer_at is not None
        for most in range(1, len(whole.token_ids)):
            drawn = await engine.generate(PROMPT, Sampling(0.7, most, 3))
            assert whole.text.startswith(drawn.text)
            assert (drawn.status == "ok") == bool(drawn.text)
            assert (drawn.answer_at is None) == (most < whole.answer_at)
            assert drawn.prompt_ids == whole.prompt_ids == tuple(await engine.tokenize(PROMPT))

    both(monkeypatch, use)


def test_an_answer_may_be_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the mark, the text is the answer."""

    async def use(engine: Engine) -> None:
        drawn = await engine.generate(Prompt(PROMPT.text, direct=True), Sampling(0.7, 400, 3))
        assert (drawn.status, drawn.reasoning) == ("ok", None)
        assert drawn.text

    both(monkeypatch, use, turn="Two.")


def test_the_effort_is_in_the_prompt_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prompt and the description contain the effort, so it is part of every question's identity."""
    infos: list[EngineInfo] = []

    async def use(engine: Engine) -> None:
        infos.append(await engine.describe())

    for effort in (None, "low", "high"):
        both(monkeypatch, use, effort=effort)
    for info, effort in zip(infos, [None, None, "low", "low", "high", "high"], strict=True):
        assert f"Reasoning: {effort or 'medium'}<" in info.prompt_prefix
        assert info.versions.get("reasoning_effort") == effort


def test_settings_that_do_not_fit_the_model_are_refused(tiny: Callable[..., LocalEngine]) -> None:
    """An effort needs a template that takes it; reasoning on or off needs a model that shows reasoning."""
    with pytest.raises(SpecError, match="takes no reasoning effort"):
        reasoner("think", TemplateSettings(effort="low"))
    with pytest.raises(SpecError, match="two formats of reasoning"):
        LocalEngine(
            random_model("llama"),
            tokenizer(),
            name="plain",
            revision="x",
            settings=TemplateSettings(reasoning="on"),
        )
    assert "takes no reasoning effort" in refusal(FaultServer(), settings=TemplateSettings(effort="low"))
    assert "two formats of reasoning" in refusal(FaultServer(), settings=TemplateSettings(reasoning="off"))
    with pytest.raises(SpecError, match="loudly"):
        TemplateSettings.of("loudly")
    with pytest.raises(SpecError, match=r"--prompt-date tomorrow"):
        TemplateSettings.of(day="tomorrow")


@pytest.mark.parametrize(
    ("template", "settings", "suffix"),
    [
        (THINK, TemplateSettings(), "[assistant]<think>\n\n</think>\n\n"),
        (THINK, TemplateSettings(reasoning="off-by-prompt"), "[assistant]"),
        (UNSWITCHED + "<think>\n", TemplateSettings(), "[assistant]<think>\n\n</think>\n\n"),
        (
            UNSWITCHED,
            TemplateSettings(reasoning="off"),
            "[assistant]<think>\n\n</think>\n\n",
        ),
        (UNSWITCHED, TemplateSettings(), "[assistant]"),
    ],
)
def test_how_a_think_block_is_suppressed(template: str, settings: TemplateSettings, suffix: str) -> None:
    """The template's switch, a closing tag, or, on request, a whole block suppresses the reasoning."""
    engine = reasoner("think", settings, template)
    ids = asyncio.run(engine.tokenize(Prompt("Hm?", direct=True)))
    assert engine.tokenizer.decode(ids) == f"<s>[user]Hm?{suffix}"
    info = asyncio.run(engine.describe())
    assert (info.direct_suffix or info.prompt_suffix) == suffix


@pytest.mark.parametrize("form", ["harmony", "think"])
def test_options_are_scored_after_the_reasoning_that_was_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Options are scored after the tokens of the closed reasoning. Text, ids and seed are stored."""
    engine = reasoner(form)
    speaking(monkeypatch, engine, TURNS[form])
    folder = asyncio.run(asked(engine, tmp_path, "study2-exp2", "on", max_tokens=64))
    assert folder.manifest.spec.sampling == SamplingSpec(replicates=1, max_tokens=64)
    assert folder.manifest.spec.reasoning == "on"
    item = folder.plan.items[0]
    answer = folder.ledger.get(item.key)
    assert answer is not None
    assert (answer["status"], answer["reasoning"], answer["text"]) == ("ok", "Two are red.", "Two.")
    thought = TURNS[form][: -len("Two.")]
    shown = engine.tokenizer.decode(answer["prompt_ids"])
    assert answer["prompt"] == shown
    assert shown.endswith(thought) and shown.count(item.question.prompt.text) == 1
    for _, _, ids, logprob in answer["forms"][::9]:
        assert abs(logprob - teacher_forced(engine.model, answer["prompt_ids"], ids)) < 1e-4
    reasoning = pd.read_csv(next(tmp_path.glob("tiny-*_study2_reasoning_*.csv")))
    assert set(reasoning["reasoning"]) == {"Two are red."}
    assert reasoning["seed"].nunique() == len(reasoning) == 4
    wide = pd.read_csv(next(tmp_path.glob("tiny-*_study2_probabilities_????????.csv")))
    assert np.allclose(wide.filter(regex="^prob_was(nt)?_").sum(axis=1), 1)


def test_options_are_scored_after_reasoning_through_a_server(tmp_path: Path) -> None:
    """A server scores after the same ids. Without reasoning it is another question."""

    async def use(engine: VllmEngine, _: FaultServer) -> None:
        folder = await asked(engine, tmp_path / "none", "study2-exp2", "on", max_tokens=200)
        item = folder.plan.items[0]
        answer = folder.ledger.get(item.key)
        assert answer is not None and answer["status"] == "ok"
        shown = Tokenizer(harmony=True).decode(answer["prompt_ids"])
        assert shown.endswith("<|channel|>analysis<|message|>Two are red.<|end|>"
                              "<|start|>assistant<|channel|>final<|message|>")  # fmt: skip
        default = await asked(engine, tmp_path / "default", "study2-exp2", None)
        assert default.manifest.spec.reasoning == "off"
        assert default.manifest.spec.sampling is None
        first = default.plan.items[0]
        assert first.key != item.key
        closed = default.ledger.get(first.key)
        assert closed is not None
        shown = Tokenizer(harmony=True).decode(closed["prompt_ids"])
        assert closed["prompt"] == shown
        assert shown.endswith("Answer:<|end|><|start|>assistant<|channel|>final<|message|>")

    drive(use, server=served())


def test_reasoning_without_an_end_is_a_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status is final, with a reason and without a score. The reasoning is stored."""
    engine = reasoner("harmony")
    speaking(monkeypatch, engine, TURNS["harmony"])
    for experiment in ("study2-exp1", "study2-exp2"):
        path = tmp_path / experiment
        folder = asyncio.run(asked(engine, path, experiment, "on", max_tokens=14))
        long = pd.read_parquet(next(path.glob("*.parquet")))
        assert set(long["status"]) == {"reasoning_unfinished"}
        assert long["reason"].str.startswith("the reasoning used all 14 tokens").all()
        values = long["response" if "response" in long else "prob_norm"]
        assert values.isna().all()
        kept = pd.read_csv(next(path.glob("*_reasoning_*.csv")))
        assert all("Two are red.".startswith(text) and text for text in kept["reasoning"])
        assert folder.progress().failed == folder.progress().total == folder.progress().done


def test_a_run_goes_on_on_another_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prompt has the day of the run, whatever the clock says."""

    class Tomorrow(date):
        @classmethod
        def today(cls) -> Tomorrow:
            return cls.fromordinal((date.today() + timedelta(days=40)).toordinal())

    infos: list[EngineInfo] = []

    async def use(engine: VllmEngine, _: FaultServer) -> None:
        infos.append(await engine.describe())
        ids = await engine.tokenize(PROMPT)
        shown = Tokenizer(harmony=True).decode(ids)
        assert shown == infos[-1].prompt_prefix + PROMPT.text + infos[-1].prompt_suffix
        await asked(engine, tmp_path, "study2-exp2", None)

    drive(use, server=served())
    from tests.support import fake_vllm

    monkeypatch.setattr(fake_vllm, "date", Tomorrow)
    monkeypatch.setattr(startup_check, "date", Tomorrow)
    drive(use, server=served())
    assert infos[0] == infos[1]
    assert "Current date: 2026-01-01\n" in infos[0].prompt_prefix
    assert infos[0].versions["date"] == "2026-01-01"
    other = asyncio.run(reasoner("harmony", TemplateSettings(day=date(2025, 5, 4))).describe())
    assert "Current date: 2025-05-04\n" in other.prompt_prefix


def test_a_date_that_cannot_be_set_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the next command."""
    with pytest.raises(SpecError, match=r"a fixed date into the template .* --model"):
        reasoner("harmony", template=HARMONY.replace("'%Y-%m-%d'", "'%Y' ~ '-%m'"))
    server = served()
    chat = server.vllm.tokenizer.chat

    def shouting(messages: list[dict[str, str]], *more: Any) -> list[int]:
        return chat([message | {"content": message["content"].upper()} for message in messages], *more)

    monkeypatch.setattr(server.vllm.tokenizer, "chat", shouting)
    message = refusal(server)
    assert "prints today's date" in message and "vllm serve … --chat-template FILE" in message


def test_dates_are_found_in_what_templates_print() -> None:
    """Dates in the usual formats are replaced, also if they are a day off. Other text does not change."""
    day, today = date(2026, 1, 1), date(2031, 11, 23)
    for shown in ("%Y-%m-%d", "%d %B %Y", "%A, %d %b %Y", "%B %d, %Y", "%d.%m.%Y"):
        for shift in (-1, 0, 1):
            text = f"Today: {(today + timedelta(days=shift)).strftime(shown)}, cutoff 2024-06."
            assert pinned(text, today, day) == f"Today: {day.strftime(shown)}, cutoff 2024-06."
    assert with_date("{{ strftime_now('%d %b') + strftime_now( \"%Y\" ) }}", day) == '{{ "01 Jan" + "2026" }}'
    assert json.loads(with_date('strftime_now("%Y")', day)) == "2026"
