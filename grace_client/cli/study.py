"""`grace study`: begin, check and show studies."""

from __future__ import annotations

import json as jsons
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grace_client.cli import _planned
from grace_client.cli._engine_options import EMBEDDED
from grace_client.cli._output import Json, print_json, say
from grace_client.core.errors import StudyError

if TYPE_CHECKING:
    from grace_client.core.questions import Question
    from grace_client.core.trials import TrialList
    from grace_client.run.check import Checked, Tokens
    from grace_client.studies.declaration import Experiment, Study

app = typer.Typer(help="Make a study of your own: one file.", no_args_is_help=True)

StudyArgument = Annotated[
    str, typer.Argument(help="A study file; one of its experiments, FILE.yaml:EXPERIMENT; or a study's name.")
]
Trials = Annotated[
    Path | None, typer.Option(help="Trial list. Default: the study's own list.", show_default=False)
]


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the study: small letters, digits and hyphens.")],
    template: Annotated[
        str | None,
        typer.Option(help="2afc, likert, cloze, rating or free-text. Default: asks.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the two files.")] = Path(),
    json: Json = False,
) -> None:
    """Write NAME.yaml and NAME.csv, a small study that runs. Then change them.

    Example: grace study new my-study --template likert
    """
    from grace_client.core import paths
    from grace_client.studies import new as studies_new

    paths.check_folder(out)
    if template is None:
        for known, what in studies_new.TEMPLATES.items():
            say(f"  {known:<10} {what}")
        template = str(typer.prompt("Which template", err=True))
    written = studies_new.write(name, template, out)
    if json:
        print_json({"files": [str(path) for path in written]})
        return
    for path in written:
        typer.echo(path)
    say(f"Next: change both files; then grace study check {written[0]}")


@app.command()
def check(
    study: StudyArgument,
    trials: Trials = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Check the tokens for this model, or for 'embedded'. The weights are not loaded.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check a study file and its list, before any model is loaded.

    Shows what the model would be asked, or every fault with its line and column.
    """
    from grace_client.run.check import check as check_experiment

    chosen, experiments = _experiments(study)
    listed = _list(chosen, trials)
    tokens = None if model is None else _tokens(model)
    found = [check_experiment(experiment, listed, tokens) for experiment in experiments]
    plans = [_planned.check(experiment, listed) for experiment in experiments]
    if faults := [fault for plan in plans if plan for fault in plan[0]]:
        raise StudyError(chosen.path, sorted(dict.fromkeys(faults), key=lambda one: (one.line, one.column)))
    found = [
        replace(one, notes=(*one.notes, *plan[1])) if plan else one
        for one, plan in zip(found, plans, strict=True)
    ]
    left_out = [_planned.LEFT_OUT] if None in plans else []
    if json:
        print_json(
            {
                "study": chosen.name,
                "title": chosen.title,
                "trials": len(listed.trials),
                "notes": [*listed.notes, *left_out],
                "experiments": [_as_json(one) for one in found],
            }
        )
        return
    typer.echo(f"{chosen.path}: {chosen.title}")
    typer.echo(f"{listed.path}: {len(listed.trials)} trials")
    for note in (*listed.notes, *left_out):
        typer.echo(f"  note: {note}")
    for one in found:
        _print_checked(one, exact=tokens is not None)


@app.command()
def show(
    study: StudyArgument,
    trial: Annotated[int, typer.Option(help="Number of the trial in the list.", min=1)] = 1,
    trials: Trials = None,
    model: Annotated[
        str | None,
        typer.Option(help="Show the prompt as this model gets it.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Show a trial: the row of the list, and every question as the model gets it."""
    from grace_client.core.errors import SpecError

    chosen, experiments = _experiments(study)
    listed = _list(chosen, trials)
    if trial > len(listed.trials):
        raise SpecError(f"{listed.path} has {len(listed.trials)} trials, and no trial {trial}")
    row = listed.trials[trial - 1]
    tokens = None if model is None else _tokens(model)
    if json:
        asked = {one.name: [_question(q, tokens) for q in one.questions(row)] for one in experiments}
        print_json({"trial": dict(row.fields), "conditions": chosen.schema.cell(row), "experiments": asked})
        return
    for name, text in row.fields.items():
        typer.echo(f"{name}: {text}")
    for experiment in experiments:
        typer.echo(f"\n{experiment.name}: {experiment.title}")
        for question in experiment.questions(row):
            _print_question(question, tokens)


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default=False)] = None,
) -> None:
    """Print the JSON Schema of study files: editors complete and check a file with it."""
    from grace_client.core import paths
    from grace_client.studies.schema import published

    text = jsons.dumps(published(), indent=2, ensure_ascii=False) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    with paths.replacing(out) as file:
        file.write_text(text, encoding="utf-8")


