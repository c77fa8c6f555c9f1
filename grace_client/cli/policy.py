"""`grace policy`: check Kubernetes manifests against the cluster's rules."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grace_client.cli._chart_options import Set, SetFile, SetString
from grace_client.cli._output import Json, print_json
from grace_client.core.errors import ExitCode, SpecError, refused

if TYPE_CHECKING:
    from grace_client.kube.manifests import KubeObject
    from grace_client.policy.check import Finding, Report

app = typer.Typer(
    help="Check Kubernetes manifests against the rules of the cluster (NRP Nautilus).", no_args_is_help=True
)

STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


@app.command()
def check(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE…|-]", help="Manifests (YAML); - reads standard input."),
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(help="Helm chart to check instead of files. helm must be installed.")
    ] = None,
    values: Annotated[
        list[Path] | None,
        typer.Option(
            "--values", "-f", help="Values file of the chart. A later file replaces earlier values."
        ),
    ] = None,
    sets: Set = None,
    set_string: SetString = None,
    set_file: SetFile = None,
    release: Annotated[str, typer.Option(help="With --chart: name of the release.")] = "grace",
    namespace: Annotated[str, typer.Option(help="With --chart: namespace of the release.")] = "grace",
    kube_version: Annotated[
        str | None, typer.Option(help="With --chart: Kubernetes version of the cluster, such as 1.31.")
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="Do not check this rule, because the cluster allows an exception."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 2 also if there is only a warning.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what breaks the cluster's rules, where, and what to write instead.

    Check objects together if you apply them together: some rules count over all of them.

    Exit code 2 if there is an error, or with --strict a warning. Otherwise 0.
    """
    from grace_client.policy.check import check as check_rules

    if chart is not None:
        from grace_client.kube import helm

        if files:
            raise SpecError("The command takes either files or --chart. Run it twice to check both")
        rendered = helm.template(
            chart,
            values=values or (),
            assignments=helm.Assignments.of(sets, set_string, set_file),
            release=release,
            namespace=namespace,
            kube_version=kube_version,
        )
        manifests = asyncio.run(rendered)
    else:
        if values or sets or set_string or set_file or kube_version:
            raise SpecError(
                "--values, --set, --set-string, --set-file and --kube-version need --chart. Add it"
            )
        manifests = _read(files or [])
    report = check_rules(manifests, ignore=[rule.upper() for rule in ignore or ()])
    if json:
        print_json(report.to_json())
    elif sys.stdout.isatty():
        _show(report)
    else:
        for finding in report.findings:
            typer.echo(_line(finding))
        typer.echo(report.summary())
    if report.violates(strict=strict):
        raise typer.Exit(ExitCode.BAD_INPUT)


def _read(files: list[str]) -> list[KubeObject]:
    from grace_client.kube.manifests import read_manifests

    if not files:
        raise SpecError(
            "Nothing to check. Name files, - for standard input, or a chart with --chart DIR -f FILE"
        )
    manifests = []
    for file in files:
        try:
            text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        except OSError as error:
            raise refused(error, file) from None
        except UnicodeDecodeError as error:
            raise SpecError(f"{file} is not text in UTF-8: {error}. Save it as UTF-8") from None
        manifests += read_manifests(text, "standard input" if file == "-" else file)
    if not manifests:
        raise SpecError(
            f"{', '.join(files)}: no Kubernetes object in it. Look at the output of the command that wrote it"
        )
    return manifests


def _place(finding: Finding) -> str:
    return finding.file if finding.line is None else f"{finding.file}:{finding.line}"


def _line(finding: Finding) -> str:
    return (
        f"{_place(finding)}: {finding.severity} {finding.rule} {finding.kind}/{finding.name} "
        f"{finding.field}: {finding.why}. Fix: {finding.fix}. [{finding.source}, as read {finding.reviewed}]"
    )


def _show(report: Report) -> None:
    """Print one block for each fault, with all objects that have it."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    same: dict[tuple[str, ...], list[Finding]] = {}
    for finding in report.findings:
        same.setdefault((finding.severity, finding.rule, finding.why, finding.fix), []).append(finding)
    for (severity, rule, why, fix), findings in same.items():
        console.print(Text.assemble((severity, STYLES[severity]), " ", (rule, "bold"), " ", why))
        for finding in findings:
            place = Text.assemble((f"{finding.kind}/{finding.name}", "bold"), f" {finding.field} ")
            console.print(Padding(place.append(f"({_place(finding)})", "dim"), (0, 0, 0, 4)))
        console.print(Padding(Text.assemble(("fix: ", "green"), fix), (0, 0, 0, 4)))
        source = f"{findings[0].source}, as read {findings[0].reviewed}"
        console.print(Padding(Text(source, "dim"), (0, 0, 1, 4)))
    console.print(Text(report.summary(), "bold"))


@app.command()
def rules(json: Json = False) -> None:
    """List every rule: severity, text, source, and the part of the rule that no manifest can show."""
    from grace_client.policy.rules import RULES

    if json:
        print_json(
            [
                {
                    "rule": rule.id,
                    "severity": str(rule.severity),
                    "text": rule.text,
                    "undecided": rule.undecided,
                    "source": rule.source,
                    "reviewed": rule.reviewed,
                }
                for rule in RULES
            ]
        )
        return
    for rule in RULES:
        typer.echo(f"{rule.id:<4}{rule.severity:<8} {rule.text}")
        if rule.undecided:
            typer.echo(f"{'':13}Not in a manifest: {rule.undecided}")
        typer.echo(f"{'':13}[{rule.source}, as read {rule.reviewed}]")
