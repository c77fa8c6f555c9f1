"""Study 2 in the report: what is said, who negates, and how close it is to people."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from grace_client import analysis
from grace_client.analysis import study2
from grace_client.report import format
from grace_client.report.blocks import Figure, Section, Table
from grace_client.report.headlines import Headline, Outcomes, asked, mean, notes
from grace_client.report.runs import ReportData
from grace_client.report.sections import normalisation
from grace_client.report.theory import speaker
from grace_client.studies.declaration import Experiment

CELL = speaker.CELL
NEGATED = "prob_wasnt"
"""The outcome of `analysis.outcomes`: the probability of the four negated utterances together."""
NEGATION = "probability of a negation"
"""This outcome in words."""


def headlines(experiment: Experiment) -> tuple[Headline, ...]:
    """How often the utterances are negated: all of them, and those about bad news by goal."""

    def bad_news(outcomes: pd.DataFrame) -> pd.DataFrame:
        rows = outcomes[outcomes["state"] == "0 hearts"]
        return analysis.cell_means(rows, NEGATED, by=["goal"], experiment=experiment)

    wanted = {"question": "utterance", "outcome": NEGATED, "words": NEGATION, "least": 0, "greatest": 1}
    return (
        mean(experiment, wanted, 0.5),
        Headline(
            "bad-news",
            "negation of bad news",
            Outcomes(experiment),
            bad_news,
            lambda row: _bad_news_words(row["goal"]),
            neutral=0.5,
            bounds=(0, 1),
        ),
    )


def _bad_news_words(goal: str) -> str:
    return f"{NEGATION} at 0 hearts, {speaker.GOAL_WORDS[goal]}"


def scored(data: ReportData) -> Section | None:
    """Experiment 2: probabilities of the eight utterances."""
    name = "study2-exp2"
    frame = data.frames.get(name)
    if frame is None:
        return None
    section = Section(name, data.experiment(name).title)
    _answers(
        section,
        data,
        "study2",
        "estimate: log odds, relative to the goal informational at 0 hearts. A fractional logit of the "
        "probability of a negation, with Student's t. Its standard errors allow any correlation within a "
        "domain.",
    )
    with section.block("The fit of the polite speaker"):
        speaker.fits(section, data.once(study2.utterances, name), data.once(study2.by_item, name))
    with section.block("How much the way of scoring matters"):
        normalisation.add(section, data, name, ["utterance"], CELL)
    return section


def free(data: ReportData) -> Section | None:
    """Experiment 1: utterances in free text that has been extracted."""
    name = "study2-exp1"
    frame = data.answers(name)
    if frame is None:
        return None
    section = Section(name, data.experiment(name).title)
    _answers(
        section,
        data,
        "study2-free",
        "estimate: log odds, relative to the goal informational at 0 hearts, with random intercepts of item "
        "and of item in a cell.",
    )
    return section


def _answers(section: Section, data: ReportData, name: str, note: str) -> None:
    """Add the utterances, their tests and their utilities; `note` explains the model of negation."""
    frame = data.answers(section.name)
    assert frame is not None
    with section.block("What is said, and who negates,"):
        _utterances(section, data, data.once(study2.utterances, section.name), study2.negation(frame), name)
    if "response" in frame.columns:
        with section.block("The test of each utterance against chance"):
            section.content.append(
                Table(
                    f"{name}-binomial",
                    "Each utterance against chance",
                    study2.binomial(frame),
                    "Tests against 1/8. Like the intervals, they treat answers about the same domain as "
                    "dependent. p (Holm): corrected over all tests of a model.",
                    long=True,
                    unit="domains",
                )
            )
    with section.block("The model of negation"):
        section.content += _negation_model(study2.negation_model(frame), name, note)
    with section.block("How kind and how informative the utterances are"):
        section.content.append(_utilities(frame, name))


def _negation_model(fit: study2.NegationModel, name: str, note: str) -> list[str | Table]:
    """The model of negation, its omnibus test, and the paper's two comparisons of goals."""
    separated = (
        "separated: in a cell of this row all answers or none are negated, so the estimate is not finite"
    )
    if "penalised" in fit.terms:
        separated += (
            ". penalised: a finite estimate for these rows too; half an answer of each kind is added to each "
            "cell (a log-F(1, 1) prior; Firth's correction if answers are independent)"
        )
    content: list[str | Table] = []
    if fit.terms[[name for name in ("estimate", "penalised") if name in fit.terms]].notna().any(axis=None):
        content.append(
            Table(
                f"{name}-negation-model",
                "Logistic model of negation",
                _estimate_first(fit.terms, "term"),
                f"{note} {separated}.",
                hidden=("method", *_empty(fit.terms)),
                unit="domains",
            )
        )
    if fit.omnibus["p"].notna().any():
        content.append(
            Table(
                f"{name}-negation-omnibus",
                "Test of the interaction of goal and state",
                fit.omnibus,
                "Wald's test of goal by state in that model"
                + (", as Hotelling's T² over domains" if "f" in fit.omnibus else "")
                + ". separated: a cell without finite log odds is left out.",
                hidden=("method",),
                unit="domains",
            )
        )
    else:
        content.append(_untested(fit))
    tests = [column for column in ("estimate", "penalised", "p_exact") if column in fit.contrasts]
    if fit.contrasts[tests].notna().any(axis=None):
        return [*content, _goal_contrasts(fit, name, separated)]
    return [
        *content,
        "The goals cannot be compared within domains either: no two domains have answers for both goals.",
    ]


