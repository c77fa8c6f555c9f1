"""The noise floor of a run: what it measures, what it refuses, where it is kept."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from grace_client import studies
from grace_client.core.errors import ItemError, SpecError
from grace_client.core.options import TokenTrie
from grace_client.engines.base import Answered
from grace_client.run import manifest, noise, tables
from grace_client.run.folder import RunFolder
from grace_client.run.manifest import NoiseFloor
from grace_client.run.runner import run
from tests.conftest import own_list
from tests.support.deterministic import DeterministicEngine


class NoisyEngine(DeterministicEngine):
    """Moves the log-probability of every option by a normal deviate, anew in every call."""

    def __init__(self, sd: float) -> None:
        super().__init__()
        self.sd = sd
        self.draw = np.random.default_rng(0)
        self.most = self.now = 0

    async def edge_logprobs(self, prompt_ids: Sequence[int], trie: TokenTrie) -> Answered:
        self.now += 1
        self.most = max(self.most, self.now)
        edges = (await super().edge_logprobs(prompt_ids, trie)).edges
        await asyncio.sleep(0)
        self.now -= 1
        # The last token of a form is nobody's beginning; the offset leaves room below an option mass of 1.
        edges[trie.leaf - 1] += self.draw.normal(scale=self.sd, size=trie.n_options)[trie.option] - 5.0
        return Answered(edges, ())


def answered(
    path: Path, engine: DeterministicEngine, experiment: str = "study2-exp2", sample: int | None = 60
) -> RunFolder:
    """A run with its tables."""

    async def work() -> None:
        found = studies.experiment(experiment)
        trials = own_list(found.schema.study)
        folder = RunFolder.create(path, found, trials, await engine.describe(), sample=sample)
        await run(folder, engine)

    asyncio.run(work())
    tables.export(RunFolder.open(path))
    return RunFolder.open(path)


def floor_of(
    folder: RunFolder, engine: DeterministicEngine, questions: int = 50, repeats: int = 5
) -> NoiseFloor:
    return asyncio.run(noise.measure(folder, engine, questions=questions, repeats=repeats))


def test_spreads_by_hand() -> None:
    """Two questions, two repeats; an option that a repeat excludes counts for the probabilities only."""
    one = np.log([[0.2, 0.2], [0.3, 0.1]])
    with np.errstate(divide="ignore"):
        two = np.log([[0.5, 0.5, 0.0], [0.5, 0.25, 0.25]])
    nats, points = noise.spreads([one, two])
    half, third, double = np.log(1.5), np.log(0.5), np.log(2)
    # The variance of two values is half the square of their difference.
    assert nats.sd == pytest.approx(np.sqrt(np.mean([half**2 / 2, third**2 / 2, 0, double**2 / 2])))
    assert nats.max == pytest.approx(double)
    assert nats.median == pytest.approx(double)
    # Normalised: 50/50 against 75/25, and 50/50/0 against 50/25/25.
    assert points.sd == pytest.approx(np.sqrt(np.mean([312.5, 312.5, 0, 312.5, 312.5])))
    assert (points.median, points.p95, points.max) == pytest.approx((25, 25, 25))


def test_an_engine_without_noise_has_none(tmp_path: Path) -> None:
    """Every question drawn is asked in every repeat; zeros, kept in the manifest through further exports."""
    engine = DeterministicEngine()
    folder = answered(tmp_path, engine)
    engine.asked.clear()
    floor = floor_of(folder, engine, questions=20, repeats=6)
    assert (floor.questions, floor.repeats, floor.failed) == (20, 6, 0)
    assert floor.loads == [1, 4, 2, 1, 4, 2]
    assert len(engine.asked) == 120
    assert len(set(engine.asked)) == 20
    repeats = [tuple(engine.asked[start : start + 20]) for start in range(0, 120, 20)]
    assert len(set(repeats)) == 6, "every repeat has its own order"
    assert floor.nats == floor.points == manifest.Spread(sd=0, median=0, p95=0, max=0)
    noise.record(folder, floor)
    tables.export(RunFolder.open(tmp_path))
    assert manifest.load(tmp_path).noise == floor
    floor = floor_of(folder, DeterministicEngine(), questions=1000, repeats=1)
    assert floor.questions == len(folder.plan.distinct)


def test_known_noise_is_found(tmp_path: Path) -> None:
    """The standard deviation between repeats is that of the engine."""
    engine = NoisyEngine(0.1)
    folder = answered(tmp_path, engine)
    engine.most = 0
    floor = floor_of(folder, engine, questions=40, repeats=8)
    assert engine.most == 4, "the largest load is the engine's own"
    spread = floor.nats
    assert spread.sd == pytest.approx(0.1, rel=0.05)
    assert 0 < spread.median < spread.p95 <= spread.max < 1.5
    assert 0 < floor.points.sd < 100 * spread.sd


def test_what_fails_in_a_repeat_is_counted_and_left_out(tmp_path: Path) -> None:
    """Nothing stands in for it."""
    engine = DeterministicEngine()
    folder = answered(tmp_path, engine)
    rng = random.Random(1)

    def sometimes(_: str) -> None:
        if rng.random() < 0.05:
            raise ItemError("timeout", "no answer")

    engine.fault = sometimes
    floor = floor_of(folder, engine, questions=40, repeats=3)
    assert 0 < floor.failed < 20
    assert floor.questions + floor.failed == 40
    assert floor.nats.max == 0

    def always(_: str) -> None:
        raise ItemError("timeout", "no answer")

    engine.fault = always
    with pytest.raises(SpecError, match="was answered in every repeat"):
        floor_of(folder, engine)


def test_refusals(tmp_path: Path) -> None:
    """Free text, no answers, and another engine, with the difference."""
    engine = DeterministicEngine()
    folder = answered(tmp_path / "a", engine, sample=3)
    with pytest.raises(SpecError, match=r'engine\.model: "deterministic" in the folder, "other" now'):
        floor_of(folder, DeterministicEngine(model="other"))
    free = answered(tmp_path / "b", engine, "study1-exp1", sample=2)
    with pytest.raises(SpecError, match="is a run of free text"):
        floor_of(free, engine)

    def fault(_: str) -> None:
        raise ItemError("nan", "the model overflowed")

    engine.fault = fault
    empty = answered(tmp_path / "c", engine, sample=2)
    with pytest.raises(SpecError, match="has no answers yet"):
        floor_of(empty, engine)
