"""Numbers and lists as text, and figures inside a page."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grace_client import studies
from grace_client.report import format, page, runs
from tests.conftest import own_list


@given(st.floats(-1e6, 1e6), st.integers(0, 4))
def test_numbers_have_one_sign_and_their_decimals(value: float, digits: int) -> None:
    """Numbers have a true minus sign, no negative zero, and fixed decimals."""
    shown = format.number(value, digits)
    assert "-" not in shown
    back = float(shown.replace(format.MINUS, "-"))
    assert back == pytest.approx(value, abs=0.51 * 10**-digits)
    assert not (back == 0 and shown.startswith(format.MINUS))
    assert len(shown.partition(".")[2]) == digits


def test_what_is_missing_is_a_dash() -> None:
    """A missing number is a dash, and an infinite one has its sign."""
    assert format.number(float("nan")) == format.p_value(float("nan")) == format.percent(float("nan")) == "–"
    assert format.number(float("-inf")) == "−∞"
    assert format.interval(0.5, float("nan"), float("nan")) == "0.50 (no interval: too few stimuli)"
    assert format.interval(float("nan"), float("nan"), float("nan")) == "–"
    assert format.interval(0.0108, 0.007, 0.0142) == "0.011 [0.007, 0.014]"
    assert format.interval(0.5, 0.5, 0.5) == "0.50 [0.50, 0.50]"
    assert format.correlation(float("nan"), float("nan"), float("nan")) == "undefined: no variation"
    assert format.correlation(0.5, 0.25, 0.75) == "0.50 [0.25, 0.75]"
    assert format.share(0.734, 0.67, 0.79) == "73% [67, 79]"
    assert format.share(0.5, float("nan"), float("nan")) == "50% (no interval: too few stimuli)"
    assert format.share(float("nan"), float("nan"), float("nan")) == "–"


def test_an_undefined_correlation_is_no_want_of_stimuli() -> None:
    """The table says why a correlation is missing. Other missing values are dashes."""
    frame = pd.DataFrame(
        {"model": ["a"], "r": [float("nan")], "r_low": [float("nan")], "r_high": [float("nan")]}
    )
    assert (
        format.cells(frame)[1] == format.cells(frame[["model", "r"]])[1] == [["a", "undefined: no variation"]]
    )
    assert format.cells(frame.rename(columns=lambda name: name.replace("r_", "js_").replace("r", "js")))[
        1
    ] == [["a", "–"]]


def test_an_interval_is_never_set_beside_a_p_value() -> None:
    """Bounds after a p value stay separate columns."""
    frame = pd.DataFrame({"term": ["a"], "estimate": [1.5], "p": [0.25], "low": [1.0], "high": [2.0]})
    assert [head for head, _ in format.cells(frame)[0]] == ["term", "estimate", "p", "low", "high"]
    ordered = frame[["term", "estimate", "low", "high", "p"]]
    assert format.cells(ordered)[1] == [["a", "1.50 [1.00, 2.00]", ".250"]]


@pytest.mark.parametrize(("value", "shown"), [(0.0004, "< .001"), (0.0421, ".042"), (0.9999, "> .999")])
def test_p_values(value: float, shown: str) -> None:
    """P values have three decimals, or are given as below or above a limit."""
    assert format.p_value(value) == shown


def test_lists() -> None:
    """Lists have commas and the word “and” before the last item."""
    assert (format.listed([]), format.listed("a"), format.listed("abc")) == ("none", "a", "a, b and c")


def test_intervals_stand_beside_their_means() -> None:
    """A mean and its bounds are one column on the page, and numeric columns are marked."""
    frame = pd.DataFrame(
        {
            "model": ["a"],
            "mean": [0.5],
            "low": [0.4],
            "high": [0.6],
            "share": [0.25],
            "share_low": [0.2],
            "share_high": [0.3],
            "p": [0.0001],
            "agrees": [True],
            "n_distinct": [36],
        }
    )
    heads, rows = format.cells(frame, "stories")
    assert [head for head, _ in heads] == [
        "model",
        "mean [95% interval]",
        "share [95% interval]",
        "p",
        "agrees",
        "stories",
    ]
    assert rows == [["a", "0.500 [0.400, 0.600]", "0.250 [0.200, 0.300]", "< .001", "yes", "36"]]
    assert [numeric for _, numeric in heads] == [False, True, True, True, False, True]


def test_an_inlined_figure_keeps_its_links_and_no_more() -> None:
    """Used ids get the figure's name, other ids and addresses are removed, and the size is a limit."""
    svg = (
        '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "x" "http://www.w3.org/x.dtd">'
        '<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="9pt" height="8pt" viewBox="0 0 9 8" '
        'xmlns="http://www.w3.org/2000/svg" version="1.1"><metadata>http://x</metadata><defs>'
        '<style type="text/css">*{a: b}</style></defs><g id="axes_1"><path id="m1"/>'
        '<use xlink:href="#m1" clip-path="url(#m1)"/></g></svg>'
    )
    assert page.inline(svg, "f") == (
        '<svg viewBox="0 0 9 8" style="min-width:11px;max-width:14px" aria-hidden="true"><defs></defs><g>'
        '<path id="f-m1"/>'
        '<use href="#f-m1" clip-path="url(#f-m1)"/></g></svg>'
    )


def test_what_nothing_was_drawn_for_lacks_no_interval() -> None:
    """A computed value has no interval. A value from too few stimuli says why it has none."""
    frame = pd.DataFrame(
        {
            "js": [0.25, 0.5, 0.75],
            "js_low": [0.125, None, None],
            "js_high": [0.375, None, None],
            "drawn": ["items", "nothing", "items"],
        }
    )
    assert [row[0] for row in format.cells(frame)[1]] == [
        "0.250 [0.125, 0.375]",
        "0.500",
        "0.750 (no interval: too few stimuli)",
    ]


def test_every_question_has_a_name_in_words() -> None:
    """Every question of every study has a name in words."""
    for name, experiment in studies.EXPERIMENTS.items():
        trials = own_list(experiment.schema.study).trials
        for question in experiment.questions(trials[0]):
            assert runs.question_label(name, question.name).endswith(f" ({question.name})")
    assert runs.question_label("study1-exp2", "state0") == "Study 1, how many (state0)"
