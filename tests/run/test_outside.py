"""What a model would say outside the declared forms: kept beside every answer, asked once, summarised."""

from __future__ import annotations

import asyncio
import json
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grace_client import studies
from grace_client.core.errors import ItemError
from grace_client.core.options import Option, OptionSet, TokenTrie
from grace_client.core.progress import Progress
from grace_client.core.scoring import score
from grace_client.engines.base import LIKELIEST, Answered, Beginning, Likeliest
from grace_client.run import outside, tables
from grace_client.run.folder import RunFolder
from grace_client.run.runner import run
from tests.conftest import grace, own_list, undated
from tests.support.deterministic import LOGPROBS, DeterministicEngine, answered


class Apart(DeterministicEngine):
    """Gives the beginnings outside the forms only to a request of its own, as vLLM does."""

    def __init__(self, *, refuses: str = "") -> None:
        super().__init__()
        self.refuses = refuses
        self.apart: list[int] = []

    async def edge_logprobs(self, prompt_ids: Sequence[int], trie: TokenTrie) -> Answered:
        return Answered((await super().edge_logprobs(prompt_ids, trie)).edges)

    async def likeliest(self, prompt_ids: Sequence[int], max_tokens: int) -> Likeliest:
        self.apart.append(max_tokens)
        if self.refuses:
            raise ItemError("bad_request", self.refuses, retryable=self.refuses == "later")
        return await super().likeliest(prompt_ids, max_tokens)


def ask(path: Path, engine: DeterministicEngine, *, greedy: bool = False, stop_after: int = 999) -> RunFolder:
    """Run Study 1 on six trials, with its tables, and open it anew."""

    async def work() -> None:
        experiment = studies.experiment("study1-exp2")
        folder = RunFolder.create(path, experiment, own_list("study1"), await engine.describe(), sample=6)
        stop = asyncio.Event()

        def watch(progress: Progress) -> None:
            if progress.asked >= stop_after:
                stop.set()

        await run(folder, engine, greedy=greedy, on_rest=watch, stop=stop)

    asyncio.run(work())
    tables.export(RunFolder.open(path))
    return RunFolder.open(path)


def kept(folder: RunFolder) -> dict[str, outside.Kept]:
    return {
        item.key: outside.Kept.of(folder.ledger, item.key, folder.ledger.get(item.key) or {})
        for item in folder.plan.distinct
    }


@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=2, max_size=12),
    st.integers(0, 10_000),
)
def test_what_leaves_the_forms_and_the_option_mass_are_everything(paths: list[list[int]], seed: int) -> None:
    """Their sum is 1, for any trie of any distributions."""
    # A last token of its own makes the set prefix-free.
    unique = sorted({tuple(path) for path in paths})
    options = OptionSet(tuple(Option(str(i), (f"form {i}",)) for i in range(len(unique) + 1)))
    trie = TokenTrie.build(options, [[[*path, 6 + i]] for i, path in enumerate(unique)] + [[[99]]])
    rng = np.random.default_rng(seed)
    rows = {int(node): rng.dirichlet(np.ones(100)) for node in trie.inner}
    pairs = zip(trie.parent[1:], trie.token[1:], strict=True)
    edges = np.log([rows[int(parent)][token] for parent, token in pairs])
    left = outside.leaving(trie, edges)
    assert math.isclose(sum(prob for _, prob in left) + score(trie, edges).mass, 1.0, abs_tol=1e-9)
    assert [ids for ids, _ in left].count(()) == 1


def test_every_answer_has_its_likeliest_beginnings(tmp_path: Path) -> None:
    """Those that the engine gave with the scores, without another request. None agrees with a form."""
    engine = DeterministicEngine()
    folder = ask(tmp_path, engine)
    assert len(engine.asked) == len(folder.plan.distinct)
    for item in folder.plan.distinct:
        answer = folder.ledger.get(item.key)
        assert answer is not None
        forms = [ids for _, _, ids, _ in answer["forms"]]
        for ids, text, logprob in answer["outside"]:
            assert not any(form[: len(ids)] == ids or ids[: len(form)] == form for form in forms)
            # Token 0 ends the turn, and has no text.
            assert text == bytes(ids).removesuffix(b"\0").decode(errors="replace")
            assert math.exp(logprob) <= 1
        first = [logprob for ids, _, logprob in answer["outside"] if len(ids) == 1]
        assert len(first) == LIKELIEST
        at_once = next(prob for ids, _, prob in answer["left"] if not ids)
        assert sum(map(math.exp, first)) <= at_once


