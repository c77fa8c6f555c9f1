"""Answers of people and of other tools become frames that every function takes."""

from __future__ import annotations

import codecs
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grace_client import analysis
from grace_client.analysis import study1, study2
from grace_client.analysis._data.files import design
from grace_client.core.errors import NotEnoughDataError, SpecError, TrialError
from tests.conftest import ROOT, own_list

FLAGS = ["drop_incomplete", "drop_wrongPrior", "drop_wrongKnowledge"]
BET_COLUMNS = ["0", "1", "2", "3"]
BETS = {"number": BET_COLUMNS}
LEFT_OUT = 63


def bets(seed: int = 0) -> pd.DataFrame:
    """A list of Study 1 with hand-coded bets and three columns of exclusions; 237 of 300 rows stay."""
    rng = np.random.default_rng(seed)
    table = pd.read_csv(ROOT / "data" / "study1.csv", dtype=str)
    drawn = rng.multinomial(20, [0.1, 0.2, 0.3, 0.4], size=len(table)) * 5
    for place, column in enumerate(BET_COLUMNS):
        table[column] = drawn[:, place].astype(str)
    table[FLAGS] = ""
    for row in rng.choice(len(table), LEFT_OUT, replace=False):
        table.loc[row, [*BET_COLUMNS, rng.choice(FLAGS)]] = ["", "?", "x", "", "1"]
    return table


def written(table: pd.DataFrame, path: Path) -> Path:
    path.write_bytes(codecs.BOM_UTF8 + table.to_csv(index=False).encode())
    return path


def test_hand_coded_bets_of_another_model(tmp_path: Path) -> None:
    """A byte-order mark, no status, no probabilities, and a cell that is no number: named, then declared."""
    table = bets()
    kept = table.index[(table[FLAGS] == "").all(axis=1)]
    table.loc[kept[7], "2"] = "10?"
    path = written(table, tmp_path / "bets.csv")
    with pytest.raises(TrialError) as caught:
        analysis.people(path, "study1-exp1", answers=BETS, exclude=FLAGS)
    assert [(p.line, p.column) for p in caught.value.problems] == [(kept[7] + 2, "2")]
    assert "'10?', which is not a number from 0 up" in str(caught.value)
    frame = analysis.people(
        path, "study1-exp1", answers=BETS, exclude=FLAGS, missing=["10?"], name="coded by hand"
    )
    assert frame["status"].value_counts().to_dict() == {"ok": 236, "excluded": LEFT_OUT, "missing": 1}
    assert set(frame.loc[frame["status"] == "excluded", "reason"]) == set(FLAGS)
    assert frame["model"].unique().tolist() == ["coded by hand"]
    found = study1.bets(frame)
    expected = table.loc[kept.drop(kept[7]), BET_COLUMNS].astype(float)
    assert np.allclose(found["bet"].to_numpy().reshape(-1, 4), expected)
    own = expected["3"].groupby([table["access"], table["observe"]]).mean().sort_index()
    means = study1.cell_means(frame).query("state == 3").set_index(["access", "observe"]).sort_index()
    assert np.allclose(means["mean"], own)
    assert len(study1.contrasts(frame)) == 8 and len(study1.access_effects(frame)) == 3
    effects = study1.anova(frame, within="trial").set_index("effect")
    assert effects.loc["residual", "df"] == 236 - 6


def test_a_model_and_a_table_see_the_same_stimuli() -> None:
    """So that both can be paired."""
    frame = analysis.people(bets(), "study1-exp1", answers=BETS, exclude=FLAGS)
    listed = own_list("study1")
    assert frame["stimulus"].tolist() == design(listed)["stimulus"].tolist()
    assert frame["participant"].tolist() == [trial["participant_id"] for trial in listed.trials]


@pytest.mark.parametrize("experiment", ["study2-exp1", "study2-exp2"])
def test_chosen_sentences_beside_an_empty_utterance(tmp_path: Path, experiment: str) -> None:
    """However a sentence is written; and the same counts from free text and from choices."""
    table = pd.read_csv(ROOT / "data" / "study2.csv", dtype=str).head(240)
    said = ["It wasn't terrible", "it was amazing.", "was_good"]
    table = table.assign(Utterance="", chosen=[said[i % 3] for i in range(240)])
    frame = analysis.people(
        written(table, tmp_path / "chosen.csv"), experiment, answers={"utterance": "chosen"}
    )
    assert (frame["status"] == "ok").all() and frame["trial_id"].nunique() == 240
    found = study2.utterances(frame)
    shares = found.assign(own=found["mean"] * found["n"]).groupby("utterance")["own"].sum().round(6)
    assert shares[shares > 0].to_dict() == {"wasnt_terrible": 80, "was_amazing": 80, "was_good": 80}
    assert not study2.negation(frame).empty and not analysis.cell_means(frame).empty