def _untested(fit: study2.NegationModel) -> str:
    """Why there is no test of goal by state, by model."""
    reasons: dict[str, list[str]] = {}
    for row in fit.omnibus.to_dict("records"):
        if not row["df"]:
            why = "too few cells have finite log odds"
        elif "df_error" in row and pd.isna(row["df_error"]):
            why = f"the test needs answers about more than {row['df']} domains in every cell"
        else:
            why = "the answers are too few or too similar to estimate the errors of all cells"
        reasons.setdefault(why, []).append(str(row["model"]))
    lines = "; ".join(f"{why} ({format.listed(models)})" for why, models in reasons.items())
    return (
        "Whether goals matter differently at different states cannot be tested over all cells at once: "
        f"{lines}."
        + " In the table above, each row with a p value tests one interaction."
        * bool(fit.terms["p"].notna().any())
    )


def _goal_contrasts(fit: study2.NegationModel, name: str, separated: str) -> Table:
    """The comparisons of goals in the model, and exactly within domains."""
    table = fit.contrasts
    few = int((table["n_distinct"] < 2).sum())
    return Table(
        f"{name}-negation-contrasts",
        "Negation with the goal both, against each goal alone",
        _estimate_first(table, "goal", "against", "state"),
        "estimate: log odds ratio in that model. domains: their number in the smallest cell of the comparison"
        + ("; t has one degree of freedom fewer" if "t" in table else "")
        + ". Holm: corrected within the model. p exact: from the shares of negation in domains with both "
        "goals. If the goal did not matter, the two shares of a domain could be exchanged. With k such "
        "domains, p exact is at least 2 / 2^k, so with few domains it cannot be small. Where p and p exact "
        f"disagree, trust p exact: it needs no model, and p is too small where domains are few. {separated}."
        + f" {few} of {len(table)} rows have no test: a cell has answers about fewer than two domains."
        * bool(few),
        long=True,
        hidden=("method", *_empty(table)),
        unit="domains",
    )


def _empty(table: pd.DataFrame) -> tuple[str, ...]:
    """Columns of the unpenalised model to hide, because all their values are missing."""
    if table["estimate"].notna().any():
        return ()
    own = ("estimate", "low", "high", "se", "z", "t", "df", "p", "p_holm", "converged")
    return tuple(name for name in own if name in table)


