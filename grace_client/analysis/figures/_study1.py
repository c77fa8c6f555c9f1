"""Figures of Study 1, knowledge attribution."""

from __future__ import annotations

import pandas as pd
import plotnine as p9

from grace_client.analysis.figures import _study_factors, _style

CELL = ["access", "observe"]
EMPTY = "Empty: the speaker cannot name more than they saw."
"""The design is triangular: three of the nine cells do not exist."""


def states(
    means: pd.DataFrame, *, rsa: pd.DataFrame | None = None, people: pd.DataFrame | None = None
) -> p9.ggplot:
    """Bets on each state, by what the speaker saw and said.

    Parameters
    ----------
    means : DataFrame
        As `study1.cell_means` gives it: ``model, access, observe, state, mean, low, high``. One model is
        drawn as bars, several as points side by side.
    rsa : DataFrame, optional
        Predictions, as `rsa.predict_study1` gives them: ``access, observe, state, prob``.
    people : DataFrame, optional
        Human means, columns as in `means` without ``model``.

    Returns
    -------
    plotnine.ggplot
        A column of panels for each access, a row for each number that is said.
    """
    own = _study_factors.tidy(means, [*CELL, "state", "mean", "low", "high"])
    theory = None
    if rsa is not None:
        theory = _study_factors.tidy(
            rsa.assign(mean=100 * rsa["prob"]), [*CELL, "state"], source=_style.THEORY
        )
    human = (
        None
        if people is None
        else _study_factors.tidy(people, [*CELL, "state", "mean"], source=_style.PEOPLE)
    )
    table = _style.together(own, human, theory)
    order = _style.names(table)
    table["state"] = table["state"].astype(str)
    figure = p9.ggplot(table, p9.aes("state", "mean", color="model", shape="model", group="model"))
    text = _study_factors.STUDY1_INTERVAL
    if own["model"].nunique() == 1:
        text = f"Bars: means. {text}"
        bars = table[table["model"].isin(set(own["model"]))]
        figure += p9.geom_col(bars, width=0.65, alpha=0.25, show_legend=False)
        layers = _style.points(order, width=0.0001)
    else:
        layers = _style.points(order)
    return (
        figure
        + layers
        + _style.scales(order)
        + p9.facet_grid("says", "saw")
        + p9.scale_y_continuous(limits=(0, 100), breaks=(0, 25, 50, 75, 100), expand=(0, 4))
        + p9.labs(x="state: how many of the 3 have the property", y="bet (dollars of 100)")
        + _style.caption(table, f"{text} {EMPTY}")
        + _style.theme(7.2, 5.6)
    )


def percentages(means: pd.DataFrame, *, highest: float | None = None) -> p9.ggplot:
    """Heat map of the elicited distributions: mean probability of each percentage, by state and cell.

    Parameters
    ----------
    means : DataFrame
        ``model, access, observe, state, percentage, mean``: mean probability of each of the eleven
        percentages (0, 10, … 100). The figure shows no intervals; give them in a table.
    highest : float, optional
        Upper end of the colour scale, a probability. Give several figures the same value, so that their
        colours can be compared. Default: the highest mean.

    Returns
    -------
    plotnine.ggplot
        A column of panels for each access, a row for each number that is said and, of several models, for
        each of them.
    """
    table = _study_factors.tidy(means, [*CELL, "state", "percentage", "mean"])
    table["model"] = pd.Categorical(table["model"], categories=_style.names(table))
    table["state"] = table["state"].astype(str)
    # With integers, the tiles would be 1 wide.
    table["percentage"] = table["percentage"].astype("float64")
    rows = table["model"].nunique()
    return (
        p9.ggplot(table, p9.aes("percentage", "state", fill="mean"))
        + p9.geom_tile(color="white", size=0.3)
        + p9.facet_grid(["model", "says"] if rows > 1 else "says", "saw")
        + p9.scale_fill_gradient(
            low="#F7FBFF",
            high="#08306B",
            limits=(0, float(table["mean"].max()) if highest is None else highest),
            name="mean\nprobability",
            guide=p9.guide_colorbar(display="rectangles", nbin=24),
        )
        + p9.scale_x_continuous(breaks=(20, 50, 80), expand=(0, 0))
        + p9.scale_y_discrete(expand=(0, 0))
        + p9.labs(x="elicited percentage", y="state", caption=EMPTY)
        + _style.theme(7.2, 1.0 + (3.2 if rows == 1 else 2.6 * rows))
        + p9.theme(
            panel_grid_major=p9.element_blank(), legend_position="right", legend_title=p9.element_text(size=8)
        )
    )


def entropy(means: pd.DataFrame) -> p9.ggplot:
    """Mean entropy of the answers about each state, by cell.

    Parameters
    ----------
    means : DataFrame
        ``model, access, observe, question, mean, low, high``: mean entropy in bits.

    Returns
    -------
    plotnine.ggplot
        The dashed line is the highest possible entropy of eleven answers, log2(11) = 3.46 bits.
    """
    table = _style.together(_study_factors.tidy(means, [*CELL, "question", "mean", "low", "high"]))
    table["question"] = table["question"].str.removeprefix("state")
    order = _style.names(table)
    return (
        p9.ggplot(table, p9.aes("question", "mean", color="model", shape="model", group="model"))
        + p9.geom_hline(yintercept=3.459, linetype="dashed", color="#7F7F7F", size=0.4)
        + _style.points(order)
        + _style.scales(order)
        + p9.facet_grid("says", "saw")
        + p9.scale_y_continuous(limits=(0, 3.6), breaks=(0, 1, 2, 3))
        + p9.labs(x="state in the question", y="entropy (bits)")
        + _style.caption(
            table, f"{_study_factors.STUDY1_INTERVAL} Dashed: eleven equally likely answers. {EMPTY}"
        )
        + _style.theme(7.2, 5.0)
    )


def knowledge(means: pd.DataFrame) -> p9.ggplot:
    """Share or mean probability of "yes, the speaker knows exactly how many", by cell.

    Parameters
    ----------
    means : DataFrame
        As `study1.knowledge` gives it: ``model, access, observe, mean, low, high``.

    Returns
    -------
    plotnine.ggplot
        The dashed line is chance, one half.
    """
    table = _style.together(_study_factors.tidy(means, [*CELL, "mean", "low", "high"]))
    order = _style.names(table)
    return (
        p9.ggplot(table, p9.aes("access", "mean", color="model", shape="model", group="model"))
        + p9.geom_hline(yintercept=0.5, linetype="dashed", color="#7F7F7F", size=0.4)
        + _style.points(order)
        + _style.scales(order)
        + p9.facet_wrap("says", ncol=3)
        + p9.scale_y_continuous(limits=(0, 1), breaks=(0, 0.25, 0.5, 0.75, 1))
        + p9.labs(x="access: how many of the 3 the speaker saw", y="probability of “yes, knows”")
        + _style.caption(table, _study_factors.STUDY1_INTERVAL)
        + _style.theme(7.2, 2.9)
    )
