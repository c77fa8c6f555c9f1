"""What a person reads at the end of a run: cell means, a sparkline per question, option mass, failures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from grace_client.analysis import cell_means
from grace_client.cli.output import duration
from grace_client.runner import OK, RunFolder

BARS = "▁▂▃▄▅▆▇█"


def print_summary(folder: RunFolder, files: Sequence[Path]) -> None:
    """Print the summary of a run that has been exported."""
    console = Console(highlight=False)
    results, manifest = folder.manifest.results, folder.manifest
    long = pd.read_parquet(next(file for file in files if file.suffix == ".parquet"))
    console.print(
        f"\n[bold]{folder.experiment.title}[/bold], {manifest.model}: {results['trials']} trials, "
        f"{results['distinct']} distinct questions, {duration(results['wall_seconds'])}"
    )
    if folder.experiment.scored:
        _scored(console, folder, long)
    else:
        _free(console, long)
    failed = {k: n for k, n in results["distinct_by_status"].items() if k != OK}
    told = ", ".join(f"{n} {k}" for k, n in failed.items()) if failed else "none"
    console.print(f"Without an answer: {told}")
    for file in (*files, folder.path / "manifest.json"):
        console.print(f"  {file}", soft_wrap=True)


def _scored(console: Console, folder: RunFolder, long: pd.DataFrame) -> None:
    if not (long["status"] == OK).any():
        return
    conditions = pd.DataFrame(
        [folder.experiment.schema.cell(trial) for trial in folder.plan.trials],
        index=pd.Index([trial.trial_id for trial in folder.plan.trials], name="trial_id"),
    )
    means = cell_means(long, conditions)
    factors = list(conditions.columns)
    questions = list(dict.fromkeys(means["question"]))
    numeric = {q for q in questions if _numbers(means[means["question"] == q]["option"]) is not None}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for factor in factors:
        table.add_column(factor, style="bold")
    table.add_column("n", justify="right")
    for question in questions:
        table.add_column(question + (" mean %" if question in numeric else ""))
    table.add_column("option mass", justify="right")
    for cell, group in means.groupby(factors, sort=True):
        shown = [_spark(group[group["question"] == question]) for question in questions]
        mass = group["option_mass"].mean()
        table.add_row(*map(str, cell), str(group["n"].max()), *shown, f"{mass:.3f}")
    console.print(table)
    mass = folder.manifest.results["option_mass"]
    options = "; ".join(
        f"{'/'.join(list(dict.fromkeys(means[means['question'] == question]['option'])))}"
        for question in dict.fromkeys(questions)
        if question not in numeric
    )
    console.print(f"Bars left to right: {'0 … 100 %' if numeric else ''}{'; ' if numeric else ''}{options}")
    console.print(f"Option mass: mean {mass['mean']:.3f}, lowest {mass['min']:.3f}")


def _spark(rows: pd.DataFrame) -> str:
    """Bars of a mean distribution, with its mean where the options are numbers, else its likeliest option."""
    prob = rows["prob_norm"].to_numpy()
    if not len(prob):
        return "–"
    bars = "".join(BARS[round(p / prob.max() * (len(BARS) - 1))] for p in prob)
    numbers = _numbers(rows["option"])
    if numbers is not None:
        return f"{bars} {float((prob * numbers).sum()):5.1f}"
    return f"{bars} {rows['option'].iloc[int(prob.argmax())]} {prob.max():.2f}"


def _numbers(options: pd.Series[str]) -> pd.Series[float] | None:
    values: pd.Series[float] = pd.to_numeric(options, errors="coerce")
    return None if values.isna().any() else values


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
