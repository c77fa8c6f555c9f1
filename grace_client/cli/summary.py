"""The summary at the end of a run: cell means, small bar charts, option mass and failures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from grace_client.cli._output import duration, probability
from grace_client.core.scoring import LOW_MASS
from grace_client.run.folder import RunFolder
from grace_client.run.layout import OK
from grace_client.run.tables import in_base_way
from grace_client.studies.declaration import Kind

BARS = "▁▂▃▄▅▆▇█"


def print_summary(folder: RunFolder, files: Sequence[Path]) -> None:
    """Print the summary of a run whose tables are written."""
    console = Console(highlight=False)
    results, manifest = folder.manifest.results, folder.manifest
    long = pd.read_parquet(next(file for file in files if file.suffix == ".parquet"))
    console.print(
        f"\n[bold]{folder.experiment.title}[/bold], {manifest.model}: {results['trials']} trials, "
        f"{results['distinct']} distinct questions, {duration(results['wall_seconds'])}"
    )
    if ways := manifest.spec.ways:
        long = in_base_way(long, manifest)
        console.print(f"{len(ways)} ways of asking; below is the base. analysis.ways compares them")
    if folder.experiment.scored:
        _scored(console, folder, long)
    else:
        _free(console, long)
    failed = {k: n for k, n in results["distinct_by_status"].items() if k != OK}
    counts = ", ".join(f"{n} {k}" for k, n in failed.items()) if failed else "none"
    console.print(f"Questions without an answer: {counts}")
    for file in (*files, folder.path / "manifest.json"):
        console.print(f"  {file}", soft_wrap=True)


def _scored(console: Console, folder: RunFolder, long: pd.DataFrame) -> None:
    if not (long["status"] == OK).any():
        return
    cells = [folder.experiment.schema.cell(trial) or {"all": "all trials"} for trial in folder.plan.trials]
    trial_ids = pd.Index([trial.trial_id for trial in folder.plan.trials], name="trial_id")
    conditions = pd.DataFrame(cells, index=trial_ids)
    means = cell_means(_turned(folder, long), conditions)
    factors = list(conditions.columns)
    questions = list(dict.fromkeys(means["question"]))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("cell", style="bold")
    for question in questions:
        table.add_column(question, overflow="fold")
    asked = folder.experiment.kinds
    kind = {question: one.name for question, one in asked.items()}
    kinds = list(dict.fromkeys(kind[question] for question in questions))
    # A number without its last digits would look like another number.
    table.add_column("mass", justify="right", no_wrap=True)
    for cell, group in means.groupby(factors, sort=True):
        by_question = group.groupby("question", sort=False)
        first = group.drop_duplicates("question")
        mass = first.groupby(first["question"].map(kind))["option_mass"].mean().reindex(kinds)
        shown = "/".join(probability(value, 2) if value == value else "none" for value in mass)
        table.add_row("/".join(map(str, cell)), *(_spark(by_question, q, asked[q]) for q in questions), shown)
    console.print(table)
    if len(kinds) > 1:
        console.print(f"mass: option mass of {'/'.join(kinds)}")
    n, distinct = means["n"], means["n_distinct"]
    console.print(
        f"cell: {'/'.join(factors)}, {_range(n)} trials each, {_range(distinct)} different distributions"
    )
    for question in questions:
        one = asked[question]
        numbers = _numbers(one)
        if not _are_numbers(one.options):
            below = "the mean of their numbers" if numbers else "the likeliest option and its probability"
            console.print(f"{question}: one bar for each option ({', '.join(one.options)}); below, {below}")
    if any(_are_numbers(asked[question].options) for question in questions):
        console.print("other questions: one bar for each option, from the lowest number; below, the mean")
    if folder.experiment.reversed_for:
        console.print("The scale of reverse-keyed trials is turned round")
    masses = "; ".join(
        f"{name} {probability(mass['mean'], 3)} (lowest {probability(mass['min'], 3)})"
        for name, mass in folder.manifest.results["option_mass"].items()
    )
    console.print(f"[bold]Option mass[/bold] (the mean probability of all options together): {masses}")
    low = [name for name, mass in folder.manifest.results["option_mass"].items() if mass["mean"] < LOW_MASS]
    if low:
        console.print(
            f"The option mass of {', '.join(low)} is under {LOW_MASS}: most of what the model would say is "
            f"none of the options. 'grace study forms {folder.path}' shows what it is",
            soft_wrap=True,
        )


def cell_means(long: pd.DataFrame, conditions: pd.DataFrame) -> pd.DataFrame:
    """Mean distribution of every question in every cell of one run.

    A row per cell, question and option: the factors, ``question, option``, the means of ``prob_norm`` and
    ``option_mass`` over trials, ``n`` (trials) and ``n_distinct`` (different distributions among them).
    """
    rows = long[long["status"] == OK].join(conditions, on="trial_id")
    grouped = rows.groupby([*conditions.columns, "question", "option"], sort=False)
    means: pd.DataFrame = grouped[["prob_norm", "option_mass"]].mean()
    means["n"] = grouped.size()
    means["n_distinct"] = grouped["prob_norm"].nunique()
    return means.reset_index()


def _turned(folder: RunFolder, long: pd.DataFrame) -> pd.DataFrame:
    """The scored answers with the scale of reverse-keyed trials turned round, as the analysis turns it."""
    experiment = folder.experiment
    if not experiment.reversed_for:
        return long
    from grace_client.analysis import scales
    from grace_client.analysis._data.files import reversals

    rows = long.assign(reversed=reversals(long, experiment, folder.plan.trials))
    return scales.turned(rows, experiment)


def _spark(by_question: Any, question: str, kind: Kind) -> str:
    """Bars of a mean distribution; below them its mean, or the likeliest option if there are no numbers."""
    if question not in by_question.groups:
        return "no answer"
    rows = by_question.get_group(question).set_index("option")
    prob = rows["prob_norm"].loc[list(kind.options)].to_numpy()
    bars = "".join(BARS[round(p / prob.max() * (len(BARS) - 1))] for p in prob)
    if (numbers := _numbers(kind)) is not None:
        return f"{bars}\n{float((prob * numbers).sum()):.1f}"
    return f"{bars}\n{kind.options[int(prob.argmax())]} {prob.max():.2f}"


def _range(counts: pd.Series[int]) -> str:
    return str(counts.min()) if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"


def _numbers(kind: Kind) -> tuple[float, ...] | None:
    """The numbers of the options; None if they have none."""
    if kind.values is not None:
        return kind.values
    return tuple(map(float, kind.options)) if _are_numbers(kind.options) else None


def _are_numbers(options: Sequence[str]) -> bool:
    return not pd.to_numeric(pd.Series(options), errors="coerce").isna().any()


def _free(console: Console, long: pd.DataFrame) -> None:
    answered = long[long["status"] == OK]
    for question, group in answered.groupby("question", sort=False):
        cut = int((group["finish_reason"] == "length").sum())
        console.print(
            f"{question}: {len(group)} answers, {group['response'].nunique()} different, {cut} cut off"
        )
        for text, count in group["response"].str.strip().value_counts().head(3).items():
            line = " ".join(str(text).split())
            console.print(f"  {count:>4} × {line[:100]}{'…' if len(line) > 100 else ''}", markup=False)
