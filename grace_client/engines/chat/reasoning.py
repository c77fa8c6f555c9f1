"""Separates the reasoning of a model from its answer. Pure.

A format says which marks a model puts between the two. The texts contain the special tokens, and begin where
the template's last turn begins, so that they include a block that the template opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

OPEN, CLOSE = "<think>", "</think>"
START, CHANNEL, MESSAGE, CONSTRAIN = "<|start|>", "<|channel|>", "<|message|>", "<|constrain|>"
ENDS = ("<|end|>", "<|return|>", "<|call|>")

_HEADS = re.compile(f"({re.escape(START)}|{re.escape(CHANNEL)})")
_BREAKS = re.compile("|".join(map(re.escape, (*ENDS, MESSAGE, CONSTRAIN))))

Status = Literal["ok", "reasoning_unfinished", "no_answer"]


@dataclass(frozen=True, slots=True)
class Turn:
    """A model's turn, split into answer and reasoning.

    Attributes
    ----------
    answer : str
        Empty unless the status is ``"ok"``. It is also empty if the model wrote nothing.
    reasoning : str or None
        The reasoning; None if there is none.
    status : str
        ``"ok"``; ``"reasoning_unfinished"`` if the reasoning never ended; ``"no_answer"`` if it ended and
        no answer followed.
    """

    answer: str
    reasoning: str | None = None
    status: Status = "ok"


@dataclass(frozen=True, slots=True)
class ReasoningFormat:
    """How a family of models marks its reasoning.

    Attributes
    ----------
    name : str
        Name in manifests.
    opens : str
        The text that begins a turn or a block.
    mark : str
        The text right before every answer.
    gap : str
        The text between the mark and the first word of the answer, as the models write it.
    nests : bool
        Whether the mark may come several times before the answer.
    read : callable
        Splits a turn. Its second argument says whether the limit on tokens cut the turn off.
    """

    name: str
    opens: str
    mark: str
    gap: str
    nests: bool
    read: Callable[[str, bool], Turn]

    def begun(self, suffix: str) -> str:
        """The part of a template's ending that belongs to the turn that the model continues."""
        return suffix[suffix.rfind(self.opens) :] if self.opens in suffix else ""

    def answer_at(self, ids: Sequence[int], mark: Sequence[int]) -> int | None:
        """Position of the answer in the token ids of a turn; None if `mark` is not in them."""
        ends = [
            end for end in range(len(mark), len(ids) + 1) if list(ids[end - len(mark) : end]) == list(mark)
        ]
        return ends[-1 if self.nests else 0] if ends else None


def split_turn(
    text: str | None,
    thoughts: str | None = None,
    *,
    form: ReasoningFormat | None = None,
    begun: str = "",
    cut: bool,
) -> Turn:
    """Split what a model wrote into its answer and its reasoning.

    Parameters
    ----------
    text : str or None
        The text of the model, or the field that the server calls the answer.
    thoughts : str or None
        The field that the server calls reasoning, if the server separates the two itself.
    form : ReasoningFormat, optional
        Default: think blocks, if there are any.
    begun : str
        The part of this turn that the prompt already contains, see `ReasoningFormat.begun`.
    cut : bool
        Whether the limit on tokens cut the text off.
    """
    text = text or ""
    if begun.rstrip().endswith(OPEN) and text.lstrip().startswith(OPEN):
        # The model repeats the tag that its template has written.
        text = text.lstrip().removeprefix(OPEN)
    turn = (form or THINK).read(begun + text, cut)
    if thoughts is None:
        return turn
    whole = "\n".join(part for part in (thoughts.strip(), turn.reasoning) if part)
    if turn.status == "ok" and not turn.answer:
        return Turn("", whole, "reasoning_unfinished" if cut else "no_answer")
    return Turn(turn.answer, whole, turn.status)


def format_of(suffix: str) -> ReasoningFormat | None:
    """The format of the reasoning that a template's ending opens; None if it opens none."""
    if suffix.endswith(f"{START}assistant"):
        return HARMONY
    return THINK if suffix.rstrip().endswith(OPEN) else None


