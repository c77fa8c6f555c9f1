"""What the ways of asking change in the questions of an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from grace_client.core.errors import SpecError
from grace_client.core.options import Option, OptionSet
from grace_client.studies import format as formats
from grace_client.studies._faults import Faults
from grace_client.studies._options import Answers, column_part
from grace_client.studies._syntax.templates import TemplateError, template
from grace_client.studies._syntax.yaml import Path
from grace_client.studies.ways import BASE, ORDER, Way, arranged

_SHORT = {"order": "listed", "labels": "none", "template": "chat", "end": None, "examples": "all"}
"""Factors whose levels may be a list of names, and the first level that it must have."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ROTATIONS = "rotations"

Levels = Mapping[str, Mapping[str, formats.WayLevel]]
"""For each factor: its levels, the base first."""


@dataclass(frozen=True)
class Asked:
    """One entry of `ask`, ready to be asked in one way."""

    declared: formats.Ask
    combinations: tuple[dict[str, str], ...]
    answers: Answers | None
    """The options to score."""
    listed: Answers | None
    """The options that the prompt may list."""
    examples: Sequence[Mapping[str, str]] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    order: str = "listed"
    labels: str = "none"
    plain: bool = False

    def name(self, each: Mapping[str, str]) -> str:
        """Name of the question with some values of `each`: state0; colour_red."""
        values = (value if value.isdigit() else "_" + column_part(value) for value in each.values())
        return self.declared.name + "".join(values)

    @property
    def names(self) -> set[str]:
        """Names that its prompts use, those in the study's texts included."""
        ask = self.declared
        sources = [ask.prompt, ask.system, *(one.user or one.assistant or one.system for one in ask.messages)]
        found = {name for source in sources if source for name in template(source).names}
        for name in reversed([*self.texts]):
            if name in found:
                found |= template(self.texts[name]).names
        return found

    def places(self, count: int, trial_id: int, stimulus: str) -> tuple[int, ...]:
        """The order in which a trial's prompt lists the options."""
        return tuple(arranged(count, self.order, trial_id, stimulus))

    def listing(self, texts: Sequence[str], places: Sequence[int]) -> list[str]:
        """The texts of the options in this order, with their labels."""
        return [_label(self.labels, n, ". ") + texts[place] for n, place in enumerate(places)]

    def options(self, known: Mapping[str, str], places: tuple[int, ...]) -> OptionSet | None:
        """The set to score: the texts of the options, or their labels."""
        if self.answers is None:
            return None
        if self.labels == "none":
            return self.answers.options(known)
        return _labelled(self.answers.names, self.labels, places, self.answers.declared.end)

    def changed(self, level: formats.WayLevel) -> Asked:
        """The question as a level of a factor asks it; itself if the level changes nothing here."""
        ask, given = self.declared, level.model_fields_set
        if level.questions and ask.name not in level.questions:
            return self
        new = self
        if level.prompt is not None:
            new = replace(new, declared=_prompted(new.declared, level.prompt))
        if "system" in given:
            turns = tuple(turn for turn in new.declared.messages if turn.system is None)
            changes = {"system": level.system, "messages": turns}
            new = replace(new, declared=new.declared.model_copy(update=changes))
        if set(level.texts) & new.names:
            new = replace(new, texts={**new.texts, **level.texts})
        if level.template is not None:
            new = replace(new, plain=level.template == "plain")
        if level.examples is not None and new.examples:
            new = replace(new, examples=new.examples[: level.examples])
        if level.order is not None and new.listed is not None and "options" in new.names:
            new = replace(new, order=level.order)
        answers = new.answers
        if answers is not None:
            # The answers of examples are texts, so labels do not fit them.
            if level.labels is not None and "options" in new.names and not new.examples:
                new = replace(new, labels=level.labels)
            said = {key: getattr(level, key) for key in ("say", "end") if getattr(level, key) is not None}
            if said:
                varied = Answers(answers.declared.model_copy(update=said))
                new = replace(new, answers=varied, listed=varied)
        return new

    def asked_in(self, way: Way, levels: Levels) -> Asked:
        """The question as a way asks it."""
        new = self
        for factor, name in way.items():
            new = new.changed(levels[factor][name])
        return new


def _prompted(ask: formats.Ask, prompt: str) -> formats.Ask:
    if not ask.messages:
        return ask.model_copy(update={"prompt": prompt})
    turns = (*ask.messages[:-1], formats.Turn(user=prompt))
    return ask.model_copy(update={"messages": turns})


def _label(kind: str, place: int, after: str = "") -> str:
    if kind == "none":
        return ""
    return (_LETTERS[place] if kind == "letters" else str(place + 1)) + after


@lru_cache(maxsize=4096)
def _labelled(names: tuple[str, ...], kind: str, places: tuple[int, ...], end: str) -> OptionSet:
    """The labels as options, in the order of the tables."""
    stop = "." if end == "full stop" else ""
    own = {place: _label(kind, n) + stop for n, place in enumerate(places)}
    options = tuple(Option(name, (own[i], f" {own[i]}")) for i, name in enumerate(names))
    return OptionSet(options, end_of_turn=end == "turn")


