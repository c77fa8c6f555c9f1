"""Study 1's test of the hypothesis, and its planned contrasts: those that people show, and others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from grace_client import analysis
from grace_client.report import format
from grace_client.report.blocks import Section, Table
from grace_client.report.runs import Material

LEVEL = 0.05
"""Of a test, of p values corrected within the model."""
TASK = (
    "In Study 1 a speaker looks at 1, 2 or 3 of three things and says how many of them have a property. The "
    "listener divides 100 dollars between the four numbers that are possible (0 to 3). The lead of a number "
    "is the bet on the number that was named minus the bet on a higher one. "
)
"""What was asked, and what the test of the hypothesis measures."""


def add(found: Section, material: Material, frame: pd.DataFrame, experiment: str, name: str) -> None:
    """Add the tests of the hypothesis and the planned contrasts, and what they say in words."""
    where = " in free text" if experiment == "study1-exp1" else ""
    noise = analysis.quality.noise(material.manifests)
    noted = bool((noise["experiment"] == experiment).any())
    effects = analysis.study1.access_effects(frame)
    table = shown(analysis.study1.contrasts(frame, noise=noise if noted else None))
    if effects["p"].notna().any():
        found.content.append(_access(name.replace("contrasts", "access"), effects))
    found.content.append(
        Table(
            name,
            "The eight planned contrasts: four that people show, then four that they do not",
            table,
            "One-tailed paired t tests over stories that the bet on the state “greater” exceeds that on "
            "“lesser”; every trial counts the same; difference: in dollars of 100, with its two-sided "
            "interval; p (Holm): corrected within the model; d z: effect size. people: whether the paper "
            "reports the difference; shown: p (Holm) < .05"
            + (
                ", and not below noise. noise floor: what the engine's own noise alone exceeds once in 20 "
                "times."
                if noted
                else "."
            )
            + " A dash means that there was no test. A difference that is not significant may still exist: "
            "read its interval. One that is significant may come from a preference for one answer, such as "
            "“1”; the test of what the speaker saw separates the two.",
            hidden=("mean_greater", "mean_lesser", "n"),
            counted="stories",
        )
    )
    found.summary += [hypothesis(effects, where), *told(table, where), *_labels(table, effects, where)]


def _access(name: str, effects: pd.DataFrame) -> Table:
    """The table of the hypothesis."""
    return Table(
        name,
        "Whether it matters what the speaker saw: the test of the hypothesis",
        effects,
        "full: by how many dollars of 100 the bet on the named state (greater) exceeds that on a higher "
        "one (lesser) where the speaker saw all three; partial: the same where they saw only what they "
        "name; difference: full less partial, with its two-sided interval. A preference for a label is "
        "in both, and not in their difference. One-tailed paired t tests over stories, only for "
        "differences above 0; every trial counts the same; p (Holm): corrected within the model; d z: "
        "effect size.",
        hidden=("n",),
        counted="stories",
    )


def hypothesis(effects: pd.DataFrame, where: str) -> str:
    """What access does to the lead of the named state, in dollars, with p."""
    lines, against = [], []
    for model, own in effects.groupby("model", sort=False):
        if own["p"].isna().all():
            lines.append(f"{model}: cannot be tested, since no two stories have answers in both and differ")
            continue
        each = [
            f"{_lead(row)}: {format.interval(row['difference'], row['low'], row['high'])}, "
            f"p {format.equal(row['p_holm'])}"
            for row in own.to_dict("records")
        ]
        lines.append(f"{model}, over {format.stories(own['n_distinct'])}: {'; '.join(each)}")
        below = own[own["high"] < 0].to_dict("records")
        against += [f"{model} ({format.listed(map(_lead, below))})"] * bool(below)
    if effects["p"].isna().all():
        return (
            f"Whether it matters{where} what the speaker saw in Study 1 cannot be tested: no two stories "
            "have answers both where the speaker saw all three and where they saw only what they name."
        )
    found = (
        f"{TASK}The question is how much larger this lead is{where} where the speaker saw all three than "
        "where the speaker saw only what they name (difference in dollars, 95% interval; p of a one-tailed "
        f"test, corrected by Holm's method). {'. '.join(lines)}. A listener who minds what the speaker knows "
        "has differences above 0; a preference for a label is in both leads and cancels."
    )
    if against:
        found += (
            f" An interval that lies wholly below 0 goes against the hypothesis: {'; '.join(against)}. There "
            "p is near 1, because the test looks only for differences above 0."
        )
    return found


def _lead(row: Mapping[Any, Any]) -> str:
    """Such as ``“1”, 1 over 3``."""
    return f"“{row['observe']}”, {row['greater']} over {row['lesser']}"


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The contrasts of each model, first those that people show.

    ``people`` and ``shown`` are boolean. ``shown`` is missing where there is no test.
    """
    people = analysis.reference.study1()
    keys = ["access", "observe", "greater", "lesser"]
    table = table.merge(people[[*keys, "holds"]].rename(columns={"holds": "people"}), on=keys, how="left")
    table["shown"] = ((table["p_holm"] < LEVEL) & (table["difference"] > 0)).astype("boolean")
    if "below_noise" in table.columns:
        # An effect that the engine's own noise can cause is not shown.
        table["shown"] &= ~table["below_noise"].fillna(False).astype(bool)
    table["shown"] = table["shown"].mask(table["p"].isna())
    place = {model: i for i, model in enumerate(dict.fromkeys(table["model"]))}
    order = table["model"].map(place) * 2 + ~table["people"]
    first = ["model", *keys, "people", "shown"]
    table = table[[*first, *(name for name in table.columns if name not in first)]]
    return table.iloc[order.argsort(kind="stable")].reset_index(drop=True)


