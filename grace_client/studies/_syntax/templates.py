"""Templates and expressions of a study file: a small, safe part of Jinja2.

A template may name variables, use the filters and tests below, `if` and `for`. Everything else (calls,
attributes, assignments, imports, products and powers) is refused before anything is rendered, and every text
has a maximum length. So a template cannot run code, and cannot run for long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import StrictUndefined, UndefinedError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_TEXT = 200_000
"""Maximum length of a template and of a rendered text, in characters."""

MAX_DEPTH = 50
"""Maximum nesting of a template."""

_TOO_DEEP = "the template is nested too deeply. Make it simpler"

_NUMBERS = {
    word: number
    for number, words in enumerate(
        (
            ("zero", "no", "none", "neither"),
            ("one",),
            ("two", "both"),
            *(
                (word,)
                for word in (
                    "three",
                    "four",
                    "five",
                    "six",
                    "seven",
                    "eight",
                    "nine",
                    "ten",
                    "eleven",
                    "twelve",
                )
            ),
        )
    )
    for word in words
}

_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Const,
    nodes.Name,
    nodes.Filter,
    nodes.Test,
    nodes.If,
    nodes.For,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Concat,
    nodes.Add,
    nodes.Sub,
    nodes.Neg,
    nodes.List,
    nodes.Tuple,
)
_NAMES: dict[type[nodes.Node], str] = {
    nodes.Call: "a call",
    nodes.Getattr: "an attribute (a dot after a name)",
    nodes.Getitem: "an index (square brackets after a name)",
    nodes.Assign: "'set'",
    nodes.AssignBlock: "'set'",
    nodes.Mul: "'*'",
    nodes.Pow: "'**'",
    nodes.Mod: "'%'",
    nodes.Import: "'import'",
    nodes.FromImport: "'import'",
    nodes.Include: "'include'",
    nodes.Extends: "'extends'",
    nodes.Macro: "'macro'",
}


class TemplateError(Exception):
    """A template that cannot be used or rendered; the message says why."""


def _bounded(length: int) -> None:
    if length > MAX_TEXT:
        raise TemplateError(f"the text gets longer than {MAX_TEXT:,} characters")


def _join(values: Iterable[Any], by: str = "") -> str:
    texts = [str(value) for value in values]
    _bounded(sum(map(len, texts)) + len(texts) * len(by))
    return by.join(texts)


def _replace(text: str, old: str, new: str) -> str:
    if not old:
        raise TemplateError("the filter 'replace' needs a text to replace, and it is empty")
    _bounded(len(str(text)) + str(text).count(old) * len(new))
    return str(text).replace(old, new)


def number(words: object) -> int | None:
    """The number in words such as "All three" or "2"; None if their last word is no number."""
    last = (str(words).lower().split() or [""])[-1]
    return int(last) if last.isdecimal() and len(last) < 16 else _NUMBERS.get(last)


def _int(value: object) -> int:
    text = str(value).strip()
    if not re.fullmatch(r"[+-]?\d{1,15}", text):
        raise TemplateError(f"{text!r} is not a whole number, and the filter 'int' needs one")
    return int(text)


def _capitalize(text: object) -> str:
    """The text with a capital first letter; the other letters stay as they are."""
    return str(text)[:1].upper() + str(text)[1:]


def word_in(word: str, text: str) -> bool:
    """Whether a word (or several) stands in a text, not as a part of a longer word."""
    return re.search(rf"(?<!\w){re.escape(str(word))}(?!\w)", str(text)) is not None


FILTERS: dict[str, Callable[..., Any]] = {
    "capitalize": _capitalize,
    "first": lambda values: _end(values, 0),
    "int": _int,
    "join": _join,
    "last": lambda values: _end(values, -1),
    "length": len,
    "lower": lambda text: str(text).lower(),
    "number": number,
    "replace": _replace,
    "trim": lambda text: str(text).strip(),
    "upper": lambda text: str(text).upper(),
}
TESTS: dict[str, Callable[..., bool]] = {
    "defined": lambda value: not isinstance(value, StrictUndefined),
    "undefined": lambda value: isinstance(value, StrictUndefined),
    "none": lambda value: value is None,
    "in": lambda value, values: value in values,
    "word_in": word_in,
}


def _end(values: Sequence[Any], at: int) -> Any:
    if not values:
        raise TemplateError("a list is empty where its first or last entry is needed")
    return values[at]


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True, cache_size=0
    )
    environment.globals.clear()
    environment.filters = dict(FILTERS)
    environment.tests = dict(TESTS)
    return environment


_ENVIRONMENT = _environment()


class Template:
    """A template that was checked.

    Parameters
    ----------
    source : str
        The template.

    Raises
    ------
    TemplateError
        If it is no template, or uses what a study file may not use.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.names = _checked(source)
        # Most cells and names are plain texts.
        self._plain = None if "{" in source else source.removesuffix("\n")
        self._template = None if self._plain is not None else _ENVIRONMENT.from_string(source)

    def render(self, variables: Mapping[str, Any]) -> str:
        """The text with these variables; TemplateError if one is missing, or if a filter fails."""
        if self._template is None:
            assert self._plain is not None
            return self._plain
        parts: list[str] = []
        length = 0
        try:
            for part in self._template.generate(variables):
                parts.append(part)
                length += len(part)
                _bounded(length)
        except UndefinedError as error:
            raise TemplateError(_unknown(error, variables)) from None
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
            raise TemplateError(str(error)) from None
        return "".join(parts)


