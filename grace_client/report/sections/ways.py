"""How it was asked: in which ways, and how far the headline effects depend on them."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from grace_client import analysis
from grace_client.analysis import ways
from grace_client.analysis._data.layout import WAY
from grace_client.analysis.ways._values import factors
from grace_client.core.errors import NotEnoughDataError
from grace_client.report import format, headlines
from grace_client.report.blocks import Figure, Section, Table
from grace_client.report.headlines import Headline
from grace_client.report.runs import ReportData
from grace_client.run.layout import WAY_FACTOR
from grace_client.studies.declaration import Experiment

TITLE = "How it was asked"
FEW = 4
"""Most results of a model that the summary names."""
MOST_FIGURES = 4
"""Most curves of an experiment."""

ONE_WAY = (
    "These results are of one way of asking: one wording, and one order of the answers. Another wording or "
    "order may give another result. Example: for smollm2-135m, the model that comes with grace, the share "
    "of negated utterances in Study 2 (chance: 50%) was 10% with the list of utterances as it is, and 94% "
    "with the list reversed."
)
"""The caution at the top of a report on one way of asking."""

Of = Callable[[Experiment], tuple[Headline, ...]]


def caution(data: ReportData) -> str:
    """The caution at the top of the page."""
    if not data.asked:
        return ONE_WAY
    once = [name for name in data.frames if name not in data.asked]
    text = (
        f"{format.listed(data.asked)}: asked in several ways. Where nothing else is said, numbers are of the "
        "base way alone. How far results depend on the way: see “How it was asked”."
    )
    return (
        text
        + f" {format.listed(once)}: asked in one way, so nothing shows how far results depend on it."
        * bool(once)
    )


def section(data: ReportData, of: Of) -> Section:
    """The ways of each experiment, and the verdicts on its headline effects.

    Parameters
    ----------
    of : callable
        From an experiment to its headlines.
    """
    part = Section("ways", TITLE)
    if once := [name for name in data.frames if name not in data.asked]:
        part.content.append(_once(data, once))
    for name in data.asked:
        part.content.append(_asked(data, name))
        with part.block(f"How far the results of {name} depend on the way of asking"):
            _effects(part, data, name, of(data.experiment(name)))
    return part


def _once(data: ReportData, names: list[str]) -> str:
    text = f"{format.listed(names)}: asked in one way, so nothing shows how far results depend on it."
    if can := [
        name for name in names if data.experiment(name).scored and data.experiment(name).study.file.ways
    ]:
        text += (
            f" {format.listed(f'The study file of {name}' for name in can)} declares other ways. To ask in "
            f"them, run: grace run {can[0]} --ways one-by-one"
        )
    return text


def _asked(data: ReportData, name: str) -> str:
    frame = data.asked[name]
    varied = [
        f"{column.removeprefix(WAY_FACTOR)} ({', '.join(map(str, frame[column].unique()))})"
        for column in factors(frame)
        if frame[column].nunique() > 1
    ]
    counts = frame.groupby("model", sort=False)[WAY].nunique()
    asked = [f"{model}: {count} ways" for model, count in counts.items()]
    asked += [
        f"{model}: one way" for model in data.frames[name]["model"].unique() if model not in counts.index
    ]
    return f"{name} was asked in several ways ({'; '.join(asked)}), which differ in {format.listed(varied)}."


def _effects(section: Section, data: ReportData, name: str, found: tuple[Headline, ...]) -> None:
    """Add the verdicts, the curves and the components of an experiment's headlines."""
    tables, lost = {}, []
    for one in found:
        try:
            tables[one.name] = headlines.verdicts(data, name, one)
        except NotEnoughDataError as error:
            lost.append(f"{one.name}: {error}.")
    section.content += lost
    if not tables:
        section.content.append(
            f"{name} has no headline effect to compare between ways. Use grace_client.analysis.ways"
        )
        return
    whole = pd.concat(
        [table.assign(neutral=one.neutral) for one in found if (table := tables.get(one.name)) is not None],
        ignore_index=True,
    )
    shown = ["model", "effect", "verdict", "base", "mean", "low", "high", "minimum", "maximum"]
    in_file = [
        "neutral",
        "n_ways",
        "factor",
        "spread",
        "same_sign",
        "clears",
        "smallest",
        "se",
        "df",
        "median",
    ]
    whole = whole[[*shown, *in_file, "reason"]]
    whole["factor"] = whole["factor"].str.removeprefix(WAY_FACTOR)
    section.content.append(
        Table(
            f"{name}-ways",
            f"The main results of {name} over ways of asking",
            whole,
            "base: the value in the base way. mean: over all ways, with its 95% interval over other items "
            "and other ways. With two levels of a factor that matters it is very wide. minimum, maximum: "
            "over ways.",
            hidden=(*in_file, *["reason"] * bool((whole["reason"] == "").all())),
        )
    )
    section.summary += _sentences(name, whole)
    known = [one for one in found if one.name in tables]
    section.content += [_curve(data, name, one, tables[one.name]) for one in known[:MOST_FIGURES]]
    for one in known:
        if one.by_item is not None:
            with section.block(f"What the differences of {one.title} come from"):
                _components(section, data, name, one)


