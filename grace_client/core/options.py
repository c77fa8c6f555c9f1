"""Closed answer sets: options, their surface forms, and the token trie that an engine scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from grace_client.core.errors import SpecError


@dataclass(frozen=True, slots=True)
class Option:
    """One answer of a closed set.

    Attributes
    ----------
    name : str
        Name of the option in tables.
    forms : tuple of str
        Texts that count as this answer, such as ``("yes", "Yes", " yes", " Yes")``. Their probabilities are
        summed.
    """

    name: str
    forms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OptionSet:
    """All options of a question.

    Attributes
    ----------
    options : tuple of Option
        The options, in the order of the tables.
    end_of_turn : bool
        Whether every form ends with the engine's end-of-turn token. Then any set is prefix-free. But the
        question changes: the model must stop after the answer.
    """

    options: tuple[Option, ...]
    end_of_turn: bool = False

    def __post_init__(self) -> None:
        names = [option.name for option in self.options]
        if len(names) < 2 or len(set(names)) != len(names):
            raise SpecError(f"An option set needs two or more options with different names. It has {names}")
        owner: dict[str, str] = {}
        for option in self.options:
            if not option.forms or not all(option.forms):
                raise SpecError(f"Option {option.name!r} needs at least one form, and no form may be empty")
            for form in option.forms:
                other = owner.setdefault(form, option.name)
                if other != option.name:
                    raise SpecError(
                        f"The form {form!r} belongs to two options, {other!r} and {option.name!r}. Remove one"
                    )

    @property
    def names(self) -> tuple[str, ...]:
        """The options' names, in order."""
        return tuple(option.name for option in self.options)


def spoken(text: str) -> tuple[str, ...]:
    """The usual forms of a word or sentence.

    As written and with a capital first letter, each with and without a leading space. Whether an answer
    starts with a space depends on the chat template and the tokenizer, not on what the model believes.
    """
    capital = text[:1].upper() + text[1:]
    return tuple(dict.fromkeys((text, capital, f" {text}", f" {capital}")))


@dataclass(frozen=True)
class TokenTrie:
    """The surface forms of an option set as a tree of tokens.

    Node 0 is the root: the end of the prompt. Every other node is one token that follows its parent's token.
    In the arrays, each node comes after its parent. Edge *i* goes from ``parent[i + 1]`` to node *i + 1*.

    Attributes
    ----------
    token : ndarray of int64, shape (n_nodes,)
        Token id of each node; -1 at the root.
    parent : ndarray of int64, shape (n_nodes,)
        Parent of each node; -1 at the root.
    leaf : ndarray of int64, shape (n_forms,)
        Node at which each form ends.
    option : ndarray of int64, shape (n_forms,)
        Index of the option to which each form belongs.
    forms : tuple of str
        Text of each form.
    n_options : int
        Number of options.
    """

    token: NDArray[np.int64]
    parent: NDArray[np.int64]
    leaf: NDArray[np.int64]
    option: NDArray[np.int64]
    forms: tuple[str, ...]
    n_options: int

    @classmethod
    def build(
        cls,
        options: OptionSet,
        form_ids: Sequence[Sequence[Sequence[int]]],
    ) -> TokenTrie:
        """Build the trie of tokenised forms.

        Parameters
        ----------
        options : OptionSet
            The options and their forms.
        form_ids : sequence, per option, of sequences, per form, of token ids
            The forms as the engine tokenises them after the prompt.

        Raises
        ------
        SpecError
            If forms of two options have the same tokens, or if a form's tokens begin with those of another
            form. Their probabilities would overlap, and their sum would not be a probability.
        """
        token, parent, children = [-1], [-1], [dict[int, int]()]
        ends: dict[int, tuple[int, str]] = {}
        for index, (option, variants) in enumerate(zip(options.options, form_ids, strict=True)):
            for form, ids in zip(option.forms, variants, strict=True):
                if not ids:
                    raise SpecError(
                        f"The form {form!r} of option {option.name!r} has no tokens for this model"
                    )
                node = 0
                for token_id in ids:
                    if token_id not in children[node]:
                        children[node][token_id] = len(token)
                        token.append(token_id)
                        parent.append(node)
                        children.append({})
                    node = children[node][token_id]
                other = ends.setdefault(node, (index, form))
                if other[0] != index:
                    name = options.names[other[0]]
                    raise SpecError(
                        f"The forms {form!r} ({option.name}) and {other[1]!r} ({name}) have the same tokens "
                        f"{list(ids)} for this model. Change one of them"
                    )
        for node, (_, form) in ends.items():
            if children[node]:
                deeper = next(n for n in ends if n != node and _below(n, node, parent))
                raise SpecError(
                    f"The option set is not prefix-free: the tokens of {ends[deeper][1]!r} begin with those "
                    f"of {form!r}. Give the options 'end: full stop' or 'end: turn' in the study file"
                )
        return cls(
            token=np.array(token, dtype=np.int64),
            parent=np.array(parent, dtype=np.int64),
            leaf=np.array(list(ends), dtype=np.int64),
            option=np.array([index for index, _ in ends.values()], dtype=np.int64),
            forms=tuple(form for _, form in ends.values()),
            n_options=len(options.options),
        )

    def __len__(self) -> int:
        return len(self.token)

    @property
    def n_edges(self) -> int:
        """Number of log-probabilities that score the set."""
        return len(self.token) - 1

    @cached_property
    def inner(self) -> NDArray[np.int64]:
        """Nodes with children, in order; the root is the first."""
        return np.unique(self.parent[1:])

    @cached_property
    def depth(self) -> NDArray[np.int64]:
        """Number of tokens from the root to each node, shape (n_nodes,)."""
        depth = np.zeros(len(self.token), dtype=np.int64)
        for node in range(1, len(depth)):
            depth[node] = depth[self.parent[node]] + 1
        return depth

    @cached_property
    def form_ids(self) -> tuple[tuple[int, ...], ...]:
        """Token ids of each form."""
        return tuple(tuple(self.path(int(leaf))) for leaf in self.leaf)

    def reach(self, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-probability of the path to each node, shape (n_nodes,), from those of the edges, in nats."""
        reach = np.zeros(len(self))
        for node in range(1, len(self)):
            reach[node] = reach[self.parent[node]] + edges[node - 1]
        return reach

    def path(self, node: int) -> list[int]:
        """Token ids from the root to `node`."""
        ids: list[int] = []
        while node > 0:
            ids.append(int(self.token[node]))
            node = int(self.parent[node])
        return ids[::-1]


def _below(node: int, ancestor: int, parent: Sequence[int]) -> bool:
    while node > ancestor:
        node = parent[node]
    return node == ancestor
