"""Every drawn answer of a run has its own seed, and the same one every time."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from grace_client import studies
from grace_client.core.questions import AT_ONCE
from grace_client.core.reasoning import Reasoning
from grace_client.run import plan
from grace_client.run.manifest import SamplingSpec, Spec
from grace_client.run.plan import Item, Plan, Seeds, seed_of
from tests.conftest import lists

ENGINE: dict[str, Any] = {"engine": "made up", "prompt_prefix": "", "prompt_suffix": ""}


def planned(
    experiment: str, path: Path, *, reasoning: Reasoning | None = None, **sampling: Any
) -> tuple[Plan, list[Item]]:
    found, trials = studies.experiment(experiment), studies.read_trials(path)
    draws = SamplingSpec(**sampling) if sampling else None
    spec = Spec(
        experiment=experiment,
        engine=ENGINE,
        trials_sha256="",
        questions_sha256="",
        sampling=draws,
        reasoning=reasoning,
    )
    made = Plan(found, plan.ask(found, trials.trials, trials.path), spec)
    return made, list(made.items)


@pytest.mark.slow
@pytest.mark.parametrize("study", ["study1", "study2"])
def test_no_two_answers_of_a_study_have_one_seed(study: str) -> None:
    """20 replicates on the project's and the users' lists, so that no answer is counted twice."""
    for path in lists(study):
        made, items = planned(f"{study}-exp1", path, replicates=20)
        seeds = Counter(item.sampling.seed for item in items if item.sampling)
        assert max(seeds.values()) == 1
        assert max(seeds) < 2**31
        assert (len(made.items), len(made.distinct)) == (len(items), len(items))
        assert [item.key for item in made.items] == [item.key for item in items]


def test_a_seed_is_the_one_it_always_was_unless_it_is_taken() -> None:
    """The known value of one; and of two that come out equal, only the second is another."""
    assert seed_of(0, "study1-exp1", 1, "number", 1) == 1648463860
    path = next(iter(lists("study2")))
    _, items = planned("study2-exp1", path, replicates=20)
    moved = [
        item
        for item in items
        if item.sampling
        and item.sampling.seed
        != seed_of(0, "study2-exp1", item.trial.trial_id, item.question.name, item.replicate or 0)
    ]
    assert len(moved) == 2


def test_a_taken_seed_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as it takes, and the same way every time."""
    monkeypatch.setattr(plan, "seed_of", lambda *of: (of[4] + sum(of[5:])) % 3)
    drawn = [
        [seeds.of(0, "e", 1, "q", replicate) for replicate in (3, 6, 9, 3)] for seeds in (Seeds(), Seeds())
    ]
    assert drawn == [[0, 1, 2, 0]] * 2


def test_trials_share_answers_only_where_asked() -> None:
    """36 stimuli, two questions, three replicates; otherwise every trial has its own."""
    path = next(iter(lists("study1")))
    own, items = planned("study1-exp1", path, replicates=3)
    assert (len(own.items), len(own.distinct)) == (1800, 1800)
    shared, same = planned("study1-exp1", path, replicates=3, share_answers=True)
    prompts = len({item.question.prompt.text for item in items})
    assert (len(shared.items), len(shared.distinct)) == (1800, 3 * prompts)
    seeds = {item.key: item.sampling.seed for item in same if item.sampling}
    assert len(set(seeds.values())) == 3 * prompts


def test_how_reasoning_is_suppressed_is_part_of_the_question() -> None:
    """Undeclared, a key is what it was; every declared way is another question, and each draw is."""
    path = next(iter(lists("study1")))
    keys = []
    ways: tuple[Reasoning | None, ...] = (None, "off", "off-by-prompt")
    for way in ways:
        made, items = planned("study1-exp2", path, reasoning=way)
        keys.append(items[0].key)
        assert items[0].question.prompt.direct
        assert items[0].question.prompt.text.startswith(AT_ONCE) == (way == "off-by-prompt")
        assert len(made.distinct) == 180 if "shared" in str(path) else len(made.distinct) <= 1500
    for more in ({}, {"base_seed": 1}, {"max_tokens": 9}, {"temperature": 0.1}):
        made, items = planned("study1-exp2", path, reasoning="on", **{"replicates": 1} | more)
        keys.append(items[0].key)
        assert not items[0].question.prompt.direct
        assert items[0].replicate is None
        assert (len(made.items), len(made.distinct)) == (1500, 1500)
    assert len(set(keys)) == len(keys)
    # As they are in the ledgers of earlier versions, which called these values none, template and prompt.
    known = ("ec44f3ca4cb4bc28", "3914e57e8567077f", "0838a114ee27abca", "ea01ad7e1b32140e")
    assert tuple(key[:16] for key in keys[:4]) == known
    undeclared: tuple[Reasoning | None, ...] = (None, "on", "off")
    free = {way: planned("study1-exp1", path, reasoning=way, replicates=1)[1][0] for way in undeclared}
    assert len({item.key for item in free.values()}) == 3
    assert [item.question.prompt.direct for item in free.values()] == [False, False, True]
    assert dataclasses.replace(free[None].question.prompt, direct=True) == free["off"].question.prompt
