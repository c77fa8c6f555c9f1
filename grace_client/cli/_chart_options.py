"""The options that assign single values of the chart, as helm's own do."""

from __future__ import annotations

from typing import Annotated

import typer

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "--sets",
        metavar="KEY=VALUE",
        help="Set a value of the chart, as helm's --set does, such as queries.maxFailed=0.05.",
        show_default=False,
    ),
]
SetString = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="The same, and the value is text even if it looks like a number.",
        show_default=False,
    ),
]
SetFile = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=FILE", help="The same, and the value is the text of a file.", show_default=False
    ),
]
