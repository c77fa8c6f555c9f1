"""Whether the answers can be relied on: the first section of a report."""

from __future__ import annotations

import pandas as pd

from grace_client import analysis
from grace_client.core.scoring import LOW_MASS
from grace_client.report import format
from grace_client.report.blocks import Figure, Review, Section, Table
from grace_client.report.runs import ReportData, is_null
from grace_client.report.sections import comparability
from grace_client.run import layout

TITLE = "Quality of the answers"
LIKELIEST = 5
"""How many beginnings outside the forms the page shows for each kind of question."""
CLEAR = 0.90
"""Share of free-text answers with a clear meaning below which a person should look at them."""


def section(data: ReportData) -> Section:
    """Number of answers, option mass, extraction, effort, noise."""
    part = Section("quality", TITLE)
    with part.block("The number of answers"):
        _answers(part, data)
    with part.block("Whether all models got the same questions"):
        _same(part, data)
    with part.block("The option mass"):
        _mass(part, data)
    with part.block("Where the rest of the probability goes"):
        _outside(part, data)
    with part.block("How much of the free text has a clear meaning"):
        _extraction(part, data)
    with part.block("The time and tokens of the runs"):
        part.content.append(
            Table(
                "effort",
                "Time and tokens of the runs",
                analysis.quality.effort(data.manifests),
                "n: questions of all trials. questions asked: equal questions count once. –: not recorded.",
                unit="questions asked",
            )
        )
    with part.block("The noise floor"):
        _noise(part, data)
    return part


def _answers(section: Section, data: ReportData) -> None:
    whole = pd.concat([analysis.quality.completeness(frame) for frame in data.frames.values()])
    expected, failed = int(whole["n"].sum()), int(whole["failed"].sum())
    text = (
        f"{format.plural(len(data.models), 'model')}, {format.plural(len(data.manifests), 'run')}, "
        f"{expected:,} answers expected, "
    )
    text += (
        f"{failed:,} of them missing ({format.percent(failed / expected, 1)})." if failed else "none missing."
    )
    text += _questions(data, whole)
    section.summary += [text, *data.silent]
    section.content += [
        f"{text} A question that failed has no values. grace fills in nothing, and no mean contains it.",
        Table(
            "completeness",
            "Answers expected and received",
            whole,
            "n: answers expected, of all trials. Trials of one item (a story, a scene) have nearly the same "
            "text, and a scored model gives equal texts the same answer. Intervals are therefore over items, "
            "or over different stimuli if a study has no items. cut off: free-text answers that reached the "
            "longest length. "
            f"{'; '.join(f'{name}: {data.experiment(name).title}' for name in data.frames)}.",
            unit=data.unit(*data.frames),
        ),
        *data.silent,
    ]
    failures = pd.concat([analysis.quality.failures(frame) for frame in data.frames.values()])
    if len(failures):
        section.content.append(Table("failures", "Why answers are missing", failures))


def _questions(data: ReportData, whole: pd.DataFrame) -> str:
    """How many different questions were asked, samples, and free text without a clear meaning."""
    text = ""
    effort = analysis.quality.effort(data.manifests)
    if effort["n_distinct"].notna().all() and effort["n_distinct"].sum() < effort["n"].sum():
        text += (
            f" {int(effort['n_distinct'].sum()):,} questions were asked: equal questions were asked once, "
            "and their answers copied."
        )
    if "unparsed" in whole and whole["unparsed"].notna().any():
        free = whole[whole["unparsed"].notna()]
        text += (
            f" {int(free['unparsed'].sum()):,} of the {int(free['answered'].sum()):,} free-text answers have "
            "no clear meaning."
        )
    if samples := sum(run.spec.sample is not None for run in data.manifests.values()):
        text += f" {format.plural(samples, 'run')} asked only a random sample of the trials."
    return text


def _same(section: Section, data: ReportData) -> None:
    sentences = comparability.models(data) + comparability.runs(data)
    section.summary += [sentence for sentence in sentences if isinstance(sentence, Review)]
    section.content += sentences
    if not sentences and len(data.manifests) > 1:
        several = "All models of an experiment got the same trials and questions. " * (len(data.models) > 1)
        section.content.append(f"{several}All runs of a model used the same engine.")


