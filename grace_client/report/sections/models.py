"""Models beside people and beside each other, and one way of asking beside the other."""

from __future__ import annotations

from typing import Any

import pandas as pd

from grace_client import analysis
from grace_client.report import format
from grace_client.report.blocks import Figure, Section, Table
from grace_client.report.runs import Material
from grace_client.report.sections import closeness, listener, normalisation, stories

SEEN = ("access", "observe")
CELL = ("goal", "state")
COMPARISON = "Models, people and theory"
AGREEMENT = "Saying and scoring"
AVERAGED = "people's answers averaged over the goals"
"""Name of the baseline that ignores the goal."""


def comparison(material: Material) -> Section | None:
    """How close models are to people and to the rational speech act models, and in what order."""
    found = Section("comparison", COMPARISON)
    for name, label in (("study1-exp2", "scored"), ("study1-exp1", "free text")):
        frame = material.extracted(name) if name.endswith("exp1") else material.frames.get(name)
        if frame is None:
            continue
        with found.block(f"The comparison of Study 1, {label},"):
            items = analysis.study1.by_item(frame)
            items = closeness.whole(found, items, listener.expected(), SEEN, f"Study 1, {label}")
            if not items.empty:
                means = analysis.study1.cell_means(frame[frame["model"].isin(set(items["model"]))])
                listener.compare(found, means.assign(prob=means["mean"] / 100), items, name, label)
    human = analysis.reference.study2().rename(columns={"share": "prob"})
    for name, label in (("study2-exp2", "scored"), ("study2-exp1", "free text")):
        frame = material.extracted(name) if name.endswith("exp1") else material.frames.get(name)
        if frame is None:
            continue
        with found.block(f"The comparison of Study 2, {label},"):
            items = analysis.study2.by_item(frame)
            items = closeness.whole(found, items, human, CELL, f"Study 2, {label}")
            if not items.empty:
                means = analysis.study2.utterances(frame[frame["model"].isin(set(items["model"]))])
                _people(found, means.rename(columns={"mean": "prob"}), items, human, name, label)
    with found.block("The agreement with people by the way of scoring"):
        _ways(found, material, human)
    if found.content:
        found.content.insert(
            0,
            "Study 1 is compared with rational speech act (RSA) theory alone, with a listener whose values "
            "are fixed, since its paper prints no bets of people by cell. Study 2 is compared with people, "
            "and with an RSA speaker that grace fitted to these people. " + " ".join(stories.asked(material)),
        )
    return found if found.content else None


def _people(
    found: Section, means: pd.DataFrame, items: pd.DataFrame, human: pd.DataFrame, name: str, label: str
) -> None:
    theory = analysis.rsa.predict_study2(analysis.rsa.people())
    table, beside, fitted = (
        analysis.compare.agreement(one, other, keys=CELL, outcome="utterance", across=["goal"])
        for one, other in ((items, human), (items, theory), (theory.assign(model="RSA"), human))
    )
    baselines = closeness.baselines(human, CELL, "utterance", ("goal", AVERAGED))
    ceiling = analysis.reference.noise_ceiling()
    ceiling = ceiling[ceiling["compared"] == "second sample"]
    order = analysis.compare.ranking(items, human, keys=CELL, outcome="utterance")
    cells = [
        analysis.compare.cells(one, other, keys=CELL, outcome="utterance").assign(beside=name)
        for one, other, name in (
            (means, human, "people"),
            (means, theory, "RSA"),
            (theory.assign(model="RSA"), human, "people"),
        )
    ]
    found.content += [
        Figure(
            f"comparison-{name}",
            f"Closeness to people in Study 2, {label}",
            "Pearson and Spearman correlation, root mean squared error and Jensen-Shannon divergence of each "
            "model, and of the speaker fitted to people, from people, with intervals, and the band within "
            "which a second sample of people would lie.",
            lambda: analysis.figures.agreement(table, ceiling=ceiling, rsa=fitted.drop(columns="model")),
        ),
        Table(
            f"comparison-{name}",
            f"Models, people and the RSA speaker fitted to people, {label}",
            pd.concat(
                [
                    closeness.wide(table, "people"),
                    closeness.wide(beside, "RSA"),
                    closeness.wide(fitted, "people"),
                    closeness.wide(baselines, "people"),
                ],
                ignore_index=True,
            ),
            f"{closeness.note('the goal')} RSA: the speaker of rational speech act theory. grace fitted it "
            "to these answers of people, so it describes them and does not predict them. Two baselines: "
            f"{AVERAGED}, and {closeness.EVEN}.",
        ),
        Table(
            f"comparison-{name}-cells",
            f"Distances in each cell of Study 2, {label}",
            pd.concat(cells, ignore_index=True)[["model", "beside", *CELL, "js", "tv"]],
            "JS: Jensen-Shannon divergence in bits; TV: share of the utterances that would have to change.",
            long=True,
        ),
    ]
    if len(order) > 1:
        found.content.append(
            Table(
                f"comparison-{name}-rank",
                f"Models by their distance from people, {label}",
                order,
                "JS: mean Jensen-Shannon divergence over the cells, in bits; rank low, rank high: 95% of the "
                "bootstrap's ranks; best: share of samples in which the model is first.",
            )
        )
    found.summary.append(_nearest(order, table, baselines, ceiling, label))


