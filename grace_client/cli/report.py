"""`grace report`: one page about one or many runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grace_client.cli._output import print_json, say
from grace_client.core.errors import ExitCode


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of them.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    figures: Annotated[
        Path | None, typer.Option(help="Folder for the figures alone: SVG, PDF and PNG.")
    ] = None,
    tables: Annotated[Path | None, typer.Option(help="Folder for the tables alone: CSV.")] = None,
    nrp: Annotated[
        bool, typer.Option("--nrp", help="The runs were made on NRP Nautilus: acknowledge it as it asks.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write one page of figures, tables and methods that opens without a network."""
    from grace_client import report as reports

    written = reports.write(
        runs, out, figures=figures, tables=tables, nrp=nrp, say=(lambda _: None) if quiet or json else say
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
                "faults": written.faults,
            }
        )
    else:
        for sentence in written.summary:
            typer.echo(sentence)
        typer.echo(str(written.page))
    if written.faults:
        say(
            f"{len(written.faults)} part{'s' * (len(written.faults) > 1)} of the page could not be computed "
            "because of an error in grace; the page is written without. Please report the sentences of the "
            "summary that name the error."
        )
        raise typer.Exit(ExitCode.ITEMS_FAILED)
