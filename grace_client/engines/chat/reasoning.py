"""What a reasoning model thinks, apart from what it answers. Pure.

A format says with which marks a model separates the two. Texts are read with special tokens written out, and
begin where the template's last turn begins, so that a block which the template opened is seen.
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
    """A model's turn, taken apart.

    Attributes
    ----------
    answer : str
        Empty unless the status is ``"ok"``, or the model thought nothing and said nothing.
    reasoning : str or None
        What it thought; None where there is nothing of the kind.
    status : str
        ``"ok"``; ``"reasoning_unfinished"`` where the reasoning never ended; ``"no_answer"`` where it ended
        and nothing came after it.
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
        As manifests call it.
    opens : str
        What a turn or a block begins with.
    mark : str
        What stands right before every answer.
    gap : str
        What comes between that and the first word, as the models write it.
    nests : bool
        Whether the mark may come several times before the answer.
    read : callable
        From a turn, and whether a bound on its length cut it off, to its parts.
    """

    name: str
    opens: str
    mark: str
    gap: str
    nests: bool
    read: Callable[[str, bool], Turn]

    def begun(self, suffix: str) -> str:
        """The part of a template's ending that belongs to the turn which the model goes on with."""
        return suffix[suffix.rfind(self.opens) :] if self.opens in suffix else ""

    def answer_at(self, ids: Sequence[int], mark: Sequence[int]) -> int | None:
        """Where, in the token ids of a turn, its answer begins; None where `mark` is not in them."""
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
        What the model wrote, or what a server gives as the answer.
    thoughts : str or None
        What a server gives as reasoning, where it tells the two apart itself.
    form : ReasoningFormat, optional
        Default: think blocks, where there are any.
    begun : str
        What the prompt already holds of this turn, see `ReasoningFormat.begun`.
    cut : bool
        Whether the bound on its length ended the text.
    """
    text = text or ""
    if begun.rstrip().endswith(OPEN) and text.lstrip().startswith(OPEN):
        # The model repeats the tag that its template has written.
        text = text.lstrip().removeprefix(OPEN)
    said = (form or THINK).read(begun + text, cut)
    if thoughts is None:
        return said
    whole = "\n".join(part for part in (thoughts.strip(), said.reasoning) if part)
    if said.status == "ok" and not said.answer:
        return Turn("", whole, "reasoning_unfinished" if cut else "no_answer")
    return Turn(said.answer, whole, said.status)


def format_of(suffix: str) -> ReasoningFormat | None:
    """The format into which a template's ending leads; None where it leads straight to the answer."""
    if suffix.endswith(f"{START}assistant"):
        return HARMONY
    return THINK if suffix.rstrip().endswith(OPEN) else None


def answer_lead(suffix: str, form: ReasoningFormat | None = None) -> str:
    """What must follow a template's ending so that the next token is the answer and not a thought.

    The reasoning is closed, in the words of the model's own format, before it began.

    Parameters
    ----------
    suffix : str
        What the chat template puts after the prompt.
    form : ReasoningFormat, optional
        The format of a model that opens its reasoning itself. Default: reasoning is closed only where the
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
    """Blocks may be nested, and the first may have begun unseen; what follows the last is the answer."""
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
        # A text that breaks off within its first tag was about to think, or had done so unmarked.
        if part and (not whole.strip() or part.startswith("</t")):
            return Turn("", whole.strip() or None, "reasoning_unfinished")
        return Turn(turn)
    if depth:
        return Turn("", _joined([*blocks, rest]), "reasoning_unfinished")
    if not rest.strip():
        return Turn("", _joined(blocks), "reasoning_unfinished" if cut else "no_answer")
    return Turn(rest.strip(), _joined(blocks))


def _read_harmony(turn: str, cut: bool) -> Turn:
    """Only messages to the user on the channel `final` are the answer; all others are kept as reasoning."""
    if cut:
        turn = _without_part(turn, (START, CHANNEL, MESSAGE, CONSTRAIN, *ENDS))
    answers = list[str]()
    parts = _HEADS.split(turn)
    # Words before any header are kept, but are no answer.
    role, thoughts = "", [_body(parts[0])]
    for mark, part in zip(parts[1::2], parts[2::2], strict=True):
        header, begun, body = part.partition(MESSAGE)
        words = [*role.split(), *header.replace(CONSTRAIN, " ").split()]
        role = header if mark == START and not begun else ""
        # A header that never ended says nothing.
        if begun:
            addressed = any(word.startswith("to=") for word in words)
            final = mark == CHANNEL and header.split()[:1] == ["final"] and not addressed
            (answers if final else thoughts).append(_body(body))
    answers = [text for text in answers if text]
    if not answers:
        return Turn("", _joined(thoughts), "reasoning_unfinished" if cut else "no_answer")
    return Turn("\n".join(answers), _joined(thoughts))


def _body(text: str) -> str:
    """A message up to its end, or to a mark that has no place in it."""
    return _BREAKS.split(text, maxsplit=1)[0].strip()


def _without_part(text: str, marks: Sequence[str]) -> str:
    """A text without the beginning of a mark in which it was cut off."""
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
