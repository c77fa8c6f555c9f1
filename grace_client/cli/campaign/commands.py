"""The commands of `grace campaign`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grace_client.cli._output import Json, print_json, say
from grace_client.cli.campaign._options import CampaignOptions, names, with_campaign_options
from grace_client.cli.fetch import Context, Kubeconfig, Namespace
from grace_client.core.errors import ExitCode, SpecError

if TYPE_CHECKING:
    from grace_client.campaign.records import Campaign
    from grace_client.campaign.session import Terminal
    from grace_client.kube.kubectl import Kubectl

app = typer.Typer(
    help="Run complete studies on one model after another. At the end grace frees the GPUs, also after an "
    "error.",
    no_args_is_help=True,
)

STUDY = "gemma-2b,gemma-9b,gemma-27b,llama-70b,gpt-oss-20b,gpt-oss-120b"
"""The six models of the studies."""

OUT = Path("campaign")
Out = Annotated[Path, typer.Option(help="Folder of the campaign, if it is on this machine.")]


@app.command()
@with_campaign_options
def plan(
    options: CampaignOptions,
    utilisation: Annotated[
        float,
        typer.Option(
            help="Assumption: share of the GPUs' published peak performance that a server reaches, 0 to 1."
        ),
    ] = 0.3,
    characters_per_token: Annotated[
        float, typer.Option(help="Assumption: average number of characters in a token.", min=0.1)
    ] = 4.0,
    json: Json = False,
) -> None:
    """Estimate the GPU-hours of a campaign. Nothing is installed.

    Exit code 2 if the estimate is over the budget or breaks a rule of the cluster.
    """
    from grace_client.campaign.estimate import BUDGET_HOURS, MODEL_HOURS, Assumptions, check_budget
    from grace_client.campaign.plan import plan as make_plan
    from grace_client.cli.campaign.plan import show
    from grace_client.cli.campaign.workload import loads

    budget = BUDGET_HOURS if options.budget_hours is None else options.budget_hours
    check_budget(budget, over_budget=options.over_budget)
    spec = options.spec(options.models or STUDY)
    assumptions = Assumptions(utilisation=utilisation, characters_per_token=characters_per_token)
    hours = MODEL_HOURS if options.model_hours is None else options.model_hours
    found = asyncio.run(make_plan(spec, loads, assumptions, model_hours=hours, budget_hours=budget))
    if json:
        print_json(found.to_json())
    else:
        show(found)
    if found.refused or not found.fits:
        raise typer.Exit(ExitCode.BAD_INPUT)


@app.command()
@with_campaign_options
def run(
    command: typer.Context,
    options: CampaignOptions,
    out: Annotated[Path, typer.Option(help="Folder for results, values files and campaign.json.")] = OUT,
    fallback: Annotated[
        str | None,
        typer.Option(
            help="Other kinds of GPU to try if none are free, in this order, such as rtx-3090,l40.",
            show_default=False,
        ),
    ] = None,
    queue_minutes: Annotated[
        float | None,
        typer.Option(
            help="How many minutes to wait for free GPUs before --fallback applies. Default: 120.",
            min=0,
            show_default=False,
        ),
    ] = None,
    fetch: Annotated[
        bool | None,
        typer.Option(
            "--fetch/--no-fetch", help="Fetch the results (the default), or leave them on the cluster."
        ),
    ] = None,
    install_minutes: Annotated[
        float, typer.Option(help="Maximum time for a helm install, in minutes.", min=0.05)
    ] = 10.0,
    poll: Annotated[
        float, typer.Option(help="Pause between two looks at the cluster, in seconds.", min=0.2)
    ] = 5.0,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Continue the campaign of another process. Use it only if that process has ended.",
        ),
    ] = False,
    local: Annotated[bool, typer.Option("--local", help="Run on this machine, without a cluster.")] = False,
    vllm: Annotated[
        str | None,
        typer.Option(
            help="With --local: start a vLLM server for each model with this command, such as 'vllm serve'.",
            show_default=False,
        ),
    ] = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    json: Json = False,
) -> None:
    """Run a campaign: install each model, ask it, fetch its results, uninstall it.

    To continue a campaign, give the same command again, or leave out --models. grace then continues the
    campaign that the cluster has stored for the namespace; if there is none, the one in the folder --out.
    It does not ask answered questions again.
    """
    if local:
        from grace_client.cli.campaign import local as campaign_local

        campaign_local.refuse(command)
        campaign_local.run(options, out, vllm, json=json)
        return
    if vllm:
        raise SpecError("--vllm needs --local: on a cluster, the chart starts the server. Add --local")
    from grace_client.campaign.estimate import check_budget
    from grace_client.campaign.session import Options
    from grace_client.campaign.session import run as run_campaign
    from grace_client.cli.campaign.workload import loads

    if options.budget_hours is not None:
        check_budget(options.budget_hours, over_budget=options.over_budget)
    spec = options.spec(options.models, fallback or "") if options.models else None
    limits_only = CampaignOptions(
        models=options.models,
        budget_hours=options.budget_hours,
        over_budget=options.over_budget,
        model_hours=options.model_hours,
    )
    if not spec and options != limits_only:
        raise SpecError(
            "--gpu, --registry, --study, --trials, --experiments, --sample, --ways, --set and "
            "--values-folder need --models. Add --models to begin a new campaign, or leave them out to "
            "continue the one that is running"
        )
    limits = {
        "budget_hours": options.budget_hours,
        "model_hours": options.model_hours,
        "queue_minutes": queue_minutes,
        "fallbacks": None if fallback is None else tuple(names(fallback)),
        "fetch": fetch,
    }
    settings = Options(
        spec=spec,
        limits={name: value for name, value in limits.items() if value is not None},
        out=out,
        poll=poll,
        install_seconds=60 * install_minutes,
        take_over=take_over,
        over_budget=options.over_budget,
    )
    kubectl = _kubectl(kubeconfig, context, namespace)
    ended = asyncio.run(run_campaign(kubectl, settings, _terminal(quiet=json), loads))
    _report(ended, out, json=json)
    _exit(ended)


def _kubectl(kubeconfig: Path | None, context: str | None, namespace: str | None) -> Kubectl:
    from grace_client.kube.kubectl import Kubectl

    return Kubectl(kubeconfig=kubeconfig, context=context, namespace=namespace)


def _terminal(*, quiet: bool) -> Terminal:
    from functools import partial

    from grace_client.campaign.session import Terminal
    from grace_client.cli._signals import on_stop
    from grace_client.cli.campaign.view import showing

    return Terminal(say, partial(showing, quiet=quiet), on_stop)


def _report(campaign: Campaign, out: Path, *, json: bool, **more: Any) -> None:
    """Print the report of a campaign. `more` adds keys to the JSON; for people, their values are lines."""
    from datetime import UTC, datetime

    from grace_client.campaign.session import resume_command
    from grace_client.campaign.status import lines, to_json

    now, again = datetime.now(UTC), resume_command(campaign, out)
    if json:
        print_json(more | to_json(campaign, now, again))
    else:
        for line in (*lines(campaign, now, again), *(line for part in more.values() for line in part)):
            typer.echo(line)


def _exit(campaign: Campaign) -> None:
    from grace_client.campaign.records import Phase

    if any(model.phase is Phase.FAILED for model in campaign.models):
        raise typer.Exit(ExitCode.ITEMS_FAILED)
    if campaign.stopping:
        raise typer.Exit(ExitCode.UNREACHABLE)


@app.command()
def status(
    out: Out = OUT,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    json: Json = False,
) -> None:
    """Show the progress of a campaign. This works on any machine that can reach the cluster."""
    from grace_client.campaign.session import look

    found, lines = asyncio.run(look(_kubectl(kubeconfig, context, namespace), out))
    _report(found, out, json=json, troubles=lines)


@app.command()
def stop(
    out: Out = OUT,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    json: Json = False,
) -> None:
    """Stop the running campaign and free its GPUs. Weights and results stay on their claims.

    If a process runs the campaign, grace asks that process to stop. Otherwise this command frees the GPUs.
    """
    from grace_client.campaign.session import stop as stop_campaign

    kubectl = _kubectl(kubeconfig, context, namespace)
    ended = asyncio.run(stop_campaign(kubectl, out, _terminal(quiet=json)))
    if ended is None:
        say("grace: No campaign is running in this namespace")
        if json:
            print_json({"stopped": None})
        return
    if json:
        _report(ended, out, json=True, stopped=ended.name)
    else:
        say(f"Campaign {ended.name} is stopped. It uses no GPU")
