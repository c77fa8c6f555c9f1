"""Read the tables of one or many runs into one tidy frame, and refuse what cannot be trusted."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from grace_client import studies
from grace_client.analysis._data import checks, files
from grace_client.analysis._data.table_files import Manifests, Source, Table, contents, find
from grace_client.core.errors import SpecError
from grace_client.run.manifest import Manifest

__all__ = ["contents", "read"]

HEAD = ("model", "experiment", "trial_id", "participant", "item", "stimulus")


def read(source: Source, *, experiment: str | None = None, trials: str | Path | None = None) -> pd.DataFrame:
    """Read answers of one experiment, of one model or many, into one tidy frame.

    Parameters
    ----------
    source : path or list of paths
        A run folder; a folder of runs; a table: long (CSV or Parquet), wide or structured; or a list of
        those. A wide or structured table beside its long one is read with it.
    experiment : str, optional
        Such as ``"study1-exp2"``; needed where the source holds several.
    trials : path, optional
        The trial list of a long table that lies outside its run folder.

    Returns
    -------
    DataFrame
        Scored answers, one row per trial, question and option: ``model``, ``experiment``, ``trial_id``,
        ``participant``, ``item`` (story or domain), ``stimulus`` (hash of what a participant sees), the
        design factors as text (``access, observe`` or ``goal, state``, and ``utterance`` where one is
        judged), ``question``, ``option``,
        ``logprob`` (nats), ``prob_raw``, ``prob_norm``, ``option_mass``, ``status`` and ``reason``.
        Free text, one row per trial, question and replicate: the same head, then ``question``,
        ``replicate``, ``seed``, ``response``, ``reasoning``, ``finish_reason``, ``status``, ``reason``; and,
        where a structured table lies beside it, ``structured``, ``category``, ``method``, ``confidence``,
        ``span_start``, ``span_end`` and for Study 1 ``bet_0`` to ``bet_3``.
        A row whose status is not ``ok`` has no values. A wide table alone has no trial ids: rows are counted
        from 1; nor has it ``logprob``, ``prob_raw`` and ``option_mass``, which are missing.
        ``frame.attrs["manifests"]`` maps (model, experiment) to the `Manifest`, for runs that have one.

    Raises
    ------
    SpecError
        Where a table cannot be trusted; the message names file, row and column. So are a table or trial list
        of a run folder that is not the one its manifest tells, a source with
        several experiments, a run without tables, a table in which nothing was answered, two runs of one
        model, and one model in two revisions.
    TrialError
        Where the trial list cannot be used.
    """
    tables = _chosen(find(source), experiment)
    frames = [_frame(table, trials) for table in tables]
    manifests = Manifests()
    seen: dict[tuple[str, str], Path] = {}
    for table, frame in zip(tables, frames, strict=True):
        for model, name in frame[["model", "experiment"]].drop_duplicates().itertuples(index=False):
            if experiment is not None and name != experiment:
                raise SpecError(f"{table.path} holds {name}, not {experiment}")
            if (model, name) in seen:
                raise SpecError(
                    f"{seen[model, name]} and {table.path} both hold {name} of {model}; read one of them, or "
                    "compare them one by one"
                )
            seen[model, name] = table.path
            if table.manifest is not None:
                manifests[model, name] = table.manifest
    experiments = sorted({name for _, name in seen})
    if len(experiments) > 1:
        raise SpecError(f"the tables are of {', '.join(experiments)}; choose one with experiment=")
    frame = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0].reset_index(drop=True)
    frame.attrs["manifests"] = manifests
    return frame


def _chosen(tables: list[Table], experiment: str | None) -> list[Table]:
    """The tables of the wanted experiment; SpecError where runs contradict each other."""
    revisions: dict[str, tuple[str, Path]] = {}
    for table in tables:
        if table.manifest is None:
            continue
        revision = _revision(table.manifest)
        before, path = revisions.setdefault(table.manifest.model, (revision, table.path))
        if before != revision:
            raise SpecError(
                f"{table.manifest.model} is there in two revisions: {before} in {path.parent}, {revision} in "
                f"{table.path.parent}; they are two models. Read them apart"
            )
    names = sorted({table.manifest.spec.experiment for table in tables if table.manifest})
    if experiment is None:
        if len(names) > 1:
            raise SpecError(f"there are runs of {', '.join(names)}; choose one with experiment=")
        return tables
    studies.experiment(experiment)
    kept = [t for t in tables if t.manifest is None or t.manifest.spec.experiment == experiment]
    if not kept:
        raise SpecError(f"there is no run of {experiment}; there are: {', '.join(names)}")
    return kept


def _revision(manifest: Manifest) -> str:
    return str(manifest.spec.engine.get("revision", "unknown"))


def _frame(table: Table, trials: str | Path | None) -> pd.DataFrame:
    """One file as a tidy, checked frame."""
    raw = files.load(table.path)
    if raw.columns.isin(files.LONG).sum() == len(files.LONG):
        if trials is None and not table.trials.exists():
            raise SpecError(
                f"{table.path} tells trials by number, and no {table.trials.name} lies beside it; name the "
                "trial list with trials="
            )
        long = raw
        own = table.trials if trials is None else Path(trials)
        if table.manifest is not None:
            table.manifest.check_trials(own)
        listed = studies.read_trials(own, checked=True)
    else:
        long, listed = files.widened(raw, table.path)
    experiment = checks.one_experiment(long, table.path)
    checks.same_study(experiment, listed, table.path)
    if table.structured is not None:
        long = files.with_structured(long, table.structured)
    long = files.typed(long, experiment, table.path)
    checks.known_trials(long, listed, table.path)
    (checks.scored if experiment.scored else checks.free)(long, experiment, listed, table.path)
    design = files.design(listed, experiment.shown)
    factors = design.columns.drop(["participant", "item", "stimulus"])
    rest = [column for column in long.columns if column not in HEAD]
    return long.join(design, on="trial_id")[[*HEAD, *factors, *rest]]
