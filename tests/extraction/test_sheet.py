"""Hand coding: the sample, the sheet, the agreement."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from grace_client.core.errors import SpecError
from grace_client.extraction import answers as extracted
from grace_client.extraction import sheet
from grace_client.extraction.answers import Answer
from grace_client.extraction.reading import Reading
from tests.extraction.runs import answered, saying

TEXTS = ["Two.", "I don't know.", "2 or 3", "Yes.\n\nShe does.", "No.", "Hm."]


@pytest.fixture
def answers(tmp_path: Path) -> list[Answer]:
    """Eighty answers of several categories."""
    return extracted.by_rules(answered(tmp_path / "run", saying(TEXTS), sample=20))


def stratum(answer: Answer) -> tuple[str, str]:
    assert answer.reading
    return answer.item.question.name, answer.reading.category


@pytest.mark.parametrize("count", [1, 7, 10, 33, 79, 80, 1000])
def test_a_sample_is_stratified_and_seeded(count: int, answers: list[Answer]) -> None:
    """So many answers, none twice, each stratum by its size and once at least; the seed decides."""
    drawn = sheet.draw(answers, count, seed=1)
    assert len({answer.place for answer in drawn}) == len(drawn) == min(count, len(answers))
    assert drawn == sheet.draw(answers, count, seed=1)
    strata, got = Counter(map(stratum, answers)), Counter(map(stratum, drawn))
    if len(strata) <= count < len(answers):
        assert set(got) == set(strata)
        assert drawn != sheet.draw(answers, count, seed=2)
        for key, size in strata.items():
            assert got[key] <= size
            assert abs(got[key] - count * size / len(answers)) <= 1.5


def fill(path: Path, value: str, **changes: str) -> None:
    """Fill in the column `human` of the first row."""
    rows = list(csv.DictReader(path.open(newline="")))
    rows[0] |= {"human": value, **changes}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_sheet_goes_out_blind_and_comes_back(answers: list[Answer], tmp_path: Path) -> None:
    """It tells the question and the response and nothing that was read; empty rows are not coded."""
    path = tmp_path / "sheet.csv"
    sheet.write(path, answers)
    rows = list(csv.DictReader(path.open(newline="")))
    assert tuple(rows[0]) == sheet.SHEET
    assert rows[0]["asked"].startswith("Question: Now how many")
    assert [row["response"] for row in rows] == [answer.text for answer in answers]
    assert sheet.read(path, answers) == {}
    fill(path, " Unparsed ")
    with path.open("r+b") as file:
        text = file.read()
        file.seek(0)
        file.write(b"\xef\xbb\xbf" + text)  # as spreadsheets save it
    assert sheet.read(path, answers) == {
        answers[0].place: Reading("unparsed", "other", method="human", confidence="high")
    }
    with pytest.raises(SpecError, match="exists already"):
        sheet.write(path, answers)


@pytest.mark.parametrize(
    ("value", "changes", "expected"),
    [
        ("4", {}, r"sheet\.csv:2: column 'human' is '4'.* 0, 1, 2, 3, unparsed"),
        ("yes", {}, "'yes'.* 0, 1, 2, 3, unparsed"),
        ("2", {"trial_id": "999"}, "no answer to 'number' of trial '999'"),
        ("2", {"replicate": "two"}, "trial .*, replicate 'two'"),
        ("2", {"response": "Three."}, "the response differs"),
    ],
)
def test_a_sheet_that_does_not_fit_is_refused(
    value: str, changes: dict[str, str], expected: str, answers: list[Answer], tmp_path: Path
) -> None:
    """The message names the line and what is wrong."""
    path = tmp_path / "sheet.csv"
    sheet.write(path, answers)
    fill(path, value, **changes)
    with pytest.raises(SpecError, match=expected):
        sheet.read(path, answers)


def test_what_is_no_sheet_is_refused(answers: list[Answer], tmp_path: Path) -> None:
    """A missing file, another table, and no text at all."""
    with pytest.raises(SpecError, match=r"none\.csv does not exist"):
        sheet.read(tmp_path / "none.csv", answers)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SpecError, match="no column trial_id, question, replicate, asked, response, human"):
        sheet.read(tmp_path / "other.csv", answers)
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="is not CSV"):
        sheet.read(tmp_path / "bytes.csv", answers)


def test_agreement_is_worked_out_by_hand(tmp_path: Path) -> None:
    """Two readers, 25 answers, a 2 × 2 table: κ as the formula gives it."""
    # Both good: 10; both unparsed: 7; good only to the rules: 3; only to the person: 5. So 17 of 25 are
    # equal, and by chance 13/25 × 15/25 + 12/25 × 10/25 = 0.504 would be.
    texts = ["It was good."] * 13 + ["Hm."] * 12
    human = ["was_good"] * 10 + ["unparsed"] * 3 + ["was_good"] * 5 + ["unparsed"] * 7
    read = extracted.by_rules(answered(tmp_path, saying(texts), "study2-exp1", sample=25, replicates=1))
    coded = {
        answer.place: Reading(value, "answer", method="human")
        for answer, value in zip(read, human, strict=True)
    }
    found = sheet.agreement(read, {"human": coded}).set_index("category")
    row = found.loc["all"]
    assert (row["first"], row["second"], row["question"], row["n"]) == ("rule", "human", "utterance", 25)
    assert row["agreement"] == pytest.approx(0.68)
    assert row["kappa"] == pytest.approx((0.68 - 0.504) / (1 - 0.504))
    assert row["agreement_low"] < row["agreement"] < row["agreement_high"]
    assert row["kappa_low"] < row["kappa"] < row["kappa_high"]
    assert found.loc[["answer", "other"], "n"].tolist() == [13, 12]
    assert found.loc["answer", "agreement"] == pytest.approx(10 / 13)


def test_agreement_of_one_value_throughout(tmp_path: Path) -> None:
    """Agreement is whole, and κ has no value: chance would agree as well."""
    read = extracted.by_rules(answered(tmp_path, saying(["It was good."]), "study2-exp1"))
    coded = {answer.place: Reading("was_good", "answer", method="human") for answer in read}
    row = sheet.agreement(read, {"human": coded}).iloc[0]
    assert (row["agreement"], row["n"]) == (1, 8)
    assert row[["kappa", "kappa_low", "kappa_high"]].isna().all()
