"""Write a run's tables from its ledger: wide, with the columns of the trial list, and long and tidy."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from grace_client.core import paths
from grace_client.core.errors import RecordError
from grace_client.core.options import OptionSet
from grace_client.core.scoring import Scores, add_forms
from grace_client.run import layout, outside, study_copy, tables_readme, verify
from grace_client.run.folder import RunFolder
from grace_client.run.layout import OK, UNASKED
from grace_client.run.manifest import Manifest
from grace_client.run.plan import Item
from grace_client.studies.declaration import Experiment


def export(folder: RunFolder) -> list[Path]:
    """Write all tables of a run atomically, and the results in its manifest.

    Items without an answer have rows with a status, a reason and empty values. If the model reasoned, another
    table has its reasoning, also of items without an answer. The file README.txt says how to read the tables
    with other programs.

    Returns
    -------
    list of Path
        The tables, the wide one first.

    Raises
    ------
    RecordError
        If the record has lost answers that the tables contain. The tables are not changed.
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
    # Write all files before the first one replaces its old version, so that a full disk keeps the old ones.
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
    if not manifest.study:
        # Begun before there were study files: its questions are still those of the study.
        study_copy.keep(folder.path, manifest, experiment.study)
    manifest.results = _results(folder, long, written)
    manifest.save(folder.path)
    return written


def check_record(folder: RunFolder, items: Iterable[Item] | None = None) -> None:
    """Check that the record contains all answers of the run's tables.

    Parameters
    ----------
    folder : RunFolder
        The run.
    items : iterable of Item, optional
        Check only these items.

    Raises
    ------
    RecordError
        If answers are lost; it names the damaged lines.
    """
    before, ledger = folder.manifest.results, folder.ledger
    if not before or before.get("ledger_sha256") == ledger.sha256():
        return
    waiting = [item for item in items or folder.plan.items if item.key not in ledger]
    if not waiting:
        return
    answered = _answered(folder)
    if answered is None:
        # Without the long table, only the number of answers is known.
        progress = folder.progress()
        lost = before.get("distinct_by_status", {}).get(OK, 0) - (progress.done - progress.failed)
    else:
        lost = sum(
            (item.trial.trial_id, item.question.name, item.replicate or 0, *item.way.values()) in answered
            for item in waiting
        )
    if lost > 0:
        damaged = [f"{layout.LEDGER}/{d.segment}:{d.line}" for d in ledger.contents.damage]
        raise RecordError(str(folder.path), lost, damaged)


def _answered(folder: RunFolder) -> set[tuple[Any, ...]] | None:
    """Trial, question, replicate and way of every answer in the long table; None if it cannot be trusted."""
    written = folder.manifest.results.get("tables", {})
    name = next((name for name in written if name.endswith(layout.LONG_PARQUET)), None)
    if name is None or verify.is_changed(folder.path / name, written):
        return None
    long = pd.read_parquet(folder.path / name)
    long = long[long["status"] == OK]
    replicate = long["replicate"] if "replicate" in long else np.zeros(len(long), int)
    ways = (long[name] for name in _way_columns(folder))
    return set(zip(long["trial_id"], long["question"], replicate, *ways, strict=True))


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table so that every CSV reader finds the same rows.

    A response may contain a bare carriage return. CSV readers take it for the end of a row unless it is
    quoted, and pandas quotes it only if it quotes all text.
    """
    texts = frame.select_dtypes(exclude="number")
    bare = any(texts[name].astype(str).str.contains("\r", regex=False).any() for name in texts.columns)
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if bare else csv.QUOTE_MINIMAL
    frame.to_csv(path, index=False, lineterminator="\n", quoting=quoting)


def file_stem(manifest: Manifest, experiment: Experiment, table: str) -> str:
    """File name of one of a run's tables, without its ending."""
    names = manifest.results.get("tables", {})
    return layout.stem(manifest.model, experiment.schema.study, table, manifest.created, names)


def scores_of(answer: dict[str, Any], options: OptionSet) -> Scores:
    """The scores in a ledger entry."""
    place = {name: i for i, name in enumerate(options.names)}
    names, _, _, logprobs = zip(*answer["forms"], strict=True)
    forms = [-np.inf if logprob is None else logprob for logprob in logprobs]
    return add_forms([place[name] for name in names], forms, len(place))


def _state(folder: RunFolder, item: Item) -> tuple[dict[str, Any] | None, str, str]:
    """Answer (None if there is none), status and reason of an item."""
    answer = folder.ledger.get(item.key)
    if answer is None:
        return None, UNASKED, "the run was stopped before this question. Repeat the run's command to ask it"
    if answer["status"] != OK:
        return None, answer["status"], answer["reason"]
    return answer, OK, ""


