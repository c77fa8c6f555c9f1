"""Trial lists as programs and people leave them: read where that is certain, else refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from grace_client import studies
from grace_client.core.errors import TrialError
from grace_client.core.trials import to_csv
from grace_client.run.layout import TRIALS
from tests.conftest import ROOT

LISTS = {study: ROOT / "data" / f"{study}.csv" for study in ("study1", "study2")}


def rows_of(study: str, count: int = 2) -> list[dict[str, str]]:
    listed = studies.read_trials(LISTS[study])
    return [dict(trial.fields) for trial in listed.trials[:count]]


def csv_of(study: str, rows: list[dict[str, str]]) -> bytes:
    schema = studies.named(study).schema
    return to_csv(schema.names, rows)


def save(tmp_path: Path, raw: bytes) -> Path:
    path = tmp_path / "list.csv"
    path.write_bytes(raw)
    return path


def faults(path: Path) -> str:
    with pytest.raises(TrialError) as caught:
        studies.read_trials(path)
    return str(caught.value).replace(f"{path}:", "")


def semicolons(text: str) -> bytes:
    return b"\xef\xbb\xbf" + text.replace(",", ";").replace("\n", "\r\n").encode()


def header_of_zero_width(text: str) -> bytes:
    return text.replace("participant_id", "participant_id\u200b", 1).encode()


WRITTEN: dict[str, tuple[Callable[[str], bytes], str]] = {
    "semicolons": (semicolons, "columns are separated by semicolons"),
    "tabs": (lambda t: t.replace(",", "\t").encode(), "columns are separated by tabs"),
    "unicode text": (lambda t: t.replace(",", "\t").encode("utf-16"), "the file is UTF-16"),
    "big endian": (lambda t: b"\xfe\xff" + t.encode("utf-16-be"), "the file is UTF-16"),
    "sep": (lambda t: b"sep=,\r\n" + t.encode(), "'sep=,', names the separator"),
    "sep of tabs": (lambda t: b"sep=\t\n" + t.replace(",", "\t").encode(), "names the separator"),
    "header": (header_of_zero_width, "invisible characters in the header are ignored: participant_id"),
    "empty rows": (
        lambda t: (t + ",,,,,,,,\n" * 3).encode(),
        "3 rows of empty cells are ignored (lines 4 to 6)",
    ),
    "floats": (lambda t: t.replace(",3,1\n", ",3.0,1.0\n").encode(), "cells are written like 2.0"),
    "spaces": (lambda t: t.replace(",3,1\n", ",3, 1\n").encode(), "cells are written like 2.0"),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_what_a_program_wrote_is_read_and_said(tmp_path: Path, kind: str) -> None:
    """The same trials as from plain CSV, a note of what was read otherwise, the bytes as they are."""
    change, note = WRITTEN[kind]
    rows = rows_of("study1")
    rows[0] |= {"access": "3", "observe": "1", "speach": rows[0]["speach"].split(":")[0] + ": 'Hello.'"}
    raw = change(csv_of("study1", rows).decode())
    listed = studies.read_trials(save(tmp_path, raw))
    assert [dict(t.fields) for t in listed.trials] == rows
    assert any(note in found for found in listed.notes), listed.notes
    assert listed.raw == raw


@pytest.mark.parametrize("kind", ["xlsx", "parquet"])
def test_a_workbook_or_a_parquet_table_is_a_list(tmp_path: Path, kind: str) -> None:
    """The same trials, numbers as whole numbers; what a run keeps is the list as CSV."""
    rows = rows_of("study1")
    frame = pd.DataFrame(rows).astype({"access": float, "observe": int})
    path = tmp_path / f"list.{kind}"
    if kind == "xlsx":
        with pd.ExcelWriter(path) as book:
            pd.DataFrame().to_excel(book, sheet_name="notes", index=False)
            frame.to_excel(book, sheet_name="trials", index=False)
    else:
        frame.to_parquet(path)
    listed = studies.read_trials(path)
    assert [dict(t.fields) for t in listed.trials] == rows
    assert ("sheet 'trials', not 'notes'" if kind == "xlsx" else "Parquet") in listed.notes[0]
    assert listed.raw == csv_of("study1", rows)


def test_windows_1252_is_read_where_it_is_sure(tmp_path: Path) -> None:
    """Letters in words, quotation marks and dashes; not the bytes of another encoding."""
    rows = rows_of("study1")
    rows[0]["story_setup"] = "Zoë’s café – naïve"
    text = csv_of("study1", rows).decode()
    listed = studies.read_trials(save(tmp_path, text.encode("cp1252")))
    assert listed.trials[0]["story_setup"] == "Zoë’s café – naïve"
    assert any("Windows-1252, with ë ’ é – ï" in note for note in listed.notes)
    for encoding in ("mac_roman", "cp437"):
        assert "is not UTF-8" in faults(
            save(tmp_path, text.replace("’", "").replace("–", "").encode(encoding))
        )


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"PK\x03\x04\x14\0\x06\0 [Content_Types].xml xl/workbook.xml", "workbook cannot be read"),
        (b"PK\x03\x04 mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "(.ods)"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an Excel workbook (.xls)"),
        (b"PK\x03\x04 word/document", "a ZIP archive"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"PAR1\x15", "Parquet table cannot be read"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"%PDF-1.7", "a PDF document"),
    ],
)
def test_another_kind_of_file_is_named(tmp_path: Path, raw: bytes, name: str) -> None:
    """And the message says how to save it."""
    message = faults(save(tmp_path, raw))
    assert name in message
    assert "CSV UTF-8" in message


@pytest.mark.parametrize(
    "value", ["NA", "nan", "null", "None", "#N/A", "N/A", " NaN ", "?", ".", "-", "#REF!"]
)
@pytest.mark.parametrize(("study", "column"), [("study1", "story_setup"), ("study2", "SP_Name")])
def test_a_missing_value_is_no_text(tmp_path: Path, study: str, column: str, value: str) -> None:
    """The model is never told of a person called NA."""
    rows = rows_of(study)
    rows[1][column] = value
    assert f"3: column '{column}': is empty" in faults(save(tmp_path, csv_of(study, rows)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<p>Jars crack.</p>", "the HTML tag '<p>'"),
        ('Jars <span style="x">crack</span>.', "the HTML tag '<span"),
        ("Jars&nbsp;crack.", "the HTML code '&nbsp;'"),
        ("Jars &amp; lids.", "the HTML code '&amp;'"),
        ("Jars &#39;crack&#39;.", "the HTML code '&#39;'"),
        ("Mira\u00e2\u20ac\u2122s jars.", "' for '\u2019'"),
        ("Caf\u00c3\u00a9 jars.", "' for '\u00e9'"),
        ("The cel\0lar.", "U+0000 (null)"),
        ("Jars\ufffd crack.", "U+FFFD"),
        ("Jars\x0bcrack.", "U+000B"),
        ("Jars\x92crack.", "U+0092"),
    ],
)
def test_debris_of_other_programs_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Line, column and what it is."""
    rows = rows_of("study1")
    rows[1]["story_setup"] = text
    found = faults(save(tmp_path, csv_of("study1", rows)))
    assert found.startswith("3: column 'story_setup': ")
    assert message in found


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("Jars\u00a0crack.", "U+00A0 (no-break space)"),
        ("Jars cr\u200back.", "U+200B (zero width space)"),
        ("Jars.<br>Lids.<br/>Today.", "more than one <br>"),
        ("The jars <mostly> crack.", "'<mostly>'"),
        ("Caf\u00e9 jars, \u20ac3 & \u201cnew\u201d: 2 < 3.", ""),
        ("Jars crack.<br> Today Mira opens 3.", ""),
    ],
)
def test_what_may_be_wrong_is_a_note(tmp_path: Path, text: str, note: str) -> None:
    """It is asked as it is; plain text in any language has no note."""
    rows = rows_of("study1")[:1]
    rows[0]["story_setup"] = text
    notes = studies.read_trials(save(tmp_path, csv_of("study1", rows))).notes
    assert all(note in found for found in notes)
    assert len(notes) == (1 if note else 0)


