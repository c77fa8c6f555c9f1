"""The chat template of a server: the text around a prompt, and the requests for a prompt's token ids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from grace_client.core.errors import ItemError, SpecError
from grace_client.core.questions import Prompt
from grace_client.engines.chat import prompt_check, turns
from grace_client.engines.chat.dates import pinned
from grace_client.engines.chat.reasoning import CLOSE, OPEN
from grace_client.engines.chat.template import MARKER, SWITCH, Shape, TemplateSettings, shape_of
from grace_client.engines.chat.turns import Conversation, Messages, Refusal
from grace_client.engines.vllm.endpoints import ModelApi
from grace_client.engines.vllm.served_forms import Reader, ServedForms, read_forms, text_body

OTHER_TEMPLATE = "Serve the model with it: vllm serve … --chat-template FILE"
"""How to give a served model another template."""

UNDATED = (
    "The chat template of {} prints today's date, so a run could not be continued tomorrow. grace cannot set "
    "the date itself: a prompt that grace writes has other tokens than one that the server makes with the "
    "template. Serve the model with a template that has a fixed date: vllm serve … --chat-template FILE"
)


@dataclass(frozen=True, slots=True)
class ServedTemplate:
    """The chat template of a served model.

    Attributes
    ----------
    shape : Shape
        Prefix, suffix and format.
    chat : bool
        Whether the server has a chat template.
    dated : bool
        Whether the template prints the date. If so, grace writes out the whole prompt with the day of
        the run, and tokenises it as text.
    day : date
        The day of the run.
    forms : ServedForms
        How the tokenizer treats a text behind a prompt.
    """

    shape: Shape
    chat: bool
    dated: bool
    day: date
    forms: ServedForms

    async def prompt_ids(
        self, prompt: Prompt, api: Reader, conversation: Conversation | None = None
    ) -> list[int]:
        """Token ids of a prompt.

        A prompt of several turns needs its `conversation`, if the server has a chat template.
        """
        model = self.forms.model
        if not self.chat or prompt.plain:
            return await api.ids({"model": model, "prompt": prompt.text, "add_special_tokens": True})
        if self.dated:
            whole = prompt.text.join(self.shape.around(direct=prompt.direct))
            if conversation is not None:
                whole = conversation.written(prompt) + (self.shape.lead if prompt.direct else "")
            return await api.ids(text_body(model, whole))
        sent = prompt.messages if conversation is None else conversation.messages(prompt)
        ids = await api.ids(_chat(model, sent, self.shape.options_of(direct=prompt.direct)))
        if prompt.direct and self.shape.lead:
            ids = ids + await self.forms.ids(self.shape.lead, ids, api)
        return ids

    def described(self, settings: TemplateSettings) -> dict[str, str]:
        """Entries of `EngineInfo.versions` about tokenizer and template."""
        return self.forms.described | settings.versions(dated=self.dated)

    async def conversation(self, prompt: Prompt, model: str, api: Reader) -> Conversation:
        """How the server prints prompts of several turns with the same roles as this one.

        Raises
        ------
        ItemError
            If it does not print them as they are; see `turns.examined`.
        """
        probed, options = turns.probe(prompt), self.shape.options_of(direct=prompt.direct)

        async def rendered(messages: Messages) -> str | Refusal:
            try:
                return await api.decode(await api.ids(_chat(model, messages, options)))
            except ItemError as error:
                if error.status != "bad_request":
                    raise
                return Refusal(str(error))

        renderings = [await rendered(messages) for messages in turns.to_render(probed)]
        ending = self.shape.ending(direct=prompt.direct)
        found = turns.examined(probed, renderings, ending, model, OTHER_TEMPLATE)
        if not self.dated:
            return found
        written = await api.ids(text_body(model, found.written(probed)))
        if written != await api.ids(_chat(model, found.messages(probed), options)):
            raise ItemError(turns.REFUSED, UNDATED.format(model))
        return found.dated(date.today(), self.day)


def _chat(model: str, messages: Messages, options: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "messages": messages, "add_generation_prompt": True}
    return body | ({"chat_template_kwargs": options} if options else {})


async def read_template(api: ModelApi, chat: bool, settings: TemplateSettings, today: date) -> ServedTemplate:
    """Examine what the server's chat template renders.

    Parameters
    ----------
    api : ModelApi
        The server.
    chat : bool
        Whether the server has a chat template.
    settings : TemplateSettings
        Settings for the chat template.
    today : date
        The current day.

    Raises
    ------
    SpecError
        If the template does not fit the settings, or prints a date that grace cannot set.
    """

    async def rendered(prompt: Prompt, options: dict[str, Any]) -> str:
        if not chat:
            return await api.decode(await api.tokenize(prompt.text, special=True))
        ids = await api.tokenize_chat(prompt.messages, generation_prompt=True, options=options)
        return await api.decode(ids)

    plain = await rendered(Prompt(MARKER), settings.options)
    low, high, off = [
        await rendered(Prompt(MARKER), options)
        for options in ({"reasoning_effort": "low"}, {"reasoning_effort": "high"}, settings.options | SWITCH)
    ]
    tags = [await api.tokenize(tag, special=False) for tag in (OPEN, CLOSE)]
    shape = shape_of(
        settings,
        pinned(plain, today, settings.day),
        pinned(off, today, settings.day),
        takes_effort=low != high,
        knows_tags=all(len(ids) == 1 for ids in tags),
        name=api.card.name,
    )
    dated = pinned(plain, today, settings.day) != plain
    if dated:
        # The prompt that is written out as text must have the same tokens as the prompt from the template.
        prefix, _, suffix = plain.partition(MARKER)
        question = Prompt(prompt_check.PROBES[0])
        written = await api.tokenize(question.text.join((prefix, suffix)), special=False)
        if written != await api.tokenize_chat(
            question.messages, generation_prompt=True, options=settings.options
        ):
            raise SpecError(UNDATED.format(api.card.name))
    return ServedTemplate(shape, chat, dated, settings.day, await read_forms(api))


async def check_prompts(api: ModelApi, template: ServedTemplate) -> None:
    """Check that questions reach the model whole, once, and as different tokens.

    Parameters
    ----------
    api : ModelApi
        The server.
    template : ServedTemplate
        The server's chat template.

    Raises
    ------
    SpecError
        If the chat template or the tokenizer changes them.
    """
    for direct in (False, True):
        pairs = []
        for text in prompt_check.PROBES:
            ids = await template.prompt_ids(Prompt(text, direct=direct), api)
            pairs.append((text, ids, await api.decode(ids)))
        part = "chat template" if template.chat else "tokenizer"
        remedy = "Serve it with a template that prints a user's turn: vllm serve … --chat-template FILE"
        prompt_check.check(pairs, f"The {part} of {api.card.name}", remedy)
