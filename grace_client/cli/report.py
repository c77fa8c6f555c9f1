"""`grace report`: one HTML page about one run or many runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grace_client.cli._output import Json, print_json, say
from grace_client.core.errors import ExitCode


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders with several runs.")],
    out: Annotated[Path, typer.Option(help="The HTML page to write.")] = Path("report.html"),
    figures: Annotated[
        Path | None, typer.Option(help="Write the figures to this folder too, as SVG, PDF and PNG.")
    ] = None,
    tables: Annotated[Path | None, typer.Option(help="Write the tables to this folder too, as CSV.")] = None,
    people: Annotated[
        Path | None,
        typer.Option(
            help="Answers of people to show beside the models: a table with the study's columns, or a YAML "
            "file that says what its columns mean."
        ),
    ] = None,
    nrp: Annotated[
        bool, typer.Option("--nrp", help="Add the acknowledgement that NRP Nautilus asks its users for.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    json: Json = False,
) -> None:
    """Write one HTML page with figures, tables and methods. It opens without a network.

    A part that cannot be computed is a sentence on the page. Exit code 1 if a part failed; too few answers
    for a part are no failure.
    """
    from grace_client import report as reports

    written = reports.write(
        runs,
        out,
        figures=figures,
        tables=tables,
        people=people,
        nrp=nrp,
        say=(lambda _: None) if quiet or json else say,
    )
    if json:
        print_json(
            {
                "page": str(written.page),
                "models": written.models,
                "experiments": written.experiments,
                "summary": written.summary,
                "figures": [str(path) for path in written.figures],
                "tables": [str(path) for path in written.tables],
                "failed": written.failed,
                "faults": written.faults,
            }
        )
    else:
        for sentence in written.summary:
            typer.echo(sentence)
        typer.echo(str(written.page))
    for sentence in written.failed:
        say(f"grace: {sentence}")
    if written.faults:
        say(
            f"{len(written.faults)} part{'s' * (len(written.faults) > 1)} of the page failed because of an "
            "error in grace. The page has no text there. Please report the sentences of the summary that "
            "name the error"
        )
    if written.failed or written.faults:
        raise typer.Exit(ExitCode.ITEMS_FAILED)
