"""Model against model: differences of any outcome of any study, over the items that both answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from grace_client.analysis._data.declared import declared, levels
from grace_client.analysis._data.layout import distinct, ordered, refuse_copies, require
from grace_client.analysis._statistics.differences import Side, d_z_interval, tested
from grace_client.analysis._statistics.variance import sign_flips
from grace_client.analysis.effects import UNITS
from grace_client.analysis.inference import holm
from grace_client.analysis.measured import Outcome, chosen, measured
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.studies.declaration import Experiment

__all__ = ["paired"]

COLUMNS = ["mean_model", "mean_other", "difference", "low", "high", "t", "df", "p", "p_holm", "p_exact"]
COLUMNS += ["d_z", "d_z_low", "d_z_high", "n", "n_distinct"]


def paired(
    frame: pd.DataFrame,
    outcome: str | None = None,
    *,
    by: Sequence[str] = (),
    question: str | None = None,
    experiment: Experiment | str | None = None,
    unit: str | None = None,
) -> pd.DataFrame:
    """The difference between every two models, paired by item, in each cell or over all.

    Only stimuli that both models answered count, so that a failed answer of one makes no difference. Every
    answer counts the same in a mean. The error is that of the items.

    Parameters
    ----------
    frame : DataFrame
        Answers of at least two models to one experiment, as `read` gives them, or the result of `outcomes`.
    outcome, question, experiment
        As in `cell_means`. Each question has tests of its own.
    by : sequence of str
        Columns that make the cells, such as conditions. Default: one comparison over all answers.
    unit : {"item", "stimulus", "participant"}, optional
        What is paired. Default: ``item``, or ``stimulus`` in a study without items. Use ``participant`` only
        for answers of people.

    Returns
    -------
    DataFrame
        One row per question, cell and pair of models: ``question``, `by`, ``outcome, model, other``;
        ``mean_model, mean_other``, ``difference`` of the two and its 95% interval ``low, high``, in the unit
        of the outcome; ``t, df, p`` (two-sided), ``p_holm`` (over all pairs and cells of the question),
        ``p_exact`` (of sign flips of the items' mean differences, each of which counts the same); ``d_z``
        (difference over the standard deviation of the items' differences) with ``d_z_low, d_z_high`` (95%,
        noncentral t), ``n`` (answers of both) and ``n_distinct`` (items). If all items have the same
        difference, ``p`` is that of the sign test, and the interval, ``t`` and ``d_z`` are missing; with
        fewer than two items, the whole test.

    Raises
    ------
    SpecError
        If there is no such outcome, question or column; if `unit` is ``participant`` but all copies of a
        stimulus have the same scored answer.
    NotEnoughDataError
        If no two models answered the same stimulus.

    Notes
    -----
    If all items have as many answers, the test is the paired t test of the items' means.

    Examples
    --------
    >>> import pandas as pd
    >>> from grace_client.analysis import example, paired
    >>> frames = [example.scored("study2", seed=seed).assign(model=f"seed {seed}") for seed in (0, 1)]
    >>> found = paired(pd.concat(frames), "prob_wasnt")
    >>> found[["model", "other", "difference", "low", "high", "d_z", "n_distinct"]].round(3)
        model   other  difference   low   high    d_z  n_distinct
    0  seed 0  seed 1       0.003 -0.01  0.017  0.159          12
    """
    known = declared(frame, experiment)
    wanted = chosen(known, outcome, question)
    table = measured(frame, known, wanted)
    column = distinct(table) if unit is None else unit
    if column not in UNITS:
        raise SpecError(f"unit={column!r}: choose {', '.join(UNITS)}")
    require(table, ["stimulus", column, *by])
    models = list(dict.fromkeys(table["model"]))
    if len(models) < 2:
        raise NotEnoughDataError(f"the frame has the answers of {len(models)} model. Read the runs of two")
    parts = []
    for names, one in wanted:
        for name in names:
            rows = table[(table["question"] == name) & table[one.name].notna()]
            if column == "participant" and "replicate" not in rows.columns:
                refuse_copies(rows, one.name)
            found = pd.DataFrame([*_cells(rows, one, models, list(by), column)])
            if not found.empty:
                found.insert(0, "question", name)
                found["p_holm"] = holm(found["p"].to_numpy())
                parts.append(found.assign(outcome=one.name))
    if not parts:
        raise NotEnoughDataError("no two models answered the same stimulus")
    result = pd.concat(parts, ignore_index=True)[["question", *by, "outcome", "model", "other", *COLUMNS]]
    return ordered(result, {}) if not by else _in_order(result, levels(known, result, by))


def _in_order(result: pd.DataFrame, orders: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    """Cells in the order of their levels; questions and pairs stay as they are."""
    places = [result[name].astype(str).map(own.index) for name, own in orders.items()]
    question = pd.factorize(result["question"])[0]
    order = np.lexsort([*(place.to_numpy() for place in reversed(places)), question])
    return result.iloc[order].reset_index(drop=True)


def _cells(
    rows: pd.DataFrame, one: Outcome, models: Sequence[str], by: list[str], unit: str
) -> Iterator[dict[str, object]]:
    """The comparisons of a question."""
    groups = rows.groupby(by, sort=False, observed=True) if by else [((), rows)]
    for key, cell in groups:
        of_model = {str(model): own for model, own in cell.groupby("model", sort=False, observed=True)}
        for pair in combinations([model for model in models if model in of_model], 2):
            sides = [of_model[model] for model in pair]
            for name in dict.fromkeys(["stimulus", unit]):
                both = set(sides[0][name]) & set(sides[1][name])
                sides = [side[side[name].isin(both)] for side in sides]
            if all(map(len, sides)):
                head = dict(zip(by, key, strict=True)) | dict(zip(("model", "other"), pair, strict=True))
                yield head | _compared(sides, one, unit)


def _compared(sides: list[pd.DataFrame], one: Outcome, unit: str) -> dict[str, float]:
    first, second = (Side.of(side[one.name], side[unit]) for side in sides)
    found = tested(first, second, most=one.greatest - one.least)
    means = [side.groupby(unit, sort=True, observed=True)[one.name].mean() for side in sides]
    low, high = d_z_interval(found["t"], found["df"])
    return found | {
        "mean_model": first.mean,
        "mean_other": second.mean,
        "p_exact": sign_flips((means[0] - means[1]).to_numpy(dtype=np.float64)),
        "d_z_low": low,
        "d_z_high": high,
        "n": sum(map(len, sides)),
    }
