"""`grace run`: ask a model a whole experiment, and write its tables."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grace_client.cli._engine_options import (
    ASKING,
    FREE_TEXT,
    OUTPUT,
    ApiKeyFile,
    Choice,
    Declare,
    Device,
    Dtype,
    Model,
    PromptDate,
    Prune,
    Reasoning,
    ReasoningEffort,
    Server,
    WaitForServer,
)
from grace_client.cli._output import print_json, progress, say
from grace_client.cli._signals import on_stop
from grace_client.core import paths
from grace_client.core.errors import ExitCode, RecordError, ServerError, SpecError

if TYPE_CHECKING:
    from grace_client.core.trials import TrialList
    from grace_client.engines.base import Engine
    from grace_client.engines.chat.template import TemplateSettings
    from grace_client.run.folder import RunFolder


def _experiments(incomplete: str) -> list[str]:
    """Names that a shell completes."""
    from grace_client import studies

    return [name for name in (*studies.EXPERIMENTS, "all") if name.startswith(incomplete)]


def run(
    experiment: Annotated[
        str,
        typer.Argument(
            help="study1-exp1, study1-exp2, study2-exp1, … or all.",
            autocompletion=_experiments,
        ),
    ],
    trials: Annotated[
        list[Path] | None,
        typer.Option(
            help="Trial list; with all, one for each study. Default: grace's own.",
            show_default=False,
            rich_help_panel=ASKING,
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            help="Ask this many trials, drawn at random.", min=1, show_default=False, rich_help_panel=ASKING
        ),
    ] = None,
    model: Model = None,
    dtype: Dtype = "auto",
    device: Device = None,
    server: Server = None,
    api_key_file: ApiKeyFile = None,
    wait_for_server: WaitForServer = 0.0,
    prune: Prune = None,
    declare: Declare = None,
    replicates: Annotated[
        int, typer.Option(help="Answers to each question.", min=1, rich_help_panel=FREE_TEXT)
    ] = 5,
    temperature: Annotated[
        float, typer.Option(help="Sampling temperature.", min=0.0, rich_help_panel=FREE_TEXT)
    ] = 0.7,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            help="Longest answer in tokens, reasoning included. Default: 64, or 2048 for a model that "
            "reasons.",
            min=1,
            show_default=False,
            rich_help_panel=FREE_TEXT,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Number from which every seed is made.", rich_help_panel=FREE_TEXT)
    ] = 0,
    share_answers: Annotated[
        bool,
        typer.Option(
            "--share-answers",
            help="Ask equal questions once, and give their trials the same answers.",
            rich_help_panel=FREE_TEXT,
        ),
    ] = False,
    reasoning: Reasoning = None,
    reasoning_effort: ReasoningEffort = None,
    prompt_date: PromptDate = "2026-01-01",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run folder; with all, the folder of all runs. Default: runs/MODEL-EXPERIMENT.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    max_failed: Annotated[
        float,
        typer.Option(
            help="End with exit code 1 if a larger share of the questions failed.",
            min=0,
            max=1,
            rich_help_panel=OUTPUT,
        ),
    ] = 0.01,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print no progress.", rich_help_panel=OUTPUT)
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """Ask a model a whole experiment, and write its tables.

    Example: grace run study1-exp2 --model google/gemma-2-2b-it --out runs/gemma-2b

    You can stop it at any moment. The same command continues the run.
    """
    from grace_client import studies
    from grace_client.engines.chat.template import TemplateSettings

    names = studies.ALL if experiment == "all" else (experiment,)
    experiments = [studies.experiment(name) for name in names]
    settings = TemplateSettings.of(reasoning, reasoning_effort, prompt_date)
    chosen = Choice(
        model, dtype, device, server, api_key_file, wait_for_server, prune, declare or [], settings
    )
    lists = _lists(trials or [], {e.schema.study for e in experiments})
    if out is not None:
        # Before a model is loaded or a server is waited for.
        paths.check_folder(out)
    sampling = {
        "temperature": temperature,
        "replicates": replicates,
        "base_seed": seed,
        "share_answers": share_answers,
    } | ({} if max_tokens is None else {"max_tokens": max_tokens})

    async def work() -> tuple[list[dict[str, Any]], bool]:
        stop = _stop_on_signals()
        results: list[dict[str, Any]] = []
        engine = await _unless(stop, chosen.connect((lambda _: None) if quiet else say))
        if engine is None:
            return results, True
        try:
            for name in names:
                if stop.is_set():
                    break
                results.append(
                    await _one(engine, name, lists, out, sample, sampling, settings, stop, quiet, json)
                )
        finally:
            await engine.close()
        return results, stop.is_set()

    results, stopped = asyncio.run(work())
    if json:
        print_json(results if experiment == "all" else next(iter(results), {}))
    if stopped:
        raise typer.Exit(ExitCode.UNREACHABLE)
    if any(result["failed"] > max_failed * result["distinct"] for result in results):
        say(f"grace: more than {max_failed:.1%} of the questions failed; 'grace status' lists the reasons")
        raise typer.Exit(ExitCode.ITEMS_FAILED)


async def _one(
    engine: Engine,
    name: str,
    lists: dict[str, TrialList],
    out: Path | None,
    sample: int | None,
    sampling: dict[str, Any],
    settings: TemplateSettings,
    stop: asyncio.Event,
    quiet: bool,
    json: bool,
) -> dict[str, Any]:
    """Run one experiment and write its tables."""
    from grace_client import studies
    from grace_client.cli.summary import print_summary
    from grace_client.run import folder as folders
    from grace_client.run import runner

    experiment = studies.experiment(name)
    info = await engine.describe()
    path = out or _default_folder(info.model, name)
    if out is not None and len(lists) > 1:
        path = out / name
    folder = folders.RunFolder.create(
        path,
        experiment,
        lists[experiment.schema.study],
        info,
        sample=sample,
        sampling=folders.sampling_of(experiment, info, settings.reasoning, sampling),
        reasoning=settings.reasoning,
    )
    state = folder.progress()
    if not quiet:
        say(
            f"{name} ({experiment.title}): {len(folder.plan.trials)} trials, {len(folder.plan.items)} "
            f"questions, {len(folder.plan.distinct)} distinct, {state.total - state.done} to ask"
        )
    with folder.locked():
        try:
            with progress(name, quiet=quiet) as show:
                state = await runner.run(folder, engine, on_progress=show, stop=stop)
        except ServerError:
            say(f"what was answered is kept; tables so far: {_tables(folder)[0]}")
            raise
        except OSError:
            say(f"what was answered is kept in {path}; the same command goes on from there")
            raise
    if stop.is_set() and state.done < state.total:
        say(
            f"stopped with {state.done} of {state.total} answers in {path}; "
            "the same command goes on from there"
        )
    folder = folder.read_again()
    files = _tables(folder)
    if not json:
        print_summary(folder, files)
    return _result(folder, files, state.failed)


def _tables(folder: RunFolder) -> list[Path]:
    """Write the tables; where a record that was damaged is not whole again, those that there are stay."""
    from grace_client.run import tables

    try:
        return tables.export(folder)
    except RecordError as error:
        say(f"grace: {error}")
        return [folder.path / name for name in folder.manifest.results["tables"]]


def _default_folder(model: str, experiment: str) -> Path:
    """Where a run is without --out; one that was begun under the model's name as it is stays there."""
    before = Path("runs", f"{model.rsplit('/', 1)[-1]}-{experiment}")
    # Unlike Path.is_dir, this takes a name that is too long for one of no folder.
    there = os.path.isdir(before)  # noqa: PTH112
    return before if there else Path("runs", f"{paths.file_name(model)}-{experiment}")


