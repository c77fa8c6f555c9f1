"""From a study file to the schema of its trial list, and to the variables of a trial."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from grace_client.core.trials import Column, Schema, Trial
from grace_client.studies import format as formats
from grace_client.studies._faults import Faults
from grace_client.studies._syntax.patterns import PatternError, groups, search, whole
from grace_client.studies._syntax.templates import TemplateError, expression, template

_BREAK = re.compile(r"\s*<br\s*/?>\s*")
RESERVED = ("options", "loop")
"""Names that templates get from elsewhere, so that no column may have them."""

Variables = dict[str, Any]


class TrialReader:
    """The rules of a study's trial list.

    Parameters
    ----------
    study : StudyFile
        The study.
    faults : Faults
        Gets what is wrong.
    """

    def __init__(self, study: formats.StudyFile, faults: Faults) -> None:
        self.trials = study.trials
        self.columns = {name: column or formats.Column() for name, column in self.trials.columns.items()}
        found = self.trials.conditions
        self.conditions = dict(found) if isinstance(found, Mapping) else {name: name for name in found}
        self._names = dict.fromkeys(self.columns)
        _check(study, self, faults)
        if not faults.problems:
            _check_uses(study, self, faults)

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name that templates may use of a trial: columns, groups of patterns, factors, variables."""
        found = {*self.columns, *self.conditions, *self.trials.variables}
        for column in self.columns.values():
            patterns = [column.pattern, *column.find, *(level.pattern for level in column.levels.values())]
            found |= {name for pattern in patterns if pattern is not None for name in groups(pattern)}
        return frozenset(found)

    def schema(self, study: str) -> Schema:
        """The schema of the lists."""
        trials, names = self.trials, tuple(self.columns)
        participant = trials.participant
        return Schema(
            study=study,
            columns=tuple(self._column(name, column) for name, column in self.columns.items()),
            check=self._faults,
            cell=self._cell,
            stimulus=trials.stimulus or tuple(name for name in names if name != participant),
            participant=participant,
            item=trials.item,
            contradictions=lambda trial: self._broken(trial, doubt=False),
            doubts=lambda trial: self._broken(trial, doubt=True),
            item_text=trials.same_for_item,
            people=trials.people,
            variables=self.variables,
        )

    def variables(self, fields: Mapping[str, str]) -> Variables:
        """What templates know of a row: its cells, what patterns find in them, levels of factors.

        Raises
        ------
        PatternError, TemplateError
            If a cell does not have the declared form.
        """
        found: Variables = {}
        for name, column in self.columns.items():
            if name not in fields:
                continue
            text = fields[name].strip()
            found[name] = _BREAK.sub("\n", text) if column.breaks else text
            if column.pattern is not None:
                match = whole(column.pattern, text)
                if match is None:
                    raise PatternError(_form(text, column))
                found |= match
            for pattern in column.find:
                found |= search(pattern, text) or {}
            if column.levels and (level := _level(column, text)):
                found |= (level.pattern and whole(level.pattern, text)) or {}
        for name, source in self.conditions.items():
            if source in fields and name not in fields:
                found[name] = self._level_of(source, fields[source])
        for name, text in self.trials.variables.items():
            if set(self.columns) <= set(fields):
                found[name] = template(text).render(found)
        return found

    def _column(self, name: str, column: formats.Column) -> Column:
        derive: Callable[[Mapping[str, str]], str] | None = None
        if column.default is not None:
            wanted = template(column.default)

            def derive(row: Mapping[str, str]) -> str:
                try:
                    return wanted.render(self.variables(row))
                except TemplateError as error:
                    raise ValueError(str(error)) from None

        return Column(name, column.aliases, column.values, derive, column.breaks)

    def _cell(self, trial: Trial) -> dict[str, str]:
        return {name: self._level_of(column, trial[column]) for name, column in self.conditions.items()}

    def _level_of(self, name: str, text: str) -> str:
        column = self.columns[name]
        if not column.levels:
            return text
        for level, rule in column.levels.items():
            if rule.has in text:
                return level
        marks = ", ".join(f"{rule.has!r} ({level})" for level, rule in column.levels.items())
        raise PatternError(f"{text!r} has no known level. Expected a text with one of {marks}")

    def _faults(self, trial: Trial) -> Iterator[tuple[str, str]]:
        """What makes a row useless: a cell without the form that templates need."""
        for name, column in self.columns.items():
            text = trial[name].strip()
            try:
                if column.pattern is not None and whole(column.pattern, text) is None:
                    yield name, _form(text, column)
                if column.levels:
                    self._level_of(name, text)
                for pattern in column.find:
                    search(pattern, text)
            except PatternError as error:
                yield name, str(error)

    def _broken(self, trial: Trial, *, doubt: bool) -> Iterator[tuple[str, str]]:
        """Conditions that a row does not meet."""
        if not doubt:
            for name, column in self.columns.items():
                text = trial[name].strip()
                level = _level(column, text)
                if level and level.pattern is not None and whole(level.pattern, text) is None:
                    yield name, _level_form(text, column)
                    return
        for check in self.trials.checks:
            if check.doubt is not doubt:
                continue
            try:
                if not expression(check.that).holds(trial.variables):
                    yield check.column, template(check.otherwise).render(trial.variables)
            except TemplateError as error:
                yield check.column, f"cannot be checked: {error}"


