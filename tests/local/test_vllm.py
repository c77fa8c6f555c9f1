"""A local campaign with the real vLLM server gives the tables of the embedded engine."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from grace_client.core import paths
from grace_client.engines.local import default_model
from tests.conftest import ROOT

TOLERANCE = 1e-4
SERVER = {
    # As scripts/vllm-cpu starts it.
    "extraArgs": ["--block-size=32", "--seed=0", "--enforce-eager", "--distributed-executor-backend=uni"],
    "extraEnv": [
        {"name": "VLLM_CPU_KVCACHE_SPACE", "value": "1"},
        {"name": "VLLM_ENABLE_V1_MULTIPROCESSING", "value": "0"},
        {"name": "TORCH_COMPILE_DISABLE", "value": "1"},
        {"name": "VLLM_HOST_IP", "value": "127.0.0.1"},
        {"name": "HF_HUB_OFFLINE", "value": "1"},
    ],
}


def campaign(out: Path, model: str, *options: str) -> Path:
    """Run it on a sample of Study 1; the folder of its one run."""
    asked = [sys.executable, "-m", "grace_client", "campaign", "run", "--local", "--json", "--out", str(out)]
    asked += ["--models", model, "--experiments", "study1-exp2", "--sample", "4", *options]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=900)
    log = out / "logs" / f"{model}.log"
    assert done.returncode == 0, done.stderr + (log.read_text()[-3000:] if log.exists() else "")
    (folder,) = json.loads(done.stdout)["models"][0]["results"]
    return Path(folder)


@pytest.mark.vllm
@pytest.mark.model
def test_the_real_server_and_the_embedded_engine(tmp_path: Path) -> None:
    """On one machine, one command each; what a model's values say reaches the server and the manifest."""
    if not os.environ.get("GRACE_TEST_VLLM"):
        pytest.skip("this needs vLLM's CPU build; 'scripts/test --all' sets it up")
    python = paths.cache() / "vllm-cpu" / "env" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{python} is not there; 'scripts/vllm-cpu setup' makes it")
    model = {"name": "smollm2", "repository": str(default_model.ensure(lambda _: None)), "dtype": "float32"}
    model |= {"maxModelLen": 2048, "weightsGiB": 0.51}  # type: ignore[dict-item]
    (tmp_path / "values").mkdir()
    (tmp_path / "values" / "smollm2.yaml").write_text(
        yaml.safe_dump({"model": model, "gpu": {"count": 0}, "server": SERVER})
    )
    # Of the CPU build only the module works, and `python -m` looks into the working directory first.
    start = ["env", f"--chdir={tmp_path}", "--unset=PYTHONPATH", str(python)]
    start += ["-m", "vllm.entrypoints.openai.api_server", "--model"]
    served = campaign(
        tmp_path / "vllm",
        "smollm2",
        *("--vllm", shlex.join(start), "--values-folder", str(tmp_path / "values")),
    )
    embedded = campaign(tmp_path / "embedded", "embedded")
    log = (tmp_path / "vllm" / "logs" / "smollm2.log").read_text()
    assert "http://127.0.0.1:" in log and "http://0.0.0.0:" not in log
    engine = json.loads((served / "manifest.json").read_text())["spec"]["engine"]
    assert (engine["engine"], engine["model"], engine["dtype"]) == ("vllm", "smollm2", "float32")
    left, right = (pd.read_csv(next(run.glob("*_probabilities_????????.csv"))) for run in (served, embedded))
    columns = [name for name in map(str, right.columns) if "prob_" in name]
    assert len(right) == 4 and len(columns) == 46
    assert list(left.columns) == list(right.columns)
    assert np.abs(left[columns].to_numpy() - right[columns].to_numpy()).max() < TOLERANCE
