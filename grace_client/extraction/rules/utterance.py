"""The grammar ``it-was``: which of eight utterances an answer says."""

from __future__ import annotations

import re
from functools import cache

from grace_client.extraction.rules import shapes
from grace_client.extraction.rules.shapes import HARMLESS, Said, Sentence

ADJECTIVES = ("terrible", "bad", "good", "amazing")
_EITHER = "|".join(ADJECTIVES)
SENTENCE = re.compile(rf"it was(?:n t| not)? (?:{_EITHER})")
"""The eight utterances, which are in the prompt too."""

TEMPLATE = re.compile(
    r"\bit (?:was|wasn't|was not)\s*$|\bwas\s*/\s*was|\bwas(?:n't)?\s*(?:\[|<|\.{3}\s*\[|___)|"
    r"terrible\s*/\s*bad|\bwas\s*\["
)
"""A text to be filled in, such as "It was ___", instead of an utterance."""

_ADJECTIVE = rf"(?P<adjective>{_EITHER})(?!\w)"
_DEGREE = (
    r"(?:(?:very|really|so|that|too|quite|pretty|absolutely|truly|all that|actually|simply|honestly|just|"
    r"exactly|particularly|especially)(?: |, ))*"
)
_SUBJECT = r"(?:it|that|this|(?:the|your|his|her|my|their|\w+'s) (?P<thing>\w+(?: \w+){0,2}?))"
_WAS = r"(?:was(?P<not>n'?t|'nt| n'?t| not)?|(?P<aint>ain't))"
_CORE = (
    rf"(?P<said>{_SUBJECT} {_WAS} {_DEGREE}{_ADJECTIVE}|was(?P<not2>n'?t|"
    rf" not)? {_DEGREE}(?P<adjective2>{_EITHER})(?!\w))"
)
_CORES = re.compile(_CORE)
_MANY = 3
_FEEL = re.compile(r"\bfeel(?:s|ing)? (?:good|bad|better)\b")
_LIKED = re.compile(r"i (?:really )?(?:like|liked|love|loved|enjoy|enjoyed) (?:it|the [a-z]+|your [a-z]+)")
_MENTION = re.compile(
    rf"\b(?:saying|to say)(?: that)? it was(?:n't| not)? (?:{_EITHER}) would"
    r" (?:hurt|upset|offend|disappoint|discourage|be (?:too )?(?:harsh|unkind|rude|cruel|mean|dishonest|"
    r"untrue))\b"
)
"""A reason against another utterance."""
_ANY = re.compile(rf"\b(?:{_EITHER})\b")
_BARE = re.compile(rf"(?P<said>(?P<not>not )?{_DEGREE}{_ADJECTIVE})")
_SAY = (
    r"(?:says?|said|saying|answers?|repl(?:y|ies)|responds?(?: with)?|go(?:es)? (?:with|for)|chooses?|picks?|"
    r"admits?|exclaims?|tells? the truth|be saying|be (?:honest|kind|nice|polite)(?: and say)?)"
)
_VAGUE = re.compile(r"\bwas\b|\bwasn't\b|\bneither\b|\bsay")
_THANKS = re.compile(
    r"(?:this|that|it) (?:is|would be|sounds) [a-z ]+|let me know[a-z ]*|and i mean it|i mean it"
)
_AGAINST = re.compile(
    r"(?:rather than|instead of|even if|even though|although|though|while|despite)\b|(?:not|\w+ (?:would|"
    r"will) (?:not|never) say)\b|\w+ (?:would|will) avoid\b|\w+ (?:thinks?|thought|feels?|felt|believes?|"
    r"finds?|found|knows?|knew|rated)\b"
)


def listed(plain: str) -> bool:
    """Whether a text repeats the list of answers, or many of them."""
    found = {
        (bool(m["not"] or m["aint"] or m["not2"]), m["adjective"] or m["adjective2"])
        for m in _CORES.finditer(plain)
    }
    return TEMPLATE.search(plain) is not None or len(found) >= _MANY


