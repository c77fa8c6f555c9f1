"""The grammar ``knows``: the ways in which a sentence says that the speaker knows how many, or does not."""

from __future__ import annotations

import re
from functools import cache

from grace_client.extraction.rules import phrases, shapes

YES = (
    r"(?:i (?:do )?(?:think|believe|guess) (?:so|yes)|i do(?: think so)?|yes indeed|(?:definitely|absolutely|"
    r"certainly|probably|likely|surely|most likely|most probably) yes|yes,? (?:most )?(?:definitely|"
    r"absolutely|certainly|probably|likely|indeed|of course)|(?:there is )?no doubt(?: about (?:it|that))?|"
    r"without (?:a |any )?(?:doubt|question)|most definitely|yes|yeah|yep|yup|yea|y|affirmative)"
)
NO = (
    r"(?:i (?:do not|don't|really don't) (?:think|believe) (?:so|that)|i (?:do not|don't)|i(?:'m|"
    r" am) afraid not|i(?:'d| would)? (?:guess|say|think|believe|suppose) not|i (?:highly |"
    r"really )?doubt (?:it|that)|(?:probably|definitely|certainly|absolutely|of course|surely|likely|"
    r"most likely|rather) not|not yes|far from it|by no means|not in the least|(?:definitely|absolutely|"
    r"certainly|probably|likely) no|not (?:really|at all|"
    r"exactly|quite|fully|entirely)|(?:very |highly )?(?:unlikely|doubtful)|no way|hardly|not for (?:sure|"
    r"certain)|clearly not|only part(?:ly|ially)|no(?! one\b)|nope|nah|n|negative)"
)
WEAK_YES = (
    r"(?:definitely|absolutely|certainly|of course|(?:most )?(?:probably|likely)|surely|sure|true|correct|"
    r"right|that(?:'s| is) (?:right|correct|true)|undoubtedly|(?:she|he|they) do(?:es)?)"
)
WEAK_NO = (
    r"(?:false|incorrect|(?:she|he|they) (?:does not|doesn't|do not|don't)|that(?:'s| is) (?:wrong|false|"
    r"not true))"
)
HEADS = {
    name: re.compile(rf"{shapes.LEAD}(?P<answer>{word})(?![\w'])")
    for name, word in (("yes", YES), ("no", NO), ("weak_yes", WEAK_YES), ("weak_no", WEAK_NO))
}
"""Yes and no at the beginning of a sentence. The weak ones count only alone."""
_TRUE = (
    r"(?:there (?:is|can be) no (?:doubt|question)(?: that)?|i have no doubts?(?: that)?|"
    r"no doubt(?: that)?,?|without (?:a |any )?(?:doubt|question),?|i (?:do not|don't) doubt(?: that)?|"
    r"nobody doubts(?: that)?|no one doubts(?: that)?|it(?:'s| is) (?:quite |very )?(?:certain|clear|obvious|"
    r"evident|true|likely|probable|not unlikely) that|undoubtedly,?|of course,?|"
    r"(?:it|this|that)(?:'s not| is not| isn't)(?: just)? a (?:mere )?guess[,:])"
)
_FALSE = (
    r"(?:(?:it(?:'s| is)|it is) (?:very |highly )?(?:unlikely|impossible|doubtful|false|untrue|improbable|"
    r"not true|not possible|not the case|not likely|far from (?:clear|certain))(?: that)?|it isn't (?:true|"
    r"possible|likely)(?: that)?|there is no way(?: that)?|i (?:highly |really |strongly )?doubt(?: that|"
    r" whether| if)?|i(?: really)? (?:do not|don't)(?: really)? (?:think|believe)(?: that)?|(?:i'd|"
    r"i would) be surprised if|it(?:'s| is| would be) (?:wrong|a mistake) to (?:say|think)(?: that)?|"
    r"(?:no one|nobody|"
    r"few) (?:could|would) (?:say|claim)(?: that)?|i cannot agree that|i find it hard to believe(?: that)?)"
)
_CANNOT = (
    r"(?:does not|doesn't|doesnt|do not|don't|cannot|can't|can not|could not|couldn't|will not|won't|"
    r"would not|wouldn't)"
)


