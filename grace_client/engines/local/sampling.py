"""Draw free text from a transformers model, many answers at a time, each from its own seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import numpy as np
import torch

from grace_client.core.errors import SpecError
from grace_client.core.questions import Sampling
from grace_client.engines.base import Beginning
from grace_client.engines.local.tree import last_logits


@dataclass
class Draw:
    """One answer that is being drawn.

    Attributes
    ----------
    prompt_ids : tuple of int
        Token ids of the prompt.
    sampling : Sampling
        Temperature, longest length and seed of this answer.
    token_ids : list of int
        The answer so far, without the token that ended it.
    finish_reason : str
        ``"stop"`` if the model or a stop text ended the answer, else ``"length"``.
    top : int
        How many of the likeliest first tokens to keep.
    first : list of Beginning
        These tokens, the likeliest first.
    """

    prompt_ids: tuple[int, ...]
    sampling: Sampling
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str = "length"
    top: int = 0
    first: list[Beginning] = field(default_factory=list)


@torch.inference_mode()
def decode(
    model: Any,
    draws: Sequence[Draw],
    stop_ids: frozenset[int],
    abandoned: Event,
    text_of: Callable[[Sequence[int]], str],
) -> None:
    """Complete all `draws` in place, as one batch, unless `abandoned` is set meanwhile.

    Each distinct prompt is computed once. Tokens are drawn by inverting the cumulative distribution at the
    draw's own uniform numbers, so that an answer depends on its prompt and seed, not on its neighbours in
    the batch (up to rounding of the logits). `text_of` gives the text of token ids, in which the
    stop texts are searched. The tokens of a stop text stay in `token_ids`, as in vLLM.
    """
    device = model.device
    prompts = list(dict.fromkeys(draw.prompt_ids for draw in draws))
    width = max(map(len, prompts))
    # The padding in front is masked, so any id that every model knows is good.
    ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)

    out = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        use_cache=True,
        **last_logits(model, 1),
    )
    cache = getattr(out, "past_key_values", None)
    if cache is None:
        raise SpecError(
            f"{type(model).__name__} has no key-value cache, which grace needs to draw free text. "
            "Serve the model with vLLM, and name the server with --server"
        )
    rows = torch.tensor([prompts.index(draw.prompt_ids) for draw in draws], device=device)
    cache.batch_select_indices(rows)
    logits, mask = out.logits[rows, -1], mask[rows]
    for row, draw in enumerate(draws):
        if draw.top:
            found = torch.log_softmax(logits[row].double(), dim=-1).topk(min(draw.top, logits.shape[-1]))
            pairs = zip(found.indices.tolist(), found.values.tolist(), strict=True)
            draw.first = [Beginning((token,), value) for token, value in pairs if value > -np.inf]
    live = list(draws)
    streams = [np.random.Generator(np.random.Philox(draw.sampling.seed)) for draw in draws]

    while not abandoned.is_set():
        tokens = _pick(logits, live, streams)
        unfinished = []
        for row, (draw, token) in enumerate(zip(live, tokens, strict=True)):
            if token in stop_ids:
                draw.finish_reason = "stop"
            else:
                draw.token_ids.append(token)
                if _stopped(draw, text_of):
                    draw.finish_reason = "stop"
                elif len(draw.token_ids) < draw.sampling.max_tokens:
                    unfinished.append(row)
        if not unfinished:
            return
        if len(unfinished) < len(live):
            kept = torch.tensor(unfinished, device=device)
            cache.batch_select_indices(kept)
            mask = mask[kept]
            live, streams = [live[row] for row in unfinished], [streams[row] for row in unfinished]
        mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
        out = model(
            input_ids=torch.tensor([[draw.token_ids[-1]] for draw in live], device=device),
            attention_mask=mask,
            position_ids=mask.sum(-1, keepdim=True) - 1,
            past_key_values=cache,
            use_cache=True,
        )
        logits = out.logits[:, -1]


def before_stop(text: str, stop: Sequence[str]) -> str:
    """A text up to the first stop text in it."""
    return text[: min((at for one in stop if (at := text.find(one)) >= 0), default=len(text))]


def _stopped(draw: Draw, text_of: Callable[[Sequence[int]], str]) -> bool:
    stop = draw.sampling.stop
    if not stop:
        return False
    # Each token has at least one byte of text. The tokens before these were searched in earlier steps.
    reach = max(len(one.encode()) for one in stop) + 4
    recent = text_of(draw.token_ids[-reach:])
    return before_stop(recent, stop) != recent


def _pick(logits: torch.Tensor, draws: Sequence[Draw], streams: Sequence[np.random.Generator]) -> list[int]:
    temperature = torch.tensor([[max(d.sampling.temperature, 1e-6)] for d in draws], device=logits.device)
    cumulative = torch.softmax(logits.double() / temperature, dim=-1).cumsum(dim=-1)
    uniform = torch.tensor([[stream.random()] for stream in streams], dtype=torch.float64)
    drawn = torch.searchsorted(cumulative, uniform.to(logits.device) * cumulative[:, -1:]).squeeze(-1)
    greedy = logits.argmax(dim=-1)
    return [
        int(greedy[row] if draw.sampling.temperature == 0 else drawn[row].clamp(max=logits.shape[-1] - 1))
        for row, draw in enumerate(draws)
    ]
