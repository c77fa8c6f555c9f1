"""Invented answers with the columns of `read`, to try the functions on.

In Study 1 they are the answers of the rational listener, in Study 2 those of the polite speaker fitted to
people, with a little variation from story to story. No model or person gave them.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from grace_client import studies
from grace_client.analysis import study1, study2
from grace_client.analysis._data.layout import WAY
from grace_client.core.errors import SpecError
from grace_client.run.layout import OK, WAY_FACTOR
from grace_client.run.manifest import Manifest, NoiseFloor, Spec, Spread
from grace_client.studies import ways

MODEL = "example"
ALPHA = 4.0
"""Optimality of the rational listener."""
BIAS = 0.5
"""How much more likely the first option is than the last one in `asked`, in nats."""
PARTICIPANTS = {"study1": 50, "study2": 202}
"""Number of participants of the human studies."""


def scored(study: str, *, seed: int = 0) -> pd.DataFrame:
    """Scored answers (Experiment 2) to an invented trial list of the usual size.

    Parameters
    ----------
    study : {"study1", "study2"}
        The study of the answers.
    seed : int
        Seed of the variation between stories.

    Returns
    -------
    DataFrame
        In the columns of `read`; the option mass of every question is 0.9.

    Examples
    --------
    >>> from grace_client.analysis import example
    >>> example.scored("study2").groupby("trial_id")["prob_norm"].sum().round(6).unique().tolist()
    [1.0]
    """
    trials = _trials(study)
    cases = trials.drop_duplicates(["item", *_factors(study)]).reset_index(drop=True)
    generator = np.random.default_rng(seed)
    parts = []
    for place, (question, prob) in enumerate(_distributions(study, cases).items()):
        options = list(prob.columns)
        drawn = prob.to_numpy() * generator.lognormal(0, 0.3, prob.shape)
        drawn /= drawn.sum(axis=1, keepdims=True)
        own = cases[["item", *_factors(study)]].reset_index(names="case")
        rows = trials.merge(own, on=["item", *_factors(study)], how="left")
        values = drawn[rows.pop("case").to_numpy()]
        long = rows.loc[rows.index.repeat(len(options))].assign(
            question=question, option=options * len(rows), prob_norm=values.ravel(), place=place
        )
        parts.append(long)
    result = pd.concat(parts).sort_values(["trial_id", "place"], kind="stable", ignore_index=True)
    raw = 0.9 * result["prob_norm"]
    result = result.assign(logprob=np.log(raw), prob_raw=raw, option_mass=0.9, status=OK, reason="")
    head = ["model", "experiment", "trial_id", "participant", "item", "stimulus", *_factors(study)]
    tail = ["question", "option", "logprob", "prob_raw", "prob_norm", "option_mass", "status", "reason"]
    return result.assign(model=MODEL, experiment=f"{study}-exp2")[[*head, *tail]]


def asked(study: str, *, seed: int = 0) -> pd.DataFrame:
    """Scored answers in four ways of asking, with the options as listed and reversed, in two wordings.

    Options that stand first are more likely than their content makes them.

    Parameters
    ----------
    study : {"study1", "study2"}
        The study of the answers.
    seed : int
        Seed of the variation between stories and wordings.

    Returns
    -------
    DataFrame
        In the columns of `read` with ``ways=True``.

    Examples
    --------
    >>> from grace_client.analysis import example
    >>> example.asked("study1")["way"].unique().tolist()
    ['base', 'order=reversed', 'wording=short', 'order=reversed, wording=short']
    """
    parts = []
    for wording, order in product(("long", "short"), ("listed", "reversed")):
        frame = scored(study, seed=seed + (wording == "short"))
        questions = frame.groupby(["trial_id", "question"], sort=False)
        place = questions.cumcount() / (questions["option"].transform("size") - 1)
        tilted = frame["prob_norm"] * np.exp(BIAS * (place if order == "reversed" else 1 - place))
        prob = tilted / tilted.groupby([frame["trial_id"], frame["question"]]).transform("sum")
        way = {"order": order, "wording": wording}
        own = {"prob_norm": prob, "prob_raw": 0.9 * prob, "logprob": np.log(0.9 * prob)}
        levels = {WAY: ways.label(way, {"order": "listed", "wording": "long"})}
        levels |= {WAY_FACTOR + factor: level for factor, level in way.items()}
        parts.append(frame.assign(**own, **levels))
    return pd.concat(parts, ignore_index=True)


def free(study: str, *, replicates: int = 1, seed: int = 0) -> pd.DataFrame:
    """Free text (Experiment 1) with structured answers, drawn from `scored`.

    Parameters
    ----------
    study : {"study1", "study2"}
        The study of the answers.
    replicates : int
        Number of answers to each question.
    seed : int
        Seed of the draws.

    Returns
    -------
    DataFrame
        The columns of `read` that the functions here use.

    Examples
    --------
    >>> from grace_client.analysis import example
    >>> example.free("study1")[["question", "structured"]].drop_duplicates("question")
        question structured
    0     number          2
    1  knowledge         no
    """
    from grace_client.analysis import consistency

    frame = scored(study, seed=seed)
    beliefs = consistency.beliefs(frame)
    generator = np.random.default_rng(seed)
    trials = _trials(study)
    parts = []
    for question, own in beliefs.groupby("question", sort=False):
        wide = own.pivot_table(
            values="scored", index=["stimulus", *_factors(study)], columns="option", sort=False
        )
        prob = wide.reindex(pd.MultiIndex.from_frame(trials[["stimulus", *_factors(study)]])).to_numpy()
        for replicate in range(1, replicates + 1):
            at = generator.random((len(trials), 1))
            chosen = (prob.cumsum(axis=1) < at).sum(axis=1).clip(max=prob.shape[1] - 1)
            said = wide.columns.to_numpy()[chosen]
            parts.append(
                trials.assign(question=str(question), replicate=replicate, structured=said, response=said)
            )
    result = pd.concat(parts).sort_values(["trial_id", "replicate"], kind="stable", ignore_index=True)
    head = ["model", "experiment", "trial_id", "participant", "item", "stimulus", *_factors(study)]
    tail = [
        "question",
        "replicate",
        "response",
        "finish_reason",
        "status",
        "reason",
        "structured",
        "category",
    ]
    fixed = {"finish_reason": "stop", "status": OK, "reason": "", "category": "answer"}
    return result.assign(model=MODEL, experiment=f"{study}-exp1", **fixed)[[*head, *tail]]


def manifests(study: str, *, sd: float = 0.1) -> dict[tuple[str, str], Manifest]:
    """A manifest for `scored`, with a noise floor and what the model would say outside the options.

    Parameters
    ----------
    study : {"study1", "study2"}
        The study of the answers.
    sd : float
        Standard deviation of an option's probability between repeats, in percentage points.

    Returns
    -------
    dict of (model, experiment) to Manifest
        As `grace_client.analysis.manifests` gives them.

    Examples
    --------
    >>> from grace_client.analysis import example
    >>> list(example.manifests("study1"))
    [('example', 'study1-exp2')]
    """
    spread = Spread(sd=sd, median=2 * sd, p95=4 * sd, max=5 * sd)
    noise = NoiseFloor(questions=50, repeats=5, failed=0, loads=[1], seed=0, nats=spread, points=spread)
    spec = Spec(experiment=f"{study}-exp2", engine={"model": MODEL}, trials_sha256="", questions_sha256="")
    kind = next(iter(studies.experiment(f"{study}-exp2").kinds.values())).name
    rest = [("**It", 0.06), ("Perhaps", 0.02)]
    beginnings = [{"text": text, "prob": prob, "questions": 72, "option": None} for text, prob in rest]
    results = {"outside": {kind: {"option_mass": 0.9, "beginnings": beginnings}}}
    return {(MODEL, f"{study}-exp2"): Manifest(trials="", spec=spec, noise=noise, results=results)}


def _factors(study: str) -> list[str]:
    return list(study1.CELL if study == "study1" else study2.CELL)


def _trials(study: str) -> pd.DataFrame:
    """Each participant has every item and every cell once; in Study 2 each trial has new names."""
    if study not in PARTICIPANTS:
        raise SpecError(f"there is no study {study!r}; there are: {', '.join(PARTICIPANTS)}")
    if study == "study1":
        # Nobody names more than they saw.
        cells = [(seen, named) for seen, named in product(*study1.LEVELS.values()) if named <= seen]
    else:
        cells = [(first, second) for first, second in product(*study2.LEVELS.values())]
    rows = []
    for participant in range(1, PARTICIPANTS[study] + 1):
        for place, cell in enumerate(cells):
            item = f"item {(participant + place) % len(cells) + 1}"
            names = "" if study == "study1" else f", names {participant}"
            rows.append((str(participant), item, f"{item}, {', '.join(cell)}{names}", *cell))
    result = pd.DataFrame(rows, columns=["participant", "item", "stimulus", *_factors(study)])
    result.insert(0, "trial_id", np.arange(1, len(result) + 1))
    return result


def _distributions(study: str, cases: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By question, a distribution for each case: a column per option, none of them 0."""
    from grace_client.analysis import rsa

    factors = _factors(study)
    keys = pd.MultiIndex.from_frame(cases[factors])
    if study == "study2":
        said = rsa.predict_study2(rsa.people()).pivot(index=factors, columns="utterance", values="prob")
        return {"utterance": said.loc[keys, list(study2.UTTERANCES)].clip(lower=1e-6)}
    number = list(study1.ORDER)[-1]
    heard = rsa.predict_study1(ALPHA, lapse=0.1).pivot(index=factors, columns=number, values="prob")
    steps = np.arange(0, 101, 10)
    result = {}
    for level in heard.columns:
        # A bump over the percentages around what the listener believes.
        centre = 100 * heard.loc[keys, level].to_numpy()[:, None]
        result[f"{number}{level}"] = pd.DataFrame(
            np.exp(-np.abs(steps - centre) / 8), columns=[str(step) for step in steps]
        )
    knows = np.where(cases[factors[0]] == "3", 0.9, 0.15)
    result["knowledge"] = pd.DataFrame({"yes": knows, "no": 1 - knows})
    return result
