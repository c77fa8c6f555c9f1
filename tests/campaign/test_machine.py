"""The state machine: GPUs are let go before another model takes any, and every story ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grace_client.campaign import machine
from grace_client.campaign.diagnose import diagnose
from grace_client.campaign.machine import Step
from grace_client.campaign.records import INSTALLED, Campaign, GpuUse, Limits, Outcome, Phase, Spec
from grace_client.campaign.snapshot import Job, Snapshot
from tests.campaign.world import START, World

MODELS = ("small", "large", "last")
HAPPENS = ("schedule", "download", "load", "complete", "fail", "evict", "crash", "end", "nothing")
WELL = ("schedule", "download", "load", "complete", "end")


def new(**limits: object) -> Campaign:
    """A campaign of three models."""
    return machine.begin("c", "ns", Spec(models=MODELS), Limits.model_validate(limits), START)


def holding(campaign: Campaign) -> set[str]:
    """Models whose pods may hold GPUs, by the record."""
    return {model.model for model in campaign.models if model.phase in INSTALLED}


def again(campaign: Campaign) -> Campaign:
    """What another process reads of it."""
    return Campaign.model_validate_json(campaign.model_dump_json())


def turn(campaign: Campaign, world: World, *, breaks: bool = False) -> Campaign:
    """One step as a driver does it; `breaks`: what it tries does not come about."""
    model = campaign.current
    assert model is not None
    name = model.model
    match machine.next_step(campaign):
        case Step.CHECK:
            return machine.refused(campaign, "no", "other values") if breaks else machine.checked(campaign)
        case Step.INSTALL:
            campaign = machine.installing(campaign, world.now)
            world.install(name)
            return machine.failed(campaign, "timeout", "again") if breaks else machine.installed(campaign)
        case Step.WATCH:
            snapshot = world.snapshot(name)
            return machine.observed(campaign, snapshot, diagnose(snapshot))
        case Step.FETCH:
            return machine.failed(campaign, "no", "fetch") if breaks else machine.fetched(campaign, ("r",))
        case Step.UNINSTALL:
            world.uninstall(name)
            snapshot = world.snapshot(name)
            return campaign if breaks or snapshot.gpus else machine.freed(campaign, snapshot)
        case Step.SETTLE:
            return machine.settled(campaign)
        case _:
            return campaign


def to_the_end(campaign: Campaign, world: World, turns: int = 400) -> Campaign:
    """Let everything go well from here."""
    for i in range(turns):
        if machine.next_step(campaign) is Step.FINISH:
            return campaign
        world.act(WELL[i % len(WELL)], 1)
        campaign = turn(campaign, world)
    raise AssertionError(f"no end in sight: {campaign}")


happenings = st.lists(
    st.tuples(
        st.sampled_from(HAPPENS), st.integers(0, 90), st.booleans(), st.sampled_from(["", "stop", "die"])
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=60)
@given(happenings)
def test_never_two_models_hold_gpus(story: list[tuple[str, int, bool, str]]) -> None:
    """Whatever fails, is stopped or dies: one release at most, and none of a model that is over."""
    campaign, world = new(fallbacks=["l40"], queue_minutes=60, budget_hours=500), World()
    for what, minutes, breaks, command in story:
        world.act(what, minutes)
        assert len(world.holding()) <= 1
        if machine.next_step(campaign) is Step.FINISH:
            campaign = machine.reopen(campaign, campaign.limits)
        if command == "stop":
            campaign = machine.stop(campaign, "asked")
        if command == "die":
            campaign = again(campaign)
        if campaign.current is not None:
            campaign = turn(campaign, world, breaks=breaks)
        assert len(holding(campaign)) <= 1
        assert world.holding() <= holding(campaign)
    campaign = to_the_end(machine.stop(campaign, "enough"), world)
    assert not world.holding() and not holding(campaign)


@settings(deadline=None, max_examples=60)
@given(happenings)
def test_resuming_comes_to_the_same_end(story: list[tuple[str, int, bool, str]]) -> None:
    """A record read back at any point and run again ends with every model done."""
    campaign, world = new(), World()
    for what, minutes, breaks, _ in story:
        world.act(what, minutes % 10)
        if machine.next_step(campaign) is not Step.FINISH:
            campaign = turn(campaign, world, breaks=breaks)
    end = to_the_end(machine.reopen(again(campaign), campaign.limits), world)
    end = to_the_end(machine.reopen(again(end), campaign.limits), world)
    assert [model.phase for model in end.models] == [Phase.DONE] * 3
    assert not world.holding()


def reached(phase: Phase) -> tuple[Campaign, World]:
    """A campaign whose first model is in a phase."""
    campaign, world = new(), World()
    for what in ("nothing", "nothing", "nothing", *WELL[:4], "nothing", "nothing", "end", "nothing"):
        if campaign.models[0].phase is phase:
            return campaign, world
        world.act(what, 1)
        campaign = turn(campaign, world)
    assert campaign.models[0].phase is phase, campaign.models[0].phase
    return campaign, world


ENDINGS: dict[str, Callable[[Campaign], Campaign]] = {
    "failure": lambda c: machine.failed(c, "why", "next"),
    "stop": lambda c: machine.stop(c, "asked"),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("phase", [phase for phase in INSTALLED if phase is not Phase.INSTALLING])
def test_every_end_frees_the_gpus_first(phase: Phase, ending: str) -> None:
    """From every state in which pods may hold GPUs, a failure and a stop lead through uninstalling."""
    campaign, world = reached(phase)
    campaign = ENDINGS[ending](campaign)
    assert campaign.models[0].phase is Phase.UNINSTALLING
    assert machine.next_step(campaign) is Step.UNINSTALL
    while campaign.models[0].phase is Phase.UNINSTALLING:
        campaign = turn(campaign, world)
        world.act("end", 1)
    assert not world.holding()
    assert all(model.phase is Phase.PLANNED for model in campaign.models[1:])


def test_gpus_that_are_held_are_not_free() -> None:
    """The machine does not take a driver's word for it."""
    campaign, world = reached(Phase.QUERYING)
    campaign = machine.failed(campaign, "why", "next")
    with pytest.raises(ValueError, match="still uses 2 GPUs"):
        machine.freed(campaign, world.snapshot("small"))


