"""The real server in a pod gives the tables of the embedded engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from tests.conftest import ROOT
from tests.kube.kube import CHART, Kube, component, grace
from tests.kube.test_release import gpus

VALUES = ROOT / "tests" / "kube" / "vllm-values.yaml"
TOLERANCE = 1e-4


def test_a_whole_study1_through_the_real_server(kube: Kube, vllm: str, tmp_path: Path) -> None:
    """Weights come to the claim, 180 questions are asked, the server is stopped, and the table is equal."""
    own = ["--values", str(VALUES), "--set", f"server.image.tag={vllm}"]
    kube.helm("install", "real", str(CHART), *own)
    query = kube.query_job("real")
    # Beside it the same on this machine, which would wait otherwise.
    local = tmp_path / "local"
    trials = ["--trials", str(ROOT / "data" / "study1.csv"), "--out", str(local), "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "grace_client", "run", "study1-exp2", *trials], cwd=ROOT, check=True
    )
    assert kube.finished(query, 600), kube.log(query)
    kube.until(lambda: not kube.get("pods", component("real", "server")), 120, "the server to be stopped")

    told = json.loads(grace(kube, "fetch", "real", "--to", str(tmp_path), "--json"))
    (folder,) = map(Path, told["verified"])
    assert folder == tmp_path / "study1-exp2" / "smollm2" / "real"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["results"]["distinct_by_status"] == {"ok": 180}
    assert manifest["spec"]["engine"]["engine"] == "vllm"
    served, embedded = (
        pd.read_csv(next(where.glob("*_probabilities_????????.csv"))) for where in (folder, local)
    )
    columns = [name for name in map(str, embedded.columns) if "prob_" in name]
    assert len(embedded) == 300 and len(columns) == 46
    assert list(served.columns) == list(embedded.columns)
    assert np.abs(served[columns].to_numpy() - embedded[columns].to_numpy()).max() < TOLERANCE
    assert gpus(kube) == 0
