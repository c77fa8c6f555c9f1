"""Study 1: grammar, prompts, columns."""

from __future__ import annotations

import pytest

from grace_client import studies
from grace_client.core import trials
from grace_client.core.trials import TrialList

COLUMNS = (
    [f"state{s}_prob_{p}" for s in range(4) for p in range(0, 101, 10)]
    + [f"state{s}_{m}" for s in range(4) for m in ("mean", "std", "entropy")]
    + ["prob_knowledge_yes", "prob_knowledge_no", "entropy_knowledge"]
)
INPUTS = [
    "participant_id",
    "story_shortname",
    "story_setup",
    "priorQ",
    "speach",
    "speachQ",
    "knowledgeQ",
    "access",
    "observe",
]


def test_the_table_has_68_columns_in_order() -> None:
    """9 inputs, 44 probabilities state by state, 12 measures, 3 of knowledge."""
    experiment = studies.experiment("study1-exp2")
    assert [*experiment.schema.names, *experiment.columns] == INPUTS + COLUMNS
    assert len(INPUTS + COLUMNS) == 68


ROW = {
    "participant_id": "1",
    "story_shortname": "x",
    "story_setup": "Setup.",
    "speach": "Ann tells you: 'I have looked at 2 of the 3. 1 of the 3 has.'",
    "access": "2",
    "observe": "1",
}


@pytest.mark.parametrize(
    ("items", "rest", "state", "statement"),
    [
        ("fruits", "dried out pith", 0, "Exactly 0 of the 3 fruits have dried out pith."),
        ("fruits", "dried out pith", 1, "Exactly 1 of the 3 fruits has dried out pith."),
        (
            "cups of tea",
            "gone cold, as they do",
            3,
            "Exactly 3 of the 3 cups of tea have gone cold, as they do.",
        ),
    ],
)
def test_statements_follow_the_grammar(items: str, rest: str, state: int, statement: str) -> None:
    """Singular for one, plural for none and for more. Items and property may be any phrases."""
    experiment = studies.experiment("study1-exp2")
    columns = list(ROW)
    row = ROW | {"priorQ": f"How many of the 3 {items} do you think have {rest}?"}
    (trial,) = trials.parse(
        trials.to_csv([*columns, "priorQ"], [row]), path="x", schemas=[experiment.schema]
    ).trials
    assert f"\nStatement: {statement}\n" in experiment.questions(trial)[state].prompt.text
    assert trial["knowledgeQ"] == f"Do you think Ann knows exactly how many of the 3 {items} have {rest}?"


def test_every_trial_asks_four_states_and_knowledge(study1: TrialList) -> None:
    """In this order, the statement of state k about k items, no markup left in the prompt."""
    experiment = studies.experiment("study1-exp2")
    for trial in study1.trials:
        questions = experiment.questions(trial)
        assert [q.name for q in questions] == ["state0", "state1", "state2", "state3", "knowledge"]
        for state, question in enumerate(questions[:4]):
            verb = "has" if state == 1 else "have"
            statement = question.prompt.text.split("Statement: ")[1]
            assert statement.startswith(f"Exactly {state} of the 3 ")
            assert f" {verb} " in statement
        assert trial["knowledgeQ"] in questions[4].prompt.text
        for question in questions:
            assert "<" not in question.prompt.text
            assert trial["speach"] in question.prompt.text
            assert question.prompt.text.endswith("\nAnswer:")


def test_the_state_questions_share_all_but_their_ends(study1: TrialList) -> None:
    """Scenario first, question last: engines compute the shared beginning once."""
    for trial in study1.trials[:12]:
        questions = studies.experiment("study1-exp2").questions(trial)[:4]
        assert len({q.prompt.text.split("Statement: Exactly ")[0] for q in questions}) == 1


def test_free_text_asks_in_the_trials_own_words(study1: TrialList) -> None:
    """How many, and whether the speaker knows."""
    trial = study1.trials[0]
    number, knowledge = studies.experiment("study1-exp1").questions(trial)
    assert f"Question: {trial['speachQ']}\nAnswer:" in number.prompt.text
    assert f"Question: {trial['knowledgeQ']}\nAnswer:" in knowledge.prompt.text
    assert number.options is None


def test_the_null_context_asks_the_same_without_the_scene(study1: TrialList) -> None:
    """Five questions for each of six stories, and nothing of what the speaker saw or said."""
    null, scored = studies.experiment("study1-null"), studies.experiment("study1-exp2")
    assert null.columns == scored.columns
    asked = set()
    for trial in study1.trials:
        for alone, question in zip(null.questions(trial), scored.questions(trial), strict=True):
            assert (alone.name, alone.options) == (question.name, question.options)
            assert question.prompt.text.endswith(alone.prompt.text)
            assert trial["speach"] not in alone.prompt.text
            assert trial["story_setup"][:20] not in alone.prompt.text
            asked.add(alone)
    assert len(asked) == 30
