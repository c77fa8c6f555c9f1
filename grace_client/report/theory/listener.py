"""The rational speech act listener: its beliefs at several base rates, compared with models, and fitted."""

from __future__ import annotations

from typing import Any

import pandas as pd

from grace_client import analysis
from grace_client.report import format
from grace_client.report.blocks import Figure, Section, Table
from grace_client.report.theory import closeness

CELL = analysis.study1.CELL
ALPHA = 4.0
"""Optimality of the listener with fixed values; at a base rate of 0.5, any above 0 gives its pattern."""
PRIORS = (0.5, 0.8, 0.9)
"""Its base rates: even odds, and two for stories in which nearly all things have the property."""
UNIFORM = 0.5
"""Share of uniform belief from which on a fit is mainly uniform."""
NEARLY = 0.9
"""Share of uniform belief from which on almost nothing else is left."""
AVERAGED = "the listener's beliefs averaged over access"
"""Name of the baseline that ignores what the speaker saw."""
ODDS = (
    "The listener needs a base rate: the probability that a thing has the property before anybody speaks. "
    "The stories say that nearly all things have it. The paper asked people what they expected, but does "
    "not print their answers. So the listener is shown at three base rates: "
)


def expected(base_rate: float = PRIORS[0]) -> pd.DataFrame:
    """The listener's beliefs in the cells of Study 1, fitted to nothing."""
    return analysis.rsa.predict_study1(ALPHA, base_rate)


def priors(section: Section) -> None:
    """Add the listener's beliefs at each base rate."""
    wide = expected()[[*CELL, "state"]]
    for rate in PRIORS:
        wide = wide.merge(
            expected(rate).rename(columns={"prob": f"base rate {rate:g}"}), on=[*CELL, "state"], how="left"
        )
    one = wide[(wide["access"] == "3") & (wide["observe"] == "1") & (wide["state"] == 1)].iloc[0]
    values = ", ".join(f"{one[f'base rate {rate:g}']:.2f} at {rate:g}" for rate in PRIORS)
    section.content += [
        f"{ODDS}{format.listed(f'{rate:g}' for rate in PRIORS)}. The base rate matters: where a speaker who "
        f"saw all three says “one”, the listener's probability of exactly one is {values}. The pattern of "
        "the paper needs a base rate of 0.5, at any optimality above 0.",
        Table(
            f"{section.name}-priors",
            "Beliefs of the RSA listener with fixed values, at three base rates",
            wide,
            f"Optimality {ALPHA:g}. Probabilities of the four states in each cell. They are computed, so "
            "they have no intervals.",
        ),
    ]


def compare(section: Section, means: pd.DataFrame, items: pd.DataFrame, name: str, label: str) -> None:
    """Compare Study 1 with the listener with fixed values. The paper prints no cell means of people."""
    how: dict[str, Any] = {"keys": CELL, "outcome": "state", "ordered": True}
    close, cells, baselines = {}, [], []
    for rate in PRIORS:
        beside = f"RSA, base rate {rate:g}"
        close[rate] = analysis.compare.closeness(items, expected(rate), across=["access"], **how)
        cells.append(analysis.compare.cells(means, expected(rate), **how).assign(beside=beside))
        even = closeness.baselines(expected(rate), averaged=("access", AVERAGED), **how)
        baselines.append(closeness.wide(even, beside))
    wide = {rate: closeness.wide(long, f"RSA, base rate {rate:g}") for rate, long in close.items()}
    section.content += [
        Figure(
            f"comparison-{name}",
            f"Closeness to the RSA listener with fixed values in Study 1, {label}, at a base rate of 0.5",
            "Pearson and Spearman correlation, root mean squared error and Jensen-Shannon divergence of each "
            "model from the listener, with intervals.",
            lambda: analysis.figures.closeness(close[PRIORS[0]]),
        ),
        Table(
            f"comparison-{name}",
            f"Models and the RSA listener with fixed values, {label}",
            pd.concat([*wide.values(), *baselines], ignore_index=True),
            "The listener of rational speech act (RSA) theory is not fitted to the models here. Its "
            f"optimality is {ALPHA:g}. It is shown at three base rates, because the stories say that nearly "
            f"all things have the property. {closeness.note('access')} EMD: mean distance, in states, by "
            f"which the bets of a cell would have to move. Two baselines: {AVERAGED}, and {closeness.EVEN}.",
        ),
        Table(
            f"comparison-{name}-cells",
            f"Distance from the RSA listener with fixed values in each cell of Study 1, {label}",
            pd.concat(cells, ignore_index=True)[["model", "beside", *CELL, "js", "tv", "emd"]],
            "Distances between mean bets, as probabilities. JS: Jensen-Shannon divergence in bits. TV: share "
            "of the bets that would have to move. EMD: mean distance of the move, in states.",
            long=True,
        ),
    ]
    lines = ". ".join(
        f"With base rate {rate:g}, {format.correlations(table, lambda row: str(row['model']))}"
        for rate, table in wide.items()
    )
    section.summary.append(
        f"Study 1, {label}: do the bets change with what the speaker saw as rational speech act (RSA) theory "
        "predicts? r of these changes with 95% intervals (1: as predicted; 0: no relation; a model that "
        f"ignores what the speaker saw has no r). The theory is not fitted to the models. {lines}."
    )


