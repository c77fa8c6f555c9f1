"""Study 2 in the report: what is said, who negates, and how close it is to people."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grace_client import analysis
from grace_client.analysis.rsa import Speaker
from grace_client.report import closeness, ways, words
from grace_client.report.material import TITLES, Material
from grace_client.report.parts import Figure, Section, Table

CELL = ["goal", "state"]
GOALS = ("both", "social", "informational")
WEIGHTS = ("informational", "social", "presentational", "phi")


def scored(material: Material) -> Section | None:
    """Experiment 2: probabilities of the eight utterances."""
    frame = material.frames.get("study2-exp2")
    if frame is None:
        return None
    found = Section("study2-exp2", TITLES["study2-exp2"])
    with found.block("What is said, and who negates,"):
        _said(found, frame, "study2")
    with found.block("The model of negation"):
        found.content += _negating(
            frame,
            "study2",
            "Log odds against goal informational and 0 hearts: a fractional logit of the probability of a "
            "negation, with errors robust to any correlation within a domain and Student's t.",
        )
    with found.block("What may be expected of what is said"):
        found.content.append(_gained(frame, "study2"))
    with found.block("The fit of the polite speaker"):
        _fits(found, analysis.study2.utterances(frame), analysis.study2.by_item(frame))
    with found.block("How much the way of scoring matters"):
        ways.add(found, material, "study2-exp2", ["utterance"], CELL)
    return found


def free(material: Material) -> Section | None:
    """Experiment 1: utterances in free text."""
    if "study2-exp1" not in material.frames:
        return None
    found = Section("study2-exp1", TITLES["study2-exp1"])
    frame = material.extracted("study2-exp1")
    if frame is None:
        found.content.append("The free text has not been given its meaning: run 'grace extract' on the run.")
        return found
    with found.block("What is said, and who negates,"):
        _said(found, frame, "study2-free")
    with found.block("The test of each utterance against chance"):
        found.content.append(
            Table(
                "study2-free-binomial",
                "Each utterance against chance",
                analysis.study2.binomial(frame),
                "Tests against 1/8 that know which answers are about the same domain, as the intervals do; "
                "p (Holm): corrected over all tests of the model.",
                long=True,
            )
        )
    with found.block("The model of negation"):
        found.content += _negating(
            frame,
            "study2-free",
            "Log odds against goal informational and 0 hearts, with random intercepts of item and of item "
            "in a cell.",
        )
    with found.block("What may be expected of what is said"):
        found.content.append(_gained(frame, "study2-free"))
    return found


def _negating(frame: pd.DataFrame, name: str, note: str) -> list[str | Table | Figure]:
    """The model of negation, its omnibus test, and the paper's two comparisons of goals."""
    fit = analysis.study2.negation_fit(frame)
    separated = "separated: it rests on a cell where all or none negate, and has no finite value"
    if "penalised" in fit.terms:
        separated += (
            "; penalised: with half an answer of each kind added to each cell (a log-F(1, 1) prior, Firth's "
            "correction where answers are independent), it has"
        )
    found: list[str | Table | Figure] = []
    if fit.terms[[name for name in ("estimate", "penalised") if name in fit.terms]].notna().any(axis=None):
        found.append(
            Table(
                f"{name}-negation-model",
                "Logistic model of negation",
                _estimate_first(fit.terms, "term"),
                f"{note} {separated}.",
                hidden=("method", *_empty(fit.terms)),
            )
        )
    if fit.omnibus["p"].notna().any():
        found.append(
            Table(
                f"{name}-negation-omnibus",
                "Whether goals matter differently at different states",
                fit.omnibus,
                "Wald's test of goal by state in that model"
                + (", as Hotelling's T² over domains" if "f" in fit.omnibus else "")
                + ". separated: a cell without finite log odds is left out.",
                hidden=("method",),
            )
        )
    else:
        found.append(
            "Whether goals matter differently at different states cannot be tested in the logistic model: "
            "too few cells have finite log odds, or too few domains have answers in each."
        )
    tests = [column for column in ("estimate", "penalised", "p_exact") if column in fit.contrasts]
    if fit.contrasts[tests].notna().any(axis=None):
        return [*found, _goal_contrasts(fit, name, separated)]
    return [*found, "Nor can the goals be compared within domains: no two domains have answers for both."]


