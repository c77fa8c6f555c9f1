"""Prompts, questions and free-text answers: what studies and engines exchange."""

from __future__ import annotations

from dataclasses import dataclass, replace

from grace_client.core.options import OptionSet

AT_ONCE = "Answer at once, without thinking first."
"""First sentence of the prompt if the prompt asks the model not to reason."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation.

    Attributes
    ----------
    role : str
        ``"system"``, ``"user"`` or ``"assistant"``.
    text : str
        What it says. A system turn without text switches the model's own system text off.
    """

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt: first the scenario, then the question.

    A model with a chat template gets the turns, or the text as one turn of the user. A base model gets the
    text as it is.

    Attributes
    ----------
    text : str
        The whole prompt, with the answer cue at its end. Of several turns: their texts, with empty lines
        between them.
    direct : bool
        Whether the answer begins directly after the prompt. Reasoning is then switched off, or an empty
        reasoning block is written.
    turns : tuple of Turn
        The turns, if the prompt is not one turn of the user.
    plain : bool
        Whether the model gets the text as it is, without its chat template.
    """

    text: str
    direct: bool = False
    turns: tuple[Turn, ...] = ()
    plain: bool = False

    def before(self, text: str) -> Prompt:
        """The prompt with a text before its question: the last turn of the user."""
        if not self.turns:
            return replace(self, text=text + self.text)
        last = self.turns[-1]
        turns = (*self.turns[:-1], replace(last, text=text + last.text))
        return replace(self, text="\n\n".join(turn.text for turn in turns if turn.text), turns=turns)

    @property
    def asked(self) -> str:
        """What the user asks: the last turn, or the whole text."""
        return self.turns[-1].text if self.turns else self.text

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt as chat messages."""
        turns = self.turns or (Turn("user", self.text),)
        return [{"role": turn.role, "content": turn.text} for turn in turns]


@dataclass(frozen=True, slots=True)
class Question:
    """One question of one trial.

    Attributes
    ----------
    name : str
        Its name within the experiment, such as ``"state2"`` or ``"knowledge"``.
    prompt : Prompt
        What is asked.
    options : OptionSet or None
        The options to score; None if the answer is free text.
    """

    name: str
    prompt: Prompt
    options: OptionSet | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw one free-text answer.

    Attributes
    ----------
    temperature : float
        Sampling temperature; 0 always takes the likeliest token.
    max_tokens : int
        Maximum length of reasoning and answer, in tokens. A longer text is cut: finish reason ``"length"``.
    seed : int
        Random seed of this answer only, between 0 and 2**31 - 1.
    stop : tuple of str
        Texts at which the answer ends; they are not part of it.
    """

    temperature: float
    max_tokens: int
    seed: int
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """One free-text answer.

    Attributes
    ----------
    text : str
        The answer, without special tokens; empty unless the status is ``"ok"``.
    finish_reason : str
        ``"stop"`` if the model or a stop text ended the answer, ``"length"`` if `max_tokens` cut it.
    reasoning : str or None
        The reasoning before the answer; None if there is none.
    prompt_ids, token_ids : tuple of int
        Token ids of the prompt, and of everything that was drawn: reasoning and answer.
    status : str
        ``"ok"``; ``"reasoning_unfinished"`` if the reasoning did not end; ``"no_answer"`` if nothing came
        after the reasoning.
    answer_at : int or None
        Index in `token_ids` at which the answer begins; None if no reasoning ends in them.
    """

    text: str
    finish_reason: str
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    reasoning: str | None = None
    status: str = "ok"
    answer_at: int | None = None
