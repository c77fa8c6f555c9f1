"""Study 2, politeness: what a speaker says if they want to be kind, informative, or both.

After Yoon, E. J., Tessler, M. H., Goodman, N. D., & Frank, M. C. (2020). Polite speech emerges from
competing social goals. *Open Mind*, 4. doi:10.1162/opmi_a_00035
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from grace_client.core import measures
from grace_client.core.options import Option, OptionSet, spoken
from grace_client.core.questions import Prompt, Question
from grace_client.core.trials import Column, Schema, Trial
from grace_client.studies.declaration import Experiment, Probabilities, turn_cue

FRAMES = ("was", "wasnt")
ADJECTIVES = ("terrible", "bad", "good", "amazing")
QUALITIES = {"excellent": 5, "good": 4, "neutral": 3, "poor": 2, "terrible": 1}
GOALS = {"BOTH": "both", "rather than": "social", "as accurate and informative": "informational"}

GOAL_SENTENCES = {
    "both": re.compile(
        r"If (?P<speaker>.+?) wanted (?:to )?BOTH (?:to )?make (?P<listener>.+?) feel good,? AND "
        r"(?:to )?give (?!.*rather than).*accurate and informative feedback\W*"
    ),
    "social": re.compile(
        r"If (?P<speaker>.+?) wanted to make (?P<listener>.+?) feel good,? rather than "
        r"(?:to )?giv\w+ (?!.*as possible).*informative feedback\W*"
    ),
    "informational": re.compile(
        r"If (?P<speaker>.+?) wanted to give (?!.*feel good)(?!.*rather than)"
        r".*as accurate and informative (?:feedback )?as possible\W*"
    ),
}
"""The whole sentence of each goal, with the names of speaker and listener."""

FRAME_SPELLINGS = {"was": ("was",), "wasnt": ("wasn't", "wasn\u2019t", "was not")}

UTTERANCE_OPTIONS = OptionSet(
    tuple(
        Option(
            f"{frame}_{adjective}",
            tuple(form for verb in FRAME_SPELLINGS[frame] for form in spoken(f"It {verb} {adjective}")),
        )
        for frame in FRAMES
        for adjective in ADJECTIVES
    )
)
APPROPRIATE_OPTIONS = OptionSet(
    tuple(Option(word, spoken(word)) for word in ("appropriate", "inappropriate"))
)
QUALITY_OPTIONS = OptionSet(tuple(Option(word, spoken(word)) for word in QUALITIES))

# --- Prompts -------------------------------------------------------------------------------------------

SCENE = """\
{precontext} {scenario}

{speaker} rates such things privately with hearts: 0 hearts is the minimum, 3 hearts is the maximum. \
This time {speaker} gave {state}.

"""

CHOOSE = """\
Choose one of these sentences and say nothing else:
It was terrible
It was bad
It was good
It was amazing
It wasn't terrible
It wasn't bad
It wasn't good
It wasn't amazing

"""

SAY = (
    SCENE
    + CHOOSE
    + """\
Question: {goal}, what would {speaker} say to {listener}?
Answer:"""
)

# Without scene, goal and names: this measures the model's prior for each sentence.
SAY_ALONE = (
    CHOOSE
    + """\
Question: What would somebody say?
Answer:"""
)

APPROPRIATE = (
    SCENE
    + """\
Answer with one word, appropriate or inappropriate, and nothing else.

Question: {goal}, how would it be to say to {listener}: "{utterance}"?
Answer:"""
)

QUALITY = (
    SCENE
    + """\
{speaker} says to {listener}: "{utterance}"

Answer with one word, excellent, good, neutral, poor or terrible, and nothing else.

