"""Study files of people who mean harm: no code runs, nothing is written, all ends in a sentence soon."""

from __future__ import annotations

import builtins
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grace_client.core import trials
from grace_client.core.errors import GraceError, SpecError, StudyError, TrialError
from grace_client.run import check
from grace_client.studies import file
from tests.studies.files import plain, write

SECONDS = 10.0
"""Processor time that a file may take: far more than any takes here, far less than for ever."""

LIST = b"item,size,text\nA,small,hello\nB,large,{{ 7 * 7 }}\n"

ESCAPES = [
    "''.__class__.__mro__[1].__subclasses__()",
    "text.__class__",
    "text['__class__']",
    "text|attr('__class__')",
    "text.format(text)",
    "'{0.__class__}'.format(text)",
    "'%s' % text",
    "self._TemplateReference__context",
    "self",
    "cycler.__init__.__globals__.os.popen('id').read()",
    "joiner()",
    "namespace()",
    "lipsum.__globals__['os']",
    "range(999999999)",
    "dict(a=1)",
    "get_flashed_messages.__globals__",
    "config",
    "request",
    "url_for.__globals__",
    "text.upper()",
    "text[0]",
    "text[::-1]",
    "(text, text)[0]",
    "{'a': text}",
    "text|map('upper')|list",
    "text|format(1)",
    "text|pprint",
    "text|tojson",
    "text|xmlattr",
    "text|string|list|batch(9)",
    "text|random",
    "text|sum",
    "text is callable",
    "text is sameas(text)",
    "text * 999999999",
    "9 ** 9 ** 9",
    "9 // 0",
    "text % 1",
    "text ~ caller()",
    "varargs",
    "loop.index",
    "text|join(*text)",
    "text|replace(**text)",
    "text if true else __import__('os')",
    "text is in(text.__dict__)",
    "nothing",
    "options.names",
    "text|join(text.__len__())",
]
BLOCKS = [
    "{% set a = 1 %}",
    "{% set a %}x{% endset %}",
    "{% import 'os' as os %}",
    "{% from 'os' import path %}",
    "{% include '/etc/passwd' %}",
    "{% extends '/etc/passwd' %}",
    "{% macro m() %}{{ m() }}{% endmacro %}",
    "{% call m() %}{% endcall %}",
    "{% filter upper %}x{% endfilter %}",
    "{% block a %}{% endblock %}",
    "{% with a = 1 %}{% endwith %}",
    "{% raw %}x",
    "{% for a in text %}{% for b in text %}{% endfor %}{% endfor %}",
    "{% for a in text recursive %}{{ loop(a) }}{% endfor %}",
    "{% autoescape true %}{% endautoescape %}",
    "{% do text %}",
    "{% if %}",
    "{% endfor %}",
    "{{ " + "(" * 400 + "1" + ")" * 400 + " }}",
    "{{ " + "not " * 3000 + "1 }}",
    "{{ text" + "|upper" * 3000 + " }}",
    "{{ text" + "|replace('e', 'eeeeeeeeee')" * 40 + " }}",
    "{{ text" + "|join('xxxxxxxxxx')" * 40 + " }}",
    "{% if text %}" * 300 + "{% endif %}" * 300,
    "{# " + "x" * 300_000 + " #}",
]
YAMLS = [
    "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]",
    "!!python/object/apply:os.system ['touch owned']",
    "!!python/name:os.system",
    "!!python/module:os",
    "!!python/object/new:os.system [x]",
    "a: !!binary |\n  R0lGODlh",
    "a: !!set {b, c}",
    "a: !!timestamp 2001-01-01",
    "!include /etc/passwd",
    "<<: {a: 1}\na: 2\n",
    "{" * 3000,
    "[" * 3000 + "]" * 3000,
    "- " * 3000,
    "? " * 3000,
    "a: " + "x" * 3_000_000,
    "a:\n" + "  b: 1\n" * 2,
    "a: 'x",
    'a: "\\x0',
    "a: |9\n x",
    "\t a: 1",
    "%TAG ! tag:x,2000:\n---\na: !b c",
    "%YAML 9.9\n---\na: 1",
    "\x00",
    "a: \ud7ff\uffff",
    "a: *b",
    "--- a\n--- b",
    "grace: 1\n" * 2,
    "grace: [1]",
    "grace: {1: 1}",
    "1",
    "''",
    "null",
]
PATTERNS = [
    "(a+)+$",
    "(?:a|aa)+$",
    "(?:[a-z]+)*\\d",
    "(.*)*x",
    "(.+)+\\1x",
    "(?:(?:(?:l+)+)+)+z",
    "(" * 200 + "a" + ")" * 200,
    "(?R)",
    "(?P<n>(?&n))",
    "(?P<n>x(?1)?)",
    "(?P<n>x(?P>n)?)",
    "(?P<n>a)|(?P<n>b)",
    "a{1,999999}{1,999999}",
    "[[a-z]--[b]]",
    "(?<=a+)b",
    "(?P<text>.*)",
    "(?P<1>a)",
    "\\",
    "*",
    "(?:" + "a?" * 500 + ")" + "a" * 100,
    "x" * 5000,
    "(?e)(?:abc){e<=30}",
    "\\p{L}{0,}*",
    "(?P<hello>hello){0}",
]
NAMES = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "",
    "manifest.json/..",
    "a/b",
    "a\\b",
    "con\x00",
    "~root",
    "$(touch owned)",
    "`touch owned`",
    "-rf",
    "file:///etc/passwd",
    "http://example.org/x.csv",
    "x" * 5000,
    "A",
    "ä",
    " a",
    "a ",
    "a\nb",
]


