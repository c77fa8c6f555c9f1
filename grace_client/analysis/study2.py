"""Study 2, politeness: what is said by goal and state.

Yoon, E. J., Tessler, M. H., Goodman, N. D., & Frank, M. C. (2020). Polite speech emerges from competing
social goals. *Open Mind*, 4. doi:10.1162/opmi_a_00035
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from grace_client.analysis.files import OK
from grace_client.analysis.inference import bootstrap, holm, wilson
from grace_client.analysis.layout import ordered, per_model, require
from grace_client.errors import SpecError
from grace_client.studies.study2 import ADJECTIVES, FRAMES, QUALITIES

__all__ = ["binomial", "choices", "counts", "judgements", "negation", "negation_model", "utterances"]

CELL = ("goal", "state")
GOALS = ("both", "social", "informational")
STATES = ("0 hearts", "1 heart", "2 hearts", "3 hearts")
MODEL_GOALS = ("informational", "social", "both")
"""The goals with the base level first."""

UTTERANCES = tuple(f"{frame}_{adjective}" for frame in FRAMES for adjective in ADJECTIVES)

ORDER = {"goal": GOALS, "state": STATES, "utterance": UTTERANCES}

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
        no_count = frame["count"].isna() | (frame["count"] < 0) | (frame["count"] % 1 != 0)
        for wrong, column, message in (
            (no_count, "count", "is no count"),
            (~frame["utterance"].isin(UTTERANCES), "utterance", "is none of the eight"),
            (frame.duplicated(["model", *CELL, "utterance"]), "utterance", "is there twice in its cell"),
        ):
            if wrong.any():
                row = int(wrong.to_numpy().argmax())
                raise SpecError(f"row {row}, column {column}: {frame[column].iloc[row]!r} {message}")
        chosen = frame.groupby(["model", *CELL, "utterance"], sort=False)["count"].sum()
        distinct = None
    else:
        rows = choices(frame)
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
    return ordered(long, ORDER, frame["model"])


def choices(frame: pd.DataFrame) -> pd.DataFrame:
    """The free-text answers that are one of the eight utterances; SpecError where there is none."""
    require(frame, ["model", *CELL, "stimulus", "status", "structured"], "free text")
    rows = frame[(frame["status"] == OK) & frame["structured"].isin(UTTERANCES)]
    if rows.empty:
        raise SpecError("no answer is one of the eight utterances: is this Study 2, and was it extracted?")
    return rows


def utterances(
    frame: pd.DataFrame, *, cluster: str = "stimulus", draws: int = 10_000, seed: int = 0
) -> pd.DataFrame:
    """How much each utterance is said, by goal and state.

    Parameters
    ----------
    frame : DataFrame
        Study 2 as `read` gives it: scored, or free text with structured answers; or counts, with columns
        ``model, goal, state, utterance, count``.
    cluster, draws, seed
        Of the interval; see `inference.bootstrap`. With ``item``, the twelve domains are what is drawn.

    Returns
    -------
    DataFrame
        ``model, goal, state, utterance, mean, low, high, n, n_distinct, chance``. Scored, ``mean`` is the
        mean probability; else the share of the choices. The interval is that of the bootstrap, for counts
        that of Wilson (`inference.wilson`). ``chance`` is 1/8.

    """
    if "count" in frame.columns:
        table = counts(frame)
        low, high = wilson(table["count"], table["n"])
        found = table.assign(mean=table["count"] / table["n"], low=low, high=high, chance=CHANCE["utterance"])
        return found[["model", *CELL, "utterance", "mean", "low", "high", "n", "n_distinct", "chance"]]
    rows = _probabilities(frame)
    found = bootstrap(rows, "prob", ["model", *CELL, "utterance"], cluster=cluster, draws=draws, seed=seed)
    return ordered(found.drop(columns="se"), ORDER).assign(chance=CHANCE["utterance"])


def _probabilities(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per trial (or answer) and utterance: its probability, or 1 where it was said and 0 elsewhere."""
    if "response" in frame.columns:
        said = choices(frame).reset_index(drop=True)
        parts = [
            said.assign(utterance=u, prob=(said["structured"] == u).astype(np.float64)) for u in UTTERANCES
        ]
        return pd.concat(parts, ignore_index=True)
    require(frame, ["model", *CELL, "stimulus", "question", "option", "prob_norm", "status"])
    rows = frame[(frame["question"] == "utterance") & (frame["status"] == OK)]
    if rows.empty:
        raise SpecError("no utterance question was answered: is this Study 2, Experiment 2?")
    return rows.rename(columns={"option": "utterance", "prob_norm": "prob"})


