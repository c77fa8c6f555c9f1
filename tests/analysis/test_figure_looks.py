"""What figures of one page share: how a model looks, and captions that fit."""

from __future__ import annotations

import io
import itertools
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from grace_client.analysis import figures
from grace_client.analysis.figures import _study_factors, _style

NUMBERS = {"mean": 0.5, "low": 0.4, "high": 0.6, "value": 0.5, "minimum": 0.1, "said": 0.4, "scored": 0.5}


def table(model: str = "a model", **levels: list[Any]) -> pd.DataFrame:
    """Every combination of levels, with the same numbers; one mean has no interval."""
    rows = list(itertools.product(*levels.values()))
    found = pd.DataFrame(rows, columns=list(levels)).assign(model=model, **NUMBERS)
    found.loc[0, ["low", "high"]] = np.nan
    return found


CELL1: dict[str, Any] = {"access": ["3"], "observe": ["1", "2", "3"]}
CELL2: dict[str, Any] = {"goal": list(_study_factors.GOALS), "state": list(_study_factors.STATES)}
QUESTIONS = [f"study1-exp2, a question with a long name {i}" for i in range(3)]
STATISTICS = ["r", "rho", "rmse", "js"]
ALL = {
    "states": lambda: figures.states(table(**CELL1, state=[0, 1, 2, 3]).assign(mean=50, low=40, high=60)),
    "percentages": lambda: figures.percentages(table(**CELL1, state=[0, 1], percentage=[0, 10])),
    "entropy": lambda: figures.entropy(table(**CELL1, question=["state0", "state1"])),
    "knowledge": lambda: figures.knowledge(table(**CELL1)),
    "utterances": lambda: figures.utterances(table(**CELL2, utterance=list(_study_factors.UTTERANCES))),
    "negation": lambda: figures.negation(table(**CELL2)),
    "goals": lambda: figures.goals(table(goal=list(_study_factors.GOALS), parameter=["social", "phi"])),
    "judgements": lambda: figures.judgements(table(**CELL2, utterance=["It was good"], measure=["quality"])),
    "option_mass": lambda: figures.option_mass(table(question=QUESTIONS)),
    "closeness": lambda: figures.closeness(
        table(statistic=STATISTICS).drop(columns="mean").assign(value=[np.nan, 0.5, 0.5, 0.5]),
        ceiling=pd.DataFrame({"statistic": STATISTICS, "low": 0.1, "high": 0.2}),
    ),
    "cells": lambda: figures.cells(
        table(
            amount=["few", "most"], tense=["past", "present"], answer=["a very long name of an answer", "b"]
        ),
        x="answer",
        panels=["amount", "tense"],
    ),
    "specification_curve": lambda: figures.specification_curve(
        table(way=["base", "order=reversed"], way_order=["listed"]).assign(
            way_order=["listed", "reversed"], way_wording=["a very long name of a level"] * 2
        ),
        label="probability of yes",
        smallest=0.2,
    ),
    "variance_components": lambda: figures.variance_components(
        table(component=["item", "examples_in_the_prompt:condition", "noise"]).assign(
            variance=[0.2, 0.0, 0.1], low=[0.1, 0.0, np.nan], high=[np.inf, 0.1, np.nan]
        )
    ),
    "consistency": lambda: figures.consistency(table(question=["number"], option=["a", "b"])),
}


def test_every_figure_is_here() -> None:
    """Every figure is in the list of this test."""
    assert set(ALL) == set(figures.__all__) - {"cast", "save", "svg"}


@pytest.mark.parametrize("name", ALL)
def test_no_text_leaves_its_figure(name: str) -> None:
    """Captions and labels are inside the figure."""
    drawn = ALL[name]().draw()
    try:
        # What a figure has is placed when it is written.
        drawn.savefig(io.BytesIO(), format="svg")
        width, height = drawn.bbox.width, drawn.bbox.height
        labels = [label for one in drawn.axes for label in (*one.get_xticklabels(), *one.get_yticklabels())]
        # Strips and legends are placed while they are drawn; plotnine makes room for them.
        texts = [text for text in (*drawn.texts, *labels) if text.get_text().strip()]
        assert texts
        for text in texts:
            box = text.get_window_extent()
            assert box.x0 >= -1 and box.x1 <= width + 1, (text.get_text(), box, width)
            assert box.y0 >= -1 and box.y1 <= height + 1, (text.get_text(), box, height)
    finally:
        plt.close(drawn)


def test_a_model_looks_the_same_where_others_are_missing() -> None:
    """Within one cast, each model keeps its colour, shape and line."""
    models = ["a", "people", "c"]
    with figures.cast(models):
        whole, some = _style.look(["a", "people (model)", "c"]), _style.look(["c", "people"])
        assert some["c"] == whole["c"]
        assert some["people"] == ("#000000", "*", "solid")
        assert _style.names(table("c", question=["q"]), table("a", question=["q"])) == ["a", "c"]
        built = figures.option_mass(table("c", question=["q"]))
        assert whole["c"][0].lower() in figures.svg(built)
    assert _style.look(["c"])["c"] == whole["a"]