def test_a_break_in_another_column_goes_to_the_model_and_is_refused(tmp_path: Path) -> None:
    """Only the setup's <br> is read as a line break."""
    rows = rows_of("study1")
    rows[0]["speach"] += "<br>"
    assert "2: column 'speach': contains the HTML tag '<br>'" in faults(
        save(tmp_path, csv_of("study1", rows))
    )


def test_a_no_break_space_in_a_question_is_named(tmp_path: Path) -> None:
    """A reader cannot see it."""
    rows = rows_of("study1")
    rows[0]["priorQ"] = rows[0]["priorQ"].replace("the 3 ", "the 3\u00a0")
    assert "U+00A0 (no-break space)" in faults(save(tmp_path, csv_of("study1", rows)))


JARS = {
    "story_shortname": "jars",
    "story_setup": "Jars crack.<br> Today Mira opens 3 jars.",
    "priorQ": "How many of the 3 jars do you think have cracks?",
    "speach": "Mira tells you: 'I have looked at 2 of the 3 jars. 1 of the jars has cracks.'",
    "speachQ": "Now how many of the 3 jars do you think have cracks?",
    "knowledgeQ": "Do you think Mira knows exactly how many of the 3 jars have cracks?",
    "access": "2",
    "observe": "1",
}


def with_speech(access: str, observe: str, n: str = "three") -> dict[str, str]:
    return {
        "speach": f"Mira tells you: 'I have looked at {access} of the {n} jars. "
        f"{observe} of the jars have cracks.'"
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_speech("two", "All three"), "column 'observe': is 1, but the speaker says 'All three'"),
        (with_speech("three", "One"), "column 'access': is 2, but the speaker says 'three'"),
        (with_speech("2", "None"), "column 'observe': is 1, but the speaker says 'None'"),
        (with_speech("two", "Both"), "column 'observe': is 1, but the speaker says 'Both'"),
        (with_speech("two", "One", "four"), "column 'speach': says 'four', but priorQ says 3"),
        (
            {"speachQ": "Now how many of the 3 letters do you think have checks?"},
            "column 'speachQ': belongs to another",
        ),
        (
            {"knowledgeQ": "Do you think Mira knows exactly how many of the 3 letters have checks?"},
            "column 'knowledgeQ': belongs to another",
        ),
        (
            {"knowledgeQ": "Do you think Bob knows exactly how many of the 3 jars have cracks?"},
            "asks about Bob, but the speaker in speach is Mira",
        ),
    ],
)
def test_columns_of_study1_that_contradict_each_other(
    tmp_path: Path, change: dict[str, str], message: str
) -> None:
    """Words are compared as figures are, and questions with the story."""
    rows = [rows_of("study1")[0] | JARS, rows_of("study1")[0] | JARS | change]
    found = faults(save(tmp_path, csv_of("study1", rows)))
    assert found.startswith("3: column")
    assert message in found