def fits(section: Section, means: pd.DataFrame, items: pd.DataFrame) -> None:
    """Add the listener fitted to each model that has enough answers, and a sentence on each fit."""
    items = closeness.comparable(section, items, expected(), CELL, "the fit of the RSA listener")
    rows, lines = [], []
    for model, own in items.groupby("model", sort=False):
        cells = means[means["model"] == model]
        cells = cells.assign(prob=cells["mean"] / 100)
        fit = analysis.rsa.fit_study1(cells[[*CELL, "state", "prob"]])
        values = fit.parameters.set_index("parameter")
        bounds = [name for name in values.index if values["at_bound"][name]]
        row: dict[str, Any] = {
            "model": model,
            **{name: float(values["value"][name]) for name in ("alpha", "base_rate", "lapse")},
            "kl": fit.statistics["kl"],
            "kl_even": closeness.from_even(cells["prob"], cells["state"]),
            "rmse": fit.statistics["rmse"],
            **closeness.of_fit(own, fit, CELL, "state"),
        }
        lines.append(f"{model}: {describe(row, bounds)}")
        if row["lapse"] >= UNIFORM:
            row |= {"alpha": float("nan"), "base_rate": float("nan")}
        rows.append(row | {"n_cells": fit.statistics["n_cells"], "at_bound": format.listed(bounds)})
    if not rows:
        return
    section.content.append(
        Table(
            "study1-rsa",
            "The RSA listener fitted to each model",
            pd.DataFrame(rows),
            "Three parameters are fitted to the model's own mean bets (four in a cell, of which three are "
            "free). Fitted values have no intervals. alpha: optimality of the imagined speaker (0: the "
            "speaker says anything that is true). base rate: prior probability that a thing has the "
            "property. lapse: share of the bets that is spread evenly over the states whatever the speaker "
            "says. Where lapse is 0.5 or more, alpha and base rate describe the smaller part of the bets "
            "and are left out (–). KL: bits between model and fit. KL even: bits between the model and "
            "even bets on all states, the baseline of KL. r: correlation of the differences between cells "
            "in model and fit; its interval is over stories. at bound: parameters that ended at a limit of "
            "the search, so their size is not known.",
        )
    )
    section.summary.append(
        "The listener of rational speech act (RSA) theory, with 3 parameters fitted to each model's mean "
        f"bets: {'; '.join(lines)}."
    )


def describe(row: dict[str, Any], bounds: list[str]) -> str:
    """A fitted listener in words. Where its bets are mainly even, the text says that the theory fails.

    Parameters
    ----------
    row : dict
        ``alpha, base_rate, lapse`` and ``r`` with its interval.
    bounds : list of str
        The parameters at a limit of the search.
    """
    if row["lapse"] >= UNIFORM:
        part = "almost nothing" if row["lapse"] >= NEARLY else "the smaller part"
        return (
            f"in the best fit, {format.percent(row['lapse'])} of its bets are spread evenly over the four "
            f"states whatever the speaker says. The theory describes {part} of this model; do not interpret "
            "its optimality and base rate"
        )
    near = f"r = {format.correlation(row['r'], row['r_low'], row['r_high'])}"
    base = (
        f"base rate {format.number(row['base_rate'])}, {format.percent(row['lapse'])} of the bets spread "
        "evenly"
    )
    if "alpha" in bounds and row["alpha"] < 1:
        return (
            "the fit ends at optimality 0, the limit: a listener who takes words literally and expects no "
            f"choice of words ({base}; {near})"
        )
    rest = f"; {format.listed(bounds)} at a limit of the search" if bounds else ""
    return f"optimality {format.number(row['alpha'])}, {base}; {near}{rest}"
