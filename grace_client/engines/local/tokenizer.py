"""From a prompt to token ids: tokenizer and chat template of a model, without its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from grace_client.core.errors import ItemError, SpecError
from grace_client.core.questions import Prompt
from grace_client.engines import forms
from grace_client.engines.chat import prompt_check, turns
from grace_client.engines.chat.dates import with_date
from grace_client.engines.chat.reasoning import CLOSE, OPEN
from grace_client.engines.chat.template import DEFAULT_SETTINGS, MARKER, SWITCH, TemplateSettings, shape_of
from grace_client.engines.chat.turns import Conversation, Messages, Refusal
from grace_client.engines.local import checkpoint
from grace_client.engines.local.model_check import check_vocabulary

REMEDY = (
    "Correct chat_template.jinja or tokenizer_config.json in a copy of the model's folder, so that the "
    "template prints a user's turn unchanged, and name that folder with --model"
)
"""The next step if a template or a tokenizer changes questions."""

OTHER_TEMPLATE = (
    "Write it as chat_template.jinja in a copy of the model's folder, and name that folder with --model"
)
"""How to give a model another template."""


class Tokens:
    """Tokenizer and chat template of a model, as a run uses them.

    Make one with `Tokens.of`: it needs no weights.

    Parameters
    ----------
    tokenizer, config
        As transformers loads them.
    name : str
        Name of the model, for errors.
    settings : TemplateSettings
        Settings for the chat template.
    rows : int
        Number of tokens that the model has an embedding for.

    Attributes
    ----------
    shape : Shape
        The text around a prompt of one turn.
    max_context : int
        Longest sequence the model takes, in tokens.
    end_of_turn : int
        Token id with which the model ends its turn.
    dated : bool
        Whether the template prints the date.
    checked_ids : list of int
        Token ids of a test question.

    Raises
    ------
    SpecError
        If tokenizer or chat template change the questions, or do not fit the settings.
    """

    def __init__(
        self,
        tokenizer: Any,
        config: Any,
        *,
        name: str,
        settings: TemplateSettings = DEFAULT_SETTINGS,
        rows: int,
    ) -> None:
        self.tokenizer = tokenizer
        self.name = name
        self.settings = settings
        self._rows = rows
        self._conversations: dict[tuple[bool, tuple[str, ...]], Conversation] = {}
        check_vocabulary(tokenizer, rows, name)
        self._anchors = self._read_anchors()
        self.end_of_turn = int(tokenizer.eos_token_id)
        limit = getattr(config.get_text_config(), "max_position_embeddings", None)
        self.max_context = int(limit or 2**31 - 1)
        self._template, self.dated = self._with_date()
        self._check_template()
        self.shape = shape_of(
            settings,
            self._rendered(settings.options),
            self._rendered(settings.options | SWITCH),
            takes_effort=self._rendered({"reasoning_effort": "low"})
            != self._rendered({"reasoning_effort": "high"}),
            knows_tags=all(len(self._encoded(tag)) == 1 for tag in (OPEN, CLOSE)),
            name=name,
        )
        self.checked_ids = self._check_prompts()

    @classmethod
    def of(
        cls,
        model: str | None = None,
        *,
        settings: TemplateSettings = DEFAULT_SETTINGS,
        say: Callable[[str], None] = lambda _: None,
    ) -> Tokens:
        """The tokens of a model, from its configuration and tokenizer.

        Parameters
        ----------
        model : str, optional
            A Hugging Face id such as ``"google/gemma-2-2b-it"``, or a folder. Default: the embedded model.
        settings : TemplateSettings
            Settings for the chat template.
        say : callable
            Called with each line of progress.

        Raises
        ------
        SpecError
            If they cannot be loaded or used. The message says what to do.
        """
        source, name = checkpoint.source_of(model, say)
        config, tokenizer = checkpoint.load_tokenizer(source, name)
        rows = getattr(config.get_text_config(), "vocab_size", None) or len(tokenizer)
        return cls(tokenizer, config, name=name, settings=settings, rows=rows)

    @property
    def preamble(self) -> str:
        """The chat template's own text before the first turn; see `turns.preamble`."""
        return turns.preamble(self.shape.prefix)

    @property
    def template_sha256(self) -> str | None:
        """Hash of the chat template; None for a base model."""
        template = self.tokenizer.chat_template
        return _sha256(str(template)) if template else None

    @property
    def tokenizer_sha256(self) -> str:
        """Hash of the tokenizer."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        return _sha256(
            backend.to_str() if backend else json.dumps(self.tokenizer.get_vocab(), sort_keys=True)
        )

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt, chat template and BOS included.

        Raises
        ------
        ItemError
            If the model cannot get this prompt. With the status `turns.REFUSED` if that is because of its
            turns: then the message says what the study can do instead.
        """
        try:
            ids = self._ids(prompt, self.shape.options_of(direct=prompt.direct))
        except ItemError:
            raise
        except Exception as error:  # a template may raise any error
            raise ItemError(
                "engine_fault",
                f"the chat template fails on this prompt ({type(error).__name__}: {error})",
            ) from None
        bos = self.tokenizer.bos_token_id
        if bos is not None and ids[:2] == [bos, bos]:
            raise ItemError("engine_fault", "the prompt starts with two BOS tokens")
        if ids[-1:] == [self.end_of_turn] and (self._template is None or prompt.plain):
            raise ItemError("engine_fault", forms.ENDED)
        if max(ids) >= self._rows:
            raise ItemError(
                "engine_fault",
                f"the prompt contains {self.shown([max(ids)])!r}, which the tokenizer knows and the model "
                "does not",
            )
        if prompt.direct and self.shape.lead and not prompt.plain:
            return ids + self.form_ids(self.shape.lead, ids)
        return ids

    def form_ids(self, text: str, prompt_ids: Sequence[int]) -> list[int]:
        """Token ids with which the model writes a text behind a prompt; see `Engine.tokenize_form`."""
        apart = self._encoded(text)
        if not self._anchors:
            return apart
        anchored = [(ids, self._encoded(anchor + text)) for anchor, ids in self._anchors.items()]
        found = forms.candidates(apart, anchored)
        wholes = [self.shown([*prompt_ids, *ids]) for ids in found]
        return forms.chosen(text, found, self.shown(prompt_ids), wholes, self.name)

    @property
    def described(self) -> dict[str, str]:
        """Entries of `EngineInfo.versions` about tokenizer and template."""
        return (forms.DESCRIBED if self._anchors else {}) | self.settings.versions(dated=self.dated)

    def shown(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens written out."""
        # A cleaned-up text would not be the text of these ids.
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def _encoded(self, text: str) -> list[int]:
        """Token ids of a text apart from any other, without special tokens."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _read_anchors(self) -> dict[str, list[int]]:
        """The anchors and their ids; empty if the tokenizer puts no space before a text."""
        before = self._encoded(forms.BEFORE)
        whole = self.shown(before + self._encoded(forms.WORD))
        if forms.reads_back(forms.WORD, self.shown(before), whole):
            return {}
        return {anchor: self._encoded(anchor) for anchor in forms.ANCHORS}

    def _conversation(self, prompt: Prompt) -> Conversation:
        """How the template prints prompts with these roles; ItemError if it does not."""
        key = (prompt.direct, turns.structure(prompt))
        if key not in self._conversations:
            probed, options = turns.probe(prompt), self.shape.options_of(direct=prompt.direct)
            rendered = [self._tried(messages, options) for messages in turns.to_render(probed)]
            ending = self.shape.ending(direct=prompt.direct)
            self._conversations[key] = turns.examined(probed, rendered, ending, self.name, OTHER_TEMPLATE)
        return self._conversations[key]

    def _tried(self, messages: Messages, options: dict[str, Any]) -> str | Refusal:
        try:
            return self.shown(self._templated(messages, options))
        except Exception as error:  # a template may raise any error
            return Refusal(str(error))

    def _check_template(self) -> None:
        """Check that the chat template works with a question."""
        try:
            self._ids(Prompt(prompt_check.PROBES[0]), self.settings.options)
        except Exception as error:  # a template may raise any error
            raise SpecError(
                f"The chat template of {self.name} cannot be used for a question without a system turn "
                f"({type(error).__name__}: {error}). {REMEDY}"
            ) from None

    def _check_prompts(self) -> list[int]:
        """Check that questions reach the model, with and without reasoning; return the ids of one."""
        ids: list[int] = []
        try:
            for direct in (False, True):
                probes = [
                    (text, self.prompt_ids(Prompt(text, direct=direct))) for text in prompt_check.PROBES
                ]
                pairs = [(text, ids, self.shown(ids)) for text, ids in probes]
                part = "chat template" if self._template else "tokenizer"
                prompt_check.check(pairs, f"The {part} of {self.name}", REMEDY)
                ids = probes[0][1]
        except ItemError as error:
            raise SpecError(f"{self.name} cannot be used: {error}. {REMEDY}") from None
        return ids

    def _with_date(self) -> tuple[str | None, bool]:
        """The chat template with the day of the run instead of today, and whether it prints the date.

        If the model has several templates, it is the one for plain chats.
        """
        if not self.tokenizer.chat_template:
            return None, False
        try:
            template = self.tokenizer.get_chat_template()
        except ValueError as error:  # several templates, none for plain chats
            raise SpecError(f"{self.name} cannot be used: {error}. {REMEDY}") from None
        dated = with_date(template, self.settings.day)
        if "strftime_now(" in dated:
            raise SpecError(
                f"The chat template of {self.name} prints today's date in a form that grace cannot set, so a "
                "run could not be continued tomorrow. Write a fixed date into the template "
                "(chat_template.jinja in the model's folder), and name that folder with --model"
            )
        return dated, dated != template

    def _rendered(self, options: dict[str, Any]) -> str:
        """The template around `MARKER`."""
        return self.shown(self._ids(Prompt(MARKER), options))

    def _ids(self, prompt: Prompt, options: dict[str, Any]) -> list[int]:
        if self._template is None or prompt.plain:
            return list(self.tokenizer.encode(prompt.text))
        sent = self._conversation(prompt).messages(prompt) if prompt.turns else prompt.messages
        return self._templated(sent, options)

    def _templated(self, messages: Messages, options: dict[str, Any]) -> list[int]:
        ids = self.tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
            chat_template=self._template,
            **options,
        )
        return list(ids)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
