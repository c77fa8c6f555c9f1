"""From an experiment of a study file to the columns of its wide table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from grace_client.core import measures
from grace_client.studies import format as formats
from grace_client.studies._faults import Faults
from grace_client.studies._options import column_part
from grace_client.studies._syntax.templates import TemplateError, template
from grace_client.studies._syntax.yaml import Path
from grace_client.studies.declaration import Kind, Measure, Probabilities

Marginal = Callable[[Probabilities], Probabilities]

OF_VALUES = {"mean": measures.mean, "median": measures.median, "std": measures.std}


@dataclass
class Columns:
    """Columns of a wide table, in order, and where each comes from."""

    names: list[str] = field(default_factory=list)
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    measures: dict[str, dict[str, Measure]] = field(default_factory=dict)


def columns(
    table: formats.Table,
    kinds: Mapping[str, tuple[Kind, Mapping[str, str]]],
    taken: tuple[str, ...],
    where: Path,
    faults: Faults,
) -> Columns:
    """The columns of an experiment.

    Parameters
    ----------
    table : Table
        The declared columns; if there are none, every question gets its probabilities and measures.
    kinds : mapping of question to (Kind, mapping)
        Every question, with its values of `each`.
    taken : tuple of str
        Columns of the trial list.
    where : tuple
        Path of the table in the file.
    faults : Faults
        Gets what is wrong.
    """
    found = Columns(measures={question: {} for question in kinds})
    declared = table.columns or tuple(_default(kinds))
    for number, entry in enumerate(declared):
        at = (*where, "columns", number) if table.columns else where
        names = {kind.name for kind, _ in kinds.values()}
        if not faults.known((*at, "question"), entry.question, names, "question"):
            continue
        for question, (kind, each) in kinds.items():
            if kind.name == entry.question:
                try:
                    _add(found, question, kind, {**each, "question": question}, entry)
                except (TemplateError, ValueError) as error:
                    faults.add(at, str(error))
                    break
    for question in kinds:
        if question not in found.options and not faults.problems:
            faults.add((*where, "columns"), f"has no probabilities of the question {question!r}. Add them")
    twice = {name for name in found.names if found.names.count(name) > 1} | (set(found.names) & set(taken))
    if twice:
        faults.add(where, f"has the column {min(twice)!r} twice. Give one of them another name")
    return found


def _default(kinds: Mapping[str, tuple[Kind, Mapping[str, str]]]) -> list[formats.TableColumns]:
    entries = []
    for kind in {kind.name: kind for kind, _ in kinds.values()}.values():
        name = "{{ question }}"
        entry = {"probability": name + "_prob_{{ option }}", "entropy": name + "_entropy"}
        if kind.values is not None:
            entry |= {measure: f"{name}_{measure}" for measure in OF_VALUES}
        entries.append(formats.TableColumns(question=kind.name, **entry))
        for factor in kind.factors:
            entries.append(
                formats.TableColumns(
                    question=kind.name,
                    of=factor,
                    probability=name + "_prob_{{ option }}",
                    entropy=f"{name}_entropy_{factor}",
                )
            )
    return entries


def _add(
    found: Columns, question: str, kind: Kind, variables: Mapping[str, str], entry: formats.TableColumns
) -> None:
    """Add the columns of one entry for one question."""
    levels = kind.options
    if entry.of is not None:
        if entry.of not in kind.factors:
            raise ValueError(
                f"'of' needs a crossed factor, and {entry.of!r} is none of this question's options"
            )
        levels = kind.factors[entry.of]
    marginal = partial(_marginal, kind, entry.of)

    def add(name: str, measure: Measure) -> None:
        found.names.append(name)
        found.measures[question][name] = measure

    if entry.probability is not None:
        wanted = template(entry.probability)
        names = tuple(wanted.render({**variables, "option": column_part(level)}) for level in levels)
        if entry.of is None:
            found.options[question] = names
            found.names += names
        else:
            for place, name in enumerate(names):
                add(name, partial(_one, marginal, place))
    for key in ("mean", "median", "std", "entropy"):
        if (given := getattr(entry, key)) is None:
            continue
        name = template(given).render(variables)
        if key == "entropy":
            add(name, partial(_entropy, marginal))
        elif kind.values is None or entry.of is not None:
            raise ValueError(f"{key!r} needs options with 'values', and those of {kind.name!r} have none")
        else:
            add(name, partial(_of_values, key, kind.values))


def _marginal(kind: Kind, factor: str | None, prob: Probabilities) -> Probabilities:
    """The distribution over the levels of a factor; the whole one without a factor."""
    if factor is None:
        return prob
    joint = prob.reshape([len(levels) for levels in kind.factors.values()])
    at = list(kind.factors).index(factor)
    return np.asarray(joint.sum(axis=tuple(axis for axis in range(joint.ndim) if axis != at)))


def _one(marginal: Marginal, place: int, prob: Probabilities) -> float:
    return float(marginal(prob)[place])


def _entropy(marginal: Marginal, prob: Probabilities) -> float:
    return float(measures.entropy(marginal(prob)))


def _of_values(measure: str, values: tuple[float, ...], prob: Probabilities) -> float:
    if measure == "median":
        order = np.argsort(values, kind="stable")
        return float(measures.median(prob[order], np.asarray(values)[order]))
    return float(OF_VALUES[measure](prob, values))