def test_the_next_gpus_are_tried_after_the_bound() -> None:
    """Not before; the wait adds up, what was tried is noted, and the last choice fails with the reason."""
    campaign, world = new(fallbacks=["l40"], queue_minutes=30), World()
    campaign = machine.installed(machine.installing(machine.checked(campaign), world.now))
    world.install("small")
    campaign = turn(campaign, world)
    world.act("nothing", 29)
    campaign = turn(campaign, world)
    assert campaign.models[0].phase is Phase.QUEUED
    world.act("nothing", 1)
    campaign = turn(campaign, world)
    assert campaign.models[0].outcome is Outcome.FALLBACK
    for _ in range(4):
        campaign = turn(campaign, world)
        world.act("end", 1)
    first = campaign.models[0]
    assert (first.tried, first.overlay, first.queue_seconds) == (("",), "l40", 1800)
    assert "first choice: no GPUs within 30 minutes" in first.notes[0] and "nvidia.com/a100" in first.notes[0]
    for _ in range(40):
        campaign = turn(campaign, world)
        world.act("end", 10)
        if campaign.models[0].phase is Phase.FAILED:
            break
    assert "no GPUs within" in campaign.models[0].reason and campaign.models[0].next


def test_a_used_up_budget_ends_the_campaign() -> None:
    """The running model is stopped, and can be run again; no other begins."""
    campaign, world = new(budget_hours=1), World()
    for what in ("nothing", "nothing", "schedule", "download"):
        world.act(what, 1)
        campaign = turn(campaign, world)
    world.act("nothing", 31)
    campaign = to_the_end(turn(campaign, world), world)
    assert [model.phase for model in campaign.models] == [Phase.PLANNED] * 3
    assert "budget of 1 GPU-hours" in campaign.stopping
    assert not world.holding()


def test_a_model_has_a_day() -> None:
    """Then it is uninstalled, and the next one begins."""
    campaign, world = reached(Phase.QUERYING)
    world.act("nothing", 25 * 60)
    campaign = turn(campaign, world)
    assert "limit is 24" in campaign.models[0].reason
    assert campaign.models[0].phase is Phase.UNINSTALLING


def test_a_day_begins_anew_with_every_install() -> None:
    """What used its day up and is run again has another one, and is not ended at the first look."""
    campaign, world = reached(Phase.QUERYING)
    world.act("nothing", 25 * 60)
    campaign = turn(campaign, world)
    for _ in range(200):
        if campaign.models[0].phase is Phase.FAILED:
            break
        world.act("end", 1)
        campaign = turn(campaign, world)
    end = to_the_end(machine.reopen(campaign, campaign.limits), world)
    assert [model.phase for model in end.models] == [Phase.DONE] * 3


