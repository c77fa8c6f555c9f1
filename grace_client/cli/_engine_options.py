"""The options that choose an engine, and the connection to that engine."""

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

EMBEDDED = "embedded"
"""Name of the model that comes with grace."""

ASKING = "What to ask"
FREE_TEXT = "Free text"
SERVER = "Server"
REASONING = "Reasoning and chat template"
HARDWARE = "Model and hardware"
OUTPUT = "Output"

Model = Annotated[
    str | None,
    typer.Option(
        help="A Hugging Face id or a model folder. Default: the small model that comes with grace.",
        show_default=False,
        rich_help_panel=HARDWARE,
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        help="Number format in which the model computes: float32, bfloat16, float16 or auto. auto is "
        "float32 on a CPU, and the format of the weights elsewhere.",
        rich_help_panel=HARDWARE,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Device for the model, such as cpu, cuda:0 or mps. Default: the fastest one available.",
        show_default=False,
        rich_help_panel=HARDWARE,
    ),
]
Server = Annotated[
    str | None,
    typer.Option(
        help="Ask a vLLM server, such as http://localhost:8000. --model is then the model's name on the "
        "server. The API key comes from VLLM_API_KEY or --api-key-file.",
        show_default=False,
        rich_help_panel=SERVER,
    ),
]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option(help="File with the server's API key.", show_default=False, rich_help_panel=SERVER),
]
WaitForServer = Annotated[
    float,
    typer.Option(help="How many minutes to wait until the server is ready.", min=0.0, rich_help_panel=SERVER),
]
Greedy = Annotated[
    bool,
    typer.Option(
        "--greedy",
        help="Of each scored question, also keep the answer that the model gives by itself. 'grace study "
        "forms RUN' reads it.",
        rich_help_panel=ASKING,
    ),
]
Prune = Annotated[
    float | None,
    typer.Option(
        help="Do not score a form that can add at most this much to its option's probability, such as "
        "0.0001. This saves time. Default: score every form.",
        show_default=False,
        rich_help_panel=SERVER,
    ),
]
Reasoning = Annotated[
    str | None,
    typer.Option(
        help="on: let the model reason before it answers. off: switch reasoning off in its chat template. "
        "off-by-prompt: ask the model in the prompt not to reason. Default: on for free text, off for scored "
        "answers.",
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
        help="The date that chat templates show to the model as today's date. It is fixed, so that prompts "
        "are the same every day.",
        rich_help_panel=REASONING,
    ),
]
Declare = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=VALUE, such as dtype=bfloat16: something that you know of the server and that it does not "
        "report. grace writes it into the run's manifest.",
        show_default=False,
        rich_help_panel=SERVER,
    ),
]


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that the options choose; SpecError if they contradict each other.

    Attributes
    ----------
    model, dtype, device, server, api_key_file, wait_minutes, prune, declare
        The options with these names; `wait_minutes` is ``--wait-for-server``.
    settings : TemplateSettings, optional
        The settings for reasoning and for the chat template.
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
        for_server = {
            "--api-key-file": self.api_key_file,
            "--wait-for-server": self.wait_minutes,
            "--prune": self.prune,
            "--declare": self.declare,
        }
        given = [name for name, value in for_server.items() if value]
        if self.server is None and given:
            these = " and ".join(given)
            raise SpecError(f"{these} can only be used with a server. Add --server URL, or remove {these}")
        if self.server is not None and (self.device or self.dtype != "auto"):
            raise SpecError(
                "--device and --dtype do not work with --server: the server chooses them. Leave them out"
            )

    async def connect(self, say: Callable[[str], None]) -> Engine:
        """Load the model, or connect to the server and check it. `say` prints lines of progress."""
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
                f"--declare {' '.join(self.declare or ())}: expected NAME=VALUE, such as dtype=bfloat16"
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
