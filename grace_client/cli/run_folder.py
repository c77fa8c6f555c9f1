"""`grace status`, `verify`, `export` and `explain`: commands on a run folder. They load no model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grace_client.cli._output import Json, duration, print_error, print_json, probability
from grace_client.core.errors import ExitCode, GraceError, SpecError
from grace_client.run.layout import OK

if TYPE_CHECKING:
    from collections.abc import Callable

    from grace_client.run.folder import RunFolder
    from grace_client.run.plan import Item

Runs = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a folder with several runs.")]
Run = Annotated[Path, typer.Argument(help="A run folder.")]
Found = dict[str, Any]

SHOWN = 10
"""Maximum number of trials that a message names."""


def status(run: Runs, json: Json = False) -> None:
    """Show how many questions of a run are answered, and why others failed."""
    _of_each(run, _status, _print_status, json=json)


def verify(run: Runs, json: Json = False) -> None:
    """Check the record and the tables of a run. Exit code 1 if something is damaged or missing."""
    found = _of_each(run, _verified, _print_verified, json=json)
    if any(one["missing"] or one["changed_tables"] or one["corrupt"] for one in found):
        raise typer.Exit(ExitCode.ITEMS_FAILED)


def export(run: Runs, json: Json = False) -> None:
    """Write the tables of a run again, from its record."""
    _of_each(run, _exported, lambda found: typer.echo("\n".join(found["files"])), json=json)


def _of_each(
    place: Path, work: Callable[[RunFolder], Found], show: Callable[[Found], None], *, json: bool
) -> list[Found]:
    """Do `work` on a run, or on every run below a folder; print and return the results.

    If one of several runs cannot be used, its error is printed and the next run follows.
    """
    from grace_client.run import manifest as manifests
    from grace_client.run.folder import RunFolder

    runs = manifests.below(place)
    several = runs not in ([], [place])
    found: list[Found] = []
    errors: list[Found] = []
    for run in runs or [place]:
        try:
            folder = RunFolder.open(run)
            one = work(folder)
            folder.ledger.close()
        except GraceError as error:
            if not several:
                raise
            errors.append({"run": str(run)} | error.data())
            if not json:
                print_error(error, as_json=False)
            continue
        found.append(one)
        if not json:
            show(one)
    if json:
        print_json([*found, *errors] if several else found[0])
    if errors:
        raise typer.Exit(min(one["exit_code"] for one in errors))
    return found


def _status(folder: RunFolder) -> Found:
    from collections import Counter

    progress = folder.progress()
    reasons = Counter(
        (answer["status"], answer["reason"])
        for item in folder.plan.distinct
        if (answer := folder.ledger.get(item.key)) and answer["status"] != OK
    )
    noise = folder.manifest.noise
    return {
        "run": str(folder.path),
        "experiment": folder.experiment.name,
        "model": folder.manifest.model,
        "trials": len(folder.plan.trials),
        "questions": len(folder.plan.items),
        "distinct": progress.total,
        "answered": progress.done,
        "failed": [{"status": s, "reason": r, "questions": n} for (s, r), n in reasons.most_common()],
        "damaged": [f"{d.segment}:{d.line}" for d in folder.ledger.contents.damage if not d.torn],
        "wall_seconds": round(folder.ledger.contents.seconds, 1),
        "noise": noise.model_dump() if noise else None,
    }


def _print_status(found: Found) -> None:
    typer.echo(
        f"{found['run']}: {found['experiment']} on {found['model']}, {found['answered']} of "
        f"{found['distinct']} distinct questions answered in {duration(found['wall_seconds'])}"
    )
    if noise := found["noise"]:
        typer.echo(
            f"  noise floor: standard deviation {noise['nats']['sd']:.2g} nats, {noise['points']['sd']:.2g} "
            f"percentage points ({noise['questions']} questions, {noise['repeats']} repeats)"
        )
    for one in found["failed"]:
        typer.echo(f"  {one['questions']} failed ({one['status']}): {one['reason']}")
    if found["damaged"]:
        typer.echo(
            f"  {len(found['damaged'])} lines of the record are corrupt and not used; the first is "
            f"{found['damaged'][0]}. 'grace verify {found['run']}' lists them"
        )
    if found["answered"] < found["distinct"]:
        typer.echo("  To continue the run, repeat its 'grace run' command")


def _verified(folder: RunFolder) -> Found:
    from grace_client.run import verify

    damage, progress = folder.ledger.contents.damage, folder.progress()
    return {
        "run": str(folder.path),
        "lines": folder.ledger.contents.lines,
        "torn": [f"{d.segment}:{d.line}" for d in damage if d.torn],
        "corrupt": [f"{d.segment}:{d.line}" for d in damage if not d.torn],
        "missing": progress.total - progress.done,
        "changed_tables": verify.changed_tables(folder.path, folder.manifest.results),
    }


def _print_verified(found: Found) -> None:
    typer.echo(
        f"{found['run']}: {found['lines']} valid lines, {found['missing']} questions without an answer"
    )
    for kind, what in (("torn", "a crash cut off this line"), ("corrupt", "the checksum is wrong")):
        for place in found[kind]:
            typer.echo(f"  {place}: {what}. The line is not used; its question counts as not asked")
    for name in found["changed_tables"]:
        typer.echo(f"  {name}: changed or missing. 'grace export {found['run']}' writes it again")
    if found["missing"]:
        typer.echo("  To ask the missing questions, repeat the run's 'grace run' command")


def _exported(folder: RunFolder) -> Found:
    from grace_client.run import tables

    files = tables.export(folder)
    return {"run": str(folder.path), **folder.manifest.results, "files": [str(file) for file in files]}


def explain(
    run: Run,
    trial: Annotated[
        int, typer.Option(help="Number of the trial: its row in the trial list, counted from 1.", min=1)
    ],
    question: Annotated[
        str | None, typer.Option(help="Show only this question, such as state2. Default: all questions.")
    ] = None,
    way: Annotated[
        str | None,
        typer.Option(
            help="Show only this way of asking, such as base or 'order=reversed, cue=reply'. Default: all."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show where a trial's numbers come from: the prompt, its tokens, and every form's log-probability."""
    from grace_client.run import tables
    from grace_client.run.folder import RunFolder

    folder = RunFolder.open(run)
    items = [
        item
        for item in folder.plan.items
        if item.trial.trial_id == trial and question in (None, item.question.name)
    ]
    if not items:
        ids = [t.trial_id for t in folder.plan.trials]
        if trial not in ids:
            listed = ", ".join(map(str, ids[:SHOWN])) + (", …" if len(ids) > SHOWN else "")
            raise SpecError(f"{run} has no trial {trial}. Its trials are: {listed}")
        names = ", ".join(q.name for q in folder.experiment.questions(folder.plan.trials[0]))
        raise SpecError(f"{run} has no question {question!r}. Questions: {names}")
    if way is not None:
        items = _in_way(folder, items, way)
    tables.check_record(folder, items)
    traces = [_trace(folder, item) for item in items]
    if json:
        print_json(traces)
        return
    for trace in traces:
        _print_trace(trace)


