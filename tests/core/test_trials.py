"""Reading and checking trial lists."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from grace_client import studies
from grace_client.core.errors import FileError, TrialError
from grace_client.core.trials import TrialList, to_csv
from tests.conftest import ROOT

STUDY1 = ROOT / "data" / "study1.csv"


def rows_of(path: Path = STUDY1, count: int = 3) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))[:count]


def save(tmp_path: Path, rows: list[dict[str, str]]) -> Path:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path = tmp_path / "list.csv"
    path.write_text(buffer.getvalue())
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(TrialError) as caught:
        studies.read_trials(path)
    return [line.removeprefix(f"{path}:") for line in caught.value.lines()]


def test_lists_of_study1_are_read_whole(study1: TrialList) -> None:
    """300 trials, 36 distinct stimuli, 50 trials per legal cell, 180 distinct questions of 1,500."""
    assert study1.schema.study == "study1"
    assert [trial.trial_id for trial in study1.trials] == list(range(1, 301))
    assert len({tuple(t[c] for c in study1.schema.stimulus) for t in study1.trials}) == 36
    questions = [q.prompt.text for t in study1.trials for q in studies.experiment("study1-exp2").questions(t)]
    assert (len(questions), len(set(questions))) == (1500, 180)


def test_lists_of_study2_are_read_whole(study2: TrialList) -> None:
    """2,424 trials; the users' list has 2,046 distinct prompts."""
    assert study2.schema.study == "study2"
    assert len(study2.trials) == 2424
    prompts = {q.prompt.text for t in study2.trials for q in studies.experiment("study2-exp2").questions(t)}
    users = not study2.path.startswith(str(ROOT / "data"))
    assert len(prompts) == (2046 if users else 2386)


def test_a_list_survives_reading_and_writing(study1: TrialList, study2: TrialList) -> None:
    """What was read is written out byte for byte."""
    for trials in (study1, study2):
        assert to_csv(trials.schema.names, (t.fields for t in trials.trials)) == trials.raw


def test_the_seeds_spelling_is_accepted(tmp_path: Path) -> None:
    """`speech`, any case, no `knowledgeQ`: read under the real names, the missing question derived."""
    rows = rows_of()
    renamed = [
        {
            {"speach": "Speech", "speachQ": "SPEECHQ"}.get(name, name.upper()): value
            for name, value in row.items()
            if name != "knowledgeQ"
        }
        for row in rows
    ]
    trials = studies.read_trials(save(tmp_path, renamed))
    assert [dict(t.fields) for t in trials.trials] == rows
    assert "knowledgeQ" in trials.notes[0]
    assert "Speech → speach" in trials.notes[1]


def test_a_derived_question_equals_the_written_one(study1: TrialList) -> None:
    """The grammar reproduces every `speachQ` and `knowledgeQ` of the lists."""
    derive = {c.name: c.derive for c in study1.schema.columns if c.derive}
    assert derive.keys() == {"speachQ", "knowledgeQ"}
    for trial in study1.trials:
        for name, function in derive.items():
            assert function(trial.fields) == trial[name]


def test_a_byte_order_mark_and_crlf_are_no_fault(tmp_path: Path) -> None:
    """A file saved by a spreadsheet is read like any other."""
    path = tmp_path / "list.csv"
    path.write_bytes(b"\xef\xbb\xbf" + STUDY1.read_bytes().replace(b"\n", b"\r\n"))
    assert [t.fields for t in studies.read_trials(path).trials] == [
        t.fields for t in studies.read_trials(STUDY1).trials
    ]


def test_an_unknown_column_is_named_not_dropped_in_silence(tmp_path: Path) -> None:
    """A note says what is not used."""
    rows = [row | {"Response": "x"} for row in rows_of()]
    assert studies.read_trials(save(tmp_path, rows)).notes == (
        "columns that study1 does not use, and that only long tables have: Response",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"access": "4"}, "3: column 'access': is '4', but must be one of 1, 2, 3"),
        ({"access": ""}, "3: column 'access': is empty"),
        (
            {"access": "1", "observe": "2"},
            "3: column 'observe': is 2, more than access 1. The speaker cannot observe more items",
        ),
        (
            {"priorQ": "How many exams?"},
            "3: column 'priorQ': 'How many exams?' does not have the expected form, such as 'How many of the "
            "3 ITEMS do you think have PROPERTY?'",
        ),
        (
            {"priorQ": "How many of the 4 cats do you think have tails?"},
            "3: column 'priorQ': has 4 items, but this study has 3",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_line(tmp_path: Path, change: dict[str, str], message: str) -> None:
    """Line, column, what is wrong, what is expected."""
    rows = rows_of()
    rows[1] |= change
    assert message in faults(save(tmp_path, rows))


def test_a_contradiction_between_speech_and_design_is_found(tmp_path: Path) -> None:
    """The speaker's own figures must be those of the design columns."""
    rows = rows_of()
    other = "2" if rows[0]["access"] == "3" else "3"
    rows[0]["access"] = other
    assert any("but the speaker says" in line for line in faults(save(tmp_path, rows)))


def test_lines_are_counted_through_quoted_line_breaks(tmp_path: Path) -> None:
    """A row after one that spans two lines is named by the line on which it starts."""
    rows = rows_of()
    rows[0]["story_setup"] = "Two\nlines."
    rows[1]["access"] = "9"
    assert faults(save(tmp_path, rows)) == ["4: column 'access': is '9', but must be one of 1, 2, 3"]


def test_every_fault_of_a_file_is_reported_at_once(tmp_path: Path) -> None:
    """Nobody has to mend a file one run at a time."""
    rows = [row | {"access": "7"} for row in rows_of()]
    assert len(faults(save(tmp_path, rows))) == 3


def test_an_unknown_goal_is_an_error(tmp_path: Path) -> None:
    """A goal sentence without a known mark is never guessed at."""
    rows = rows_of(ROOT / "data" / "study2.csv")
    rows[0]["Goal"] = "If Emma wanted to go home"
    (line,) = faults(save(tmp_path, rows))
    assert line.startswith("2: column 'Goal': 'If Emma wanted to go home' has no known level")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "1: the file is empty"),
        (b"a,b\n1,2\n", "1: the header (a, b)"),
        (
            STUDY1.read_bytes().split(b"\n")[0] + b"\n",
            "1: the file has a header, but no trials. Add one row for each trial",
        ),
        (
            STUDY1.read_bytes().replace(b"priorQ", b"prior", 1),
            "1: column 'priorQ': a list of study1 needs this column, and the header does not have it. Add it",
        ),
        (
            STUDY1.read_bytes().replace(b"speach,", b"talk,", 1),
            "1: column 'speach': a list of study1 needs this column, and the header does not have it. Add it "
            "(other accepted names: speech)",
        ),
        (STUDY1.read_bytes() + b"51,x\n", "302: the row has 2 fields, but the header has 9"),
        (STUDY1.read_bytes() + b"51,\xff\n", "302: byte 0xff is not UTF-8"),
        (STUDY1.read_bytes() + b'51,"x\n', "302: grace cannot read this as CSV: unexpected end of data"),
    ],
    ids=["empty", "foreign", "no rows", "no priorQ", "no speach", "short row", "encoding", "quote"],
)
def test_a_broken_file_is_a_clear_error(tmp_path: Path, content: bytes, message: str) -> None:
    """File, line and what to do."""
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    assert any(line.startswith(message) for line in faults(path)), faults(path)


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(FileError, match=r"none\.csv: it does not exist. Check the spelling"):
        studies.read_trials(tmp_path / "none.csv")
