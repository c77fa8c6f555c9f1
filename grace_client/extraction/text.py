"""Prepare a response for the rules: one spelling for equal characters, and blanks for all but the answer.

No step changes the length, so that positions in the prepared text are positions in the response.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from grace_client.extraction import turns

_SPELLING = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201b\u02bc\u00b4`\u2032", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb\u2033", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
    | dict.fromkeys("*_#~\u2022", " ")
)
SENTENCES = re.compile(r"(?:[^.!?\n]|[.!?](?=[^\s'\")]))+[.!?'\")]*", re.DOTALL)
_QUOTE_MARK = re.compile(r"^[ \t]*>(?=\s)", re.MULTILINE)
_THOUGHT = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>|\A.*</think(?:ing)?>", re.DOTALL)
_UNCLOSED = re.compile(r"<think(?:ing)?>.*\Z", re.DOTALL)
_LIST = re.compile(r"^[ \t]*(\d{1,2})[.)](?=[ \t]+\S)", re.MULTILINE)
_CLAUSE = re.compile(
    r"[,;:\n]|\s-+\s|-{2,}|[.!?]+(?=\s|$)"
    r"|\b(?:but|so|because|since|although|though|while|therefore|thus|hence|meaning)\b"
)
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")

_FOREIGN_WORDS = (
    "que creo los las el lo sé se una uno dos tres ninguno todos sí si es fue está están sepa pienso "
    "ich glaube dass nicht und der das ein eine ist sind war gut zwei drei keine alle ja nein es weiß "
    "je pense deux trois oui non le les il elle ne pas est était c'était bien aucun tous "
    "sim não acho são bom foi credo sono tutti nessuno bene buono era che"
)
_ENGLISH_WORDS = (
    "the i i'm i'd of is are it it's she he they think have has that because yes all one two three none them "
    "not know knows would was wasn't wasnt answer what to and you and my this there say says so probably "
    "good bad terrible amazing"
)
_FOREIGN, _ENGLISH = frozenset(_FOREIGN_WORDS.split()), frozenset(_ENGLISH_WORDS.split())

HEDGE = re.compile(
    r"\b(?:i|we|you|one)\s(?:really\s)?(?:do not|don't|dont|cannot|can't|can not|could not|couldn't)\s"
    r"(?:\w+ly\s)?(?:know|tell|say|determine|be\s(?:\w+\s)?(?:sure|certain))\b"
    r"|(?:^\s*|[.;\n]\s*|\b(?:i'm|i am|im|we are|it is|it's|that is)\s)"
    r"(?:not\s(?:\w+\s){0,2}?(?:sure|certain)"
    r"|unsure|uncertain|unclear|unknown)\b"
    r"|\b(?:it|that)\s(?:all\s)?depends\b"
    r"|\b(?:hard|difficult|impossible)\sto\s(?:\w+\s)?(?:say|know|tell|determine|be)\b"
    r"|\b(?:not enough|insufficient)\sinformation\b|\bno\s(?:idea|way\sto\s(?:know|tell))\b|\bidk\b"
    r"|\b(?:cannot|can't)\sbe\s(?:known|determined)\b"
)
REFUSAL = re.compile(
    r"\bas an? (?:ai|large language model|language model)\b|\bi(?:'m| am) (?:just |only )?an ai\b"
    r"|\bi(?:'m| am)\s(?:unable|not able)\sto\b"
    r"|\bi\s(?:can't|cannot|can not|won't|will not|refuse to|must decline to|decline to)\s(?:\w+ly\s)?"
    r"(?:answer|help|assist|provide|do|speculate|comment|choose|give|look|respond|engage|comply|fulfil+|express)\b"
)


@dataclass(frozen=True)
class Text:
    """A response, prepared.

    Attributes
    ----------
    plain : str
        The response in small letters, with ASCII quotation marks, apostrophes and dashes, without marks of
        emphasis. There are blanks instead of reasoning, list numbers, repeated parts of the prompt, and
        everything after the first answer (`turns.first`).
    echoed : bool
        Whether the response repeats a part of the prompt.
    unclosed : bool
        Whether the response has reasoning that does not end.
    cut : bool
        Whether the answer was cut at its maximum length.
    as_written : str
        The response with the same blanks, but with its own letters and marks.
    """

    plain: str
    echoed: bool = False
    unclosed: bool = False
    cut: bool = False
    as_written: str = ""

    @classmethod
    def of(
        cls, response: str, prompt: str = "", *, cut: bool = False, keep: re.Pattern[str] | None = None
    ) -> Text:
        """Prepare a response to a prompt.

        Parameters
        ----------
        response, prompt : str
            The texts as received and sent.
        cut : bool
            Whether the response was cut at its maximum length.
        keep : re.Pattern, optional
            Sentences of the prompt that can also be answers. They become blanks only after another repeated
            sentence.
        """
        whole = spelled(response)
        plain = _THOUGHT.sub(_blank, whole)
        unclosed = _UNCLOSED.search(plain) is not None
        plain = _QUOTE_MARK.sub(_blank, _UNCLOSED.sub(_blank, plain))
        if len({match[1] for match in _LIST.finditer(plain)}) > 1:
            plain = _LIST.sub(_blank, plain)
        said, echoed = _without_echoes(plain, spelled(prompt), keep)
        start, end = turns.first(plain, said)
        went_on = any(char.isalnum() for char in plain[end:])
        said = re.sub(r"[^\n]", " ", said[:start]) + said[start:end] + re.sub(r"[^\n]", " ", said[end:])
        written = "".join(
            char if was == now else now for char, was, now in zip(response, whole, said, strict=True)
        )
        return cls(said, echoed, unclosed, cut and not went_on, written)

    @property
    def said(self) -> bool:
        """Whether the prepared text has a letter or a digit."""
        return any(char.isalnum() for char in self.plain)

    @property
    def foreign(self) -> bool:
        """Whether the text is probably not English, from its common words."""
        letters = [char for char in self.plain if char.isalpha()]
        if (
            sum(not unicodedata.name(char, "LATIN").startswith("LATIN") for char in letters)
            > len(letters) / 2
        ):
            return True
        words = _WORD.findall(self.plain)
        foreign = sum(word in _FOREIGN for word in words)
        return foreign > sum(word in _ENGLISH for word in words)

    def finished(self, end: int) -> bool:
        """Whether the clause with the position `end` is complete, although the response may be cut."""
        return not self.cut or _CLAUSE.search(self.plain, end) is not None


def first_answer(response: str, prompt: str = "") -> str:
    """A response up to the end of its first answer (`turns.first`), without other changes.

    Parameters
    ----------
    response, prompt : str
        The texts as received and sent.
    """
    plain = _QUOTE_MARK.sub(_blank, _THOUGHT.sub(_blank, spelled(response)))
    said, _ = _without_echoes(plain, spelled(prompt), None)
    return response[: turns.first(plain, said)[1]].rstrip()


def spelled(text: str) -> str:
    """The text in small letters, with compatible characters and ASCII marks; its length does not change."""

    def one(char: str) -> str:
        same = unicodedata.normalize("NFKC", char).lower()
        return same if len(same) == 1 else char

    return "".join(one(char) for char in text.translate(_SPELLING)).translate(_SPELLING)


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def words_of(sentence: str) -> str:
    """The words of a sentence, without the word that announces a question."""
    return " ".join(re.findall(r"\w+", sentence)).removeprefix("question ").removeprefix("statement ")


def _sentences(text: str) -> Iterator[str]:
    for match in SENTENCES.finditer(text):
        yield words_of(match[0])
        # Direct speech within a sentence counts as another sentence.
        if ": '" in match[0]:
            yield words_of(match[0].split(": '", 1)[1])


def _without_echoes(plain: str, prompt: str, keep: re.Pattern[str] | None) -> tuple[str, bool]:
    of_prompt = {sentence for sentence in _sentences(prompt) if sentence.count(" ") > 1}
    answers = {sentence for sentence in of_prompt if keep and keep.fullmatch(sentence)}
    spans: list[tuple[int, int]] = []
    behind = False
    for match in SENTENCES.finditer(plain):
        words = words_of(match[0])
        if words:
            behind = words in of_prompt and (behind or words not in answers)
            spans += [match.span()] if behind else []
    for start, end in spans:
        plain = plain[:start] + re.sub(r"[^\n]", " ", plain[start:end]) + plain[end:]
    return plain, bool(spans)
