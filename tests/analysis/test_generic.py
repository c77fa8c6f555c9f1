"""What is for any study names no condition of Studies 1 and 2."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from grace_client import analysis

FOLDER = Path(analysis.__file__).parent
OWN = re.compile(r"(study1|study2|rsa|reference)/|figures/_study")
"""Theory and data of the two studies."""
GENERIC = [
    path for path in sorted(FOLDER.rglob("*.py")) if not OWN.match(path.relative_to(FOLDER).as_posix())
]


@pytest.mark.parametrize("path", GENERIC, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_nothing_generic_names_a_condition_of_the_two_studies(path: Path) -> None:
    """Neither in code nor in words."""
    found = re.findall(r"\b(access|observe|goal|state)\b", path.read_text(), flags=re.IGNORECASE)
    assert not found