def _estimate_first(table: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """Each interval behind its estimate."""
    first = ["model", *keys, "estimate", "low", "high"]
    return table[[*first, *(name for name in table.columns if name not in first)]]


def _utilities(frame: pd.DataFrame, name: str) -> Table:
    """Expected utilities of the utterances, of models and of people."""
    people = study2.utilities(analysis.reference.study2().assign(model="people"))
    keys = [*CELL, "utility"]
    return Table(
        f"{name}-utilities",
        "How kind and how informative the utterances are",
        study2.utilities(frame).merge(_beside(people, keys, "mean"), on=keys, how="left"),
        "Computed for a literal listener, who understands each utterance as 49 people judged it. social: "
        "number of hearts that the listener then expects. informational: log-probability (nats) that the "
        "listener gives to the true state. best: the highest value of any utterance.",
        long=True,
        unit="domains",
    )


def _utterances(
    section: Section, data: ReportData, means: pd.DataFrame, negation: pd.DataFrame, name: str
) -> None:
    people, negated = analysis.reference.study2(), analysis.reference.study2_negation()
    theory = analysis.rsa.predict_study2(analysis.rsa.people())
    theory_negates = theory[theory["utterance"].str.startswith("wasnt")]
    theory_negates = theory_negates.groupby(CELL, sort=False)["prob"].sum().reset_index()
    source = "people: shares in the authors' public data (203 participants), with exact intervals."
    keys = [*CELL, "utterance"]
    section.content += [
        "A speaker who privately gives 0 to 3 hearts wants to be kind, to be informative, or both, and "
        "says that it was, or wasn't, terrible, bad, good or amazing. People who want both negate bad news.",
        Figure(
            f"{name}-negation",
            "Negation by goal and state",
            "Share of negated utterances with intervals over 0 to 3 hearts, a panel for each goal; models, "
            "people and the rational speech act speaker.",
            lambda: analysis.figures.negation(negation, people=negated, rsa=theory_negates),
        ),
        Table(
            f"{name}-negation",
            "Negated utterances",
            negation.merge(_beside(negated, CELL), on=CELL, how="left"),
            f"{source} Chance: .5.",
            hidden=("chance",),
            unit="domains",
        ),
        Figure(
            f"{name}-utterances",
            "What is said, by goal and state",
            "Share of each of eight utterances with intervals, a panel for each goal and state; models, "
            "people and the rational speech act speaker.",
            lambda: analysis.figures.utterances(means, people=people, rsa=theory),
        ),
        speaker.theory(theory),
        Table(
            f"{name}-utterances",
            "Utterances (chance is 0.125)",
            means.merge(_beside(people, keys), on=keys, how="left"),
            source,
            long=True,
            hidden=("chance",),
            unit="domains",
        ),
    ]
    cells = {"people": negated.rename(columns={"share": "mean"})}
    cells |= {str(model): own for model, own in negation.groupby("model", sort=False)}
    # A model with an empty cell cannot be compared with people there.
    cells = {model: own for model, own in cells.items() if len(own) == len(negated)}
    if len(cells) > 1:
        where = "" if name == "study2" else " in free text"
        bad_news = headlines(data.experiment(section.name))[-1]
        beside = notes(data, section.name, bad_news, format.share)
        section.summary.append(
            f"How often bad news (0 hearts) is negated{where}, {asked(data, section.name)}, by what the "
            "speaker wants (chance: 50%; in brackets: 95% intervals): "
            f"{'; '.join(_bad_news(goal, cells, beside) for goal in speaker.GOALS)}."
        )


def _bad_news(goal: str, tables: dict[str, pd.DataFrame], beside: Mapping[tuple[str, str], str]) -> str:
    """Negation at 0 hearts with a goal, of people and of every model with the number of its domains."""
    lines = []
    for name, cells in tables.items():
        own = cells[(cells["state"] == "0 hearts") & (cells["goal"] == goal)].iloc[0]
        share = format.share(float(own["mean"]), float(own["low"]), float(own["high"]))
        over = f" over {format.plural(int(own['n_distinct']), 'domain')}" if "n_distinct" in own.index else ""
        lines.append(f"{name} {share}{over}{beside.get((name, _bad_news_words(goal)), '')}")
    return f"{speaker.GOAL_WORDS[goal]}: {', '.join(lines)}"


def _beside(people: pd.DataFrame, keys: list[str], value: str = "share") -> pd.DataFrame:
    """Values of people, with their intervals, as columns to add to those of a model."""
    names = {value: "people", "low": "people_low", "high": "people_high"}
    return people[[*keys, *names]].rename(columns=names)


def judgements(data: ReportData) -> Section | None:
    """The optional experiment: how an utterance is judged."""
    name = "study2-judgement"
    frame = data.frames.get(name)
    if frame is None:
        return None
    table = study2.judgements(frame)
    return Section(
        name,
        data.experiment(name).title,
        content=[
            "How appropriate it is to say the trial's utterance (probability), and how good a choice of "
            "words it is (score from 1, terrible, to 5, excellent).",
            Figure(
                name,
                "Judgements by goal and state",
                "Mean probability of appropriate and mean quality score with intervals, by goal and state.",
                lambda: analysis.figures.judgements(table),
            ),
            Table(name, "Judgements", table, unit="domains"),
        ],
    )
