"""The `grace` command: parses, calls, prints."""

from __future__ import annotations

import sys

import typer

from grace_client.cli import campaign, extract, fetch, inspect, policy, probe, report, run, trials
from grace_client.cli.output import print_error
from grace_client.errors import GraceError

app = typer.Typer(
    name="grace",
    help="Measure what a language model believes: exact probabilities over closed sets of answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(trials.app, name="trials")
app.add_typer(policy.app, name="policy")
app.add_typer(campaign.app, name="campaign")
app.add_typer(extract.app, name="extract")
app.command("run")(run.run)
app.command("status")(inspect.status)
app.command("verify")(inspect.verify)
app.command("noise")(probe.noise)
app.command("probe")(probe.probe)
app.command("export")(inspect.export)
app.command("explain")(inspect.explain)
app.command("report")(report.report)
app.command("fetch")(fetch.fetch)
app.command("upload")(fetch.upload)


def main() -> None:
    """Run the command line; errors raised on purpose become one message and an exit code."""
    try:
        app()
    except GraceError as error:
        print_error(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone; there is nobody left to tell.
        sys.stderr.close()
        sys.exit(0)
