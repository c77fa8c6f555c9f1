"""The human figures that come with the package."""

from __future__ import annotations

import doctest
import json
import tomllib
from importlib import resources
from typing import Any

import numpy as np
import pytest

from grace_client import studies
from grace_client.analysis import reference, rsa, study1, study2
from grace_client.analysis.study1._bets import PERCENTAGES
from grace_client.analysis.study2._judgements import QUALITIES
from grace_client.core.trials import TrialList

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


def figures(study: str) -> dict[str, Any]:
    """Every number about people in the package, by its place."""
    text = resources.files(reference).joinpath(f"{study}.toml").read_text(encoding="utf-8")
    found: dict[str, Any] = {}

    def enter(place: str, value: Any) -> None:
        # The weights of one goal are one row of the paper's table, and one figure here.
        if isinstance(value, dict) and not place.startswith("study2.speaker."):
            for name, own in value.items():
                enter(f"{place}.{name}", own)
        elif isinstance(value, list) and isinstance(value[0], dict):
            found.update({f"{place}.{i}": own for i, own in enumerate(value)})
        elif not place.endswith(".source"):
            found[place] = value

    enter(study, tomllib.loads(text))
    return found


def test_every_figure_is_traced_to_its_source() -> None:
    """Each number of the package has one row with the value of its source, and there is no other row."""
    traced = reference.sources()
    assert not traced["figure"].duplicated().any()
    own = figures("study1") | figures("study2")
    assert set(traced["figure"]) == set(own)
    values = traced.set_index("figure")["value"]
    for figure, value in own.items():
        assert json.loads(values[figure]) == value, figure
    assert all(traced[column].str.len().gt(0).all() for column in ("source", "file", "lines"))
    assert traced["commit"].str.fullmatch(r"[0-9a-f]{40}").all()


def test_the_grid_of_phi_is_the_authors() -> None:
    """The values of φ are multiples of 0.025 in floating point, with halves rounded up to two decimals."""
    at, grid = 0.0, list[float]()
    while len(grid) < 40:
        grid.append(float(np.floor(100 * at + 0.5)) / 100)
        at += 0.025
    assert reference.speaker_model()["phi"] == grid
    assert rsa.PHI.tolist() == grid


def test_people_in_the_data_and_in_the_paper() -> None:
    """The notes explain 203 participants instead of 202, and 49 judges instead of 51."""
    own = figures("study2")
    assert set(reference.study2()["n"]) == {203} and own["study2.n"] == 203
    assert (own["study2.n_paper"], own["study2.meanings.n"], own["study2.meanings.n_paper"]) == (202, 49, 51)
    assert reference.study2()["source"].str.contains("203 participants; the paper says 202").all()


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
    """A second sample is close to the first, and the true shares are closer."""
    found = reference.noise_ceiling(draws=200)
    value = found.set_index(["compared", "statistic"])["value"]
    again, exact = value["second sample"], value["true shares"]
    assert 0.98 < again["r_plain"] < exact["r_plain"] < 1
    assert 0.95 < again["r"] < exact["r"] < 1
    assert 0 < exact["js"] < 0.7 * again["js"] < 0.02
    # Two independent errors of one size, against one.
    assert again["rmse"] / exact["rmse"] == pytest.approx(np.sqrt(2), rel=0.05)
    assert ((found["low"] <= found["value"]) & (found["value"] <= found["high"])).all()
    assert found.equals(reference.noise_ceiling(draws=200))


def test_the_published_speaker() -> None:
    """Weights sum to 1. Kindness weighs most for the kind goal, and least for the informative one."""
    found = reference.study2_speaker().set_index("goal")
    weights = found[["informational", "social", "presentational"]]
    assert weights.sum(axis=1).to_numpy() == pytest.approx(np.ones(3), abs=0.011)
    assert weights["social"].idxmax() == "social" and weights["social"].idxmin() == "informational"
    assert weights["presentational"].gt(0.4).all()


def test_the_examples_are_real() -> None:
    """The examples of the docstrings are correct."""
    assert doctest.testmod(reference).failed == 0


def test_the_design_of_the_two_studies_is_that_of_their_files() -> None:
    """Conditions, levels, options and scores."""
    first, second = studies.named("study1"), studies.named("study2")
    for study, module in ((first, study1), (second, study2)):
        assert tuple(study.conditions) == module.CELL
        for name, column in study.conditions.items():
            declared = study.file.trials.columns[column]
            assert declared is not None
            assert tuple(declared.levels or declared.values) == module.LEVELS[name]
    assert second.experiments["study2-exp2"].kinds["utterance"].options == study2.UTTERANCES
    quality = second.experiments["study2-judgement"].kinds["quality"]
    assert dict(zip(quality.options, quality.values or (), strict=True)) == QUALITIES
    percentages = first.experiments["study1-exp2"].kinds["state0"].values
    assert percentages == tuple(PERCENTAGES)
