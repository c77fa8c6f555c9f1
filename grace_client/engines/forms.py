"""The tokens of a text as it follows a prompt, without the space that some tokenizers add. Pure.

A tokenizer of the sentencepiece kind puts a space before every text, so that ``yes`` gets the token of
`` yes``. Behind a newline, the model writes ``yes`` with another token. An engine finds that one by
tokenising the text behind an anchor, and by reading the tokens back behind the prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from grace_client.core.errors import SpecError
from grace_client.engines.chat.prompt_check import plain

BEFORE, WORD = "Answer:", "yes"
"""Two texts, one behind the other. They show whether a tokenizer puts a space before a text."""

ANCHORS = (":\n", ":", "(")
"""Texts to tokenise a form behind. A tokenizer may join one of them with the form, but hardly all."""

DESCRIBED = {"forms": "in context"}
"""Entry of `EngineInfo.versions` for a tokenizer that puts a space before a text.

Answers of a grace that did not see this space have other keys, so that no run mixes both.
"""


ENDED = (
    "the tokenizer puts the token that ends a text behind the prompt, so the model would answer after its "
    "end. Set add_eos_token to false in the model's tokenizer_config.json"
)
"""Why a prompt without a chat template cannot be asked."""


def reads_back(text: str, before: str, whole: str) -> bool:
    """Whether tokens are a text behind another one.

    Tokenizers may change the width, composition and case of characters. White space must be the same.

    Parameters
    ----------
    text : str
        The text that the tokens should be.
    before : str
        The decoded tokens before it.
    whole : str
        All tokens decoded together.
    """
    found = whole.removeprefix(before)
    return whole.startswith(before) and plain(found, spaces=True) == plain(text, spaces=True)


def candidates(
    apart: Sequence[int], anchored: Iterable[tuple[Sequence[int], Sequence[int]]]
) -> list[list[int]]:
    """What the tokens of a text may be behind a prompt, each once.

    Parameters
    ----------
    apart : sequence of int
        Token ids of the text apart from any other.
    anchored : iterable of (sequence of int, sequence of int)
        Token ids of an anchor, and of the anchor with the text behind it. They count if the first begin the
        second: then no token reaches from the anchor into the text.
    """
    behind = (ids[len(anchor) :] for anchor, ids in anchored if list(ids[: len(anchor)]) == list(anchor))
    return [list(ids) for ids in dict.fromkeys(map(tuple, (apart, *behind))) if ids]


def chosen(text: str, found: Sequence[list[int]], before: str, wholes: Sequence[str], name: str) -> list[int]:
    """The first candidate that is the text behind the prompt.

    Parameters
    ----------
    text : str
        The text.
    found : sequence of list of int
        From `candidates`.
    before : str
        The prompt, decoded from its ids.
    wholes : sequence of str
        For each candidate, the ids of the prompt and the candidate decoded together.
    name : str
        Name of the model, for errors.

    Raises
    ------
    SpecError
        If there is none: the model cannot write this text there, or grace does not know with which tokens.
    """
    for ids, whole in zip(found, wholes, strict=True):
        if reads_back(text, before, whole):
            return ids
    read = ", ".join(dict.fromkeys(repr(whole.removeprefix(before)) for whole in wholes)) or "nothing"
    raise SpecError(
        f"grace cannot score {text!r} with {name}: the tokenizer gives no tokens for this text as it would "
        f"follow the prompt, which ends with {before[-20:]!r}. It puts a space before a text, and what it "
        f"gives reads back as {read}. Use another form, such as {' ' + text.strip()!r}, or another model"
    )
