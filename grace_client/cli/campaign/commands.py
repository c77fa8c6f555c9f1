"""`grace campaign`: one model after another, and the results at home."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grace_client.cli._chart_options import Set, SetFile, SetString
from grace_client.cli._output import print_json, say
from grace_client.cli.fetch import AsJson, Context, Kubeconfig, Namespace
from grace_client.core.errors import ExitCode, SpecError

if TYPE_CHECKING:
    from grace_client.campaign.records import Campaign, What
    from grace_client.kube.helm import Assignments
    from grace_client.kube.kubectl import Kubectl

app = typer.Typer(
    help="Run whole studies on one model after another, and free the GPUs whatever happens.",
    no_args_is_help=True,
)

STUDY = "gemma-2b,gemma-9b,gemma-27b,llama-70b,gpt-oss-20b,gpt-oss-120b"
"""The six models of the studies."""

Models = Annotated[
    str | None, typer.Option(help="Short names of models, with commas between.", show_default=False)
]
Gpu = Annotated[str, typer.Option(help="Overlay for all models, such as rtx-3090 (values/gpus).")]
BudgetHours = Annotated[
    float | None, typer.Option(help="GPU-hours for the whole campaign. Default: 216.", show_default=False)
]
ModelHours = Annotated[
    float | None,
    typer.Option(help="Hours for which one model may hold GPUs. Default: 24.", min=0, show_default=False),
]
OverBudget = Annotated[
    bool, typer.Option("--over-budget", help="Mean a budget above 250, or a plan above it.")
]
Registry = Annotated[str, typer.Option(help="Where the client image lies (queries.image.registry).")]
Experiments = Annotated[str, typer.Option(help="Only these experiments, with commas between.")]
Sample = Annotated[int, typer.Option(help="Ask only so many trials of each list; 0 for all.", min=0)]
ValuesFolder = Annotated[
    Path | None,
    typer.Option(help="Folder of models' values files. Default: grace's own.", show_default=False),
]
OUT = Path("campaign")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _what(
    models: str,
    gpu: str,
    fallback: str,
    assignments: Assignments,
    registry: str,
    experiments: str,
    sample: int,
    folder: Path | None,
) -> What:
    from grace_client.campaign import settings
    from grace_client.deploy.values import chart_folder, read_values, values_folder

    known = read_values(chart_folder() / "values.yaml")["queries"]["experiments"]
    wanted = _names(experiments)
    if strange := [name for name in wanted if name not in known]:
        raise SpecError(f"there is no experiment {', '.join(strange)}; there are {', '.join(known)}")
    given: dict[str, Any] = {}
    if registry:
        given["queries.image.registry"] = registry
    for name in known if wanted else ():
        given[f"queries.experiments.{name}.enabled"] = name in wanted
    for name in known if sample else ():
        given[f"queries.experiments.{name}.sample"] = sample
    return settings.describe(
        _names(models),
        folder=folder or values_folder(),
        gpu=gpu,
        fallbacks=_names(fallback),
        sets=given,
        assignments=assignments,
    )


@app.command()
def plan(
    models: Models = STUDY,
    gpu: Gpu = "",
    budget_hours: BudgetHours = None,
    over_budget: OverBudget = False,
    registry: Registry = "",
    experiments: Experiments = "",
    sample: Sample = 0,
    sets: Set = None,
    set_string: SetString = None,
    set_file: SetFile = None,
    values_folder: ValuesFolder = None,
    utilisation: Annotated[
        float, typer.Option(help="Share of the GPUs' published peaks that a server reaches.")
    ] = 0.3,
    characters_per_token: Annotated[float, typer.Option(help="Of prompts.", min=0.1)] = 4.0,
    model_hours: ModelHours = None,
    json: AsJson = False,
) -> None:
    """Say what a campaign would cost, without touching anything.

    Exit code 2 where it does not fit the budget, or a rule of the cluster is broken.
    """
    from grace_client.campaign.estimate import BUDGET_HOURS, MODEL_HOURS, Assumptions, check_budget
    from grace_client.campaign.plan import plan as make_plan
    from grace_client.cli.campaign.plan import show
    from grace_client.cli.workload import loads

    budget = BUDGET_HOURS if budget_hours is None else budget_hours
    check_budget(budget, over_budget=over_budget)
    assignments = Assignments.of(sets, set_string, set_file)
    what = _what(models or STUDY, gpu, "", assignments, registry, experiments, sample, values_folder)
    assumptions = Assumptions(utilisation=utilisation, characters_per_token=characters_per_token)
    day = MODEL_HOURS if model_hours is None else model_hours
    found = asyncio.run(make_plan(what, loads, assumptions, model_hours=day, budget_hours=budget))
    if json:
        print_json(found.to_json())
    else:
        show(found)
    if found.refused or not found.fits:
        raise typer.Exit(ExitCode.BAD_INPUT)


@app.command()
def run(
    command: typer.Context,
    models: Models = None,
    out: Annotated[Path, typer.Option(help="Folder for results, values files and campaign.json.")] = OUT,
    gpu: Gpu = "",
    fallback: Annotated[
        str | None,
        typer.Option(help="Overlays to try where no GPUs come, such as rtx-3090,l40.", show_default=False),
    ] = None,
    queue_minutes: Annotated[
        float | None,
        typer.Option(help="Minutes to wait for GPUs before that. Default: 120.", min=0, show_default=False),
    ] = None,
    budget_hours: BudgetHours = None,
    over_budget: OverBudget = False,
    model_hours: ModelHours = None,
    registry: Registry = "",
    experiments: Experiments = "",
    sample: Sample = 0,
    sets: Set = None,
    set_string: SetString = None,
    set_file: SetFile = None,
    values_folder: ValuesFolder = None,
    fetch: Annotated[
        bool | None,
        typer.Option("--fetch/--no-fetch", help="Bring results home (default), or leave them on the claim."),
    ] = None,
    install_minutes: Annotated[
        float, typer.Option(help="Minutes that an install may take.", min=0.05)
    ] = 10.0,
    poll: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.2)] = 5.0,
    take_over: Annotated[bool, typer.Option("--take-over", help="The process that had it is dead.")] = False,
    local: Annotated[bool, typer.Option("--local", help="On this machine, without a cluster.")] = False,
    vllm: Annotated[
        str | None,
        typer.Option(
            help="With --local: start this vLLM for each model, such as 'vllm serve'.", show_default=False
        ),
    ] = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    json: AsJson = False,
) -> None:
    """Install, ask, fetch and uninstall one model after another; the same command goes on after any end.

    Without --models the campaign that is under way in the namespace, or that of --out, goes on. What was
    answered is not asked again.
    """
    if local:
        from grace_client.cli.campaign import local as campaign_local

        campaign_local.refuse(command)
        campaign_local.run(models, out, _names(experiments), sample, vllm, values_folder, json=json)
        return
    if vllm:
        raise SpecError("--vllm is for --local; on the cluster the chart decides the server")
    from grace_client.campaign.estimate import check_budget
    from grace_client.cli.campaign import cluster

    if budget_hours is not None:
        check_budget(budget_hours, over_budget=over_budget)
    what = None
    if models:
        assignments = Assignments.of(sets, set_string, set_file)
        what = _what(models, gpu, fallback or "", assignments, registry, experiments, sample, values_folder)
    elif gpu or registry or experiments or sample or sets or set_string or set_file or values_folder:
        raise SpecError(
            "what a campaign runs is decided when it begins: name its --models too, or none of it"
        )
    given = {
        "budget_hours": budget_hours,
        "model_hours": model_hours,
        "queue_minutes": queue_minutes,
        "fallbacks": None if fallback is None else tuple(_names(fallback)),
        "fetch": fetch,
    }
    asked = cluster.Asked(
        what=what,
        limits={name: value for name, value in given.items() if value is not None},
        out=out,
        poll=poll,
        install_seconds=60 * install_minutes,
        take_over=take_over,
        over_budget=over_budget,
    )
    ended = asyncio.run(cluster.conduct(_kubectl(kubeconfig, context, namespace), asked, quiet=json))
    _report(ended, out, json=json)


def _kubectl(kubeconfig: Path | None, context: str | None, namespace: str | None) -> Kubectl:
    from grace_client.kube.kubectl import Kubectl

    return Kubectl(kubeconfig=kubeconfig, context=context, namespace=namespace)


def _report(campaign: Campaign, out: Path, *, json: bool, troubles: list[str] | None = None) -> None:
    from datetime import UTC, datetime

    from grace_client.campaign.records import Phase
    from grace_client.campaign.status import lines, to_json
    from grace_client.cli.campaign.cluster import resume

    now, again = datetime.now(UTC), resume(campaign, out)
    if json:
        print_json(to_json(campaign, now, again) | ({"troubles": troubles} if troubles is not None else {}))
    else:
        for line in (*lines(campaign, now, again), *(troubles or ())):
            typer.echo(line)
    if troubles is not None:
        return
    if any(model.phase is Phase.FAILED for model in campaign.models):
        raise typer.Exit(ExitCode.ITEMS_FAILED)
    if campaign.stopping:
        raise typer.Exit(ExitCode.UNREACHABLE)


@app.command()
def status(
    out: Annotated[Path, typer.Option(help="The campaign's folder, where it is on this machine.")] = OUT,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    json: AsJson = False,
) -> None:
    """Say how far a campaign is, from the cluster and from its file, on any machine."""
    from grace_client.cli.campaign import cluster

    found, told = asyncio.run(cluster.look(_kubectl(kubeconfig, context, namespace), out))
    _report(found, out, json=json, troubles=told)


@app.command()
def stop(
    out: Annotated[Path, typer.Option(help="The campaign's folder, where it is on this machine.")] = OUT,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    json: AsJson = False,
) -> None:
    """End the campaign that is under way: its GPUs are freed, its claims stay.

    The process that conducts it is asked to; where there is none, it is done here.
    """
    from grace_client.cli.campaign import cluster

    ended = asyncio.run(cluster.end(_kubectl(kubeconfig, context, namespace), out, quiet=json))
    if ended is None:
        say("grace: no campaign is under way in this namespace")
        if json:
            print_json({"stopped": None})
        return
    if json:
        from datetime import UTC, datetime

        from grace_client.campaign.status import to_json
        from grace_client.cli.campaign.cluster import resume

        again = resume(ended, out)
        print_json({"stopped": ended.name} | to_json(ended, datetime.now(UTC), again))
    else:
        say(f"campaign {ended.name} is stopped, and holds no GPU")
