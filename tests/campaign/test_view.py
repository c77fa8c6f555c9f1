"""What a person sees of a campaign, on the way and at the end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from rich.console import Console

from grace_client.campaign import machine
from grace_client.campaign.diagnose import diagnose
from grace_client.campaign.records import Campaign, Limits, Spec
from grace_client.campaign.snapshot import Container, Snapshot
from grace_client.campaign.status import lines, to_json
from grace_client.campaign.view import View, view
from grace_client.cli.campaign.view import _lines, _table, line
from grace_client.core.progress import ProgressLine
from tests.campaign.test_diagnose import recorded
from tests.campaign.world import START, World, server

CLIENT = "\n".join(ProgressLine("study1-exp2", done, 180, failed=1).to_line() for done in (30, 42))


def logged(name: str, component: str, log: str) -> Snapshot:
    """A release whose one pod printed something."""
    pod = replace(
        server("m", 1, START), component=component, containers=(Container(name, "running", log=log),)
    )
    return Snapshot(at=START, release="m", pods=(pod,))


def test_progress_is_read_from_the_clients_lines() -> None:
    """The latest line of JSON counts. A client of an older version shows no progress."""
    campaign, _ = waiting()
    (found,) = view(campaign, logged("query", "query", CLIENT)).progress.values()
    assert (found.task, found.done, found.total) == ("study1-exp2", 42, 180)
    old = "study1-exp2 (Knowledge attribution): 300 trials, 180 distinct, 150 to ask\nstudy1-exp2: 42 of 180"
    assert view(campaign, logged("query", "query", old)).progress == {}
    assert view(campaign, logged("query", "query", '{"grace": "progress"}\n[1]\n{')).progress == {}


def test_the_last_line_of_the_download_is_shown() -> None:
    """As it is: nothing reads the sentence."""
    campaign, _ = waiting()
    log = "a/b@main: 4.9 GiB\nFetching 12 files:  8%\rFetching 12 files: 17%\n\n"
    assert view(campaign, logged("weights", "server", log)).weights == "Fetching 12 files: 17%"
    assert view(campaign, logged("query", "query", CLIENT)).weights == ""


def waiting() -> tuple[Campaign, World]:
    """A campaign whose first model waits for GPUs."""
    limits = Limits(fallbacks=("l40",))
    campaign = machine.begin("three", "ns", Spec(models=("small", "large")), limits, START)
    campaign, world = machine.checked(campaign), World()
    campaign = machine.installed(machine.installing(campaign, world.now))
    world.install("small")
    for minutes in (0, 5):
        world.act("nothing", minutes)
        campaign = machine.observed(campaign, world.snapshot("small"), diagnose(world.snapshot("small")))
    return campaign, world


def test_a_line_tells_how_far_a_model_is() -> None:
    """Phase, queue, questions and GPU-hours."""
    campaign, world = waiting()
    seen = view(campaign, world.snapshot("small"))
    assert line(seen) == "small: queued, 5 min 00 s in the queue, 0.00 GPU-hours"
    asked = replace(seen, progress={"study1-exp2": ProgressLine("study1-exp2", 42, 180)})
    assert "study1-exp2: 42 of 180" in line(asked)


def test_the_same_is_not_told_twice() -> None:
    """A change is told at once, the rest every half minute, and each trouble once."""
    campaign, _ = waiting()
    told: list[str] = []
    show = _lines(told.append)
    trouble = tuple(diagnose(recorded("unschedulable")))
    for second in range(0, 40, 5):
        show(View(START + timedelta(seconds=second), campaign, campaign.current, faults=trouble))
    assert sum("queued" in text for text in told) == 2
    assert sum("has no node" in text for text in told) == 1


def test_the_live_view_shows_every_model() -> None:
    """And the budget."""
    campaign, world = waiting()
    console = Console(width=100, record=True)
    console.print(_table(view(campaign, world.snapshot("small"))))
    text = console.export_text()
    assert "small" in text and "large" in text and "0.00 of 216 GPU-hours" in text


def test_the_report_says_what_became_of_each_model() -> None:
    """State, GPU-hours, queue time, reason, next command and where the results are."""
    campaign, world = waiting()
    world.act("schedule", 0)
    campaign = machine.observed(campaign, world.snapshot("small"), [])
    world.now += timedelta(hours=1)
    campaign = machine.failed(campaign, "it broke", "mend it")
    (small, large) = to_json(campaign, world.now, "again")["models"]
    assert small["gpu_hours"] == 2.0 and small["queue_minutes"] == 5.0
    assert (small["reason"], small["next"], large["state"]) == ("it broke", "mend it", "planned")
    assert lines(campaign, world.now, "again") == [
        "campaign three in ns: 2.00 of 216 GPU-hours used",
        "small: uninstalling, 2.00 GPU-hours, 5 min in the queue",
        "  it broke",
        "  next: mend it",
        "large: planned, 0.00 GPU-hours, 0 min in the queue",
        "next: again",
    ]
