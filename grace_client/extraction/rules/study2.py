"""Study 2: frame and adjective of the utterance."""

from __future__ import annotations

import re

from grace_client.extraction.reading import Claim, Found
from grace_client.extraction.text import REACH, Text
from grace_client.studies.study2 import ADJECTIVES
from grace_client.trials import Trial

SENTENCE = re.compile(rf"it was(?:n t| not)? (?:{'|'.join(ADJECTIVES)})")
"""The eight utterances, which stand in the prompt too."""

_ADJECTIVE = rf"(?:{'|'.join(ADJECTIVES)})(?!\w)"
_DEGREE = (
    r"(?:(?:very|really|so|that|too|quite|pretty|absolutely|truly|all\sthat|actually|simply|honestly)\s+)*"
)
_UTTERANCE = re.compile(
    r"(?:(?<!\w)(?P<subject>it|that|this|(?:the|your|his|her|my|their)(?:\s\w+){1,3}?|\w+'s(?:\s\w+){1,3}?)\s+)?"
    r"(?<!\w)was(?P<not>n(?:'|&.39;)?t|'nt|\s+not)?\s+"
    rf"{_DEGREE}(?P<adjective>{_ADJECTIVE})"
)
_BARE = re.compile(rf"\W*(?P<not>not\s+)?{_DEGREE}(?P<adjective>{_ADJECTIVE})\W*")
_LOOSE = re.compile(rf"(?<!feel )(?<!feeling )(?<!\w){_ADJECTIVE}")
_TEMPLATE = re.compile(r"\bwas\s*/\s*was|\bwas(?:n't)?\s*(?:\[|<|\.{3}\s*\[|___)|terrible\s*/\s*bad")
_SAYS = re.compile(
    r"(?:\b(?:says?|said|saying|tells?\s\w+|told\s\w+|answers?|repl(?:y|ies)|responds?|go\swith|choose|pick|"
    r"(?:answer|choice|response|utterance|option)(?:\s(?:is|would\sbe))?)\b[\s:,\"']*(?:to\s\w+)?(?:that\s)?[\s:,\"']*)$"
)
_NEGATED = re.compile(r"\b(?:not|\w+n't|never|neither|nobody|without|cannot)\b")
_CONDITION = re.compile(r"\b(?:if|whether|unless|could\shave|would\shave)\b")
_PRIVATE = re.compile(
    r"\b(?<!i\s)(?:thought|thinks?|felt|feels?|believe[sd]?|knew|knows|rated|found|finds)\b"
)
_SOFT = re.compile(r"\b(?:maybe|perhaps|possibly)\b")
_MANY = 3


def utterance(text: Text, trial: Trial) -> Found:
    """Which of the eight utterances, in a prepared answer."""
    del trial  # The utterances are the same in every scene.
    found, plain = Found(), text.plain
    if bare := _BARE.fullmatch(plain):
        value = f"{'wasnt' if bare['not'] else 'was'}_{bare['adjective']}"
        found.claims.append(
            Claim(
                value,
                bare.start("not" if bare["not"] else "adjective"),
                bare.end("adjective"),
                soft=not bare["not"],
            )
        )
        return found
    if _TEMPLATE.search(plain) or (re.search(r"\bwas(?:n't)?\s*$", plain) and not text.cut):
        found.reported = True
        return found
    loose = {match.start() for match in _LOOSE.finditer(plain)}
    for match in _UTTERANCE.finditer(plain):
        loose.discard(match.start("adjective"))
        _judge(text, match, found)
    announced = [claim for claim in found.claims if claim.announced]
    if len({claim.value for claim in found.claims}) >= _MANY and not announced:
        return Found(reported=True)
    for place in loose:
        start, stop = text.sentence(place)
        if not announced and any(start <= claim.start < stop for claim in found.claims):
            found.conflict = True
        found.vague |= re.search(r"\bwas\b|\bwasn't\b|\bneither\b", plain[start:stop]) is not None
    return found


def _judge(text: Text, match: re.Match[str], found: Found) -> None:
    """Whether one sentence of the eight is said, or only spoken of."""
    start, end = match.span()
    nearest = max(text.sentence(start)[0], start - REACH)
    so_far = text.plain[nearest:start]
    before = text.plain[max(text.clause(start), nearest) : start]
    says = _SAYS.search(so_far) is not None
    # Without a subject it must begin its clause: "Elena was terrible" is about Elena.
    of_another = not match["subject"] and any(char.isalnum() for char in before)
    supposed = _CONDITION.search(before) or _PRIVATE.search(before) or of_another
    if _NEGATED.search(before) or (supposed and not says):
        found.vague = True
        return
    quoted = so_far.rstrip().endswith(("'", '"'))
    value = f"{'wasnt' if match['not'] else 'was'}_{match['adjective']}"
    soft = _SOFT.search(so_far) is not None
    found.claims.append(Claim(value, start, end, says or quoted, says, soft))
