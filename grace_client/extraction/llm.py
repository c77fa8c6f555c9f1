"""An LLM that reads the answers that the rules cannot read, over any OpenAI-compatible API.

grace sends answers only if the user asks for it with ``--llm``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from grace_client.core.errors import SpecError
from grace_client.core.progress import Progress
from grace_client.engines.vllm.tasks import run_all
from grace_client.extraction.answers import Answer, Place
from grace_client.extraction.endpoint import MAX_TOKENS, Asker, Endpoint
from grace_client.extraction.endpoint import client as connect
from grace_client.extraction.instructions import Codebook
from grace_client.extraction.reading import LLM, UNPARSED, Reading
from grace_client.run.folder import RunFolder
from grace_client.run.layout import OK
from grace_client.run.ledger import Ledger, key_of
from grace_client.run.manifest import LlmUse

LEDGER = "extraction"

TOKENS_PER_CHARACTER = 0.3
"""For English text, from DeepSeek's documentation of token usage. Other tokenizers differ."""

Prices = tuple[float | None, float | None]


@dataclass(slots=True)
class Spent:
    """Number of answers and tokens of a session.

    Attributes
    ----------
    texts, failed : int
        Number of answers sent, and of those without a valid reading.
    prompt_tokens, completion_tokens : int
        Number of tokens, as counted by the endpoint.
    """

    texts: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, entry: dict[str, Any]) -> None:
        """Count one ledger entry."""
        self.texts += 1
        self.failed += entry["status"] != OK
        self.prompt_tokens += entry["prompt_tokens"]
        self.completion_tokens += entry["completion_tokens"]


def cost(prompt_tokens: int, completion_tokens: int, prices: Prices) -> float | None:
    """The cost of tokens, from prices per million; None if a price is missing."""
    price_in, price_out = prices
    if price_in is None or price_out is None:
        return None
    return (prompt_tokens * price_in + completion_tokens * price_out) / 1e6


def estimate(
    folder: RunFolder, answers: Sequence[Answer], endpoint: Endpoint, *, every: bool, prices: Prices
) -> dict[str, Any]:
    """Estimate the tokens and the maximum cost of `read`. Nothing is sent.

    Returns
    -------
    dict
        ``texts`` (different answers to send), ``known`` (read before), ``prompt_tokens`` (estimate, with
        `TOKENS_PER_CHARACTER`), ``completion_tokens_most`` (if every reply has the maximum length) and
        ``cost_most`` (None without prices). If a reply does not fit its schema, grace sends the answer once
        more; that is not counted.
    """
    wanted, ledger = _wanted(answers, endpoint, every=every), Ledger(folder.path / LEDGER)
    new = [pair for key, pair in wanted.items() if key not in ledger]
    characters = sum(len(codebook.instructions) + len(text) for codebook, text in new)
    prompt, most = round(characters * TOKENS_PER_CHARACTER), len(new) * MAX_TOKENS
    return {
        "texts": len(new),
        "known": len(wanted) - len(new),
        "prompt_tokens": prompt,
        "completion_tokens_most": most,
        "cost_most": cost(prompt, most, prices),
    }