def _result(folder: RunFolder, files: list[Path], failed: int) -> dict[str, Any]:
    return {
        "run": str(folder.path),
        "experiment": folder.experiment.name,
        "model": folder.manifest.model,
        "failed": failed,
        **folder.manifest.results,
        "files": [str(file) for file in files],
    }


def _lists(paths: list[Path], needed: set[str]) -> dict[str, TrialList]:
    """Trial lists by study; those that were not given are grace's own."""
    from grace_client import stimuli, studies

    lists: dict[str, TrialList] = {}
    for path in paths:
        trials = studies.read_trials(path)
        study = trials.schema.study
        if study in lists:
            raise SpecError(f"two trial lists of {study}: {lists[study].path} and {path}; give one")
        if study not in needed:
            wanted = " and ".join(sorted(needed))
            raise SpecError(f"{path} is a {study} list, and the experiment needs {wanted}")
        lists[study] = trials
        for note in trials.notes:
            say(f"{path}: note: {note}")
    for study in needed - lists.keys():
        lists[study] = stimuli.default(study)
    return lists


async def _unless(stop: asyncio.Event, connecting: Coroutine[Any, Any, Engine]) -> Engine | None:
    """The engine, or None where a stop came first: a server may take hours to answer."""
    stopped, engine = asyncio.create_task(stop.wait()), asyncio.create_task(connecting)
    await asyncio.wait({stopped, engine}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if engine.done():
        return engine.result()
    engine.cancel()
    with suppress(asyncio.CancelledError):
        await engine
    return None


def _stop_on_signals() -> asyncio.Event:
    """An event that a signal to end sets; a second one ends the process at once."""
    stop = asyncio.Event()

    def asked() -> None:
        if stop.is_set():
            # Nothing to save: the ledger has every answer that came. Only the cursor may be hidden.
            sys.stderr.write("\x1b[?25h" if sys.stderr.isatty() else "")
            os._exit(ExitCode.UNREACHABLE)
        stop.set()
        say("stopping: answers in flight are still written (once more ends at once)")

    on_stop(asked)
    return stop
