"""From a run's ledger to its tables: wide in the study's schema, and long and tidy."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from grace_client.core import paths
from grace_client.core.errors import RecordError
from grace_client.core.options import OptionSet
from grace_client.core.questions import kind
from grace_client.core.scoring import Scores, add_forms
from grace_client.run import layout, tables_readme, verify
from grace_client.run.folder import RunFolder
from grace_client.run.layout import OK, UNASKED
from grace_client.run.manifest import Manifest
from grace_client.run.plan import Item
from grace_client.studies.declaration import Experiment


def export(folder: RunFolder) -> list[Path]:
    """Write all tables of a run, each whole or not at all, and the manifest's results.

    Items without an answer are rows with a status, a reason and empty values. Where the model reasoned, its
    reasoning is a table of its own as well, that of items without an answer included. A note beside them says
    how other programs read them.

    Returns
    -------
    list of Path
        The files, wide table first.

    Raises
    ------
    RecordError
        Where the record has lost answers that the tables hold; they are left as they are.
    """
    check_record(folder)
    manifest, experiment = folder.manifest, folder.experiment
    wide, long = (_scored if experiment.scored else _free)(folder)
    stem = file_stem(manifest, experiment, experiment.table)
    frames = [(wide, f"{stem}.csv"), (long, stem + layout.LONG_CSV), (long, stem + layout.LONG_PARQUET)]
    reasoning = _reasoning(folder)
    if reasoning["reasoning"].notna().any():
        frames.append((reasoning, f"{file_stem(manifest, experiment, layout.REASONING_TABLE)}.csv"))
    written = [folder.path / name for _, name in frames]
    # All are written before the first takes its place: a disk that fills up meanwhile leaves the old ones.
    with ExitStack() as stack:
        for path, (frame, name) in zip(written, frames, strict=True):
            new = stack.enter_context(paths.replacing(path))
            if name.endswith(".csv"):
                write_csv(frame, new)
            else:
                frame.to_parquet(new, index=False)
        tables_readme.write(
            stack.enter_context(paths.replacing(folder.path / layout.README)),
            model=manifest.model,
            experiment=experiment.name,
            files=[name for _, name in frames],
            scored=experiment.scored,
        )
    manifest.results = _results(folder, long, written)
    manifest.save(folder.path)
    return written


def check_record(folder: RunFolder, items: Iterable[Item] | None = None) -> None:
    """Refuse a record that has lost answers which the run's tables hold.

    Parameters
    ----------
    folder : RunFolder
        The run.
    items : iterable of Item, optional
        Look only at these.

    Raises
    ------
    RecordError
        Naming the damaged lines.
    """
    before, ledger = folder.manifest.results, folder.ledger
    if not before or before.get("ledger_sha256") == ledger.sha256():
        return
    waiting = [item for item in items or folder.plan.items if item.key not in ledger]
    if not waiting:
        return
    held = _held(folder)
    if held is None:
        # Without the table only how many there were is known.
        progress = folder.progress()
        lost = before.get("distinct_by_status", {}).get(OK, 0) - (progress.done - progress.failed)
    else:
        lost = sum((item.trial.trial_id, item.question.name, item.replicate or 0) in held for item in waiting)
    if lost > 0:
        damaged = [f"{layout.LEDGER}/{d.segment}:{d.line}" for d in ledger.contents.damage]
        raise RecordError(str(folder.path), lost, damaged)


def _held(folder: RunFolder) -> set[tuple[int, str, int]] | None:
    """Trial, question and replicate of every answer in the long table; None where that is not whole."""
    written = folder.manifest.results.get("tables", {})
    name = next((name for name in written if name.endswith(layout.LONG_PARQUET)), None)
    if name is None or verify.is_changed(folder.path / name, written):
        return None
    long = pd.read_parquet(folder.path / name)
    long = long[long["status"] == OK]
    replicate = long["replicate"] if "replicate" in long else np.zeros(len(long), int)
    return set(zip(long["trial_id"], long["question"], replicate, strict=True))


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table so that every reader of CSV finds its rows again.

    Readers take a bare carriage return for the end of a row, and a writer quotes it only where all text is
    quoted; a model may well say one.
    """
    texts = frame.select_dtypes(exclude="number")
    bare = any(texts[name].astype(str).str.contains("\r", regex=False).any() for name in texts.columns)
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if bare else csv.QUOTE_MINIMAL
    frame.to_csv(path, index=False, lineterminator="\n", quoting=quoting)


def file_stem(manifest: Manifest, experiment: Experiment, table: str) -> str:
    """Name of one of a run's tables, without its ending."""
    names = manifest.results.get("tables", {})
    return layout.stem(manifest.model, experiment.schema.study, table, manifest.created, names)


def scores_of(answer: dict[str, Any], options: OptionSet) -> Scores:
    """The scores that a ledger answer holds."""
    place = {name: i for i, name in enumerate(options.names)}
    names, _, _, logprobs = zip(*answer["forms"], strict=True)
    forms = [-np.inf if logprob is None else logprob for logprob in logprobs]
    return add_forms([place[name] for name in names], forms, len(place))


