"""What a model will cost: by the stated formula, from the study's own figures."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grace_client import studies
from grace_client.campaign import settings
from grace_client.campaign.estimate import (
    Assumptions,
    Estimate,
    Load,
    check_budget,
    estimate,
    query_seconds,
    total,
)
from grace_client.campaign.plan import estimates
from grace_client.cli.campaign.commands import STUDY
from grace_client.cli.campaign.workload import loads
from grace_client.core.errors import SpecError
from grace_client.deploy.values import ModelValues, effective, model_values, values_folder
from grace_client.studies import lists
from tests.conftest import USERS_LISTS
from tests.support import own_study

GPUS = {
    "gemma-2b": 1,
    "gemma-9b": 1,
    "gemma-27b": 2,
    "llama-70b": 2,
    "gpt-oss-20b": 1,
    "gpt-oss-120b": 2,
}
"""Of the study's six models: nine, for a day each, are its 216 GPU-hours."""


def values(name: str) -> ModelValues:
    return model_values(values_folder() / f"{name}.yaml")


def test_the_study_fits_its_budget() -> None:
    """Nine GPUs for a day each are 216 GPU-hours at worst; the estimate is below, with 2 GPUs at a time."""
    found = estimates(settings.describe(STUDY.split(","), folder=values_folder()), loads, Assumptions())
    assert {one.model: one.gpus for one in found} == GPUS
    whole = total(found)
    assert whole.worst_gpu_hours == 216 and whole.peak_gpus == 2 and whole.at_once_gpus == 9
    assert whole.gpu_hours <= 216
    assert all(one.hours < 24 for one in found), "each model has less than a day"
    assert whole.gpu_hours < whole.at_once_gpu_hours == 9 * max(one.hours for one in found)


def test_questions_are_counted_on_the_lists() -> None:
    """180 distinct of Study 1 Experiment 2; of free text each answer, since each has a seed of its own."""
    known = effective(values("gemma-2b"), {})
    counted = {load.experiment: load for load in loads(known, Assumptions())}
    assert list(counted) == ["study1-exp1", "study1-exp2", "study2-exp1", "study2-exp2"]
    assert counted["study1-exp2"].questions == 180 and counted["study1-exp2"].answer_tokens == 0
    assert counted["study1-exp1"].questions == 300 * 2 * 5
    assert counted["study1-exp1"].answer_tokens == 300 * 2 * 5 * 64
    assert counted["study2-exp1"].questions == 2424 * 5


@pytest.mark.parametrize(
    "study, experiment, distinct", [("study1", "study1-exp2", 180), ("study2", "study2-exp2", 2046)]
)
def test_the_users_own_lists_are_counted(study: str, experiment: str, distinct: int) -> None:
    """Where a release is given a list, that one: 2,046 distinct prompts of Study 2."""
    file = USERS_LISTS / f"{study}.csv"
    if not file.exists():
        pytest.skip("the users' lists are not beside this checkout")
    sets = {f"queries.trials.{study}": file.read_text()}
    counted = loads(effective(values("gemma-2b"), sets), Assumptions())
    assert {load.experiment: load.questions for load in counted}[experiment] == distinct


def test_prompts_come_near_their_tokens() -> None:
    """A Study 1 question of 183 tokens costs 354 at blocks of 16, measured; the formula is within a third."""
    known = effective(values("gemma-2b"), {})
    (load,) = (one for one in loads(known, Assumptions()) if one.experiment == "study1-exp2")
    assert load.prompt_tokens / load.questions == pytest.approx(354, rel=1 / 3)
    assert len(lists.default(studies.named("study1")).trials) == 300


def test_a_sample_and_a_choice_of_experiments_are_counted() -> None:
    """As the chart is told them."""
    sets = {"queries.experiments.study1-exp2.enabled": False, "queries.experiments.study1-exp1.sample": 10}
    counted = {load.experiment: load for load in loads(effective(values("gemma-2b"), sets), Assumptions())}
    assert "study1-exp2" not in counted and counted["study1-exp1"].questions == 10 * 2 * 5


def test_ways_of_asking_are_counted() -> None:
    """Three orders are three times the questions, and what equal beginnings share counts once."""
    key = "queries.experiments.study2-exp2.ways"
    known = values("gemma-2b")
    (one,), (three,) = (
        [load for load in loads(effective(known, sets), Assumptions()) if load.experiment == "study2-exp2"]
        for sets in ({}, {key: "one-by-one:order"})
    )
    assert three.questions == 3 * one.questions
    assert one.prompt_tokens < three.prompt_tokens < 3 * one.prompt_tokens


