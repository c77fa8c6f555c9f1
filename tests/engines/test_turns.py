"""Prompts of several turns: both engines ask them as the model's own template prints them, or say why not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import processors

from grace_client import studies
from grace_client.core.errors import ItemError, SpecError
from grace_client.core.options import Option, OptionSet, TokenTrie
from grace_client.core.questions import AT_ONCE, Prompt, Sampling, Turn
from grace_client.core.trials import TrialList
from grace_client.engines.base import Engine
from grace_client.engines.chat import prompt_check, turns
from grace_client.engines.chat.dates import with_date
from grace_client.engines.chat.template import DAY
from grace_client.engines.local.engine import LocalEngine
from grace_client.engines.local.tokenizer import Tokens
from grace_client.engines.vllm.engine import VllmEngine
from grace_client.run import runner
from grace_client.run.check import check
from grace_client.run.folder import RunFolder
from grace_client.run.layout import OK
from grace_client.run.plan import Asked, Plan
from tests.engines.conftest import random_model, tokenizer
from tests.engines.reference import teacher_forced
from tests.engines.templates import FAMILIES, Family
from tests.engines.vllm.test_engine import drive
from tests.support import fake_vllm
from tests.support.deterministic import DeterministicEngine
from tests.support.fault_server import FaultServer
from tests.support.served_model import ServedModel

SYSTEM, OFF = ("system", "You are a careful reader."), ("system", "")
EXAMPLES = (("user", "How many dogs?\nAnswer:"), ("assistant", "Two."))
QUESTION = ("user", "Lena has three cats and no dogs. How many cats?\nAnswer: ")
OPTIONS = OptionSet((Option("yes", ("yes", " Yes")), Option("no", ("no", "It was bad"))))


def prompt(*said: tuple[str, str], direct: bool = False) -> Prompt:
    text = "\n\n".join(text for _, text in said if text)
    return Prompt(text, direct, tuple(Turn(role, text) for role, text in said))


@cache
def local(family: Family) -> LocalEngine:
    """A tiny model with a family's template and marks."""
    made = tokenizer(family.template)
    made.add_special_tokens({"additional_special_tokens": list(family.marks)})
    model = random_model("llama")
    model.resize_token_embeddings(len(made))
    return LocalEngine(model, made, name="tiny", revision="random")


@cache
def served(family: Family) -> ServedModel:
    """The same model behind a server."""
    return ServedModel(local(family))


def both(family: Family, use: Callable[[Engine], Awaitable[None]]) -> LocalEngine:
    """Run a test with a tiny model in this process, and with the same model behind a server."""
    return here_and_there(local(family), served(family), use)


def here_and_there(
    engine: LocalEngine, model: ServedModel, use: Callable[[Engine], Awaitable[None]]
) -> LocalEngine:
    asyncio.run(_awaited(use(engine)))
    server = FaultServer()
    server.vllm = model
    drive(lambda connected, _: use(connected), server=server)
    return engine


async def _awaited(work: Awaitable[None]) -> None:
    await work


def printed(family: Family, asked: Prompt, **options: bool) -> str:
    """What the family's template prints by itself, with the day of the run."""
    names = {"bos_token": "<s>", "eos_token": "</s>", **options}
    return fake_vllm.rendered(with_date(family.template, DAY), asked.messages, True, names)


async def refused(engine: Engine, asked: Prompt) -> str:
    """The error with which a prompt is refused."""
    with pytest.raises(ItemError) as caught:
        await engine.tokenize(asked)
    assert caught.value.status == turns.REFUSED
    return str(caught.value)


async def trie_of(engine: Engine) -> TokenTrie:
    forms = [[await engine.tokenize_form(form, []) for form in option.forms] for option in OPTIONS.options]
    return TokenTrie.build(OPTIONS, forms)


@pytest.mark.parametrize("name", FAMILIES)
def test_turns_are_printed_by_the_models_own_template(name: str) -> None:
    """With and without reasoning, with one BOS, to the last token; the answer begins after the ending."""
    family = FAMILIES[name]

    async def use(engine: Engine) -> None:
        info = await engine.describe()
        asked = [prompt(*EXAMPLES, QUESTION), prompt(*EXAMPLES, *EXAMPLES, QUESTION)]
        if family.takes_system:
            asked += [prompt(SYSTEM, QUESTION), prompt(SYSTEM, *EXAMPLES, QUESTION)]
        for one in asked:
            ids = await engine.tokenize(one)
            shown = await engine.decode(ids)
            assert shown == printed(family, one)
            assert ids == await engine.tokenize_form(shown, [])
            assert ids[: ids.count(0)] == [0] * ids.count(0)
            closed = await engine.tokenize(replace(one, direct=True))
            switch = {"enable_thinking": False, "thinking": False}
            wanted = printed(family, one, **switch)
            lead = (info.direct_suffix or info.prompt_suffix).removeprefix(info.prompt_suffix)
            assert await engine.decode(closed) == wanted.removesuffix(lead) + lead

    engine = both(family, use)
    assert engine.tokens.preamble == turns.preamble(engine.tokens.shape.prefix) == family.preamble