def negation(
    frame: pd.DataFrame, *, cluster: str = "stimulus", draws: int = 10_000, seed: int = 0
) -> pd.DataFrame:
    """How much is said with a negation ("It wasn't …"), by goal and state.

    Parameters as for `utterances`.

    Returns
    -------
    DataFrame
        ``model, goal, state, mean, low, high, n, n_distinct, chance``; ``chance`` is 1/2.
    """
    keys = ["model", *CELL]
    if "count" in frame.columns:
        table = counts(frame)
        negated = table["count"].where(table["utterance"].str.startswith("wasnt_"), 0)
        cells = table.assign(k=negated).groupby(keys, sort=False)
        found = cells.agg(k=("k", "sum"), n=("n", "first"), n_distinct=("n_distinct", "first")).reset_index()
        low, high = wilson(found["k"], found["n"])
        found = found.assign(mean=found["k"] / found["n"], low=low, high=high)
    else:
        rows = _probabilities(frame)
        rows = rows[rows["utterance"].str.startswith("wasnt_")]
        one = dict.fromkeys((*keys, "trial_id", "replicate", cluster))
        found = (
            rows.groupby([column for column in one if column in rows.columns], sort=False)["prob"]
            .sum()
            .reset_index()
        )
        found = bootstrap(found, "prob", keys, cluster=cluster, draws=draws, seed=seed)
    order = [*keys, "mean", "low", "high", "n", "n_distinct"]
    return ordered(found[order], ORDER).assign(chance=CHANCE["negation"])


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


