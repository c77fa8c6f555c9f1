"""Read answers whose values are a few words: numbers, names of options, yes and no. It needs no grammar.

Each value in the answer has a mark instead of its words (`mentions`). A sentence gives an answer if it has
marks of one value only, and if nothing in it denies, doubts, bounds or reports this value.
"""

from __future__ import annotations

import re
from dataclasses import replace

from grace_client.extraction.rules import knowing, shapes
from grace_client.extraction.rules.mentions import MARK, Mentions
from grace_client.extraction.rules.shapes import HARMLESS, Rules, Said, Sentence
from grace_client.extraction.text import HEDGE

_VALUE = rf"{MARK}+"
_MARKS = re.compile(_VALUE)
_BARE = re.compile(
    rf"{shapes.LEAD}(?:(?:only|just|exactly|precisely|the|an?|option|choice|statement|sentence|number) ?\(?)*"
    rf"(?P<value>{_VALUE})(?: ?%)?(?: (?:one|option))?{shapes.TAIL_WORDS}{shapes.REST}"
)
"""An answer and nothing else, perhaps with a reason."""
_DENIED = re.compile(
    rf"(?:{shapes.LEAD})(?:not|i (?:do not|don't) (?:think|believe)(?: that)?(?: it(?:'s| is))?) {_VALUE}"
)
_LEAD = re.compile(shapes.LEAD)
_BEFORE = re.compile(
    r"\b(?:not|no|never|neither|nor|nobody|none|cannot|without|hardly|barely|either|or|if|unless|whether|than|"
    r"instead|except|but|however|although|though|while|wrong|false|doubt\w*|unlikely|impossible|suppose|"
    r"assum\w+|might|may|could|says?|said|tells?|told|claim\w*|stat(?:es|ed)|mention\w*|report\w*|asks?|asked|"
    r"at (?:least|most)|more|fewer|less|over|under|above|below|up to|about|around|roughly|approximately|"
    r"almost|nearly|close to|between|from|until|up|minimum|maximum|several|few|many|some|half)\b|n't\b|[<>]"
)
_WOULD_SAY = re.compile(r"\b(?:would|will|'d|i) (?:say|answer)\b(?: that)?")
_AFTER = re.compile(r"\b(?:not|no|never|cannot|without|nobody|to|through|plus|ish)\b|n't\b|^ ?[-+]|[<>]")
_LATER = re.compile(r"\b(?:no|not|never|cannot|nobody)\b|n't\b")
_MAYBE = re.compile(rf"(?:{shapes.LEAD})(?:maybe|perhaps|possibly|could be|who knows|it might be)")
_HEDGED = re.compile(rf"(?:{shapes.LEAD})(?:{HEDGE.pattern})")
_BETWEEN = re.compile(rf" ?[,:;(] ?(?=\w)| -+ (?=\w)| (?={shapes.REASON}\b)")
_YES_NO = re.compile(r"\b(?:yes|no|yeah|nope|maybe)\b")
_WRONG = re.compile(
    r"\b(?:that|this|it)(?:'s| is| isn't)(?: not)? (?:\w+ )?(?:right|wrong|true|false|correct|the case)\b"
)
_SO = ("so", "therefore", "thus", "hence", "and so")
_COUNTS = re.compile(
    r"\b(?:most|many|several|few|half|couple|majority|at (?:least|most)|(?:more|less|fewer) than|up to)\b"
)


