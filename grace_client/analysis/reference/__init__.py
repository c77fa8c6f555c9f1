"""The human results of both studies, with their sources."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd

from grace_client.analysis.intervals import clopper_pearson
from grace_client.analysis.reference._design import GOALS, STATES, UTTERANCES

__all__ = [
    "STATES",
    "UTTERANCES",
    "meanings",
    "noise_ceiling",
    "sources",
    "speaker_model",
    "study1",
    "study1_tests",
    "study2",
    "study2_negation",
    "study2_speaker",
]


@cache
def _read(study: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(__name__).joinpath(f"{study}.toml").read_text(encoding="utf-8"))


def study1() -> pd.DataFrame:
    """The eight planned contrasts of Study 1, and whether people show them.

    Returns
    -------
    DataFrame
        One row per contrast: ``access, observe`` (the number the speaker names; both text), ``greater,
        lesser`` (states, 0 to 3), ``holds`` (whether people bet more on `greater`) and ``source``.

    Examples
    --------
    >>> from grace_client.analysis import reference
    >>> found = reference.study1()
    >>> int(found["holds"].sum()), len(found)
    (4, 8)
    """
    data = _read("study1")
    return pd.DataFrame(data["contrasts"]).assign(source=data["source"])


def study1_tests() -> pd.DataFrame:
    """Omnibus F tests of the bets on state 3 in Study 1, as printed in the paper.

    Returns
    -------
    DataFrame
        ``effect, df1, df2, statistic`` (F) and ``source``.
    """
    data = _read("study1")
    return pd.DataFrame(data["tests"]).assign(source=data["source"])


def study2() -> pd.DataFrame:
    """Counts and shares of the utterances that people chose in Study 2.

    Returns
    -------
    DataFrame
        One row per goal, state and utterance (96): ``goal, state, utterance``; ``count`` and ``n`` (answers
        of the cell); ``share`` with its exact 95 % interval ``low, high``; ``source``.

    References
    ----------
    Clopper, C. J., & Pearson, E. S. (1934). The use of confidence or fiducial limits illustrated in the case
    of the binomial. *Biometrika*, 26(4), 404-413, for the interval.

    Examples
    --------
    >>> from grace_client.analysis import reference
    >>> human = reference.study2()
    >>> said = human["utterance"].str.startswith("wasnt")
    >>> negation = human[said].groupby(["goal", "state"])["share"].sum()
    >>> round(float(negation["both", "0 hearts"]), 3)
    0.734
    """
    data = _read("study2")
    rows = [
        (goal, state, utterance, count)
        for goal in GOALS
        for state in STATES
        for utterance, count in zip(UTTERANCES, data["counts"][goal][state], strict=True)
    ]
    result = pd.DataFrame(rows, columns=["goal", "state", "utterance", "count"])
    result["n"] = result.groupby(["goal", "state"])["count"].transform("sum")
    result["share"] = result["count"] / result["n"]
    result["low"], result["high"] = clopper_pearson(result["count"], result["n"])
    return result.assign(source=data["source"])


def study2_negation() -> pd.DataFrame:
    """Counts and shares of the negated utterances that people chose in Study 2.

    Returns
    -------
    DataFrame
        One row per goal and state: ``goal, state, count`` (negated answers), ``n``, ``share`` with its exact
        95 % interval ``low, high`` (`intervals.clopper_pearson`), and ``source``.
    """
    human = study2()
    negated = human[human["utterance"].str.startswith("wasnt")]
    result = negated.groupby(["goal", "state"], sort=False, as_index=False).agg(
        count=("count", "sum"), n=("n", "first"), source=("source", "first")
    )
    result.insert(4, "share", result["count"] / result["n"])
    low, high = clopper_pearson(result["count"], result["n"])
    result.insert(5, "low", low)
    result.insert(6, "high", high)
    return result


def study2_speaker() -> pd.DataFrame:
    """Utility weights of the speakers in Study 2, as inferred by the paper's own model.

    Returns
    -------
    DataFrame
        One row per goal condition: ``goal``, the inferred weights ``informational, social, presentational``
        (of the speaker's three utilities; they sum to 1 but for rounding), ``phi`` (how the speaker wants to
        appear: 0 kind, 1 informative) and ``source``.

    Examples
    --------
    >>> from grace_client.analysis import reference
    >>> reference.study2_speaker()[["goal", "social", "presentational"]]
                goal  social  presentational
    0           both    0.11            0.54
    1         social    0.31            0.44
    2  informational    0.02            0.62
    """
    data = _read("study2")["speaker"]
    rows = [{"goal": goal, **data[goal]} for goal in GOALS]
    return pd.DataFrame(rows).assign(source=data["source"])


def speaker_model() -> dict[str, Any]:
    """The parameter ranges of the authors' model of the polite speaker.

    Returns
    -------
    dict
        ``phi``, the 40 values of φ; ``alpha`` and ``cost``, least and largest optimality and cost of a
        negation; ``cost_of_others``, of an utterance without one.
    """
    return dict(_read("study2")["speaker_model"])


def sources() -> pd.DataFrame:
    """The source of each number about people in the package.

    Returns
    -------
    DataFrame
        One row per number, all text: ``figure`` (its place in the package's files, such as
        ``study2.counts.both.0 hearts``), ``value`` (JSON), ``source``, ``file`` and ``lines`` in it,
        ``commit`` of the file's repository (empty for a paper) and ``note``: how the value follows from the
        source, and where sources differ.

    Examples
    --------
    >>> from grace_client.analysis import reference
    >>> traced = reference.sources().set_index("figure")
    >>> traced.loc["study2.meanings.was_bad", ["value", "file"]].tolist()
    ['[49, 45, 0, 0]', '02_analysis/01_data/literal_semantics.json']
    """
    with resources.files(__name__).joinpath("sources.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype=str, keep_default_na=False)


def meanings() -> pd.DataFrame:
    """Literal meanings of the utterances of Study 2: how many people accept each one for each state.

    Returns
    -------
    DataFrame
        One row per utterance and state (32): ``utterance, state``; ``count`` of the ``n`` people who accept
        it, ``share`` and ``source``.
    """
    data = _read("study2")["meanings"]
    rows = [
        (utterance, state, count, data["n"])
        for utterance in UTTERANCES
        for state, count in zip(STATES, data[utterance], strict=True)
    ]
    result = pd.DataFrame(rows, columns=["utterance", "state", "count", "n"])
    return result.assign(share=result["count"] / result["n"], source=data["source"])


def noise_ceiling(*, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Noise ceiling of Study 2: closeness of a second sample of people, and of the true shares, to a sample.

    Samples of the published size are drawn from the published shares, cell by cell (multinomial), and
    compared as a model is compared with people (see `grace_client.analysis.compare`). A ``second sample`` has
    noise of its own. The ``true shares`` have none and are therefore closer: so is a perfect model.
    Neither is a limit: a theory that is fitted to the sample follows its noise too and may be closer. The
    published shares are used as the shares of the population, so the numbers are estimates.

    Parameters
    ----------
    draws : int
        Number of pairs of samples.
    seed : int
        Seed of the samples.

    Returns
    -------
    DataFrame
        One row per comparison and statistic: ``compared`` (``second sample`` or ``true shares``),
        ``statistic`` (as `compare.statistics` gives it, deviations being over goals), its median over the
        draws (``value``) and the middle 95 % of them (``low, high``), ``n`` (answers) and ``source``.

    Examples
    --------
    >>> from grace_client.analysis import reference
    >>> found = reference.noise_ceiling(draws=200).set_index(["compared", "statistic"])["value"]
    >>> bool(found["true shares", "js"] < found["second sample", "js"])
    True
    """
    from grace_client.analysis import compare

    human = study2()
    sizes = human.groupby(["goal", "state"], sort=False)["n"].first().to_numpy()
    shares = human["share"].to_numpy().reshape(len(sizes), len(UTTERANCES))
    states = np.tile(np.arange(len(STATES)), len(GOALS))
    rng = np.random.default_rng(seed)
    cells = [rng.multinomial(n, p, size=(2, draws)) / n for n, p in zip(sizes, shares, strict=True)]
    first, second = np.stack(cells, axis=2)
    rows = []
    for compared, other in (("second sample", second), ("true shares", shares)):
        for name, values in compare.statistics(first, other, states).items():
            low, middle, high = (float(value) for value in np.quantile(values, [0.025, 0.5, 0.975]))
            rows.append((compared, name, middle, low, high))
    frame = pd.DataFrame(rows, columns=["compared", "statistic", "value", "low", "high"])
    return frame.assign(n=int(sizes.sum()), source=human["source"].iloc[0])