def tidy() -> pd.DataFrame:
    rows = [
        {
            "who": who,
            "story": story,
            "goal": goal,
            "state": state,
            "said": "was_good" if goal == "both" else said,
        }
        for who in ("a", "b")
        for story in ("poem", "talk")
        for goal in ("both", "social")
        for state, said in (("0 hearts", "It was bad"), ("3 hearts", "It was amazing"))
    ]
    return pd.DataFrame(rows)


NAMES = {"participant": "who", "item": "story"}
SAID = {"utterance": "said"}


def test_conditions_alone_are_enough() -> None:
    """Without the texts of the list: conditions, an item and a person."""
    frame = analysis.people(tidy(), "study2-exp2", answers=SAID, columns=NAMES)
    assert frame["participant"].unique().tolist() == ["a", "b"]
    assert frame["item"].unique().tolist() == ["poem", "talk"]
    # Both people saw the same; nobody saw the same twice.
    assert frame["stimulus"].nunique() == 8 and frame["trial_id"].nunique() == 16
    found = analysis.cell_means(frame, "prob_was_good").set_index(["goal", "state"])
    assert found["mean"].tolist() == [1, 1, 0, 0]


def test_counts_are_that_many_answers() -> None:
    """A row for each cell of the design, as papers print it."""
    human = analysis.reference.study2()
    frame = analysis.people(human, "study2-exp1", answers={"utterance": "utterance"}, count="count")
    assert len(frame) == human["count"].sum() and frame["trial_id"].is_unique
    keys = ["goal", "state", "utterance"]
    own = study2.counts(frame).set_index(keys)["count"]
    assert own.to_dict() == human.set_index(keys)["count"].to_dict()


def test_one_row_for_each_answer(tmp_path: Path) -> None:
    """Rows with question and answer, by the trial's number in a list: what a web page gives."""
    listed = tmp_path / "list.csv"
    table = pd.read_csv(ROOT / "data" / "study1.csv", dtype=str).head(3)
    table.to_csv(listed, index=False)
    rows = [
        {"participant": who, "experiment": "e", "trial_id": trial, "question": question, "answer": answer}
        for who in ("p7", "p8")
        for trial in (1, 3)
        for question, answer in (("knowledge", "Yes"), ("state3", "70%"), ("state2", 30.0))
    ]
    frame = analysis.people(pd.DataFrame(rows), "study1-exp2", trials=listed)
    assert frame["trial_id"].nunique() == 4 and frame.groupby("trial_id")["question"].nunique().eq(3).all()
    assert set(frame["participant"]) == {"p7", "p8"} and set(frame["list_experiment"]) == {"e"}
    chosen = frame[frame["prob_norm"] == 1].drop_duplicates("question").set_index("question")["option"]
    assert chosen.to_dict() == {"knowledge": "yes", "state3": "70", "state2": "30"}
    assert frame["item"].unique().tolist() == table["story_shortname"].iloc[[0, 2]].tolist()
    with pytest.raises(TrialError, match=r"'9', and .*list.csv has the trials 1 to 3"):
        analysis.people(pd.DataFrame([rows[0] | {"trial_id": 9}]), "study1-exp2", trials=listed)
    with pytest.raises(TrialError, match="study1-exp2 asks state0"):
        analysis.people(pd.DataFrame([rows[0] | {"question": "colour"}]), "study1-exp2", trials=listed)


def test_distributions_of_any_study() -> None:
    """Ratings of each option, in any unit and order."""
    table = pd.read_csv(ROOT / "data" / "study1.csv", dtype=str).head(2).assign(y=["3", "0"], n=["1", "10"])
    frame = analysis.people(table, "study1-exp2", answers={"knowledge": {"no": "n", "yes": "y"}})
    assert frame["prob_norm"].tolist() == [0.75, 0.25, 0.0, 1.0]
    assert frame["option"].tolist() == ["yes", "no"] * 2


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("a question", {"answers": {"uterance": "said"}}, "no question 'uterance'.*Did you mean"),
    ("a column", {"answers": {"utterance": "sad"}}, "no column 'sad', which answers= names"),
    ("no place", {"answers": None}, "Nothing says where the table has the answers to utterance"),
    ("several columns", {"answers": {"utterance": ["who", "said"]}}, "2 columns for utterance.*8 options"),
    ("a name", {"columns": {"partcipant": "who"}}, "names 'partcipant', which neither the study nor grace"),
    ("an exclusion", {"exclude": ["dropped"]}, "no column 'dropped', which exclude= names"),
    ("counts", {"count": "n"}, "no column 'n', which count= names"),
]


