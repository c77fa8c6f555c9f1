"""How utterances are judged in Study 2, by goal and state."""

from __future__ import annotations

import pandas as pd

from grace_client.analysis._data.layout import canonical, ordered, require
from grace_client.analysis.cells import cell_means
from grace_client.analysis.reference._design import CELL
from grace_client.analysis.study2._shares import LEVELS


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
    by, measures = [*CELL, "utterance"], {"appropriateness": "appropriate", "quality": "quality"}
    result = cell_means(canonical(frame, LEVELS), by=by, experiment="study2-judgement", cluster=cluster)
    result["measure"] = result["question"].map(measures)
    result = result[["model", *by, "measure", "mean", "low", "high", "n", "n_distinct"]]
    levels = LEVELS | {"utterance": sorted(result["utterance"].unique()), "measure": tuple(measures.values())}
    return ordered(result, levels)