class Expression:
    """A condition over the variables of a trial, such as ``observe|int <= access|int``."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.names = _checked("{{ " + source + " }}")
        try:
            self._evaluate = _ENVIRONMENT.compile_expression(source, undefined_to_none=False)
        except jinja2.TemplateError as error:
            raise TemplateError(f"{source!r} is no condition: {error}") from None

    def holds(self, variables: Mapping[str, Any]) -> bool:
        """Whether the condition holds; TemplateError if a variable is missing, or if a filter fails."""
        try:
            return bool(self._evaluate(**variables))
        except UndefinedError as error:
            raise TemplateError(_unknown(error, variables)) from None
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
            raise TemplateError(f"{self.source!r}: {error}") from None


@lru_cache(maxsize=4096)
def template(source: str) -> Template:
    """A checked template; the same one for the same source."""
    return Template(source)


@lru_cache(maxsize=1024)
def expression(source: str) -> Expression:
    """A checked condition; the same one for the same source."""
    return Expression(source)


def _unknown(error: UndefinedError, variables: Mapping[str, Any]) -> str:
    known = ", ".join(sorted(variables)) or "none"
    return f"{str(error).rstrip('.')}. Known names: {known}"


def _checked(source: str) -> frozenset[str]:
    """Check what a template uses. Returns the names of its free variables."""
    _bounded(len(source))
    try:
        tree = _ENVIRONMENT.parse(source)
    except jinja2.TemplateError as error:
        raise TemplateError(
            f"this is no template: {error.message} (line {getattr(error, 'lineno', 1)} of it)"
        ) from None
    except RecursionError:
        raise TemplateError(_TOO_DEEP) from None
    bound: set[str] = set()
    used: set[str] = set()
    for node in _walk(tree, 0, in_loop=False):
        if isinstance(node, nodes.Name):
            (used if node.ctx == "load" else bound).add(node.name)
    return frozenset(used - bound - {"loop"})


def _walk(node: nodes.Node, depth: int, *, in_loop: bool) -> Iterable[nodes.Node]:
    if depth > MAX_DEPTH:
        raise TemplateError(_TOO_DEEP)
    if not isinstance(node, _ALLOWED):
        what = _NAMES.get(type(node), f"{type(node).__name__.lower()!r}")
        raise TemplateError(
            f"a template of a study may not use {what}. It may use names, filters, 'if' and 'for'"
        )
    if isinstance(node, nodes.Filter) and (node.name not in FILTERS or node.dyn_args or node.dyn_kwargs):
        raise TemplateError(f"there is no filter {node.name!r}. Filters: {', '.join(FILTERS)}")
    if isinstance(node, nodes.Test) and node.name not in TESTS:
        raise TemplateError(f"there is no test {node.name!r}. Tests: {', '.join(TESTS)}")
    if isinstance(node, nodes.For):
        if in_loop or node.recursive:
            raise TemplateError("a 'for' inside another 'for' is not allowed")
        in_loop = True
    yield node
    for child in node.iter_child_nodes():
        yield from _walk(child, depth + 1, in_loop=in_loop)
