"""Ask an item, and turn the engine's answer or failure into an entry of the ledger."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from grace_client.core.errors import ItemError, SpecError
from grace_client.core.options import OptionSet, TokenTrie
from grace_client.core.questions import Generation, Prompt, Sampling
from grace_client.core.scoring import Scores, score
from grace_client.engines.base import Answered, Engine, EngineInfo
from grace_client.engines.chat import prompt_check, turns
from grace_client.engines.chat.reasoning import FORMATS
from grace_client.run.layout import OK
from grace_client.run.outside import Rest
from grace_client.run.plan import Item

UNMARKED = (
    "the tokens of the reasoning do not contain its end mark as the tokenizer writes it, so that grace "
    "cannot score options after it"
)


Behind = tuple[OptionSet, tuple[int, ...]]
"""Options, and the last token of the prompts that they follow."""


class Scored(NamedTuple):
    """A scored question: the ids of its prompt, the trie of its forms, its scores, the engine's answer."""

    prompt_ids: list[int]
    trie: TokenTrie
    scores: Scores
    answered: Answered


class Asker:
    """Asks items, and returns entries of the ledger.

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
        self.rest = Rest(engine, info)
        self._tries: dict[Behind, asyncio.Task[TokenTrie]] = {}

    async def check(self, items: Sequence[Item]) -> None:
        """Check that the engine takes these items: the turns of their prompts, the forms of their options.

        Of prompts with the same roles, and of questions with the same options, only the first one is checked.

        Raises
        ------
        SpecError
            If it does not.
        """
        first: dict[tuple[bool, tuple[str, ...]], Prompt] = {}
        for prompt in (item.question.prompt for item in items):
            if prompt.turns and not prompt.plain:
                first.setdefault((prompt.direct, turns.structure(prompt)), prompt)
        for prompt in first.values():
            try:
                await self.engine.tokenize(prompt)
            except ItemError as error:
                if error.status == turns.REFUSED:
                    raise SpecError(str(error)) from None
        sets: dict[OptionSet, Prompt] = {}
        for question in (item.question for item in items):
            if question.options is not None:
                sets.setdefault(question.options, question.prompt)
        left = iter(sets.items())

        async def build() -> None:
            for options, prompt in left:
                # If it is the tokenisation that fails, the questions fail one by one.
                with suppress(ItemError):
                    await self._trie(options, await self.engine.tokenize(prompt))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.engine.concurrency(scored=True)):
                    group.create_task(build())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def ask(self, item: Item) -> tuple[dict[str, Any], bool]:
        """Ask an item. Returns its ledger entry, and whether that is final."""
        start = time.monotonic()
        try:
            answer = await (self._generate(item) if item.question.options is None else self._score(item))
            final = True
        except ItemError as error:
            answer = {"status": error.status, "reason": str(error)}
            final = not error.retryable
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        return answer | {"seconds": round(time.monotonic() - start, 4), "at": at}, final

    async def scores(self, prompt: Prompt, options: OptionSet, thoughts: Sequence[int] = ()) -> Scored:
        """Score a question.

        Parameters
        ----------
        prompt : Prompt
            The prompt.
        options : OptionSet
            The options to score.
        thoughts : sequence of int
            Token ids of complete reasoning, which follow the prompt; empty without reasoning.

        Raises
        ------
        ItemError
            If the question cannot be scored.
        """
        prompt_ids = [*await self.engine.tokenize(prompt), *thoughts]
        trie = await self._trie(options, prompt_ids)
        self._fits(len(prompt_ids) + int(trie.depth.max()))
        answered = await self.engine.edge_logprobs(prompt_ids, trie)
        return Scored(prompt_ids, trie, score(trie, answered.edges), answered)

    async def thoughts(self, prompt: Prompt, sampling: Sampling) -> tuple[Generation, list[int] | None]:
        """Draw a turn. Returns it, and its token ids before the answer; None if the reasoning did not end."""
        drawn = await self._draw(prompt, sampling)
        if drawn.answer_at is None or drawn.status == "reasoning_unfinished":
            return drawn, None
        assert self.info.reasoning_format is not None
        gap = FORMATS[self.info.reasoning_format].gap
        ids = list(drawn.token_ids[: drawn.answer_at])
        if gap:
            ids += await self.engine.tokenize_form(gap, [*drawn.prompt_ids, *ids])
        return drawn, ids

    async def _score(self, item: Item) -> dict[str, Any]:
        prompt, options = item.question.prompt, item.question.options
        assert options is not None
        thoughts: list[int] = []
        record: dict[str, Any] = {}
        if item.sampling is not None:
            drawn, ended = await self.thoughts(prompt, item.sampling)
            record = _record(drawn)
            if ended is None:
                unmarked = {"status": "reasoning_unfinished", "reason": UNMARKED}
                return (_failure(drawn, item.sampling) or unmarked) | record
            thoughts = ended
        try:
            prompt_ids, trie, scores, answered = await self.scores(prompt, options, thoughts)
            shown = await self._shown(prompt, prompt_ids[: len(prompt_ids) - len(thoughts)])
            shown = await self.engine.decode(prompt_ids) if thoughts else shown
            rest = await self.rest.after_forms(prompt_ids, trie, answered)
        except ItemError as error:
            if error.retryable:
                raise
            return {"status": error.status, "reason": str(error)} | record
        names = options.names
        forms = zip(
            trie.option.tolist(), trie.forms, trie.form_ids, scores.form_logprob.tolist(), strict=True
        )
        # JSON has no -inf.
        scored = [[names[o], form, ids, x if math.isfinite(x) else None] for o, form, ids, x in forms]
        return {"status": OK} | record | {"prompt": shown, "prompt_ids": prompt_ids, "forms": scored} | rest

    async def _generate(self, item: Item) -> dict[str, Any]:
        assert item.sampling is not None
        drawn = await self._draw(item.question.prompt, item.sampling)
        shown = await self._shown(item.question.prompt, drawn.prompt_ids)
        return (_failure(drawn, item.sampling) or {"status": OK}) | {"prompt": shown} | _record(drawn)

    async def _shown(self, prompt: Prompt, prompt_ids: Sequence[int]) -> str:
        """The prompt as sent, decoded from its ids; ItemError if it does not contain the question once."""
        shown = await self.engine.decode(prompt_ids)
        if prompt.turns:
            how = prompt_check.misprint([turn.text for turn in prompt.turns], shown)
        elif (found := prompt_check.times(prompt.text, shown)) != 1:
            how = f"contain the question {found} times" if found else "do not contain the question"
        else:
            how = ""
        if how:
            raise ItemError(
                "prompt_lost",
                f"the prompt that was sent is wrong: its {len(prompt_ids)} tokens {how}. Decoded, they begin "
                f"with {shown[:60]!r}. Check the chat template",
            )
        return shown

    async def _draw(self, prompt: Prompt, sampling: Sampling) -> Generation:
        self._fits(len(await self.engine.tokenize(prompt)) + sampling.max_tokens)
        return await self.engine.generate(prompt, sampling)

    def _fits(self, tokens: int) -> None:
        if tokens > self.info.max_context:
            raise ItemError(
                "context",
                f"prompt and answer need {tokens} tokens, but {self.info.model} takes at most "
                f"{self.info.max_context}. The question was not asked. Shorten the trial, or use a model "
                "with a longer context",
            )

    async def _trie(self, options: OptionSet, prompt_ids: Sequence[int]) -> TokenTrie:
        """The options as they follow these ids. Ids that end alike share it."""
        key = (options, tuple(prompt_ids[-1:]))
        if key not in self._tries:
            self._tries[key] = task = asyncio.create_task(self._build(options, prompt_ids))
            task.add_done_callback(partial(self._built, key))
        # Shielded: if one waiting task is cancelled, the others still get the trie.
        return await asyncio.shield(self._tries[key])

    def _built(self, key: Behind, task: asyncio.Task[TokenTrie]) -> None:
        """Forget a trie that could not be built, so that the next question builds it again."""
        if task.cancelled() or task.exception():
            self._tries.pop(key, None)

    async def _build(self, options: OptionSet, prompt_ids: Sequence[int]) -> TokenTrie:
        end = [self.info.end_of_turn] if options.end_of_turn else []
        form_ids = [
            [await self.engine.tokenize_form(form, prompt_ids) + end for form in option.forms]
            for option in options.options
        ]
        return TokenTrie.build(options, form_ids)


def _record(drawn: Generation) -> dict[str, Any]:
    """A drawn turn as keys of a ledger entry."""
    return {
        "text": drawn.text,
        "finish_reason": drawn.finish_reason,
        "reasoning": drawn.reasoning,
        "prompt_ids": list(drawn.prompt_ids),
        "token_ids": list(drawn.token_ids),
    }


def _failure(drawn: Generation, sampling: Sampling) -> dict[str, Any] | None:
    """Status and reason of a turn without an answer; None if it has an answer."""
    if drawn.status == OK:
        return None
    if drawn.finish_reason == "length":
        reason = (
            f"the reasoning used all {sampling.max_tokens} tokens, so that there is no answer. Start a new "
            "run with a larger --max-tokens or a lower --reasoning-effort"
        )
    elif drawn.status == "reasoning_unfinished":
        reason = "the model ended its turn before the end of its reasoning"
    else:
        reason = "the model ended its turn after its reasoning, without an answer"
    return {"status": drawn.status, "reason": reason}
