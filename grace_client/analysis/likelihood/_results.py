"""Tables of the negative log-likelihood per choice, and of its differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from grace_client.analysis._statistics.differences import Side, root_error, student_test
from grace_client.analysis._statistics.table_pairs import LEAST
from grace_client.analysis.intervals import bounded
from grace_client.analysis.likelihood._choices import Choices, read
from grace_client.analysis.likelihood._predictors import PEOPLE, SPLITS, Row, baselines, ceiling, of_model
from grace_client.core.errors import SpecError
from grace_client.core.spelling import did_you_mean

LEAST_CHOICES = 50
"""Fewest choices for a number."""

UNITS = ("item", "participant", "choice")


def per_choice(
    models: pd.DataFrame,
    choices: pd.DataFrame,
    *,
    keys: Sequence[str],
    outcome: str,
    ignoring: Sequence[str | Sequence[str]] | None = None,
    theories: Mapping[str, pd.DataFrame] | None = None,
    against: str = "marginal",
    lapse: float = 0.0,
    cluster: str | None = None,
    splits: int = SPLITS,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Negative log-likelihood of people's choices, in nats per choice: models, baselines, theories, people.

    The baselines and people:

    - ``uniform``: all outcomes are equally likely.
    - ``marginal``: the share of each outcome over all conditions and items. It is estimated from the other
      people (all choices but those of the participant whose choice is predicted; without participants, all
      other choices), beginning with one choice spread evenly over the outcomes.
    - ``blind to KEY``: the share in each cell of the other keys, estimated in the same way.
    - ``blind to KEY, fitted``: the shares in these very choices. Whatever is the same for all levels of KEY
      cannot be below this row, so a model gets credit for KEY only if it is. It is no prediction.
    - ``people on people``: each half of the people is predicted from the shares, by cell, of the other half,
      in random halves of the participants (without them, of the choices). This is more than the true shares
      of people would cost; ``noise`` is by how much, and ``nats - noise`` an estimate of the entropy of
      people's choices, which no model can be below but by chance.

    Parameters
    ----------
    models : DataFrame
        `keys`, `outcome` and ``prob``, which sums to 1 in each cell; perhaps ``model``, and ``item``, with a
        distribution for each item of a cell, and ``n``, its weight (see `study2.by_item`).
    choices : DataFrame
        `keys` and `outcome`; perhaps ``count`` (how often; otherwise each row is a choice), ``item`` and
        ``participant``. With items, a model with items predicts each item, and one without says the same of
        all. Without items, models are averaged over theirs.
    keys : sequence of str
        Columns that make a cell: the conditions of the study.
    outcome : str
        Column with what was chosen, such as ``"utterance"``.
    ignoring : sequence of str or of sequences of str, optional
        A baseline for each: the key, or keys, that it ignores. Default: each key, and ``item`` if known.
    theories : mapping of str to DataFrame, optional
        More predictions by name. A theory without one of the keys says the same of all its levels.
    against : str
        The row that all others are compared with.
    lapse : float
        A share of all answers of models and theories that is spread evenly over the outcomes. Without it, a
        choice that a model gives the probability 0 makes its likelihood infinite; nothing is added silently.
    cluster : {"item", "participant", "choice"}, optional
        What is independent. Default: the first that the choices have.
    splits : int
        Number of random halves of the people.
    seed : int
        Seed of the halves.

    Returns
    -------
    DataFrame
        One row per predictor: ``kind`` (``baseline``, ``theory``, ``model``, ``people``), ``model`` (its
        name), ``nats`` with ``low, high`` (95%), ``against``, ``difference`` of ``nats`` from it (below 0:
        better) with ``difference_low, difference_high`` (95%, paired by choice), ``impossible`` (choices
        that it gives the probability 0), ``noise`` (nats, of people alone), ``n`` (choices), ``n_items`` (0
        if unknown), ``clusters`` (what the intervals are over; ``and items`` where they also cover those of
        the model) and ``reason`` (why there is no number).
        Numbers are missing with fewer than `LEAST_CHOICES` choices, with fewer than three clusters, and where
        shares would be estimated from fewer than `LEAST_FOR_SHARE` choices each. The interval is missing if
        all choices have the same likelihood, or it is infinite. Intervals treat estimated shares as fixed.

    Raises
    ------
    SpecError
        If columns are missing, people chose what the models do not have, a model lacks a cell, or a cell is
        not a distribution.

    See Also
    --------
    differences : each model against each baseline, with tests.

    Notes
    -----
    The interval of ``nats`` is that of `intervals.bounded`, between the least and the largest loss that a
    choice could have; that of a difference is Student's t, with errors robust to the clusters. If choices
    have no items but the models do, each of the model's items is left out in turn (jackknife), and its
    variance is added. Simulated with 2 and 8 outcomes and 48 to 288 choices, alone or of 6 or 12 items, 94%
    to 99% of the intervals of ``nats`` contain the true value, and 91% to 97% of those of a difference.

    References
    ----------
    Binz, M., et al. (2025). A foundation model to predict and capture human cognition. *Nature*, 644,
    1002-1009. Perks, W. (1947). Some observations on inverse probability. *Journal of the Institute of
    Actuaries*, 73(2), 285-334: the choice that shares begin with.

    Examples
    --------
    >>> from grace_client.analysis import example, likelihood, reference, study2
    >>> items = study2.by_item(example.scored("study2"))
    >>> how = {"keys": study2.CELL, "outcome": "utterance", "ignoring": []}
    >>> found = likelihood.per_choice(items, reference.study2(), **how)
    >>> found[["model", "nats", "low", "high", "difference"]].round(2)
                  model  nats   low  high  difference
    0           uniform  2.08   NaN   NaN        0.27
    1          marginal  1.81  1.79  1.84        0.00
    2           example  1.13  1.08  1.19       -0.68
    3  people on people  1.12  1.07  1.16       -0.70
    """
    people, rows = _rows(models, choices, keys, outcome, ignoring, theories, lapse, splits, seed)
    unit, named = _unit(people, cluster)
    base = _named(rows, against)
    result = []
    for row in rows:
        reason = row.reason or _too_few(people, unit, named)
        values = dict.fromkeys(("nats", "low", "high"), np.nan)
        apart = dict.fromkeys(("difference", "low", "high"), np.nan)
        if not reason:
            values = _level(row, unit)
            if not base.reason:
                apart = _difference(row, base, unit)
        result.append(
            {
                "kind": row.kind,
                "model": row.name,
                **values,
                "against": base.name,
                "difference": apart["difference"],
                "difference_low": apart["low"],
                "difference_high": apart["high"],
                "impossible": int(np.isinf(row.loss).sum()),
                "noise": np.nan if reason else row.noise,
                **_sizes(people, named, not row.left_out.empty),
                "reason": reason,
            }
        )
    return pd.DataFrame(result)


