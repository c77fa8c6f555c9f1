"""Hand coding: write and read coding sheets, and measure how well people, rules and LLM agree."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from grace_client.core import paths
from grace_client.core.errors import SpecError
from grace_client.extraction.answers import Answer, Place
from grace_client.extraction.reading import HIGH, HUMAN, RULE, UNPARSED, Reading, Values

if TYPE_CHECKING:
    import pandas as pd

SHEET = ("trial_id", "question", "replicate", "asked", "response", "human")
"""Columns of a coding sheet. It does not show the readings of rules or LLM: coders are blind to them."""

ALL = "all"


def draw(answers: Sequence[Answer], count: int, *, seed: int = 0) -> list[Answer]:
    """A stratified random sample of answers, in random order.

    The strata are question × category, with the categories of the rules. A stratum's share of the sample is
    proportional to its size. Each stratum has at least one answer in the sample if `count` allows that, so
    that rare categories are in it.

    Parameters
    ----------
    answers : sequence of Answer
        The answers of a run. Answers without text are not drawn.
    count : int
        Number of answers to draw; if there are fewer, all are drawn.
    seed : int
        Random seed. The same seed draws the same answers.

    Returns
    -------
    list of Answer
    """
    strata: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.reading:
            strata[answer.item.question.name, answer.reading.category].append(answer)
    total = sum(map(len, strata.values()))
    count = min(count, total)
    exact = {key: count * len(group) / total for key, group in strata.items()}
    least = 1 if count >= len(strata) else 0
    sizes = {key: max(int(share), least) for key, share in exact.items()}
    furthest_below = sorted(exact, key=lambda key: sizes[key] - exact[key])
    while (left := count - sum(sizes.values())) != 0:
        for key in furthest_below if left > 0 else reversed(furthest_below):
            step = 1 if left > 0 else -1
            if left and least <= sizes[key] + step <= len(strata[key]):
                sizes[key] += step
                left -= step
    rng = random.Random(seed)
    drawn = [answer for key in sorted(strata) for answer in rng.sample(strata[key], sizes[key])]
    rng.shuffle(drawn)
    return drawn


def write(path: Path, answers: Sequence[Answer]) -> None:
    """Write a sheet with an empty column ``human``; SpecError if the file exists: it may be filled."""
    if path.exists():
        raise SpecError(f"{path} exists already, and may contain hand coding. Name another file with --out")
    with paths.replacing(path) as new, new.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        rows.writerow(SHEET)
        for answer in answers:
            rows.writerow([*answer.place, _asked(answer), answer.text, ""])


def read(path: Path, answers: Sequence[Answer]) -> dict[Place, Reading]:
    """The readings in a filled coding sheet. Rows with an empty column ``human`` are left out.

    Raises
    ------
    SpecError
        If the file is not a coding sheet, belongs to another run, or has a value that the question does not
        allow. The message names the line.
    """
    by_place = {answer.place: answer for answer in answers}
    coded: dict[Place, Reading] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            missing = [column for column in SHEET if column not in (rows.fieldnames or ())]
            if missing:
                raise SpecError(
                    f"{path} is not a coding sheet: it has no column {', '.join(missing)}. 'grace extract "
                    "sample' writes one"
                )
            for row in rows:
                where = f"{path}:{rows.line_num}"
                if None in row.values() or None in row:
                    raise SpecError(f"{where}: the row does not have {len(SHEET)} values. Correct the line")
                value = row["human"].strip()
                if value:
                    answer = _answer(row, where, by_place)
                    coded[answer.place] = _reading(value, answer, where)
    except FileNotFoundError:
        raise SpecError(
            f"The coding sheet {path} does not exist. 'grace extract sample' writes one"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SpecError(f"{path} is not CSV in UTF-8: {error}. Save it as CSV UTF-8") from None
    return coded


def agreement(rules: Sequence[Answer], others: Mapping[str, Mapping[Place, Reading]]) -> pd.DataFrame:
    """Agreement between readers of the same answers.

    Parameters
    ----------
    rules : sequence of Answer
        A run's answers with the readings of the rules.
    others : mapping of str to mapping
        Other readings, by the name of the reader: ``"llm"``, ``"human"``, or the name of a sheet.

    Returns
    -------
    DataFrame
        One row per pair of readers, question and category (`ALL`, then each category that the rules gave), of
        the answers that both have read: ``first, second, question, category, n``; ``agreement`` (share of
        equal structured values, ``unparsed`` among them), ``agreement_low`` and ``agreement_high`` (its 95%
        Wilson interval); ``kappa``, ``kappa_low`` and ``kappa_high`` (Cohen's κ with its 95% interval; empty
        if both readers always give one value, because κ is then undefined).

    Notes
    -----
    Cohen, J. (1960). A coefficient of agreement for nominal scales. *Educational and Psychological
    Measurement*, 20(1), 37-46. Computed with `statsmodels.stats.inter_rater.cohens_kappa`.
    """
    import pandas as pd

    readers: dict[str, dict[Place, str]] = {
        RULE: {answer.place: answer.reading.structured for answer in rules if answer.reading}
    }
    readers |= {name: {p: r.structured for p, r in found.items()} for name, found in others.items()}
    strata: dict[tuple[str, str], list[Place]] = defaultdict(list)
    for answer in rules:
        if answer.reading:
            question = answer.item.question.name
            strata[question, ALL].append(answer.place)
            strata[question, answer.reading.category].append(answer.place)
    names, rows = list(readers), []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            for (question, category), places in strata.items():
                pairs = [
                    (readers[first][p], readers[second][p])
                    for p in places
                    if p in readers[first] and p in readers[second]
                ]
                if pairs:
                    rows.append(
                        {"first": first, "second": second, "question": question, "category": category}
                        | _figures(pairs)
                    )
    return pd.DataFrame(rows, columns=["first", "second", "question", "category", *_FIGURES])


_FIGURES = ("n", "agreement", "agreement_low", "agreement_high", "kappa", "kappa_low", "kappa_high")


def _figures(pairs: Sequence[tuple[str, str]]) -> dict[str, float | None]:
    import numpy as np

    try:
        from statsmodels.stats.inter_rater import cohens_kappa
        from statsmodels.stats.proportion import proportion_confint
    except ImportError:
        raise SpecError(
            "agreement needs statsmodels, which is not installed: pip install 'grace-client[analysis]'"
        ) from None
    equal = sum(first == second for first, second in pairs)
    low, high = proportion_confint(equal, len(pairs), method="wilson")
    values = sorted({value for pair in pairs for value in pair})
    kappa: tuple[float | None, ...] = (None, None, None)
    if len(values) > 1:
        table = np.zeros((len(values), len(values)))
        for first, second in pairs:
            table[values.index(first), values.index(second)] += 1
        # The variance of κ can be undefined although κ is defined.
        with np.errstate(invalid="ignore", divide="ignore"):
            found = cohens_kappa(table)
        figures = (found.kappa, found.kappa_low, found.kappa_upp)
        kappa = tuple(float(figure) if np.isfinite(figure) else None for figure in figures)
    figures_of = (len(pairs), equal / len(pairs), float(low), float(high), *kappa)
    return dict(zip(_FIGURES, figures_of, strict=True))


def _asked(answer: Answer) -> str:
    """The question itself: the end of the prompt."""
    return answer.item.question.prompt.asked.rstrip().split("\n\n")[-1].removesuffix("Answer:").strip()


def _answer(row: dict[str, str], where: str, by_place: Mapping[Place, Answer]) -> Answer:
    try:
        answer = by_place[int(row["trial_id"]), row["question"], int(row["replicate"])]
    except (KeyError, ValueError):
        raise SpecError(
            f"{where}: the run has no answer to {row['question']!r} of trial {row['trial_id']!r}, replicate "
            f"{row['replicate']!r}. The sheet may belong to another run. Name its run"
        ) from None
    if _lines(row["response"]) != _lines(answer.text or ""):
        raise SpecError(
            f"{where}: the response differs from the run's. The sheet may belong to another run. Name its run"
        )
    return answer


def _lines(text: str) -> list[str]:
    """The lines without spaces at both ends, because spreadsheets remove those."""
    return [line.strip() for line in text.strip().splitlines()]


def _reading(value: str, answer: Answer, where: str) -> Reading:
    values = Values.of(answer.kind)
    if value not in values:
        # Coders may write a listed value in small or capital letters.
        listed = {one.lower(): one for one in (*values.listed, UNPARSED)}
        value = listed.get(value.lower(), value)
    if value != UNPARSED and value not in values:
        allowed = ", ".join([*values.words, UNPARSED])
        raise SpecError(f"{where}: column 'human' is {value!r}. Expected: {allowed}")
    category = values.category(value)
    if value == UNPARSED and answer.reading and answer.reading.category != "answer":
        category = answer.reading.category
    return Reading(value, category, method=HUMAN, confidence=HIGH)