Question: {goal}, how good a choice of words is this?
Answer:"""
)


# --- Trial list ----------------------------------------------------------------------------------------


def goal_of(sentence: str) -> str:
    """The goal in a `Goal` sentence: both, social or informational; ValueError if there is none."""
    for mark, goal in GOALS.items():
        if mark in sentence:
            return goal
    marks = ", ".join(f"{mark!r} ({goal})" for mark, goal in GOALS.items())
    raise ValueError(f"{sentence!r} states no known goal. Expected a sentence with one of {marks}")


def _check(trial: Trial) -> Iterator[tuple[str, str]]:
    try:
        goal_of(trial["Goal"])
    except ValueError as error:
        yield "Goal", str(error)


def _contradictions(trial: Trial) -> Iterator[tuple[str, str]]:
    goal, speaker, listener = (trial[column].strip() for column in ("Goal", "SP_Name", "LS_Name"))
    if speaker == listener:
        yield "LS_Name", f"is {listener!r}, but the speaker has the same name"
    fitting = [pattern.fullmatch(goal) for pattern in GOAL_SENTENCES.values()]
    match = next((found for found in fitting if found), None)
    if match is None:
        yield (
            "Goal",
            f"is {goal!r}. Expected one of these: 'If A wanted BOTH to make B feel good AND to give "
            "accurate and informative feedback', 'If A wanted to make B feel good rather than give "
            "informative feedback', 'If A wanted to give feedback that is as accurate and informative as "
            "possible'",
        )
    else:
        if match["speaker"] != speaker:
            yield "SP_Name", f"is {speaker!r}, but the speaker in Goal is {match['speaker']!r}: {goal!r}"
        if (other := match.groupdict().get("listener")) and other != listener:
            yield "LS_Name", f"is {listener!r}, but the listener in Goal is {other!r}: {goal!r}"
    if not any(_names(name, trial["Scenario"]) for name in (speaker, listener)):
        yield "Scenario", f"names neither {speaker} nor {listener}: {trial['Scenario']!r}"


def _doubts(trial: Trial) -> Iterator[tuple[str, str]]:
    for name in (trial["SP_Name"].strip(), trial["LS_Name"].strip()):
        if not _names(name, trial["Scenario"]):
            yield "Scenario", f"does not name {name}: {trial['Scenario']!r}"


def _names(name: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


SCHEMA = Schema(
    study="study2",
    columns=(
        Column("Participant_ID"),
        Column("Domain"),
        Column("Precontext"),
        Column("Scenario"),
        Column("Utterance"),
        Column("Goal"),
        Column("State", values=("0 hearts", "1 heart", "2 hearts", "3 hearts")),
        Column("SP_Name"),
        Column("LS_Name"),
    ),
    check=_check,
    cell=lambda trial: {"goal": goal_of(trial["Goal"]), "state": trial["State"]},
    stimulus=("Precontext", "Scenario", "Goal", "State"),
    participant="Participant_ID",
    item="Domain",
    contradictions=_contradictions,
    doubts=_doubts,
)


# --- Questions -----------------------------------------------------------------------------------------


def _prompt(template: str, trial: Trial) -> Prompt:
    return Prompt(
        template.format(
            precontext=trial["Precontext"].strip(),
            scenario=trial["Scenario"].strip(),
            state=trial["State"],
            goal=trial["Goal"].strip(),
            speaker=trial["SP_Name"].strip(),
            listener=trial["LS_Name"].strip(),
            utterance=trial["Utterance"].strip(),
        )
    )


def free_text_questions(trial: Trial) -> tuple[Question, ...]:
    """The question what the speaker would say, in free text."""
    return (Question("utterance", _prompt(SAY, trial)),)


def scored_questions(trial: Trial) -> tuple[Question, ...]:
    """The question what the speaker would say, with the eight utterances as options."""
    return (Question("utterance", _prompt(SAY, trial), UTTERANCE_OPTIONS),)


def null_questions(trial: Trial) -> tuple[Question, ...]:
    """The question what somebody would say, without the scene: the same for all trials."""
    return (Question("utterance", Prompt(SAY_ALONE), UTTERANCE_OPTIONS),)


def judgement_questions(trial: Trial) -> tuple[Question, ...]:
    """Two questions: whether the trial's utterance is appropriate, and how good a choice it is."""
    return (
        Question("appropriateness", _prompt(APPROPRIATE, trial), APPROPRIATE_OPTIONS),
        Question("quality", _prompt(QUALITY, trial), QUALITY_OPTIONS),
    )


# --- Tables --------------------------------------------------------------------------------------------


def _utterance_measures(prob: Probabilities) -> dict[str, float]:
    joint = prob.reshape(len(FRAMES), len(ADJECTIVES))
    frame, adjective = joint.sum(axis=1), joint.sum(axis=0)
    marginals = zip((*FRAMES, *ADJECTIVES), (*frame, *adjective), strict=True)
    return {f"prob_{name}": float(p) for name, p in marginals} | {
        "entropy_frame": float(measures.entropy(frame)),
        "entropy_assessment": float(measures.entropy(adjective)),
        "entropy_joint": float(measures.entropy(prob)),
    }


def _appropriateness_measures(prob: Probabilities) -> dict[str, float]:
    return {"entropy_appropriateness": float(measures.entropy(prob))}


def _quality_measures(prob: Probabilities) -> dict[str, float]:
    return {
        "entropy_quality": float(measures.entropy(prob)),
        "mean_quality_score": float(measures.mean(prob, list(QUALITIES.values()))),
    }


_JOINT_COLUMNS = tuple(f"prob_{name}" for name in UTTERANCE_OPTIONS.names)
_APPROPRIATE_COLUMNS = ("prob_appropriate", "prob_inappropriate")
_QUALITY_COLUMNS = tuple(f"prob_quality_{name}" for name in QUALITIES)
_UTTERANCE_COLUMNS = (
    *_JOINT_COLUMNS,
    *(f"prob_{name}" for name in FRAMES),
    *(f"prob_{name}" for name in ADJECTIVES),
    "entropy_frame",
    "entropy_assessment",
    "entropy_joint",
)

EXPERIMENTS = (
    Experiment(
        name="study2-exp1",
        title="Politeness, free text",
        schema=SCHEMA,
        table="raw_responses",
        questions=free_text_questions,
        stop=(f"\n{turn_cue(SAY)}",),
    ),
    Experiment(
        name="study2-exp2",
        title="Politeness, probability distributions",
        schema=SCHEMA,
        table="probabilities",
        questions=scored_questions,
        columns=_UTTERANCE_COLUMNS,
        option_columns={"utterance": _JOINT_COLUMNS},
        measures={"utterance": _utterance_measures},
    ),
    Experiment(
        name="study2-null",
        title="Politeness, probability distributions without the scene",
        schema=SCHEMA,
        table="null",
        questions=null_questions,
        columns=_UTTERANCE_COLUMNS,
        option_columns={"utterance": _JOINT_COLUMNS},
        measures={"utterance": _utterance_measures},
    ),
    Experiment(
        name="study2-judgement",
        title="Politeness, judgement of an utterance",
        schema=SCHEMA,
        table="judgements",
        questions=judgement_questions,
        columns=(
            *_APPROPRIATE_COLUMNS,
            "entropy_appropriateness",
            *_QUALITY_COLUMNS,
            "entropy_quality",
            "mean_quality_score",
        ),
        option_columns={"appropriateness": _APPROPRIATE_COLUMNS, "quality": _QUALITY_COLUMNS},
        measures={"appropriateness": _appropriateness_measures, "quality": _quality_measures},
        shown={"utterance": "Utterance"},
    ),
)
