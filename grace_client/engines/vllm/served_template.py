"""The chat template of a server: the text around a prompt, and the requests for a prompt's token ids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from grace_client.core.errors import SpecError
from grace_client.core.questions import Prompt
from grace_client.engines.chat import prompt_check
from grace_client.engines.chat.dates import pinned
from grace_client.engines.chat.reasoning import CLOSE, OPEN
from grace_client.engines.chat.template import MARKER, SWITCH, Shape, TemplateSettings, shape_of
from grace_client.engines.vllm.endpoints import ModelApi, token_ids


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
    """

    shape: Shape
    chat: bool
    dated: bool

    def bodies(self, model: str, prompt: Prompt) -> list[dict[str, Any]]:
        """The requests to `/tokenize` whose ids together are the prompt."""
        if not self.chat:
            return [{"model": model, "prompt": prompt.text, "add_special_tokens": True}]
        if self.dated:
            whole = prompt.text.join(self.shape.around(direct=prompt.direct))
            return [{"model": model, "prompt": whole, "add_special_tokens": False}]
        body: dict[str, Any] = {"model": model, "messages": prompt.messages, "add_generation_prompt": True}
        if options := self.shape.direct_options if prompt.direct else self.shape.options:
            body["chat_template_kwargs"] = options
        lead = {"model": model, "prompt": self.shape.lead, "add_special_tokens": False}
        return [body, lead] if prompt.direct and self.shape.lead else [body]


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
            return await api.detokenize(await api.tokenize(prompt.text, special=True))
        ids = await api.tokenize_chat(prompt.messages, generation_prompt=True, options=options)
        return await api.detokenize(ids)

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
            raise SpecError(
                f"The chat template of {api.card.name} prints today's date, so a run could not be continued "
                "tomorrow. grace cannot set the date itself: a prompt that grace writes has other tokens "
                "than one that the server makes with the template. Serve the model with a template that "
                "has a fixed date: vllm serve … --chat-template FILE"
            )
    return ServedTemplate(shape, chat, dated)


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
            bodies = template.bodies(api.card.name, Prompt(text, direct=direct))
            ids = [token for body in bodies for token in await api.post("/tokenize", body, token_ids)]
            pairs.append((text, ids, await api.detokenize(ids)))
        part = "chat template" if template.chat else "tokenizer"
        remedy = "Serve it with a template that prints a user's turn: vllm serve … --chat-template FILE"
        prompt_check.check(pairs, f"The {part} of {api.card.name}", remedy)