@cache
def patterns(items: str, rest: str, speaker: str) -> dict[str, re.Pattern[str]]:
    """The patterns of one story, by their meaning."""
    noun, has = phrases.noun(items), phrases.inflected(rest)
    who = rf"(?:{re.escape(speaker)}|she|he|they|the speaker)"
    adverbs = rf"(?: {shapes.ADVERB})*"
    how = (
        rf"how many(?:(?: of)?(?: the| these| those| all)?(?: (?:3|three))? (?:{noun}|them)|"
        rf"(?={adverbs} (?:have|"
        rf"has|do|there|after|once|when|if|by|only))|$|(?=[,.:]))(?:{adverbs} (?:have|has|had|do|"
        rf"are)(?: {has})?)?"
    )
    exactly = r"(?:exactly|precisely|for (?:sure|certain),?)"
    something = (
        rf"(?: (?:{exactly} )?(?:{how}|how many there are)| {exactly}| that| this| it|"
        rf" (?:exactly )?the (?:exact |true |correct |right |precise )?(?:number|answer|count)(?: of (?:the |"
        rf"these )?(?:(?:3|three) )?{noun}(?:(?: (?:(?:that|which) (?:have|has)|with))?{adverbs} {has})?)?)?"
        rf"(?: {exactly})?"
    )
    end = rf"{shapes.TAIL_WORDS}(?P<rest>(?:,|;| -)? ?\(?(?:{shapes.REASON}|so|and)(?: [^()]+)?\)?)?"
    knows = (
        rf"(?:(?:not only did|not only does) {who} [^,]*, )?{who}{adverbs} (?:knows|"
        rf"does(?: indeed)?{adverbs} know|do know|know|must know|will know|is{adverbs} aware of|"
        rf"can{adverbs} (?:tell|know)|can't fail to know|does(?={adverbs}$)){something}"
    )
    about = rf"(?: about (?:the )?(?:third|last|other|remaining|rest)(?: one| {noun})?)?"
    be = r"(?:is|remains|(?:seems|appears)(?: to be)?)"
    have = r"(?:has|(?:seems|appears) to have)"
    some = r"(?:(?:at least )?(?:one|1|some|part)(?: of)?|(?:two|2) of(?! the (?:3|three)\b))"
    part = (
        rf"(?:(?:about |of )?(?:the (?:one|ones|two|first|1|2)|those|these)(?: (?:one|ones|two|{noun}))?"
        rf"(?: (?:that )?{who} (?:saw|checked|has (?:seen|checked)|(?:has )?looked at))?|"
        rf"(?:that |about |it's |it is )?{some}(?: (?:the|these|those|her|his))?(?: (?:3|three))?"
        rf"(?: (?:{noun}|them|2|two))?(?: (?:have|has|is|does|do|did|do not|does not|not|{has})){{0,4}})"
    )
    partial = rf"(?:yes,? )?{who}{adverbs} (?:does |do )?knows? {part}"
    information = (
        r"(?:enough|sufficient|the) (?:information|data)(?: (?:needed |necessary )?to (?:answer|provide|"
        r"give|make|determine|say|tell)(?: (?!but\b|and\b|or\b|yet\b|yes\b|no\b|knows?\b)[a-z']+)*)?"
    )
    degree = r"(?: (?:really|actually|exactly|necessarily|possibly|yet|even|fully|quite|to))*"
    ignorant = (
        rf"{who}{adverbs} (?:{_CANNOT}{degree}(?: (?:seem|appear) to)?{degree} (?:know|tell|"
        rf"be (?:\w+ )?(?:sure|certain))|{_CANNOT}(?={adverbs}$)|(?:never|hardly|barely|"
        rf"only thinks that {who}) knows|is (?:only |just )?guessing|is far from knowing|"
        rf"knows only (?:about )?(?:the ones|those)[a-z ]*|{have} no (?:way of knowing|way to know|idea|"
        rf"clue)|(?:{be}|has)(?: \w+ly)? not (?:\w+ )?(?:sure|certain|aware|able to (?:know|tell))|"
        rf"isn't (?:\w+ )?(?:sure|certain|aware|able to (?:know|tell))|{be} (?:unsure|uncertain|unaware|"
        rf"confused|unlikely to know|unable to (?:know|tell))|{_CANNOT} have {information}|"
        rf"{_CANNOT} have (?:the|an) (?:exact |precise |correct )?(?:number|answer|count)"
        rf"(?: (?:to|for) (?:this|the|that) question)?|lacks {information}|"
        rf"(?:seems|appears) not to know|{_CANNOT} (?:think|believe)(?: that)? {who} knows|"
        rf"(?:only|just|merely) knows? {part}|knows(?: [^,;.]+)?,? but not (?:how many )?(?:of|about|for) "
        rf"(?:all(?: of)?(?: (?:the|them|3|three|{noun}))+|the (?:third|other|last|rest|"
        rf"remaining)(?: ones?| {noun})?)|fails to know|pretends to know|"
        rf"acts as if {who} knows|(?:would (?:have|"
        rf"need)|needs|has) to (?:look|check|see|open|inspect)[^,]* (?:to|before {who}) knows?|"
        rf"knows nothing)(?: of| about| as to)?{about}{something}{about}"
    )
    nobody = (
        rf"(?:(?:nobody|no one|no-one) (?:knows|can know)|neither (?:{who}|i) nor (?:{who}|i) knows?|"
        rf"(?:seldom|rarely|in no way|by no means) does {who} know){something}(?:,? not even {who})?"
    )
    later = r"(?:after|once|when|if|by)(?: (?!and\b|but\b)[a-z0-9]+)+"
    would = (
        rf"{who} (?:would|will) (?:only know{something} {later}|know{something} only {later})|"
        rf"if {who} (?:knew|had known){something}, {who} would(?: have)? [a-z ]+|"
        rf"it(?:'s| is| remains)(?: still)? (?:unknown|not known|a mystery) to (?:{who}|her|him|"
        rf"them){something}"
    )
    can = rf"it(?:'s| is) (?:not possible|impossible) for {who} to know{something}"
    needed = (
        rf"(?:to know{something}, {who} (?:would (?:have|need)|needs|has) to [a-z ]+|"
        rf"until [a-z ]+, {who} {_CANNOT} know{something})"
    )
    unthinkable = (
        rf"(?:it(?:'s| is) (?:not (?:true|the case|possible)|impossible|false|untrue)|it isn't (?:true|"
        rf"the case|"
        rf"possible)|i (?:can't|cannot) imagine)(?: that)? {who} (?:does not|doesn't) know{something}"
    )
    count = r"(?:: (?:[0-3]|none|one|two|three|all(?: three| 3)?))?"
    lead = shapes.LEAD
    patterns = {
        "knows": rf"{lead}(?:{_TRUE} )?(?P<answer>{knows}){count}{end}",
        "unthinkable": rf"{lead}(?P<answer>{unthinkable}){end}",
        "ignorant": (
            rf"{lead}(?:{_TRUE} )?(?P<answer>{ignorant})(?:{end}|,? but (?P<beside>(?:{who}) [^.]+))"
        ),
        "disbelieved": rf"{lead}(?P<answer>{_FALSE} {knows}){end}",
        "nobody": rf"{lead}(?P<answer>{nobody}|{can}){end}",
        "needed": rf"{lead}(?P<answer>{needed}|{would})(?P<rest>)",
        "possible": (
            rf"{lead}{who} (?:might|may)(?: or may not)?(?: not)? know{something}.*|"
            rf"{who} may or may not know.*"
        ),
        "partial": partial,
        "counted": rf"{who}{adverbs} knows (?:that )?[0-3] of the (?:3|three) {noun} (?:(?:have|has) )?{has}",
        "how_could": rf"{lead}how (?:could|can|would|should) {who} (?:possibly )?know{something}",
        "why_not": (
            rf"{lead}why (?:(?:would|should) {who} not|(?:wouldn't|shouldn't) {who}) know{something}"
        ),
        "not_so": rf"(?:i think )?{who} {_CANNOT} (?:think|believe) so",
        "who": rf"{who}\b",
    }
    return HEADS | {name: re.compile(pattern) for name, pattern in patterns.items()}
