"""Study files: what is refused, with its place, and what becomes of what is accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml

from grace_client import studies
from grace_client.core import trials
from grace_client.core.errors import StudyError, TrialError
from grace_client.core.trials import TrialList
from grace_client.studies import file, new
from grace_client.studies.declaration import Study
from grace_client.studies.schema import published
from tests.conftest import ROOT
from tests.studies.files import plain, study, write
from tests.support import own_study

WORKED = sorted((ROOT / "studies").glob("*/*.yaml"))


def experiment(**changes: Any) -> dict[str, Any]:
    """One experiment with one question, with changes to the question."""
    asked = {"name": "word", "prompt": "{{ text }}", "options": ["yes", "no"]} | changes
    return {"exp1": {"ask": [{key: value for key, value in asked.items() if value is not ...}]}}


def listed(declared: Study, text: str) -> TrialList:
    """A trial list of a study."""
    return trials.parse(text.encode(), path="list.csv", schemas=[declared.schema])


FAULTS: list[tuple[str, dict[str, Any], str, str]] = [
    ("unknown key", {"titel": "x"}, "titel", "is not a key of the format"),
    ("version", {"grace": 2}, "grace", "This grace reads version 1"),
    ("no title", {"title": None}, "title", "must be a text"),
    ("name", {"study": "Some Study"}, "study", "must match"),
    ("column", {"trials": {"item": "itm", "columns": {"item": None}}}, "trials.item", "Did you mean 'item'"),
    (
        "name in a prompt",
        {"experiments": experiment(prompt="{{ txt }}")},
        "ask.0.prompt",
        "Did you mean 'text'",
    ),
    ("call in a prompt", {"experiments": experiment(prompt="{{ text.upper() }}")}, "ask.0.prompt", "a call"),
    ("no template", {"experiments": experiment(prompt="{{ text")}, "ask.0.prompt", "no template"),
    ("option set", {"experiments": experiment(options="wrds")}, "ask.0.options", "there is no option set"),
    ("one option", {"experiments": experiment(options=["yes"])}, "ask.0.options", "two or more"),
    (
        "options twice",
        {"options": {"o": {"names": ["a"], "cross": {"f": ["b"]}}}},
        "options.o",
        "needs one of",
    ),
    (
        "numbers",
        {"options": {"o": {"names": ["a", "b"], "values": [1]}}},
        "options.o.values",
        "1 numbers for 2",
    ),
    ("same form", {"options": {"o": {"names": ["a", "A"]}}}, "options.o", "belongs to two options"),
    ("neither", {"experiments": experiment(options=...)}, "ask.0", "either 'options' (scored) or 'read'"),
    (
        "pattern",
        {"trials": {"columns": {"text": {"pattern": "(a"}}}},
        "text.pattern",
        "no regular expression",
    ),
    (
        "pattern with the name of a column",
        {"trials": {"columns": {"text": {"pattern": "(?P<text>a)"}}}},
        "text.pattern",
        "the name of a column",
    ),
    (
        "two prompts",
        {"experiments": experiment(messages=[{"user": "{{ text }}"}])},
        "ask.0",
        "either 'prompt' or 'messages'",
    ),
    (
        "an answer at the end",
        {"experiments": experiment(prompt=..., messages=[{"assistant": "{{ text }}"}])},
        "messages",
        "turn of the user",
    ),
    (
        "a turn of two",
        {"experiments": experiment(prompt=..., messages=[{"user": "a", "system": "b"}])},
        "messages.0",
        "exactly one",
    ),
    (
        "mixed",
        {
            "experiments": {
                "exp1": {
                    "ask": [
                        {"name": "a", "prompt": "x", "options": ["y", "n"]},
                        {"name": "b", "prompt": "x", "read": {"yes_no": True}},
                    ]
                }
            }
        },
        "exp1.ask",
        "Make two experiments",
    ),
    (
        "a file that is not there",
        {"experiments": experiment(examples={"file": "examples.csv"})},
        "examples.file",
        "cannot be read",
    ),
    ("a path", {"experiments": experiment(examples={"file": "../x.csv"})}, "examples.file", "must match"),
    (
        "text ahead",
        {"texts": {"a": "{{ b }}", "b": "x"}},
        "texts.a",
        "must stand before it",
    ),
    (
        "mean of words",
        {
            "experiments": {
                "exp1": experiment()["exp1"]
                | {
                    "table": {
                        "columns": [
                            {"question": "word", "probability": "p_{{ option }}"},
                            {"question": "word", "mean": "m"},
                        ]
                    }
                }
            }
        },
        "table.columns.1",
        "needs options with 'values'",
    ),
]


@pytest.mark.parametrize(("changes", "where", "message"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_fault_has_its_place(changes: dict[str, Any], where: str, message: str, tmp_path: Path) -> None:
    """The line is that of the value, or of the nearest one around it."""
    path = write(tmp_path, **changes)
    with pytest.raises(StudyError) as caught:
        studies.find(str(path))
    problems = [one for one in caught.value.problems if message in one.message]
    assert problems, caught.value
    assert where in (problems[0].where or "")
    last = (problems[0].where or "").rsplit(".", 1)[-1]
    line = path.read_text().splitlines()[problems[0].line - 1]
    assert last.isdigit() or last == "title" or last in line or last in ("examples", "file", "table"), line
    assert problems[0].column <= len(line) + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("- 1", "is a mapping"),
        ("a: [1", "there is no ',' or ']' before this"),
        ("a: 1\na: 2", "a second time"),
        ("a: &x 1\nb: *x", "anchors"),
        ("a: !!python/object/apply:os.system [ls]", "tag"),
        ("a: 1\n---\nb: 2", "second document"),
        ("a: \x01", "not allowed in YAML"),
        ("[" * 5000, "nested more than"),
        ("? {a: 1}\n: 2", "plain text"),
    ],
)
def test_yaml_that_is_more_than_data_is_refused(text: str, message: str, tmp_path: Path) -> None:
    """With line and column; the bytes are read as data alone."""
    with pytest.raises(StudyError, match=message) as caught:
        study(tmp_path, text or " ")
    assert caught.value.problems[0].line >= 1


def test_scalars_stay_as_they_are_written(tmp_path: Path) -> None:
    """No Norway problem: no, on, 1.0 and 007 are texts."""
    text = yaml.safe_dump(plain()).replace("- small\n", "- no\n").replace("- large\n", "- 1.0\n")
    column = study(tmp_path, text).file.trials.columns["size"]
    assert column is not None and column.values == ("no", "1.0")


def test_patterns_levels_and_defaults_become_variables(tmp_path: Path) -> None:
    """A pattern's groups, a factor's level, a further variable, a derived column."""
    declared = study(
        tmp_path,
        trials={
            "conditions": {"goal": "sentence"},
            "columns": {
                "who": {"find": r"^(?P<first>\w+)"},
                "count": {"pattern": r"(?P<n>\d+) (?P<things>\w+)", "example": "3 apples"},
                "sentence": {"levels": {"kind": "nice", "honest": {"has": "true", "pattern": ".*true.*"}}},
                "asked": {"default": "How many {{ things }} has {{ first }}?"},
            },
            "variables": {"many": "{{ 'yes' if n|int > 2 else 'no' }}"},
            "checks": [
                {"column": "count", "that": "n|int < 10", "otherwise": "is {{ n }}, more than 9"},
                {"column": "who", "that": "who != 'Eve'", "otherwise": "is {{ who }}", "doubt": True},
            ],
        },
        experiments=experiment(prompt="{{ asked }} {{ goal }} {{ many }}"),
    )
    head = "who,count,sentence\n"
    found = listed(declared, head + ["Ann Lee,3 apples,say what is nice", "Eve,12 pears,x", ""][0] + "\n")
    assert found.trials[0].variables["goal"] == "kind"
    (question,) = declared.experiments["tones-exp1"].questions(found.trials[0])
    assert question.prompt.text == "How many apples has Ann? kind yes"
    assert declared.schema.cell(found.trials[0]) == {"goal": "kind"}
    with pytest.raises(
        TrialError, match="'three apples' does not have the expected form, such as '3 apples'"
    ):
        listed(declared, head + "Ann,three apples,nice\n")
    with pytest.raises(TrialError, match="column 'count': is 12, more than 9"):
        listed(declared, head + "Ann,12 pears,nice\n")
    with pytest.raises(TrialError, match="no known level"):
        listed(declared, head + "Ann,3 pears,whatever\n")
    assert "column 'who': is Eve" in listed(declared, head + "Eve,3 pears,nice\n").notes[-1]


def test_a_slow_pattern_ends_in_a_sentence(tmp_path: Path) -> None:
    """Within seconds."""
    declared = study(tmp_path, trials={"columns": {"text": {"pattern": "(?:a|aa)+$"}}})
    with pytest.raises(TrialError, match="needs more than 1 s"):
        listed(declared, "text\n" + "a" * 60 + "b\n")


def test_extra_columns_are_kept(tmp_path: Path) -> None:
    """Under their names, with a note."""
    found = listed(study(tmp_path), "item,size,text,weight,weight\n1,small,x,3,4\n")
    assert found.trials[0].extra == {"weight": "3"}
    assert any("only long tables have: weight" in note for note in found.notes)
    assert any("twice" in note for note in found.notes)


def test_options_from_columns_crossings_and_ends(tmp_path: Path) -> None:
    """Names are the same for all trials; texts are the trial's; marginals sum over the other factor."""
    declared = study(
        tmp_path,
        options={
            "pair": {"columns": ["item", "text"], "forms": "written", "end": "full stop"},
            "joint": {
                "cross": {"f": ["was", "wasnt"], "a": ["bad", "good"]},
                "spellings": {"wasnt": ["wasn't"]},
            },
            "scale": {"names": ["low", "high"], "values": [1, 7], "end": "turn"},
            "rule": {"names": ["x", "y"], "forms": ["<{{ say }}>"]},
        },
        experiments={
            "exp1": {
                "ask": [
                    {"name": name, "prompt": "{{ text }}: {{ options|join('/') }}", "options": name, **more}
                    for name, more in (
                        ("pair", {}),
                        ("joint", {}),
                        ("scale", {"reverse": "size == 'small'"}),
                        ("rule", {}),
                    )
                ]
            }
        },
    )
    found = listed(declared, "item,size,text\nA,small,B\nC,large,D\n")
    one = declared.experiments["tones-exp1"]
    pair, joint, scale, rule = one.questions(found.trials[1])
    assert pair.options is not None and joint.options is not None
    assert [option.forms for option in pair.options.options] == [("C.", " C."), ("D.", " D.")]
    assert pair.prompt.text == "D: C/D"
    assert joint.prompt.text == "D: was bad/was good/wasn't bad/wasn't good"
    assert scale.options is not None and scale.options.end_of_turn
    assert rule.options is not None and rule.options.options[0].forms == ("<x>",)
    cells = one.cells("joint", np.array([0.1, 0.2, 0.3, 0.4]))
    assert [cells["joint_prob_was"], cells["joint_prob_good"]] == pytest.approx([0.3, 0.6])
    assert cells["joint_entropy_f"] == pytest.approx(-(0.3 * np.log2(0.3) + 0.7 * np.log2(0.7)))
    assert [one.reverses("scale", trial) for trial in found.trials] == [True, False]
    prob = np.array([0.75, 0.25])
    assert one.cells("scale", prob)["scale_mean"] == pytest.approx(2.5)
    assert one.cells("scale", prob, reverse=True)["scale_mean"] == pytest.approx(5.5)
    assert one.cells("scale", prob, reverse=True)["scale_prob_low"] == 0.75
    assert one.cells("scale", prob)["scale_median"] == 1
    with pytest.raises(TrialError, match=r"line|list.csv:2|belongs to two options"):
        one.questions(listed(declared, "item,size,text\nA,small,A\n").trials[0])


