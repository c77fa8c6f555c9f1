"""How well models predict the choices of people that the user brought, for any study."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from grace_client.analysis import likelihood
from grace_client.core.errors import NotEnoughDataError
from grace_client.report import format
from grace_client.report.blocks import Section, Table
from grace_client.report.headlines import asked
from grace_client.report.runs import ReportData
from grace_client.run.layout import OK

CHOSEN = "option"
MARGINAL = "people's shares over all conditions"
PEOPLE = "people predicted from other people"


def add(part: Section, data: ReportData, name: str, people: pd.DataFrame) -> None:
    """Add the negative log-likelihood per choice of each question that people answered with one option.

    Parameters
    ----------
    part : Section
        The section.
    data : ReportData
        The data of the report.
    name : str
        The experiment. Only scored experiments give each option a probability.
    people : DataFrame
        Their answers to it, as `analysis.people` gives them.
    """
    experiment = data.experiment(name)
    if not experiment.scored:
        return
    chosen = people[(people["status"] == OK) & (people["prob_norm"] == 1)]
    models = data.frames[name]
    models = models[models["status"] == OK]
    for kind in dict.fromkeys(one.name for one in experiment.kinds.values()):
        questions = [question for question, one in experiment.kinds.items() if one.name == kind]
        own = chosen[chosen["question"].isin(questions)]
        if own.empty:
            continue
        with part.block(f"How well models predict the choices of {kind}"):
            keys = [*data.factors(name), *(["question"] if len(questions) > 1 else [])]
            _table(part, data, name, kind, own, models[models["question"].isin(questions)], keys)


def _table(
    part: Section,
    data: ReportData,
    name: str,
    kind: str,
    chosen: pd.DataFrame,
    models: pd.DataFrame,
    keys: Sequence[str],
) -> None:
    by_item = chosen["item"].ne("").all() and _covered(chosen, models, [*keys, "item"]).all()
    wanted = [*keys, *(["item"] if by_item else [])]
    kept = chosen[_covered(chosen, models, wanted)]
    if kept.empty:
        raise NotEnoughDataError("the models answered none of the cells in which people chose")
    shares = models.groupby(["model", *keys, "item", CHOSEN], sort=False, observed=True)["prob_norm"]
    predicted = shares.agg(prob="mean", n="size").reset_index()
    if not predicted["item"].ne("").all():
        predicted = predicted.drop(columns="item")
    columns = [*keys, CHOSEN, *(["item"] if by_item else [])]
    columns += ["participant"] if kept["participant"].ne("").all() else []
    found = likelihood.per_choice(predicted, kept[columns], keys=list(keys), outcome=CHOSEN)
    part.summary.append(_sentence(data, name, kind, found))
    left_out = len(chosen) - len(kept)
    part.content.append(
        Table(
            f"people-{name}-{kind}-likelihood",
            f"{name}, {kind}: how well people's choices are predicted",
            _shown(found),
            "nats: negative log-likelihood per choice; less is better. difference: from the row “marginal”, "
            "people's shares of the options over all conditions, from the other people. A row blind to a "
            "condition uses people's shares without it. people on people: one half of the people predicts "
            "the other. impossible: choices that the row gives the probability 0."
            + f" {left_out} choices are left out, in cells that a model did not answer."
            * bool(left_out),
            hidden=("kind", "against", *(name for name in ("reason", "n_items") if not found[name].any())),
        )
    )


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """As the page shows it: a row without chance in it has no interval, and none differs from itself."""
    shown = table.rename(columns={"clusters": "drawn"})
    shown["drawn"] = shown["drawn"].mask(shown["low"].isna() & shown["nats"].notna(), "nothing")
    shown["difference"] = shown["difference"].mask(shown["model"] == shown["against"])
    return shown


def _covered(chosen: pd.DataFrame, models: pd.DataFrame, keys: Sequence[str]) -> pd.Series[bool]:
    """For each choice, whether every model answered its cell."""
    cells = models.groupby(list(keys), observed=True)["model"].nunique()
    whole = cells.index[cells == models["model"].nunique()]
    if len(keys) == 1:
        return chosen[keys[0]].isin(whole)
    return pd.Series(pd.MultiIndex.from_frame(chosen[list(keys)]).isin(whole), index=chosen.index)


def _sentence(data: ReportData, name: str, kind: str, table: pd.DataFrame) -> str:
    """Each model beside what one knows without a model, and beside people."""
    own = table[table["kind"] == "model"]
    parts = []
    for row in own.to_dict("records"):
        if row["reason"]:
            parts.append(f"{row['model']}: {row['reason']}")
        elif row["impossible"]:
            parts.append(f"{row['model']}: it gives {row['impossible']} of the choices the probability 0")
        else:
            value = format.interval(row["nats"], row["low"], row["high"])
            beside = f", {'not ' * (not row['difference_high'] < 0)}better than {MARGINAL}"
            parts.append(f"{row['model']} {value}" + beside * pd.notna(row["difference"]))
    nats = dict(zip(table["model"], table["nats"].astype(float), strict=True))
    known = {"uniform": "every option equally likely", "marginal": MARGINAL, "people on people": PEOPLE}
    parts += [f"{text} {format.number(nats[row])}" for row, text in known.items() if pd.notna(nats.get(row))]
    none = own["difference_high"].notna().any() and not (own["difference_high"] < 0).any()
    text = f"People's choices in {name} ({kind}), {asked(data, name)}, in nats per choice (less is better): "
    return text + "; ".join(parts) + "." + f" No model is better than {MARGINAL}." * bool(none)
