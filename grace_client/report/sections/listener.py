"""The rational speech act listener in the report: under several priors, beside models, and fitted to them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from grace_client import analysis
from grace_client.report import format
from grace_client.report.blocks import Figure, Section, Table
from grace_client.report.runs import ALPHA, PRIORS
from grace_client.report.sections import closeness

CELL = ("access", "observe")
UNIFORM = 0.5
"""Share of belief that is uniform, from which on a fit is mainly that."""
NEARLY = 0.9
"""Share of belief that is uniform, from which on almost nothing is left."""
AVERAGED = "the listener's beliefs averaged over access"
"""Name of the baseline that ignores what the speaker saw."""
ODDS = (
    "The listener needs a base rate: how likely it is that a thing has the property before anybody speaks. "
    "The stories say that nearly all have it. People were asked what they expected, but their answers are "
    "not in the paper. So the listener is shown at three base rates: "
)


def expected(base_rate: float = PRIORS[0]) -> pd.DataFrame:
    """What the listener believes in the cells of Study 1, fitted to nothing."""
    return analysis.rsa.predict_study1(ALPHA, base_rate)


def priors(found: Section) -> None:
    """Add what the listener believes at each base rate, and what depends on it."""
    wide = expected()[[*CELL, "state"]]
    for rate in PRIORS:
        wide = wide.merge(
            expected(rate).rename(columns={"prob": f"base rate {rate:g}"}), on=[*CELL, "state"], how="left"
        )
    one = wide[(wide["access"] == "3") & (wide["observe"] == "1") & (wide["state"] == 1)].iloc[0]
    told = ", ".join(f"{one[f'base rate {rate:g}']:.2f} at {rate:g}" for rate in PRIORS)
    found.content += [
        f"{ODDS}{format.listed(f'{rate:g}' for rate in PRIORS)}. The base rate matters: where a speaker "
        f"who saw all three says “one”, the listener's probability of exactly one is {told}. The pattern of "
        "the paper is that of a base rate of 0.5, at any optimality above 0.",
        Table(
            f"{found.name}-priors",
            "What the RSA listener with fixed values believes, at three base rates",
            wide,
            f"Optimality {ALPHA:g}. Probabilities of the four states in each cell; they are computed, and "
            "have no intervals.",
        ),
    ]


def compare(found: Section, means: pd.DataFrame, items: pd.DataFrame, name: str, label: str) -> None:
    """Study 1 beside the listener with fixed values. Of people the paper prints no cell means."""
    names = {rate: f"RSA, base rate {rate:g}" for rate in PRIORS}
    long = {
        rate: analysis.compare.agreement(
            items, expected(rate), keys=CELL, outcome="state", across=["access"], ordered=True
        )
        for rate in PRIORS
    }
    cells = pd.concat(
        [
            analysis.compare.cells(means, expected(rate), keys=CELL, outcome="state", ordered=True).assign(
                beside=names[rate]
            )
            for rate in PRIORS
        ],
        ignore_index=True,
    )
    baselines = [
        closeness.wide(
            closeness.baselines(expected(rate), CELL, "state", ("access", AVERAGED), ordered=True),
            names[rate],
        )
        for rate in PRIORS
    ]
    found.content += [
        Figure(
            f"comparison-{name}",
            f"Closeness to the RSA listener with fixed values in Study 1, {label}, at a base rate of 0.5",
            "Pearson and Spearman correlation, root mean squared error and Jensen-Shannon divergence of each "
            "model from the listener, with intervals.",
            lambda: analysis.figures.agreement(long[PRIORS[0]]),
        ),
        Table(
            f"comparison-{name}",
            f"Models and the RSA listener with fixed values, {label}",
            pd.concat(
                [*(closeness.wide(long[rate], names[rate]) for rate in PRIORS), *baselines], ignore_index=True
            ),
            "The listener of rational speech act (RSA) theory is not fitted to the models here: its "
            f"optimality is {ALPHA:g}, and it is shown at three base rates, since the stories say that "
            f"nearly all things have the property. {closeness.note('access')} EMD: mean distance in states "
            f"by which the bets of a cell would have to move. Two baselines: "
            f"{AVERAGED}, and {closeness.EVEN}.",
        ),
        Table(
            f"comparison-{name}-cells",
            f"Distance from the RSA listener with fixed values in each cell of Study 1, {label}",
            cells[["model", "beside", *CELL, "js", "tv", "emd"]],
            "Between mean bets as probabilities. JS: Jensen-Shannon divergence in bits; TV: share of the "
            "bets that would have to move; EMD: by how many states.",
            long=True,
        ),
    ]
    told = "; ".join(
        f"with base rate {rate:g}, {format.correlations(closeness.wide(long[rate]), _name)}"
        for rate in PRIORS
    )
    found.summary.append(
        f"Study 1, {label}: do the bets change with what the speaker saw as rational speech act (RSA) theory "
        "predicts? The answer is r of these changes (1: as predicted; 0: no relation; a model that ignores "
        f"what the speaker saw has none). The theory is not fitted to the models: {told}."
    )


def _name(row: Any) -> str:
    return str(row["model"])


def fits(found: Section, means: pd.DataFrame, items: pd.DataFrame) -> None:
    """Add the listener fitted to each model that has enough answers, and what the fit is, in words."""
    items = closeness.whole(found, items, expected(), CELL, "the fit of the RSA listener")
    rows, told = [], []
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
        told.append(f"{model}: {called(row, bounds)}")
        if row["lapse"] >= UNIFORM:
            row |= {"alpha": float("nan"), "base_rate": float("nan")}
        rows.append(row | {"n_cells": fit.statistics["n_cells"], "at_bound": format.listed(bounds)})
    if not rows:
        return
    found.content.append(
        Table(
            "study1-rsa",
            "The RSA listener fitted to each model",
            pd.DataFrame(rows),
            "Three free parameters, fitted to the model's own mean bets (four in a cell, of which three "
            "are free); fitted values have no intervals. alpha: optimality of the imagined speaker (0: "
            "the speaker says anything that is true); base rate: prior probability that a thing has the "
            "property; lapse: share of the bets that is spread evenly over the states whatever the speaker "
            "says. Where lapse is 0.5 or more, alpha and base rate describe the smaller part of the bets: "
            "they are left out (–). KL: bits between model and fit; KL even: bits between the model and even "
            "bets on all states, the baseline of KL. r: correlation of what the cells change in model and "
            "fit, interval over stories. At bound: parameters that ended at a limit of the search, so that "
            "the bets do not say how large they are.",
        )
    )
    found.summary.append(
        "The listener of rational speech act (RSA) theory, with 3 parameters fitted to each model's mean "
        f"bets: {'; '.join(told)}."
    )


def called(row: dict[str, Any], bounds: list[str]) -> str:
    """What a fitted listener is, in words: hardly a listener where its bets are mainly even.

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
            f"states whatever the speaker says; the theory describes {part} of this model, and optimality "
            "and base rate are not to be read"
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