def test_questions_of_each_value_and_several_turns(tmp_path: Path) -> None:
    """Names get the value; a system turn of null is an empty one; examples are turns before the question."""
    (tmp_path / "shots.csv").write_text("text,answer\nOne,yes\nTwo,no\n")
    declared = study(
        tmp_path,
        texts={"head": "Say it.", "whole": "{{ head }} {{ text }}"},
        experiments={
            "exp1": {
                "ask": [
                    {
                        "name": "n",
                        "each": {"k": [0, 1]},
                        "prompt": "{{ whole }} {{ k }}",
                        "options": ["a", "b"],
                    },
                    {
                        "name": "c",
                        "each": {"k": ["red hot"]},
                        "system": None,
                        "prompt": "{{ k }}",
                        "options": ["a", "b"],
                    },
                    {
                        "name": "m",
                        "messages": [{"system": "S"}, {"user": "{{ text }}"}],
                        "examples": {"file": "shots.csv"},
                        "options": ["a", "b"],
                    },
                ]
            }
        },
    )
    found = listed(declared, "item,size,text\nA,small,B\n")
    zero, one, red, shots = declared.experiments["tones-exp1"].questions(found.trials[0])
    assert [zero.name, one.name, red.name] == ["n0", "n1", "c_red_hot"]
    assert (zero.prompt.text, zero.prompt.turns) == ("Say it. B 0", ())
    assert red.prompt.messages == [{"role": "system", "content": ""}, {"role": "user", "content": "red hot"}]
    roles = ["system", "user", "assistant", "user", "assistant", "user"]
    texts = ["S", "One", "yes", "Two", "no", "B"]
    assert [(turn.role, turn.text) for turn in shots.prompt.turns] == list(zip(roles, texts, strict=True))
    kinds = declared.experiments["tones-exp1"].kinds
    assert [kinds[name].name for name in kinds] == ["n", "n", "c", "m"]


