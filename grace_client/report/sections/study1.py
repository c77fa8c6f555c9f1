"""Study 1 in the report: beliefs about states, and whether a listener minds what the speaker knows."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from grace_client import analysis
from grace_client.report import format
from grace_client.report.blocks import Figure, Section, Table
from grace_client.report.runs import ALPHA, TITLES, Material
from grace_client.report.sections import contrasts, listener, normalisation
from grace_client.run import layout

CELL = ["access", "observe"]
QUESTIONS = ("state0", "state1", "state2", "state3", "knowledge")


def scored(material: Material) -> Section | None:
    """Experiment 2: elicited distributions."""
    frame = material.frames.get("study1-exp2")
    if frame is None:
        return None
    found = Section("study1-exp2", TITLES["study1-exp2"])
    means = cache(lambda: analysis.study1.cell_means(frame))
    with found.block("The bets on the four states"):
        _bets(found, means())
    with found.block("The table of contrasts"):
        contrasts.add(found, material, frame, "study1-exp2", "study1-contrasts")
    with found.block("The strength of the upper bound"):
        found.content.append(
            Table(
                "study1-implicature",
                "Strength of the upper bound",
                analysis.study1.implicature(frame),
                "mean: bet on the named state less the mean bet on higher ones, in dollars (even bets: 0); "
                "share: the named state's part of all that is bet on it and higher ones (even bets: .333 "
                "where “1” was said, .500 where “2” was).",
                counted="stories",
            )
        )
    with found.block("The analysis of variance"):
        _anova(found, frame, means())
    with found.block("The fit of the rational speech act listener"):
        listener.fits(found, means(), analysis.study1.by_item(frame))
    with found.block("The sum of the four elicited percentages"):
        _coherence(found, frame)
    with found.block("The elicited distributions"):
        _distributions(found, frame)
    with found.block("The answers on what the speaker knows"):
        knowledge = analysis.study1.knowledge(frame)
        found.content += [
            Figure(
                "study1-knowledge",
                "Whether the speaker is taken to know exactly how many",
                "Mean probability of yes with intervals by access, a panel for each number that is said.",
                lambda: analysis.figures.knowledge(knowledge),
            ),
            Table(
                "study1-knowledge",
                "Knowledge: probability of “yes”",
                knowledge,
                "Guessing: .5.",
                hidden=("share_yes",),
                counted="stories",
            ),
        ]
    with found.block("How much the way of scoring matters"):
        normalisation.add(found, material, "study1-exp2", QUESTIONS, CELL)
    return found


def _bets(found: Section, means: pd.DataFrame) -> None:
    theory = listener.expected()
    found.content += [
        "In every story a speaker has looked at 1, 2 or 3 of three things (access) and says how many of "
        "them have a property (observe). A listener who minds what the speaker knows takes “2 of the 3” as "
        "exactly two from a speaker who saw all three, and not from one who saw two. For each state the "
        "model was offered the percentages 0%, 10% to 100%. Each percentage was multiplied by its "
        "probability, and the sum is the elicited percentage of the state. The four elicited percentages "
        "are divided by their sum and multiplied by 100: these are the bets, as people divided $100. Even "
        "bets are 25 each.",
        Figure(
            "study1-states",
            "Bets on the four states, by what the speaker saw and said",
            "Mean bet on states 0 to 3 with intervals in the six cells of access and observe, for every "
            "model, beside the rational speech act listener.",
            lambda: analysis.figures.states(means, rsa=theory),
        ),
        "RSA is the listener of Goodman and Stuhlmüller, from rational speech act (RSA) theory. Its values "
        f"are fixed: the speaker that it imagines has optimality {ALPHA:g} (0: says anything that is true; "
        "higher: chooses the words that tell the listener most), and in the figure a thing has the property "
        "with probability 0.5 before anybody speaks. The paper prints tests, not cell means, so people are "
        "in the table of contrasts and not in the figure.",
        Table("study1-cell-means", "Mean bets (dollars of 100)", means, long=True, counted="stories"),
    ]
    listener.priors(found)


def _anova(found: Section, frame: pd.DataFrame, means: pd.DataFrame) -> None:
    table = analysis.study1.anova(frame)
    tests = analysis.reference.study1_tests()
    # What the paper calls word is observe here.
    names = [effect.replace("word", "observe") for effect in tests["effect"]]
    told = [
        f"{name}: F({row.df1}, {row.df2}) = {row.statistic}"
        for name, row in zip(names, tests.itertuples(), strict=True)
    ]
    found.content += [
        Table(
            "study1-anova",
            "Analysis of variance of the bets on state 3",
            table,
            "Access and observe are factors; sums of squares (SS, dollars²) are of type II, since three "
            "of the nine cells do not exist; stories are blocks; copies of a stimulus count once.",
            counted="stimuli",
        ),
        f"{_range(means)} Partial η² does not say how large a difference is; these dollars do.",
        f"People, as printed in the paper: {format.listed(told)}. Do not compare these F "
        "values with those of a model: F depends on what varies, which is people there and stimuli here.",
    ]


def _range(means: pd.DataFrame) -> str:
    """Between which dollars the cell means of state 3 lie, of each model."""
    own = means[means["state"] == 3].groupby("model", sort=False)["mean"]
    told = [
        f"{model} {format.number(low, 1)} to {format.number(high, 1)}"
        for model, low, high in zip(own.groups, own.min(), own.max(), strict=True)
    ]
    return f"Mean bets on state 3 in the six cells, in dollars: {format.listed(told)}."


def _coherence(found: Section, frame: pd.DataFrame) -> None:
    totals = analysis.mean_intervals(analysis.study1.coherence(frame), "total", ["model"], bounds=(0, 400))
    found.content.append(
        Table(
            "study1-coherence",
            "Coherence: sum of the four elicited percentages",
            totals,
            "The four states exclude each other and one of them is true: coherent answers sum to 100. "
            "Percentages chosen evenly from 0 to 100 would sum to 200.",
            counted="stories",
        )
    )
    told = [
        f"{model} {format.interval(mean, low, high, 0)}"
        for model, mean, low, high in zip(*(totals[c] for c in ("model", "mean", "low", "high")), strict=True)
    ]
    found.summary.append(
        f"The elicited percentages of the four states, which should sum to 100 (200 if chosen evenly): "
        f"{format.listed(told)}."
    )


def _distributions(found: Section, frame: pd.DataFrame) -> None:
    asked = frame[frame["question"].str.startswith("state") & (frame["status"] == layout.OK)]
    asked = asked.assign(
        state=asked["question"].str.removeprefix("state"), percentage=asked["option"].astype("float64")
    )
    cells = analysis.mean_intervals(
        asked, "prob_norm", ["model", *CELL, "state", "percentage"], bounds=(0, 1)
    )
    spread = analysis.summarise(frame)
    design = frame.drop_duplicates(["model", "trial_id"])[["model", "trial_id", "stimulus", *CELL]]
    spread = spread[spread["question"].str.startswith("state")].merge(design, on=["model", "trial_id"])
    entropy = analysis.mean_intervals(
        spread,
        "entropy",
        ["model", *CELL, "question"],
        bounds=(0, float(np.log2(asked["percentage"].nunique()))),
    )
    found.content += [
        *_heat(cells),
        Table(
            "study1-percentages",
            "Mean probability of each percentage",
            cells,
            "The numbers behind the heat map, with intervals. Chosen evenly, each of the 11 percentages has "
            "1/11 = .091.",
            long=True,
            counted="stories",
        ),
        Figure(
            "study1-entropy",
            "How spread out the answers are",
            "Mean entropy in bits with intervals of the answers about each state, by cell.",
            lambda: analysis.figures.entropy(entropy),
        ),
        Table(
            "study1-entropy",
            "Entropy of the answers (bits)",
            entropy,
            "0 is certain; 11 percentages that are equally likely have the most, log2(11) = 3.46 bits.",
            long=True,
            counted="stories",
        ),
    ]


def _heat(cells: pd.DataFrame) -> list[Figure]:
    """A heat map of each model; colours mean the same in all of them."""
    highest, models = float(cells["mean"].max()), list(dict.fromkeys(cells["model"]))
    return [
        Figure(
            "study1-percentages" + f"-{place}" * (len(models) > 1),
            f"The elicited distributions of {model}",
            f"For each cell and state, how probable {model} finds each of the percentages 0, 10, to 100.",
            lambda model=model: analysis.figures.percentages(  # type: ignore[misc]
                cells[cells["model"] == model], highest=highest
            ),
        )
        for place, model in enumerate(models, start=1)
    ]


def free(material: Material) -> Section | None:
    """Experiment 1: what is said."""
    if "study1-exp1" not in material.frames:
        return None
    found = Section("study1-exp1", TITLES["study1-exp1"])
    frame = material.extracted("study1-exp1")
    if frame is None:
        found.content.append("The free text has not been given its meaning: run 'grace extract' on the run.")
        return found
    with found.block("The numbers that are said"):
        means = analysis.study1.cell_means(frame)
        found.content += [
            "Answers that name a number count as a bet of 100 on it; answers without a clear meaning are "
            "left out.",
            Figure(
                "study1-free-states",
                "Numbers that are said, by what the speaker saw and said",
                "Share of answers on states 0 to 3 with intervals in the six cells, for every model.",
                lambda: analysis.figures.states(means, rsa=listener.expected()),
            ),
            Table(
                "study1-free-cell-means",
                "Bets in free text (dollars of 100)",
                means,
                "Even bets are 25 each.",
                long=True,
                counted="stories",
            ),
        ]
    with found.block("The table of contrasts"):
        contrasts.add(found, material, frame, "study1-exp1", "study1-free-contrasts")
    with found.block("The answers on what the speaker knows"):
        knowledge = analysis.study1.knowledge(frame)
        found.content += [
            Figure(
                "study1-free-knowledge",
                "Whether the speaker is said to know exactly how many",
                "Share of yes with intervals by access, a panel for each number that is said.",
                lambda: analysis.figures.knowledge(knowledge),
            ),
            Table(
                "study1-free-knowledge",
                "Knowledge: share of “yes”",
                knowledge,
                "Of the answers yes, no and unsure: “unsure” counts as not yes. Guessing between yes and no: "
                ".5.",
                hidden=("share_yes",),
                counted="stories",
            ),
        ]
    return found
