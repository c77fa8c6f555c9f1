"""Figures of Study 2, politeness."""

from __future__ import annotations

import pandas as pd
import plotnine as p9

from grace_client.analysis._data.layout import require
from grace_client.analysis.figures import _study_factors, _style

CELL = ["goal", "state"]
CHANCE = 1 / 8
PARAMETERS = {
    "informational": "informational",
    "social": "social",
    "presentational": "presentational",
    "phi": "φ",
}
"""Parameters of the polite speaker, as the axis shows them."""


def utterances(
    means: pd.DataFrame, *, people: pd.DataFrame | None = None, rsa: pd.DataFrame | None = None
) -> p9.ggplot:
    """Share of each utterance, by goal and state.

    Parameters
    ----------
    means : DataFrame
        As `study2.utterances` gives it: ``model, goal, state, utterance, mean, low, high``.
    people : DataFrame, optional
        As `reference.study2` gives it: ``goal, state, utterance, share, low, high``.
    rsa : DataFrame, optional
        Predictions, as `rsa.predict_study2` gives them: ``goal, state, utterance, prob``.

    Returns
    -------
    plotnine.ggplot
        The dashed line is chance, one in eight.
    """
    keys = [*CELL, "utterance"]
    own = _study_factors.tidy(means, [*keys, "mean", "low", "high"])
    table = _style.together(own, _people(people, keys), _theory(rsa, keys))
    order = _style.names(table)
    return (
        p9.ggplot(table, p9.aes("utterance", "mean", color="model", shape="model", group="model"))
        + p9.geom_hline(yintercept=CHANCE, linetype="dashed", color="#7F7F7F", size=0.4)
        + _style.points(order, width=0.75)
        + _style.scales(order)
        + p9.facet_grid("goal", "state")
        + p9.scale_y_continuous(limits=(0, 1), breaks=(0, 0.25, 0.5, 0.75, 1))
        + p9.labs(x="It …", y="share of utterances")
        + _style.caption(
            table,
            _study_factors.STUDY2_INTERVAL + " People: exact intervals. Dashed horizontal: chance, 1/8.",
        )
        + _style.theme(*((9.6, 6.4) if len(order) <= 4 else (11.0, 7.6)))
        + p9.theme(axis_text_x=p9.element_text(rotation=60, ha="right", size=8))
    )


def negation(
    means: pd.DataFrame, *, people: pd.DataFrame | None = None, rsa: pd.DataFrame | None = None
) -> p9.ggplot:
    """Share of negated utterances, by goal and state.

    Parameters
    ----------
    means : DataFrame
        As `study2.negation` gives it: ``model, goal, state, mean, low, high``.
    people : DataFrame, optional
        As `reference.study2_negation` gives it: ``goal, state, share, low, high``.
    rsa : DataFrame, optional
        ``goal, state, prob``: predicted probability of a negation.

    Returns
    -------
    plotnine.ggplot
    """
    own = _study_factors.tidy(means, [*CELL, "mean", "low", "high"])
    table = _style.together(own, _people(people, CELL), _theory(rsa, CELL))
    order = _style.names(table)
    beside = p9.position_dodge(width=0.35 if len(order) > 1 else 0)
    return (
        p9.ggplot(
            table, p9.aes("state", "mean", color="model", shape="model", linetype="model", group="model")
        )
        + p9.geom_line(position=beside, size=0.5)
        + p9.geom_linerange(
            p9.aes(ymin="low", ymax="high"),
            position=beside,
            size=0.55,
            linetype="solid",
            na_rm=True,
            show_legend=False,
        )
        + p9.geom_point(p9.aes(alpha="known"), position=beside, size=2.1)
        + p9.scale_alpha_manual(values={True: 1.0, False: 0.35}, guide=None)
        + _style.scales(order, lines=True)
        + p9.facet_wrap("goal", ncol=3)
        + p9.scale_y_continuous(limits=(0, 1), breaks=(0, 0.25, 0.5, 0.75, 1))
        + p9.labs(x="private rating of the speaker", y="share of negated utterances")
        + _style.caption(table, _study_factors.STUDY2_INTERVAL + " People: exact intervals.")
        + _style.theme(7.8, 3.3)
    )


