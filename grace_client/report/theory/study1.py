"""Study 1 in the report: bets on the states, tests of the contrasts, answers about knowledge."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grace_client import analysis
from grace_client.analysis import study1
from grace_client.core.errors import NotEnoughDataError
from grace_client.report import format
from grace_client.report.blocks import Figure, Section, Table
from grace_client.report.headlines import Headline, mean
from grace_client.report.runs import ReportData
from grace_client.report.sections import normalisation
from grace_client.report.theory import contrasts, listener
from grace_client.run.layout import OK
from grace_client.studies.declaration import Experiment

CELL = list(study1.CELL)
QUESTIONS = ("state0", "state1", "state2", "state3", "knowledge")


def headlines(experiment: Experiment) -> tuple[Headline, ...]:
    """What access does to the lead of a named state, the percentages of the states, and knowledge."""

    def percentages(bets: pd.DataFrame, by: list[str]) -> pd.DataFrame:
        return analysis.mean_intervals(bets, "percentage", ["model", "state", *by], bounds=(0, 100))

    return (
        contrasts.access_effect(),
        Headline(
            "percentages",
            "the elicited percentages",
            study1.bets,
            lambda bets: percentages(bets, []),
            lambda row: f"elicited percentage of state {row['state']}",
            neutral=50,
            bounds=(0, 100),
            by_item=lambda bets: percentages(bets, ["item", *CELL]),
            conditions=("state", *CELL),
        ),
        mean(
            experiment,
            {
                "question": "knowledge",
                "outcome": "prob_yes",
                "words": "probability of yes to what the speaker knows",
                "least": 0,
                "greatest": 1,
            },
            0.5,
        ),
    )


def scored(data: ReportData) -> Section | None:
    """Experiment 2: elicited distributions."""
    name = "study1-exp2"
    frame = data.frames.get(name)
    if frame is None:
        return None
    section = Section(name, data.experiment(name).title)
    with section.block("The bets on the four states"):
        _bets(section, data.once(study1.cell_means, name, of=study1.bets))
    with section.block("The table of contrasts"):
        contrasts.add(section, data, data.once(study1.bets, name), name, "study1-contrasts")
    with section.block("The strength of the upper bound"):
        section.content.append(
            Table(
                "study1-implicature",
                "Strength of the upper bound",
                study1.implicature(data.once(study1.bets, name)),
                "mean: bet on the named state minus the mean bet on higher states, in dollars (even bets: "
                "0). share: the named state's part of the bets on it and on higher states (even bets: .333 "
                "after “1”, .500 after “2”).",
                unit="stories",
            )
        )
    with section.block("The analysis of variance"):
        means = data.once(study1.cell_means, name, of=study1.bets)
        _anova(section, study1.anova(data.once(study1.bets, name)), means)
    with section.block("The fit of the rational speech act listener"):
        means = data.once(study1.cell_means, name, of=study1.bets)
        listener.fits(section, means, data.once(study1.by_item, name, of=study1.bets))
    with section.block("The sum of the four elicited percentages"):
        _coherence(section, study1.coherence(data.once(study1.bets, name)))
    with section.block("The elicited distributions"):
        _distributions(section, frame)
    _knowledge(section, frame, "study1-knowledge")
    with section.block("How much the way of scoring matters"):
        normalisation.add(section, data, name, QUESTIONS, CELL)
    return section


def _knowledge(section: Section, frame: pd.DataFrame, name: str) -> None:
    free = "response" in frame.columns
    with section.block("The answers on what the speaker knows"):
        knowledge = study1.knowledge(frame)
        section.content += [
            Figure(
                name,
                "Does the speaker know exactly how many? Answers “yes”",
                f"{'Share' if free else 'Mean probability'} of yes with intervals by access, a panel for "
                "each number that is said.",
                lambda: analysis.figures.knowledge(knowledge),
            ),
            Table(
                name,
                f"Knowledge: {'share' if free else 'probability'} of “yes”",
                knowledge,
                "Of the answers yes, no and unsure; unsure counts as not yes. Chance for yes or no: .5."
                if free
                else "Chance: .5.",
                hidden=("share_yes",),
                unit="stories",
            ),
        ]


def _bets(section: Section, means: pd.DataFrame) -> None:
    theory = listener.expected()
    section.content += [
        "In every story a speaker has looked at 1, 2 or 3 of three things (access) and says how many of "
        "them have a property (observe). A listener who takes the speaker's knowledge into account "
        "understands “2 of the 3” as exactly two from a speaker who saw all three, but not from one who "
        "saw two. For each state the model chose one of the percentages 0%, 10%, … 100%. The elicited "
        "percentage of a state is the mean of these percentages, weighted by their probabilities. The bets "
        "are the four elicited percentages divided by their sum, times 100, because people divided $100. "
        "Even bets are 25 each.",
        Figure(
            "study1-states",
            "Bets on the four states, by what the speaker saw and said",
            "Mean bet on states 0 to 3 with intervals in the six cells of access and observe, for every "
            "model, and of the rational speech act listener.",
            lambda: analysis.figures.states(means, rsa=theory),
        ),
        "RSA is the listener of Goodman and Stuhlmüller, from rational speech act (RSA) theory. Its values "
        f"are fixed: the imagined speaker has optimality {listener.ALPHA:g} (0: says anything that is true; "
        "higher: chooses the most informative words), and in the figure a thing has the property with "
        "probability 0.5 before anybody speaks. The paper prints tests, not cell means, so people are in "
        "the table of contrasts and not in the figure.",
        Table("study1-cell-means", "Mean bets (dollars of 100)", means, long=True, unit="stories"),
    ]
    listener.priors(section)


def _anova(section: Section, table: pd.DataFrame, means: pd.DataFrame) -> None:
    # The paper calls the factor "observe" "word".
    people = [
        f"{str(row.effect).replace('word', 'observe')}: F({row.df1}, {row.df2}) = {row.statistic}"
        for row in analysis.reference.study1_tests().itertuples()
    ]
    state3 = means[means["state"] == 3].groupby("model", sort=False)["mean"]
    ranges = [
        f"{model} {format.number(low, 1)} to {format.number(high, 1)}"
        for model, low, high in zip(state3.groups, state3.min(), state3.max(), strict=True)
    ]
    section.content += [
        Table(
            "study1-anova",
            "Analysis of variance of the bets on state 3",
            table,
            "Access and observe are factors, stories are blocks. Sums of squares (SS, dollars²) are of "
            "type II, because three of the nine cells do not exist. Copies of a stimulus count once.",
            unit="stimuli",
        ),
        f"Mean bets on state 3 in the six cells, in dollars: {format.listed(ranges)}. Partial η² does not "
        "say how large a difference is; these dollars do.",
        f"People, as printed in the paper: {format.listed(people)}. Do not compare these F values with "
        "those of a model: F is relative to the variance between people there, and between stimuli here.",
    ]


def _coherence(section: Section, totals: pd.DataFrame) -> None:
    table = analysis.mean_intervals(totals, "total", ["model"], bounds=(0, 400))
    section.content.append(
        Table(
            "study1-coherence",
            "Coherence: sum of the four elicited percentages",
            table,
            "Exactly one of the four states is true, so coherent answers sum to 100. Percentages chosen "
            "evenly from 0 to 100 would sum to 200.",
            unit="stories",
        )
    )
    section.summary.append(
        "The elicited percentages of the four states should sum to 100 (chance: 200). Their sums, "
        "with 95% intervals: "
        f"{format.listed(format.means(table, 'model', 0))}."
    )


def _distributions(section: Section, frame: pd.DataFrame) -> None:
    rows = frame[frame["question"].str.startswith("state") & (frame["status"] == OK)]
    rows = rows.assign(
        state=rows["question"].str.removeprefix("state"), percentage=rows["option"].astype("float64")
    )
    cells = analysis.mean_intervals(rows, "prob_norm", ["model", *CELL, "state", "percentage"], bounds=(0, 1))
    spread = analysis.summarise(frame)
    design = frame.drop_duplicates(["model", "trial_id"])[["model", "trial_id", "stimulus", *CELL]]
    spread = spread[spread["question"].str.startswith("state")].merge(design, on=["model", "trial_id"])
    most = float(np.log2(rows["percentage"].nunique()))
    entropy = analysis.mean_intervals(spread, "entropy", ["model", *CELL, "question"], bounds=(0, most))
    section.content += [
        *_heat(cells),
        Table(
            "study1-percentages",
            "Mean probability of each percentage",
            cells,
            "The values of the heat map, with intervals. Chance: 1/11 = .091 for each of the 11 percentages.",
            long=True,
            unit="stories",
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
            "0: certain. Highest: 11 equally likely percentages, log2(11) = 3.46 bits.",
            long=True,
            unit="stories",
        ),
    ]


def _heat(cells: pd.DataFrame) -> list[Figure]:
    """A heat map of each model, all with the same colour scale."""
    highest, models = float(cells["mean"].max()), list(dict.fromkeys(cells["model"]))
    return [
        Figure(
            "study1-percentages" + f"-{place}" * (len(models) > 1),
            f"The elicited distributions of {model}",
            f"For each cell and state, the probability that {model} gives to each of the percentages 0, 10, "
            "to 100.",
            lambda model=model: analysis.figures.percentages(  # type: ignore[misc]
                cells[cells["model"] == model], highest=highest
            ),
        )
        for place, model in enumerate(models, start=1)
    ]


def free(data: ReportData) -> Section | None:
    """Experiment 1: free text that has been extracted."""
    name = "study1-exp1"
    frame = data.answers(name)
    if frame is None:
        return None
    section = Section(name, data.experiment(name).title)
    with section.block("The numbers in the answers"):
        means = data.once(study1.cell_means, name, of=study1.bets)
        section.content += [
            "An answer that names a number counts as a bet of 100 on it. Answers without a clear meaning are "
            "left out.",
            Figure(
                "study1-free-states",
                "Numbers in the answers, by what the speaker saw and said",
                "Share of answers on states 0 to 3 with intervals in the six cells, for every model.",
                lambda: analysis.figures.states(means, rsa=listener.expected()),
            ),
            Table(
                "study1-free-cell-means",
                "Bets in free text (dollars of 100)",
                means,
                "Even bets are 25 each.",
                long=True,
                unit="stories",
            ),
        ]
    with section.block("The table of contrasts"):
        contrasts.add(section, data, data.once(study1.bets, name), name, "study1-free-contrasts")
    _knowledge(section, frame, "study1-free-knowledge")
    return section


def left_out(data: ReportData, model: str) -> list[str]:
    """How many trials of a model have no bets."""
    name = "study1-exp2"
    frame = data.frames[name]
    trials = frame.loc[frame["model"] == model, "trial_id"].nunique()
    try:
        bets = data.once(study1.bets, name).dropna(subset=["bet"])
    except NotEnoughDataError:
        bets = pd.DataFrame(columns=["model", "trial_id"])
    lost = trials - bets.loc[bets["model"] == model, "trial_id"].nunique()
    return [
        f"{lost:,} of {trials:,} trials have no bets, because one of their four states has no percentage or "
        "all are 0"
    ] * bool(lost)
