"""Drawing ends where the prompt's own cue would come again."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grace_client import studies
from grace_client.core.questions import Prompt, Sampling
from grace_client.core.reasoning import Reasoning
from grace_client.engines.local.engine import LocalEngine
from grace_client.run import manifest
from grace_client.run.folder import RunFolder
from tests.conftest import grace, own_list
from tests.engines.test_reasoning_engines import reasoner
from tests.support.fake_vllm import FakeVllm
from tests.support.fault_server import FaultServer, in_thread

PROMPT = Prompt("How many?\nAnswer:")


def test_the_embedded_engine_ends_at_a_stop_text(tiny: Callable[..., LocalEngine]) -> None:
    """The text before the stop text is as without it, and no further tokens are drawn."""
    engine = tiny()

    async def drawn(*stop: str) -> tuple[str, str, int]:
        got = await engine.generate(PROMPT, Sampling(0.9, 24, 5, stop))
        return got.text, got.finish_reason, len(got.token_ids)

    async def work() -> None:
        free, reason, count = await drawn()
        assert (reason, count) == ("length", 24)
        stop = next(s for i in range(6, 18) if (s := free[i : i + 3]) in free and free.find(s) == i)
        text, reason, count = await drawn("never said", stop)
        assert (text, reason) == (free[: free.find(stop)], "stop")
        assert count < 24
        assert await drawn("never said") == (free, "length", 24)

    asyncio.run(work())


def test_stop_texts_are_the_prompt_s_own_cue() -> None:
    """Every free-text experiment stops at the words before the question in its prompts."""
    for study in ("study1", "study2"):
        experiment = studies.experiment(f"{study}-exp1")
        for trial in own_list(study).trials[:10]:
            for question in experiment.questions(trial):
                assert [question.prompt.text.count(stop) for stop in experiment.stop] == [1]


def test_a_thought_is_not_stopped(tmp_path: Path) -> None:
    """A model that may reason gets no stop text, because it would end the reasoning."""
    experiment = studies.experiment("study1-exp1")
    trials = own_list("study1")
    info = asyncio.run(reasoner("think").describe())
    stops: dict[Reasoning, tuple[str, ...]] = {"on": (), "off-by-prompt": (), "off": ("\nQuestion:",)}
    for reasoning, stop in stops.items():
        folder = RunFolder.create(
            tmp_path / reasoning, experiment, trials, info, sample=2, reasoning=reasoning
        )
        assert folder.manifest.spec.sampling is not None
        assert folder.manifest.spec.sampling.stop == stop
        assert {item.sampling.stop for item in folder.plan.items if item.sampling} == {stop}


def run_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, study: str, vllm: type[FakeVllm]
) -> list[dict[str, str]]:
    """The structured table of a run whose model continues with the next question."""
    server, out = FaultServer(), tmp_path / study
    server.vllm = vllm(
        text_pattern="{answer}\n\nQuestion: Now how many of the 3 jars?\nAnswer: It was bad. No, 0."
    )
    with in_thread(server):
        command = ("run", f"{study}-exp1", "--server", server.url, "--out", str(out), "--sample", "12")
        assert grace(monkeypatch, *command) == 0
    sampling = manifest.load(out).spec.sampling
    assert sampling is not None
    assert sampling.stop == ("\nQuestion:",)
    assert grace(monkeypatch, "extract", str(out)) == 0
    with next(out.glob("*_structured_*.csv")).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


READ = {
    "number": {"Two.": "2", "I think that it is 3.": "3"},
    "knowledge": {"Yes.": "yes"},
    "utterance": {"It was good.": "was_good", "It wasn't terrible.": "wasnt_terrible"},
}


def check(rows: list[dict[str, str]], whole: bool) -> None:
    for row in rows:
        answer = row["response"].split("\n\n")[0]
        assert ("Question:" in row["response"]) == whole
        if value := READ[row["question"]].get(answer):
            assert row["structured"] == value, row
    assert sum(row["structured"] != "unparsed" for row in rows) > 5


def test_a_model_that_runs_on_is_stopped_and_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The request has the stop text, and the table contains the first answer."""
    for study in ("study1", "study2"):
        check(run_on(monkeypatch, tmp_path, study, FakeVllm), whole=False)


class Deaf(FakeVllm):
    """A server that ignores stop texts."""

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        return super().chat(body | {"stop": None})


def test_a_server_that_does_not_stop_is_read_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """If the server ignores the stop text, the first answer counts."""
    check(run_on(monkeypatch, tmp_path, "study1", Deaf), whole=True)
