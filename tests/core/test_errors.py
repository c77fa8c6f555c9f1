"""Errors carry stable codes, so that no program needs to read their sentences."""

import ast
import json
import re
from pathlib import Path

import pytest

from grace_client.core import errors
from grace_client.core.errors import GraceError, ItemError, Problem, ReleaseError, SpecError, TrialError
from tests.conftest import grace

PACKAGE = Path(errors.__file__).parents[1]

CODES = {
    "busy",
    "cluster-lost",
    "connection-lost",
    "error",
    "file",
    "item",
    "not-enough-data",
    "program-missing",
    "record-damaged",
    "release",
    "release-doomed",
    "release-timeout",
    "results-incomplete",
    "server",
    "spec",
    "study",
    "transfer-damaged",
    "trials",
    "usage",
}
"""Programs of users decide by these. A code that changes or goes needs a line in the changelog."""

READS_WORDS = {
    "kube/kubectl.py",  # kubectl and helm say why they failed only in words
    "engines/vllm/endpoints.py",  # vLLM has no code for "no chat template"
    "engines/local/checkpoint.py",  # the error of a library is shown, and its class decides
}


def _codes() -> list[str]:
    return [
        str(statement.value.value)
        for file in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
        for statement in node.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        and ast.unparse(statement).startswith("code")
        and isinstance(statement.value, ast.Constant)
    ]


def test_the_codes_are_these_and_the_table_explains_each() -> None:
    found = _codes()
    assert sorted(found) == sorted(CODES), "each class has a code, and no two classes have the same"
    table = (errors.__doc__ or "").split("====\n")[2]
    assert {line.split()[0] for line in table.splitlines()[:-1]} == CODES


def test_a_class_without_a_code_of_its_own_is_refused() -> None:
    with pytest.raises(TypeError, match="code"):
        type("NamelessError", (SpecError,), {})


def test_no_module_decides_by_the_words_of_an_error() -> None:
    decides = re.compile(
        r"""\bin str\((?:error|failure|exc|e)\)|(?:search|match|findall)\(str\(|str\(error\)\.startswith"""
    )
    found = {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        if decides.search(file.read_text(encoding="utf-8"))
    }
    assert found <= READS_WORDS


@pytest.mark.parametrize(
    ("error", "more"),
    [
        (SpecError("no"), {"code": "spec", "exit_code": 2}),
        (SpecError("no", retryable=True), {"code": "spec", "exit_code": 3}),
        (ItemError("too_long", "no"), {"code": "item", "exit_code": 1, "status": "too_long"}),
        (ReleaseError("no", reason="Conflict"), {"code": "release", "exit_code": 2, "reason": "Conflict"}),
        (
            TrialError("a.csv", [Problem(3, "x", "bad")]),
            {
                "code": "trials",
                "exit_code": 2,
                "file": "a.csv",
                "problems": [{"line": 3, "column": "x", "message": "bad"}],
            },
        ),
    ],
)
def test_an_error_as_json_has_its_code_and_its_values(error: GraceError, more: dict[str, object]) -> None:
    assert error.data() == {"error": str(error)} | more


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["trials", "check", "absent.csv"], "file"),
        (["trials", "check"], "usage"),
        (["trials", "check", "absent.csv", "--nonsense"], "usage"),
    ],
)
def test_a_failed_command_prints_its_code(
    arguments: list[str], code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert grace(monkeypatch, *arguments, "--json") == 2
    assert json.loads(capsys.readouterr().out)["code"] == code
