"""Effects of conditions in any study: its planned contrasts, and its mixed model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from grace_client import analysis
from grace_client.core.errors import NotEnoughDataError
from grace_client.report import format, headlines
from grace_client.report.blocks import Section, Table
from grace_client.report.runs import ReportData
from grace_client.studies.declaration import Experiment

FEW = 6
"""Most terms that the summary names."""


def contrasts(section: Section, data: ReportData, experiment: Experiment, frame: pd.DataFrame) -> None:
    """Add the planned contrasts, and a sentence on each. A wrong one does not cost the others."""
    planned = {}
    for one in experiment.file.contrasts:
        with section.block(f"The planned contrast “{one.name}”"):
            analysis.contrasts(frame, [one], experiment=experiment)
            planned[one.name] = one
    if not planned:
        return
    noise = analysis.quality.noise(data.manifests)
    noise = noise[noise["experiment"] == experiment.name]
    linear = all(one.outcome in (None, "mean") or one.outcome.startswith("prob_") for one in planned.values())
    measured = experiment.scored and linear and not noise.empty
    table = analysis.contrasts(
        frame, list(planned.values()), experiment=experiment, noise=noise if measured else None
    )
    for place, side in ((2, "lesser"), (2, "greater")):
        levels = {name: _levels(getattr(one, side)) for name, one in planned.items()}
        table.insert(place, side, table["contrast"].map(levels))
    unit, declared = data.unit(experiment.name), ["smallest", "matters"]
    first = list(table.columns[: table.columns.get_loc("high") + 1]) + declared  # type: ignore[operator]
    table = table[[*first, *(name for name in table.columns if name not in first)]]
    hidden = ["mean_greater", "mean_lesser", "t", "df", "p", "paired", "n"]
    section.content.append(
        Table(
            f"{section.name}-contrasts",
            "The planned contrasts",
            table,
            "difference: the mean of “greater” minus that of “lesser”, in the unit of the outcome, with its "
            f"two-sided 95% interval over {unit}; without an effect it is 0. smallest: the smallest "
            "difference that matters, as the study declares; matters: yes if the whole interval is above it, "
            "no if the whole interval is closer to 0 than it, else open. p (Holm): one-tailed t test that "
            f"the difference is above 0, of pairs of {unit} if at least half of them are on both sides, "
            "corrected within the model. p exact: from exchanging the two sides of each pair. d z: "
            "difference divided by the standard deviation of the pairs' differences. A difference that is "
            "not significant may still exist: read its interval."
            + " noise floor: the engine's own noise alone exceeds it once in 20 times."
            * measured,
            hidden=(*hidden, *(declared if table["smallest"].isna().all() else ())),
            unit=unit,
        )
    )
    notes = headlines.notes(data, experiment.name, headlines.contrasts(experiment))
    lines = [_line(str(name), own, notes) for name, own in table.groupby("contrast", sort=False)]
    section.summary.insert(
        0,
        f"Planned contrasts, {headlines.asked(data, experiment.name)}, as differences with 95% intervals "
        f"(without an effect: 0) and p of a one-tailed test, corrected by Holm's method. {' '.join(lines)}",
    )


def _levels(levels: Mapping[str, tuple[str, ...]]) -> str:
    """Such as ``amount: much; tone: loud or calm``."""
    return "; ".join(f"{name}: {' or '.join(values)}" for name, values in levels.items())


def _line(name: str, rows: pd.DataFrame, notes: Mapping[tuple[str, str], str]) -> str:
    first = rows.iloc[0]
    each = [_result(row) + notes.get((row["model"], name), "") for row in rows.to_dict("records")]
    return f"{name} ({first['question']}, {first['outcome']}): {'; '.join(each)}."


def _result(row: Mapping[Any, Any]) -> str:
    """The result of a model, such as ``alpha 0.31 [0.12, 0.50], p = .004``."""
    if pd.isna(row["difference"]):
        return f"{row['model']} cannot be tested, because one side has no answers"
    text = f"{row['model']} {format.interval(row['difference'], row['low'], row['high'])}"
    text += ", not tested" if pd.isna(row["p_holm"]) else f", p {format.equal(row['p_holm'])}"
    return ", ".join(filter(None, (text, _matters(row["low"], row["high"], row["smallest"]))))


def _matters(low: float, high: float, smallest: float) -> str:
    """What an interval says about the smallest difference that matters; nothing without one of the two."""
    if pd.isna([low, high, smallest]).any():
        return ""
    least = f"{smallest:g}, the smallest that matters"
    if low > smallest:
        return f"more than {least}"
    if high < -smallest:
        return f"in the other direction, by more than {least}"
    if -smallest < low and high < smallest:
        return f"less than {least}"
    return f"it is open whether it is more than {least}"


def regression(
    section: Section, data: ReportData, experiment: Experiment, frame: pd.DataFrame, formula: str
) -> None:
    """Add the declared regression of each model that it can be fitted to, and a sentence on its terms."""
    mixed = analysis.regression.is_mixed(formula)
    parts = []
    for _, own in frame.groupby("model", sort=False):
        try:
            parts.append(analysis.regression.declared_model(own, formula, experiment))
        except NotEnoughDataError as error:
            section.content.append(f"Not fitted: {error}.")
    if not parts:
        return
    table = pd.concat(parts, ignore_index=True)
    first = ["model", "question", "outcome", "term", "estimate", "low", "high"]
    table = table[[*first, *(name for name in table.columns if name not in first)]]
    section.content.append(
        Table(
            f"{section.name}-model",
            f"The {'mixed' if mixed else 'logistic'} model of the study file: {formula}",
            table,
            (
                "A linear mixed model (restricted maximum likelihood). estimate: in the unit of the outcome. "
                if mixed
                else "A fractional logit with errors clustered by item. estimate: log odds. "
            )
            + "Each term is compared with the first level of its condition; without an effect it is 0. p: "
            "two-sided, not corrected."
            + " sd: standard deviations of the random intercepts, and of the rest."
            * mixed,
            unit="observations" if mixed else data.unit(experiment.name),
        )
    )
    terms = table[table["term"] != "intercept"]
    lines = [
        f"{model}: "
        + "; ".join(
            f"{row['term']} {format.interval(row['estimate'], row['low'], row['high'])}, "
            f"p {format.equal(row['p'])}"
            for row in own.to_dict("records")
        )
        for model, own in terms.groupby("model", sort=False)
    ]
    if lines and terms["term"].nunique() <= FEW:
        section.summary.append(
            f"{formula}: estimates with 95% intervals (without an effect: 0). {'. '.join(lines)}."
        )
