"""Balanced trial lists, made from grace's own stories."""

from __future__ import annotations

import random
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from grace_client.core import paths, trials
from grace_client.core.errors import SpecError
from grace_client.core.trials import TrialList
from grace_client.studies import SCHEMAS, study1, study2

DEFAULT_PARTICIPANTS = {"study1": 50, "study2": 202}
"""Numbers of participants in the human studies. The lists in `data/` have these numbers and seed 0."""

CELLS = tuple((access, observe) for access in (1, 2, 3) for observe in range(1, access + 1))
"""Study 1: all pairs (access, observe) with observe ≤ access."""

Row = dict[str, str]


def make(study: str, *, participants: int, seed: int) -> list[Row]:
    """Rows of a balanced trial list.

    Study 1: every participant sees each story once, and each (access, observe) cell once. Study 2: every
    participant sees each domain once, and each goal × state once. Over all participants, each combination of
    story (domain) and cell occurs equally often, up to a difference of one.

    Raises
    ------
    SpecError
        If grace has no stories for the study.
    """
    makers = {"study1": _study1, "study2": _study2}
    if study not in makers:
        raise SpecError(
            f"grace has no stories for {study!r}, only for {', '.join(makers)}. Name one of these"
        )
    material = tomllib.loads(resources.files(__name__).joinpath(f"{study}.toml").read_text("utf-8"))
    return makers[study](material, participants, random.Random(seed))


def write(path: Path, study: str, *, participants: int | None = None, seed: int) -> tuple[int, int]:
    """Write a balanced trial list. Returns its number of trials and its number of participants.

    The default of `participants` is in `DEFAULT_PARTICIPANTS`.
    """
    count = participants or DEFAULT_PARTICIPANTS.get(study, 1)
    rows = make(study, participants=count, seed=seed)
    with paths.replacing(path) as new:
        new.write_bytes(trials.to_csv(_schema(study), rows))
    return len(rows), count


def default(study: str) -> TrialList:
    """The default list of a study: the one in `data/`.

    Raises
    ------
    SpecError
        If grace has no list for the study.
    """
    if study not in DEFAULT_PARTICIPANTS:
        raise SpecError(f"grace has no trial list of its own for {study}. Name one with --trials FILE")
    rows = make(study, participants=DEFAULT_PARTICIPANTS[study], seed=0)
    schema = _schema(study)
    name = f"grace's own list ({study}, {DEFAULT_PARTICIPANTS[study]} participants, seed 0)"
    return trials.parse(trials.to_csv(schema, rows), path=name, schemas=[schema])


def own(trial_list: TrialList) -> int:
    """The number of trials with one of grace's own stories. The names of the people do not matter."""
    study = trial_list.schema.study
    if study not in DEFAULT_PARTICIPANTS:
        return 0
    material = tomllib.loads(resources.files(__name__).joinpath(f"{study}.toml").read_text("utf-8"))
    if study == "study1":
        setups = {story["setup"].format(speaker=story["speaker"]) for story in material["story"]}
        return sum(trial["story_setup"] in setups for trial in trial_list.trials)
    domains = {domain["name"]: domain for domain in material["domain"]}
    found = 0
    for trial in trial_list.trials:
        if (domain := domains.get(trial["Domain"])) is not None:
            said = {**domain, "speaker": trial["SP_Name"], "listener": trial["LS_Name"]}
            found += trial["Scenario"] == material["scenario"].format(**said)
    return found


def _schema(study: str) -> trials.Schema:
    return next(schema for schema in SCHEMAS if schema.study == study)


def _shifts(participants: int, length: int, rng: random.Random) -> list[int]:
    """One cyclic shift for each participant: every shift equally often, in random order."""
    shifts: list[int] = []
    while len(shifts) < participants:
        shifts += rng.sample(range(length), length)
    return shifts[:participants]


def _study1(collection: dict[str, Any], participants: int, rng: random.Random) -> list[Row]:
    stories, rows = collection["story"], []
    for number, shift in enumerate(_shifts(participants, len(CELLS), rng), start=1):
        for place in rng.sample(range(len(stories)), len(stories)):
            access, observe = CELLS[(place + shift) % len(CELLS)]
            material = stories[place]
            items, rest, speaker = material["items"], material["property"], material["speaker"]
            story = study1.Story(3, items, rest)
            verb = "has" if observe == 1 else "have"
            rows.append(
                {
                    "participant_id": str(number),
                    "story_shortname": material["name"],
                    "story_setup": material["setup"].format(speaker=speaker),
                    "priorQ": f"How many of the 3 {items} do you think have {rest}?",
                    "speach": f"{speaker} tells you in a call: 'I have looked at {access} of the 3 {items}. "
                    f"{observe} of the {items} {verb} {rest}.'",
                    "speachQ": story.now_question(),
                    "knowledgeQ": story.knowledge_question(speaker),
                    "access": str(access),
                    "observe": str(observe),
                }
            )
    return rows


def _study2(material: dict[str, Any], participants: int, rng: random.Random) -> list[Row]:
    domains, rows = material["domain"], []
    states = next(column.values for column in study2.SCHEMA.columns if column.name == "State")
    cells = [(goal, state) for goal in material["goals"] for state in states]
    for number, shift in enumerate(_shifts(participants, len(cells), rng), start=1):
        utterances = rng.sample(material["utterances"] * 2, len(domains))
        for turn, place in enumerate(rng.sample(range(len(domains)), len(domains))):
            goal, state = cells[(place + shift) % len(cells)]
            domain = domains[place]
            speaker, listener = rng.sample(material["names"], 2)
            said = {**domain, "speaker": speaker, "listener": listener}
            rows.append(
                {
                    "Participant_ID": str(number),
                    "Domain": domain["name"],
                    "Precontext": material["precontext"].format(**said),
                    "Scenario": material["scenario"].format(**said),
                    "Utterance": utterances[turn],
                    "Goal": material["goals"][goal].format(**said),
                    "State": state,
                    "SP_Name": speaker,
                    "LS_Name": listener,
                }
            )
    return rows
