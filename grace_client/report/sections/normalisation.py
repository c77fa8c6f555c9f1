"""Whether the way of scoring matters: normalised, raw, or relative to the null context."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from grace_client import analysis
from grace_client.report.blocks import Section, Table
from grace_client.report.runs import ReportData, in_base_way, null_of
from grace_client.run.layout import OK, WAY_FACTOR

NORMALISED = "normalised"
ORDER = f"{WAY_FACTOR}order"


def variants(data: ReportData, experiment: str, question: str, keys: Sequence[str]) -> pd.DataFrame:
    """Mean distributions of a question by model, way of scoring and cell; see `compare.variants`.

    A model has PMI where the report has a run of its null context. Tables without raw probabilities give no
    row.
    """
    frame = data.frames[experiment]
    null = data.frames.get(null_of(data.experiment(experiment)))
    parts = []
    for model, own in frame.groupby("model", sort=False):
        answered = (own["question"] == question) & (own["status"] == OK)
        if own.loc[answered, "prob_raw"].isna().all():
            continue
        base = None if null is None or model not in set(null["model"]) else null[null["model"] == model]
        parts.append(analysis.compare.variants(own, keys=keys, question=question, null=base))
        if (averaged := _over_orders(data, experiment, question, str(model))) is not None:
            found = analysis.compare.variants(averaged, keys=keys, question=question)
            parts.append(found[found["variant"] == NORMALISED].assign(variant="orders"))
    if not parts:
        return pd.DataFrame(columns=["model", "variant", *keys, "option", "prob"])
    return pd.concat(parts, ignore_index=True)


def _over_orders(data: ReportData, experiment: str, question: str, model: str) -> pd.DataFrame | None:
    """The answers of a model, averaged over the orders of the listed options; None if there is one order."""
    asked = data.asked.get(experiment)
    if asked is None or ORDER not in asked.columns:
        return None
    own = asked[(asked["model"] == model) & (asked["question"] == question)]
    if own[ORDER].nunique() < 2:
        return None
    averaged = in_base_way(analysis.ways.averaged(own))
    return averaged.assign(prob_norm=averaged["prob_averaged"])


def add(
    section: Section, data: ReportData, experiment: str, questions: Sequence[str], keys: Sequence[str]
) -> None:
    """Add the table of the distances between the ways of scoring, where there are several."""
    rows = [
        _spread(table, keys).assign(question=question)
        for question in questions
        if len(table := variants(data, experiment, question, keys))
    ]
    if not rows:
        return
    whole, null = pd.concat(rows, ignore_index=True), null_of(data.experiment(experiment))
    section.content.append(
        Table(
            f"{section.name}-scoring",
            "Differences between the ways of scoring",
            whole[["model", "question", "ways", "average", "highest", "n_cells"]],
            "The largest total variation between two ways of scoring, in each cell (0: equal, 1: nothing "
            "in common). average and highest: over the cells. The design fixes the cells, so there is no "
            "interval. normalised: mean of the normalised probabilities. raw: mean of the raw "
            "probabilities, divided by their sum; trials with little option mass count little."
            + (
                " pmi: in proportion to how much the scene raises each option above the null context "
                f"({null})."
            )
            * (null in data.experiment(experiment).study.experiments)
            + " orders: averaged over the orders of the listed options, in each of which another option may "
            "profit from its place." * bool(whole["ways"].str.contains("orders").any()),
            long=True,
        )
    )


def _spread(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Distances between the ways of scoring, over the cells of each model."""
    names = table.groupby("model", sort=False)["variant"].unique().str.join(", ")
    if not keys:
        table, keys = table.assign(trials="all"), ["trials"]
    spread = analysis.compare.spread(table, keys=keys)
    return spread.rename(columns={"mean": "average"}).assign(ways=lambda table: table["model"].map(names))
