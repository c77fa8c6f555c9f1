"""Study 1: how many (0 to 3), bets over the four states, and whether the speaker knows."""

from __future__ import annotations

import re
from functools import cache

from grace_client.extraction.reading import Claim, Found
from grace_client.extraction.text import REACH, SENTENCES, Text
from grace_client.studies.study1 import STATES, Story
from grace_client.trials import Trial

WORDS = {"zero": "0", "none": "0", "no": "0", "one": "1", "two": "2", "three": "3", "all": "3", "every": "3"}
OBSERVATION = re.compile(r"\d of the .*")
"""The speaker's "1 of the parcels has ...": also how a listener answers."""

_LEAD_WORDS = (
    "i|i'm|im|i'd|we|think|thinks|believe|guess|say|estimate|expect|assume|suppose|bet|would|will|that|it|it's|is|"
    "there|are|be|probably|likely|most|maybe|perhaps|possibly|only|just|exactly|so|now|well|hmm|oh|okay|ok|sure|"
    "definitely|certainly|my|best|the|answer|number|final|fairly|pretty|quite|very|certain|confident|actually|"
    "really|a|total|of|and|then|also|like|honestly|yes|still"
)
_LEAD = re.compile(rf"(?:\W|\b(?:{_LEAD_WORDS})\b)*")
_OPENING = re.compile(
    r"(?:\bi(?:'d| would)?\s(?:\w+ly\s)?(?:think|believe|guess|say|expect|estimate|assume|bet)(?:\sthat)?"
    r"|\b(?:likely|probable|sure|certain|confident)\sthat|\b(?:answer|guess)(?:\sis|:))"
    rf"(?:\W|\b(?:{_LEAD_WORDS})\b)*"
)
_ANNOUNCED = re.compile(
    r"\b(?:answer|guess|estimate)\b[\"']?\s*(?:(?:is|would be|will be|to (?:this|the) question is)\b\s*)?"
    r"[:=]?[\s\"'${(]*(?:\\boxed\{)?\s*(?:that\s)?(?:exactly\s|only\s|just\s)?$"
    r"|\bnumber of [^.\n]{0,80} (?:is|are)\s*(?:exactly\s)?$|\\boxed\{$"
)
_OWN = re.compile(
    r"\b(?:think|guess|believe|say|probably|likely|maybe|perhaps|possibly|expect|estimate)\b|^\s*but\b"
)

