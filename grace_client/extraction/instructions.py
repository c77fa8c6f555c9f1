"""The instructions for an LLM that reads answers, and the schema of its reply."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, create_model, model_validator

from grace_client.core.trials import Trial
from grace_client.extraction.reading import LEVELS, UNPARSED, Values
from grace_client.studies.declaration import Kind

CATEGORIES = ("answer", "hedge", "refusal", "echo", "ambiguous", "truncated", "other")

_TASK = """\
You code the answers that a language model gave in a psychology experiment. You get one answer and say \
what it answers, and nothing that it does not say: you never guess.

{question}

value: {values}, or "unparsed" where the answer is not clear.
category: "answer" (it answers the question); "hedge" (it says that it does not know or that it cannot be \
decided); "refusal" (it declines to answer); "echo" (it only repeats the question or the scenario); \
"ambiguous" (it allows more than one value: a range, a bound, a contradiction); "truncated" (it ends before \
it answers); "other" (anything else).
confidence: "high", "medium" or "low".
span: the shortest part of the answer that gives the value, copied character by character; "" where value is \
"unparsed".

The category is "answer" exactly where there is a value{unsure}. The answer may be in any language.

Reply with one JSON object of this JSON schema and nothing else:
{schema}"""

_UNSURE = ', but "unsure" goes with "hedge"'

_NUMBER = (
    "The question asked for a whole number from {} to {}. The value is the number, in digits, that the "
    'answer settles on. Ranges ("2 or 3"), bounds ("at least 2") and numbers that it only repeats are not a '
    "value."
)
_YES_NO = "The question was one to answer with yes or no. The value is what the answer settles on."
_CHOICE = "The question was which of these options to choose. The value is the name of the option."
_PATTERN = (
    'The value is a part of the answer, copied: what the group "value" of this regular expression finds, '
    "or would find if the answer had the expected form: {}"
)
_OPTIONS = "The options, each with its name:\n{}"


class Coded(BaseModel):
    """The fields of every valid reply of an LLM."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    values: ClassVar[Values]

    value: str
    category: str
    confidence: str
    span: str

    @model_validator(mode="after")
    def _consistent(self) -> Coded:
        expected = None if self.value == UNPARSED else self.values.category(self.value)
        if self.category != expected and (expected or self.category == "answer"):
            raise ValueError(f"category {self.category!r} does not go with value {self.value!r}")
        if bool(self.span) == (self.value == UNPARSED):
            raise ValueError("span must be given exactly where value is not 'unparsed'")
        return self


@dataclass(frozen=True, slots=True)
class Codebook:
    """What an LLM is told about the answers to a question.

    Attributes
    ----------
    name : str
        Name of the question in the study file.
    values : Values
        Its values.
    instructions : str
        The system message.
    """

    name: str
    values: Values
    instructions: str

    @classmethod
    def of(cls, kind: Kind, trial: Trial) -> Codebook:
        """The codebook for the answers to a question about a trial."""
        values = Values.of(kind)
        return cls(kind.name, values, _instructions(values, _question(kind, trial)))

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of a reply. Every property is required, and no other property is allowed."""
        return _schema(self.values)

    @property
    def shape(self) -> type[Coded]:
        """The pydantic model of a reply."""
        return _shape(self.values)


@cache
def _shape(values: Values) -> type[Coded]:
    def allowed(value: str) -> str:
        if value != UNPARSED and value not in values:
            raise ValueError(f"value must be {', '.join(values.words)} or {UNPARSED}")
        return value

    one = Literal[(*values.listed, UNPARSED)] if values.listed else Annotated[str, AfterValidator(allowed)]
    fields: dict[str, Any] = {
        "value": (one, ...),
        "category": (Literal[CATEGORIES], ...),
        "confidence": (Literal[LEVELS], ...),
    }
    made = create_model("Reply", __base__=Coded, **fields)
    made.values = values
    return made


@cache
def _schema(values: Values) -> dict[str, Any]:
    listed = {"enum": [*values.listed, UNPARSED]} if values.listed else {}
    properties: dict[str, Any] = {
        "value": {"type": "string"} | listed,
        "category": {"type": "string", "enum": list(CATEGORIES)},
        "confidence": {"type": "string", "enum": list(LEVELS)},
        "span": {"type": "string"},
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


@lru_cache(maxsize=1024)
def _instructions(values: Values, question: str) -> str:
    words = [f'"{value}"' for value in values.listed] or values.words
    return _TASK.format(
        question=question,
        values=", ".join(words),
        unsure=_UNSURE if values.unsure else "",
        schema=json.dumps(_schema(values)),
    )


def _question(kind: Kind, trial: Trial) -> str:
    """What the question was, in the words of the study file, or in general ones."""
    read, choices = kind.read, kind.choices
    assert read is not None
    shown = [] if choices is None else choices.shown(trial.variables)
    if read.ask is not None:
        parts = [kind.render(read.ask, trial, options=shown)]
    elif read.number is not None:
        parts = [_NUMBER.format(*read.number)]
    elif choices is not None:
        parts = [_CHOICE]
    else:
        parts = [_YES_NO if read.pattern is None else _PATTERN.format(read.pattern)]
    if choices is not None and (read.ask is None or choices.declared.columns):
        lines = (f"{name}: {text}" for name, text in zip(choices.names, shown, strict=True))
        parts.append(_OPTIONS.format("\n".join(lines)))
    if read.ask is None and read.synonyms:
        lines = (f"{value}: {', '.join(words)}" for value, words in read.synonyms.items())
        parts.append("Other words for a value:\n" + "\n".join(lines))
    return "\n\n".join(parts)
