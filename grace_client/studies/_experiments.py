"""From an experiment of a study file to the questions about each trial."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice, product

from grace_client.core.errors import Problem, SpecError, TrialError
from grace_client.core.questions import Prompt, Question, Turn
from grace_client.core.trials import Trial
from grace_client.studies import _options, _reads, _tables
from grace_client.studies import format as formats
from grace_client.studies._faults import Faults
from grace_client.studies._options import Answers
from grace_client.studies._syntax.patterns import PatternError
from grace_client.studies._syntax.templates import TemplateError, expression, template
from grace_client.studies._syntax.yaml import Path
from grace_client.studies._trials import TrialReader, Variables
from grace_client.studies._variation import Asked, Levels
from grace_client.studies.declaration import Experiment, Kind, Study
from grace_client.studies.ways import MAX_WAYS

_CUE = re.compile(r"^[A-Z]\w*:", re.MULTILINE)

MAX_QUESTIONS = 500
"""Most questions about one trial."""


@dataclass
class Builder:
    """What all experiments of a study share.

    Attributes
    ----------
    whole : Study
        The study, without its experiments.
    reader : TrialReader
        The rules of its trial list.
    answers : mapping of str to Answers
        The sets of options with a name.
    files : mapping of str to list of rows
        The example files.
    faults : Faults
        Gets what is wrong.
    levels : Levels
        The ways of asking, see `_variation`.
    every : list of Asked
        The questions of all experiments that were built.
    """

    whole: Study
    reader: TrialReader
    answers: Mapping[str, Answers]
    files: Mapping[str, Sequence[Mapping[str, str]]]
    faults: Faults
    levels: Levels = field(default_factory=dict)
    every: list[Asked] = field(default_factory=list)

    @property
    def study(self) -> formats.StudyFile:
        """The study as its file declares it."""
        return self.whole.file

    def experiment(self, key: str) -> Experiment:
        """The experiment under a key of the file. If faults were noted, it may be incomplete."""
        file = self.study.experiments[key]
        where: Path = ("experiments", key)
        asked = [self._asked(ask, (*where, "ask", number)) for number, ask in enumerate(file.ask)]
        self.every += asked
        kinds = {one.name(each): (self._kind(one, each), each) for one in asked for each in one.combinations}
        if len(kinds) < sum(len(one.combinations) for one in asked):
            self.faults.add((*where, "ask"), "has two questions of the same name. Give them different names")
        if len(kinds) > MAX_QUESTIONS:
            self.faults.add((*where, "ask"), f"has more than {MAX_QUESTIONS} questions about a trial")
        scored = [one.answers is not None for one in asked]
        known = all(one.declared.options is None or one.answers is not None for one in asked)
        if any(scored) and not all(scored) and known:
            self.faults.add(
                (*where, "ask"),
                "mixes questions with options and questions with free text. Make two experiments",
            )
        names = tuple(self.reader.columns)
        made = (
            _tables.columns(file.table, kinds, names, (*where, "table"), self.faults)
            if all(scored)
            else _tables.Columns()
        )
        if not all(scored) and file.table.columns:
            self.faults.add(
                (*where, "table", "columns"), "is not possible with free text, whose columns are fixed"
            )
        stops = (_stop(ask) for ask in file.ask) if not any(scored) else ()

        @lru_cache(maxsize=MAX_WAYS)
        def in_way(levels: tuple[tuple[str, str], ...]) -> list[Asked]:
            return [one.asked_in(dict(levels), self.levels) for one in asked]

        shown = {
            _shown_name(name): name for name, column in self.reader.columns.items() if key in column.only
        }
        return Experiment(
            name=f"{self.study.study}-{key}",
            title=file.title or f"{self.study.title}, {key}",
            schema=self.whole.schema,
            table=file.table.name or ("probabilities" if all(scored) else "raw_responses"),
            questions=lambda trial, way=None: tuple(
                self._questions(in_way(tuple((way or {}).items())), trial)
            ),
            kinds={name: kind for name, (kind, _) in kinds.items()},
            file=file,
            study=self.whole,
            columns=tuple(made.names),
            option_columns=made.options,
            measures=made.measures,
            reversed_for={
                one.name(each): self._condition(one.declared.reverse)
                for one in asked
                for each in one.combinations
                if one.declared.reverse is not None
            },
            shown=shown,
            ways={
                factor: tuple(levels)
                for factor, levels in self.levels.items()
                if any(one.changed(level) is not one for level in levels.values() for one in asked)
            },
            stop=tuple(dict.fromkeys(stop for stop in stops if stop)),
        )

    def _asked(self, ask: formats.Ask, where: Path) -> Asked:
        """Check one entry of `ask`."""
        if (ask.prompt is None) == (not ask.messages):
            self.faults.add(where, "needs either 'prompt' or 'messages'")
        if ask.messages and ask.messages[-1].user is None:
            self.faults.add((*where, "messages"), "must end with a turn of the user")
        if "system" in ask.model_fields_set and ask.messages:
            self.faults.add((*where, "system"), "belongs into 'messages' here, as their first turn")
        if any(turn.system is not None for turn in ask.messages[1:]):
            self.faults.add((*where, "messages"), "may have a system turn only at the beginning")
        if (ask.options is None) == (ask.read is None):
            self.faults.add(where, "needs either 'options' (scored) or 'read' (free text)")
        answers = self._answers(ask.options, (*where, "options"))
        listed = answers
        if ask.read is not None:
            listed = self.answers.get(ask.read.choice or "")
            _reads.check(ask.read, self.study.options, listed, (*where, "read"), self.faults)
        self._check_names(ask, where)
        columns = self.reader.columns
        for name in ask.each:
            if name in columns:
                self.faults.add((*where, "each"), f"{name!r} is the name of a column. Use another one")
        examples: Sequence[Mapping[str, str]] = ()
        if ask.examples is not None:
            examples = ask.examples.rows or self.files.get(ask.examples.file or "", ())
            if not examples and (ask.examples.file is None or ask.examples.file in self.files):
                self.faults.add((*where, "examples"), "has no rows. Give 'rows', or a 'file' with some")
        # One more than allowed, so that the count shows it.
        some = islice(product(*ask.each.values()), MAX_QUESTIONS + 1)
        combinations = tuple(dict(zip(ask.each, one, strict=True)) for one in some)
        return Asked(ask, combinations, answers, listed, examples, self.study.texts)

    def _check_names(self, ask: formats.Ask, where: Path) -> None:
        """Note names in the templates of a question that nothing defines."""
        names = {*self.reader.names, *self.study.texts, *ask.each}
        if ask.options is not None or (ask.read is not None and ask.read.choice is not None):
            names.add("options")
        for key, source in (("prompt", ask.prompt), ("system", ask.system)):
            if source is not None:
                self.faults.uses((*where, key), template(source).names, names)
        for number, turn in enumerate(ask.messages):
            for role in sorted(turn.model_fields_set):
                source = getattr(turn, role)
                self.faults.uses((*where, "messages", number, role), template(source or "").names, names)
        if ask.reverse is not None:
            self.faults.uses((*where, "reverse"), expression(ask.reverse).names, self.reader.names)
        if ask.read is not None:
            known = names - set(self.study.texts)
            for name, source in ask.read.about.items():
                self.faults.uses((*where, "read", "about", name), template(source).names, known - {"options"})
            if ask.read.ask is not None:
                self.faults.uses((*where, "read", "ask"), template(ask.read.ask).names, known)

    def _answers(self, given: str | formats.Options | None, where: Path) -> Answers | None:
        if given is None:
            return None
        if isinstance(given, str):
            self.faults.known(where, given, self.study.options, "option set")
            return self.answers.get(given)
        return _options.checked(given, self.reader.columns, where, self.faults)

    def _kind(self, asked: Asked, each: Mapping[str, str]) -> Kind:
        answers, read = asked.answers, asked.declared.read
        if answers is None:
            return Kind(asked.declared.name, read=read, choices=asked.listed, each=each)
        return Kind(asked.declared.name, answers.names, answers.values, answers.factors)

    def _condition(self, source: str) -> Callable[[Trial], bool]:
        return lambda trial: expression(source).holds(trial.variables)

    def _questions(self, asked: Sequence[Asked], trial: Trial) -> Iterator[Question]:
        stimulus = "\0".join(trial[name] for name in self.whole.schema.stimulus)
        for one in asked:
            try:
                yield from self._of(one, dict(trial.variables), trial, stimulus)
            except (TemplateError, PatternError, SpecError) as error:
                message = f"the question {one.declared.name!r} cannot be asked: {error}"
                raise TrialError(self.whole.path, [Problem(trial.line, None, message)]) from None

    def _of(self, asked: Asked, known: Variables, trial: Trial, stimulus: str) -> Iterator[Question]:
        shown: dict[str, list[str]] = {}
        places: tuple[int, ...] = ()
        if asked.listed is not None:
            texts = asked.listed.shown(known)
            places = asked.places(len(texts), trial.trial_id, stimulus)
            shown = {"options": asked.listing(texts, places)}
        options = asked.options(known, places)
        for each in asked.combinations:
            turns = list(self._turns(asked, known | each | shown))
            text = "\n\n".join(turn.text for turn in turns if turn.text)
            prompt = Prompt(text, turns=_plain(turns), plain=asked.plain)
            yield Question(asked.name(each), prompt, options)

    def _turns(self, asked: Asked, known: Variables) -> Iterator[Turn]:
        ask = asked.declared
        turns = ask.messages or (formats.Turn(user=ask.prompt),)
        if "system" in ask.model_fields_set:
            yield Turn("system", "" if ask.system is None else _render(ask.system, known, asked.texts))
        for number, turn in enumerate(turns):
            if number == len(turns) - 1 and ask.examples is not None:
                assert turn.user is not None
                for row in asked.examples:
                    there = known | self.reader.variables(row) | dict(row)
                    yield Turn("user", _render(turn.user, there, asked.texts))
                    yield Turn("assistant", _render(ask.examples.answer, there, asked.texts))
            for role in ("system", "user", "assistant"):
                if (text := getattr(turn, role)) is not None:
                    yield Turn(role, _render(text, known, asked.texts))


def _render(source: str, known: Variables, texts: Mapping[str, str]) -> str:
    """A template, with the texts of the study that it needs. A text may name those before it."""
    wanted = template(source)
    needed = set(wanted.names)
    for name in reversed([*texts]):
        if name in needed:
            needed |= template(texts[name]).names
    made = dict(known)
    for name, text in texts.items():
        if name in needed:
            made[name] = template(text).render(made)
    return wanted.render(made)


def _plain(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """No turns where the prompt is one turn of the user: then its text says it all."""
    return () if len(turns) == 1 and turns[0].role == "user" else tuple(turns)


def _shown_name(column: str) -> str:
    return column.lower()


def _stop(ask: formats.Ask) -> str | None:
    """A line that begins like the question's: a model that writes it asks itself another question.

    The prompt's template shows it: of the words with a colon at the beginning of lines, such as "Question:"
    and "Answer:", the last but one. Without two of them there is no such text.
    """
    source = ask.prompt if ask.prompt is not None else ask.messages[-1].user if ask.messages else None
    cues = _CUE.findall(source or "")
    return f"\n{cues[-2]}" if len(cues) > 1 else None
