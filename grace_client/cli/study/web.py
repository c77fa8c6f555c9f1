"""`grace study web`: a page that shows an experiment to people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grace_client.cli._output import Json, print_json, say
from grace_client.cli.study._study import StudyArgument, Trials, experiments_of, list_of


def web(
    study: StudyArgument,
    out: Annotated[Path, typer.Option(help="Folder for the page, index.html.", show_default=False)],
    trials: Trials = None,
    consent: Annotated[
        Path | None,
        typer.Option(
            help="Text that people read before they agree: Markdown, plain text or HTML. Default: a "
            "placeholder that you must replace.",
            show_default=False,
        ),
    ] = None,
    title: Annotated[
        str, typer.Option(help="Title of the page. People see it before they take part.")
    ] = "Study",
    post: Annotated[
        str | None,
        typer.Option(
            help="Send the answers to this URL, or path on the page's server. Default: people download them.",
            show_default=False,
        ),
    ] = None,
    jspsych: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the archives of jsPsych. Default: npm downloads them once.", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make a page that shows an experiment to people, with the words that a model gets.

    Example: grace study web study2-exp2 --out page

    The page needs no network. index.html?participant=3 shows the trials of participant 3 of the list.
    """
    from grace_client.core import paths
    from grace_client.core.errors import SpecError
    from grace_client.studies import web as studies_web

    paths.check_folder(out)
    chosen, experiments = experiments_of(study)
    if len(experiments) > 1:
        named = ", ".join(
            f"{chosen.path}:{key}" if chosen.folder is not None else f"{chosen.name}-{key}"
            for key in chosen.file.experiments
        )
        raise SpecError(f"{chosen.path} has several experiments, and a page shows one. Name it: {named}")
    (experiment,) = experiments
    listed = list_of(chosen, trials)
    written = studies_web.write(
        experiment, listed, out, title=title, consent=consent, post=post, jspsych=jspsych
    )
    if json:
        print_json(
            {
                "file": str(written.path),
                "experiment": experiment.name,
                "participants": list(written.participants),
                "trials": list(written.trials),
                "questions": list(written.questions),
                "notes": [*listed.notes, *written.notes],
            }
        )
        return
    typer.echo(written.path)
    count = len(written.participants)
    whom = f"{count} participants in the list" if count else "the list names no participants"
    typer.echo(
        f"{experiment.name}: {whom}; each person gets {_span(written.trials, 'trials')}, "
        f"{_span(written.questions, 'questions')}"
    )
    for note in (*listed.notes, *written.notes):
        say(f"note: {note}")


def _span(span: tuple[int, int], what: str) -> str:
    fewest, most = span
    return f"{fewest} {what}" if fewest == most else f"{fewest} to {most} {what}"