_NUMBER = re.compile(
    r"(?<![\w.,$/-])(?:\d+(?:\.\d+)?|zero|none|no|one|two|three|all|every)(?![\w%]|\s%|\.\d)"
)
_INEXACT = re.compile(
    r"\b(?:most|some|many|several|few|half|couple|majority|both|not\s(?:all|every)|\d+\.\d+|\d+(?:\.\d+)?\s?%)"
)
_BOTH = re.compile(r"\bboth\b")
_BOUND_BEFORE = re.compile(
    r"(?:\b(?:at\s(?:least|most|minimum|maximum)|(?:more|fewer|less|greater)\sthan|up\sto|over|under|above|below|"
    r"about|around|approximately|roughly|nearly|almost|minimum\sof|maximum\sof)\s|[<>~≥≤]=?\s*|≈\s*)"
    r"(?:the\s|only\s)?$"
)
_BOUND_AFTER = re.compile(r"\s*(?:\+|or\s(?:more|fewer|less|so)\b|(?:of\sthem\s)?(?:at\s(?:least|most))\b)")
_ANY = r"(?:\d|zero|none|one|two|three|all)"
_RANGE = re.compile(
    rf"(?<![\w.]){_ANY}(?:\s\w+)?\s*(?:-|/|,|,?\s?\b(?:to|or|and|nor|or maybe|or perhaps|or even)\b)\s*"
    rf"(?:maybe\s|perhaps\s|even\s|all\s)?{_ANY}(?!\w|\.\d)"
)
_OF_THREE = re.compile(r"[0-3]\s*/\s*3(?!\d)")
_NOT_ANSWER = re.compile(
    r"\b(?:not|\w+n't|never|cannot|neither|nor|without|doubt|unlikely)\b|\b(?:could|might|may)\b"
)
_CONDITION = re.compile(r"\b(?:if|whether|unless|suppose|supposing|imagine|assuming)\b")
_REPORT = re.compile(
    r"\b(?:look(?:s|ed|ing)?\sat|checked|examined|saw|seen|observed|inspected|tested|found|knows?|told|tells?|"
    r"says?|said|reports?|reported|mention(?:s|ed)|state[sd]|claim(?:s|ed)|according\sto)\b"
)
_SOFT = re.compile(r"\b(?:maybe|perhaps|possibly)\b")
_OR = re.compile(r"\W*or\b")
_TOTAL_BEFORE = re.compile(r"(?:\bof|/|\ball)\s*(?:the\s|these\s|those\s)?$")
_CONCLUDED = re.compile(r"\b(?:so|therefore|thus|hence|but|meaning)\s*$")
_GROUNDS = re.compile(r"\W*(?:based|given|since|because|as|according|going|from|even though|although)\b")
_DENIED = re.compile(r"\s*(?:do|does|have|has|are|is|did|had)(?:\snot\b|n't\b)")
_HAVE = re.compile(r"\s*(?:have|has)\b")
_SPEECH = re.compile(r"\bi have looked at [^.\n]*\.\s*$")
_OWN_WORDS = re.compile(r"\bi(?:'d| would| will|'ll)?\s(?:say|think|guess|believe)\b")
_OTHERS = re.compile(
    r"\b(?:other|remaining|another|last|additional|next|first|second|third|these|this|which|any)\s$"
)
_NEVER = re.compile(r"(?!)")
_PRONOUN = {
    "no": re.compile(""),
    "one": re.compile(r"\s(?:should|must|will|would|may|does|do)\b"),
}
"""What makes a word for a number something else, where no items are named: "one should", "no"."""
_PREDICATE = (
    r"(?:have|has|had|having|do|does|will|would|must|should|are|is|(?:that|which)\s(?:have|has|are|is)|"
    r"with|to\sbe|i\sthink|i\sbelieve|probably|likely|definitely|actually|also|for\ssure)\b"
)


def number(text: Text, trial: Trial) -> Found:
    """How many of the items, in a prepared answer."""
    found = Found()
    plain = _take_bets(text.plain, found)
    text = Text(plain, text.echoed, text.unclosed, text.cut)
    story = Story.parse(trial["priorQ"])
    after = _after(story.items)
    ranges = [match.span() for match in _RANGE.finditer(plain) if not _OF_THREE.fullmatch(match[0])]
    for match in _NUMBER.finditer(plain):
        if any(start <= match.start() < end for start, end in ranges):
            found.conflict = True
        else:
            _judge(text, match, after, found)
    found.conflict |= _BOTH.search(plain) is not None
    found.vague |= _INEXACT.search(plain) is not None
    return found


