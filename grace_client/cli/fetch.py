"""`grace fetch` and `grace upload`: results from a cluster, and trial lists to it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from grace_client.cli._chart_options import Set, SetFile, SetString
from grace_client.cli._output import PLAIN_SECONDS, print_json, say
from grace_client.cli._signals import on_stop
from grace_client.core.errors import ExitCode, SpecError

if TYPE_CHECKING:
    from grace_client.deploy.values import ModelValues
    from grace_client.kube.kubectl import Kubectl
    from grace_client.transfer.claims import Fetched
    from grace_client.transfer.connection import TransferProgress
    from grace_client.transfer.runs import RemoteRun

T = TypeVar("T")

WATCH_S = 30
"""Seconds between two looks of `--watch`."""
ANY_MODEL = {"model": {"name": "any", "repository": "any/any", "weightsGiB": 1}}
"""Values with which the chart renders its Job for files, where no model is known."""

Release = Annotated[
    str | None,
    typer.Argument(
        help="An installed release. Its values name the claims and the image.", show_default=False
    ),
]
Values = Annotated[
    list[Path] | None,
    typer.Option("--values", "-f", help="Values files of a release that is no longer installed."),
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Default: the context's own.", show_default=False)
]
Context = Annotated[
    str | None, typer.Option(help="Context of the kubeconfig. Default: the current one.", show_default=False)
]
Kubeconfig = Annotated[
    Path | None, typer.Option(help="Default: the file that kubectl uses.", show_default=False)
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def fetch(
    release: Release = None,
    values: Values = None,
    claim: Annotated[
        str | None,
        typer.Option(
            help="Name of the output claim, instead of a release. Fetches the runs of all models.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[Path, typer.Option(help="Folder to put EXPERIMENT/MODEL/RUN into.")] = Path("results"),
    runs: Annotated[
        str | None,
        typer.Option(
            metavar="E/M/R",
            help="EXPERIMENT/MODEL/RUN with wildcards. Default: all runs of the release or the model.",
            show_default=False,
        ),
    ] = None,
    sets: Set = None,
    set_string: SetString = None,
    set_file: SetFile = None,
    listing: Annotated[
        bool, typer.Option("--list", help="List the runs on the claim, and fetch nothing.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help=f"Fetch every {WATCH_S} s until the query Jobs have ended.")
    ] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Download runs from the cluster and verify them.

    Files that are already here are not sent again; corrupted local files are. You may stop the command at any
    time and repeat it. It leaves nothing on the cluster.
    """
    from grace_client.deploy.values import assigned
    from grace_client.kube.helm import Assignments
    from grace_client.kube.kubectl import Kubectl
    from grace_client.transfer.claims import Claims, checked_pattern

    assignments = Assignments.of(sets, set_string, set_file)

    async def work() -> list[RemoteRun] | Fetched:
        kubectl = Kubectl(kubeconfig=kubeconfig, context=context, namespace=namespace)
        chosen = assigned(await _values(kubectl, release, values, claim), {}, assignments)
        pattern = checked_pattern(runs or _pattern(chosen, release, any_model=claim is not None))
        async with Claims.open(kubectl, chosen, sets=claim_alone(claim, "output")) as claims:
            if listing:
                return await claims.runs(pattern)
            while True:
                # Before the fetch, so that what the last Job wrote is fetched too.
                ended = not watch or await _ended(kubectl, chosen, release, any_model=claim is not None)
                if not ended and not await claims.runs(pattern):
                    await asyncio.sleep(WATCH_S)
                    continue
                with _progress(quiet=quiet or json) as show:
                    found = await claims.fetch(pattern, to, on_progress=show)
                if ended:
                    return found
                if not quiet:
                    counts = f"{len(found.verified)} runs complete, {len(found.partial)} incomplete"
                    say(f"{counts}. Next fetch in {WATCH_S} s")
                await asyncio.sleep(WATCH_S)

    found = _interruptible(work())
    if isinstance(found, list):
        _print_runs(found, json=json)
    else:
        _print_fetched(found, to, json=json)


def upload(
    files: Annotated[list[Path], typer.Argument(help="Trial lists to upload.", exists=True, dir_okay=False)],
    release: Annotated[str | None, typer.Option(help="An installed release.", show_default=False)] = None,
    values: Values = None,
    claim: Annotated[
        str | None, typer.Option(help="Name of the input claim, instead of a release.", show_default=False)
    ] = None,
    folder: Annotated[str, typer.Option(help="Folder on the claim.")] = "",
    sets: Set = None,
    set_string: SetString = None,
    set_file: SetFile = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    json: AsJson = False,
) -> None:
    """Upload trial lists to the input claim, for queries.trials.fromInput."""
    from grace_client.deploy.values import assigned
    from grace_client.kube.helm import Assignments
    from grace_client.kube.kubectl import Kubectl
    from grace_client.transfer.claims import Claims, upload_paths

    assignments = Assignments.of(sets, set_string, set_file)
    upload_paths(files, folder)

    async def work() -> list[str]:
        kubectl = Kubectl(kubeconfig=kubeconfig, context=context, namespace=namespace)
        chosen = assigned(await _values(kubectl, release, values, claim), {}, assignments)
        async with Claims.open(kubectl, chosen, sets=claim_alone(claim, "input")) as claims:
            return await claims.upload(files, folder)

    names = _interruptible(work())
    if json:
        print_json({"files": names})
        return
    for file, name in zip(files, names, strict=True):
        typer.echo(
            f"{file} is on the claim. To use it, install with --set queries.trials.fromInput.study1={name}"
        )


