"""Figures that compare models, and the free text of a model with its scored answers."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotnine as p9

from grace_client.analysis._data.layout import require
from grace_client.analysis.figures import _style

STATISTICS = {
    "r": "Pearson r of deviations (more is closer)",
    "rho": "Spearman ρ of deviations (more is closer)",
    "rmse": "RMSE (less is closer)",
    "js": "JS divergence, bits (less is closer)",
}


def option_mass(table: pd.DataFrame) -> p9.ggplot:
    """Mean option mass by question: the probability of all offered answers together.

    Parameters
    ----------
    table : DataFrame
        As `quality.option_mass` gives it: ``model, question, mean, low, high, minimum``; if it has
        ``experiment``, the labels name it before the question.

    Returns
    -------
    plotnine.ggplot
        Points are means with their intervals. Small marks are the lowest single questions. The dashed line is
        one half.
    """
    require(table, ["model", "question", "mean", "low", "high", "minimum"], "the figure's table")
    whole = _style.together(_style.models(table))
    order = _style.names(whole)
    if "experiment" in whole.columns and whole["experiment"].nunique() > 1:
        whole["question"] = whole["experiment"] + ", " + whole["question"]
    beside = p9.position_dodge(width=0.7 if len(order) > 1 else 0)
    questions = list(dict.fromkeys(whole["question"]))
    whole["question"] = pd.Categorical(whole["question"], categories=questions[::-1])
    return (
        p9.ggplot(whole, p9.aes("question", "mean", color="model", shape="model", group="model"))
        + p9.geom_hline(yintercept=0.5, linetype="dashed", color="#7F7F7F", size=0.4)
        + _style.points(order)
        + p9.geom_point(p9.aes(y="minimum"), position=beside, shape="|", size=2.5, show_legend=False)
        + _style.scales(order)
        + p9.coord_flip()
        + p9.scale_y_continuous(limits=(0, 1), breaks=(0, 0.25, 0.5, 0.75, 1))
        + p9.labs(x="", y="option mass")
        + _style.caption(whole, f"Horizontal lines: {_style.SPAN} Small marks: the lowest single question.")
        + _style.theme(7.2, 1.2 + len(questions) * max(0.26, 0.13 * len(order)))
    )


def closeness(
    table: pd.DataFrame, *, ceiling: pd.DataFrame | None = None, rsa: pd.DataFrame | None = None
) -> p9.ggplot:
    """Closeness of each model to people, or to a theory: correlations, RMSE and divergence.

    Parameters
    ----------
    table : DataFrame
        As `compare.closeness` gives it: ``model, statistic, value, low, high``.
    ceiling : DataFrame, optional
        As `reference.noise_ceiling` gives it: ``compared, statistic, low, high``. The second sample of people
        is drawn as a grey band.
    rsa : DataFrame, optional
        The closeness of the theory: columns as in `table`, without ``model``.

    Returns
    -------
    plotnine.ggplot
        A panel for each statistic.
    """
    require(table, ["model", "statistic", "value", "low", "high"], "the figure's table")
    table = table[table["statistic"].isin(set(STATISTICS))]
    rsa = None if rsa is None else rsa[rsa["statistic"].isin(set(STATISTICS))]
    theory = None if rsa is None else rsa.assign(model=_style.THEORY, mean=rsa["value"])
    whole = _style.together(_style.models(table).rename(columns={"value": "mean"}), theory)
    order = _style.names(whole)
    undefined = bool(whole["mean"].isna().any())
    whole["panel"] = _panels(whole["statistic"])
    whole["model"] = pd.Categorical(whole["model"], categories=order[::-1])
    # The blank layer makes the axis one of names before the band is laid on it.
    figure = (
        p9.ggplot(whole, p9.aes("model", "mean", color="model", shape="model", group="model"))
        + p9.geom_blank()
    )
    if ceiling is not None:
        band = ceiling[ceiling["statistic"].isin(set(table["statistic"]))]
        if "compared" in band.columns:
            band = band[band["compared"] == "second sample"]
        band = band.assign(panel=_panels(band["statistic"]))
        figure += p9.geom_rect(
            p9.aes(xmin=0.4, xmax=len(order) + 0.6, ymin="low", ymax="high"),
            data=band,
            inherit_aes=False,
            fill="#BFBFBF",
            alpha=0.6,
        )
    return (
        figure
        + p9.geom_linerange(p9.aes(ymin="low", ymax="high"), size=0.6, na_rm=True)
        + p9.geom_point(size=2.2, na_rm=True)
        + _style.scales(order)
        + p9.facet_wrap("panel", ncol=2, scales="free_x")
        + p9.coord_flip()
        + p9.labs(x="", y="")
        + p9.labs(
            caption="Horizontal lines: 95% intervals over stories or domains, and over people's answers."
            + (" Grey band: where a second sample of people would be." if ceiling is not None else "")
            + (" No point: undefined, because the answers do not vary." if undefined else "")
        )
        + _style.theme(7.8, 1.6 + 0.5 * len(order))
        + p9.theme(legend_position="none")
    )


def consistency(cells: pd.DataFrame) -> p9.ggplot:
    """Share of free-text answers against mean scored probability, by cell and option.

    Parameters
    ----------
    cells : DataFrame
        As `consistency.by_cell` gives it: ``model, question, option, said, scored``.

    Returns
    -------
    plotnine.ggplot
        A point per cell and option; equal values are on the diagonal.
    """
    require(cells, ["model", "question", "option", "said", "scored"], "the figure's table")
    table = _style.models(cells)
    order = _style.names(table)
    table["model"] = pd.Categorical(table["model"], categories=order)
    return (
        p9.ggplot(table, p9.aes("scored", "said", color="model", shape="model", group="model"))
        + p9.geom_abline(slope=1, intercept=0, color="#7F7F7F", linetype="dashed", size=0.4)
        + p9.geom_point(size=1.7, alpha=0.75)
        + _style.scales(order)
        + p9.facet_wrap("question", ncol=3)
        + p9.coord_fixed(xlim=(0, 1), ylim=(0, 1))
        + p9.labs(x="scored probability (Experiment 2)", y="share of answers (Experiment 1)")
        + _style.theme(2.6 * min(3, table["question"].nunique()) + 1.4, 3.7)
    )


def _panels(statistic: pd.Series) -> Any:
    there = [label for name, label in STATISTICS.items() if name in set(statistic)]
    return pd.Categorical(statistic.map(STATISTICS), categories=there)