@app.command("list")
def list_(json: Json = False) -> None:
    """List the studies that come with grace or with installed packages, and their experiments."""
    from grace_client import studies

    found = [studies.named(name) for name in studies.names()]
    if json:
        print_json(
            [
                {
                    "study": one.name,
                    "title": one.title,
                    "experiments": {name: experiment.title for name, experiment in one.experiments.items()},
                }
                for one in found
            ]
        )
        return
    for one in found:
        typer.echo(f"{one.name}: {one.title}")
        for name, experiment in one.experiments.items():
            typer.echo(f"  {name:<18} {experiment.title}")


def _experiments(text: str) -> tuple[Study, list[Experiment]]:
    """The study that an argument names, and the experiments of it that are meant."""
    from grace_client import studies

    if studies.is_file(text) or text in studies.names():
        study = studies.find(text)
        return study, list(study.experiments.values())
    experiment = studies.experiment(text)
    return experiment.study, [experiment]


def _list(study: Study, path: Path | None) -> TrialList:
    from grace_client import studies
    from grace_client.studies import lists

    return lists.default(study) if path is None else studies.read_trials(path, study)


def _tokens(model: str) -> Tokens:
    from grace_client.engines.local.tokenizer import Tokens as LocalTokens

    return LocalTokens.of(None if model == EMBEDDED else model)


def _as_json(one: Checked) -> dict[str, Any]:
    return {
        "experiment": one.experiment.name,
        "questions": one.questions,
        "distinct": one.distinct,
        "longest": one.longest,
        "columns": list(one.experiment.columns),
        "notes": list(one.notes),
        "example": [_question(question, None) for question in one.example],
        "sent": one.sent,
    }


def _question(question: Question, tokens: Tokens | None) -> dict[str, Any]:
    from grace_client.run.check import shown

    options = question.options
    return {
        "question": question.name,
        "messages": question.prompt.messages,
        "options": {} if options is None else {one.name: list(one.forms) for one in options.options},
        "sent": None if tokens is None else shown(question, tokens),
    }


def _print_checked(one: Checked, *, exact: bool) -> None:
    experiment = one.experiment
    typer.echo(f"\n{experiment.name}: {experiment.title}")
    about = "" if exact else "about "
    typer.echo(
        f"  {one.questions} questions, {one.distinct} different; the longest has {about}{one.longest} tokens"
    )
    if experiment.columns:
        typer.echo(f"  columns: {', '.join(experiment.columns)}")
    for note in one.notes:
        typer.echo(f"  note: {note}")
    _print_question(one.example[0], None)
    if one.sent is not None:
        typer.echo(f"  the model gets:\n{_indented(one.sent)}")


def _print_question(question: Question, tokens: Tokens | None) -> None:
    from grace_client.run.check import shown

    typer.echo(f"  {question.name}:")
    if tokens is not None:
        typer.echo(_indented(shown(question, tokens)))
    else:
        for message in question.prompt.messages:
            if len(question.prompt.messages) > 1:
                typer.echo(f"    [{message['role']}]")
            typer.echo(_indented(message["content"] or "(none, not even the model's own)"))
    if question.options is not None:
        for option in question.options.options:
            typer.echo(f"    option {option.name}: {' | '.join(map(repr, option.forms))}")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
