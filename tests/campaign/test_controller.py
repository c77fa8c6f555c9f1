"""Conducting a campaign: killed, stopped or cut off at any call, it frees the GPUs and comes to its end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from grace_client.campaign import machine
from grace_client.campaign import store as storage
from grace_client.campaign.controller import Controller
from grace_client.campaign.failures import ClusterLostError, ResultsIncompleteError
from grace_client.campaign.records import Campaign, GpuUse, Limits, ModelState, Phase, Spec
from grace_client.campaign.store import NAME, Store
from grace_client.core.errors import BusyError, ReleaseError, SpecError
from tests.campaign.fakes import Fake, FakeBackend, KilledError
from tests.campaign.world import START

MODELS = ("small", "large", "last")
SPEC = Spec(models=MODELS)


def new(**limits: Any) -> Campaign:
    """A campaign of three models."""
    return machine.begin("three", "ns", SPEC, Limits(**limits), START)


async def conduct(fake: Fake, folder: Path, campaign: Campaign | None = None, **options: Any) -> Campaign:
    """Begin, or go on with what cluster and folder hold."""
    if campaign is None:
        found = storage.newer(await storage.read_cluster(fake), storage.read_file(folder))
        campaign = machine.reopen(found, found.limits) if found else new()
    store = Store(fake, folder)
    await store.acquire(campaign, fake.now())
    controller = Controller(campaign, fake, store, fake.backend, clock=fake, **options)
    fake.controller = controller  # type: ignore[attr-defined]
    return await controller.run()


def run(fake: Fake, folder: Path, campaign: Campaign | None = None, **options: Any) -> Campaign:
    """`conduct`, from outside."""
    return asyncio.run(conduct(fake, folder, campaign, **options))


def phases(campaign: Campaign) -> list[Phase]:
    """Of its models."""
    return [model.phase for model in campaign.models]


def nothing_left(fake: Fake) -> bool:
    """No release, no pod that holds a GPU, no ConfigMap."""
    return not fake.world.jobs and not fake.world.holding() and not fake.maps


def test_three_models_one_after_another(tmp_path: Path) -> None:
    """Each is installed once, in order; nothing is left in the cluster, and the file tells the end."""
    fake = Fake()
    ended = run(fake, tmp_path)
    assert phases(ended) == [Phase.DONE] * 3 and fake.installs == list(MODELS)
    assert nothing_left(fake)
    assert storage.read_file(tmp_path) == ended
    assert [model.results for model in ended.models] == [(f"results/{name}",) for name in MODELS]
    assert all(hold.until is not None for model in ended.models for hold in model.gpu_uses)
    assert all(model.gpu_hours(fake.now()) > 0 for model in ended.models)


@pytest.mark.slow
def test_killed_at_any_call(tmp_path: Path) -> None:
    """Resumed from another folder, where only the cluster tells what was under way: the same end."""
    whole = Fake()
    run(whole, tmp_path / "whole")
    points = len(whole.calls)
    assert points > 12
    for point in range(points):
        fake = Fake(kill_at=point)
        with pytest.raises(KilledError):
            run(fake, tmp_path / f"{point}-first")
        fake.kill_at = None
        ended = run(fake, tmp_path / f"{point}-second")
        assert phases(ended) == [Phase.DONE] * 3, whole.calls[point]
        assert nothing_left(fake), whole.calls[point]


@pytest.mark.slow
def test_killed_at_any_call_and_stopped_from_elsewhere(tmp_path: Path) -> None:
    """What the dead process had begun is known to the one that ends the campaign: nothing is left."""
    whole = Fake()
    run(whole, tmp_path / "whole")
    for point in range(len(whole.calls)):
        fake = Fake(kill_at=point)
        with pytest.raises(KilledError):
            run(fake, tmp_path / f"{point}-first")
        fake.kill_at = None
        if kept := asyncio.run(storage.read_cluster(fake)):
            run(fake, tmp_path / f"{point}-second", machine.stop(kept.campaign, "enough"))
        assert nothing_left(fake), whole.calls[point]


@pytest.mark.slow
def test_stopped_at_any_call(tmp_path: Path) -> None:
    """GPUs are free and the ConfigMap is gone when the process ends; the same command goes on afterwards."""
    whole = Fake()
    run(whole, tmp_path / "whole")
    for point in range(3, len(whole.calls), 3):
        fake = Fake()
        call = fake.call

        def calls(what: str, fake: Fake = fake, call: Any = call, point: int = point) -> None:
            # Twice: the second signal changes nothing.
            if point <= len(fake.calls) <= point + 1:
                fake.controller.stop("a signal")  # type: ignore[attr-defined]
            call(what)

        fake.call = calls  # type: ignore[method-assign]
        ended = run(fake, tmp_path / str(point))
        assert nothing_left(fake), whole.calls[point]
        assert ended.stopping == "a signal" or phases(ended) == [Phase.DONE] * 3
        again = run(fake, tmp_path / str(point))
        assert phases(again) == [Phase.DONE] * 3
        assert nothing_left(fake)


def test_a_request_in_the_cluster_stops_it(tmp_path: Path) -> None:
    """From any machine, without a signal."""
    fake = Fake(well=False)

    async def story() -> Campaign:
        running = asyncio.create_task(conduct(fake, tmp_path))
        while not fake.world.jobs:
            await asyncio.sleep(0)
        await storage.ask_to_stop(fake, "asked elsewhere")
        return await running

    ended = asyncio.run(story())
    assert ended.stopping == "asked elsewhere" and phases(ended) == [Phase.PLANNED] * 3
    assert nothing_left(fake)


def test_another_campaign_is_refused(tmp_path: Path) -> None:
    """With the name of the one that is under way; nothing of it is touched."""
    fake = Fake(kill_at=20)
    with pytest.raises(KilledError):
        run(fake, tmp_path / "one")
    fake.kill_at = None
    before = fake.maps[NAME]
    other = machine.begin("other", "ns", Spec(models=("small",)), Limits(), START)
    with pytest.raises(BusyError, match=r"three \(small, large, last\) is running"):
        run(fake, tmp_path / "two", other)
    assert fake.maps[NAME] == before and not (tmp_path / "two").exists()


def test_a_campaign_has_one_conductor(tmp_path: Path) -> None:
    """A second process is refused while the first lives; once it takes over, the first does nothing more."""
    fake = Fake(well=False)

    async def story() -> None:
        store = Store(fake, tmp_path)
        store.holder = "elsewhere:1"
        campaign = new()
        await store.acquire(campaign, fake.now())
        with pytest.raises(BusyError, match="elsewhere:1 runs campaign three"):
            await Store(fake, tmp_path).acquire(campaign, fake.now())
        first = Controller(campaign, fake, store, fake.backend, clock=fake)
        running = asyncio.create_task(first.run())
        while not fake.world.jobs:
            await asyncio.sleep(0)
        await Store(fake, tmp_path).acquire(first.campaign, fake.now(), take_over=True)
        with pytest.raises(BusyError, match="taken over this campaign"):
            await running
        assert fake.world.jobs and NAME in fake.maps

    asyncio.run(story())


def test_a_silent_conductor_is_succeeded(tmp_path: Path) -> None:
    """After the lease, from any machine."""
    fake = Fake()

    async def story() -> Campaign:
        store = Store(fake, tmp_path)
        store.holder = "elsewhere:1"
        await store.acquire(new(), fake.now())
        fake.world.now += storage.LEASE + timedelta(seconds=1)
        return await conduct(fake, tmp_path / "other")

    assert phases(asyncio.run(story())) == [Phase.DONE] * 3


@pytest.mark.parametrize("minutes", [1, 10])
def test_an_api_that_comes_back_is_waited_for(tmp_path: Path, minutes: int) -> None:
    """Whenever it goes away; the campaign ends as if it had not."""
    for begin in range(0, 120, 20):
        fake = Fake(away=timedelta(minutes=minutes))
        campaign = new()
        fake.away_since = START + timedelta(seconds=begin + 1)

        async def story(fake: Fake = fake, campaign: Campaign = campaign, begin: int = begin) -> Campaign:
            store = Store(fake, tmp_path / str(begin))
            await store.acquire(campaign, fake.now())
            return await Controller(campaign, fake, store, fake.backend, clock=fake).run()

        assert phases(asyncio.run(story())) == [Phase.DONE] * 3
        assert nothing_left(fake)


def test_a_refusal_is_not_the_last_word(tmp_path: Path) -> None:
    """An API that has just started calls everything forbidden for a moment; GPUs are not left for that."""
    for what in ("get pods", "get configmaps", "patch"):
        fake = Fake()
        call, left = fake.call, [4]

        def calls(
            said: str, what: str = what, call: Any = call, left: list[int] = left, fake: Fake = fake
        ) -> None:
            call(said)
            if said.startswith(what) and fake.world.holding() and left[0]:
                left[0] -= 1
                raise SpecError("pods is forbidden")

        fake.call = calls  # type: ignore[method-assign, assignment]
        assert phases(run(fake, tmp_path / what.replace(" ", "-"))) == [Phase.DONE] * 3
        assert not left[0] and nothing_left(fake)


def test_an_api_that_stays_away_is_asked_while_gpus_may_be_held(tmp_path: Path) -> None:
    """However long: nobody else would free them."""
    fake = Fake(away=timedelta(hours=5), away_since=START + timedelta(seconds=4))
    assert phases(run(fake, tmp_path)) == [Phase.DONE] * 3
    assert nothing_left(fake)


def test_an_api_that_stays_away_ends_it_with_the_command(tmp_path: Path) -> None:
    """Where nothing is held, or somebody wants to leave: exit code 3, the record in the file; it goes on when
    the API is back.
    """
    for where, away in enumerate((START + timedelta(seconds=1), START + timedelta(seconds=4))):
        fake = Fake(away=timedelta(hours=5), away_since=away)

        async def story(fake: Fake = fake, where: int = where) -> None:
            campaign, store = new(), Store(fake, tmp_path / str(where))
            await store.acquire(campaign, fake.now())
            again = "grace campaign run --out here"
            controller = Controller(campaign, fake, store, fake.backend, clock=fake, resume=again)
            running = asyncio.create_task(controller.run())
            if where:
                while fake.world.now < START + timedelta(minutes=30):
                    await asyncio.sleep(0)
                controller.stop("enough")
            else:
                fake.world.now += timedelta(seconds=1)
            await running

        with pytest.raises(ClusterLostError, match="grace campaign run --out here") as raised:
            asyncio.run(story())
        assert raised.value.exit_code == 3
        assert len(fake.world.jobs) == where
        fake.world.now += timedelta(hours=5)
        assert phases(run(fake, tmp_path / str(where))) == [Phase.DONE] * 3
        assert nothing_left(fake)


def test_time_that_a_machine_sleeps_is_not_waited(tmp_path: Path) -> None:
    """A laptop that was closed for a night in the middle of a call goes on in the morning."""
    fake = Fake()
    call, slept = fake.call, [False]

    def calls(what: str) -> None:
        call(what)
        if what == "get pods,jobs,deployments,replicasets" and not slept[0]:
            slept[0] = True
            fake.world.now += timedelta(hours=8)
            raise ReleaseError("unexpected EOF", retryable=True)

    fake.call = calls  # type: ignore[method-assign]
    assert phases(run(fake, tmp_path)) == [Phase.DONE] * 3


def test_what_fails_is_told_and_the_next_model_begins(tmp_path: Path) -> None:
    """An install and a fetch that fail: reasons and commands, GPUs free; the next run tries them again."""
    broken: dict[str, Exception] = {
        "install small": ReleaseError("helm did not end within 600 s"),
        "fetch large": ReleaseError("checksums differ"),
    }
    fake = Fake(broken=broken)
    ended = run(fake, tmp_path)
    assert phases(ended) == [Phase.FAILED, Phase.FAILED, Phase.DONE]
    assert "did not end" in ended.models[0].reason and "checksums differ" in ended.models[1].reason
    assert all(model.next for model in ended.models[:2])
    assert nothing_left(fake)
    fake.broken.clear()
    assert phases(run(fake, tmp_path)) == [Phase.DONE] * 3
    assert fake.installs == [*MODELS, "small"]


def test_an_install_that_takes_too_long_is_not_repeated(tmp_path: Path) -> None:
    """Helm's timeout is no lost connection; the model fails with it, and the next one begins."""
    fake = Fake(slow={"large"})
    ended = run(fake, tmp_path)
    assert phases(ended) == [Phase.DONE, Phase.FAILED, Phase.DONE]
    assert "timed out" in ended.models[1].reason and fake.installs == list(MODELS)
    assert nothing_left(fake)


