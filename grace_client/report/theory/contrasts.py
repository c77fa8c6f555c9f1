"""Study 1's test of the hypothesis, and its planned contrasts: those that people show, and others."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from grace_client import analysis
from grace_client.report import format
from grace_client.report.blocks import Section, Table
from grace_client.report.headlines import Headline, asked, notes
from grace_client.report.runs import ReportData

LEVEL = 0.05
"""Significance level, for p values corrected within the model."""
TASK = (
    "In Study 1 a speaker looks at 1, 2 or 3 of three things and says how many of them have a property. The "
    "listener divides 100 dollars between the four possible numbers (0 to 3). The lead of a number is the "
    "bet on the named number minus the bet on a higher one."
)
"""The task, and the quantity that the hypothesis is about."""
KEYS = ["access", "observe", "greater", "lesser"]


def add(section: Section, data: ReportData, frame: pd.DataFrame, experiment: str, name: str) -> None:
    """Add the tests of the hypothesis and the planned contrasts, and sentences on their results.

    Parameters
    ----------
    frame : DataFrame
        Study 1 as `analysis.read` gives it, or the result of `study1.bets`.
    experiment : str
        The experiment of `frame`.
    name : str
        Name of the table of contrasts.
    """
    where = " in free text" if experiment == "study1-exp1" else ""
    noise = analysis.quality.noise(data.manifests)
    noise = noise[noise["experiment"] == experiment]
    measured = not noise.empty
    effects = analysis.study1.access_effects(frame)
    beside = notes(data, experiment, access_effect())
    table = shown(analysis.study1.contrasts(frame, noise=noise if measured else None))
    if effects["p"].notna().any():
        section.content.append(_access(name.replace("contrasts", "access"), effects))
    section.content.append(
        Table(
            name,
            "The eight planned contrasts: first four that people show, then four that people do not show",
            table,
            "One-tailed paired t tests over stories: is the bet on the state “greater” higher than the bet "
            "on “lesser”? Every trial counts the same. difference: in dollars of 100, with its two-sided "
            "interval. p (Holm): corrected within the model. d z: difference divided by the "
            "standard deviation of the differences of the stories. people: whether the paper "
            "reports the difference. shown: p (Holm) < .05"
            + (
                ", and the difference is above the noise floor. noise floor: the engine's own noise alone "
                "exceeds it once in 20 times."
                if measured
                else "."
            )
            + " –: no test. A difference that is not significant may still exist: read its interval. A "
            "significant difference may come from a preference for one answer, such as “1”; the test of what "
            "the speaker saw separates the two.",
            hidden=("mean_greater", "mean_lesser", "n"),
            unit="stories",
        )
    )
    section.summary += [
        *([TASK] if effects["p"].notna().any() else []),
        hypothesis(effects, where, asked(data, experiment), beside),
        *counts_shown(table, where),
        *_labels(table, effects, where),
    ]


def _access(name: str, effects: pd.DataFrame) -> Table:
    """The table of the hypothesis."""
    return Table(
        name,
        "The test of the hypothesis: does the lead depend on what the speaker saw?",
        effects,
        "full: the lead of the named state (greater) over a higher one (lesser), in dollars of 100, where "
        "the speaker saw all three. partial: the lead where the speaker saw only the things they name. "
        "difference: full minus partial, with its two-sided interval. A preference for a label is in both "
        "leads and cancels in their difference. One-tailed paired t tests over stories, for differences "
        "above 0. Every trial counts the same. p (Holm): corrected within the model. d z: "
        "difference divided by the standard deviation of the differences of the stories.",
        hidden=("n",),
        unit="stories",
    )


def hypothesis(
    effects: pd.DataFrame,
    where: str,
    way: str = "in one way of asking",
    beside: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> str:
    """What access does to the lead of the named state, in dollars, with p.

    `way` is the way of asking in words, and `beside` what other ways say; see `headlines.notes`.
    """
    if effects["p"].isna().all():
        return (
            f"Whether it matters{where} what the speaker saw in Study 1 cannot be tested. The test needs two "
            "stories with answers in both cases: the speaker saw all three, and the speaker saw only the "
            "things they name."
        )
    lines, against = [], []
    for model, own in effects.groupby("model", sort=False):
        if own["p"].isna().all():
            lines.append(f"{model}: cannot be tested; the test needs two stories with answers in both cases")
            continue
        each = [
            f"{lead(row)}: {format.interval(row['difference'], row['low'], row['high'])}, "
            f"p {format.equal(row['p_holm'])}{beside.get((str(model), access_words(row)), '')}"
            for row in own.to_dict("records")
        ]
        lines.append(f"{model}, over {format.stories(own['n_distinct'])}: {'; '.join(each)}")
        below = own[own["high"] < 0].to_dict("records")
        against += [f"{model} ({format.listed(map(lead, below))})"] * bool(below)
    sentence = (
        f"How much larger is the lead{where} where the speaker saw all three than where the speaker saw only "
        f"the things they name? Difference in dollars {way}, with 95% interval; p of a "
        f"one-tailed test, corrected by Holm's method. {'. '.join(lines)}. A listener who takes the "
        "speaker's knowledge into account has differences above 0. A preference for a label is in both "
        "leads and cancels."
    )
    if against:
        sentence += (
            f" An interval below 0 goes against the hypothesis: {'; '.join(against)}. There p is near 1, "
            "because the test looks for differences above 0 only."
        )
    return sentence


def access_effect() -> Headline:
    """The headline of the hypothesis."""
    return Headline(
        "access", "the effect of access", analysis.study1.bets, analysis.study1.access_effects, access_words
    )


def access_words(row: Mapping[Any, Any]) -> str:
    """Such as ``effect of access on the lead of “1”, 1 over 3 (dollars)``."""
    return f"effect of access on the lead of {lead(row)} (dollars)"


def lead(row: Mapping[Any, Any]) -> str:
    """Such as ``“1”, 1 over 3``."""
    return f"“{row['observe']}”, {row['greater']} over {row['lesser']}"


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The contrasts of each model, first those that people show.

    ``people`` and ``shown`` are boolean. ``shown`` is missing if there is no test.
    """
    people = analysis.reference.study1()[[*KEYS, "holds"]].rename(columns={"holds": "people"})
    table = table.merge(people, on=KEYS, how="left")
    table["shown"] = ((table["p_holm"] < LEVEL) & (table["difference"] > 0)).astype("boolean")
    if "below_noise" in table.columns:
        # An effect that the engine's own noise can cause is not shown.
        table["shown"] &= ~table["below_noise"].fillna(False).astype(bool)
    table["shown"] = table["shown"].mask(table["p"].isna())
    place = {model: i for i, model in enumerate(dict.fromkeys(table["model"]))}
    order = table["model"].map(place) * 2 + ~table["people"]
    first = ["model", *KEYS, "people", "shown"]
    table = table[[*first, *(name for name in table.columns if name not in first)]]
    return table.iloc[order.argsort(kind="stable")].reset_index(drop=True)


