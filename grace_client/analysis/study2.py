"""Study 2, politeness: what is said by goal and state.

Yoon, E. J., Tessler, M. H., Goodman, N. D., & Frank, M. C. (2020). Polite speech emerges from competing
social goals. *Open Mind*, 4. doi:10.1162/opmi_a_00035
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from grace_client.analysis.files import OK
from grace_client.analysis.inference import bootstrap, holm, per_model, require
from grace_client.errors import SpecError
from grace_client.studies.study2 import ADJECTIVES, FRAMES

CELL = ("goal", "state")
GOALS = ("both", "social", "informational")
STATES = ("0 hearts", "1 heart", "2 hearts", "3 hearts")
UTTERANCES = tuple(f"{frame}_{adjective}" for frame in FRAMES for adjective in ADJECTIVES)

CHANCE = {"utterance": 1 / len(UTTERANCES), "adjective": 1 / len(ADJECTIVES), "negation": 1 / len(FRAMES)}
"""Probability of an answer of each kind where one of the eight utterances is drawn blindly."""


def counts(frame: pd.DataFrame) -> pd.DataFrame:
    """How often each utterance was chosen, by goal and state.

    Parameters
    ----------
    frame : DataFrame
        Study 2 free text with structured answers, as `read` gives it; or counts, which are checked and
        completed.

    Returns
    -------
    DataFrame
        ``model, goal, state, utterance, count, n`` (choices in the cell) and ``n_distinct`` (stimuli, or
        choices where only counts are known). Every cell with a choice has all eight utterances. Answers that
        are not one of the eight are no choices; nor are cells without any.
    """
    if "count" in frame.columns:
        require(frame, ["model", *CELL, "utterance"], "the counts")
        wrong = frame["count"].isna() | (frame["count"] < 0) | (frame["count"] % 1 != 0)
        if wrong.any():
            row = frame.index[wrong][0]
            raise SpecError(f"row {row}, column count: {frame.at[row, 'count']!r} is no count")
        if (twice := frame.duplicated(["model", *CELL, "utterance"])).any():
            row = frame.index[twice][0]
            raise SpecError(f"row {row}: {frame['utterance'][row]} is there twice in its cell")
        strange = ~frame["utterance"].isin(UTTERANCES)
        if strange.any():
            row = frame.index[strange][0]
            raise SpecError(
                f"row {row}, column utterance: {frame.at[row, 'utterance']!r} is none of the eight"
            )
        chosen = frame.groupby(["model", *CELL, "utterance"], sort=False)["count"].sum()
        distinct = None
    else:
        rows = _choices(frame)
        chosen = rows.groupby(["model", *CELL, "structured"], sort=False).size()
        distinct = rows.groupby(["model", *CELL], sort=False)["stimulus"].nunique()
    wide = chosen.unstack(level=-1, fill_value=0).reindex(columns=list(UTTERANCES)).fillna(0)
    # A row of zeros is a cell that nobody was asked in.
    wide = wide[wide.sum(axis=1) > 0].astype(np.int64)
    long = wide.reset_index().melt(["model", *CELL], list(UTTERANCES), "utterance", "count")
    long["n"] = long.groupby(["model", *CELL], sort=False)["count"].transform("sum")
    if distinct is None:
        long["n_distinct"] = long["n"]
    else:
        keys = pd.MultiIndex.from_frame(long[["model", *CELL]])
        long["n_distinct"] = distinct.reindex(keys).to_numpy()
    return _ordered(long, frame["model"])


def _choices(frame: pd.DataFrame) -> pd.DataFrame:
    require(frame, ["model", *CELL, "stimulus", "status", "structured"], "free text")
    rows = frame[(frame["status"] == OK) & frame["structured"].isin(UTTERANCES)]
    if rows.empty:
        raise SpecError("no answer is one of the eight utterances: is this Study 2, and was it extracted?")
    return rows


def utterances(frame: pd.DataFrame, *, draws: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """How much each utterance is said, by goal and state.

    Parameters
    ----------
    frame : DataFrame
        Study 2 as `read` gives it: scored, or free text with structured answers; or counts, with columns
        ``model, goal, state, utterance, count``.
    draws, seed : int
        Of the bootstrap by stimulus; see `inference.bootstrap`.

    Returns
    -------
    DataFrame
        ``model, goal, state, utterance, mean, low, high, n, n_distinct, chance``. Scored, ``mean`` is the
        mean probability; else the share of the choices. The interval is that of the bootstrap, for counts
        that of Wilson. ``chance`` is 1/8.

    References
    ----------
    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. *Journal of
    the American Statistical Association*, 22(158), 209-212.
    """
    if "count" in frame.columns:
        table = counts(frame)
        found = _wilson(table.assign(k=table["count"]))
        return found[["model", *CELL, "utterance", "mean", "low", "high", "n", "n_distinct"]].assign(
            chance=CHANCE["utterance"]
        )
    rows = _probabilities(frame)
    found = bootstrap(rows, "prob", ["model", *CELL, "utterance"], draws=draws, seed=seed)
    return _ordered(found.drop(columns="se")).assign(chance=CHANCE["utterance"])


def _probabilities(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per trial (or answer) and utterance: its probability, or 1 where it was said and 0 elsewhere."""
    if "response" in frame.columns:
        said = _choices(frame).reset_index(drop=True)
        parts = [
            said.assign(utterance=u, prob=(said["structured"] == u).astype(np.float64)) for u in UTTERANCES
        ]
        return pd.concat(parts, ignore_index=True)
    require(frame, ["model", *CELL, "stimulus", "question", "option", "prob_norm", "status"])
    rows = frame[(frame["question"] == "utterance") & (frame["status"] == OK)]
    if rows.empty:
        raise SpecError("no utterance question was answered: is this Study 2, Experiment 2?")
    return rows.rename(columns={"option": "utterance", "prob_norm": "prob"})