def differences(
    models: pd.DataFrame,
    choices: pd.DataFrame,
    *,
    keys: Sequence[str],
    outcome: str,
    against: Sequence[str] | None = None,
    ignoring: Sequence[str | Sequence[str]] | None = None,
    theories: Mapping[str, pd.DataFrame] | None = None,
    lapse: float = 0.0,
    cluster: str | None = None,
    splits: int = SPLITS,
    seed: int = 0,
) -> pd.DataFrame:
    """Each model against each baseline, theory, and people: nats per choice, paired by choice.

    Parameters
    ----------
    models, choices, keys, outcome, ignoring, theories, lapse, cluster, splits, seed
        As in `per_choice`.
    against : sequence of str, optional
        Names of rows of `per_choice`, which may be other models. Default: all that are not models.

    Returns
    -------
    DataFrame
        One row per model and row that it is compared with: ``model, against``, ``difference`` (nats per
        choice; below 0: the model predicts people better), ``low, high`` (95%), ``t, df, p`` (two-sided),
        ``n, n_items, clusters`` and ``reason``, as in `per_choice`. Where one of the two is infinite, the
        difference is, and it has no test; where both are, it is missing.

    Examples
    --------
    >>> from grace_client.analysis import example, likelihood, reference, study2
    >>> items = study2.by_item(example.scored("study2"))
    >>> how = {"keys": study2.CELL, "outcome": "utterance", "against": ["marginal"]}
    >>> found = likelihood.differences(items, reference.study2(), **how)
    >>> found[["model", "against", "difference", "low", "high"]].round(2)
         model   against  difference   low  high
    0  example  marginal       -0.68 -0.73 -0.64
    """
    people, rows = _rows(models, choices, keys, outcome, ignoring, theories, lapse, splits, seed)
    unit, named = _unit(people, cluster)
    others = [row for row in rows if row.kind != "model"] if against is None else []
    others += [_named(rows, name) for name in against or ()]
    result = []
    for row in rows:
        for other in others:
            if row.kind != "model" or other is row:
                continue
            reason = other.reason or _too_few(people, unit, named)
            found = dict.fromkeys(("difference", "low", "high", "t", "df", "p"), np.nan)
            if not reason:
                found = _difference(row, other, unit)
            own = not (row.left_out.empty and other.left_out.empty)
            head = {"model": row.name, "against": other.name}
            result.append(head | found | _sizes(people, named, own) | {"reason": reason})
    columns = ["model", "against", "difference", "low", "high", "t", "df", "p", "n", "n_items", "clusters"]
    return pd.DataFrame(result, columns=[*columns, "reason"])