def counts_shown(table: pd.DataFrame, where: str) -> list[str]:
    """How many contrasts each model shows, of those of people and of the others, and how many had no test."""
    tested = table[table["p"].notna()]
    each = len(table) // table["model"].nunique()
    if tested.empty:
        return [f"None of the {each} differences could be tested{where}: too few stories have answers."]
    planned = table.drop_duplicates(KEYS)
    ours = planned[planned["people"]]
    counts, rest = [], []
    for model, own in tested.groupby("model", sort=False):
        also = own[own["people"]]
        counts.append(f"{model} {also['shown'].sum()} ({also[also['access'] == '3']['shown'].sum()})")
        rest.append(f"{model} {own[~own['people']]['shown'].sum()}")
    sentences = [
        f"Study 1 has {each} planned differences between bets. People show {len(ours)} of them; "
        f"{(ours['access'] == '3').sum()} of these are at full access, where people take a number as an "
        f"upper bound. Of these {len(ours)}, models show{where} (in brackets: at full access; p < .05, "
        f"corrected by Holm's method, over {format.stories(tested['n_distinct'])}): {format.listed(counts)}. "
        f"Of the {each - len(ours)} differences that people do not show, models show: "
        f"{format.listed(rest)}. A model without any effect shows none of the {each}. A missing effect "
        "does not count as agreement with people."
    ]
    missing = table[table["p"].isna()].groupby("model", sort=False).size()
    if len(missing):
        lines = format.listed(f"{count} of {model}" for model, count in missing.items())
        sentences.append(f"Differences not tested{where}, because too few stories have answers: {lines}.")
    return sentences


def _labels(table: pd.DataFrame, effects: pd.DataFrame, where: str) -> list[str]:
    """Models whose lead at full access is not shown to be larger than at partial access."""
    keys = ["model", *KEYS[1:]]
    full = table[(table["access"] == "3") & table["people"] & table["shown"].fillna(False).astype(bool)]
    both = full[keys].merge(effects[[*keys, "p", "p_holm"]], on=keys, how="left")
    alone = both[both["p"].notna() & ~(both["p_holm"] < LEVEL)]
    return [
        f"{model}{where}: the lead of {format.listed(map(lead, own.to_dict('records')))} is not shown to "
        "depend on what the speaker saw. The lead at full access may be a preference for a label. It is no "
        "evidence of an upper bound."
        for model, own in alone.groupby("model", sort=False)
    ]
