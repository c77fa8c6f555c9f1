"""The grammar ``knows``: whether the speaker knows exactly how many."""

from __future__ import annotations

import re
from dataclasses import replace

from grace_client.extraction.rules import knowing, shapes
from grace_client.extraction.rules.shapes import HARMLESS, Said, Sentence
from grace_client.extraction.text import HEDGE

_EITHER = re.compile(r"\b(?:yes|no|know\w*|aware|certain|sure)\b")
_NEGATIVE = re.compile(
    r"\b(?:no|not|never|only|cannot|except|without|nobody|none|neither|hardly|barely|idea|just|one of|"
    r"at least|part(?:ly)?|some|left out|missed|missing|third|rest|remaining|others?|guess\w*|about|those|"
    r"ones|almost|nearly|roughly|approximately|please|help|assist|questions?|happy|glad)\b|n't\b"
)
_TAKES_BACK = re.compile(
    r"\b(?:exactly|precisely|how many|certain|sure|yes|no|answer|will|would|might|may|could|should|knows?)\b"
)
_NOTHING = re.compile(r"\bnothing (?:was|is) [a-z ]+")
_EACH = re.compile(r"\b(?:every|each)(?: single)? one of\b")
_NOT_YET = re.compile(r"(?:\bnot|n't)(?: [a-z]+)* yet\b")
_OPEN = re.compile(
    r"\bthe (?:third|others?|last|remaining|rest)(?: [a-z]+)? (?:could|may|might)(?: (?:or|may|might|could|"
    r"not|also|still|as|well|have|be)\b)*(?: [a-z]+)*(?: or not)?"
)
"""Statements that leave open how the unseen items are."""
_ANSWERS = re.compile(r"\b(?:yes|no|know\w*|aware)\b")
_REASONS = re.compile(
    rf"(?:{shapes.REASON}|i (?:do|don't|think|believe|am|would)|i'm|she|he|they|it|the|all|one|two|each|"
    rf"every|nothing|both|\d|that|this)\b"
)

_NO_GUESS = re.compile(
    rf"(?:{shapes.LEAD})(?:it|this|that)(?:'s not| is not| isn't)(?: just)? (?:a )?(?:mere )?guess(?:work)?"
)
_WHY_NOT = re.compile(r",? why (?:not|(?:wouldn't|shouldn't) (?:she|he|they)(?: know)?)")
"""A question that the model asks itself, and that changes no answer."""
_DOUBTED = re.compile(shapes.DOUBT)
_MAYBE = re.compile(
    rf"(?:{shapes.LEAD})(?:maybe|perhaps|possibly|could be|who knows|it might be|(?:nobody|"
    rf"no one) can (?:tell|say|know)(?: (?:whether|if) .*)?|it(?:'s| is)(?: not clear|n't clear| unclear|"
    rf" open)(?: (?:whether|if) .*)?)"
)
_YES_OR_NO = re.compile(r"\b(?:yes|no)\b")
_HEDGED = re.compile(rf"(?:{shapes.LEAD})(?:{HEDGE.pattern})")


def vague(plain: str) -> bool:
    """Whether an answer that fits no rule is about knowing."""
    return _EITHER.search(plain) is not None and not re.match(r"\s*no \w+ \w+ed\b", plain)