def _pooled(frame: pd.DataFrame, label: Callable[[pd.Series], pd.Series]) -> pd.DataFrame:
    rows = _probabilities(frame)
    keys = [c for c in ("model", "trial_id", "replicate", "stimulus", *CELL) if c in rows.columns]
    rows = rows.assign(utterance=label(rows["utterance"]))
    return rows.groupby([*keys, "utterance"], sort=False)["prob"].sum().reset_index()


def negation(frame: pd.DataFrame, *, draws: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """How much is said with a negation ("It wasn't …"), by goal and state.

    Parameters as for `utterances`.

    Returns
    -------
    DataFrame
        ``model, goal, state, mean, low, high, n, n_distinct, chance``; ``chance`` is 1/2.
    """
    if "count" in frame.columns:
        table = counts(frame)
        negated = table["count"].where(table["utterance"].str.startswith("wasnt_"), 0)
        cells = table.assign(k=negated).groupby(["model", *CELL], sort=False)
        found = _wilson(
            cells.agg(k=("k", "sum"), n=("n", "first"), n_distinct=("n_distinct", "first")).reset_index()
        )
    else:
        frames = _pooled(frame, lambda name: name.str.split("_").str[0])
        found = bootstrap(
            frames[frames["utterance"] == "wasnt"], "prob", ["model", *CELL], draws=draws, seed=seed
        )
    order = ["model", *CELL, "mean", "low", "high", "n", "n_distinct"]
    return _ordered(found[order]).assign(chance=CHANCE["negation"])


def _wilson(table: pd.DataFrame) -> pd.DataFrame:
    """Share k of n with Wilson's 95% interval."""
    from scipy import stats

    z2 = float(stats.norm.ppf(0.975)) ** 2
    n, share = table["n"], table["k"] / table["n"]
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return table.assign(mean=share, low=(centre - reach).clip(lower=0), high=(centre + reach).clip(upper=1))


def binomial(frame: pd.DataFrame, *, of: str = "utterance", alternative: str = "two-sided") -> pd.DataFrame:
    """Exact binomial tests of choices against chance, in every cell.

    Parameters
    ----------
    frame : DataFrame
        Study 2 free text with structured answers, or counts. Scored probabilities are no counts and are
        refused.
    of : {"utterance", "adjective", "negation"}
        What is tested: each of the eight utterances against 1/8, each adjective with and without negation
        against 1/4, or negation against 1/2.
    alternative : {"two-sided", "greater", "less"}
        Of the test.

    Returns
    -------
    DataFrame
        ``model, goal, state``, `of` (which one; ``negation`` is always ``wasnt``), ``k`` (times chosen),
        ``mean`` (share), ``low, high`` (95% interval of Clopper and Pearson), ``chance, p``, ``p_holm``
        (within the model, over all tests of the call), ``n`` (choices) and ``n_distinct``. The test takes
        choices as independent; where ``n_distinct`` is much smaller than ``n`` they are not.

    References
    ----------
    Clopper, C. J., & Pearson, E. S. (1934). The use of confidence or fiducial limits illustrated in the case
    of the binomial. *Biometrika*, 26(4), 404-413.
    """
    from scipy import stats

    if of not in CHANCE:
        raise SpecError(f"there is no test of {of!r}; there are: {', '.join(CHANCE)}")
    if "prob_norm" in frame.columns:
        raise SpecError(
            "a binomial test needs choices, and these are scored probabilities; 'utterances' and 'negation' "
            "give their means with intervals"
        )
    table = counts(frame)
    label = table["utterance"]
    if of != "utterance":
        label = label.str.split("_").str[["adjective", "negation"].index(of) * -1 + 1]
    cells = table.assign(**{of: label}).groupby(["model", *CELL, of], sort=False)
    found = cells.agg(k=("count", "sum"), n=("n", "first"), n_distinct=("n_distinct", "first")).reset_index()
    if of == "negation":
        found = found[found["negation"] == "wasnt"].reset_index(drop=True)
    tests = [
        stats.binomtest(int(k), int(n), CHANCE[of], alternative=alternative)
        for k, n in zip(found["k"], found["n"], strict=True)
    ]
    spans = [
        stats.binomtest(int(k), int(n)).proportion_ci(0.95, "exact")
        for k, n in zip(found["k"], found["n"], strict=True)
    ]
    found = found.assign(
        mean=found["k"] / found["n"],
        low=[span.low for span in spans],
        high=[span.high for span in spans],
        chance=CHANCE[of],
        p=[test.pvalue for test in tests],
    )
    found["p_holm"] = found.groupby("model", sort=False)["p"].transform(lambda p: holm(p.to_numpy()))
    return found[["model", *CELL, of, "k", "mean", "low", "high", "chance", "p", "p_holm", "n", "n_distinct"]]


def _ordered(table: pd.DataFrame, models: pd.Series[str] | None = None) -> pd.DataFrame:
    """Models in their order; goals, states and utterances in that of the study."""
    models = table["model"] if models is None else models
    keys = [table["model"].map({model: i for i, model in enumerate(dict.fromkeys(models))})]
    orders = {"goal": GOALS, "state": STATES, "utterance": UTTERANCES}
    keys += [
        table[name].map({value: i for i, value in enumerate(order)})
        for name, order in orders.items()
        if name in table.columns
    ]
    place = np.lexsort([key.to_numpy() for key in reversed(keys)])
    return table.iloc[place].reset_index(drop=True)


def negation_model(frame: pd.DataFrame, *, method: str = "gee", cluster: str = "participant") -> pd.DataFrame:
    """Logistic regression of negation on goal and state.

    Parameters
    ----------
    frame : DataFrame
        Study 2 free text with structured answers, as `read` gives it; one choice per row.
    method : {"gee", "mixed"}
        ``gee``: ``negation ~ goal * state`` by generalised estimating equations, robust to correlation among
        the choices of one `cluster`. ``mixed``: the same with random intercepts of participant and item.
    cluster : str
        For ``gee``.

    Returns
    -------
    DataFrame
        One row per model and term: ``model, term, estimate`` (log odds; base levels are informational and 0
        hearts), ``se, z, p, low, high`` (95%), ``method, converged``, ``separated`` (whether a cell that the
        term compares has only negations or none: its estimate has no finite value, and what is printed
        depends on where the fit stopped), ``n`` (choices) and ``n_distinct`` (stimuli).
    """
    from scipy import stats

    from grace_client.analysis import logistic

    rows = _choices(frame)
    levels = {"goal": ("informational", "social", "both"), "state": STATES}
    parts = []
    for model, part in per_model(rows):
        y = np.asarray(part["structured"].str.startswith("wasnt_"), dtype=np.float64)
        matrix, terms = logistic.design(part, levels)
        fit = logistic.gee(y, matrix, pd.factorize(part[cluster])[0])
        z = fit.estimate / fit.se
        reach = float(stats.norm.ppf(0.975)) * fit.se
        table = pd.DataFrame({"model": model, "term": terms, "estimate": fit.estimate, "se": fit.se, "z": z})
        table["p"] = 2 * stats.norm.sf(np.abs(z))
        table["low"], table["high"] = fit.estimate - reach, fit.estimate + reach
        parts.append(
            table.assign(
                method=method,
                converged=fit.converged,
                separated=False,
                n=len(part),
                n_distinct=part["stimulus"].nunique(),
            )
        )
    return pd.concat(parts, ignore_index=True)
