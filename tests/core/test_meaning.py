"""Which option a person would take an undeclared text for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grace_client.core.meaning import answer_meaning, may_begin, meaning
from grace_client.core.options import Option, OptionSet, spoken

PERCENT = OptionSet(tuple(Option(f"{n}", (f"{n}%", f" {n}%")) for n in range(0, 101, 10)))
YES_NO = OptionSet((Option("yes", spoken("yes")), Option("no", spoken("no"))))
SAID = OptionSet(
    (Option("was", spoken("It was terrible")), Option("wasnt", spoken("It wasn't terrible"))),
)


@pytest.mark.parametrize(
    ("text", "options", "option"),
    [
        ("**10%**", PERCENT, "10"),
        ("\n10%", PERCENT, "10"),
        ('"10%', PERCENT, "10"),
        ("10 percent", PERCENT, "10"),
        ("Ten per cent.", PERCENT, "10"),
        ("10\n", PERCENT, "10"),
        ("one hundred percent", PERCENT, "100"),
        ("YES", YES_NO, "yes"),
        ("`No`", YES_NO, "no"),
        ("\u201cIt was not terrible\u201d", SAID, "wasnt"),
        ("It wasn\u2019t terrible!", SAID, "wasnt"),
        ("45%", PERCENT, None),
        ("The", PERCENT, None),
        ("Not", YES_NO, None),
        ("yes or no", YES_NO, None),
        ("**", YES_NO, None),
    ],
)
def test_a_text_means_what_a_person_reads_in_it(text: str, options: OptionSet, option: str | None) -> None:
    """Marks, quotation, case, and how a number is written do not matter."""
    assert meaning(text, options) == option


@pytest.mark.parametrize("text", ["10", "10.", "ten", "Twenty"])
def test_a_number_may_go_on(text: str) -> None:
    """10 is also the beginning of 100; at the end of an answer it is 10."""
    assert meaning(text, PERCENT) is None
    assert meaning(text, PERCENT, ended=True) == ("20" if text == "Twenty" else "10")


def test_a_text_of_two_options_means_neither() -> None:
    """If the declared forms differ only in what does not matter otherwise, nothing else decides."""
    both = OptionSet((Option("a", ("10%",)), Option("b", ("10",)), Option("c", ("20%",))))
    assert meaning("10 percent", both) is None
    assert meaning("20 percent", both) == "c"


@pytest.mark.parametrize(
    ("text", "options", "begins"),
    [
        ("\n", YES_NO, True),
        ("**", PERCENT, True),
        ("Y", YES_NO, True),
        ("It", SAID, True),
        ("twen", PERCENT, True),
        ("T", PERCENT, False),
        ("The", PERCENT, False),
        ("Of", YES_NO, False),
    ],
)
def test_the_beginning_of_a_text_is_no_text(text: str, options: OptionSet, begins: bool) -> None:
    """It may become an answer that a person accepts, or something else."""
    assert may_begin(text, options) is begins


@given(st.sampled_from(PERCENT.options), st.text("*_`\"' \n", max_size=4), st.text('*_`" \n', max_size=4))
def test_decoration_changes_no_meaning(option: Option, before: str, after: str) -> None:
    """Whatever stands around a form, it stays the same option."""
    assert meaning(before + option.forms[0] + after, PERCENT) == option.name


@given(st.text(max_size=30))
def test_any_text_has_at_most_one_meaning(text: str) -> None:
    """No text makes an error."""
    assert meaning(text, PERCENT) in {None, *PERCENT.names}
    assert may_begin(text, PERCENT) in (True, False)


@pytest.mark.parametrize(
    ("text", "options", "option"),
    [
        ("\n_10%_\n\nBecause ...", PERCENT, "10"),
        ("10%. This is 10%", PERCENT, "10"),
        ("0%; 10%; 20%", PERCENT, None),
        ("Yes, I think so", YES_NO, "yes"),
        ("Yes, no, maybe", YES_NO, None),
        ("10.5 is right", PERCENT, None),
        ("**The correct answer is:** 10%.", PERCENT, "10"),
        ("The answer is that it is 10%", PERCENT, None),
        ("", YES_NO, None),
    ],
)
def test_an_answer_is_its_first_line(text: str, options: OptionSet, option: str | None) -> None:
    """And in it, what stands before the first mark, unless another option follows."""
    assert answer_meaning(text, options, ended=False) == option