def answer_lead(suffix: str, form: ReasoningFormat | None = None) -> str:
    """The text to add to a template's ending so that the next token is the answer and not reasoning.

    The text closes the reasoning, in the model's own format, before it begins.

    Parameters
    ----------
    suffix : str
        The text of the chat template after the prompt.
    form : ReasoningFormat, optional
        The format of a model that opens its reasoning itself. Default: reasoning is closed only if the
        template opens it.
    """
    leads = format_of(suffix)
    if leads is HARMONY:
        return HARMONY.mark
    if leads is THINK:
        return ("" if suffix.endswith("\n") else "\n") + f"\n{CLOSE}{THINK.gap}"
    if form is THINK and not suffix.rstrip().endswith(CLOSE):
        return f"{OPEN}\n\n{CLOSE}{THINK.gap}"
    return ""


def _read_think(turn: str, cut: bool) -> Turn:
    """Blocks may be nested, and the first may lack its opening tag. The answer follows the last block."""
    whole = _without_part(turn, (OPEN, CLOSE)) if cut else turn
    part = turn[len(whole) :]
    depth, rest, blocks = 0, whole, list[str]()
    while found := [(at, tag) for tag in (OPEN, CLOSE) if (at := rest.find(tag)) >= 0]:
        at, tag = min(found)
        before, rest = rest[:at], rest[at + len(tag) :]
        if tag == CLOSE:
            depth = max(0, depth - 1)
        else:
            depth += 1
        blocks.append(before)
    if not blocks:
        # A text that ends within its first tag has no answer yet.
        if part and (not whole.strip() or part.startswith("</t")):
            return Turn("", whole.strip() or None, "reasoning_unfinished")
        return Turn(turn)
    if depth:
        return Turn("", _joined([*blocks, rest]), "reasoning_unfinished")
    if not rest.strip():
        return Turn("", _joined(blocks), "reasoning_unfinished" if cut else "no_answer")
    return Turn(rest.strip(), _joined(blocks))


def _read_harmony(turn: str, cut: bool) -> Turn:
    """Messages to the user on the channel `final` are the answer. All others are kept as reasoning."""
    if cut:
        turn = _without_part(turn, (START, CHANNEL, MESSAGE, CONSTRAIN, *ENDS))
    answers = list[str]()
    parts = _HEADS.split(turn)
    # Text before the first header is kept as reasoning.
    role, thoughts = "", [_body(parts[0])]
    for mark, part in zip(parts[1::2], parts[2::2], strict=True):
        header, begun, body = part.partition(MESSAGE)
        words = [*role.split(), *header.replace(CONSTRAIN, " ").split()]
        role = header if mark == START and not begun else ""
        # A header that never ended has no message.
        if begun:
            addressed = any(word.startswith("to=") for word in words)
            final = mark == CHANNEL and header.split()[:1] == ["final"] and not addressed
            (answers if final else thoughts).append(_body(body))
    answers = [text for text in answers if text]
    if not answers:
        return Turn("", _joined(thoughts), "reasoning_unfinished" if cut else "no_answer")
    return Turn("\n".join(answers), _joined(thoughts))


def _body(text: str) -> str:
    """A message up to its end, or up to a mark that cannot be part of it."""
    return _BREAKS.split(text, maxsplit=1)[0].strip()


def _without_part(text: str, marks: Sequence[str]) -> str:
    """A text without the incomplete mark at its end."""
    for mark in marks:
        for length in range(len(mark) - 1, 0, -1):
            if text.endswith(mark[:length]):
                return text[:-length]
    return text


def _joined(blocks: Sequence[str]) -> str | None:
    return "\n".join(block.strip() for block in blocks if block.strip()) or None


THINK = ReasoningFormat("think", opens=OPEN, mark=CLOSE, gap="\n\n", nests=True, read=_read_think)
HARMONY = ReasoningFormat(
    "harmony", opens=START, mark=f"{CHANNEL}final{MESSAGE}", gap="", nests=False, read=_read_harmony
)
FORMATS = {form.name: form for form in (THINK, HARMONY)}
