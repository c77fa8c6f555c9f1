"""Study 1, knowledge attribution: what a listener infers from a speaker's words and knowledge.

After Goodman, N. D., & Stuhlmüller, A. (2013). Knowledge and implicature: Modeling language understanding
as social cognition. *Topics in Cognitive Science*, 5(1), 173-184, Experiment 2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain

from grace_client.core import measures
from grace_client.core.options import Option, OptionSet, spoken
from grace_client.core.questions import Prompt, Question
from grace_client.core.trials import Column, Schema, Trial
from grace_client.studies.declaration import Experiment, Probabilities, turn_cue

STATES = (0, 1, 2, 3)
PERCENTAGES = tuple(range(0, 101, 10))

PERCENTAGE_OPTIONS = OptionSet(tuple(Option(f"{p}", (f"{p}%", f" {p}%")) for p in PERCENTAGES))
KNOWLEDGE_OPTIONS = OptionSet((Option("yes", spoken("yes")), Option("no", spoken("no"))))

# --- Prompts -------------------------------------------------------------------------------------------
# The question comes last, so that the four state questions of a trial begin with the same tokens.

FREE_TEXT = """\
{setup}
{speech}

Answer the question in one short sentence.

Question: {question}
Answer:"""

STATE = """\
{setup}
{speech}

Say how likely the statement is. Answer with one of these percentages and nothing else: {percentages}.

Statement: {statement}
Answer:"""

KNOWLEDGE = """\
{setup}
{speech}

Answer the question with yes or no and nothing else.

Question: {question}
Answer:"""

# The same prompts without the scene: they measure the model's prior for each answer.

STATE_ALONE = STATE.removeprefix("{setup}\n{speech}\n\n")
KNOWLEDGE_ALONE = KNOWLEDGE.removeprefix("{setup}\n{speech}\n\n")


# --- Grammar -------------------------------------------------------------------------------------------

_PRIOR = re.compile(r"How many of the (?P<n>\d+) (?P<items>\S.*?) do you think have (?P<rest>\S.*)\?")
_SPEAKER = re.compile(r"(?P<name>\S+) tells you\b")
_SPEECH = re.compile(r"looked at (?P<access>\d+) of the \d+ .*?\. (?P<observe>\d+) of the ")
_KNOWER = re.compile(r"Do you think (?P<name>\S+) knows\b")
_NUMBERS = {"zero": 0, "no": 0, "none": 0, "neither": 0, "one": 1, "two": 2, "both": 2, "three": 3, "four": 4}
_NUMBER = rf"(?:all )?(?:\d+|{'|'.join(_NUMBERS)})"
_SPEECH_WORDS = re.compile(
    rf"looked at (?P<access>{_NUMBER}) of the (?P<n>{_NUMBER}) "
    rf".*?\. (?P<observe>{_NUMBER}) of (?:the|them)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Story:
    """The parts of a story's prior question: "How many of the `n` `items` do you think have `rest`?"."""

    n: int
    items: str
    rest: str

    @classmethod
    def parse(cls, prior_question: str) -> Story:
        """Read the parts of a prior question; ValueError if it has another form."""
        match = _PRIOR.fullmatch(prior_question.strip())
        if match is None:
            raise ValueError(
                f"{prior_question!r} does not have the form 'How many of the N ITEMS do you think have "
                "...?', which grace needs to write the statements"
            )
        return cls(int(match["n"]), match["items"], match["rest"])

    def statement(self, state: int) -> str:
        """The statement that exactly `state` of the items have the property."""
        verb = "has" if state == 1 else "have"
        return f"Exactly {state} of the {self.n} {self.items} {verb} {self.rest}."

    def now_question(self) -> str:
        """The question how many, after the speaker has spoken."""
        return f"Now how many of the {self.n} {self.items} do you think have {self.rest}?"

    def knowledge_question(self, speaker: str) -> str:
        """The question whether the speaker knows exactly how many."""
        return f"Do you think {speaker} knows exactly how many of the {self.n} {self.items} have {self.rest}?"