def _level(column: formats.Column, text: str) -> formats.Level | None:
    return next((level for level in column.levels.values() if level.has in text), None)


def _form(text: str, column: formats.Column) -> str:
    expected = f"such as {column.example!r}" if column.example else f"as the pattern {column.pattern!r} says"
    return f"{text!r} does not have the expected form, {expected}"


def _level_form(text: str, column: formats.Column) -> str:
    examples = ", ".join(repr(level.example) for level in column.levels.values() if level.example)
    expected = f"Expected one of these: {examples}" if examples else "It does not have the form of its level"
    return f"is {text!r}. {expected}"


def _check(study: formats.StudyFile, reader: TrialReader, faults: Faults) -> None:
    """Note names that do not exist, and patterns that are none."""
    trials, names = study.trials, list(reader.columns)
    at = ("trials",)
    for key, values in (
        ("participant", [trials.participant] if trials.participant else []),
        ("item", [trials.item] if trials.item else []),
        ("same_for_item", trials.same_for_item),
        ("stimulus", trials.stimulus),
        ("people", trials.people),
        ("conditions", reader.conditions.values()),
    ):
        for value in values:
            faults.known((*at, key), value, names, "column")
    for name, column in reader.columns.items():
        where = (*at, "columns", name)
        if name in RESERVED:
            faults.add(
                where, f"a column may not have the name {name!r}, which templates use for something else"
            )
        patterns = [("pattern", column.pattern), *(("find", one) for one in column.find)]
        patterns += [("levels", level.pattern) for level in column.levels.values()]
        for key, pattern in patterns:
            if pattern is None:
                continue
            try:
                found = groups(pattern)
            except PatternError as error:
                faults.add((*where, key), str(error))
                continue
            if taken := set(found) & set(names):
                faults.add(
                    (*where, key), f"the group {min(taken)!r} has the name of a column. Give it another one"
                )
        for experiment in column.only:
            faults.known((*where, "only"), experiment, study.experiments, "experiment")
    for number, check in enumerate(trials.checks):
        faults.known((*at, "checks", number, "column"), check.column, names, "column")
    for name in trials.variables:
        if name in names:
            faults.add((*at, "variables", name), "is the name of a column. Give the variable another one")


def _check_uses(study: formats.StudyFile, reader: TrialReader, faults: Faults) -> None:
    """Note names in the templates of the trial list that nothing defines."""
    trials, names = study.trials, reader.names
    for name, column in reader.columns.items():
        if column.default is not None:
            faults.uses(("trials", "columns", name, "default"), template(column.default).names, names)
    for name, text in trials.variables.items():
        faults.uses(("trials", "variables", name), template(text).names, names)
    for number, check in enumerate(trials.checks):
        where = ("trials", "checks", number)
        faults.uses((*where, "that"), expression(check.that).names, names)
        faults.uses((*where, "otherwise"), template(check.otherwise).names, names)
    if (make := trials.make) is not None:
        cells = [make.cells] if isinstance(make.cells, dict) else make.cells
        known = {"participant", *make.draw, *(make.people.as_ if make.people else ())}
        known |= {name for entry in (*make.items, *cells) for name in entry}
        for name, text in make.columns.items():
            faults.known(("trials", "make", "columns", name), name, reader.columns, "column")
            faults.uses(("trials", "make", "columns", name), template(text).names, known)
