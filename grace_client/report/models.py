"""Models beside people and beside each other, and one way of asking beside the other."""

from __future__ import annotations

import pandas as pd

from grace_client import analysis
from grace_client.report import closeness, ways, words
from grace_client.report.material import ALPHA, Material
from grace_client.report.parts import Figure, Section, Table

SEEN = ("access", "observe")
CELL = ("goal", "state")
COMPARISON = "Models, people and theory"
AGREEMENT = "Saying and scoring"


def comparison(material: Material) -> Section | None:
    """How close models are to people and to the rational speech act models, and in what order."""
    found = Section("comparison", COMPARISON)
    for name, label in (("study1-exp2", "scored"), ("study1-exp1", "free text")):
        frame = material.extracted(name) if name.endswith("exp1") else material.frames.get(name)
        if frame is None:
            continue
        with found.block(f"The comparison of Study 1, {label},"):
            means = analysis.study1.cell_means(frame)
            whole = _whole(found, means.assign(prob=means["mean"] / 100), SEEN, 6, f"Study 1, {label}")
            if not whole.empty:
                items = analysis.study1.by_item(frame[frame["model"].isin(set(whole["model"]))])
                _listener(found, whole, items, name, label)
    human = analysis.reference.study2().rename(columns={"share": "prob"})
    for name, label in (("study2-exp2", "scored"), ("study2-exp1", "free text")):
        frame = material.extracted(name) if name.endswith("exp1") else material.frames.get(name)
        if frame is None:
            continue
        with found.block(f"The comparison of Study 2, {label},"):
            means = analysis.study2.utterances(frame).rename(columns={"mean": "prob"})
            whole = _whole(found, means, CELL, 12, f"Study 2, {label}")
            if not whole.empty:
                items = analysis.study2.by_item(frame[frame["model"].isin(set(whole["model"]))])
                _people(found, whole, items, human, name, label)
    with found.block("The agreement with people by the way of scoring"):
        _ways(found, material, human)
    if found.content:
        found.content.insert(
            0,
            "Study 1 stands beside the rational speech act listener alone, since its paper prints no bets of "
            "people by cell; Study 2 beside people and the speaker that was fitted to them.",
        )
    return found if found.content else None


def _whole(found: Section, means: pd.DataFrame, keys: tuple[str, ...], cells: int, what: str) -> pd.DataFrame:
    """The models that have answers in all cells; the others are named."""
    size = means.groupby("model")[list(keys)].apply(lambda table: len(table.drop_duplicates()))
    whole = means[means["model"].isin(size[size == cells].index)]
    if partial := sorted(set(means["model"]) - set(whole["model"])):
        found.content.append(
            f"Not compared ({what}): {words.listed(partial)}; a cell of the {cells} has no answers."
        )
    return whole


def _listener(found: Section, means: pd.DataFrame, items: pd.DataFrame, name: str, label: str) -> None:
    """Study 1 beside the knowing listener. Of people the paper prints no cell means."""
    theory = analysis.rsa.predict_study1(ALPHA)
    long = analysis.compare.agreement(items, theory, keys=SEEN, outcome="state")
    cells = analysis.compare.cells(means, theory, keys=SEEN, outcome="state", ordered=True)
    moved = analysis.mean_intervals(
        cells.assign(cell=cells["access"] + cells["observe"]), "emd", ["model"], cluster="cell", bounds=(0, 3)
    ).rename(columns={"mean": "emd", "low": "emd_low", "high": "emd_high"})
    table = closeness.wide(long, "RSA").merge(moved[["model", "emd", "emd_low", "emd_high"]], on="model")
    found.content += [
        Figure(
            f"comparison-{name}",
            f"Closeness to the rational speech act listener in Study 1, {label}",
            "Pearson and Spearman correlation, root mean squared error and Jensen-Shannon divergence of each "
            "model from the listener, with intervals.",
            lambda: analysis.figures.agreement(long),
        ),
        Table(
            f"comparison-{name}",
            f"Models and the rational speech act listener, {label}",
            table[[*table.columns.drop("n_cells"), "n_cells"]],
            f"The listener is fitted to nothing: optimality {ALPHA:g}, even prior odds. {closeness.NOTE} "
            "EMD: mean distance in states by which the bets of a cell would have to move.",
        ),
        Table(
            f"comparison-{name}-cells",
            f"Distance from the listener in each cell of Study 1, {label}",
            closeness.per_cell(means, theory, keys=SEEN, outcome="state").merge(cells, on=["model", *SEEN]),
            "Between mean bets as probabilities. r and RMSE: over the four states; JS: Jensen-Shannon "
            "divergence in bits; TV: share of the bets that would have to move; EMD: by how many states.",
            long=True,
        ),
    ]
    told = words.correlations(table, lambda row: row["model"])
    found.summary.append(
        f"Study 1, {label}, beside the rational speech act listener (fitted to nothing): {told}."
    )


