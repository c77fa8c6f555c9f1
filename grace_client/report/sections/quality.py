"""The first thing to look at: whether the answers can be relied on."""

from __future__ import annotations

import pandas as pd

from grace_client import analysis
from grace_client.analysis._data.files import unread
from grace_client.core.questions import kind
from grace_client.report import format
from grace_client.report.blocks import Figure, Section, Table
from grace_client.report.runs import SHORT, STRUCTURED, TITLES, Material, asked
from grace_client.report.sections import comparability
from grace_client.run import layout

TITLE = "Quality of the answers"
HALF = 0.5
"""Option mass below which most of what a model would say is none of the offered answers."""
COUNTED = {"study1": "stories", "study2": "domains"}
"""What intervals of a study are over."""


def section(material: Material) -> Section:
    """Answers wanted and had, option mass, extraction, effort, noise."""
    found = Section("quality", TITLE)
    with found.block("The number of answers"):
        whole = pd.concat([analysis.quality.completeness(frame) for frame in material.frames.values()])
        _answers(found, material, whole)
    with found.block("Whether all models were asked the same"):
        _same(found, material)
    with found.block("The option mass"):
        _mass(found, material)
    with found.block("How much of the free text has a clear meaning"):
        _extraction(found, material)
    with found.block("What the runs took"):
        found.content.append(
            Table(
                "effort",
                "What the runs took",
                analysis.quality.effort(material.manifests),
                "n: questions of all trials; questions asked: equal ones count once. A dash is what was not "
                "recorded.",
                counted="questions asked",
            )
        )
    with found.block("The noise floor"):
        _noise(found, material)
    return found


def _answers(found: Section, material: Material, whole: pd.DataFrame) -> None:
    wanted, failed = int(whole["n"].sum()), int(whole["failed"].sum())
    runs = len(material.manifests)
    text = (
        f"{len(material.models)} model{'s' * (len(material.models) > 1)}, {runs} run{'s' * (runs > 1)}, "
        f"{wanted:,} answers wanted"
    )
    text += (
        f", {failed:,} of them missing ({format.percent(failed / wanted, 1)})." if failed else ", all there."
    )
    text += _asked(material, whole)
    found.summary += [text, *material.silent]
    found.content.append(
        text + " A question that failed has no values; nothing is filled in, and it is in no mean."
    )
    found.content.append(
        Table(
            "completeness",
            "Answers wanted and had",
            whole,
            "n: answers wanted, of all trials. Trials of one story (Study 1) or domain (Study 2) have nearly "
            "the same text, and a model that scores gives equal texts the same answer. Intervals are "
            "therefore over stories or domains. "
            f"{'; '.join(f'{name}: {TITLES[name]}' for name in material.frames)}.",
            counted="stories or domains",
        )
    )
    found.content += material.silent
    failures = pd.concat([analysis.quality.failures(frame) for frame in material.frames.values()])
    if len(failures):
        found.content.append(Table("failures", "Why answers are missing", failures))


def _asked(material: Material, whole: pd.DataFrame) -> str:
    """How many questions were asked, whether a sample, and how much free text has no clear meaning."""
    told = []
    effort = analysis.quality.effort(material.manifests)
    if effort["n_distinct"].notna().all() and effort["n_distinct"].sum() < effort["n"].sum():
        told.append(
            f"{int(effort['n_distinct'].sum()):,} questions were asked; equal questions were asked once, and "
            "their answers copied."
        )
    if "unparsed" in whole and whole["unparsed"].notna().any():
        free = whole[whole["unparsed"].notna()]
        told.append(
            f"{int(free['unparsed'].sum()):,} of the {int(free['answered'].sum()):,} free-text answers have "
            "no clear meaning."
        )
    samples = sum(run.spec.sample is not None for run in material.manifests.values())
    if samples:
        told.append(f"{samples} run{'s' * (samples > 1)} asked only a random sample of the trials.")
    return "".join(f" {sentence}" for sentence in told)


def _same(found: Section, material: Material) -> None:
    told = comparability.models(material) + comparability.runs(material)
    found.summary += [sentence for sentence in told if sentence.startswith("Review:")]
    if told:
        found.content += told
    elif len(material.manifests) > 1:
        several = "All models of an experiment got the same trials and questions. " * (
            len(material.models) > 1
        )
        found.content.append(f"{several}All runs of a model had the same engine.")