def test_the_published_schema_accepts_every_study_there_is() -> None:
    """Ours, the worked ones and the templates, read as an editor reads them."""
    validator = jsonschema.Draft7Validator(published())
    validator.check_schema(published())
    ours = [*(ROOT / "grace_client" / "studies").rglob("*.yaml"), *WORKED]
    assert len(ours) == 2 + len(new.TEMPLATES) + 10
    for path in ours:
        text = path.read_text(encoding="utf-8").replace("study: NAME", "study: name")
        assert [e.message for e in validator.iter_errors(yaml.safe_load(text))] == [], path
    assert list(validator.iter_errors(plain(titel=1)))


@pytest.mark.parametrize("path", WORKED, ids=lambda path: path.stem)
def test_no_worked_study_has_python(path: Path) -> None:
    """A file, a list and a page; the page names the source."""
    assert {one.suffix for one in path.parent.iterdir()} == {".yaml", ".csv", ".md"}
    declared = studies.find(str(path))
    (source,) = declared.file.source
    assert source.doi and source.doi in (path.parent / "README.md").read_text()
    assert declared.name == path.stem == path.parent.name


def test_files_are_read_through_the_links_of_a_mounted_configmap(tmp_path: Path) -> None:
    """Kubernetes links each file to one in a hidden folder; a link out of the folder is refused."""
    mount = tmp_path / "study"
    (mount / "..2026").mkdir(parents=True)
    (mount / "..data").symlink_to("..2026")
    for path in (own_study.FILE, own_study.EXAMPLES):
        (mount / "..2026" / path.name).write_bytes(path.read_bytes())
        (mount / path.name).symlink_to(f"..data/{path.name}")
    read = file.read(mount / own_study.FILE.name)
    assert read.attached == {own_study.EXAMPLES.name: own_study.EXAMPLES.read_bytes()}
    (mount / own_study.EXAMPLES.name).unlink()
    (mount / own_study.EXAMPLES.name).symlink_to(own_study.EXAMPLES)
    with pytest.raises(StudyError, match="it is a link to another folder"):
        file.read(mount / own_study.FILE.name)


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "said"),
    [
        ("title: Tones", "\ttitle: Tones", 3, 1, "a tab stands here"),
        ("title: Tones", "title:\tTones: all", 3, 7, "a tab stands here"),
        ("title: Tones", "  title: Tones", 3, 3, "this line begins further right"),
        ("  conditions", " conditions", 6, 2, "another number of spaces"),
        ("title: Tones", "title: Tones: a study", 3, 13, "a text with ': ' in it needs quotes"),
        ("title: Tones", "title:Tones", 3, 1, "this is no key"),
        ("title: Tones", "title: {{ item }}", 3, 8, "a text that begins with {{ needs quotes"),
        ("title: Tones", "title: {{ item }} and more", 3, 8, "a text that begins with {{ needs quotes"),
        ("[size]", "[{{ size }}]", 6, 16, "a text that begins with {{ needs quotes"),
        ("[size]", "[size", 7, 10, "there is no ',' or ']' before this, in the list that begins in line 6"),
        ("title: Tones", "title: `Tones`", 3, 8, "a text that begins with '`' needs quotes"),
        ("title: Tones", "title: , Tones", 3, 8, "a text that begins with ',' needs quotes"),
        ("title: Tones", "title: 'Bell' and horn", 3, 15, "behind the end of a text in quotes"),
        ("title: Tones", 'title: "a \\q"', 3, 12, "a backslash begins a special character"),
        ("title: Tones", "title: |Tones", 3, 9, "behind | or > the line must end"),
        ("title: Tones", "- Tones", 3, 1, "an entry of a list begins here"),
        ("title: Tones", "title: |\n    Two\n  lines", 5, 3, "this line belongs to no key"),
        ("yes, no]", "yes, no]\n'", 15, 1, "the quote that opens here is not closed"),
    ],
)
def test_what_is_not_yaml_is_said_in_plain_words(
    old: str, new: str, line: int, column: int, said: str, tmp_path: Path
) -> None:
    """The place of the mistake, not where the parser noticed it; and what to write."""
    text = WRITTEN.replace(old, new, 1)
    with pytest.raises(StudyError) as raised:
        file.read(write(tmp_path, text))
    (problem,) = raised.value.problems
    assert (problem.line, problem.column) == (line, column)
    assert said in problem.message


