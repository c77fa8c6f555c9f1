"""Read the tables of one or many runs into one tidy frame, and refuse tables that cannot be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from grace_client import studies
from grace_client.analysis._data import checks, declared, files
from grace_client.analysis._data.layout import WAY
from grace_client.analysis._data.table_files import Source, Table, find
from grace_client.core.errors import SpecError
from grace_client.core.trials import Trial, TrialList
from grace_client.run import study_copy
from grace_client.run.layout import WAY_FACTOR
from grace_client.run.manifest import Manifest
from grace_client.studies import ways as asking
from grace_client.studies.declaration import Experiment, Study
from grace_client.studies.ways import BASE

HEAD = ("model", "experiment", "trial_id", "participant", "item", "stimulus")
UNDECLARED = "list_"
"""Before the name of a further column of the trial list that has the name of another column."""


def read(
    source: Source,
    *,
    experiment: str | None = None,
    trials: str | Path | None = None,
    study: str | Path | Study | None = None,
    ways: bool = False,
) -> pd.DataFrame:
    """Read answers of one experiment, of one model or many, into one tidy frame.

    Parameters
    ----------
    source : path or list of paths
        A run folder; a folder of runs; a table: long (CSV or Parquet), wide or structured; or a list of
        these. A wide or structured table is read together with its long table.
    experiment : str, optional
        Name of the experiment, such as ``"study1-exp2"``. Required if the source contains several.
    trials : path, optional
        The trial list of a long table that is not in its run folder.
    study : str, path or Study, optional
        The study file, or the study's name, of tables that are not in their run folders. Default: the study
        of that name that comes with grace or with an installed package.
    ways : bool, optional
        Of runs that asked in several ways: False for the answers in the base way alone, True for all. Then
        several runs of one model may be read together, if they asked in different ways.

    Returns
    -------
    DataFrame
        Scored answers, one row per trial, question and option: ``model``, ``experiment``, ``trial_id``,
        ``participant`` and ``item`` (empty if the study has none), ``stimulus`` (hash of the text that a
        participant sees), the study's conditions as text, ``question``, ``option``, ``logprob`` (nats),
        ``prob_raw``, ``prob_norm``, ``option_mass``, ``status`` and ``reason``; ``reversed`` (bool) if the
        study turns scales round.
        Free text, one row per trial, question and replicate: the same first columns, then ``question``,
        ``replicate``, ``seed``, ``response``, ``reasoning``, ``finish_reason``, ``status``, ``reason``; and,
        if its folder has a structured table, ``structured``, ``category``, ``method``, ``confidence``,
        ``span_start``, ``span_end`` and for Study 1 ``bet_0`` to ``bet_3``.
        Columns of the trial list that the study does not declare come last; if another column has such a
        name, it begins with ``list_``. With `ways`, ``way`` follows (``"base"``, ``"order=reversed"``), and a
        column ``way_FACTOR`` for each factor.
        A row whose status is not ``ok`` has no values. A wide table alone has no trial ids: rows are counted
        from 1. Its ``logprob``, ``prob_raw`` and ``option_mass`` are missing.

    Raises
    ------
    SpecError
        If a table cannot be trusted; the message names file, row and column. Also where a table or trial
        list of a run folder differs from the one in its manifest, if the source has several experiments,
        a run without tables, a table without any answer, two runs of one model, or one model in two
        revisions.
    TrialError
        If the trial list cannot be used.

    See Also
    --------
    manifests : How the answers were made.
    """
    tables = _chosen(find(source), experiment)
    frame = joined([(table, load(table, trials, study, ways=ways)) for table in tables])
    names = sorted(frame["experiment"].unique())
    if len(names) > 1:
        raise SpecError(
            f"The tables contain several experiments: {', '.join(names)}. Choose one with experiment="
        )
    if experiment is not None and names != [experiment]:
        raise SpecError(f"{tables[0].path} contains {names[0]}, not {experiment}")
    return frame


def experiment(
    source: Source, *, experiment: str | None = None, study: str | Path | Study | None = None
) -> Experiment:
    """What the study file of runs declares of their experiment: questions, options, contrasts.

    Parameters
    ----------
    source, experiment, study
        As in `read`.

    Returns
    -------
    Experiment
        The functions for any study take it: `outcomes`, `cell_means`, `contrasts`.

    Raises
    ------
    SpecError
        As `read`; and if two runs have different questions or options.
    """
    found: list[tuple[Table, Experiment]] = []
    for table in _chosen(find(source), experiment):
        found.append((table, _experiment(table, files.load(table.path), study)[0]))
    (first, one), *others = found
    for table, other in others:
        if other.name != one.name or other.kinds != one.kinds:
            raise SpecError(
                f"{first.path} and {table.path} have different experiments: {one.name} and {other.name}, or "
                "other options. Choose one with experiment=, or read them one by one"
            )
    return one


def manifests(source: Source, *, experiment: str | None = None) -> dict[tuple[str, str], Manifest]:
    """Manifests of runs: how the answers were made (engine, sampling, duration, noise).

    Parameters
    ----------
    source, experiment
        As in `read`. Without `experiment`, the manifests of all experiments.

    Returns
    -------
    dict of (model, experiment) to Manifest
        Of the runs that have one. A table outside its run folder has none.
    """
    known = [table.manifest for table in find(source) if table.manifest is not None]
    return {(m.model, m.spec.experiment): m for m in known if experiment in (None, m.spec.experiment)}


def joined(parts: Sequence[tuple[Table, pd.DataFrame]]) -> pd.DataFrame:
    """The frames of several tables as one; SpecError if two have the same answers of one model."""
    owners: dict[tuple[str, str, str], Table] = {}
    kept = []
    for table, frame in parts:
        ways = frame[WAY] if WAY in frame.columns else pd.Series(BASE, index=frame.index)
        for one in dict.fromkeys(zip(frame["model"], frame["experiment"], ways, strict=True)):
            model, name, way = one
            owner = owners.setdefault(one, table)
            if owner is table:
                continue
            if way != BASE or (ways == BASE).all() or not _differ_in_ways(owner, table):
                raise SpecError(
                    f"{owner.path} and {table.path} both contain {name} of {model}. Read one of them, or "
                    "read them separately to compare them"
                )
            # Every design has the base: it is read once.
            frame = frame[ways != BASE]
        kept.append(frame)
    if len(kept) == 1:
        return kept[0].reset_index(drop=True)
    whole = pd.concat(kept, ignore_index=True)
    for column in (name for name in whole.columns if name.startswith(WAY_FACTOR) and WAY in whole.columns):
        # A run without a design has no such column.
        of_base = (own.loc[own[WAY] == BASE, column] for _, own in parts if column in own.columns)
        whole[column] = whole[column].fillna(next((level for own in of_base for level in own), ""))
    return whole


def _differ_in_ways(one: Table, other: Table) -> bool:
    """Whether two runs are the same but for their designs of ways."""
    if one.manifest is None or other.manifest is None:
        return False
    same = {"ways": (), "questions_sha256": ""}
    return one.manifest.spec.model_copy(update=same) == other.manifest.spec.model_copy(update=same)


def check_revisions(tables: Sequence[Table]) -> None:
    """SpecError if tables of one model are of two revisions."""
    revisions: dict[str, tuple[str, Path]] = {}
    for table in tables:
        if table.manifest is None:
            continue
        revision = str(table.manifest.spec.engine.get("revision", "unknown"))
        before, path = revisions.setdefault(table.manifest.model, (revision, table.path))
        if before != revision:
            raise SpecError(
                f"{table.manifest.model} has two revisions: {before} in {path.parent}, {revision} in "
                f"{table.path.parent}. These are two models: read them separately"
            )


def _chosen(tables: list[Table], experiment: str | None) -> list[Table]:
    """The tables of one experiment."""
    check_revisions(tables)
    names = sorted({table.manifest.spec.experiment for table in tables if table.manifest})
    if experiment is None:
        if len(names) > 1:
            raise SpecError(
                f"The runs are of several experiments: {', '.join(names)}. Choose one with experiment="
            )
        return tables
    kept = [t for t in tables if t.manifest is None or t.manifest.spec.experiment == experiment]
    if not kept:
        raise SpecError(f"There is no run of {experiment!r}. There are runs of: {', '.join(names)}")
    return kept


def _experiment(
    table: Table, raw: pd.DataFrame, study: str | Path | Study | None
) -> tuple[Experiment, pd.DataFrame, TrialList | None]:
    """A table's experiment, the table in the long form, and the trial list that a wide table contains."""
    given = studies.find(str(study)) if isinstance(study, str | Path) else study
    if not set(raw.columns) >= files.LONG:
        if table.manifest is not None:
            given = study_copy.experiment_of(table.path.parent, table.manifest).study
        long, found, listed = files.widened(raw, table.path, given)
        return found, long, listed
    name = checks.one_experiment(raw, table.path)
    if table.manifest is not None:
        if name != table.manifest.spec.experiment:
            raise SpecError(
                f"{table.path}: column experiment: {name}, but its run is of "
                f"{table.manifest.spec.experiment}. Give the table of the run"
            )
        return study_copy.experiment_of(table.path.parent, table.manifest), raw, None
    known = given.experiments if given else studies.experiments()
    if name not in known:
        raise SpecError(
            f"{table.path} contains {name}, and there is no such experiment in {given.path}"
            if given
            else f"{table.path} contains {name}, which grace does not know. Name its study file with study="
        )
    return known[name], raw, None