def _judge(text: Text, match: re.Match[str], after: re.Pattern[str], found: Found) -> None:
    """Whether one number is an answer, forbids one, or is something else."""
    plain, (start, end) = text.plain, match.span()
    sentence, stop = text.sentence(start)
    so_far = plain[max(sentence, start - REACH) : start]
    before = plain[max(text.clause(start), start - REACH) : start]
    value = WORDS.get(match[0], match[0])
    announced = _ANNOUNCED.search(so_far) is not None
    own = announced or _opened(before)
    if _TOTAL_BEFORE.search(before) or text.asks(start):
        return
    if value not in map(str, STATES):
        found.conflict |= not so_far.strip() and not plain[end:stop].strip(" .!?")
    elif _BOUND_BEFORE.search(before) or _BOUND_AFTER.match(plain, end) or _OR.match(before):
        found.conflict = True
    elif _OTHERS.search(before) or _CONDITION.search(so_far) or _NOT_ANSWER.search(before):
        found.vague = True
    elif not announced and _reported(text, sentence, start, own):
        found.reported = True
    elif (tail := after.match(plain, end)) and not _DENIED.match(plain, tail.end()):
        if _PRONOUN.get(match[0], _NEVER).match(plain, end) and not tail["what"]:
            return
        definite = before.endswith("the ") and not _HAVE.match(plain, tail.end())
        if (own or _LEAD.fullmatch(before)) and not definite:
            view, soft = _OWN.search(so_far) is not None, _SOFT.search(so_far) is not None
            found.claims.append(Claim(value, start, end + len(tail["what"]), announced, view, soft))
        else:
            found.vague = True
    elif tail or match[0] not in ("one", "no", "all", "every"):
        found.vague = True


def _reported(text: Text, sentence: int, start: int, own: bool) -> bool:
    """Whether a number is what the speaker saw or said: it follows such a verb, or such speech."""
    if _SPEECH.search(text.plain[max(0, sentence - REACH) : sentence]):
        return True
    nearest = max(sentence, start - REACH)
    clause = max(text.clause(start), nearest)
    if _REPORT.search(_OWN_WORDS.sub("", text.plain[clause:start])):
        return True
    concluded = own or _CONCLUDED.search(text.plain[nearest:clause]) or _GROUNDS.match(text.plain, sentence)
    return _REPORT.search(_OWN_WORDS.sub("", text.plain[nearest:start])) is not None and not concluded


def _opened(before: str) -> bool:
    """Whether a clause comes to its own view ("... I think that") right before a number."""
    return any(match.end() == len(before) for match in _OPENING.finditer(before))


@cache
def _after(items: str) -> re.Pattern[str]:
    """What may follow a number that is an answer: of how many, of what, and then an end or a predicate."""
    plural = re.escape(items.split()[-1].lower())
    stem = plural.removesuffix("s")
    nouns = rf"(?:{plural}|{stem}|{stem.removesuffix('e')}|{stem.removesuffix('ve')}f|items?|ones?)"
    what = rf"(?:[a-z]+\s){{0,2}}?{nouns}\b"
    return re.compile(
        r"(?P<what>(?:\s*\(\s*(?:\d|zero|one|two|three)\s*\))?"
        rf"(?:\s*/\s*3|\s+(?:of|out\sof)\s+(?:the\s|these\s|those\s|all\s)?\s*(?:3|three|(?P<of>them|{what}))\b"
        r"(?:\s+of\s+them\b)?|\s+(?:of\sthe\s|the\s)?(?:3|three)(?!\w))?"
        rf"(?P<items>\s+(?:single\s)?(?:one\s)?(?:of\s)?(?:the\s|these\s|those\s)?(?:{what}|them\b))?)"
        rf"(?=\s*(?:$|[.!,;:?)\n'\"}}$\\|]|-|\(|[^\w\s]|because\b|since\b|as\b|so\b|but\b|{_PREDICATE}))"
    )


# --- Bets ----------------------------------------------------------------------------------------------

_STATE = r"(?P<state>[0-3]|zero|none|one|two|three)"
_AMOUNT = r"\$?\s?(?P<amount>\d+(?:\.\d+)?)\s?(?P<unit>%|percent\b|dollars?\b)?"
_BETS = (
    re.compile(rf"(?<![\w.$]){_STATE}(?:\s[a-z]+)?\s*(?::|=|\||->)\s*{_AMOUNT}(?![\w.]*\w)"),
    re.compile(
        r"(?<![\w.])(?:\$\s?(?P<amount>\d+(?:\.\d+)?)|(?P<share>\d+(?:\.\d+)?)\s?(?:%|percent|dollars?))"
        rf"\s(?:on|for|to)\s(?:exactly\s)?{_STATE}\b"
    ),
)
_TOTAL, _ROUNDING = 100.0, 0.5


