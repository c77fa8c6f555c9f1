"""Tokenizers in the manner of well-known families, trained on a few sentences."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from grace_client.engines.chat.prompt_check import PROBES

SIZE = 600
TEXT = [
    "How many of the 3 letters do you think have checks inside? Answer with a percentage. 0% 10% 50% 100%",
    "Was it good, bad or terrible? It was bad. It was terrible. It wasn’t amazing.",
    "yes no Yes No\nyes\nno\n10%\n100%\nAnswer: yes\nAnswer: no\nAnswer:",
    "How likely is it to rain tomorrow? yes, no. Zephyr zebras 1234567890. <|user|> <|assistant|>",
    *PROBES,
    string.printable,
]
SPACE = "▁"
MARKS = ("<s>", "</s>", "[INST]", "[/INST]")

ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '</s>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
BEGUN = "{{ bos_token }}" + ZEPHYR
MARKED = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ '[INST] ' + m['content'] + '[/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + '</s>' }}{% endif %}{% endfor %}"
)


@dataclass(frozen=True, slots=True)
class Family:
    """A tokenizer and its chat template.

    Attributes
    ----------
    make : callable
        Makes the tokenizer, without special tokens before a text.
    template : str or None
        The chat template.
    spaced : bool
        Whether it puts a space before a text.
    begins : bool
        Whether it puts BOS before a text.
    bos : bool
        Whether it has BOS.
    """

    make: Callable[[], Tokenizer]
    template: str | None = ZEPHYR
    spaced: bool = False
    begins: bool = False
    bos: bool = True

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer, as transformers has it."""
        backend = Tokenizer.from_str(_trained(self.make))
        if self.begins:
            backend.post_processor = processors.TemplateProcessing(
                single="<s> $A", special_tokens=[("<s>", backend.token_to_id("<s>"))]
            )
        made = PreTrainedTokenizerFast(
            tokenizer_object=backend,
            bos_token="<s>" if self.bos else None,
            eos_token="</s>",
            pad_token="</s>",
            additional_special_tokens=list(MARKS[2:]),
        )
        made.chat_template = self.template
        return made


@cache
def _trained(make: Callable[[], Tokenizer]) -> str:
    backend = make()
    special = list(MARKS)
    if isinstance(backend.model, models.Unigram):
        trainer: trainers.Trainer = trainers.UnigramTrainer(
            vocab_size=400, special_tokens=[*special, "<unk>"], unk_token="<unk>", show_progress=False
        )
    else:
        byte_level = isinstance(backend.decoder, decoders.ByteLevel)
        fallback = [] if byte_level else [f"<0x{i:02X}>" for i in range(256)]
        trainer = trainers.BpeTrainer(
            vocab_size=SIZE,
            special_tokens=special + fallback,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if byte_level else [],
            show_progress=False,
        )
    text = [line for whole in TEXT for line in (whole, *whole.split("\n"))] * 4
    backend.train_from_iterator(text, trainer)
    return str(backend.to_str())


def _bytes(spaced: bool, *before: pre_tokenizers.PreTokenizer) -> Tokenizer:
    backend = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    backend.pre_tokenizer = pre_tokenizers.Sequence([*before, level]) if before else level
    backend.decoder = decoders.ByteLevel()
    return backend


def _legacy() -> Tokenizer:
    """As Llama-2 and Zephyr have it: no pieces, a space before each piece of text, bytes for what is rare."""
    backend = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token=None))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    backend.pre_tokenizer = pre_tokenizers.Split(
        Regex(r"(?<=\S)(?=▁)|(?=\d)|(?<=\d)|(?=\n)|(?<=\n)"), "isolated"
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return backend


def _metaspace(scheme: str, model: models.Model) -> Tokenizer:
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme=scheme)
    backend.decoder = decoders.Metaspace(SPACE, prepend_scheme=scheme)
    return backend


def _always() -> Tokenizer:
    return _metaspace("always", models.BPE(byte_fallback=True))


def _first() -> Tokenizer:
    return _metaspace("first", models.Unigram())


def _lines_lost() -> Tokenizer:
    backend = _metaspace("always", models.Unigram())
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    return backend


def _digits() -> Tokenizer:
    return _bytes(False, pre_tokenizers.Digits(individual_digits=True))


def _merged() -> Tokenizer:
    return _bytes(False)


def _spaced() -> Tokenizer:
    return _bytes(True)


FAMILIES = {
    "bytes, digits merged": Family(_merged, template=BEGUN),
    "bytes, digits split": Family(_digits, template=BEGUN),
    "bytes, no BOS": Family(_digits, bos=False),
    "bytes, space": Family(_spaced, template=BEGUN, spaced=True),
    "sentencepiece": Family(_legacy, template=BEGUN, spaced=True),
    "sentencepiece, BOS twice": Family(_legacy, template=BEGUN, spaced=True, begins=True),
    "sentencepiece, no template": Family(_legacy, template=None, spaced=True, begins=True),
    "sentencepiece, marks": Family(_always, template=MARKED, spaced=True),
    "unigram": Family(_first, template=BEGUN, spaced=True),
    "unigram, lines lost": Family(_lines_lost, template=BEGUN, spaced=True),
}
"""Families by what is special about them."""
