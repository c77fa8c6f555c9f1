"""Whether a chat template prints several turns as they are, and its own system text. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

from grace_client.core.errors import ItemError
from grace_client.core.questions import Prompt, Turn
from grace_client.engines.chat.dates import pinned

REFUSED = "turns_refused"
"""Status of a prompt whose turns the chat template cannot print as they are."""

EDGE = "\t"
"""White space around the texts of a probe. It shows whether the template cuts white space off."""

PROBE = "What did Oriel leave beside lantern"
"""Beginning of the texts of a probe. No template contains it."""

_MARK = re.compile(r"<[^<>\s]+>|\[/?\w+\]")
_ROLES = "system|developer|user|assistant|model|human|ai|bot|instructions?|input|question"
_LABEL = re.compile(
    rf"(^|(?<=[.!?])\s)\W*({_ROLES}|(\w+ ){{1,2}}({_ROLES}):)\W*$", re.IGNORECASE | re.MULTILINE
)
"""Names of roles, alone in a line or after the last sentence: "user", "### Input:", "GPT4 User:"."""

Messages = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The template refuses some messages.

    Attributes
    ----------
    words : str
        Its own words, or the server's.
    """

    words: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """How a chat template prints the turns of prompts with the same roles.

    Attributes
    ----------
    without_system : bool
        Whether an empty system turn is left out, because the template prints no system text of its own.
    around : tuple of str
        The text before the first turn that is sent, between the turns, and after the last one.
    keeps : tuple of (bool, bool)
        For each turn that is sent: whether white space at the beginning and at the end of its text is kept.
    """

    without_system: bool
    around: tuple[str, ...]
    keeps: tuple[tuple[bool, bool], ...]

    def messages(self, prompt: Prompt) -> Messages:
        """The chat messages to send."""
        return prompt.messages[1:] if self.without_system else prompt.messages

    def written(self, prompt: Prompt) -> str:
        """The prompt as the template prints it."""
        parts = [self.around[0]]
        for message, keeps, after in zip(self.messages(prompt), self.keeps, self.around[1:], strict=True):
            text = message["content"]
            text = text if keeps[0] else text.lstrip()
            parts += [text if keeps[1] else text.rstrip(), after]
        return "".join(parts)

    def dated(self, today: date, day: date) -> Conversation:
        """The same on another day: the template prints `day` instead of `today`."""
        return replace(self, around=tuple(pinned(text, today, day) for text in self.around))


def structure(prompt: Prompt) -> tuple[str, ...]:
    """What a template treats alike: the roles, and whether the system text is switched off."""
    return tuple(turn.role if turn.text or turn.role != "system" else "no system" for turn in prompt.turns)


def probe(prompt: Prompt) -> Prompt:
    """A prompt of the same structure, with texts that are easy to find in what the template prints."""
    turns = tuple(
        turn if switched_off(turn) else Turn(turn.role, f"{EDGE}{PROBE} {number}?{EDGE}")
        for number, turn in enumerate(prompt.turns, 1)
    )
    return replace(prompt, text="\n\n".join(turn.text for turn in turns if turn.text), turns=turns)


def switched_off(turn: Turn) -> bool:
    """Whether a turn switches off the model's own system text."""
    return turn.role == "system" and not turn.text


def to_render(probed: Prompt) -> list[Messages]:
    """The messages whose renderings `examined` needs: all, and without the system turn if there is one."""
    whole = probed.messages
    return [whole, whole[1:]] if whole[0]["role"] == "system" else [whole]


