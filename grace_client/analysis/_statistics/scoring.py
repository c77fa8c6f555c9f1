"""Distributions of the answers by each way of scoring, and how far these are apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from grace_client.analysis._data.layout import per_model, require
from grace_client.analysis.distributions import pmi, total_variation
from grace_client.core.errors import NotEnoughDataError
from grace_client.run import layout


def variants(
    frame: pd.DataFrame, *, keys: Sequence[str], question: str, null: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Mean distribution of a question in each cell, by each way of scoring: normalised, raw, PMI.

    Parameters
    ----------
    frame : DataFrame
        Scored answers as `read` gives them.
    keys : sequence of str
        Columns that make a cell.
    question : str
        Name of the question, such as ``"utterance"``.
    null : DataFrame, optional
        Scored answers without the context, as `read` gives them; see `distributions.pmi`.

    Returns
    -------
    DataFrame
        ``model, variant``, `keys`, ``option, prob``. ``normalised`` is the mean of the normalised
        probabilities: every trial counts the same. ``raw`` is the mean of the raw ones, brought to a sum of
        1: trials with little option mass count little. ``pmi`` is, where `null` is given, the mean of
        ``prob_pmi``.

    Examples
    --------
    >>> from grace_client.analysis import compare, example, study2
    >>> found = compare.variants(example.scored("study2"), keys=study2.CELL, question="utterance")
    >>> sorted(found["variant"].unique())
    ['normalised', 'raw']
    """
    require(frame, ["model", "trial_id", *keys, "question", "option", "prob_raw", "prob_norm", "status"])
    rows = frame[(frame["question"] == question) & (frame["status"] == layout.OK)]
    if rows.empty:
        raise NotEnoughDataError(f"the question {question} has no answer")
    columns = {"normalised": rows["prob_norm"], "raw": rows["prob_raw"]}
    if null is not None:
        columns["pmi"] = pmi(rows, null)["prob_pmi"]
    parts = []
    for variant, values in columns.items():
        if values.isna().all():
            continue
        cells = rows.assign(prob=values).groupby(["model", *keys, "option"], sort=False)["prob"].mean()
        result = cells.reset_index()
        result["prob"] /= result.groupby(["model", *keys])["prob"].transform("sum")
        result.insert(1, "variant", variant)
        parts.append(result)
    return pd.concat(parts, ignore_index=True)


def spread(table: pd.DataFrame, *, keys: Sequence[str]) -> pd.DataFrame:
    """Largest distance between two ways of scoring, by model.

    Parameters
    ----------
    table : DataFrame
        As `variants` gives it.
    keys : sequence of str
        Columns that make a cell.

    Returns
    -------
    DataFrame
        One row per model: ``model``; ``mean`` and ``highest`` over the cells of the largest total variation
        distance between two variants (the share of the probability that would have to move); ``n_cells``.

    Examples
    --------
    >>> from grace_client.analysis import compare, example, study2
    >>> keys = study2.CELL
    >>> found = compare.variants(example.scored("study2"), keys=keys, question="utterance")
    >>> compare.spread(found, keys=keys)[["model", "n_cells"]]
         model  n_cells
    0  example       12
    """
    rows = []
    for model, of_model in per_model(table):
        apart = []
        for _, cell in of_model.groupby(list(keys), sort=False):
            wide = cell.pivot(index="variant", columns="option", values="prob").to_numpy()
            apart.append(float(total_variation(wide[:, None], wide[None, :]).max()))
        rows.append((model, float(np.mean(apart)), max(apart), len(apart)))
    return pd.DataFrame(rows, columns=["model", "mean", "highest", "n_cells"])
