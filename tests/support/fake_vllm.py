"""What a vLLM 0.32 server answers, from a made-up model: a true distribution picked by seed and token ids."""

from __future__ import annotations

import functools
import re
import time
import zlib
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

Json = dict[str, Any]

VOCAB_SIZE = 512
BOS, TURN, END = 256, 257, 258
SPECIAL = {BOS: "<bos>", TURN: "<turn>", END: "</turn>"}
_WHOLE = ["yes", "no", "Yes", "No", "It", "was", "wasn", "terrible", "bad", "good", "amazing", "How", "many"]
WORDS = [
    "'t",
    "user",
    "model",
    *_WHOLE,
    *(f" {word}" for word in [*_WHOLE, "the", "of", "do", "you", "think"]),
]
MARKS = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|constrain|>", "<|return|>", "<|call|>")
ANSWERS = ("Two.", "I think that it is 3.", "Yes.", "No, one or two.", "It was good.", "It wasn't terrible.")

MAX_IDS, MAX_TOP = 128, 20
"""Most ids in `logprob_token_ids`, and most of the top log-probabilities, that vLLM tells."""


class RefusedError(Exception):
    """An answer other than 200, with the body that vLLM gives it."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"error": {"message": message, "type": kind, "param": param, "code": status}}
        self.headers: dict[str, str] = {}


def bad_request(message: str, param: str | None = None, value: object = None) -> RefusedError:
    """A 400; vLLM repeats the parameter and its value in the message where it knows them."""
    detail = f" (parameter={param}, value={value})" if value is not None else ""
    return RefusedError(400, "BadRequestError", message + detail, param)


class Tokenizer:
    """Bytes, single digits and a few words, by longest match.

    Parameters
    ----------
    merges : bool
        Whether there are tokens that reach over the end of a prompt into the answer, as a BPE has when both
        are one text.
    harmony : bool
        Whether conversations are written as gpt-oss has them, with the date and the effort.
    template : str or None
        A Jinja chat template that writes conversations instead.
    """

    bos, end, size = BOS, END, VOCAB_SIZE
    special = frozenset(SPECIAL)

    def __init__(self, merges: bool = False, harmony: bool = False, template: str | None = None) -> None:
        self.harmony = harmony
        self.template = template
        over_the_end = [end + word for end in "\n:" for word in WORDS] if merges else []
        marks = list(MARKS) if harmony else []
        words = {word: END + 1 + i for i, word in enumerate(WORDS + over_the_end + marks)}
        self.marks = {words[mark] for mark in marks}
        self.ids = {text: i for i, text in SPECIAL.items()} | words
        self.bytes = [bytes([i]) for i in range(256)] + [text.encode() for text in self.ids]
        longest_first = sorted(self.ids, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) + "|.", re.DOTALL)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; special tokens that are written out count as such, as in vLLM."""
        pieces = self._pattern.findall(text)
        return [i for piece in pieces for i in ([self.ids[piece]] if piece in self.ids else piece.encode())]

    def begun(self, text: str) -> list[int]:
        """Token ids of a text with the special tokens that the tokenizer adds."""
        return [self.bos, *self.encode(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of token ids, special tokens written out."""
        return b"".join(self.bytes[i] for i in ids if i < len(self.bytes)).decode(errors="replace")

    def chat(
        self, messages: Sequence[Json], add_generation_prompt: bool = True, options: Json | None = None
    ) -> list[int]:
        """Token ids of a conversation, BOS first where there is one."""
        if self.template is not None:
            return self.encode(rendered(self.template, messages, add_generation_prompt, options or {}))
        if self.harmony:
            effort = (options or {}).get("reasoning_effort", "medium")
            system = f"<|start|>system<|message|>Current date: {date.today()}\n\nReasoning: {effort}<|end|>"
            roles = {"system": "developer"}
            turns = "".join(
                f"<|start|>{roles.get(m['role'], m['role'])}<|message|>{m['content']}<|end|>"
                for m in messages
            )
            return self.encode(system + turns + ("<|start|>assistant" if add_generation_prompt else ""))
        roles = {"assistant": "model"}
        turns = "".join(f"<turn>{roles.get(m['role'], m['role'])}\n{m['content']}</turn>\n" for m in messages)
        return self.encode(f"<bos>{turns}" + ("<turn>model\n" if add_generation_prompt else ""))


def rendered(template: str, messages: Sequence[Json], add_generation_prompt: bool, options: Json) -> str:
    """What a chat template prints, as transformers renders it; its errors are refusals, as in vLLM."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: date.today().strftime(form)
    known: Json = {"bos_token": SPECIAL[BOS], "eos_token": SPECIAL[END], **options}
    try:
        return environment.from_string(template).render(
            messages=messages, add_generation_prompt=add_generation_prompt, **known
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise bad_request(str(error)) from None


class FakeVllm:
    """The answers of a server that serves one model.

    Parameters
    ----------
    seed : int
        Of the distributions and the texts.
    model : str
        Name it is served under.
    merges : bool
        See `Tokenizer`.
    processed : bool
        Whether log-probabilities are those after bias and temperature (``--logprobs-mode``).
    thoughts, reasoning_field, text_pattern : str
        What a reasoning model returns: thoughts in a field of the message, or around its text.
    template : str or None
        See `Tokenizer`.
    harmony : bool
        See `Tokenizer`; completions without log-probabilities then follow `text_pattern`.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        model: str = "fake-model",
        max_model_len: int = 2048,
        merges: bool = False,
        processed: bool = False,
        thoughts: str | None = None,
        reasoning_field: str = "reasoning",
        text_pattern: str = "{answer}",
        harmony: bool = False,
        template: str | None = None,
    ) -> None:
        self.seed, self.model, self.max_model_len = seed, model, max_model_len
        self.tokenizer, self.processed = Tokenizer(merges, harmony, template), processed
        self.thoughts, self.reasoning_field, self.text_pattern = thoughts, reasoning_field, text_pattern
        self.answered = self.prompts = self.prompt_tokens = 0
        self._table = _distributions(seed)

    def logprobs(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """Distribution of the next token after some ids, shape (VOCAB_SIZE,), in nats."""
        picked = zlib.crc32(np.array(ids, dtype="<i4").tobytes()) % len(self._table)
        row: NDArray[np.float64] = self._table[picked]
        return row

    def models(self) -> Json:
        """``/v1/models``."""
        card = {"id": self.model, "object": "model", "created": 0, "owned_by": "vllm", "root": self.model}
        card |= {"parent": None, "max_model_len": self.max_model_len, "permission": []}
        return {"object": "list", "data": [card]}

    def tokenize(self, body: Json) -> Json:
        """``/tokenize``, of messages or of a prompt."""
        if "messages" in body:
            options = body.get("chat_template_kwargs")
            ids = self.tokenizer.chat(body["messages"], body.get("add_generation_prompt", True), options)
        else:
            ids = self.tokenizer.encode(body["prompt"])
            if body.get("add_special_tokens", True):
                ids = self.tokenizer.begun(body["prompt"])
        strings = [self.tokenizer.decode([i]) for i in ids] if body.get("return_token_strs") else None
        return {"count": len(ids), "max_model_len": self.max_model_len, "tokens": ids, "token_strs": strings}

    def detokenize(self, body: Json) -> Json:
        """``/detokenize``."""
        return {"prompt": self.tokenizer.decode(body["tokens"])}

    def completion(self, body: Json) -> Json:
        """``/v1/completions``; always the likeliest token, whatever the temperature, unless it is written."""
        prompts = body["prompt"]
        if isinstance(prompts, str):
            prompts = self.tokenizer.begun(prompts)
        if not prompts:
            raise bad_request("You must pass at least one prompt")
        if isinstance(prompts[0], int):
            prompts = [prompts]
        _check_logprobs(body, self.tokenizer.size)
        for ids in prompts:
            self._check_prompt(ids)
        choices = [self._choice(index, ids, body) for index, ids in enumerate(prompts)]
        generated = len(prompts) * int(body.get("max_tokens", 16))
        return self._answer("cmpl", "text_completion", choices, sum(map(len, prompts)), generated, {})

    def chat(self, body: Json) -> Json:
        """``/v1/chat/completions``; one of a few answers, picked by messages and seed."""
        prompt = self.tokenizer.chat(body["messages"], True, body.get("chat_template_kwargs"))
        self._check_prompt(prompt)
        drawn = body.get("seed") if body.get("temperature") else None
        picked = zlib.crc32(f"{self.seed} {drawn} {prompt}".encode()) % len(ANSWERS)
        whole = self.text_pattern.format(answer=ANSWERS[picked])
        text = _before(body.get("stop") or [], whole)
        ids = [*self.tokenizer.encode(text), *([self.tokenizer.end] if text == whole else [])]
        drawn_all, ids = len(ids), ids[: body.get("max_tokens") or body.get("max_completion_tokens")]
        stopped = len(ids) == drawn_all
        message: Json = {
            "role": "assistant",
            "content": self.tokenizer.decode(i for i in ids if i != self.tokenizer.end),
        }
        message |= dict.fromkeys(("refusal", "annotations", "audio", "function_call"))
        tells = bool(body.get("return_token_ids"))
        choice = {
            "index": 0,
            "message": message | {self.reasoning_field: self.thoughts},
            "logprobs": None,
            "finish_reason": "stop" if stopped else "length",
            "stop_reason": None,
            "token_ids": ids if tells else None,
            "routed_experts": None,
        }
        more = {"prompt_logprobs": None, "prompt_token_ids": prompt if tells else None, "prompt_text": None}
        return self._answer("chatcmpl", "chat.completion", [choice], len(prompt), len(ids), more)

    def metrics(self, running: int) -> str:
        """``/metrics``, those of interest; nothing is cached."""
        labels = f'engine="0",model_name="{self.model}"'
        computed = "vllm:prompt_tokens_by_source_total"
        return (
            f"vllm:num_requests_running{{{labels}}} {running:.1f}\n"
            f"vllm:num_requests_waiting{{{labels}}} 0.0\n"
            f'{computed}{{{labels},source="local_compute"}} {self.prompt_tokens:.1f}\n'
            f'{computed}{{{labels},source="local_cache_hit"}} 0.0\n'
            f"vllm:prefix_cache_queries_total{{{labels}}} {self.prompt_tokens:.1f}\n"
            f"vllm:prefix_cache_hits_total{{{labels}}} 0.0\n"
            'vllm:cache_config_info{block_size="32",enable_prefix_caching="True",engine="0"} 1.0\n'
        )

    def _choice(self, index: int, prompt: list[int], body: Json) -> Json:
        if self.tokenizer.harmony and body.get("logprobs") is None and not body.get("allowed_token_ids"):
            return self._written(index, prompt, body)
        bias = np.zeros(self.tokenizer.size)
        for token, value in (body.get("logit_bias") or {}).items():
            bias[int(token)] = value
        ids, tops = list(prompt), []
        for _ in range(body.get("max_tokens", 16)):
            told = self.logprobs(ids)
            biased = (told + bias) / (body.get("temperature") or 1.0)
            if allowed := body.get("allowed_token_ids"):
                biased[[i for i in range(self.tokenizer.size) if i not in allowed]] = -np.inf
            if self.processed:
                told = biased - np.log(np.exp(biased).sum())
            ids.append(int(biased.argmax()))
            named = body.get("logprob_token_ids") or _largest(told, body.get("logprobs") or 0)
            # The chosen token first; a token that was asked for and chosen comes once.
            shown = list(dict.fromkeys([ids[-1], *named]))
            tops.append(dict(zip(shown, _float32(told[shown]), strict=True)))
            if ids[-1] == self.tokenizer.end:
                break
        new = ids[len(prompt) :]
        names = [self._name(i, body) for i in new]
        logprobs = {
            "text_offset": [sum(map(len, names[:i])) for i in range(len(names))],
            "token_logprobs": [top[i] for i, top in zip(new, tops, strict=True)],
            "tokens": names,
            "top_logprobs": [{self._name(i, body): value for i, value in top.items()} for top in tops],
        }
        tells = bool(body.get("return_token_ids"))
        return {
            "index": index,
            "text": self.tokenizer.decode(i for i in new if i not in self.tokenizer.special),
            "logprobs": None if body.get("logprobs") is None else logprobs,
            "finish_reason": "stop" if ids[-1] == self.tokenizer.end else "length",
            "stop_reason": None,
            "token_ids": new if tells else None,
            "prompt_logprobs": self._prompt_logprobs(prompt, body.get("prompt_logprobs")),
            "prompt_token_ids": prompt if tells else None,
            "routed_experts": None,
        }

    def _written(self, index: int, prompt: list[int], body: Json) -> Json:
        """A choice that follows the pattern, its answer picked by prompt and seed."""
        picked = zlib.crc32(f"{self.seed} {body.get('seed')} {prompt}".encode()) % len(ANSWERS)
        whole = self.tokenizer.encode(self.text_pattern.format(answer=ANSWERS[picked]))
        ids = whole[: body.get("max_tokens", 16)]
        shown = [i for i in ids if not (i in self.tokenizer.marks and body.get("skip_special_tokens", True))]
        return {
            "index": index,
            "text": self.tokenizer.decode(shown),
            "finish_reason": "stop" if ids == whole else "length",
            "token_ids": ids,
            "prompt_token_ids": prompt,
        }

    def _prompt_logprobs(self, prompt: list[int], top: int | None) -> list[Json | None] | None:
        if top is None:
            return None
        entries: list[Json | None] = [None]
        for position in range(1, len(prompt)):
            row, entry = self.logprobs(prompt[:position]), {}
            shown = list(dict.fromkeys([prompt[position], *_largest(row, top)]))
            for i, value in zip(shown, _float32(row[shown]), strict=True):
                rank, text = int((row >= row[i]).sum()), self.tokenizer.decode([i])
                entry[str(i)] = {"logprob": value, "rank": rank, "decoded_token": text}
            entries.append(entry)
        return entries

    def _name(self, token: int, body: Json) -> str:
        if body.get("return_tokens_as_token_ids"):
            return f"token_id:{token}"
        return self.tokenizer.decode([token])

    def _answer(
        self, prefix: str, kind: str, choices: list[Json], asked: int, generated: int, more: Json
    ) -> Json:
        self.answered += 1
        self.prompts += len(choices)
        self.prompt_tokens += asked
        usage = {"prompt_tokens": asked, "total_tokens": asked + generated, "completion_tokens": generated}
        answer = {
            "id": f"{prefix}-{self.answered:016x}",
            "object": kind,
            "created": int(time.time()),
            "model": self.model,
            "choices": choices,
            "service_tier": None,
            "system_fingerprint": f"vllm-0.32.0-{zlib.crc32(self.model.encode()):08x}",
            "usage": usage | {"prompt_tokens_details": None, "completion_tokens_details": None},
        }
        return answer | more | {"kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}

    def _check_prompt(self, ids: Sequence[int]) -> None:
        if not ids:
            raise bad_request("The decoder prompt cannot be empty")
        if max(ids) >= self.tokenizer.size:
            raise bad_request(f"Token id {max(ids)} is out of vocabulary")
        if len(ids) > self.max_model_len:
            message = (
                f"This model's maximum context length is {self.max_model_len} tokens. However, your prompt "
                f"contains {len(ids)} input tokens, which exceeds this limit even without any output tokens. "
                "Please reduce the length of the input prompt."
            )
            raise bad_request(message, "input_tokens", len(ids))
        if len(ids) == self.max_model_len:
            raise bad_request("max_tokens must be at least 1, got 0.", "max_tokens", 0)


@functools.lru_cache(maxsize=4)
def _distributions(seed: int) -> NDArray[np.float64]:
    logits = np.random.default_rng(seed).normal(scale=3.0, size=(4096, VOCAB_SIZE))
    table: NDArray[np.float64] = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    table.flags.writeable = False
    return table


def _before(stop: Sequence[str], text: str) -> str:
    return text[: min((text.find(one) for one in stop if one in text), default=len(text))]


def _check_logprobs(body: Json, size: int) -> None:
    asked: list[int] = body.get("logprob_token_ids") or []
    limit = "which is greater than max allowed"
    if asked and body.get("logprobs") is None:
        message = "when using `logprob_token_ids`, `logprobs` must be set. (parameter=logprob_token_ids)"
        raise bad_request(message, "logprob_token_ids")
    if len(asked) > MAX_IDS:
        message = f"Requested logprob_token_ids of length {len(asked)}, {limit}: {MAX_IDS}"
        raise bad_request(message, "logprob_token_ids", len(asked))
    if strange := [i for i in asked if not 0 <= i < size]:
        message = f"token_id(s) {strange} in logprob_token_ids contain out-of-vocab token ids. "
        raise bad_request(f"{message}Vocabulary size: {size}", "logprob_token_ids", strange)
    # With named ids, `logprobs` only has to be there.
    for field, name in (("prompt_logprobs", "prompt"), ("logprobs", "sample"))[: 1 if asked else 2]:
        if (body.get(field) or 0) > MAX_TOP:
            message = f"Requested {name} logprobs of {body[field]}, {limit}: {MAX_TOP}"
            raise bad_request(message, field, body[field])


def _largest(row: NDArray[np.float64], count: int) -> list[int]:
    return np.argsort(-row, kind="stable")[:count].tolist() if count else []


def _float32(values: NDArray[np.float64]) -> list[float]:
    """As precisely as vLLM tells them, and with its number for minus infinity."""
    told: list[float] = np.maximum(values.astype(np.float32), -9999.0).tolist()
    return told
