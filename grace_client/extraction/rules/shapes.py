"""The parts of the rules that all questions share: sentences, and texts before and after an answer.

A rule reads a sentence only if the whole sentence fits a known shape. Any other sentence is unknown, and an
unknown sentence makes the answer unparsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from grace_client.extraction.reading import UNPARSED

Strength = Literal["bare", "announced", "own", "stated"]
"""How a sentence gives its answer: alone; announced as the answer; as an opinion; or as a statement."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a prepared answer, without markup and double spaces.

    Attributes
    ----------
    text : str
        The sentence without its final mark.
    at : tuple of int
        Position of each character in the answer.
    mark : str
        ``"."``, ``"!"``, ``"?"``, ``";"`` or nothing.
    """

    text: str
    at: tuple[int, ...]
    mark: str

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Start and end in the answer of a slice of the sentence."""
        return self.at[start], self.at[end - 1] + 1


@dataclass(frozen=True, slots=True)
class Said:
    """The meaning of one sentence.

    Attributes
    ----------
    kind : str
        ``"value"`` gives an answer; ``"unsure"`` says that there is none; ``"denied"`` excludes an answer;
        ``"reported"`` says what somebody saw or said; ``"harmless"`` does not matter.
    value : str
        The answer, or the excluded answer.
    span : (int, int) or None
        Start and end of the answer in the text.
    strength : str
        How the sentence gives its answer, see `Strength`.
    soft : bool
        Whether the sentence doubts its answer, or the answer was incomplete.
    weak : bool
        Whether it is an answer only if it stands alone: "Sure".
    """

    kind: Literal["value", "unsure", "denied", "reported", "harmless"]
    value: str = ""
    span: tuple[int, int] | None = None
    strength: Strength = "stated"
    soft: bool = False
    weak: bool = False