def _state(folder: RunFolder, item: Item) -> tuple[dict[str, Any] | None, str, str]:
    """Answer (None if there is none), status and reason of an item."""
    answer = folder.ledger.get(item.key)
    if answer is None:
        return None, UNASKED, "the run was stopped before this question; run it again to go on"
    if answer["status"] != OK:
        return None, answer["status"], answer["reason"]
    return answer, OK, ""


def _scored(folder: RunFolder) -> tuple[pd.DataFrame, pd.DataFrame]:
    experiment, manifest = folder.experiment, folder.manifest
    # Equal questions have one answer: work it out once.
    known: dict[str, tuple[dict[str, float], list[tuple[Any, ...]]]] = {}
    wide: dict[int, dict[str, Any]] = {trial.trial_id: dict(trial.fields) for trial in folder.plan.trials}
    long: list[tuple[Any, ...]] = []
    for item in folder.plan.items:
        if item.key not in known:
            known[item.key] = _distribution(folder, item)
        values, rows = known[item.key]
        wide[item.trial.trial_id] |= values
        head = (manifest.model, experiment.name, item.trial.trial_id, item.question.name)
        long += [head + row for row in rows]
    columns = [*experiment.schema.names, *experiment.columns]
    return pd.DataFrame(wide.values(), columns=columns), pd.DataFrame(long, columns=list(layout.SCORED))


def _distribution(folder: RunFolder, item: Item) -> tuple[dict[str, float], list[tuple[Any, ...]]]:
    """Columns of the wide table and rows of the long one, without their heads."""
    options = item.question.options
    assert options is not None
    answer, status, reason = _state(folder, item)
    if answer is None:
        empty = (None, None, None, None, status, reason)
        return {}, [(name, *empty) for name in options.names]
    scores = scores_of(answer, options)
    normalised = scores.normalised
    columns = zip(
        options.names, scores.logprob.tolist(), scores.raw.tolist(), normalised.tolist(), strict=True
    )
    rows = [(*row, scores.mass, status, reason) for row in columns]
    return folder.experiment.cells(item.question.name, normalised), rows


def _free(folder: RunFolder) -> tuple[pd.DataFrame, pd.DataFrame]:
    experiment, manifest = folder.experiment, folder.manifest
    wide: list[tuple[Any, ...]] = []
    long: list[tuple[Any, ...]] = []
    for item in folder.plan.items:
        assert item.sampling is not None
        answer, status, reason = _state(folder, item)
        said = answer or {"text": None, "finish_reason": None}
        reasoning = (folder.ledger.get(item.key) or {}).get("reasoning")
        row = (
            item.question.name,
            item.replicate,
            item.sampling.seed,
            said["text"],
            reasoning,
            said["finish_reason"],
            status,
        )
        wide.append((*item.trial.fields.values(), *row))
        long.append((manifest.model, experiment.name, item.trial.trial_id, *row, reason))
    return (
        pd.DataFrame(wide, columns=[*experiment.schema.names, *layout.WIDE_FREE]),
        pd.DataFrame(long, columns=list(layout.FREE)),
    )


def _reasoning(folder: RunFolder) -> pd.DataFrame:
    """What the model thought, one row for each item that draws."""
    head = (folder.manifest.model, folder.experiment.name)
    rows = []
    for item in folder.plan.items if folder.manifest.spec.sampling else ():
        assert item.sampling is not None
        _, status, reason = _state(folder, item)
        thought = (folder.ledger.get(item.key) or {}).get("reasoning")
        whose = (item.trial.trial_id, item.question.name, item.replicate or 1, item.sampling.seed)
        rows.append((*head, *whose, thought, status, reason))
    return pd.DataFrame(rows, columns=list(layout.REASONING))


def _results(folder: RunFolder, long: pd.DataFrame, written: list[Path]) -> dict[str, Any]:
    """What the manifest says of the answers."""
    statuses: Counter[str] = Counter()
    tokens = {"prompt": 0, "generated": 0}
    for item in folder.plan.distinct:
        statuses[_state(folder, item)[1]] += 1
        answer = folder.ledger.get(item.key) or {}
        tokens["prompt"] += len(answer.get("prompt_ids", ()))
        tokens["generated"] += len(answer.get("token_ids", ()))
    contents = folder.ledger.contents
    ledger, before = folder.ledger.sha256(), folder.manifest.results
    # The structured table, which `grace extract` wrote, holds as long as no answer has come since.
    kept = before.get("tables", {}) if before.get("ledger_sha256") == ledger else {}
    results: dict[str, Any] = {
        "trials": len(folder.plan.trials),
        "items": len(folder.plan.items),
        "distinct": len(folder.plan.distinct),
        "distinct_by_status": dict(sorted(statuses.items())),
        "wall_seconds": round(contents.seconds, 1),
        "tokens": tokens,
        "ledger_sha256": ledger,
        "tables": kept | {path.name: verify.sha256([path]) for path in written},
    }
    if folder.experiment.scored:
        answered = long.loc[long["status"] == OK]
        mass = answered.groupby(["trial_id", "question"], sort=False)["option_mass"].first().reset_index()
        results["option_mass"] = {
            str(name): {"mean": float(own.mean()), "min": float(own.min())}
            for name, own in mass.groupby(mass["question"].map(kind), sort=False)["option_mass"]
        }
    return results
