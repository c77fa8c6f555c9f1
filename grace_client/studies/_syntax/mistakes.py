"""What is wrong where a file is not YAML: the usual mistakes, in plain words."""

from __future__ import annotations

import re

import yaml

BRACES = 'a text that begins with {{ needs quotes. Write "{{ … }}" with quotes around the whole text'

_BRACES = re.compile(r"""(?:^|[:,\[{-]\s)\s*(?P<at>\{\{)""")
_SECOND_COLON = re.compile(r"""\s*(?:- +)*(?P<key>[^\s:#'"{\[][^:]*): +[^\s'"]""")
_INDENT = "Give all keys of one mapping the same number of spaces at the beginning of their lines"
_QUOTED = "A text with , : [ ] { } or # in it needs quotes"


def named(error: yaml.MarkedYAMLError, text: str) -> tuple[int, int, str]:
    """Line and column of a mistake, from 1, and a sentence on it.

    Parameters
    ----------
    error : MarkedYAMLError
        The parser's error.
    text : str
        The file.
    """
    mark = error.problem_mark or error.context_mark
    begun = error.context_mark or mark
    if mark is None or begun is None:
        return 1, 1, f"this is not YAML: {error.problem or error.context}"
    lines = [*text.splitlines(), "", ""]
    line, column = mark.line, mark.column
    here, problem = lines[min(line, len(lines) - 1)], error.problem or ""
    for at in dict.fromkeys((line, begun.line)):
        if found := _BRACES.search(lines[min(at, len(lines) - 1)]):
            return at + 1, found.start("at") + 1, BRACES
    first = not here[:column].strip(" -")
    message = f"this is not YAML: {problem or error.context}"
    if r"'\t'" in problem:
        message = "a tab stands here. YAML takes only spaces: replace the tab with spaces"
    elif (found := re.search("character (.+) that cannot start", problem)) or (
        found := re.search(r"expected the node content, but found ('[^<]+')", problem)
    ):
        message = f"a text that begins with {found[1]} needs quotes"
    elif "mapping values are not allowed" in problem:
        message, column = _colon(here, column)
    elif "could not find expected ':'" in problem:
        line, column = begun.line, begun.column
        message = "this is no key: there is no ':' with a space behind it. Write 'KEY: VALUE'"
    elif found := re.search("expected ',' or '(.)'", problem):
        opened = f"that begins in line {begun.line + 1}, column {begun.column + 1}"
        message = f"there is no ',' or '{found[1]}' before this, in the {_kind(found[1])} {opened}. {_QUOTED}"
    elif "unexpected end of stream" in problem or "unexpected document separator" in problem:
        line, column = begun.line, begun.column
        message = "the quote that opens here is not closed"
    elif "unknown escape character" in problem or "escape sequence" in problem:
        message = (
            r"inside \"…\", a backslash begins a special character. Write \\ for a backslash, or use '…'"
        )
        message = message.replace(r"\"", '"')
    elif "chomping or indentation" in problem:
        message = (
            "behind | or > the line must end. The text begins in the next line, with more spaces before it"
        )
    elif "expected <block end>" in problem:
        message = _block(problem, first)
    return line + 1, column + 1, message


def _colon(here: str, column: int) -> tuple[str, int]:
    """A second colon in a line, or a line that begins too far right."""
    found = _SECOND_COLON.match(here)
    if found and column > found.end("key"):
        key = found["key"].strip()
        return f"a text with ': ' in it needs quotes. Put quotes around the text behind '{key}:'", column
    start = len(here) - len(here.lstrip(" "))
    return f"this line begins further right than the lines that it belongs to. {_INDENT}", start


def _block(problem: str, first: bool) -> str:
    """Something that fits nowhere in a mapping or a list."""
    if not first:
        return (
            "this stands behind the end of a text in quotes. Put the whole text into one pair of quotes; "
            "inside '…', write '' for an apostrophe. Or a quote further up is not closed"
        )
    if "'-'" in problem or "<block sequence start>" in problem:
        return "an entry of a list begins here, among keys. Write the key of the list before it"
    if "'?'" in problem or "<block mapping start>" in problem or "'<key>'" in problem:
        return f"this line begins with another number of spaces than the lines that it belongs to. {_INDENT}"
    return (
        "this line belongs to no key. If it continues a text, give it as many spaces as the text's first "
        "line; else write 'KEY: VALUE'"
    )


def _kind(end: str) -> str:
    return "list" if end == "]" else "mapping"
