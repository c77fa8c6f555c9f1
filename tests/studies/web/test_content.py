"""What the page of a study shows: the words of the prompts, the options in their order."""

from __future__ import annotations

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from grace_client import studies
from grace_client.core import trials
from grace_client.core.errors import FileError, SpecError
from grace_client.core.trials import TrialList
from grace_client.studies import lists, web
from grace_client.studies.declaration import Experiment
from grace_client.studies.web import _consent, _content, _library
from tests.conftest import ROOT
from tests.studies.files import plain, study

NASTY = "</script><script>document.title='taken'</script><img src=x onerror=document.title='taken'> & \"'"
WORKED = sorted((ROOT / "studies").glob("*/*.yaml"))


def whole(name: str) -> list[tuple[Experiment, TrialList]]:
    """The experiments of a study, with its list."""
    found = studies.find(name)
    return [(one, lists.default(found)) for one in found.experiments.values()]


def squeezed(text: str) -> str:
    """A text whose white space does not matter."""
    return " ".join(text.split())


@pytest.mark.parametrize("name", ["study1", "study2", *map(str, WORKED)], ids=lambda name: Path(name).stem)
def test_people_get_the_words_of_the_model(name: str) -> None:
    """Every trial of every experiment that ships: its turns word for word, one button for each option."""
    for experiment, listed in whole(name):
        made = json.loads(json.dumps(_content.content(experiment, listed)))
        assert [row["id"] for row in made["trials"]] == [trial.trial_id for trial in listed.trials]
        for row, trial in zip(made["trials"], listed.trials, strict=True):
            cells = [made["texts"][place] for place in row["cells"]]
            assert cells == [trial[column] for column in experiment.schema.names]
            for shown, question in zip(row["questions"], experiment.questions(trial), strict=True):
                assert shown["name"] == question.name
                turns = [
                    (role, squeezed(" ".join(made["texts"][place] for place in parts)))
                    for role, parts in shown["turns"]
                ]
                assert turns == [
                    (turn["role"], squeezed(turn["content"]))
                    for turn in question.prompt.messages
                    if turn["content"]
                ]
                if question.options is None:
                    assert "options" not in shown
                else:
                    buttons = made["options"][shown["options"]]
                    assert {name for name, _ in buttons} == set(question.options.names)
                    for option in question.options.options:
                        (text,) = [text for name, text in buttons if name == option.name]
                        assert any(form.strip() in (text, f"{text}.") for form in option.forms)


def test_every_participant_of_a_list_has_their_own_trials() -> None:
    """In Study 1 fifty people with six trials each; in a list without participants nobody has a name."""
    ((experiment, listed),) = [one for one in whole("study1") if one[0].name == "study1-exp2"]
    made = _content.content(experiment, listed)
    assert len(made["participants"]) == 50
    for name, places in made["participants"]:
        assert len(places) == 6
        assert {listed.trials[place]["participant_id"] for place in places} == {name}
    assert made["study_sha256"] == hashlib.sha256(experiment.study.raw).hexdigest()
    ((experiment, listed),) = whole(str(ROOT / "studies" / "some-all" / "some-all.yaml"))
    assert _content.content(experiment, listed)["participants"] == []


@pytest.mark.parametrize(
    ("texts", "prompt", "wanted"),
    [
        (["yes", "no"], "Is it? Answer with yes or no.", [0, 1]),
        (["yes", "no"], "Is it? Answer with No, or Yes.", [1, 0]),
        (["yes", "no"], "Is it?", [0, 1]),
        (["yes", "no"], "There is no doubt that she said yes. Is it?", [0, 1]),
        (["bad", "good"], "good or bad? It made her feel good.", [1, 0]),
        (["a shop", "a shop and a choir"], "Which?\na shop and a choir.\na shop.\n", [1, 0]),
        (["$50", "$500"], "Was it $500 or $50?", [1, 0]),
        (["0%", "10%", "100%"], "One of 100%, 10%, 0%:", [2, 1, 0]),
        (["yes", "no"], "Say no or yes. No: answer yes or no.", [0, 1]),
        (["a(b", "c"], "c / a(b", [1, 0]),
    ],
)
def test_buttons_stand_as_the_prompt_lists_the_options(
    texts: list[str], prompt: str, wanted: list[int]
) -> None:
    """The last list counts; words that are no list do not."""
    assert _content.order(texts, prompt) == wanted


