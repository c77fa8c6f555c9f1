"""The plan of a study is checked by the functions that compute it, before a model is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from grace_client import studies
from grace_client.analysis import planned
from grace_client.core import trials
from grace_client.core.trials import TrialList
from grace_client.studies import file, lists
from grace_client.studies.declaration import Study
from tests.analysis import third
from tests.conftest import ROOT


def changed(*changes: tuple[str, str]) -> Study:
    """The third study with other words in its file."""
    text = third.STUDY
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return file.parse(text.encode(), path="scenes.yaml", beside=lambda name: b"")


def listed(study: Study, keep: int | None = None) -> TrialList:
    """Its list, or the first rows of it."""
    rows = third.rows()[:keep]
    return trials.parse(trials.to_csv(list(rows[0]), rows), path="scenes.csv", schemas=[study.schema])


@pytest.mark.parametrize(
    ("changes", "line", "message"),
    [
        (
            [("greater: {amount: most}", "greater: {amont: most}")],
            33,
            "no column 'amont'. Did you mean 'amount'",
        ),
        ([("greater: {amount: most}", "greater: {amount: mst}")], 33, "no level 'mst'. Did you mean 'most'"),
        (
            [("outcome: prob_huge", "outcome: prob_hug")],
            34,
            "no outcome 'prob_hug'. Did you mean 'prob_huge'",
        ),
        ([("question: word\n        outcome", "question: wrd\n        outcome")], 34, "no question 'wrd'"),
        ([("[mean, entropy]", "[mean, entropi]")], 31, "no outcome 'entropi'. Did you mean 'entropy'"),
        ([("{x: tense, colour", "{x: tens, colour")], 41, "no column tens. Did you mean 'tense'"),
        ([("outcome: mean}\n  said", "outcome: men}\n  said")], 41, "no outcome 'men'. Did you mean 'mean'"),
        ([("mean ~ amount", "mean ~ amuont")], 39, "no column amuont. Did you mean 'amount'"),
        ([("mean ~ amount", "prob_nothing ~ amount")], 39, "no outcome 'prob_nothing'"),
        ([("(1 | scene)", "(amount | scene)")], 39, "cannot be read"),
        ([("mean ~ amount * tense + (1 | scene)", "mean ~ amount")], 39, "mean is not a probability"),
        ([("tense: tense}", "mode: tense, mean: tense}")], 7, "'mean' has the name of a column of tables"),
    ],
)
def test_a_faulty_plan_is_named_with_its_line(
    changes: list[tuple[str, str]], line: int, message: str
) -> None:
    """Contrasts, outcomes, figures, formula, conditions; nothing else is named."""
    study = changed(*changes)
    found = planned.check(study.experiments["scenes-rated"], listed(study))
    assert message in found.faults[0].message
    assert found.faults[0].line == line
    others = [one for one in found.faults[1:] if "tense" not in one.message]
    assert not others


def test_what_this_list_cannot_tell_is_a_note() -> None:
    """A list without some levels: the plan is not wrong."""
    study = changed()
    found = planned.check(study.experiments["scenes-rated"], listed(study, 2))
    assert not found.faults
    assert found.notes == (
        "scenes.yaml, line 33: with all answers to this list, the contrast 'amounts' cannot be tested: one "
        "side has no trials",
        "scenes.yaml, line 39: with all answers to this list, the mixed model of a model: amount has one "
        "level only (few)",
    )


def test_participants_are_no_group_of_scored_answers() -> None:
    """A model scores equal stimuli equally, whoever the participant is."""
    study = changed(
        ("  item: scene\n", "  item: scene\n  participant: keyed\n"),
        ("mean ~ amount * tense + (1 | scene)", "prob_low ~ amount + (1 | participant)"),
    )
    rows = third.rows()
    rows += [row | {"keyed": "up"} for row in rows]
    twice = trials.parse(trials.to_csv(list(rows[0]), rows), path="scenes.csv", schemas=[study.schema])
    (fault,) = planned.check(study.experiments["scenes-rated"], twice).faults
    assert "gives the same answer to all copies of a stimulus" in fault.message


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*/*.yaml")), ids=lambda path: path.stem)
def test_the_worked_studies_have_sound_plans(path: Path) -> None:
    """And their lists can answer all of it."""
    study = studies.find(str(path))
    for experiment in study.experiments.values():
        assert planned.check(experiment, lists.default(study)) == planned.Planned((), ())


def test_free_text_has_plans_too() -> None:
    """A choice, a number of a long range, and a pattern, of which any value is possible."""
    study = changed(
        ("(?P<value>red|light blue)'}}\n", "(?P<value>red|light blue)'}}\n    contrasts:\n" + _SAID),
        ("[0, 2]", "[0, 5000]"),
    )
    found = planned.check(study.experiments["scenes-said"], listed(study))
    median, unnamed = found.faults
    assert "no outcome 'median'. Did you mean 'mean'" in median.message
    assert "question 'count' of scenes-said has no outcome of its own" in unnamed.message
    assert not found.notes


_SAID = """\
      - {name: a, greater: {amount: most}, lesser: {amount: few}, outcome: prob_red, question: colour}
      - {name: b, greater: {amount: most}, lesser: {amount: few}, outcome: prob_high}
      - {name: c, greater: {amount: most}, lesser: {amount: few}, outcome: median}
      - {name: d, greater: {amount: most}, lesser: {amount: few}, question: count}
"""
