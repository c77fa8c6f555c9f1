"""The eight planned contrasts of Study 1: those that people show, and those that people do not."""

from __future__ import annotations

import pandas as pd

from grace_client import analysis
from grace_client.report import words
from grace_client.report.material import Material
from grace_client.report.parts import Section, Table

LEVEL = 0.05
"""Of a test, as the paper took it: uncorrected."""


def add(found: Section, material: Material, frame: pd.DataFrame, experiment: str, name: str) -> None:
    """Add the table, and what it says in words."""
    table = shown(frame)
    noted = any(m.noise for (_, one), m in material.manifests.items() if one == experiment)
    if noted:
        table = analysis.mark_noise(table, frame, of="contrasts", manifests=material.manifests)
        # What the engine's own noise could make is no effect.
        table["shown"] &= ~table["below_noise"].fillna(False).astype(bool)
    found.content.append(
        Table(
            name,
            "The eight planned contrasts: four that people show, then four that they do not",
            table,
            "One-tailed paired t tests over distinct stimuli that the bet on the state “greater” exceeds "
            "that on “lesser”; difference: in dollars of 100, with its two-sided interval; p (Holm): "
            "corrected within the model; d z: effect size; distinct: pairs. people: whether the paper "
            "reports the difference; shown: p < .05"
            + (
                ", and not below noise. noise floor: what the engine's own noise alone exceeds once in 20 "
                "times."
                if noted
                else "."
            )
            + " A difference that is not shown is not shown to be absent: read its interval.",
            hidden=("mean_greater", "mean_lesser", "n"),
        )
    )
    found.summary += told(table, " in free text" if experiment == "study1-exp1" else "")


def shown(frame: pd.DataFrame) -> pd.DataFrame:
    """The contrasts of each model, those first that people show; ``people`` and ``shown`` are boolean."""
    people = analysis.reference.study1()
    keys = ["access", "observe", "greater", "lesser"]
    table = analysis.study1.contrasts(frame).merge(
        people[[*keys, "holds"]].rename(columns={"holds": "people"}), on=keys, how="left"
    )
    table["shown"] = (table["p"] < LEVEL) & (table["difference"] > 0)
    place = {model: i for i, model in enumerate(dict.fromkeys(table["model"]))}
    order = table["model"].map(place) * 2 + ~table["people"]
    first = ["model", *keys, "people", "shown"]
    table = table[[*first, *(name for name in table.columns if name not in first)]]
    return table.iloc[order.argsort(kind="stable")].reset_index(drop=True)


def told(table: pd.DataFrame, where: str) -> list[str]:
    """How many each model shows of those that people show, and of the others."""
    lines: dict[str, list[str]] = {"theirs": [], "others": [], "untested": []}
    theirs = others = full = table.iloc[:0]
    for model, own in table.groupby("model", sort=False):
        theirs, others = own[own["people"]], own[~own["people"]]
        full = theirs[theirs["access"] == "3"]
        lines["theirs"].append(f"{model} {theirs['shown'].sum()} ({full['shown'].sum()})")
        lines["others"].append(f"{model} {others['shown'].sum()}")
        if missing := int(own["p"].isna().sum()):
            lines["untested"].append(f"{missing} of {model}")
    found = [
        f"Of the {len(theirs)} differences between bets that people show in Study 1 ({len(full)} of them at "
        f"full access, where people take a number as an upper bound), models show{where}: "
        f"{words.listed(lines['theirs'])}. Of the {len(others)} that people do not show: "
        f"{words.listed(lines['others'])}. A model without any effect shows none of the "
        f"{len(theirs) + len(others)}; not to show one is no agreement with people."
    ]
    if lines["untested"]:
        found.append(f"Differences that could not be tested{where}: {words.listed(lines['untested'])}.")
    return found
