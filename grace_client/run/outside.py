"""What a model would say instead of the declared forms: asked, kept in the ledger, and read from it.

An answer of the ledger has ``outside``, the likeliest beginnings outside the forms, and ``left``, the
probability that leaves the forms at each of their beginnings. What an engine gives only with a request of its
own stands in a line with another key: the key of the question with `FIRST` or `GREEDY`.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grace_client.core.errors import ItemError
from grace_client.core.meaning import answer_meaning, first_line, may_begin, meaning
from grace_client.core.options import OptionSet, TokenTrie
from grace_client.engines.base import LIKELIEST, Answered, Beginning, Engine, EngineInfo
from grace_client.run.folder import RunFolder
from grace_client.run.layout import OK
from grace_client.run.ledger import Ledger, key_of
from grace_client.run.plan import Item
from grace_client.studies.declaration import Experiment
from grace_client.studies.forms import lines, pattern

FIRST, GREEDY = "first tokens", "greedy answer"

GREEDY_TOKENS = 16
"""Longest greedy answer, in tokens."""

SHOWN = 10
"""How many beginnings, of those with a meaning and of the others, a summary has at most."""

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


@dataclass(frozen=True, slots=True)
class Kept:
    """What the ledger has of a scored question, beside its scores.

    Attributes
    ----------
    outside : list of [ids, text, log-probability in nats], or None
        The likeliest beginnings outside the forms; None if they were not asked.
    left : list of [ids, text, probability], or None
        Where answers leave the forms; None in runs of earlier versions.
    greedy : dict or None
        The greedy answer: ``text``, ``token_ids``, ``ended``; None if it was not asked.
    """

    outside: list[list[Any]] | None
    left: list[list[Any]] | None
    greedy: Entry | None

    @classmethod
    def of(cls, ledger: Ledger, key: str, answer: Entry) -> Kept:
        """What the ledger has of a question with this scored answer."""
        alone, greedy = ledger.get(key_of(FIRST, key)) or {}, ledger.get(key_of(GREEDY, key))
        return cls(
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


def summary(folder: RunFolder) -> dict[str, Entry]:
    """Where the rest of the probability goes, for each kind of question of a scored run.

    Means are over the different questions, in all ways of asking. A beginning has probability 0 in a question
    in which it is not among the kept ones, so that its mean is a lower bound.

    Returns
    -------
    dict of dict
        For each kind of which something was kept: ``questions``, ``option_mass``, ``beginnings`` (each with
        ``text``, ``ends``, ``prob``, ``questions``, ``option``, ``may_begin``, ``form``), ``left`` (``text``,
        ``prob``), ``gain``, and ``greedy`` (``questions``, ``declared``, ``others``) if it was asked.
    """
    kinds, end = folder.experiment.kinds, folder.manifest.spec.engine["end_of_turn"]
    tallies: dict[str, _Tally] = {}
    for item in folder.plan.distinct:
        answer, options = folder.ledger.get(item.key), item.question.options
        if answer is None or "forms" not in answer or options is None:
            continue
        found = Kept.of(folder.ledger, item.key, answer)
        if found.left is not None or found.outside is not None or found.greedy is not None:
            tally = tallies.setdefault(kinds[item.question.name].name, _Tally(end))
            tally.add(answer["forms"], options, found)
    return {kind: tally.entry() for kind, tally in tallies.items()}


def suggestion(experiment: Experiment, kind: str, entry: Entry) -> list[str]:
    """The lines of a study file that declare what a person would accept; none if there is nothing to add."""
    found = dict.fromkeys(one["form"] for one in entry["beginnings"] if one["form"] is not None)
    return lines(experiment, kind, found) if found else []


class _Tally:
    """Sums over the questions of one kind. `end` is the token that ends a turn."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.questions = self.asked = self.greedy = self.declared = 0
        self.mass: float = 0.0
        self.left: dict[str, float] = defaultdict(float)
        self.beginnings: dict[tuple[Any, ...], list[float]] = {}
        self.answers: Counter[tuple[str, str | None]] = Counter()

    def add(self, forms: list[list[Any]], options: OptionSet, found: Kept) -> None:
        """Add a question with its forms, their log-probabilities, and what was kept."""
        self.questions += 1
        self.mass += sum(math.exp(logprob) for *_, logprob in forms if logprob is not None)
        for _, text, prob in found.left or ():
            self.left[text] += prob
        own: dict[tuple[Any, ...], float] = defaultdict(float)
        for ids, text, logprob in found.outside or ():
            ends = ids[-1] == self.end
            option = meaning(text, options, ended=ends)
            begins = option is None and not ends and may_begin(text, options)
            own[text, ends, option, begins, _form(text, ends, option, options)] += math.exp(logprob)
        for key, prob in own.items():
            self.beginnings.setdefault(key, []).append(prob)
        self.asked += found.outside is not None
        if found.greedy:
            self._add_greedy(forms, options, found.greedy)

    def _add_greedy(self, forms: list[list[Any]], options: OptionSet, greedy: Entry) -> None:
        self.greedy += 1
        ids = greedy["token_ids"] + [self.end] * greedy["ended"]
        if any(ids[: len(form)] == form for _, _, form, _ in forms):
            self.declared += 1
            return
        option = answer_meaning(greedy["text"], options, ended=greedy["ended"])
        self.answers[first_line(greedy["text"]), option] += 1

    def entry(self) -> Entry:
        """The summary of this kind."""
        names = ("text", "ends", "option", "may_begin", "form")
        found = [
            dict(zip(names, key, strict=True)) | {"prob": sum(own) / self.asked, "questions": len(own)}
            for key, own in self.beginnings.items()
        ]
        found.sort(key=lambda one: -one["prob"])
        accepted = [one for one in found if one["option"] is not None]
        others = [one for one in found if one["option"] is None]
        entry: Entry = {
            "questions": self.questions,
            "option_mass": self.mass / self.questions,
            "asked": self.asked,
            "beginnings": sorted(accepted[:SHOWN] + others[:SHOWN], key=lambda one: -one["prob"]),
            "left": [
                {"text": text, "prob": prob / self.questions}
                for text, prob in sorted(self.left.items(), key=lambda pair: -pair[1])[:SHOWN]
            ],
            "gain": sum(one["prob"] for one in accepted),
        }
        if self.greedy:
            listed = [
                {"text": text, "option": option, "questions": count}
                for (text, option), count in self.answers.most_common(SHOWN)
            ]
            accepted_count = sum(count for (_, option), count in self.answers.items() if option is not None)
            entry["greedy"] = {
                "questions": self.greedy,
                "declared": self.declared,
                "accepted": accepted_count,
                "others": listed,
            }
        return entry


def _form(text: str, ends: bool, name: str | None, options: OptionSet) -> str | None:
    """The template that would declare a text; None if it has no meaning, or only as a whole answer."""
    if name is None or ends:
        return None
    return pattern(text, next(option for option in options.options if option.name == name))
