"""Free text of any study: what its file declares decides how answers are read."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grace_client import cli
from grace_client.core import trials
from grace_client.core.errors import SpecError, StudyError
from grace_client.core.questions import Prompt, Turn
from grace_client.extraction import rules
from grace_client.extraction.instructions import Codebook
from grace_client.extraction.reading import UNPARSED, Reading, Values
from grace_client.run import tables
from grace_client.run.folder import RunFolder
from grace_client.run.layout import BETS
from grace_client.run.manifest import SamplingSpec
from grace_client.studies import file
from grace_client.studies.declaration import Study
from tests.extraction.runs import ENGINE, said

STUDY = r"""
grace: 1
study: small
title: Several ways to read
trials:
  columns: {who: , first: , second: }
options:
  mood: [sad, happy, very happy]
  letters: [A, B, C]
  persons:
    names: [teller, feminist]
    spellings: {teller: [Linda is a bank teller], feminist: [Linda is a bank teller and a feminist]}
  pair: {columns: [first, second]}
experiments:
  free:
    ask:
      - name: rating
        prompt: How many of 10 like {{ who }}?
        read: {number: [0, 10], synonyms: {0: [nobody]}}
      - {name: price, prompt: 'What does it cost?', read: {number: [-5, 90000], unsure: true}}
      - name: fair
        messages:
          - system: Answer briefly.
          - user: Ann took seven of the nine apples.
          - assistant: I see.
          - user: Was it really fair to take them?
        read: {yes_no: true, unsure: true, synonyms: {yes: [fair], no: [unfair, not fair]}}
      - {name: mood, prompt: 'How is {{ who }}?', read: {choice: mood, synonyms: {sad: [unhappy]}}}
      - {name: letter, prompt: 'A, B or C?', read: {choice: letters}}
      - name: person
        prompt: |-
          Which is likelier?
          A) Linda is a bank teller
          B) Linda is a bank teller and a feminist
        read: {choice: persons}
      - {name: sentence, prompt: 'Which one? {{ options|join(" / ") }}', read: {choice: pair}}
      - name: animal
        each: {tone: [kind, rude]}
        prompt: 'Say ANSWER and an animal, {{ tone }}.'
        read:
          pattern: '(?i)answer: (?P<value>\w+)'
          synonyms: {dog: [puppy]}
          ask: 'A {{ tone }} name of an animal for {{ who }}.'
  scored:
    ask: [{name: mood, prompt: 'How is {{ who }}?', options: mood}]
