"""The project's own trial lists."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from grace_client import studies
from grace_client.core.errors import SpecError
from grace_client.studies import lists
from tests.conftest import ROOT


@pytest.mark.parametrize("study", ["study1", "study2"])
def test_the_shipped_lists_are_made_again_byte_for_byte(study: str, tmp_path: Path) -> None:
    """What lies in `data/` is what `grace trials make` writes, and what a run uses by default."""
    declared = studies.named(study)
    lists.write(tmp_path / "list.csv", declared, seed=0)
    shipped = (ROOT / "data" / f"{study}.csv").read_bytes()
    assert (tmp_path / "list.csv").read_bytes() == shipped
    assert lists.default(declared).raw == shipped


def test_study1_is_balanced() -> None:
    """Every participant meets each story once and each legal cell once; story × cell meet evenly."""
    trials = studies.read_trials(ROOT / "data" / "study1.csv").trials
    by_participant: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for t in trials:
        by_participant.setdefault(t["participant_id"], []).append(
            (t["story_shortname"], (t["access"], t["observe"]))
        )
    assert len(by_participant) == 50
    for met in by_participant.values():
        assert len({story for story, _ in met}) == len({cell for _, cell in met}) == len(met) == 6
    pairs = Counter(pair for met in by_participant.values() for pair in met)
    assert len(pairs) == 36
    assert set(pairs.values()) <= {8, 9}


def test_study2_is_balanced() -> None:
    """Every participant meets each domain once and each goal × state once, in an order of their own."""
    trials = studies.read_trials(ROOT / "data" / "study2.csv").trials
    by_participant: dict[str, list[tuple[str, tuple[str, str]]]] = {}
    for t in trials:
        by_participant.setdefault(t["Participant_ID"], []).append(
            (t["Domain"], (t.variables["goal"], t["State"]))
        )
    assert len(by_participant) == 202
    cells = set(product(["both", "social", "informational"], ["0 hearts", "1 heart", "2 hearts", "3 hearts"]))
    for met in by_participant.values():
        assert {cell for _, cell in met} == cells
        assert len({domain for domain, _ in met}) == len(met) == 12
    assert len({tuple(domain for domain, _ in met) for met in by_participant.values()}) > 150
    assert set(Counter(t["Utterance"] for t in trials).values()) == {404}


def test_a_seed_makes_its_own_list() -> None:
    """The same seed the same rows, another seed others."""
    first = lists.make(studies.named("study1"), participants=7, seed=1)
    assert first == lists.make(studies.named("study1"), participants=7, seed=1)
    assert first != lists.make(studies.named("study1"), participants=7, seed=2)
    assert len(first) == 42


def test_a_study_without_items_is_refused(tmp_path: Path) -> None:
    """By name."""
    file = tmp_path / "s.yaml"
    file.write_text(
        "grace: 1\nstudy: s\ntitle: S\ntrials: {columns: {a: }}\n"
        "experiments: {e: {ask: [{name: q, prompt: '{{ a }}', options: [x, y]}]}}\n"
    )
    with pytest.raises(SpecError, match="The study s has no items"):
        lists.make(studies.find(str(file)), participants=1, seed=0)
    with pytest.raises(SpecError, match="The study s has no trial list"):
        lists.default(studies.find(str(file)))
