"""The table of `grace campaign plan`."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from grace_client.campaign.plan import Plan

WIDTH = 120
"""Width of the table in characters. A narrower terminal wraps its lines; that is better than cut names."""


def show(plan: Plan) -> None:
    """Print the table and the remarks of a plan."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("model", "GPUs", "kind"):
        table.add_column(name)
    for name in ("GiB each", "weights GiB", "questions", "download h", "load h", "query h", "GPU-hours"):
        table.add_column(name, justify="right")
    for model in plan.models:
        e = model.estimate
        hours = (f"{x:.2f}" for x in (e.download_hours, e.load_hours, e.query_hours))
        cells = (f"{e.memory_gib:g}", f"{e.weights_gib:g}", f"{e.questions:,}", *hours, f"{e.gpu_hours:.1f}")
        table.add_row(e.model, str(e.gpus), e.gpu, *cells)
    console = Console(highlight=False)
    console.width = max(console.width, WIDTH)
    console.print(table)
    for line in plan.lines():
        typer.echo(line)
    for finding, models in plan.findings().items():
        typer.echo(f"{finding} [{', '.join(models)}]")
