"""`grace trials`: check and write trial lists."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grace_client.cli._output import Json, print_json
from grace_client.core.errors import TrialError

app = typer.Typer(help="Check and write trial lists.", no_args_is_help=True)

SHOWN = 50
"""How many faults of a file are printed; ``--json`` prints all."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A trial list (CSV).")],
    study: Annotated[
        str | None,
        typer.Option(help="Study, or study file. Default: the one that the header fits.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Check a trial list: show its trials and cells, or every fault with its line and column."""
    from collections import Counter

    from grace_client import studies

    own = None if study is None else studies.find(study)
    try:
        trials = studies.read_trials(file, own)
    except TrialError as error:
        if json:
            print_json(error.data())
        else:
            for line in error.lines()[:SHOWN]:
                typer.echo(line, err=True)
            if len(error.problems) > SHOWN:
                typer.echo(f"… and {len(error.problems) - SHOWN} more (--json shows all)", err=True)
        raise typer.Exit(error.exit_code) from None

    schema = trials.schema
    cells = Counter(tuple(schema.cell(trial).items()) for trial in trials.trials)
    found = {
        "file": str(file),
        "study": schema.study,
        "sha256": trials.sha256,
        "trials": len(trials.trials),
        "participants": len({trial[name] for trial in trials.trials})
        if (name := schema.participant)
        else None,
        "distinct_stimuli": len({tuple(t[column] for column in schema.stimulus) for t in trials.trials}),
        "cells": [dict(cell) | {"trials": count} for cell, count in sorted(cells.items())],
        "notes": list(trials.notes),
    }
    if json:
        print_json(found)
        return
    typer.echo(
        f"{file}: {found['study']}, {found['trials']} trials, {found['participants'] or 'no'} participants, "
        f"{found['distinct_stimuli']} distinct stimuli, {len(cells)} cells"
    )
    for cell, count in sorted(cells.items()):
        typer.echo("  " + ", ".join(f"{name} {level}" for name, level in cell) + f": {count} trials")
    for note in trials.notes:
        typer.echo(f"  note: {note}")


@app.command()
def make(
    study: Annotated[str, typer.Argument(help="Study, such as study1; or a study file.")],
    out: Annotated[Path, typer.Option(help="CSV file to write.")],
    participants: Annotated[
        int | None,
        typer.Option(
            help="Number of participants. Default: the study's (study1: 50, study2: 202).",
            min=1,
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed. The same seed writes the same list.")] = 0,
    json: Json = False,
) -> None:
    """Write a balanced trial list from the items in a study file."""
    from grace_client import studies
    from grace_client.studies import lists

    rows, people = lists.write(out, studies.find(study), participants=participants, seed=seed)
    if json:
        print_json({"file": str(out), "study": study, "trials": rows, "participants": people})
    else:
        typer.echo(f"{out}: {study}, {rows} trials, {people} participants, seed {seed}")