@pytest.mark.parametrize("name", FAMILIES)
def test_both_engines_give_the_same_numbers(name: str) -> None:
    """After any turns, and those of teacher forcing."""
    family = FAMILIES[name]
    draw = random.Random(name)
    words = [
        "Lena",
        "Tomas",
        "honey",
        "two",
        "how",
        "many",
        "",
        "yes\n",
        "naïve",
        "🙂",
        "<b>",
        "{x}",
        "Answer:",
    ]
    asked = []
    for _ in range(6):
        said = [("system", " ".join(draw.choices(words, k=5)) + " Mind.")] * family.takes_system
        for _ in range(draw.randint(0, 2)):
            said += [
                ("user", f"Well: {' '.join(draw.choices(words, k=6))}?"),
                ("assistant", draw.choice(words)),
            ]
        asked.append(prompt(*said, ("user", f"And {' '.join(draw.choices(words, k=9))}"), direct=True))
    found: list[list[NDArray[np.float64]]] = []
    ids: list[list[list[int]]] = []

    async def use(engine: Engine) -> None:
        trie = await trie_of(engine)
        ids.append([await engine.tokenize(one) for one in asked])
        found.append([(await engine.edge_logprobs(one, trie)).edges for one in ids[-1]])

    engine = both(family, use)
    assert ids[0] == ids[1]
    assert np.abs(np.array(found[0]) - np.array(found[1])).max() < 1e-4
    trie = asyncio.run(trie_of(engine))
    for one, edges in zip(ids[0], found[0], strict=True):
        first = trie.path(int(trie.leaf[0]))[:1]
        assert abs(edges[0] - teacher_forced(engine.model, one, first)) < 1e-4


@pytest.mark.parametrize("name", FAMILIES)
def test_a_default_system_text_is_switched_off_or_refused(name: str) -> None:
    """An empty system turn leaves nothing of it. A template that always prints it is refused."""
    family = FAMILIES[name]

    async def use(engine: Engine) -> None:
        for said in ((QUESTION,), (*EXAMPLES, QUESTION)):
            asked = prompt(OFF, *said)
            if not family.switches_off:
                message = await refused(engine, asked)
                assert family.preamble.splitlines()[0] in message
                assert "Leave 'system: null' out of the study file" in message
                continue
            shown = await engine.decode(await engine.tokenize(asked))
            # A template without a text of its own prints what it prints without a system turn.
            assert shown == printed(family, asked if family.preamble else prompt(*said))
            assert not family.preamble or family.preamble not in shown
            assert turns.preamble(shown.partition(said[0][1].rstrip())[0]) == ""

    both(family, use)


def test_without_a_word_on_the_system_text_it_stays() -> None:
    """A study that says nothing of it gets what the template prints, in one turn and in several."""
    family = FAMILIES["qwen2.5"]

    async def use(engine: Engine) -> None:
        for asked in (Prompt(QUESTION[1]), prompt(*EXAMPLES, QUESTION)):
            assert family.preamble in await engine.decode(await engine.tokenize(asked))

    both(family, use)


@pytest.mark.parametrize(
    ("name", "said", "words"),
    [
        (
            "gemma-2",
            (SYSTEM, QUESTION),
            (
                "does not take a system turn",
                "System role not supported",
                "beginning of the first turn of the user",
            ),
        ),
        (
            "mistral",
            (SYSTEM, *EXAMPLES, QUESTION),
            ("does not print a system turn at its place", "beginning of the first turn of the user"),
        ),
        (
            "gemma-2",
            (QUESTION, QUESTION),
            (
                "does not take the turns user, user",
                "must alternate",
                "join neighbouring turns of the same role",
            ),
        ),
        (
            "mistral",
            (EXAMPLES[1], QUESTION),
            ("does not take the turns assistant, user", "begin with a turn of the user"),
        ),
    ],
)
def test_turns_that_a_template_refuses_are_refused_with_a_way_out(
    name: str, said: tuple[tuple[str, str], ...], words: tuple[str, ...]
) -> None:
    """The error says what the template does not take, why, and what the study can do instead."""

    async def use(engine: Engine) -> None:
        message = await refused(engine, prompt(*said))
        for word in words:
            assert word in message
        assert "\n" not in message

    both(FAMILIES[name], use)


