"""The kinds of values in a study file: texts, templates, conditions, names."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from grace_client.studies._syntax.templates import TemplateError, expression, template


def _template(source: str) -> str:
    try:
        template(source)
    except TemplateError as error:
        raise ValueError(str(error)) from None
    return source


def _condition(source: str) -> str:
    try:
        expression(source)
    except TemplateError as error:
        raise ValueError(str(error)) from None
    return source


def _listed(value: Any) -> Any:
    """A single text where a list is allowed."""
    return [value] if isinstance(value, str) else value


class Also:
    """Further JSON that a type accepts, for the published schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [handler(core), self.schema]}


class OrOne:
    """One entry in place of a list, for the published schema."""

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        listed = handler(core)
        return {"anyOf": [listed, listed["items"]]}


SCALAR = {"type": ["string", "number", "boolean"]}

Text = Annotated[str, Field(min_length=1), WithJsonSchema(SCALAR | {"minLength": 1})]
"""A text as it is written in the file; in YAML, `no` and `1.0` are texts, too."""
Template = Annotated[Text, AfterValidator(_template)]
Condition = Annotated[Text, AfterValidator(_condition)]
Texts = Annotated[
    tuple[Text, ...],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [SCALAR, {"type": "array", "items": SCALAR}]}),
]
Name = Annotated[
    str,
    Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=60),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$", "maxLength": 60}),
]
"""A name that templates can use."""
LevelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_ -]*$", max_length=40)]
"""A level of a way of asking."""
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
"""A file beside the study file: a plain name, no path."""
StudyName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40)]
"""Small letters, digits and hyphens: it becomes a part of file names and of names in Kubernetes."""
