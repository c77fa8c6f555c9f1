"""`grace run`: ask a model all questions of an experiment, and write the tables."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grace_client.cli import _planned
from grace_client.cli._engine_options import (
    ASKING,
    FREE_TEXT,
    OUTPUT,
    ApiKeyFile,
    Choice,
    Declare,
    Device,
    Dtype,
    Greedy,
    Model,
    PromptDate,
    Prune,
    Reasoning,
    ReasoningEffort,
    Server,
    WaitForServer,
)
from grace_client.cli._output import print_json, progress, say
from grace_client.cli._signals import stop_event, unless
from grace_client.core import paths
from grace_client.core.errors import ExitCode, RecordError, ServerError, SpecError

if TYPE_CHECKING:
    from grace_client.core.trials import TrialList
    from grace_client.engines.base import Engine
    from grace_client.engines.chat.template import TemplateSettings
    from grace_client.run.folder import RunFolder
    from grace_client.studies.declaration import Experiment, Study
    from grace_client.studies.ways import Way


def _experiments(incomplete: str) -> list[str]:
    """Experiment names that begin with `incomplete`, for the completion of the shell."""
    from grace_client import studies

    return [name for name in (*studies.experiments(), "all") if name.startswith(incomplete)]


def run(
    experiment: Annotated[
        str,
        typer.Argument(
            help="Name of an experiment, such as study1-exp2; one of a study file, FILE.yaml:EXPERIMENT; or "
            "'all' for study1-exp1, study1-exp2, study2-exp1 and study2-exp2.",
            autocompletion=_experiments,
        ),
    ],
    trials: Annotated[
        list[Path] | None,
        typer.Option(
            help="Trial list (CSV, .xlsx or Parquet). With 'all', give the option once for each study. "
            "Default: the study's own list.",
            show_default=False,
            rich_help_panel=ASKING,
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            help="Ask only this many trials, drawn at random. Default: all trials.",
            min=1,
            show_default=False,
            rich_help_panel=ASKING,
        ),
    ] = None,
    ways: Annotated[
        str | None,
        typer.Option(
            help="Ask in several of the ways that the study file declares: one-by-one, full, latin or "
            "random-20; 'full:order,cue' varies only these. Default: one way.",
            show_default=False,
            rich_help_panel=ASKING,
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
        int | None,
        typer.Option(
            help="How many answers to draw for each question. Default: the study's number, else 5.",
            min=1,
            show_default=False,
            rich_help_panel=FREE_TEXT,
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Sampling temperature. 0 always takes the likeliest token. Default: the study's, else 0.7.",
            min=0.0,
            show_default=False,
            rich_help_panel=FREE_TEXT,
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            help="Maximum length of an answer in tokens, reasoning included. Default: 64, or 2048 if the "
            "model reasons.",
            min=1,
            show_default=False,
            rich_help_panel=FREE_TEXT,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            help="Number from which grace computes the seed of each answer. The trials that --sample draws "
            "do not depend on it.",
            rich_help_panel=FREE_TEXT,
        ),
    ] = 0,
    share_answers: Annotated[
        bool,
        typer.Option(
            "--share-answers",
            help="Ask each distinct question once, and give its answers to all its trials. Default: each "
            "trial gets its own answers.",
            rich_help_panel=FREE_TEXT,
        ),
    ] = False,
    reasoning: Reasoning = None,
    reasoning_effort: ReasoningEffort = None,
    prompt_date: PromptDate = "2026-01-01",
    greedy: Greedy = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run folder. With 'all', the folder for all runs. Default: runs/MODEL-EXPERIMENT.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    max_failed: Annotated[
        float,
        typer.Option(
            help="Exit code 1 if more than this share of the questions failed.",
            min=0,
            max=1,
            rich_help_panel=OUTPUT,
        ),
    ] = 0.01,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.", rich_help_panel=OUTPUT)] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """Ask a model all questions of an experiment, and write the tables.

    Example: grace run study1-exp2 --model google/gemma-2-2b-it --out runs/gemma-2b

    You can stop it at any time. The same command continues the run.
    """
    from grace_client import studies
    from grace_client.engines.chat.template import TemplateSettings

    names = studies.ALL if experiment == "all" else (experiment,)
    experiments = [studies.experiment(name) for name in names]
    if greedy and not any(one.scored for one in experiments):
        raise SpecError(f"--greedy: {experiment} draws free text and scores nothing. Leave --greedy out")
    settings = TemplateSettings.of(reasoning, reasoning_effort, prompt_date)
    chosen = Choice(
        model, dtype, device, server, api_key_file, wait_for_server, prune, declare or [], settings
    )
    # Check this before grace loads a model or waits for a server.
    designs = {one.name: one.design(ways) if ways else () for one in experiments}
    lists = _lists(trials or [], {e.study.name: e.study for e in experiments})
    for one in experiments:
        _planned.refuse(one, lists[one.schema.study], out)
    if out is not None:
        paths.check_folder(out)
    drawn = {"temperature": temperature, "replicates": replicates, "max_tokens": max_tokens}
    sampling = {"base_seed": seed, "share_answers": share_answers} | {
        name: value for name, value in drawn.items() if value is not None
    }

    async def work() -> tuple[list[dict[str, Any]], bool]:
        stop = stop_event()
        results: list[dict[str, Any]] = []
        engine = await unless(stop, chosen.connect((lambda _: None) if quiet else say))
        if engine is None:
            return results, True
        try:
            for one in experiments:
                if stop.is_set():
                    break
                design = designs[one.name]
                results.append(
                    await _one(
                        engine, one, lists, out, sample, design, sampling, settings, stop, greedy, quiet, json
                    )
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
        say(
            f"grace: More than {max_failed:.1%} of the questions failed. 'grace status RUN' lists the reasons"
        )
        raise typer.Exit(ExitCode.ITEMS_FAILED)


async def _one(
    engine: Engine,
    experiment: Experiment,
    lists: dict[str, TrialList],
    out: Path | None,
    sample: int | None,
    ways: Sequence[Way],
    sampling: dict[str, Any],
    settings: TemplateSettings,
    stop: asyncio.Event,
    greedy: bool,
    quiet: bool,
    json: bool,
) -> dict[str, Any]:
    """Run one experiment and write its tables."""
    from grace_client.cli.summary import print_summary
    from grace_client.run import folder as folders
    from grace_client.run import layout, runner

    name = experiment.name
    info = await engine.describe()
    path = out or _default_folder(info.model, name)
    if out is not None and len(lists) > 1:
        path = out / name
    trials = lists[experiment.schema.study]
    plan = folders.plan_of(
        experiment,
        trials,
        info,
        sample=sample,
        sampling=folders.sampling_of(experiment, info, settings.reasoning, sampling),
        reasoning=settings.reasoning,
        ways=ways,
    )
    # A folder is made only for questions that the model can be asked.
    asker = None if (path / layout.MANIFEST).exists() else await runner.ready(plan, engine)
    folder = folders.RunFolder.begin(path, trials, plan)
    state = folder.progress()
    if not quiet:
        say(
            f"{name} ({experiment.title}): {len(folder.plan.trials)} trials, {len(folder.plan.items)} "
            f"questions, {len(folder.plan.distinct)} distinct, {state.total - state.done} to ask"
        )
        if folder.manifest.spec.ways:
            say(f"{name}: {_cost(folder)}")
    with folder.locked():
        try:
            with (
                progress(name, quiet=quiet) as show,
                progress(f"{name}, outside the forms", quiet=quiet) as show_rest,
            ):
                state = await runner.run(
                    folder,
                    engine,
                    asker=asker,
                    on_progress=show,
                    stop=stop,
                    greedy=greedy,
                    on_rest=show_rest,
                )
        except ServerError:
            say(f"The answers so far are kept. Their table: {_tables(folder)[0]}")
            raise
        except OSError:
            say(f"The answers so far are kept in {path}. The same command continues the run")
            raise
    if stop.is_set() and state.done < state.total:
        say(f"Stopped: {state.done} of {state.total} answers are in {path}. The same command continues it")
    folder = folder.read_again()
    files = _tables(folder)
    if not json:
        print_summary(folder, files)
    return _result(folder, files, state.failed)


def _cost(folder: RunFolder) -> str:
    """What several ways of asking cost, compared with one."""
    from grace_client.run import workload

    base, ways = folder.plan.one_way, len(folder.manifest.spec.ways)
    whole, one = (
        workload.characters([i.question.prompt for i in items]) for items in (folder.plan.distinct, base)
    )
    return (
        f"{ways} ways of asking, {len(folder.plan.distinct)} distinct questions ({len(base)} in one way). "
        f"With common beginnings computed once, that is {whole / one:.1f} times the text of one way"
    )


def _tables(folder: RunFolder) -> list[Path]:
    """Write the tables. If the record has lost answers, print why and leave the tables as they are."""
    from grace_client.run import tables

    try:
        return tables.export(folder)
    except RecordError as error:
        say(f"grace: {error}")
        return [folder.path / name for name in folder.manifest.results["tables"]]


def _default_folder(model: str, experiment: str) -> Path:
    """The run folder without --out. An earlier run may use the model's name without `paths.file_name`."""
    earlier = Path("runs", f"{model.rsplit('/', 1)[-1]}-{experiment}")
    # Path.is_dir raises an error if the name is too long; this returns False.
    exists = os.path.isdir(earlier)  # noqa: PTH112
    return earlier if exists else Path("runs", f"{paths.file_name(model)}-{experiment}")


