"""Effects of conditions on any outcome of any study: planned contrasts and analysis of variance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from pydantic import ValidationError

from grace_client.analysis._data.declared import conditions, declared, each, possible_levels
from grace_client.analysis._data.layout import distinct, per_model, refuse_copies, require
from grace_client.analysis._statistics.differences import Side, apart, tested
from grace_client.analysis._statistics.noise import add_floor
from grace_client.analysis._statistics.variance import sign_flips, type_two
from grace_client.analysis.cells import gain_of
from grace_client.analysis.inference import holm
from grace_client.analysis.measured import Outcome, chosen, measured
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.core.spelling import did_you_mean
from grace_client.studies.declaration import Experiment
from grace_client.studies.format import Contrast

UNITS = ("stimulus", "item", "participant")


def contrasts(
    frame: pd.DataFrame,
    contrasts: Sequence[Contrast | Mapping[str, object]] | None = None,
    *,
    experiment: Experiment | str | None = None,
    unit: str | None = None,
    alternative: str = "greater",
    noise: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Planned comparisons of two sets of conditions, over items.

    Every answer counts the same in a mean. The error is that of the units: if at least half of them are on
    both sides, they are pairs, and units of one side alone are left out; otherwise the two sides are compared
    as different units, with unequal variances.

    Parameters
    ----------
    frame : DataFrame
        Answers of one experiment, as `read` gives them, or the result of `outcomes`.
    contrasts : sequence of mapping, optional
        Each as in a study file: ``name``, ``greater`` and ``lesser`` (a level, or several, by column), and
        perhaps ``outcome``, ``question`` and ``smallest``. Default: those of the study file. Columns are
        conditions, or any others of `outcomes`. A contrast without a question is of the first question that
        has its outcome.
    experiment : Experiment or str, optional
        As in `outcomes`.
    unit : {"item", "stimulus", "participant"}, optional
        Default: ``item``, or ``stimulus`` in a study without items. Use ``participant`` only for answers of
        people.
    alternative : {"greater", "two-sided"}
        Side of the p values: that the difference is above 0, or that it is not 0.
    noise : DataFrame, optional
        As `quality.noise` gives it: adds ``noise_floor`` and ``below_noise``, of the difference.

    Returns
    -------
    DataFrame
        One row per model and contrast: ``model, contrast, question, outcome, mean_greater, mean_lesser,
        difference, low, high`` (two-sided 95% interval), all in the unit of the outcome; ``t, df, p, p_holm``
        (within the model, over its contrasts); ``p_exact`` (of sign flips of the pairs' mean differences,
        each of which counts the same; missing without pairs); ``d_z`` (difference over the standard deviation
        of the pairs' differences); ``paired`` (bool); ``smallest`` (the smallest difference that matters, of
        the study file) and ``matters``: ``yes`` if the interval is above it, ``no`` if the interval is
        between it and its negative, else ``open``, empty without one; ``n`` (answers) and ``n_distinct``
        (units). Without answers on one side, values are missing. If all pairs have the same difference, ``p``
        is that of the sign test and the interval is missing.

    Raises
    ------
    SpecError
        If there are no contrasts, or one names a column, level, outcome or question that does not exist; if
        `unit` is ``participant`` but all copies of a stimulus have the same scored answer.

    Examples
    --------
    >>> from grace_client.analysis import contrasts, example, study2
    >>> kind, informative = ({study2.CELL[0]: level} for level in ("both", "informational"))
    >>> planned = {"name": "kind", "greater": kind, "lesser": informative, "outcome": "prob_wasnt"}
    >>> found = contrasts(example.scored("study2"), [planned])
    >>> found[["contrast", "difference", "t", "df", "p_exact", "n", "n_distinct"]].round(4)
      contrast  difference        t       df  p_exact     n  n_distinct
    0     kind      0.1186  13.2895  10.9995   0.0002  1616          12
    """
    known = declared(frame, experiment)
    planned = [_contrast(one) for one in (known.file.contrasts if contrasts is None else contrasts)]
    if not planned:
        raise SpecError(f"{known.name} declares no contrasts. Give some, such as {{'name': …, 'greater': …}}")
    if alternative not in ("greater", "two-sided"):
        raise SpecError(f"alternative={alternative!r}: choose 'greater' or 'two-sided'")
    results, gains = [], []
    for contrast in planned:
        wanted = chosen(known, contrast.outcome, contrast.question)[:1]
        table = measured(frame, known, wanted)
        names, one = wanted[0]
        rows = table[table["question"].isin(names) & table[one.name].notna()]
        sides = [_side(rows, levels, contrast, known) for levels in (contrast.greater, contrast.lesser)]
        column = distinct(table) if unit is None else unit
        if column not in UNITS:
            raise SpecError(f"unit={unit!r}: choose {', '.join(UNITS)}")
        if column == "participant" and "replicate" not in table.columns:
            refuse_copies(rows, one.name, ["question"])
        for model in dict.fromkeys(str(model) for model in table["model"]):
            own = [side[side["model"] == model] for side in sides]
            head = {
                "model": model,
                "contrast": contrast.name,
                "question": ", ".join(names),
                "outcome": one.name,
            }
            found, kept = _compared(own, one, column, alternative)
            results.append(head | found | _matter(found, contrast.smallest))
            if noise is not None:
                gains.append({"model": model, "contrast": contrast.name, "gain": _gain(kept, one)})
    result = pd.DataFrame(results)
    result["p_holm"] = result.groupby("model", sort=False)["p"].transform(lambda p: holm(p.to_numpy()))
    order = ["model", "contrast", "question", "outcome", "mean_greater", "mean_lesser", "difference", "low"]
    order += [
        "high",
        "t",
        "df",
        "p",
        "p_holm",
        "p_exact",
        "d_z",
        "paired",
        "smallest",
        "matters",
        "n",
        "n_distinct",
    ]
    models = list(dict.fromkeys(result["model"]))
    result = result[order].sort_values(
        "model", kind="stable", key=lambda column: column.map(models.index), ignore_index=True
    )
    return add_floor(result, frame, noise, lambda: pd.DataFrame(gains), result["difference"])


