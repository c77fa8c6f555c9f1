"""How far a run's answers can be relied on: option mass, failures, effort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from grace_client.analysis._data.files import unread
from grace_client.analysis._data.layout import distinct, require
from grace_client.analysis.inference import mean_intervals
from grace_client.core.errors import NotEnoughDataError
from grace_client.run.layout import OK
from grace_client.run.manifest import Manifest

ASKED = ("model", "experiment", "trial_id", "question")


def option_mass(
    frame: pd.DataFrame,
    by: Sequence[str] = ("question",),
    *,
    threshold: float = 0.5,
    cluster: str | None = None,
) -> pd.DataFrame:
    """How much probability lies on any of the offered answers at all.

    Parameters
    ----------
    frame : DataFrame
        Scored answers, as `read` gives them.
    by : sequence of str
        Columns that make the groups, beside the model: ``question``, and the design's factors for cells.
    threshold : float
        Below which a question counts as hardly answered.
    cluster : str, optional
        What is drawn for the interval: ``item`` (the story or domain) where it is not given; see
        `inference.mean_intervals`.

    Returns
    -------
    DataFrame
        ``model``, `by`, ``mean, low, high, minimum, share_below`` (of the questions asked, those whose option
        mass is below `threshold`), ``n`` (answers) and ``n_distinct`` (clusters).

    Examples
    --------
    >>> from grace_client.analysis import example, quality
    >>> found = quality.option_mass(example.scored("study2"))
    >>> found[["question", "mean", "share_below", "n", "n_distinct"]].round(2)
        question  mean  share_below     n  n_distinct
    0  utterance   0.9          0.0  2424          12
    """
    require(frame, [*ASKED, *by, "stimulus", "option_mass", "status"])
    rows = frame[(frame["status"] == OK) & frame["option_mass"].notna()].drop_duplicates(list(ASKED))
    if rows.empty:
        raise NotEnoughDataError("no row has an option mass; a wide table has none, read the run's folder")
    keys = ["model", *by]
    found = mean_intervals(rows, "option_mass", keys, cluster=cluster, bounds=(0, 1)).drop(columns="se")
    rows = rows.assign(below=rows["option_mass"] < threshold)
    grouped = rows.groupby(keys, sort=False)
    extremes = grouped.agg(minimum=("option_mass", "min"), share_below=("below", "mean")).reset_index()
    found = found.merge(extremes, on=keys, how="left")
    return found[[*keys, "mean", "low", "high", "minimum", "share_below", "n", "n_distinct"]]


def completeness(frame: pd.DataFrame) -> pd.DataFrame:
    """What was answered and what was not.

    Parameters
    ----------
    frame : DataFrame
        Answers as `read` gives them.

    Returns
    -------
    DataFrame
        One row per model, experiment and question: ``n`` (answers wanted), ``n_distinct`` (items:
        stories or domains), ``answered, failed, share_answered``; for free text ``cut_off`` (answers that
        reached the longest length); and, where they were extracted, ``unparsed`` (answers without a clear
        meaning).

    Examples
    --------
    >>> from grace_client.analysis import example, quality
    >>> quality.completeness(example.free("study2"))[["question", "n", "answered", "failed"]]
        question     n  answered  failed
    0  utterance  2424      2424       0
    """
    require(frame, [*ASKED, "stimulus", "status"])
    keys = ["model", "experiment", "question"]
    free = "response" in frame.columns
    rows = frame if free else frame.drop_duplicates(list(ASKED))
    rows = rows.assign(answered=rows["status"] == OK)
    columns = {
        "n": ("answered", "size"),
        "n_distinct": (distinct(frame), "nunique"),
        "answered": ("answered", "sum"),
    }
    if free:
        rows["cut"] = rows["answered"] & (rows["finish_reason"] == "length")
        columns["cut_off"] = ("cut", "sum")
        if "structured" in rows.columns:
            rows["unparsed"] = rows["answered"] & unread(rows)
            columns["unparsed"] = ("unparsed", "sum")
    found = rows.groupby(keys, sort=False).agg(**columns).reset_index()
    place = found.columns.get_loc("answered")
    assert isinstance(place, int)
    found.insert(place + 1, "failed", found["n"] - found["answered"])
    found.insert(place + 2, "share_answered", found["answered"] / found["n"])
    return found


def failures(frame: pd.DataFrame) -> pd.DataFrame:
    """Why answers are missing.

    Returns
    -------
    DataFrame
        One row per model, experiment, question, status other than ``ok``, and reason: ``count``, ``share``
        (of the answers wanted), ``n`` (answers wanted) and ``n_distinct`` (items concerned: stories or
        domains). Empty where nothing failed.

    Examples
    --------
    >>> from grace_client.analysis import example, quality
    >>> frame = example.free("study2")
    >>> frame.loc[0, ["status", "reason"]] = ["timeout", "no answer within 60 s"]
    >>> quality.failures(frame)[["status", "count", "n"]]
        status  count     n
    0  timeout      1  2424
    """
    require(frame, [*ASKED, "stimulus", "status", "reason"])
    keys = ["model", "experiment", "question"]
    rows = frame if "response" in frame.columns else frame.drop_duplicates(list(ASKED))
    wanted = rows.groupby(keys, sort=False).size().rename("n").reset_index()
    failed = rows[rows["status"] != OK]
    found = failed.groupby([*keys, "status", "reason"], sort=False).agg(
        count=("trial_id", "size"), n_distinct=(distinct(frame), "nunique")
    )
    found = found.reset_index().merge(wanted, on=keys, how="left")
    found["share"] = found["count"] / found["n"]
    return found[[*keys, "status", "reason", "count", "share", "n", "n_distinct"]]


def effort(manifests: Mapping[tuple[str, str], Manifest]) -> pd.DataFrame:
    """What a run took.

    Parameters
    ----------
    manifests : mapping of (model, experiment) to Manifest
        As in ``frame.attrs["manifests"]``.

    Returns
    -------
    DataFrame
        One row per run: ``model, experiment``, ``n`` (questions of all trials), ``n_distinct`` (questions
        asked), ``wall_seconds``, ``questions_per_second``, ``prompt_tokens`` and ``generated_tokens`` (of the
        answers; what retries and repeated prompts cost the server is not in them), ``tokens_per_second``,
        ``retries`` (requests sent again), ``prefix_cache_hit_rate`` (share of prompt tokens that the server
        had computed before, those of others on the same server included). What was not recorded is missing:
        so are the last two where a process that asked was killed.

    Examples
    --------
    >>> from grace_client.analysis import example, quality
    >>> quality.effort(example.manifests("study2"))[["model", "experiment"]]
         model   experiment
    0  example  study2-exp2
    """
    rows = []
    for (model, experiment), manifest in manifests.items():
        results = manifest.results
        seconds, distinct = results.get("wall_seconds"), results.get("distinct")
        tokens = results.get("tokens", {})
        prompt, generated = tokens.get("prompt"), tokens.get("generated")
        both = None if prompt is None else prompt + (generated or 0)
        counted = _counted(manifest)
        rows.append(
            {
                "model": model,
                "experiment": experiment,
                "n": results.get("items"),
                "n_distinct": distinct,
                "wall_seconds": seconds,
                "questions_per_second": _rate(distinct, seconds),
                "prompt_tokens": prompt,
                "generated_tokens": generated,
                "tokens_per_second": _rate(both, seconds),
                "retries": counted.get("retries"),
                "prefix_cache_hit_rate": _rate(
                    counted.get("prefix_cache_hits"), counted.get("prefix_cache_queries")
                ),
            }
        )
    frame = pd.DataFrame(rows)
    for column in frame.columns.drop(["model", "experiment"], errors="ignore"):
        frame[column] = pd.to_numeric(frame[column]).astype(np.float64)
    return frame


def _rate(count: float | None, per: float | None) -> float | None:
    return None if count is None or not per else count / per


def _counted(manifest: Manifest) -> dict[str, float]:
    """Totals that all sessions have; none unless the sessions asked everything."""
    sessions = manifest.sessions
    if not sessions or sum(session.asked for session in sessions) < manifest.results.get("distinct", 0):
        return {}
    names = set.intersection(*(set(session.counters) for session in sessions))
    return {name: sum(session.counters[name] for session in sessions) for name in names}