def test_words_that_agree_are_no_fault(tmp_path: Path) -> None:
    """Two of the three, and one of them."""
    rows = [rows_of("study1")[0] | JARS | with_speech("two", "One")]
    assert studies.read_trials(save(tmp_path, csv_of("study1", rows))).notes == ()


def test_one_story_with_two_texts_is_a_note(tmp_path: Path) -> None:
    """It may be a design; it is more often a mistake."""
    first = rows_of("study1")[0] | JARS
    rows = [first, first | {"story_setup": "Jars never crack."}]
    (note,) = studies.read_trials(save(tmp_path, csv_of("study1", rows))).notes
    assert note.startswith("line 3, column 'story_setup': ")
    assert "'jars'" in note
    assert note.endswith(" trial 1")


POEM = {
    "Precontext": "Imagine that Ola has just written a poem.",
    "Scenario": "Imagine that Ola met Kim, who had read the poem, and asked, 'How was my poem?'",
    "Goal": "If Kim wanted to make Ola feel good rather than give informative feedback",
    "SP_Name": "Kim",
    "LS_Name": "Ola",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"SP_Name": "Ola", "LS_Name": "Kim"},
            "column 'SP_Name': is 'Ola', but the speaker in Goal is 'Kim'",
        ),
        ({"LS_Name": "Pat"}, "column 'LS_Name': is 'Pat', but the listener in Goal is 'Ola'"),
        ({"LS_Name": "Kim"}, "column 'LS_Name': is 'Kim', but the speaker has"),
        ({"Scenario": "Imagine that Pat met Lee."}, "column 'Scenario': names neither Kim nor Ola"),
        ({"Scenario": "Imagine that Olaf met Kimberly."}, "column 'Scenario': names neither Kim nor Ola"),
        (
            {
                "Goal": "If Kim wanted to give feedback as accurate and informative as possible, rather than "
                "make Ola feel good"
            },
            "column 'Goal': is ",
        ),
        (
            {"Goal": "If Kim wanted to give informative feedback rather than make Ola feel good"},
            "column 'Goal': is ",
        ),
        (
            {"Goal": "If Kim wanted BOTH to make Ola feel good rather than give informative feedback"},
            "column 'Goal': is ",
        ),
        ({"Goal": "rather than"}, "column 'Goal': is "),
    ],
)
def test_columns_of_study2_that_contradict_each_other(
    tmp_path: Path, change: dict[str, str], message: str
) -> None:
    """Names and goals are those of the sentences."""
    rows = [rows_of("study2")[0] | POEM, rows_of("study2")[0] | POEM | change]
    assert message in faults(save(tmp_path, csv_of("study2", rows)))


def test_a_run_that_began_before_a_check_goes_on(tmp_path: Path) -> None:
    """Its list was accepted: what is asked of new lists alone is not asked of it again."""
    rows = rows_of("study1")
    rows[0]["story_setup"] = "<p>Jars crack.</p>"
    path = tmp_path / TRIALS
    path.write_bytes(csv_of("study1", rows))
    assert studies.read_trials(path, checked=True).trials[0]["story_setup"] == "<p>Jars crack.</p>"


def test_own_lists_have_no_notes(study1: object, study2: object) -> None:
    """Neither grace's nor, where they are there, the users'."""
    for study in LISTS.values():
        assert studies.read_trials(study).notes == ()
    assert (study1.notes, study2.notes) == ((), ())  # type: ignore[attr-defined]


def test_a_second_column_of_one_name_is_said(tmp_path: Path) -> None:
    """The first counts."""
    lines = LISTS["study1"].read_text().splitlines()[:2]
    path = save(tmp_path, f"{lines[0]},access\n{lines[1]},9\n".encode())
    assert studies.read_trials(path).notes[0].endswith("of which the first counts: access")
