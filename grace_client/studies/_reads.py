"""Check how a study file reads free text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from grace_client.studies import format as formats
from grace_client.studies._faults import Faults
from grace_client.studies._options import Answers
from grace_client.studies._syntax.patterns import PatternError, groups
from grace_client.studies._syntax.yaml import Path


class Grammar(NamedTuple):
    """What a grammar of whole sentences reads, and what it needs to know of the trial."""

    reads: str
    values: tuple[str, ...]
    about: tuple[str, ...]


GRAMMARS = {
    "how-many": Grammar("a number", ("0", "1", "2", "3"), ("items", "rest", "speaker")),
    "knows": Grammar("yes or no", ("yes", "no"), ("items", "rest", "speaker")),
    "it-was": Grammar(
        "a choice",
        tuple(
            f"{frame}_{word}" for frame in ("was", "wasnt") for word in ("terrible", "bad", "good", "amazing")
        ),
        ("speaker", "listener", "scene", "goal"),
    ),
}
"""The grammars of `Read.rules`."""
RESERVED_VALUES = ("unparsed", "unsure")
"""Values of an answer that is not clear, and of one that says that the question cannot be decided."""
_WHOLE = re.compile(r"0|-?[1-9]\d{0,14}")


def check(
    read: formats.Read,
    sets: Mapping[str, formats.Options],
    answers: Answers | None,
    where: Path,
    faults: Faults,
) -> None:
    """Note what is wrong.

    Parameters
    ----------
    read : Read
        The entry.
    sets : mapping of str to Options
        The option sets of the study.
    answers : Answers or None
        The set of `read.choice`, if there is a sound one.
    where : Path
        Place of the entry.
    faults : Faults
        Gets the faults.
    """
    kinds = [read.number is not None, read.yes_no, read.choice is not None, read.pattern is not None]
    if sum(kinds) != 1:
        faults.add(where, "needs one of number, yes_no, choice and pattern")
        return
    if read.choice is not None:
        faults.known((*where, "choice"), read.choice, sets, "option set")
        if answers is None:
            return
        reserved = set(answers.names) & set(RESERVED_VALUES)
        if "unparsed" in reserved or (reserved and read.unsure):
            faults.add(
                (*where, "choice"), f"has the option {min(reserved)!r}, which is a value of its own here"
            )
    if read.pattern is not None:
        try:
            if "value" not in groups(read.pattern):
                faults.add((*where, "pattern"), "needs a group (?P<value>…)")
        except PatternError as error:
            faults.add((*where, "pattern"), str(error))
    _check_rules(read, answers, where, faults)
    if read.yes_no or answers is not None:
        for value in read.synonyms:
            faults.known((*where, "synonyms"), value, answers.names if answers else ("yes", "no"), "value")
    elif read.number is not None:
        for value in read.synonyms:
            if not _WHOLE.fullmatch(value) or not read.number[0] <= int(value) <= read.number[1]:
                faults.add(
                    (*where, "synonyms"), f"{value!r} is no number from {read.number[0]} to {read.number[1]}"
                )


def _check_rules(read: formats.Read, answers: Answers | None, where: Path, faults: Faults) -> None:
    if read.rules is None:
        if read.about:
            faults.add((*where, "about"), "is for 'rules'. Name the rules, or remove it")
        return
    grammar = GRAMMARS[read.rules]
    if read.rules == "how-many":
        fits = read.number == (0, len(grammar.values) - 1)
    else:
        fits = set(grammar.values) == set(answers.names if answers else ("yes", "no") if read.yes_no else ())
    if not fits:
        faults.add((*where, "rules"), f"{read.rules} reads {grammar.reads}: {', '.join(grammar.values)}")
    if read.synonyms:
        faults.add((*where, "synonyms"), "is not possible with 'rules', which have words of their own")
    if set(read.about) != set(grammar.about):
        faults.add((*where, "about"), f"of {read.rules} needs exactly these: {', '.join(grammar.about)}")