"""
ROWS = "who,first,second\nAnn,The cat sleeps.,The cat sleep.\nBo,Birds sings.,Birds sing.\n"


def parsed(text: str) -> Study:
    return file.parse(text.encode(), path="small.yaml", beside=lambda _: b"")


FREE = parsed(STUDY).experiments["small-free"]
LIST = trials.parse(ROWS.encode(), path="list.csv", schemas=[FREE.schema])
ASKED = [
    {question.name: question.prompt.asked for question in FREE.questions(trial)} for trial in LIST.trials
]


def read(question: str, text: str, *, trial: int = 0, cut: bool = False) -> Reading:
    reason, asked = "length" if cut else "stop", ASKED[trial][question]
    return rules.read(FREE.kinds[question], text, LIST.trials[trial], prompt=asked, finish_reason=reason)


@pytest.mark.parametrize(
    ("question", "text", "value", "category"),
    [
        ("rating", "I think 7 of the 10 people like Ann.", "7", "answer"),
        ("rating", "Seven out of 10", "7", "answer"),
        ("rating", "There are 10 people. So the answer is 7.", "7", "answer"),
        ("rating", "7. Most people like Ann a lot.", "7", "answer"),
        ("rating", "7.0", "7", "answer"),
        ("rating", "Nobody!", "0", "answer"),
        ("rating", "7-8", UNPARSED, "ambiguous"),
        ("rating", "7+", UNPARSED, "ambiguous"),
        ("rating", "Ann says 7.", UNPARSED, "ambiguous"),
        ("rating", "7 is wrong", UNPARSED, "ambiguous"),
        ("rating", "Not 7.", UNPARSED, "ambiguous"),
        ("rating", "7. That is not right.", UNPARSED, "ambiguous"),
        ("rating", "11", UNPARSED, "other"),
        ("rating", "-7", UNPARSED, "other"),
        ("rating", "2.5", UNPARSED, "other"),
        ("rating", "The red one", UNPARSED, "other"),
        ("rating", "How many of 10 like Ann?", UNPARSED, "echo"),
        ("rating", "As an AI I cannot answer that", UNPARSED, "refusal"),
        ("price", "It costs $1,200.", "1200", "answer"),
        ("price", "Twelve hundred", "1200", "answer"),
        ("price", "minus three", "-3", "answer"),
        ("price", "I don't know.", "unsure", "hedge"),
        ("price", "about 1200", UNPARSED, "ambiguous"),
        ("price", "3 million", UNPARSED, "other"),
        ("price", "3.5kg", UNPARSED, "other"),
        ("fair", "Yes, it was fair.", "yes", "answer"),
        ("fair", "It was not fair.", "no", "answer"),
        ("fair", "She did not share, so no.", "no", "answer"),
        ("fair", "Ja", "yes", "answer"),
        ("fair", "Maybe.", "unsure", "hedge"),
        ("fair", "Yes, but not really", UNPARSED, "ambiguous"),
        ("fair", "There is no reason to think so.", UNPARSED, "ambiguous"),
        ("fair", "Yes. That is not right.", UNPARSED, "ambiguous"),
        ("fair", "Was it really fair to take them?", UNPARSED, "echo"),
        ("fair", "Ann took seven of the nine apples.", UNPARSED, "other"),
        ("mood", "Ann is very happy.", "very happy", "answer"),
        ("mood", "I think Ann would be unhappy", "sad", "answer"),
        ("mood", "happy or sad", UNPARSED, "ambiguous"),
        ("mood", "Ann is not happy.", UNPARSED, "ambiguous"),
        ("mood", "sad, happy, very happy", UNPARSED, "echo"),
        ("mood", "Ich glaube happy", UNPARSED, "other"),
        ("letter", "I choose b.", "B", "answer"),
        ("letter", "A person would choose B.", "B", "answer"),
        ("letter", "I have a question", UNPARSED, "other"),
        ("letter", "A\nB\nC", UNPARSED, "echo"),
        ("person", "B) Linda is a bank teller and a feminist.", "feminist", "answer"),
        ("person", "Linda is a bank teller", "teller", "answer"),
        ("sentence", "The cat sleeps.", "first", "answer"),
        ("sentence", "I prefer: The cat sleep.", "second", "answer"),
        ("sentence", "Birds sing.", UNPARSED, "other"),
        ("animal_kind", "Answer: Cat", "Cat", "answer"),
        ("animal_kind", "ANSWER: puppy", "dog", "answer"),
        ("animal_kind", "I'm not sure, but answer: cat", "cat", "answer"),
        ("animal_kind", "I don't know", UNPARSED, "hedge"),
        ("animal_kind", "A cat", UNPARSED, "other"),
    ],
)  # fmt: skip
def test_answers_without_a_grammar(question: str, text: str, value: str, category: str) -> None:
    """A value is read if nothing in the answer speaks against it; else the category says why not."""
    got = read(question, text)
    assert (got.structured, got.category) == (value, category)
    assert (got.span is not None) == (category == "answer" or text == "I don't know." != value != UNPARSED)


def test_options_of_a_trial() -> None:
    """Texts of options that stand in columns differ between trials, for the rules and for an LLM."""
    assert read("sentence", "Birds sing.", trial=1).structured == "second"
    books = [Codebook.of(FREE.kinds["sentence"], trial) for trial in LIST.trials]
    assert [("second: Birds sing." in book.instructions) for book in books] == [False, True]
    assert books[0].schema == books[1].schema


NUMBERS = {
    7: "seven",
    40: "forty",
    99: "ninety-nine",
    312: "three hundred and twelve",
    1005: "one thousand and five",
}


@settings(deadline=None)
@given(
    number=st.sampled_from(sorted(NUMBERS)),
    written=st.sampled_from(["digits", "words", "commas"]),
    lead=st.sampled_from(["", "Answer: ", "I think ", "I'd say it costs ", "Well, "]),
    end=st.sampled_from(["", ".", "!", " dollars.", ", because it is new.", ". It is a very new car."]),
    wrap=st.sampled_from(["{}", "**{}**", '"{}"', "<think>Hm, 1 or 3.</think>\n{}", "{} 🙂"]),
)
def test_numbers_paraphrased(number: int, written: str, lead: str, end: str, wrap: str) -> None:
    """A number has the same value in digits and in words, and the span marks it."""
    word = {"digits": str(number), "words": NUMBERS[number], "commas": f"{number:,}"}[written]
    text = wrap.format(lead + word + end)
    got = read("price", text)
    assert got.structured == str(number), text
    assert got.span
    assert text[slice(*got.span)] == word


@settings(deadline=None)
@given(
    option=st.sampled_from(["sad", "happy", "very happy"]),
    lead=st.sampled_from(["", "Answer: ", "I think ", "Ann is ", "I would say that Ann is ", "So, "]),
    end=st.sampled_from(["", ".", "!", ", because she won.", ". She has won the game."]),
    change=st.sampled_from([str, str.upper, str.capitalize]),
    against=st.sampled_from(["", " is wrong", ", or not", "? I doubt it", " if all goes well"]),
)
def test_choices_paraphrased(option: str, lead: str, end: str, change: type[str], against: str) -> None:
    """An option is read in any case and place, but not if the answer takes it back."""
    got = read("mood", change(lead + option) + (against or end))
    assert got.structured == (UNPARSED if against else option)


@settings(deadline=None)
@given(text=st.text(max_size=60) | st.text("7 -/.,ABabyesnooranswer:happy\n", max_size=40), cut=st.booleans())
def test_any_text_has_a_reading(text: str, cut: bool) -> None:
    """Every text has a reading with an allowed value, and the span lies within the text."""
    for question, kind in FREE.kinds.items():
        got = read(question, text, cut=cut)
        assert got.structured == UNPARSED or got.structured in Values.of(kind), (question, text)
        assert got.span is None or 0 <= got.span[0] < got.span[1] <= len(text)


def test_what_was_cut_counts_only_before_the_cut() -> None:
    """An answer in a clause that was cut off does not count, for a pattern neither."""
    for question, text in (("rating", "I think 7"), ("mood", "happy"), ("animal_kind", "answer: do")):
        assert read(question, text, cut=True) == Reading(UNPARSED, "truncated")
        assert read(question, f"{text}, because", cut=True).category == "answer"


def test_a_slow_pattern_ends_in_an_error() -> None:
    """A pattern that would search for ever is stopped, and the message names the trial."""
    slow = parsed(STUDY.replace(r"(?i)answer: (?P<value>\w+)", r"(?P<value>(a|a)+)+b")).experiments[
        "small-free"
    ]
    begun = time.perf_counter()
    with pytest.raises(SpecError, match=r"Trial 1, question 'animal'.* needs more than 1 s"):
        rules.read(slow.kinds["animal_kind"], "a" * 60, LIST.trials[0])
    assert time.perf_counter() - begun < 30


@pytest.mark.parametrize(
    "words", ["now ", "however, so in total ", "probably ", "happy ", "one hundred ", "not "]
)
def test_repeated_words_take_no_time(words: str) -> None:
    """A model that is caught in a loop is read by all rules within three seconds of processor time."""
    begun = time.process_time()
    for question in FREE.kinds:
        read(question, words * 40 + "x")
    assert time.process_time() - begun < 3


def test_what_an_llm_is_told() -> None:
    """The values, options and synonyms, or the study's own words. Long ranges are not listed."""
    books = {name: Codebook.of(kind, LIST.trials[0]) for name, kind in FREE.kinds.items()}
    assert books["rating"].schema["properties"]["value"]["enum"] == [*map(str, range(11)), UNPARSED]
    assert "from 0 to 10" in books["rating"].instructions and "0: nobody" in books["rating"].instructions
    assert "enum" not in books["price"].schema["properties"]["value"]
    assert "feminist: Linda is a bank teller and a feminist" in books["person"].instructions
    assert "A rude name of an animal for Ann." in books["animal_rude"].instructions
    reply = {"category": "answer", "confidence": "high", "span": "x"}
    for question, good, bad in (
        ("price", "1200", "100001"),
        ("rating", "7", "11"),
        ("animal_kind", "Cat", ""),
    ):
        books[question].shape.model_validate(reply | {"value": good})
        with pytest.raises(ValueError, match="value"):
            books[question].shape.model_validate(reply | {"value": bad})