async def _values(
    kubectl: Kubectl, release: str | None, files: list[Path] | None, claim: str | None
) -> ModelValues:
    from grace_client.deploy.values import ModelValues, model_values

    if sum(given is not None for given in (release, files, claim)) != 1:
        raise SpecError(
            "Name one of these: a release, its --values, or a --claim ('kubectl get pvc' lists claims)"
        )
    if files:
        return model_values(*files)
    if release:
        from grace_client.deploy.release import installed_values

        return await installed_values(kubectl, release)
    return ModelValues.model_validate(ANY_MODEL).model_copy(update={"values": ANY_MODEL})


def _pattern(values: ModelValues, release: str | None, *, any_model: bool) -> str:
    """The release's own runs; all runs of the model where there are only values; all runs of a claim."""
    run = values.values.get("queries", {}).get("runId") or release or "*"
    return "*/*/*" if any_model else f"*/{values.name}/{run}"


def claim_alone(claim: str | None, purpose: str) -> dict[str, Any]:
    """Values of the chart for one claim alone: only this claim is known to exist."""
    if claim is None:
        return {}
    others = sorted({"input", "output", "logs"} - {purpose})
    return {f"storage.{other}.enabled": False for other in others} | {
        f"storage.{purpose}.existingClaim": claim
    }


async def _ended(kubectl: Kubectl, values: ModelValues, release: str | None, *, any_model: bool) -> bool:
    """Whether all query Jobs that write the fetched runs have ended."""
    from grace_client.kube import job_end

    mine = f",app.kubernetes.io/instance={release}" if release else f",grace/model={values.name}"
    selector = "app.kubernetes.io/name=grace,app.kubernetes.io/component in (query,server)"
    jobs = await kubectl.get("jobs", selector=selector + ("" if any_model else mine))
    return all(job_end.end(job) for job in jobs)


def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Run something that cleans up when Ctrl-C or another signal cancels it."""

    async def main() -> T:
        task = asyncio.current_task()
        assert task
        on_stop(task.cancel)
        return await work

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        say("Stopped. Repeat the command to continue")
        raise typer.Exit(ExitCode.UNREACHABLE) from None


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[TransferProgress], object]]:
    """A bar on a terminal, a line every few seconds elsewhere, nothing if quiet."""
    from rich import progress as rich_progress
    from rich.console import Console

    last = time.monotonic()

    def line(state: TransferProgress) -> None:
        nonlocal last
        if time.monotonic() - last >= PLAIN_SECONDS:
            last = time.monotonic()
            amounts = f"{_size(state.bytes)} of {_size(state.of_bytes)}"
            say(f"fetching: {state.files} of {state.of_files} files, {amounts}")

    if quiet or not sys.stderr.isatty():
        yield (lambda _: None) if quiet else line
        return
    columns = (
        rich_progress.TextColumn("fetching {task.fields[files]} files"),
        rich_progress.BarColumn(),
        rich_progress.DownloadColumn(),
        rich_progress.TransferSpeedColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, files="")
        yield lambda state: bar.update(
            task, total=state.of_bytes, completed=state.bytes, files=f"{state.files} of {state.of_files}"
        )


def _size(amount: int) -> str:
    from rich.filesize import decimal

    return decimal(amount)


def _print_runs(runs: list[RemoteRun], *, json: bool) -> None:
    if json:
        print_json([asdict(run) for run in runs])
        return
    for run in runs:
        state = "complete" if run.complete else "incomplete: it is running, or it was interrupted"
        typer.echo(f"{run.path}  {run.files} files, {_size(run.bytes)}, {state}")
    if not runs:
        typer.echo("no runs")


def _print_fetched(found: Fetched, to: Path, *, json: bool) -> None:
    if json:
        folders = {name: list(map(str, getattr(found, name))) for name in ("verified", "partial", "stale")}
        print_json({"to": str(to), **asdict(found), **folders})
        return
    for folder in found.verified:
        typer.echo(f"{folder}  complete, tables and ledger as in the manifest")
    for folder in found.partial:
        typer.echo(f"{folder}  incomplete. 'grace export {folder}' writes tables of its answers so far")
    if found.stale:
        say(
            f"An older run of the same name left these files: {', '.join(map(str, found.stale))}. Delete "
            "them: 'grace verify' and 'grace export' would count them as a part of the run"
        )
    say(
        f"{found.files} files, {_size(found.bytes)}. {found.unchanged} were here before, "
        f"{_size(found.received)} received"
    )
