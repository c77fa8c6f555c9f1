"""What a reasoning model thinks, apart from what it answers. Pure."""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


def separate(text: str | None, thoughts: str | None, *, opened: bool = False) -> tuple[str, str | None]:
    """Split what a model wrote into its answer and its reasoning.

    Parameters
    ----------
    text : str or None
        What the server gives as the answer.
    thoughts : str or None
        What the server gives as reasoning, where it tells the two apart itself.
    opened : bool
        Whether the chat template has already opened the reasoning, so that no tag is in the text.

    Returns
    -------
    tuple of str and (str or None)
        The answer, empty where the reasoning never ended, and the reasoning, None where there is none.
    """
    text = text or ""
    if thoughts is not None:
        return text, thoughts
    before, closed, after = text.partition(CLOSE)
    if closed:
        return after.strip(), before.strip().removeprefix(OPEN).strip()
    if opened or text.lstrip().startswith(OPEN):
        return "", text.strip().removeprefix(OPEN).strip()
    return text, None


def answer_lead(suffix: str) -> str:
    """What must follow a prompt so that the next token is the answer and not a thought.

    A closed set is scored as a direct answer. Where the template leads into reasoning, the reasoning is
    closed, in the words of the model's own format, before the answer is scored.

    Parameters
    ----------
    suffix : str
        What the chat template puts after the prompt.
    """
    if suffix.endswith("<|start|>assistant"):  # Harmony, the format of gpt-oss
        return "<|channel|>final<|message|>"
    if suffix.rstrip().endswith(OPEN):
        return ("" if suffix.endswith("\n") else "\n") + f"\n{CLOSE}\n\n"
    return ""