def _mass(found: Section, material: Material) -> None:
    scored = {name: f for name, f in material.frames.items() if "option_mass" in f.columns}
    tables = [
        analysis.quality.option_mass(frame).assign(experiment=name)
        for name, frame in scored.items()
        if frame["option_mass"].notna().any()
    ]
    if not tables:
        return
    table = pd.concat(tables, ignore_index=True)
    table = table[["model", "experiment", *[c for c in table.columns if c not in ("model", "experiment")]]]
    found.content.append(
        "Option mass is the probability that a model gives to all offered answers together. Where it is low, "
        "the normalised distributions describe a small part of what the model would say."
    )
    named = [asked(*row) for row in zip(table["experiment"], table["question"], strict=True)]
    drawn = table.assign(question=named).drop(columns="experiment")
    found.content.append(
        Figure(
            "option-mass",
            "Option mass by question",
            "Mean option mass with its interval for every model and question, and the lowest single answer.",
            lambda: analysis.figures.option_mass(drawn),
        )
    )
    found.content.append(
        Table(
            "option-mass",
            "Option mass",
            table,
            f"share below {HALF}: of the questions, those with an option mass below {HALF}.",
            counted="stories or domains",
        )
    )
    _cells(found, scored)
    scenes = {name: frame for name, frame in scored.items() if not name.endswith("-null")}
    if any(frame["option_mass"].notna().any() for frame in scenes.values()):
        found.summary.append(_mass_told(scenes))


def _mass_told(scored: dict[str, pd.DataFrame]) -> str:
    """Mean option mass of each model by kind of question."""
    means = pd.concat(
        analysis.quality.option_mass(
            frame.assign(kind=[asked(name, kind(question)) for question in frame["question"]]), ["kind"]
        )
        for name, frame in scored.items()
        if frame["option_mass"].notna().any()
    )
    told = [
        f"{model}: "
        + "; ".join(
            f"{name} {format.interval(mean, low, high)}"
            for name, mean, low, high in zip(*(own[c] for c in ("kind", "mean", "low", "high")), strict=True)
        )
        for model, own in means.groupby("model", sort=False)
    ]
    text = (
        "Option mass is the probability that a model gives to all offered answers together. "
        f"Mean option mass by kind of question. {'. '.join(told)}."
    )
    if (means["mean"] < HALF).any():
        text += " Below 0.5, a distribution describes the smaller part of what the model would say."
    return text


def _cells(found: Section, scored: dict[str, pd.DataFrame]) -> None:
    """Option mass in each cell of the design: where in it the offered answers do not fit."""
    for name, frame in scored.items():
        if name.endswith("-null") or frame["option_mass"].isna().all():
            continue
        cell = [column for column in ("access", "observe", "goal", "state") if column in frame.columns]
        found.content.append(
            Table(
                f"option-mass-{name}",
                f"Option mass in each cell of {SHORT[name]}",
                analysis.quality.option_mass(frame, ["question", *cell]),
                long=True,
                counted=COUNTED[name.partition("-")[0]],
            )
        )


def _extraction(found: Section, material: Material) -> None:
    for name, frame in material.frames.items():
        if "response" not in frame.columns:
            continue
        clear = []
        for model, own in frame.groupby("model", sort=False):
            answered = own[own["status"] == layout.OK]
            if "structured" not in own.columns or answered["structured"].isna().all():
                found.summary.append(
                    f"{model}, {name}: the free text has not been given its meaning yet; 'grace extract' "
                    "does, and the report then shows it."
                )
                continue
            share = float((~unread(answered)).mean())
            if share < STRUCTURED:
                found.summary.append(
                    f"Review: {model}, {name}: {format.percent(share, 1)} of the free text has a clear "
                    f"meaning, less than {format.percent(STRUCTURED)}; look at the unparsed answers."
                )
                found.content.append(found.summary[-1])
            else:
                clear.append(f"{model} {format.percent(share, 1)}")
        if clear:
            found.content.append(f"Free text of {name} that has a clear meaning: {format.listed(clear)}.")


def _noise(found: Section, material: Material) -> None:
    rows = [
        (
            model,
            experiment,
            manifest.noise.nats.sd,
            manifest.noise.points.sd,
            manifest.noise.points.p95,
            manifest.noise.questions,
            manifest.noise.repeats,
        )
        for (model, experiment), manifest in material.manifests.items()
        if manifest.noise
    ]
    if not rows:
        found.content.append(
            "It was not measured how far answers vary when the same questions are asked again in another "
            "order or on a busier machine ('grace noise' measures it)."
        )
        return
    columns = ["model", "experiment", "sd_nats", "sd_points", "p95_points", "questions", "repeats"]
    found.content.append(
        Table(
            "noise",
            "Noise floor",
            pd.DataFrame(rows, columns=columns),
            "What answers to equal questions vary by; points: percentage points of normalised probability.",
        )
    )
