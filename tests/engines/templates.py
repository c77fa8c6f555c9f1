"""Chat templates in the manner of well-known families, written for these tests."""

from __future__ import annotations

from dataclasses import dataclass

ALTERNATING = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}{% endfor %}"
)


@dataclass(frozen=True, slots=True)
class Family:
    """A template, and what it does with a system turn.

    Attributes
    ----------
    template : str
        The template.
    preamble : str
        Its default system text.
    takes_system, switches_off : bool
        Whether it takes a system turn, and whether a study can switch the system text off.
    marks : tuple of str
        Its special tokens, beside those for the beginning and the end of a text.
    """

    template: str
    preamble: str = ""
    takes_system: bool = True
    switches_off: bool = True
    marks: tuple[str, ...] = ("<|im_start|>", "<|im_end|>")


def chatml(default: str = "", ending: str = "") -> str:
    """ChatML, perhaps with a default system text, and with an ending for answers without reasoning."""
    own = "{{ '<|im_start|>system\n" + default + "<|im_end|>\n' }}" if default else ""
    return (
        "{% if messages[0]['role'] != 'system' %}" + own + "{% endif %}{% for m in messages %}"
        "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}" + ending + "{% endif %}"
    )


LLAMA = (
    "{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' }}"
    "{{ m['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
LLAMA_MARKS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")

SYSTEM_APART = (
    "{% if messages[0]['role'] == 'system' %}{% set said = messages[0]['content'] %}"
    "{% set messages = messages[1:] %}{% else %}{% set said = 'DEFAULT' %}{% endif %}"
)

FAMILIES = {
    "gemma-2": Family(
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
        "{{ raise_exception('System role not supported') }}{% endif %}"
        + ALTERNATING
        + "{% for m in messages %}"
        "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' }}"
        "{{ m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
        takes_system=False,
        marks=("<start_of_turn>", "<end_of_turn>"),
    ),
    "qwen2.5": Family(
        chatml("You are Quill, made by Cloud Nine. You are a helpful assistant."),
        "You are Quill, made by Cloud Nine. You are a helpful assistant.",
    ),
    "qwen3": Family(
        chatml(
            ending="{% if enable_thinking is defined and enable_thinking is false %}"
            "{{ '<think>\n\n</think>\n\n' }}{% endif %}"
        ),
        marks=("<|im_start|>", "<|im_end|>", "<think>", "</think>"),
    ),
    "llama-3": Family("{{ bos_token }}" + LLAMA, marks=LLAMA_MARKS),
    "llama-3.2": Family(
        "{{ bos_token }}"
        + SYSTEM_APART.replace("DEFAULT", "")
        + "{{ '<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n' }}"
        "{{ 'Today Date: ' + strftime_now('%d %b %Y') + '\n\n' + said | trim + '<|eot_id|>' }}" + LLAMA,
        "Cutting Knowledge Date: December 2023\nToday Date: 01 Jan 2026",
        switches_off=False,
        marks=LLAMA_MARKS,
    ),
    "gpt-oss": Family(
        "{{ '<|start|>system<|message|>You are Chatter.\nCurrent date: ' + strftime_now('%Y-%m-%d') }}"
        "{{ '\n\nReasoning: ' + (reasoning_effort or 'medium') + '<|end|>' }}{% for m in messages %}"
        "{{ '<|start|>' + ('developer' if m['role'] == 'system' else m['role']) }}"
        "{{ '<|channel|>final' if m['role'] == 'assistant' else '' }}"
        "{{ '<|message|>' + m['content'] + '<|end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant{% endif %}",
        "You are Chatter.\nCurrent date: 2026-01-01\n\nReasoning: medium",
        switches_off=False,
        marks=("<|start|>", "<|channel|>", "<|message|>", "<|end|>"),
    ),
    # It prints a system text before the last turn, so that only a prompt of one further turn can have one.
    "mistral": Family(
        "{{ bos_token }}"
        + SYSTEM_APART.replace("DEFAULT", "")
        + ALTERNATING
        + "{% for m in messages %}{% if m['role'] == 'user' %}"
        "{{ '[INST] ' + (said + '\n\n' if said and loop.last else '') + m['content'] + '[/INST]' }}"
        "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}",
        takes_system=False,
        marks=("[INST]", "[/INST]"),
    ),
    "vicuna": Family(
        SYSTEM_APART.replace("DEFAULT", "A chat between a person and a machine.")
        + "{{ bos_token + said }}{% for m in messages %}{% if m['role'] == 'user' %}"
        "{{ ' USER: ' + m['content'] }}{% else %}{{ ' ASSISTANT: ' + m['content'] + eos_token }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}",
        "A chat between a person and a machine.",
        marks=(),
    ),
}
