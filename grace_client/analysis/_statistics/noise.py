"""The engine's own noise, beside the effects that it might be mistaken for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grace_client.analysis import study1, study2
from grace_client.analysis._data.layout import canonical, per_model, require
from grace_client.analysis.intervals import LEVEL
from grace_client.analysis.study1._beliefs import wide_bets
from grace_client.analysis.study2._goal_contrasts import weights
from grace_client.core.errors import SpecError
from grace_client.run.layout import OK
from grace_client.run.manifest import Manifest

Array = NDArray[np.float64]

PERCENTAGES = np.arange(0.0, 101.0, 10.0)
"""The answers to a state question of Study 1."""

EFFECTS = {
    "contrasts": "difference",
    "implicature": "mean",
    "cell_means": None,
    "knowledge": None,
    "utterances": "mean",
    "negation": "mean",
    "differences": "difference",
}
"""Tables that can be marked, and the column of each that is an effect or a share, which is held to chance."""


def mark_noise(
    table: pd.DataFrame,
    frame: pd.DataFrame,
    *,
    of: str,
    manifests: Mapping[tuple[str, str], Manifest] | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    r"""Set beside each effect what the engine's noise alone could make of it.

    `grace noise` scores some questions again and again; the standard deviation :math:`\sigma` of an option's
    normalised probability between repeats is in the manifest (``noise.points.sd``). Errors of the options of
    a question are taken to be equally large and, but for their sum of 0, uncorrelated, and those of
    different questions to be independent. A linear summary :math:`\sum_i a_i p_i` of the n options of a
    question then has the variance

    .. math:: \sigma^2 \frac{n}{n - 1} \sum_i (a_i - \bar a)^2,

    which for an elicited percentage (the mean over 0%, 10%, …, 100%) is :math:`\sigma_m = 110\,\sigma`
    percentage points. A difference of bets, :math:`d = \sum_s c_s b_s` with
    :math:`b_s = 100\,m_s / T` and :math:`T = \sum_s m_s`, has by the delta method

    .. math:: \mathrm{Var}(d) = \frac{\sigma_m^2}{T^2} \sum_s (100\,c_s - d)^2 .

    An effect is a mean over distinct stimuli, each of which was asked once, with weights :math:`w_j` that sum
    to 1: its variance is :math:`\sum_j w_j^2 \mathrm{Var}(d_j)`. Names make different questions: in Study 2
    every text counts, not every item.

    Parameters
    ----------
    table : DataFrame
        Result of the function that `of` names, in any order, with any columns added.
    frame : DataFrame
        The scored answers that `table` was made from, as `read` gives them.
    of : {"contrasts", "implicature", "cell_means", "knowledge", "utterances", "negation", "differences"}
        The function that made `table`: of Study 1 the first four (``contrasts`` by stimulus or item,
        ``cell_means`` of bets), of Study 2 the others.
    manifests : mapping of (model, experiment) to Manifest, optional
        Where it is not given, ``frame.attrs["manifests"]``.
    level : float
        How rarely noise alone is to exceed the floor: at 0.95 once in 20 times.

    Returns
    -------
    DataFrame
        `table` with ``noise_floor``, in the unit of the effect: the normal quantile of `level` times the
        standard deviation that noise gives to the effect; and ``below_noise`` (boolean): whether the effect,
        for ``utterances`` and ``negation`` the distance of ``mean`` from ``chance``, is smaller. Both are
        missing where no noise was measured. ``cell_means`` and ``knowledge`` are no effects: they have
        ``noise_floor`` alone. The floor of a difference between two rows of a table, of which no question is
        in both, is the root of the sum of their squared floors.

    Raises
    ------
    SpecError
        Where `of` is none of the tables, a column is missing, answers are free text, which is drawn and has
        no noise floor, or a row of `table` has no answers in `frame`.

    Examples
    --------
    >>> from grace_client import analysis
    >>> from grace_client.analysis import example
    >>> frame = example.scored("study1")
    >>> table = analysis.study1.contrasts(frame)
    >>> marked = analysis.mark_noise(table, frame, of="contrasts", manifests=example.manifests("study1"))
    >>> marked[["difference", "noise_floor", "below_noise"]].head(4).round(2)
       difference  noise_floor  below_noise
    0       78.21         0.17        False
    1       72.31         0.17        False
    2       66.37         0.16        False
    3      -23.43         0.13        False
    """
    if of not in EFFECTS:
        raise SpecError(f"there is no table {of!r} to mark; there are: {', '.join(EFFECTS)}")
    if "response" in frame.columns:
        raise SpecError("free text is drawn at random; a noise floor is that of scored answers")
    require(frame, ["model", "experiment", "stimulus", "question", "option", "prob_norm", "status"])
    known = frame.attrs.get("manifests", {}) if manifests is None else manifests
    gains = _gains(frame, of)
    keys = [name for name in gains.columns if name != "gain"]
    require(table, keys + ([EFFECTS[of] or ""] if EFFECTS[of] else []))
    sd = {}
    for model, name in frame[["model", "experiment"]].drop_duplicates().itertuples(index=False):
        manifest = known.get((str(model), str(name)))
        sd[model] = manifest.noise.points.sd / 100 if manifest and manifest.noise else np.nan
    beside = table[keys].merge(gains, on=keys, how="left")["gain"].to_numpy()
    if (lost := np.isnan(beside)).any():
        row = table[keys].iloc[int(lost.argmax())].to_dict()
        raise SpecError(f"{row} of the table has no answers in the frame; give the frame it was made from")
    floor = _quantile(level) * beside * table["model"].map(sd).to_numpy(dtype=np.float64)
    marked = table.assign(noise_floor=floor)
    column = EFFECTS[of]
    if column is None:
        return marked
    effect = table[column] - (table["chance"] if column == "mean" and "chance" in table.columns else 0)
    below = pd.Series(effect.abs().to_numpy() < floor, index=table.index).astype("boolean")
    return marked.assign(below_noise=below.mask(np.isnan(floor) | effect.isna().to_numpy()))


def _quantile(level: float) -> float:
    from scipy import stats

    return float(stats.norm.ppf((1 + level) / 2))


def linear_gain(weights: Array) -> float:
    """Standard deviation of a linear summary of a question's options where that of one option is 1."""
    n = len(weights)
    return float(np.sqrt(n / (n - 1) * ((weights - weights.mean()) ** 2).sum()))


