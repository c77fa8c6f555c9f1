"""Study 2 in the report: what is said, who negates, and how close it is to people."""

from __future__ import annotations

import pandas as pd

from grace_client import analysis
from grace_client.report import format
from grace_client.report.blocks import Figure, Section, Table
from grace_client.report.runs import TITLES, Material
from grace_client.report.sections import normalisation, speaker


def scored(material: Material) -> Section | None:
    """Experiment 2: probabilities of the eight utterances."""
    frame = material.frames.get("study2-exp2")
    if frame is None:
        return None
    found = Section("study2-exp2", TITLES["study2-exp2"])
    with found.block("What is said, and who negates,"):
        _said(found, frame, "study2")
    with found.block("The model of negation"):
        found.content += _negating(
            frame,
            "study2",
            "Log odds against goal informational and 0 hearts: a fractional logit of the probability of a "
            "negation, with errors robust to any correlation within a domain and Student's t.",
        )
    with found.block("How kind and how informative the utterances are"):
        found.content.append(_gained(frame, "study2"))
    with found.block("The fit of the polite speaker"):
        speaker.fits(found, analysis.study2.utterances(frame), analysis.study2.by_item(frame))
    with found.block("How much the way of scoring matters"):
        normalisation.add(found, material, "study2-exp2", ["utterance"], speaker.CELL)
    return found


def free(material: Material) -> Section | None:
    """Experiment 1: utterances in free text."""
    if "study2-exp1" not in material.frames:
        return None
    found = Section("study2-exp1", TITLES["study2-exp1"])
    frame = material.extracted("study2-exp1")
    if frame is None:
        found.content.append("The free text has not been given its meaning: run 'grace extract' on the run.")
        return found
    with found.block("What is said, and who negates,"):
        _said(found, frame, "study2-free")
    with found.block("The test of each utterance against chance"):
        found.content.append(
            Table(
                "study2-free-binomial",
                "Each utterance against chance",
                analysis.study2.binomial(frame),
                "Tests against 1/8 that know which answers are about the same domain, as the intervals do; "
                "p (Holm): corrected over all tests of the model.",
                long=True,
                counted="domains",
            )
        )
    with found.block("The model of negation"):
        found.content += _negating(
            frame,
            "study2-free",
            "Log odds against goal informational and 0 hearts, with random intercepts of item and of item "
            "in a cell.",
        )
    with found.block("How kind and how informative the utterances are"):
        found.content.append(_gained(frame, "study2-free"))
    return found


def _negating(frame: pd.DataFrame, name: str, note: str) -> list[str | Table | Figure]:
    """The model of negation, its omnibus test, and the paper's two comparisons of goals."""
    fit = analysis.study2.negation_model(frame)
    separated = "separated: it rests on a cell where all or none negate, and has no finite value"
    if "penalised" in fit.terms:
        separated += (
            "; penalised: with half an answer of each kind added to each cell (a log-F(1, 1) prior, Firth's "
            "correction where answers are independent), it has"
        )
    found: list[str | Table | Figure] = []
    if fit.terms[[name for name in ("estimate", "penalised") if name in fit.terms]].notna().any(axis=None):
        found.append(
            Table(
                f"{name}-negation-model",
                "Logistic model of negation",
                _estimate_first(fit.terms, "term"),
                f"{note} {separated}.",
                hidden=("method", *_empty(fit.terms)),
                counted="domains",
            )
        )
    if fit.omnibus["p"].notna().any():
        found.append(
            Table(
                f"{name}-negation-omnibus",
                "Whether goals matter differently at different states",
                fit.omnibus,
                "Wald's test of goal by state in that model"
                + (", as Hotelling's T² over domains" if "f" in fit.omnibus else "")
                + ". separated: a cell without finite log odds is left out.",
                hidden=("method",),
                counted="domains",
            )
        )
    else:
        found.append(_untested(fit))
    tests = [column for column in ("estimate", "penalised", "p_exact") if column in fit.contrasts]
    if fit.contrasts[tests].notna().any(axis=None):
        return [*found, _goal_contrasts(fit, name, separated)]
    return [*found, "Nor can the goals be compared within domains: no two domains have answers for both."]


def _untested(fit: analysis.study2.NegationModel) -> str:
    """Why there is no test of goal by state, of each model."""
    lines: dict[str, list[str]] = {}
    for row in fit.omnibus.to_dict("records"):
        if not row["df"]:
            why = "too few cells have finite log odds"
        elif "df_error" in row and pd.isna(row["df_error"]):
            why = (
                f"the test needs more than {row['df']} domains with answers in every cell, and the cell with "
                "the fewest has fewer"
            )
        else:
            why = "the answers do not tell the errors of all cells apart"
        lines.setdefault(why, []).append(str(row["model"]))
    told = "; ".join(f"{why} ({format.listed(models)})" for why, models in lines.items())
    return (
        "Whether goals matter differently at different states cannot be tested over all cells at once: "
        f"{told}."
        + " The rows above that have a p test one interaction each."
        * bool(fit.terms["p"].notna().any())
    )


