"""What the site makes from the sources: the command line, runnable examples, notebooks, formulas."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import typer
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]


# ---- the command line


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command with its full name, groups before what is in them."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield from commands(inner, f"{path} {name}")


def default(parameter: Any) -> str:
    """A default as the help shows it, or nothing."""
    value = parameter.default
    shown = not callable(value) and value not in (None, False, True, (), [], "", Ellipsis)
    return f" Default: `{value}`." if shown and getattr(parameter, "show_default", True) else ""


def described(command: Any, path: str) -> Iterator[str]:
    """A command in MyST."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and "--help" not in p.opts]
    usage = " ".join(
        [path, *(["[OPTIONS]"] if options else []), *(p.metavar or p.name.upper() for p in arguments)]
    )
    yield f"## `{path}`\n"
    yield f"```text\n{usage}\n```\n"
    text = (command.help or "").strip()
    yield re.sub(r"^Examples?:\s+(grace .*(?:\n\S.*)*)", r"```text\n\1\n```", text, flags=re.MULTILINE) + "\n"
    for parameter in [*arguments, *options]:
        names = parameter.opts + parameter.secondary_opts
        if parameter.param_type_name == "argument":
            names = [parameter.metavar or parameter.name.upper()]
        required = " Required." if parameter.required else ""
        text = " ".join((parameter.help or "").split())
        yield f"{', '.join(f'`{name}`' for name in names)}\n: {text}{default(parameter)}{required}\n"


class CommandLine(SphinxDirective):
    """Every command of `grace` with its arguments and options, from the typer app itself."""

    def run(self) -> list[nodes.Node]:
        """One section a command."""
        from grace_client.cli import app

        found = commands(typer.main.get_command(app), "grace")
        text = "\n".join(
            line
            for path, command in found
            if not hasattr(command, "commands")
            for line in described(command, path)
        )
        return self.parse_text_to_nodes(text, allow_section_headings=True)


# ---- the format of study files


def shape(schema: dict[str, Any]) -> str:
    """What a value of the format is, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#format-{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(shape(one) for one in schema["anyOf"]))
    kind = schema.get("type")
    if "const" in schema or "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if kind == "array":
        inner = schema.get("items", {})
        return f"list of {shape(inner)}" if isinstance(inner, dict) else "two numbers"
    if kind == "object":
        values = [schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
        inner = next((value for value in values if isinstance(value, dict)), None)
        return "mapping" if inner is None else f"names, each with {shape(inner)}"
    if isinstance(kind, list):
        return "text"
    words = {"string": "text", "integer": "whole number", "boolean": "true or false", "null": "nothing"}
    return words.get(str(kind), str(kind))


class StudyFormat(SphinxDirective):
    """Every key of a study file, from the JSON Schema that `grace study schema` prints."""

    def run(self) -> list[nodes.Node]:
        """One section a part of the format, the study itself first."""
        from grace_client.studies.schema import published

        whole = published()
        parts = {"Study": whole, **whole["definitions"]}
        text = []
        for name, part in parts.items():
            text.append(f"(format-{name.lower()})=\n## {name}\n\n{part.get('description', '')}\n")
            for key, value in part.get("properties", {}).items():
                needed = " Required." if key in part.get("required", ()) else ""
                said = " ".join(value.get("description", "").split())
                text.append(f"`{key}` ({shape(value)})\n: {said}{needed}\n")
        return self.parse_text_to_nodes("\n".join(text), allow_section_headings=True)


# ---- examples that run while the site is built


def output(code: str, names: dict[str, Any]) -> tuple[str, str]:
    """What code prints, with the value of its last line, and the figure that this value is (SVG)."""
    import pandas as pd

    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    value = None
    with (
        contextlib.redirect_stdout(printed),
        pd.option_context("display.width", 88, "display.max_columns", 12),
    ):
        exec(compile(tree, "<example>", "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "<example>", "eval"), names)  # type: ignore[attr-defined]
        if value is not None and type(value).__name__ != "ggplot":
            print(value)
    if type(value).__name__ == "ggplot":
        from grace_client.analysis import figures

        return printed.getvalue(), figures.svg(value)
    return printed.getvalue(), ""


class Example(SphinxDirective):
    """Python code, and below it what it prints or draws. The examples of a page share their names."""

    has_content = True
    option_spec: ClassVar = {"alt": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """The code, its text, its figure."""
        code = "\n".join(self.content)
        names = self.env.temp_data.setdefault("grace_example_names", {"__name__": "example"})
        text, figure = output(code, names)
        found: list[nodes.Node] = [nodes.literal_block(code, code, language="python")]
        if text.strip():
            found.append(nodes.literal_block(text, text.rstrip(), language="text"))
        if figure:
            alt = self.options.get("alt", "")
            svg = figure[figure.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{alt}"', 1)
            found.append(nodes.raw("", f'<div class="made">{svg}</div>', format="html"))
        return found


class Notebook(SphinxDirective):
    """A notebook of docs/notebooks, its text as text and its code as code."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The cells."""
        path = ROOT / "docs" / "notebooks" / f"{self.arguments[0]}.ipynb"
        self.env.note_dependency(str(path))
        parts = []
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                source = re.sub(r"^#", "##", source, flags=re.MULTILINE)
            parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        return self.parse_text_to_nodes("\n\n".join(parts), allow_section_headings=True)


# ---- formulas without a program from the network


def inline(self: Any, node: nodes.math) -> None:
    """A formula in a line, as MathML."""
    self.body.append(tex2mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def block(self: Any, node: nodes.math_block) -> None:
    """A formula of its own, as MathML."""
    self.body.append(f"<div>{tex2mathml(node.astext(), as_block=True)}</div>")
    raise nodes.SkipNode


# ---- short names in docstrings


def short_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """`read` and `study1.bets` mean those of `grace_client.analysis`."""
    if node.get("refdomain") != "py":
        return None
    domain = env.domains.python_domain
    for prefix in ("grace_client.analysis", "grace_client"):
        name = f"{prefix}.{node['reftarget']}"
        if name in domain.objects:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, content)
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives of this file with Sphinx."""
    app.add_directive("command-line", CommandLine)
    app.add_directive("study-format", StudyFormat)
    app.add_directive("example", Example)
    app.add_directive("notebook", Notebook)
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.connect("missing-reference", short_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
