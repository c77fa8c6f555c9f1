"""Known traps, and random paraphrases of answers."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from grace_client import studies
from grace_client.extraction import rules
from grace_client.extraction.reading import UNPARSED, VALUES, Reading
from grace_client.extraction.text import Text
from grace_client.studies.study1 import Story
from grace_client.studies.study2 import ADJECTIVES
from tests.conftest import own_list

TRIALS = {study: own_list(study).trials for study in ("study1", "study2")}
PROMPTS = {
    study: {q.name: q.prompt.text for q in studies.experiment(f"{study}-exp1").questions(trials[0])}
    for study, trials in TRIALS.items()
}
STORY = Story.parse(TRIALS["study1"][0]["priorQ"])


def read(question: str, response: str | None, finish_reason: str = "stop") -> Reading:
    study = "study2" if question == "utterance" else "study1"
    return rules.read(
        question,
        response,
        TRIALS[study][0],
        prompt=PROMPTS[study][question],
        finish_reason=finish_reason,
    )


@pytest.mark.parametrize("question", VALUES)
@pytest.mark.parametrize("text", ["I don't know.", "I don’t know", "I do not know.", "idk", "No idea."])
def test_not_knowing_is_never_a_number(question: str, text: str) -> None:
    """Not knowing is a hedge, with the value unsure if the question has it; it is never 0 or no."""
    got = read(question, text)
    assert got.category == "hedge"
    assert got.structured == ("unsure" if question == "knowledge" else UNPARSED)


@pytest.mark.parametrize(
    "text",
    [
        "It was not bad",
        "It wasn't bad",
        "It wasn’t bad.",
        "“It wasn’t bad”",
        "It was **not** bad",
        "Not bad.",
    ],
)
def test_was_not_bad_is_not_was_bad(text: str) -> None:
    """Every spelling of the negation is read as a negation."""
    assert read("utterance", text).structured == "wasnt_bad"


@pytest.mark.parametrize(
    "text",
    [
        "At least 2.",
        "2 or 3",
        "2-3",
        "2–3 parcels",
        "between 1 and 3",
        "more than 1",
        "2+",
        "Both.",
        "about 2",
    ],
)
def test_a_range_or_a_bound_is_not_a_number(text: str) -> None:
    """An answer that allows several numbers is unparsed."""
    assert read("number", text) == Reading(UNPARSED, "ambiguous")


@pytest.mark.parametrize(
    ("text", "number"),
    [("All of them.", "3"), ("None of them.", "0"), ("none", "0"), ("All three parcels have dents.", "3")],
)
def test_all_and_none(text: str, number: str) -> None:
    """Words for all and for none are numbers."""
    assert read("number", text).structured == number


@pytest.mark.parametrize(
    "text",
    [
        "Nadia has looked at 3 of the 3 parcels.",
        "'I have looked at 3 of the 3 parcels. 1 of the parcels has dents in the lid.'",
        "Nadia tells you in a call that 1 of the parcels has dents in the lid.",
        "Now how many of the 3 parcels do you think have dents in the lid?",
    ],
)
def test_the_scenario_s_own_numbers_are_no_answer(text: str) -> None:
    """Repeats of the scenario or of the question are echoes."""
    assert read("number", text) == Reading(UNPARSED, "echo")


@pytest.mark.parametrize(
    "text",
    [
        "I don't think 2 of the parcels have dents.",
        "Not 2.",
        "If Nadia is right, 2 of the parcels have dents.",
    ],
)
def test_negated_and_conditional_numbers_are_no_answer(text: str) -> None:
    """A number that is denied or supposed is not an answer."""
    assert read("number", text).structured == UNPARSED


def test_a_template_that_is_repeated_is_no_utterance() -> None:
    """The template with slashes and the list of all sentences are not answers."""
    listed = "\n".join(f"It {verb} {adjective}" for verb in ("was", "wasn't") for adjective in ADJECTIVES)
    for text in ("It was/wasn't terrible/bad/good/amazing", listed):
        assert read("utterance", text) == Reading(UNPARSED, "echo")
    assert read("utterance", f"{listed}\n\nAnswer: It was good").structured == "was_good"


@pytest.mark.parametrize(
    "text", ["It was good. It wasn't amazing.", "It was good or it was bad", "It was good but not amazing."]
)
def test_two_utterances_are_refused(text: str) -> None:
    """An answer with two utterances is unparsed."""
    assert read("utterance", text) == Reading(UNPARSED, "ambiguous")


def test_refusals_are_their_own_category() -> None:
    """A refusal is neither a hedge nor an answer, for all questions."""
    for question in VALUES:
        assert read(question, "I'm sorry, but I can't answer that.") == Reading(UNPARSED, "refusal")


def test_what_was_cut_counts_only_before_the_cut() -> None:
    """An answer in a clause that was cut off does not count."""
    assert read("number", "I think 2", "length") == Reading(UNPARSED, "truncated")
    assert read("number", "I think 2, because", "length").structured == "2"
    assert read("utterance", "It was", "length") == Reading(UNPARSED, "truncated")


def test_thoughts_are_not_read() -> None:
    """Text in a think block is not an answer. A block without an end leaves no answer."""
    assert read("number", "<think>3? No.</think>Two.").structured == "2"
    assert read("number", "3?</think>Two.").structured == "2"
    assert read("number", "<think>It is 3.") == Reading(UNPARSED, "truncated")
    assert read("utterance", '<think>"It was bad" would hurt.</think>It was good').structured == "was_good"


def test_nothing_is_empty() -> None:
    """No text, only spaces and None are empty."""
    for text in ("", " \n", None):
        assert read("number", text) == Reading(UNPARSED, "empty")


def test_bets_must_add_up() -> None:
    """Four amounts with the sum 100 are bets. Three amounts, or another sum, are unparsed."""
    assert read("number", "0: 10%, 1: 20%, 2: 30%, 3: 40%").bets == (10, 20, 30, 40)
    assert read("number", "$5 on 0, $5 on 1, $10 on 2, $80 on 3").bets == (5, 5, 10, 80)
    for text in ("0: 10%, 1: 20%, 2: 30%", "0: 10%, 1: 20%, 2: 30%, 3: 50%"):
        assert read("number", text) == Reading(UNPARSED, "ambiguous")


NUMBERS = {"0": ["0", "zero", "none"], "1": ["1", "one"], "2": ["2", "two"], "3": ["3", "three", "all"]}
LEADS = [
    "",
    "I think ",
    "I think that ",
    "I'd say ",
    "I believe ",
    "Probably ",
    "Answer: ",
    "My guess is ",
    "So ",
]
WRAPS = [
    "{}",
    "**{}**",
    '"{}"',
    "“{}”",
    "  {}\n",
    "`{}`",
    "> {}",
    "{} 🙂",
    "<think>Hm, 1 or 3.</think>\n{}",
    "Well, {}",
]
ENDS = [
    "",
    ".",
    "!",
    ", I think.",
    ", because Nadia looked at 3 of them.",
    ". Nadia looked at 3 of the 3 parcels.",
]


@settings(deadline=None)
@given(
    number=st.sampled_from([(n, word) for n, words in NUMBERS.items() for word in words]),
    lead=st.sampled_from(LEADS),
    of=st.sampled_from(
        ["", f" of the {STORY.items}", " of them", f" of the {STORY.items} have {STORY.rest}"]
    ),
    wrap=st.sampled_from(WRAPS),
    end=st.sampled_from(ENDS),
    change=st.sampled_from([str, str.upper, str.capitalize]),
)
def test_numbers_paraphrased(
    number: tuple[str, str], lead: str, of: str, wrap: str, end: str, change: type[str]
) -> None:
    """A number has the same value in every paraphrase, and the span marks it."""
    value, word = number
    said = change(f"{lead}{word}{of}")
    text = wrap.format(said) + end
    # "1. Nadia ..." begins a list.
    assume(not (said == "1" and end.startswith(". ")))
    got = read("number", text)
    assert (got.structured, got.category) == (value, "answer"), text
    assert got.span
    assert text[slice(*got.span)].lower().startswith(word)


NOT = ["wasn't", "wasn’t", "was not", "wasnt", "wasn`t", "WASN'T", "was *not*"]
SAYS = [
    "{}",
    "Vera would say: {}",
    "Vera would say {}",
    "Answer: {}",
    "Vera would tell Walter that {}",
    "Hi! {}",
]


@settings(deadline=None)
@given(
    negated=st.booleans(),
    adjective=st.sampled_from(ADJECTIVES),
    spelled=st.sampled_from(NOT),
    says=st.sampled_from(SAYS),
    wrap=st.sampled_from([*WRAPS[:8], "‘{}’", "'{}'"]),
    end=st.sampled_from(["", ".", "!", "\n"]),
)
def test_utterances_paraphrased(
    negated: bool, adjective: str, spelled: str, says: str, wrap: str, end: str
) -> None:
    """Negation and adjective are read correctly with any quotes, spelling and introduction."""
    text = says.format(wrap.format(f"It {spelled if negated else 'was'} {adjective}")) + end
    got = read("utterance", text)
    assert got.structured == f"{'wasnt' if negated else 'was'}_{adjective}", text
    assert got.span
    assert text[slice(*got.span)].lower().endswith(adjective)


@settings(deadline=None)
@given(
    value=st.sampled_from(["yes", "no"]),
    lead=st.sampled_from(["", "Answer: ", "I would say ", "Based on the call, ", "So, "]),
    rest=st.sampled_from(
        ["", ".", ", I think.", " because Nadia looked at them.", "! 🙂", ". Nadia has 3 parcels."]
    ),
    wrap=st.sampled_from(WRAPS[:7]),
)
def test_yes_and_no_paraphrased(value: str, lead: str, rest: str, wrap: str) -> None:
    """A plain answer is read with usual texts before and after it."""
    assert read("knowledge", lead + wrap.format(value.capitalize()) + rest).structured == value


ANSWERS = {
    "number": [
        "2",
        "I think 1 of them has dents",
        "2 is wrong",
        "Two, if not three",
        "All of them are intact",
    ],
    "knowledge": ["Yes", "No, Nadia does not know", "It is impossible that Nadia knows", "Not yes", "Maybe"],
    "utterance": ["It was good", "Vera would say it was bad", "It was good? Hardly", "It wasn't not bad"],
}


@settings(deadline=None)
@given(
    answer=st.sampled_from([(question, text) for question, texts in ANSWERS.items() for text in texts]),
    wrap=st.sampled_from(
        ["**{}**", '"{}"', "“{}”", "  {}\n", "> {}", "- {}", "{} 🙂", "`{}`", "[{}]", "{}."]
    ),
    lead=st.sampled_from(["", "Answer: ", "Well, ", "Final answer: ", "So, "]),
)
def test_a_wrapping_changes_no_reading(answer: tuple[str, str], wrap: str, lead: str) -> None:
    """Markup, quotes and an opening change neither an answer nor a trap."""
    question, text = answer
    assume(not (lead and wrap == "- {}"))
    assert read(question, lead + wrap.format(text)).structured == read(question, text).structured


def test_the_property_is_the_question_s_own() -> None:
    """The property may lack "have", articles and words after a preposition. No other property counts."""
    ways = {
        "clocks": [
            "2 clocks have stopped.",
            "Two of the clocks stopped.",
            "I think 2 of the 3 clocks had stopped.",
        ],
        "parcels": ["2 parcels have dents.", "2 of the parcels have dents in their lid.", "Two with dents."],
        "loaves": ["2 loaves have burnt crusts.", "Two of the loaves have the burnt crust."],
    }
    others = {
        "clocks": ["2 clocks have not stopped.", "2 clocks are ticking.", "2 clocks have hands."],
        "parcels": ["2 parcels have no dents.", "2 parcels have lids.", "2 parcels are undamaged."],
        "loaves": ["2 loaves have a crust.", "2 loaves have a brown crust.", "2 loaves are not burnt."],
    }
    trials = {Story.parse(trial["priorQ"]).items: trial for trial in TRIALS["study1"][:12]}
    for value, said in (("2", ways), (UNPARSED, others)):
        for items, texts in said.items():
            for text in texts:
                assert rules.read("number", text, trials[items]).structured == value, text


@pytest.mark.parametrize(
    ("question", "text", "value"),
    [
        (
            "knowledge",
            "Nadia is unlikely to know the exact number of the 3 parcels with dents in the lid.",
            "no",
        ),
        ("knowledge", "There is no doubt that Nadia knows exactly how many.", "yes"),
        ("knowledge", "It is impossible that Nadia knows exactly how many.", "no"),
        ("knowledge", "Nadia does not know exactly how many, but she has seen two of them.", "no"),
        ("knowledge", "Nadia does not know exactly how many, but she will know the answer soon.", UNPARSED),
        ("knowledge", "Nadia says that she knows exactly how many.", UNPARSED),
        ("knowledge", "Nadia knows exactly how many were opened.", UNPARSED),
        ("number", "Nadia says: I have looked at 2 of the 3 parcels. 1 of the parcels has dents.", UNPARSED),
        ("number", "There are 3.", UNPARSED),
        ("number", "Suppose she is right. Then the answer is 2.", UNPARSED),
        ("number", "She looked at all of them and it is clear. So the answer is 2.", "2"),
        ("number", "2. So the answer is 3.", UNPARSED),
        ("number", "I thought of many things. The answer is 2. Or 3.", UNPARSED),
        ("utterance", "Instead of saying it was bad, Vera would say it was good.", "was_good"),
        ("utterance", "Walter would say it was good.", UNPARSED),
        ("utterance", "The weather was bad.", UNPARSED),
        ("utterance", "The garden was bad.", "was_bad"),
    ],
)
def test_what_stands_around_an_answer(question: str, text: str, value: str) -> None:
    """Other speakers, suppositions and other subjects around an answer change its reading."""
    assert read(question, text).structured == value


PROBLEMS = [
    " is wrong",
    " is unlikely",
    "? I doubt it",
    ", or not",
    ". No, wait",
    ". That is what I would have said before",
    ", unless I am mistaken",
    " would be a lie",
    " is what people say",
    " if all goes well",
]


@settings(deadline=None)
@given(
    answer=st.sampled_from([("number", "2"), ("knowledge", "Yes"), ("utterance", "It was good")]),
    problem=st.sampled_from(PROBLEMS),
    lead=st.sampled_from(["", "Answer: ", "I think ", "I would say "]),
)
def test_a_withdrawn_answer_is_not_read(answer: tuple[str, str], problem: str, lead: str) -> None:
    """An answer with a later judgement, condition or correction is unparsed."""
    question, text = answer
    assert read(question, lead + text + problem).structured in (UNPARSED, "unsure")


@settings(deadline=None)
@given(text=st.text(max_size=80), question=st.sampled_from(sorted(VALUES)), cut=st.booleans())
def test_any_text_has_a_reading(text: str, question: str, cut: bool) -> None:
    """The rules accept any text, and a span is always inside it."""
    got = read(question, text, "length" if cut else "stop")
    assert got.span is None or 0 <= got.span[0] < got.span[1] <= len(text)


@settings(deadline=None)
@given(text=st.text(max_size=80), prompt=st.text(max_size=40))
def test_preparing_keeps_every_place(text: str, prompt: str) -> None:
    """The prepared text is as long as the response, so spans are valid for both."""
    assert len(Text.of(text, prompt).plain) == len(text)
