"""The embedded engine: a transformers model in this process."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from threading import Event
from typing import Any, Literal

import numpy as np

from grace_client.core.errors import SpecError

try:
    from grace_client.engines.local import checkpoint
except ImportError as error:
    raise SpecError(
        f"The embedded engine needs the extra 'local' ({error}). "
        "Install it with: pip install 'grace-client[local]'"
    ) from None

from grace_client.core.options import Option, OptionSet, TokenTrie
from grace_client.core.questions import Generation, Prompt, Sampling
from grace_client.engines.base import LIKELIEST, Answered, EngineInfo, Likeliest
from grace_client.engines.chat.reasoning import split_turn
from grace_client.engines.chat.template import DEFAULT_SETTINGS, TemplateSettings
from grace_client.engines.local import default_model
from grace_client.engines.local.model_check import check_causal
from grace_client.engines.local.sampling import Draw, before_stop, decode
from grace_client.engines.local.tokenizer import Tokens
from grace_client.engines.local.tree import CHUNK, TreeScorer, walk

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
        rows = model.get_input_embeddings().weight.shape[0]
        self.tokens = Tokens(tokenizer, model.config, name=name, settings=settings, rows=rows)
        self._stop_ids = _stop_ids(model, tokenizer)
        check_causal(model, self.tokens.checked_ids, name)
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
        source, name = checkpoint.source_of(model, say)
        say(f"loading {name} on {device}")
        loaded, tokenizer = checkpoint.load(source, name, dtype=dtype, device=device)
        if model in (None, default_model.NAME):
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
        tokens = self.tokens
        return EngineInfo(
            engine="local",
            model=self.name,
            revision=self.revision,
            dtype=str(self.model.dtype).removeprefix("torch."),
            template_sha256=tokens.template_sha256,
            tokenizer_sha256=tokens.tokenizer_sha256,
            max_context=tokens.max_context,
            end_of_turn=tokens.end_of_turn,
            prompt_prefix=tokens.shape.prefix,
            prompt_suffix=tokens.shape.suffix,
            **tokens.shape.described,
            versions={
                "transformers": version("transformers"),
                "torch": version("torch"),
                "device": self.model.device.type,
                "machine": platform.machine(),
                "method": self.method,
                **tokens.described,
            },
        )

    async def tokenize(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt, chat template and BOS included."""
        return self.tokens.prompt_ids(prompt)

    async def tokenize_form(self, text: str, prompt_ids: Sequence[int]) -> list[int]:
        """Token ids with which the model writes a text behind a prompt."""
        return self.tokens.form_ids(text, prompt_ids)

    async def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens written out."""
        return self.tokens.shown(ids)

    async def edge_logprobs(self, prompt_ids: Sequence[int], trie: TokenTrie) -> Answered:
        """Log-probability of every edge, and the likeliest beginnings outside the forms."""
        answered: Answered = await self._run(partial(self._score, prompt_ids, trie))
        return answered

    async def likeliest(self, prompt_ids: Sequence[int], max_tokens: int) -> Likeliest:
        """The likeliest first tokens, and the greedy answer. Calls at the same time are one batch."""
        greedy = Sampling(temperature=0, max_tokens=max_tokens, seed=0)
        draw = await self._drawn(Draw(tuple(prompt_ids), greedy, top=2 * LIKELIEST))
        return Likeliest(tuple(draw.first), tuple(draw.token_ids), draw.finish_reason == "stop")

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """Draw one free-text answer. Calls at the same time are drawn as one batch."""
        draw = await self._drawn(Draw(tuple(self.tokens.prompt_ids(prompt)), sampling))
        shape = self.tokens.shape
        form, cut = shape.form, draw.finish_reason == "length"
        # The marks of a format may be special tokens.
        text = self.tokenizer.decode(draw.token_ids, skip_special_tokens=form is None)
        begun = form.begun(shape.around(direct=prompt.direct)[1]) if form else ""
        text = before_stop(text, sampling.stop)
        turn = split_turn(text, form=form, begun=begun, cut=cut)
        mark = self.tokens.form_ids(form.mark, draw.prompt_ids) if form else []
        return Generation(
            text=turn.answer,
            finish_reason=draw.finish_reason,
            prompt_ids=draw.prompt_ids,
            token_ids=tuple(draw.token_ids),
            reasoning=turn.reasoning,
            status=turn.status,
            answer_at=form.answer_at(draw.token_ids, mark) if form else None,
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

    async def _drawn(self, draw: Draw) -> Draw:
        """A draw, once it is complete."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((draw, done))
        if self._drawing is None or self._drawing.done():
            self._drawing = asyncio.create_task(self._draw())
        await done
        return draw

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

    def _score(self, prompt_ids: Sequence[int], trie: TokenTrie) -> Answered:
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
                tree, walked = self.tree(prompt, probe), walk(self.model, prompt, probe)
                difference = np.abs(tree.edges - walked.edges).max()
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
