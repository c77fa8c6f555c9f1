"""The options that set single values of the chart. They work like helm's own."""

from __future__ import annotations

from typing import Annotated

import typer

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "--sets",
        metavar="KEY=VALUE",
        help="Set a value of the chart, as helm's --set does, such as queries.maxFailed=0.05. For an "
        "installed release, repeat the --set options of its installation.",
        show_default=False,
    ),
]
SetString = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="Like --set, but the value stays text even if it looks like a number.",
        show_default=False,
    ),
]
SetFile = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=FILE", help="Like --set, but the value is the content of a file.", show_default=False
    ),
]
