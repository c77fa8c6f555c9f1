"""Study 2 in the report: what is said, who negates, and how close it is to people."""

from __future__ import annotations

import pandas as pd

from grace_client import analysis
from grace_client.report import ways, words
from grace_client.report.material import TITLES, Material
from grace_client.report.parts import Figure, Section, Table

CELL = ["goal", "state"]


def scored(material: Material) -> Section | None:
    """Experiment 2: probabilities of the eight utterances."""
    frame = material.frames.get("study2-exp2")
    if frame is None:
        return None
    found = Section("study2-exp2", TITLES["study2-exp2"])
    _said(found, frame, "study2")
    _fits(found, analysis.study2.utterances(frame))
    ways.add(found, material, "study2-exp2", ["utterance"], CELL)
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
    _said(found, frame, "study2-free")
    found.content += [
        Table(
            "study2-free-binomial",
            "Each utterance against chance",
            analysis.study2.binomial(frame),
            "Exact binomial tests against 1/8; p holm: corrected over all tests of the model. The tests take "
            "answers as independent: mind n distinct.",
            long=True,
        ),
        Table(
            "study2-free-negation-model",
            "Logistic model of negation",
            analysis.study2.negation_model(frame),
            "Log odds against goal informational and 0 hearts, with random intercepts of item and of item "
            "in a cell. separated: the term rests on a cell where all or none negate, and has no finite "
            "value.",
        ),
    ]
    return found


def _said(found: Section, frame: pd.DataFrame, name: str) -> None:
    people, negated = analysis.reference.study2(), analysis.reference.study2_negation()
    theory = analysis.rsa.predict_study2(analysis.rsa.people())
    means, negation = analysis.study2.utterances(frame), analysis.study2.negation(frame)
    theory_negates = theory[theory["utterance"].str.startswith("wasnt")]
    theory_negates = theory_negates.groupby(CELL, sort=False)["prob"].sum().reset_index()
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
            negation.merge(
                negated[[*CELL, "share"]].rename(columns={"share": "people"}), on=CELL, how="left"
            ),
        ),
        Figure(
            f"{name}-utterances",
            "What is said, by goal and state",
            "Share of each of eight utterances with intervals, a panel for each goal and state; models, "
            "people and the rational speech act speaker.",
            lambda: analysis.figures.utterances(means, people=people, rsa=theory),
        ),
        "RSA is the polite speaker of Yoon et al. fitted to the human answers (r = 0.99 over 96 shares).",
        Table(
            f"{name}-utterances",
            "Utterances (chance is 0.125)",
            means.merge(
                people[[*CELL, "utterance", "share"]].rename(columns={"share": "people"}),
                on=[*CELL, "utterance"],
                how="left",
            ),
            long=True,
        ),
    ]
    where = "" if name == "study2" else " in free text"
    for model, own in negation.groupby("model", sort=False):
        shares = {
            (goal, state): share
            for goal, state, share in zip(own["goal"], own["state"], own["mean"], strict=True)
        }
        if len(shares) < len(negated):
            continue
        told = [
            f"{goal} {words.percent(shares[goal, '0 hearts'])}"
            for goal in ("both", "social", "informational")
        ]
        found.summary.append(
            f"{model} negates bad news (0 hearts){where}: {words.listed(told)} by goal; people 73%, 50% "
            "and 28%."
        )


def _fits(found: Section, means: pd.DataFrame) -> None:
    semantics = analysis.rsa.people().semantics
    rows = []
    for model, own in means.groupby("model", sort=False):
        cells = own.rename(columns={"mean": "prob"})
        fit = analysis.rsa.fit_study2(cells[[*CELL, "utterance", "prob", "n"]], semantics=semantics)
        values = fit.parameters.set_index("parameter")
        # Weights that sum to 1 touch a bound together: only what is at a bound is marked.
        told = {
            str(name): words.number(value) + " *" * bool(bound)
            for name, value, bound in zip(values.index, values["value"], values["at_bound"], strict=True)
        }
        rows.append(
            {"model": model, **told}
            | {name: words.number(fit.statistics[name]) for name in ("kl", "rmse", "r")}
        )
    wide = pd.DataFrame(rows).set_index("model").T.rename_axis("parameter").reset_index()
    wide.columns.name = None
    found.content.append(
        Table(
            f"{found.name}-rsa",
            "The polite speaker fitted to each model",
            wide,
            "Meanings of the utterances are those fitted to people; goals are the model's own. alpha: "
            "optimality; cost: of a negation, that of others being 1; weights of the three utilities sum "
            "to 1 in a goal; phi: what the speaker wants to be taken for, from 0 (kind) to 0.975 "
            "(informative); kl: bits between model and fit; *: at a bound, so that the data do not pin it "
            "down.",
        )
    )


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
            Table("study2-judgement", "Judgements", table),
        ],
    )
