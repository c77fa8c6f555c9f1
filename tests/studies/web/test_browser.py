"""The page in a real browser: a person takes part, and the data say what the person did."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from aiohttp import web as http

from grace_client import analysis
from grace_client.core import trials
from grace_client.core.errors import SpecError
from grace_client.core.trials import TrialList
from grace_client.studies import web
from grace_client.studies.declaration import Experiment
from grace_client.studies.web import _library
from tests.studies.files import plain, study
from tests.support.browser import SECONDS, Tab, browser

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"
SCORED: list[dict[str, Any]] = [
    {
        "name": "fair",
        "system": "You take part in a study of tones.",
        "prompt": "{{ who }} hears a {{ size }} {{ item }}.\n\nIs it high? Answer with no or yes.\nAnswer:",
        "options": ["yes", "no"],
    },
    {
        "name": "sure",
        "system": "You take part in a study of tones.",
        "prompt": "{{ who }} hears a {{ size }} {{ item }}.\n\n" + HOSTILE + "\n\nHow sure are you?\nAnswer:",
        "options": {"names": ["not at all", "rather sure", f"sure, {HOSTILE}"], "values": [1, 2, 3]},
    },
]
FREE: list[dict[str, Any]] = [
    {
        "name": "why",
        "messages": [
            {"user": "What is {{ size }}?"},
            {"assistant": "a <b>drum</b>"},
            {"user": "And {{ item }}?"},
        ],
        "read": {"number": [0, 3]},
    }
]
ITEMS = ("bell", 'horn, "old"', "drum", "harp", "lute", "gong")
PROGRESS = "document.querySelector('#jspsych-progressbar-container span')?.textContent.startsWith"


@pytest.fixture(scope="session")
def jspsych() -> None:
    """The files of jsPsych, from the cache or from npm."""
    try:
        _library.scripts()
    except SpecError as error:
        if os.environ.get("GRACE_TEST_ALL"):
            pytest.fail(str(error))
        pytest.skip(str(error))


def asked(folder: Path, ask: list[dict[str, Any]], **settings: Any) -> tuple[Experiment, TrialList, str]:
    """A study with three participants who see six items each; its list; the address of its page."""
    columns = {"participant": None, "item": None, "size": {"values": ["small", "large"]}, "who": None}
    declared = {"participant": "participant", "item": "item", "conditions": ["size"], "columns": columns}
    data = plain(trials=declared, experiments={"exp1": {"ask": ask}})
    (experiment,) = study(folder, data).experiments.values()
    sizes = ["small", "large"]
    rows = [
        {"participant": f"p {person}", "item": item, "size": sizes[(at + person) % 2], "who": f"Ann {at}"}
        for person in range(3)
        for at, item in enumerate(ITEMS)
    ]
    listed = trials.parse(trials.to_csv(list(columns), rows), path="tones.csv", schemas=[experiment.schema])
    written = web.write(experiment, listed, folder / "page", **settings)
    return experiment, listed, written.path.as_uri()


def inside(chromium: str, folder: Path, work: Callable[[Tab], Awaitable[None]]) -> None:
    """Do something in a browser. No script may fail, and nothing may be fetched but the page."""

    async def all_of_it() -> None:
        async with browser(chromium, folder) as tab:
            await work(tab)

    asyncio.run(all_of_it())


async def begin(tab: Tab, address: str, **window: int) -> None:
    """Agree, and read the instructions."""
    await tab.open(address, **window)
    await tab.until("document.querySelector('h1')?.textContent === 'Study'")
    await tab.click("[data-choice='0']")
    await tab.until("document.querySelector('h1')?.textContent === 'Instructions'")
    await tab.click("[data-choice='0']")


async def question(tab: Tab, number: int) -> str:
    """Wait for a question, counted from 0; the text that stands there."""
    await tab.until(f"{PROGRESS}('{number} of') && document.querySelector('.prompt')")
    return " ".join(str(await tab.js("document.querySelector('.prompt').innerText")).split())


async def downloaded(tab: Tab) -> list[dict[str, str]]:
    """The rows of the file that the page offers at its end."""
    await tab.until("document.querySelector('.end a')")
    await tab.click(".end a")
    async with asyncio.timeout(SECONDS):
        while not (found := [*tab.downloads.glob("*.csv")]):
            await asyncio.sleep(0.05)
    (path,) = found
    text = path.read_text("utf-8")
    path.unlink()
    return rows_of(text)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.usefixtures("jspsych")
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_a_person_takes_part(chromium: str, tmp_path: Path, width: int, height: int) -> None:
    """From consent to the file: every row is what was shown and clicked, and nothing of the study ran."""
    experiment, listed, address = asked(tmp_path, SCORED)
    own = {trial.trial_id: trial for trial in listed.trials if trial["participant"] == "p 1"}

    async def work(tab: Tab) -> None:
        seen = []
        await begin(tab, f"{address}?participant=p+1&session=s-1", width=width, height=height)
        for number in range(12):
            text = await question(tab, number)
            buttons = await tab.js(
                "[...document.querySelectorAll('.choice')].map(b => [b.textContent, b.offsetHeight])"
            )
            assert all(height >= 44 for _, height in buttons), "a finger needs 44 pixels"
            assert not await tab.js("document.documentElement.scrollWidth > window.innerWidth")
            pressed = number // 2 % len(buttons)
            await tab.click(f"[data-choice='{pressed}']")
            seen.append((text, [text for text, _ in buttons], pressed))
        rows = await downloaded(tab)
        assert await tab.js("document.title") == "Study"
        assert (tab.problems, set(tab.requests) - {f"{address}?participant=p+1&session=s-1"}) == ([], set())

        assert len(rows) == 12
        for number, (row, (text, buttons, pressed)) in enumerate(zip(rows, seen, strict=True)):
            trial = own[int(row["trial_id"])]
            (asked_one,) = [one for one in experiment.questions(trial) if one.name == row["question"]]
            said = " ".join(turn["content"] for turn in asked_one.prompt.messages)
            assert text == " ".join(said.split())
            names = ["no", "yes"] if row["question"] == "fair" else [*experiment.kinds["sure"].options]
            assert buttons == names
            assert json.loads(row["option_order"]) == names
            assert row["answer"] == names[pressed]
            assert row["participant"] == "p 1-s-1" and row["session"] == "s-1"
            assert (row["study"], row["experiment"]) == ("tones", "tones-exp1")
            assert len(row["study_sha256"]) == 64
            assert row["trial_index"] == str(number // 2 + 1)
            assert {name: row[name] for name in ("item", "size", "who")} == {
                name: trial[name] for name in ("item", "size", "who")
            }
            assert row["list_participant"] == "p 1"
            assert 0 < int(row["rt_ms"]) < 60_000
        assert {row["trial_id"] for row in rows} == {str(number) for number in own}
        frame = analysis.people(pd.DataFrame(rows), experiment)
        assert frame["trial_id"].nunique() == 6 and (frame["status"] == "ok").all()
        chosen = frame[frame["prob_norm"] == 1].set_index(["item", "question"])["option"]
        assert chosen.to_dict() == {(row["item"], row["question"]): row["answer"] for row in rows}
        assert set(frame["participant"]) == {"p 1-s-1"}

    inside(chromium, tmp_path, work)


@pytest.mark.usefixtures("jspsych")
def test_text_with_the_keyboard_alone(chromium: str, tmp_path: Path) -> None:
    """An earlier answer is shown as one; an empty text does not count; the file keeps any text."""
    _, _, address = asked(tmp_path, FREE)
    typed = ["two", 'a "b", c', "one\ntwo", "=1+1", "<b>three</b>", "ünïcödé 🎻"]

    async def press_enter_on(tab: Tab, selector: str) -> None:
        for _ in range(10):
            await tab.key("Tab")
            if await tab.js(f"document.activeElement.matches({selector!r})"):
                return await tab.key("Enter", "\r")
        raise AssertionError(f"Tab does not reach {selector}")

    async def work(tab: Tab) -> None:
        await tab.open(f"{address}?participant=p+2")
        await press_enter_on(tab, '[data-choice="0"]')
        await tab.until("document.querySelector('h1')?.textContent === 'Instructions'")
        await press_enter_on(tab, '[data-choice="0"]')
        for number, text in enumerate(typed):
            shown = await question(tab, number)
            assert "Answer a <b>drum</b> And " in shown
            if number == 0:
                await tab.type("  ")
                await press_enter_on(tab, "#jspsych-survey-text-next")
                await tab.js("document.getElementById('input-0').focus()")
                assert await question(tab, 0) == shown
                await tab.js("document.getElementById('input-0').select()")
            await tab.type(text)
            await press_enter_on(tab, "#jspsych-survey-text-next")
        await tab.until("document.querySelector('.end a')")
        rows = await downloaded(tab)
        assert [row["answer"] for row in rows] == typed
        assert {row["option_order"] for row in rows} == {""}
        assert tab.problems == []

    inside(chromium, tmp_path, work)


@pytest.mark.usefixtures("jspsych")
def test_the_page_sends_the_answers(chromium: str, tmp_path: Path) -> None:
    """To a path on its own server; if the server refuses them, the person is asked to download them."""
    _, _, _ = asked(tmp_path, SCORED[:1], post="/save")
    received: list[tuple[str, str]] = []

    async def save(request: http.Request) -> http.Response:
        received.append((request.content_type, await request.text()))
        return http.Response(status=200 if len(received) == 1 else 500)

    async def work(tab: Tab) -> None:
        application = http.Application()
        application.router.add_post("/save", save)
        application.router.add_static("/", tmp_path / "page")
        runner = http.AppRunner(application)
        await runner.setup()
        site = http.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            port = runner.addresses[0][1]
            for said in ("have been sent", "could not be sent"):
                await begin(tab, f"http://127.0.0.1:{port}/index.html?participant=p+0")
                for number in range(6):
                    await question(tab, number)
                    await tab.click("[data-choice='1']")
                await tab.until(f"document.querySelector('.end')?.textContent.includes('{said}')")
            rows = await downloaded(tab)
        finally:
            await runner.cleanup()
        assert [kind for kind, _ in received] == ["text/csv", "text/csv"]
        assert rows_of(received[1][1]) == rows
        first = rows_of(received[0][1])
        assert [row["answer"] for row in first] == ["yes"] * 6
        # The order belongs to the participant of the list; each person has another name.
        assert [row["trial_id"] for row in first] == [row["trial_id"] for row in rows]
        assert first[0]["participant"] != rows[0]["participant"]

    inside(chromium, tmp_path, work)


@pytest.mark.usefixtures("jspsych")
def test_who_takes_part_and_who_does_not(chromium: str, tmp_path: Path) -> None:
    """Without a name, anybody of the list; an unknown name is refused; who disagrees leaves no data."""
    _, listed, address = asked(tmp_path, SCORED[:1])
    orders = {}

    async def work(tab: Tab) -> None:
        for person in ("p 0", "p 1", None):
            await begin(tab, address + (f"?participant={person}" if person else ""))
            for number in range(6):
                await question(tab, number)
                await tab.click("[data-choice='0']")
            rows = await downloaded(tab)
            orders[person] = [(int(row["trial_id"]) - 1) % 6 for row in rows]
            names = {row["list_participant"] for row in rows}
            assert names == {person} if person else names < {"p 0", "p 1", "p 2"} and len(names) == 1
        for query, said in (
            ("participant=p+9", "the participant p 9, whom this study does not have"),
            ("session=a+b", "a session that it cannot use"),
        ):
            await tab.open(f"{address}?{query}")
            await tab.until(f"document.querySelector('.end')?.textContent.includes({said!r})")
        await tab.open(address)
        await tab.click("[data-choice='1']")
        await tab.until("document.querySelector('.end')?.textContent.includes('Nothing was recorded')")
        assert not await tab.js("document.querySelector('a')")
        assert tab.problems == []

    inside(chromium, tmp_path, work)
    assert orders["p 0"] != orders["p 1"] and list(range(6)) not in (orders["p 0"], orders["p 1"])
    assert len(listed.trials) == 18