def _contrast(given: Contrast | Mapping[str, object]) -> Contrast:
    if isinstance(given, Contrast):
        return given
    try:
        return Contrast.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "contrast"
        raise SpecError(f"contrast {given.get('name', '')!r}: {where}: {first['msg']}") from None


def _side(
    rows: pd.DataFrame, levels: Mapping[str, Sequence[str]], contrast: Contrast, known: Experiment
) -> pd.DataFrame:
    """The rows of one side of a contrast."""
    kept = np.ones(len(rows), dtype=bool)
    for name, wanted in levels.items():
        if name not in rows.columns:
            columns = [
                *conditions(known, rows),
                *dict.fromkeys(one for own in each(known).values() for one in own),
            ]
            raise SpecError(
                f"contrast {contrast.name!r}: there is no column {name!r}. {did_you_mean(name, columns)}"
                f"Conditions: {', '.join(columns) or 'none'}"
            )
        there = {str(value) for value in rows[name].dropna().unique()}
        possible = dict.fromkeys([*possible_levels(known, name), *sorted(there)])
        if unknown := [level for level in wanted if level not in possible]:
            raise SpecError(
                f"contrast {contrast.name!r}: {name} has no level {unknown[0]!r}. "
                f"{did_you_mean(unknown[0], possible)}It has: {', '.join(possible)}"
            )
        kept &= rows[name].astype(str).isin(wanted).to_numpy()
    return rows[kept]


def _compared(
    sides: list[pd.DataFrame], outcome: Outcome, unit: str, alternative: str
) -> tuple[dict[str, float | bool], list[pd.DataFrame]]:
    """The test of a contrast, and the rows that it is of."""
    units = [set(side[unit]) for side in sides]
    both = units[0] & units[1]
    pairs = 2 * len(both) >= len(units[0] | units[1]) > 0
    if pairs:
        sides = [side[side[unit].isin(both)] for side in sides]
    greater, lesser = (Side.of(side[outcome.name], side[unit]) for side in sides)
    most = outcome.greatest - outcome.least
    test = (tested if pairs else apart)(greater, lesser, most=most, alternative=alternative)
    exact = np.nan
    if pairs:
        means = [side.groupby(unit, sort=True, observed=True)[outcome.name].mean() for side in sides]
        exact = sign_flips((means[0] - means[1]).to_numpy(dtype=np.float64), alternative)
    beside = {"mean_greater": greater.mean, "mean_lesser": lesser.mean, "p_exact": exact, "paired": pairs}
    return test | beside | {"n": sum(map(len, sides))}, sides


def _matter(found: Mapping[str, float | bool], smallest: float | None) -> dict[str, object]:
    """Whether a difference matters."""
    if smallest is None:
        return {"smallest": np.nan, "matters": ""}
    low, high = found["low"], found["high"]
    answer = "yes" if low > smallest else "no" if -smallest < low and high < smallest else "open"
    return {"smallest": smallest, "matters": answer}