def goals(weights: pd.DataFrame, *, people: pd.DataFrame | None = None) -> p9.ggplot:
    """Fitted weights and φ of the polite speaker, of models and people, by goal.

    Parameters
    ----------
    weights : DataFrame
        ``model, goal, parameter, value``: the weights ``informational, social, presentational``, which sum to
        1, and ``phi``.
    people : DataFrame, optional
        The same of people, without ``model``.

    Returns
    -------
    plotnine.ggplot
        Fitted values, which have no intervals.
    """
    require(weights, ["model", *CELL[:1], "parameter", "value"], "the figure's table")
    human = None if people is None else people.assign(model=_style.PEOPLE)
    whole = pd.concat([_style.models(weights), human])
    order = _style.names(whole)
    table = whole.assign(
        model=pd.Categorical(whole["model"], categories=order),
        goal=pd.Categorical(
            whole["goal"].map(_study_factors.GOALS), categories=list(_study_factors.GOALS.values())
        ),
        parameter=pd.Categorical(whole["parameter"].map(PARAMETERS), categories=list(PARAMETERS.values())),
    )
    return (
        p9.ggplot(table, p9.aes("parameter", "value", color="model", shape="model", group="model"))
        + p9.geom_point(position=p9.position_dodge(width=0.7 if len(order) > 1 else 0), size=2.1)
        + _style.scales(order)
        + p9.facet_wrap("goal", ncol=3)
        + p9.scale_y_continuous(limits=(0, 1), breaks=(0, 0.25, 0.5, 0.75, 1))
        + p9.labs(x="", y="weight, and φ")
        + p9.labs(
            caption="Fitted values, without intervals. The three weights sum to 1. "
            "φ: how the speaker wants to appear, from kind (0) to informative (1)."
        )
        + _style.theme(7.8, 3.3)
        + p9.theme(axis_text_x=p9.element_text(rotation=30, ha="right"))
    )


def judgements(means: pd.DataFrame) -> p9.ggplot:
    """Mean judgements of an utterance, by goal and state.

    Parameters
    ----------
    means : DataFrame
        As `study2.judgements` gives it: ``model, goal, state, utterance, measure, mean, low, high``.

    Returns
    -------
    plotnine.ggplot
        A row of panels for each measure and utterance, a column for each goal.
    """
    # Six sentences, of which two are not among the eight utterances that `tidy` knows.
    named = means.rename(columns={"utterance": "sentence"})
    table = _style.together(_study_factors.tidy(named, [*CELL, "sentence", "measure", "mean", "low", "high"]))
    order = _style.names(table)
    return (
        p9.ggplot(table, p9.aes("state", "mean", color="model", shape="model", group="model"))
        + _style.points(order)
        + _style.scales(order)
        + p9.facet_grid(["measure", "sentence"], "goal", scales="free_y")
        + p9.labs(x="private rating of the speaker", y="mean")
        + _style.caption(table, _study_factors.STUDY2_INTERVAL)
        + _style.theme(7.8, 1.2 + 1.3 * len(table[["measure", "sentence"]].drop_duplicates()))
    )


def _people(people: pd.DataFrame | None, keys: list[str]) -> pd.DataFrame | None:
    if people is None:
        return None
    return _study_factors.tidy(
        people.rename(columns={"share": "mean"}), [*keys, "mean"], source=_style.PEOPLE
    )


def _theory(rsa: pd.DataFrame | None, keys: list[str]) -> pd.DataFrame | None:
    if rsa is None:
        return None
    return _study_factors.tidy(rsa.rename(columns={"prob": "mean"}), [*keys, "mean"], source=_style.THEORY)
