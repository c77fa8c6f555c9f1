"""The ten worked studies: checked, asked on the embedded model, extracted, reported."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grace_client import analysis, cli, report, studies
from grace_client.core.progress import Progress
from grace_client.engines.base import Engine
from grace_client.engines.local.engine import LocalEngine
from grace_client.engines.local.tokenizer import Tokens
from grace_client.run import runner, tables
from grace_client.run.check import check
from grace_client.run.folder import RunFolder, sampling_of
from grace_client.studies import lists
from grace_client.studies.declaration import Experiment
from tests.conftest import ROOT

WORKED = sorted((ROOT / "studies").glob("*/*.yaml"))
EXPERIMENTS = [one for path in WORKED for one in studies.find(str(path)).experiments.values()]
SAMPLE = 6
"""Trials of each experiment that the embedded model answers."""


async def ask(engine: Engine, experiment: Experiment, path: Path) -> Progress:
    """Run an experiment, and write its tables."""
    info = await engine.describe()
    folder = RunFolder.create(
        path,
        experiment,
        lists.default(experiment.study),
        info,
        sample=SAMPLE,
        sampling=sampling_of(experiment, info, None, {}),
    )
    with folder.locked():
        progress = await runner.run(folder, engine)
    tables.export(folder.read_again())
    return progress


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of every experiment on the embedded model, free text extracted."""
    root = tmp_path_factory.mktemp("worked")

    async def work() -> dict[str, Path]:
        engine = LocalEngine.load()
        found = {}
        for experiment in EXPERIMENTS:
            found[experiment.name] = root / experiment.name
            progress = await ask(engine, experiment, found[experiment.name])
            assert (progress.done, progress.failed) == (progress.total, 0), experiment.name
        return found

    found = asyncio.run(work())
    with pytest.MonkeyPatch.context() as patch:
        for experiment in EXPERIMENTS:
            if not experiment.scored:
                patch.setattr("sys.argv", ["grace", "extract", "run", str(found[experiment.name])])
                with pytest.raises(SystemExit) as ended:
                    cli.main()
                assert not ended.value.code
    return found


@pytest.mark.model
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_a_check_with_the_tokenizer_finds_nothing(experiment: Experiment) -> None:
    """Every question can be written, scored and sent; the first prompt is shown as it is sent."""
    found = check(experiment, lists.default(experiment.study), Tokens.of(None))
    system = [question.prompt.messages[0]["role"] == "system" for question in found.example]
    assert all(system) or "named SmolLM" in found.notes[0]
    assert len(found.notes) == (not all(system))
    assert found.sent is not None
    assert all(message["content"] in found.sent for message in found.example[0].prompt.messages)


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_a_run_gives_the_tables_that_the_file_declares(experiment: Experiment, runs: dict[str, Path]) -> None:
    """Columns of the list, then those of the experiment; sums of 1; the study file beside."""
    folder = RunFolder.open(runs[experiment.name])
    assert (folder.path / "study.yaml").read_bytes() == experiment.study.raw
    frame = analysis.read(folder.path)
    assert set(experiment.kinds) == set(frame["question"])
    assert set(experiment.study.conditions) <= set(frame.columns)
    wide = pd.read_csv(next(path for path in folder.path.glob("*.csv") if path.stem[-8:].isdigit()))
    if experiment.scored:
        assert list(wide.columns) == [*experiment.schema.names, *experiment.columns]
        for columns in experiment.option_columns.values():
            assert np.allclose(wide[list(columns)].sum(axis=1), 1)
    else:
        assert frame["structured"].notna().all()


@pytest.mark.slow
@pytest.mark.model
def test_one_page_reports_all_ten(runs: dict[str, Path], tmp_path: Path) -> None:
    """No part of the page fails because of grace, and every experiment has its section."""
    made = report.write(list(runs.values()), tmp_path / "report.html")
    assert made.faults == []
    assert sorted(made.experiments) == sorted(runs)
    page = made.page.read_text(encoding="utf-8")
    for experiment in EXPERIMENTS:
        assert experiment.title in page