def vague(plain: str) -> bool:
    """Whether an answer that fits no rule is about the utterances."""
    return _ANY.search(plain) is not None and _VAGUE.search(plain) is not None


class Utterance:
    """Reads the utterance in answers about one scene.

    Parameters
    ----------
    speaker, listener : str
        Their names.
    scene : str
        Text of the scene. Only things that it names can be good or bad.
    goal : str
        The goal in the words of the question. An answer may begin with this goal, but not with another one.
    """

    def __init__(self, speaker: str, listener: str, scene: str, goal: str) -> None:
        speaker, listener, scene, goal = (text.lower() for text in (speaker, listener, scene, goal))
        self.whole, self.named = _patterns(speaker, listener)
        self.scene = frozenset(re.findall(r"\w+", scene))
        self.goal = frozenset(re.findall(r"\w+", goal))
        self.says = re.compile(
            rf"(?:{re.escape(speaker)}|she|he)(?: would)? (?:says?|answers?|"
            rf"tells? {re.escape(listener)})(?: to {re.escape(listener)})?"
        )

    def read(self, sentence: Sentence) -> Said | None:
        """The meaning of a sentence; None if no shape fits the whole sentence."""
        if (
            shapes.chatter(sentence)
            or shapes.list_mark(sentence)
            or (_THANKS.fullmatch(sentence.text) and self._harmless(sentence.text))
        ):
            return HARMLESS
        if sentence.mark == "?":
            return None
        if self.says.fullmatch(sentence.text):
            return HARMLESS
        if bare := _BARE.fullmatch(sentence.text):
            soft = not bare["not"]
            if soft and re.match(r"(?:too|so|that|all that)\b", bare[0]):
                return None  # "Too bad!" is about something else.
            return self._said(sentence, bare, soft)
        if said := self._plain(sentence, 0):
            return said
        for before, place, join in shapes.clauses(sentence.text):
            after = sentence.text[place:]
            goal = self.goal == frozenset(re.findall(r"\w+", before))
            grounds = join == "so" or re.match(rf"{shapes.REASON}\b", before)
            if goal or (grounds and not _ANY.search(before)) or _AGAINST.match(before):
                found = self.named.fullmatch(after)
                if found and self._harmless(found["rest"]):
                    return self._plain(sentence, place)
                if before.startswith("not ") and (said := self._plain(sentence, place)):
                    return said
        return self._contrast(sentence)

    def _plain(self, sentence: Sentence, begin: int) -> Said | None:
        match = self.whole.fullmatch(sentence.text, begin)
        if not match or not self._harmless(match["rest"]):
            return None
        if match["other"] and (match["other"] == match["adjective"] or match["not"] or match["aint"]):
            return None
        weaker = match["less"] and ((match["adjective"], match["less"]) not in _SCALE or match["not"])
        if weaker:
            return None
        if match["purpose"] and not (match["says"] and self._harmless(match["purpose"])):
            return None
        if match["thing"] and not self.scene.issuperset(match["thing"].split()):
            return None
        may = re.search(r" (?:might|can) ", match["says"] or match["after"] or "")
        return self._said(sentence, match, bool(match["soft"] or match["doubt"] or may))

    def _contrast(self, sentence: Sentence) -> Said | None:
        """The meaning of "It was not only good but amazing"."""
        match = _MORE.fullmatch(sentence.text)
        if not match or match["first"] == match["adjective"]:
            return None
        return Said("value", f"was_{match['adjective']}", sentence.span(*match.span("adjective")))

    def _harmless(self, rest: str | None) -> bool:
        rest = _MENTION.sub("", _FEEL.sub("", rest or ""))
        return not (shapes.contrasts(rest) or _ANY.search(rest))

    def is_neutral(self, sentence: Sentence, value: str) -> bool:
        """Whether a sentence of no known shape leaves an answer with this value unchanged."""
        text = sentence.text
        denies = re.search(r"\b(?:not|never|nobody|cannot)\b|n't\b", text) is not None
        if _LIKED.fullmatch(text):
            return value in ("was_good", "was_amazing")
        text = re.sub(r"^\w+ would say (?:this|that|it)\b", "because", text)
        return sentence.mark != "?" and shapes.explains(text) and self._harmless(text) and not denies

    def _said(self, sentence: Sentence, match: re.Match[str], soft: bool) -> Said:
        groups = match.groupdict()
        adjective = groups["adjective"] or groups.get("adjective2")
        denied = groups["not"] or groups.get("aint") or groups.get("not2")
        start, end = match.span("said")
        alone = not any(c.isalnum() for c in sentence.text[:start] + sentence.text[end:])
        says = groups.get("says") or groups.get("after")
        strength = "announced" if says or groups.get("announced") else "bare" if alone else "stated"
        value = f"{'wasnt' if denied else 'was'}_{adjective}"
        return Said("value", value, sentence.span(start, end), strength, soft)  # type: ignore[arg-type]


