"""The human figures that come with the package."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from grace_client.analysis import reference
from grace_client.trials import TrialList

NEGATION = {
    "both": (0.734, 0.744, 0.064, 0.005),
    "social": (0.498, 0.429, 0.054, 0.010),
    "informational": (0.276, 0.581, 0.133, 0.015),
}


def test_negation_is_as_published() -> None:
    """The shares of negated utterances that the counts give are the known ones."""
    found = reference.study2_negation().pivot(index="goal", columns="state", values="share")
    for goal, shares in NEGATION.items():
        assert found.loc[goal].to_numpy() == pytest.approx(shares, abs=0.0005)


def test_counts_are_whole(study2: TrialList) -> None:
    """Twelve cells of eight utterances; every share lies in its interval; states and goals are the lists'."""
    human = reference.study2()
    assert len(human) == 96
    assert human.groupby(["goal", "state"])["share"].sum().to_numpy() == pytest.approx(np.ones(12))
    assert human["n"].between(190, 210).all()
    assert ((human["low"] <= human["share"]) & (human["share"] <= human["high"])).all()
    assert human["source"].str.contains("opmi_a_00035").all()
    cells = {tuple(study2.schema.cell(trial).values()) for trial in study2.trials}
    assert set(zip(human["goal"], human["state"], strict=True)) == cells


def test_study1_findings_belong_to_its_cells(study1: TrialList) -> None:
    """Eight contrasts, four of which hold, each in a cell of the trial list; three omnibus tests."""
    found = reference.study1()
    assert (len(found), int(found["holds"].sum())) == (8, 4)
    cells = {tuple(study1.schema.cell(trial).values()) for trial in study1.trials}
    assert set(zip(found["access"], found["observe"], strict=True)) <= cells
    assert (found["greater"].astype(str) == found["observe"]).all()
    assert (found["greater"] < found["lesser"]).all()
    tests = reference.study1_tests().set_index("effect")
    assert tests["statistic"].to_dict() == {"access": 6.57, "word": 269.8, "access:word": 34.7}


def test_meanings_are_shares_of_49_judges() -> None:
    """A positive utterance and its negation are judged in opposite ways at the ends of the scale."""
    judged = reference.meanings()
    found = {
        (u, s): share
        for u, s, share in zip(*(judged[c] for c in ("utterance", "state", "share")), strict=True)
    }
    assert set(judged["n"]) == {49}
    counts = judged.set_index(["utterance", "state"])["count"]
    assert counts["was_terrible"].tolist() == [49, 26, 0, 1]
    assert counts["wasnt_amazing"].tolist() == [47, 47, 38, 0]
    assert int(counts.sum()) == 766
    for adjective in ("terrible", "bad", "good", "amazing"):
        for state in ("0 hearts", "3 hearts"):
            said, negated = found[f"was_{adjective}", state], found[f"wasnt_{adjective}", state]
            assert (said > 0.5) != (negated > 0.5)


def test_who_knows_people_exactly_is_closer_than_other_people() -> None:
    """A second sample agrees with the first almost wholly; the true shares, without noise, do better."""
    found = reference.noise_ceiling(draws=200)
    value = found.set_index(["compared", "statistic"])["value"]
    again, exact = value["second sample"], value["true shares"]
    assert 0.98 < again["r"] < exact["r"] < 1
    assert 0 < exact["js"] < 0.7 * again["js"] < 0.02
    # Two independent errors of one size, against one.
    assert again["rmse"] / exact["rmse"] == pytest.approx(np.sqrt(2), rel=0.05)
    assert ((found["low"] <= found["value"]) & (found["value"] <= found["high"])).all()
    assert found.equals(reference.noise_ceiling(draws=200))


def test_the_published_speaker() -> None:
    """Weights sum to 1; kindness weighs most where it is wanted, and least where truth is."""
    found = reference.study2_speaker().set_index("goal")
    weights = found[["informational", "social", "presentational"]]
    assert weights.sum(axis=1).to_numpy() == pytest.approx(np.ones(3), abs=0.011)
    assert weights["social"].idxmax() == "social" and weights["social"].idxmin() == "informational"
    assert weights["presentational"].gt(0.4).all()


def test_the_examples_are_real() -> None:
    """Doctest."""
    assert doctest.testmod(reference).failed == 0
