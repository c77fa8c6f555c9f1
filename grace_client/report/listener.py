"""The rational speech act listener in the report: under several priors, beside models, and fitted to them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from grace_client import analysis
from grace_client.report import closeness, words
from grace_client.report.material import ALPHA, PRIORS
from grace_client.report.parts import Figure, Section, Table

CELL = ("access", "observe")
UNIFORM = 0.5
"""Share of belief that is uniform, from which on a fit is mainly that."""
ODDS = (
    "The listener needs a prior: how likely it is that a thing has the property before anybody speaks. The "
    "stories say that nearly all have it, people were asked what they expected, and their answers are not in "
    "the paper. So the listener is shown at three base rates: "
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
        f"{ODDS}{words.listed(f'{rate:g}' for rate in PRIORS)}. It makes a difference: from “one” by a "
        f"speaker who saw all three, the listener believes in exactly one with {told}. The pattern of the "
        "paper is that of even odds, at any optimality.",
        Table(
            f"{found.name}-priors",
            "What the rational speech act listener believes, at three base rates",
            wide,
            f"Optimality {ALPHA:g}. Probabilities of the four states in each cell; they are computed, and "
            "have no intervals.",
        ),
    ]


def compare(found: Section, means: pd.DataFrame, items: pd.DataFrame, name: str, label: str) -> None:
    """Study 1 beside the listener. Of people the paper prints no cell means."""
    names = {rate: f"RSA, base rate {rate:g}" for rate in PRIORS}
    long = {
        rate: analysis.compare.agreement(items, expected(rate), keys=CELL, outcome="state", across=["access"])
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
    moved = analysis.mean_intervals(
        cells.assign(cell=cells["access"] + cells["observe"]),
        "emd",
        ["model", "beside"],
        cluster="cell",
        bounds=(0, 3),
    ).rename(columns={"mean": "emd", "low": "emd_low", "high": "emd_high"})
    near = pd.concat([closeness.wide(long[rate], names[rate]) for rate in PRIORS], ignore_index=True)
    near = near.merge(moved[["model", "beside", "emd", "emd_low", "emd_high"]], on=["model", "beside"])
    baseline = [
        closeness.wide(closeness.baseline(expected(rate), CELL, "state", ["access"]), names[rate])
        for rate in PRIORS
    ]
    found.content += [
        Figure(
            f"comparison-{name}",
            f"Closeness to the rational speech act listener in Study 1, {label}, at even prior odds",
            "Pearson and Spearman correlation, root mean squared error and Jensen-Shannon divergence of each "
            "model from the listener, with intervals.",
            lambda: analysis.figures.agreement(long[PRIORS[0]]),
        ),
        Table(
            f"comparison-{name}",
            f"Models and the rational speech act listener, {label}",
            pd.concat([near[[*near.columns.drop("n_cells"), "n_cells"]], *baseline], ignore_index=True),
            f"The listener is fitted to nothing: optimality {ALPHA:g}, and three base rates, since the "
            f"stories say that nearly all things have the property. {closeness.note('access')} ignores the "
            "access: the listener's own mean over access, the baseline. EMD: mean distance in states by "
            "which the bets of a cell would have to move.",
        ),
        Table(
            f"comparison-{name}-cells",
            f"Distance from the listener in each cell of Study 1, {label}",
            cells[["model", "beside", *CELL, "js", "tv", "emd"]],
            "Between mean bets as probabilities. JS: Jensen-Shannon divergence in bits; TV: share of the "
            "bets that would have to move; EMD: by how many states.",
            long=True,
        ),
    ]
    told = "; ".join(
        f"at a base rate of {rate:g} {words.correlations(closeness.wide(long[rate]), _name)}"
        for rate in PRIORS
    )
    found.summary.append(
        f"Study 1, {label}: what access changes in the bets, beside what it changes in those of the rational "
        f"speech act listener (fitted to nothing; a model that ignores access has no r): {told}."
    )


def _name(row: Any) -> str:
    return str(row["model"])


def fits(found: Section, means: pd.DataFrame, items: pd.DataFrame) -> None:
    """Add the listener fitted to each model that has enough answers, and what the fit is, in words."""
    items = closeness.whole(found, items, expected(), CELL, "the fit of the rational speech act listener")
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
            **{name: fit.statistics[name] for name in ("kl", "rmse")},
            **closeness.of_fit(own, fit, CELL, "state"),
        }
        rows.append(row | {"n_cells": fit.statistics["n_cells"], "at_bound": words.listed(bounds)})
        told.append(f"{model}: {called(row, bounds)}")
    if not rows:
        return
    found.content.append(
        Table(
            "study1-rsa",
            "The rational speech act listener fitted to each model",
            pd.DataFrame(rows),
            "Three free parameters, fitted to the model's own mean bets (four in a cell, of which three "
            "are free); fitted values have no intervals. alpha: optimality of the imagined speaker (0: "
            "words say nothing but what is true); base rate: prior probability that a thing has the "
            "property; lapse: share of belief that is uniform whatever is said; KL: bits between model and "
            "fit; r: of what the cells change in model and fit, interval over stories; at bound: parameters "
            "that ended at a limit of the search, so that the bets do not say how large they are.",
        )
    )
    found.summary.append(
        "The rational speech act listener, with 3 parameters fitted to the mean bets of each model: "
        f"{'; '.join(told)}."
    )


def called(row: dict[str, Any], bounds: list[str]) -> str:
    """What a fitted listener is, in words: no listener at all where its belief is mainly uniform.

    Parameters
    ----------
    row : dict
        ``alpha, base_rate, lapse`` and ``r`` with its interval.
    bounds : list of str
        The parameters at a limit of the search.
    """
    if row["lapse"] >= UNIFORM:
        return (
            f"{words.percent(row['lapse'])} of its bets are uniform in the fit, whatever is said, so that "
            "hardly any listener is left to describe"
        )
    near = f"r = {words.correlation(row['r'], row['r_low'], row['r_high'])}"
    base = f"base rate {words.number(row['base_rate'])}, {words.percent(row['lapse'])} of the bets uniform"
    if "alpha" in bounds and row["alpha"] < 1:
        return (
            "the fit ends at optimality 0, the limit: a listener who takes words literally and expects no "
            f"choice of words ({base}; {near})"
        )
    rest = f"; {words.listed(bounds)} at a limit of the search" if bounds else ""
    return f"optimality {words.number(row['alpha'])}, {base}; {near}{rest}"