def _derive_now_question(row: Mapping[str, str]) -> str:
    return Story.parse(row["priorQ"]).now_question()


def _derive_knowledge_question(row: Mapping[str, str]) -> str:
    speaker = _SPEAKER.match(row["speach"].strip())
    if speaker is None:
        raise ValueError(f"speach {row['speach']!r} does not begin with 'NAME tells you'. Add the column")
    return Story.parse(row["priorQ"]).knowledge_question(speaker["name"])


def _check(trial: Trial) -> Iterator[tuple[str, str]]:
    access, observe = trial["access"], trial["observe"]
    if int(observe) > int(access):
        yield "observe", f"is {observe}, more than access {access}. The speaker cannot observe more items"
    try:
        story = Story.parse(trial["priorQ"])
    except ValueError as error:
        yield "priorQ", str(error)
    else:
        if story.n != STATES[-1]:
            yield "priorQ", f"has {story.n} items, but this study has {STATES[-1]}"
    said = _SPEECH.search(trial["speach"])
    for column in ("access", "observe"):
        if said and said[column] != trial[column]:
            yield column, f"is {trial[column]}, but the speaker says {said[column]}: {trial['speach']!r}"


def _contradictions(trial: Trial) -> Iterator[tuple[str, str]]:
    story = Story.parse(trial["priorQ"])
    if said := _SPEECH_WORDS.search(trial["speach"]):
        for column in ("access", "observe"):
            if (number := _number(said[column])) is not None and number != int(trial[column]):
                yield (
                    column,
                    f"is {trial[column]}, but the speaker says {said[column].strip()!r}: {trial['speach']!r}",
                )
        if _number(said["n"]) not in (None, story.n):
            yield "speach", f"says {said['n']!r}, but priorQ says {story.n}: {trial['speach']!r}"
    for column in ("speachQ", "knowledgeQ"):
        if story.items not in trial[column] and story.rest not in trial[column]:
            yield (
                column,
                f"belongs to another story than priorQ (how many {story.items} have {story.rest}): "
                f"{trial[column]!r}",
            )
    speaker, knower = _SPEAKER.match(trial["speach"].strip()), _KNOWER.search(trial["knowledgeQ"])
    if speaker and knower and speaker["name"] != knower["name"]:
        yield "knowledgeQ", f"asks about {knower['name']}, but the speaker in speach is {speaker['name']}"


def _doubts(trial: Trial) -> Iterator[tuple[str, str]]:
    story = Story.parse(trial["priorQ"])
    for column in ("speachQ", "knowledgeQ"):
        if (story.items in trial[column]) != (story.rest in trial[column]):
            yield column, f"does not name {story.items} and {story.rest!r} as priorQ does: {trial[column]!r}"
    if story.items not in trial["speach"]:
        yield "speach", f"does not name the {story.items} of priorQ: {trial['speach']!r}"


def _number(words: str) -> int | None:
    """The number in words such as 'All three' or '2'; None if their last word is not a number."""
    last = words.lower().split()[-1]
    return int(last) if last.isdecimal() else _NUMBERS.get(last)


SCHEMA = Schema(
    study="study1",
    columns=(
        Column("participant_id"),
        Column("story_shortname"),
        Column("story_setup", breaks=True),
        Column("priorQ"),
        Column("speach", aliases=("speech",)),
        Column("speachQ", aliases=("speechQ",), derive=_derive_now_question),
        Column("knowledgeQ", derive=_derive_knowledge_question),
        Column("access", values=("1", "2", "3")),
        Column("observe", values=("1", "2", "3")),
    ),
    check=_check,
    cell=lambda trial: {factor: trial[factor] for factor in ("access", "observe")},
    stimulus=("story_setup", "priorQ", "speach"),
    participant="participant_id",
    item="story_shortname",
    contradictions=_contradictions,
    doubts=_doubts,
    item_text=("story_setup", "priorQ"),
)


# --- Questions -----------------------------------------------------------------------------------------