def _nearest(
    order: pd.DataFrame, table: pd.DataFrame, baselines: pd.DataFrame, ceiling: pd.DataFrame, label: str
) -> str:
    """The sentence on the model that is nearest to people, beside the baselines and other people."""
    first = order.iloc[0]
    r = table[(table["model"] == first["model"]) & (table["statistic"] == "r")].iloc[0]
    told = (float(r["value"]), float(r["low"]), float(r["high"]))
    below, ceil = (rows[rows["statistic"] == "js"] for rows in (baselines, ceiling.assign(model="")))
    verdict = closeness.verdict(
        str(first["model"]),
        "the goal",
        told,
        (float(first["js"]), float(first["low"])),
        dict(zip(below["model"], below["value"].astype(float), strict=True)),
        len(order),
    )
    others = "; ".join(f"{row['model']}: {_bits(row)}" for row in below.to_dict("records"))
    sure = f" (in {format.percent(first['best'])} of the bootstrap's samples)" if len(order) > 1 else ""
    return (
        f"Study 2, {label}: {verdict}{sure if pd.notna(first['best']) else ''}. The changes with the goal "
        f"correlate with those of people at r = {format.correlation(*told)} (1: the same changes; 0: no "
        "relation). Jensen-Shannon divergence from people, in bits (0: equal, 1: nothing in common): "
        f"{first['model']}: {format.interval(first['js'], first['low'], first['high'], 3)}; {others}; a "
        f"second sample of people: {_bits(ceil.iloc[0])}."
    )


def _bits(row: Any) -> str:
    """A divergence with its interval; three decimals, since that of a second sample of people is near .01."""
    return format.interval(row["value"], row["low"], row["high"], 3)


def _ways(found: Section, material: Material, human: pd.DataFrame) -> None:
    """Agreement with people by the way of scoring."""
    if "study2-exp2" not in material.frames:
        return
    told = normalisation.ways(material, "study2-exp2", "utterance", CELL).rename(
        columns={"option": "utterance"}
    )
    items = analysis.study2.by_item(material.frames["study2-exp2"])
    lacking = analysis.compare.lacking(items, human, CELL)
    close = []
    for (_, variant), one in told[~told["model"].isin(set(lacking))].groupby(
        ["model", "variant"], sort=False
    ):
        table = analysis.compare.agreement(one, human, keys=CELL, outcome="utterance", across=["goal"])
        close.append(table.assign(variant=str(variant)))
    if close:
        found.content.append(
            Table(
                "comparison-scoring",
                "Agreement with people, by the way of scoring",
                closeness.wide(pd.concat(close, ignore_index=True), by=("model", "variant")),
                "normalised, raw and, where the null context (study2-null) was scored, PMI. These intervals "
                "cover other people alone; those of the table of models, people and RSA cover other domains "
                "too, and are wider. " + closeness.note("the goal"),
                long=True,
            )
        )


def agreement(material: Material) -> Section | None:
    """Saying and scoring of the same model."""
    found = Section("agreement", AGREEMENT)
    for study in ("study1", "study2"):
        free, scored = material.extracted(f"{study}-exp1"), material.frames.get(f"{study}-exp2")
        if free is None or scored is None or not set(free["model"]) & set(scored["model"]):
            continue
        title = {"study1": "Study 1", "study2": "Study 2"}[study]
        with found.block(f"What is said beside what is scored in {title}"):
            _said_and_scored(found, free, scored, study, title)
    return found if found.content else None


def _said_and_scored(
    found: Section, free: pd.DataFrame, scored: pd.DataFrame, study: str, title: str
) -> None:
    pairs = analysis.agreement.saying_and_scoring(free, scored)
    cells = analysis.agreement.by_cell(pairs)
    long = analysis.agreement.intervals(pairs)
    for (model, question), own in long[long["lacking"] != ""].groupby(["model", "question"], sort=False):
        found.content.append(
            f"{title}: free text and scores of {model} are not compared on the question {question}: "
            f"{own['lacking'].iloc[0]}."
        )
    close = closeness.wide(long[long["lacking"] == ""], by=("model", "question"))
    found.content.append(
        Figure(
            f"agreement-{study}",
            f"{title}: what is said beside what is scored",
            "Share of free-text answers against scored probability, a point for each cell and option.",
            lambda: analysis.figures.saying(cells),
        )
    )
    if not close.empty:
        rest = analysis.agreement.summary(pairs)
        keys = ["model", "question"]
        summary = close.merge(
            rest[[*keys, *rest.columns.difference([*close.columns, "lacking"], sort=False)]], on=keys
        )
        found.content.append(
            Table(
                f"agreement-{study}",
                f"{title}: agreement of free text and scored distributions",
                summary,
                f"Of the share of answers and the mean scored probability. {closeness.note('the condition')}",
                hidden=("tv", "same_mode"),
            )
        )
        told = format.correlations(summary, lambda row: f"{row['model']} ({row['question']})")
        found.summary.append(
            f"{title}: do the conditions change what a model writes as they change its scored "
            f"probabilities? r of these changes (1: the same; 0: no relation): {told}."
        )
    found.content.append(
        Table(
            f"agreement-{study}-replicates",
            f"{title}: how far replicates of a stimulus differ",
            analysis.agreement.variance(free),
            "ICC: share of the variance of an answer that the stimulus explains.",
            long=True,
            counted="stimuli",
            hidden=("share",),
        )
    )
