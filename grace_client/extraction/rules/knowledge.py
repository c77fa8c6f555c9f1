"""Study 1: whether the speaker knows exactly how many."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

from grace_client.extraction.rules import shapes
from grace_client.extraction.rules.shapes import HARMLESS, Reader, Said, Sentence
from grace_client.extraction.text import HEDGE
from grace_client.studies.study1 import Story
from grace_client.trials import Trial

_YES = (
    r"(?:i (?:do )?(?:think|believe|guess) (?:so|yes)|i do(?: think so)?|yes indeed|(?:definitely|absolutely|"
    r"certainly|probably|likely|surely|most likely|most probably) yes|yes,? (?:most )?(?:definitely|"
    r"absolutely|certainly|probably|likely|indeed|of course)|(?:there is )?no doubt(?: about (?:it|that))?|"
    r"without (?:a |any )?(?:doubt|question)|most definitely|yes|yeah|yep|yup|yea|y|affirmative)"
)
_NO = (
    r"(?:i (?:do not|don't|really don't) (?:think|believe) (?:so|that)|i (?:do not|don't)|i(?:'m|"
    r" am) afraid not|i(?:'d| would)? (?:guess|say|think|believe|suppose) not|i (?:highly |"
    r"really )?doubt (?:it|that)|(?:probably|definitely|certainly|absolutely|of course|surely|likely|"
    r"most likely|rather) not|(?:definitely|absolutely|certainly|probably|likely) no|not (?:really|at all|"
    r"exactly|quite|fully|entirely)|(?:very |highly )?(?:unlikely|doubtful)|no way|hardly|not for (?:sure|"
    r"certain)|clearly not|only part(?:ly|ially)|no|nope|nah|n|negative)"
)
_WEAK_YES = (
    r"(?:definitely|absolutely|certainly|of course|(?:most )?(?:probably|likely)|surely|sure|true|correct|"
    r"right|that(?:'s| is) (?:right|correct|true)|undoubtedly|(?:she|he|they) do(?:es)?)"
)
_WEAK_NO = (
    r"(?:false|incorrect|(?:she|he|they) (?:does not|doesn't|do not|don't)|that(?:'s| is) (?:wrong|false|"
    r"not true))"
)

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
_ANSWERS = re.compile(r"\b(?:yes|no|know\w*|aware)\b")
_REASONS = re.compile(
    rf"(?:{shapes.REASON}|i (?:do|don't|think|believe|am|would)|i'm|she|he|they|it|the|all|one|two|each|"
    rf"every|nothing|both|\d|that|this)\b"
)

_TRUE = (
    r"(?:there (?:is|can be) no (?:doubt|question)(?: that)?|i have no doubts?(?: that)?|"
    r"no doubt(?: that)?,?|without (?:a |any )?(?:doubt|question),?|i (?:do not|don't) doubt(?: that)?|"
    r"nobody doubts(?: that)?|no one doubts(?: that)?|it(?:'s| is) (?:quite |very )?(?:certain|clear|obvious|"
    r"evident|true|likely|probable|not unlikely) that|undoubtedly,?|of course,?)"
)
_FALSE = (
    r"(?:(?:it(?:'s| is)|it is) (?:very |highly )?(?:unlikely|impossible|doubtful|false|untrue|improbable|"
    r"not true|not possible|not the case|not likely|far from (?:clear|certain))(?: that)?|it isn't (?:true|"
    r"possible|likely)(?: that)?|there is no way(?: that)?|i (?:highly |really |strongly )?doubt(?: that|"
    r" whether| if)?|i(?: really)? (?:do not|don't)(?: really)? (?:think|believe)(?: that)?|(?:i'd|"
    r"i would) be surprised if|it would be (?:wrong|a mistake) to (?:say|think)(?: that)?|(?:no one|nobody|"
    r"few) (?:could|would) (?:say|claim)(?: that)?|i cannot agree that|i find it hard to believe(?: that)?)"
)
_CANNOT = (
    r"(?:does not|doesn't|doesnt|do not|don't|cannot|can't|can not|could not|couldn't|will not|won't|"
    r"would not|wouldn't)"
)
_DOUBTED = re.compile(shapes.DOUBT)
_MAYBE = re.compile(
    rf"(?:{shapes.LEAD})(?:maybe|perhaps|possibly|could be|who knows|it might be|(?:nobody|"
    rf"no one) can (?:tell|say|know)(?: (?:whether|if) .*)?|it(?:'s| is)(?: not clear|n't clear| unclear|"
    rf" open)(?: (?:whether|if) .*)?)"
)
_YES_OR_NO = re.compile(r"\b(?:yes|no)\b")
_HEDGED = re.compile(rf"(?:{shapes.LEAD})(?:{HEDGE.pattern})")


def vague(plain: str) -> bool:
    """Whether an unread answer speaks of knowing."""
    return _EITHER.search(plain) is not None and not re.match(r"\s*no \w+ \w+ed\b", plain)


def reader(trial: Trial) -> Reader:
    """What reads the sentences of an answer about a trial."""
    story = Story.parse(trial["priorQ"])
    return Knowledge(story.items, story.rest, re.split(r"\W", trial["speach"].strip())[0].lower())


class Knowledge:
    """The shapes of one story.

    Parameters
    ----------
    items, rest : str
        As in `Story`.
    speaker : str
        The name of who may know.
    """

    def __init__(self, items: str, rest: str, speaker: str) -> None:
        self.shapes = _patterns(items, rest, speaker)

    def read(self, sentence: Sentence) -> Said | None:
        """What a sentence says; None where no shape fits the whole of it."""
        if sentence.mark == "?":
            if sentence.text == "who knows":
                return Said("unsure")
            return HARMLESS if shapes.chatter(sentence) else None
        if said := self.value(sentence, 0):
            return said if not said.soft or _DOUBTED.match(sentence.text) else Said("unsure")
        if shapes.chatter(sentence) or shapes.list_mark(sentence):
            return HARMLESS
        if _MAYBE.fullmatch(sentence.text) or self.shapes["possible"].fullmatch(sentence.text):
            return Said("unsure")
        hedge = _HEDGED.match(sentence.text)
        if hedge and not _YES_OR_NO.search(sentence.text, hedge.end()):
            return Said("unsure")
        return None

    def value(self, sentence: Sentence, begin: int) -> Said | None:
        """The answer that a sentence gives from some place on."""
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
            ("disbelieved", "no"),
            ("nobody", "no"),
            ("needed", "no"),
        ):
            match = self.shapes[name].fullmatch(sentence.text, begin)
            beside = match.groupdict().get("beside") if match else None
            if match and self._fits(match["rest"], value) and not (beside and _TAKES_BACK.search(beside)):
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
            if more:
                return replace(said, weak=False) if more.value == value else None
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
        """Whether what follows an answer leaves it as it is."""
        if not rest:
            return True
        if shapes.contrasts(rest):
            return False
        if value == "yes":
            return not _NEGATIVE.search(_NOTHING.sub("", rest)) and not _ANSWERS.search(rest)
        return not re.search(
            r"\b(?:yes|doubt|questions?|please|thanks?|thank you|knows? (?:exactly|precisely|how|it|that))\b",
            rest,
        )

    def leaves(self, sentence: Sentence, value: str) -> bool:
        """Whether a sentence that fits no shape leaves an answer of this value as it is."""
        return sentence.mark != "?" and shapes.explains(sentence.text) and self._fits(sentence.text, value)

    def _said(self, sentence: Sentence, match: re.Match[str], value: str) -> Said:
        start, end = match.span("answer")
        alone = not any(c.isalnum() for c in sentence.text[:start] + sentence.text[end:])
        soft = bool(match["doubt"] or match["soft"])
        return Said("value", value, sentence.span(start, end), shapes.strength_of(match, alone), soft)


_BETWEEN = re.compile(r"(?: ?[,:;(]| ?-)? ?(?=\w)")


@cache
def _patterns(items: str, rest: str, speaker: str) -> dict[str, re.Pattern[str]]:
    noun, has = shapes.noun(items), shapes.inflected(rest)
    who = rf"(?:{re.escape(speaker)}|she|he|they|the speaker)"
    adverbs = rf"(?: {shapes.ADVERB})*"
    how = (
        rf"how many(?:(?: of)?(?: the| these| those| all)?(?: (?:3|three))? (?:{noun}|them)|(?= (?:have|has|"
        rf"do|there))|$|(?=[,.]))(?:{adverbs} (?:have|has|had|do|are)(?: {has})?)?"
    )
    exactly = r"(?:exactly|precisely|for (?:sure|certain),?)"
    something = (
        rf"(?: (?:{exactly} )?(?:{how}|how many there are)| {exactly}| that| this| it|"
        rf" (?:exactly )?the (?:exact |true |correct |right |precise )?(?:number|answer|count)(?: of (?:the |"
        rf"these )?(?:(?:3|three) )?{noun}(?: (?:(?:that|which) (?:have|has)|with) {has})?)?)?(?: {exactly})?"
    )
    end = rf"{shapes.TAIL_WORDS}(?P<rest>(?:,|;| -)? ?\(?(?:{shapes.REASON}|so|and)(?: [^()]+)?\)?)?"
    knows = (
        rf"(?:(?:not only did|not only does) {who} [^,]*, )?{who}{adverbs} (?:knows|"
        rf"does(?: indeed)?{adverbs} know|do know|know|must know|will know|is{adverbs} aware of|"
        rf"can{adverbs} (?:tell|know)|can't fail to know|does(?={adverbs}$)){something}"
    )
    about = rf"(?: about (?:the )?(?:third|last|other|remaining|rest)(?: one| {noun})?)?"
    degree = r"(?: (?:really|actually|exactly|necessarily|possibly|yet|even|fully|quite|to))*"
    ignorant = (
        rf"{who}{adverbs} (?:{_CANNOT}{degree}(?: (?:seem|appear) to)?{degree} (?:know|tell|"
        rf"be (?:\w+ )?(?:sure|certain))|{_CANNOT}(?={adverbs}$)|(?:never|hardly|barely|"
        rf"only thinks that {who}) knows|is (?:only |just )?guessing|is far from knowing|"
        rf"knows only (?:about )?(?:the ones|those)[a-z ]*|has no (?:way of knowing|way to know|idea|clue)|"
        rf"(?:is|has)(?: \w+ly)? not (?:\w+ )?(?:sure|certain|aware|able to (?:know|tell))|"
        rf"isn't (?:\w+ )?(?:sure|certain|aware|able to (?:know|tell))|is (?:unsure|uncertain|unaware|"
        rf"unlikely to know|unable to (?:know|tell))|{_CANNOT} have (?:enough|sufficient|the) information|"
        rf"lacks the information|fails to know|pretends to know|acts as if {who} knows|(?:would (?:have|"
        rf"need)|needs|has) to (?:look|check|see|open|inspect)[^,]* (?:to|before {who}) knows?|"
        rf"knows nothing)(?: of)?{about}{something}{about}"
    )
    nobody = (
        rf"(?:(?:nobody|no one|no-one) (?:knows|can know)|neither (?:{who}|i) nor (?:{who}|i) knows?|"
        rf"(?:seldom|rarely|in no way|by no means) does {who} know){something}"
    )
    can = rf"it(?:'s| is) (?:not possible|impossible) for {who} to know{something}"
    needed = (
        rf"(?:to know{something}, {who} (?:would (?:have|need)|needs|has) to [a-z ]+|"
        rf"until [a-z ]+, {who} {_CANNOT} know{something})"
    )
    lead = shapes.LEAD
    words = {"yes": _YES, "no": _NO, "weak_yes": _WEAK_YES, "weak_no": _WEAK_NO}
    patterns = {name: rf"{lead}(?P<answer>{word})(?![\w'])" for name, word in words.items()}
    patterns |= {
        "knows": rf"{lead}(?:{_TRUE} )?(?P<answer>{knows}){end}",
        "ignorant": (
            rf"{lead}(?:{_TRUE} )?(?P<answer>{ignorant})(?:{end}|,? but (?P<beside>(?:{who}) [^.]+))"
        ),
        "disbelieved": rf"{lead}(?P<answer>{_FALSE} {knows}){end}",
        "nobody": rf"{lead}(?P<answer>{nobody}|{can}){end}",
        "needed": rf"{lead}(?P<answer>{needed})(?P<rest>)",
        "possible": (
            rf"{lead}{who} (?:might|may)(?: or may not)?(?: not)? know{something}.*|"
            rf"{who} may or may not know.*"
        ),
        "who": rf"{who}\b",
    }
    return {name: re.compile(pattern) for name, pattern in patterns.items()}
