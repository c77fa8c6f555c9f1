"""Small study files for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from grace_client.studies import file
from grace_client.studies.declaration import Study


def plain(**changes: Any) -> dict[str, Any]:
    """The data of a small study that has no fault; `changes` replace top-level keys."""
    return {
        "grace": 1,
        "study": "tones",
        "title": "Tones",
        "trials": {
            "item": "item",
            "conditions": ["size"],
            "columns": {"item": None, "size": {"values": ["small", "large"]}, "text": None},
        },
        "experiments": {
            "exp1": {"ask": [{"name": "word", "prompt": "{{ text }}\n\nAnswer:", "options": ["yes", "no"]}]}
        },
    } | changes


def write(folder: Path, data: Any = None, **changes: Any) -> Path:
    """A study file in a folder: `plain` with changes, or other data or text."""
    path = folder / "tones.yaml"
    text = data if isinstance(data, str) else yaml.safe_dump(data or plain(**changes), sort_keys=False)
    path.write_text(text, encoding="utf-8")
    return path


def study(folder: Path, data: Any = None, **changes: Any) -> Study:
    """The study of such a file."""
    return file.read(write(folder, data, **changes))
