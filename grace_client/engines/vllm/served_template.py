"""What a server's chat template puts around a prompt, and how a prompt's token ids are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from grace_client.core.errors import SpecError
from grace_client.core.questions import Prompt
from grace_client.engines.chat import prompt_check
from grace_client.engines.chat.dates import pinned
from grace_client.engines.chat.reasoning import CLOSE, OPEN
from grace_client.engines.chat.template import MARKER, SWITCH, Shape, Wanted, shape_of
from grace_client.engines.vllm.endpoints import ModelApi, token_ids


@dataclass(frozen=True, slots=True)
class ServedTemplate:
    """What stands around the prompts of a served model.

    Attributes
    ----------
    shape : Shape
        Prefix, suffix and format.
    chat : bool
        Whether there is a chat template at all.
    dated : bool
        Whether the template prints the date. Prompts are then written out, with the day of the run in its
        place, and tokenised as text.
    """

    shape: Shape
    chat: bool
    dated: bool

    def bodies(self, model: str, prompt: Prompt) -> list[dict[str, Any]]:
        """The requests to `/tokenize` whose ids, one after the other, are the prompt."""
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


async def read_template(api: ModelApi, chat: bool, wanted: Wanted, today: date) -> ServedTemplate:
    """Look at what the server renders.

    Parameters
    ----------
    api : ModelApi
        The server.
    chat : bool
        Whether it has a chat template.
    wanted : Wanted
        What is asked of the model's reasoning.
    today : date
        By the clock.

    Raises
    ------
    SpecError
        Where the template cannot be used as wanted, and where it prints a date that cannot be set.
    """

    async def rendered(prompt: Prompt, options: dict[str, Any]) -> str:
        if not chat:
            return await api.detokenize(await api.tokenize(prompt.text, special=True))
        ids = await api.tokenize_chat(prompt.messages, generation_prompt=True, options=options)
        return await api.detokenize(ids)

    plain = await rendered(Prompt(MARKER), wanted.options)
    low, high, off = [
        await rendered(Prompt(MARKER), options)
        for options in ({"reasoning_effort": "low"}, {"reasoning_effort": "high"}, wanted.options | SWITCH)
    ]
    tags = [await api.tokenize(tag, special=False) for tag in (OPEN, CLOSE)]
    shape = shape_of(
        wanted,
        pinned(plain, today, wanted.day),
        pinned(off, today, wanted.day),
        takes_effort=low != high,
        knows_tags=all(len(ids) == 1 for ids in tags),
        name=api.card.name,
    )
    dated = pinned(plain, today, wanted.day) != plain
    if dated:
        # Written out as text, a prompt must be the same tokens as through the template.
        prefix, _, suffix = plain.partition(MARKER)
        question = Prompt(prompt_check.PROBES[0])
        written = await api.tokenize(question.text.join((prefix, suffix)), special=False)
        if written != await api.tokenize_chat(
            question.messages, generation_prompt=True, options=wanted.options
        ):
            raise SpecError(
                f"The chat template of {api.card.name} prints today's date, so a run could not be continued "
                "tomorrow. grace cannot set the date: a prompt that is written out has other tokens than one "
                "through the template. Serve the model with a template that has a fixed date: "
                "vllm serve … --chat-template FILE"
            )
    return ServedTemplate(shape, chat, dated)


async def check_prompts(api: ModelApi, template: ServedTemplate) -> None:
    """Check that questions arrive whole, once, and apart from each other.

    Parameters
    ----------
    api : ModelApi
        The server.
    template : ServedTemplate
        What stands around its prompts.

    Raises
    ------
    SpecError
        Where the chat template or the tokenizer does not pass them on.
    """
    for direct in (False, True):
        pairs = []
        for text in prompt_check.PROBES:
            bodies = template.bodies(api.card.name, Prompt(text, direct=direct))
            ids = [token for body in bodies for token in await api.post("/tokenize", body, token_ids)]
            pairs.append((text, ids, await api.detokenize(ids)))
        has = "chat template" if template.chat else "tokenizer"
        remedy = "Serve it with a template that prints a user's turn: vllm serve … --chat-template FILE"
        prompt_check.check(pairs, f"the {has} of {api.card.name}", remedy)
