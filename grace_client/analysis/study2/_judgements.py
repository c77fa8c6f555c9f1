"""How utterances are judged in Study 2, by goal and state."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grace_client.analysis._data.layout import canonical, ordered, require
from grace_client.analysis.inference import mean_intervals
from grace_client.analysis.reference._design import CELL
from grace_client.analysis.study2._shares import LEVELS
from grace_client.core.errors import NotEnoughDataError
from grace_client.run.layout import OK

QUALITIES = {"excellent": 5, "good": 4, "neutral": 3, "poor": 2, "terrible": 1}
"""The score of each judgement of quality."""


def judgements(frame: pd.DataFrame, *, cluster: str | None = None) -> pd.DataFrame:
    """Mean judgements of each utterance, by goal and state (experiment ``study2-judgement``).

    Parameters
    ----------
    frame : DataFrame
        Answers of ``study2-judgement``, as `read` gives them.
    cluster : {"item", "stimulus", "participant"}, optional
        Column of the clusters of the interval; ``item`` by default, as in `utterances`.

    Returns
    -------
    DataFrame
        ``model, goal, state, utterance`` (the sentence that is judged), ``measure, mean, low, high, n,
        n_distinct``. ``measure`` is ``appropriate`` (mean probability) or ``quality`` (mean score, from 1 for
        terrible to 5 for excellent). Utterances are in alphabetical order; a cell has those that its trials
        show.

    Examples
    --------
    >>> from grace_client.analysis import study2
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "model": "m", "trial_id": [1, 1, 2, 2], "item": ["poem", "poem", "cake", "cake"],
    ...     "stimulus": ["a", "a", "b", "b"], "goal": "both", "state": "1 heart", "utterance": "It was okay",
    ...     "question": "appropriateness", "option": ["appropriate", "inappropriate"] * 2,
    ...     "prob_norm": [0.8, 0.2, 0.6, 0.4], "status": "ok",
    ... })
    >>> study2.judgements(frame)[["utterance", "measure", "mean", "n", "n_distinct"]]
         utterance      measure  mean  n  n_distinct
    0  It was okay  appropriate   0.7  2           2
    """
    require(frame, ["model", *CELL, "utterance", "stimulus", "question", "option", "prob_norm", "status"])
    frame = canonical(frame, LEVELS)
    rows = frame[frame["status"] == OK]
    suits = rows[(rows["question"] == "appropriateness") & (rows["option"] == "appropriate")]
    quality = rows[rows["question"] == "quality"]
    score = quality["option"].map(QUALITIES).astype(np.float64) * quality["prob_norm"]
    head = ["model", *CELL, "utterance", "trial_id", "participant", "item", "stimulus"]
    keys = [column for column in head if column in rows.columns]
    scores = quality.assign(value=score).groupby(keys, sort=False)["value"].sum().reset_index()
    measured = {
        "appropriate": (suits.assign(value=suits["prob_norm"]), (0.0, 1.0)),
        "quality": (scores, (float(min(QUALITIES.values())), float(max(QUALITIES.values())))),
    }
    by = ["model", *CELL, "utterance"]
    parts = []
    for measure, (values, bounds) in measured.items():
        if values.empty:
            continue
        result = mean_intervals(values, "value", by, cluster=cluster, bounds=bounds)
        result.insert(len(by), "measure", measure)
        parts.append(result.drop(columns="se"))
    if not parts:
        raise NotEnoughDataError("no judgement was answered: is this study2-judgement?")
    table = pd.concat(parts, ignore_index=True)
    order = LEVELS | {"utterance": sorted(table["utterance"].unique()), "measure": tuple(measured)}
    return ordered(table, order)
