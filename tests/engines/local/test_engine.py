"""The embedded engine: exact, whatever was scored before, and clear about what it cannot do."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from grace_client import studies
from grace_client.core.errors import SpecError
from grace_client.core.options import Option, OptionSet, TokenTrie, spoken
from grace_client.core.questions import Prompt, Sampling
from grace_client.core.scoring import Scores, score
from grace_client.engines.base import LIKELIEST, Likeliest
from grace_client.engines.local import tree
from grace_client.engines.local.engine import LocalEngine
from tests.conftest import own_list
from tests.engines.reference import next_logprobs, teacher_forced

T = TypeVar("T")

TOLERANCE = 1e-4
"""Nats, in float32."""

_FRAMES = {"was": ("was",), "wasnt": ("wasn't", "wasn\u2019t", "was not")}
SENTENCES = OptionSet(
    tuple(
        Option(f"{frame}_{word}", tuple(form for verb in verbs for form in spoken(f"It {verb} {word}")))
        for frame, verbs in _FRAMES.items()
        for word in ("terrible", "bad", "good", "amazing")
    )
)
"""The options of Study 2, written out."""

CASES = {
    "shared prefixes": OptionSet(tuple(Option(f"{p}", (f"{p}%",)) for p in range(0, 101, 10))),
    "leading space": OptionSet(tuple(Option(w, spoken(w)) for w in ("yes", "no"))),
    "sentences": SENTENCES,
    "unicode": OptionSet(
        (Option("a", ("naïve – “süß”",)), Option("b", ("日本語です",)), Option("c", ("🙂🙃",)))
    ),
    "terminator": OptionSet((Option("1", ("1.", "1\n")), Option("10", ("10.", "10\n")))),
    "end of turn": OptionSet((Option("1", ("1",)), Option("10", ("10",))), end_of_turn=True),
}

PROMPTS = (
    Prompt("How likely is rain?\nAnswer:"),
    Prompt("Il pleut – “peut-être”. 日本 🙂 " + "Nadia tells you in a call. " * 12 + "\nAnswer:"),
)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def scores(engine: LocalEngine, prompt: Prompt, options: OptionSet) -> tuple[TokenTrie, Scores]:
    info = await engine.describe()
    end = [info.end_of_turn] if options.end_of_turn else []
    ids = await engine.tokenize(prompt)
    trie = TokenTrie.build(
        options,
        [[await engine.tokenize_form(f, ids) + end for f in option.forms] for option in options.options],
    )
    return trie, score(trie, (await engine.edge_logprobs(ids, trie)).edges)


def check_exact(engine: LocalEngine, prompts: Sequence[Prompt] = PROMPTS, every: int = 1) -> None:
    """All forms of all cases after the first prompt, and a sample of them after the others."""
    for options in CASES.values():
        for prompt in prompts:
            trie, got = run(scores(engine, prompt, options))
            ids = run(engine.tokenize(prompt))
            leaves = trie.leaf if prompt is prompts[0] else trie.leaf[::every]
            expected = [teacher_forced(engine.model, ids, trie.path(int(leaf))) for leaf in leaves]
            some = got.form_logprob[:: 1 if prompt is prompts[0] else every]
            assert np.abs(some - expected).max() < TOLERANCE
            assert got.mass <= 1 + 1e-4
            for index in range(trie.n_options if len(leaves) == len(trie.leaf) else 0):
                forms = [e for e, option in zip(expected, trie.option, strict=True) if option == index]
                assert abs(got.logprob[index] - np.logaddexp.reduce(forms)) < TOLERANCE


@pytest.mark.parametrize(
    ("architecture", "method"),
    [("llama", "tree"), ("gpt2", "tree"), ("gemma2", "tree"), ("bloom", "walk"), ("mamba", "walk")],
)
def test_every_option_is_exact(tiny: Callable[..., LocalEngine], architecture: str, method: str) -> None:
    """Each option is within 1e-4 nats of teacher forcing the whole string."""
    engine = tiny(architecture)
    assert engine.method == method
    check_exact(engine)


@pytest.mark.parametrize("architecture", ["llama", "bloom"])
@pytest.mark.parametrize("case", ["shared prefixes", "leading space", "end of turn"])
def test_the_likeliest_beginnings_outside_the_forms_are_all_there(
    tiny: Callable[..., LocalEngine], architecture: str, case: str
) -> None:
    """As in plain passes over the prompt and every inner node, whose whole distributions are searched."""
    engine, options = tiny(architecture), CASES[case]
    trie, _ = run(scores(engine, PROMPTS[0], options))
    ids = run(engine.tokenize(PROMPTS[0]))
    paths = {tuple(trie.path(node)) for node in range(1, len(trie))}
    found = run(engine.edge_logprobs(ids, trie)).outside
    assert found is not None
    everything: dict[tuple[int, ...], float] = {}
    for node in trie.inner:
        path = trie.path(int(node))
        before = teacher_forced(engine.model, ids, path)
        for token, value in enumerate(next_logprobs(engine.model, [*ids, *path])):
            if (*path, token) not in paths:
                everything[*path, token] = before + value
    order = sorted(everything, key=lambda path: -everything[path])
    lengths = [len(path) for path in order]
    expected = [path for path, length in zip(order, lengths, strict=True) if length == 1][:LIKELIEST]
    expected += [path for path, length in zip(order, lengths, strict=True) if length > 1][:LIKELIEST]
    # Rounding may exchange the last of two that are nearly equal.
    assert np.allclose(
        sorted(one.logprob for one in found), sorted(everything[path] for path in expected), atol=TOLERANCE
    )
    assert all(abs(one.logprob - everything[one.ids]) < TOLERANCE for one in found)
    assert [one.logprob for one in found] == sorted((one.logprob for one in found), reverse=True)


def test_the_greedy_answer_and_the_likeliest_first_tokens(tiny: Callable[..., LocalEngine]) -> None:
    """Those of plain passes, for prompts of different lengths in one batch."""
    engine = tiny("llama")

    async def all_at_once() -> list[Likeliest]:
        ids = [await engine.tokenize(prompt) for prompt in PROMPTS]
        return await asyncio.gather(*(engine.likeliest(one, 5) for one in ids))

    for prompt, found in zip(PROMPTS, run(all_at_once()), strict=True):
        ids = run(engine.tokenize(prompt))
        row = next_logprobs(engine.model, ids)
        best = np.sort(row)[::-1][: 2 * LIKELIEST]
        assert np.allclose([one.logprob for one in found.first], best, atol=TOLERANCE)
        assert all(abs(row[one.ids[0]] - one.logprob) < TOLERANCE for one in found.first)
        drawn: list[int] = []
        for token in found.token_ids:
            assert token == int(np.argmax(next_logprobs(engine.model, [*ids, *drawn])))
            drawn.append(token)
        assert found.ended or len(drawn) == 5


def test_the_walk_is_exact_where_the_tree_would_do_too(tiny: Callable[..., LocalEngine]) -> None:
    """Tree and walk give the same numbers."""
    engine = tiny("llama")
    engine.method = "walk"
    check_exact(engine)


def test_a_prompt_beyond_the_sliding_window_is_exact(tiny: Callable[..., LocalEngine]) -> None:
    """If a layer attends only to the last 256 tokens, the engine uses the walk."""
    engine = tiny("gemma2")
    prompt = Prompt("Reports from the night shift almost always have missing pages. " * 40)
    assert len(run(engine.tokenize(prompt))) > 300
    check_exact(engine, [prompt])


@pytest.mark.model
def test_every_option_is_exact_on_the_default_model(default_engine: LocalEngine) -> None:
    """Each option is within 1e-4 nats of teacher forcing."""
    assert default_engine.method == "tree"
    check_exact(default_engine, every=6)


@pytest.mark.model
def test_questions_of_the_studies_are_exact_on_the_default_model(default_engine: LocalEngine) -> None:
    """One whole trial of each study."""
    for name, study in (("study1-exp2", "study1"), ("study2-exp2", "study2")):
        trial = own_list(study).trials[4]
        for question in studies.experiment(name).questions(trial):
            assert question.options is not None
            trie, got = run(scores(default_engine, question.prompt, question.options))
            ids = run(default_engine.tokenize(question.prompt))
            some = range(0, len(trie.leaf), 7)
            expected = [teacher_forced(default_engine.model, ids, trie.path(int(trie.leaf[i]))) for i in some]
            assert np.abs(got.form_logprob[list(some)] - expected).max() < TOLERANCE


def test_a_result_does_not_depend_on_what_was_scored_before(tiny: Callable[..., LocalEngine]) -> None:
    """To the last bit, though beginnings are shared: the cached pieces end where the prompt says."""
    engine = tiny("llama")
    trials = own_list("study1").trials[:6]
    questions = [q for t in trials for q in studies.experiment("study1-exp2").questions(t)]

    def all_scores(order: Sequence[int]) -> dict[int, list[float]]:
        engine.tree = tree.TreeScorer(engine.model)
        found = {}
        for i in order:
            options = questions[i].options
            assert options is not None
            found[i] = run(scores(engine, questions[i].prompt, options))[1].form_logprob.tolist()
        return found

    forwards = all_scores(range(len(questions)))
    shuffled = np.random.default_rng(3).permutation(len(questions))
    assert all_scores([int(i) for i in shuffled]) == forwards


def test_the_shared_beginning_is_computed_once(tiny: Callable[..., LocalEngine]) -> None:
    """Tokens computed stay below one full pass per question."""
    engine = tiny("llama")
    trial = own_list("study1").trials[0]
    engine.tree = tree.TreeScorer(engine.model)
    floor = 0
    for question in studies.experiment("study1-exp2").questions(trial):
        assert question.options is not None
        trie, _ = run(scores(engine, question.prompt, question.options))
        floor += len(run(engine.tokenize(question.prompt))) + trie.n_edges
    assert 0 < engine.tree.tokens_computed < 0.7 * floor


def test_the_chat_template_is_applied_with_one_bos(tiny: Callable[..., LocalEngine]) -> None:
    """And its parts are described, so that a prompt can be shown as it was sent."""
    engine = tiny()
    ids = run(engine.tokenize(Prompt("Hello?")))
    info = run(engine.describe())
    assert ids.count(0) == 1
    assert (info.prompt_prefix, info.prompt_suffix) == ("<s>[user]", "[assistant]")
    assert engine.tokenizer.decode(ids) == "<s>[user]Hello?[assistant]"


def test_two_bos_are_refused(tiny: Callable[..., LocalEngine]) -> None:
    """A template that adds a second BOS would move every number."""
    with pytest.raises(SpecError, match="two BOS"):
        tiny(template="<s>" + "{{ bos_token }}{{ messages[0]['content'] }}")


def test_a_base_model_gets_the_plain_text(tiny: Callable[..., LocalEngine]) -> None:
    """No template, no roles."""
    engine = tiny(template=None)
    assert engine.tokenizer.decode(run(engine.tokenize(Prompt("Hello?")))) == "Hello?"
    assert run(engine.describe()).template_sha256 is None
    check_exact(engine)


def draw(engine: LocalEngine, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> list[str]:
    async def work() -> list[str]:
        drawn = await asyncio.gather(*map(engine.generate, prompts, samplings))
        return [f"{g.finish_reason}:{g.text}" for g in drawn]

    return run(work())


def test_an_answer_depends_on_prompt_and_seed_alone(tiny: Callable[..., LocalEngine]) -> None:
    """Drawn alone, in a batch, or in another batch: the same text."""
    engine = tiny()
    prompts = [Prompt(f"Tell me {'more ' * (i % 5)}about {i % 7}.") for i in range(24)]
    samplings = [Sampling(0.9, 12, seed) for seed in range(24)]
    together = draw(engine, prompts, samplings)
    alone = [draw(engine, [p], [s])[0] for p, s in zip(prompts, samplings, strict=True)]
    backwards = draw(engine, prompts[::-1], samplings[::-1])[::-1]
    assert together == alone == backwards
    assert len(set(together)) > 12


def test_sampling_follows_the_tempered_distribution(tiny: Callable[..., LocalEngine]) -> None:
    """First tokens of 2,000 draws against the softmax at that temperature."""
    import torch

    engine = tiny()
    ids = run(engine.tokenize(PROMPTS[0]))
    with torch.no_grad():
        logits = engine.model(torch.tensor([ids])).logits[0, -1].double()
    expected = torch.softmax(logits / 0.7, dim=0).numpy()

    async def work() -> list[int]:
        drawn = [engine.generate(PROMPTS[0], Sampling(0.7, 1, seed)) for seed in range(2000)]
        # An answer that ends at once has no token: it is the end-of-turn token that was drawn.
        return [g.token_ids[0] if g.token_ids else 1 for g in await asyncio.gather(*drawn)]

    counts = np.bincount(run(work()), minlength=len(expected))
    frequent = expected > 0.01
    error = np.abs(counts / 2000 - expected)[frequent]
    assert frequent.sum() > 3
    assert (error < 5 * np.sqrt(expected[frequent] / 2000)).all()


def test_temperature_zero_takes_the_likeliest(tiny: Callable[..., LocalEngine]) -> None:
    """Whatever the seed."""
    engine = tiny()
    texts = draw(engine, [PROMPTS[0]] * 4, [Sampling(0.0, 6, seed) for seed in range(4)])
    assert len(set(texts)) == 1


def test_a_model_folder_is_loaded_and_named_by_its_contents(tiny_folder: Path) -> None:
    """The revision changes if the weights change."""
    first = run(LocalEngine.load(str(tiny_folder)).describe())
    assert first.model == "tiny"
    assert first.revision.startswith("sha256:")
    weights = tiny_folder / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert run(LocalEngine.load(str(tiny_folder)).describe()).revision != first.revision


def test_a_model_that_cannot_be_had_is_a_clear_error(tmp_path: Path) -> None:
    """The error has name, reason and next step, and no traceback of a library."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        SpecError, match=r"/empty contains no config.json, .* A model's folder contains config"
    ):
        LocalEngine.load(str(tmp_path / "empty"))
    # A process of its own: the hub's client reads this variable when it is imported.
    grace = subprocess.run(
        [sys.executable, "-m", "grace_client", "run", "study1-exp2", "--model", "no-such/model"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert grace.returncode == 2
    assert "grace: no-such/model is not in the local cache" in grace.stderr
    assert "Traceback" not in grace.stderr