def test_bytes_that_are_no_text_are_shown_and_their_ids_kept(tmp_path: Path) -> None:
    """The engine's vocabulary is bytes, and half of them are no text alone."""
    folder = ask(tmp_path, DeterministicEngine())
    found = [row for one in kept(folder).values() for row in one.outside or ()]
    broken = [(ids, text) for ids, text, _ in found if "\ufffd" in text]
    assert broken
    assert all(ids for ids, _ in broken)


def test_an_engine_is_asked_apart_after_all_answers(tmp_path: Path) -> None:
    """Once for each question, for one token; the likeliest first tokens are those of the distribution."""
    engine = Apart()
    folder = ask(tmp_path, engine)
    assert engine.apart == [1] * len(folder.plan.distinct)
    assert len(engine.asked) == 2 * len(folder.plan.distinct)
    for item in folder.plan.distinct:
        answer = folder.ledger.get(item.key)
        assert answer is not None
        assert "outside" not in answer
        found = outside.Kept.of(folder.ledger, item.key, answer).outside
        assert found is not None
        first = {ids[0] for _, _, ids, _ in answer["forms"]}
        row = LOGPROBS[zlib.crc32(bytes(answer["prompt_ids"])) % 4096]
        best = [int(token) for token in np.argsort(-row) if int(token) not in first][:LIKELIEST]
        assert [ids for ids, _, _ in found] == [[token] for token in best]
    again = Apart()
    ask(tmp_path, again)
    assert not again.asked


def test_a_stopped_run_asks_the_rest_later(tmp_path: Path) -> None:
    """And nothing twice."""
    engine = Apart()
    folder = ask(tmp_path, engine, stop_after=5)
    asked = len(engine.apart)
    assert 5 <= asked < len(folder.plan.distinct)
    again = Apart()
    folder = ask(tmp_path, again)
    assert len(again.apart) == len(again.asked) == len(folder.plan.distinct) - asked
    assert all(one.outside for one in kept(folder).values())


@pytest.mark.parametrize(("refuses", "asked_again"), [("never", False), ("later", True)])
def test_a_refusal_fails_no_question(tmp_path: Path, refuses: str, asked_again: bool) -> None:
    """The tables are the same; a refusal that may pass is asked again by the next run."""
    folder = ask(tmp_path / "a", Apart(refuses=refuses))
    assert folder.progress().failed == 0
    assert all(one.outside is None and one.left for one in kept(folder).values())
    whole = ask(tmp_path / "b", DeterministicEngine())
    for mine, theirs in zip(tables.export(folder), tables.export(whole), strict=True):
        assert undated(mine.name) == undated(theirs.name)
        assert mine.read_bytes() == theirs.read_bytes()
    again = Apart()
    ask(tmp_path / "a", again)
    assert bool(again.apart) is asked_again


def test_greedy_answers_can_be_asked_later(tmp_path: Path) -> None:
    """In a finished run, each once; the answers and the tables stay."""
    before = ask(tmp_path, DeterministicEngine())
    assert all(one.greedy is None for one in kept(before).values())
    tables_before = {path.name: path.read_bytes() for path in tables.export(before)}
    engine = DeterministicEngine()
    folder = ask(tmp_path, engine, greedy=True)
    assert len(engine.asked) == len(folder.plan.distinct)
    assert {one.greedy["text"] for one in kept(folder).values() if one.greedy} == {"**Two**"}
    assert {path.name: path.read_bytes() for path in tables.export(folder)} == tables_before
    entry = folder.manifest.results["outside"]["state"]
    assert (entry["greedy"]["declared"], entry["greedy"]["accepted"]) == (0, 0)
    assert entry["greedy"]["others"] == [{"text": "**Two**", "option": None, "questions": entry["questions"]}]


