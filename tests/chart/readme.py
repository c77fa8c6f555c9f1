"""The table of values in the chart's README, made from the comments of values.yaml.

`python -m tests.chart.readme` writes it anew; a test holds the two equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import yaml

from tests.conftest import ROOT

CHART = ROOT / "charts" / "grace"
README = CHART / "README.md"
HEADING = "## Values\n"
MARK = "# -- "


def comment(lines: list[str], line: int) -> str | None:
    """The `# --` comment that ends directly above a line (counted from 0), or None."""
    found: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        text = lines[line].lstrip()
        if text.startswith(MARK):
            return " ".join([text.removeprefix(MARK), *found])
        found.insert(0, text.lstrip("# "))
    return None


def rows(text: str) -> Iterator[tuple[str, str, str | None]]:
    """Path, default and comment of every value. A mapping that has a comment of its own is one value."""
    lines = text.splitlines()

    def walk(node: yaml.MappingNode, above: str) -> Iterator[tuple[str, str, str | None]]:
        for key, value in node.value:
            path = f"{above}.{key.value}" if above else key.value
            told = comment(lines, key.start_mark.line)
            if isinstance(value, yaml.MappingNode) and value.value and told is None:
                yield from walk(value, path)
            else:
                plain = yaml.safe_load(yaml.serialize(value))
                yield path, json.dumps(plain, ensure_ascii=False), told

    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    yield from walk(root, "")


def table(text: str) -> str:
    """The Markdown table of a values.yaml."""
    out = ["| value | default | what it is |", "|---|---|---|"]
    for path, default, told in rows(text):
        out.append(f"| `{path}` | `{default}` | {(told or '').replace('|', chr(92) + '|')} |")
    return "\n".join(out) + "\n"


def made(readme: str, values: str) -> str:
    """The README with its table made anew."""
    head, heading, _ = readme.partition(HEADING)
    assert heading, f"the README has no line {HEADING.strip()!r}"
    return f"{head}{HEADING}\n{table(values)}"


def main() -> None:
    """Write the table."""
    README.write_text(made(README.read_text("utf-8"), (CHART / "values.yaml").read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
