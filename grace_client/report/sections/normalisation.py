"""Whether the way of scoring matters: normalised, raw, or against the null context."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from grace_client import analysis
from grace_client.report.blocks import Section, Table
from grace_client.report.runs import Material
from grace_client.run import layout


def ways(material: Material, experiment: str, question: str, keys: Sequence[str]) -> pd.DataFrame:
    """The mean distributions of a question by model, way of scoring and cell; see `compare.variants`.

    A model has PMI where its null context is among the runs. There is no row of tables without raw
    probabilities.
    """
    frame = material.frames[experiment]
    null = material.frames.get(f"{experiment.partition('-')[0]}-null")
    found = [pd.DataFrame(columns=["model", "variant", *keys, "option", "prob"])]
    for model, own in frame.groupby("model", sort=False):
        answered = (own["question"] == question) & (own["status"] == layout.OK)
        if own.loc[answered, "prob_raw"].isna().all():
            continue
        base = None if null is None or model not in set(null["model"]) else null[null["model"] == model]
        found.append(analysis.compare.variants(own, keys=keys, question=question, null=base))
    return pd.concat(found[1:] or found, ignore_index=True)


def add(
    found: Section, material: Material, experiment: str, questions: Sequence[str], keys: Sequence[str]
) -> None:
    """Add the table of how far the ways lie apart, where there is more than one."""
    rows = [
        _spread(table, keys).assign(question=question)
        for question in questions
        if len(table := ways(material, experiment, question, keys))
    ]
    if not rows:
        return
    whole = pd.concat(rows, ignore_index=True)
    found.content.append(
        Table(
            f"{found.name}-scoring",
            "How much the way of scoring matters",
            whole[["model", "question", "ways", "average", "highest", "n_cells"]],
            "Largest total variation between two ways in a cell (0: the ways agree, 1: they have nothing in "
            "common): average and highest over the cells of the design, which are fixed, so that there is no "
            "interval. normalised: mean of the normalised probabilities; raw: mean "
            "of the raw ones, brought to a sum of 1, in which trials with little option mass count little; "
            "pmi: in proportion to how much the scene raises each option above the null context "
            f"({experiment.partition('-')[0]}-null).",
            long=True,
        )
    )


def _spread(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """How far the ways of each model lie apart, over cells."""
    told = table.groupby("model", sort=False)["variant"].unique().str.join(", ")
    cells = [
        analysis.compare.spread(cell, keys=keys)[["model", "mean"]].assign(cell="/".join(map(str, key)))
        for key, cell in table.groupby(list(keys), sort=False)
    ]
    apart = pd.concat(cells, ignore_index=True)
    found = apart.groupby("model", sort=False)["mean"].agg(average="mean", highest="max", n_cells="size")
    return found.reset_index().assign(ways=lambda table: table["model"].map(told))