def judgements(frame: pd.DataFrame, *, draws: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """How utterances are judged, by goal and state (experiment ``study2-judgement``).

    Parameters
    ----------
    frame : DataFrame
        As `read` gives it.
    draws, seed : int
        Of the bootstrap by stimulus.

    Returns
    -------
    DataFrame
        ``model, goal, state, measure, mean, low, high, n, n_distinct``. ``measure`` is ``appropriate`` (mean
        probability) or ``quality`` (mean score, from 1 for terrible to 5 for excellent).
    """
    require(frame, ["model", *CELL, "stimulus", "question", "option", "prob_norm", "status"])
    rows = frame[frame["status"] == OK]
    suits = rows[(rows["question"] == "appropriateness") & (rows["option"] == "appropriate")]
    quality = rows[rows["question"] == "quality"]
    score = quality["option"].map(QUALITIES).astype(np.float64) * quality["prob_norm"]
    keys = [c for c in quality.columns if c in ("model", "trial_id", "stimulus", *CELL)]
    scores = quality.assign(value=score).groupby(keys, sort=False)["value"].sum().reset_index()
    both = pd.concat(
        [suits.assign(measure="appropriate", value=suits["prob_norm"]), scores.assign(measure="quality")]
    )
    if both.empty:
        raise SpecError("no judgement was answered: is this study2-judgement?")
    found = bootstrap(both, "value", ["model", *CELL, "measure"], draws=draws, seed=seed)
    return ordered(found.drop(columns="se"), ORDER)


def negation_model(
    frame: pd.DataFrame, *, method: str = "mixed", cluster: str = "participant"
) -> pd.DataFrame:
    """Logistic regression of negation on goal, state and their interaction.

    Every cell has its own log odds; the terms compare them with the base, informational and 0 hearts.

    Parameters
    ----------
    frame : DataFrame
        Study 2 free text with structured answers, as `read` gives it. Each choice is a row; counts have lost
        who chose.
    method : {"mixed", "gee"}
        ``mixed``: random intercepts of participant and item, maximum likelihood by Laplace's approximation,
        as ``glmer(negation ~ goal * state + (1 | participant) + (1 | item), family = binomial)`` in R fits
        it. ``gee``: generalised estimating equations, with errors robust to any correlation among the
        choices of one `cluster`.
    cluster : str
        Column, for ``gee``.

    Returns
    -------
    DataFrame
        One row per model and term: ``model, term`` (such as ``goal[social]:state[1 heart]``), ``estimate``
        (log odds), ``se, z, p`` (two-sided, Wald), ``low, high`` (95%), ``separated, converged, method``,
        ``sd_participant, sd_item`` (log odds; missing for ``gee``), ``n`` (choices) and ``n_distinct``
        (stimuli). ``separated`` marks a term that needs a cell in which all choices are negated or none is:
        it has no finite value, and it, its error and its test are missing. So are those of a term whose cell
        has no choices. The other terms are the same with or without such cells.
    """
    from scipy import stats

    from grace_client.analysis import logistic

    if method not in ("mixed", "gee"):
        raise SpecError(f"there is no method {method!r}; there are: mixed, gee")
    if "count" in frame.columns:
        raise SpecError("counts do not tell who chose what about which item; give the answers themselves")
    rows = choices(frame)
    require(rows, ["participant", "item"])
    cells = [(goal, state) for goal in MODEL_GOALS for state in STATES]
    parts = []
    for model, part in per_model(rows):
        negated = part["structured"].str.startswith("wasnt_")
        shares = negated.groupby([part[name] for name in CELL]).mean()
        mixed = [cell for cell in cells if cell in shares.index and 0 < shares[cell] < 1]
        separated = [cell for cell in cells if cell in shares.index and cell not in mixed]
        place = {cell: i for i, cell in enumerate(mixed)}
        code = pd.Series(list(zip(part["goal"], part["state"], strict=True)), index=part.index).map(place)
        used = part[code.notna()]
        fit = None
        if mixed:
            y = np.asarray(negated[code.notna()], dtype=np.float64)
            matrix = np.eye(len(mixed))[code.dropna().astype(np.int64)]
            if method == "gee":
                fit = logistic.gee(y, matrix, pd.factorize(used[cluster])[0])
            else:
                levels = {name: pd.factorize(used[name])[0] for name in ("participant", "item")}
                fit = logistic.mixed(y, matrix, levels)
        lines = []
        for term, needed in _terms():
            row: dict[str, object] = {"model": model, "term": term}
            row |= {"separated": any(cell in separated for cell in needed)}
            if fit is not None and all(cell in place for cell in needed):
                weights = np.zeros(len(mixed))
                for cell, sign in needed.items():
                    weights[place[cell]] = sign
                row["estimate"] = float(weights @ fit.estimate)
                row["se"] = float(np.sqrt(weights @ fit.covariance @ weights))
            lines.append(row)
        found = pd.DataFrame(lines, columns=["model", "term", "estimate", "se", "separated"])
        spread = fit.spread if fit else {}
        parts.append(
            found.assign(
                converged=fit is not None and fit.converged,
                method=method,
                sd_participant=spread.get("participant", np.nan),
                sd_item=spread.get("item", np.nan),
                n=len(part),
                n_distinct=part["stimulus"].nunique(),
            )
        )
    table = pd.concat(parts, ignore_index=True).astype({"estimate": np.float64, "se": np.float64})
    reach = float(stats.norm.ppf(0.975)) * table["se"]
    table["z"] = table["estimate"] / table["se"]
    table["p"] = 2 * stats.norm.sf(table["z"].abs())
    table["low"], table["high"] = table["estimate"] - reach, table["estimate"] + reach
    order = ["model", "term", "estimate", "se", "z", "p", "low", "high", "separated", "converged", "method"]
    return table[[*order, "sd_participant", "sd_item", "n", "n_distinct"]]


def _terms() -> list[tuple[str, dict[tuple[str, str], int]]]:
    """Treatment-coded terms, each as the cells whose log odds it adds and subtracts."""
    goals, states = MODEL_GOALS, STATES
    base = (goals[0], states[0])
    terms: list[tuple[str, dict[tuple[str, str], int]]] = [("intercept", {base: 1})]
    terms += [(f"goal[{goal}]", {(goal, states[0]): 1, base: -1}) for goal in goals[1:]]
    terms += [(f"state[{state}]", {(goals[0], state): 1, base: -1}) for state in states[1:]]
    terms += [
        (
            f"goal[{goal}]:state[{state}]",
            {(goal, state): 1, (goal, states[0]): -1, (goals[0], state): -1, base: 1},
        )
        for goal in goals[1:]
        for state in states[1:]
    ]
    return terms