LOSING = {
    "{{ m['content'] if not loop.first or messages[1:] == [] else '' }}": "does not print turn 1",
    "{{ m['content'] }}{{ m['content'] if m['role'] == 'assistant' else '' }}": "prints turn 2",
}


@pytest.mark.parametrize("content", LOSING)
def test_turns_that_a_template_changes_are_refused(content: str) -> None:
    """A turn that is left out or printed twice, though single questions are printed as they are."""
    template = (
        "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]"
        + content
        + "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
    )

    async def use(engine: Engine) -> None:
        message = await refused(engine, prompt(*EXAMPLES, QUESTION))
        assert LOSING[content] in message
        assert "In the study file, write the whole conversation into one 'prompt'" in message

    both(Family(template, marks=()), use)


def test_an_ending_that_depends_on_the_turns_is_refused() -> None:
    """Otherwise an answer that begins at once would begin within reasoning."""
    template = (
        "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
        "[assistant]{% if messages | length > 1 %}<think>{% endif %}"
    )

    async def use(engine: Engine) -> None:
        message = await refused(engine, prompt(*EXAMPLES, QUESTION))
        assert "ends the turns user, assistant, user with '[assistant]<think>'" in message

    both(Family(template, marks=("<think>", "</think>")), use)


def test_a_base_model_gets_the_texts() -> None:
    """In order, with empty lines between, and with one BOS or none, as the tokenizer does it."""
    engine = LocalEngine(random_model("llama"), tokenizer(None), name="tiny", revision="random")
    asked = prompt(OFF, *EXAMPLES, QUESTION)
    shown = engine.tokens.shown(engine.tokens.prompt_ids(asked))
    assert shown == "How many dogs?\nAnswer:\n\nTwo.\n\n" + QUESTION[1]
    assert prompt_check.misprint([turn.text for turn in asked.turns], shown) == ""


def test_answers_are_drawn_after_turns_up_to_a_stop_text() -> None:
    """After the tokens of `tokenize`. The sentence against reasoning is before the question."""

    async def use(engine: Engine) -> None:
        asked = prompt(SYSTEM, *EXAMPLES, QUESTION).before(f"{AT_ONCE}\n\n")
        ids = await engine.tokenize(asked)
        assert f"user\n{AT_ONCE}\n\n{QUESTION[1]}" in await engine.decode(ids)
        free = await engine.generate(asked, Sampling(0.9, 24, 5))
        assert free.prompt_ids == tuple(ids)
        assert free.text
        stop = free.text[2:4]
        drawn = await engine.generate(asked, Sampling(0.9, 24, 5, (stop,)))
        assert (drawn.text, drawn.finish_reason) == (free.text[: free.text.find(stop)], "stop")
        assert drawn.prompt_ids == tuple(ids)

    both(FAMILIES["qwen2.5"], use)


def test_a_prompt_without_its_system_text_is_drawn_from_too() -> None:
    """The chat endpoint gets the messages that the prompt's tokens are made of."""

    async def use(engine: Engine) -> None:
        for name_off in (prompt(OFF, QUESTION), prompt(OFF, *EXAMPLES, QUESTION)):
            drawn = await engine.generate(name_off, Sampling(0.0, 4, 0))
            assert drawn.prompt_ids == tuple(await engine.tokenize(name_off))

    for name in ("qwen2.5", "gemma-2"):
        both(FAMILIES[name], use)


def test_turns_are_found_one_after_another() -> None:
    """Repeated texts are counted as often as the turns have them; the question once more is an error."""
    shown = "<s>[u]How many dogs are there here?[a]Two[u]How many dogs are there here?[a]"
    told = ["How many dogs are there here?", "Two", "How many dogs are there here?"]
    assert prompt_check.misprint(told, shown) == ""
    assert (
        prompt_check.misprint([told[0], "Three", told[2]], shown) == "do not contain turn 2 of 3 at its place"
    )
    assert prompt_check.misprint([*told, told[0]], shown) == "do not contain turn 4 of 4 at its place"
    assert prompt_check.misprint(["Two", told[2]], shown) == "contain the question 2 times instead of 1"
    assert prompt_check.misprint([told[0], told[0]], shown.replace("Two", told[0])) == (
        "contain the question 3 times instead of 2"
    )
    # A question as short as "u?" is in the marks too.
    assert prompt_check.misprint(["", "dogs", "u"], "[u]dogs[u]u") == ""


