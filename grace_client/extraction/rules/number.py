"""The grammar ``how-many``: how many of three items have the property in question."""

from __future__ import annotations

import re
from dataclasses import replace

from grace_client.extraction.rules import complement, counting, phrases, shapes
from grace_client.extraction.rules.shapes import HARMLESS, REPORTED, Said, Sentence

OBSERVATION = re.compile(r"\d of the .*")
"""What the speaker said: "1 of the parcels has ...". A listener may answer with the same words."""

_RANGE = re.compile(
    r"\b(?:most|some|many|several|few|half|couple|majority|both|not (?:all|every)|at (?:least|most)|more|"
    r"fewer|less|up to|about|around|almost|nearly|between|either|neither|other|if|one|two|three|zero|none|"
    r"all|every|each)\b|[<>+≥≤]|\d"
)
_SEEING = re.compile(
    r"\b(?:look(?:s|ed|ing)? at|checked|examined|saw|seen|seeing|observed|inspected|tested|found|opened|"
    r"tells?|told|says?|said|saying|report(?:s|ed|ing)?|mention(?:s|ed)|stat(?:es|ed)|claim(?:s|ed)|knows?)\b"
)
_SPEECH = re.compile(r"\bi (?:have )?(?:looked at|checked|inspected)\b")
_SEEN = re.compile(rf"{_SEEING.pattern}[^,;]*")
_TOTAL = re.compile(rf"\b(?:of |the |all )+{counting.THREE}")
_NUMBERS = re.compile(
    r"\b(?:\d+|zero|none|one|two|three|all|both|most|some|every|each|half|third|second|first|another|nothing|"
    r"other|last|remaining)\b"
)
_DENIAL = re.compile(
    rf"(?:{shapes.LEAD})(?:not|i (?:do not|don't) (?:think|"
    rf"believe)(?: that)?) {counting.VALUE}\b(?P<rest>[^,]*)"
)
_OWN_LAST = re.compile(rf"(?:{shapes.OPINION}|{shapes.ANNOUNCED}) ")
_STARTS = re.compile(rf"{shapes.REASON}\b|even though\b|although\b|though\b|from\b|according to my\b")
_COUNTED = re.compile(
    rf"\bthere(?:'s| is| are) (?:(?:only|just|exactly|{shapes.ADVERB}) )*(?:\d|zero|one|two|three|"
    rf"no) (?:of )?(?:the )?\w+$"
)
_THERE_ARE = re.compile(r"\bthere(?:'s| is| are)\b")
_SUM = re.compile(
    rf"{shapes.LEAD}(?P<a>\d) ?(?P<sign>\+|-|plus|minus) ?(?P<b>\d) ?(?:=|is|equals|"
    rf"makes) ?(?P<value>[0-3])(?P<of>\b.*)"
)
_JUDGES = re.compile(r"\b(?:is|are|was|were|not|no|left|unknown|wrong)\b")
_TOO = re.compile(r"\b(?:too|also|as well|likewise)\b")
_SO = re.compile(r"(?:so|thus|therefore|hence)\b")
_IN_ALL = re.compile(r".*\b(?:in total|in all|altogether|overall)\b")
_LIST_MARK = re.compile(rf"\s*1[.)] +(?!{shapes.REASON}|i (?:think|believe)|this|that)[a-z]")


def numbers_a_list(plain: str) -> bool:
    """Whether an answer begins with a list number, which is no answer: "1. Nadia looked at ..."."""
    return _LIST_MARK.match(plain) is not None


def vague(plain: str) -> bool:
    """Whether an answer that fits no rule still speaks about a number."""
    return _RANGE.search(_TOTAL.sub("", plain)) is not None


