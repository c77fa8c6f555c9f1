"""The R script and the lines of docs/tutorials/r.md do what they say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grace_client.analysis import read, study1
from tests.analysis.test_read import make
from tests.conftest import ROOT
from tests.support.deterministic import DeterministicEngine, nan_for


@pytest.mark.parametrize(
    ("fault", "trials"),
    [("", 300), ("Exactly 2 of the 3 parcels", 250), ("knows exactly how many of the 3 parcels", 300)],
)
def test_the_script_makes_the_table_and_the_figure(
    rscript: str, tmp_path: Path, fault: str, trials: int
) -> None:
    """Means, n and n_distinct are those of `cell_means`, failures left out; the figure is a PDF.

    A trial without one of the four states has no bets; one that lost the knowledge question alone has.
    """
    engine = DeterministicEngine(fault=nan_for(fault) if fault else None)
    run = make(tmp_path / "run", "study1-exp2", engine, sample=None)
    command = [
        rscript,
        "--vanilla",
        str(ROOT / "docs" / "tutorials" / "analysis.R"),
        str(run),
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert ("questions have no answer" in done.stderr) == bool(fault)
    theirs = pd.read_csv(tmp_path / "out" / "cell-means.csv", dtype={"access": str, "observe": str})
    ours = study1.cell_means(read(run))
    assert ours["n"].sum() == 4 * trials
    keys = ["access", "observe", "state"]
    pd.testing.assert_frame_equal(theirs[keys], ours[keys])
    assert theirs[["n", "n_distinct"]].equals(ours[["n", "n_distinct"]])
    for name in ("mean", "low", "high"):
        np.testing.assert_allclose(theirs[name], ours[name], rtol=1e-8)
    assert (tmp_path / "out" / "cell-means.pdf").read_bytes().startswith(b"%PDF")


def test_the_lines_of_the_page_parse(rscript: str, tmp_path: Path) -> None:
    """Every R block of docs/tutorials/r.md is R."""
    blocks = re.findall(
        r"```r\n(.*?)```", (ROOT / "docs" / "tutorials" / "r.md").read_text(), flags=re.DOTALL
    )
    assert len(blocks) == 4
    for i, block in enumerate(blocks):
        (tmp_path / f"{i}.R").write_text(block)
    program = f"for (f in list.files('{tmp_path}', full.names = TRUE)) parse(f)"
    done = subprocess.run([rscript, "--vanilla", "-e", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
