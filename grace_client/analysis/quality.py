"""Whether the answers of a run can be relied on: option mass, failures, effort, noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from grace_client.analysis._data.layout import distinct, require
from grace_client.analysis.inference import mean_intervals
from grace_client.core.errors import NotEnoughDataError
from grace_client.core.scoring import LOW_MASS
from grace_client.run.layout import BETS, KEYS, OK
from grace_client.run.manifest import Manifest


def option_mass(
    frame: pd.DataFrame,
    by: Sequence[str] = ("question",),
    *,
    threshold: float = LOW_MASS,
    cluster: str | None = None,
) -> pd.DataFrame:
    """Mean option mass, the probability of all offered answers together, with its interval.

    Parameters
    ----------
    frame : DataFrame
        Scored answers, as `read` gives them.
    by : sequence of str
        Columns that make the groups, together with the model: ``question``, and the factors for cells.
    threshold : float
        Option mass below which a question counts in ``share_below``.
    cluster : str, optional
        Column of the clusters of the interval; ``item`` (the story or domain) by default. See
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
    require(frame, [*KEYS, *by, "stimulus", "option_mass", "status"])
    rows = frame[(frame["status"] == OK) & frame["option_mass"].notna()].drop_duplicates(list(KEYS))
    if rows.empty:
        raise NotEnoughDataError("no row has an option mass. A wide table has none: read the run folder")
    keys = ["model", *by]
    result = mean_intervals(rows, "option_mass", keys, cluster=cluster, bounds=(0, 1)).drop(columns="se")
    rows = rows.assign(below=rows["option_mass"] < threshold)
    grouped = rows.groupby(keys, sort=False)
    extremes = grouped.agg(minimum=("option_mass", "min"), share_below=("below", "mean")).reset_index()
    result = result.merge(extremes, on=keys, how="left")
    return result[[*keys, "mean", "low", "high", "minimum", "share_below", "n", "n_distinct"]]


