"""What each answer measures: the outcomes that a study declares, of scored and of free-text answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grace_client.analysis._data.declared import declared, each, questions
from grace_client.analysis._data.layout import require
from grace_client.core import measures
from grace_client.core.errors import NotEnoughDataError, SpecError
from grace_client.core.spelling import did_you_mean
from grace_client.run.layout import BETS, FREE, KEYS, OK, READING, SCORED
from grace_client.studies import format as formats
from grace_client.studies._options import Answers, column_part
from grace_client.studies.declaration import Experiment, Kind

Array = NDArray[np.float64]

UNPARSED = "unparsed"
"""In the structured table: an answer without a clear meaning."""
MOST = 200
"""Most values of free text that get a column each."""
_OWN = {*KEYS, *SCORED, *FREE, *READING, *BETS, "reversed"} - {"model", "experiment", "trial_id"}


@dataclass(frozen=True)
class Outcome:
    """One measure of the answers to a question.

    Attributes
    ----------
    name : str
        Its column in the table of `outcomes`.
    unit : str
        ``"values"`` (the options' own), ``"bits"`` or ``"probability"``.
    least, greatest : float
        Its bounds.
    of : callable
        From probabilities, shape (n, n_options), to the measure, shape (n,).
    weights : ndarray, shape (n_options,), or None
        If it is linear in the probabilities: the weight of each option.
    """

    name: str
    unit: str
    least: float
    greatest: float
    of: Callable[[Array], Array]
    weights: Array | None = None


@dataclass(frozen=True)
class Answerable:
    """The answers to a question: names, numbers, crossed factors.

    Attributes
    ----------
    options : tuple of str
        Their names; empty if any text is possible.
    values : ndarray or None
        Their numbers; missing for "unsure".
    factors : mapping of str to tuple of str
        Crossed factors and their levels.
    """

    options: tuple[str, ...]
    values: Array | None = None
    factors: Mapping[str, tuple[str, ...]] | None = None

    @classmethod
    def of(cls, kind: Kind, experiment: Experiment) -> Answerable:
        """The answers to the questions of a kind."""
        read = kind.read
        if read is None:
            return cls(kind.options, _numbers(kind.values), kind.factors)
        if read.choice is not None:
            found = Answers(experiment.study.file.options[read.choice])
            result = cls(found.names, _numbers(found.values), found.factors)
        elif read.number is not None:
            numbers = range(read.number[0], read.number[1] + 1)
            small = numbers if len(numbers) <= MOST else ()
            result = cls(tuple(map(str, small)), np.array(small, dtype=np.float64) if small else None)
        else:
            result = cls(("yes", "no") if read.yes_no else ())
        if not read.unsure or not result.options:
            return result
        values = None if result.values is None else np.append(result.values, np.nan)
        return cls((*result.options, "unsure"), values, None)

    def outcomes(self) -> dict[str, Outcome]:
        """The outcomes by their names."""
        found = list(self._of_values()) if self.values is not None else []
        found += [_probability(_column(name), unit) for name, unit in self._units()]
        size = max(len(self.options), 1)
        found.append(Outcome("entropy", "bits", 0.0, float(np.log2(size)), measures.entropy))
        for factor, levels in (self.factors or {}).items():
            shape = [len(one) for one in (self.factors or {}).values()]
            at = list(self.factors or {}).index(factor)
            number = np.indices(shape)[at].ravel()
            indicators = [(number == place).astype(np.float64) for place in range(len(levels))]
            taken = {one.name for one in found}
            for level, indicator in zip(levels, indicators, strict=True):
                name = _column(level) if _column(level) not in taken else _column(f"{factor}_{level}")
                found.append(_probability(name, indicator))
            found.append(_marginal_entropy(factor, np.array(indicators)))
        return {one.name: one for one in found}

    def _units(self) -> Iterator[tuple[str, Array]]:
        return zip(self.options, np.eye(len(self.options)), strict=True)

    def _of_values(self) -> Iterator[Outcome]:
        values = self.values
        assert values is not None
        least, greatest = float(np.nanmin(values)), float(np.nanmax(values))
        order = np.argsort(values, kind="stable")
        yield Outcome("mean", "values", least, greatest, lambda p: measures.mean(p, values), values)
        yield Outcome(
            "median", "values", least, greatest, lambda p: measures.median(p[..., order], values[order])
        )
        yield Outcome("std", "values", 0.0, (greatest - least) / 2, lambda p: measures.std(p, values))

    def default(self) -> str | None:
        """The outcome that counts if none is named: the mean, or the probability of the first option."""
        if self.values is not None:
            return "mean"
        return _column(self.options[0]) if self.options else None


def outcomes(frame: pd.DataFrame, experiment: Experiment | str | None = None) -> pd.DataFrame:
    """The measures of every answer: a tidy table for any model, plot or test.

    Parameters
    ----------
    frame : DataFrame
        Answers of one experiment, as `read` gives them: scored, or free text with structured answers.
        Failed rows are left out.
    experiment : Experiment or str, optional
        As `experiment` gives it, or a name. Default: the experiment of the frame, if it is one of the
        studies that come with grace.

    Returns
    -------
    DataFrame
        One row per model, trial and question, and per replicate of free text: the columns of `read` up to
        ``question``; the values of `each` (such as ``n``), empty for other questions; then ``option_mass``
        of scored answers, or ``replicate`` and ``value`` (text; missing if the answer has no clear meaning);
        then the outcomes; and last the columns of the trial list that the study does not declare. Outcomes
        that a question does not have are missing:

        - ``mean, median, std``, in the unit of the options' numbers. A scale that the trial turns round is
          turned back. Of free text only ``mean``, which is the number itself.
        - ``prob_OPTION``, the normalised probability of each option; of free text 1 where the answer is this
          value and 0 elsewhere. Characters other than letters, digits and _ are _ in the name.
        - ``entropy``, of the options, in bits (scored only).
        - for crossed options, ``prob_LEVEL`` of each level of each factor, and ``entropy_FACTOR`` in bits.

    Raises
    ------
    SpecError
        If a column is missing, the experiment is not known, or a question lacks an option or has one that
        is not declared.
    NotEnoughDataError
        If nothing was answered.

    Examples
    --------
    >>> from grace_client.analysis import example, outcomes
    >>> found = outcomes(example.scored("study2"))
    >>> found[["trial_id", "question", "prob_was_good", "prob_wasnt", "entropy"]].head(2).round(2)
       trial_id   question  prob_was_good  prob_wasnt  entropy
    0         1  utterance           0.09        0.67     2.72
    1         2  utterance           0.16        0.74     2.36
    """
    known = declared(frame, experiment)
    free = "response" in frame.columns
    require(frame, ["model", "trial_id", "question", "status", *(["structured"] if free else ["option"])])
    answered = frame[frame["status"] == OK]
    parts = []
    for question, kind in known.kinds.items():
        rows = answered[answered["question"] == question]
        if not rows.empty:
            answers = Answerable.of(kind, known)
            parts.append(_said(rows, answers, kind) if free else _scored(rows, answers, question))
    if not parts:
        asked = ", ".join(known.kinds)
        raise NotEnoughDataError(f"no question of {known.name} ({asked}) was answered in the frame")
    table = pd.concat(parts).sort_index(kind="stable")
    values = each(known)
    factors = list(dict.fromkeys(name for one in values.values() for name in one))
    for name in factors:
        table[name] = table["question"].map({question: one.get(name, "") for question, one in values.items()})
    columns = list(frame.columns)
    head = [c for c in columns[: columns.index("question")] if c not in _OWN]
    beside = [c for c in ("replicate", "value", "option_mass") if c in table.columns]
    rest = [c for c in columns if c not in {*head, *_OWN}]
    own = [c for c in table.columns if c not in {*columns, *factors, *beside}]
    return table[[*head, "question", *factors, *beside, *own, *rest]].reset_index(drop=True)


def outcome_list(experiment: Experiment | str) -> pd.DataFrame:
    """The outcomes of each question of an experiment.

    Parameters
    ----------
    experiment : Experiment or str
        As `experiment` gives it, or a name.

    Returns
    -------
    DataFrame
        One row per question of the study file and outcome: ``question`` (its name in the file, which stands
        for all its values of `each`), ``outcome`` (its column in the table of `outcomes`), ``unit``
        (``values``, ``bits`` or ``probability``), ``least, greatest`` (bounds), ``default`` (whether it is
        the outcome if none is named) and ``reported`` (whether the study file wants it in reports: by default
        the mean, or all probabilities).

    Examples
    --------
    >>> from grace_client.analysis import outcome_list
    >>> found = outcome_list("study2-judgement")
    >>> found.loc[found["default"], ["question", "outcome", "unit", "least", "greatest"]]
              question           outcome         unit  least  greatest
    0  appropriateness  prob_appropriate  probability    0.0       1.0
    3          quality              mean       values    1.0       5.0
    """
    known = declared(pd.DataFrame(), experiment)
    rows = []
    for name, kind in {kind.name: kind for kind in known.kinds.values()}.items():
        answers = Answerable.of(kind, known)
        wanted = {column_part(one) for one in known.file.outcomes}
        usual = {"mean"} if answers.values is not None else {_column(option) for option in answers.options}
        for one in _possible(kind, known).values():
            rows.append(
                {
                    "question": name,
                    "outcome": one.name,
                    "unit": one.unit,
                    "least": one.least,
                    "greatest": one.greatest,
                    "default": one.name == answers.default(),
                    "reported": one.name in (wanted or usual),
                }
            )
    columns = ["question", "outcome", "unit", "least", "greatest", "default", "reported"]
    return pd.DataFrame(rows, columns=columns)


def chosen(
    experiment: Experiment, outcome: str | None, question: str | None
) -> list[tuple[list[str], Outcome]]:
    """For each kind of question that has the outcome: its questions and the outcome.

    Without an outcome, each kind has its default.

    Raises
    ------
    SpecError
        If no question has the outcome.
    """
    found: dict[str, tuple[list[str], Outcome]] = {}
    possible: dict[str, None] = {}
    for name, kind in questions(experiment, question).items():
        own = _possible(kind, experiment)
        possible |= dict.fromkeys(own)
        wanted = outcome if outcome is not None else Answerable.of(kind, experiment).default()
        if wanted is not None and (one := own.get(wanted) or own.get(column_part(wanted))):
            found.setdefault(kind.name, ([], one))[0].append(name)
        elif wanted is not None and not own and wanted.startswith("prob_"):
            # Any text is possible, so any value is.
            any_value = _probability(_column(wanted.removeprefix("prob_")), np.empty(0))
            found.setdefault(kind.name, ([], any_value))[0].append(name)
    if not found:
        where = f"question {question!r} of {experiment.name}" if question else experiment.name
        listed = ", ".join(possible) or "prob_VALUE, for any value that was read"
        named = f"no outcome {outcome!r}" if outcome is not None else "no outcome of its own; name one"
        hint = did_you_mean(column_part(outcome), possible, prefix="prob_") if outcome is not None else ""
        raise SpecError(f"{where} has {named}. {hint}There are: {listed}")
    return list(found.values())


def measured(
    frame: pd.DataFrame, experiment: Experiment, wanted: Sequence[tuple[list[str], Outcome]]
) -> pd.DataFrame:
    """The frame as `outcomes` gives it; a frame with the outcomes stays as it is."""
    names = [question for asked, _ in wanted for question in asked]
    if not {"option", "response"} & set(frame.columns):
        require(frame, ["model", "question", *dict.fromkeys(one.name for _, one in wanted)])
        return frame
    require(frame, ["question"])
    table = outcomes(frame[frame["question"].isin(names)], experiment)
    for _, one in wanted:
        if one.name not in table.columns:
            table[one.name] = np.nan
            if "value" in table.columns:
                # A value that nobody gave.
                table.loc[table["value"].notna(), one.name] = 0.0
    return table


def _possible(kind: Kind, experiment: Experiment) -> dict[str, Outcome]:
    """The outcomes of a kind; of free text those of a single answer."""
    answers = Answerable.of(kind, experiment)
    if kind.read is not None and kind.read.number is not None and not answers.options:
        least, greatest = map(float, kind.read.number)
        return {"mean": Outcome("mean", "values", least, greatest, np.asarray)}
    found = answers.outcomes() if answers.options else {}
    return {name: one for name, one in found.items() if kind.read is None or one.weights is not None}


def _scored(rows: pd.DataFrame, answers: Answerable, question: str) -> pd.DataFrame:
    """Outcomes of one question, one row per model and trial; the index is that of its first row."""
    option = pd.Categorical(rows["option"], categories=list(answers.options)).codes
    trial = rows.groupby(["model", "trial_id"], sort=False, observed=True).ngroup().to_numpy()
    p = np.full((int(trial.max()) + 1, len(answers.options)), np.nan)
    known = option >= 0
    p[trial[known], option[known]] = rows["prob_norm"].to_numpy(dtype=np.float64)[known]
    if not known.all() or np.isnan(p).any():
        at = int(trial[~known][0]) if not known.all() else int(np.isnan(p).any(axis=1).argmax())
        row = rows.iloc[int((trial == at).argmax())]
        raise SpecError(
            f"question {question}, trial {row['trial_id']} of {row['model']}: the options are not those that "
            f"the study declares ({', '.join(answers.options)})"
        )
    first = rows[~pd.Series(trial, index=rows.index).duplicated()]
    turned = first["reversed"].to_numpy(dtype=bool) if "reversed" in first.columns else np.zeros(len(p), bool)
    turned_p = np.where(turned[:, None], p[:, ::-1], p)
    units = {_column(option) for option in answers.options}
    found = {name: one.of(p if name in units else turned_p) for name, one in answers.outcomes().items()}
    return _with(first.drop(columns=["option"]), found)


def _said(rows: pd.DataFrame, answers: Answerable, kind: Kind) -> pd.DataFrame:
    """Outcomes of the free-text answers to one question."""
    text = rows["structured"].astype("object")
    text = text.where(rows["structured"].notna() & ~rows["structured"].isin(["", UNPARSED]))
    known = rows.assign(value=text)
    turned = (
        rows["reversed"].to_numpy(dtype=bool) if "reversed" in rows.columns else np.zeros(len(rows), bool)
    )
    read = kind.read or formats.Read()
    if not answers.options:
        if read.number is not None:
            number = pd.to_numeric(text, errors="coerce").astype(np.float64)
            return known.assign(mean=number.where(~turned, sum(read.number) - number))
        values = [str(value) for value in text.dropna().unique()]
        found = {_column(value): (text == value).astype(np.float64).where(text.notna()) for value in values}
        return _with(known, found if len(found) <= MOST else {})
    place = pd.Categorical(text, categories=list(answers.options)).codes
    lost = place < 0
    columns: dict[str, Array] = {}
    for name, one in answers.outcomes().items():
        if one.weights is not None:
            own = one.weights[place]
            if name == "mean":
                back = one.weights.copy()
                back[~np.isnan(back)] = back[~np.isnan(back)][::-1]
                own = np.where(turned, back[place], own)
            columns[name] = np.where(lost, np.nan, own)
    return _with(known, columns)


def _with(rows: pd.DataFrame, columns: Mapping[str, Any]) -> pd.DataFrame:
    """The rows with further columns, all at once: pandas is slow to add a hundred one by one, and warns."""
    kept = rows.drop(columns=[name for name in columns if name in rows.columns])
    return pd.concat([kept, pd.DataFrame(dict(columns), index=rows.index)], axis=1)


def _probability(name: str, weights: Array) -> Outcome:
    return Outcome(name, "probability", 0.0, 1.0, lambda p: np.asarray((p * weights).sum(axis=-1)), weights)


def _marginal_entropy(factor: str, indicators: Array) -> Outcome:
    def of(p: Array) -> Array:
        return measures.entropy((p[..., None, :] * indicators).sum(axis=-1))

    return Outcome(f"entropy_{factor}", "bits", 0.0, float(np.log2(len(indicators))), of)


def _column(option: str) -> str:
    return f"prob_{column_part(option)}"


def _numbers(values: tuple[float, ...] | None) -> Array | None:
    return None if values is None else np.array(values, dtype=np.float64)
