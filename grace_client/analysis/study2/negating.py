"""Negation in Study 2: the logistic model of choices and of scored probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grace_client.analysis.inference import holm
from grace_client.analysis.layout import per_model, require
from grace_client.analysis.study2.comparing import ALL, GOAL_CONTRASTS
from grace_client.analysis.study2.shares import CELL, STATES, negated_share
from grace_client.errors import SpecError

Array = NDArray[np.float64]
Cell = tuple[str, str]

MODEL_GOALS = ("informational", "social", "both")
"""The goals with the base level first."""
METHODS = ("mixed", "gee")
TINY = 1e-9
"""Log odds below which an error is one of rounding."""
RANDOM = ("item", "item_cell")
"""Random intercepts of the mixed model: of an item, and of an item in a cell."""


class NegationFit(NamedTuple):
    """The logistic model of negation, and what it says of the paper's hypothesis.

    In all three tables ``separated`` marks what needs a cell in which all choices are negated or none is: it
    has no finite value and is missing, as is what needs a cell without choices.

    Attributes
    ----------
    terms : DataFrame
        As `negation_model` returns it.
    omnibus : DataFrame
        One row per model: ``model, effect`` (``goal:state``), ``chi2`` (Wald's statistic that the effects of
        the goals are the same at all states, over the cells that have finite log odds), ``df``, ``df_error``,
        ``p``, ``separated`` (whether a cell is left out), ``converged, method, n, n_distinct``. For ``mixed``
        p is from chi-squared and ``df_error`` missing. For ``gee`` it is from F with ``df`` and ``df_error =
        clusters - df`` degrees of freedom, as Hotelling's T-squared; missing with too few clusters.
    contrasts : DataFrame
        One row per model, comparison (both against social, both against informational) and state, and ``all``
        (the mean over the states): ``model, goal, against, state, estimate`` (log odds ratio), ``se, z, p``
        (two-sided), ``p_holm`` (within the model), ``low, high`` (95%), ``separated, converged, method, n,
        n_distinct``.
    """

    terms: pd.DataFrame
    omnibus: pd.DataFrame
    contrasts: pd.DataFrame


def negation_model(
    frame: pd.DataFrame,
    *,
    method: str | None = None,
    random: Sequence[str] = RANDOM,
    cluster: str | None = None,
) -> pd.DataFrame:
    """Logistic regression of negation on goal, state and their interaction.

    Every cell has its own log odds; the terms compare them with the base, informational and 0 hearts.

    Parameters
    ----------
    frame : DataFrame
        Study 2 as `read` gives it: free text with structured answers, each choice a row; or scored, each
        trial a row whose value is the probability of a negation. Counts have lost who chose.
    method : {"mixed", "gee"}, optional
        ``mixed``, the default for choices: random intercepts, maximum likelihood by Laplace's approximation,
        as ``glmer(negation ~ goal * state + (1 | item) + (1 | item:goal:state), family = binomial)`` in R
        fits it. ``gee``: generalised estimating equations, with errors robust to any
        correlation within a `cluster`. It is the only one for scored probabilities, which are no choices: a
        fractional logit.
    random : sequence of str
        Of the mixed model: ``item``, ``item_cell`` (the item in its cell: what a model says to texts that
        differ in names alone) and ``participant``. The participants of a trial list are no people to a model
        that reads it; where people answered, give ``("participant", "item")``.
    cluster : str, optional
        Column, for ``gee``; ``item`` where it is not given. Twelve clusters are few: errors are raised by
        G / (G - 1), and tests use t with G - 1 degrees of freedom.

    Returns
    -------
    DataFrame
        One row per model and term: ``model, term`` (such as ``goal[social]:state[1 heart]``), ``estimate``
        (log odds), ``se, z`` (estimate over error), ``df`` (of t; missing for ``mixed``, which takes the
        normal), ``p`` (two-sided, Wald), ``low, high`` (95%), ``separated, converged, method``,
        ``sd_participant, sd_item, sd_item_cell`` (log odds; missing where it is not in the model), ``n``
        (choices, or trials) and ``n_distinct`` (items). ``separated`` marks a term that needs a cell in which
        all choices are negated or none is: it has no finite value, and it, its error and its test are
        missing. So are those of a term whose cell has no choices. The other terms are the same with or
        without such cells.

    Raises
    ------
    SpecError
        For counts, for an unknown method, and for a mixed model of scored probabilities.

    References
    ----------
    Papke, L. E., & Wooldridge, J. M. (1996). Econometric methods for fractional response variables. *Journal
    of Applied Econometrics*, 11(6), 619-632 (fractional logit). Cameron, A. C., & Miller, D. L. (2015). A
    practitioner's guide to cluster-robust inference. *Journal of Human Resources*, 50(2), 317-372.

    Examples
    --------
    >>> from grace_client.analysis import example, study2
    >>> found = study2.negation_model(example.scored("study2"))
    >>> found[["term", "estimate", "df"]].head(3).round(1)
               term  estimate  df
    0     intercept      -0.7  11
    1  goal[social]       0.3  11
    2    goal[both]       1.4  11
    """
    return negation_fit(frame, method=method, random=random, cluster=cluster).terms


def negation_fit(
    frame: pd.DataFrame,
    *,
    method: str | None = None,
    random: Sequence[str] = RANDOM,
    cluster: str | None = None,
) -> NegationFit:
    """The model of `negation_model`, with the omnibus test of goal × state and the paper's two comparisons.

    Parameters
    ----------
    frame, method, random, cluster
        As in `negation_model`.

    Returns
    -------
    NegationFit
        ``terms, omnibus, contrasts``.

    Raises
    ------
    SpecError
        As `negation_model`.

    References
    ----------
    Yoon, E. J., Tessler, M. H., Goodman, N. D., & Frank, M. C. (2020), "Behavioral results": more negation in
    worse states for both goals than for one, as an interaction.

    Examples
    --------
    >>> from grace_client.analysis import example, study2
    >>> fit = study2.negation_fit(example.scored("study2"))
    >>> fit.omnibus[["effect", "df", "df_error"]]
           effect  df  df_error
    0  goal:state   6         6
    """
    if "count" in frame.columns:
        raise SpecError("counts do not tell who chose what about which item; give the answers themselves")
    choices = "response" in frame.columns
    method = method or ("mixed" if choices else "gee")
    if method not in METHODS:
        raise SpecError(f"there is no method {method!r}; there are: {', '.join(METHODS)}")
    if method == "mixed" and not choices:
        raise SpecError(
            "a mixed model needs choices, and these are scored probabilities; method='gee' fits them, and "
            "'differences' and 'anova' compare goals within items"
        )
    cluster = cluster or "item"
    rows = negated_share(frame)
    if unknown := [name for name in random if name not in ("participant", "item", "item_cell")] or not random:
        raise SpecError(f"random={unknown!r}: choose among 'participant', 'item' and 'item_cell'")
    require(rows, ["item", cluster, *(["participant"] if "participant" in random else [])])
    rows["item_cell"] = rows["item"] + "\0" + rows["goal"] + "\0" + rows["state"]
    parts = [_Fitted.of(model, part, method, random, cluster) for model, part in per_model(rows)]
    terms = pd.concat([part.terms() for part in parts], ignore_index=True)
    contrasts = pd.concat([part.contrasts() for part in parts], ignore_index=True)
    omnibus = pd.DataFrame([part.omnibus() for part in parts])
    return NegationFit(terms, omnibus, contrasts)


class _Fitted:
    """One model's log odds of negation in every cell that has finite ones."""

    def __init__(
        self,
        estimate: Array,
        covariance: Array,
        place: Mapping[Cell, int],
        separated: list[Cell],
        clusters: int | None,
        told: dict[str, object],
        spread: Mapping[str, float],
    ) -> None:
        self.estimate, self.covariance, self.place = estimate, covariance, place
        self.separated, self.clusters, self.told, self.spread = separated, clusters, told, spread

    @classmethod
    def of(cls, model: str, part: pd.DataFrame, method: str, random: Sequence[str], cluster: str) -> _Fitted:
        from grace_client.analysis import logistic

        value = part["prob"].to_numpy(dtype=np.float64)
        cells = list(zip(part["goal"], part["state"], strict=True))
        shares = part["prob"].groupby([part[name] for name in CELL]).mean()
        known = [cell for g in MODEL_GOALS for s in STATES if (cell := (g, s)) in shares.index]
        place = {cell: i for i, cell in enumerate(c for c in known if 0 < shares[c] < 1)}
        used = np.array([cell in place for cell in cells])
        told: dict[str, object] = {"model": model, "converged": False, "method": method}
        told |= {"n": len(part), "n_distinct": part["item"].nunique()}
        separated = [cell for cell in known if cell not in place]
        clusters = int(part.loc[used, cluster].nunique()) if method == "gee" else None
        if not place:
            return cls(np.array([]), np.empty((0, 0)), place, separated, clusters, told, {})
        code = np.array([place[cell] for cell, there in zip(cells, used, strict=True) if there])
        matrix, own = np.eye(len(place))[code], part[used]
        if method == "gee":
            fit = logistic.gee(value[used], matrix, pd.factorize(own[cluster])[0])
            assert clusters is not None
            raised = clusters / (clusters - 1) if clusters > 1 else np.nan
            covariance = fit.covariance * raised
        else:
            levels = {name: pd.factorize(own[name])[0] for name in random}
            fit = logistic.mixed(value[used], matrix, levels)
            covariance = fit.covariance
        told["converged"] = fit.converged
        return cls(fit.estimate, covariance, place, separated, clusters, told, fit.spread)

    def combined(self, needed: Mapping[Cell, float]) -> dict[str, object]:
        """Estimate, error, test and interval of a combination of cells' log odds; missing where one is."""
        from scipy import stats

        found: dict[str, object] = dict.fromkeys(("estimate", "se", "z", "p", "low", "high"), np.nan)
        found["df"] = np.nan if self.clusters is None else self.clusters - 1
        found["separated"] = any(cell in self.separated for cell in needed)
        if not all(cell in self.place for cell in needed):
            return found
        weights = np.zeros(len(self.place))
        for cell, sign in needed.items():
            weights[self.place[cell]] = sign
        estimate, se = float(weights @ self.estimate), float(np.sqrt(weights @ self.covariance @ weights))
        if not se > TINY:
            # Of cells with one cluster each, errors that are robust to clusters are 0: nothing varies.
            return found | {"estimate": estimate}
        law = stats.norm() if self.clusters is None else stats.t(self.clusters - 1)
        reach = float(law.ppf(0.975)) * se
        found |= {
            "estimate": estimate,
            "se": se,
            "z": estimate / se,
            "p": 2 * float(law.sf(abs(estimate / se))),
        }
        return found | {"low": estimate - reach, "high": estimate + reach}

    def terms(self) -> pd.DataFrame:
        """A row per treatment-coded term."""
        rows = [{"term": term} | self.combined(needed) | self.told for term, needed in _terms()]
        sd = {f"sd_{name}": self.spread.get(name, np.nan) for name in ("participant", "item", "item_cell")}
        order = ["model", "term", "estimate", "se", "z", "df", "p", "low", "high", "separated", "converged"]
        return pd.DataFrame(rows).assign(**sd)[[*order, "method", *sd, "n", "n_distinct"]]

    def contrasts(self) -> pd.DataFrame:
        """A row per comparison of goals and state."""
        rows = []
        for goal, against in GOAL_CONTRASTS:
            for state in (*STATES, ALL):
                states = STATES if state == ALL else (state,)
                needed = {(goal, s): 1 / len(states) for s in states}
                needed |= {(against, s): -1 / len(states) for s in states}
                rows.append(
                    {"goal": goal, "against": against, "state": state} | self.combined(needed) | self.told
                )
        table = pd.DataFrame(rows)
        table["p_holm"] = holm(table["p"].to_numpy())
        order = [
            "model",
            "goal",
            "against",
            "state",
            "estimate",
            "se",
            "z",
            "df",
            "p",
            "p_holm",
            "low",
            "high",
        ]
        return table[[*order, "separated", "converged", "method", "n", "n_distinct"]]

    def omnibus(self) -> dict[str, object]:
        """Wald's test of the interaction over the cells that there are."""
        from scipy import stats

        additive = np.array(
            [[g == goal for g in MODEL_GOALS] + [s == state for s in STATES] for goal, state in self.place],
            dtype=np.float64,
        ).reshape(len(self.place), len(MODEL_GOALS) + len(STATES))
        # What no sum of an effect of goal and one of state can make.
        left, size, _ = np.linalg.svd(additive)
        beyond = left[:, int((size > 1e-9).sum()) :]
        df, chi2, p, df_error = beyond.shape[1], np.nan, np.nan, np.nan
        if df and self.clusters is not None:
            df_error = self.clusters - df if self.clusters > df else np.nan
        if df and (self.clusters is None or self.clusters > df):
            effect, error = beyond.T @ self.estimate, beyond.T @ self.covariance @ beyond
            # Cells with one cluster each have no error, and the effect none in some direction.
            known = np.linalg.matrix_rank(error, hermitian=True) == df
            chi2 = float(effect @ np.linalg.solve(error, effect)) if known else np.nan
            if self.clusters is None:
                p = float(stats.chi2.sf(chi2, df))
            else:
                p = float(stats.f.sf(chi2 * df_error / ((self.clusters - 1) * df), df, df_error))
        row: dict[str, object] = {"model": self.told["model"], "effect": "goal:state", "chi2": chi2, "df": df}
        row |= {"df_error": df_error, "p": p, "separated": bool(self.separated)}
        return row | {name: self.told[name] for name in ("converged", "method", "n", "n_distinct")}


def _terms() -> list[tuple[str, dict[Cell, int]]]:
    """Treatment-coded terms, each as the cells whose log odds it adds and subtracts."""
    goals, states = MODEL_GOALS, STATES
    base = (goals[0], states[0])
    terms: list[tuple[str, dict[Cell, int]]] = [("intercept", {base: 1})]
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
