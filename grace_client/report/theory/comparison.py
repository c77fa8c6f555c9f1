"""Models compared with people and theory, and the free text of a model with its scored answers."""

from __future__ import annotations

from typing import Any

import pandas as pd

from grace_client import analysis
from grace_client.analysis import study1, study2
from grace_client.report import format
from grace_client.report.blocks import Figure, Section, Table
from grace_client.report.runs import ReportData
from grace_client.report.sections import normalisation
from grace_client.report.theory import closeness, listener, stories

CELL = study2.CELL
COMPARISON = "Models, people and theory"
CONSISTENCY = "Free text and scored answers"
AVERAGED = "people's answers averaged over the goals"
"""Name of the baseline that ignores the goal."""
LABELS = {"exp2": "scored answers", "exp1": "free text"}


def comparison(data: ReportData) -> Section | None:
    """How close models are to people and to the rational speech act models, and in what order."""
    section = Section("comparison", COMPARISON)
    human = analysis.reference.study2().rename(columns={"share": "prob"})
    for study, keys, other in (("study1", study1.CELL, listener.expected()), ("study2", CELL, human)):
        for experiment, label in LABELS.items():
            name, title = f"{study}-{experiment}", f"{stories.STUDIES[study]}, {label}"
            if data.answers(name) is None:
                continue
            with section.block(f"The comparison of {title},"):
                if study == "study1":
                    items = data.once(study1.by_item, name, of=study1.bets)
                    means = data.once(study1.cell_means, name, of=study1.bets)
                    means = means.assign(prob=means["mean"] / 100)
                else:
                    items = data.once(study2.by_item, name)
                    means = data.once(study2.utterances, name).rename(columns={"mean": "prob"})
                items = closeness.comparable(section, items, other, keys, title)
                means = means[means["model"].isin(set(items["model"]))]
                if items.empty:
                    continue
                if study == "study1":
                    listener.compare(section, means, items, name, label)
                else:
                    _people(section, means, items, human, name, label)
    with section.block("The closeness to people by the way of scoring"):
        _by_scoring(section, data, human)
    if not section.content:
        return None
    section.content.insert(
        0,
        "Study 1 is compared with rational speech act (RSA) theory only, with a listener whose values are "
        "fixed, because the paper prints no bets of people by cell. Study 2 is compared with people, and "
        "with an RSA speaker that grace fitted to these people. " + " ".join(stories.sources(data)),
    )
    return section


def methods(data: ReportData) -> list[str]:
    """The paragraph on the intervals, if there is a comparison."""
    if not any(
        name.partition("-")[2] in LABELS for name in data.frames if name.partition("-")[0] in stories.STUDIES
    ):
        return []
    return [
        "Intervals of closeness to people are over stories or domains and over people's answers; the cells "
        "of the design are fixed."
    ]


def _people(
    section: Section, means: pd.DataFrame, items: pd.DataFrame, human: pd.DataFrame, name: str, label: str
) -> None:
    how: dict[str, Any] = {"keys": CELL, "outcome": "utterance"}
    theory = analysis.rsa.predict_study2(analysis.rsa.people())
    fitted = theory.assign(model="RSA")
    pairs = (
        (items, means, human, "people"),
        (items, means, theory, "RSA"),
        (fitted, fitted, human, "people"),
    )
    close = [analysis.compare.closeness(one, other, across=["goal"], **how) for one, _, other, _ in pairs]
    cells = [
        analysis.compare.cells(one, other, **how).assign(beside=beside) for _, one, other, beside in pairs
    ]
    baselines = closeness.baselines(human, averaged=("goal", AVERAGED), **how)
    ceiling = analysis.reference.noise_ceiling()
    ceiling = ceiling[ceiling["compared"] == "second sample"]
    order = analysis.compare.ranking(items, human, **how)
    ignorant = closeness.ignorant(human, averaged=("goal", AVERAGED), **how)
    apart = analysis.compare.against(items, human, ignorant, **how)
    wide = [closeness.wide(table, beside) for table, (*_, beside) in zip(close, pairs, strict=True)]
    section.content += [
        Figure(
            f"comparison-{name}",
            f"Closeness to people in Study 2, {label}",
            "Pearson and Spearman correlation, root mean squared error and Jensen-Shannon divergence of "
            "each model, and of the speaker fitted to people, from people, with intervals, and the band in "
            "which a second sample of people would lie.",
            lambda: analysis.figures.closeness(close[0], ceiling=ceiling, rsa=close[2].drop(columns="model")),
        ),
        Table(
            f"comparison-{name}",
            f"Models, people and the RSA speaker fitted to people, {label}",
            pd.concat([*wide, closeness.wide(baselines, "people")], ignore_index=True),
            f"{closeness.note('the goal')} RSA: the speaker of rational speech act theory. grace fitted it "
            "to these answers of people, so it describes them and does not predict them. Two baselines: "
            f"{AVERAGED}, and {closeness.EVEN}.",
        ),
        Table(
            f"comparison-{name}-cells",
            f"Distances in each cell of Study 2, {label}",
            pd.concat(cells, ignore_index=True)[["model", "beside", *CELL, "js", "tv"]],
            "JS: Jensen-Shannon divergence in bits. TV: share of the utterances that would have to change.",
            long=True,
        ),
    ]
    if len(order) > 1:
        if not (apart["best"] & apart["closer"]).any():
            section.content.append(closeness.NONE)
        section.content.append(
            Table(
                f"comparison-{name}-rank",
                f"Models by their distance from people, {label}",
                order,
                "JS: mean Jensen-Shannon divergence over the cells, in bits. rank low, rank high: the "
                "range of 95% of the ranks in the bootstrap. best: share of bootstrap samples in which the "
                "model is closest.",
            )
        )
    section.summary.append(_closest(order, close[0], baselines, apart, ceiling, label))