def question(**changes: Any) -> dict[str, Any]:
    """The data of a study with a changed question."""
    asked = {"name": "word", "prompt": "{{ text }}", "options": ["yes", "no"]} | changes
    return plain(experiments={"exp1": {"ask": [asked]}})


def column(**changes: Any) -> dict[str, Any]:
    """The data of a study with a changed column of the list."""
    columns = {"item": None, "size": None, "text": changes}
    return plain(trials={"item": "item", "columns": columns})


def hostile() -> Iterator[tuple[str, Any]]:
    """More than two hundred files."""
    for text in [*(f"{{{{ {escape} }}}}" for escape in ESCAPES), *BLOCKS]:
        yield "prompt", question(prompt=text)
    for escape in ESCAPES:
        checks = [{"column": "text", "that": escape, "otherwise": "x"}]
        yield "check", plain(trials=plain()["trials"] | {"checks": checks})
    for text in YAMLS:
        yield "yaml", text
    for pattern in PATTERNS:
        yield "pattern", column(pattern=pattern)
        yield "find", column(find=pattern)
        yield "read", question(options=None, read={"pattern": pattern})
    for name in NAMES:
        yield "study", plain(study=name)
        yield "experiment", plain(experiments={name: plain()["experiments"]["exp1"]})
        yield "file", question(examples={"file": name})
        yield "list", plain(trials=plain()["trials"] | {"file": name})
        yield "question", question(name=name)
        yield "table", plain(experiments={"exp1": plain()["experiments"]["exp1"] | {"table": {"name": name}}})
    many = [f"option {number}" for number in range(10_000)]
    yield "options", question(options=many)
    yield "forms", question(options={"names": ["a", "b"], "spellings": {"a": many}})
    yield "crossing", question(options={"cross": {f"f{i}": [f"{i}{j}" for j in range(9)] for i in range(9)}})
    yield "each", question(each={f"k{i}": list(range(10)) for i in range(8)})
    yield "columns", plain(trials={"columns": dict.fromkeys(f"c{i}" for i in range(10_000))})
    yield (
        "loop",
        question(prompt="{% for o in options %}{{ options|join(text) }}{% endfor %}", options=many[:900]),
    )
    yield "numbers", question(options={"values": ["nan", "inf"]})
    yield "huge number", question(read={"number": [0, 10**30]}, options=None)
    yield "null", question(prompt=None)
    yield "list for text", question(prompt=["x"])
    yield "deep", question(prompt={"a": {"b": {"c": {}}}})


