"""The instructions for an LLM that reads answers, and the schema of its reply."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, create_model, model_validator

from grace_client.extraction.reading import LEVELS, UNPARSED, VALUES

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

_QUESTIONS = {
    "number": (
        "The question was how many of three things have a certain property. The value is the number that "
        'the answer settles on. Numbers that it only repeats from the scenario, ranges ("2 or 3") and bounds '
        '("at least 2") are not a value; "I don\'t know" is never 0.',
        "",
    ),
    "knowledge": (
        "The question was whether a certain person knows exactly how many of three things have a property. "
        'The value is "yes" or "no", and "unsure" where the answer itself says that this cannot be decided.',
        ', but "unsure" goes with "hedge"',
    ),
    "utterance": (
        "The question was which of eight sentences a person would say: It was (or was not) terrible, bad, "
        'good or amazing. The value joins frame and adjective: "It wasn\'t bad" is wasnt_bad. Other words '
        "(okay, great) and two different sentences are not a value.",
        "",
    ),
}


class Coded(BaseModel):
    """The fields of every valid reply of an LLM."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: str
    category: str
    confidence: str
    span: str

    @model_validator(mode="after")
    def _consistent(self) -> Coded:
        expected = {UNPARSED: None, "unsure": "hedge"}.get(self.value, "answer")
        if self.category != expected and (expected or self.category == "answer"):
            raise ValueError(f"category {self.category!r} does not go with value {self.value!r}")
        if bool(self.span) == (self.value == UNPARSED):
            raise ValueError("span must be given exactly where value is not 'unparsed'")
        return self


@cache
def shape(question: str) -> type[Coded]:
    """The pydantic model of a reply about one question."""
    fields: dict[str, Any] = {
        "value": (Literal[(*VALUES[question], UNPARSED)], ...),
        "category": (Literal[CATEGORIES], ...),
        "confidence": (Literal[LEVELS], ...),
    }
    return create_model(f"{question.capitalize()}Coded", __base__=Coded, **fields)


@cache
def schema(question: str) -> dict[str, Any]:
    """The JSON schema of a reply. Every property is required, and no other property is allowed."""
    properties: dict[str, Any] = {
        "value": {"type": "string", "enum": [*VALUES[question], UNPARSED]},
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


@cache
def instructions(question: str) -> str:
    """The system message for one question."""
    text, unsure = _QUESTIONS[question]
    values = ", ".join(f'"{value}"' for value in VALUES[question])
    return _TASK.format(question=text, values=values, unsure=unsure, schema=json.dumps(schema(question)))