def _in_way(folder: RunFolder, items: list[Item], way: str) -> list[Item]:
    """The items in the way of asking of this label."""
    from grace_client.studies import ways

    asked_in = folder.manifest.spec.ways or ({},)
    known = {ways.label(one, asked_in[0]): one for one in asked_in}
    if way not in known:
        listed = "; ".join([*known][:SHOWN]) + ("; …" if len(known) > SHOWN else "")
        raise SpecError(f"{folder.path} was not asked in the way {way!r}. Its ways: {listed}")
    return [item for item in items if item.way == known[way]]


def _trace(folder: RunFolder, item: Item) -> dict[str, Any]:
    from grace_client.run import outside, tables

    answer = folder.ledger.get(item.key)
    trace: dict[str, Any] = {
        "trial_id": item.trial.trial_id,
        "question": item.question.name,
        "replicate": item.replicate,
        "way": dict(item.way),
        "key": item.key,
        "asked": item.question.prompt.text,
        # The text of the token ids that were sent, with the chat template.
        "prompt": (answer or {}).get("prompt"),
        "answer": answer,
    }
    if answer and "forms" in answer and item.question.options:
        scores = tables.scores_of(answer, item.question.options)
        trace["options"] = [
            {"option": name, "logprob": logprob, "prob_raw": raw, "prob_norm": normalised}
            for name, logprob, raw, normalised in zip(
                item.question.options.names,
                scores.logprob.tolist(),
                scores.raw.tolist(),
                scores.normalised.tolist(),
                strict=True,
            )
        ]
        trace["option_mass"] = scores.mass
        kept = outside.Kept.of(folder.ledger, item.key, answer)
        trace["outside"] = [
            {"text": text, "tokens": ids, "prob": math.exp(logprob)}
            for ids, text, logprob in kept.outside or ()
        ]
        trace["left"] = [{"after": text, "tokens": ids, "prob": prob} for ids, text, prob in kept.left or ()]
        trace["greedy"] = kept.greedy and kept.greedy["text"]
    return trace