WRITTEN = """\
grace: 1
study: tones
title: Tones
trials:
  item: item
  conditions: [size]
  columns: {item: , size: , text: }
experiments:
  exp1:
    ask:
      - name: word
        prompt: |
          {{ text }}
        options: [yes, no]
"""


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("title: Tones", "titel: Tones", "titel: is not a key of the format here. Did you mean 'title'?"),
        (
            "conditions",
            "condition",
            "trials.condition: is not a key of the format here. Did you mean 'conditions'?",
        ),
        (
            "size: ,",
            "size: {valeus: [a]},",
            "valeus: is not a key of the format here. Did you mean 'values'?",
        ),
        ("prompt:", "promt:", "ask.0.promt: is not a key of the format here. Did you mean 'prompt'?"),
        (
            "[yes, no]",
            "{naems: [a, b]}",
            "options.naems: is not a key of the format here. Did you mean 'names'?",
        ),
    ],
)
def test_a_misspelt_key_has_a_suggestion(old: str, new: str, wanted: str, tmp_path: Path) -> None:
    """From the keys of that part of the file alone, which the message lists."""
    with pytest.raises(StudyError) as raised:
        file.read(write(tmp_path, WRITTEN.replace(old, new, 1)))
    (line,) = [line for line in raised.value.lines() if "is not a key" in line]
    assert wanted in line and "The keys are: " in line
    assert not [line for line in raised.value.lines() if "constrained" in line]
