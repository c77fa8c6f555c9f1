"""Regression of any outcome of any study: mixed models, and logistic models with clustered errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grace_client.analysis._data.declared import conditions, declared, each, levels
from grace_client.analysis._data.layout import distinct, per_model, refuse_copies, require
from grace_client.analysis._statistics.components import components
from grace_client.analysis._statistics.formulas import Formula, design
from grace_client.analysis.measured import Outcome, chosen, measured
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.studies.declaration import Experiment

Array = NDArray[np.float64]


def mixed(
    frame: pd.DataFrame,
    formula: str | None = None,
    *,
    question: str | None = None,
    experiment: Experiment | str | None = None,
) -> pd.DataFrame:
    """Linear mixed model with random intercepts, by restricted maximum likelihood (REML).

    Parameters
    ----------
    frame : DataFrame
        Answers of one experiment, as `read` gives them, or the result of `outcomes`.
    formula : str, optional
        Such as ``mean ~ quantifier * tense + (1 | item)``. Before ``~`` an outcome; without one, the default
        of `cell_means`. Conditions and values of `each` are factors, whose first level is the base; other
        columns are numbers if all their values are. Groups are ``item``, ``participant``, ``stimulus``, the
        study's own names for these, or other columns; several are crossed, and ``a:b`` is the combination.
        Default: the formula of the study file.
    question : str, optional
        As in `cell_means`. Default: the first question that has the outcome, with all its values of `each`.
    experiment : Experiment or str, optional
        As in `outcomes`.

    Returns
    -------
    DataFrame
        One row per model and term: ``model, question, outcome, term`` (such as ``quantifier[some]``),
        ``estimate, se, t, df, p, low, high`` (95% interval), in the unit of the outcome; ``sd_GROUP`` of each
        group and ``sd_residual`` (standard deviations), ``converged``, ``n`` (answers) and ``n_distinct``
        (observations fitted). Scored answers with the same groups and predictors are nearly copies, so their
        mean is one observation, unless participants or stimuli are a group. ``df`` is that of containment:
        for a term that is the same within each level of a group, the levels less the number of such terms,
        else the residual degrees of freedom without the groups. In balanced designs, the tests are those of
        the analysis of variance.

    Raises
    ------
    SpecError
        If the formula cannot be read, or names what does not exist; if it has no random intercept; if
        participants are a group, but all copies of a stimulus have the same scored answer.
    NotEnoughDataError
        If the model cannot be fitted: terms that cannot be told apart, a group with one level, or answers
        that do not vary. The message names the model.

    References
    ----------
    Pinheiro, J. C., & Bates, D. M. (2000). *Mixed-effects models in S and S-PLUS*, section 2.4 (degrees of
    freedom). Springer.

    Examples
    --------
    >>> from grace_client.analysis import example, mixed, study2
    >>> found = mixed(example.scored("study2"), f"prob_wasnt ~ {study2.CELL[0]} + (1 | item)")
    >>> found[["estimate", "se", "df", "n", "n_distinct"]].round(3)
       estimate     se    df     n  n_distinct
    0     0.389  0.006  11.0  2424          36
    1    -0.145  0.008  22.0  2424          36
    2    -0.119  0.008  22.0  2424          36
    """
    known = declared(frame, experiment)
    parsed, names, one, table = _prepared(frame, formula, question, known)
    if not parsed.groups:
        raise SpecError("the formula has no random intercept. Add (1 | item), or use anova")
    people = ("participant",) in parsed.groups
    if people and "replicate" not in table.columns:
        refuse_copies(table, one.name, ["question"])
    parts = []
    for model, rows in per_model(table):
        fitted = rows
        if not people and "replicate" not in rows.columns:
            fitted = rows.groupby(parsed.columns, sort=False, observed=True)[one.name].mean().reset_index()
        terms = _fit_mixed(
            fitted, one.name, parsed, levels(known, fitted, _factors(known, fitted, parsed)), model
        )
        head = {"model": model, "question": ", ".join(names), "outcome": one.name}
        parts.append(
            pd.DataFrame(head, index=terms.index).join(terms).assign(n=len(rows), n_distinct=len(fitted))
        )
    return pd.concat(parts, ignore_index=True)


def logistic(
    frame: pd.DataFrame,
    formula: str | None = None,
    *,
    question: str | None = None,
    experiment: Experiment | str | None = None,
    cluster: str | None = None,
) -> pd.DataFrame:
    """Logistic regression of choices or probabilities, with errors clustered by item.

    Generalised estimating equations with independent working correlation: the estimates are those of plain
    logistic regression, of scored probabilities a fractional logit, and the errors allow any correlation
    within a cluster. Because clusters are few, errors are multiplied by the root of G / (G - 1) for G
    clusters, and tests use t with G - 1 degrees of freedom.

    Parameters
    ----------
    frame, formula, question, experiment
        As in `mixed`, with an outcome between 0 and 1, such as ``prob_yes``.
    cluster : str, optional
        Column of the clusters. Default: the group of the formula's random intercept, else ``item``, or
        ``stimulus`` in a study without items.

    Returns
    -------
    DataFrame
        One row per model and term: ``model, question, outcome, term, estimate`` (log odds), ``se, t, df, p,
        low, high`` (95% interval), ``separated``, ``converged``, ``n`` (answers) and ``n_distinct``
        (clusters). A cell in which all answers are the same choice has infinite log odds: then ``separated``
        is true for the terms that need it, and their values are missing.

    Raises
    ------
    SpecError
        If the formula cannot be read, names what does not exist, or has an outcome that is no probability.
    NotEnoughDataError
        If terms cannot be told apart, or there is one cluster. The message names the model.

    References
    ----------
    Papke, L. E., & Wooldridge, J. M. (1996). Econometric methods for fractional response variables. *Journal
    of Applied Econometrics*, 11(6), 619-632. Konis, K. (2007). *Linear programming algorithms for detecting
    separated data in binary logistic regression models* (thesis, University of Oxford).

    Examples
    --------
    >>> from grace_client.analysis import example, logistic, study2
    >>> found = logistic(example.free("study2"), f"prob_wasnt ~ {study2.CELL[0]}")
    >>> found[["estimate", "se", "df", "n", "n_distinct"]].round(3)
       estimate     se    df     n  n_distinct
    0    -0.453  0.066  11.0  2424          12
    1    -0.706  0.126  11.0  2424          12
    2    -0.561  0.117  11.0  2424          12
    """
    known = declared(frame, experiment)
    parsed, names, one, table = _prepared(frame, formula, question, known)
    if one.unit != "probability":
        raise SpecError(
            f"{one.name} is not a probability. Name another outcome, such as prob_yes, or use mixed"
        )
    if cluster is None:
        cluster = parsed.groups[0][0] if parsed.groups else distinct(table)
    require(table, [cluster])
    parts = []
    for model, rows in per_model(table):
        own = levels(known, rows, _factors(known, rows, parsed))
        terms = _fit_logistic(rows, one.name, parsed, own, cluster, model)
        head = {"model": model, "question": ", ".join(names), "outcome": one.name}
        parts.append(
            pd.DataFrame(head, index=terms.index)
            .join(terms)
            .assign(n=len(rows), n_distinct=rows[cluster].nunique())
        )
    return pd.concat(parts, ignore_index=True)


def declared_model(frame: pd.DataFrame, formula: str, experiment: Experiment) -> pd.DataFrame:
    """The model of a study file: `mixed` if it has random intercepts, else `logistic`."""
    return (mixed if is_mixed(formula) else logistic)(frame, formula, experiment=experiment)


def is_mixed(formula: str) -> bool:
    """Whether a formula has random intercepts."""
    return "|" in formula


def _prepared(
    frame: pd.DataFrame, formula: str | None, question: str | None, known: Experiment
) -> tuple[Formula, list[str], Outcome, pd.DataFrame]:
    """The formula, the questions and the outcome, and the rows that have it."""
    text = known.file.model if formula is None else formula
    if text is None:
        raise SpecError(
            f"{known.name} declares no model. Give a formula, such as 'mean ~ A * B + (1 | item)'"
        )
    schema = known.schema
    renamed = {column: name for name, column in known.study.conditions.items()}
    renamed |= {
        own: name for own, name in ((schema.item, "item"), (schema.participant, "participant")) if own
    }
    parsed = Formula.read(text, lambda name: renamed.get(name, name))
    wanted = chosen(known, parsed.outcome, question)[:1]
    table = measured(frame, known, wanted)
    require(table, parsed.columns, "the table of outcomes")
    names, one = wanted[0]
    rows = table[table["question"].isin(names) & table[one.name].notna()]
    if rows.empty:
        raise NotEnoughDataError(f"no answer has the outcome {one.name}")
    return parsed, names, one, rows


def _factors(known: Experiment, rows: pd.DataFrame, formula: Formula) -> list[str]:
    """The predictors that are factors: conditions, values of `each`, and columns that are not numbers."""
    fixed = {*conditions(known, rows), "question", *(name for one in each(known).values() for name in one)}
    predictors = dict.fromkeys(name for term in formula.terms for name in term)
    return [
        name
        for name in predictors
        if name in fixed or pd.to_numeric(rows[name], errors="coerce").isna().any()
    ]


def _fit_mixed(
    rows: pd.DataFrame, outcome: str, formula: Formula, factors: dict[str, tuple[str, ...]], model: str
) -> pd.DataFrame:
    """The terms of one model."""
    where = f"the mixed model of {model}"
    names, matrix = design(rows, formula.terms, factors, where)
    y = rows[outcome].to_numpy(dtype=np.float64)
    codes = {
        ":".join(group): np.asarray(rows.groupby(list(group), sort=False).ngroup(), dtype=np.int64)
        for group in formula.groups
    }
    for name, code in codes.items():
        if not 1 < code.max() + 1 < len(rows):
            raise NotEnoughDataError(
                f"{where}: {name} has {code.max() + 1} levels in {len(rows)} observations. A random "
                "intercept needs several levels, and several observations of some of them"
            )
    whole = np.hstack([matrix, *(np.eye(int(code.max()) + 1)[code] for code in codes.values())])
    residual = y - whole @ np.linalg.lstsq(whole, y, rcond=None)[0]
    if float(np.abs(residual).max()) < 1e-9:
        raise NotEnoughDataError(
            f"{where} cannot be fitted: its terms and groups leave no residuals. Leave out a group"
        )
    fit = components(y, matrix, list(codes.values()), level=None)
    table = _wald(
        names,
        fit.estimate,
        np.sqrt(np.diag(fit.error)),
        _containment(matrix, list(codes.values())),
    )
    named = zip((*codes, "residual"), np.sqrt(fit.variance).tolist(), strict=True)
    return table.assign(**{f"sd_{name}": sd for name, sd in named}, converged=fit.converged)


def _containment(matrix: Array, codes: list[NDArray[np.int64]]) -> Array:
    """Degrees of freedom of each term."""
    whole = np.hstack([matrix, *(np.eye(int(code.max()) + 1)[code] for code in codes)])
    df = np.full(matrix.shape[1], float(len(matrix) - np.linalg.matrix_rank(whole)))
    for code in codes:
        table = pd.DataFrame(matrix).groupby(code)
        same = (table.max() - table.min()).max().to_numpy() < 1e-12
        df[same] = np.minimum(df[same], int(code.max()) + 1 - int(same.sum()))
    return np.where(df > 0, df, np.nan)


def _fit_logistic(
    rows: pd.DataFrame,
    outcome: str,
    formula: Formula,
    factors: dict[str, tuple[str, ...]],
    cluster: str,
    model: str,
) -> pd.DataFrame:
    """The terms of one model."""
    from grace_client.analysis._statistics import logistic as fits

    where = f"the logistic model of {model}"
    names, matrix = design(rows, formula.terms, factors, where)
    y, groups = rows[outcome].to_numpy(dtype=np.float64), pd.factorize(rows[cluster])[0]
    if (clusters := int(groups.max()) + 1) < 2:
        raise NotEnoughDataError(
            f"{where}: all answers are of one {cluster}. Choose other clusters with cluster="
        )
    kept = ~_separated(y, matrix)
    count = matrix.shape[1]
    estimate, se, finite, converged = (
        np.full(count, np.nan),
        np.full(count, np.nan),
        np.zeros(count, bool),
        False,
    )
    if kept.any():
        # The terms that the rest determines: those in the space of its rows.
        _, size, right = np.linalg.svd(matrix[kept], full_matrices=False)
        basis = right[size > 1e-9 * size[0]].T
        fit = fits.gee(y[kept], matrix[kept] @ basis, groups[kept])
        finite = np.abs(basis @ basis.T - np.eye(count)).max(axis=0) < 1e-9
        estimate[finite] = (basis @ fit.estimate)[finite]
        variance = np.diag(basis @ fit.covariance @ basis.T)[finite]
        se[finite] = np.sqrt(variance * clusters / (clusters - 1))
        converged = fit.converged
    table = _wald(names, estimate, se, np.full(count, clusters - 1.0))
    return table.assign(separated=~finite, converged=converged)


def _separated(y: Array, matrix: Array) -> NDArray[np.bool_]:
    """Observations whose log odds would be infinite, by linear programming (Konis, 2007)."""
    from scipy import optimize

    cells, place = np.unique(matrix, axis=0, return_inverse=True)
    place = place.ravel()
    mean = np.bincount(place, weights=y) / np.bincount(place)
    sign = np.where(mean >= 1, 1.0, np.where(mean <= 0, -1.0, 0.0))
    gone = np.zeros(len(cells), dtype=bool)
    while (ends := (sign != 0) & ~gone).any():
        toward = sign[ends, None] * cells[ends]
        middle = cells[(sign == 0) & ~gone]
        found = optimize.linprog(
            -toward.sum(axis=0),
            A_ub=-toward,
            b_ub=np.zeros(len(toward)),
            A_eq=middle if len(middle) else None,
            b_eq=np.zeros(len(middle)) if len(middle) else None,
            bounds=(-1, 1),
        )
        beyond = toward @ found.x > 1e-7
        if not beyond.any():
            break
        gone[np.flatnonzero(ends)[beyond]] = True
    return gone[place]


def _wald(names: list[str], estimate: Array, se: Array, df: Array) -> pd.DataFrame:
    """Terms with their tests and 95% intervals."""
    from scipy import stats

    known = se > 1e-12
    se = np.where(known, se, np.nan)
    t, reach = estimate / se, stats.t.ppf(0.975, df) * se
    columns = {"estimate": estimate, "se": se, "t": t, "df": df, "p": 2 * stats.t.sf(np.abs(t), df)}
    return pd.DataFrame({"term": names, **columns, "low": estimate - reach, "high": estimate + reach})
