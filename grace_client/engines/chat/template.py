"""The text that a chat template puts around a prompt, with and without reasoning. Pure."""

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
"""Placeholder for the prompt while a template is examined. No template contains it."""

DAY = date(2026, 1, 1)
"""The day that templates print unless --prompt-date sets another one."""

SWITCH = {"enable_thinking": False, "thinking": False}
"""Template variables that turn reasoning off. Each template reads the name that it knows."""


@dataclass(frozen=True, slots=True)
class TemplateSettings:
    """A run's settings for the chat template: reasoning, effort, date.

    Attributes
    ----------
    reasoning : str or None
        Whether the model reasons before it answers. None: the default of the experiment.
    effort : str or None
        Reasoning effort, for templates that take it.
    day : date
        The day that a template prints as the date. It is the same for all runs, so that the prompt does not
        change and a run can continue on another day.
    """

    reasoning: Reasoning | None = None
    effort: Effort | None = None
    day: date = DAY

    @classmethod
    def of(
        cls, reasoning: str | None = None, effort: str | None = None, day: str | None = None
    ) -> TemplateSettings:
        """Settings from the values of a command line or a manifest; SpecError if a value is not valid."""
        if reasoning in EARLIER_REASONING:
            raise SpecError(
                f"--reasoning {reasoning} has a new name, which says what it does: "
                f"--reasoning {EARLIER_REASONING[reasoning]}"
            )
        if reasoning not in (None, *get_args(Reasoning)):
            raise SpecError(
                f"--reasoning {reasoning} does not exist. Use one of {', '.join(get_args(Reasoning))}"
            )
        if effort not in (None, *get_args(Effort)):
            raise SpecError(
                f"--reasoning-effort {effort} does not exist. Use one of {', '.join(get_args(Effort))}"
            )
        try:
            parsed = DAY if day is None else date.fromisoformat(day)
        except ValueError:
            raise SpecError(f"--prompt-date {day} is not a date. Example: 2026-01-01") from None
        return cls(cast("Reasoning | None", reasoning), cast("Effort | None", effort), parsed)

    @classmethod
    def of_run(cls, reasoning: str | None, engine: Mapping[str, Any]) -> TemplateSettings:
        """The settings of a run, from its `reasoning` and the description of its engine."""
        versions = engine["versions"]
        return cls.of(reasoning, versions.get("reasoning_effort"), versions.get("date"))

    def versions(self, *, dated: bool) -> dict[str, str]:
        """Effort and date for `EngineInfo.versions`; the date only if the template prints one (`dated`)."""
        effort = {} if self.effort is None else {"reasoning_effort": self.effort}
        return effort | ({"date": self.day.isoformat()} if dated else {})

    @property
    def options(self) -> dict[str, Any]:
        """Variables for the template."""
        return {} if self.effort is None else {"reasoning_effort": self.effort}


DEFAULT_SETTINGS = TemplateSettings()


@dataclass(frozen=True, slots=True)
class Shape:
    """The text around a prompt.

    Attributes
    ----------
    prefix, suffix : str
        Of prompts after which the model may reason.
    direct_prefix, direct_suffix : str
        Of prompts after which the answer begins at once; they include `lead`.
    lead : str
        The text that grace adds to the template's ending to close the reasoning.
    options, direct_options : dict
        Variables for the template, with and without reasoning.
    form : ReasoningFormat or None
        How the model marks its reasoning; None if nothing shows that it reasons.
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

    def options_of(self, *, direct: bool) -> dict[str, Any]:
        """Variables for the template."""
        return self.direct_options if direct else self.options

    def ending(self, *, direct: bool) -> str:
        """The template's own suffix, without `lead`."""
        return self.direct_suffix.removesuffix(self.lead) if direct else self.suffix

    @property
    def described(self) -> dict[str, str]:
        """The fields of an `EngineInfo` about reasoning; empty for a model without it."""
        result = {}
        if self.direct_prefix != self.prefix:
            result["direct_prefix"] = self.direct_prefix
        if self.direct_suffix != self.suffix:
            result["direct_suffix"] = self.direct_suffix
        if self.form is not None:
            result["reasoning_format"] = self.form.name
        return result


def shape_of(
    settings: TemplateSettings, rendered: str, off: str, *, takes_effort: bool, knows_tags: bool, name: str
) -> Shape:
    """The text around a prompt, from a template's renderings of `MARKER`.

    Parameters
    ----------
    settings : TemplateSettings
        The run's settings.
    rendered, off : str
        The template rendered with `settings.options`, and with these and `SWITCH`.
    takes_effort : bool
        Whether low and high effort are rendered differently.
    knows_tags : bool
        Whether the tags of a think block are single tokens of the model.
    name : str
        Name of the model, for errors.

    Raises
    ------
    SpecError
        If an effort is set and the template takes none; or if reasoning is set to on or off and the model
        shows no reasoning.
    """
    if settings.effort is not None and not takes_effort:
        raise SpecError(
            f"the chat template of {name} takes no reasoning effort: low and high give the same text. "
            "Leave --reasoning-effort out"
        )
    prefix, _, suffix = rendered.partition(MARKER)
    off_prefix, _, off_suffix = off.partition(MARKER)
    form = format_of(suffix)
    if form is None and off != rendered and (knows_tags or OPEN in suffix + off_suffix):
        form = THINK
    opens_itself = form is None and knows_tags and settings.reasoning in ("off", "on")
    if opens_itself:
        form = THINK
    elif form is None and settings.reasoning in ("off", "on"):
        raise SpecError(
            f"grace knows two formats of reasoning, think blocks and Harmony. The chat template and the "
            f"vocabulary of {name} have neither. Leave --reasoning out, or ask the model in the prompt not "
            "to reason, with --reasoning off-by-prompt"
        )
    if form is None or settings.reasoning == "off-by-prompt":
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
        settings.options,
        settings.options | switch,
        form,
    )
