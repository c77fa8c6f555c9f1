"""Figures: drawn from tidy tables, told apart without colour, and never a mean without its interval."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotnine as p9
import pytest
from PIL import Image

from grace_client.analysis import figures, reference, rsa
from grace_client.analysis.figures import style
from grace_client.errors import SpecError

MODELS = ("one", "two")


def bets(models: tuple[str, ...] = MODELS) -> pd.DataFrame:
    cells = rsa.predict_study1(2.0, lapse=0.3)
    whole = pd.concat([cells.assign(model=model) for model in models], ignore_index=True)
    mean = 100 * whole.pop("prob")
    return whole.assign(mean=mean, low=mean - 3, high=mean + 3)


def said(models: tuple[str, ...] = MODELS) -> pd.DataFrame:
    human = reference.study2().rename(columns={"share": "mean"})
    return pd.concat([human.assign(model=model) for model in models], ignore_index=True)


def test_a_figure_is_written_three_ways(tmp_path: Path) -> None:
    """Vector for print and page with text as text, pixels that are not blank; made anew, the same again."""

    def made() -> Any:
        return figures.states(bets(("one",)), rsa=rsa.predict_study1(4.0)) + p9.theme(figure_size=(5, 4))

    svg, pdf, png = figures.save(made(), tmp_path, "states")
    text = svg.read_text()
    assert text == figures.svg(made())
    assert "saw 3 of 3, says “2”" in text
    assert 'width="360pt"' in text
    assert pdf.read_bytes().startswith(b"%PDF")
    assert np.asarray(Image.open(png).convert("L")).std() > 10


def test_models_differ_without_colour() -> None:
    """People, theory and every model have their own shape and line; colours are those of Okabe and Ito."""
    assert len(set(style.SHAPES)) == len(style.SHAPES) >= 7
    assert len(set(map(str, style.LINES))) == len(style.LINES)
    assert {"#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"} <= set(style.COLOURS)
    negation = reference.study2_negation()
    own = pd.concat([negation.rename(columns={"share": "mean"}).assign(model=m) for m in MODELS])
    drawn = figures.svg(figures.negation(own, people=negation))
    assert {"one", "two", "people"} <= set(re.findall(r">([a-z]+)</text>", drawn))


def test_a_mean_without_an_interval_is_faint_and_said_to_be() -> None:
    """A cell with one stimulus has no interval: the point is drawn faintly and the caption says why."""
    table = bets(("one",))
    table.loc[0, ["low", "high"]] = np.nan
    assert "one stimulus alone" in figures.svg(figures.states(table))
    assert "one stimulus alone" not in figures.svg(figures.states(bets(("one",))))


def test_all_panels_are_there() -> None:
    """Goals by states with chance; six cells; eleven percentages; statistics with the ceiling."""
    drawn = figures.svg(figures.utterances(said(("one",)), people=reference.study2()))
    for text in (
        "goal: both",
        "goal: kind",
        "goal: informative",
        *reference.STATES,
        "wasn’t amazing",
        "chance",
    ):
        assert text in drawn
    grid = pd.concat([bets(("one",)).assign(percentage=p, mean=1 / 11) for p in range(0, 101, 10)])
    assert figures.svg(figures.percentages(grid)).count("saw ") == 6
    table = pd.DataFrame({"model": "one", "statistic": ["r", "js"], "value": 0.5, "low": 0.4, "high": 0.6})
    ceiling = pd.DataFrame({"statistic": ["r", "js"], "low": [0.98, 0.0], "high": [1.0, 0.01]})
    assert "Grey band" in figures.svg(figures.agreement(table, ceiling=ceiling))


@pytest.mark.parametrize("column", ["mean", "model", "access"])
def test_a_missing_column_is_named(column: str) -> None:
    """The error says which."""
    with pytest.raises(SpecError, match=f"no column {column}"):
        figures.states(bets().drop(columns=column))


def test_judgements_have_a_panel_for_each_sentence() -> None:
    """Sentences that are judged at one state do not lie on one another."""
    cells = reference.study2_negation()[["goal", "state"]]
    parts = [
        cells.assign(model="one", utterance=sentence, measure=measure, mean=0.5, low=0.4, high=0.6)
        for sentence in ("It was okay", "It wasn't bad")
        for measure in ("appropriate", "quality")
    ]
    drawn = figures.svg(figures.judgements(pd.concat(parts, ignore_index=True)))
    assert drawn.count("It was okay") == 2 and drawn.count("quality") == 2