FILES = list(hostile())


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder beside which no file is opened for writing, and from which no program starts."""
    real = builtins.open

    def opened(name: Any, mode: str = "r", *more: Any, **options: Any) -> Any:
        wanted = str(name)
        assert not set(mode) & set("wax+") or wanted.startswith(str(tmp_path)), name
        assert not wanted.startswith("/etc"), name
        return real(name, mode, *more, **options)

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(builtins, "open", opened)
    monkeypatch.setattr(os, "system", never)
    monkeypatch.setattr(subprocess, "Popen", never)
    return tmp_path


def use(path: Path) -> None:
    """Everything that `grace study check` does with a file and a list."""
    study = file.read(path)
    listed = trials.parse(LIST, path="list.csv", schemas=[study.schema])
    for experiment in study.experiments.values():
        check.check(experiment, listed)


@pytest.mark.parametrize(("kind", "data"), FILES, ids=[f"{i}-{kind}" for i, (kind, _) in enumerate(FILES)])
def test_a_hostile_file_ends_in_a_sentence(kind: str, data: Any, guarded: Path) -> None:
    """Or it does no harm: then it is a study like any other."""
    path = write(guarded, data)
    before = time.process_time()
    try:
        use(path)
    except (StudyError, TrialError, SpecError) as error:
        text = str(error)
        assert text and "Traceback" not in text
        assert len(text) < 20_000
    assert time.process_time() - before < SECONDS
    assert [one.name for one in guarded.iterdir()] == [path.name]


def test_there_are_two_hundred_and_most_are_refused(tmp_path: Path) -> None:
    """A file that is accepted is accepted because it is harmless."""
    assert len(FILES) >= 200
    refused = 0
    for kind, data in FILES:
        if kind in ("pattern", "find", "read"):
            continue
        try:
            use(write(tmp_path, data))
        except GraceError:
            refused += 1
    assert refused > 0.9 * sum(kind not in ("pattern", "find", "read") for kind, _ in FILES)


def test_a_cell_is_no_template(tmp_path: Path) -> None:
    """What stands in the list is shown as it stands there."""
    study = file.read(write(tmp_path))
    listed = trials.parse(LIST, path="list.csv", schemas=[study.schema])
    (question,) = study.experiments["tones-exp1"].questions(listed.trials[1])
    assert "{{ 7 * 7 }}" in question.prompt.text


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False),
    st.text(max_size=30),
    st.sampled_from([f"{{{{ {escape} }}}}" for escape in ESCAPES] + PATTERNS + NAMES),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in nested data."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(one for key, value in inner for one in paths(value, (*path, key)))]


BASE = yaml.safe_load((Path(__file__).parents[2] / "grace_client" / "studies" / "study2.yaml").read_text())
BASE["trials"].pop("make")
PLACES = [path for path in paths(BASE) if path]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(PLACES), value=VALUES, remove=st.booleans())
def test_any_change_of_a_study_is_a_study_or_a_sentence(
    place: tuple[Any, ...], value: Any, remove: bool, tmp_path: Path
) -> None:
    """A fuzzer of the format: one value of Study 2 becomes another, or goes."""
    data = yaml.safe_load(yaml.safe_dump(BASE))
    parent = data
    for key in place[:-1]:
        parent = parent[key]
    if remove:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    try:
        file.read(write(tmp_path, yaml.safe_dump(data, allow_unicode=True)))
    except StudyError as error:
        assert all(problem.line >= 1 and problem.message for problem in error.problems)
