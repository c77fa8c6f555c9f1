"""The polite speaker: how well it describes people, and fitted to models."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grace_client import analysis
from grace_client.analysis.rsa import Speaker
from grace_client.report import format
from grace_client.report.blocks import Figure, Section, Table
from grace_client.report.theory import closeness

CELL = list(analysis.study2.CELL)
GOAL_WORDS = {
    "both": "to be kind and informative",
    "social": "to be kind",
    "informational": "to be informative",
}
"""What a speaker wants with each goal, in words."""
GOALS = tuple(GOAL_WORDS)
WEIGHTS = ("informational", "social", "presentational", "phi")


def theory(predicted: pd.DataFrame) -> str:
    """The paragraph on the polite speaker and its closeness to people."""
    speaker = analysis.rsa.people()
    meanings = speaker.semantics.size
    # Of three weights that sum to 1, two are free; with them goes phi. Optimality and cost are of all goals.
    own = 2 + 3 * len(speaker.goals)
    human = analysis.reference.study2().rename(columns={"share": "prob"})
    long = analysis.compare.closeness(predicted, human, keys=CELL, outcome="utterance")
    r = closeness.wide(long).iloc[0]
    cells = int(r["n_cells"])
    near = format.correlation(r["r_plain"], r["r_plain_low"], r["r_plain_high"])
    ignores = analysis.compare.blind(human, keys=CELL, outcome="utterance", across=["goal"])
    blind = analysis.compare.closeness(ignores, human, keys=CELL, outcome="utterance", draws=2)
    other = format.number(blind.set_index("statistic")["value"]["r_plain"])
    return (
        "RSA is the polite speaker of Yoon et al., from rational speech act (RSA) theory. grace fitted its "
        f"{own + meanings} free parameters to the answers of people that are shown here: {own} for "
        f"optimality, cost and goals, and {meanings} for the meanings of the utterances, which stay near the "
        f"judgements of people. It is close to these answers: r = {near} over {len(predicted)} shares, of "
        f"which {len(predicted) - cells} are free. People's answers averaged over the goals would have r = "
        f"{other}. Equally likely answers would have no r. So the theory can describe people. This does "
        "not show that it predicts them."
    )


def fits(section: Section, means: pd.DataFrame, items: pd.DataFrame) -> None:
    """Add the polite speaker fitted to each model, and the one fitted to people."""
    people = analysis.rsa.people()
    rows, weights = [_known(people)], list[dict[str, str | float]]()
    free = 0
    human = analysis.reference.study2()
    items = closeness.comparable(section, items, human, CELL, "the fit of the polite speaker")
    if items.empty:
        return
    for model, own in means[means["model"].isin(set(items["model"]))].groupby("model", sort=False):
        cells = own.rename(columns={"mean": "prob"})[[*CELL, "utterance", "prob", "n"]]
        fit = analysis.rsa.fit_study2(cells, semantics=people.semantics)
        values = fit.parameters.set_index("parameter")
        # Weights that sum to 1 touch a bound together: only what is at a bound is marked.
        column = {
            str(name): format.number(value) + " *" * bool(bound)
            for name, value, bound in zip(values.index, values["value"], values["at_bound"], strict=True)
        }
        if values["at_bound"]["alpha"] and values["value"]["alpha"] < 1:
            section.content.append(
                f"The fit of the polite speaker to {model} ends at optimality 0, the limit: a speaker who "
                "looks only at the cost of words, whatever the goal and the state. Its weights have no "
                "meaning and are left out."
            )
            column = {name: text for name, text in column.items() if ": " not in name}
            values = values.drop(index=[name for name in values.index if ": " in str(name)])
        close = closeness.of_fit(items[items["model"] == model], fit, CELL, "utterance")
        if np.isnan(close["r"]) and f"{GOALS[0]}: phi" in values.index:
            section.content.append(
                f"Do not interpret the weights and phi of {model}: r is undefined, because the answers of "
                "the model or of the fitted speaker are the same for every goal and state."
            )
            values = values.iloc[:0]
        free = int(fit.statistics["n_parameters"])
        rows.append(
            {"model": str(model), **column}
            | {"kl": format.number(fit.statistics["kl"])}
            | {"kl even": format.number(closeness.from_even(cells["prob"], cells["utterance"]))}
            | {"rmse": format.number(fit.statistics["rmse"])}
            | {"r": format.correlation(close["r"], close["r_low"], close["r_high"])}
        )
        weights += [
            {
                "model": str(model),
                "goal": goal,
                "parameter": name,
                "value": float(values["value"][f"{goal}: {name}"]),
            }
            for goal in GOALS
            for name in WEIGHTS
            if f"{goal}: {name}" in values.index
        ]
    wide = pd.DataFrame(rows).set_index("model").T.fillna("–").rename_axis("parameter").reset_index()
    wide.columns.name = None
    table, wanted = pd.DataFrame(weights), pd.DataFrame(_weights(people))
    if weights:
        section.content.append(
            Figure(
                f"{section.name}-goals",
                "Weights of the polite speaker, fitted to each model and to people",
                "Weights of the informational, social and presentational utility, and φ, a panel for each "
                "goal; models and people.",
                lambda: analysis.figures.goals(table, people=wanted),
            )
        )
    section.content.append(
        Table(
            f"{section.name}-rsa",
            "The polite speaker fitted to each model, and to people",
            wide,
            f"grace fitted {free} free parameters to mean probabilities. Fitted values have no intervals. "
            "The meanings of the utterances are those fitted to people; the goals are the model's own. "
            "alpha: optimality. cost: of a negation; other utterances cost 1. The weights of the three "
            "utilities sum to 1 for each goal. phi: how the speaker wants to appear, from 0 (kind) to 0.98 "
            "(informative). kl: bits between model and fit. kl even: bits between the model and even "
            "answers, the baseline of kl. r: correlation of the differences between cells in model and "
            "fit; its interval is from a bootstrap over domains. *: the "
            "parameter ended at a limit of the search, so its size is not known.",
        )
    )


def _weights(speaker: Speaker) -> list[dict[str, str | float]]:
    return [
        {"goal": goal, "parameter": name, "value": float(np.asarray(getattr(wanted, name)))}
        for goal, wanted in speaker.goals.items()
        for name in WEIGHTS
    ]


def _known(speaker: Speaker) -> dict[str, str]:
    """A column of the table: the fitted speaker of the package."""
    result = {"alpha": speaker.alpha, "cost": speaker.cost}
    result |= {f"{row['goal']}: {row['parameter']}": float(row["value"]) for row in _weights(speaker)}
    return {"model": "people (fitted by grace)"} | {
        name: format.number(value) for name, value in result.items()
    }