def load(
    table: Table,
    trials: str | Path | None = None,
    study: str | Path | Study | None = None,
    *,
    ways: bool = False,
) -> pd.DataFrame:
    """One file as a tidy, checked frame; its answers in the base way, or with `ways` all."""
    raw = files.load(table.path)
    if table.structured is not None:
        raw = files.with_structured(raw, table.structured)
    factors = _factors(table, raw, study)
    if not factors:
        frame = _loaded(table, raw, trials, study)
        return frame.assign(**{WAY: BASE}) if ways else frame
    of_run = table.manifest.spec.ways[0].values() if table.manifest is not None else raw[factors].iloc[0]
    names = [column.removeprefix(WAY_FACTOR) for column in factors]
    base = dict(zip(names, map(str, of_run), strict=True))
    parts = []
    for levels, rows in raw.groupby(factors, sort=False):
        way = dict(zip(names, map(str, levels), strict=True))
        if way != base and not ways:
            continue
        frame = _loaded(table, rows.drop(columns=factors).reset_index(drop=True), trials, study)
        own = {WAY: asking.label(way, base), **dict(zip(factors, way.values(), strict=True))}
        parts.append(frame.assign(**own) if ways else frame)
    return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]


def _factors(table: Table, raw: pd.DataFrame, study: str | Path | Study | None) -> list[str]:
    """The columns of a table that say in which way a question was asked."""
    if table.manifest is not None:
        known = set(next(iter(table.manifest.spec.ways), ()))
    else:
        given = studies.find(str(study)) if isinstance(study, str | Path) else study
        every = [given] if given else map(studies.named, studies.names())
        known = {factor for one in every for factor in one.file.ways}
    return [name for name in raw.columns if name in {WAY_FACTOR + factor for factor in known}]