class Knowledge:
    """Reads answers about what the speaker of one story knows.

    Parameters
    ----------
    items, rest : str
        The question: Does the speaker know how many of the `items` have `rest`?
    speaker : str
        Name of the speaker.
    """

    def __init__(self, items: str, rest: str, speaker: str) -> None:
        self.shapes = knowing.patterns(items, rest, speaker.lower())

    def read(self, sentence: Sentence) -> Said | None:
        """The meaning of a sentence; None if no shape fits the whole sentence."""
        if sentence.mark == "?":
            for name, value in (("how_could", "no"), ("why_not", "yes")):
                if self.shapes[name].fullmatch(sentence.text):
                    return Said("value", value, sentence.span(0, len(sentence.text)), weak=True)
        why = _WHY_NOT.search(sentence.text)
        if sentence.mark == "?" and why and why.end() == len(sentence.text) and why.start():
            return self.value(Sentence(sentence.text[: why.start()], sentence.at[: why.start()], "."), 0)
        if sentence.mark == "?":
            if sentence.text == "who knows":
                return Said("unsure")
            return HARMLESS if shapes.chatter(sentence) else None
        if said := self.value(sentence, 0):
            return said if not said.soft or _DOUBTED.match(sentence.text) else Said("unsure")
        if shapes.chatter(sentence) or shapes.list_mark(sentence):
            return HARMLESS
        if _NO_GUESS.fullmatch(sentence.text):
            return Said("denied", "no")
        if self.shapes["partial"].fullmatch(sentence.text):
            return Said("denied", "yes")
        if _MAYBE.fullmatch(sentence.text) or self.shapes["possible"].fullmatch(sentence.text):
            return Said("unsure")
        hedge = _HEDGED.match(sentence.text)
        if hedge and not _YES_OR_NO.search(sentence.text, hedge.end()):
            return Said("unsure")
        return None

    def value(self, sentence: Sentence, begin: int) -> Said | None:
        """The answer in a sentence, from the position `begin` on."""
        text = sentence.text
        if begin < len(text) and (said := self._statement(sentence, begin) or self._head(sentence, begin)):
            return said
        for before, place, join in shapes.clauses(text[begin:]):
            if re.search(r"\b(?:if|unless|whether|says?|said|thinks?|claims?|yes|no|know\w*)\b", before):
                continue
            if not (join in ("so", "therefore", "thus", "hence", "and so", "but") or _REASONS.match(before)):
                continue
            if not join and not re.match(rf"{shapes.REASON}\b", before):
                continue
            said = self._statement(sentence, begin + place) or self._head(sentence, begin + place)
            if said and not said.weak:
                return replace(said, strength="stated" if said.strength == "bare" else said.strength)
        return None

    def _statement(self, sentence: Sentence, begin: int) -> Said | None:
        for name, value in (
            ("knows", "yes"),
            ("ignorant", "no"),
            ("unthinkable", "yes"),
            ("disbelieved", "no"),
            ("nobody", "no"),
            ("needed", "no"),
        ):
            match = self.shapes[name].fullmatch(sentence.text, begin)
            beside = match.groupdict().get("beside") if match else None
            if beside and _TAKES_BACK.search(beside) and not self.shapes["partial"].fullmatch(beside):
                continue
            if match and self._fits(match["rest"], value):
                return self._said(sentence, match, value)
        return None

    def _head(self, sentence: Sentence, begin: int) -> Said | None:
        text = sentence.text
        for name, value in (("yes", "yes"), ("no", "no")):
            if (match := self.shapes[name].match(text, begin)) is None:
                continue
            said, end = self._said(sentence, match, value), match.end()
            if end == len(text):
                return said
            between = _BETWEEN.match(text, end)
            rest = text[between.end() :] if between else ""
            if not between or not (between[0].strip() or self._goes_on(rest)):
                continue
            more = self.value(sentence, between.end())
            if more and more.value == value:
                return replace(said, weak=False)
            if more:
                # "Yes, but she doesn't know exactly how many": the second part answers the question.
                return more if value == "yes" and _CORRECTED.match(rest) and not more.soft else None
            if self.shapes["not_so" if value == "no" else "counted"].fullmatch(rest):
                return said
            if not said.weak and self._fits(rest, value) and (self._goes_on(rest) or shapes.explains(rest)):
                return said
        return self._weak(sentence, begin)

    def _weak(self, sentence: Sentence, begin: int) -> Said | None:
        text = sentence.text
        for name, value in (("weak_yes", "yes"), ("weak_no", "no")):
            if (match := self.shapes[name].match(text, begin)) is None:
                continue
            said = replace(self._said(sentence, match, value), weak=True)
            if match.end() == len(text):
                return said
            between = _BETWEEN.match(text, match.end())
            if between and (more := self._statement(sentence, between.end())):
                return more if more.value == value else None
        return None

    def _goes_on(self, rest: str) -> bool:
        return _REASONS.match(rest) is not None or self.shapes["who"].match(rest) is not None

    def _fits(self, rest: str | None, value: str) -> bool:
        """Whether the rest of a sentence leaves its answer unchanged."""
        if not rest:
            return True
        if value == "no":
            rest = _NOT_YET.sub("not", _OPEN.sub("", rest))
        if shapes.contrasts(rest):
            return False
        if value == "yes":
            return not _NEGATIVE.search(_NOTHING.sub("", _EACH.sub("all", rest))) and not _ANSWERS.search(
                rest
            )
        return not re.search(
            r"\b(?:yes|doubt|questions?|please|thanks?|thank you|not (?:right|true|correct)|"
            r"(?<!n't )(?<!not )knows? (?:exactly|precisely|how|it|that)|(?<!n't )(?<!not )knows?$)\b",
            rest,
        )

    def is_neutral(self, sentence: Sentence, value: str) -> bool:
        """Whether a sentence of no known shape leaves an answer with this value unchanged."""
        return sentence.mark != "?" and shapes.explains(sentence.text) and self._fits(sentence.text, value)

    def _said(self, sentence: Sentence, match: re.Match[str], value: str) -> Said:
        start, end = match.span("answer")
        alone = not any(c.isalnum() for c in sentence.text[:start] + sentence.text[end:])
        soft = bool(match["doubt"] or match["soft"])
        return Said("value", value, sentence.span(start, end), shapes.strength_of(match, alone), soft)


_CORRECTED = re.compile(r"but .*\b(?:exactly|precisely|for (?:sure|certain))\b")
_BETWEEN = re.compile(r"(?: ?[,:;(]| ?-)? ?(?=\w)")