def _scene(trial: Trial) -> dict[str, str]:
    setup = re.sub(r"\s*<br\s*/?>\s*", "\n", trial["story_setup"].strip())
    return {"setup": setup, "speech": trial["speach"].strip()}


def free_text_questions(trial: Trial) -> tuple[Question, ...]:
    """Two questions in the trial's own words: how many, and whether the speaker knows."""
    scene = _scene(trial)
    return tuple(
        Question(name, Prompt(FREE_TEXT.format(**scene, question=trial[column].strip())))
        for name, column in (("number", "speachQ"), ("knowledge", "knowledgeQ"))
    )


def scored_questions(trial: Trial) -> tuple[Question, ...]:
    """Five questions: how likely each state is, in percent, and whether the speaker knows."""
    return _scored_questions(trial, STATE, KNOWLEDGE)


def null_questions(trial: Trial) -> tuple[Question, ...]:
    """The scored questions without the scene. They differ only between stories."""
    return _scored_questions(trial, STATE_ALONE, KNOWLEDGE_ALONE)


def _scored_questions(trial: Trial, state: str, knowledge: str) -> tuple[Question, ...]:
    scene, story = _scene(trial), Story.parse(trial["priorQ"])
    percentages = ", ".join(f"{p}%" for p in PERCENTAGES)
    states = (
        Question(
            f"state{s}",
            Prompt(state.format(**scene, percentages=percentages, statement=story.statement(s))),
            PERCENTAGE_OPTIONS,
        )
        for s in STATES
    )
    asked = Prompt(knowledge.format(**scene, question=trial["knowledgeQ"].strip()))
    return (*states, Question("knowledge", asked, KNOWLEDGE_OPTIONS))


# --- Table ---------------------------------------------------------------------------------------------


def _state_measures(state: int, prob: Probabilities) -> dict[str, float]:
    return {
        f"state{state}_mean": float(measures.mean(prob, PERCENTAGES)),
        f"state{state}_std": float(measures.std(prob, PERCENTAGES)),
        f"state{state}_entropy": float(measures.entropy(prob)),
    }


def _knowledge_measures(prob: Probabilities) -> dict[str, float]:
    return {"entropy_knowledge": float(measures.entropy(prob))}


_STATE_COLUMNS = {f"state{s}": tuple(f"state{s}_prob_{p}" for p in PERCENTAGES) for s in STATES}
_KNOWLEDGE_COLUMNS = ("prob_knowledge_yes", "prob_knowledge_no")
_OPTION_COLUMNS = {**_STATE_COLUMNS, "knowledge": _KNOWLEDGE_COLUMNS}
_COLUMNS = (
    *chain.from_iterable(_STATE_COLUMNS.values()),
    *(f"state{s}_{measure}" for s in STATES for measure in ("mean", "std", "entropy")),
    *_KNOWLEDGE_COLUMNS,
    "entropy_knowledge",
)
_MEASURES: Mapping[str, Callable[[Probabilities], dict[str, float]]] = {
    **{f"state{s}": partial(_state_measures, s) for s in STATES},
    "knowledge": _knowledge_measures,
}

EXPERIMENTS = (
    Experiment(
        name="study1-exp1",
        title="Knowledge attribution, free text",
        schema=SCHEMA,
        table="raw_responses",
        questions=free_text_questions,
        stop=(f"\n{turn_cue(FREE_TEXT)}",),
    ),
    Experiment(
        name="study1-exp2",
        title="Knowledge attribution, probability distributions",
        schema=SCHEMA,
        table="probabilities",
        questions=scored_questions,
        columns=_COLUMNS,
        option_columns=_OPTION_COLUMNS,
        measures=_MEASURES,
    ),
    Experiment(
        name="study1-null",
        title="Knowledge attribution, probability distributions without the scene",
        schema=SCHEMA,
        table="null",
        questions=null_questions,
        columns=_COLUMNS,
        option_columns=_OPTION_COLUMNS,
        measures=_MEASURES,
    ),
)
