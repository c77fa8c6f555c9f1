"""Summaries of scored distributions, and distances between distributions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from grace_client.analysis._data.layout import one_way, require
from grace_client.core import measures
from grace_client.core.errors import SpecError
from grace_client.run.layout import KEYS, OK

Array = NDArray[np.float64]


def summarise(long: pd.DataFrame, *, prob: str = "prob_norm") -> pd.DataFrame:
    """Mean, standard deviation, median, mode and entropy of every scored distribution.

    Parameters
    ----------
    long : DataFrame
        A long table of scored answers, one row per trial, question and option, as `grace run` writes it or
        `read` gives it. Rows whose status is not ``ok`` are left out.
    prob : str
        Column of probabilities. They sum to 1 over the options of a question.

    Returns
    -------
    DataFrame
        One row per trial and question, in the order of `long`: ``model, experiment, trial_id, question``;
        ``mode`` (the likeliest option's name, the first of equals); ``entropy`` (bits) and ``entropy_share``
        (entropy divided by its highest possible value: 0 certain, 1 uniform); ``option_mass`` (probability);
        and, where every option is a number, ``mean``, ``std`` and ``median`` in the options' unit (percentage
        points for the percentages of Study 1), else empty.

    Raises
    ------
    SpecError
        If a column is missing, a question lacks an option that others have, or the probabilities of a
        question do not sum to 1.

    Examples
    --------
    >>> import pandas as pd
    >>> long = pd.DataFrame({
    ...     "model": "m", "experiment": "e", "trial_id": 1, "question": "state0",
    ...     "option": ["0", "50", "100"], "prob_norm": [0.25, 0.5, 0.25],
    ...     "option_mass": 0.9, "status": "ok",
    ... })
    >>> summarise(long)[["mode", "entropy", "mean", "std", "median"]].round(2)
      mode  entropy  mean    std  median
    0   50      1.5  50.0  35.36    50.0
    """
    one_way(long)
    needed = [*KEYS, "option", prob, "option_mass", "status"]
    if missing := [column for column in needed if column not in long.columns]:
        raise SpecError(f"not a long table of scored answers: column {', '.join(missing)} is missing")
    columns = [*KEYS, "mode", "entropy", "entropy_share", "option_mass", "mean", "std", "median"]
    answered = long[long["status"] == OK]
    parts = [
        _summaries(rows, prob)
        for _, rows in answered.groupby(["model", "experiment", "question"], sort=False)
    ]
    return pd.concat(parts).sort_index(ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _summaries(rows: pd.DataFrame, prob: str) -> pd.DataFrame:
    """Summaries of one question, one row per trial; the index is that of the trial's first row."""
    option, names = pd.factorize(rows["option"])
    trial, _ = pd.factorize(rows["trial_id"])
    first = rows.drop_duplicates("trial_id")
    p = np.full((len(first), len(names)), np.nan)
    p[trial, option] = rows[prob].to_numpy(dtype=np.float64)
    sums = p.sum(axis=1)
    # Written so that NaN is an error too.
    if len(wrong := np.flatnonzero(~(np.abs(sums - 1) < 1e-6))):
        key = first[list(KEYS)].astype("object").iloc[wrong[0]].to_dict()
        raise SpecError(f"{prob} of {key} sums to {sums[wrong[0]]:.6f}, not to 1")
    result = first[[*KEYS, "option_mass"]].assign(
        mode=np.asarray(names)[p.argmax(axis=1)],
        entropy=measures.entropy(p),
        entropy_share=normalised_entropy(p),
        mean=np.nan,
        std=np.nan,
        median=np.nan,
    )
    values = pd.to_numeric(pd.Series(names), errors="coerce").to_numpy(dtype=np.float64)
    if not np.isnan(values).any():
        order = np.argsort(values)
        p, values = p[:, order], values[order]
        result = result.assign(
            mean=measures.mean(p, values), std=measures.std(p, values), median=measures.median(p, values)
        )
    return result


def normalised_entropy(prob: ArrayLike) -> Array:
    """Entropy divided by its highest possible value, ``log2(n)`` for n options: 0 certain, 1 uniform.

    Parameters
    ----------
    prob : array_like, shape (..., n_options)
        Probabilities that sum to 1 over at least two options.

    Returns
    -------
    ndarray, shape (...)
    """
    prob = np.asarray(prob, dtype=np.float64)
    return np.asarray(measures.entropy(prob) / np.log2(prob.shape[-1]))