def read(study: formats.StudyFile, largest: int, faults: Faults) -> Levels:
    """The factors of a study file with their levels.

    Parameters
    ----------
    study : StudyFile
        The study.
    largest : int
        Number of options of its largest set: ``rotations`` stands for so many orders.
    faults : Faults
        Gets what is wrong.
    """
    found = {}
    for factor, given in study.ways.items():
        where: Path = ("ways", factor)
        if isinstance(given, tuple):
            levels = _short(factor, given, largest, where, faults)
        else:
            levels = {name: level or formats.WayLevel() for name, level in given.items()}
            if next(iter(levels.values()), formats.WayLevel()).model_fields_set:
                faults.add(
                    (*where, next(iter(levels))),
                    "is the first level and changes something. The first level is what the experiments ask: "
                    "write 'base: null' before it",
                )
        if len(levels) < 2:
            faults.add(where, "needs two levels or more")
        found[factor] = levels
    return found


def _short(
    factor: str, names: tuple[str, ...], largest: int, where: Path, faults: Faults
) -> dict[str, formats.WayLevel]:
    """The levels of a factor that are a list of names."""
    if factor not in _SHORT:
        faults.add(
            where,
            f"has levels without what they change. Only {', '.join(_SHORT)} may be a list. Write the levels "
            "of any other factor as 'LEVEL: {prompt: …}'",
        )
        return dict.fromkeys(names, formats.WayLevel())
    first, *others = names
    if (wanted := _SHORT[factor]) not in (None, first):
        faults.add(where, f"must begin with {wanted}: that is what the experiments ask")
    levels = {first: formats.WayLevel()}
    for name in others:
        if factor == "order" and name == _ROTATIONS:
            if largest < 2:
                faults.add(
                    where, "rotations needs an option set with a name: one under 'options' of the study"
                )
            levels |= {
                f"rotated-{step}": formats.WayLevel(order=f"rotated-{step}") for step in range(1, largest)
            }
        elif factor == "order" and not ORDER.fullmatch(name):
            faults.add(
                where,
                f"has the level {name!r}. The orders are listed, reversed, balanced, rotations, rotated-K "
                "and random-SEED",
            )
        else:
            try:
                levels[name] = formats.WayLevel.model_validate({factor: name})
            except ValueError:
                faults.add(where, f"has the level {name!r}, which grace does not know for this factor")
    return levels


def check(levels: Levels, asked: Sequence[Asked], names: set[str], faults: Faults) -> None:
    """Note what is wrong with the levels.

    Parameters
    ----------
    levels : Levels
        The factors and levels.
    asked : sequence of Asked
        The questions of all experiments.
    names : set of str
        Names that every prompt may use: columns, variables, texts, ``options``.
    faults : Faults
        Gets what is wrong.
    """
    questions = {one.declared.name for one in asked}
    for factor, own in levels.items():
        for name, level in own.items():
            where: Path = ("ways", factor, name)
            for question in level.questions:
                faults.known((*where, "questions"), question, questions, "question")
            concerned = [one for one in asked if one.declared.name in (level.questions or questions)]
            each = {name for one in concerned for name in one.declared.each}
            for key in ("prompt", "system"):
                if source := getattr(level, key):
                    faults.uses((*where, key), template(source).names, names | each)
            texts = asked[0].texts if asked else {}
            for text, source in level.texts.items():
                if faults.known((*where, "texts"), text, texts, "text"):
                    before = set(list(texts)[: list(texts).index(text)])
                    usable = (names - set(texts)) | before | each
                    faults.uses((*where, "texts", text), template(source).names, usable)
            if factor == "end" and not level.model_fields_set:
                for end in {one.answers.declared.end for one in concerned if one.answers} - {name, BASE}:
                    faults.add(
                        where,
                        f"is the first level, but there are options that declare 'end: {end}'. Begin with "
                        f"{end}, or write the levels as 'base: null' and 'LEVEL: {{end: …}}'",
                    )
            changed = [one.changed(level) for one in concerned]
            if level.model_fields_set and all(
                new is old for new, old in zip(changed, concerned, strict=True)
            ):
                faults.add(where, "changes no question of any experiment")
            for one in changed:
                _check_options(one, where, faults)


def _check_options(one: Asked, where: Path, faults: Faults) -> None:
    if one.answers is None:
        return
    if one.labels == "letters" and len(one.answers.names) > len(_LETTERS):
        faults.add(where, f"has {len(_LETTERS)} letters for {len(one.answers.names)} options. Use numbers")
    elif not one.answers.declared.columns:
        try:
            one.options({}, tuple(range(len(one.answers.names))))
        except (SpecError, TemplateError) as error:
            faults.add(where, str(error))
