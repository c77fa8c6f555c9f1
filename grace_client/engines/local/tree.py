"""Scores a token trie with a transformers model: one pass with a tree attention mask, or plain passes."""

from __future__ import annotations

import copy
import inspect
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from grace_client.core.options import TokenTrie
from grace_client.engines.base import LIKELIEST, Answered, Beginning

CHUNK = 64
"""Prompts are cached in pieces of this many tokens."""


def last_logits(model: Any, count: int | torch.Tensor) -> dict[str, Any]:
    """The argument that limits the output layer to some positions; empty if the model does not take it."""
    parameters = inspect.signature(model.forward).parameters
    return {"logits_to_keep": count} if "logits_to_keep" in parameters else {}


class TreeScorer:
    """Scores whole tries in one forward pass each.

    The end of the prompt and the inner nodes of the trie go through the model as one sequence in which each
    node sees the prompt, its ancestors and itself, at the position it has on its own path. Leaves need no
    pass, because nothing follows them.

    Questions of one trial share their beginning. It is computed in pieces of `CHUNK` tokens and kept for the
    next question. Where the pieces end depends on the prompt alone, so a result does not depend on
    what was scored before, not even in its last bit.

    Parameters
    ----------
    model
        A transformers causal language model.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.tokens_computed = 0
        """Number of tokens that the model has computed so far."""
        self._prefix: list[int] = []
        self._cache: Any = None

    @torch.inference_mode()
    def __call__(self, prompt_ids: Sequence[int], trie: TokenTrie) -> Answered:
        """Log-probabilities of all edges in nats, and the likeliest beginnings outside the forms."""
        split = (len(prompt_ids) - 1) // CHUNK * CHUNK
        try:
            self._advance(list(prompt_ids[:split]))
            logits = self._tail(prompt_ids[split:], trie)
        except BaseException:
            self._prefix, self._cache = [], None
            raise
        return _answered(trie, logits)

    def _advance(self, prefix: list[int]) -> None:
        """Make the cache contain exactly `prefix`; keep what it shares with the last prefix."""
        shared = 0
        while prefix[shared : shared + CHUNK] and (
            prefix[shared : shared + CHUNK] == self._prefix[shared : shared + CHUNK]
        ):
            shared += CHUNK
        if not shared:
            self._cache = None
        elif shared < len(self._prefix):
            self._cache.crop(shared - len(self._prefix))
        for start in range(shared, len(prefix), CHUNK):
            piece = torch.tensor([prefix[start : start + CHUNK]], device=self.model.device)
            out = self.model(
                input_ids=piece, past_key_values=self._cache, use_cache=True, **last_logits(self.model, 1)
            )
            self._cache = out.past_key_values
            self.tokens_computed += CHUNK
        self._prefix = prefix

    def _tail(self, rest: Sequence[int], trie: TokenTrie) -> torch.Tensor:
        """Logits at the inner nodes, shape (n_inner, vocabulary)."""
        model, inner, past = self.model, trie.inner, len(self._prefix)
        length = len(rest)
        tokens = torch.tensor([*rest, *trie.token[inner[1:]]], device=model.device)
        depth = torch.as_tensor(trie.depth[inner[1:]])
        positions = past + torch.cat([torch.arange(length), depth + length - 1])

        visible = torch.ones(len(tokens), past + len(tokens), dtype=torch.bool).tril_(past)
        visible[length:, past + length :] = torch.as_tensor(_ancestors(trie))
        mask = torch.zeros(visible.shape, dtype=model.dtype)
        mask.masked_fill_(~visible, torch.finfo(model.dtype).min)

        scored = torch.arange(length - 1, len(tokens), device=model.device)
        logits = model(
            input_ids=tokens[None],
            attention_mask=mask[None, None].to(model.device),
            position_ids=positions[None].to(model.device),
            past_key_values=self._cache,
            use_cache=self._cache is not None,
            **last_logits(model, scored),
        ).logits[0]
        if self._cache is not None:
            self._cache.crop(-len(tokens))
        self.tokens_computed += len(tokens)
        return torch.as_tensor(logits[-len(inner) :])


@torch.inference_mode()
def walk(model: Any, prompt_ids: Sequence[int], trie: TokenTrie) -> Answered:
    """Score a trie by plain causal passes, for architectures without a tree mask.

    The prompt is computed once; inner nodes of equal depth follow as one batch on copies of its cache.
    """
    prompt = torch.tensor([list(prompt_ids)], device=model.device)
    first = model(input_ids=prompt, use_cache=True, **last_logits(model, 1))
    cache = getattr(first, "past_key_values", None)
    if any(hasattr(layer, "conv_states") for layer in getattr(cache, "layers", ())):
        # A recurrent state. Some releases of transformers continue from it only token by token.
        cache = None
    rows = {0: first.logits[0, -1]}
    by_depth: dict[int, list[int]] = defaultdict(list)
    for node in trie.inner[1:]:
        by_depth[int(trie.depth[node])].append(int(node))
    for nodes in by_depth.values():
        paths = torch.tensor([trie.path(node) for node in nodes], device=model.device)
        if cache is None:
            # No key-value cache (a recurrent model): equal depth means equal length, so no padding either.
            logits = model(input_ids=torch.cat([prompt.expand(len(nodes), -1), paths], dim=1)).logits
        else:
            # A pass changes its cache in place.
            copies = copy.deepcopy(cache)
            copies.batch_repeat_interleave(len(nodes))
            logits = model(input_ids=paths, past_key_values=copies, use_cache=True).logits
        rows |= dict(zip(nodes, logits[:, -1], strict=True))
    return _answered(trie, torch.stack([rows[int(node)] for node in trie.inner]))


def _ancestors(trie: TokenTrie) -> NDArray[np.bool_]:
    """Which inner node attends to which, without the root, shape (n_inner - 1, n_inner - 1)."""
    inner = trie.inner[1:]
    place = {int(node): i for i, node in enumerate(inner)}
    sees = np.eye(len(inner), dtype=np.bool_)
    for i, node in enumerate(inner):
        parent = int(trie.parent[node])
        if parent:
            sees[i] |= sees[place[parent]]
    return sees


def _answered(trie: TokenTrie, logits: torch.Tensor) -> Answered:
    """Edges and beginnings outside, from the logits at the inner nodes, shape (n_inner, vocabulary)."""
    logprobs = torch.log_softmax(logits.double(), dim=-1)
    rows = torch.as_tensor(np.searchsorted(trie.inner, trie.parent[1:]), device=logprobs.device)
    tokens = torch.as_tensor(trie.token[1:], device=logprobs.device)
    edges = np.asarray(logprobs[rows, tokens].cpu().numpy())
    # What does not go on to a child leaves the forms. Every inner node has its whole distribution here.
    logprobs[rows, tokens] = -torch.inf
    found = logprobs.topk(min(LIKELIEST, logprobs.shape[1]), dim=1)
    whole = found.values.cpu().numpy() + trie.reach(edges)[trie.inner][:, None]
    next_ids = found.indices.cpu().numpy()
    # The first row is the root.
    order = [np.argsort(-part, axis=None, kind="stable")[:LIKELIEST] for part in (whole[:1], whole[1:])]
    places = np.concatenate([order[0], order[1] + whole.shape[1]])
    outside = [
        Beginning((*trie.path(int(trie.inner[row])), int(next_ids[row, place])), float(whole[row, place]))
        for row, place in zip(*np.unravel_index(places, whole.shape), strict=True)
        if np.isfinite(whole[row, place])
    ]
    return Answered(edges, tuple(sorted(outside, key=lambda one: -one.logprob)))
