"""What a study asks and an engine answers."""

from __future__ import annotations

from dataclasses import dataclass

from grace_client.core.options import OptionSet

AT_ONCE = "Answer at once, without thinking first."
"""What the prompt begins with where it tells the model not to reason."""


def kind(question: str) -> str:
    """The kind of a question: those whose names differ in a number alone, such as state0 to state3, are one.

    Kinds have different options and wordings, so that a mean over several kinds is true of none.
    """
    return question.rstrip("0123456789")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt, scenario first and question last.

    A model with a chat template gets the text as one user turn (Gemma-2 has no system turn, so none has
    one); a base model gets the text as it is.

    Attributes
    ----------
    text : str
        The whole prompt, up to and with the answer cue.
    direct : bool
        Whether the answer begins right behind the prompt: reasoning that the chat template or the model would
        begin there is switched off or closed.
    """

    text: str
    direct: bool = False

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt as chat messages."""
        return [{"role": "user", "content": self.text}]


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
        The closed answer set to score; None asks for free text.
    """

    name: str
    prompt: Prompt
    options: OptionSet | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one free-text answer is drawn.

    Attributes
    ----------
    temperature : float
        0 takes the likeliest token each time.
    max_tokens : int
        Bound on the length of answer and reasoning; a text cut by it has finish reason ``"length"``.
    seed : int
        Seed of this answer alone, between 0 and 2**31 - 1.
    stop : tuple of str
        Texts that end the answer where they come up; they are not part of it.
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
        ``"stop"`` where the model ended its turn or a stop text did, ``"length"`` where the bound cut it.
    reasoning : str or None
        What a reasoning model thought before it answered.
    prompt_ids, token_ids : tuple of int
        Token ids of the prompt, and of all that was drawn: reasoning and answer.
    status : str
        ``"ok"``; ``"reasoning_unfinished"`` where the reasoning never ended; ``"no_answer"`` where nothing
        came after it.
    answer_at : int or None
        Where in `token_ids` the answer begins; None where no reasoning ends in them.
    """

    text: str
    finish_reason: str
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    reasoning: str | None = None
    status: str = "ok"
    answer_at: int | None = None