def test_the_last_turn_is_the_question() -> None:
    """Of several turns, the user's last one counts as what was asked."""
    assert ASKED[0]["fair"] == "Was it really fair to take them?"
    prompt = Prompt("all", turns=(Turn("system", "be brief"), Turn("user", "Now?")))
    assert (prompt.asked, Prompt("all").asked) == ("Now?", "all")


def test_the_file_decides_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a study file to its structured table and its coding sheet, by `grace extract` alone."""
    (tmp_path / "small.yaml").write_text(STUDY)
    (tmp_path / "list.csv").write_text(ROWS)
    study = file.read(tmp_path / "small.yaml")
    rows = trials.read(tmp_path / "list.csv", [study.schema])
    texts = {
        "rating": "7",
        "price": "$1,200",
        "fair": "No.",
        "mood": "Sad",
        "letter": "C",
        "person": "teller",
    }
    texts |= {"sentence": "Birds sing.", "animal_kind": "Answer: cat", "animal_rude": "cat"}
    for name in ("free", "scored"):
        sampling = SamplingSpec(replicates=1) if name == "free" else None
        run = RunFolder.create(
            tmp_path / name, study.experiments[f"small-{name}"], rows, ENGINE, sampling=sampling
        )
        if name == "free":
            for item in run.plan.distinct:
                run.ledger.append(item.key, said(texts[item.question.name]), final=True)
            run.ledger.close()
            tables.export(run)

    def grace(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["grace", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    assert grace("extract", str(tmp_path / "free"), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    table = pd.read_csv(found["file"], dtype=str, keep_default_na=False)
    second = table[table["who"] == "Bo"].set_index("question")["structured"].to_dict()
    assert second == {
        "rating": "7", "price": "1200", "fair": "no", "mood": "sad", "letter": "C", "person": "teller",
        "sentence": "second", "animal_kind": "cat", "animal_rude": UNPARSED,
    }  # fmt: skip
    assert not set(BETS) & set(table)
    sheet = tmp_path / "sheet.csv"
    assert grace("extract", "sample", str(tmp_path / "free"), "--out", str(sheet)) == 0
    shown = capsys.readouterr().out
    assert "price: a whole number from -5 to 90000, unsure, unparsed" in shown
    assert "animal_kind: any text, unparsed" in shown
    coded = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    coded["human"] = coded["question"].map({"letter": "a", "animal_rude": "Cat", "price": "99"}).fillna("")
    coded.to_csv(sheet, index=False)
    assert grace("extract", str(tmp_path / "free"), "--human", str(sheet), "--json") == 0
    values = {name: one["values"] for name, one in json.loads(capsys.readouterr().out)["questions"].items()}
    assert (values["letter"], values["animal_rude"], values["price"]) == ({"A": 2}, {"Cat": 2}, {"99": 2})
    assert grace("extract", str(tmp_path / "scored")) == 2
    assert "Experiments of this study with free text: small-free" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("number: [0, 10]", "number: [10, 0]", "the lower first"),
        ("synonyms: {0: [nobody]}", "synonyms: {11: [nobody]}", "'11' is no number from 0 to 10"),
        ("number: [0, 10]", "number: [0, 10], yes_no: true", "needs one of number, yes_no, choice"),
        ("choice: mood", "choice: moods", "there is no option set 'moods'. Did you mean 'mood'?"),
        ("sad: [unhappy]", "sadly: [unhappy]", "there is no value 'sadly'. Did you mean 'sad'?"),
        ("mood: [sad,", "mood: [unparsed, sad,", "has the option 'unparsed'"),
        ("(?P<value>", "(?P<found>", r"needs a group \(\?P<value>"),
        ("choice: letters", "choice: letters, rules: it-was", "it-was reads a choice: was_terrible, "),
        ("choice: letters", "choice: letters, about: {x: y}", "is for 'rules'"),
        (
            "number: [-5, 90000], unsure: true",
            "number: [0, 3], rules: how-many, about: {items: cars}",
            "of how-many needs exactly these: items, rest, speaker",
        ),
        ("for {{ who }}.'", "for {{ whom }}.'", "whom"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_refused(old: str, new: str, message: str) -> None:
    """The message names what cannot be read, before any model is asked."""
    assert old in STUDY
    with pytest.raises(StudyError, match=message):
        parsed(STUDY.replace(old, new))