class General:
    """Reads sentences with marks.

    Parameters
    ----------
    mentions : Mentions
        The answer with marks.
    yes_no : bool
        Whether "yes" and "no", in the usual words, are values.
    """

    def __init__(self, mentions: Mentions, *, yes_no: bool = False) -> None:
        self.mentions, self.yes_no = mentions, yes_no

    def read(self, sentence: Sentence) -> Said | None:
        """The meaning of a sentence; None if it has none, or more than one."""
        if sentence.mark == "?":
            return HARMLESS if shapes.chatter(sentence) else None
        marks = list(_MARKS.finditer(sentence.text))
        if marks:
            return self._marked(sentence, marks)
        if self.yes_no and (said := self._yes_no(sentence)):
            return said
        if shapes.chatter(sentence) or shapes.list_mark(sentence):
            return HARMLESS
        if _MAYBE.fullmatch(sentence.text) or _HEDGED.match(sentence.text):
            return Said("unsure")
        return None

    def _marked(self, sentence: Sentence, marks: list[re.Match[str]]) -> Said | None:
        text, first, last = sentence.text, marks[0], marks[-1]
        values = {self.mentions.values.get(sentence.at[mark.start()]) for mark in marks}
        value = values.pop()
        if values or value is None:
            return None
        span = sentence.span(*first.span())
        if _DENIED.fullmatch(text):
            return Said("denied", value)
        if (bare := _BARE.fullmatch(text)) and not shapes.contrasts(bare["rest"] or ""):
            alone = not any(char.isalnum() for char in text[: first.start()] + text[first.end() :])
            soft = bool(bare["soft"] or bare["doubt"])
            return Said("value", value, span, shapes.strength_of(bare, alone), soft)
        lead = _LEAD.match(text, 0, first.start())
        before = _WOULD_SAY.sub("", text[lead.end() if lead else 0 : last.start()])
        after = text[last.end() :]
        reason = re.fullmatch(f"{shapes.TAIL_WORDS}{shapes.REST}", after)
        if _BEFORE.search(before) or shapes.contrasts(after) or (_AFTER.search(after) and not reason):
            return None
        return Said("value", value, span, "stated", bool(lead and (lead["soft"] or lead["doubt"])))

    def _yes_no(self, sentence: Sentence) -> Said | None:
        if said := self._head(sentence, 0):
            return said
        for before, place, join in shapes.clauses(sentence.text):
            reason = join in _SO or re.match(rf"{shapes.REASON}\b", before)
            if reason and not shapes.contrasts(before) and (said := self._head(sentence, place)):
                return said if said.weak else replace(said, strength="stated")
        return None

    def _head(self, sentence: Sentence, begin: int) -> Said | None:
        """Yes or no at a position of a sentence."""
        text = sentence.text
        for name in ("yes", "no", "weak_yes", "weak_no"):
            if (match := knowing.HEADS[name].match(text, begin)) is None:
                continue
            weak, end = name.startswith("weak"), match.end()
            between = _BETWEEN.match(text, end)
            rest = text[between.end() :] if between else ""
            if end < len(text) and (weak or not rest or not self._fits(rest)):
                continue
            start = match.start("answer")
            alone = not any(char.isalnum() for char in text[:start] + text[end:])
            strength = shapes.strength_of(match, alone)
            soft = bool(match["soft"] or match["doubt"])
            return Said("value", name.removeprefix("weak_"), sentence.span(start, end), strength, soft, weak)
        return None

    def _fits(self, text: str) -> bool:
        """Whether a text behind yes or no leaves it as it is."""
        return not (shapes.contrasts(text) or _YES_NO.search(text) or _WRONG.search(text))

    def is_neutral(self, sentence: Sentence, value: str) -> bool:
        """Whether a sentence of no known shape leaves an answer with this value unchanged."""
        text = sentence.text
        if sentence.mark == "?" or MARK in text or not shapes.explains(text):
            return False
        return self._fits(text) if self.yes_no else not (shapes.contrasts(text) or _LATER.search(text))


def rules(
    mentions: Mentions, *, yes_no: bool = False, number: bool = False, options: int = 0, unsure: str
) -> Rules:
    """The rules for an answer with marks.

    Parameters
    ----------
    mentions : Mentions
        The answer with marks.
    yes_no, number : bool
        Whether the values are yes and no, or numbers.
    options : int
        Number of options; 0 if there are none.
    unsure : str
        As in `Rules`.
    """
    known = {value for value in mentions.values.values() if value is not None}

    def vague(plain: str) -> bool:
        several = len(mentions.values) > 1
        of_number = number and _COUNTS.search(plain)
        return bool(known or several or of_number or (yes_no and _YES_NO.search(plain)))

    def listed(plain: str) -> bool:
        # Of two options, "A or B" is undecided; "A, B" is the list.
        between = _MARKS.sub("", plain)
        return options > 0 and len(known) == options and (options > 2 or not any(map(str.isalnum, between)))

    return Rules(General(mentions, yes_no=yes_no), vague, listed, unsure)
