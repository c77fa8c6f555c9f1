"""What a chat template puts around a prompt, with and without reasoning. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, cast, get_args

from grace_client.core.errors import SpecError
from grace_client.core.reasoning import EARLIER_REASONING, Reasoning
from grace_client.engines.chat.reasoning import OPEN, THINK, ReasoningFormat, answer_lead, format_of

Effort = Literal["low", "medium", "high"]

MARKER = "What did Oriel leave beside the ninth lantern?"
"""The text that stands for a prompt while the template is looked at; no template has it of its own."""

DAY = date(2026, 1, 1)

SWITCH = {"enable_thinking": False, "thinking": False}
"""How templates are told not to let the model reason; each reads the name that it knows."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run asks of a model's reasoning.

    Attributes
    ----------
    reasoning : str or None
        Whether the model reasons before it answers. None: as the experiment has it.
    effort : str or None
        How much the model is to think, for templates that take it.
    day : date
        What a template is told that prints the date. One day for all runs, so that the prompt is the same
        every day and the run can be taken up again on another.
    """

    reasoning: Reasoning | None = None
    effort: Effort | None = None
    day: date = DAY

    @classmethod
    def of(cls, reasoning: str | None = None, effort: str | None = None, day: str | None = None) -> Wanted:
        """From what a command line or a manifest says; SpecError where it is none of the values."""
        if reasoning in EARLIER_REASONING:
            raise SpecError(
                f"--reasoning {reasoning} has a new name: --reasoning {EARLIER_REASONING[reasoning]}"
            )
        if reasoning not in (None, *get_args(Reasoning)):
            raise SpecError(f"--reasoning is one of {', '.join(get_args(Reasoning))}, not {reasoning!r}")
        if effort not in (None, *get_args(Effort)):
            raise SpecError(f"--reasoning-effort {effort} does not exist. Use {', '.join(get_args(Effort))}")
        try:
            told = DAY if day is None else date.fromisoformat(day)
        except ValueError:
            raise SpecError(f"--prompt-date {day} is not a date. Example: 2026-01-01") from None
        return cls(cast("Reasoning | None", reasoning), cast("Effort | None", effort), told)

    @classmethod
    def of_run(cls, reasoning: str | None, engine: Mapping[str, Any]) -> Wanted:
        """What was asked in a run whose engine was so described."""
        told = engine["versions"]
        return cls.of(reasoning, told.get("reasoning_effort"), told.get("date"))

    def told(self, *, dated: bool) -> dict[str, str]:
        """What an engine's description says of it; of the date only where the template prints one."""
        told = {} if self.effort is None else {"reasoning_effort": self.effort}
        return told | ({"date": self.day.isoformat()} if dated else {})

    @property
    def options(self) -> dict[str, Any]:
        """Variables for the template."""
        return {} if self.effort is None else {"reasoning_effort": self.effort}


UNASKED = Wanted()


@dataclass(frozen=True, slots=True)
class Shape:
    """What stands around a prompt.

    Attributes
    ----------
    prefix, suffix : str
        Where the model may reason.
    direct_prefix, direct_suffix : str
        Where its answer begins at once, `lead` included.
    lead : str
        What grace writes behind the template's own ending there, to close the reasoning.
    options, direct_options : dict
        Variables for the template.
    form : ReasoningFormat or None
        How the model marks its reasoning; None where nothing shows that it reasons.
    """

    prefix: str
    suffix: str
    direct_prefix: str
    direct_suffix: str
    lead: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    direct_options: dict[str, Any] = field(default_factory=dict)
    form: ReasoningFormat | None = None

    def around(self, *, direct: bool) -> tuple[str, str]:
        """Prefix and suffix of a prompt."""
        return (self.direct_prefix, self.direct_suffix) if direct else (self.prefix, self.suffix)

    @property
    def described(self) -> dict[str, str]:
        """The fields of an `EngineInfo` that tell of reasoning; none for a model without it."""
        told = {}
        if self.direct_prefix != self.prefix:
            told["direct_prefix"] = self.direct_prefix
        if self.direct_suffix != self.suffix:
            told["direct_suffix"] = self.direct_suffix
        if self.form is not None:
            told["reasoning_format"] = self.form.name
        return told


def shape_of(
    wanted: Wanted, rendered: str, off: str, *, takes_effort: bool, knows_tags: bool, name: str
) -> Shape:
    """What a template's renderings of `MARKER` say.

    Parameters
    ----------
    wanted : Wanted
        What is asked of the model's reasoning.
    rendered, off : str
        Rendered with `wanted.options`, and with these and `SWITCH`.
    takes_effort : bool
        Whether low and high effort are rendered differently.
    knows_tags : bool
        Whether the tags of a think block are single tokens of the model.
    name : str
        The model's, for errors.

    Raises
    ------
    SpecError
        Where the template takes no effort although one is wanted, and where reasoning is to be on or off and
        the model shows none.
    """
    if wanted.effort is not None and not takes_effort:
        raise SpecError(
            f"the chat template of {name} takes no reasoning effort: low and high give the same text. "
            "Leave --reasoning-effort out"
        )
    prefix, _, suffix = rendered.partition(MARKER)
    off_prefix, _, off_suffix = off.partition(MARKER)
    form = format_of(suffix)
    if form is None and off != rendered and (knows_tags or OPEN in suffix + off_suffix):
        form = THINK
    opens_itself = form is None and knows_tags and wanted.reasoning in ("off", "on")
    if opens_itself:
        form = THINK
    elif form is None and wanted.reasoning in ("off", "on"):
        raise SpecError(
            f"{name} shows no reasoning that grace knows, think blocks or Harmony, neither in its chat "
            "template nor in its vocabulary. Leave --reasoning out, or tell the model not to reason with "
            "--reasoning off-by-prompt"
        )
    if form is None or wanted.reasoning == "off-by-prompt":
        off_prefix, off_suffix, switch = prefix, suffix, {}
    else:
        switch = SWITCH if off != rendered else {}
    lead = answer_lead(off_suffix, THINK if opens_itself else None)
    return Shape(
        prefix,
        suffix,
        off_prefix,
        off_suffix + lead,
        lead,
        wanted.options,
        wanted.options | switch,
        form,
    )