def _rows(
    models: pd.DataFrame,
    choices: pd.DataFrame,
    keys: Sequence[str],
    outcome: str,
    ignoring: Sequence[str | Sequence[str]] | None,
    theories: Mapping[str, pd.DataFrame] | None,
    lapse: float,
    splits: int,
    seed: int,
) -> tuple[Choices, list[Row]]:
    people, predicted = read(models, choices, keys, outcome, theories, lapse)
    rows = [*baselines(people, ignoring)]
    rows += [of_model(people, one) for one in sorted(predicted, key=lambda one: one.kind == "model")]
    rows.append(ceiling(people, splits, seed))
    names = [row.name for row in rows]
    if twice := [name for name in names if names.count(name) > 1]:
        raise SpecError(f"{twice[0]!r} is the name of a baseline. Rename the model or theory of that name")
    return people, rows


def _named(rows: Sequence[Row], name: str) -> Row:
    found = {row.name: row for row in rows}
    if name not in found:
        raise SpecError(
            f"against: {name!r} is no row. {did_you_mean(name, found)}They are {', '.join(found)}"
        )
    return found[name]


def _unit(people: Choices, cluster: str | None) -> tuple[pd.Series, str]:
    """The cluster of each choice, and what it is."""
    known = {"item": people.item, "participant": people.person, "choice": np.arange(len(people.cell))}
    if cluster is None:
        cluster = next(name for name in UNITS if known[name] is not None)
    if cluster not in UNITS:
        raise SpecError(f"cluster={cluster!r}: choose {', '.join(UNITS)}")
    if known[cluster] is None:
        raise SpecError(f"cluster={cluster!r}: the choices have no column {cluster!r}")
    return pd.Series(known[cluster]), f"{cluster}s"


def _too_few(people: Choices, unit: pd.Series, named: str) -> str:
    if len(people.cell) < LEAST_CHOICES:
        return f"{len(people.cell)} choices: fewer than {LEAST_CHOICES}"
    if (units := unit.nunique()) < LEAST:
        return f"choices of {units} {named}: fewer than {LEAST}"
    return ""


def _sizes(people: Choices, named: str, own_items: bool) -> dict[str, object]:
    items = 0 if people.item is None else int(people.item.max()) + 1
    return {
        "n": len(people.cell),
        "n_items": items,
        "clusters": f"{named} and items" if own_items else named,
    }


def _level(row: Row, unit: pd.Series) -> dict[str, float]:
    mean = float(row.loss.mean())
    low = high = np.nan
    if np.isfinite(mean):
        side = Side.of(pd.Series(row.loss), unit)
        error, clusters = _beside(side, row.left_out)
        least, most = row.bounds
        if error > 0 and np.isfinite(most):
            low, high = map(float, bounded(mean, error, clusters, bounds=(least, most)))
        elif error > 0:
            found = student_test(mean, error, clusters - 1, np.inf, "two-sided")
            low, high = max(found["low"], least), found["high"]
    return {"nats": mean, "low": low, "high": high}


def _difference(row: Row, other: Row, unit: pd.Series) -> dict[str, float]:
    result = dict.fromkeys(("low", "high", "t", "df", "p"), np.nan)
    means = float(row.loss.mean()), float(other.loss.mean())
    if np.isinf(means).any():
        return {"difference": np.nan if all(np.isinf(means)) else means[0] - means[1]} | result
    side = Side.of(pd.Series(row.loss - other.loss), unit)
    items = row.left_out.index.union(other.left_out.index)
    # An item that a model does not have changes nothing.
    left_out = [
        one.left_out.reindex(items).fillna(mean) for one, mean in zip((row, other), means, strict=True)
    ]
    error, clusters = _beside(side, left_out[0] - left_out[1])
    if not error > 0:
        return {"difference": side.mean} | result
    found = student_test(side.mean, error, clusters - 1, np.inf, "two-sided")
    return {"difference": side.mean, **result, **found, "df": clusters - 1}


def _beside(side: Side, left_out: pd.Series[float]) -> tuple[float, float]:
    """The error of a mean, with that over a model's own items, and the effective number of clusters."""
    if left_out.empty:
        return side.error, side.effective
    n = len(left_out)
    over_items = (n - 1) / n * float(((left_out - left_out.mean()) ** 2).sum())
    return root_error(side.error**2 + over_items, side.mean), float(n)


__all__ = ["LEAST_CHOICES", "PEOPLE", "differences", "per_choice"]