def test_a_fault_of_its_own_frees_the_gpus(tmp_path: Path) -> None:
    """Not only what was foreseen: the model fails with it, and is uninstalled."""
    fake = Fake(broken={"fetch small": ValueError("not enough values to unpack")})
    ended = run(fake, tmp_path)
    assert phases(ended) == [Phase.FAILED, Phase.DONE, Phase.DONE]
    assert "not enough values" in ended.models[0].reason
    assert nothing_left(fake)


@pytest.mark.parametrize("what", ["show", "uninstall", "uninstalled", "keep_logs", "disk", "work"])
def test_nothing_unforeseen_keeps_gpus_held(what: str, tmp_path: Path) -> None:
    """A closed terminal, a full disk, a fault in the uninstall itself: it is tried until they are free."""
    fake = Fake(broken={"fetch small": ReleaseError("checksums differ")})
    left = [3]

    def fail(*_: object) -> None:
        if fake.world.holding() and left[0]:
            left[0] -= 1
            raise OSError(28, "No space left on device")

    async def story() -> Campaign:
        campaign, store = new(), Store(fake, tmp_path)
        await store.acquire(campaign, fake.now())
        call, work = fake.call, fake.backend

        def calls(said: str) -> None:
            call(said)
            if said.startswith(f"{what} "):
                fail()

        def works(campaign: Campaign, model: ModelState) -> FakeBackend:
            if what == "work":
                fail()
            return work(campaign, model)

        fake.call = calls  # type: ignore[method-assign, assignment]
        show = fail if what == "show" else lambda _: None
        controller = Controller(campaign, fake, store, works, clock=fake, show=show)
        if what == "disk":
            write = store.folder / storage.FILE
            write.unlink()
            write.mkdir()
        return await controller.run()

    if what == "disk":
        with pytest.raises(ReleaseError, match=r"uses no GPU, but .* cannot be written"):
            asyncio.run(story())
        assert fake.maps and not fake.world.jobs and not fake.world.holding()
    else:
        assert phases(asyncio.run(story()))[1:] == [Phase.DONE] * 2
        assert left[0] == (2 if what == "keep_logs" else 0) and nothing_left(fake)


