"""The public types of analysis, checked as in a user's script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPT = """
from pathlib import Path

import pandas as pd
import plotnine as p9

from grace_client import analysis
from grace_client.run.manifest import Manifest

runs: dict[tuple[str, str], Manifest] = analysis.manifests("runs")
noise: pd.DataFrame = analysis.quality.noise(runs)
frame: pd.DataFrame = analysis.read("runs", experiment="study1-exp2")
means: pd.DataFrame = analysis.study1.cell_means(frame, noise=noise)
kept, excluded = analysis.exclusions.low_mass(frame, minimum=0.5)
model = analysis.study2.negation_model(frame)
tables: tuple[pd.DataFrame, ...] = (model.terms, model.omnibus, model.contrasts)
figure: p9.ggplot = analysis.figures.states(means, rsa=analysis.rsa.predict_study1(4.0))
files: list[Path] = analysis.figures.save(figure, "figures", "states")
"""

# Its own cache: for a user, the package is an installed one.
MYPY = [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={ROOT / '.mypy_cache' / 'user'}"]
MYPY += ["--hide-error-context", "--no-color-output"]
WRONG = {
    'analysis.read("runs", experiment=1)': "arg-type",
    'analysis.study1.contrasts(frame, noise="runs")': "arg-type",
    "analysis.no_such_name": "attr-defined",
    "number: int = analysis.figures.states(means)": "assignment",
}


@pytest.mark.slow
def test_a_user_script_is_type_checked(tmp_path: Path) -> None:
    """Mypy --strict accepts correct use of the package, and reports wrong use."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT + "\n".join(WRONG) + "\n")
    done = subprocess.run(
        [*MYPY, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    first = len(SCRIPT.splitlines()) + 1
    wanted = [(f"script.py:{first + i}", f"[{code}]") for i, code in enumerate(WRONG.values())]
    assert [(line.split(": error")[0], line.split()[-1]) for line in errors] == wanted, done.stdout
