"""A campaign through the real server in a pod gives the tables of the embedded engine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import ROOT
from tests.real_cluster.campaigns import Campaign
from tests.real_cluster.kube import EVERYTHING, Kube
from tests.real_cluster.test_campaign import claims

MODEL = "smollm2"
VALUES = ROOT / "tests" / "real_cluster" / "vllm-values.yaml"
TOLERANCE = 1e-4
SAMPLE = 12
"""Trials."""


@pytest.mark.alone
def test_study1_through_the_real_server(kube: Kube, vllm: str, tmp_path: Path) -> None:
    """Weights come to the claim, questions are asked, results are fetched, and the table is equal."""
    (tmp_path / "values").mkdir()
    shutil.copyfile(VALUES, tmp_path / "values" / f"{MODEL}.yaml")
    given = ("--models", MODEL, "--values-folder", str(tmp_path / "values"), "--sample", str(SAMPLE))
    campaign = Campaign(kube, tmp_path, *given, "--set", f"server.image.tag={vllm}")
    campaign.start()
    # Beside it the same on this machine, which would wait otherwise.
    local = tmp_path / "local"
    trials = ["--trials", str(ROOT / "data" / "study1.csv"), "--sample", str(SAMPLE)]
    command = [sys.executable, "-m", "grace_client", "run", "study1-exp2", "--out", str(local), "--quiet"]
    subprocess.run([*command, *trials], cwd=ROOT, check=True)
    (model,) = campaign.ended(600)["models"]
    assert model["state"] == "done", model
    kube.until(lambda: kube.names(EVERYTHING) == claims(MODEL), 30, "nothing but claims")

    (folder,) = map(Path, model["results"])
    assert folder == campaign.out / "results" / "study1-exp2" / MODEL / MODEL
    manifest = json.loads((folder / "manifest.json").read_text())
    expected = json.loads((local / "manifest.json").read_text())["results"]
    assert manifest["results"]["distinct_by_status"] == expected["distinct_by_status"]
    assert set(expected["distinct_by_status"]) == {"ok"}
    assert manifest["spec"]["engine"]["engine"] == "vllm"
    served, embedded = (
        pd.read_csv(next(where.glob("*_probabilities_????????.csv"))) for where in (folder, local)
    )
    columns = [name for name in map(str, embedded.columns) if "prob_" in name]
    assert len(embedded) == SAMPLE and len(columns) == 46
    assert list(served.columns) == list(embedded.columns)
    assert np.abs(served[columns].to_numpy() - embedded[columns].to_numpy()).max() < TOLERANCE
