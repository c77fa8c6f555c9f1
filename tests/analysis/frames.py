"""Tidy frames with known properties, in the columns that `read` gives."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from grace_client import studies
from grace_client.analysis import study2
from grace_client.analysis._data.files import design
from tests.conftest import own_list

PERCENTAGES = [str(p) for p in range(0, 101, 10)]

HUMAN = {
    "both": "20 20 12 2 73 35 27 14 | 1 18 30 3 55 71 19 6 | 1 2 179 8 0 10 1 2 | 0 0 10 192 0 0 1 0",
    "social": "22 2 53 25 41 38 15 7 | 0 13 75 28 25 43 14 5 | 1 0 121 70 1 8 0 2 | 0 0 9 192 0 1 0 1",
    "informational": "118 26 3 0 15 4 32 5 | 3 72 9 1 28 32 49 9 | 0 2 172 2 4 17 1 5 | 1 1 13 185 1 2 0 0",
}
"""Utterance counts of Yoon et al. (2020), doi:10.1162/opmi_a_00035, recomputed from the authors' data."""


@cache
def trials(study: str) -> pd.DataFrame:
    """The design of the project's list of a study."""
    return design(own_list(study)).reset_index()


@cache
def judged() -> pd.DataFrame:
    """The design of the project's list of Study 2 where an utterance is judged."""
    shown = studies.experiment("study2-judgement").shown
    return design(own_list("study2"), shown).reset_index()


def scored1(seed: int = 0, model: str = "m", people: bool = False) -> pd.DataFrame:
    """Scored Study 1: equal stimuli have equal answers, as a model gives, or every trial has its own."""
    rows = trials("study1")
    unit = rows["trial_id"] if people else rows["stimulus"]
    number = pd.factorize(unit)[0]
    generator = np.random.default_rng(seed)
    parts = []
    for question in ("state0", "state1", "state2", "state3", "knowledge"):
        options = ["yes", "no"] if question == "knowledge" else PERCENTAGES
        prob = generator.dirichlet(np.ones(len(options)), number.max() + 1)[number]
        part = rows.loc[rows.index.repeat(len(options))].assign(
            model=model,
            experiment="study1-exp2",
            question=question,
            option=options * len(rows),
            logprob=np.log(prob.ravel() / 2),
            prob_raw=prob.ravel() / 2,
            prob_norm=prob.ravel(),
            option_mass=0.5,
            status="ok",
            reason="",
        )
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def bets(seed: int = 0, participants: int = 50) -> pd.DataFrame:
    """Bets of people, each of whom has a level of their own, with an effect of access and of observe."""
    generator = np.random.default_rng(seed)
    rows = trials("study1")
    rows = rows[rows["participant"].astype(int) <= participants]
    own = dict(zip(rows["participant"].unique(), generator.normal(0, 5, participants), strict=True))
    parts = []
    for state in range(4):
        effect = 8 * (rows["access"] == "2") + 20 * (rows["observe"] == str(state))
        noise = generator.normal(25, 6, len(rows)) + rows["participant"].map(own)
        parts.append(rows.assign(model="m", state=state, percentage=np.nan, bet=effect + noise))
    return pd.concat(parts, ignore_index=True)


def human() -> pd.DataFrame:
    """The human counts, one row per goal, state and utterance."""
    rows = [
        ("human", goal, state, utterance, int(count))
        for goal, cells in HUMAN.items()
        for state, cell in zip(study2.STATES, cells.split("|"), strict=True)
        for utterance, count in zip(study2.UTTERANCES, cell.split(), strict=True)
    ]
    return pd.DataFrame(rows, columns=["model", "goal", "state", "utterance", "count"])


def said2(seed: int = 0, participants: int = 40, separated: bool = False) -> pd.DataFrame:
    """Study 2 choices with random intercepts of participant and item.

    Where `separated`, nobody negates for the social goal at 3 hearts.
    """
    generator = np.random.default_rng(seed)
    rows = trials("study2")
    rows = rows[rows["participant"].astype(int) <= participants].reset_index(drop=True)
    log_odds = pd.Series(-0.4, index=rows.index)
    log_odds += 0.6 * (rows["goal"] == "social") - 0.3 * (rows["state"] == "2 hearts")
    log_odds += 0.8 * ((rows["goal"] == "both") & (rows["state"] == "1 heart"))
    for column, spread in (("participant", 0.8), ("item", 0.5)):
        names = rows[column].unique()
        log_odds += rows[column].map(dict(zip(names, generator.normal(0, spread, len(names)), strict=True)))
    negated = generator.random(len(rows)) < 1 / (1 + np.exp(-log_odds))
    if separated:
        negated &= ~((rows["goal"] == "social") & (rows["state"] == "3 hearts")).to_numpy()
    adjective = generator.choice(["terrible", "bad", "good", "amazing"], len(rows))
    return rows.assign(
        model="m",
        experiment="study2-exp1",
        question="utterance",
        replicate=1,
        response="",
        finish_reason="stop",
        structured=np.where(negated, "wasnt_", "was_") + pd.Series(adjective),
        category="answer",
        status="ok",
        reason="",
    )
