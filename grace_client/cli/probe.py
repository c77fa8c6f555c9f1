"""`grace noise` and `grace probe`: check how exact an engine's answers are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grace_client.cli._engine_options import (
    ApiKeyFile,
    Choice,
    Declare,
    Device,
    Dtype,
    Model,
    Prune,
    Server,
    WaitForServer,
)
from grace_client.cli._output import Json, print_json, probability, progress, say

if TYPE_CHECKING:
    from grace_client.core.scoring import Scores
    from grace_client.run.manifest import NoiseFloor

Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def noise(
    run: Annotated[Path, typer.Argument(help="A run folder of a scored experiment.")],
    questions: Annotated[int, typer.Option(help="How many questions to draw.", min=1)] = 50,
    repeats: Annotated[
        int, typer.Option(help="How many times to score each of these questions again.", min=1)
    ] = 5,
    seed: Annotated[int, typer.Option(help="Random seed of the sample and of the orders.")] = 0,
    model: Model = None,
    dtype: Dtype = "auto",
    device: Device = None,
    server: Server = None,
    api_key_file: ApiKeyFile = None,
    wait_for_server: WaitForServer = 0.0,
    prune: Prune = None,
    declare: Declare = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure the noise floor of a run: how much the scores of the same question vary.

    grace scores a random sample of the run's questions again, in other orders and in batches of other sizes,
    and writes the result to the run's manifest. Give the same options of model, hardware and server as
    for the run. Do not interpret differences between conditions that are not larger than this noise floor.
    """
    from grace_client.engines.chat.template import TemplateSettings
    from grace_client.run import noise as noises
    from grace_client.run import tables
    from grace_client.run.folder import RunFolder

    folder = RunFolder.open(run)
    tables.check_record(folder)
    settings = TemplateSettings.of_run(folder.manifest.spec.reasoning, folder.manifest.spec.engine)
    chosen = Choice(model, dtype, device, server, api_key_file, wait_for_server, prune, declare, settings)

    async def work() -> NoiseFloor:
        engine = await chosen.connect((lambda _: None) if quiet else say)
        try:
            with progress("noise", quiet=quiet) as show:
                return await noises.measure(
                    folder, engine, questions=questions, repeats=repeats, seed=seed, on_progress=show
                )
        finally:
            await engine.close()

    with folder.locked():
        floor = asyncio.run(work())
        noises.record(folder, floor)
    if json:
        print_json({"run": str(run), **floor.model_dump()})
        return
    left_out = f" ({floor.failed} others failed in a repeat and do not count)" if floor.failed else ""
    typer.echo(
        f"{run}: {floor.questions} questions scored again {floor.repeats} times{left_out}, "
        f"with {', '.join(map(str, floor.loads))} questions at once"
    )
    for unit, spread in (("nats", floor.nats), ("percentage points", floor.points)):
        typer.echo(
            f"  {unit}: standard deviation {spread.sd:.2g}; largest difference per question: "
            f"median {spread.median:.2g}, 95% below {spread.p95:.2g}, maximum {spread.max:.2g}"
        )


def probe(
    server: Annotated[str, typer.Option(help="A vLLM server, such as http://localhost:8000.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="The model's name on the server. Needed if the server has several.", show_default=False
        ),
    ] = None,
    api_key_file: ApiKeyFile = None,
    wait_for_server: WaitForServer = 0.0,
    json: Json = False,
) -> None:
    """Check a server and ask it one scored question.

    Exit code 0 if the server returns exact probabilities.
    """
    from dataclasses import replace

    from grace_client import studies
    from grace_client.run.answering import Asker
    from grace_client.studies import lists

    chosen = Choice(model=model, server=server, api_key_file=api_key_file, wait_minutes=wait_for_server)
    experiment = studies.experiment("study2-exp2")
    trial = lists.default(experiment.study).trials[0]
    question = next(iter(experiment.questions(trial)))
    prompt, options = replace(question.prompt, direct=True), question.options
    assert options is not None
    names = options.names

    async def work() -> tuple[str, Scores]:
        engine = await chosen.connect(say)
        try:
            info = await engine.describe()
            return info.model, (await Asker(engine, info).scores(prompt, options)).scores
        finally:
            await engine.close()

    served, scores = asyncio.run(work())
    normalised, mass = scores.normalised.tolist(), scores.mass
    if json:
        found = {"server": server, "model": served, "question": question.prompt.text, "option_mass": mass}
        print_json(found | {"prob_norm": dict(zip(names, normalised, strict=True))})
        return
    typer.echo(question.prompt.text)
    for name, share in zip(names, normalised, strict=True):
        typer.echo(f"  {name:16} {probability(share)}")
    typer.echo(f"{served} returns exact probabilities. Option mass: {probability(mass)}")