def _take_bets(plain: str, found: Found) -> str:
    """Read bets, and return the text with them blanked."""
    for pattern in _BETS:
        matches = list(pattern.finditer(plain))
        if len(matches) < 2:
            continue
        bets = {
            WORDS.get(m["state"], m["state"]): float(m["amount"] or m.groupdict().get("share") or 0)
            for m in matches
        }
        amounts = tuple(bets.get(str(state), 0.0) for state in STATES)
        whole = len(bets) == len(matches) == len(STATES)
        if whole and abs(sum(amounts) - _TOTAL) <= _ROUNDING:
            found.bets, found.bets_span = amounts, (matches[0].start(), matches[-1].end())
        else:
            found.conflict = True
        for m in matches:
            plain = plain[: m.start()] + " " * len(m[0]) + plain[m.end() :]
        break
    return plain


# --- Knowledge -----------------------------------------------------------------------------------------

_SAID = re.compile(r"\b(?P<yes>yes|yeah|yep|yup)\b|\b(?P<no>no|nope|nah)\b")
_SAID_AFTER = re.compile(
    r"\s*(?:$|[.,!;:\n'\")}|$]|-|\(|[^\w\s])|\s+(?:because|since|as|i|she|he|they|it|that|the|so|but)\b"
)
_YES = re.compile(
    r"\b(?:i\s(?:do\s)?(?:think|believe|guess)\sso|i\sdo|(?:she|he|they)\sdo(?:es)?|definitely|absolutely|certainly|"
    r"of\scourse|(?:most\s)?(?:probably|likely))(?=\s*(?:$|[.,!;:\n'\")-]|[^\w\s]))"
)
_NO = re.compile(
    r"\b(?:i\s(?:do\snot|don't)\s(?:think|believe)\s(?:so|that)|i\s(?:do\snot|don't)|i\sthink\snot|i\sdoubt\s(?:it|that)|"
    r"(?:she|he|they)\s(?:does\snot|doesn't|do\snot|don't)|(?:probably|definitely|certainly|absolutely|of\scourse|"
    r"surely|likely)\snot|not\sreally|not\sat\sall|(?:very\s|highly\s)?unlikely)(?=\s*(?:$|[.,!;:\n'\")-]|[^\w\s]))"
)
_BOTH_WAYS = re.compile(r"\byes\s*(?:and|or|/|\||,?\s?but\salso)\s*no\b|\bno\s*(?:and|or|/)\s*yes\b")
_MAYBE = re.compile(r"(?:\W|\bit\b|\bwell\b)*(?:maybe|perhaps|possibly)\W*")
_NOT_SAID = re.compile(r"\bnot necessarily\b")
_DISBELIEF = re.compile(r"\b(?:do not|don't|not|doubt|unlikely)\b[^.\n]*$")
_BELIEVED = re.compile(r"\b(?:believes|thinks|says|said|claims|tells|told|reveals?|mentions?|wants?)\b")
_KNOWS_HOW = (
    r"(?=\s*(?:$|[.,!;:\n'\")-]|exactly\b|precisely\b|how\b|for\s(?:sure|certain)\b|because\b|since\b|"
    r"the\s(?:exact|number|answer|true|correct)|this\b|it\b|all\b|now\b|that\sexactly\b))"
)


def knowledge(text: Text, trial: Trial) -> Found:
    """Whether the speaker knows, in a prepared answer."""
    found, plain = Found(), text.plain
    found.conflict = _BOTH_WAYS.search(plain) is not None
    found.vague = _NOT_SAID.search(plain) is not None
    for match in _SAID.finditer(plain):
        if _SAID_AFTER.match(plain, match.end()):
            _claim(text, match, "yes" if match["yes"] else "no", found)
    for pattern, value in ((_YES, "yes"), (_NO, "no")):
        for match in pattern.finditer(plain):
            _claim(text, match, value, found)
    _statements(text, trial, found)
    found.hedged |= any(_MAYBE.fullmatch(part) for part in re.split(r"[.!\n]", plain))
    return found