def test_a_factor_that_turns_the_options_round_turns_the_buttons_round() -> None:
    """In the study of conjunctions the order is a condition."""
    ((experiment, listed),) = whole(str(ROOT / "studies" / "conjunction" / "conjunction.yaml"))
    made = _content.content(experiment, listed)
    for row, trial in zip(made["trials"], listed.trials, strict=True):
        first = made["options"][row["questions"][0]["options"]][0][0]
        assert first == trial["order"].split()[0]


def test_a_system_text_stands_among_the_instructions_if_all_questions_have_it(tmp_path: Path) -> None:
    """Otherwise only above its question."""
    ask: list[dict[str, Any]] = [
        {"name": name, "prompt": "{{ text }}", "options": ["yes", "no"], "system": "Be kind."}
        for name in ("one", "two")
    ]
    same = study(tmp_path, plain(experiments={"e": {"ask": ask}}))
    made = made_of(same, ["x"])
    assert [made["texts"][place] for place in made["system"]] == ["Be kind."]
    ask[1]["system"] = "Be strict."
    other = study(tmp_path, plain(experiments={"e": {"ask": ask}}))
    assert made_of(other, ["x"])["system"] == []


def list_of(declared: Any, texts: list[str], *, checked: bool = False) -> TrialList:
    """A list with these texts; `checked`: also with elements of HTML, which a new list may not have."""
    columns = declared.schema.names
    rows = [dict.fromkeys(columns, "small") | {"item": "a b", "text": text} for text in texts]
    return trials.parse(
        trials.to_csv(columns, rows), path="tones.csv", schemas=[declared.schema], checked=checked
    )


def made_of(declared: Any, texts: list[str]) -> dict[str, Any]:
    """The data of the page of a small study."""
    (experiment,) = declared.experiments.values()
    return _content.content(experiment, list_of(declared, texts))


def test_what_people_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    """Options that look the same; a prompt without a word."""
    ask = {"name": "word", "prompt": "{{ text }}", "options": {"columns": ["item", "text"]}}
    with pytest.raises(SpecError, match=r"Trial 1: two options of the question 'word' are 'a b' on a page"):
        made_of(study(tmp_path, plain(experiments={"e": {"ask": [ask]}})), ["a  b"])
    ask = {"name": "word", "prompt": "{{ text if text == 'x' }}", "options": ["yes", "no"]}
    with pytest.raises(SpecError, match=r"Trial 2: the question 'word' has no text"):
        made_of(study(tmp_path, plain(experiments={"e": {"ask": [ask]}})), ["x", "y"])


def test_a_column_with_a_name_of_the_page_gets_another_one(tmp_path: Path) -> None:
    """No two columns of the data have the same name."""
    columns = {"item": None, "text": None, "answer": None, "list_answer": None, "participant": None}
    given = {"item": "item", "conditions": [], "participant": "participant", "columns": columns}
    declared = study(tmp_path, plain(trials=given))
    made = made_of(declared, ["x"])
    assert made["list_columns"] == ["item", "text", "list_list_answer", "list_answer", "list_participant"]


class Seen(HTMLParser):
    """The elements of a page that run or load something, and the data."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.data = ""
        self.policy = ""
        self._in_data = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        self.policy = own.get("content") or "" if "http-equiv" in own else self.policy
        self._in_data = own.get("id") == "data"
        if tag in ("script", "img", "iframe", "link"):
            self.elements.append(tag)
        assert not {name for name in own if name.startswith("on") or name == "src"}, attrs

    def handle_data(self, data: str) -> None:
        self.data += data if self._in_data else ""


@pytest.fixture
def no_jspsych(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page does without jsPsych, which these tests do not run."""
    monkeypatch.setattr(_library, "scripts", lambda folder: ["/* jsPsych */"])


@pytest.mark.usefixtures("no_jspsych")
def test_a_hostile_study_stays_text(tmp_path: Path) -> None:
    """In prompts, options, cells, the title and the consent text: nothing of it is an element."""
    (tmp_path / "consent.md").write_text(f"# {NASTY}\n\n- {NASTY}\n\n{NASTY}\n")
    ask = [{"name": "word", "prompt": f"{NASTY} {{{{ text }}}}", "options": [NASTY, "no\u2028<!--"]}]
    declared = study(tmp_path, plain(experiments={"e": {"ask": ask}}))
    (experiment,) = declared.experiments.values()
    listed = list_of(declared, [NASTY, "<!--<script>"], checked=True)
    written = web.write(experiment, listed, tmp_path, title=NASTY, consent=tmp_path / "consent.md")
    page = written.path.read_text()
    seen = Seen()
    seen.feed(page)
    assert seen.elements == ["script", "script", "script"]
    data = json.loads(seen.data)
    assert NASTY in data["texts"]
    assert data["options"][0] == [[NASTY, NASTY], ["no\u2028<!--", "no <!--"]]
    assert not set("<>&") & set(seen.data)
    # Even an element that came in would not run: only the scripts with these checksums do.
    assert len(re.findall("'sha256-", seen.policy)) == 2
    assert "default-src 'none'" in seen.policy and "connect-src 'none'" in seen.policy


