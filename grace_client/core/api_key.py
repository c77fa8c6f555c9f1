"""An API key: read from a file or the environment, and hidden in everything that is written or printed."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote

from grace_client.core.errors import SpecError

LEAST = 8
"""Parts of a key with this many characters or more are hidden. Shorter parts do not reveal the key."""

HIDDEN = "***"

SETTING = re.compile(r"(?:export\s+)?[A-Za-z_]\w*\s*[=:]\s*\S")


class ApiKey:
    """A key that can hide itself in texts.

    A server or a proxy may repeat a part of the request's headers in its answer. So every part of the key
    with `LEAST` characters or more is hidden: plain, URL-encoded and in base64.

    Parameters
    ----------
    value : str
        The key; empty if there is none.
    """

    def __init__(self, value: str = "") -> None:
        self.value = value
        least = min(LEAST, len(value))
        shapes = [(value, least), (quote(value, safe=""), least)]
        # 8 characters are 11 of base64, in one of three places against its groups of three bytes.
        shapes += [(_base64(value, before), least * 11 // LEAST) for before in range(3)]
        self._parts: dict[int, set[str]] = {}
        needles: set[str] = set()
        for shape, length in shapes:
            if length:
                self._parts.setdefault(length, set()).update(_substrings(shape, length))
                # Every part of this length contains one of these.
                half = (length + 1) // 2
                needles.update(_substrings(shape, half)[:: length - half + 1])
        self._needles = tuple(needles)
        self._needle_bytes = tuple(needle.encode() for needle in self._needles)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __repr__(self) -> str:
        return f"ApiKey({HIDDEN if self else ''})"

    def hide(self, text: str) -> str:
        """The text with `HIDDEN` instead of every part of the key."""
        if not any(needle in text for needle in self._needles):
            return text
        for length, parts in self._parts.items():
            kept: list[str] = []
            start = at = 0
            while at + length <= len(text):
                if text[at : at + length] in parts:
                    end = at + length
                    while text[end - length + 1 : end + 1] in parts and end < len(text):
                        end += 1
                    kept += [text[start:at], HIDDEN]
                    start = at = end
                else:
                    at += 1
            text = "".join(kept) + text[start:]
        return text

    def hide_in(self, parsed: Any, body: bytes) -> Any:
        """Parsed JSON with the key hidden in all its texts. Names of fields do not change.

        A key shorter than `LEAST` is not hidden here: it may be an ordinary word of an answer.

        Parameters
        ----------
        parsed
            The JSON value; it is changed in place.
        body : bytes
            The bytes of the JSON, for a quick check whether there is something to hide.
        """
        if len(self.value) < LEAST:
            return parsed
        escaped = b"\\u" in body or b"\\/" in body
        if not escaped and not any(needle in body for needle in self._needle_bytes):
            return parsed
        whole = [parsed]
        waiting: list[Any] = [whole]
        while waiting:
            node = waiting.pop()
            for place, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
                if isinstance(value, str):
                    node[place] = self.hide(value)
                elif isinstance(value, dict | list):
                    waiting.append(value)
        return whole[0]


def from_file(path: Path) -> str:
    """The key in a file; SpecError if there is none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SpecError(f"{path} is not plain text (UTF-8). Save the API key as plain text") from None
    except OSError as error:
        raise SpecError(
            f"The file {path} with the API key cannot be read: {error.strerror or error}. Check "
            "--api-key-file"
        ) from None
    if not text.strip():
        raise SpecError(f"{path} is empty. Write the API key into it")
    return usable(text, str(path))


def from_environment(name: str) -> str | None:
    """The key in an environment variable; None if the variable is not set or empty."""
    text = os.environ.get(name, "")
    return usable(text, f"the environment variable {name}") if text.strip() else None


def usable(text: str, source: str = "the API key") -> str:
    """A key without the white space around it.

    Parameters
    ----------
    text : str
        The text of the file or the variable.
    source : str
        Name of the file or the variable, for messages.

    Raises
    ------
    SpecError
        If the text is not a key. The message does not repeat the text.
    """
    key = text.strip().removeprefix("\ufeff").strip()
    if len(key.split()) > 1 or not key.isprintable():
        wrong = "several words or lines, or invisible characters"
        if key.lower().startswith("bearer "):
            wrong = "the word 'Bearer' before the key"
    elif not key.isascii():
        wrong = "a letter or quotation mark that is not ASCII"
    elif key[0] in "'\"`" or key[-1] in "'\"`":
        wrong = "quotation marks around the key"
    else:
        wrong = ""
    # A key in base64 may end with equals signs. A name before an equals sign is a line of a settings file.
    if SETTING.match(key) and re.match(r"(?:export\s+)?[A-Z_]*KEY\b", key, re.IGNORECASE):
        wrong = "a setting (NAME=KEY)"
    if wrong:
        raise SpecError(f"{source} contains {wrong}. It must contain the API key and nothing else")
    return key


def _substrings(text: str, length: int) -> list[str]:
    return [text[at : at + length] for at in range(len(text) - length + 1)]


def _base64(text: str, before: int) -> str:
    """The part of the base64 code that depends only on the text, if `before` bytes precede it."""
    encoded = b64encode(b"\0" * before + text.encode()).decode()
    return encoded[(8 * before + 5) // 6 : 8 * (before + len(text.encode())) // 6]


NO_KEY = ApiKey()
