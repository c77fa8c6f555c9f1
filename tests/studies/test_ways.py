"""Ways of asking: what levels change, what designs combine, what is refused."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grace_client import studies
from grace_client.core import trials
from grace_client.core.errors import SpecError, StudyError
from grace_client.run import plan
from grace_client.studies import ways
from grace_client.studies.declaration import Experiment
from tests.conftest import own_list
from tests.studies.files import study

ASK = {
    "name": "word",
    "prompt": "{{ text }}\n{{ options|join(', ') }}\n{{ cue }}",
    "options": "sizes",
}
WAYS: dict[str, Any] = {
    "order": ["listed", "reversed", "rotations", "balanced", "random-3"],
    "labels": ["none", "letters"],
    "end": ["open", "turn"],
    "template": ["chat", "plain"],
    "cue": {"base": None, "reply": {"texts": {"cue": "Reply:"}}},
    "wording": {"base": None, "short": {"prompt": "{{ text }} {{ options|join('/') }} {{ cue }}"}},
    "system": {"none": None, "person": {"system": "You are a person."}},
}
LIST = b"item,size,text\nA,small,A mouse.\nB,large,A whale.\nC,large,A house.\n"


def declared(folder: Path, **changes: Any) -> Experiment:
    """The experiment of a small study with ways of asking."""
    given: dict[str, Any] = {
        "texts": {"cue": "Answer:"},
        "options": {"sizes": ["small", "large", "huge"]},
        "experiments": {"main": {"ask": [ASK]}},
        "ways": WAYS,
    }
    return study(folder, **(given | changes)).experiments["tones-main"]


def asked(experiment: Experiment, trial: int = 0, **levels: str) -> Any:
    """The question about a trial in a way that differs from the base in these levels."""
    listed = trials.parse(LIST, path="list.csv", schemas=[experiment.schema])
    (question,) = experiment.questions(listed.trials[trial], ways.base(experiment.ways) | levels)
    return question


def test_each_level_changes_what_it_says(tmp_path: Path) -> None:
    """And nothing else; the base is what is asked without ways."""
    experiment = declared(tmp_path)
    listed = trials.parse(LIST, path="list.csv", schemas=[experiment.schema])
    base = asked(experiment)
    assert (base,) == experiment.questions(listed.trials[0])
    assert base.prompt.text == "A mouse.\nsmall, large, huge\nAnswer:"
    texts = {
        "reversed": "huge, large, small",
        "rotated-1": "large, huge, small",
        "rotated-2": "huge, small, large",
        "balanced": "small, large, huge",
    }
    for order, shown in texts.items():
        question = asked(experiment, order=order)
        assert question.prompt.text == f"A mouse.\n{shown}\nAnswer:" and question.options == base.options
    assert asked(experiment, 1, order="balanced").prompt.text.splitlines()[1] == "large, huge, small"
    assert sorted(asked(experiment, order="random-3").prompt.text.splitlines()[1].split(", ")) == [
        "huge", "large", "small",
    ]  # fmt: skip
    labelled = asked(experiment, labels="letters", order="reversed")
    assert labelled.prompt.text.splitlines()[1] == "A. huge, B. large, C. small"
    assert [one.forms for one in labelled.options.options] == [("C", " C"), ("B", " B"), ("A", " A")]
    assert labelled.options.names == base.options.names
    assert asked(experiment, end="turn").options.end_of_turn and not base.options.end_of_turn
    assert asked(experiment, template="plain").prompt.plain
    assert asked(experiment, cue="reply", wording="short").prompt.text == "A mouse. small/large/huge Reply:"
    assert [turn.role for turn in asked(experiment, system="person").prompt.turns] == ["system", "user"]


def test_no_level_is_asked_twice_and_equal_questions_are_one(tmp_path: Path) -> None:
    """Every way has its own questions; the hash of the questions sees each of them."""
    experiment = declared(tmp_path)
    listed = trials.parse(LIST, path="list.csv", schemas=[experiment.schema])
    design = ways.design(experiment.ways, "one-by-one")
    every = plan.ask(experiment, listed.trials, listed.path, design)
    assert [one.way for one in every[:: len(listed.trials)]] == list(design)
    hashes = {plan.questions_sha256(plan.ask(experiment, listed.trials, "", [way])) for way in design}
    # "balanced" begins as listed, but rotates from the second trial on.
    assert len(hashes) == len(design)


def test_designs_begin_with_the_base(tmp_path: Path) -> None:
    """Sizes of the designs; a seed gives the same ways again."""
    factors = declared(tmp_path).ways
    levels = [len(one) for one in factors.values()]
    assert levels == [6, 2, 2, 2, 2, 2, 2]
    for design, size in (("one-by-one", 12), ("full:order,cue", 12), ("full:cue", 2), ("random-5-7", 6)):
        made = ways.design(factors, design)
        assert len(made) == size and made[0] == ways.base(factors)
        assert made == ways.design(factors, design)
        assert all(list(one) == list(factors) for one in made)
    assert ways.design(factors, "random-5-7") != ways.design(factors, "random-5-8")
    assert ways.label(ways.base(factors) | {"cue": "reply"}, ways.base(factors)) == "cue=reply"


@given(st.lists(st.integers(2, 6), min_size=2, max_size=6))
def test_in_a_latin_fraction_any_two_levels_meet(sizes: list[int]) -> None:
    """For each pair of factors, every pair of levels is in some row."""
    rows = ways.latin(sizes)
    assert rows[0] == (0,) * len(sizes) and len(set(rows)) == len(rows)
    for a, b in combinations(range(len(sizes)), 2):
        assert len({(row[a], row[b]) for row in rows}) == sizes[a] * sizes[b]


@given(st.integers(2, 12), st.sampled_from(["listed", "reversed", "balanced", "rotated-3", "random-9"]))
def test_an_order_names_every_option_once(count: int, order: str) -> None:
    """Whatever the trial."""
    for trial in (1, 5):
        assert sorted(ways.arranged(count, order, trial, "text")) == list(range(count))


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ("all", "a design is"),
        ("full:mood", "'mood' is not a way"),
        ("full:cue,cue", "a factor twice"),
        ("random-9999", "beside the base"),
        ("random-0", "beside the base"),
    ],
)
def test_a_design_that_cannot_be_is_refused(design: str, message: str, tmp_path: Path) -> None:
    """With the designs or factors that there are."""
    with pytest.raises(SpecError, match=message):
        ways.design(declared(tmp_path).ways, design)


def test_too_many_ways_are_refused() -> None:
    """And an experiment that has none."""
    factors = {f"f{number}": ("a", "b", "c") for number in range(7)}
    with pytest.raises(SpecError, match="there are 2187 combinations"):
        ways.design(factors, "full")
    with pytest.raises(SpecError, match="has no ways of asking"):
        ways.design({}, "full")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mood": ["good", "bad"]}, "levels without what they change"),
        ({"order": ["reversed", "listed"]}, "must begin with listed"),
        ({"order": ["listed", "shuffled"]}, "the level 'shuffled'"),
        ({"end": ["turn", "open"]}, "options that declare 'end: open'"),
        ({"labels": ["none", "roman"]}, "the level 'roman'"),
        ({"order": ["listed"]}, "two levels or more"),
        ({"cue": {"reply": {"texts": {"cue": "R:"}}, "base": None}}, "is the first level and changes"),
        ({"cue": {"base": None, "reply": {"texts": {"que": "R:"}}}}, "Did you mean 'cue'"),
        ({"cue": {"base": None, "reply": {"texts": {"cue": "{{ nobody }}"}}}}, "no name 'nobody'"),
        ({"who": {"base": None, "other": {"questions": ["ward"], "system": "x"}}}, "Did you mean 'word'"),
        ({"shots": {"base": None, "few": {"examples": 2}}}, "changes no question"),
        ({"say": {"base": None, "same": {"say": "one"}}}, "belongs to two options"),
    ],
)
def test_levels_that_cannot_be_are_refused(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    """At their place in the file."""
    with pytest.raises(StudyError, match=message) as caught:
        declared(tmp_path, ways=given)
    assert all(problem.line > 1 for problem in caught.value.problems)


@pytest.mark.parametrize("name", ["study1-exp2", "study2-exp2"])
def test_the_base_of_the_two_studies_is_what_they_ask(name: str) -> None:
    """So tables without a design, and runs begun before, stay as they are."""
    experiment = studies.experiment(name)
    assert {"order", "wording", "cue", "system", "end"} <= set(experiment.ways)
    assert len(experiment.ways["wording"]) == 3
    listed = own_list(experiment.study.name).trials[:20]
    base = ways.base(experiment.ways)
    assert [experiment.questions(one, base) for one in listed] == [
        experiment.questions(one) for one in listed
    ]
    for way in ways.design(experiment.ways, "latin"):
        assert all(experiment.questions(one, way) for one in listed)


def test_free_text_is_asked_in_one_way() -> None:
    """A design for it is refused before a model is loaded."""
    with pytest.raises(SpecError, match="study2-exp1 draws free text, which is asked in one way"):
        studies.experiment("study2-exp1").design("full")