_SCALE = frozenset((("good", "amazing"), ("bad", "terrible")))
"""A word, and the stronger word that it does not exclude: "It was good, though it wasn't amazing"."""
_MORE = re.compile(
    rf"(?:{shapes.LEAD})(?:it|that) (?:was not|wasn't) (?:just|only|"
    rf"merely) (?P<first>{_EITHER})(?:,? but(?: also)?|,)(?: (?:it|that) was)?(?: also)? {_ADJECTIVE}"
)


@cache
def _patterns(speaker: str, listener: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Two patterns: a sentence that is an utterance, and a sentence that says that the speaker says it."""
    who = rf"(?:{re.escape(speaker)}|she|he|the speaker|i)"
    to = rf"(?: (?:to )?(?:{re.escape(listener)}|him|her|them))"
    would = rf"(?:'d| would| will| might| can| would have to)?(?: {shapes.ADVERB})*"
    says = (
        rf"(?P<says>{who}{would} (?:{_SAY}{to}?|tells?{to}|responds?{to} with)(?: that)?(?:,|:)? |{who}: |"
        rf"{re.escape(speaker)}'s (?:answer|reply|response)(?: is| would be)?:? )"
    )
    thinks = r"(?:i (?:thought|think|felt|found)(?: that)? )?"
    addressed = rf"(?:(?:hi|hello|hey|oh|well|dear)? ?{re.escape(listener)}, )?"
    after = (
        rf"(?P<after>,?{to}?,? (?:is what )?{who}{would} (?:says?|said|answers?|repl(?:y|ies)|tells?){to}?|"
        rf" (?:is|would be) {re.escape(speaker)}'s (?:answer|reply|choice|response)|,? (?:says?|said) {who})?"
    )
    not_other = (
        rf"(?: ?\((?:and )?not:? (?:it was )?(?P<other>{_EITHER})\)?|"
        rf"(?:,| -)? (?:though|although|even though) it (?:wasn't|was not) (?P<less>{_EITHER}))?"
    )
    end = (
        rf"(?:,? ?(?:{re.escape(listener)}|tbh|sorry|i think|at all|overall|on the whole|really|honestly|"
        rf"to be honest))*{not_other}{shapes.TAIL_WORDS}{to}?{after}(?:,? and i mean it)?"
        rf"(?P<purpose> (?:in order )?to (?:make|spare|help|please|cheer|encourage) [^()]+)?(?P<rest>(?:,|"
        rf" -)? \(?{shapes.REASON} [^()]+\)?| \(\d hearts?\))?"
    )
    lead = shapes.LEAD
    whole = rf"(?:\d ?[.)] ?)?{lead}{says}?{addressed}{thinks}{_CORE}{end}"
    named = rf"(?:{shapes.ADVERB} )*(?:{says})(?P<core>.+?)(?P<rest>(?:,| -)? {shapes.REASON} .+)?"
    return re.compile(whole), re.compile(named)
