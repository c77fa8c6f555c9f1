"""Noise floors: how large an effect can be by the engine's own noise. `quality.noise` has the formulas."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grace_client.analysis._data.layout import require
from grace_client.analysis.intervals import LEVEL
from grace_client.core.errors import SpecError

Array = NDArray[np.float64]


def linear_gain(weights: Array) -> float:
    """Standard deviation of a linear summary of a question's options, if that of one option is 1."""
    n = len(weights)
    return float(np.sqrt(n / (n - 1) * ((weights - weights.mean()) ** 2).sum()))


def gain_of_means(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Gain of the mean over trials, from the ``variance`` of each trial.

    Copies of a stimulus are one answer, with the variance of the first.
    """
    stimuli = rows.groupby([*keys, "stimulus"], sort=False)["variance"].agg(["first", "size"]).reset_index()
    stimuli["sum"] = stimuli["first"] * stimuli["size"] ** 2
    cells = stimuli.groupby(list(keys), sort=False).agg(sum=("sum", "sum"), n=("size", "sum")).reset_index()
    return cells.assign(gain=np.sqrt(cells["sum"]) / cells["n"])[[*keys, "gain"]]


def add_floor(
    table: pd.DataFrame,
    frame: pd.DataFrame,
    noise: pd.DataFrame | None,
    gains: Callable[[], pd.DataFrame],
    effect: pd.Series[float] | None = None,
) -> pd.DataFrame:
    """`table` with ``noise_floor`` and, of an effect, ``below_noise``; `table` itself without `noise`.

    Parameters
    ----------
    table : DataFrame
        Effects, one per row.
    frame : DataFrame
        The answers that `table` was made from.
    noise : DataFrame or None
        As `quality.noise` gives it.
    gains : callable
        Gives the columns that identify a row of `table`, and ``gain``: the standard deviation of the effect
        where that of one option is 1.
    effect : Series, optional
        The effects. Default: the rows are not effects, and get no ``below_noise``.
    """
    from scipy import stats

    if noise is None:
        return table
    if {"response", "replicate"} & set(frame.columns):
        raise SpecError("noise=: free text is drawn at random. Only scored answers have a noise floor")
    gain = gains()
    require(noise, ["model", "experiment", "sd_points"], "noise")
    if "experiment" in frame.columns:
        noise = noise[noise["experiment"].isin(set(frame["experiment"]))]
    if (twice := noise["model"].duplicated()).any():
        raise SpecError(
            f"noise: {noise['model'][twice].iloc[0]} has several experiments. Keep the rows of the one that "
            "the table is made from"
        )
    sd = noise.set_index("model")["sd_points"] / 100
    gain_of_row = table.merge(gain, on=[name for name in gain.columns if name != "gain"], how="left")["gain"]
    quantile = float(stats.norm.ppf((1 + LEVEL) / 2))
    floor = quantile * gain_of_row.to_numpy() * table["model"].map(sd).to_numpy(dtype=np.float64)
    table = table.assign(noise_floor=floor)
    if effect is None:
        return table
    below = pd.Series(effect.abs().to_numpy() < floor, index=table.index).astype("boolean")
    return table.assign(below_noise=below.mask(np.isnan(floor) | effect.isna().to_numpy()))
