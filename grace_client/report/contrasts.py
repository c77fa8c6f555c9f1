"""Study 1's test of the hypothesis, and its planned contrasts: those that people show, and others."""

from __future__ import annotations

import pandas as pd

from grace_client import analysis
from grace_client.report import words
from grace_client.report.material import Material
from grace_client.report.parts import Section, Table

LEVEL = 0.05
"""Of a test, of p values corrected within the model."""


def add(found: Section, material: Material, frame: pd.DataFrame, experiment: str, name: str) -> None:
    """Add the tests of the hypothesis and the planned contrasts, and what they say in words."""
    where = " in free text" if experiment == "study1-exp1" else ""
    effects, table = analysis.study1.access_effects(frame), shown(frame)
    noted = any(m.noise for (_, one), m in material.manifests.items() if one == experiment)
    if noted:
        table = analysis.mark_noise(table, frame, of="contrasts", manifests=material.manifests)
        # What the engine's own noise could make is no effect.
        table["shown"] &= ~table["below_noise"].fillna(False).astype(bool)
    if effects["p"].notna().any():
        found.content.append(_access(name.replace("contrasts", "access"), effects))
    found.content.append(
        Table(
            name,
            "The eight planned contrasts: four that people show, then four that they do not",
            table,
            "One-tailed paired t tests over distinct stimuli that the bet on the state “greater” exceeds "
            "that on “lesser”; every trial counts the same; difference: in dollars of 100, with its "
            "two-sided interval; p (Holm): corrected within the model; d z: effect size; distinct: pairs. "
            "people: whether the paper reports the difference; shown: p (Holm) < .05"
            + (
                ", and not below noise. noise floor: what the engine's own noise alone exceeds once in 20 "
                "times."
                if noted
                else "."
            )
            + " A difference that is not shown is not shown to be absent: read its interval. One that is "
            "shown may be a liking for a label, which the effect of access tells from the hypothesis.",
            hidden=("mean_greater", "mean_lesser", "n"),
        )
    )
    found.summary += [hypothesis(effects, where), *told(table, where)]


def _access(name: str, effects: pd.DataFrame) -> Table:
    """The table of the hypothesis."""
    return Table(
        name,
        "Whether it matters what the speaker saw: the test of the hypothesis",
        effects,
        "full: by how many dollars of 100 the bet on the named state (greater) exceeds that on a higher "
        "one (lesser) where the speaker saw all three; partial: the same where they saw only what they "
        "name; difference: full less partial, with its two-sided interval. A liking for a label is in "
        "both, and not in their difference. One-tailed paired t tests over stories; every trial counts "
        "the same; p (Holm): corrected within the model; d z: effect size; distinct: stories.",
        hidden=("n",),
    )


def hypothesis(effects: pd.DataFrame, where: str) -> str:
    """What access does to the lead of the named state, in dollars, with p."""
    lines = []
    for model, own in effects.groupby("model", sort=False):
        if own["p"].isna().all():
            lines.append(f"{model}: cannot be tested, since no two stories have answers in both and differ")
            continue
        each = [
            f"“{row['observe']}”, {row['greater']} over {row['lesser']}: "
            f"{words.interval(row['difference'], row['low'], row['high'], 1)}, p {words.equal(row['p_holm'])}"
            for row in own.to_dict("records")
        ]
        lines.append(f"{model}, over {words.stories(own['n_distinct'])}: {'; '.join(each)}")
    if effects["p"].isna().all():
        return (
            f"Whether it matters{where} what the speaker saw in Study 1 cannot be tested: no two stories "
            "have answers both where the speaker saw all three and where they saw only what they name."
        )
    return (
        f"Whether it matters{where} what the speaker saw in Study 1: by how many dollars of 100 the lead of "
        "the named state over a higher one is larger where the speaker saw all three than where they saw "
        "only what they name (95% interval; one-tailed p, corrected by Holm's method). "
        f"{'. '.join(lines)}. A listener who minds what the speaker knows has differences above 0; a liking "
        "for a label is in both leads and cancels."
    )


def shown(frame: pd.DataFrame) -> pd.DataFrame:
    """The contrasts of each model, those first that people show; ``people`` and ``shown`` are boolean."""
    people = analysis.reference.study1()
    keys = ["access", "observe", "greater", "lesser"]
    table = analysis.study1.contrasts(frame).merge(
        people[[*keys, "holds"]].rename(columns={"holds": "people"}), on=keys, how="left"
    )
    table["shown"] = (table["p_holm"] < LEVEL) & (table["difference"] > 0)
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
        f"full access, where people take a number as an upper bound), models show{where}, with p "
        f"corrected by Holm's method, over {words.stories(table['n_distinct'])}: "
        f"{words.listed(lines['theirs'])}. Of the {len(others)} that people do not show: "
        f"{words.listed(lines['others'])}. A model without any effect shows none of the "
        f"{len(theirs) + len(others)}; not to show one is no agreement with people."
    ]
    if lines["untested"]:
        found.append(f"Differences that could not be tested{where}: {words.listed(lines['untested'])}.")
    return found
