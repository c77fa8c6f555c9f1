"""`grace campaign run --local`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import typer

from grace_client import studies
from grace_client.cli.output import print_json, say
from grace_client.cli.signals import on_stop
from grace_client.cluster.local import Ended, Local, Model
from grace_client.cluster.records import Phase
from grace_client.cluster.values import models as known_models
from grace_client.cluster.values import values_folder
from grace_client.errors import ExitCode, SpecError

EMBEDDED = "embedded"
"""Names the model that comes with grace."""
AGAIN = "the same command goes on; what was answered is not asked again"


def run(
    names: str | None,
    out: Path,
    experiments: list[str],
    sample: int,
    vllm: str | None,
    folder: Path | None,
    *,
    json: bool,
) -> None:
    """Run models on this machine, one after another, and report."""
    models = _models([name.strip() for name in (names or EMBEDDED).split(",") if name.strip()], folder)
    wanted = experiments or list(studies.ALL)
    for name in wanted:
        studies.experiment(name)
    ended = asyncio.run(_run(Local(out, wanted, sample=sample, vllm=vllm or "", say=say), models))
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


def _models(names: list[str], folder: Path | None) -> list[Model]:
    """Models of the values folder, the embedded one, and Hugging Face ids or folders as they are."""
    known = known_models(folder or values_folder())
    found = []
    for name in names:
        if name == EMBEDDED:
            found.append(Model(EMBEDDED))
        elif name in known:
            own = known[name].model
            found.append(Model(name, own.repository, own.revision, own.dtype, own.max_model_len))
        elif "/" in name:
            found.append(Model(Path(name).name, name))
        else:
            raise SpecError(
                f"there is no model {name}; there are {EMBEDDED}, {', '.join(known)}, and ids A/B"
            )
    if len({model.name for model in found}) < len(found):
        raise SpecError("a campaign has each model once")
    return found


def _as_json(one: Ended) -> dict[str, object]:
    return {
        "model": one.model,
        "state": str(one.phase),
        "results": [str(path) for path in one.results],
        "reason": one.reason,
        "next": one.next,
    }


async def _run(local: Local, models: list[Model]) -> list[Ended]:
    def stop() -> None:
        local.stop()
        say("stopping: the model that runs writes the answers in flight")

    on_stop(stop)
    return await local.run(models, AGAIN)
