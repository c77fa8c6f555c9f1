"""From a study file's options to sets that an engine scores."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import product
from typing import Any

from grace_client.core.errors import SpecError
from grace_client.core.options import Option, OptionSet, spoken
from grace_client.studies import format as formats
from grace_client.studies._faults import Faults
from grace_client.studies._syntax.templates import TemplateError, template
from grace_client.studies._syntax.yaml import Path

_TOO_MANY = f"a set has at most {formats.MAX_FORMS} forms. Give fewer options or spellings"


class Answers:
    """A closed set of answers, for any trial.

    Parameters
    ----------
    declared : Options
        The set as the file declares it.

    Attributes
    ----------
    names : tuple of str
        Names of the options, the same for all trials.
    values : tuple of float or None
        Their numbers.
    factors : dict of str to tuple of str
        The crossed factors and their levels.
    """

    def __init__(self, declared: formats.Options) -> None:
        self.declared = declared
        self.values = declared.values or None
        self.factors = declared.cross
        if declared.cross:
            self.names = tuple("_".join(levels) for levels in product(*declared.cross.values()))
        else:
            numbers = tuple(f"{value:g}" for value in declared.values)
            self.names = declared.columns or declared.names or numbers

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answers) and self.declared == other.declared

    __hash__ = None  # type: ignore[assignment]

    def shown(self, variables: Mapping[str, Any]) -> list[str]:
        """The text of each option, as a prompt lists it."""
        return self._same_shown if not self.declared.columns else self._shown(variables)

    def options(self, variables: Mapping[str, Any]) -> OptionSet:
        """The set for a trial; SpecError or TemplateError if it cannot be scored."""
        return self._set(variables) if self.declared.columns else self._same

    @cached_property
    def _same(self) -> OptionSet:
        return self._set({})

    @cached_property
    def _same_shown(self) -> list[str]:
        return self._shown({})

    def _shown(self, variables: Mapping[str, Any]) -> list[str]:
        return [texts[0] for texts in self._texts(variables)]

    def _set(self, variables: Mapping[str, Any]) -> OptionSet:
        found = tuple(
            Option(name, tuple(dict.fromkeys(form for text in texts for form in self._forms(text))))
            for name, texts in zip(self.names, self._texts(variables), strict=True)
        )
        if sum(len(option.forms) for option in found) > formats.MAX_FORMS:
            raise SpecError(_TOO_MANY)
        return OptionSet(found, end_of_turn=self.declared.end == "turn")

    def _texts(self, variables: Mapping[str, Any]) -> Iterator[list[str]]:
        """For each option, the texts that say it; the shown one is the first."""
        declared = self.declared
        say = template(declared.say) if declared.say is not None else None
        if declared.columns:
            for name in declared.columns:
                yield [say.render({"name": variables[name]}) if say else str(variables[name])]
        elif declared.cross:
            joint = say or template(" ".join(f"{{{{ {factor} }}}}" for factor in declared.cross))
            for levels in product(*declared.cross.values()):
                spelled = [declared.spellings.get(level, (level,)) for level in levels]
                if math.prod(map(len, spelled)) > formats.MAX_FORMS:
                    raise SpecError(_TOO_MANY)
                yield [joint.render(dict(zip(declared.cross, one, strict=True))) for one in product(*spelled)]
        else:
            for name in self.names:
                spelled_names = declared.spellings.get(name, (name,))
                yield [say.render({"name": one}) if say else one for one in spelled_names]

    def _forms(self, text: str) -> tuple[str, ...]:
        if self.declared.end == "full stop":
            text = text.rstrip(".") + "."
        if self.declared.forms == "spoken":
            return spoken(text)
        if self.declared.forms == "written":
            return text, f" {text}"
        return tuple(template(form).render({"say": text}) for form in self.declared.forms)


def column_part(name: str) -> str:
    """An option's name as a part of a column's name."""
    return re.sub(r"\W+", "_", name).strip("_") or "_"


def checked(
    declared: formats.Options, columns: Mapping[str, Any], where: Path, faults: Faults
) -> Answers | None:
    """The set that an entry declares; None if it has faults, which are noted."""
    before = len(faults.problems)
    given = [key for key in ("names", "cross", "columns") if getattr(declared, key)]
    if len(given) > 1 or not (given or declared.values):
        faults.add(where, "needs one of names, values, cross and columns")
        return None
    if declared.cross and declared.values:
        faults.add((*where, "values"), "is not possible with 'cross'")
    for name in declared.columns:
        faults.known((*where, "columns"), name, columns, "column")
    # Count before anything is built: a crossing of a few factors may have millions of options.
    count = max(
        math.prod(map(len, declared.cross.values())) if declared.cross else 0,
        *(len(given) for given in (declared.names, declared.values, declared.columns)),
    )
    if count > formats.MAX_OPTIONS:
        faults.add(where, f"has {count} options, and a set has at most {formats.MAX_OPTIONS}")
        return None
    answers = Answers(declared)
    if declared.values and len(declared.values) != len(answers.names):
        faults.add(
            (*where, "values"),
            f"has {len(declared.values)} numbers for {len(answers.names)} options. Give one for each",
        )
    known = {level for levels in declared.cross.values() for level in levels} | set(answers.names)
    for name in declared.spellings:
        faults.known((*where, "spellings"), name, known, "option or level")
    parts = [column_part(name) for name in answers.names]
    if len(set(parts)) < len(parts):
        faults.add(
            where, "has two options with the same name in a table's columns. Give them different names"
        )
    if len(faults.problems) > before:
        return None
    if not declared.columns:
        try:
            answers.options({})
        except (SpecError, TemplateError) as error:
            faults.add(where, str(error))
            return None
    return answers