def _gains(frame: pd.DataFrame, of: str) -> pd.DataFrame:
    """What identifies a row, and ``gain``: its standard deviation where that of an option is 1."""
    if of in ("contrasts", "implicature", "cell_means"):
        return _of_bets(frame, of)
    if of == "knowledge":
        rows = study1.legal(frame)
        rows = rows[(rows["question"] == "knowledge") & (rows["status"] == OK) & (rows["option"] == "yes")]
        return _averaged(rows.assign(variance=1.0), ["model", *study1.CELL])
    rows = canonical(frame, study2.LEVELS)
    rows = rows[(rows["question"] == "utterance") & (rows["status"] == OK)]
    one = rows.drop_duplicates(["model", "trial_id"])
    negated = np.array([name.startswith("wasnt_") for name in study2.UTTERANCES], dtype=np.float64)
    if of == "utterances":
        cells = _averaged(one.assign(variance=1.0), ["model", *study2.CELL])
        return cells.merge(pd.DataFrame({"utterance": study2.UTTERANCES}), how="cross")
    if of == "negation":
        return _averaged(one.assign(variance=linear_gain(negated) ** 2), ["model", *study2.CELL])
    return _of_differences(one, linear_gain(negated))


def _averaged(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Gain of the mean over trials; copies of a stimulus are one answer, with the variance of the first."""
    stimuli = rows.groupby([*keys, "stimulus"], sort=False)["variance"].agg(["first", "size"]).reset_index()
    stimuli["sum"] = stimuli["first"] * stimuli["size"] ** 2
    found = stimuli.groupby(list(keys), sort=False).agg(sum=("sum", "sum"), n=("size", "sum")).reset_index()
    found["gain"] = np.sqrt(found["sum"]) / found["n"]
    return found[[*keys, "gain"]]


def _of_bets(frame: pd.DataFrame, of: str) -> pd.DataFrame:
    table = study1.bets(frame)
    wide = wide_bets(table)
    total = table.groupby(["model", "trial_id"])["percentage"].sum().rename("total")
    wide = wide.join(total, on=["model", "trial_id"])
    bets = wide[list(study1.STATES)].to_numpy(dtype=np.float64)
    per = (linear_gain(PERCENTAGES) / wide["total"].to_numpy()) ** 2

    def variance(combination: Array) -> Array:
        """Of a combination of the four bets of each trial; see `mark_noise`."""
        effect = (bets * combination).sum(axis=-1, keepdims=True)
        return np.asarray(per * ((100 * combination - effect) ** 2).sum(axis=-1))

    parts = []
    keys = ["model", *study1.CELL]
    unit = np.eye(len(study1.STATES))
    if of == "implicature":
        combined = np.zeros(bets.shape)
        for observe in ("1", "2"):
            own, named = (wide["observe"] == observe).to_numpy(), int(observe)
            combined[own, named] = 1.0
            combined[own, named + 1 :] = -1 / (len(study1.STATES) - named - 1)
        rows = wide.assign(variance=variance(combined))
        return _averaged(rows[rows["observe"] != "3"], keys)
    if of == "cell_means":
        for state in study1.STATES:
            rows = wide.assign(variance=variance(unit[state]))
            parts.append(_averaged(rows, keys).assign(state=state))
        return pd.concat(parts, ignore_index=True)
    for access, observe, greater, lesser in study1.CONTRASTS:
        rows = wide.assign(variance=variance(unit[greater] - unit[lesser]))
        rows = rows[(rows["access"] == access) & (rows["observe"] == observe)]
        parts.append(_averaged(rows, keys).assign(greater=greater, lesser=lesser))
    return pd.concat(parts, ignore_index=True)


def _of_differences(trials: pd.DataFrame, gain: float) -> pd.DataFrame:
    found = []
    for model, rows in per_model(trials):
        for goal, against, state, weight in weights(rows):
            of_stimulus = weight.groupby(rows.loc[weight.index, "stimulus"]).sum()
            spread = gain * float(np.sqrt((of_stimulus**2).sum()))
            found.append((model, goal, against, state, spread if len(weight) else np.nan))
    return pd.DataFrame(found, columns=["model", "goal", "against", "state", "gain"])
