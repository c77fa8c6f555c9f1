"""`grace extract`: read free text as structured answers, code by hand, and measure agreement."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from grace_client.cli._output import Json, print_json, progress, say
from grace_client.core.errors import SpecError

if TYPE_CHECKING:
    from grace_client.extraction.answers import Answer, Place
    from grace_client.extraction.endpoint import Endpoint
    from grace_client.extraction.reading import Reading
    from grace_client.run.folder import RunFolder

Run = Annotated[Path, typer.Argument(help="A run folder of a free-text experiment.")]


class RunFirst(TyperGroup):
    """Reads `grace extract RUN` as `grace extract answers RUN`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the command `answers` if the user gave no command."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["answers", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=RunFirst,
    help="Extract values from the free-text answers of a run. 'grace extract RUN' is short for 'grace "
    "extract answers RUN'.",
    no_args_is_help=True,
)


@app.command()
def answers(
    run: Run,
    llm: Annotated[
        bool, typer.Option("--llm", help="Let an LLM read the answers that the rules cannot read.")
    ] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="With --llm: estimate the cost, and send nothing.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="With --llm: let the LLM read every answer, not only unclear ones.")
    ] = False,
    llm_url: Annotated[
        str | None,
        typer.Option(help="Any OpenAI-compatible endpoint. Default: DeepSeek's API.", show_default=False),
    ] = None,
    llm_model: Annotated[
        str | None,
        typer.Option(help="The model's name at that endpoint. Default: deepseek-flash.", show_default=False),
    ] = None,
    llm_key_env: Annotated[
        str | None,
        typer.Option(
            help="Environment variable that contains the endpoint's API key. Default: DEEPSEEK_API_KEY for "
            "DeepSeek, no key for other endpoints.",
            show_default=False,
        ),
    ] = None,
    llm_concurrency: Annotated[
        int, typer.Option(help="How many requests to send at the same time.", min=1)
    ] = 8,
    price_in: Annotated[
        float | None,
        typer.Option(
            help="Price of a million prompt tokens. With both prices, grace prints the cost.",
            min=0,
            show_default=False,
        ),
    ] = None,
    price_out: Annotated[
        float | None,
        typer.Option(help="Price of a million answer tokens.", min=0, show_default=False),
    ] = None,
    human: Annotated[
        list[Path] | None,
        typer.Option(
            help="A filled coding sheet. Its values replace those of the rules and the LLM.",
            show_default=False,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    json: Json = False,
) -> None:
    """Extract values from the free-text answers of a run, and write its structured table.

    The output shows how many answers have a clear value.
    """
    from grace_client.extraction import answers as extracted
    from grace_client.run.folder import RunFolder
    from grace_client.run.manifest import Extraction

    if not llm and (estimate or every or llm_url or llm_model or llm_key_env):
        raise SpecError("--estimate, --all, --llm-url, --llm-model and --llm-key-env need --llm. Add --llm")
    folder = RunFolder.open(run)
    read = extracted.by_rules(folder)
    used = None
    prices = (price_in, price_out)
    if llm:
        endpoint = _endpoint(llm_url, llm_model, llm_key_env, needs_key=not estimate)
        if estimate:
            _estimate(folder, read, endpoint, every, prices, json)
            return
        with folder.locked():
            read, used = _ask(folder, read, endpoint, every, llm_concurrency, prices, quiet)
    sheets = {}
    for path in human or ():
        coded, checksum = _sheet(path, read)
        read, sheets[path.name] = extracted.replaced(read, coded), checksum
    record = Extraction(questions=extracted.summary(read), llm=used, human=sheets)
    file = extracted.write(folder, read, record)
    if json:
        print_json({"run": str(run), **record.model_dump(), "file": str(file)})
        return
    for question, figures in record.questions.items():
        _print_question(question, figures)
    typer.echo(f"  {file}")


@app.command()
def sample(
    run: Run,
    out: Annotated[Path, typer.Option(help="CSV file to write.")],
    n: Annotated[int, typer.Option("--n", help="How many answers to draw at random.", min=1)] = 100,
    seed: Annotated[int, typer.Option(help="Random seed. The same seed draws the same answers.")] = 0,
    json: Json = False,
) -> None:
    """Write a coding sheet: random answers, with an empty column in which a person writes their values."""
    from grace_client.extraction import answers as extracted
    from grace_client.extraction import sheet
    from grace_client.extraction.reading import UNPARSED, Values
    from grace_client.run.folder import RunFolder

    folder = RunFolder.open(run)
    drawn = sheet.draw(extracted.by_rules(folder), n, seed=seed)
    sheet.write(out, drawn)
    kinds = {answer.item.question.name: answer.kind for answer in drawn}
    names = sorted(kinds, key=list(folder.experiment.kinds).index)
    allowed = {name: [*Values.of(kinds[name]).words, UNPARSED] for name in names}
    if json:
        print_json({"file": str(out), "answers": len(drawn), "values": allowed})
        return
    typer.echo(f"{out}: {len(drawn)} answers. Fill the column 'human' with one of these values:")
    for question, values in allowed.items():
        typer.echo(f"  {question}: {', '.join(values)}")
    typer.echo(f"Then run: grace extract agree {run} {out}")


@app.command()
def agree(
    run: Run,
    sheets: Annotated[list[Path] | None, typer.Argument(help="Filled coding sheets.")] = None,
    json: Json = False,
) -> None:
    """Measure how well rules, LLM and hand coding agree.

    The output is the share of equal values and Cohen's κ, each with its 95% interval.
    """
    from grace_client.extraction import answers as extracted
    from grace_client.extraction import sheet
    from grace_client.run.folder import RunFolder

    folder = RunFolder.open(run)
    read = extracted.by_rules(folder)
    others: dict[str, dict[Place, Reading]] = {}
    if folder.manifest.extraction and folder.manifest.extraction.llm:
        from grace_client.extraction import llm

        others["llm"] = llm.kept(folder, read, folder.manifest.extraction.llm)
    for path in sheets or ():
        name = "human" if len(sheets or ()) == 1 else path.stem
        if name in others:
            raise SpecError(f"{path}: another reader is called {name!r} too. Rename the file")
        others[name] = sheet.read(path, read)
    if not any(others.values()):
        raise SpecError(
            f"{run} has no second reading to compare with the rules. Fill a coding sheet ('grace extract "
            f"sample {run} --out sheet.csv'), or let an LLM read the answers ('grace extract {run} --llm')"
        )
    found = sheet.agreement(read, others)
    rows: list[Any] = found.astype(object).where(found.notna(), None).to_dict("records")
    if json:
        print_json(rows)
        return
    pair = None
    for row in rows:
        if pair != (pair := (row["first"], row["second"])):
            typer.echo(" and ".join(pair))
        typer.echo(
            f"  {row['question']:10} {row['category']:10} n {row['n']:>5}  agreement "
            f"{_interval(row, 'agreement')}  κ {_interval(row, 'kappa')}"
        )


def _endpoint(url: str | None, model: str | None, key_env: str | None, *, needs_key: bool) -> Endpoint:
    from grace_client.extraction.endpoint import Endpoint

    return Endpoint.of(url, model, key_env, needs_key=needs_key)


def _estimate(
    folder: RunFolder,
    read: list[Answer],
    endpoint: Endpoint,
    every: bool,
    prices: tuple[float | None, float | None],
    json: bool,
) -> None:
    from grace_client.extraction import llm

    found = llm.estimate(folder, read, endpoint, every=every, prices=prices)
    if json:
        print_json(found)
        return
    typer.echo(
        f"{endpoint.url}, {endpoint.model}: {found['texts']} different answers to read, "
        f"{found['known']} others were read before\n  about {found['prompt_tokens']} prompt tokens, at most "
        f"{found['completion_tokens_most']} answer tokens{_cost(found['cost_most'], 'at most ')}\n"
        "  Nothing was sent"
    )


def _ask(
    folder: RunFolder,
    read: list[Answer],
    endpoint: Endpoint,
    every: bool,
    concurrency: int,
    prices: tuple[float | None, float | None],
    quiet: bool,
) -> tuple[list[Answer], Any]:
    import asyncio

    from grace_client.extraction import answers as extracted
    from grace_client.extraction import llm

    with progress("llm", quiet=quiet) as show:
        readings, used, spent = asyncio.run(
            llm.read(
                folder,
                read,
                endpoint,
                every=every,
                concurrency=concurrency,
                on_progress=show,
                say=(lambda _: None) if quiet else say,
            )
        )
    if not quiet:
        cost = llm.cost(spent.prompt_tokens, spent.completion_tokens, prices)
        say(
            f"{endpoint.model}: {spent.texts} answers sent, {spent.failed} without a valid reading, "
            f"{spent.prompt_tokens} prompt and {spent.completion_tokens} answer tokens{_cost(cost)}"
        )
    return extracted.replaced(read, readings), used


def _sheet(path: Path, read: list[Answer]) -> tuple[dict[Place, Reading], str]:
    import hashlib

    from grace_client.extraction import sheet

    return sheet.read(path, read), hashlib.sha256(path.read_bytes()).hexdigest()


def _cost(cost: float | None, most: str = "") -> str:
    return "" if cost is None else f", {most}{cost:.4f} in the currency of the prices"


def _interval(row: dict[str, Any], name: str) -> str:
    if row[name] is None:
        return "undefined"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]")


def _print_question(question: str, figures: dict[str, Any]) -> None:
    verdict = {
        "ok": "",
        "below target": ", below the target of 95%",
        "review": ", below 90%: check the unread answers by hand",
    }
    typer.echo(
        f"{question}: {figures['read']} of {figures['answers']} answers read ({figures['coverage']:.1%}"
        f"{verdict[figures['verdict']]})"
    )
    for name in ("categories", "values", "methods"):
        counts = ", ".join(f"{key} {count}" for key, count in figures[name].items())
        typer.echo(f"  {name}: {counts}")
