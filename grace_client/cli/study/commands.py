"""`grace study`: begin, check and show studies."""

from __future__ import annotations

import json as jsons
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grace_client.cli import _planned
from grace_client.cli._engine_options import EMBEDDED
from grace_client.cli._output import Json, print_json, probability, say
from grace_client.cli.study import web
from grace_client.cli.study._study import StudyArgument, Trials, experiments_of, list_of
from grace_client.core.errors import StudyError

if TYPE_CHECKING:
    from grace_client.core.questions import Question
    from grace_client.run.check import Checked, Tokens

app = typer.Typer(help="Make a study of your own: one file.", no_args_is_help=True)


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

    chosen, experiments = experiments_of(study)
    listed = list_of(chosen, trials)
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

    chosen, experiments = experiments_of(study)
    listed = list_of(chosen, trials)
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


app.command()(web.web)


@app.command()
def forms(
    run: Annotated[Path, typer.Argument(help="A run folder of a scored experiment.")],
    json: Json = False,
) -> None:
    """Show what a model would say instead of the declared forms, and which forms to add.

    Example: grace study forms runs/first

    Reads the run and loads no model. A run with --greedy also has whole answers.
    """
    from grace_client.core.errors import SpecError
    from grace_client.run import outside
    from grace_client.run.folder import RunFolder

    folder = RunFolder.open(run)
    if not folder.experiment.scored:
        raise SpecError(
            f"{run} is a run of free text ({folder.experiment.name}), which has no forms. Name a run of a "
            "scored experiment"
        )
    found = outside.summary(folder)
    if not found:
        raise SpecError(
            f"The record of {run} does not say what the model would say instead. Repeat the run's 'grace "
            "run' command: it asks for this, and asks no question again"
        )
    suggested = {kind: outside.suggestion(folder.experiment, kind, entry) for kind, entry in found.items()}
    if json:
        whole = {kind: entry | {"add": suggested[kind]} for kind, entry in found.items()}
        print_json({"run": str(run), "experiment": folder.experiment.name, "questions": whole})
        return
    typer.echo(f"{run}: {folder.experiment.name} on {folder.manifest.model}")
    for kind, entry in found.items():
        _print_outside(kind, entry, suggested[kind])
    if not any("greedy" in entry for entry in found.values()):
        say("To see whole answers, repeat the run's 'grace run' command with --greedy")


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


def _print_outside(kind: str, entry: dict[str, Any], lines: list[str]) -> None:
    from grace_client.core.scoring import LOW_MASS

    mass, n = entry["option_mass"], entry["questions"]
    low = f", under {LOW_MASS}" if mass < LOW_MASS else ""
    typer.echo(f"\n{kind}: option mass {probability(mass, 3)}{low} (mean of {n} different questions)")
    if entry["left"]:
        typer.echo(f"  The other {probability(1 - mass, 3)} leaves the declared forms")
        for one in entry["left"]:
            place = f"after {one['text']!r}" if one["text"] else "at the first token"
            typer.echo(f"    {place:24} {probability(one['prob'], 4)}")
    accepted = [one for one in entry["beginnings"] if one["option"] is not None]
    others = [one for one in entry["beginnings"] if one["option"] is None]
    if others:
        typer.echo("  The likeliest other beginnings (mean probability, at least; number of questions)")
    for one in others:
        note = "  may begin an acceptable answer" if one["may_begin"] else ""
        typer.echo(f"{_row(one)}{note}")
    if accepted:
        gain = probability(entry["gain"], 4)
        typer.echo(f"  Not declared, but a person would accept them: at least {gain} more option mass")
    elif entry["asked"]:
        typer.echo("  None of the kept beginnings is an answer that a person would accept as an option")
    for one in accepted:
        typer.echo(f"{_row(one)}  as {one['option']}")
    if greedy := entry.get("greedy"):
        typer.echo(
            f"  Greedy answers: {greedy['declared']} of {greedy['questions']} begin with a declared form; a "
            f"person would accept {greedy['accepted']} others"
        )
        for one in greedy["others"]:
            means = f"  as {one['option']}" if one["option"] is not None else ""
            typer.echo(f"    {one['questions']:>4} × {one['text']!r}{means}")
    if lines:
        typer.echo("  To declare the accepted ones, write into the study file")
        for line in lines:
            typer.echo(f"    {line}")
        typer.echo(
            "  Changed forms are other questions. Check them with 'grace study check FILE --model MODEL', "
            "and begin a new run"
        )


def _row(one: dict[str, Any]) -> str:
    text = f"{one['text']!r} and the end" if one["ends"] else repr(one["text"])
    return f"    {text:24} {probability(one['prob'], 4)} {one['questions']:>6}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
