"""A whole Study 1 through the real vLLM server, beside the embedded engine."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grace_client import studies
from grace_client.engines.local.engine import LocalEngine
from grace_client.engines.vllm.engine import VllmEngine
from grace_client.run import tables
from grace_client.run.folder import RunFolder
from grace_client.run.runner import run
from tests.conftest import lists


@pytest.mark.vllm
@pytest.mark.model
def test_a_whole_study1(tmp_path: Path, default_engine: LocalEngine) -> None:
    """180 answers serve 300 trials, no mass is above 1; within 2e-4 nats of the embedded engine."""
    url = os.environ.get("GRACE_TEST_VLLM")
    if not url:
        pytest.skip("GRACE_TEST_VLLM names no server; 'scripts/test --all' starts one")
    *_, path = lists("study1")
    experiment, trials = studies.experiment("study1-exp2"), studies.read_trials(path)

    async def work() -> None:
        engine = await VllmEngine.connect(str(url))
        try:
            folder = RunFolder.create(tmp_path / "vllm", experiment, trials, await engine.describe())
            progress = await run(folder, engine)
            assert (progress.total, progress.done, progress.failed) == (180, 180, 0)
        finally:
            await engine.close()
        sample = RunFolder.create(
            tmp_path / "local", experiment, trials, await default_engine.describe(), sample=8
        )
        await run(sample, default_engine)

    asyncio.run(work())
    served, embedded = (
        pd.read_parquet(tables.export(RunFolder.open(tmp_path / name))[2]) for name in ("vllm", "local")
    )
    assert len(served) == 300 * (4 * 11 + 2)
    assert (served["option_mass"] <= 1 + 1e-4).all()
    keys = ["trial_id", "question", "option"]
    both = embedded.merge(served, on=keys, suffixes=("_local", "_vllm"), validate="one_to_one")
    assert len(both) == len(embedded) > 0
    assert np.abs(both["logprob_local"] - both["logprob_vllm"]).max() < 2e-4
