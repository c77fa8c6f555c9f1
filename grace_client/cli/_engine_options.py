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
    from grace_client.engines.chat.template import TemplateSettings

ASKING = "What to ask"
FREE_TEXT = "Free text"
SERVER = "Server"
REASONING = "Reasoning and chat template"
HARDWARE = "Model and hardware"
OUTPUT = "Output"

Model = Annotated[
    str | None,
    typer.Option(
        help="A Hugging Face id or a folder. Default: the embedded model.",
        show_default=False,
        rich_help_panel=HARDWARE,
    ),
]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.", rich_help_panel=HARDWARE)]
Device = Annotated[
    str | None,
    typer.Option(
        help="For example cpu, cuda:0 or mps. Default: the fastest there is.", rich_help_panel=HARDWARE
    ),
]
Server = Annotated[
    str | None,
    typer.Option(
        help="Ask a vLLM server, for example http://localhost:8000. --model is then the name under which it "
        "serves the model. Its key comes from VLLM_API_KEY or --api-key-file.",
        show_default=False,
        rich_help_panel=SERVER,
    ),
]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option(help="File with the server's key.", show_default=False, rich_help_panel=SERVER),
]
WaitForServer = Annotated[
    float,
    typer.Option(help="Minutes to wait for the server's first answer.", min=0.0, rich_help_panel=SERVER),
]
Prune = Annotated[
    float | None,
    typer.Option(
        help="Skip forms that cannot change any option's probability by more than this.",
        show_default=False,
        rich_help_panel=SERVER,
    ),
]
Reasoning = Annotated[
    str | None,
    typer.Option(
        help="Whether a reasoning model reasons before it answers: on, off (by its chat template), "
        "off-by-prompt (the prompt tells it not to). Default: on for free text, off for scored answers.",
        show_default=False,
        rich_help_panel=REASONING,
    ),
]
ReasoningEffort = Annotated[
    str | None,
    typer.Option(
        help="How much the model reasons, if its chat template has a setting for it: low, medium or high.",
        show_default=False,
        rich_help_panel=REASONING,
    ),
]
PromptDate = Annotated[
    str,
    typer.Option(
        help="The date that a chat template prints as today. It is fixed, so that prompts are the same every "
        "day.",
        rich_help_panel=REASONING,
    ),
]
Declare = Annotated[
    list[str] | None,
    typer.Option(
        help="A fact for the manifest that the server does not report: dtype=bfloat16, revision=….",
        show_default=False,
        rich_help_panel=SERVER,
    ),
]


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that the options name; SpecError where they contradict each other.

    Attributes
    ----------
    model, dtype, device, server, api_key_file, wait_minutes, prune, declare, settings
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
    settings: TemplateSettings | None = None

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
        from grace_client.engines.chat.template import DEFAULT_SETTINGS

        settings = self.settings or DEFAULT_SETTINGS
        if self.server is None:
            from grace_client.engines.local.engine import LocalEngine

            load = partial(
                LocalEngine.load, self.model, dtype=self.dtype, device=self.device, settings=settings, say=say
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
            settings=settings,
            say=say,
        )