def _claim(text: Text, match: re.Match[str], value: str, found: Found) -> None:
    """A word or phrase that is an answer where it stands alone in its clause."""
    start = match.start()
    so_far = text.plain[max(text.sentence(start)[0], start - REACH) : start]
    before = text.plain[max(text.clause(start), start - REACH) : start]
    announced = _ANNOUNCED.search(so_far) is not None
    if _CONDITION.search(so_far):
        found.vague = True
    elif announced or _LEAD.fullmatch(before):
        view = _OWN.search(so_far + match[0]) is not None or so_far.rstrip().endswith("but")
        soft = _SOFT.search(so_far) is not None
        found.claims.append(Claim(value, *match.span(), announced, view, soft))


def _statements(text: Text, trial: Trial, found: Found) -> None:
    """Sentences that say of the speaker that she knows or does not."""
    name = re.escape(re.split(r"\W", trial["speach"].strip())[0].lower())
    who = rf"(?<!\w)(?:{name}|she|he|they|the\sspeaker|but|and)"
    adverb = (
        r"(?:\s(?:definitely|probably|certainly|clearly|likely|now|also|really|actually|already|surely|obviously)"
        r")?"
    )
    knows = re.compile(rf"{who}{adverb}\s(?:knows|does\s(?:indeed\s)?know|do\sknow|know){_KNOWS_HOW}")
    ignorant = re.compile(
        rf"{who}{adverb}(?:\s(?:does\snot|doesn't|doesnt|do\snot|don't|cannot|can't|can\snot|could\snot|couldn't|"
        r"will\snot|won't|would\snot|wouldn't)(?:\s(?:really|actually|exactly|necessarily|possibly|yet))?"
        r"(?:\s(?:seem|appear)\sto)?(?:\s(?:really|actually|exactly))?\s(?:know|tell)"
        r"|\shas\sno\s(?:way\sof\sknowing|way\sto\sknow|idea)|(?:\sis|'s)\s(?:\w+ly\s)?not\s(?:\w+\s)?(?:sure|certain)"
        r"|\sisn't\s(?:\w+\s)?(?:sure|certain)|(?:\sis|'s)\s(?:unsure|uncertain|unlikely\sto\sknow))\b"
        r"(?!\s(?:exactly\s)?(?:that|what|where|who|why|when|if|whether|which)\b)"
    )
    plain = _without_questions(text, found)
    for pattern, value in ((knows, "yes"), (ignorant, "no")):
        for match in pattern.finditer(plain):
            start, _ = text.sentence(match.start())
            before = plain[start : match.start()]
            if _CONDITION.search(before) or _BELIEVED.search(_OWN_WORDS.sub("", before)):
                found.vague = True
            elif _DISBELIEF.search(before):
                if value == "no":
                    found.conflict = True
                else:
                    found.claims.append(Claim("no", *match.span(), own=True))
            else:
                view = _OWN.search(before + match[0]) is not None
                found.claims.append(Claim(value, *match.span(), own=view))
    possible = re.search(rf"{who}\s(?:might|may|could)\s(?:or\s\w+\snot\s)?(?:not\s)?know\b", plain)
    found.conflict |= possible is not None and bool(found.claims)
    found.hedged |= possible is not None
    found.vague |= re.search(rf"{who}\s(?:only\s)?knows?\b", plain) is not None


def _without_questions(text: Text, found: Found) -> str:
    """The text with its questions blanked: asking is not answering."""

    def blank(match: re.Match[str]) -> str:
        if not match[0].rstrip(" '\")").endswith("?"):
            return match[0]
        found.reported |= "how many" in match[0]
        return " " * len(match[0])

    return SENTENCES.sub(blank, text.plain)
