"""The first answer counts, and what follows a new turn or an end mark is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grace_client.extraction.reading import UNPARSED
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
