"""Find secrets that a manifest contains as text, and leave out what only looks like one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

LITERAL = "a literal where a secret belongs"

_SHAPES = {
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{16,}",
    "an API key": r"\b(?:sk|gsk|nvapi|r8|pk_live|rk_live)[-_][A-Za-z0-9_-]{16,}",
    "a GitHub token": r"\b(?:gh[oprsu]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{16,}",
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a Google API key": r"\bAIza[0-9A-Za-z_-]{30,}",
    "a Slack token": r"\bxox[abprs]-[0-9A-Za-z-]{10,}",
    "a signed web token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a password inside an address": r"\b[a-z][a-z0-9+.-]*://[^\s/:@$]+:(?!\$)[^\s/@]+@",
    "a bearer token": r"\bBearer\s+(?!\$)[A-Za-z0-9._~+/-]{12,}",
}
_SHAPE = {what: re.compile(pattern) for what, pattern in _SHAPES.items()}

_SECRET_ENDINGS = {"SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "PWD", "CREDENTIAL", "CREDENTIALS", "APIKEY"}
_KEYS = {"API", "ACCESS", "SECRET", "PRIVATE", "ENCRYPTION", "SIGNING", "AUTH", "ACCOUNT", "SSH", "MASTER"}
# These are tokens of a model's vocabulary, not of an account.
_VOCABULARY = re.compile("PAD|EOS|BOS|STOP|MASK|UNK|SEP|CLS|END|START|IMAGE|THINK|NEWLINE")

# Users give one of these to a program that demands a key without needing it.
_NO_KEY = re.compile("(empty|none|null|no|off|dummy|unused|not-needed|false|true|yes|on)?", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\(\w+\)|\$\{?\w+[^}]*\}?|\$\(.*\)|`.*`|\{\{.*\}\}")
_PATH = re.compile(r"(?:~|\.{0,2})/[\w./ @+-]*|[\w-]+\.(?:json|yaml|yml|txt|key|pem|toml|cfg)")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://")
_NUMBER = re.compile(r"[+-]?[\d._]+(?:e[+-]?\d+)?[a-z%]?", re.IGNORECASE)

_FLAG = re.compile(r"--?((?:[a-z]+[-_])*(?:key|token|secret|password|passwd|passphrase))", re.IGNORECASE)
_SHELL_WORD = re.compile(r"""\s*(?:=|\s)\s*(?P<value>"[^"]*"|'[^']*'|\$\([^)]*\)|[^\s;&|]+)""")
_ASSIGNED = re.compile(
    r"""(?:^|[\s;&|("'])(?P<name>[A-Za-z_]\w*)=(?P<value>"[^"]*"|'[^']*'|\$\([^)]*\)|[^\s;&|"']*)"""
)


def names_a_secret(name: str) -> bool:
    """Whether a variable or flag of this name holds a secret: `HF_TOKEN`, `wandbApiKey`, `--api-key`.

    The last word decides, so that `HF_TOKEN_PATH` and `MAX_TOKENS` do not count.
    """
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    words = [word.upper() for word in re.split(r"[^A-Za-z0-9]+", snake) if word]
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last == "TOKEN":
        return not _VOCABULARY.fullmatch(before)
    if last == "KEY":
        return before in _KEYS
    # PWD alone is the shell's working directory.
    return last in _SECRET_ENDINGS and (last != "PWD" or bool(before))


def is_harmless(value: str) -> bool:
    """Whether a value is harmless: a reference, a path, a number, a switch, an address, or nothing."""
    value = value.strip().strip("\"'")
    harmless = (_NO_KEY, _REFERENCE, _PATH, _NUMBER)
    return any(pattern.fullmatch(value) for pattern in harmless) or bool(_ADDRESS.match(value))


def shape_of_secret(text: str) -> str | None:
    """The kind of secret that a text contains, by its shape; None for none."""
    return next((what for what, pattern in _SHAPE.items() if pattern.search(text)), None)


def in_variable(name: str, value: str) -> str | None:
    """The kind of secret that an environment variable contains; None for none."""
    if shape := shape_of_secret(value):
        return shape
    if names_a_secret(name) and not is_harmless(value):
        return LITERAL
    return None


def in_words(words: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Secrets in a command line: position of the word, and kind of secret.

    These are known shapes, values of flags such as `--api-key`, and assignments in shell text.
    """
    for i, word in enumerate(words):
        if shape := shape_of_secret(word):
            yield i, shape
            continue
        before = words[i - 1] if i else ""
        flag = _FLAG.fullmatch(before)
        values = [(flag[1], word)] if flag and not word.startswith("-") else []
        values += [(match["name"], match["value"]) for match in _ASSIGNED.finditer(word)]
        for flag in _FLAG.finditer(word):
            at_start_of_a_word = not flag.start() or word[flag.start() - 1] in " \t\n=\"'("
            if at_start_of_a_word and (value := _SHELL_WORD.match(word, flag.end())):
                values.append((flag[1], value["value"]))
        if any(
            names_a_secret(name) and not is_harmless(value) and not value.startswith("-")
            for name, value in values
        ):
            yield i, LITERAL
