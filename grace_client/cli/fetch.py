"""`grace fetch` and `grace upload`: bring results home from a cluster, and take trial lists there."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
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
    from grace_client.transfer.download import Progress
    from grace_client.transfer.runs import RemoteRun

T = TypeVar("T")

WATCH_S = 30
"""Seconds between two looks of `--watch`."""
SEEN_S = 0.1
"""Seconds between two changes of a bar."""
ANY_MODEL = {"model": {"name": "any", "repository": "any/any", "weightsGiB": 1}}
"""A model that the chart takes where only its Job for files is rendered."""

Release = Annotated[
    str | None,
    typer.Argument(help="A release that is installed; its values say the rest.", show_default=False),
]
Values = Annotated[
    list[Path] | None,
    typer.Option("--values", "-f", help="Values files of a release that is not installed any more."),
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Default: the context's own.", show_default=False)
]
Context = Annotated[str | None, typer.Option(help="Context of the kubeconfig.", show_default=False)]
Kubeconfig = Annotated[Path | None, typer.Option(help="Default: what kubectl finds.", show_default=False)]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def fetch(
    release: Release = None,
    values: Values = None,
    claim: Annotated[
        str | None,
        typer.Option(
            help="The output claim, where there are no values; takes every model's runs.", show_default=False
        ),
    ] = None,
    to: Annotated[Path, typer.Option(help="Folder for EXPERIMENT/MODEL/RUN.")] = Path("results"),
    runs: Annotated[
        str | None,
        typer.Option(
            metavar="E/M/R",
            help="Experiment/model/run with wildcards. Default: all of the release or the model.",
            show_default=False,
        ),
    ] = None,
    sets: Set = None,
    set_string: SetString = None,
    set_file: SetFile = None,
    listing: Annotated[bool, typer.Option("--list", help="Only tell what is there.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Fetch again and again until the query Jobs have ended.")
    ] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Bring runs home from the cluster, whole and verified; what is here already is not sent again.

    Stop it at any moment; the same command goes on where it was. Nothing is left on the cluster.
    """
    from grace_client.deploy.values import assigned
    from grace_client.kube.helm import Assignments
    from grace_client.kube.kubectl import Kubectl
    from grace_client.transfer.claims import Results, checked_pattern

    assignments = Assignments.of(sets, set_string, set_file)

    async def work() -> list[RemoteRun] | Fetched:
        kubectl = Kubectl(kubeconfig=kubeconfig, context=context, namespace=namespace)
        chosen = assigned(await _values(kubectl, release, values, claim), {}, assignments)
        pattern = checked_pattern(runs or _pattern(chosen, release, any_model=claim is not None))
        async with Results.open(kubectl, chosen, sets=claim_alone(claim, "output")) as results:
            if listing:
                return await results.runs(pattern)
            while True:
                # Asked before, so that what the last Job wrote is fetched once more.
                ended = not watch or await _ended(kubectl, chosen, release, any_model=claim is not None)
                if not ended and not await results.runs(pattern):
                    await asyncio.sleep(WATCH_S)
                    continue
                with _progress("fetching", quiet=quiet or json) as show:
                    found = await results.fetch(pattern, to, on_progress=show)
                if ended:
                    return found
                if not quiet:
                    counts = f"{len(found.verified)} runs complete, {len(found.partial)} going on"
                    say(f"{counts}; again in {WATCH_S} s")
                await asyncio.sleep(WATCH_S)

    found = _interruptible(work())
    if isinstance(found, list):
        _tell_runs(found, json=json)
    else:
        _tell_fetched(found, to, json=json)