def examined(
    probed: Prompt, rendered: Sequence[str | Refusal], suffix: str, name: str, remedy: str
) -> Conversation:
    """How the template prints the turns of a probe.

    Parameters
    ----------
    probed : Prompt
        From `probe`.
    rendered : sequence of str or Refusal
        The renderings of the messages of `to_render`.
    suffix : str
        What the template prints after a prompt of one turn.
    name : str
        Name of the model, for errors.
    remedy : str
        How the user can give the model another template, for errors.

    Raises
    ------
    ItemError
        With the status `REFUSED`, if the template does not print every turn once, in order, and then
        `suffix`, or cannot leave its own system text out. The message says what the study can do instead.
    """
    whole, without = rendered[0], rendered[-1]
    sent, left_out = whole, False
    if switched_off(probed.turns[0]):
        own = _own(without)
        if own and (isinstance(whole, Refusal) or _own(whole)):
            raise ItemError(
                REFUSED,
                f"The study switches the model's own system text off, but the chat template of {name} always "
                f"prints one: {_short(own)}. Leave 'system: null' out of the study file, which keeps this "
                f"text, or use a template without it. {remedy}",
            )
        left_out = not own
        sent = without if left_out else whole
    if isinstance(sent, Refusal):
        blamed = probed.turns[0] if isinstance(without, str) else None
        raise _refused(probed, name, f"does not take {{}} ({_short(sent.words)})", blamed)
    turns = [turn for turn in probed.turns if turn.text]
    places = [sent.find(turn.text.strip(EDGE)) for turn in turns]
    for turn, place, after in zip(turns, places, [*places[1:], len(sent)], strict=True):
        if place < 0 or place > after >= 0:
            raise _refused(probed, name, "does not print {} at its place", turn)
        if sent.count(turn.text.strip(EDGE)) > 1:
            raise _refused(probed, name, "prints {} more than once", turn)
    around, keeps, end = list[str](), list[tuple[bool, bool]](), 0
    for turn, place in zip(turns, places, strict=True):
        around.append(sent[end:place])
        end = place + len(turn.text.strip(EDGE))
        keeps.append((around[-1].endswith(EDGE), sent.startswith(EDGE, end)))
    around = [text.removeprefix(EDGE).removesuffix(EDGE) for text in (*around, sent[end:])]
    if around[-1] != suffix:
        raise ItemError(
            REFUSED,
            f"The chat template of {name} ends {_listed(probed)} with {around[-1]!r}, and a single question "
            f"with {suffix!r}, so grace cannot tell where the answer begins. In the study file, "
            "write the whole conversation into one 'prompt'",
        )
    if not probed.turns[0].text and not left_out:
        # Nothing is printed for the text of an empty system turn that is sent.
        around.insert(0, "")
        keeps.insert(0, (True, True))
    return Conversation(left_out, tuple(around), tuple(keeps))


def preamble(prefix: str) -> str:
    """The text that a chat template itself puts before the first turn: the model's default system text.

    Parameters
    ----------
    prefix : str
        What the template prints before a question, such as `EngineInfo.prompt_prefix`.

    Returns
    -------
    str
        Without marks and names of roles; empty if the template has no text of its own.
    """
    text = _LABEL.sub("", _MARK.sub("\n", prefix)).strip()
    return text if any(map(str.isalnum, text)) else ""


def _own(rendered: str | Refusal) -> str:
    """The template's own text before the first text of a probe."""
    return "" if isinstance(rendered, Refusal) else preamble(rendered.partition(PROBE)[0])


def _refused(probed: Prompt, name: str, how: str, blamed: Turn | None) -> ItemError:
    """The error of turns that the template cannot print; `how` has a place for the turn, or for all."""
    roles = [turn.role for turn in probed.turns if turn.role != "system"]
    what = _listed(probed)
    if blamed is not None:
        what = f"turn {probed.turns.index(blamed) + 1} of {what}"
    if blamed is not None and blamed.role == "system":
        what, then = "a system turn", "put its text at the beginning of the first turn of the user"
    elif roles[0] != "user":
        then = "begin with a turn of the user"
    elif any(one == after for one, after in pairwise(roles)):
        then = "join neighbouring turns of the same role, so that user and assistant alternate"
    else:
        then = "write the whole conversation into one 'prompt'"
    done = how.replace("{}", what, 1)
    return ItemError(REFUSED, f"The chat template of {name} {done}. In the study file, {then}")


def _listed(prompt: Prompt) -> str:
    return f"the turns {', '.join(turn.role for turn in prompt.turns)}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 120 else f"{line[:119]}…")
