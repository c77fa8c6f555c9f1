"""`grace models`: the models that have values, and the one that comes with grace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grace_client.cli._engine_options import EMBEDDED
from grace_client.cli._output import Json, print_json

if TYPE_CHECKING:
    from grace_client.deploy.values import ModelValues


def models(
    values_folder: Annotated[
        Path | None,
        typer.Option(help="Folder with the models' values files. Default: grace's own.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """List the models that campaigns and the chart know, and the small one that comes with grace.

    `grace run --model` takes any other Hugging Face id too.
    """
    from grace_client.deploy.values import models as known_models
    from grace_client.deploy.values import values_folder as own_folder
    from grace_client.engines.local import default_model

    rows: list[dict[str, Any]] = [
        {
            "model": EMBEDDED,
            "repository": default_model.PACKAGE,
            "parameters": default_model.PARAMETERS,
            "weights_gib": None,
            "gated": False,
            "gpus": 0,
            "gpu_memory_gib": None,
            "gpu_products": [],
        }
    ]
    rows += [_row(one) for one in known_models(values_folder or own_folder()).values()]
    if json:
        print_json(rows)
        return
    widths = [max(len(str(row[key])) for row in rows) for key in ("model", "repository")]
    for row in rows:
        name, source = str(row["model"]), str(row["repository"])
        typer.echo(f"{name:<{widths[0]}}  {source:<{widths[1]}}  {_needs(row)}")
    typer.echo("\nAny other Hugging Face id: grace run EXPERIMENT --model ID")


def _row(one: ModelValues) -> dict[str, Any]:
    return {
        "model": one.name,
        "repository": one.model.repository,
        "parameters": None,
        "weights_gib": one.model.weights_gib,
        "gated": one.model.gated,
        "gpus": one.gpu.count,
        "gpu_memory_gib": one.gpu.memory_gib,
        "gpu_products": list(one.gpu.products),
    }


def _needs(row: dict[str, Any]) -> str:
    """What a model needs, such as ``1 GPU of 80 GiB, 17.3 GiB of weights, gated``."""
    if row["gpus"] == 0:
        gpus = "no GPU"
    else:
        gpus = f"{row['gpus']} GPU{'s' * (row['gpus'] > 1)} of {row['gpu_memory_gib']:g} GiB"
    parts = [gpus]
    if row["weights_gib"]:
        parts.append(f"{row['weights_gib']:g} GiB of weights")
    if row["parameters"]:
        parts.append(f"{row['parameters'] / 1e6:.0f} million parameters")
    return ", ".join([*parts, *(["gated"] if row["gated"] else [])])
