"""Negation in Study 2: the logistic model of choices."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grace_client.analysis.layout import per_model, require
from grace_client.analysis.study2.shares import CELL, STATES, choices
from grace_client.errors import SpecError

MODEL_GOALS = ("informational", "social", "both")
"""The goals with the base level first."""


def negation_model(
    frame: pd.DataFrame, *, method: str = "mixed", cluster: str = "participant"
) -> pd.DataFrame:
    """Logistic regression of negation on goal, state and their interaction.

    Every cell has its own log odds; the terms compare them with the base, informational and 0 hearts.

    Parameters
    ----------
    frame : DataFrame
        Study 2 free text with structured answers, as `read` gives it. Each choice is a row; counts have lost
        who chose.
    method : {"mixed", "gee"}
        ``mixed``: random intercepts of participant and item, maximum likelihood by Laplace's approximation,
        as ``glmer(negation ~ goal * state + (1 | participant) + (1 | item), family = binomial)`` in R fits
        it. ``gee``: generalised estimating equations, with errors robust to any correlation among the
        choices of one `cluster`.
    cluster : str
        Column, for ``gee``.

    Returns
    -------
    DataFrame
        One row per model and term: ``model, term`` (such as ``goal[social]:state[1 heart]``), ``estimate``
        (log odds), ``se, z, p`` (two-sided, Wald), ``low, high`` (95%), ``separated, converged, method``,
        ``sd_participant, sd_item`` (log odds; missing for ``gee``), ``n`` (choices) and ``n_distinct``
        (stimuli). ``separated`` marks a term that needs a cell in which all choices are negated or none is:
        it has no finite value, and it, its error and its test are missing. So are those of a term whose cell
        has no choices. The other terms are the same with or without such cells.
    """
    from scipy import stats

    from grace_client.analysis import logistic

    if method not in ("mixed", "gee"):
        raise SpecError(f"there is no method {method!r}; there are: mixed, gee")
    if "count" in frame.columns:
        raise SpecError("counts do not tell who chose what about which item; give the answers themselves")
    rows = choices(frame)
    require(rows, ["participant", "item"])
    cells = [(goal, state) for goal in MODEL_GOALS for state in STATES]
    parts = []
    for model, part in per_model(rows):
        negated = part["structured"].str.startswith("wasnt_")
        shares = negated.groupby([part[name] for name in CELL]).mean()
        mixed = [cell for cell in cells if cell in shares.index and 0 < shares[cell] < 1]
        separated = [cell for cell in cells if cell in shares.index and cell not in mixed]
        place = {cell: i for i, cell in enumerate(mixed)}
        code = pd.Series(list(zip(part["goal"], part["state"], strict=True)), index=part.index).map(place)
        used = part[code.notna()]
        fit = None
        if mixed:
            y = np.asarray(negated[code.notna()], dtype=np.float64)
            matrix = np.eye(len(mixed))[code.dropna().astype(np.int64)]
            if method == "gee":
                fit = logistic.gee(y, matrix, pd.factorize(used[cluster])[0])
            else:
                levels = {name: pd.factorize(used[name])[0] for name in ("participant", "item")}
                fit = logistic.mixed(y, matrix, levels)
        lines = []
        for term, needed in _terms():
            row: dict[str, object] = {"model": model, "term": term}
            row |= {"separated": any(cell in separated for cell in needed)}
            if fit is not None and all(cell in place for cell in needed):
                weights = np.zeros(len(mixed))
                for cell, sign in needed.items():
                    weights[place[cell]] = sign
                row["estimate"] = float(weights @ fit.estimate)
                row["se"] = float(np.sqrt(weights @ fit.covariance @ weights))
            lines.append(row)
        found = pd.DataFrame(lines, columns=["model", "term", "estimate", "se", "separated"])
        spread = fit.spread if fit else {}
        parts.append(
            found.assign(
                converged=fit is not None and fit.converged,
                method=method,
                sd_participant=spread.get("participant", np.nan),
                sd_item=spread.get("item", np.nan),
                n=len(part),
                n_distinct=part["stimulus"].nunique(),
            )
        )
    table = pd.concat(parts, ignore_index=True).astype({"estimate": np.float64, "se": np.float64})
    reach = float(stats.norm.ppf(0.975)) * table["se"]
    table["z"] = table["estimate"] / table["se"]
    table["p"] = 2 * stats.norm.sf(table["z"].abs())
    table["low"], table["high"] = table["estimate"] - reach, table["estimate"] + reach
    order = ["model", "term", "estimate", "se", "z", "p", "low", "high", "separated", "converged", "method"]
    return table[[*order, "sd_participant", "sd_item", "n", "n_distinct"]]


def _terms() -> list[tuple[str, dict[tuple[str, str], int]]]:
    """Treatment-coded terms, each as the cells whose log odds it adds and subtracts."""
    goals, states = MODEL_GOALS, STATES
    base = (goals[0], states[0])
    terms: list[tuple[str, dict[tuple[str, str], int]]] = [("intercept", {base: 1})]
    terms += [(f"goal[{goal}]", {(goal, states[0]): 1, base: -1}) for goal in goals[1:]]
    terms += [(f"state[{state}]", {(goals[0], state): 1, base: -1}) for state in states[1:]]
    terms += [
        (
            f"goal[{goal}]:state[{state}]",
            {(goal, state): 1, (goal, states[0]): -1, (goals[0], state): -1, base: 1},
        )
        for goal in goals[1:]
        for state in states[1:]
    ]
    return terms
