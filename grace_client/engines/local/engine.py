"""The embedded engine: a transformers model in this process."""

from __future__ import annotations

import asyncio
import hashlib
import json
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from threading import Event
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from grace_client.core.errors import ItemError, SpecError

try:
    from grace_client.engines.local import checkpoint
except ImportError as error:
    raise SpecError(
        f"The embedded engine needs the extra 'local' ({error}). "
        "Install it with: pip install 'grace-client[local]'"
    ) from None

from grace_client.core.options import Option, OptionSet, TokenTrie
from grace_client.core.questions import Generation, Prompt, Sampling
from grace_client.engines.base import EngineInfo
from grace_client.engines.chat import prompt_check
from grace_client.engines.chat.dates import with_date
from grace_client.engines.chat.reasoning import CLOSE, OPEN, split_turn
from grace_client.engines.chat.template import DEFAULT_SETTINGS, MARKER, SWITCH, TemplateSettings, shape_of
from grace_client.engines.local import default_model
from grace_client.engines.local.model_check import check_causal, check_vocabulary
from grace_client.engines.local.sampling import Draw, before_stop, decode
from grace_client.engines.local.tree import CHUNK, TreeScorer, walk

REMEDY = (
    "Correct chat_template.jinja or tokenizer_config.json in a copy of the model's folder, so that the "
    "template prints a user's turn unchanged, and name that folder with --model"
)
"""The next step if a template or a tokenizer changes questions."""

BATCH = 16
"""How many free-text answers are drawn together."""

Method = Literal["tree", "walk"]


