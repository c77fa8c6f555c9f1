"""Whether a question reaches the model unchanged, read back from its token ids. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from grace_client.core.errors import SpecError

_STORY = (
    "Lena keeps a row of clay jars on the long shelf behind her workshop. Early this morning she left Tomas "
    "a note which says that two of the five jars by the window hold honey, that the tall one near the door "
    "stands empty, and that nobody has opened the others since the frost. Tomas reads the note twice, puts "
    "it into his coat, walks down to the river with his sister, and only comes back when it is already "
    "dark. On the way home they talk about the market, about the new bridge, and about what is on the "
    "shelf. He has not looked into any of the jars himself. "
)
PROBES = (
    f"{_STORY}How many of the five jars does Tomas think hold honey? Answer with one number.\nAnswer:",
    f"{_STORY}Does Tomas know which of the jars stands empty? Answer with yes or no.\nAnswer:",
)
"""Two questions as long as those of the studies, which differ near their ends."""

EDGE = 20
"""Number of characters by which the beginning or end of a question is recognised."""


def times(text: str, shown: str) -> int:
    """How often a text occurs in `shown`, a text that was decoded from token ids.

    Tokenizers may change the width, composition and case of characters, and white space. These changes are
    ignored.
    """
    return plain(shown).count(plain(text))


def misprint(turns: Sequence[str], shown: str) -> str:
    """What is wrong with the turns of a conversation in `shown`; empty if nothing is.

    Every turn must be there, in order and without overlap. The last turn, which is the question, must not be
    there more often than the turns contain it. This is not checked if it is shorter than `EDGE`, because a
    short text may occur in any other.
    """
    whole, texts, at = plain(shown), [plain(turn) for turn in turns], 0
    for number, text in enumerate(texts, 1):
        place = whole.find(text, at)
        if place < 0:
            return f"do not contain turn {number} of {len(texts)} at its place"
        at = place + len(text)
    question = texts[-1]
    expected = sum(text.count(question) for text in texts) if len(question) >= EDGE else 0
    if expected and (found := whole.count(question)) != expected:
        return f"contain the question {found} times instead of {expected}"
    return ""


def plain(text: str, *, spaces: bool = False) -> str:
    """A text without what tokenizers change: the width, composition and case of characters.

    White space is left out too, unless `spaces` keeps it.
    """
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(
        c for c in decomposed if (spaces and c.isspace()) or unicodedata.category(c)[0] not in "CMZ"
    )


def check(pairs: Sequence[tuple[str, Sequence[int], str]], what: str, remedy: str) -> None:
    """Check that questions reach the model whole, once, and as different tokens.

    Parameters
    ----------
    pairs : sequence of (str, sequence of int, str)
        Each question, its token ids, and the text decoded from them.
    what : str
        What turns the questions into tokens, such as ``"the chat template of gemma"``.
    remedy : str
        What the user can do next.

    Raises
    ------
    SpecError
        If they do not.
    """
    fault = ""
    for text, _, shown in pairs:
        if (found := times(text, shown)) != 1:
            fault = f"prints it {found} times" if found else _loss(text, shown)
            break
    else:
        if len({tuple(ids) for _, ids, _ in pairs}) < len({text for text, _, _ in pairs}):
            fault = "gives the same tokens for different questions"
    if fault:
        raise SpecError(
            f"{what} changes the question: it {fault}. The model would answer another question. {remedy}"
        )


def _loss(text: str, shown: str) -> str:
    asked, decoded = plain(text), plain(shown)
    begins, ends = asked[:EDGE] in decoded, asked[-EDGE:] in decoded
    if begins == ends:
        return "changes its words" if begins else "leaves it out"
    if begins:
        kept = next(n for n in range(len(asked), 0, -1) if asked[:n] in decoded)
        where = "after its first"
    else:
        kept = next(n for n in range(len(asked), 0, -1) if asked[-n:] in decoded)
        where = "before its last"
    return f"cuts it {where} {round(kept / len(asked) * len(text))} of {len(text)} characters"