class Reader(Protocol):
    """Reads the sentences of the answers to one trial."""

    def read(self, sentence: Sentence) -> Said | None:
        """The meaning of a sentence; None if no shape fits the whole sentence."""
        ...

    def is_neutral(self, sentence: Sentence, value: str) -> bool:
        """Whether a sentence of no known shape leaves an answer with this value unchanged."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """How the answers to one question about one trial are read.

    Attributes
    ----------
    reader : Reader
        Reads their sentences.
    vague : callable
        Whether a text that fits no rule is about the question, without a clear answer.
    listed : callable
        Whether a text repeats the list of answers instead of giving one.
    unsure : str
        Structured value of an answer that says that the question cannot be decided.
    """

    reader: Reader
    vague: Callable[[str], bool]
    listed: Callable[[str], bool] = lambda _: False
    unsure: str = UNPARSED


HARMLESS = Said("harmless")
REPORTED = Said("reported")

_KEPT = frozenset(".,;:!?-()/%+=<>$'")
_TOKEN = re.compile(r"&[# ]?\w{2,5};|\\boxed|'{3}\w*|</?\w+>|\s*\n\s*|.", re.DOTALL)
_STRAY = re.compile(r"\$(?!\d)|>(?=\s)")
_BULLET = re.compile(r"(?:[ ,:.)]|[-+]+(?=\s))*")
_ENDS = re.compile(r"(?P<mark>[.!?;])[.!?;]*[)']*(?=\s|$)|\n")


def sentences(plain: str) -> list[Sentence]:
    """The sentences of a prepared answer that contain a letter or a digit."""
    chars, at = _clean(plain)
    found, start = list[Sentence](), 0
    for match in [*_ENDS.finditer(chars), None]:
        end = match.start() if match else len(chars)
        part = chars[start:end]
        left = start + _BULLET.match(part).end()  # type: ignore[union-attr]
        right = left + len(chars[left:end].rstrip(" ,-"))
        if chars[left:right].startswith("(") and ")" not in chars[left : right - 1]:
            left, right = left + 1, right - (chars[right - 1] == ")")
        if any(char.isalnum() for char in chars[left:right]):
            mark = (match["mark"] or "") if match else ""
            found.append(Sentence(chars[left:right], tuple(at[left:right]), mark))
        start = match.end() if match else end
    return found


def _clean(plain: str) -> tuple[str, list[int]]:
    chars, at = list[str](), list[int]()

    def put(char: str, place: int) -> None:
        if char == " " and (not chars or chars[-1] in " \n("):
            return
        while chars and (
            (chars[-1] == " " and char in ".,;:!?)\n") or (chars[-1] == "\n" and char in ".,;:!?")
        ):
            chars.pop()
            at.pop()
        chars.append(char)
        at.append(place)

    for match in _TOKEN.finditer(plain):
        token, place = match[0], match.start()
        if token in ("&#39;", "& 39;", "&apos;"):
            put("'", place)
        elif "\n" in token:
            # A line that ends with a colon or a comma continues in the next line.
            put(" " if chars and chars[-1] in ":," else "\n", place)
        elif (
            len(token) > 1
            or _STRAY.match(plain, place)
            or not (token.isalnum() or token in _KEPT)
            or (token == "'" and not _within_word(plain, place))
        ):
            put(" ", place)
        else:
            put(token, place)
    return "".join(chars), at


def _within_word(plain: str, place: int) -> bool:
    around = plain[place - 1 : place] + plain[place + 1 : place + 2]
    return len(around) == 2 and around.isalnum()


ADVERB = (
    r"(?:definitely|probably|certainly|clearly|likely|now|also|really|actually|already|surely|obviously|"
    r"indeed|most likely|almost certainly|apparently|presumably|therefore|thus|just|simply|still|truly|"
    r"honestly)"
)
FILLER = (
    r"(?:well|so|hmm+|hm|oh|ok|okay|sure|now|then|therefore|thus|hence|actually|honestly|overall|in short|"
    r"to sum up|in (?:sum|total|conclusion|the end|that case)|after (?:the|this|that) call|to be (?:honest|"
    r"fair)|sadly|frankly|unfortunately|and|also|but|finally|(?:great|good|interesting) question|hi|hello|"
    r"hey|wow|let me (?:see|think)|let's (?:see|think step by step|think)|as i see it|in my (?:opinion|view)|"
    r"(?:based on|according to|from|given) (?:the|this|that|her|his) (?:call|context|scenario|story|"
    r"(?:given |available )?information(?: (?:given|provided))?)|yes\s?(?:/|or)\s?no\??|here is my answer|"
    r"(?:(?:i'm|i am) )?sorry(?: (?:for|about) (?:the|any) (?:confusion|misunderstanding))?|however|"
    r"i(?:'m| am) afraid(?: that)?|in (?:a|one|two)(?: \w+)? (?:sentences?|words?)|"
    r"(?:that|this|it)(?:'s| is) an? (?:great|good|interesting|tricky) question)"
)
OPINION = (
    r"(?:(?:i|we)(?:'d|'ll| would| will| do| now| still| really| personally| just| honestly)* (?:think|"
    r"believe|guess|say|expect|estimate|assume|conclude|suspect|suppose|bet|reckon|go (?:with|for)|pick|"
    r"choose|answer)(?: that)?|i(?:'m| am)(?: fairly| pretty| quite| very| absolutely)? (?:sure|certain|"
    r"confident|convinced|inclined to (?:say|think)|guessing)(?: that)?|it(?:'s| is)(?: very| most| quite|"
    r" highly)? (?:likely|probable|clear|obvious|certain|true) that|"
    r"it (?:seems|appears|looks like)(?: to me)?(?: that)?)"
)
SURE = rf"(?:it(?:'s| is)(?: that)?|that(?:'s| is)|it must be|{ADVERB}|there (?:is|are|'s)|there's)"
SOFT = r"(?:maybe|perhaps|possibly)"
ANNOUNCED = (
    r"(?:(?:(?:the|my|our|final|best|correct|short|most likely|own|honest|full) )*(?:answer|guess|estimate|"
    r"number|total|result|choice|response|conclusion|option|prediction|sentence)(?: to (?:this|"
    r"the) question)?(?: ?(?:is|would be|must be|will be|[:=-]))+(?: that)?|a:|final:|"
    r"(?:so|thus|therefore|hence),? (?:in total|in all|altogether|overall))"
)
DOUBT = (
    r"(?:(?:i'm|i am) not (?:\w+ )?(?:sure|certain)|i (?:can't|cannot|can not) be (?:\w+ )?(?:sure|certain)|"
    r"i (?:don't|do not) (?:really )?know(?: for sure)?|not (?:exactly )?sure(?: why you ask)?|hard to say|"
    r"as an ai[^,.]*(?:, i have no [a-z ]+)?),? but(?=[ ,])"
)
LEAD = (
    rf"(?:(?>(?P<doubt>{DOUBT})|(?P<announced>{ANNOUNCED})|(?P<own>{OPINION})|(?P<soft>{SOFT})|{SURE}|"
    rf"{FILLER})"
    r"(?:,|:|\?| -)? )*"
)
"""Openings of an answer, in any number."""

TAIL_WORDS = (
    r"(?:,? (?:(?:i|we)(?:'d| would)? (?:think|believe|guess|suppose|say)|i(?:'m| am) (?:sure|certain|"
    r"confident)|(?:most )?probably|(?:most )?likely|definitely|in total|in all|altogether|overall|for sure|"
    r"now|then|indeed|at all))*"
)
REASON = (
    r"(?:because|since|as|given|based on|considering|due to|for the reason that|seeing that|having|that(?:'s|"
    r" is) what|which is|this is because|going by|judging by)"
)
REST = rf"(?P<rest>(?:,|:|;| -)? ?\(?{REASON}(?: [^()]+)?\)?)?"

_CONTRAST = re.compile(
    r"\b(?:but|however|although|though|yet|unless|if|except|or|maybe|perhaps|possibly|might|may|could|would|"
    r"should|wrong(?:ly)?|incorrect|false|lies?|lying|lied|unsure|doubt\w*|wait|instead|otherwise|kidding|"
    r"joking|unlikely|impossible|hardly|barely|until|whether|either|neither|mistaken?|joke|surpris\w+|"
    r"nonsense|opposite|sarcas\w+|as if|correction|scratch|rather|also|used to|suppos\w*|assum\w*|pretend\w*|"
    r"wish\w*|hop(?:e|es|ed|ing)|imagine|as far as|so far|as yet|as of|minimum|maximum|at (?:least|most)|"
    r"lower|upper|bound|disagree|(?:don't|do not|not|never) (?:believe|trust|agree|think)|you|your|my|made|"
    r"asked|meant|invent\w*|possible|plausible|unclear|answers?|guess)\b|\?"
)
_SUPPOSES = re.compile(rf"{LEAD}(?:suppose|imagine|assume|assuming|pretend|let us say|let's say|say that)\b")
_CHATTER = re.compile(
    rf"(?:{FILLER}(?:,? {FILLER})*|let me know if [a-z ]+|(?:i )?hope (?:this|that) helps|thank(?:s|"
    rf" you)[a-z ]*|"
    r"step \d+: (?:read|look|count)[a-z ]*|explanation:?|reasoning:?)"
)
_EXPLAINS = re.compile(rf"(?:(?:explanation|reason|reasoning): ?|{REASON} )")
_OF_ONESELF = re.compile(r"(?:i|we|you)\b")
_WORDS = re.compile(r"\w+")
SHORTEST = 4
"""Fewest words of a sentence that counts as an explanation. "As if." has too few."""


def list_mark(sentence: Sentence) -> bool:
    """Whether a sentence is only the number of a list: "1."."""
    return sentence.text.isdigit() and sentence.mark == "."


def supposes(sentence: Sentence) -> bool:
    """Whether a sentence asks to suppose something, so that the next sentences are hypothetical."""
    return _SUPPOSES.match(sentence.text) is not None


def contrasts(text: str) -> bool:
    """Whether a text may withdraw, doubt or limit the text before it."""
    return _CONTRAST.search(text) is not None


def chatter(sentence: Sentence) -> bool:
    """Whether a sentence has no content: "Great question!"."""
    return _CHATTER.fullmatch(sentence.text) is not None and sentence.text not in ("but", "however")


def explains(text: str) -> bool:
    """Whether a text gives a reason, or is long enough to be an explanation."""
    long = len(_WORDS.findall(text)) >= SHORTEST and not _OF_ONESELF.match(text)
    return _EXPLAINS.match(text) is not None or long


def strength_of(match: re.Match[str], alone: bool) -> Strength:
    """The strength of an answer, from the opening of its sentence, and whether it is `alone` in it."""
    if match["announced"]:
        return "announced"
    if match["own"]:
        return "own"
    return "bare" if alone else "stated"


def clauses(text: str) -> Iterator[tuple[str, int, str]]:
    """Every split of a sentence: the first clause, the start of the second one, and the joining word."""
    for match in re.finditer(
        r"(?:,|;|:)? (?:(?P<join>but|so|therefore|thus|hence|and so) |(?<=, ))|, ", text
    ):
        yield text[: match.start()], match.end(), match["join"] or ""
