"""The first answer counts, and what follows a new turn or an end mark is none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grace_client import studies
from grace_client.extraction.answers import Answer
from grace_client.extraction.reading import UNPARSED
from grace_client.extraction.text import first_answer
from grace_client.run.layout import OK
from grace_client.run.plan import Item
from tests.extraction.runs import KINDS, TRIALS
from tests.extraction.test_rules import PROMPTS, read

QUESTION = PROMPTS["study1"]["number"].split("Question: ")[1].removesuffix("\nAnswer:")
NEXT = [
    "\n\nQuestion: How many jars are cracked?\nAnswer: {}",
    f"\n\nQuestion: {QUESTION}\nAnswer: {{}}",
    "\n\nQ: And how many jars?\nA: {}",
    "\nUser: Really?\nAssistant: {}",
    "\n\nHuman: Thanks! And now?\n\nAssistant: {}",
    "\n\n### Question\nHow many?\n### Answer\n{}",
    "\n\n**Question 2:** And the jars?\n**Answer:** {}",
    "<|im_end|>\n<|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\n{}",
    "</s>{}",
    "<end_of_turn>\n<start_of_turn>user\n{}",
    " <|eot_id|><|start_header_id|>user<|end_header_id|>\n\n{}",
    "<｜end▁of▁sentence｜>{}",
    "[/INST] Answer: {}",
    ". Question: And the jars? Answer: {}",
    "\n\nNow how many of the 3 jars do you think are cracked?\nAnswer: {}",
    "\n\n---\nJars from the cellar almost always crack. Now how many?\nAnswer: {}",
]
FIRST = [
    ("number", "2", "2", "Three"),
    ("number", "I think 1 of the 3 parcels has dents in the lid", "1", "0"),
    ("number", "2 or 3", UNPARSED, "1"),
    ("number", "I don't know", UNPARSED, "1"),
    ("knowledge", "Yes", "yes", "No"),
    ("knowledge", "Answer: No", "no", "Yes"),
    ("knowledge", "I'm not sure", "unsure", "Yes"),
    ("utterance", "It was good", "was_good", "It was bad"),
    ("utterance", '"It wasn\'t terrible"', "wasnt_terrible", "It was amazing"),
]


def item(question: str) -> Item:
    """The question of the first trial of Study 1."""
    trial = TRIALS["study1"][0]
    asked = {q.name: q for q in studies.experiment("study1-exp1").questions(trial)}
    return Item(trial, {}, asked[question], 1, None, "key")


@settings(deadline=None)
@given(first=st.sampled_from(FIRST), going_on=st.sampled_from(NEXT), cut=st.booleans())
def test_a_new_turn_changes_nothing(first: tuple[str, str, str, str], going_on: str, cut: bool) -> None:
    """An answer with another turn behind it is read as the answer alone, span and confidence too."""
    question, answer, value, other = first
    alone, followed = read(question, answer), answer + going_on.format(other)
    assert alone.structured == value
    assert read(question, followed, "length" if cut else "stop") == alone, followed


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>assistant\n2",
        "[/INST] 2",
        "Assistant: 2",
        f"Question: {QUESTION}\nAnswer: 2",
        f"{PROMPTS['study1']['number']} 2",
        "Answer: 2\nAnswer: 3\nAnswer: 2",
    ],
)
def test_what_stands_before_the_first_answer_is_no_turn(text: str) -> None:
    """The marks of the answer's own turn and the prompt said again leave the answer to be read."""
    assert read("number", text).structured == "2"


@pytest.mark.parametrize("text", ["<|im_start|>user\n2", "<|im_end|>2", "User: 2"])
def test_the_turn_of_somebody_else_is_no_answer(text: str) -> None:
    """A response that begins with somebody else's turn holds no answer."""
    assert read("number", text).structured == UNPARSED


def test_an_llm_is_sent_the_first_answer_alone() -> None:
    """What an LLM reads ends where the first answer ends, as it was received; thoughts and case stay."""
    for going_on in NEXT:
        assert first_answer("I think Two" + going_on.format("3")) in ("I think Two", "I think Two.")
    answer = Answer(item("number"), KINDS["number"], OK, "Two.\n\nUser: And now?\nAssistant: Three.", None)
    assert answer.first == "Two."
    assert Answer(item("number"), KINDS["number"], OK, None, None).first == ""