STUDY = """
grace: 1
study: pets
title: Pets
trials:
  columns: {Text: }
experiments:
  told:
    ask:
      - name: count
        messages:
          - {system: "You are a careful reader."}
          - {user: "How many pets has Ann?"}
          - {assistant: "Two."}
          - {user: "{{ Text }} How many pets has Lena?\\nAnswer:"}
        options: [one, two]
"""


def trials_of(path: Path) -> TrialList:
    """The trial list of `run_of`."""
    return studies.read_trials(path / "pets.csv", studies.experiment(f"{path}/pets.yaml").study)


def run_of(path: Path, engine: Engine, study: str = STUDY) -> RunFolder:
    """A run of a study of conversations, asked."""
    (path / "pets.yaml").write_text(study)
    (path / "pets.csv").write_text("Text\nLena has a cat.\nLena has a cat and a dog. Skip this.\n")
    experiment = studies.experiment(f"{path}/pets.yaml")

    async def work() -> None:
        folder = RunFolder.create(path / "run", experiment, trials_of(path), await engine.describe())
        await runner.run(folder, engine)

    asyncio.run(work())
    return RunFolder.open(path / "run")


def test_a_run_of_conversations_keeps_what_was_sent(tmp_path: Path) -> None:
    """Every answer has the decoded prompt with all turns."""
    engine = local(FAMILIES["qwen2.5"])
    folder = run_of(tmp_path, engine)
    for item in folder.plan.distinct:
        answer = folder.ledger.get(item.key)
        assert answer is not None and answer["status"] == OK
        assert answer["prompt"] == printed(FAMILIES["qwen2.5"], item.question.prompt)


def test_a_run_that_a_template_refuses_asks_nothing(tmp_path: Path) -> None:
    """One error before the first question, not one for each."""
    with pytest.raises(SpecError, match="does not take a system turn"):
        run_of(tmp_path, local(FAMILIES["gemma-2"]))
    assert not RunFolder.open(tmp_path / "run").ledger.contents.final


def test_a_turn_that_is_lost_on_its_way_has_no_answer(tmp_path: Path) -> None:
    """If a template changes one conversation, that one fails, and the others do not."""
    picky = FAMILIES["qwen2.5"].template.replace("m['content']", "m['content'] | replace('Skip this.', '')")
    folder = run_of(tmp_path, local(replace(FAMILIES["qwen2.5"], template=picky)))
    answers = [folder.ledger.get(item.key) or {} for item in folder.plan.distinct]
    assert [answer["status"] for answer in answers] == [OK, "prompt_lost"]
    assert "do not contain turn 4 of 4 at its place" in answers[1]["reason"]


def test_roles_are_part_of_a_questions_key(tmp_path: Path) -> None:
    """Prompts of the same text and other roles are other questions; one turn has the key it always had."""
    folder = run_of(tmp_path, DeterministicEngine())
    text = "A.\n\nB."
    prompts = [
        Prompt(text),
        *(prompt(*said) for said in (
            (("user", "A."), ("user", "B.")),
            (("system", "A."), ("user", "B.")),
            (("system", ""), ("user", text)),
        )),
    ]  # fmt: skip
    keys = set()
    for one in prompts:
        assert one.text == text
        first = folder.plan.items[0].question
        asked = (Asked(folder.plan.trials[0], {}, (replace(first, prompt=one),)),)
        keys.add(Plan(folder.experiment, asked, folder.manifest.spec).items[0].key)
    assert len(keys) == len(prompts)


def test_tokens_need_no_weights(tmp_path: Path) -> None:
    """They are those of the engine; a missing model is the same error."""
    random_model("llama").save_pretrained(tmp_path / "tiny")
    tokenizer(FAMILIES["qwen2.5"].template).save_pretrained(tmp_path / "tiny")
    engine = LocalEngine.load(str(tmp_path / "tiny"))
    (tmp_path / "tiny" / "model.safetensors").unlink()
    tokens = Tokens.of(str(tmp_path / "tiny"))
    for asked in (Prompt("Hm?"), prompt(SYSTEM, *EXAMPLES, QUESTION, direct=True)):
        ids = tokens.prompt_ids(asked)
        assert ids == engine.tokens.prompt_ids(asked)
        assert tokens.shown(ids) == engine.tokens.shown(ids)
    assert tokens.form_ids("It was bad", ids) == engine.tokens.form_ids("It was bad", ids)
    assert tokens.max_context == asyncio.run(engine.describe()).max_context == 2048
    assert tokens.preamble == FAMILIES["qwen2.5"].preamble
    with pytest.raises(SpecError, match=r"contains no config\.json"):
        Tokens.of(str(tmp_path))