def test_a_long_uninstall_keeps_the_campaign(tmp_path: Path) -> None:
    """The lease is renewed meanwhile, so that nobody else takes it over."""
    fake = Fake(stuck={"small": 600})

    async def story() -> Campaign:
        running = asyncio.create_task(conduct(fake, tmp_path))
        while "uninstall small" not in fake.calls:
            await asyncio.sleep(0)
        began = fake.now()
        while fake.now() < began + timedelta(seconds=300):
            await asyncio.sleep(0)
        kept = await storage.read_cluster(fake)
        assert kept is not None and fake.now() - kept.renewed < storage.LEASE
        return await running

    assert phases(asyncio.run(story())) == [Phase.DONE] * 3


def test_a_campaign_that_somebody_ended_installs_nothing(tmp_path: Path) -> None:
    """Its ConfigMap is gone: the process that comes back to it stops."""
    fake = Fake()
    call = fake.call

    def calls(what: str) -> None:
        call(what)
        if what == "check large":
            fake.maps.clear()

    fake.call = calls  # type: ignore[method-assign]
    ended = run(fake, tmp_path)
    assert phases(ended) == [Phase.DONE, Phase.PLANNED, Phase.PLANNED]
    assert fake.installs == ["small"] and "ConfigMap" in ended.stopping