@pytest.mark.parametrize(("what", "given", "message"), WRONG, ids=[one[0] for one in WRONG])
def test_a_wrong_argument_is_named(what: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        analysis.people(tidy(), "study2-exp2", **({"answers": SAID, "columns": NAMES} | given))


CELLS = [
    ("said", "meh", "'meh', which is not one of was_terrible, .*values="),
    ("goal", "kind", "'kind', but must be one of both, social, informational"),
    ("state", "", "'', but must be one of 0 hearts"),
]


@pytest.mark.parametrize(("column", "text", "message"), CELLS)
def test_a_wrong_cell_is_named(column: str, text: str, message: str) -> None:
    """With its line; all of them at once."""
    table = tidy()
    table.loc[[2, 5], column] = text
    with pytest.raises(TrialError, match=message) as caught:
        analysis.people(table, "study2-exp2", answers=SAID, columns=NAMES)
    assert [one.line for one in caught.value.problems] == [4, 7]


def test_codes_and_missing_values_are_declared() -> None:
    table = tidy().assign(said=["1", "2", "-9", "1"] * 4)
    frame = analysis.people(
        table,
        "study2-exp1",
        answers=SAID,
        columns=NAMES,
        values={"1": "was_good", "2": "wasnt_bad"},
        missing=["-9"],
    )
    assert frame["status"].value_counts().to_dict() == {"ok": 12, "missing": 4}
    assert frame["structured"].value_counts().to_dict() == {"was_good": 8, "wasnt_bad": 4}
    with pytest.raises(TrialError, match="is '-9', which is not a count"):
        analysis.people(
            table, "study2-exp1", answers={"utterance": "story"}, count="said", missing=["poem", "talk"]
        )


def test_a_condition_without_a_column() -> None:
    with pytest.raises(SpecError, match=r"does not say the condition 'state'.*columns=\{'state'"):
        analysis.people(tidy().drop(columns="state"), "study2-exp2", answers=SAID, columns=NAMES)


def test_everything_left_out_is_no_answer() -> None:
    frame = analysis.people(
        tidy().assign(out="yes"), "study2-exp2", answers=SAID, columns=NAMES, exclude=["out"]
    )
    assert (frame["status"] == "excluded").all() and frame["prob_norm"].isna().all()
    with pytest.raises(NotEnoughDataError):
        analysis.outcomes(frame)


def test_tests_of_people_are_those_of_r(rscript: str, tmp_path: Path) -> None:
    """`aov` on trials, each effect given the other, and the paired `t.test` over participants."""
    frame = analysis.people(bets(), "study1-exp1", answers=BETS, exclude=FLAGS)
    state3 = study1.bets(frame).query("state == 3")
    state3.to_csv(tmp_path / "state3.csv", index=False)
    cell = study1.bets(frame).query("access == '3' and observe == '2' and state >= 2")
    wide = cell.pivot_table(index="participant", columns="state", values="bet")
    wide.rename(columns="s{}".format).to_csv(tmp_path / "pairs.csv")
    script = """
    d <- read.csv("state3.csv", colClasses = c(access = "factor", observe = "factor"))
    row <- function(f, at) unlist(summary(aov(f, d))[[1]][at, c("Df", "Sum Sq", "F value")])
    p <- read.csv("pairs.csv")
    t <- t.test(p$s2, p$s3, paired = TRUE, alternative = "greater")
    effects <- c(row(bet ~ observe * access, 2), row(bet ~ access * observe, 2:3))
    cat(format(c(effects, t$statistic, t$parameter, t$p.value), digits = 15), sep = "\\n")
    """
    done = subprocess.run(
        [rscript, "--vanilla", "-e", script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    r = np.array(done.stdout.split(), dtype=float)
    own = study1.anova(frame, within="trial").set_index("effect")
    # R gives degrees of freedom, sums of squares and F of observe and of the interaction column by column.
    assert np.allclose(r[:3], own.loc["access", ["df", "ss", "f"]].astype(float))
    both = own.loc[["observe", "access:observe"], ["df", "ss", "f"]].to_numpy(dtype=float)
    assert np.allclose(r[3:9].reshape(3, 2).T, both)
    paired = study1.contrasts(frame, unit="participant").iloc[0]
    assert np.allclose(r[9:], paired[["t", "df", "p"]].astype(float))