def test_a_check_shows_what_a_run_would_send(tmp_path: Path) -> None:
    """Without weights: the same prompt, the default system text, and the same refusal."""
    folder = run_of(tmp_path, local(FAMILIES["qwen3"]))
    tokens = local(FAMILIES["qwen3"]).tokens
    found = check(folder.experiment, trials_of(tmp_path), tokens)
    answer = folder.ledger.get(folder.plan.items[0].key) or {}
    assert found.sent == answer["prompt"]
    assert found.sent is not None and found.sent.endswith("</think>\n\n")
    assert found.notes == ()
    with pytest.raises(ItemError, match="does not take a system turn"):
        check(folder.experiment, trials_of(tmp_path), local(FAMILIES["gemma-2"]).tokens)
    (tmp_path / "silent").mkdir()
    silent = STUDY.replace('          - {system: "You are a careful reader."}\n', "")
    folder = run_of(tmp_path / "silent", local(FAMILIES["qwen2.5"]), silent)
    (note,) = check(
        folder.experiment, trials_of(tmp_path / "silent"), local(FAMILIES["qwen2.5"]).tokens
    ).notes
    assert FAMILIES["qwen2.5"].preamble in note


@pytest.mark.model
def test_the_default_model_takes_turns(default_engine: LocalEngine) -> None:
    """Its default system text can be asked for, replaced and switched off."""
    tokens = Tokens.of()
    assert tokens.preamble == "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    for asked in (prompt(*EXAMPLES, QUESTION), prompt(SYSTEM, *EXAMPLES, QUESTION), prompt(OFF, QUESTION)):
        ids = asyncio.run(default_engine.tokenize(asked))
        assert ids == tokens.prompt_ids(asked)
        shown = tokens.shown(ids)
        said = [turn.text for turn in asked.turns]
        assert prompt_check.misprint(said, shown) == ""
        assert (tokens.preamble in shown) == (asked.turns[0].role != "system")


def test_a_server_examines_turns_once(tmp_path: Path) -> None:
    """Prompts of the same roles cost one request each, and those of one turn no more than before."""

    async def use(engine: VllmEngine, server: FaultServer) -> None:
        before = server.requests["/tokenize"]
        await engine.tokenize(Prompt("Hm?"))
        assert server.requests["/tokenize"] == before + 1
        await engine.tokenize(prompt(SYSTEM, *EXAMPLES, QUESTION))
        examined = server.requests["/tokenize"]
        for number in range(5):
            await engine.tokenize(prompt(SYSTEM, *EXAMPLES, ("user", f"And {number}?")))
        assert server.requests["/tokenize"] == examined + 5

    drive(use)


@pytest.mark.parametrize("name", ["gemma-2", "qwen3", "llama-3"])
def test_plain_text_has_no_template(name: str) -> None:
    """Both engines send the text alone, that of several turns too, and give it the same numbers."""
    asked = [
        replace(Prompt("Is it so?"), plain=True),
        replace(prompt(SYSTEM, QUESTION, direct=True), plain=True),
    ]
    seen: list[tuple[list[list[int]], list[NDArray[np.float64]]]] = []

    async def use(engine: Engine) -> None:
        ids, trie = [await engine.tokenize(one) for one in asked], await trie_of(engine)
        seen.append((ids, [(await engine.edge_logprobs(one, trie)).edges for one in ids]))

    begins = tokenizer(FAMILIES[name].template)
    begins.add_special_tokens({"additional_special_tokens": list(FAMILIES[name].marks)})
    # Like most models' own: a plain text gets one BOS.
    begins.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    model = random_model("llama")
    model.resize_token_embeddings(len(begins))
    engine = LocalEngine(model, begins, name="tiny", revision="random")
    here_and_there(engine, ServedModel(engine), use)
    (ids, numbers), (served_ids, served_numbers) = seen
    assert ids == served_ids == [list(engine.tokenizer.encode(one.text)) for one in asked]
    np.testing.assert_allclose(numbers, served_numbers, atol=1e-4)
