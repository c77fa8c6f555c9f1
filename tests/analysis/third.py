"""A third study, for what any study has: rated scenes, with reversed items and crossed options."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from grace_client.analysis import read
from grace_client.core import trials
from grace_client.studies import file
from grace_client.studies.declaration import Experiment, Study

STUDY = """\
grace: 1
study: scenes
title: Rated scenes
trials:
  item: scene
  stimulus: [scene, quantifier, tense]
  conditions: {amount: quantifier, tense: tense}
  columns:
    scene:
    quantifier: {levels: {few: "a few", most: "most of"}}
    tense: {values: [past, present, future]}
    keyed: {values: [up, down]}
options:
  rating:
    names: [low, middling, high]
    values: [1, 2, 4]
    end: full stop
  words:
    cross: {verb: [is, seems], size: [tiny, huge]}
experiments:
  rated:
    ask:
      - name: fit
        each: {n: [1, 2]}
        prompt: '{{ scene }}, {{ quantifier }}, {{ tense }}, {{ n }}: {{ options|join(", ") }}'
        options: rating
        reverse: keyed == "down"
      - name: word
        prompt: '{{ scene }}: {{ options|join(", ") }}'
        options: words
    outcomes: [mean, entropy]
    contrasts:
      - {name: amounts, greater: {amount: most}, lesser: {amount: few}, outcome: mean, smallest: 0.1}
      - name: huge
        question: word
        outcome: prob_huge
        greater: {tense: past}
        lesser: {tense: [present, future]}
    model: mean ~ amount * tense + (1 | scene)
    figures:
      - {x: tense, colour: amount, outcome: mean}
  said:
    ask:
      - {name: count, prompt: '{{ scene }}. How many?', read: {number: [0, 2]}}
      - name: fit
        prompt: '{{ scene }}. How well?'
        reverse: keyed == "down"
        read: {choice: rating, unsure: true}
      - {name: colour, prompt: '{{ scene }}. Which colour?', read: {pattern: '(?P<value>red|light blue)'}}
"""

ITEMS = [f"scene {letter}" for letter in "abcdefgh"]
AMOUNTS, TENSES = {"few": "a few", "most": "most of"}, ("past", "present", "future")
RATING, WORDS = ("low", "middling", "high"), ("is_tiny", "is_huge", "seems_tiny", "seems_huge")


def study() -> Study:
    """The study, from its file."""
    return file.parse(STUDY.encode(), path="scenes.yaml", beside=lambda name: b"")


def rows() -> list[dict[str, str]]:
    """Its list: each scene in every cell. The study does not declare `frequency` and `item`."""
    return [
        {
            "scene": scene,
            "quantifier": AMOUNTS[amount],
            "tense": tense,
            "keyed": "down" if (i + j) % 3 == 0 else "up",
            "frequency": str(10 * i),
            "item": "own",
        }
        for i, scene in enumerate(ITEMS)
        for j, (amount, tense) in enumerate((a, t) for a in AMOUNTS for t in TENSES)
    ]


def scored(folder: Path, seed: int = 0, model: str = "m") -> tuple[pd.DataFrame, Experiment]:
    """A long table with drawn distributions, read with its list and its study file; and the experiment."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scenes.yaml").write_text(STUDY)
    listed = rows()
    (folder / "trials.csv").write_bytes(trials.to_csv(list(listed[0]), listed))
    generator = np.random.default_rng(seed)
    own = dict(zip(ITEMS, generator.normal(0, 0.7, len(ITEMS)), strict=True))
    parts = []
    for trial, row in enumerate(listed, start=1):
        for question, options in (("fit1", RATING), ("fit2", RATING), ("word", WORDS)):
            lift = own[row["scene"]] + 0.8 * (row["quantifier"] == "most of") + 0.3 * (row["tense"] == "past")
            log_odds = np.linspace(0, 1, len(options)) * lift + generator.normal(0, 0.4, len(options))
            p = np.exp(log_odds) / np.exp(log_odds).sum()
            part = pd.DataFrame(
                {"option": options, "prob_norm": p, "prob_raw": p / 2, "logprob": np.log(p / 2)}
            )
            parts.append(
                part.assign(trial_id=trial, question=question, frequency=row["frequency"], item="own")
            )
    table = pd.concat(parts, ignore_index=True).assign(
        model=model, experiment="scenes-rated", option_mass=0.5, status="ok", reason=""
    )
    path = folder / f"{model}_scenes_probabilities_20260101_long.csv"
    table.to_csv(path, index=False)
    found = read(path, study=folder / "scenes.yaml")
    return found, study().experiments["scenes-rated"]


def said(seed: int = 0, replicates: int = 2) -> tuple[pd.DataFrame, Experiment]:
    """Free text with structured answers in the columns of `read`; and the experiment."""
    generator = np.random.default_rng(seed)
    listed = rows()
    parts = []
    for trial, row in enumerate(listed, start=1):
        for replicate in range(1, replicates + 1):
            for question, values in (
                ("count", ["0", "1", "2", "unparsed"]),
                ("fit", [*RATING, "unsure"]),
                ("colour", ["red", "light blue", None]),
            ):
                parts.append(
                    {
                        "model": "m",
                        "experiment": "scenes-said",
                        "trial_id": trial,
                        "participant": "",
                        "item": row["scene"],
                        "stimulus": f"{row['scene']} {row['quantifier']} {row['tense']}",
                        "amount": "most" if row["quantifier"] == "most of" else "few",
                        "tense": row["tense"],
                        "question": question,
                        "replicate": replicate,
                        "response": "",
                        "status": "ok",
                        "reversed": question == "fit" and row["keyed"] == "down",
                        "structured": values[generator.integers(len(values))],
                    }
                )
    return pd.DataFrame(parts), study().experiments["scenes-said"]
