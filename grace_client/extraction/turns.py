"""Find the end of the first answer of a response. Later text of the model does not count as an answer.

If a model does not stop, it writes marks of its chat template ("<|im_end|>") or another turn ("Question:",
"User:"). The functions here need a text that `grace_client.extraction.text` has prepared.
"""

from __future__ import annotations

import re

_MARKS = re.compile(
    r"<\|[^|>\n]{1,40}\|>|</?s>|<(?:start|end)[ _]of[ _](?:turn|utterance)>|<[be]os>|\[/?inst\]|<</?sys>>"
)
_OWN_START = re.compile(
    r"\s*(?:<s>|<bos>|<\|begin[ _]of[ _]text\|>|\[/inst\]|<\|assistant\|>"
    r"|(?:<\|im[ _]start\|>|<\|start[ _]header[ _]id\|>|<start[ _]of[ _]turn>)\s*(?:assistant|model)\b"
    r"(?:\s*<\|end[ _]header[ _]id\|>)?|(?:assistant|model|ai)\s*:)\s*"
)
"""Marks at the beginning of the answer's own turn."""

_OTHERS = r"user|human|instructions?|prompt|input|exercise|problem|assistant|ai|system"
_ASKING = r"(?:(?:new|next|follow-up)\s+)?question(?:\s*\d+)?|q\d*"
_TURN = re.compile(
    rf"^[ \t>\"'(\[]*(?:{_ASKING}|(?P<other>{_OTHERS}))[ \t\])]*(?::|$)"
    r"|(?<=[.!?])[ \t]+(?:question|q|user|human)[ \t]*:",
    re.MULTILINE,
)
_ANSWER = re.compile(r"^[ \t>\"'(\[]*(?:answer|a)\d*[ \t]*:", re.MULTILINE)
_ASKED = re.compile(r"\?[\"')\s]*\Z")


def first(plain: str, said: str) -> tuple[int, int]:
    """The beginning and the end of the first answer.

    Parameters
    ----------
    plain : str
        The prepared response.
    said : str
        The prepared response with blanks instead of repeated parts of its prompt. A repeated question before
        any answer is not a new turn.

    Returns
    -------
    (int, int)
        The answer, as a Python slice of both texts.
    """
    start = 0
    while own := _OWN_START.match(plain, start):
        start = own.end()
    places = [m.start() for m in _MARKS.finditer(plain, start)]
    places += [
        m.start() for m in _TURN.finditer(plain, start) if m["other"] or _content(said[start : m.start()])
    ]
    places += _next_answers(plain, said, start)
    return start, min(places, default=len(plain))


def _next_answers(plain: str, said: str, start: int) -> list[int]:
    """Positions at which another answer is announced, or at which the paragraph with its question begins."""
    found, announced = list[int](), False
    for match in _ANSWER.finditer(plain, start):
        before = plain[start : match.start()].rstrip()
        paragraph = start + before.rfind("\n\n") + 1
        if _ASKED.search(before) and _content(said[start:paragraph]):
            found.append(paragraph)
        elif announced and _content(said[start : match.start()]):
            found.append(match.start())
        announced = True
    return found


def _content(text: str) -> bool:
    """Whether a text has more than the words that announce an answer."""
    return any(char.isalnum() for char in re.sub(_ANSWER, "", re.sub(_TURN, "", text)))