class LocalEngine:
    """A Hugging Face model in this process, on CPU, CUDA or MPS.

    Make one with `LocalEngine.load`.

    Parameters
    ----------
    model, tokenizer
        As transformers loads them.
    name, revision : str
        Name and version of the model in tables and manifest.
    settings : TemplateSettings
        Settings for the chat template.

    Raises
    ------
    SpecError
        If the model looks ahead, or its tokenizer or chat template changes the questions.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        revision: str,
        settings: TemplateSettings = DEFAULT_SETTINGS,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.revision = revision
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="grace-local")
        self._waiting: list[tuple[Draw, asyncio.Future[None]]] = []
        self._drawing: asyncio.Task[None] | None = None
        self._closing = Event()
        self._rows = model.get_input_embeddings().weight.shape[0]
        check_vocabulary(tokenizer, self._rows, name)
        self._stop_ids = _stop_ids(model, tokenizer)
        self.settings = settings
        self._template = self._with_date(name)
        self._check_template(prompt_check.PROBES[0])
        self.shape = shape_of(
            settings,
            self._rendered(settings.options),
            self._rendered(settings.options | SWITCH),
            takes_effort=self._rendered({"reasoning_effort": "low"})
            != self._rendered({"reasoning_effort": "high"}),
            knows_tags=all(len(self._encode(tag)) == 1 for tag in (OPEN, CLOSE)),
            name=name,
        )
        check_causal(model, self._check_prompts(), name)
        self.tree = TreeScorer(model)
        self.method: Method = self._choose_method()

    @classmethod
    def load(
        cls,
        model: str | None = None,
        *,
        dtype: str = "auto",
        device: str | None = None,
        settings: TemplateSettings = DEFAULT_SETTINGS,
        say: Callable[[str], None] = lambda _: None,
    ) -> LocalEngine:
        """Load a model.

        Parameters
        ----------
        model : str, optional
            A Hugging Face id such as ``"google/gemma-2-2b-it"``, or a folder. Default: the embedded model.
        dtype : str
            ``"float32"``, ``"bfloat16"``, ``"float16"``, or ``"auto"``: float32 on a CPU, the type of the
            weights elsewhere.
        device : str, optional
            Such as ``"cuda:0"``. Default: the first of CUDA, MPS, CPU that is there.
        settings : TemplateSettings
            Settings for the chat template.
        say : callable
            Called with each line of progress.

        Raises
        ------
        SpecError
            If the model cannot be loaded or run. The message says what to do.
        """
        device = checkpoint.device_for(dtype, device)
        default = model is None or model == default_model.NAME
        source = str(default_model.ensure(say)) if default else str(model)
        name = Path(source).resolve().name if Path(source).is_dir() else source
        say(f"loading {name} on {device}")
        loaded, tokenizer = checkpoint.load(source, name, dtype=dtype, device=device)
        if default:
            revision = default_model.REVISION
        elif Path(source).is_dir():
            revision = checkpoint.fingerprint(Path(source))
        else:
            revision = str(getattr(loaded.config, "_commit_hash", None) or "unknown")
        engine = cls(loaded, tokenizer, name=name, revision=revision, settings=settings)
        kind = str(loaded.dtype).removeprefix("torch.")
        say(f"{name} is ready: {kind} on {device}, scoring by {engine.method}")
        return engine

    def concurrency(self, *, scored: bool) -> int:
        """How many calls to run at the same time: scoring takes one at a time, and drawing takes a batch."""
        return 2 if scored else BATCH

    async def describe(self) -> EngineInfo:
        """Everything that determines the answers."""
        template = self.tokenizer.chat_template
        config = self.model.config.get_text_config()
        return EngineInfo(
            engine="local",
            model=self.name,
            revision=self.revision,
            dtype=str(self.model.dtype).removeprefix("torch."),
            template_sha256=_sha256(str(template)) if template else None,
            tokenizer_sha256=_sha256(_tokenizer_text(self.tokenizer)),
            max_context=int(getattr(config, "max_position_embeddings", None) or 2**31 - 1),
            end_of_turn=int(self.tokenizer.eos_token_id),
            prompt_prefix=self.shape.prefix,
            prompt_suffix=self.shape.suffix,
            **self.shape.described,
            versions={
                "transformers": version("transformers"),
                "torch": version("torch"),
                "device": self.model.device.type,
                "machine": platform.machine(),
                "method": self.method,
                **self.settings.versions(dated=self._template != self._plain_template()),
            },
        )

    async def tokenize(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt, chat template and BOS included."""
        return self._prompt_ids(prompt)

    async def tokenize_form(self, text: str) -> list[int]:
        """Token ids of a surface form, without special tokens."""
        return self._encode(text)

    async def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens written out."""
        return self._decoded(ids)

    async def edge_logprobs(self, prompt_ids: Sequence[int], trie: TokenTrie) -> NDArray[np.float64]:
        """Log-probability of every edge, shape (n_edges,), in nats."""
        logprobs: NDArray[np.float64] = await self._run(partial(self._score, prompt_ids, trie))
        return logprobs

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """Draw one free-text answer. Calls at the same time are drawn as one batch."""
        draw = Draw(tuple(self._prompt_ids(prompt)), sampling)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((draw, done))
        if self._drawing is None or self._drawing.done():
            self._drawing = asyncio.create_task(self._draw())
        await done
        form, cut = self.shape.form, draw.finish_reason == "length"
        # The marks of a format may be special tokens.
        text = self.tokenizer.decode(draw.token_ids, skip_special_tokens=form is None)
        begun = form.begun(self.shape.around(direct=prompt.direct)[1]) if form else ""
        text = before_stop(text, sampling.stop)
        turn = split_turn(text, form=form, begun=begun, cut=cut)
        return Generation(
            text=turn.answer,
            finish_reason=draw.finish_reason,
            prompt_ids=draw.prompt_ids,
            token_ids=tuple(draw.token_ids),
            reasoning=turn.reasoning,
            status=turn.status,
            answer_at=form.answer_at(draw.token_ids, self._encode(form.mark)) if form else None,
        )

    async def counters(self) -> dict[str, float]:
        """Empty: this engine sends no requests and has no prefix cache to count."""
        return {}

    async def close(self) -> None:
        """Release the model. Answers that are being drawn are abandoned."""
        self._closing.set()
        self._worker.shutdown(wait=True, cancel_futures=True)
        self.model = None

    async def _run(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    async def _draw(self) -> None:
        while self._waiting:
            # Callers that have just received an answer ask again at once. Without this pause, the next batch
            # would contain only the first of them.
            await asyncio.sleep(0.002)
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            draws = [draw for draw, _ in batch]
            failure: Exception | None = None
            try:
                await self._run(
                    partial(decode, self.model, draws, self._stop_ids, self._closing, self.tokenizer.decode)
                )
            except Exception as error:  # raised for every caller of the batch, below
                failure = error
            for _, done in batch:
                if not done.done():
                    if failure is None:
                        done.set_result(None)
                    else:
                        done.set_exception(failure)

    def _prompt_ids(self, prompt: Prompt) -> list[int]:
        options = self.shape.direct_options if prompt.direct else self.shape.options
        lead = self._encode(self.shape.lead) if prompt.direct and self.shape.lead else []
        ids = self._templated(prompt, options)
        bos = self.tokenizer.bos_token_id
        if bos is not None and ids[:2] == [bos, bos]:
            raise ItemError("engine_fault", "the prompt starts with two BOS tokens")
        if max(ids) >= self._rows:
            raise ItemError(
                "engine_fault",
                f"the prompt contains {self._decoded([max(ids)])!r}: the tokenizer has this token, but the "
                "model does not",
            )
        return ids + lead

    def _check_template(self, text: str) -> None:
        """Check that the chat template works with a question."""
        try:
            self._templated(Prompt(text), self.settings.options)
        except Exception as error:  # a template may raise any error
            raise SpecError(
                f"The chat template of {self.name} cannot be used for a question without a system turn "
                f"({type(error).__name__}: {error}). {REMEDY}"
            ) from None

    def _check_prompts(self) -> list[int]:
        """Check that questions reach the model, with and without reasoning; return the ids of one."""
        ids: list[int] = []
        try:
            for direct in (False, True):
                probes = [
                    (text, self._prompt_ids(Prompt(text, direct=direct))) for text in prompt_check.PROBES
                ]
                pairs = [(text, ids, self._decoded(ids)) for text, ids in probes]
                part = "chat template" if self._template else "tokenizer"
                prompt_check.check(pairs, f"The {part} of {self.name}", REMEDY)
                ids = probes[0][1]
        except ItemError as error:
            raise SpecError(f"{self.name} cannot be used: {error}. {REMEDY}") from None
        return ids

    def _plain_template(self) -> str | None:
        """The chat template of the model; if it has several, the one for plain chats."""
        return self.tokenizer.get_chat_template() if self.tokenizer.chat_template else None

    def _with_date(self, name: str) -> str | None:
        """The chat template with the day of the run instead of today."""
        try:
            template = self._plain_template()
        except ValueError as error:  # several templates, none for plain chats
            raise SpecError(f"{name} cannot be used: {error}. {REMEDY}") from None
        if template is None:
            return None
        dated = with_date(template, self.settings.day)
        if "strftime_now(" in dated:
            raise SpecError(
                f"The chat template of {name} prints today's date in a form that grace cannot set, so a run "
                "could not be continued tomorrow. Write a fixed date into the template "
                "(chat_template.jinja in the model's folder), and name that folder with --model"
            )
        return dated

    def _rendered(self, options: dict[str, Any]) -> str:
        """The template around `MARKER`."""
        return self._decoded(self._templated(Prompt(MARKER), options))

    def _decoded(self, ids: Sequence[int]) -> str:
        # A cleaned-up text would not be the text of these ids.
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _templated(self, prompt: Prompt, options: dict[str, Any]) -> list[int]:
        if self._template:
            ids = self.tokenizer.apply_chat_template(
                prompt.messages,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=False,
                chat_template=self._template,
                **options,
            )
        else:
            ids = self.tokenizer.encode(prompt.text)
        return list(ids)

    def _score(self, prompt_ids: Sequence[int], trie: TokenTrie) -> NDArray[np.float64]:
        length = len(prompt_ids) + len(trie.inner)
        # A sequence longer than the sliding window would need a mask per layer.
        window = getattr(self.model.config.get_text_config(), "sliding_window", None) or length
        if self.method == "tree" and length <= window:
            return self.tree(prompt_ids, trie)
        return walk(self.model, prompt_ids, trie)

    def _choose_method(self) -> Method:
        """The tree pass if it gives the same values as the plain walk on probes, else the walk."""
        ids = (self.tokenizer.encode("The quick brown fox jumps over the lazy dog") * CHUNK)[: 2 * CHUNK + 3]
        a, b, c = ids[1:4]
        probe = TokenTrie.build(
            OptionSet((Option("x", ("x",)), Option("y", ("y",)), Option("z", ("z",)))),
            [[[a, b, c]], [[a, c, b]], [[b, a, a]]],
        )
        tolerance = 1e-3 if str(self.model.dtype) == "torch.float32" else 0.5
        # The second prompt shares its beginning with the first, which tests the cached prefix.
        for prompt in (ids, ids[:-CHUNK]):
            try:
                difference = np.abs(self.tree(prompt, probe) - walk(self.model, prompt, probe)).max()
            except Exception:  # an architecture may raise any error for a mask
                return "walk"
            if not difference < tolerance:
                return "walk"
        return "tree"


def _stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer: the tokenizer's EOS and those of the generation config."""
    declared = getattr(model.generation_config, "eos_token_id", None)
    listed = declared if isinstance(declared, list) else [declared]
    return frozenset(int(i) for i in (*listed, tokenizer.eos_token_id) if i is not None)


def _tokenizer_text(tokenizer: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend.to_str() if backend else json.dumps(tokenizer.get_vocab(), sort_keys=True)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
