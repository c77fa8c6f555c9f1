"""Runs to report on: two models that differ, every experiment, made on the spot."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import zlib
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grace_client import studies
from grace_client.core.options import TokenTrie
from grace_client.engines.base import Answered, Engine, EngineInfo
from grace_client.report import runs as report_runs
from grace_client.report.runs import ReportData
from grace_client.run import tables
from grace_client.run.folder import RunFolder
from grace_client.run.manifest import SamplingSpec
from grace_client.run.runner import run
from grace_client.studies import lists
from tests.conftest import grace, own_list
from tests.support.deterministic import DeterministicEngine, answered

EXPERIMENTS = tuple(studies.experiments())
NUMBERS = {"One": "1", "Two": "2", "Three": "3"}


class Salted(DeterministicEngine):
    """An engine whose answers depend on the model's name, with any revision."""

    def __init__(
        self, model: str, *, revision: str = "1", fault: Callable[[str], None] | None = None
    ) -> None:
        super().__init__(model=model, fault=fault)
        self.revision = revision

    async def describe(self) -> EngineInfo:
        info = await super().describe()
        return EngineInfo(**(info.as_dict() | {"revision": self.revision}))

    async def edge_logprobs(self, prompt_ids: Sequence[int], trie: TokenTrie) -> Answered:
        await self._answer(prompt_ids)
        return answered(prompt_ids, trie, zlib.crc32(self.model.encode()))


def make(
    path: Path, engine: Engine, experiment: str, sample: int | None = 40, ways: str | None = None
) -> Path:
    """A run of an experiment with its tables, in the ways of a design."""

    async def work() -> None:
        found = studies.experiment(experiment)
        shipped = found.study.name in studies.SHIPPED
        trials = own_list(found.study.name) if shipped else lists.default(found.study)
        sampling = None if found.scored else SamplingSpec(replicates=2, max_tokens=8)
        folder = RunFolder.create(
            path,
            found,
            trials,
            await engine.describe(),
            sample=sample,
            sampling=sampling,
            ways=found.design(ways) if ways else (),
        )
        await run(folder, engine)

    asyncio.run(work())
    tables.export(RunFolder.open(path))
    return path


def structure(path: Path, *, unparsed: float = 0.0, values: Sequence[str] = ()) -> None:
    """Extract a free-text run, as 'grace extract' does, to some values; a share stays unparsed."""
    (raw,) = (p for p in path.glob("*_raw_responses_*.csv") if "_long" not in p.name)
    # A model may say a carriage return, which is no end of a row.
    table = pd.read_csv(raw, dtype=str, keep_default_na=False, lineterminator="\n")
    rng = np.random.default_rng(0)
    if "story_setup" in table.columns:
        number = table["response"].str.extract(r"^(\w+)")[0].map(NUMBERS).fillna("unparsed")
        knows = pd.Series(rng.choice(["yes", "no"], len(table)), index=table.index)
        table["structured"] = number.where(table["question"] == "number", knows)
    elif values:
        table["structured"] = rng.choice(values, len(table))
    else:
        said = [f"{f}_{a}" for f in ("was", "wasnt") for a in ("terrible", "bad", "good", "amazing")]
        table["structured"] = rng.choice(said, len(table))
    table.loc[rng.random(len(table)) < unparsed, "structured"] = "unparsed"
    table["category"] = table["structured"]
    for column, value in (("method", "rules"), ("confidence", "1"), ("span_start", "0"), ("span_end", "1")):
        table[column] = value
    if "story_setup" in table.columns:
        table = table.assign(bet_0="", bet_1="", bet_2="", bet_3="")
    structured = raw.with_name(raw.name.replace("raw_responses", "structured"))
    table.to_csv(structured, index=False, quoting=csv.QUOTE_ALL)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of two models' runs: ``{model}/{experiment}``."""
    folder = tmp_path_factory.mktemp("runs")
    for model in ("alpha", "beta"):
        for name in EXPERIMENTS:
            # Beside people a model needs answers to three domains in each of twelve cells.
            sample = 100 if name in ("study2-exp2", "study2-null") else 40
            path = make(folder / model / name, Salted(model), name, sample)
            if name.endswith("exp1"):
                structure(path)
    return folder


@pytest.fixture(scope="session")
def written(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Folder of `report.html`, `figures` and `tables` of all runs, and what `grace report` prints as JSON."""
    folder, said = tmp_path_factory.mktemp("report"), io.StringIO()
    command = ["report", str(runs), "--nrp", "--json", "--out", str(folder / "report.html")]
    command += [word for name in ("figures", "tables") for word in (f"--{name}", str(folder / name))]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
        assert grace(patch, *command) == 0
    return folder, json.loads(said.getvalue())


@pytest.fixture(scope="session")
def found(runs: Path) -> ReportData:
    """All runs of both models."""
    return report_runs.load([runs])