def _gain(sides: list[pd.DataFrame], outcome: Outcome) -> float:
    """Noise of a difference of means, where that of one option is 1. Copies of a stimulus are one answer."""
    if not all(map(len, sides)):
        return np.nan
    weights = [
        pd.Series(sign / len(side), index=pd.MultiIndex.from_frame(side[["stimulus", "question"]]))
        for sign, side in zip((1.0, -1.0), sides, strict=True)
    ]
    summed = pd.concat(weights).groupby(level=[0, 1]).sum()
    return gain_of(outcome) * float(np.sqrt((summed**2).sum()))


def anova(
    frame: pd.DataFrame,
    outcome: str | None = None,
    factors: Sequence[str] | None = None,
    *,
    question: str | None = None,
    experiment: Experiment | str | None = None,
    within: str | None = "",
) -> pd.DataFrame:
    """Analysis of variance of an outcome, with conditions as factors.

    Parameters
    ----------
    frame : DataFrame
        Answers of one experiment, as `read` gives them, or the result of `outcomes`.
    outcome, question, experiment
        As in `cell_means`. Each question has an analysis of its own.
    factors : sequence of str, optional
        One to four columns; their values are levels, also where they are numbers. Default: the study's
        conditions.
    within : {"item", "participant", "trial", None}, optional
        Blocks of the model ``outcome ~ within + factors``, whose observations are the means of each block and
        cell. With None, the observations are the means of each stimulus. With ``trial``, every answer is an
        observation, without blocks, as papers often report it: answers of one person or to one story then
        count as independent, which makes ``p`` too small. Default: ``item``, or None in a study without
        items. Use ``participant`` and ``trial`` only for answers of people, or drawn ones.

    Returns
    -------
    DataFrame
        ``model, question, outcome, effect`` (factors joined by ``:``; the last is ``residual``), ``ss, df,
        ms, f, p, eta_p2`` (partial eta squared), ``n`` (answers) and ``n_distinct`` (observations fitted).
        Sums of squares are of Type II; one error is pooled, which assumes sphericity. Cells may be empty.
        Without a residual, ``f`` and ``p`` are missing.

    Raises
    ------
    SpecError
        If there is no such outcome, question or column, or there are no factors, or more than four; if
        `within` is ``participant`` or ``trial`` but all copies of a stimulus have the same scored answer.
    NotEnoughDataError
        If no answer has the outcome.

    Examples
    --------
    >>> from grace_client.analysis import anova, example
    >>> anova(example.scored("study1"), "prob_yes")[["df", "n", "n_distinct"]]
       df    n  n_distinct
    0   2  300          36
    1   2  300          36
    2   1  300          36
    3  25  300          36
    """
    known = declared(frame, experiment)
    wanted = chosen(known, outcome, question)
    table = measured(frame, known, wanted)
    crossed = conditions(known, table) if factors is None else list(factors)
    require(table, crossed)
    if not 1 <= len(crossed) <= 4:
        raise SpecError(f"factors: {', '.join(crossed) or 'none'}. Name one to four columns")
    if within == "":
        within = "item" if distinct(table) == "item" else None
    parts = []
    for names, one in wanted:
        for name in names:
            rows = table[(table["question"] == name) & table[one.name].notna()]
            if not rows.empty:
                found = analysed(rows, one.name, crossed, within)
                found.insert(1, "question", name)
                found.insert(2, "outcome", one.name)
                parts.append(found)
    if not parts:
        raise NotEnoughDataError(f"no answer has the outcome {' or '.join(one.name for _, one in wanted)}")
    return pd.concat(parts, ignore_index=True)


def analysed(
    rows: pd.DataFrame, value: str, factors: Sequence[str], within: str | None, unit: str | None = None
) -> pd.DataFrame:
    """Analysis of variance of each model: ``model``, the columns of `type_two`, ``n`` and ``n_distinct``.

    Observations are the means of each unit and cell; a unit is by default a block, or without one a stimulus.
    """
    if within not in ("item", "participant", "trial", None):
        raise SpecError(f"within={within!r}: choose 'item', 'participant', 'trial' or None")
    blocks = None if within == "trial" else within
    keys = list(dict.fromkeys([unit or blocks or "stimulus", *([blocks] if blocks else []), *factors]))
    require(rows, [*keys, "stimulus"] if within in ("participant", "trial") else keys)
    parts = []
    for model, own in per_model(rows):
        if within in ("participant", "trial"):
            refuse_copies(own, value)
        single = within == "trial"
        fitted = own if single else own.groupby(keys, sort=False, observed=True)[value].mean().reset_index()
        table = type_two(fitted, value, factors, blocks)
        table.insert(0, "model", model)
        parts.append(table.assign(n=len(own), n_distinct=len(fitted)))
    return pd.concat(parts, ignore_index=True)
