"""Forms are scored with the tokens that a model writes behind the prompt, whatever its tokenizer."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from tokenizers import processors
from transformers import LlamaConfig, LlamaForCausalLM

from grace_client.core.errors import ItemError, SpecError
from grace_client.core.options import Option, OptionSet, TokenTrie, spoken
from grace_client.core.questions import Prompt, Sampling
from grace_client.core.scoring import score
from grace_client.engines.base import Engine
from grace_client.engines.local.engine import LocalEngine
from grace_client.engines.vllm.engine import VllmEngine
from grace_client.run.answering import Asker
from tests.engines.reference import teacher_forced
from tests.engines.test_turns import here_and_there
from tests.engines.tokenizer_families import FAMILIES, SIZE
from tests.engines.vllm.test_engine import drive
from tests.support.fault_server import FaultServer
from tests.support.served_model import ServedModel

SAID = {
    "Is it good?\nAnswer:": "yes",
    "How likely is it?\nAnswer:": "10%",
    "What do you think?\nAnswer:": "It was bad",
}
"""Questions, and the answers that the models learn."""

OPTIONS = OptionSet(
    tuple(
        Option(text, spoken(text)) for text in ("yes", "no", "10%", "100%", "It was bad", "It wasn’t good")
    ),
    end_of_turn=True,
)
PLAIN = OptionSet((Option("yes", ("yes", " yes")), Option("no", ("no", " no", "No."))))


@cache
def taught(name: str) -> LocalEngine:
    """A tiny model that has learned the answers, from conversations as its tokenizer writes them."""
    family = FAMILIES[name]
    tokenizer = family.tokenizer()
    torch.manual_seed(3)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=SIZE,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            bos_token_id=0,
            eos_token_id=1,
        )
    )
    said = []
    for question, answer in SAID.items():
        ids = torch.tensor([conversation(tokenizer, question, answer)])
        labels = ids.clone()
        asked = (
            tokenizer.encode(question)
            if tokenizer.chat_template is None
            else conversation(tokenizer, question, "")[:-1]
        )
        labels[0, : len(asked)] = -100
        said.append((ids, labels))
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        loss: Any = torch.stack([model(input_ids=ids, labels=labels).loss for ids, labels in said]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return LocalEngine(model.eval(), tokenizer, name=name, revision="taught")


def asked(tokenizer: Any, question: str) -> int:
    """Number of tokens of a question."""
    if tokenizer.chat_template is None:
        return len(tokenizer.encode(question))
    return len(conversation(tokenizer, question, "")) - 1


def conversation(tokenizer: Any, question: str, answer: str) -> list[int]:
    """Token ids of question and answer as one text."""
    if tokenizer.chat_template is None:
        return [*tokenizer.encode(f"{question} {answer}"), tokenizer.eos_token_id]
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
    )
    return list(tokenizer.encode(f"{asked}{answer}</s>", add_special_tokens=False))


async def trie_of(engine: Engine, options: OptionSet, ids: list[int]) -> TokenTrie:
    end = [(await engine.describe()).end_of_turn] if options.end_of_turn else []
    forms = [[await engine.tokenize_form(form, ids) + end for form in one.forms] for one in options.options]
    return TokenTrie.build(options, forms)


@pytest.mark.parametrize("name", FAMILIES)
def test_forms_are_scored_as_the_model_writes_them(name: str) -> None:
    """What a model has learned to write is one of the forms, token by token, and has nearly all the mass."""
    family, engine = FAMILIES[name], taught(name)

    async def use(asked: Engine) -> None:
        asker = Asker(asked, await asked.describe())
        for question, answer in SAID.items():
            prompt = Prompt(question)
            ids, trie, scores, _ = await asker.scores(prompt, OPTIONS)
            assert ids == conversation(family.tokenizer(), question, answer)[: len(ids)]
            assert ids.count(0) == ids[:1].count(0) == family.bos
            drawn = await engine.generate(prompt, Sampling(0.0, 12, 0))
            assert drawn.text.strip() == answer
            assert (*drawn.token_ids, engine.tokens.end_of_turn) in trie.form_ids
            assert scores.raw[OPTIONS.names.index(answer)] > 0.9

    here_and_there(engine, ServedModel(engine), use)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_form_reads_back_and_is_exact(name: str) -> None:
    """Decoded behind the prompt, the tokens are the form, and their log-probabilities are exact."""
    engine = taught(name)

    async def use(asked: Engine) -> None:
        for prompt in (Prompt("Is it good?\nAnswer:"), Prompt("Is it good?\nAnswer:", plain=True)):
            ids = await asked.tokenize(prompt)
            before = await asked.decode(ids)
            for options in (OPTIONS, PLAIN):
                trie = await trie_of(asked, options, ids)
                scores = score(trie, (await asked.edge_logprobs(ids, trie)).edges)
                for form, path, logprob in zip(trie.forms, trie.form_ids, scores.form_logprob, strict=True):
                    own = path[:-1] if options.end_of_turn else path
                    assert await asked.decode([*ids, *own]) == before + form
                    assert abs(teacher_forced(engine.model, ids, path) - logprob) < 1e-4

    here_and_there(engine, ServedModel(engine), use)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_tokenizer_without_a_space_of_its_own_is_taken_as_it_is(name: str) -> None:
    """Its tokens and keys stay as they were. Other tokenizers are on record, so that no run mixes both."""
    family, engine = FAMILIES[name], taught(name)

    async def use(asked: Engine) -> None:
        ids = await asked.tokenize(Prompt("Is it good?"))
        assert ("forms" in (await asked.describe()).versions) == family.spaced
        for form in () if family.spaced else ("yes", " yes", "10%", "\n\nIt was bad", "  no", "🙂"):
            apart = family.tokenizer().encode(form, add_special_tokens=False)
            assert await asked.tokenize_form(form, ids) == apart

    here_and_there(engine, ServedModel(engine), use)


def test_requests_for_forms_are_few() -> None:
    """One for each form of an ordinary tokenizer; none for a form that was asked before at the same place."""
    counted = {}
    for name in ("bytes, digits split", "sentencepiece"):
        server = FaultServer()
        server.vllm = ServedModel(taught(name))

        async def use(engine: VllmEngine, running: FaultServer) -> list[int]:
            first, second = [await engine.tokenize(Prompt(text)) for text in ("Is it good?", "Is it bad?")]
            before = running.requests.total()
            await engine.tokenize_form("yes", first)
            between = running.requests.total()
            await engine.tokenize_form("yes", second)
            return [between - before, running.requests.total() - between]

        counted[name] = drive(use, server=server)
    assert counted["bytes, digits split"] == [1, 0]
    assert counted["sentencepiece"][0] <= 8
    assert counted["sentencepiece"][1] == 0


def test_a_form_that_cannot_be_written_is_refused() -> None:
    """With the text that its tokens would be, before a question is asked."""
    engine = taught("unigram, lines lost")
    options = OptionSet((Option("yes", ("yes",)), Option("line", ("\nyes",))))

    async def use(asked: Engine) -> None:
        asker = Asker(asked, await asked.describe())
        with pytest.raises(SpecError) as caught:
            await asker.scores(Prompt("Is it good?"), options)
        assert "cannot score '\\nyes' with unigram, lines lost" in str(caught.value)
        assert "reads back as ' yes'" in str(caught.value)

    here_and_there(engine, ServedModel(engine), use)


def test_a_prompt_that_the_tokenizer_ends_is_refused() -> None:
    """After the token that ends a text, the model answers something else."""
    plain, tokenizer = Prompt("Is it good?\nAnswer:", plain=True), FAMILIES["sentencepiece"].tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    engine = LocalEngine(taught("sentencepiece").model, tokenizer, name="ended", revision="taught")

    async def use(asked: Engine) -> None:
        assert (await asked.tokenize(Prompt("Is it good?")))[-1] != 1
        with pytest.raises(ItemError, match="add_eos_token"):
            await asked.tokenize(plain)

    here_and_there(engine, ServedModel(engine), use)
    tokenizer.chat_template = None
    with pytest.raises(SpecError, match=r"ended cannot be used.*add_eos_token"):
        LocalEngine(taught("sentencepiece").model, tokenizer, name="ended", revision="taught")
