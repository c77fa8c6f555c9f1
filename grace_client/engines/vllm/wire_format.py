"""The requests that score a token trie on vLLM's completions endpoint, and their answers. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from grace_client.core.errors import ItemError
from grace_client.core.options import TokenTrie
from grace_client.engines.vllm import fields
from grace_client.engines.vllm.responses import MalformedError

Method = Literal["logprob_token_ids", "prompt_logprobs"]

MAX_IDS = 128
"""Most token ids that vLLM takes in `logprob_token_ids`."""

MAX_PROMPTS = 64
"""Most prompts in one request."""

MAX_FORCED = 16
"""Most prompts in one request for prompt log-probabilities, whose answers are as long as the prompts."""

FLOOR = -9999.0
"""vLLM sends this value for -inf, which JSON does not have."""

ROUNDING = 1e-3
"""Largest log-probability above 0 that is rounding, in nats."""


@dataclass(frozen=True)
class Batch:
    """One request for some of a trie's edges.

    Attributes
    ----------
    method : str
        The way of scoring.
    tails : tuple of str
        For each prompt of the request, the ids after the question's prompt, as text in the JSON.
    tokens : int
        Number of ids in all tails.
    fields : str
        The request's other fields, as JSON.
    keys : tuple of tuple of (int, str)
        For each prompt of the request, the places of its values: the position after the prompt, and the key.
    edges : ndarray of int64, shape (n_values,)
        The edge of each value.
    new_tokens : int
        Length of the answers, in tokens.
    forced : str or None
        Key of the token that every answer must begin with.
    """

    method: Method
    tails: tuple[str, ...]
    tokens: int
    fields: str
    keys: tuple[tuple[tuple[int, str], ...], ...]
    edges: NDArray[np.int64]
    new_tokens: int = 1
    forced: str | None = None

    def body(self, model: str, prompt_ids: Sequence[int]) -> bytes:
        """The request; `model` is the name as JSON."""
        prompt = ",".join(map(str, prompt_ids))
        listed = "],[".join([prompt + tail for tail in self.tails])
        return f'{{"model":{model},"prompt":[[{listed}]],{self.fields}}}'.encode()

    def read(self, answer: Any, prompt_length: int) -> NDArray[np.float64]:
        """The log-probabilities in an answer, in nats, shape (n_values,).

        Raises
        ------
        MalformedError
            If a value is missing or is not a number.
        ItemError
            If a value is null, which stands for NaN.
        """
        choices = fields.listed(answer, "choices")
        if len(choices) != len(self.tails):
            raise MalformedError(f"{len(choices)} answers to {len(self.tails)} prompts")
        try:
            values: list[Any] = []
            for index, (choice, keys) in enumerate(zip(choices, self.keys, strict=True)):
                if choice["index"] != index:
                    raise MalformedError("the answers are out of order")
                if self.method == "logprob_token_ids":
                    named = choice["logprobs"]["top_logprobs"]
                    if self.forced and choice["logprobs"]["tokens"][0] != self.forced:
                        raise MalformedError("an answer does not begin with the only token allowed")
                    values += [named[place][key] for place, key in keys]
                else:
                    forced = choice["prompt_logprobs"]
                    values += [forced[prompt_length + place][key]["logprob"] for place, key in keys]
        except (KeyError, IndexError, TypeError) as error:
            raise MalformedError(f"log-probabilities are missing ({type(error).__name__}: {error})") from None
        kinds = set(map(type, values))
        if not kinds <= {float, int, type(None)}:
            raise MalformedError("a log-probability is not a number")
        if type(None) in kinds:
            raise ItemError("nan", "the server gave no number for a log-probability")
        found = np.array(values, dtype=np.float64)
        floor = found <= FLOOR
        if (found > ROUNDING).any():
            raise MalformedError(f"a log-probability is above 0: {found.max():.6g}")
        if floor.any():
            if self.method == "logprob_token_ids":
                _check_chosen(choices)
            found[floor] = -math.inf
        elif len(found) > 2 and np.ptp(found) == 0:
            raise MalformedError("all log-probabilities are the same")
        return found


def _check_chosen(choices: list[Any]) -> None:
    """Check that the chosen token, which is always among the named ones, has a probability above 0."""
    for choice in choices:
        for place in range(len(fields.listed(choice, "logprobs", "top_logprobs"))):
            named = fields.mapping(choice, "logprobs", "top_logprobs", place)
            if max((fields.number(named, token) for token in named), default=FLOOR) <= FLOOR:
                raise MalformedError("even the chosen token has no probability")


def named_batches(trie: TokenTrie, nodes: Iterable[int] | None = None) -> tuple[Batch, ...]:
    """The requests for the edges below `nodes` (default: all), by `logprob_token_ids`.

    Every inner node is one prompt of the request, and the request names the children of all of them. If the
    whole trie is scored, one token is chosen that leads from many nodes to other inner nodes. All answers are
    forced to begin with it, and the second position of an answer has the values of the node behind the token.
    So that node needs no prompt. This saves time: a prompt costs all tokens after the last whole block of the
    prefix cache, and a second answer token costs one. For percentages, with a tokenizer that splits digits,
    the token is the zero, and half of the nodes need no prompt.
    """
    children: dict[int, list[int]] = {int(n): [] for n in (trie.inner if nodes is None else nodes)}
    for child in range(1, len(trie)):
        parent = int(trie.parent[child])
        if parent in children:
            children[parent].append(child)
    forced, follower = _followers(trie, children) if nodes is None else (None, {})
    followed = set(follower.values())
    batches: list[Batch] = []
    group: list[tuple[int, list[tuple[int, int]]]] = []
    union: set[int] = set()
    for node, some in _pieces(children):
        if node in followed:
            continue
        values = [(0, child) for child in some]
        # A node with too many children is a prompt several times, but its follower is read only once.
        if some[0] == children[node][0]:
            values += [(1, child) for child in children.get(follower.get(node, -1), ())]
        ids = {int(trie.token[child]) for _, child in values}
        if group and (len(union | ids) > MAX_IDS or len(group) == MAX_PROMPTS):
            batches.append(_named(trie, group, union, forced))
            group, union = [], set()
        group.append((node, values))
        union |= ids
    batches.append(_named(trie, group, union, forced))
    return tuple(batches)


def forced_batches(trie: TokenTrie) -> tuple[Batch, ...]:
    """The requests for all edges by prompt log-probabilities: every form is one prompt."""
    batches = []
    read: set[int] = set()
    for start in range(0, len(trie.leaf), MAX_FORCED):
        tails, keys, edges = [], [], []
        for leaf in trie.leaf[start : start + MAX_FORCED]:
            path = trie.path(int(leaf))
            tails.append("".join(f",{token}" for token in path))
            places, node = [], int(leaf)
            for place in range(len(path) - 1, -1, -1):
                # A shared edge is read once, from the first form with it.
                if node not in read:
                    read.add(node)
                    places.append((place, str(path[place])))
                    edges.append(node - 1)
                node = int(trie.parent[node])
            keys.append(tuple(places))
        batches.append(
            Batch(
                method="prompt_logprobs",
                tails=tuple(tails),
                tokens=sum(tail.count(",") for tail in tails),
                fields='"max_tokens":1,"temperature":0,"prompt_logprobs":0',
                keys=tuple(keys),
                edges=np.array(edges, dtype=np.int64),
            )
        )
    return tuple(batches)


def _followers(trie: TokenTrie, children: dict[int, list[int]]) -> tuple[int | None, dict[int, int]]:
    """The token that leads from most nodes to other inner nodes, and these nodes by the first ones.

    None if it would save less than a quarter of the prompts. A node that is itself reached in this way, or
    whose children do not fit into one request with those of its parent, is left out.
    """
    found: dict[int, dict[int, int]] = {}
    for node in sorted(children):
        parent, token = int(trie.parent[node]), int(trie.token[node])
        pairs = found.setdefault(token, {})
        if node and parent not in pairs.values() and len(children[parent]) + len(children[node]) <= MAX_IDS:
            pairs[parent] = node
    token, pairs = max(found.items(), key=lambda pair: len(pair[1]))
    return (token, pairs) if 4 * len(pairs) >= len(children) else (None, {})


def _pieces(children: dict[int, list[int]]) -> Iterator[tuple[int, list[int]]]:
    """Nodes with their children; a node with too many for one request appears several times."""
    for node, own in children.items():
        for start in range(0, len(own), MAX_IDS):
            yield node, own[start : start + MAX_IDS]


def _named(
    trie: TokenTrie, group: list[tuple[int, list[tuple[int, int]]]], union: set[int], forced: int | None
) -> Batch:
    tails = tuple("".join(f",{token}" for token in trie.path(node)) for node, _ in group)
    new_tokens = 1 if forced is None else 2
    return Batch(
        method="logprob_token_ids",
        tails=tails,
        tokens=sum(tail.count(",") for tail in tails),
        fields=(
            f'"max_tokens":{new_tokens},"temperature":0,"logprobs":0,"return_tokens_as_token_ids":true,'
            + (f'"allowed_token_ids":[{forced}],' if forced is not None else "")
            + f'"logprob_token_ids":{sorted(union)}'
        ),
        keys=tuple(
            tuple((place, f"token_id:{trie.token[child]}") for place, child in some) for _, some in group
        ),
        edges=np.array([child - 1 for _, some in group for _, child in some], dtype=np.int64),
        new_tokens=new_tokens,
        forced=None if forced is None else f"token_id:{forced}",
    )
