"""The checks that a vLLM server must pass before the first question."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from grace_client.core.errors import ServerError, SpecError
from grace_client.core.options import Option, OptionSet, TokenTrie
from grace_client.core.questions import Prompt
from grace_client.engines.base import EngineInfo
from grace_client.engines.chat.template import DEFAULT_SETTINGS, TemplateSettings
from grace_client.engines.vllm import fields, served_template
from grace_client.engines.vllm.endpoints import ModelApi, RequestRefusedError, models
from grace_client.engines.vllm.responses import MalformedError, OtherModelError
from grace_client.engines.vllm.served_template import ServedTemplate
from grace_client.engines.vllm.tasks import run_all
from grace_client.engines.vllm.wire_format import Method

PROMPT = Prompt("How likely is it to rain tomorrow? Answer with a percentage, or with yes or no.")
OPTIONS = OptionSet(tuple(Option(text, (text,)) for text in ("0%", "50%", "100%", "yes", "no", "It was bad")))

PROBES = (
    "How many of the 3 letters do you think have checks inside? 0% 10% 100%",
    "It wasn’t amazing. It was terrible.",
    " leading space, double  space,\ttab\n\nand newlines ",
    "naïve Straße — 日本語 🙂 ﬁ",
    "1234567890 3.14 1e-5 x_y camelCase</s><|im_end|><eos>",
)
"""Texts whose token ids distinguish tokenizers."""

EXACT = 2e-3
"""Largest difference between two ways of scoring in float32, in nats."""

ROUNDED = 0.3
"""The same for a model that computes in 16 bits, in nats."""

SMALLEST_TOP = -14.0
"""Lowest log-probability that the likeliest of a million tokens can have, in nats."""

ENDS = ("</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "<|eot_id|>", "<|im_end|>", "<end_of_turn>")
"""Tokens with which a base model may end its text. The server shows at which one it stops."""


@dataclass(frozen=True)
class CheckedServer:
    """Results of the start-up check.

    Attributes
    ----------
    info : EngineInfo
        The engine's description.
    method : str
        The way of scoring.
    bos : int or None
        The token that every prompt begins with, exactly once.
    template : ServedTemplate
        The server's chat template.
    prompt_ids, trie, edges
        A test question, its options, and their log-probabilities, shape (n_edges,): they identify the model.
    tolerance : float
        Largest difference between these values and later ones of the same model, in nats.
    """

    info: EngineInfo
    method: Method
    bos: int | None
    template: ServedTemplate
    prompt_ids: tuple[int, ...]
    trie: TokenTrie
    edges: NDArray[np.float64]
    tolerance: float

    async def verify(self, api: ModelApi) -> None:
        """Check that the server answers and still serves the model of the start-up check.

        Raises
        ------
        ServerError
            Retryable if the server does not answer, not retryable if it serves another model.
        MalformedError
            If one of its answers is malformed. This alone does not end a run.
        """
        why = ""
        cards = await models(api.client, deadline=api.deadline)
        if api.card not in cards:
            why = f"it now lists {', '.join(f'{c.name} ({c.root})' for c in cards) or 'no model'}"
        else:
            try:
                edges = await api.score(self.prompt_ids, self.trie, self.method)
            except OtherModelError as error:
                why = str(error)
            except (RequestRefusedError, SpecError) as error:
                raise ServerError(f"{api.client.url} did not answer the test question: {error}") from None
            else:
                difference = _difference(edges, self.edges)
                if not difference <= self.tolerance:
                    why = f"its log-probabilities for the test question moved by {difference:.3g} nats"
        if why:
            raise ServerError(
                f"{api.client.url} no longer serves {api.card.name} as it did when this run began: {why}. "
                "No answer of the changed server was stored. Serve the model as before, or use a new run "
                "folder",
                retryable=False,
            )


async def check_server(
    api: ModelApi,
    *,
    declared: Mapping[str, str] | None = None,
    settings: TemplateSettings = DEFAULT_SETTINGS,
    today: date | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> CheckedServer:
    """Check that a server scores exactly, and describe it.

    Parameters
    ----------
    api : ModelApi
        The server and the model.
    declared : mapping, optional
        Properties that the user or the chart states: ``dtype``, ``revision``, and anything for
        `EngineInfo.versions`.
    settings : TemplateSettings
        Settings for the chat template.
    today : date, optional
        Default: the current day.
    say : callable
        Called with each line of progress.

    Raises
    ------
    SpecError
        If the server's log-probabilities or its chat template cannot be used. The message says why.
    """
    known = dict(declared or {})
    dtype = known.pop("dtype", "unknown")
    try:
        chat = await api.has_template()
        plain, bare = await run_all(
            api.tokenize("PROMPT", special=True), api.tokenize("PROMPT", special=False)
        )
        bos = plain[0] if len(plain) > len(bare) and plain[:1] != bare[:1] else None
        prompt_ids = await _prompt_ids(api, PROMPT, chat)
        if bos is not None and prompt_ids[:2] == [bos, bos]:
            raise SpecError(
                f"{api.client.url} starts every prompt with two BOS tokens. Start the server with a chat "
                "template without BOS (--chat-template)"
            )
        if prompt_ids[:1] != [bos]:
            bos = None
        template = await served_template.read_template(api, chat, settings, today or date.today())
        await served_template.check_prompts(api, template)
        shape = template.shape
        prompt_ids = await template.prompt_ids(replace(PROMPT, direct=True), api)
        trie = await _trie(api, template, prompt_ids)
        method, edges, difference = await _choose(api, prompt_ids, trie, dtype, say)
        await _check_mode(api, prompt_ids, trie, method, edges)
        end_of_turn = await _end_of_turn(api, template)
        tokenizer = await run_all(*(api.tokenize(probe, special=False) for probe in PROBES))
    except RequestRefusedError as error:
        raise SpecError(
            f"{api.client.url} cannot be used: it refused a request of the start-up check: {error}"
        ) from None
    except MalformedError as error:
        raise ServerError(
            f"{api.client.url} gave an unusable answer to the start-up check: {error}"
        ) from None
    info = EngineInfo(
        engine="vllm",
        model=api.card.name,
        revision=known.pop("revision", api.card.root),
        dtype=dtype,
        template_sha256=_sha256([shape.prefix, shape.suffix]) if chat else None,
        tokenizer_sha256=_sha256(tokenizer),
        max_context=api.card.max_context or 2**31 - 1,
        end_of_turn=end_of_turn,
        prompt_prefix=shape.prefix,
        prompt_suffix=shape.suffix,
        **shape.described,
        versions={**await api.facts(), "method": method, **known, **template.described(settings)},
    )
    two_ways = "" if math.isnan(difference) else f"; two ways of scoring agree within {difference:.1e} nats"
    say(f"{api.card.name} is ready at {api.client.url}, scoring by {method}{two_ways}")
    tolerance = max(0.01, min(2 * ROUNDED, 4 * (0.0 if math.isnan(difference) else difference)))
    return CheckedServer(info, method, bos, template, tuple(prompt_ids), trie, edges, tolerance)


async def _prompt_ids(api: ModelApi, prompt: Prompt, chat: bool) -> list[int]:
    if chat:
        return await api.tokenize_chat(prompt.messages, generation_prompt=True)
    return await api.tokenize(prompt.text, special=True)


async def _trie(api: ModelApi, template: ServedTemplate, prompt_ids: list[int]) -> TokenTrie:
    forms = await run_all(*(template.forms.ids(o.forms[0], prompt_ids, api) for o in OPTIONS.options))
    return TokenTrie.build(OPTIONS, [[ids] for ids in forms])


async def _choose(
    api: ModelApi,
    prompt_ids: list[int],
    trie: TokenTrie,
    dtype: str,
    say: Callable[[str], None],
) -> tuple[Method, NDArray[np.float64], float]:
    """The way of scoring, its values, and the difference of the two ways in nats (NaN if only one works)."""
    offered: dict[Method, NDArray[np.float64]] = {}
    missing: list[str] = []
    methods: tuple[Method, ...] = ("logprob_token_ids", "prompt_logprobs")
    for method in methods:
        try:
            offered[method] = await api.score(prompt_ids, trie, method)
        except (RequestRefusedError, MalformedError) as error:
            missing.append(f"{method}: {error}")
    if not offered:
        raise SpecError(
            f"{api.client.url} cannot score exactly. It supports neither logprob_token_ids (vLLM 0.28 or "
            f"newer) nor prompt log-probabilities ({'; '.join(missing)})"
        )
    for method, edges in offered.items():
        if not np.isfinite(edges).all() or edges.std() < 1e-6 or edges.max() > 1e-3:
            raise SpecError(
                f"{api.client.url} gives no usable log-probabilities by {method}: "
                f"{np.array2string(edges, precision=3, threshold=8)}. Serve it with "
                "--logprobs-mode raw_logprobs"
            )
    if len(offered) == 1:
        say(f"{api.client.url} supports one way of scoring only ({missing[0]})")
        return *next(iter(offered.items())), math.nan
    named, forced = offered.values()
    difference = _difference(named, forced)
    if not difference <= (EXACT if dtype == "float32" else ROUNDED):
        raise SpecError(
            f"{api.client.url} scores the same tokens differently by logprob_token_ids and by prompt "
            f"log-probabilities: up to {difference:.3g} nats apart. Serve it with "
            "--logprobs-mode raw_logprobs"
        )
    return "logprob_token_ids", named, difference


async def _check_mode(
    api: ModelApi, prompt_ids: list[int], trie: TokenTrie, method: Method, edges: NDArray[np.float64]
) -> None:
    """Check that log-probabilities are raw: sampling does not change them, and they fit a distribution."""
    if method == "prompt_logprobs":
        return  # vLLM gives these before any sampling parameter is applied, in every mode
    first = np.flatnonzero(trie.parent == 0)
    # An unlikely token, because a bias hardly changes a token with nearly all the probability.
    token = int(trie.token[first[np.argmin(edges[first - 1])]])
    values = []
    top = -math.inf
    for extra in ({}, {"logit_bias": {str(token): 5.0}}, {"temperature": 2.0}):
        sampling = {"temperature": 0.0, **extra}
        choice = await api.complete(
            prompt=prompt_ids,
            max_tokens=1,
            logprobs=0,
            seed=0,
            logprob_token_ids=[token],
            return_tokens_as_token_ids=True,
            **sampling,
        )
        named = fields.mapping(choice, "logprobs", "top_logprobs", 0)
        values.append(fields.number(named, f"token_id:{token}"))
        top = max(top, *(fields.number(named, one) for one in named)) if not extra else top
    moved = max(values) - min(values)
    if moved > ROUNDED or not SMALLEST_TOP <= top <= 1e-3:
        raise SpecError(
            f"{api.client.url} does not give the model's own log-probabilities (logit_bias and temperature "
            f"changed one by {moved:.2f}; the likeliest token has {top:.2f}). Serve it with "
            "--logprobs-mode raw_logprobs"
        )


async def _end_of_turn(api: ModelApi, template: ServedTemplate) -> int:
    """The token with which the model ends its turn; -1 if it is unknown.

    For a chat model it follows the text of a finished assistant turn in the chat template. For a base model
    it is one of the usual ones. Of several candidates, it is the one at which the server stops if no other
    token is allowed; if there is none, the first one in the template.
    """
    shown: list[int] = []
    if template.chat:
        answer = "ANSWER"
        turns = [*Prompt("PROMPT").messages, {"role": "assistant", "content": answer}]
        try:
            whole = await api.tokenize_chat(turns, generation_prompt=False)
        except RequestRefusedError:
            whole = []
        for words in await template.forms.candidates(answer, api):
            # From the right: the template may quote the words, but ends with the turn.
            starts = range(len(whole) - len(words), -1, -1)
            if found := [start for start in starts if whole[start : start + len(words)] == words]:
                shown = whole[found[0] + len(words) :]
                break
    candidates = list(shown)
    for text in ENDS:
        ids = await api.tokenize(text, special=False)
        if len(ids) == 1:
            candidates.append(ids[0])
    for token in dict.fromkeys(candidates):
        try:
            drawn = await api.complete(
                prompt=[*await _prompt_ids(api, PROMPT, template.chat)],
                max_tokens=2,
                temperature=0.0,
                allowed_token_ids=[token],
            )
        except RequestRefusedError:
            continue
        if drawn.get("finish_reason") == "stop":
            return token
    for token in shown:
        if (await api.decode([token])).strip():
            return token
    return -1


def _difference(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    if one.shape != other.shape or (np.isfinite(one) != np.isfinite(other)).any():
        return math.inf
    both = np.isfinite(one)
    return float(np.abs(one[both] - other[both]).max(initial=0.0))


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