def test_what_is_answered_is_fetched_without_gpus(tmp_path: Path) -> None:
    """A fetch that failed, or was stopped, is all that is done again; nothing is installed for it."""
    fake = Fake(broken={"fetch large": ReleaseError("no space left on device")})
    assert phases(run(fake, tmp_path)) == [Phase.DONE, Phase.FAILED, Phase.DONE]
    assert phases(run(fake, tmp_path)) == [Phase.DONE, Phase.FAILED, Phase.DONE]
    fake.broken.clear()
    ended = run(fake, tmp_path)
    assert phases(ended) == [Phase.DONE] * 3 and ended.models[1].results == ("results/large",)
    assert fake.installs == list(MODELS) and not ended.models[1].reason


def test_results_that_are_not_whole_are_asked_again(tmp_path: Path) -> None:
    """The Jobs have succeeded, and a table is missing: the next run installs the model again."""
    fake = Fake(broken={"fetch large": ResultsIncompleteError("the tables of study1-exp2 are not complete")})
    assert phases(run(fake, tmp_path)) == [Phase.DONE, Phase.FAILED, Phase.DONE]
    fake.broken.clear()
    assert phases(run(fake, tmp_path)) == [Phase.DONE] * 3
    assert fake.installs == [*MODELS, "large"]


