"""The `grace` command: parses, calls, prints."""

from __future__ import annotations

import os
import re
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from grace_client import __version__
from grace_client.cli import extract, fetch, policy, probe, report, run, run_folder, trials
from grace_client.cli._output import outlive_readers, print_error
from grace_client.cli.campaign import commands as campaign
from grace_client.cli.campaign import models
from grace_client.cli.study import commands as study
from grace_client.core.errors import GraceError, ServerError, UsageError, refused

_UNREADABLE: Any = typer.BadParameter.__mro__[1]
"""The error that click raises for a command line that it cannot read. Typer may use its own copy of click."""


class _Commands(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        _join_lines(self)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except _UNREADABLE as error:
            if "--json" not in sys.argv:
                raise
            raise UsageError(error.format_message()) from None
        except BrokenPipeError as error:
            # Typer would think that the reader of stdout has gone, and end without a message.
            raise ServerError(
                f"The connection to a program or a server was lost ({error}). Run the same command again"
            ) from error
        except OSError as error:
            raise refused(error) from error


def _join_lines(command: Any) -> None:
    """Make each paragraph of a command's help one line, which the terminal wraps at its own width."""
    command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", command.help or "")
    for own in getattr(command, "commands", {}).values():
        _join_lines(own)


app = typer.Typer(
    name="grace",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"grace {__version__}")
        raise typer.Exit


@app.callback()
def _grace(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Measure what a language model believes: exact probabilities over closed sets of answers.

    Example: grace run study1-exp2 --sample 20 --out runs/first
    """


ASK = "Ask a model"
RESULTS = "Look at results"
CLUSTER = "Use a cluster"

app.command("run", rich_help_panel=ASK)(run.run)
app.add_typer(study.app, name="study", rich_help_panel=ASK)
app.add_typer(trials.app, name="trials", rich_help_panel=ASK)
app.command("models", rich_help_panel=ASK)(models.models)
app.command("probe", rich_help_panel=ASK)(probe.probe)
app.command("noise", rich_help_panel=ASK)(probe.noise)
app.command("status", rich_help_panel=RESULTS)(run_folder.status)
app.command("verify", rich_help_panel=RESULTS)(run_folder.verify)
app.command("export", rich_help_panel=RESULTS)(run_folder.export)
app.command("explain", rich_help_panel=RESULTS)(run_folder.explain)
app.add_typer(extract.app, name="extract", rich_help_panel=RESULTS)
app.command("report", rich_help_panel=RESULTS)(report.report)
app.add_typer(campaign.app, name="campaign", rich_help_panel=CLUSTER)
app.command("fetch", rich_help_panel=CLUSTER)(fetch.fetch)
app.command("upload", rich_help_panel=CLUSTER)(fetch.upload)
app.add_typer(policy.app, name="policy", rich_help_panel=CLUSTER)


def main() -> None:
    """Run the command line. A `GraceError` becomes one message and an exit code."""
    outlive_readers()
    try:
        app()
    except GraceError as error:
        print_error(error, as_json="--json" in sys.argv)
        sys.exit(_flushed(error.exit_code))
    except SystemExit as ended:
        sys.exit(_flushed(ended.code))


def _flushed(code: str | int | None) -> str | int | None:
    """The exit code; if the command succeeded but stdout cannot be written, that error's exit code."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Otherwise Python would try to write the rest again when the process ends.
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        if code:
            return code
        failure = refused(error)
        print_error(failure, as_json=False)
        return failure.exit_code
    return code
