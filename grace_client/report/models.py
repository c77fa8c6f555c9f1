"""Models beside people and beside each other, and one way of asking beside the other."""

from __future__ import annotations

import pandas as pd

from grace_client import analysis
from grace_client.report import ways, words
from grace_client.report.material import Material
from grace_client.report.parts import Figure, Section, Table

CELL = ("goal", "state")
COMPARISON = "Models and people"
AGREEMENT = "Saying and scoring"


def comparison(material: Material) -> Section | None:
    """How close models are to people in Study 2, and in what order."""
    found = Section("comparison", COMPARISON)
    human = analysis.reference.study2().rename(columns={"share": "prob"})
    for name, label in (("study2-exp2", "scored"), ("study2-exp1", "free text")):
        frame = material.extracted(name) if name.endswith("exp1") else material.frames.get(name)
        if frame is None:
            continue
        means = analysis.study2.utterances(frame).rename(columns={"mean": "prob"})
        size = means.groupby("model")[["goal", "state"]].apply(lambda t: len(t.drop_duplicates()))
        whole = means[means["model"].isin(size[size == 12].index)]
        if partial := sorted(set(means["model"]) - set(whole["model"])):
            found.content.append(
                f"Not compared ({label}): {words.listed(partial)}; a cell of the twelve has no answers."
            )
        if not whole.empty:
            items = analysis.study2.by_item(frame[frame["model"].isin(set(whole["model"]))])
            _people(found, whole, items, human, name, label)
    _ways(found, material, human)
    return found if found.content else None


def _people(
    found: Section, means: pd.DataFrame, items: pd.DataFrame, human: pd.DataFrame, name: str, label: str
) -> None:
    table = analysis.compare.agreement(items, human, keys=CELL, outcome="utterance")
    ceiling = analysis.reference.noise_ceiling()
    ceiling = ceiling[ceiling["compared"] == "second sample"]
    order = analysis.compare.ranking(items, human, keys=CELL, outcome="utterance")
    found.content += [
        Figure(
            f"comparison-{name}",
            f"Closeness to people in Study 2, {label}",
            "Pearson and Spearman correlation, root mean squared error and Jensen-Shannon divergence of each "
            "model from people, with intervals, and the band within which a second sample of people would "
            "lie.",
            lambda: analysis.figures.agreement(table, ceiling=ceiling),
        ),
        Table(
            f"comparison-{name}",
            f"Agreement with people, {label}",
            table,
            "Over the 96 shares of goal, state and utterance. Intervals: bootstrap of the domains and of the "
            "people's answers; the cells are fixed.",
        ),
        Table(
            f"comparison-{name}-cells",
            f"Distance from people in each cell, {label}",
            analysis.compare.cells(means, human, keys=CELL, outcome="utterance"),
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
    first = order.iloc[0]
    ceil = ceiling.loc[ceiling["statistic"] == "js", "value"].item()
    r = table[(table["model"] == first["model"]) & (table["statistic"] == "r")].iloc[0]
    closest = f"{first['model']} is closest to people" if len(order) > 1 else f"{first['model']}"
    found.summary.append(
        f"Study 2, {label}: {closest} with r = {words.interval(r['value'], r['low'], r['high'])} and a "
        f"divergence of {words.interval(first['js'], first['low'], first['high'])} bits; a second sample "
        f"of people would be at {words.number(ceil)} bits."
    )


def _ways(found: Section, material: Material, human: pd.DataFrame) -> None:
    """Agreement with people by the way of scoring."""
    if "study2-exp2" not in material.frames:
        return
    told = ways.ways(material, "study2-exp2", "utterance", CELL).rename(columns={"option": "utterance"})
    close = []
    for (_, variant), one in told.groupby(["model", "variant"], sort=False):
        if len(one[list(CELL)].drop_duplicates()) == 12:
            table = analysis.compare.agreement(one, human, keys=CELL, outcome="utterance")
            close.append(table.assign(variant=str(variant)))
    if close:
        found.content.append(
            Table(
                "comparison-scoring",
                "Agreement with people, by the way of scoring",
                pd.concat(close, ignore_index=True)[
                    ["model", "variant", "statistic", "value", "low", "high", "n_cells"]
                ],
                "normalised, raw and, where the null context (study2-null) was scored, PMI. Intervals: "
                "bootstrap of the people's answers.",
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
        pairs = analysis.agreement.saying_and_scoring(free, scored)
        cells, summary = analysis.agreement.by_cell(pairs), analysis.agreement.summary(pairs)
        title = {"study1": "Study 1", "study2": "Study 2"}[study]
        found.content += [
            Figure(
                f"agreement-{study}",
                f"{title}: what is said beside what is scored",
                "Share of free-text answers against scored probability, a point for each cell and option.",
                lambda cells=cells: analysis.figures.saying(cells),  # type: ignore[misc]
            ),
            Table(
                f"agreement-{study}",
                f"{title}: agreement of free text and scored distributions",
                summary,
                "Over cells and options; JS (bits) and TV: between the mean distributions of a cell.",
            ),
            Table(
                f"agreement-{study}-replicates",
                f"{title}: how far replicates of a stimulus differ",
                analysis.agreement.variance(free),
                "ICC: share of the variance of an answer that the stimulus explains.",
                long=True,
            ),
        ]
        told = [
            f"{model} ({question}) r = {words.number(r)}"
            for model, question, r in zip(summary["model"], summary["question"], summary["r"], strict=True)
        ]
        found.summary.append(f"{title}, free text against scored probabilities: {words.listed(told)}.")
    return found if found.content else None
