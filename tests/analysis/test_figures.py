"""Figures from tidy tables: models differ without colour, and every mean has its interval."""

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
from grace_client.analysis.figures import _style
from grace_client.core.errors import SpecError

MODELS = ("one", "two")


def bets(models: tuple[str, ...] = MODELS) -> pd.DataFrame:
    cells = rsa.predict_study1(2.0, lapse=0.3)
    whole = pd.concat([cells.assign(model=model) for model in models], ignore_index=True)
    mean = 100 * whole.pop("prob")
    return whole.assign(mean=mean, low=mean - 3, high=mean + 3)


def said(models: tuple[str, ...] = MODELS) -> pd.DataFrame:
    human = reference.study2().rename(columns={"share": "mean"})
    return pd.concat([human.assign(model=model) for model in models], ignore_index=True)


def texts(svg: str) -> list[str]:
    """All texts in a figure."""
    return re.findall(r">([^<>]+)</text>", svg)


def test_a_figure_is_written_three_ways(tmp_path: Path) -> None:
    """SVG and PDF contain text as text, PNG is not blank, and equal figures give equal files."""

    def made() -> Any:
        return figures.states(bets(("one",)), rsa=rsa.predict_study1(4.0)) + p9.theme(figure_size=(5, 4))

    svg, pdf, png = figures.save(made(), tmp_path, "states")
    text = svg.read_text()
    assert text == figures.svg(made())
    assert {"saw 3 of 3", "says “2”"} <= set(texts(text))
    assert 'width="360pt"' in text
    assert pdf.read_bytes().startswith(b"%PDF")
    assert np.asarray(Image.open(png).convert("L")).std() > 10


def test_models_differ_without_colour() -> None:
    """Twelve models, people and theory differ in shape and line; colours are those of Okabe and Ito."""
    looks = list(_style.look([*(f"m{i}" for i in range(12)), _style.PEOPLE, _style.THEORY]).values())
    assert len({shape for _, shape, _ in looks}) == 14
    assert len({str(line) for _, _, line in looks[:12]}) == 12
    assert {"#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"} <= set(_style.COLOURS)
    assert "#F0E442" not in _style.COLOURS, "yellow lines cannot be seen on white"
    negation = reference.study2_negation()
    own = pd.concat([negation.rename(columns={"share": "mean"}).assign(model=m) for m in MODELS])
    drawn = figures.svg(figures.negation(own, people=negation))
    assert {"one", "two", "people"} <= set(texts(drawn))


def test_no_two_models_look_alike() -> None:
    """Every model has its own pair of colour and shape. More models than pairs are an error."""
    many = [f"m{i}" for i in range(_style.MOST)]
    looks = _style.look(many)
    assert len({looks[name][:2] for name in many}) == _style.MOST
    with pytest.raises(SpecError, match=f"{_style.MOST} models.* {len(many) + 1}"):
        _style.scales([*many, "one more", _style.PEOPLE])


def test_a_model_may_be_called_people() -> None:
    """A model named people or RSA is drawn as a model."""
    negation = reference.study2_negation()
    own = pd.concat(
        [negation.rename(columns={"share": "mean"}).assign(model=name) for name in ("people", "RSA")]
    )
    theory = negation.rename(columns={"share": "prob"})
    drawn = texts(figures.svg(figures.negation(own, people=negation, rsa=theory)))
    for name in ("people (model)", "RSA (model)", "people", "RSA"):
        assert drawn.count(name) == 1
    table = pd.DataFrame({"model": "RSA", "statistic": ["r"], "value": [0.5], "low": [0.4], "high": [0.6]})
    drawn = texts(figures.svg(figures.closeness(table, rsa=table.drop(columns="model"))))
    assert {"RSA (model)", "RSA"} <= set(drawn)


def test_captions_say_what_lines_and_bars_are() -> None:
    """The caption explains bars for one model, and has none for several."""
    one, two = (figures.svg(figures.states(bets(MODELS[:n]))) for n in (1, 2))
    assert "Bars: means. Vertical lines: 95% intervals" in one
    assert "Vertical lines: 95% intervals" in two
    assert "Bars" not in two


def test_an_undefined_correlation_has_no_point() -> None:
    """The caption says why the point is missing."""
    table = pd.DataFrame(
        {"model": ["a", "b"], "statistic": "r", "value": [0.5, np.nan], "low": [0.4, np.nan], "high": np.nan}
    )
    assert "undefined" in figures.svg(figures.closeness(table))
    assert "undefined" not in figures.svg(figures.closeness(table.iloc[:1]))