def _closest(
    order: pd.DataFrame,
    table: pd.DataFrame,
    baselines: pd.DataFrame,
    apart: pd.DataFrame,
    ceiling: pd.DataFrame,
    label: str,
) -> str:
    """The sentence on the model closest to people, with the baselines and a second sample of people."""
    first = order.iloc[0]
    r = table[(table["model"] == first["model"]) & (table["statistic"] == "r")].iloc[0]
    interval = (float(r["value"]), float(r["low"]), float(r["high"]))
    below, ceil = (rows[rows["statistic"] == "js"] for rows in (baselines, ceiling.assign(model="")))
    verdict = closeness.verdict(str(first["model"]), "the goal", interval, apart)
    others = "; ".join(f"{row['model']}: {_bits(row)}" for row in below.to_dict("records"))
    if verdict == closeness.closest(str(first["model"])) and pd.notna(first["best"]):
        verdict += f" (in {format.percent(first['best'])} of the bootstrap samples)"
    return (
        f"Study 2, {label}: {verdict}. The changes with the goal "
        f"correlate with those of people at r = {format.correlation(*interval)} (1: the same changes; 0: no "
        "relation; in brackets: 95% intervals). Jensen-Shannon divergence from people, in bits (0: equal; 1: "
        "nothing in common): "
        f"{first['model']}: {format.interval(first['js'], first['low'], first['high'], 3)}; {others}; a "
        f"second sample of people: {_bits(ceil.iloc[0])}."
    )


def _bits(row: Any) -> str:
    """A divergence with its interval; three decimals, because a second sample of people is near .01."""
    return format.interval(row["value"], row["low"], row["high"], 3)


def _by_scoring(section: Section, data: ReportData, human: pd.DataFrame) -> None:
    """Closeness to people by the way of scoring."""
    if "study2-exp2" not in data.frames:
        return
    variants = normalisation.variants(data, "study2-exp2", "utterance", CELL)
    variants = variants.rename(columns={"option": "utterance"})
    lacking = analysis.compare.lacking(data.once(study2.by_item, "study2-exp2"), human, CELL)
    variants = variants[~variants["model"].isin(set(lacking))]
    close = [
        analysis.compare.closeness(one, human, keys=CELL, outcome="utterance", across=["goal"]).assign(
            variant=str(variant)
        )
        for (_, variant), one in variants.groupby(["model", "variant"], sort=False)
    ]
    if close:
        section.content.append(
            Table(
                "comparison-scoring",
                "Closeness to people, by the way of scoring",
                closeness.wide(pd.concat(close, ignore_index=True), by=("model", "variant")),
                "Ways of scoring: normalised, raw, and PMI if the null context (study2-null) was scored. "
                "These intervals cover other people only. The intervals in the table of models, people and "
                "RSA cover other domains too, and are wider. " + closeness.note("the goal"),
                long=True,
            )
        )


def consistency(data: ReportData) -> Section | None:
    """Free text compared with the scored answers of the same model."""
    section = Section("agreement", CONSISTENCY)
    for study, title in stories.STUDIES.items():
        free, scored = data.answers(f"{study}-exp1"), data.answers(f"{study}-exp2")
        if free is None or scored is None or not set(free["model"]) & set(scored["model"]):
            continue
        with section.block(f"The comparison of free text and scored answers of {title}"):
            bets = data.once(study1.bets, "study1-exp2") if study == "study1" else None
            pairs = analysis.consistency.pairs(free, scored, bets=bets)
            _consistency(section, free, pairs, study, title)
    return section if section.content else None


def _consistency(section: Section, free: pd.DataFrame, pairs: pd.DataFrame, study: str, title: str) -> None:
    cells = analysis.consistency.by_cell(pairs)
    long = analysis.consistency.statistics(pairs)
    keys = ["model", "question"]
    for (model, question), own in long[long["lacking"] != ""].groupby(keys, sort=False):
        section.content.append(
            f"{title}: free text and scores of {model} are not compared on the question {question}: "
            f"{own['lacking'].iloc[0]}."
        )
    section.content.append(
        Figure(
            f"agreement-{study}",
            f"{title}: free text and scored answers",
            "Share of free-text answers against scored probability, a point for each cell and option.",
            lambda: analysis.figures.consistency(cells),
        )
    )
    close = closeness.wide(long[long["lacking"] == ""], by=keys)
    if not close.empty:
        rest = analysis.consistency.summary(pairs)
        new = rest.columns.difference([*close.columns, "lacking"], sort=False)
        summary = close.merge(rest[[*keys, *new]], on=keys)
        section.content.append(
            Table(
                f"agreement-{study}",
                f"{title}: closeness of free text and scored distributions",
                summary,
                "Compared: the share of free-text answers and the mean scored probability. "
                f"{closeness.note('the condition')}",
                hidden=("tv", "same_mode"),
            )
        )
        values = format.correlations(summary, lambda row: f"{row['model']} ({row['question']})")
        section.summary.append(
            f"{title}: do the conditions change what a model writes as they change its scored probabilities? "
            f"r of these changes with 95% intervals (1: the same; 0: no relation): {values}."
        )
    section.content.append(
        Table(
            f"agreement-{study}-replicates",
            f"{title}: how far replicates of a stimulus differ",
            analysis.consistency.replicate_variance(free),
            "ICC: share of the variance of an answer that the stimulus explains.",
            long=True,
            unit="stimuli",
            hidden=("share",),
        )
    )
