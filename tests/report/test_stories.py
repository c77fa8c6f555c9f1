"""The report says whose stories were asked, and that people in the human results saw those of the papers."""

from __future__ import annotations

from pathlib import Path

import pytest

from grace_client import studies
from grace_client.analysis import example
from grace_client.report.runs import ReportData
from grace_client.report.theory import comparison, stories
from grace_client.studies import lists
from tests.conftest import ROOT, USERS_LISTS
from tests.report.test_content import part, said


def told(study: str, *lists: Path) -> str:
    """The sentence on a study whose runs used these lists."""
    (sentence,) = stories.sources(ReportData({}, {}, {f"{study}-exp2": list(lists)}))
    return sentence


@pytest.mark.parametrize(
    ("study", "authors"), [("study1", "Goodman and Stuhlmüller"), ("study2", "Yoon and colleagues")]
)
def test_graces_own_stories_are_called_so(study: str, authors: str, tmp_path: Path) -> None:
    """The list in data/ and other lists from grace's stories are called grace's own."""
    other = tmp_path / "made.csv"
    lists.write(other, studies.named(study), participants=6, seed=7)
    for path in (ROOT / "data" / f"{study}.csv", other):
        sentence = told(study, path)
        assert "the models got grace's own stories" in sentence
        assert authors in sentence and "the stories may be the reason" in sentence


@pytest.mark.parametrize(("study", "column"), [("study1", "story_setup"), ("study2", "Scenario")])
def test_other_stories_are_not_called_graces_own(study: str, column: str, tmp_path: Path) -> None:
    """A list with one changed story is called a mixture, and one with all changed the user's list."""
    text = (ROOT / "data" / f"{study}.csv").read_text(encoding="utf-8")
    some, every = tmp_path / "some.csv", tmp_path / "every.csv"
    old = {
        "story_setup": ("coastal route", "river route"),
        "Scenario": ("had just walked through", "had seen"),
    }
    some.write_text(text.replace(*old[column]), encoding="utf-8")
    whole = {"story_setup": ("almost always", "nearly always"), "Scenario": ("Imagine that", "Suppose that")}
    every.write_text(text.replace(*whole[column]), encoding="utf-8")
    assert (
        0 < lists.own(studies.read_trials(some), studies.named(study)) < len(studies.read_trials(some).trials)
    )
    assert "and others in " in told(study, some)
    assert "the stories of your trial list" in told(study, every)
    assert "does not know" in told(study, every)
    assert "and others in " in told(study, every, ROOT / "data" / f"{study}.csv")


@pytest.mark.skipif(not USERS_LISTS.is_dir(), reason="the users' lists are not beside the checkout")
@pytest.mark.parametrize("study", ["study1", "study2"])
def test_the_users_stories_are_their_own(study: str) -> None:
    """No trial of the users' lists has one of grace's stories."""
    assert lists.own(studies.read_trials(USERS_LISTS / f"{study}.csv"), studies.named(study)) == 0


def test_the_page_says_it_beside_people(found: ReportData) -> None:
    """The methods and the comparison with people say whose stories the models got."""
    beside = comparison.comparison(ReportData({"study2-exp2": example.scored("study2")}, {}, found.lists))
    assert beside is not None
    text = said(part("methods", found))
    for page in (said(beside), text):
        for study in ("Study 1", "Study 2"):
            assert f"{study}: the models got grace's own stories" in page
    assert "Knowledge attribution (study1): Goodman" in text and "Politeness (study2): Yoon" in text