def test_a_mean_without_an_interval_is_faint_and_said_to_be() -> None:
    """A cell with one stimulus has no interval: the point is drawn faintly and the caption says why."""
    table = bets(("one",))
    table.loc[0, ["low", "high"]] = np.nan
    assert "Faint:" in figures.svg(figures.states(table))
    assert "Faint:" not in figures.svg(figures.states(bets(("one",))))


def test_cells_without_answers_leave_the_others_in_place() -> None:
    """Missing cells do not move the others, with or without a theory. A single cell has a figure."""
    table = bets()
    some = table[table["access"] != "1"]
    drawn = texts(figures.svg(figures.states(some, rsa=rsa.predict_study1(4.0))))
    assert {"saw 1 of 3", "saw 2 of 3", "says “1”"} <= set(drawn)
    assert "saw 1 of 3" not in texts(figures.svg(figures.states(some)))
    one = table[(table["access"] == "2") & (table["observe"] == "1")]
    grid = pd.concat([one.assign(percentage=p, mean=1 / 11) for p in range(0, 101, 10)])
    for figure in (figures.states(one), figures.percentages(grid)):
        written = texts(figures.svg(figure))
        assert {text for text in written if text.startswith(("saw", "says"))} == {"saw 2 of 3", "says “1”"}


def test_all_panels_are_there() -> None:
    """Each figure has the panels and axis labels of its design."""
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
    # The design is triangular: rows and columns are aligned, of several models too.
    for models in (1, 2):
        both = pd.concat([grid.assign(model=f"model {i}") for i in range(models)])
        written = texts(figures.svg(figures.percentages(both)))
        assert [written.count(f"saw {i} of 3") for i in (1, 2, 3)] == [1, 1, 1]
        assert sum("says “1”" in text for text in written) == models
    weights = pd.DataFrame(
        {"model": "one", "goal": "both", "parameter": ["informational", "phi"], "value": [0.3, 0.7]}
    )
    assert {"one", "goal: both", "informational", "φ"} <= set(texts(figures.svg(figures.goals(weights))))
    table = pd.DataFrame({"model": "one", "statistic": ["r", "js"], "value": 0.5, "low": 0.4, "high": 0.6})
    ceiling = pd.DataFrame({"statistic": ["r", "js"], "low": [0.98, 0.0], "high": [1.0, 0.01]})
    assert "Grey band" in figures.svg(figures.closeness(table, ceiling=ceiling))


@pytest.mark.parametrize("column", ["mean", "model", "access"])
def test_a_missing_column_is_named(column: str) -> None:
    """The error names the missing column."""
    with pytest.raises(SpecError, match=f"no column {column}"):
        figures.states(bets().drop(columns=column))


def test_judgements_have_a_panel_for_each_sentence() -> None:
    """Different sentences of one state are in different panels."""
    cells = reference.study2_negation()[["goal", "state"]]
    parts = [
        cells.assign(model="one", utterance=sentence, measure=measure, mean=0.5, low=0.4, high=0.6)
        for sentence in ("It was okay", "It wasn't bad")
        for measure in ("appropriate", "quality")
    ]
    drawn = figures.svg(figures.judgements(pd.concat(parts, ignore_index=True)))
    assert drawn.count("It was okay") == 2 and drawn.count("quality") == 2


def test_cells_of_any_study() -> None:
    """Conditions are panels, rows or colours; several models share a panel or have their own."""
    means = pd.DataFrame(
        [
            {"model": model, "tone": tone, "amount": amount, "mean": 2.0, "low": 1.5, "high": 2.5}
            for model in MODELS
            for tone in ("loud", "calm")
            for amount in ("much", "little")
        ]
    )
    how: dict[str, Any] = {"x": "tone", "label": "rating", "bounds": (1, 5), "chance": 3.0}
    models = texts(figures.svg(figures.cells(means, panels=["amount"], **how)))
    assert {"amount: much", "amount: little", "one", "two", "rating"} <= set(models)
    assert models.index("loud") < models.index("calm"), "levels keep their order"
    colours = texts(figures.svg(figures.cells(means, colour="amount", **how)))
    assert {"one", "two", "much", "little"} <= set(colours)
    rows = texts(figures.svg(figures.cells(means, rows="amount", **how)))
    assert {"amount: much", "amount: little", "one", "two"} <= set(rows)
    with pytest.raises(SpecError, match="price"):
        figures.cells(means, x="price")
    many = means.assign(amount=range(len(means)))
    with pytest.raises(SpecError, match="8 levels"):
        figures.cells(many, x="tone", colour="amount")