def told(table: pd.DataFrame, where: str) -> list[str]:
    """How many each model shows of those that people show, and of the others; and what was not tested."""
    tested = table[table["p"].notna()]
    each = len(table) // table["model"].nunique()
    if tested.empty:
        return [f"None of the {each} differences could be tested{where}: too few stories have answers."]
    theirs, others = tested[tested["people"]], tested[~tested["people"]]
    planned = table.drop_duplicates(["access", "observe", "greater", "lesser"])
    ours = planned[planned["people"]]
    counts, rest = [], []
    for model in dict.fromkeys(tested["model"]):
        own = theirs[theirs["model"] == model]
        counts.append(f"{model} {own['shown'].sum()} ({own[own['access'] == '3']['shown'].sum()})")
        rest.append(f"{model} {others[others['model'] == model]['shown'].sum()}")
    found = [
        f"Of the {len(ours)} differences between bets that people show in Study 1 "
        f"({(ours['access'] == '3').sum()} of them at full access, where people take a number as an upper "
        f"bound), models show{where}, with p corrected by Holm's method, over "
        f"{format.stories(tested['n_distinct'])}: {format.listed(counts)}. Of the {each - len(ours)} that "
        f"people do not show: {format.listed(rest)}. A model without any effect shows none of the {each}; "
        "not to show one is no agreement with people."
    ]
    missing = table[table["p"].isna()].groupby("model", sort=False).size()
    if len(missing):
        lines = format.listed(f"{count} of {model}" for model, count in missing.items())
        found.append(
            f"Differences that could not be tested{where}, since too few stories have answers: {lines}."
        )
    return found


def _labels(table: pd.DataFrame, effects: pd.DataFrame, where: str) -> list[str]:
    """Models whose lead at full access is no larger there than at partial access."""
    keys = ["model", "observe", "greater", "lesser"]
    full = table[(table["access"] == "3") & table["people"] & table["shown"].fillna(False).astype(bool)]
    both = full[keys].merge(effects[[*keys, "p", "p_holm"]], on=keys, how="left")
    alone = both[both["p"].notna() & ~(both["p_holm"] < LEVEL)]
    return [
        f"{model}{where}: the test of what the speaker saw does not show that the lead of "
        f"{format.listed(map(_lead, own.to_dict('records')))} depends on it. The lead at full access may be "
        "a preference for a label and is no evidence of an upper bound."
        for model, own in alone.groupby("model", sort=False)
    ]