def wasserstein(p: ArrayLike, q: ArrayLike, values: ArrayLike) -> Array:
    r"""Wasserstein-1 distance of two distributions over ordered answers: the cost of moving one to the other.

    Parameters
    ----------
    p, q : array_like, shape (..., n_options)
        Probabilities that sum to 1.
    values : array_like, shape (n_options,)
        Place of each answer, ascending.

    Returns
    -------
    ndarray, shape (...)
        In the unit of `values`: :math:`\sum_i |F_p(x_i) - F_q(x_i)| (x_{i+1} - x_i)`.

    References
    ----------
    Vallender, S. S. (1974). Calculation of the Wasserstein distance between probability distributions on the
    line. *Theory of Probability and Its Applications*, 18(4), 784-786.

    Examples
    --------
    >>> float(wasserstein([1, 0, 0], [0, 0, 1], [0, 50, 100]))
    100.0
    """
    apart = np.cumsum(np.asarray(p, dtype=np.float64) - np.asarray(q, dtype=np.float64), axis=-1)
    return np.asarray(np.abs(apart[..., :-1]) @ np.diff(np.asarray(values, dtype=np.float64)))


def jensen_shannon(p: ArrayLike, q: ArrayLike) -> Array:
    r"""Jensen-Shannon divergence in bits, :math:`H(\frac{p+q}{2}) - \frac{H(p)+H(q)}{2}`.

    Parameters
    ----------
    p, q : array_like, shape (..., n_options)
        Probabilities that sum to 1.

    Returns
    -------
    ndarray, shape (...)
        0 where they are equal, 1 where nothing is possible in both.

    References
    ----------
    Lin, J. (1991). Divergence measures based on the Shannon entropy. *IEEE Transactions on Information
    Theory*, 37(1), 145-151.

    Examples
    --------
    >>> float(jensen_shannon([1, 0], [0, 1]))
    1.0
    """
    p, q = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    divergence = measures.entropy((p + q) / 2) - (measures.entropy(p) + measures.entropy(q)) / 2
    return np.clip(divergence, 0.0, 1.0)


def total_variation(p: ArrayLike, q: ArrayLike) -> Array:
    r"""Total variation distance, :math:`\frac12 \sum_i |p_i - q_i|`: 0 equal, 1 disjoint.

    Parameters and shapes as in `jensen_shannon`.

    Examples
    --------
    >>> float(total_variation([0.5, 0.5], [1, 0]))
    0.5
    """
    return np.asarray(0.5 * np.abs(np.asarray(p, np.float64) - np.asarray(q, np.float64)).sum(axis=-1))


def pmi(frame: pd.DataFrame, null: pd.DataFrame) -> pd.DataFrame:
    r"""Pointwise mutual information of context and answer: how much the context raises each answer.

    Parameters
    ----------
    frame : DataFrame
        Scored answers as `read` gives them.
    null : DataFrame
        Scored answers of the same model to the same stimuli with the context left out, as `read` gives them
        of the experiments ``study1-null`` and ``study2-null``.

    Returns
    -------
    DataFrame
        `frame` with ``pmi`` (bits), :math:`\log_2 P(option \mid context) - \log_2 P(option \mid null)`, and
        ``prob_pmi``, proportional to :math:`2^{pmi}` over the options of a question. Failed rows have none.

    Raises
    ------
    SpecError
        If `null` has no value, or several, for an option of a stimulus of `frame`.

    References
    ----------
    Holtzman, A., West, P., Shwartz, V., Choi, Y., & Zettlemoyer, L. (2021). Surface form competition: Why the
    highest probability answer isn't always right. *EMNLP 2021*, 7038-7051.
    """
    keys = ["model", "stimulus", "question", "option"]
    require(frame, [*KEYS, "stimulus", "option", "logprob", "status"])
    require(null, [*keys, "logprob", "status"], "the null context")
    base = null[null["status"] == OK].drop_duplicates([*keys, "logprob"])
    _refuse_any(base, base.duplicated(keys), "several values for", "; give one run of it for each model")
    joined = frame.join(base.set_index(keys)["logprob"].rename("null"), on=keys)
    answered = joined["status"] == OK
    _refuse_any(joined, answered & joined["null"].isna(), "no value for", "; run it with the same trial list")
    bits = (joined["logprob"] - joined["null"]).where(answered) / np.log(2)
    by_question = [joined[key] for key in KEYS]
    raised = np.exp2(bits - bits.groupby(by_question).transform("max"))
    share = raised / raised.groupby(by_question).transform("sum")
    return frame.assign(pmi=bits, prob_pmi=share.where(answered))


def _refuse_any(rows: pd.DataFrame, wrong: pd.Series[bool], what: str, then: str) -> None:
    """SpecError if a row is wrong; it names the option of the first such row."""
    if wrong.any():
        row = rows.iloc[int(wrong.to_numpy().argmax())]
        raise SpecError(
            f"the null context has {what} {row['question']}, option {row['option']} of {row['model']}, "
            f"stimulus {row['stimulus']}{then}"
        )