def _loaded(
    table: Table, raw: pd.DataFrame, trials: str | Path | None, study: str | Path | Study | None
) -> pd.DataFrame:
    """The rows of one way of asking as a tidy, checked frame."""
    experiment, long, listed = _experiment(table, raw, study)
    if listed is None:
        if trials is None and not table.trials.exists():
            raise SpecError(
                f"{table.path} contains trial numbers only, and its folder has no {table.trials.name}. Name "
                "the trial list with trials="
            )
        own = table.trials if trials is None else Path(trials)
        if table.manifest is not None:
            table.manifest.check_trials(own)
        listed = studies.read_trials(own, experiment.study, checked=True)
    long = files.typed(long, experiment, table.path)
    checks.known_trials(long, listed, table.path)
    (checks.scored if experiment.scored else checks.free)(long, experiment, table.path)
    return tidy(long, experiment, listed)


def tidy(long: pd.DataFrame, experiment: Experiment, listed: TrialList) -> pd.DataFrame:
    """The rows of a long table with what the trial list says of each trial, columns as `read` gives them."""
    declared.check_conditions(experiment)
    design = files.design(listed, experiment.shown)
    return arranged(long, experiment, design, listed.trials)


def arranged(
    long: pd.DataFrame, experiment: Experiment, design: pd.DataFrame, trials: Iterable[Trial]
) -> pd.DataFrame:
    """The rows of a long table with the design of each trial, columns as `read` gives them."""
    factors = design.columns.drop(["participant", "item", "stimulus"])
    taken = long.columns.intersection(design.columns)
    long = long.rename(columns={name: UNDECLARED + name for name in taken})
    if experiment.reversed_for:
        place = list(long.columns).index("reason") + 1
        long.insert(place, "reversed", files.reversals(long, experiment, trials))
    rest = [column for column in long.columns if column not in HEAD]
    return long.join(design, on="trial_id")[[*HEAD, *factors, *rest]]