async def read(
    folder: RunFolder,
    answers: Sequence[Answer],
    endpoint: Endpoint,
    *,
    every: bool = False,
    concurrency: int = 8,
    on_progress: Callable[[Progress], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[dict[Place, Reading], LlmUse, Spent]:
    """Let an LLM read answers: the unclear ones, or all. Equal texts are sent only once, also in later calls.

    Parameters
    ----------
    folder : RunFolder
        The run. The replies are kept in its folder ``extraction``.
    answers : sequence of Answer
        The answers with the readings of the rules. Answers without a word are not sent.
    endpoint : Endpoint
        The endpoint of the LLM.
    every : bool
        Whether to send answers that the rules have read, too.
    concurrency : int
        Number of requests in flight.
    on_progress : callable
        Called after every answer.
    say : callable
        Prints a line for people.

    Returns
    -------
    readings : dict
        From the place of each answer that was sent to its reading.
    LlmUse
        The entry for the manifest.
    Spent
        The use of this call.

    Raises
    ------
    ServerError
        If the endpoint cannot be reached, refuses the key or is always busy. Earlier readings are kept. An
        unusable reply affects only its own text; the next call sends that text again.
    SpecError
        If the endpoint refuses this kind of request.
    """
    wanted, ledger = _wanted(answers, endpoint, every=every), Ledger(folder.path / LEDGER)
    waiting = iter([(key, *pair) for key, pair in wanted.items() if key not in ledger])
    progress = Progress(total=len(wanted), done=sum(key in ledger for key in wanted))
    spent = Spent()
    on_progress(progress)
    client = connect(endpoint, concurrency=concurrency)
    try:
        asker = Asker(client, endpoint, say)

        async def work(most: int | None = None) -> None:
            for count, (key, codebook, text) in enumerate(waiting, start=1):
                entry, final = await asker.ask(codebook, text)
                ledger.append(key, entry, final=final)
                spent.add(entry)
                progress.done += 1
                progress.asked += 1
                progress.failed += entry["status"] != OK
                on_progress(progress)
                if count == most:
                    return

        # The first request runs alone: it finds out whether the endpoint supports JSON schemas.
        await work(1)
        await run_all(*(work() for _ in range(concurrency)))
    finally:
        await client.close()
        ledger.close()
    return _collect(answers, endpoint, wanted, ledger), _use(answers, endpoint, wanted, ledger), spent


def kept(folder: RunFolder, answers: Sequence[Answer], use: LlmUse) -> dict[Place, Reading]:
    """All readings of the LLM of a run's last extraction. Nothing is sent.

    Raises
    ------
    SpecError
        If readings are missing: they are lost, or the LLM would get other instructions today.
    """
    endpoint = Endpoint(use.url, use.model)
    ledger, wanted = Ledger(folder.path / LEDGER), _wanted(answers, endpoint, every=True)
    if (count := sum(key in ledger for key in wanted)) < use.texts:
        raise SpecError(
            f"{folder.path / LEDGER} lacks {use.texts - count} of {use.texts} readings by {use.model}: they "
            "are lost, or were made with the instructions of another version of grace. Run: grace extract "
            f"{folder.path} --llm"
        )
    return _collect(answers, endpoint, wanted, ledger)


def _wanted(answers: Iterable[Answer], endpoint: Endpoint, *, every: bool) -> dict[str, tuple[Codebook, str]]:
    """Codebook and text of every answer to send, by key."""
    wanted = {}
    for answer in answers:
        reading, text = answer.reading, answer.first
        if reading and text and reading.category != "empty" and (every or not reading.read):
            codebook = Codebook.of(answer.kind, answer.item.trial)
            wanted[endpoint.key_of(codebook, text)] = codebook, text
    return wanted


def _collect(
    answers: Iterable[Answer], endpoint: Endpoint, wanted: dict[str, tuple[Codebook, str]], ledger: Ledger
) -> dict[Place, Reading]:
    readings = {}
    for answer in answers:
        if answer.reading and (text := answer.first):
            key = endpoint.key_of(Codebook.of(answer.kind, answer.item.trial), text)
            entry = ledger.get(key) if key in wanted else None
            if entry:
                readings[answer.place] = _reading(entry, text, answer.reading)
    ledger.close()
    return readings


def _reading(entry: dict[str, Any], text: str, rules: Reading) -> Reading:
    """A ledger entry as a reading; unparsed if the LLM failed or quotes words that are not in the text."""
    if entry["status"] != OK:
        return Reading(UNPARSED, rules.category if rules.category != "answer" else "other", method=LLM)
    coded = entry["coded"]
    if coded["value"] == UNPARSED:
        return Reading(UNPARSED, coded["category"], method=LLM)
    start = text.find(coded["span"])
    if start < 0:
        return Reading(UNPARSED, "other", method=LLM)
    span = (start, start + len(coded["span"]))
    return Reading(coded["value"], coded["category"], method=LLM, confidence=coded["confidence"], span=span)


def _use(
    answers: Iterable[Answer], endpoint: Endpoint, wanted: dict[str, tuple[Codebook, str]], ledger: Ledger
) -> LlmUse:
    total = Spent()
    for key in wanted:
        if entry := ledger.get(key):
            total.add(entry)
    ledger.close()
    return LlmUse(
        url=endpoint.url,
        model=endpoint.model,
        prompt_sha256=key_of(sorted({Codebook.of(a.kind, a.item.trial).instructions for a in answers})),
        texts=total.texts,
        failed=total.failed,
        prompt_tokens=total.prompt_tokens,
        completion_tokens=total.completion_tokens,
    )
