"""A study that no image has: scored and free text, with an example file and a trial list.

YAML takes the name of one of its experiments for null.
"""

from __future__ import annotations

from typing import Any

from tests.conftest import ROOT

FOLDER = ROOT / "tests" / "support" / "some-reds"
FILE, TRIALS, EXAMPLES = (FOLDER / name for name in ("some-reds.yaml", "items.csv", "solved.csv"))
NAME = "some-reds"
EXPERIMENTS = ("some-reds-null", "some-reds-main", "some-reds-said")
TEXT = FILE.read_bytes().decode()
VALUES: dict[str, Any] = {
    "study": TEXT,
    "studyFiles": {EXAMPLES.name: EXAMPLES.read_bytes().decode()},
    "trials": {NAME: TRIALS.read_bytes().decode()},
}
"""The section `queries` of the chart's values that asks it."""
SET_FILES = (
    f"queries.study={FILE}",
    rf"queries.studyFiles.solved\.csv={EXAMPLES}",
    f"queries.trials.{NAME}={TRIALS}",
)
"""The same as arguments of helm's --set-file."""