def completeness(frame: pd.DataFrame) -> pd.DataFrame:
    """Number of answers expected, received and missing.

    Parameters
    ----------
    frame : DataFrame
        Answers as `read` gives them.

    Returns
    -------
    DataFrame
        One row per model, experiment and question: ``n`` (answers expected), ``n_distinct`` (items:
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
    require(frame, [*KEYS, "stimulus", "status"])
    keys = ["model", "experiment", "question"]
    free = "response" in frame.columns
    rows = frame if free else frame.drop_duplicates(list(KEYS))
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
            rows["unparsed"] = rows["answered"] & unparsed(rows)
            columns["unparsed"] = ("unparsed", "sum")
    result = rows.groupby(keys, sort=False).agg(**columns).reset_index()
    place = result.columns.get_loc("answered")
    assert isinstance(place, int)
    result.insert(place + 1, "failed", result["n"] - result["answered"])
    result.insert(place + 2, "share_answered", result["answered"] / result["n"])
    return result


def unparsed(frame: pd.DataFrame) -> pd.Series[bool]:
    """Whether each free-text answer has no clear meaning: neither a value nor percentages of all states.

    Parameters
    ----------
    frame : DataFrame
        Free text with structured answers, as `read` gives it.

    Returns
    -------
    Series of bool
        With the index of `frame`.

    Examples
    --------
    >>> from grace_client.analysis import example, quality
    >>> int(quality.unparsed(example.free("study2")).sum())
    0
    """
    lost = (frame["structured"] == "unparsed") | frame["structured"].isna()
    return lost & frame[list(BETS)].isna().any(axis=1) if set(BETS) <= set(frame.columns) else lost


def failures(frame: pd.DataFrame) -> pd.DataFrame:
    """Number of missing answers by status and reason.

    Parameters
    ----------
    frame : DataFrame
        Answers as `read` gives them.

    Returns
    -------
    DataFrame
        One row per model, experiment, question, status other than ``ok``, and reason: ``count``, ``share``
        (of the answers expected), ``n`` (answers expected) and ``n_distinct`` (items concerned: stories or
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
    require(frame, [*KEYS, "stimulus", "status", "reason"])
    keys = ["model", "experiment", "question"]
    rows = frame if "response" in frame.columns else frame.drop_duplicates(list(KEYS))
    expected = rows.groupby(keys, sort=False).size().rename("n").reset_index()
    failed = rows[rows["status"] != OK]
    result = failed.groupby([*keys, "status", "reason"], sort=False).agg(
        count=("trial_id", "size"), n_distinct=(distinct(frame), "nunique")
    )
    result = result.reset_index().merge(expected, on=keys, how="left")
    result["share"] = result["count"] / result["n"]
    return result[[*keys, "status", "reason", "count", "share", "n", "n_distinct"]]


def effort(manifests: Mapping[tuple[str, str], Manifest]) -> pd.DataFrame:
    """Time, tokens and retries of each run.

    Parameters
    ----------
    manifests : mapping of (model, experiment) to Manifest
        As `grace_client.analysis.manifests` gives them.

    Returns
    -------
    DataFrame
        One row per run: ``model, experiment``, ``n`` (questions of all trials), ``n_distinct`` (questions
        asked), ``wall_seconds``, ``questions_per_second``, ``prompt_tokens`` and ``generated_tokens`` (of the
        answers; what retries and repeated prompts cost the server is not in them), ``tokens_per_second``,
        ``retries`` (requests sent again), ``prefix_cache_hit_rate`` (share of the server's prompt tokens that
        were in its cache; it includes other users of the server). Values that were not recorded are missing.
        The last two are also missing if a process of the run was killed.

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


def noise(manifests: Mapping[tuple[str, str], Manifest]) -> pd.DataFrame:
    r"""Variation of scored answers when the same questions are asked again, by run.

    `grace noise` scores some questions several times. Functions that take ``noise=`` add the noise floor of
    each effect: the size that the effect exceeds by this noise alone once in 20 times.

    Parameters
    ----------
    manifests : mapping of (model, experiment) to Manifest
        As `grace_client.analysis.manifests` gives them.

    Returns
    -------
    DataFrame
        One row per run whose noise was measured: ``model, experiment, sd_nats`` (standard deviation of an
        option's log-probability between repeats, in nats), ``sd_points`` (of its normalised probability, in
        percentage points), ``p95_points`` (95% of the questions differ by less than this in every option),
        ``questions`` and ``repeats``.

    Notes
    -----
    Write :math:`\sigma` for ``sd_points``. The errors of a question's options are assumed to be equally large
    and, apart from their sum of 0, uncorrelated. Errors of different questions are assumed to be
    independent. A linear summary :math:`\sum_i a_i p_i` of the n options of a question then has the variance

    .. math:: \sigma^2 \frac{n}{n - 1} \sum_i (a_i - \bar a)^2.

    For an elicited percentage (the mean over 0%, 10%, …, 100%) this is :math:`\sigma_m = 110\,\sigma`
    percentage points. A combination of bets, :math:`d = \sum_s c_s b_s` with :math:`b_s = 100\,m_s / T` and
    :math:`T = \sum_s m_s`, has by the delta method

    .. math:: \mathrm{Var}(d) = \frac{\sigma_m^2}{T^2} \sum_s (100\,c_s - d)^2 .

    An effect is a mean over distinct stimuli, each of which was asked once, with weights :math:`w_j` that sum
    to 1: its variance is :math:`\sum_j w_j^2 \mathrm{Var}(d_j)`. The floor is 1.96 times its root, in the
    unit of the effect. The floor of a difference between two rows of a table, which share no question, is
    the root of the sum of their squared floors.

    Examples
    --------
    >>> from grace_client.analysis import example, quality, study1
    >>> noise = quality.noise(example.manifests("study1"))
    >>> found = study1.contrasts(example.scored("study1"), noise=noise)
    >>> found[["difference", "noise_floor", "below_noise"]].head(4).round(2)
       difference  noise_floor  below_noise
    0       78.21         0.17        False
    1       72.31         0.17        False
    2       66.37         0.16        False
    3      -23.43         0.13        False
    """
    columns = ["model", "experiment", "sd_nats", "sd_points", "p95_points", "questions", "repeats"]
    rows = [
        (*key, noise.nats.sd, noise.points.sd, noise.points.p95, noise.questions, noise.repeats)
        for key, manifest in manifests.items()
        if (noise := manifest.noise)
    ]
    return pd.DataFrame(rows, columns=columns)


def outside(manifests: Mapping[tuple[str, str], Manifest]) -> pd.DataFrame:
    """What models would say instead of the declared forms, by run and kind of question.

    Parameters
    ----------
    manifests : mapping of (model, experiment) to Manifest
        As `grace_client.analysis.manifests` gives them.

    Returns
    -------
    DataFrame
        One row per run, kind of question and beginning of an answer, the likeliest first: ``model,
        experiment, kind``; ``option_mass`` (mean over the different questions); ``beginning`` (its text);
        ``prob`` (mean probability that an answer begins with it, a lower bound: where it is not among the
        kept beginnings of a question, it counts 0); ``questions`` (in how many it was kept);
        ``accepted_as`` (the option that a person would understand; None if none). No row for runs that kept
        nothing.

    Examples
    --------
    >>> from grace_client.analysis import example, quality
    >>> quality.outside(example.manifests("study2"))[["kind", "beginning", "prob", "accepted_as"]]
            kind beginning  prob accepted_as
    0  utterance      **It  0.06        None
    1  utterance   Perhaps  0.02        None
    """
    columns = ["model", "experiment", "kind", "option_mass", "beginning", "prob", "questions", "accepted_as"]
    rows = [
        (*key, kind, entry["option_mass"], one["text"], one["prob"], one["questions"], one["option"])
        for key, manifest in manifests.items()
        for kind, entry in manifest.results.get("outside", {}).items()
        for one in entry["beginnings"]
    ]
    return pd.DataFrame(rows, columns=columns)


def _rate(count: float | None, per: float | None) -> float | None:
    return None if count is None or not per else count / per


def _counted(manifest: Manifest) -> dict[str, float]:
    """Totals that all sessions have; none unless the sessions asked everything."""
    sessions = manifest.sessions
    if not sessions or sum(session.asked for session in sessions) < manifest.results.get("distinct", 0):
        return {}
    names = set.intersection(*(set(session.counters) for session in sessions))
    return {name: sum(session.counters[name] for session in sessions) for name in names}