def upload(
    files: Annotated[list[Path], typer.Argument(help="Trial lists.", exists=True, dir_okay=False)],
    release: Annotated[
        str | None, typer.Option(help="A release that is installed.", show_default=False)
    ] = None,
    values: Values = None,
    claim: Annotated[
        str | None, typer.Option(help="The input claim, where there are no values.", show_default=False)
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
    """Take trial lists to the input claim, where queries.trials.fromInput finds them."""
    from grace_client.deploy.values import assigned
    from grace_client.kube.helm import Assignments
    from grace_client.kube.kubectl import Kubectl
    from grace_client.transfer.claims import Results, on_the_claim

    assignments = Assignments.of(sets, set_string, set_file)
    on_the_claim(files, folder)

    async def work() -> list[str]:
        kubectl = Kubectl(kubeconfig=kubeconfig, context=context, namespace=namespace)
        chosen = assigned(await _values(kubectl, release, values, claim), {}, assignments)
        async with Results.open(kubectl, chosen, sets=claim_alone(claim, "input")) as results:
            return await results.upload(files, folder)

    names = _interruptible(work())
    if json:
        print_json({"files": names})
        return
    for file, name in zip(files, names, strict=True):
        typer.echo(
            f"{file} is on the claim; a release takes it with --set queries.trials.fromInput.study1={name}"
        )


async def _values(
    kubectl: Kubectl, release: str | None, files: list[Path] | None, claim: str | None
) -> ModelValues:
    from grace_client.deploy.values import ModelValues, model_values

    if sum(given is not None for given in (release, files, claim)) != 1:
        raise SpecError(
            "name either a release, or --values of one, or a --claim; 'kubectl get pvc' lists claims"
        )
    if files:
        return model_values(*files)
    if release:
        from grace_client.deploy.release import installed_values

        return await installed_values(kubectl, release)
    return ModelValues.model_validate(ANY_MODEL).model_copy(update={"values": ANY_MODEL})


def _pattern(values: ModelValues, release: str | None, *, any_model: bool) -> str:
    """Which runs are meant: of a release its own, of a model all, of a claim everybody's."""
    run = values.values.get("queries", {}).get("runId") or release or "*"
    return "*/*/*" if any_model else f"*/{values.name}/{run}"


def claim_alone(claim: str | None, purpose: str) -> dict[str, Any]:
    """Values of the chart for one claim alone: of the others it is not known whether they exist."""
    if claim is None:
        return {}
    others = sorted({"input", "output", "logs"} - {purpose})
    return {f"storage.{other}.enabled": False for other in others} | {
        f"storage.{purpose}.existingClaim": claim
    }


async def _ended(kubectl: Kubectl, values: ModelValues, release: str | None, *, any_model: bool) -> bool:
    """Whether no query Job is at work on what is fetched."""
    from grace_client.kube import job_end

    mine = f",app.kubernetes.io/instance={release}" if release else f",grace/model={values.name}"
    selector = "app.kubernetes.io/name=grace,app.kubernetes.io/component in (query,server)"
    jobs = await kubectl.get("jobs", selector=selector + ("" if any_model else mine))
    return all(job_end.end(job) for job in jobs)


def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Run something that clears up after itself when it is told to stop, by Ctrl-C or otherwise."""

    async def main() -> T:
        task = asyncio.current_task()
        assert task
        on_stop(task.cancel)
        return await work

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        say("stopped; the same command goes on here")
        raise typer.Exit(ExitCode.UNREACHABLE) from None


@contextmanager
def _progress(label: str, *, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, a line every few seconds elsewhere, nothing if quiet."""
    if quiet:
        yield lambda _: None
        return
    if not sys.stderr.isatty():
        yield _lines(label)
        return
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.DownloadColumn(),
        rich_progress.TransferSpeedColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task, last = bar.add_task(label, total=None), 0.0

        def show(state: Progress) -> None:
            nonlocal last
            # Of very many small files nobody sees each.
            if time.monotonic() - last < SEEN_S and state.files < state.of_files:
                return
            last = time.monotonic()
            bar.update(
                task,
                total=state.of_bytes,
                completed=state.bytes,
                description=f"{label} {state.files} of {state.of_files} files",
            )

        yield show


def _lines(label: str) -> Callable[[Progress], None]:
    last = time.monotonic()

    def show(state: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= PLAIN_SECONDS:
            last = time.monotonic()
            amounts = f"{size(state.bytes)} of {size(state.of_bytes)}"
            say(f"{label}: {state.files} of {state.of_files} files, {amounts}")

    return show


def size(amount: float) -> str:
    """Such as ``2.1 GB`` or ``17 kB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.3g} {unit}" if unit != "bytes" else f"{amount} bytes"
        amount /= 1000
    raise AssertionError


def _tell_runs(runs: list[RemoteRun], *, json: bool) -> None:
    if json:
        print_json([{name: getattr(run, name) for name in run.__slots__} for run in runs])
        return
    for run in runs:
        state = "complete" if run.complete else "going on or broken off"
        typer.echo(f"{run.path}  {run.files} files, {size(run.bytes)}, {state}")
    if not runs:
        typer.echo("no runs")


def _tell_fetched(found: Fetched, to: Path, *, json: bool) -> None:
    if json:
        print_json(
            {
                "to": str(to),
                "files": found.files,
                "unchanged": found.unchanged,
                "bytes": found.bytes,
                "received": found.received,
                "verified": [str(folder) for folder in found.verified],
                "partial": [str(folder) for folder in found.partial],
                "stale": [str(file) for file in found.stale],
            }
        )
        return
    for folder in found.verified:
        typer.echo(f"{folder}  complete, tables and ledger as in the manifest")
    for folder in found.partial:
        typer.echo(f"{folder}  partial; 'grace export {folder}' makes tables of what is there")
    if found.stale:
        say(
            "of an older run of the same name, and not on the claim any more: "
            f"{', '.join(map(str, found.stale))}. Delete them: 'grace verify' and 'grace export' would take "
            "them for a part of the run"
        )
    say(
        f"{found.files} files, {size(found.bytes)}; {found.unchanged} were here already, "
        f"{size(found.received)} came over the connection"
    )
