"""`grace fetch` and `grace upload`: download runs from a cluster, and upload lists and studies to it."""

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
from grace_client.cli._output import PLAIN_SECONDS, Json, print_json, say
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
"""Seconds between two fetches of `--watch`."""
ANY_MODEL = {"model": {"name": "any", "repository": "any/any", "weightsGiB": 1}}
"""Values for the chart's transfer Job if the user names only a claim: the chart needs some model."""

Release = Annotated[
    str | None,
    typer.Argument(help="Name of an installed release ('helm list' lists them).", show_default=False),
]
Values = Annotated[
    list[Path] | None,
    typer.Option(
        "--values",
        "-f",
        help="If the release is not installed any more: the values files with which it was installed.",
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        help="Kubernetes namespace. Default: the one of the kubeconfig's context.",
        show_default=False,
    ),
]
Context = Annotated[
    str | None,
    typer.Option(help="Context in the kubeconfig. Default: the current one.", show_default=False),
]
Kubeconfig = Annotated[
    Path | None,
    typer.Option(help="Kubeconfig file. Default: the file that kubectl uses.", show_default=False),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def fetch(
    release: Release = None,
    values: Values = None,
    claim: Annotated[
        str | None,
        typer.Option(
            help="Instead of a release: name of the output claim (the PVC with the results), with the runs "
            "of all models.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        Path, typer.Option(help="Local folder for the runs. Each run becomes EXPERIMENT/MODEL/RUN in it.")
    ] = Path("results"),
    runs: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Fetch only these runs: EXPERIMENT/MODEL/RUN, where * is any text, such as */gemma-9b/*. "
            "Default: all runs of the release.",
            show_default=False,
        ),
    ] = None,
    sets: Set = None,
    set_string: SetString = None,
    set_file: SetFile = None,
    listing: Annotated[bool, typer.Option("--list", help="Only list the runs on the claim.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help=f"Fetch again every {WATCH_S} s until the query Jobs have ended.")
    ] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Download runs from the cluster and verify them.

    Files that are already here are not downloaded again, unless they are corrupted. You can stop the command
    at any time and repeat it. At its end it deletes its own download Job, but no query Job.
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
                # Check this before the fetch, so that the last files of the Jobs are fetched too.
                ended = not watch or await _ended(kubectl, chosen, release, any_model=claim is not None)
                if not ended and not await claims.runs(pattern):
                    await asyncio.sleep(WATCH_S)
                    continue
                with _progress(quiet=quiet or json) as show:
                    found = await claims.fetch(pattern, to, on_progress=show)
                if ended:
                    return found
                if not quiet:
                    counts = f"{len(found.verified)} runs are complete, {len(found.partial)} are incomplete"
                    say(f"{counts}. Next fetch in {WATCH_S} s")
                await asyncio.sleep(WATCH_S)

    found = _interruptible(work())
    if isinstance(found, list):
        _print_runs(found, json=json)
    else:
        _print_fetched(found, to, json=json)


def upload(
    files: Annotated[
        list[Path],
        typer.Argument(help="Trial lists and study files to upload.", exists=True, dir_okay=False),
    ],
    release: Annotated[
        str | None,
        typer.Option(help="Name of an installed release ('helm list' lists them).", show_default=False),
    ] = None,
    values: Values = None,
    claim: Annotated[
        str | None, typer.Option(help="Instead of a release: name of the input claim.", show_default=False)
    ] = None,
    folder: Annotated[
        str, typer.Option(help="Folder on the claim. Default: its top folder.", show_default=False)
    ] = "",
    sets: Set = None,
    set_string: SetString = None,
    set_file: SetFile = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    json: Json = False,
) -> None:
    """Upload trial lists and study files to the input claim, a PVC of the cluster.

    Name them in the chart's values queries.trials.fromInput and queries.studyFromInput.
    """
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
    from grace_client import studies

    for file, name in zip(files, names, strict=True):
        key = "studyFromInput" if studies.is_file(name) else "trials.fromInput.STUDY"
        typer.echo(f"{file} is on the claim. To use it, install the release with --set queries.{key}={name}")


async def _values(
    kubectl: Kubectl, release: str | None, files: list[Path] | None, claim: str | None
) -> ModelValues:
    from grace_client.deploy.values import ModelValues, model_values

    if sum(given is not None for given in (release, files, claim)) != 1:
        raise SpecError(
            "Give exactly one of these: the name of a release ('helm list' lists them), --values FILE, or "
            "--claim NAME ('kubectl get pvc' lists claims)"
        )
    if files:
        return model_values(*files)
    if release:
        from grace_client.deploy.release import installed_values

        return await installed_values(kubectl, release)
    return ModelValues.model_validate(ANY_MODEL).model_copy(update={"values": ANY_MODEL})


def _pattern(values: ModelValues, release: str | None, *, any_model: bool) -> str:
    """The default of ``--runs``: the release's own runs; without a release, the model's; for a claim, all."""
    run = values.values.get("queries", {}).get("runId") or release or "*"
    return "*/*/*" if any_model else f"*/{values.name}/{run}"


def claim_alone(claim: str | None, purpose: str) -> dict[str, Any]:
    """Values of the chart for ``--claim``: only this claim is sure to exist."""
    if claim is None:
        return {}
    others = sorted({"input", "output", "logs"} - {purpose})
    return {f"storage.{other}.enabled": False for other in others} | {
        f"storage.{purpose}.existingClaim": claim
    }


async def _ended(kubectl: Kubectl, values: ModelValues, release: str | None, *, any_model: bool) -> bool:
    """Whether all query Jobs that write the fetched runs have ended."""
    from grace_client.kube import job_end

    owner = f",app.kubernetes.io/instance={release}" if release else f",grace/model={values.name}"
    selector = "app.kubernetes.io/name=grace,app.kubernetes.io/component in (query,server)"
    jobs = await kubectl.get("jobs", selector=selector + ("" if any_model else owner))
    return all(job_end.end(job) for job in jobs)


def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine. Ctrl-C or another stop signal cancels it, so that it can clean up."""

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
    """Show progress: a bar on a terminal, else a line every few seconds; nothing if quiet."""
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
        state = "complete" if run.complete else "incomplete (it is still running, or it was interrupted)"
        typer.echo(f"{run.path}  {run.files} files, {_size(run.bytes)}, {state}")
    if not runs:
        typer.echo("There are no runs")


def _print_fetched(found: Fetched, to: Path, *, json: bool) -> None:
    if json:
        folders = {name: list(map(str, getattr(found, name))) for name in ("verified", "partial", "stale")}
        print_json({"to": str(to), **asdict(found), **folders})
        return
    for folder in found.verified:
        typer.echo(f"{folder}  complete; tables and record are correct")
    for folder in found.partial:
        typer.echo(f"{folder}  incomplete. 'grace export {folder}' writes tables of the answers so far")
    if found.stale:
        say(
            f"These files belong to an older run with the same name: {', '.join(map(str, found.stale))}. "
            "Delete them. Otherwise 'grace verify' and 'grace export' count them as part of the run"
        )
    say(
        f"{found.files} files, {_size(found.bytes)}. {found.unchanged} of them were here already; "
        f"{_size(found.received)} were downloaded"
    )
