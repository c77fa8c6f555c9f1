"""The structured table: what is in it, and what it is worth."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from grace_client.core.errors import SpecError
from grace_client.extraction import answers as extracted
from grace_client.extraction.answers import Answer
from grace_client.extraction.reading import Reading
from grace_client.run import layout, manifest, tables
from grace_client.run.folder import RunFolder
from grace_client.run.layout import BETS
from grace_client.run.manifest import Extraction
from grace_client.run.plan import Item
from tests.extraction.runs import answered, said, saying


def written(folder: RunFolder) -> tuple[Path, list[Answer]]:
    read = extracted.by_rules(folder)
    return extracted.write(folder, read, Extraction(questions=extracted.summary(read))), read


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def test_the_table(tmp_path: Path) -> None:
    """The list's columns, the answer, what was read and from where; a row per answer, in the run's order."""
    folder = answered(tmp_path, saying(["None.", "I think **two** of them.", "NA", "Yes.\r\n"]), sample=1)
    path, read = written(folder)
    assert path.name == f"talker_study1_structured_{folder.manifest.created[:10].replace('-', '')}.csv"
    rows = table(path)
    assert list(rows) == [*folder.experiment.schema.names, *layout.STRUCTURED, *BETS, "status"]
    assert rows["structured"].tolist() == ["0", "2", "unparsed", "yes"]
    assert rows["category"].tolist() == ["answer", "answer", "other", "answer"]
    assert rows["confidence"].tolist() == ["high", "medium", "", "high"]
    two = rows.iloc[1].astype(str)
    assert two["response"][int(two["span_start"]) : int(two["span_end"])] == "two** of them"
    raw = table(next(tmp_path.glob("*raw_responses_????????.csv")))
    for column in ("response", "seed", "question", "replicate", *folder.experiment.schema.names):
        assert rows[column].tolist() == raw[column].tolist()
    assert len(read) == 4


def test_bets_have_columns_of_their_own(tmp_path: Path) -> None:
    """Bets are read without being turned into a number."""
    folder = answered(tmp_path, saying(["0: 10%, 1: 20%, 2: 30%, 3: 40%"]))
    path, read = written(folder)
    row = table(path).iloc[0]
    assert row[list(BETS)].astype(float).tolist() == [10, 20, 30, 40]
    assert (row["structured"], row["category"]) == ("unparsed", "answer")
    assert extracted.summary(read)["number"]["coverage"] == 1


def test_study_2_has_no_bets(tmp_path: Path) -> None:
    """The table has the columns of its own study."""
    path, _ = written(answered(tmp_path, saying(["It wasn't bad."]), "study2-exp1"))
    rows = table(path)
    assert not set(BETS) & set(rows)
    assert set(rows["structured"]) == {"wasnt_bad"}


def test_items_without_an_answer_stay_empty(tmp_path: Path) -> None:
    """A failed item and one that was not asked are rows with a status, and are no part of the coverage."""

    def answer(item: Item) -> dict[str, object] | None:
        if item.question.name == "knowledge":
            return None
        if item.replicate == 1:
            return {"status": "timeout", "reason": "no answer"}
        return said("Two.")

    path, read = written(answered(tmp_path, answer))
    rows = table(path)
    assert set(rows["status"]) == {"ok", "timeout", layout.UNASKED}
    failed = rows[rows["status"] != "ok"]
    assert (failed[["response", "structured", "category", "method", "confidence", "span_start"]] == "").all(
        axis=None
    )
    summary = extracted.summary(read)
    assert (summary["number"]["answers"], summary["number"]["coverage"]) == (4, 1)
    assert (summary["knowledge"]["answers"], summary["knowledge"]["verdict"]) == (0, "review")


@pytest.mark.parametrize(("clear", "verdict"), [(19, "ok"), (18, "below target"), (17, "review")])
def test_the_verdict(clear: int, verdict: str, tmp_path: Path) -> None:
    """From 95% on it is well, from 90% on below the target, and under that a person has to look."""
    texts = ["It was good."] * clear + ["Hm."] * (20 - clear)
    folder = answered(tmp_path, saying(texts), "study2-exp1", sample=10)
    assert extracted.summary(extracted.by_rules(folder))["utterance"]["verdict"] == verdict


def test_the_manifest_knows_the_table_until_answers_come(tmp_path: Path) -> None:
    """Its checksum survives an export of the same answers, and goes when the record has grown."""
    folder = answered(tmp_path, lambda item: said("Two.") if item.replicate == 1 else None)
    path, _ = written(folder)
    assert path.name in manifest.load(tmp_path).results["tables"]
    tables.export(RunFolder.open(tmp_path))
    kept = manifest.load(tmp_path)
    assert path.name in kept.results["tables"]
    assert kept.extraction is not None
    assert kept.extraction.questions["number"]["values"] == {"2": 4}
    grown = RunFolder.open(tmp_path)
    missing = next(item for item in grown.plan.distinct if item.key not in grown.ledger)
    grown.ledger.append(missing.key, said("One."), final=True)
    grown.ledger.close()
    tables.export(RunFolder.open(tmp_path))
    assert path.name not in manifest.load(tmp_path).results["tables"]


def test_scores_are_not_text(tmp_path: Path) -> None:
    """A run of a scored experiment is refused."""
    folder = answered(tmp_path, lambda _: None, "study1-exp2")
    with pytest.raises(SpecError, match="has no free text"):
        extracted.by_rules(folder)


def test_other_readings_go_before(tmp_path: Path) -> None:
    """A reading by somebody else takes the place of the rules', and only where there is an answer."""
    read = extracted.by_rules(answered(tmp_path, lambda item: said("Hm.") if item.replicate == 1 else None))
    own = Reading("2", "answer", method="human", confidence="high")
    changed = extracted.replaced(read, {read[0].place: own, read[1].place: own})
    assert [answer.reading for answer in changed[:2]] == [own, None]
    assert changed[2:] == read[2:]