def _goal_contrasts(fit: analysis.study2.NegationModel, name: str, separated: str) -> Table:
    """The comparisons of goals in the model, and exactly within domains."""
    table = fit.contrasts
    few = int((table["n_distinct"] < 2).sum())
    return Table(
        f"{name}-negation-contrasts",
        "Negation with the goal both, against each goal alone",
        _estimate_first(table, "goal", "against", "state"),
        "estimate: log odds ratio in that model; domains: of its cells, in the one that has the fewest"
        + ("; t has one degree of freedom less" if "t" in table else "")
        + "; Holm: corrected within the model. p exact: from the shares of negation in the domains that have "
        "both goals; if the goal did not matter, the two shares of a domain could be exchanged. With k such "
        "domains, p exact cannot be below 2 / 2^k, so with few domains it cannot be small. Where p and p "
        "exact disagree, trust p exact: it needs no model, and p is too small where domains are few. "
        + f"{separated}."
        + f" {few} of {len(table)} need a cell with answers about fewer than two domains, and have no test."
        * bool(few),
        long=True,
        hidden=("method", *_empty(table)),
        counted="domains",
    )


def _empty(table: pd.DataFrame) -> tuple[str, ...]:
    """Columns of the unpenalised model where it tells nothing: a table of dashes is none."""
    if table["estimate"].notna().any():
        return ()
    own = ("estimate", "low", "high", "se", "z", "t", "df", "p", "p_holm", "converged")
    return tuple(name for name in own if name in table)


def _estimate_first(table: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """Each interval behind its estimate."""
    first = ["model", *keys, "estimate", "low", "high"]
    return table[[*first, *(name for name in table.columns if name not in first)]]


def _gained(frame: pd.DataFrame, name: str) -> Table:
    """Expected utilities of what is said, beside those of what people say."""
    people = analysis.study2.utilities(analysis.reference.study2().assign(model="people"))
    beside = people.rename(columns={"mean": "people", "low": "people_low", "high": "people_high"})
    keys = [*speaker.CELL, "utility"]
    return Table(
        f"{name}-utilities",
        "How kind and how informative the utterances are",
        analysis.study2.utilities(frame).merge(
            beside[[*keys, "people", "people_low", "people_high"]], on=keys, how="left"
        ),
        "Computed for a literal listener, who understands each utterance as 49 people judged it. social: how "
        "many hearts the listener then expects; informational: the log-probability (nats) that the listener "
        "gives to the true state; best: the highest value that any utterance has.",
        long=True,
        counted="domains",
    )


def _said(found: Section, frame: pd.DataFrame, name: str) -> None:
    people, negated = analysis.reference.study2(), analysis.reference.study2_negation()
    theory = analysis.rsa.predict_study2(analysis.rsa.people())
    means, negation = analysis.study2.utterances(frame), analysis.study2.negation(frame)
    theory_negates = theory[theory["utterance"].str.startswith("wasnt")]
    theory_negates = theory_negates.groupby(speaker.CELL, sort=False)["prob"].sum().reset_index()
    found.content += [
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
            negation.merge(_beside(negated, speaker.CELL), on=speaker.CELL, how="left"),
            "people: counts of the authors' public data (203 participants) with exact intervals; chance is "
            "one half.",
            hidden=("chance",),
            counted="domains",
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
            means.merge(
                _beside(people, [*speaker.CELL, "utterance"]), on=[*speaker.CELL, "utterance"], how="left"
            ),
            "people: counts of the authors' public data (203 participants) with exact intervals.",
            long=True,
            hidden=("chance",),
            counted="domains",
        ),
    ]
    where = "" if name == "study2" else " in free text"
    whole = {"people": negated.rename(columns={"share": "mean"})}
    whole |= {str(model): own for model, own in negation.groupby("model", sort=False)}
    # What is missing in one table would stand beside nothing in the other.
    whole = {model: own for model, own in whole.items() if len(own) == len(negated)}
    told = [_bad_news(goal, whole) for goal in speaker.GOALS]
    if len(whole) > 1:
        found.summary.append(
            f"How often bad news (0 hearts) is negated{where}, by what the speaker wants (chance: 50%): "
            f"{'; '.join(told)}."
        )


def _bad_news(goal: str, tables: dict[str, pd.DataFrame]) -> str:
    """Negation at 0 hearts with a goal, of people and of every model with the number of its domains."""
    told = []
    for name, cells in tables.items():
        own = cells[(cells["state"] == "0 hearts") & (cells["goal"] == goal)].iloc[0]
        share = format.share(float(own["mean"]), float(own["low"]), float(own["high"]))
        count = int(own["n_distinct"]) if "n_distinct" in own.index else 0
        over = f" over {count} domain{'s' * (count > 1)}" if count else ""
        told.append(f"{name} {share}{over}")
    return f"{speaker.WANTED[goal]}: {', '.join(told)}"


def _beside(people: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """What people did, as columns to set beside a model's: a share with its interval."""
    names = {"share": "people", "low": "people_low", "high": "people_high"}
    return people[[*keys, *names]].rename(columns=names)


def judgements(material: Material) -> Section | None:
    """The optional experiment: how an utterance is judged."""
    frame = material.frames.get("study2-judgement")
    if frame is None:
        return None
    table = analysis.study2.judgements(frame)
    return Section(
        "study2-judgement",
        TITLES["study2-judgement"],
        content=[
            "How appropriate it is to say the trial's utterance (probability), and how good a choice of "
            "words (score from 1, terrible, to 5, excellent).",
            Figure(
                "study2-judgement",
                "Judgements by goal and state",
                "Mean probability of appropriate and mean quality score with intervals, by goal and state.",
                lambda: analysis.figures.judgements(table),
            ),
            Table("study2-judgement", "Judgements", table, counted="domains"),
        ],
    )