def test_a_used_up_budget_installs_nothing(tmp_path: Path) -> None:
    """Before the next model, too; a larger budget goes on."""
    fake = Fake()
    campaign = new()
    hold = GpuUse(uid="1", pod="p", gpus=2, since=START - timedelta(hours=200), until=START)
    first = campaign.models[0].model_copy(update={"phase": Phase.DONE, "gpu_uses": (hold,)})
    campaign = campaign.model_copy(update={"models": (first, *campaign.models[1:])})
    ended = run(fake, tmp_path, campaign)
    assert not fake.installs and "--budget-hours" in ended.stopping
    larger = machine.reopen(ended, Limits(budget_hours=500))
    assert phases(run(fake, tmp_path, larger)) == [Phase.DONE] * 3


def test_an_install_that_cannot_come_about_is_given_up(tmp_path: Path) -> None:
    """Helm waits for a download of the weights in a Job of its own: what is wrong with it is told at once."""
    fake = Fake(slow={"small"}, doomed={"small"})
    ended = run(fake, tmp_path, install_seconds=80_000.0)
    assert phases(ended) == [Phase.FAILED, Phase.DONE, Phase.DONE]
    assert "hf-token" in ended.models[0].reason and "kubectl create secret" in ended.models[0].next
    assert fake.now() < START + timedelta(hours=1)


def test_gpus_that_stay_held_hold_the_campaign(tmp_path: Path) -> None:
    """An uninstall that leaves pods is tried again until they are gone; no other model begins meanwhile."""
    fake = Fake()
    fake.broken["uninstalled small"] = ReleaseError("pods are left")

    async def story() -> Campaign:
        running = asyncio.create_task(conduct(fake, tmp_path))
        while fake.calls.count("uninstall small") < 4:
            await asyncio.sleep(0)
        assert fake.installs == ["small"]
        fake.broken.clear()
        return await running

    assert phases(asyncio.run(story())) == [Phase.DONE] * 3


def test_a_release_that_is_not_the_campaigns_is_not_touched(tmp_path: Path) -> None:
    """Somebody's own server of the same name holds GPUs: refused, with the command that frees them."""
    fake = Fake(well=False)
    fake.world.install("large")
    fake.world.act("schedule", 0)
    with pytest.raises(SpecError, match="helm uninstall large"):
        run(fake, tmp_path)
    assert "large" in fake.world.jobs and not fake.installs