def _print_trace(trace: dict[str, Any]) -> None:
    replicate = f", replicate {trace['replicate']}" if trace["replicate"] else ""
    way = "".join(f", {factor} {level}" for factor, level in trace["way"].items())
    typer.echo(f"── trial {trace['trial_id']}, {trace['question']}{replicate}{way} (key {trace['key']})")
    answer = trace["answer"]
    if trace["prompt"] is None:
        typer.echo("── the question, without the chat template (not sent yet)")
    typer.echo(trace["prompt"] or trace["asked"])
    if answer is None:
        typer.echo("── not asked yet\n")
        return
    if answer["status"] != OK:
        typer.echo(f"── failed ({answer['status']}): {answer['reason']}\n")
        return
    typer.echo(f"── {len(answer['prompt_ids'])} prompt tokens: {' '.join(map(str, answer['prompt_ids']))}")
    if answer.get("reasoning"):
        typer.echo(f"── reasoning: {answer['reasoning']!r}")
    if "forms" not in answer:
        typer.echo(f"── answer ({answer['finish_reason']}): {answer['text']!r}\n")
        return
    typer.echo(f"── forms with their log-probability in nats, scored at {answer['at']}")
    for option, form, ids, logprob in answer["forms"]:
        shown = "-inf" if logprob is None else f"{logprob:.4f}"
        typer.echo(f"  {option:16} {form!r:24} {shown:>10}  tokens {' '.join(map(str, ids))}")
    typer.echo(f"── options; option mass {probability(trace['option_mass'])}")
    for row in trace["options"]:
        raw, normalised = probability(row["prob_raw"]), probability(row["prob_norm"])
        typer.echo(f"  {row['option']:16} raw {raw:8}  normalised {normalised}")
    if trace["left"]:
        typer.echo("── where answers leave the forms, and the probability")
        for row in trace["left"]:
            after = f"after {row['after']!r}" if row["tokens"] else "at the first token"
            typer.echo(f"  {after:24} {probability(row['prob'])}")
    if trace["outside"]:
        typer.echo("── the likeliest beginnings outside the forms, and their probability")
        for row in trace["outside"]:
            ids = " ".join(map(str, row["tokens"]))
            typer.echo(f"  {row['text']!r:24} {probability(row['prob'])}  tokens {ids}")
    if trace["greedy"] is not None:
        typer.echo(f"── greedy answer: {trace['greedy']!r}")
    typer.echo("")
