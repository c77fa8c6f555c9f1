"""Thoughts and answers are told apart, wherever a text breaks off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from grace_client.engines.chat.reasoning import (
    HARMONY,
    THINK,
    ReasoningFormat,
    Turn,
    answer_lead,
    format_of,
    split_turn,
)

RECORDED = json.loads((Path(__file__).parent / "harmony.json").read_text())
"""What the library openai-harmony (0.0.11, encoding HarmonyGptOss) renders, as tokens."""

WORDS = st.text(st.sampled_from("abc é日.\n '\"`&;"), min_size=1, max_size=12)
SAID = WORDS.map(str.strip).filter(bool)


def read(text: str, form: ReasoningFormat | None = None, *, begun: str = "", cut: bool = False) -> Turn:
    return split_turn(text, form=form, begun=begun, cut=cut)


def check_cuts(whole: str, pieces: list[str], answer: str, form: ReasoningFormat, begun: str = "") -> None:
    """After every piece, the answer is a beginning of the full answer, or empty with a status."""
    assert read(whole, form, begun=begun).answer == answer
    for end in range(len(pieces) + 1):
        said = read("".join(pieces[:end]), form, begun=begun, cut=True)
        if said.status == "ok":
            assert answer.startswith(said.answer)
        else:
            assert said.answer == ""
            assert said.status == "reasoning_unfinished"


def blocks(depth: int) -> st.SearchStrategy[str]:
    """A think block, perhaps with nested blocks."""
    inner = WORDS if depth == 0 else st.one_of(WORDS, blocks(depth - 1))
    return st.lists(inner, max_size=3).map(lambda parts: "<think>" + "|".join(["", *parts]) + "</think>")


@settings(deadline=None)
@given(blocks(2), SAID, st.booleans())
def test_no_thought_is_in_the_answer_wherever_a_think_block_is_cut(
    block: str, answer: str, opened: bool
) -> None:
    """Cut at every character, with nested blocks, and with blocks that the template opens."""
    begun = "<think>" if opened else ""
    text = (block.removeprefix("<think>") if opened else block) + "\n\n" + answer
    check_cuts(text, list(text), answer, THINK, begun)


HEADERS = st.sampled_from(
    [
        "<|channel|>analysis<|message|>",
        "<|channel|>commentary<|message|>",
        "<|channel|>commentary to=functions.count <|constrain|>json<|message|>",
        "<|start|>assistant to=functions.count<|channel|>commentary<|message|>",
        "<|start|>assistant to=python<|channel|>final<|message|>",
        "<|message|>",
    ]
)


ENDINGS = st.sampled_from(["<|end|><|start|>assistant", "<|start|>assistant", ""])


@settings(deadline=None)
@given(st.lists(st.tuples(HEADERS, WORDS, ENDINGS), max_size=3), SAID)
def test_no_thought_is_in_the_answer_wherever_a_harmony_turn_is_cut(
    messages: list[tuple[str, str, str]], answer: str
) -> None:
    """Cut at every character, also after tool calls, commentary and incomplete messages."""
    before = "".join("".join(message) for message in messages)
    text = before + "<|channel|>final<|message|>" + answer
    check_cuts(text, list(text), answer, HARMONY, "<|start|>assistant")


@given(st.text(st.sampled_from("<>/think \n"), max_size=20), st.booleans())
def test_a_text_without_marks_is_the_answer_as_it_is(text: str, cut: bool) -> None:
    """It does not change, unless it ends within a mark."""
    assume("<think>" not in text and "</think>" not in text)
    said = read(text, cut=cut)
    assert said == Turn(text) or (cut and said.status == "reasoning_unfinished" and "<" in text)


@pytest.mark.parametrize("name", ["answer", "call", "two_finals"])
def test_a_recorded_harmony_turn_cut_after_every_token(name: str) -> None:
    """With the tokens of gpt-oss, an incomplete header is never part of the answer."""
    turn = RECORDED["turns"][name]
    pieces = [piece for piece in turn["pieces"] if piece not in ("<|return|>", "<|call|>")]
    check_cuts("".join(pieces), pieces, turn["answer"], HARMONY, "<|start|>assistant")
    said = read("".join(pieces), HARMONY, begun="<|start|>assistant")
    assert said.reasoning == turn["reasoning"]
    assert said.status == ("ok" if turn["answer"] else "no_answer")


def test_the_recorded_template_leads_into_the_final_channel() -> None:
    """The ending is recognised, and the ids of the mark are right before the recorded answer."""
    rendered = RECORDED["prompt"]
    assert format_of(rendered) is HARMONY
    assert answer_lead(rendered) == HARMONY.mark == "<|channel|>final<|message|>"
    turn = RECORDED["turns"]["answer"]
    at = HARMONY.answer_at(turn["ids"], RECORDED["mark_ids"])
    assert at is not None
    assert "".join(turn["pieces"][at:]) == turn["answer"] + "<|return|>"
    assert read("Two.", HARMONY, begun=HARMONY.begun(rendered + HARMONY.mark)) == Turn("Two.")


@pytest.mark.parametrize(
    ("text", "begun", "cut", "said"),
    [
        ("<think>\nHm.\n</think>\n\nYes.", "", False, Turn("Yes.", "Hm.")),
        ("Hm.</think>Yes.", "", False, Turn("Yes.", "Hm.")),
        ("Hm.</think>Yes.", "<think>\n", False, Turn("Yes.", "Hm.")),
        ("<think>Hm.</think>Yes.", "<think>\n", False, Turn("Yes.", "Hm.")),
        ("<think>\n\n</think>\n\nYes.", "", False, Turn("Yes.")),
        ("Yes.", "<think>\n\n</think>\n\n", False, Turn("Yes.")),
        ("Hm.", "<think>\n", True, Turn("", "Hm.", "reasoning_unfinished")),
        ("Hm.", "<think>\n", False, Turn("", "Hm.", "reasoning_unfinished")),
        ("Hm.</think>", "<think>\n", True, Turn("", "Hm.", "reasoning_unfinished")),
        ("Hm.</think>\n", "<think>\n", False, Turn("", "Hm.", "no_answer")),
        ("Hm.</thi", "", True, Turn("", "Hm.", "reasoning_unfinished")),
        ("<thi", "", True, Turn("", None, "reasoning_unfinished")),
        ("<think>a<think>b</think>c", "", False, Turn("", "a\nb\nc", "reasoning_unfinished")),
        ("<think><think>a</think>b", "", True, Turn("", "a\nb", "reasoning_unfinished")),
        ("<think>a</think>No.<think>b</think>Yes.", "", False, Turn("Yes.", "a\nNo.\nb")),
        ("<think>a</think>Yes.<think>b", "", False, Turn("", "a\nYes.\nb", "reasoning_unfinished")),
        ("&lt;think&gt;Hm.&lt;/think&gt;", "", False, Turn("&lt;think&gt;Hm.&lt;/think&gt;")),
        ("x <", "", True, Turn("x <")),
        ("", "", True, Turn("")),
    ],
)
def test_think_blocks(text: str, begun: str, cut: bool, said: Turn) -> None:
    """Closed, opened by the template, repeated, nested, unclosed, escaped, and none at all."""
    assert read(text, THINK, begun=begun, cut=cut) == said


def test_words_without_a_header_are_no_harmony_answer() -> None:
    """They are reasoning, not the answer."""
    assert read("Two.", HARMONY, begun="") == Turn("", "Two.", "no_answer")
    broken = "Two.<|channel|>analysis<|message|>Hm."
    assert read(broken, HARMONY, begun=f"<|start|>assistant{HARMONY.mark}") == Turn("Two.", "Hm.")
    assert read("<|channel|>final", HARMONY, begun="<|start|>assistant") == Turn("", None, "no_answer")


def test_what_a_server_tells_apart_stays_apart() -> None:
    """Marks that the server's parser left in the answer are read too."""
    assert split_turn("Yes.", "Hm.", cut=False) == Turn("Yes.", "Hm.")
    assert split_turn(None, "Hm.", cut=True) == Turn("", "Hm.", "reasoning_unfinished")
    assert split_turn(None, "Hm.", cut=False) == Turn("", "Hm.", "no_answer")
    assert split_turn("so.</think>Yes.", "Hm.", cut=False) == Turn("Yes.", "Hm.\nso.")


def test_reasoning_is_closed_in_the_models_own_words() -> None:
    """A closing tag follows an opening one in the template; a whole block if the model opens it itself."""
    assert answer_lead("<|im_start|>assistant\n<think>\n") == "\n</think>\n\n"
    assert answer_lead("<|assistant|><think>") == "\n\n</think>\n\n"
    assert answer_lead("<|im_start|>assistant\n") == ""
    assert answer_lead("<|im_start|>assistant\n", THINK) == "<think>\n\n</think>\n\n"
    assert answer_lead("<|im_start|>assistant\n<think>\n\n</think>\n\n", THINK) == ""


def test_the_answer_of_a_turn_is_found_in_its_tokens() -> None:
    """It is after the last think block, or in the first final message; None if the mark is missing."""
    assert THINK.answer_at([5, 1, 5, 1, 7], [1]) == 4
    assert HARMONY.answer_at([8, 9, 5, 8, 9], [8, 9]) == 2
    assert THINK.answer_at([5, 6], [1, 2]) is None
    assert THINK.answer_at([], [1]) is None
