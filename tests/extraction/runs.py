"""Runs whose answers are what a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import cycle
from pathlib import Path
from typing import Any

from grace_client import studies
from grace_client.engines.base import EngineInfo
from grace_client.extraction.reading import Values
from grace_client.run import tables
from grace_client.run.folder import RunFolder
from grace_client.run.layout import OK
from grace_client.run.manifest import SamplingSpec
from grace_client.run.plan import Item
from tests.conftest import own_list

KINDS = {
    name: kind
    for experiment in ("study1-exp1", "study2-exp1")
    for name, kind in studies.experiment(experiment).kinds.items()
}
"""The free-text questions of the studies that come with grace."""
VALUES = {name: Values.of(kind).listed for name, kind in KINDS.items()}
TRIALS = {study: own_list(study).trials for study in ("study1", "study2")}

ENGINE = EngineInfo(
    engine="test",
    model="lab/talker",
    revision="1",
    dtype="float32",
    template_sha256=None,
    tokenizer_sha256="bytes",
    max_context=1000,
    end_of_turn=0,
    prompt_prefix="<",
    prompt_suffix=">",
)


def said(text: str, finish_reason: str = "stop") -> dict[str, Any]:
    """A ledger answer."""
    return {
        "status": OK,
        "text": text,
        "finish_reason": finish_reason,
        "reasoning": None,
        "prompt_ids": [1],
        "token_ids": [2],
    }


def answered(
    path: Path,
    answer: Callable[[Item], dict[str, Any] | None],
    experiment: str = "study1-exp1",
    *,
    sample: int = 4,
    replicates: int = 2,
) -> RunFolder:
    """An exported run; an item whose answer is None was not asked."""
    chosen = studies.experiment(experiment)
    trials = own_list(chosen.schema.study)
    sampling = SamplingSpec(replicates=replicates)
    folder = RunFolder.create(path, chosen, trials, ENGINE, sample=sample, sampling=sampling)
    for item in folder.plan.distinct:
        if held := answer(item):
            folder.ledger.append(item.key, held, final=True)
    folder.ledger.close()
    tables.export(folder)
    return RunFolder.open(path)


def saying(texts: Iterable[str]) -> Callable[[Item], dict[str, Any]]:
    """Answers with these texts in turn."""
    turn = cycle(texts)
    return lambda _: said(next(turn))