def test_a_study_file_in_the_values_is_counted() -> None:
    """With its own list and its own sampling; a reasoning model needs room for its reasoning."""
    own = {f"queries.{key}": value for key, value in own_study.VALUES.items()}
    counted = {load.experiment: load for load in loads(effective(values("gemma-2b"), own), Assumptions())}
    assert {name: load.questions for name, load in counted.items()} == dict(
        zip(own_study.EXPERIMENTS, (4, 4, 8), strict=True)
    )
    assert counted["some-reds-said"].answer_tokens == 8 * 9
    assert counted["some-reds-main"].prompt_tokens > counted["some-reds-null"].prompt_tokens, "has an example"
    own |= {"queries.study": own_study.TEXT.replace(", max_tokens: 9", "")}
    for model, tokens in (("gemma-2b", 64), ("gpt-oss-20b", 2048)):
        *_, said = loads(effective(values(model), own), Assumptions())
        assert said.answer_tokens == 8 * tokens
    *_, said = loads(
        effective(values("gemma-2b"), {**own, "queries.experiments.some-reds-said.replicates": 3}),
        Assumptions(),
    )
    assert said.questions == 12


def test_a_study_on_the_input_claim_cannot_be_counted() -> None:
    """What to do instead is named."""
    there = {"queries.studyFromInput": "third.yaml", "queries.experiments.third-main.enabled": True}
    with pytest.raises(SpecError, match=r"queries\.studyFromInput .*cannot be counted here.*--study"):
        loads(effective(values("gemma-2b"), there), Assumptions())


def test_the_formula() -> None:
    """By hand: gemma-2b has 4.9 GiB of 16-bit weights on one A100, at 30% of 312 TFLOPS and 1,935 GB/s."""
    gemma, assumptions = values("gemma-2b"), Assumptions()
    parameters = 4.9 * 2**30 / 2
    scored = Load("study1-exp2", 180, 100_000, 0)
    assert query_seconds(gemma, [scored], assumptions) == pytest.approx(
        100_000 * 2 * parameters / (0.3 * 312e12)
    )
    drawn = Load("study1-exp1", 10, 0, 6_400)
    assert query_seconds(gemma, [drawn], assumptions) == pytest.approx(100 * 4.9 * 2**30 / (0.3 * 1935e9))


def test_downloads_and_loads_follow_from_the_values() -> None:
    """15 MB/s in the chart; a Job that downloads before any GPU is held does not cost GPU-hours."""
    gemma = values("gemma-2b")
    known = effective(gemma, {})
    one = estimate(gemma, known, [], Assumptions())
    seconds = math.ceil(4.9 * 1073.741824 / 15)
    assert one.download_hours * 3600 == pytest.approx(seconds)
    assert one.load_hours * 3600 == pytest.approx(seconds + 900)
    assert one.gpu_hours == pytest.approx(one.download_hours + one.load_hours)
    staged = estimate(gemma, effective(gemma, {"weights.stage": "job"}), [], Assumptions())
    assert staged.gpu_hours == pytest.approx(one.load_hours)
    given = estimate(gemma, effective(gemma, {"server.startup.budgetSeconds": 7200}), [], Assumptions())
    assert given.load_hours == 2


hours = st.floats(0, 30)


@given(st.lists(st.tuples(st.integers(0, 8), hours, hours, hours), min_size=1, max_size=8))
def test_all_at_once_is_never_cheaper(parts: list[tuple[int, float, float, float]]) -> None:
    """Each server stands until the last one is done: the sum of the GPUs times the longest."""
    found = [Estimate("m", "g", gpus, 80, 1, 1, d, load, q, True) for gpus, d, load, q in parts]
    whole = total(found)
    assert whole.at_once_gpu_hours >= whole.gpu_hours - 1e-6
    assert whole.peak_gpus == max(gpus for gpus, *_ in parts) <= whole.at_once_gpus


def test_a_budget_has_bounds() -> None:
    """216 and 250 are as they are; more has to be meant, and less than nothing is none."""
    check_budget(216)
    check_budget(250)
    check_budget(1848, over_budget=True)
    for wrong in (250.1, 0, -1):
        with pytest.raises(SpecError):
            check_budget(wrong)


def test_a_share_is_a_share(tmp_path: Path) -> None:
    """Of the published peaks nobody reaches more than all."""
    with pytest.raises(SpecError, match="utilisation"):
        Assumptions(utilisation=1.5)
