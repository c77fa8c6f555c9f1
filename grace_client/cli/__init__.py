"""The `grace` command: parses, calls, prints."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from grace_client.cli import extract, fetch, policy, probe, report, run, run_folder, trials
from grace_client.cli._output import outlive_readers, print_error
from grace_client.cli.campaign import commands
from grace_client.core.errors import GraceError, ServerError, UsageError, refused

_UNREADABLE: Any = typer.BadParameter.__mro__[1]
"""What click raises for a command line that it cannot read; typer may bring a click of its own."""


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except _UNREADABLE as error:
            if "--json" not in sys.argv:
                raise
            raise UsageError(error.format_message()) from None
        except BrokenPipeError as error:
            # Typer would take it for a reader of stdout that has gone, and end without a word.
            raise ServerError(
                f"the connection to a program or a server broke off ({error}); the same command may succeed "
                "later"
            ) from error
        except OSError as error:
            raise refused(error) from error


app = typer.Typer(
    name="grace",
    cls=_Commands,
    help="Measure what a language model believes: exact probabilities over closed sets of answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(trials.app, name="trials")
app.add_typer(policy.app, name="policy")
app.add_typer(commands.app, name="campaign")
app.add_typer(extract.app, name="extract")
app.command("run")(run.run)
app.command("status")(run_folder.status)
app.command("verify")(run_folder.verify)
app.command("noise")(probe.noise)
app.command("probe")(probe.probe)
app.command("export")(run_folder.export)
app.command("explain")(run_folder.explain)
app.command("report")(report.report)
app.command("fetch")(fetch.fetch)
app.command("upload")(fetch.upload)


def main() -> None:
    """Run the command line; errors raised on purpose become one message and an exit code."""
    outlive_readers()
    try:
        app()
    except GraceError as error:
        print_error(error, as_json="--json" in sys.argv)
        sys.exit(_flushed(error.exit_code))
    except SystemExit as ended:
        sys.exit(_flushed(ended.code))


def _flushed(code: str | int | None) -> str | int | None:
    """The exit code, or that of results that could not be written where all else went well."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # What could not be written is not tried again when the process ends.
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        if code:
            return code
        failure = refused(error)
        print_error(failure, as_json=False)
        return failure.exit_code
    return code
