"""Negation in Study 2: the logistic model of choices and of scored probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from grace_client.analysis._data.layout import per_model, require
from grace_client.analysis.study2._log_odds import Cells, Fitted
from grace_client.analysis.study2._shares import negated_share
from grace_client.core.errors import SpecError

METHODS = ("mixed", "gee")
RANDOM = ("item", "item_cell")
"""Random intercepts of the mixed model: of an item, and of an item in a cell."""


class NegationModel(NamedTuple):
    """The logistic model of negation, and what it says about the paper's hypothesis.

    ``separated`` marks rows that need a cell in which all choices are negated or none is. Their log odds are
    infinite, so their values are missing. Values are also missing if a cell has no choices. Where a cell
    has choices about one item only, there is an estimate without error and test. ``mixed`` also gives
    ``penalised`` estimates, which are always finite. The other rows are the same with or without such cells.

    Attributes
    ----------
    terms : DataFrame
        One row per model and term: ``model, term`` (such as ``goal[social]:state[1 heart]``), ``estimate``
        (log odds), ``se``, estimate over error (``z`` for ``mixed``, from the normal distribution; ``t`` and
        ``df`` for ``gee``), ``p`` (two-sided, Wald), ``low, high`` (95%); for ``mixed`` also ``penalised,
        penalised_low, penalised_high``, which add half a choice of each kind to each cell; ``separated,
        converged, method``, ``sd_participant, sd_item, sd_item_cell`` (log odds, of ``mixed``; missing where
        it is not in the model), ``n`` (choices, or trials) and ``n_distinct`` (items).
    omnibus : DataFrame
        One row per model: ``model, effect`` (``goal:state``), Wald's test that the effects of the goals are
        the same at all states, over the cells that have finite log odds: ``chi2, df, p`` for ``mixed``, and
        for ``gee`` ``f, df, df_error, p`` as Hotelling's T-squared, with ``df_error`` = clusters - ``df``;
        missing with too few clusters. ``separated`` (whether a cell is left out), ``converged, method, n,
        n_distinct``.
    contrasts : DataFrame
        One row per model, comparison (both against social, both against informational) and state, and ``all``
        (the mean over the states): ``model, goal, against, state, estimate`` (log odds ratio) and its
        columns as in ``terms``; ``p_holm`` (of ``p``, corrected within the model); ``p_exact`` (two-sided: an
        exact sign-flip test of the shares of negation within items, which needs no model) and
        ``p_exact_holm``; ``separated, converged, method``; ``n`` (choices, or trials, in its cells) and
        ``n_distinct`` (clusters in that of its cells that has the fewest).
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
) -> NegationModel:
    """Logistic regression of negation on goal, state and their interaction, with the paper's comparisons.

    Every cell has its own log odds; the terms compare them with the base, informational and 0 hearts.

    Parameters
    ----------
    frame : DataFrame
        Study 2 as `read` gives it: free text with structured answers, each choice a row; or scored, each
        trial a row whose value is the probability of a negation. Counts have no participants and items, so
        they are refused.
    method : {"mixed", "gee"}, optional
        ``mixed``, the default for choices: random intercepts, maximum likelihood by Laplace's approximation,
        as ``glmer(negation ~ goal * state + (1 | item) + (1 | item:goal:state), family = binomial)`` in R
        fits it. ``gee``: generalised estimating equations, with errors robust to any
        correlation within a `cluster`. It is the only method for scored probabilities: a fractional logit.
    random : sequence of str
        Random intercepts of the mixed model: ``item``, ``item_cell`` (the item in its cell, whose texts
        differ only in names) and ``participant``. For a model, the participants of a trial list are not
        people. For answers of people, use ``("participant", "item")``.
    cluster : str, optional
        Column of the clusters for ``gee``; ``item`` by default. Because twelve clusters are few, errors are
        multiplied by G / (G - 1), and tests use t with G - 1 degrees of freedom. G is the smallest number of
        clusters in a cell of the term or contrast.

    Returns
    -------
    NegationModel
        Three tables: ``terms``, ``omnibus`` (goal × state) and ``contrasts`` (goals at each state).

    Raises
    ------
    SpecError
        For counts, for an unknown method, and for a mixed model of scored probabilities.

    References
    ----------
    Papke, L. E., & Wooldridge, J. M. (1996). Econometric methods for fractional response variables. *Journal
    of Applied Econometrics*, 11(6), 619-632 (fractional logit). Cameron, A. C., & Miller, D. L. (2015). A
    practitioner's guide to cluster-robust inference. *Journal of Human Resources*, 50(2), 317-372. Yoon, E.
    J., Tessler, M. H., Goodman, N. D., & Frank, M. C. (2020), "Behavioral results": more negation in worse
    states for both goals than for one, as an interaction.

    Examples
    --------
    >>> from grace_client.analysis import example, study2
    >>> found = study2.negation_model(example.scored("study2"))
    >>> found.terms[["term", "estimate", "df"]].head(3).round(1)
               term  estimate  df
    0     intercept      -0.7  11
    1  goal[social]       0.3  11
    2    goal[both]       1.4  11
    >>> found.omnibus[["effect", "df", "df_error"]]
           effect  df  df_error
    0  goal:state   6         6
    """
    if "count" in frame.columns:
        raise SpecError("a table of counts has no participants and no items. Give a table of answers")
    choices = "response" in frame.columns
    method = method or ("mixed" if choices else "gee")
    if method not in METHODS:
        raise SpecError(f"method={method!r}: choose one of {', '.join(METHODS)}")
    if method == "mixed" and not choices:
        raise SpecError(
            "a mixed model needs choices, but these are scored probabilities. Use method='gee', or compare "
            "goals within items with 'differences' and 'anova'"
        )
    cluster = cluster or "item"
    rows = negated_share(frame)
    if unknown := [name for name in random if name not in ("participant", "item", "item_cell")] or not random:
        raise SpecError(f"random={unknown!r}: choose among 'participant', 'item' and 'item_cell'")
    require(rows, ["item", cluster, *(["participant"] if "participant" in random else [])])
    rows["item_cell"] = rows["item"] + "\0" + rows["goal"] + "\0" + rows["state"]
    cells = [Cells.of(model, part, method, cluster) for model, part in per_model(rows)]
    parts = [Fitted(own, random, cluster) for own in cells]
    terms = pd.concat([part.terms() for part in parts], ignore_index=True)
    contrasts = pd.concat([part.contrasts() for part in parts], ignore_index=True)
    omnibus = pd.DataFrame([part.omnibus() for part in parts])
    return NegationModel(terms, omnibus, contrasts)
