"""Outcomes and means of any study, on a study of the tests' own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grace_client.analysis import cell_means, example, outcome_list, outcomes, quality, read, shares, study2
from grace_client.analysis.inference import mean_intervals
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.studies import file
from grace_client.studies.declaration import Experiment
from tests.analysis import third

Answers = tuple[pd.DataFrame, Experiment]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """The third study, scored."""
    return third.scored(tmp_path_factory.mktemp("third"))


def test_a_study_of_ones_own_is_read(scored: Answers, tmp_path: Path) -> None:
    """Factors, reversed scales and undeclared columns are there; without its file the table is refused."""
    frame, _ = scored
    assert frame.columns[3:8].tolist() == ["participant", "item", "stimulus", "amount", "tense"]
    assert frame.columns[-3:].tolist() == ["reversed", "frequency", "list_item"]
    assert set(frame["participant"]) == {""} and set(frame["amount"]) == {"few", "most"}
    turned = frame[frame["reversed"]]
    assert set(turned["question"]) == {"fit1", "fit2"} and turned["trial_id"].nunique() == 16
    third.scored(tmp_path)
    with pytest.raises(SpecError, match=r"contains scenes-rated, which grace does not know.* study="):
        read(tmp_path / "m_scenes_probabilities_20260101_long.csv")
    with pytest.raises(SpecError, match=r"does not know the experiment scenes-rated.* experiment="):
        outcomes(frame)


def test_outcomes_are_what_the_study_declares(scored: Answers) -> None:
    """Values of one trial by hand: mean, median, std, entropy, marginals; a reversed scale is turned back."""
    frame, experiment = scored
    table = outcomes(frame, experiment)
    assert len(table) == 48 * 3 and table["each_n"].unique().tolist() == ["1", "2", ""]
    for trial_id in (1, 2):
        own = frame[frame["trial_id"] == trial_id]
        fit, word = (
            table[(table["trial_id"] == trial_id) & (table["question"] == q)].iloc[0]
            for q in ("fit1", "word")
        )
        rows = own[own["question"] == "fit1"]
        p = rows["prob_norm"].to_numpy()
        assert rows["reversed"].iloc[0] == (trial_id == 1)
        turned = p[::-1] if trial_id == 1 else p
        mean = turned @ [1, 2, 4]
        assert fit["mean"] == pytest.approx(mean)
        assert fit["std"] == pytest.approx(np.sqrt(turned @ (np.array([1, 2, 4]) - mean) ** 2))
        assert fit["median"] == [1, 2, 4][int((turned.cumsum() >= 0.5).argmax())]
        assert fit["prob_high"] == pytest.approx(p[2]) and fit["entropy"] == pytest.approx(-p @ np.log2(p))
        q = own.loc[own["question"] == "word", "prob_norm"].to_numpy()
        assert word["prob_huge"] == pytest.approx(q[1] + q[3]) and word["prob_seems"] == pytest.approx(
            q[2] + q[3]
        )
        sizes = np.array([q[0] + q[2], q[1] + q[3]])
        assert word["entropy_size"] == pytest.approx(-sizes @ np.log2(sizes))
        assert np.isnan(word["mean"]) and np.isnan(fit["prob_is"])
    listed = outcome_list(experiment).set_index(["question", "outcome"])
    assert listed.index[listed["reported"]].tolist() == [
        ("fit", "mean"),
        ("fit", "entropy"),
        ("word", "entropy"),
    ]
    assert listed.loc[("fit", "std"), "greatest"] == 1.5 and listed.loc[("word", "entropy"), "greatest"] == 2


def test_outcomes_are_those_of_the_wide_table(scored: Answers) -> None:
    """`Experiment.cells`, which writes the wide table, and `outcomes` agree."""
    frame, experiment = scored
    table = outcomes(frame, experiment)
    for row in table.to_dict("records"):
        question = row["question"]
        own = frame[(frame["trial_id"] == row["trial_id"]) & (frame["question"] == question)]
        cells = experiment.cells(question, own["prob_norm"].to_numpy(), reverse=bool(own["reversed"].iloc[0]))
        for column, value in cells.items():
            assert row[column.removeprefix(f"{question}_")] == pytest.approx(value), column


def test_outcomes_of_free_text() -> None:
    """Numbers, values of options and indicators; an answer without a clear meaning has none."""
    frame, experiment = third.said()
    table = outcomes(frame, experiment)
    assert len(table) == len(frame)
    by_hand = frame.reset_index(drop=True)
    count = by_hand["question"] == "count"
    number = pd.to_numeric(by_hand["structured"].where(count), errors="coerce")
    pd.testing.assert_series_equal(table["mean"][count], number[count], check_names=False)
    fit = by_hand["question"] == "fit"
    value = by_hand["structured"].map({"low": 1.0, "middling": 2.0, "high": 4.0})
    value = value.where(
        ~by_hand["reversed"], by_hand["structured"].map({"low": 4.0, "middling": 2.0, "high": 1.0})
    )
    pd.testing.assert_series_equal(table["mean"][fit], value[fit], check_names=False)
    assert (
        table.loc[fit, "prob_unsure"].tolist()
        == (by_hand.loc[fit, "structured"] == "unsure").astype(float).tolist()
    )
    colour = table["question"] == "colour"
    assert table.loc[colour, "prob_light_blue"].mean() == (by_hand["structured"] == "light blue").sum() / (
        by_hand.loc[colour, "structured"].notna().sum()
    )
    assert cell_means(frame, "prob_green", question="colour", experiment=experiment)["mean"].eq(0).all()


def test_cell_means_are_means_over_items(scored: Answers) -> None:
    """Means and intervals are those of `mean_intervals`; levels are in the declared order."""
    frame, experiment = scored
    found = cell_means(frame, experiment=experiment)
    assert found.columns[:6].tolist() == ["model", "question", "each_n", "amount", "tense", "outcome"]
    assert found["outcome"].drop_duplicates().tolist() == ["mean", "prob_is_tiny"]
    first = found[found["question"] == "fit1"]
    assert first["amount"].tolist() == ["few"] * 3 + ["most"] * 3 and first["tense"].tolist()[:3] == list(
        third.TENSES
    )
    table = outcomes(frame, experiment)
    rows = table[(table["question"] == "fit1") & (table["amount"] == "most") & (table["tense"] == "future")]
    wanted = mean_intervals(rows, "mean", ["model"], cluster="item", bounds=(1, 4)).iloc[0]
    for column in ("mean", "low", "high", "se", "n", "n_distinct"):
        assert first.iloc[5][column] == pytest.approx(wanted[column])
    assert wanted["n_distinct"] == 8
    by_number = cell_means(table, "mean", by=["each_n"], question="fit", experiment=experiment)
    assert by_number["n"].tolist() == [48, 48]


def test_shares_are_means_of_probabilities_and_of_indicators(scored: Answers) -> None:
    """They sum to 1 in each cell, and are the cell means of each probability."""
    for frame, experiment, question in (*[(*scored, q) for q in ("fit1", "word")], (*third.said(), "colour")):
        found = shares(frame, question=question, experiment=experiment)
        assert found.groupby(["amount", "tense"])["mean"].sum().to_numpy() == pytest.approx(1)
        for answer, rows in found.groupby("answer"):
            means = cell_means(frame, f"prob_{answer}", question=question, experiment=experiment)
            pd.testing.assert_frame_equal(
                rows[["mean", "low", "high"]].reset_index(drop=True), means[["mean", "low", "high"]]
            )


def test_a_noise_floor_is_that_of_the_two_studies(scored: Answers) -> None:
    """The floor of the probability of a negation, and errors where there is none."""
    frame = example.scored("study2")
    noise = quality.noise(example.manifests("study2"))
    found = cell_means(frame, "prob_wasnt", noise=noise)
    wanted = study2.negation(frame, noise=noise)
    assert found["noise_floor"].to_numpy() == pytest.approx(wanted["noise_floor"].to_numpy(), rel=1e-12)
    with pytest.raises(SpecError, match="entropy has no noise floor"):
        cell_means(frame, "entropy", noise=noise)
    with pytest.raises(SpecError, match="free text is drawn at random"):
        cell_means(example.free("study2"), "prob_wasnt", noise=noise)


def test_what_there_is_not(scored: Answers) -> None:
    """Unknown outcomes, questions and columns, and frames without answers, are named."""
    frame, experiment = scored
    for wrong, message in (
        ({"outcome": "prob_red"}, "no outcome 'prob_red'. There are: mean, median, std, prob_low"),
        ({"outcome": "mean", "question": "word"}, "question 'word' of scenes-rated has no outcome 'mean'"),
        ({"question": "colour"}, "scenes-rated has no question 'colour'. It asks fit, word, fit1, fit2"),
        ({"by": ["mood"]}, "has no column mood"),
    ):
        with pytest.raises(SpecError, match=message):
            cell_means(frame, experiment=experiment, **wrong)
    with pytest.raises(NotEnoughDataError, match="was answered"):
        cell_means(frame.assign(status="timeout"), experiment=experiment)
    with pytest.raises(SpecError, match=r"trial 1 of m: the options are not those .*low, middling, high"):
        outcomes(frame.drop(index=frame.index[0]), experiment)
    free, said = third.said()
    with pytest.raises(NotEnoughDataError, match="grace extract"):
        shares(free.assign(structured=None), experiment=said)
    with pytest.raises(SpecError, match="'colour' of scenes-said has no outcome of its own"):
        cell_means(free, question="colour", experiment=said)


@pytest.mark.filterwarnings("error")
def test_a_hundred_answers_are_no_warning() -> None:
    """A number from 0 to 100 has a column for each; a column of the list with such a name gives way."""
    frame, _ = third.said()
    text = third.STUDY.replace("[0, 2]", "[0, 100]")
    study = file.parse(text.encode(), path="scenes.yaml", beside=lambda name: b"")
    asked = frame[frame["question"] == "count"].assign(structured="12", mean="of the list")
    found = outcomes(asked, study.experiments["scenes-said"])
    assert set(found["mean"]) == {12.0} and set(found["prob_12"]) == {1.0} and set(found["prob_13"]) == {0.0}
    assert found.columns.is_unique
