"""Makes the notebooks of docs/notebooks from the Python files beside them, in the percent format.

`python -m tests.docs.notebooks` writes them; a test compares them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

SOURCES = sorted((ROOT / "docs" / "notebooks").glob("*.py"))
MARK = "# %%"


def cells(text: str) -> Iterator[tuple[str, str]]:
    """Type and source of every cell. The module's docstring is the first one."""
    first, *rest = text.split(f"\n{MARK}")
    title, _, more = first.strip().strip('"').partition("\n")
    yield "markdown", f"# {title}\n{more.rstrip()}"
    for part in rest:
        head, _, body = part.partition("\n")
        body = body.strip("\n")
        if "[markdown]" in head:
            lines = [line.removeprefix("#").removeprefix(" ") for line in body.splitlines()]
            yield "markdown", "\n".join(lines)
        else:
            yield "code", body


def notebook(text: str) -> dict[str, Any]:
    """A notebook in Jupyter's format 4.5, without output."""
    made: list[dict[str, Any]] = []
    for i, (kind, source) in enumerate(cells(text), start=1):
        cell = {
            "cell_type": kind,
            "id": f"cell-{i}",
            "metadata": {},
            "source": source.splitlines(keepends=True),
        }
        made.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def made(source: Path) -> str:
    """The notebook's file."""
    return json.dumps(notebook(source.read_text("utf-8")), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every notebook."""
    for source in SOURCES:
        source.with_suffix(".ipynb").write_text(made(source), "utf-8")


if __name__ == "__main__":
    main()
