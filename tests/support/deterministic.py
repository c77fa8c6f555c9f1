"""A deterministic engine, and a driver that kills runs on it at random moments.

Its log-probabilities are a true distribution over 256 tokens (bytes) that depends on the tokens so far and on
nothing else.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from grace_client import studies
from grace_client.core.errors import ItemError
from grace_client.core.options import TokenTrie
from grace_client.core.questions import Generation, Prompt, Sampling
from grace_client.core.trials import TrialList
from grace_client.engines.base import LIKELIEST, Answered, Beginning, EngineInfo, Likeliest
from grace_client.run import layout
from grace_client.run.folder import RunFolder
from grace_client.run.ledger import Ledger
from grace_client.run.runner import run

_LOGITS = np.random.Generator(np.random.PCG64(0)).normal(scale=3.0, size=(4096, 256))
LOGPROBS = _LOGITS - np.log(np.exp(_LOGITS).sum(axis=1, keepdims=True))
"""Distributions over the 256 bytes; a hash of the bytes so far picks one."""


class DeterministicEngine:
    """Answers from a hash.

    Parameters
    ----------
    delay : float
        Seconds that each answer takes.
    fault : callable, optional
        Called with the text of every prompt before it is answered; may raise.
    max_context : int
        Longest sequence it takes.
    """

    def __init__(
        self,
        *,
        delay: float = 0.0,
        fault: Callable[[str], None] | None = None,
        max_context: int = 100_000,
        model: str = "deterministic",
    ) -> None:
        self.delay = delay
        self.fault = fault or (lambda _: None)
        self.max_context = max_context
        self.model = model
        self.asked: list[str] = []

    def concurrency(self, *, scored: bool) -> int:
        return 4

    async def describe(self) -> EngineInfo:
        return EngineInfo(
            engine="deterministic",
            model=self.model,
            revision="1",
            dtype="float64",
            template_sha256=None,
            tokenizer_sha256="bytes",
            max_context=self.max_context,
            end_of_turn=0,
            prompt_prefix="<",
            prompt_suffix=">",
        )

    async def tokenize(self, prompt: Prompt) -> list[int]:
        if prompt.turns:
            return list("".join(f"<{turn.role}:{turn.text}>" for turn in prompt.turns).encode())
        return list(f"<{prompt.text}>".encode())

    async def tokenize_form(self, text: str, prompt_ids: Sequence[int]) -> list[int]:
        return list(text.encode())

    async def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")

    async def edge_logprobs(self, prompt_ids: Sequence[int], trie: TokenTrie) -> Answered:
        await self._answer(prompt_ids)
        return answered(prompt_ids, trie)

    async def likeliest(self, prompt_ids: Sequence[int], max_tokens: int) -> Likeliest:
        await self._answer(prompt_ids)
        row = LOGPROBS[zlib.crc32(bytes(prompt_ids)) % 4096]
        first = [Beginning((int(token),), float(row[token])) for token in np.argsort(-row)[: 2 * LIKELIEST]]
        return Likeliest(tuple(first), tuple(b"**Two**"[:max_tokens]), max_tokens >= 7)

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        prompt_ids = await self.tokenize(prompt)
        await self._answer(prompt_ids)
        text = f"{random.Random(f'{prompt.text}{sampling.seed}').choice(['One', 'Two', 'Three'])}, perhaps."
        return Generation(text, "stop", tuple(prompt_ids), tuple(text.encode()))

    async def counters(self) -> dict[str, float]:
        return {"retries": float(len(self.asked))}

    async def close(self) -> None:
        pass

    async def _answer(self, prompt_ids: Sequence[int]) -> None:
        text = bytes(prompt_ids).decode()
        self.asked.append(text)
        self.fault(text)
        await asyncio.sleep(self.delay)


def answered(prompt_ids: Sequence[int], trie: TokenTrie, salt: int = 0) -> Answered:
    """The edges of a trie, and the likeliest beginnings outside it; another `salt` is another model."""
    prompt = zlib.crc32(bytes(prompt_ids), salt)
    places = [zlib.crc32(bytes(trie.path(int(node))), prompt) % 4096 for node in trie.inner]
    row_of = np.zeros(len(trie), dtype=np.int64)
    row_of[trie.inner] = np.arange(len(places))
    rows, taken = LOGPROBS[places], (row_of[trie.parent[1:]], trie.token[1:])
    edges = rows[taken]
    rest = trie.reach(edges)[trie.inner][:, None] + rows
    rest[taken] = -np.inf
    found = []
    for own in (trie.inner == 0, trie.inner != 0):
        values = rest[own].ravel()
        best = np.argsort(-values)[:LIKELIEST]
        nodes = trie.inner[own]
        found += [
            Beginning((*trie.path(int(nodes[at // 256])), int(at % 256)), float(values[at])) for at in best
        ]
    return Answered(edges, tuple(sorted(found, key=lambda one: -one.logprob)))


def nan_for(mark: str) -> Callable[[str], None]:
    """A fault: prompts that contain `mark` overflow the model."""

    def fault(text: str) -> None:
        if mark in text:
            raise ItemError("nan", "the model overflowed")

    return fault


def kill_often(folder: Path, trials: Path, experiment: str, kills: int, seed: int) -> None:
    """Run an experiment in child processes that are killed at random moments, then to its end.

    Every child writes the keys it asks to a file. After each kill the parent checks that nothing was asked
    that the ledger held when the child began.
    """
    rng, listed = random.Random(seed), studies.read_trials(trials)
    asked_file = folder.parent / "asked"
    done, killed = False, 0
    while not done or killed < kills:
        held = _held(folder)
        asked_file.write_text("")
        child = os.fork()
        if child == 0:
            _child(folder, listed, experiment, asked_file)
        if killed < kills:
            # One in five at any moment, also while the run starts; the others once it asks.
            asking = rng.random() < 0.8
            while asking and not asked_file.stat().st_size:
                time.sleep(0.01)
            time.sleep(rng.uniform(0.0, 0.4))
            os.kill(child, signal.SIGKILL)
            killed += 1
        _, status = os.waitpid(child, 0)
        done = os.waitstatus_to_exitcode(status) == 0
        again = held & set(asked_file.read_text().split())
        if again:
            sys.exit(f"asked again although it was on disk: {again}")
        if done and killed < kills:
            sys.exit(f"the run was over after {killed} kills; make it longer")


def _held(folder: Path) -> set[str]:
    return {key.hex() for key in Ledger(folder / layout.LEDGER).contents.final}


def _child(folder: Path, trials: TrialList, experiment: str, asked_file: Path) -> None:
    async def work() -> None:
        engine = DeterministicEngine(delay=0.02)
        opened = RunFolder.create(folder, studies.experiment(experiment), trials, await engine.describe())
        keys = {f"<{item.question.prompt.text}>": item.key for item in opened.plan.distinct}
        with asked_file.open("a", buffering=1) as log:
            engine.fault = lambda text: print(keys[text], file=log)
            await run(opened, engine)

    asyncio.run(work())
    os._exit(0)


if __name__ == "__main__":
    _, run_folder, trial_list, name, count, start = sys.argv
    kill_often(Path(run_folder), Path(trial_list), name, int(count), int(start))
