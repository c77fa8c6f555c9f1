"""Study 2: goals, prompts, columns."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from grace_client import studies
from grace_client.core.trials import TrialList
from tests.conftest import ROOT

ADJECTIVES = ("terrible", "bad", "good", "amazing")
JOINTS = [f"{frame}_{word}" for frame in ("was", "wasnt") for word in ADJECTIVES]
COLUMNS = [
    *(f"prob_{joint}" for joint in JOINTS),
    "prob_was",
    "prob_wasnt",
    "prob_terrible",
    "prob_bad",
    "prob_good",
    "prob_amazing",
    "entropy_frame",
    "entropy_assessment",
    "entropy_joint",
]
INPUTS = [
    "Participant_ID",
    "Domain",
    "Precontext",
    "Scenario",
    "Utterance",
    "Goal",
    "State",
    "SP_Name",
    "LS_Name",
]


def test_the_table_has_26_columns_in_order() -> None:
    """9 inputs, 8 joints, 6 marginals, 3 entropies."""
    experiment = studies.experiment("study2-exp2")
    assert [*experiment.schema.names, *experiment.columns] == INPUTS + COLUMNS
    assert len(INPUTS + COLUMNS) == 26


def test_marginals_and_entropies_come_from_the_joints() -> None:
    """Recomputed here from the eight probabilities."""
    joint = np.random.default_rng(0).dirichlet(np.ones(8))
    row = studies.experiment("study2-exp2").cells("utterance", joint)
    assert set(row) == set(COLUMNS)
    assert [row[f"prob_{name}"] for name in JOINTS] == pytest.approx(joint)
    assert row["prob_wasnt"] == pytest.approx(sum(joint[4:]))
    assert row["prob_bad"] == pytest.approx(joint[1] + joint[5])
    frame, word = np.array([joint[:4].sum(), joint[4:].sum()]), joint[:4] + joint[4:]
    for name, p in (("frame", frame), ("assessment", word), ("joint", joint)):
        assert row[f"entropy_{name}"] == pytest.approx(-(p * np.log2(p)).sum())


def test_goals_of_the_lists(study2: TrialList) -> None:
    """The users' list has 820, 812 and 792; ours is balanced."""
    goals = Counter(trial.variables["goal"] for trial in study2.trials)
    ours = study2.path.startswith(str(ROOT / "data"))
    expected = (808, 808, 808) if ours else (820, 812, 792)
    assert (goals["both"], goals["social"], goals["informational"]) == expected


def test_prompts_say_that_three_hearts_are_the_most_and_hide_the_utterance(study2: TrialList) -> None:
    """And carry scene, state, goal, both names, and the eight sentences in the order of the tables."""
    sentences = "\n".join(f"It {verb} {word}" for verb in ("was", "wasn't") for word in ADJECTIVES)
    for trial in study2.trials:
        (question,) = studies.experiment("study2-exp2").questions(trial)
        text = question.prompt.text
        assert "3 hearts is the maximum" in text
        assert f"gave {trial['State']}." in text
        assert sentences in text
        assert trial["Utterance"] not in text.replace(sentences, "")
        assert all(trial[c] in text for c in ("Precontext", "Scenario", "Goal", "SP_Name", "LS_Name"))


def test_negation_counts_in_every_spelling(study2: TrialList) -> None:
    """Straight and curly apostrophe and the long form are one answer; headers have no apostrophe."""
    (question,) = studies.experiment("study2-exp2").questions(study2.trials[0])
    assert question.options is not None
    forms = question.options.options[4].forms
    assert {"It wasn't terrible", "It wasn\u2019t terrible", "It was not terrible"} <= set(forms)
    assert question.options.names == tuple(JOINTS)


def test_the_null_context_is_one_question(study2: TrialList) -> None:
    """The eight sentences, and nothing of any scene, goal, state or name."""
    null = studies.experiment("study2-null")
    assert null.columns == studies.experiment("study2-exp2").columns
    ((question,),) = {null.questions(trial) for trial in study2.trials}
    (scored,) = studies.experiment("study2-exp2").questions(study2.trials[0])
    assert question.options == scored.options
    sentences = question.prompt.text.split("Question:")[0]
    assert sentences in scored.prompt.text
    assert "heart" not in question.prompt.text


def test_the_judgement_asks_about_the_utterance(study2: TrialList) -> None:
    """Appropriateness and a quality of 1 to 5."""
    experiment = studies.experiment("study2-judgement")
    trial = study2.trials[0]
    appropriate, quality = experiment.questions(trial)
    assert f'"{trial["Utterance"]}"' in appropriate.prompt.text
    assert f'"{trial["Utterance"]}"' in quality.prompt.text
    row = experiment.cells("quality", np.array([1.0, 0, 0, 0, 0]))
    assert row["mean_quality_score"] == 5.0
    covered = set(row) | set(experiment.cells("appropriateness", np.array([0.5, 0.5])))
    assert covered == set(experiment.columns)