@pytest.mark.usefixtures("no_jspsych")
@pytest.mark.parametrize(
    ("post", "policy"),
    [
        ("/save", "connect-src 'self'"),
        ("https://lab.example:8443/in?x=1", "connect-src https://lab.example:8443;"),
        ("http://127.0.0.1:9/", "connect-src http://127.0.0.1:9;"),
    ],
)
def test_the_page_may_connect_only_to_where_it_sends_the_data(post: str, policy: str, tmp_path: Path) -> None:
    """Its policy names that server and no other."""
    declared = study(tmp_path)
    (experiment,) = declared.experiments.values()
    page = web.write(experiment, list_of(declared, ["x"]), tmp_path, post=post).path.read_text()
    seen = Seen()
    seen.feed(page)
    assert policy in seen.policy
    assert json.loads(seen.data)["post"] == post


@pytest.mark.parametrize(
    "post",
    ["javascript:alert(1)", "save", "//lab.example/x", "https://", "https://a b/", "https://u@h/", "ftp://x/",
     "https://x;script-src */", "https://[x/", "https://é/"],
)  # fmt: skip
def test_what_is_no_address_is_refused(post: str, tmp_path: Path) -> None:
    """Before anything is written."""
    declared = study(tmp_path)
    (experiment,) = declared.experiments.values()
    with pytest.raises(SpecError, match="is no address"):
        web.write(experiment, list_of(declared, ["x"]), tmp_path / "out", post=post)
    assert not (tmp_path / "out").exists()


def test_the_consent_text_may_be_text_markdown_or_html(tmp_path: Path) -> None:
    """Words and their blocks; of HTML, nothing that is not read."""
    file = tmp_path / "consent.md"
    file.write_text("# About\nYou answer\nquestions.\n\n- one\n* two\n\n*Thanks* & <b>bye</b>\n")
    blocks = [
        ("heading", "About"),
        ("paragraph", "You answer\nquestions."),
        ("item", "one"),
        ("item", "two"),
        ("paragraph", "*Thanks* & <b>bye</b>"),
    ]
    assert [(one.kind, one.text) for one in _consent.read(file)] == blocks
    file = tmp_path / "consent.html"
    file.write_text(
        "<html><head><title>T</title></head><body><h1>About</h1><p>You answer<br>\n questions.</p>"
        "<ul><li>one</li><li>two</li></ul><script>alert(1)</script><p>*Thanks* &amp; <b>&lt;b>bye&lt;/b></b>"
    )
    assert [(one.kind, one.text) for one in _consent.read(file)] == blocks
    file.write_text("<script>1</script>")
    with pytest.raises(SpecError, match="has no text"):
        _consent.read(file)
    file.write_bytes(b"\xe9")
    with pytest.raises(SpecError, match="not in UTF-8"):
        _consent.read(file)
    with pytest.raises(FileError, match="does not exist"):
        _consent.read(tmp_path / "none.md")


@pytest.mark.usefixtures("no_jspsych")
def test_the_notes_say_what_the_researcher_must_do(tmp_path: Path) -> None:
    """The placeholder; too many questions for one person."""
    declared = study(tmp_path)
    (experiment,) = declared.experiments.values()
    few = web.write(experiment, list_of(declared, ["x"]), tmp_path)
    assert "placeholder" in few.notes[0] and len(few.notes) == 1
    assert "Placeholder. Not for participants." in few.path.read_text()
    (tmp_path / "c.txt").write_text("Welcome.")
    many = web.write(experiment, list_of(declared, ["x"] * 201), tmp_path, consent=tmp_path / "c.txt")
    assert "up to 201 questions" in many.notes[0] and len(many.notes) == 1
    assert "Placeholder" not in many.path.read_text()
    assert (many.trials, many.questions, many.participants) == ((201, 201), (201, 201), ())