def _sentences(name: str, table: pd.DataFrame) -> list[str]:
    """How many effects are on the same side in all ways, and which are not."""
    lines = []
    for model, own in table.groupby("model", sort=False):
        count = int(own["n_ways"].max())
        turned = own[own["same_sign"] < 1].to_dict("records")
        holds = int((own["same_sign"] == 1).sum())
        text = f"{model}: {holds} of {len(own)} main results are on the same side in all {count} ways"
        named = [
            f"{row['effect']} ({format.number(row['base'])} in the base way, {headlines.over_ways(row)})"
            for row in turned[:FEW]
        ]
        if named:
            text += f". Not: {'; '.join(named)}"
            text += f"; and {len(turned) - FEW} more, which the table has" * (len(turned) > FEW)
        lines.append(text)
    return [
        f"How far results of {name} depend on the way of asking (in brackets: 95% intervals over items and "
        f"ways). {'. '.join(lines)}."
    ]


def _curve(data: ReportData, name: str, one: Headline, table: pd.DataFrame) -> Figure:
    """The specification curve of the first effect of a headline."""
    rows, first = headlines.values(data, name, one), table.iloc[0]
    for key in table.columns[: table.columns.get_loc("n_ways")]:
        if key in rows.columns and key != "model":
            rows = rows[rows[key] == first[key]]
    effect = str(first["effect"])
    return Figure(
        f"{name}-{one.name}-ways",
        f"{effect[:1].upper()}{effect[1:]} in each way of asking",
        f"{effect}, of each model, in each way, from lowest to highest, above the levels of each way.",
        lambda: analysis.figures.specification_curve(rows, label="value", neutral=one.neutral),
    )


def _components(section: Section, data: ReportData, name: str, one: Headline) -> None:
    """Add the variance components of a mean."""
    table = ways.components(headlines.by_item(data, name, one), conditions=one.conditions)
    section.content += [
        Figure(
            f"{name}-{one.name}-components",
            f"What the differences of {one.title} come from",
            "Standard deviation of each component: items, each factor of the ways, their interactions.",
            lambda: analysis.figures.variance_components(table, label="standard deviation"),
        ),
        Table(
            f"{name}-{one.name}-components",
            f"Variance components of {one.title}",
            table,
            "Components of the values by item, condition and way, by restricted maximum likelihood; the "
            "conditions' own effects are left out. share: of the sum of all variances. A factor with two "
            "levels has a very wide interval.",
            long=True,
            hidden=("reason",) if (table["reason"] == "").all() else (),
        ),
    ]
