"""`grace campaign run --local`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from grace_client.campaign.records import Phase
from grace_client.cli._engine_options import EMBEDDED
from grace_client.cli._output import print_json, say
from grace_client.cli._signals import on_stop
from grace_client.cli.campaign import _study
from grace_client.cli.campaign._options import CampaignOptions, names
from grace_client.core import paths
from grace_client.core.errors import ExitCode, SpecError
from grace_client.deploy.values import effective, values_folder
from grace_client.deploy.values import models as known_models
from grace_client.local.runner import AllValues, Ended, Local
from grace_client.local.server import unlisted

LOCAL_PARAMETERS = frozenset(
    {"models", "out", "study", "trials", "experiments", "sample", "ways", "values_folder"}
    | {"local", "vllm", "json"}
)
"""Parameters of `grace campaign run` that work without a cluster."""
AGAIN = "Repeat the command. Answered questions are not asked again"


def run(options: CampaignOptions, out: Path, vllm: str | None, *, json: bool) -> None:
    """Run models on this machine, one after another, and report."""
    study = _study.read(options.study)
    sets = _study.values(study, options.trials or ())
    wanted = _study.experiments(study, names(options.experiments), ())
    experiments = [name for name, asked in wanted.items() if asked]
    models = _models(names(options.models or EMBEDDED), options.values_folder, sets)
    paths.check_folder(out)
    ways = dict.fromkeys(_study.in_ways(study, experiments, options.ways), options.ways)
    local = Local(out, experiments, sample=options.sample, ways=ways, vllm=vllm or "", say=say)
    ended = asyncio.run(_run(local, models))
    if json:
        print_json({"models": [_as_json(one) for one in ended]})
    else:
        for one in ended:
            typer.echo(f"{one.model}: {one.phase}")
            for line in filter(None, (one.reason, one.next and f"next: {one.next}", *map(str, one.results))):
                typer.echo(f"  {line}")
    if any(one.phase is Phase.FAILED for one in ended):
        raise typer.Exit(ExitCode.ITEMS_FAILED)
    if any(one.phase is Phase.PLANNED for one in ended):
        raise typer.Exit(ExitCode.UNREACHABLE)


def refuse(command: typer.Context) -> None:
    """Refuse options that need a cluster if the user gave them with --local.

    Parameters
    ----------
    command : typer.Context
        The context of `grace campaign run`.

    Raises
    ------
    SpecError
        If there are such options; the message names them.
    """
    given = [
        parameter.opts[0]
        for parameter in command.command.params
        if parameter.name not in LOCAL_PARAMETERS
        and parameter.name in command.params
        and _was_given(command, str(parameter.name))
    ]
    if given:
        raise SpecError(
            f"{', '.join(given)}: this option needs a cluster and does not work with --local. Leave it out. "
            "To change a model's values, use --values-folder"
        )


def _was_given(command: typer.Context, parameter: str) -> bool:
    source = command.get_parameter_source(parameter)
    return source is not None and not source.name.startswith("DEFAULT")


def _models(names: list[str], folder: Path | None, sets: Mapping[str, Any] | None = None) -> list[AllValues]:
    """The values of each model: a listed one, the embedded one, a Hugging Face id or a folder.

    `sets` are single values over them, as for `effective`.
    """
    sets = sets or {}
    listed = known_models(folder or values_folder())
    found: list[AllValues] = []
    for name in names:
        if name == EMBEDDED:
            found.append(unlisted(EMBEDDED, sets=sets))
        elif name in listed:
            found.append(effective(listed[name], sets))
        elif "/" in name and Path(name).name.strip("."):
            short = paths.file_name(Path(name).name)
            if same := [one["model"]["repository"] for one in found if one["model"]["name"] == short]:
                raise SpecError(
                    f"{same[0]} and {name} have the same name in the results folder: {short}. Run one of "
                    "them in another campaign, with another --out"
                )
            found.append(unlisted(short, name, sets=sets))
        else:
            raise SpecError(
                f"--models: there is no model {name}. Models: {EMBEDDED}, {', '.join(listed)}, or a Hugging "
                "Face id such as google/gemma-2-2b-it"
            )
    if len({one["model"]["name"] for one in found}) < len(found):
        raise SpecError(f"--models {','.join(names)} names a model twice. Name each model once")
    return found


def _as_json(one: Ended) -> dict[str, object]:
    return {
        "model": one.model,
        "state": str(one.phase),
        "results": [str(path) for path in one.results],
        "reason": one.reason,
        "next": one.next,
    }


async def _run(local: Local, models: list[AllValues]) -> list[Ended]:
    def stop() -> None:
        local.stop()
        say("Stopping: grace waits for the questions in flight")

    on_stop(stop)
    return await local.run(models, AGAIN)