def _result(folder: RunFolder, files: list[Path], failed: int) -> dict[str, Any]:
    return {
        "run": str(folder.path),
        "experiment": folder.experiment.name,
        "model": folder.manifest.model,
        "failed": failed,
        **folder.manifest.results,
        "files": [str(file) for file in files],
    }


def _lists(paths: list[Path], needed: dict[str, Study]) -> dict[str, TrialList]:
    """Trial lists by study. If the user gave none for a study, it is the study's own list."""
    from grace_client import studies
    from grace_client.studies import lists as trial_lists

    # A list that belongs to another study with a name gets a message that says so.
    own = next((study for study in needed.values() if study.folder is not None), None)
    lists: dict[str, TrialList] = {}
    for path in paths:
        trials = studies.read_trials(path, own)
        study = trials.schema.study
        if study in lists:
            raise SpecError(
                f"{lists[study].path} and {path} are both trial lists of {study}. Give only one of them"
            )
        if study not in needed:
            wanted = " and ".join(sorted(needed))
            raise SpecError(
                f"{path} is a trial list of {study}, but this experiment needs one of {wanted}. Give a list "
                f"of {wanted} with --trials, or run an experiment of {study}"
            )
        lists[study] = trials
        for note in trials.notes:
            say(f"{path}: note: {note}")
    for study in needed - lists.keys():
        lists[study] = trial_lists.default(needed[study])
    return lists
