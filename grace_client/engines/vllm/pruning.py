"""Scores only the part of a trie that can change the options' probabilities by more than a bound."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
from numpy.typing import NDArray

from grace_client.core.options import TokenTrie


async def pruned(
    trie: TokenTrie, bound: float, ask: Callable[[list[int]], Awaitable[NDArray[np.float64]]]
) -> NDArray[np.float64]:
    """Score a trie from the likeliest nodes down, and stop when the rest cannot matter.

    All forms below a node together are at most as probable as the node. The search ends when the nodes that
    were not expanded have together at most `bound` times the option mass so far. Then no option's
    normalised probability is off by more than `bound`, and no raw one by more than `bound` times the mass.

    Parameters
    ----------
    trie : TokenTrie
        The forms.
    bound : float
        Largest change of a normalised probability, between 0 and 1.
    ask : callable
        Called with inner nodes; returns an array of shape (n_edges,) with the log-probabilities of the edges
        below them, in nats.

    Returns
    -------
    ndarray of float64, shape (n_edges,)
        In nats; -inf for the edges that were not scored.
    """
    edges = np.full(trie.n_edges, -np.inf)
    reach = np.full(len(trie), -np.inf)
    reach[0] = 0.0
    children: dict[int, list[int]] = {int(node): [] for node in trie.inner}
    for child in range(1, len(trie)):
        children[int(trie.parent[child])].append(child)
    frontier = {0}
    while True:
        # Least likely first.
        order = sorted(frontier, key=lambda node: (float(reach[node]), node))
        share = np.exp(reach[order])
        found = float(np.exp(reach[trie.leaf]).sum())
        if share.sum() <= bound * found:
            return edges
        # Before the first form is complete, the likeliest node replaces the option mass.
        allowed = bound * (found or float(share[-1]))
        chosen = sorted(order[int((np.cumsum(share) <= allowed).sum()) :])
        answered = await ask(chosen)
        frontier -= set(chosen)
        for node in chosen:
            for child in children[node]:
                edges[child - 1] = answered[child - 1]
                reach[child] = reach[node] + edges[child - 1]
                if child in children:
                    frontier.add(child)
