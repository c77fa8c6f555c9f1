"""What a model would say instead of the declared forms: asked, kept in the ledger, and read from it.

An answer of the ledger has ``outside``, the likeliest beginnings outside the forms, and ``left``, the
probability that leaves the forms at each of their beginnings. What an engine gives only with a request of its
own stands in a line with another key: the key of the question with `FIRST` or `GREEDY`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grace_client.core.errors import ItemError
from grace_client.core.options import TokenTrie
from grace_client.engines.base import LIKELIEST, Answered, Beginning, Engine, EngineInfo
from grace_client.run.layout import OK
from grace_client.run.ledger import Ledger, key_of
from grace_client.run.plan import Item

FIRST, GREEDY = "first tokens", "greedy answer"

GREEDY_TOKENS = 16
"""Longest greedy answer, in tokens."""

NEGLIGIBLE = 1e-4
"""Probability below which the ledger does not name the place where an answer leaves the forms."""

CONTEXT = 4
"""Tokens of the prompt that are decoded with a beginning: a tokenizer may drop a text's first space."""

Entry = dict[str, Any]


class Rest:
    """Asks for, and writes down, what a model would say outside the forms.

    Parameters
    ----------
    engine : Engine
        The engine that answers.
    info : EngineInfo
        The engine's description.
    """

    def __init__(self, engine: Engine, info: EngineInfo) -> None:
        self.engine = engine
        self.info = info

    async def after_forms(self, prompt_ids: Sequence[int], trie: TokenTrie, answered: Answered) -> Entry:
        """The keys ``outside`` (if the engine gave it) and ``left`` of a scored answer."""
        left = [
            [list(ids), await self._text(prompt_ids, ids), prob]
            for ids, prob in leaving(trie, answered.edges)[:LIKELIEST]
            if prob >= NEGLIGIBLE
        ]
        if answered.outside is None:
            return {"left": left}
        return {"outside": await self._written(prompt_ids, answered.outside), "left": left}

    async def ask(self, wanted: Wanted) -> list[tuple[str, Entry, bool]]:
        """Ask what the ledger does not have. Returns keys, entries, and whether each entry is final."""
        prompt_ids = wanted.prompt_ids
        at = {"at": datetime.now(UTC).isoformat(timespec="milliseconds")}
        room = self.info.max_context - len(prompt_ids)
        longest = min(GREEDY_TOKENS, room) if GREEDY in wanted.kinds else 1
        try:
            found = await self.engine.likeliest(prompt_ids, longest)
            outside = [one for one in found.first if one.ids[0] not in wanted.first_ids][:LIKELIEST]
            entries: dict[str, Entry] = {
                FIRST: {"outside": await self._written(prompt_ids, outside)},
                GREEDY: {
                    "text": await self._text(prompt_ids, found.token_ids),
                    "token_ids": list(found.token_ids),
                    "ended": found.ended,
                },
            }
        except ItemError as error:
            failure = {"status": error.status, "reason": str(error)}
            return [(key_of(kind, wanted.key), failure | at, not error.retryable) for kind in wanted.kinds]
        return [
            (key_of(kind, wanted.key), {"status": OK} | entries[kind] | at, True) for kind in wanted.kinds
        ]

    async def _written(self, prompt_ids: Sequence[int], beginnings: Iterable[Beginning]) -> list[list[Any]]:
        return [[list(one.ids), await self._text(prompt_ids, one.ids), one.logprob] for one in beginnings]

    async def _text(self, prompt_ids: Sequence[int], ids: Sequence[int]) -> str:
        """The text of tokens behind a prompt. A token that ends the turn has no text."""
        if ids and ids[-1] == self.info.end_of_turn:
            ids = ids[:-1]
        if not ids:
            return ""
        end = list(prompt_ids[-CONTEXT:])
        before, whole = await self.engine.decode(end), await self.engine.decode([*end, *ids])
        return whole[len(before) :] if whole.startswith(before) else await self.engine.decode(ids)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the ledger does not have of a scored question.

    Attributes
    ----------
    key : str
        The question's key.
    prompt_ids : tuple of int
        The prompt, with the reasoning if there was one.
    first_ids : frozenset of int
        The first tokens of the forms.
    kinds : tuple of str
        `FIRST`, `GREEDY` or both.
    """

    key: str
    prompt_ids: tuple[int, ...]
    first_ids: frozenset[int]
    kinds: tuple[str, ...]


def wanted(ledger: Ledger, items: Iterable[Item], *, greedy: bool) -> list[Wanted]:
    """What is not in the ledger of these items' scored answers; greedy answers only if they are asked for."""
    found = []
    for item in items:
        answer = ledger.get(item.key)
        if answer is None or "forms" not in answer:
            continue
        needed = [FIRST] * ("outside" not in answer) + [GREEDY] * greedy
        kinds = tuple(kind for kind in needed if key_of(kind, item.key) not in ledger)
        if kinds:
            first = frozenset(ids[0] for _, _, ids, _ in answer["forms"])
            found.append(Wanted(item.key, tuple(answer["prompt_ids"]), first, kinds))
    return found


def kept(ledger: Ledger, key: str) -> tuple[list[list[Any]] | None, list[list[Any]] | None, Entry | None]:
    """``outside`` and ``left`` of a question, and its greedy answer; None where the ledger has none."""
    answer = ledger.get(key) or {}
    alone = ledger.get(key_of(FIRST, key)) or {}
    greedy = ledger.get(key_of(GREEDY, key))
    return (
        answer.get("outside", alone.get("outside")),
        answer.get("left"),
        greedy if greedy and greedy["status"] == OK else None,
    )


def leaving(trie: TokenTrie, edges: NDArray[np.float64]) -> list[tuple[tuple[int, ...], float]]:
    """Where answers leave the forms, and with what probability; the likeliest place first.

    The probability of an inner node minus that of its children. Over all inner nodes it adds up to 1 minus
    the option mass. What follows there instead is not in the edges.
    """
    reach = np.exp(trie.reach(edges))
    left = reach.copy()
    np.subtract.at(left, trie.parent[1:], reach[1:])
    found = [(tuple(trie.path(int(node))), max(0.0, float(left[node]))) for node in trie.inner]
    return sorted(found, key=lambda pair: -pair[1])