def _mass(section: Section, data: ReportData) -> None:
    scored = {
        name: frame
        for name, frame in data.frames.items()
        if "option_mass" in frame.columns and frame["option_mass"].notna().any()
    }
    if not scored:
        return
    table = pd.concat(
        [analysis.quality.option_mass(frame).assign(experiment=name) for name, frame in scored.items()],
        ignore_index=True,
    )
    table = table[["model", "experiment", *table.columns.drop(["model", "experiment"])]]
    labels = [data.label(*row) for row in zip(table["experiment"], table["question"], strict=True)]
    drawn = table.assign(question=labels).drop(columns="experiment")
    section.content += [
        "Option mass is the probability that a model gives to all offered answers together. Where it is "
        "low, the normalised distributions describe a small part of what the model would say.",
        Figure(
            "option-mass",
            "Option mass by question",
            "Mean option mass with its interval for every model and question, and the lowest single answer.",
            lambda: analysis.figures.option_mass(drawn),
        ),
        Table(
            "option-mass",
            "Option mass",
            table,
            f"Intervals are over {data.unit(*scored)}. minimum: the lowest single question. share below "
            f"{LOW_MASS}: share of the questions with an option mass below {LOW_MASS}.",
            unit=data.unit(*scored),
        ),
    ]
    scenes = {name: frame for name, frame in scored.items() if not is_null(data.experiment(name))}
    for name, frame in scenes.items():
        if factors := data.factors(name):
            section.content.append(
                Table(
                    f"option-mass-{name}",
                    f"Option mass in each cell of {name}",
                    analysis.quality.option_mass(frame, ["question", *factors]),
                    long=True,
                    unit=data.unit(name),
                )
            )
    if scenes:
        section.summary.append(_mass_by_kind(data, scenes))


def _mass_by_kind(data: ReportData, scored: dict[str, pd.DataFrame]) -> str:
    """Mean option mass of each model by kind of question."""
    means = pd.concat(
        analysis.quality.option_mass(
            frame.assign(
                kind=frame["question"].map(
                    {one: data.label(name, kind.name) for one, kind in data.experiment(name).kinds.items()}
                )
            ),
            ["kind"],
        )
        for name, frame in scored.items()
    )
    lines = [
        f"{model}: {'; '.join(format.means(own, 'kind'))}"
        for model, own in means.groupby("model", sort=False)
    ]
    text = (
        "Option mass is the probability that a model gives to all offered answers together. Mean option "
        f"mass by kind of question, with 95% intervals. {'. '.join(lines)}."
    )
    if (means["mean"] < LOW_MASS).any():
        text += (
            " Below 0.5, a distribution describes the smaller part of what the model would say. 'grace study "
            "forms RUN' shows the rest."
        )
    return text


def _outside(section: Section, data: ReportData) -> None:
    found = analysis.quality.outside(data.manifests)
    for name, own in found.groupby("experiment", sort=False):
        # The five likeliest of each kind, and what a person would accept.
        rank = own.groupby(["model", "kind"], sort=False).cumcount()
        shown = own[(rank < LIKELIEST) | own["accepted_as"].notna()]
        section.content.append(
            Table(
                f"outside-{name}",
                f"Where the rest of the probability goes in {name}",
                shown.assign(beginning=shown["beginning"].map(repr)).drop(columns="experiment"),
                "The likeliest beginnings of an answer outside the declared forms, and their mean "
                "probability over the different questions (at least). accepted as: the option that a person "
                "would understand; declaring such a form adds its probability to the option mass. 'grace "
                "study forms RUN' shows more.",
                long=True,
            )
        )


def _extraction(section: Section, data: ReportData) -> None:
    for name, frame in data.frames.items():
        if "response" not in frame.columns:
            continue
        clear = []
        for model, own in frame.groupby("model", sort=False):
            answered = own[own["status"] == layout.OK]
            if "structured" not in own.columns or answered["structured"].isna().all():
                section.summary.append(
                    f"{model}, {name}: the free text has not been extracted, so the page leaves it out. "
                    "Run: grace extract RUN"
                )
                continue
            share = float((~analysis.quality.unparsed(answered)).mean())
            if share < CLEAR:
                sentence = Review(
                    f"Review: {model}, {name}: {format.percent(share, 1)} of the free text has a clear "
                    f"meaning, less than {format.percent(CLEAR)}. Look at the unparsed answers."
                )
                section.summary.append(sentence)
                section.content.append(sentence)
            else:
                clear.append(f"{model} {format.percent(share, 1)}")
        if clear:
            section.content.append(f"Free text of {name} that has a clear meaning: {format.listed(clear)}.")


def _noise(section: Section, data: ReportData) -> None:
    noise = analysis.quality.noise(data.manifests)
    if noise.empty:
        section.content.append(
            "The noise of the engine was not measured: how far answers vary when the same questions are "
            "asked again in another order or on a busier machine. Run: grace noise RUN"
        )
        return
    section.content.append(
        Table(
            "noise",
            "Noise floor",
            noise,
            "How far the answers to the same question vary. points: percentage points of normalised "
            "probability.",
        )
    )