def _people(
    found: Section, means: pd.DataFrame, items: pd.DataFrame, human: pd.DataFrame, name: str, label: str
) -> None:
    theory = analysis.rsa.predict_study2(analysis.rsa.people())
    table = analysis.compare.agreement(items, human, keys=CELL, outcome="utterance")
    beside = analysis.compare.agreement(items, theory, keys=CELL, outcome="utterance")
    fitted = analysis.compare.agreement(theory.assign(model="RSA"), human, keys=CELL, outcome="utterance")
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
            f"Models, people and the rational speech act speaker, {label}",
            pd.concat(
                [
                    closeness.wide(table, "people"),
                    closeness.wide(beside, "RSA"),
                    closeness.wide(fitted, "people"),
                ],
                ignore_index=True,
            ),
            f"{closeness.NOTE} RSA is fitted to these very answers of people, so its closeness to them is "
            "that of a description.",
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
    first = order.iloc[0]
    ceil = ceiling[ceiling["statistic"] == "js"].iloc[0]
    r = table[(table["model"] == first["model"]) & (table["statistic"] == "r")].iloc[0]
    closest = (
        f"{first['model']} is closest to people (so in {words.percent(first['best'])} of the bootstrap's "
        "samples)"
        if len(order) > 1
        else f"{first['model']} lies beside people"
    )
    found.summary.append(
        f"Study 2, {label}: {closest}, with r = {words.correlation(r['value'], r['low'], r['high'])} and a "
        f"divergence of {words.interval(first['js'], first['low'], first['high'])} bits; a second sample "
        f"of people would be at {words.interval(ceil['value'], ceil['low'], ceil['high'])} bits."
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
                closeness.wide(pd.concat(close, ignore_index=True), by=("model", "variant")),
                "normalised, raw and, where the null context (study2-null) was scored, PMI. "
                + closeness.NOTE,
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
    close = closeness.wide(analysis.agreement.intervals(pairs), by=("model", "question"))
    rest = analysis.agreement.summary(pairs)
    summary = close.merge(
        rest[["model", "question", *rest.columns.difference(close.columns, sort=False)]],
        on=["model", "question"],
    )
    found.content += [
        Figure(
            f"agreement-{study}",
            f"{title}: what is said beside what is scored",
            "Share of free-text answers against scored probability, a point for each cell and option.",
            lambda: analysis.figures.saying(cells),
        ),
        Table(
            f"agreement-{study}",
            f"{title}: agreement of free text and scored distributions",
            summary,
            f"Of the share of answers and the mean scored probability. {closeness.NOTE}",
            hidden=("tv", "same_mode"),
        ),
        Table(
            f"agreement-{study}-replicates",
            f"{title}: how far replicates of a stimulus differ",
            analysis.agreement.variance(free),
            "ICC: share of the variance of an answer that the stimulus explains.",
            long=True,
            hidden=("share",),
        ),
    ]
    told = words.correlations(summary, lambda row: f"{row['model']} ({row['question']})")
    found.summary.append(f"{title}, free text against scored probabilities: {told}.")