def _goal_contrasts(fit: analysis.study2.NegationFit, name: str, separated: str) -> Table:
    """The comparisons of goals in the model, and exactly within domains."""
    table = fit.contrasts
    few = int((table["n_distinct"] < 2).sum())
    return Table(
        f"{name}-negation-contrasts",
        "Negation with the goal both, against each goal alone",
        _estimate_first(table, "goal", "against", "state"),
        "estimate: log odds ratio in that model; distinct: domains in that of its cells that has the fewest"
        + (", of which t has one degree of freedom less" if "t" in table else "")
        + "; p exact: of shares of negation within domains, whose two goals might have changed places, which "
        "is 2 in 2 to the number of domains at least; Holm: corrected within the model. "
        + f"{separated}."
        + f" {few} of {len(table)} need a cell with answers about fewer than two domains, and have no test."
        * bool(few),
        long=True,
        hidden=("method", *_empty(table)),
    )


def _empty(table: pd.DataFrame) -> tuple[str, ...]:
    """Columns of the unpenalised model where it tells nothing: a table of dashes is none."""
    if table["estimate"].notna().any():
        return ()
    own = ("estimate", "low", "high", "se", "z", "t", "df", "p", "p_holm", "converged")
    return tuple(name for name in own if name in table)


def _estimate_first(table: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """Each interval behind its estimate."""
    first = ["model", *keys, "estimate", "low", "high"]
    return table[[*first, *(name for name in table.columns if name not in first)]]


def _gained(frame: pd.DataFrame, name: str) -> Table:
    """Expected utilities of what is said, beside those of what people say."""
    people = analysis.study2.utilities(analysis.reference.study2().assign(model="people"))
    beside = people.rename(columns={"mean": "people", "low": "people_low", "high": "people_high"})
    keys = [*CELL, "utility"]
    return Table(
        f"{name}-utilities",
        "What may be expected of what is said",
        analysis.study2.utilities(frame).merge(
            beside[[*keys, "people", "people_low", "people_high"]], on=keys, how="left"
        ),
        "With a literal listener, who takes the utterances as 49 people judged them. social: the hearts that "
        "the listener is led to believe in; informational: the log-probability (nats) of the true state; "
        "best: the most that any utterance has.",
        long=True,
    )


def _said(found: Section, frame: pd.DataFrame, name: str) -> None:
    people, negated = analysis.reference.study2(), analysis.reference.study2_negation()
    theory = analysis.rsa.predict_study2(analysis.rsa.people())
    means, negation = analysis.study2.utterances(frame), analysis.study2.negation(frame)
    theory_negates = theory[theory["utterance"].str.startswith("wasnt")]
    theory_negates = theory_negates.groupby(CELL, sort=False)["prob"].sum().reset_index()
    found.content += [
        "A speaker who privately gives 0 to 3 hearts wants to be kind, to be informative, or both, and "
        "says that it was, or wasn't, terrible, bad, good or amazing. People who want both negate bad news.",
        Figure(
            f"{name}-negation",
            "Negation by goal and state",
            "Share of negated utterances with intervals over 0 to 3 hearts, a panel for each goal; models, "
            "people and the rational speech act speaker.",
            lambda: analysis.figures.negation(negation, people=negated, rsa=theory_negates),
        ),
        Table(
            f"{name}-negation",
            "Negated utterances",
            negation.merge(_beside(negated, CELL), on=CELL, how="left"),
            "people: counts of the authors' public data (203 participants) with exact intervals; chance is "
            "one half.",
            hidden=("chance",),
        ),
        Figure(
            f"{name}-utterances",
            "What is said, by goal and state",
            "Share of each of eight utterances with intervals, a panel for each goal and state; models, "
            "people and the rational speech act speaker.",
            lambda: analysis.figures.utterances(means, people=people, rsa=theory),
        ),
        _theory(theory),
        Table(
            f"{name}-utterances",
            "Utterances (chance is 0.125)",
            means.merge(_beside(people, [*CELL, "utterance"]), on=[*CELL, "utterance"], how="left"),
            "people: counts of the authors' public data (203 participants) with exact intervals.",
            long=True,
            hidden=("chance",),
        ),
    ]
    where = "" if name == "study2" else " in free text"
    whole = {"people": negated.rename(columns={"share": "mean"})}
    whole |= {str(model): own for model, own in negation.groupby("model", sort=False)}
    told = [f"{model} {_bad_news(own)}" for model, own in whole.items() if len(own) == len(negated)]
    if len(told) > 1:
        found.summary.append(
            f"Bad news (0 hearts) is negated{where}, with the goal {', '.join(GOALS)}: {'; '.join(told)}."
        )


def _bad_news(cells: pd.DataFrame) -> str:
    """Negation at 0 hearts, by goal."""
    own = cells[cells["state"] == "0 hearts"].set_index("goal")
    return ", ".join(
        words.share(*(float(own[column][goal]) for column in ("mean", "low", "high"))) for goal in GOALS
    )


def _beside(people: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """What people did, as columns to set beside a model's: a share with its interval."""
    names = {"share": "people", "low": "people_low", "high": "people_high"}
    return people[[*keys, *names]].rename(columns=names)


def _theory(theory: pd.DataFrame) -> str:
    """What the polite speaker is, and what its closeness to people is worth."""
    speaker = analysis.rsa.people()
    meanings = speaker.semantics.size
    # Of three weights that sum to 1, two are free; with them goes phi. Optimality and cost are of all goals.
    own = 2 + 3 * len(speaker.goals)
    human = analysis.reference.study2().rename(columns={"share": "prob"})
    long = analysis.compare.agreement(theory, human, keys=CELL, outcome="utterance")
    r = closeness.wide(long).iloc[0]
    cells = int(r["n_cells"])
    near = words.correlation(r["r_plain"], r["r_plain_low"], r["r_plain_high"])
    ignores = analysis.compare.blind(human, keys=CELL, outcome="utterance", across=["goal"])
    blind = analysis.compare.agreement(ignores, human, keys=CELL, outcome="utterance", draws=2)
    other = words.number(blind.set_index("statistic")["value"]["r_plain"])
    return (
        f"RSA is the polite speaker of Yoon et al. Its {own + meanings} free parameters ({own} for "
        f"optimality, cost and goals, and {meanings} for the meanings of the utterances, which are held "
        "near what people judged them to mean) were fitted to the very answers of people that are shown "
        f"here. That it is close to them (r = {near} over {len(theory)} shares, of which "
        f"{len(theory) - cells} are free; somebody who ignores the goal would have r = {other}) says that it "
        "can describe them, not that it predicts them."
    )


def _fits(found: Section, means: pd.DataFrame, items: pd.DataFrame) -> None:
    people = analysis.rsa.people()
    rows, weights = [_known(people)], list[dict[str, str | float]]()
    free = 0
    human = analysis.reference.study2()
    items = closeness.whole(found, items, human, CELL, "the fit of the polite speaker")
    if items.empty:
        return
    for model, own in means[means["model"].isin(set(items["model"]))].groupby("model", sort=False):
        cells = own.rename(columns={"mean": "prob"})[[*CELL, "utterance", "prob", "n"]]
        fit = analysis.rsa.fit_study2(cells, semantics=people.semantics)
        values = fit.parameters.set_index("parameter")
        # Weights that sum to 1 touch a bound together: only what is at a bound is marked.
        told = {
            str(name): words.number(value) + " *" * bool(bound)
            for name, value, bound in zip(values.index, values["value"], values["at_bound"], strict=True)
        }
        if values["at_bound"]["alpha"] and values["value"]["alpha"] < 1:
            found.content.append(
                f"The fit of the polite speaker to {model} ends at optimality 0, the limit: a speaker who "
                "minds the cost of words alone, whatever the goal and the state. Its weights would mean "
                "nothing and are left out."
            )
            told = {name: text for name, text in told.items() if ": " not in name}
            values = values.drop(index=[name for name in values.index if ": " in str(name)])
        close = closeness.of_fit(items[items["model"] == model], fit, CELL, "utterance")
        free = int(fit.statistics["n_parameters"])
        rows.append(
            {"model": str(model), **told}
            | {name: words.number(fit.statistics[name]) for name in ("kl", "rmse")}
            | {"r": words.correlation(close["r"], close["r_low"], close["r_high"])}
        )
        weights += [
            {
                "model": str(model),
                "goal": goal,
                "parameter": name,
                "value": float(values["value"][f"{goal}: {name}"]),
            }
            for goal in GOALS
            for name in WEIGHTS
            if f"{goal}: {name}" in values.index
        ]
    wide = pd.DataFrame(rows).set_index("model").T.fillna("–").rename_axis("parameter").reset_index()
    wide.columns.name = None
    table, wanted = pd.DataFrame(weights), pd.DataFrame(_weights(people))
    if weights:
        found.content.append(
            Figure(
                f"{found.name}-goals",
                "What the polite speaker wants, fitted to each model and to people",
                "Weights of being informative, being kind and looking both, and what the speaker wants to be "
                "taken for, a panel for each goal; models and people.",
                lambda: analysis.figures.goals(table, people=wanted),
            )
        )
    found.content.append(
        Table(
            f"{found.name}-rsa",
            "The polite speaker fitted to each model, and to people",
            wide,
            f"{free} free parameters, fitted to the model's own mean probabilities; fitted values have no "
            "intervals. Meanings of the utterances are those fitted to people; goals are the model's own. "
            "alpha: optimality; cost: of a negation, that of others being 1; weights of the three utilities "
            "sum to 1 in a goal; phi: what the speaker wants to be taken for, from 0 (kind) to 0.98 "
            "(informative); KL: bits between model and fit; r: of what the cells change in model and fit, "
            "interval from a bootstrap over domains; *: at a limit of the search, so that the answers do not "
            "say how large it is.",
        )
    )


def _weights(speaker: Speaker) -> list[dict[str, str | float]]:
    return [
        {"goal": goal, "parameter": name, "value": float(np.asarray(getattr(wanted, name)))}
        for goal, wanted in speaker.goals.items()
        for name in WEIGHTS
    ]


def _known(speaker: Speaker) -> dict[str, str]:
    """A column of the table: the speaker that the package keeps."""
    found = {"alpha": speaker.alpha, "cost": speaker.cost}
    found |= {f"{row['goal']}: {row['parameter']}": float(row["value"]) for row in _weights(speaker)}
    return {"model": "people, as above"} | {name: words.number(value) for name, value in found.items()}


def judgements(material: Material) -> Section | None:
    """The optional experiment: how an utterance is judged."""
    frame = material.frames.get("study2-judgement")
    if frame is None:
        return None
    table = analysis.study2.judgements(frame)
    return Section(
        "study2-judgement",
        TITLES["study2-judgement"],
        content=[
            "How appropriate it is to say the trial's utterance (probability), and how good a choice of "
            "words (score from 1, terrible, to 5, excellent).",
            Figure(
                "study2-judgement",
                "Judgements by goal and state",
                "Mean probability of appropriate and mean quality score with intervals, by goal and state.",
                lambda: analysis.figures.judgements(table),
            ),
            Table("study2-judgement", "Judgements", table),
        ],
    )