def test_a_clock_that_is_behind_hides_no_hours() -> None:
    """A pod that seems some seconds older than its install counts; one of the day before does not."""
    campaign, _ = reached(Phase.QUERYING)
    model, now = campaign.models[0], START + timedelta(hours=30)
    begun = START + timedelta(hours=25)
    holds = tuple(
        GpuUse(uid=str(i), pod="p", gpus=2, since=since, until=since + timedelta(hours=hours))
        for i, (since, hours) in enumerate([(START, 24), (begun - timedelta(seconds=4), 3)])
    )
    model = model.model_copy(update={"begun": begun, "gpu_uses": holds})
    assert model.installed_hours(now) == pytest.approx(3)
    assert model.gpu_hours(now) == pytest.approx(54)


def test_a_weekend_without_a_look_costs_nothing() -> None:
    """The Jobs ended on Friday, and the server was stopped then: hours in which no GPU was held do not count,
    and the results are fetched, although more than a day has passed.
    """
    campaign, world = reached(Phase.QUERYING)
    world.act("complete", 30)
    friday = world.now
    world.act("evict", 0)
    world.jobs["small"] = replace(world.jobs["small"], complete=True)
    world.pods["small"] = []
    world.now += timedelta(days=3)
    stopped = Job("job-autostop", "autostop", "", True, "", finished=friday + timedelta(minutes=1))
    seen = world.snapshot("small")
    campaign = machine.observed(campaign, replace(seen, jobs=(*seen.jobs, stopped), replicas=0), [])
    (hold,) = campaign.models[0].gpu_uses
    assert hold.until == friday + timedelta(minutes=1)
    assert campaign.models[0].phase is Phase.FETCHING and not campaign.stopping


def test_objects_that_kubernetes_cleared_away_are_no_uninstall() -> None:
    """A Job that ended a day ago is deleted by itself: the release is there, and its results are fetched."""
    campaign, _ = reached(Phase.QUERYING)
    nothing = Snapshot(at=START + timedelta(hours=30), release="small")
    assert machine.observed(campaign, nothing, [], installed=True).models[0].phase is Phase.FETCHING
    gone = machine.observed(campaign, nothing, [], installed=False).models[0]
    assert gone.phase is Phase.UNINSTALLING and "uninstalled" in gone.reason


def test_other_fallbacks_do_not_move_a_model_to_other_gpus() -> None:
    """A run that goes on with another list of overlays stays on the one that it is on."""
    campaign = new(fallbacks=["rtx-3090", "l40"])
    model = campaign.models[0].model_copy(update={"overlay": "l40", "tried": ("", "rtx-3090")})
    campaign = campaign.model_copy(update={"models": (model, *campaign.models[1:])})
    campaign = machine.reopen(campaign, Limits(fallbacks=("v100",)))
    assert campaign.models[0].overlay == "l40" and campaign.overlays_left(campaign.models[0]) == ("v100",)


@given(
    st.lists(st.tuples(st.integers(1, 2), st.integers(0, 500), st.none() | st.integers(0, 500)), max_size=6)
)
def test_gpu_hours_of_pods_add_up(spans: list[tuple[int, int, int | None]]) -> None:
    """The campaign's hours are the sum over pods of GPUs times the time that each was held."""
    now = START + timedelta(minutes=1000)
    holds = [
        GpuUse(
            uid=str(i),
            pod=str(i),
            gpus=gpus,
            since=START + timedelta(minutes=since),
            until=None if length is None else START + timedelta(minutes=since + length),
        )
        for i, (gpus, since, length) in enumerate(spans)
    ]
    campaign = new()
    model = campaign.models[0].model_copy(update={"gpu_uses": tuple(holds)})
    campaign = campaign.model_copy(update={"models": (model, *campaign.models[1:])})
    minutes = sum(g * (1000 - since if length is None else length) for g, since, length in spans)
    assert campaign.gpu_hours(now) == pytest.approx(minutes / 60)


def test_a_replaced_pod_is_counted_beside_its_successor() -> None:
    """By uid: an evicted server and the one that took its place both held GPUs."""
    campaign, world = reached(Phase.QUERYING)
    world.act("evict", 10)
    campaign = turn(campaign, world)
    world.act("end", 0)
    world.act("schedule", 5)
    campaign = turn(campaign, world)
    holds = campaign.models[0].gpu_uses
    assert len(holds) == 2
    assert holds[0].until is not None and holds[1].until is None
    assert holds[1].since == world.now