def _scored(folder: RunFolder) -> tuple[pd.DataFrame, pd.DataFrame]:
    experiment, manifest = folder.experiment, folder.manifest
    # Equal questions have the same answer, so compute it once.
    computed: dict[tuple[str, bool], tuple[dict[str, float], list[tuple[Any, ...]]]] = {}
    ways = _way_columns(folder)
    wide: dict[tuple[Any, ...], dict[str, Any]] = {}
    long: list[tuple[Any, ...]] = []
    for item in folder.plan.items:
        reverse = experiment.reverses(item.question.name, item.trial)
        if (item.key, reverse) not in computed:
            computed[item.key, reverse] = _distribution(folder, item, reverse=reverse)
        values, rows = computed[item.key, reverse]
        way = tuple(item.way.values())
        start = {**item.trial.fields, **dict(zip(ways, way, strict=True))}
        wide.setdefault((item.trial.trial_id, *way), start).update(values)
        head = (manifest.model, experiment.name, item.trial.trial_id, item.question.name)
        extra = (*item.trial.extra.values(), *way)
        long += [head + row + extra for row in rows]
    columns = [*experiment.schema.names, *experiment.columns, *ways]
    return pd.DataFrame(wide.values(), columns=columns), _long(folder, long, layout.SCORED)


def _long(folder: RunFolder, rows: list[tuple[Any, ...]], columns: Sequence[str]) -> pd.DataFrame:
    """A long table, with the undeclared columns of the trial list and the way of asking."""
    ways = _way_columns(folder)
    extra = [f"list_{name}" if name in {*columns, *ways} else name for name in folder.plan.trials[0].extra]
    return pd.DataFrame(rows, columns=[*columns, *extra, *ways])


def in_base_way(long: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """The rows of a run's long table whose questions were asked in the base way."""
    for factor, level in next(iter(manifest.spec.ways), {}).items():
        long = long[long[layout.WAY_FACTOR + factor] == level]
    return long


def _way_columns(folder: RunFolder) -> list[str]:
    """A column for each factor of the ways of asking; none if the run has one way."""
    return [layout.WAY_FACTOR + factor for factor in next(iter(folder.manifest.spec.ways), ())]


def _distribution(
    folder: RunFolder, item: Item, *, reverse: bool
) -> tuple[dict[str, float], list[tuple[Any, ...]]]:
    """An item's values in the wide table, and its rows of the long table without the first columns."""
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
    return folder.experiment.cells(item.question.name, normalised, reverse=reverse), rows


def _free(folder: RunFolder) -> tuple[pd.DataFrame, pd.DataFrame]:
    experiment, manifest = folder.experiment, folder.manifest
    wide: list[tuple[Any, ...]] = []
    long: list[tuple[Any, ...]] = []
    for item in folder.plan.items:
        assert item.sampling is not None
        answer, status, reason = _state(folder, item)
        drawn = answer or {"text": None, "finish_reason": None}
        reasoning = (folder.ledger.get(item.key) or {}).get("reasoning")
        row = (
            item.question.name,
            item.replicate,
            item.sampling.seed,
            drawn["text"],
            reasoning,
            drawn["finish_reason"],
            status,
        )
        way = item.way.values()
        wide.append((*item.trial.fields.values(), *row, *way))
        extra = (*item.trial.extra.values(), *way)
        long.append((manifest.model, experiment.name, item.trial.trial_id, *row, reason, *extra))
    return (
        pd.DataFrame(wide, columns=[*experiment.schema.names, *layout.WIDE_FREE, *_way_columns(folder)]),
        _long(folder, long, layout.FREE),
    )


def _reasoning(folder: RunFolder) -> pd.DataFrame:
    """The table of the model's reasoning: one row for each item that draws."""
    head = (folder.manifest.model, folder.experiment.name)
    rows = []
    for item in folder.plan.items if folder.manifest.spec.sampling else ():
        assert item.sampling is not None
        _, status, reason = _state(folder, item)
        thought = (folder.ledger.get(item.key) or {}).get("reasoning")
        place = (item.trial.trial_id, item.question.name, item.replicate or 1, item.sampling.seed)
        rows.append((*head, *place, thought, status, reason, *item.way.values()))
    return pd.DataFrame(rows, columns=[*layout.REASONING, *_way_columns(folder)])


def _results(folder: RunFolder, long: pd.DataFrame, written: list[Path]) -> dict[str, Any]:
    """The manifest's entry `results`: counts, checksums and option mass."""
    statuses: Counter[str] = Counter()
    tokens = {"prompt": 0, "generated": 0}
    for item in folder.plan.distinct:
        statuses[_state(folder, item)[1]] += 1
        answer = folder.ledger.get(item.key) or {}
        tokens["prompt"] += len(answer.get("prompt_ids", ()))
        tokens["generated"] += len(answer.get("token_ids", ()))
    contents = folder.ledger.contents
    ledger, before = folder.ledger.sha256(), folder.manifest.results
    # The structured table of `grace extract` stays valid if there is no new answer since then.
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
        answered = in_base_way(long.loc[long["status"] == OK], folder.manifest)
        mass = answered.groupby(["trial_id", "question"], sort=False)["option_mass"].first().reset_index()
        kind = {question: one.name for question, one in folder.experiment.kinds.items()}
        results["option_mass"] = {
            str(name): {"mean": float(own.mean()), "min": float(own.min())}
            for name, own in mass.groupby(mass["question"].map(kind), sort=False)["option_mass"]
        }
        results["outside"] = outside.summary(folder)
    return results