class Number:
    """Reads answers about the number of items in one story.

    Parameters
    ----------
    items, rest : str
        The question: How many of the `items` have `rest`?
    speaker : str
        Name of the speaker, who looked at the items.
    """

    def __init__(self, items: str, rest: str, speaker: str) -> None:
        speaker = speaker.lower()
        self.whole, self.none, self.but, self.checked, self.on = counting.patterns(items, rest, speaker)
        self.complement = complement.patterns(items, rest, counting.HAVE)
        self.has = re.compile(phrases.inflected(rest))
        self.speech = False
        """Whether the last sentence was the speaker's. The next one then continues the report."""
        self.statement = re.compile(rf"{counting.VALUE}\b.* {counting.HAVE} {phrases.inflected(rest)}")
        self.report = re.compile(
            rf"(?:{shapes.LEAD})(?:{re.escape(speaker)}|she|he|they|i|the speaker|"
            rf"let me)\b.*{_SEEING.pattern}"
        )

    def read(self, sentence: Sentence) -> Said | None:
        """The meaning of a sentence; None if no shape fits the whole sentence."""
        after_speech, self.speech = self.speech, _SPEECH.search(sentence.text) is not None
        if sentence.mark != "?" and (said := self.value(sentence, 0)):
            return REPORTED if after_speech and said.strength in ("bare", "stated") else said
        if shapes.chatter(sentence) or counting.BEFORE.fullmatch(sentence.text):
            return HARMLESS
        if (denied := _DENIAL.fullmatch(sentence.text)) and sentence.mark != "?":
            return Said("denied", counting.digit(denied["value"]))
        if self.report.match(sentence.text):
            return REPORTED if not re.search(r"\b(?:not|but|however|if)\b|n't", sentence.text) else None
        return None

    def is_neutral(self, sentence: Sentence, value: str) -> bool:
        """Whether a sentence of no known shape leaves an answer with this value unchanged."""
        if others := self.complement.others.fullmatch(sentence.text):
            return sentence.mark != "?" and complement.fits(others, value)
        return sentence.mark != "?" and _harmless(sentence.text)

    def value(self, sentence: Sentence, begin: int) -> Said | None:
        """The answer in a sentence, from the position `begin` on."""
        text = sentence.text
        if said := self._plain(sentence, begin) or self._by_others(sentence, begin):
            return said
        if (checked := self.checked.match(text, begin)) and (said := self._plain(sentence, checked.end())):
            return replace(said, strength="stated")
        for before, place, join in shapes.clauses(text[begin:]):
            if not self._leads(before, join, text[begin + place :]):
                continue
            said = self._plain(sentence, begin + place)
            if said and (join or said.strength != "bare" or _STARTS.match(before)):
                return said if said.strength in ("own", "announced") else replace(said, strength="stated")
        return None

    def _leads(self, before: str, join: str, after: str) -> bool:
        """Whether a clause may come before an answer: a reason, a report, or a contrast."""
        own = _OWN_LAST.match(after.removeprefix("now "))
        if join == "but":
            return (own is not None and not _OWN_LAST.match(before)) or bool(
                re.fullmatch(rf"not {counting.VALUE}.*", before)
            )
        if re.search(r"\b(?:if|unless|whether|wrong|lie[sd]?|suppose)\b", before):
            return False
        if _STARTS.match(before) or counting.BEFORE.fullmatch(before):
            return True
        rest = _TOO.sub("", before)
        too = self.has.search(before) and rest != before and not (shapes.contrasts(rest) or _denies(rest))
        concluded = own is not None or self.report.match(before) or self.statement.match(after) or too
        return bool(join) and bool(concluded)

    def _by_others(self, sentence: Sentence, begin: int) -> Said | None:
        """The answer of a sentence that says which items do not have the property."""
        shape = self.complement
        if shape.every and (match := shape.every.fullmatch(sentence.text, begin)):
            return self._said(sentence, match, "0" if match["value"] in ("all", "every", "each") else "3")
        for pattern in (shape.beside, shape.behind):
            match = pattern.fullmatch(sentence.text, begin)
            if match and complement.fits(match, value := counting.digit(match["value"])):
                return self._said(sentence, match, value)
        return None

    def _plain(self, sentence: Sentence, begin: int) -> Said | None:
        text = sentence.text
        if match := self.none.fullmatch(text, begin):
            return self._said(sentence, match, "0") if _harmless_rest(match["rest"]) else None
        if match := self.but.fullmatch(text, begin):
            left = 3 - int(counting.digit(match["value"]))
            return self._said(sentence, match, str(left)) if _harmless_rest(match["rest"]) else None
        if (match := self.on.fullmatch(text, begin)) and not match["again"]:
            harmless = _harmless_rest(match["rest"])
            return self._said(sentence, match, counting.digit(match["value"])) if harmless else None
        if match := _SUM.fullmatch(text, begin):
            a, b = int(match["a"]), int(match["b"])
            right = a + b if match["sign"] in ("+", "plus") else a - b
            judged = _NUMBERS.search(match["of"]) or _JUDGES.search(match["of"])
            good = str(right) == match["value"] and not judged
            said = self._said(sentence, match, match["value"])
            concluded = match["sign"] in ("+", "plus") and _SO.match(text, begin)
            return (replace(said, strength="announced") if concluded else said) if good else None
        match = self.whole.fullmatch(text, begin)
        if not match or not _harmless_rest(match["rest"]):
            return None
        value = counting.digit(match["value"])
        if match["again"] and counting.digit(match["again"]) != value:
            return None
        if match["all"] and not (value == "3" and match["predicate"]):
            return None
        if (match["denied"] and counting.digit(match["denied"]) == value) or not _meets(match, int(value)):
            return None
        if re.fullmatch(r"no(?: ones?)?", match["quantity"]):
            return None
        if (
            value == "3"
            and not match["predicate"]
            and _THERE_ARE.search(text[begin : match.start("quantity")])
        ):
            return None
        totals = match["all"] is None and " " in match["quantity"]
        if value == "3" and not match["predicate"] and totals and _IN_ALL.match(text[begin:]):
            return None
        if not match["predicate"] and _COUNTED.search(text[begin : match.end("quantity")]):
            return None
        return self._said(sentence, match, value)

    def _said(self, sentence: Sentence, match: re.Match[str], value: str) -> Said:
        groups = match.re.groupindex
        start, end = match.span("quantity" if "quantity" in groups and match["quantity"] else "value")
        alone = not any(c.isalnum() for c in sentence.text[:start] + sentence.text[end:])
        soft = bool(match["soft"] or match["doubt"])
        return Said("value", value, sentence.span(start, end), shapes.strength_of(match, alone), soft)


def _meets(match: re.Match[str], value: int) -> bool:
    """Whether an answer fits the bound before it, if there is one."""
    if not match["bound"]:
        return True
    limit = int(counting.digit(match["limit"]))
    return value > limit if match["bound"] == "more" else value < limit


def _harmless_rest(rest: str | None) -> bool:
    return rest is None or (not shapes.contrasts(rest) and not _counts(rest))


def _counts(text: str) -> bool:
    """Whether a text contains a number that is neither reported nor the total."""
    return _NUMBERS.search(_TOTAL.sub("", _SEEN.sub("", text))) is not None


def _harmless(text: str) -> bool:
    return shapes.explains(text) and not (shapes.contrasts(text) or _counts(text) or _denies(text))


def _denies(text: str) -> bool:
    return re.search(r"\b(?:no|not|never|cannot|without|nobody|lacks?)\b|n't\b", text) is not None
