"""The options that name an engine, and how one is connected from them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grace_client.core.errors import SpecError

if TYPE_CHECKING:
    from grace_client.engines.base import Engine
    from grace_client.engines.chat.template import Wanted

Model = Annotated[
    str | None,
    typer.Option(help="A Hugging Face id or a folder. Default: the embedded model.", show_default=False),
]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Device = Annotated[str | None, typer.Option(help="Such as cpu, cuda:0 or mps. Default: the best there is.")]
Server = Annotated[
    str | None,
    typer.Option(
        help="Ask a vLLM server, such as http://localhost:8000; --model is then the served name. "
        "Its key comes from VLLM_API_KEY or --api-key-file.",
        show_default=False,
    ),
]
ApiKeyFile = Annotated[
    Path | None, typer.Option(help="File that holds the server's key.", show_default=False)
]
WaitForServer = Annotated[float, typer.Option(help="Minutes to wait for the server's first answer.", min=0.0)]
Prune = Annotated[
    float | None,
    typer.Option(
        help="Skip forms that cannot move any option's probability by more than this.", show_default=False
    ),
]
Reasoning = Annotated[
    str | None,
    typer.Option(
        help="Whether a reasoning model reasons before it answers: on, off (by its chat template), "
        "off-by-prompt (the prompt tells it not to). Default: on for free text, off for scored answers.",
        show_default=False,
    ),
]
ReasoningEffort = Annotated[
    str | None,
    typer.Option(
        help="How much the model reasons, if its chat template takes it: low, medium or high.",
        show_default=False,
    ),
]
PromptDate = Annotated[
    str,
    typer.Option(help="The day that a chat template is told which prints the date: the same every day."),
]
Declare = Annotated[
    list[str] | None,
    typer.Option(
        help="What a server does not tell of itself, for the manifest: dtype=bfloat16, revision=….",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that the options name; SpecError where they contradict each other.

    Attributes
    ----------
    model, dtype, device, server, api_key_file, wait_minutes, prune, declare, wanted
        The options.
    """

    model: str | None = None
    dtype: str = "auto"
    device: str | None = None
    server: str | None = None
    api_key_file: Path | None = None
    wait_minutes: float = 0.0
    prune: float | None = None
    declare: list[str] | None = None
    wanted: Wanted | None = None

    def __post_init__(self) -> None:
        if self.server is None and (self.api_key_file or self.wait_minutes or self.prune or self.declare):
            raise SpecError(
                "--api-key-file, --wait-for-server, --prune and --declare are for a server; name it with "
                "--server"
            )
        if self.server is not None and (self.device or self.dtype != "auto"):
            raise SpecError("--device and --dtype are for the embedded engine; a server decides them itself")

    async def connect(self, say: Callable[[str], None]) -> Engine:
        """Load the model, or connect to the server and check it; `say` takes lines of progress."""
        from grace_client.engines.chat.template import UNASKED

        wanted = self.wanted or UNASKED
        if self.server is None:
            from grace_client.engines.local.engine import LocalEngine

            load = partial(
                LocalEngine.load, self.model, dtype=self.dtype, device=self.device, wanted=wanted, say=say
            )
            return await asyncio.to_thread(load)
        from grace_client.core.api_key import from_file
        from grace_client.engines.vllm.engine import VllmEngine

        declared = dict(pair.partition("=")[::2] for pair in self.declare or ())
        if not all(declared.values()):
            raise SpecError(
                f"--declare takes NAME=VALUE, such as dtype=bfloat16, not {' '.join(self.declare or ())}"
            )
        return await VllmEngine.connect(
            self.server,
            model=self.model,
            api_key=from_file(self.api_key_file) if self.api_key_file else None,
            wait_minutes=self.wait_minutes,
            prune=self.prune,
            declared=declared,
            wanted=wanted,
            say=say,
        )