class Bold(DeterministicEngine):
    """Says the answers in bold letters: "**10%**"."""

    async def edge_logprobs(self, prompt_ids: Sequence[int], trie: TokenTrie) -> Answered:
        text = b"**10%" if b"%" in bytes(trie.token[1:].tolist()) else b"YES"
        edges = answered(prompt_ids, trie).edges - 3
        return Answered(edges, (Beginning(tuple(text), math.log(0.6)),))

    async def likeliest(self, prompt_ids: Sequence[int], max_tokens: int) -> Likeliest:
        return Likeliest((), tuple(b"**10%**\n\nBecause"[:max_tokens]), False)


def test_the_forms_to_add_are_shown_and_can_be_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the option they mean, what they would add, and lines that make a study file with these forms."""
    ask(tmp_path / "run", Bold(), greedy=True)
    assert grace(monkeypatch, "study", "forms", tmp_path / "run", "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["questions"]
    (bold,) = found["state"]["beginnings"]
    assert (bold["text"], bold["option"], bold["form"]) == ("**10%", "10", "**{{ say }}")
    assert math.isclose(bold["prob"], 0.6)
    assert math.isclose(found["state"]["gain"], 0.6)
    assert found["state"]["option_mass"] < 0.5
    assert found["state"]["greedy"]["accepted"] == found["state"]["questions"]
    assert found["knowledge"]["beginnings"][0]["form"] == "{{ say | upper }}"
    assert grace(monkeypatch, "study", "forms", tmp_path / "run") == 0
    out = capsys.readouterr().out
    for said in ("under 0.5", "as 10", "at least 0.6", "'**10%'", "Greedy answers: 0 of", "percentage:"):
        assert said in out
    source = studies.named("study1").raw.decode()
    for before, lines in (
        ("    forms: written", found["state"]["add"][2:]),
        ("  yes_no: [yes, no]", found["knowledge"]["add"][1:]),
    ):
        assert before in source
        source = source.replace(before, "\n".join(lines))
    (tmp_path / "mine.yaml").write_text(source)
    changed = studies.experiment(f"{tmp_path / 'mine.yaml'}:exp2")
    questions = {q.name: q for q in changed.questions(own_list("study1").trials[0])}
    ten = questions["state0"].options
    yes = questions["knowledge"].options
    assert ten is not None
    assert yes is not None
    assert ten.options[1].forms == ("10%", " 10%", "**10%")
    assert yes.options[0].forms == ("yes", "Yes", " yes", " Yes", "YES")


def test_explain_says_where_the_rest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of one question: where answers leave the forms, how they begin instead, and the greedy answer."""
    folder = ask(tmp_path, Apart(), greedy=True)
    trial = folder.plan.trials[0].trial_id
    assert grace(monkeypatch, "explain", tmp_path, "--trial", trial, "--question", "state1") == 0
    out = capsys.readouterr().out
    assert "at the first token" in out
    assert "greedy answer: '**Two**'" in out
    assert grace(monkeypatch, "explain", tmp_path, "--trial", trial, "--question", "state1", "--json") == 0
    (trace,) = json.loads(capsys.readouterr().out)
    assert len(trace["outside"]) == LIKELIEST
    total = trace["option_mass"] + sum(row["prob"] for row in trace["left"])
    assert 0.9 < total <= 1 + 1e-9


def test_a_run_of_an_earlier_version_is_asked_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its lines have neither. Its tables stay the same, and its command adds what is missing."""

    async def nothing(*_: object) -> dict[str, Any]:
        return {}

    with monkeypatch.context() as earlier:
        earlier.setattr(outside.Rest, "after_forms", nothing)
        earlier.setattr(outside, "wanted", lambda *_, **__: [])
        folder = ask(tmp_path, DeterministicEngine())
    before = {path.name: path.read_bytes() for path in tables.export(folder)}
    assert folder.manifest.results["outside"] == {}
    assert grace(monkeypatch, "study", "forms", tmp_path) == 2
    assert "Repeat the run's 'grace run' command" in capsys.readouterr().err
    engine = DeterministicEngine()
    folder = ask(tmp_path, engine)
    assert len(engine.asked) == len(folder.plan.distinct)
    assert {path.name: path.read_bytes() for path in tables.export(folder)} == before
    assert folder.manifest.results["outside"]["state"]["beginnings"]


def test_free_text_has_no_forms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a greedy answer nor a place outside its forms."""
    assert grace(monkeypatch, "run", "study1-exp1", "--greedy", "--out", tmp_path / "new") == 2
    assert "Leave --greedy out" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
