"""What a run, or a pilot study, says about the variance to assume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from grace_client.analysis._data.declared import conditions, declared
from grace_client.analysis._data.layout import per_model, require
from grace_client.analysis._statistics.components import components
from grace_client.analysis.measured import chosen, measured
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.studies.declaration import Experiment


def assumed(
    frame: pd.DataFrame,
    outcome: str | None = None,
    *,
    by: Sequence[str] | None = None,
    question: str | None = None,
    experiment: Experiment | str | None = None,
) -> pd.DataFrame:
    """Standard deviations between items, of their effects of conditions, and of their answers, for `Design`.

    Parameters
    ----------
    frame : DataFrame
        Answers of one experiment, as `read` gives them, or the result of `outcomes`.
    outcome, question, experiment
        As in `cell_means`.
    by : sequence of str, optional
        The conditions. Default: those of the study.

    Returns
    -------
    DataFrame
        One row per model and question: ``model, question, outcome, item, item_condition, residual`` (standard
        deviations in the unit of the outcome), ``answers`` (mean number of different stimuli of an item in
        a condition), ``items`` and ``n`` (stimuli). The residual is between stimuli, whose answers are
        averaged. With one stimulus of each item in a condition, ``item_condition`` is 0, because ``residual``
        contains it.

    Raises
    ------
    SpecError
        If there is no such outcome, question or column.
    NotEnoughDataError
        If no answer has the outcome, there are fewer than three items or two conditions, or items do
        not differ.

    Examples
    --------
    >>> from grace_client.analysis import example, power
    >>> found = power.assumed(example.scored("study2"), "prob_wasnt")
    >>> found[["item", "item_condition", "answers", "items"]].round(2)
       item  item_condition  answers  items
    0   0.0            0.04    16.83     12
    """
    known = declared(frame, experiment)
    wanted = chosen(known, outcome, question)
    table = measured(frame, known, wanted)
    factors = conditions(known, table) if by is None else list(by)
    require(table, ["item", "stimulus", *factors])
    if not factors:
        raise SpecError("by: name the conditions of the study")
    result = []
    for names, one in wanted:
        for name in names:
            rows = table[(table["question"] == name) & table[one.name].notna()]
            keys = ["item", *factors, "stimulus"]
            for model, own in per_model(rows):
                means = own.groupby(keys, sort=False, observed=True)[one.name].mean().reset_index()
                head = {"model": model, "question": name, "outcome": one.name}
                result.append(head | _fitted(means, one.name, factors, f"{model}, question {name}"))
    if not result:
        raise NotEnoughDataError(f"no answer has the outcome {' or '.join(one.name for _, one in wanted)}")
    return pd.DataFrame(result)


def _fitted(means: pd.DataFrame, outcome: str, factors: list[str], where: str) -> dict[str, float]:
    """The components of one model, from the means of its stimuli."""
    cells = means.groupby(["item", *factors], sort=False, observed=True)[outcome]
    size = cells.size().to_numpy(dtype=np.float64)
    table = cells.mean().reset_index()
    item = np.asarray(table.groupby("item", sort=False).ngroup(), dtype=np.int64)
    cell = np.asarray(table.groupby(factors, sort=False, observed=True).ngroup(), dtype=np.int64)
    if item.max() < 2 or cell.max() < 1:
        raise NotEnoughDataError(
            f"{where}: answers to {item.max() + 1} items in {cell.max() + 1} conditions. The variance needs "
            "at least three items and two conditions"
        )
    inner = len(means) - len(size)
    between = float(((means[outcome] - cells.transform("mean")) ** 2).sum())
    residual = between / inner if inner else 0.0
    y = table[outcome].to_numpy(dtype=np.float64)
    matrix = np.eye(int(cell.max()) + 1)[cell]
    whole = np.hstack([matrix, np.eye(int(item.max()) + 1)[item]])
    left = y - whole @ np.linalg.lstsq(whole, y, rcond=None)[0]
    if float(np.abs(left).max()) < 1e-9:
        raise NotEnoughDataError(
            f"{where}: all items have the same effects, so there is no variance to assume"
        )
    of_items, own = components(y, matrix, [item], level=None).variance.tolist()
    if inner:
        # The mean of a cell varies with the effect of its item, and with that of its answers.
        condition = max(0.0, own - residual * float((1 / size).mean()))
    else:
        condition, residual = 0.0, own
    named = {"item": of_items, "item_condition": condition, "residual": residual}
    found = {name: float(np.sqrt(value)) for name, value in named.items()}
    return found | {"answers": float(size.mean()), "items": int(item.max()) + 1, "n": len(means)}
